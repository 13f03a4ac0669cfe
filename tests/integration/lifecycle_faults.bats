# SPDX-License-Identifier: Apache-2.0
# backends: container vm
# amphi is killed (SIGKILL) at every step of create, start, exec and delete: delete --force leaves nothing, and the
# same bundle runs again. So it does when the monitor, QEMU or everything in the machine is killed. Needs the debug build,
# whose AMPHI_STOP_AT names the place.
load helpers

setup_file() { debug_build; }

setup() {
	setup_bundle
	RELEASE=$AMPHI
	use_debug_build
	# what a machine does before the monitor exists is the same code: fewer points there, each costs a boot
	if is_vm && [ "$AMPHI_VMM" = kvm ]; then SHORT=1; fi
	OUT=$BATS_TEST_TMPDIR/out
	config_args sleep 1000
}
teardown() { teardown_all; }

# No process of ours: none has our output file open, none is in our cgroup.
no_process() {
	! find /proc/[0-9]*/fd -lname "$OUT" 2>/dev/null | grep -q . && ! grep -qs "$CGROUP" /proc/[0-9]*/cgroup &&
		! grep -qsF "$ROOT/$ID" /proc/net/unix
}

clean_after() { # POINT
	amphi delete --force "$ID" || { echo "$1: delete --force fails" >&2; return 1; }
	[ ! -e "$ROOT/$ID" ] || { echo "$1: state is left" >&2; return 1; }
	wait_for no_process || { echo "$1: a process is left" >&2; return 1; }
	! find /sys/fs/cgroup -maxdepth 4 -type d -path "*$CGROUP" 2>/dev/null | grep -q . || { echo "$1: a cgroup is left" >&2; return 1; }
}

# bats test_tags=lab:vm
@test "killed in create" {
	local point
	local points="statedir record cgroup cgroup-create tap create create-record network hooks setup created pid-file"
	if [ -n "${SHORT:-}" ]; then points="record create network setup"; fi
	for point in $points; do
		killed_at "$point" create --bundle "$BUNDLE" --pid-file "$BATS_TEST_TMPDIR/pid" "$ID"
		! status_is "$ID" running
		clean_after "$point"
	done
	amphi create --bundle "$BUNDLE" "$ID" </dev/null >>"$OUT" 2>&1
	status_is "$ID" created
}

@test "killed in start" {
	local point
	for point in start started poststart; do
		amphi create --bundle "$BUNDLE" "$ID" </dev/null >>"$OUT" 2>&1
		killed_at "$point" start "$ID"
		clean_after "$point"
	done
}

@test "killed in run" {
	local point
	for point in create setup started; do
		killed_at "$point" run --bundle "$BUNDLE" "$ID"
		clean_after "$point"
	done
}

@test "killed in exec: the container is as before" {
	local point
	amphi run -d --bundle "$BUNDLE" "$ID" </dev/null >>"$OUT" 2>&1
	for point in exec exec-pid-file; do
		killed_at "$point" exec -d --pid-file "$BATS_TEST_TMPDIR/pid" "$ID" sleep 1000
		[ ! -e "$BATS_TEST_TMPDIR/pid" ]
		status_is "$ID" running
		run -0 amphi exec "$ID" echo well </dev/null
		[ "$output" = well ]
	done
	clean_after exec
}

@test "killed in delete" {
	local point
	local points="delete undo-network undo-create undo-tap undo-cgroup undo-cgroup-destroy undo-poststop undo-statedir"
	if is_vm; then points="delete undo-create undo-statedir"; fi
	for point in $points; do
		amphi run -d --bundle "$BUNDLE" "$ID" </dev/null >>"$OUT" 2>&1
		killed_at "$point" delete --force "$ID"
		[ -e "$ROOT/$ID" ]
		clean_after "$point"
	done
}

@test "a killed create counts as stopped and cannot be started" {
	killed_at setup create --bundle "$BUNDLE" "$ID"
	status_is "$ID" stopped
	run -1 amphi start "$ID"
	check_output "cannot start a container that has stopped"
	run -1 amphi create --bundle "$BUNDLE" "$ID"
	check_output "already exists"
}

# bats test_tags=lab:vm
@test "a killed monitor: the machine counts as stopped, and goes" {
	is_vm || skip "of machines"
	local pid
	amphi run -d --bundle "$BUNDLE" "$ID" </dev/null >>"$OUT" 2>&1
	pid=$(pid_of "$ID")
	kill -9 "$pid"
	wait_for status_is "$ID" stopped
	run -255 amphi exec "$ID" true </dev/null
	run -1 amphi kill "$ID" TERM
	clean_after monitor
	# before start, too
	amphi create --bundle "$BUNDLE" "$ID" </dev/null >>"$OUT" 2>&1
	pid=$(pid_of "$ID")
	# with a child that does not answer
	kill -STOP "$(pgrep -P "$pid" -f '^amphi:\[reopen\]')"
	kill -9 "$pid"
	clean_after monitor
}

# bats test_tags=lab:vm
@test "a guest's kernel that dies, and everything in the guest killed" {
	is_vm || skip "of machines"
	config '.linux.maskedPaths = [] | .linux.readonlyPaths = []'
	# i: SIGKILL to every process of the machine, also to what PID 1 started for the host
	amphi run -d --bundle "$BUNDLE" "$ID" </dev/null >>"$OUT" 2>&1
	amphi exec "$ID" sh -c 'echo 1 >/proc/sys/kernel/sysrq; echo i >/proc/sysrq-trigger' </dev/null >>"$OUT" 2>&1 || true
	wait_for status_is "$ID" stopped
	clean_after killed
	# c: the kernel dies, and PID 1 with it
	amphi run -d --bundle "$BUNDLE" "$ID" </dev/null >>"$OUT" 2>&1
	amphi exec "$ID" sh -c 'echo c >/proc/sysrq-trigger' </dev/null >>"$OUT" 2>&1 || true
	wait_for status_is "$ID" stopped
	clean_after panic
}
