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

@test "conmon --exec: a command in a running container, its log and exit code" {
	setup_exits
	config_args sleep 1000
	conmon_create
	wait_for test -s "$BATS_TEST_TMPDIR/pid"
	amphi start "$ID"
	mkdir "$BATS_TEST_TMPDIR/exec-exits"
	jq '.process | .args = ["sh", "-c", "echo inside; exit 6"]' config.json >"$BATS_TEST_TMPDIR/process.json"
	timeout 60 conmon --syslog=false --exec --exec-process-spec "$BATS_TEST_TMPDIR/process.json" -c "$ID" -u "$ID-e" -n "$ID" -r "$(engine_runtime)" \
		-b "$BATS_TEST_TMPDIR" -p "$BATS_TEST_TMPDIR/exec.pid" -l "k8s-file:$BATS_TEST_TMPDIR/exec.log" --exit-dir "$BATS_TEST_TMPDIR/exec-exits" \
		--socket-dir-path "$BATS_TEST_TMPDIR" --runtime-arg "--root" --runtime-arg "$ROOT" 3>&-
	exec_exited() { [ -e "$BATS_TEST_TMPDIR/exec-exits/$ID" ]; }
	wait_for exec_exited
	[ "$(cat "$BATS_TEST_TMPDIR/exec-exits/$ID")" = 6 ]
	grep -q "stdout F inside" "$BATS_TEST_TMPDIR/exec.log"
	status_is "$ID" running
	amphi kill "$ID" KILL
	wait_for exited
	amphi delete "$ID"
}

@test "conmon's attach socket reaches the workload's input" {
	setup_exits
	config_args sh -c 'read x; echo "got $x"; exit 2'
	conmon_create -i --leave-stdin-open
	wait_for test -s "$BATS_TEST_TMPDIR/pid"
	amphi start "$ID"
	wait_for test -S "$BUNDLE/attach"
	echo typed | timeout 20 socat -u - "UNIX-CONNECT:$BUNDLE/attach,type=5" || :
	wait_for exited
	[ "$(cat "$BATS_TEST_TMPDIR/exits/$ID")" = 2 ]
	grep -q "got typed" "$BATS_TEST_TMPDIR/log"
	amphi delete "$ID"
}
