#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# backends: vm
# The monitor process itself: control lines on its socket, and how little it may do.

load helpers

setup() {
	need_root
	[ "$AMPHI_VMM" = kvm ] || skip "needs amphi's own monitor (--vmm kvm): tests/lab"
	setup_bundle
	config_args sleep 1000
	amphi run --detach --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
}
teardown() { teardown_all; }

# One line to the monitor, one line back.
control() { printf '%s\n' "$1" | timeout 60 socat -t 60 - "UNIX-CONNECT:$ROOT/$ID/agent.sock" | head -n 1; }
balloon_is() { [[ "$(control STATS)" == *" balloon=$1 "* ]]; }

# bats test_tags=lab:vm
@test "the monitor answers control lines and lives on" {
	need_program socat
	[[ "$(control STATS)" == "OK memory="*" vcpus="* ]]
	[[ "$(control NONSENSE)" == "ERR unknown request" ]]
	[[ "$(control 'BALLOON much')" == "ERR BALLOON: "* ]]
	[ "$(control PAUSE)" = OK ]
	[ "$(control RESUME)" = OK ]
	run -0 amphi exec "$ID" echo alive
	[ "$output" = alive ]
}

# bats test_tags=lab:vm
@test "the balloon takes memory and gives it back" {
	need_program socat
	[ "$(control 'BALLOON 67108864')" = OK ]
	wait_for balloon_is 67108864
	[ "$(control 'BALLOON 0')" = OK ]
	wait_for balloon_is 0
	run -0 amphi exec "$ID" echo alive
}

# bats test_tags=lab:vm
@test "every thread of the monitor is locked up" {
	local pid t
	pid=$(pid_of "$ID")
	for t in /proc/"$pid"/task/*; do
		grep -q '^NoNewPrivs:.*1$' "$t/status"
		grep -q '^Seccomp:.*2$' "$t/status" || { echo "$(cat "$t/comm") has no filter" >&2; return 1; }
		# CAP_NET_ADMIN 12, CAP_SYS_PTRACE 19, CAP_SYS_ADMIN 21
		[ $((0x$(awk '/^CapEff/ { print $2 }' "$t/status") & 0x281000)) = 0 ]
		grep -q '^CapBnd:.0*$' "$t/status"
	done
	[ -z "$(ls /proc/"$pid"/root/ | grep -v -x -E 'export|proc|dev|kernel|initrd|etc|lib|lib64|usr|bin|sbin|sys|tmp|run')" ]
}

# bats test_tags=lab:vm
@test "the monitor's private memory beside the guest's is at most 5 MiB" {
	# the guest's memory is what is marked not to be dumped (MADV_DONTDUMP)
	run -0 awk '/^[0-9a-f]+-[0-9a-f]+ / { kib = 0 } /^Private_(Clean|Dirty):/ { kib += $2 } /^VmFlags:/ { if ($0 !~ / dd/) sum += kib } END { print sum }' \
		"/proc/$(pid_of "$ID")/smaps"
	echo "# $output KiB" >&3
	[ "$output" -gt 0 ]
	[ "$output" -le 5120 ]
}
