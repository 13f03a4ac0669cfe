/* SPDX-License-Identifier: Apache-2.0 */
/* Labels where no module is active, and the check of procfs. */
#include "container/lsm.h"

#include <errno.h>
#include <unistd.h>

#include "container/intelrdt.h"
#include "oci/config.h"
#include "tests/unit/tap.h"

static void test_absent(void)
{
	struct err err = { 0 };
	struct str data = { 0 };

	if (!lsm_apparmor_enabled()) {
		is_int(lsm_check("some-profile", NULL, NULL, &err), -EOPNOTSUPP);
		has_str(err.msg, "apparmor is not enabled on the system");
	}
	is_int(lsm_check("unconfined", "", NULL, &err), 0);
	is_int(lsm_check(NULL, NULL, NULL, &err), 0);
	if (!lsm_selinux_enabled()) {
		is_int(lsm_check(NULL, "a:b:c", NULL, &err), -EOPNOTSUPP);
		has_str(err.msg, "process.selinuxLabel");
		has_str(err.msg, "selinux is disabled or not supported");
		is_int(lsm_check(NULL, NULL, "a:b:c", &err), -EOPNOTSUPP);
		has_str(err.msg, "linux.mountLabel");
		lsm_mount_data(&data, "tmpfs", "a:b:c", NULL);
		is_str(str_get(&data), "");
		is_int(lsm_label_fd(0, "a:b:c", &err), 0);
		is_int(lsm_apply_keyring(-1, "a:b:c", &err), 0);
	}
	str_free(&data);
}

static void test_proc(void)
{
	struct err err = { 0 };
	int fd = lsm_open_proc(&err);

	ok(fd >= 0);
	is_int(lsm_apply_exec(fd, NULL, "", &err), 0);
	if (!lsm_selinux_enabled() && !lsm_apparmor_enabled()) {
		ok(lsm_apply_exec(fd, NULL, "label", &err) < 0);
		has_str(err.msg, "`/proc/thread-self/attr/exec`"); /* podman looks for the path */
	}
	close(fd);
}

static void test_rdt(void)
{
	struct oci_intel_rdt bad = { .clos_id = (char *)"../x" }, plain = { .clos_id = (char *)"guest" };
	struct intelrdt_group g = { 0 };
	struct err err = { 0 };

	is_int(intelrdt_check(NULL, &err), 0);
	is_int(intelrdt_check(&bad, &err), -EINVAL);
	has_str(err.msg, "linux.intelRdt.closID");
	if (!intelrdt_enabled()) {
		is_int(intelrdt_check(&plain, &err), -EOPNOTSUPP);
		is_int(intelrdt_update(&g, "L3:0=f", NULL, &err), -EOPNOTSUPP);
	}
	is_int(intelrdt_apply(NULL, "x", 1, &g, &err), 0);
	is_int(intelrdt_destroy(&g, &err), 0);
	intelrdt_free(&g);
}

int main(void)
{
	test_absent();
	test_proc();
	test_rdt();
	return tap_done();
}
