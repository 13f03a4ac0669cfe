# SPDX-License-Identifier: Apache-2.0
# backends: container vm
# bats file_tags=lab:vm
# amphi create: what it leaves, what it refuses.
load helpers

setup() { setup_bundle; }
teardown() { teardown_all; }

@test "create leaves a parked process and a pid file" {
	config_args sh -c 'echo ran >/ran; sleep 1000'
	amphi create --bundle "$BUNDLE" --pid-file "$BATS_TEST_TMPDIR/pid" "$ID" </dev/null >/dev/null 2>&1
	status_is "$ID" created
	[ "$(cat "$BATS_TEST_TMPDIR/pid")" = "$(pid_of "$ID")" ]
	kill -0 "$(pid_of "$ID")"
	[ ! -e "$BUNDLE/rootfs/ran" ]
	# the same id again
	run -1 amphi create --bundle "$BUNDLE" "$ID"
	check_output "container with given ID already exists"
	status_is "$ID" created
	amphi start "$ID"
	wait_for test -e "$BUNDLE/rootfs/ran"
}

@test "create: the working directory as the bundle; options with one dash, with = and behind the id" {
	cd "$BUNDLE"
	amphi create "$ID" -pid-file="$BATS_TEST_TMPDIR/pid" </dev/null >/dev/null 2>&1
	[ "$(amphi state "$ID" | jq -r .bundle)" = "$(realpath "$BUNDLE")" ]
	[ -s "$BATS_TEST_TMPDIR/pid" ]
	cd /
	run -1 amphi create "$ID-2" -bundle "$BATS_TEST_TMPDIR/none"
	check_output "$BATS_TEST_TMPDIR/none"
}

@test "create refuses bad ids, a missing bundle and a missing config.json" {
	local bad
	for bad in . .. a/b 'a b' ''; do
		run -1 amphi create --bundle "$BUNDLE" "$bad"
	done
	run -1 amphi create --bundle "$BUNDLE" a/b
	check_output 'invalid container ID format: "a/b": invalid character `/` in the ID'
	run -1 amphi create --bundle "$BATS_TEST_TMPDIR/none" "$ID"
	rm "$BUNDLE/config.json"
	run -1 amphi create --bundle "$BUNDLE" "$ID"
	check_output "config.json"
	[ ! -e "$ROOT/$ID" ]
}

@test "create names the path of what is wrong in config.json and leaves nothing" {
	config '.process.user.uid = "root"'
	run -1 amphi create --bundle "$BUNDLE" "$ID"
	check_output "process.user.uid"
	[ ! -e "$ROOT/$ID" ]
}

@test "create finds out that the program is missing" {
	config_args no-such-program
	run -1 amphi create --bundle "$BUNDLE" --pid-file "$BATS_TEST_TMPDIR/pid" "$ID"
	check_output "executable file not found in \$PATH"
	[ ! -e "$ROOT/$ID" ]
	[ ! -e "$BATS_TEST_TMPDIR/pid" ]
}

@test "create: terminal without console socket is refused, and the other way round" {
	run -1 amphi create --bundle "$BUNDLE" --console-socket "$BATS_TEST_TMPDIR/sock" "$ID"
	check_output "console socket"
	config '.process.terminal = true'
	run -1 amphi create --bundle "$BUNDLE" "$ID"
	check_output "console socket"
	[ ! -e "$ROOT/$ID" ]
}

@test "create: a cgroup in use is refused and its processes live" {
	skip_in_vm "the same code"
	config_args sleep 1000
	amphi run -d --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
	run -1 amphi create --bundle "$BUNDLE" "$ID-2"
	check_output "cgroup"
	[ ! -e "$ROOT/$ID-2" ]
	status_is "$ID" running
}

@test "create --dry-run prints the plan and touches nothing" {
	run -0 --separate-stderr amphi create --dry-run --bundle "$BUNDLE" "$ID"
	[ "$(jq -r .id <<<"$output")" = "$ID" ]
	[ "$(jq -r .isolation <<<"$output")" = "$AMPHI_BACKEND" ]
	[ "$(jq -r '.steps[0]' <<<"$output")" = statedir ]
	[ ! -e "$ROOT/$ID" ]
}

@test "create, run: --pidfd-socket receives a pidfd of the process" {
	need_program python3
	local s=$BATS_TEST_TMPDIR/pidfd.sock command commands=(create "run -d")
	config_args sleep 1000
	if is_vm; then commands=(create); fi # the same code
	for command in "${commands[@]}"; do
		rm -f "$s"
		python3 -c '
import array, os, socket, sys
l = socket.socket(socket.AF_UNIX); l.bind(sys.argv[1]); l.listen()
c, _ = l.accept()
data, fds, _, _ = socket.recv_fds(c, 64, 4)
print(len(fds), *[w.split()[1] for f in fds for w in open("/proc/self/fdinfo/%d" % f) if w.startswith("Pid:")])' \
			"$s" >"$BATS_TEST_TMPDIR/got" 3>&- &
		local server=$!
		wait_for test -S "$s"
		# shellcheck disable=SC2086
		amphi $command --pidfd-socket "$s" --bundle "$BUNDLE" "$ID" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1
		wait $server
		[ "$(cat "$BATS_TEST_TMPDIR/got")" = "1 $(pid_of "$ID")" ]
		amphi delete --force "$ID"
	done
	run -1 amphi create --pidfd-socket "$BATS_TEST_TMPDIR/none" --bundle "$BUNDLE" "$ID"
	check_output "--pidfd-socket"
	[ ! -e "$ROOT/$ID" ]
}
