# SPDX-License-Identifier: Apache-2.0
# backends: container vm
# bats file_tags=lab:vm
# amphi start: once, and only what was created.
load helpers

setup() { setup_bundle; }
teardown() { teardown_all; }

@test "start runs the process; a second start is refused" {
	config_args sleep 1000
	amphi create --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
	amphi start "$ID"
	status_is "$ID" running
	run -1 amphi start "$ID"
	check_output "cannot start an already running container"
}

@test "start of a container that has stopped is refused" {
	amphi create --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
	amphi start "$ID"
	wait_for status_is "$ID" stopped
	run -1 amphi start "$ID"
	check_output "cannot start a container that has stopped"
}

@test "start of an unknown id" {
	run -1 amphi start nobody
	check_output "container does not exist"
}

@test "two starts at once: one wins" {
	local a=0 b=0 one two
	config_args sleep 1000
	amphi create --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
	amphi start "$ID" 2>/dev/null & one=$!
	amphi start "$ID" 2>/dev/null & two=$!
	wait "$one" || a=$?
	wait "$two" || b=$?
	[ $((a + b)) = 1 ]
	status_is "$ID" running
}

@test "output of a created container goes to create's stdout" {
	config_args echo from-the-workload
	amphi create --bundle "$BUNDLE" "$ID" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1
	amphi start "$ID"
	wait_for grep -q from-the-workload "$BATS_TEST_TMPDIR/out"
}
