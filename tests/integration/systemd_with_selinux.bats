# SPDX-License-Identifier: Apache-2.0
# backends: systemd
# bats file_tags=lab:systemd
# SELinux labels as the kernel has them, with a policy of three types; in the lab whose kernel has SELinux. Last of its files,
# because a policy cannot be unloaded: before, the module answers to nothing and counts as disabled.
load helpers

LABEL=system_u:system_r:container_t:s0:c4,c5
FILES=system_u:object_r:container_file_t:s0:c4,c5

setup() {
	[ -e /sys/fs/selinux/load ] || skip "needs SELinux in the kernel"
	need_program secilc
	need_root
	setup_bundle
}
teardown() { teardown_all; }

@test "selinux: without a policy labels are refused" {
	[ "$(tr -d '\0' </proc/self/attr/current)" = kernel ] || skip "a policy is loaded"
	config '.process.selinuxLabel = $l' --arg l "$LABEL"
	run -1 amphi run --bundle "$BUNDLE" "$ID"
	check_output "selinux label is specified in config, but selinux is disabled or not supported"
	config 'del(.process.selinuxLabel)'
	amphi run --bundle "$BUNDLE" "$ID"
}

load_policy() {
	[ "$(tr -d '\0' </proc/self/attr/current)" = kernel ] || return 0
	secilc -M true -o "$BATS_FILE_TMPDIR/policy" -f /dev/null "$AMPHI_TOP/tests/lab/selinux.cil"
	cat "$BATS_FILE_TMPDIR/policy" >/sys/fs/selinux/load
}

@test "selinux: a label that the policy does not know is refused by name, nothing is left" {
	load_policy
	config '.process.selinuxLabel = "no label"'
	run -1 amphi run --bundle "$BUNDLE" "$ID"
	check_output 'selinux label "no label"'
	config '.process.selinuxLabel = $l | .linux.mountLabel = "wrong"' --arg l "$LABEL"
	run -1 amphi run --bundle "$BUNDLE" "$ID"
	check_output "/dev"
	[ ! -e "$ROOT/$ID" ]
}
