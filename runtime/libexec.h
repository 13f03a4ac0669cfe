/* SPDX-License-Identifier: Apache-2.0 */
/* Where the programs that belong to amphi lie: amphi-init, amphi-images. */
#ifndef RUNTIME_LIBEXEC_H
#define RUNTIME_LIBEXEC_H

#include "base/err.h"

/*
 * Path of a program of ours: in $AMPHI_LIBEXEC, beside our own binary, or in ../libexec/amphi from there. Owned; NULL with
 * *err naming the places.
 */
char *libexec_find(const char *name, struct err *err);

#endif
