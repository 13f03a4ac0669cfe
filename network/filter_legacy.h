/* SPDX-License-Identifier: Apache-2.0 */
/* filter_legacy: the filter table of the kernel's old iptables, which nftables does not show. */
#ifndef NETWORK_FILTER_LEGACY_H
#define NETWORK_FILTER_LEGACY_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Does the policy of the chain FORWARD (else INPUT) of this family's filter table drop, and does no rule of the table name
 * the link? *ret_docker: has it docker's chain for rules of users? False when there is no such table; none is loaded.
 */
bool filter_legacy_drops(uint8_t family, bool forward, const char *link, bool *ret_docker);

#endif
