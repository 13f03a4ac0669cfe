/* SPDX-License-Identifier: Apache-2.0 */
/* What nothing refers to any more, and whether what is there is whole. */
#ifndef IMAGES_COLLECT_H
#define IMAGES_COLLECT_H

#include "images/store.h"

struct collect_result {
	uint64_t bytes; /* of blobs and partial downloads */
	unsigned int blobs, layers, fixups, partial;
};

/*
 * Removes blobs, trees and partial downloads that no name in index.json and no container needs. The store must be
 * open with STORE_COLLECT. keep_partial leaves downloads that may be resumed.
 */
int collect_garbage(struct store *s, bool keep_partial, struct collect_result *ret, struct err *err);

/*
 * Verifies every blob's digest and every image's completeness, and each tree against its layer's archive. Findings
 * are lines of *ret_faults (owned); with repair damaged blobs and trees are removed, so that a pull or import
 * brings them back. 0, the number of faults, or negative.
 */
int collect_check(struct store *s, bool repair, char ***ret_faults, struct err *err);

#endif
