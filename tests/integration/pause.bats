# SPDX-License-Identifier: Apache-2.0
# backends: container vm
load helpers

setup() {
	need_root
	setup_bundle
	cd "$BUNDLE"
	config_args sleep 1000
}
teardown() { teardown_all; }

@test "pause, state, resume" {
	amphi run -d "$ID" </dev/null >/dev/null 2>&1
	amphi pause "$ID"
	status_is "$ID" paused
	run ! amphi pause "$ID"
	check_output "container not running"
	amphi resume "$ID"
	status_is "$ID" running
	run ! amphi resume "$ID"
	check_output "container not paused"
}

@test "nothing runs while paused" {
	config_args sh -c 'i=0; while :; do i=$((i + 1)); echo $i; sleep 0.05; done'
	amphi run -d "$ID" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1
	wait_for test -s "$BATS_TEST_TMPDIR/out"
	amphi pause "$ID"
	before=$(wc -l <"$BATS_TEST_TMPDIR/out")
	sleep 0.5
	[ "$(wc -l <"$BATS_TEST_TMPDIR/out")" -le $((before + 1)) ]
	amphi resume "$ID"
	more() { [ "$(wc -l <"$BATS_TEST_TMPDIR/out")" -gt $((before + 2)) ]; }
	wait_for more
}

@test "exec into a paused container is refused" {
	amphi run -d "$ID" </dev/null >/dev/null 2>&1
	amphi pause "$ID"
	run amphi exec "$ID" true
	[ "$status" -ne 0 ]
	check_output "cannot exec in a paused container"
}

@test "a created container can be paused and resumed" {
	skip_in_vm "the machine has booted, that is tested above"
	amphi create "$ID" </dev/null >/dev/null 2>&1
	amphi pause "$ID"
	status_is "$ID" paused
	amphi resume "$ID"
	status_is "$ID" created
}

@test "delete --force of a paused container" {
	amphi run -d "$ID" </dev/null >/dev/null 2>&1
	pid=$(pid_of "$ID")
	amphi pause "$ID"
	timeout 60 "$AMPHI" --root "$ROOT" delete --force "$ID"
	wait_for gone "$pid"
	run ! amphi state "$ID"
}

@test "neither works on what is not there or not running" {
	run ! amphi pause nosuch
	check_output "container does not exist"
	amphi run -d "$ID" </dev/null >/dev/null 2>&1
	amphi kill "$ID" KILL
	wait_for status_is "$ID" stopped
	run ! amphi pause "$ID"
	check_output "container not running"
	run ! amphi resume "$ID"
	check_output "container not paused"
}

@test "exec into a paused container waits for its end with --ignore-paused" {
	config_args sleep 1000
	amphi run -d --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
	amphi pause "$ID"
	run -255 amphi exec "$ID" true
	check_output "cannot exec in a paused container"
	amphi exec --ignore-paused "$ID" echo went on </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	local exec=$!
	# its process is made and stands still
	made() { pgrep -P "$(pgrep -P $exec)"; }
	is_vm || wait_for made
	[ ! -s "$BATS_TEST_TMPDIR/out" ]
	amphi resume "$ID"
	wait $exec
	[ "$(cat "$BATS_TEST_TMPDIR/out")" = "went on" ]
}
