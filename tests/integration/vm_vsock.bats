#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# backends: vm
# The streams between host and machine: many at once, a slow reader among them, half-closed, lost on either side.

load helpers

setup() {
	need_root
	setup_bundle
	cp "$HELPERS/vsock" "$BUNDLE/rootfs/bin/"
	config_args vsock echo 5000
	detached
	wait_for grep -q listening "$BATS_TEST_TMPDIR/out"
	SOCK=$ROOT/$ID/agent.sock
}

teardown() { teardown_all; }

monitor_fds() { ls "/proc/$(pid_of "$ID")/fd" | wc -l; }
few_fds() { [ "$(monitor_fds)" -le $((BEFORE + 2)) ]; }

# bats test_tags=lab:vm
@test "hundreds of streams at once, one of them never read before the others end" {
	BEFORE=$(monitor_fds)
	run -0 timeout 200 "$HELPERS/vsock" storm "$SOCK" 5000 300 40000
	check_output "300 open"
	check_output "300 streams, 0 wrong"
	# More than any buffer holds: the credit of each stream stops its writer, and no other.
	run -0 timeout 200 "$HELPERS/vsock" storm "$SOCK" 5000 3 3000000
	check_output "3 streams, 0 wrong"
	run -1 "$HELPERS/vsock" storm "$SOCK" 5001 1 1
	check_output "refused"
	# Again and again: the monitor's heap grows and shrinks, and its thread may do what that takes.
	for i in 1 2 3; do
		run timeout 200 "$HELPERS/vsock" storm "$SOCK" 5000 3 3000000
		check_status 0
	done
	# A client that goes without a word, with data on its way both ways.
	"$HELPERS/vsock" drop "$SOCK" 5000 50
	wait_for few_fds
	run timeout 100 "$HELPERS/vsock" storm "$SOCK" 5000 20 1000
	check_status 0
	# The guest's side ends: every stream does.
	"$HELPERS/vsock" hold "$SOCK" 5000 40 >"$BATS_TEST_TMPDIR/held" 3>&- &
	wait_for grep -q open "$BATS_TEST_TMPDIR/held"
	amphi kill "$ID" KILL
	wait $!
	wait_for status_is "$ID" stopped
}
