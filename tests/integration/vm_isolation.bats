#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# backends: vm
# What a guest that got out of its machine would find: every thread of the monitor is made to try it (tests/helpers/takeover.c).

load helpers
load hostile

setup() {
	need_root
	setup_bundle
}

teardown() { teardown_all; }

# bats test_tags=lab:vm
@test "no thread of the monitor can leave the jail, whatever takes it over" {
	local pid
	config_args sleep 1000
	mkdir "$BATS_TEST_TMPDIR/share"
	config '.mounts += [{destination: "/share", type: "bind", source: $d, options: ["bind"]}]' --arg d "$BATS_TEST_TMPDIR/share"
	detached
	pid=$(pid_of "$ID")
	[ "$("$HELPERS/lock" ofd "$BATS_TEST_TMPDIR/share/l")" = got ]
	amphi exec "$ID" sh -c 'ls /share >/dev/null'
	run "$HELPERS/takeover" "$pid"
	[ "$status" = 0 ] || { grep -v '^ok' <<<"$output" >&2; return 1; }
	[ "$(grep -c SIGSYS <<<"$output")" -gt 100 ]
	[ "$(grep -c ': ENOENT$\|: EACCES$\|: EPERM$\|: EROFS$' <<<"$output")" -gt 10 ]
	[ ! -e "$BUNDLE/rootfs/.takeover" ]
	# It lives on, and the guest with it.
	run -0 amphi exec "$ID" echo alive
	check_output alive
	# The filters are real: one forbidden call is the end of the monitor, which is the container's.
	run -0 "$HELPERS/takeover" "$pid" kill
	wait_for status_is "$ID" stopped
}

# bats test_tags=lab:vm
@test "rings full of nonsense break the device and nothing else" {
	if [ "$AMPHI_VMM" = kvm ]; then
		hostile rings 4 5 26 19
		grep -q '^4: 13 patterns, [1-9]' "$BATS_TEST_TMPDIR/out"
		grep -q '^5: 13 patterns, [1-9]' "$BATS_TEST_TMPDIR/out"
	else
		hostile rings 26 19
	fi
	grep -q '^26: 13 patterns' "$BATS_TEST_TMPDIR/out"
	complains virtio-fs || { cat "$BATS_TEST_TMPDIR/log" "$BATS_TEST_TMPDIR/out" >&2; return 1; }
	# A line now and then, no flood.
	[ "$(said virtio-)" -le 20 ]
	# Without its streams the machine is lost, or ends by order; the monitor does not end by a signal of its own making.
	amphi delete --force "$ID" || :
	rc=0
	wait $runner || rc=$?
	[ "$rc" = 255 ] || [ "$rc" = 137 ] || { echo "status $rc"; cat "$BATS_TEST_TMPDIR/log" "$BATS_TEST_TMPDIR/out"; return 1; } >&2
}

# bats test_tags=lab:vm
@test "random values in the registers of a device are its driver's problem" {
	[ "$AMPHI_VMM" = kvm ] || skip "the registers are QEMU's"
	hostile pokes 4 5 26
	grep -q '^26: poked' "$BATS_TEST_TMPDIR/out"
	# The monitor lives, and ends by order; the guest's own agent may hang in the file system that is no more.
	status_is "$ID" running
	amphi kill "$ID" KILL
	rc=0
	wait $runner || rc=$?
	[ "$rc" = 137 ] || [ "$rc" = 255 ]
}
