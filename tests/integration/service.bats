# SPDX-License-Identifier: Apache-2.0
# What systemd gives to a service and the service to its container: readiness, sockets.
# backends: container vm

load helpers

setup() { setup_bundle; }
teardown() {
	[ -z "${SYSTEMD:-}" ] || kill "$SYSTEMD" 2>/dev/null || :
	teardown_all
}

# Something that reads as systemd would; what it got is in $BATS_TEST_TMPDIR/got.
systemd() {
	need_program python3
	export NOTIFY_SOCKET=$BATS_TEST_TMPDIR/n
	: >"$BATS_TEST_TMPDIR/got"
	python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
while True:
    with open(sys.argv[2], "ab", 0) as f: f.write(s.recv(4096))' "$NOTIFY_SOCKET" "$BATS_TEST_TMPDIR/got" 3>&- &
	SYSTEMD=$!
	wait_for test -S "$NOTIFY_SOCKET"
	cp "$HELPERS/sdnotify" "$BUNDLE/rootfs/bin/"
}

got() { cat "$BATS_TEST_TMPDIR/got"; }
has_got() { grep -qx "$1" "$BATS_TEST_TMPDIR/got"; }

@test "service: run -d returns when the workload says that it is ready, and tells its pid" {
	skip_in_vm "refused"
	systemd
	config_args sh -c 'echo $NOTIFY_SOCKET; sdnotify STATUS=x; while [ ! -e /go ]; do sleep 0.05; done; sdnotify "STATUS=up
READY=1"; exec sleep 1000'
	amphi run -d --bundle "$BUNDLE" "$ID" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	local runner=$!
	wait_for status_is "$ID" running
	wait_for grep -q /run/notify/notify.sock "$BATS_TEST_TMPDIR/out"
	[ ! -s "$BATS_TEST_TMPDIR/got" ]
	kill -0 $runner
	# whoever waits holds no lock: others work meanwhile
	run -0 amphi exec "$ID" touch /go
	wait $runner
	has_got READY=1
	has_got "MAINPID=$(pid_of "$ID")"
	! grep -q STATUS "$BATS_TEST_TMPDIR/got"
}

@test "service: start waits as well, and ends with a workload that never is ready" {
	skip_in_vm "refused"
	systemd
	config_args sh -c 'sdnotify READY=1; exec sleep 1000'
	amphi create --bundle "$BUNDLE" "$ID" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1
	amphi start "$ID"
	has_got READY=1
	has_got "MAINPID=$(pid_of "$ID")"
	amphi delete --force "$ID"
	config_args true
	amphi create --bundle "$BUNDLE" "$ID" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1
	run -0 timeout 60 "$AMPHI" --root "$ROOT" start "$ID"
}

@test "service: a run in the foreground stays the main process" {
	skip_in_vm "refused"
	systemd
	config_args sh -c 'sdnotify READY=1; while [ ! -e /go ]; do sleep 0.05; done; exit 7'
	amphi run --bundle "$BUNDLE" "$ID" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	local runner=$!
	wait_for has_got READY=1
	touch "$BUNDLE/rootfs/go"
	local code=0
	wait $runner || code=$?
	[ $code = 7 ]
	! grep -q MAINPID "$BATS_TEST_TMPDIR/got"
}

@test "service: the socket is there for a user in a user namespace, and cannot be replaced" {
	skip_in_vm "refused"
	need_root
	systemd
	config '.linux.namespaces += [{type: "user"}] | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}]
		| .linux.gidMappings = .linux.uidMappings | .process.user = {uid: 5, gid: 5}'
	chown -R 100000:100000 "$BUNDLE/rootfs"
	chmod 755 "$BATS_TEST_TMPDIR" "$BUNDLE"
	config_args sh -c 'rm -f /run/notify/notify.sock; touch /run/notify/x; sdnotify READY=1; exec sleep 1000'
	amphi run -d --bundle "$BUNDLE" "$ID" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1
	has_got READY=1
	[ ! -e "$ROOT/$ID/notify/x" ]
}

@test "service: LISTEN_FDS come first, then --preserve-fds; LISTEN_PID of another is not for us" {
	skip_in_vm "refused"
	config_args sh -c 'echo $LISTEN_FDS $LISTEN_PID; cat <&3; cat <&4; ls /proc/self/fd | wc -l'
	echo three >"$BATS_TEST_TMPDIR/3"
	echo four >"$BATS_TEST_TMPDIR/4"
	local with=(bash -c 'exec 3<"$1" 4<"$2"; [ "$3" = 0 ] && export LISTEN_PID=$$ || export LISTEN_PID=$3; shift 3; exec "$@"' -
		"$BATS_TEST_TMPDIR/3" "$BATS_TEST_TMPDIR/4")
	run -0 env LISTEN_FDS=1 "${with[@]}" 0 "$AMPHI" --root "$ROOT" run --preserve-fds 1 --bundle "$BUNDLE" "$ID" </dev/null
	[ "${lines[0]}" = "1 1" ]
	[ "${lines[1]}" = three ]
	[ "${lines[2]}" = four ]
	[ "${lines[3]}" = 6 ] # 0 to 4 and ls's own
	config_args sh -c 'echo "<$LISTEN_FDS>"; ls /proc/self/fd | wc -l'
	run -0 env LISTEN_FDS=1 "${with[@]}" 1 "$AMPHI" --root "$ROOT" run --bundle "$BUNDLE" "$ID" </dev/null
	[ "${lines[0]}" = "<>" ]
	[ "${lines[1]}" = 4 ]
	run -1 env LISTEN_FDS=200 "${with[@]}" 0 "$AMPHI" --root "$ROOT" run --bundle "$BUNDLE" "$ID" </dev/null
	check_output "LISTEN_FDS=200"
}

@test "service: a machine refuses both by name" {
	is_vm || skip "for machines"
	NOTIFY_SOCKET=/run/x run -1 amphi create --bundle "$BUNDLE" "$ID"
	check_output NOTIFY_SOCKET
	LISTEN_FDS=1 LISTEN_PID= run -1 amphi create --bundle "$BUNDLE" "$ID" 3</dev/null
	check_output LISTEN_FDS
}
