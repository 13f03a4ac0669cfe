# SPDX-License-Identifier: Apache-2.0
# backends: container vm
# bats file_tags=lab:vm
# amphi run: foreground, detached, signals, exit codes, stdio.
load helpers

setup() { setup_bundle; }
teardown() { teardown_all; }

@test "run: stdout, stderr, exit code, and nothing is left" {
	config_args sh -c 'echo out; echo err >&2; exit 7'
	run -7 --separate-stderr amphi run --bundle "$BUNDLE" "$ID" </dev/null
	[ "$output" = out ]
	[ "$stderr" = err ]
	[ ! -e "$ROOT/$ID" ]
}

@test "run: the isolation may be said behind the command" {
	local kernel=0
	config_args uname -r
	run -0 "$AMPHI" --root "$ROOT" run --isolation "$AMPHI_BACKEND" $(is_vm && echo --vmm "$AMPHI_VMM") --bundle "$BUNDLE" "$ID" </dev/null
	[ "$output" = "$(uname -r)" ] || kernel=1
	if is_vm; then [ $kernel = 1 ]; else [ $kernel = 0 ]; fi
	run -0 "$AMPHI" --root "$ROOT" create --isolation "$AMPHI_BACKEND" --dry-run --bundle "$BUNDLE" "$ID"
	[ "$(jq -r .isolation <<<"$output")" = "$AMPHI_BACKEND" ]
	run -1 "$AMPHI" --root "$ROOT" --isolation vm create --isolation both --bundle "$BUNDLE" "$ID"
	check_output 'option --isolation: "both" is neither container nor vm'
	run -1 "$AMPHI" --root "$ROOT" run --vmm none --bundle "$BUNDLE" "$ID"
	check_output 'option --vmm: "none" is none of kvm, qemu, auto'
}

@test "run: stdin reaches the workload to its end" {
	config_args sh -c 'cat; echo end'
	run -0 bash -c 'printf "a\nb\n" | "$@"' - "$AMPHI" --root "$ROOT" $(is_vm && echo --isolation vm --vmm "$AMPHI_VMM") run --bundle "$BUNDLE" "$ID"
	[ "$output" = $'a\nb\nend' ]
}

@test "run: a signal's death is 128 + its number" {
	config_args sh -c 'kill -KILL $$; sleep 1000'
	config '.linux.namespaces |= map(select(.type != "pid"))'
	skip_in_vm "the pid namespace is the machine's"
	run -137 amphi run --bundle "$BUNDLE" "$ID" </dev/null
}

@test "run forwards signals to the workload" {
	config_args sh -c 'trap "echo got it; exit 9" TERM; echo ready; while :; do sleep 0.1; done'
	"$AMPHI" --root "$ROOT" $(is_vm && echo --isolation vm --vmm "$AMPHI_VMM") run --bundle "$BUNDLE" "$ID" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	local pid=$! code=0
	wait_for grep -q ready "$BATS_TEST_TMPDIR/out"
	kill -TERM "$pid"
	wait "$pid" || code=$?
	[ "$code" = 9 ]
	grep -q "got it" "$BATS_TEST_TMPDIR/out"
	[ ! -e "$ROOT/$ID" ]
}

@test "run -d returns; the container runs and goes on" {
	config_args sleep 1000
	amphi run -d --pid-file "$BATS_TEST_TMPDIR/pid" --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
	status_is "$ID" running
	kill -0 "$(cat "$BATS_TEST_TMPDIR/pid")"
}

@test "run --keep keeps the stopped container" {
	config_args sh -c 'exit 3'
	run -3 amphi run --keep --bundle "$BUNDLE" "$ID" </dev/null
	status_is "$ID" stopped
	amphi delete "$ID"
	[ ! -e "$ROOT/$ID" ]
}

@test "run of a missing program leaves nothing" {
	config_args no-such-program
	run -1 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	check_output "executable file not found in \$PATH"
	[ ! -e "$ROOT/$ID" ]
}

@test "run of a program without permission" {
	echo data >"$BUNDLE/rootfs/plain"
	chmod 644 "$BUNDLE/rootfs/plain"
	config_args /plain
	run -1 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	check_output "permission denied"
	[ ! -e "$ROOT/$ID" ]
}

@test "run with a terminal in the foreground relays it" {
	need_program script
	config '.process.terminal = true'
	config_args sh -c 'tty; echo it-is-$((40 + 2)); exit 5'
	run script -qec "$AMPHI --root $ROOT $(is_vm && echo --isolation vm --vmm "$AMPHI_VMM") run --bundle $BUNDLE $ID" /dev/null </dev/null
	[ "$status" = 5 ]
	check_output "/dev/"
	check_output "it-is-42"
}

@test "run: deleting a container under a foreground run ends it" {
	config_args sleep 1000
	"$AMPHI" --root "$ROOT" $(is_vm && echo --isolation vm --vmm "$AMPHI_VMM") run --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1 3>&- &
	local pid=$! code=0
	wait_for status_is "$ID" running
	amphi delete --force "$ID"
	wait "$pid" || code=$?
	[ "$code" = 137 ]
	[ ! -e "$ROOT/$ID" ]
}

@test "run passes descriptors by --preserve-fds" {
	skip_in_vm "descriptors do not reach into a machine"
	config_args sh -c 'cat <&3'
	echo payload >"$BATS_TEST_TMPDIR/file"
	run -0 bash -c 'exec 3<"$1"; shift; "$@"' - "$BATS_TEST_TMPDIR/file" "$AMPHI" --root "$ROOT" run --preserve-fds 1 --bundle "$BUNDLE" "$ID" </dev/null
	[ "$output" = payload ]
}

@test "run does not leak descriptors" {
	skip_in_vm "descriptors do not reach into a machine"
	config_args sh -c 'ls /proc/self/fd'
	run -0 bash -c 'exec 3</etc/passwd 7</etc/passwd; "$@"' - "$AMPHI" --root "$ROOT" run --bundle "$BUNDLE" "$ID" </dev/null
	# 3 is ls's own
	[ "$(tr '\n' ' ' <<<"$output")" = "0 1 2 3 " ]
}

@test "run ends with the workload though orphans live on in a shared pid namespace" {
	skip_in_vm "the pid namespace is the machine's"
	config '.linux.namespaces |= map(select(.type != "pid"))'
	config_args sh -c 'sleep 1000 & echo $! ; exit 4'
	run -4 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	wait_for gone "$output"
}
