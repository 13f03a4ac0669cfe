# SPDX-License-Identifier: Apache-2.0
# backends: container
# amphi is killed (SIGKILL) at every step of create, start, exec and delete: delete --force leaves nothing, and the
# same bundle runs again. Needs the debug build, whose AMPHI_STOP_AT names the place.
load helpers

setup_file() {
	[ -z "${AMPHI_DEBUG_BUILD:-}" ] || return 0
	make -s -C "$AMPHI_TOP" -j2 DEBUG=1 build/debug/amphi >/dev/null 2>&3
}

setup() {
	setup_bundle
	RELEASE=$AMPHI
	AMPHI=${AMPHI_DEBUG_BUILD:-$AMPHI_TOP/build/debug}/amphi
	export AMPHI_LIBEXEC=$AMPHI_BUILD
	OUT=$BATS_TEST_TMPDIR/out
	config_args sleep 1000
}
teardown() { teardown_all; }

# amphi killed at a point; 137 says that it got there.
killed_at() { # POINT COMMAND...
	local code=0
	(export AMPHI_STOP_AT=$1; shift; amphi "$@") </dev/null >>"$OUT" 2>&1 || code=$?
	[ "$code" = 137 ] || { echo "$1: exit $code, not killed: $(cat "$OUT")" >&2; return 1; }
}

# No process of ours: none has our output file open, none is in our cgroup.
no_process() {
	! find /proc/[0-9]*/fd -lname "$OUT" 2>/dev/null | grep -q . && ! grep -qs "$CGROUP" /proc/[0-9]*/cgroup
}

clean_after() { # POINT
	amphi delete --force "$ID" || { echo "$1: delete --force fails" >&2; return 1; }
	[ ! -e "$ROOT/$ID" ] || { echo "$1: state is left" >&2; return 1; }
	wait_for no_process || { echo "$1: a process is left" >&2; return 1; }
	! find /sys/fs/cgroup -maxdepth 4 -type d -path "*$CGROUP" 2>/dev/null | grep -q . || { echo "$1: a cgroup is left" >&2; return 1; }
}

@test "killed in create" {
	local point
	for point in statedir record cgroup cgroup-create tap create create-record network hooks setup created pid-file; do
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
	for point in delete undo-network undo-create undo-tap undo-cgroup undo-cgroup-destroy undo-poststop undo-statedir; do
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
