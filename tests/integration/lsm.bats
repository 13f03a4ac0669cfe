# SPDX-License-Identifier: Apache-2.0
# AppArmor and SELinux: what a kernel without them refuses, and profiles on one that has them (the lab's has AppArmor).
# backends: container

load helpers

setup() {
	need_root
	setup_bundle
	PROFILE=amphi-test-$$-$BATS_TEST_NUMBER
}
teardown() {
	teardown_all
	[ ! -e "$BATS_TEST_TMPDIR/profile" ] || apparmor_parser -R "$BATS_TEST_TMPDIR/profile" || :
}

apparmor() { [ -e /sys/kernel/security/apparmor ] && [ "$(cat /sys/module/apparmor/parameters/enabled)" = Y ]; }
selinux() { [ -e /sys/fs/selinux/load ]; }

@test "lsm: labels of modules that are not there are refused in runc's words, unconfined is not" {
	if ! apparmor; then
		config '.process.apparmorProfile = "x"'
		run -1 amphi run --bundle "$BUNDLE" "$ID"
		check_output "apparmor profile specified in config, but apparmor is not enabled on the system"
		config '.process.apparmorProfile = "unconfined"'
		run -0 amphi run --bundle "$BUNDLE" "$ID"
		config 'del(.process.apparmorProfile)'
	fi
	! selinux || skip "SELinux is enabled"
	config '.process.selinuxLabel = "system_u:system_r:x_t:s0"'
	run -1 amphi run --bundle "$BUNDLE" "$ID"
	check_output "selinux label is specified in config, but selinux is disabled or not supported"
	config 'del(.process.selinuxLabel) | .linux.mountLabel = "system_u:object_r:x_t:s0"'
	run -1 amphi run --bundle "$BUNDLE" "$ID"
	check_output "linux.mountLabel"
	[ ! -e "$ROOT/$ID" ]
}

# bats test_tags=lab:container
@test "lsm: an AppArmor profile confines the workload and what exec starts" {
	apparmor || skip "needs AppArmor in the kernel"
	need_program apparmor_parser
	cat >"$BATS_TEST_TMPDIR/profile" <<-X
		profile $PROFILE flags=(attach_disconnected,mediate_deleted) {
		  file, network, capability, mount, umount, pivot_root, ptrace, signal, unix,
		  deny /secret rw,
		}
	X
	apparmor_parser -r "$BATS_TEST_TMPDIR/profile"
	echo hidden >"$BUNDLE/rootfs/secret"
	config '.process.apparmorProfile = $p' --arg p "$PROFILE"
	config_args sh -c 'cat /proc/self/attr/current; cat /secret; exec sleep 1000'
	detached
	wait_for grep -qi denied "$BATS_TEST_TMPDIR/out"
	[ "$(head -n 1 "$BATS_TEST_TMPDIR/out")" = "$PROFILE (enforce)" ]
	run -0 amphi exec "$ID" cat /proc/self/attr/current
	[ "$output" = "$PROFILE (enforce)" ]
	run -1 amphi exec "$ID" cat /secret
	run -0 amphi exec --apparmor unconfined "$ID" cat /proc/self/attr/current /secret
	[ "$output" = $'unconfined\nhidden' ]
	run -255 amphi exec --apparmor "$PROFILE-none" "$ID" true
	check_output "unable to apply apparmor profile"
	amphi delete --force "$ID"
	config '.process.apparmorProfile += "-none"'
	run -1 amphi run --bundle "$BUNDLE" "$ID"
	check_output "unable to apply apparmor profile"
	[ ! -e "$ROOT/$ID" ]
}
