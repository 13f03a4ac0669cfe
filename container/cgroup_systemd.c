/* SPDX-License-Identifier: Apache-2.0 */
/* The manager's systemd half: names, and transient scopes over D-Bus. */
#include "container/cgroup_systemd.h"

#include <errno.h>

static int not_yet(struct err *err)
{
	return err_set(err, -EOPNOTSUPP, "the systemd cgroup driver is not in this build");
}

int cgroup_systemd_names(const char *cgroups_path, const char *id, bool rootless, char **ret_slice, char **ret_scope,
			 struct err *err)
{
	return not_yet(err);
}

char *cgroup_systemd_expand(const char *slice)
{
	return NULL;
}

int cgroup_systemd_user_root(char **ret, struct err *err)
{
	return not_yet(err);
}

int cgroup_systemd_start(struct cgroup_manager *m, pid_t pid, struct err *err)
{
	return not_yet(err);
}

int cgroup_systemd_update(struct cgroup_manager *m, const struct oci_resources *r, struct err *err)
{
	return not_yet(err);
}

int cgroup_systemd_stop(struct cgroup_manager *m, struct err *err)
{
	return not_yet(err);
}
