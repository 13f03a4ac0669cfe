# SPDX-License-Identifier: Apache-2.0
# backends: vm
# The QEMU driver: what happens when QEMU fails.

load helpers

setup() {
	need_root
	[ "$AMPHI_VMM" != kvm ] || skip "of the QEMU driver"
	setup_bundle
}

teardown() { teardown_all; }

qemu_of() { pgrep -P "$(pid_of "$1")" -f qemu-system; }

@test "a killed QEMU is a lost machine, never a success" {
	config_args sleep 1000
	timeout 200 "$AMPHI" --root "$ROOT" --isolation vm --vmm qemu run -b "$BUNDLE" "$ID" </dev/null 2>"$BATS_TEST_TMPDIR/err" 3>&- &
	run_pid=$!
	wait_for status_is "$ID" running
	kill -9 "$(qemu_of "$ID")"
	status=0
	wait $run_pid || status=$?
	[ "$status" -ne 0 ]
	grep -q "the machine was lost" "$BATS_TEST_TMPDIR/err" || { cat "$BATS_TEST_TMPDIR/err" >&2; return 1; }
}

@test "a QEMU that cannot start says why" {
	AMPHI_QEMU=/bin/false run timeout 100 "$AMPHI" --root "$ROOT" --isolation vm --vmm qemu run -b "$BUNDLE" "$ID" </dev/null
	[ "$status" -ne 0 ]
	AMPHI_QEMU=/nonexistent/qemu run timeout 100 "$AMPHI" --root "$ROOT" --isolation vm --vmm qemu run -b "$BUNDLE" "$ID" </dev/null
	[ "$status" -ne 0 ]
	check_output "/nonexistent/qemu"
}

@test "QEMU has no privilege, and ends together with its monitor" {
	config_args sleep 1000
	amphi run -d -b "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
	qemu=$(qemu_of "$ID")
	[ -n "$qemu" ]
	run -0 awk '/^Cap/ { print $1, $2 ~ /^0+$/ ? 0 : $2 } /^(NoNewPrivs|Seccomp):/ { print $1, $2 }' /proc/"$qemu"/status
	[ "$output" = $'CapInh: 0\nCapPrm: 0\nCapEff: 0\nCapBnd: 0\nCapAmb: 0\nNoNewPrivs: 1\nSeccomp: 2' ]
	kill -9 "$(pid_of "$ID")"
	wait_for gone "$qemu"
}
