/* SPDX-License-Identifier: Apache-2.0 */
/* Intel RDT: classes of service and monitoring groups in the resctrl filesystem. runtime-spec config-linux.md#intelrdt. */
#ifndef CONTAINER_INTELRDT_H
#define CONTAINER_INTELRDT_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/json.h"

struct oci_intel_rdt;

/* What was made, for the undo; saved in the state file. */
struct intelrdt_group {
	char *dir;     /* class directory; NULL: none in use; owned */
	char *mon_dir; /* monitoring group; NULL: none; owned */
	bool made;     /* dir is ours to remove */
};

/* Unit tests: another directory of any file system as resctrl; borrowed for good. */
void intelrdt_use(const char *root);
/* Is resctrl there (mounted or mountable by us)? Also: schemata and monitoring for "features". */
bool intelrdt_enabled(void);
bool intelrdt_has_monitoring(void);
/* Before any side effect: fields and host; errors name "linux.intelRdt.…". rdt may be NULL. */
int intelrdt_check(const struct oci_intel_rdt *rdt, struct err *err);
/* What intelrdt_apply() is going to make, for a record before it does. No side effects. */
void intelrdt_plan(const struct oci_intel_rdt *rdt, const char *id, struct intelrdt_group *ret);
/* Makes or joins the class ("/" is the default one), writes L3, MB and schemata lines in this order, adds pid. */
int intelrdt_apply(const struct oci_intel_rdt *rdt, const char *id, pid_t pid, struct intelrdt_group *ret,
		   struct err *err);
/* Changes schema lines of a live group. NULL lines stay. */
int intelrdt_update(const struct intelrdt_group *g, const char *l3_schema, const char *mb_schema, struct err *err);
/* Removes the monitoring group, and the class where made. Repeatable. */
int intelrdt_destroy(struct intelrdt_group *g, struct err *err);
void intelrdt_free(struct intelrdt_group *g);
void intelrdt_save(const struct intelrdt_group *g, const char *key, struct json_writer *w);
int intelrdt_load(const struct json *v, struct intelrdt_group *ret, struct err *err);

#endif
