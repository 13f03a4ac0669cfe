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

@test "selinux: labels of the process, its keyring, what exec starts, and mounts" {
	load_policy
	cp "$HELPERS/keyring" "$HELPERS/peek" "$BUNDLE/rootfs/bin/"
	config '.process.selinuxLabel = $l | .linux.mountLabel = $f | .process.noNewPrivileges = false |
		.mounts += [{destination: "/scratch", type: "tmpfs", source: "tmpfs", options: ["size=1m"]}]' --arg l "$LABEL" --arg f "$FILES"
	config_args sh -c 'cat /proc/self/attr/current; echo; grep -E " /(dev|scratch|dev/shm) " /proc/self/mounts; keyring; exec sleep 1000'
	detached
	wait_for grep -q _ses "$BATS_TEST_TMPDIR/out"
	output=$(tr -d '\0' <"$BATS_TEST_TMPDIR/out")
	[ "${output%%$'\n'*}" = "$LABEL" ] || { echo "$output" >&2; false; }
	for m in /dev /scratch /dev/shm; do
		[[ "$output" == *" $m tmpfs "*"context=\"$FILES\""* || "$output" == *" $m tmpfs "*"context=$FILES"* ]] || { echo "$m: $output" >&2; false; }
	done
	run -0 amphi exec "$ID" cat /proc/self/attr/current
	check_output "$LABEL"
	run -0 amphi exec --process-label system_u:system_r:container_t:s0:c4 "$ID" cat /proc/self/attr/current
	[ "$(tr -d '\0' <<<"$output")" = system_u:system_r:container_t:s0:c4 ]
	run -255 amphi exec --process-label system_u:system_r:no_such_t:s0 "$ID" true
	check_output 'unable to set selinux label "system_u:system_r:no_such_t:s0"'
}

@test "selinux: the same in a user namespace" {
	load_policy
	chmod 755 "$BATS_RUN_TMPDIR" "$BATS_SUITE_TMPDIR" "$BATS_FILE_TMPDIR" "$BATS_TEST_TMPDIR" "$BUNDLE"
	cp "$HELPERS/keyring" "$BUNDLE/rootfs/bin/"
	config '.process.selinuxLabel = $l | .linux.mountLabel = $f | .process.noNewPrivileges = false |
		.linux.namespaces += [{type: "user"}] | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}] |
		.linux.gidMappings = .linux.uidMappings' --arg l "$LABEL" --arg f "$FILES"
	config_args sh -c 'cat /proc/self/attr/current; echo; cat /proc/self/uid_map; grep -E " /(dev|dev/pts|dev/shm) " /proc/self/mounts; keyring; exec sleep 1000'
	detached
	wait_for grep -q _ses "$BATS_TEST_TMPDIR/out"
	output=$(tr -d '\0' <"$BATS_TEST_TMPDIR/out")
	[ "${output%%$'\n'*}" = "$LABEL" ] || { echo "$output" >&2; false; }
	for m in /dev /dev/pts /dev/shm; do
		[[ "$output" == *" $m "*" "*"context="*"$FILES"* ]] || { echo "$m: $output" >&2; false; }
	done
	check_output 100000
	run -0 amphi exec "$ID" cat /proc/self/attr/current
	check_output "$LABEL"
	run -0 ls -dZ "/proc/$(pid_of "$ID")/root/dev/mqueue"
	check_output "$FILES"
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
