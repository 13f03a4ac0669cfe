# SPDX-License-Identifier: Apache-2.0
# backends: container
load helpers
load engine

setup() {
	need_root
	need_program conmon
	setup_bundle
	cd "$BUNDLE"
}
teardown() { teardown_all; }

# conmon as podman and cri-o call it; the runtime's arguments carry our state root.
conmon_create() {
	timeout 60 conmon --syslog=false -c "$ID" -u "$ID" -n "$ID" -r "$(engine_runtime)" -b "$BUNDLE" -p "$BATS_TEST_TMPDIR/pid" \
		-P "$BATS_TEST_TMPDIR/conmon.pid" -l "k8s-file:$BATS_TEST_TMPDIR/log" --exit-dir "$BATS_TEST_TMPDIR/exits" \
		--socket-dir-path "$BATS_TEST_TMPDIR" --full-attach --runtime-arg "--root" --runtime-arg "$ROOT" "$@" 3>&-
}
exited() { [ -e "$BATS_TEST_TMPDIR/exits/$ID" ]; }
setup_exits() { mkdir -p "$BATS_TEST_TMPDIR/exits"; }

@test "conmon: create, start, log and exit code" {
	setup_exits
	config_args sh -c 'echo to the log; echo to stderr >&2; exit 9'
	conmon_create
	wait_for test -s "$BATS_TEST_TMPDIR/pid"
	status_is "$ID" created
	amphi start "$ID"
	wait_for exited
	[ "$(cat "$BATS_TEST_TMPDIR/exits/$ID")" = 9 ]
	grep -q "stdout F to the log" "$BATS_TEST_TMPDIR/log"
	grep -q "stderr F to stderr" "$BATS_TEST_TMPDIR/log"
	amphi delete "$ID"
}

@test "conmon with a terminal" {
	setup_exits
	config '.process.terminal = true'
	config_args sh -c 'tty; exit 4'
	conmon_create -t
	wait_for test -s "$BATS_TEST_TMPDIR/pid"
	amphi start "$ID"
	wait_for exited
	[ "$(cat "$BATS_TEST_TMPDIR/exits/$ID")" = 4 ]
	grep -q "/dev/pts/0" "$BATS_TEST_TMPDIR/log"
	amphi delete "$ID"
}

@test "conmon: a process killed by a signal" {
	setup_exits
	config_args sleep 1000
	conmon_create
	wait_for test -s "$BATS_TEST_TMPDIR/pid"
	amphi start "$ID"
	amphi kill "$ID" KILL
	wait_for exited
	[ "$(cat "$BATS_TEST_TMPDIR/exits/$ID")" = 137 ]
	amphi delete "$ID"
}

@test "conmon tells why create failed" {
	setup_exits
	config_args no-such-program
	mkfifo "$BATS_TEST_TMPDIR/sync"
	cat "$BATS_TEST_TMPDIR/sync" >"$BATS_TEST_TMPDIR/message" 3>&- &
	reader=$!
	_OCI_SYNCPIPE=5 conmon_create 5>"$BATS_TEST_TMPDIR/sync" || :
	wait "$reader"
	grep -q "executable file not found in" "$BATS_TEST_TMPDIR/message"
	run ! amphi state "$ID"
}
