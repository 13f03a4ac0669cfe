/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks: runs the lists of config.json's hooks object. runtime-spec config.md#posix-platform-hooks. */
#ifndef CONTAINER_HOOK_H
#define CONTAINER_HOOK_H

#include <stdbool.h>

#include "base/err.h"
#include "oci/config.h"

/*
 * Runs config->hooks[kind] in order, in the caller's namespaces, each with exactly its args and env (the
 * runtime's own environment when it has none, as with runc and crun), the state document (one line) on stdin and its output captured for the error text.
 * A hook that does not read stdin is fine. On timeout its process group is killed. The first failure ends the
 * list: "error running createRuntime hook #0: exit status 1, stdout: …, stderr: …". Blocks.
 */
int hook_run(const struct oci_config *config, enum oci_hook_kind kind, const char *state_json, struct err *err);

/* Files that the hooks' standard output and error are appended to, or -1: captured. */
struct hook_output {
	int out, err;
};
#define HOOK_OUTPUT_INIT ((struct hook_output){ -1, -1 })

/* Opens the files that config names; *ret begins as HOOK_OUTPUT_INIT. 0 or a negative code. */
int hook_open_output(const struct oci_config *config, struct hook_output *ret, struct err *err);
void hook_close_output(struct hook_output *o);

/*
 * Like hook_run(), but env is used where a hook has none (startContainer: the process environment), and the files were opened
 * before their paths went out of reach.
 */
int hook_run_env(const struct oci_config *config, enum oci_hook_kind kind, const char *state_json, char *const *env,
		 const struct hook_output *output, struct err *err);

/* Runs every hook of the list even when some fail; each failure is logged as a warning (poststop). */
void hook_run_all(const struct oci_config *config, enum oci_hook_kind kind, const char *state_json);

/* Has the config hooks of this kind? */
static inline bool hook_any(const struct oci_config *config, enum oci_hook_kind kind)
{
	return config->hooks[kind].n > 0;
}

#endif
