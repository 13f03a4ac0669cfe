/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Capabilities, by the bare system calls: a set is one 64-bit mask.
 *
 * Order (capabilities(7)): the bounding set can only be dropped while CAP_SETPCAP is effective, so before the user
 * changes; PR_SET_KEEPCAPS keeps the permitted set over setuid(2); then capset(2) gives the final sets, and
 * ambient ones are raised last, one by one, since each must be permitted and inheritable. The inheritable set is
 * exactly what the document says, for exec too (CVE-2022-24769).
 */
#include "container/caps.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "oci/config.h"

static int get_sets(uint64_t *permitted)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2];

	if (syscall(SYS_capget, &h, d) < 0)
		return -errno;
	*permitted = d[0].permitted | (uint64_t)d[1].permitted << 32;
	return 0;
}

static int set_sets(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2] = {
		{ (uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable },
		{ (uint32_t)(effective >> 32), (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32) },
	};

	return syscall(SYS_capset, &h, d) < 0 ? -errno : 0;
}

/* runtime-spec config.md#linux-process: what cannot be granted is no failure, but a warning. */
static void warn_of(uint64_t left_out, const char *what, const char *why)
{
	for (int i = 0; i <= OCI_CAP_LAST; i++)
		if (left_out & CAPS_BIT(i))
			log_warn("%s %s: %s", what, oci_capability_name(i), why);
}

int caps_plan(const struct oci_process *p, struct caps *ret, struct err *err)
{
	const struct oci_capabilities *c = &p->capabilities;
	uint64_t have;
	int r = get_sets(&have);

	if (r < 0)
		return err_sys(err, r, "capget");
	*ret = (struct caps){ 0 };
	if (!p->has_capabilities)
		return 0;
	warn_of((c->bounding | c->permitted | c->effective) & ~have, "ignoring unavailable capability",
		"the runtime lacks it");
	ret->bounding = c->bounding;
	ret->permitted = c->permitted & have;
	ret->effective = c->effective & ret->permitted;
	ret->inheritable = c->inheritable & have;
	ret->ambient = c->ambient & ret->permitted & ret->inheritable;
	warn_of(c->ambient & ~ret->ambient, "can't raise ambient capability",
		"it is not both permitted and inheritable");
	return 0;
}

int caps_before_setuid(const struct caps *c, struct err *err)
{
	for (int i = 0; i < 64; i++) {
		if (c->bounding & CAPS_BIT(i))
			continue;
		if (prctl(PR_CAPBSET_DROP, i, 0, 0, 0) == 0)
			continue;
		if (errno == EINVAL)
			break; /* beyond the kernel's last one */
		/* without CAP_SETPCAP there is nothing to keep out: only what we do not have ourselves is missing */
		if (errno == EPERM && prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 0)
			continue;
		return err_sys(err, -errno, "drop %s from the bounding set", oci_capability_name(i));
	}
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return err_sys(err, -errno, "set keep capabilities");
	return 0;
}

int caps_after_setuid(const struct caps *c, uint64_t also, struct err *err)
{
	uint64_t have;
	int r = get_sets(&have);

	if (!r)
		r = set_sets(c->effective | (also & have), c->permitted | (also & have), c->inheritable);
	if (r < 0)
		return err_sys(err, r, "set capabilities");
	/* nothing inherited from our caller stays; EINVAL: a kernel without ambient capabilities */
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return err_sys(err, -errno, "clear ambient capabilities");
	for (int i = 0; i <= OCI_CAP_LAST; i++)
		if ((c->ambient & CAPS_BIT(i)) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0) < 0)
			return err_sys(err, -errno, "raise ambient %s", oci_capability_name(i));
	return 0;
}

int caps_final(const struct caps *c, struct err *err)
{
	int r = set_sets(c->effective, c->permitted, c->inheritable);

	return r < 0 ? err_sys(err, r, "set capabilities") : 0;
}
