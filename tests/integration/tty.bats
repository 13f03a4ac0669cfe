# SPDX-License-Identifier: Apache-2.0
# backends: container vm
# bats file_tags=lab:vm
# Terminals: console socket, size, ownership, controlling terminal, /dev/console.
load helpers

setup() {
	need_program python3
	setup_bundle
	config '.process.terminal = true'
	SOCK=$BATS_TEST_TMPDIR/console.sock
}
teardown() {
	[ -z "${RECV:-}" ] || kill "$RECV" 2>/dev/null || true
	teardown_all
}

# Takes one master from the console socket, prints the message's bytes and fd count, then what the terminal says.
receiver() {
	python3 - "$SOCK" >"$BATS_TEST_TMPDIR/tty" 2>&1 3>&- <<'PY' &
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen(1)
c, _ = s.accept()
data, fds, flags, _ = socket.recv_fds(c, 4096, 8)
print("message", data.decode(), len(fds), flush=True)
while True:
    try:
        b = os.read(fds[0], 4096)
    except OSError:
        break
    if not b:
        break
    sys.stdout.write(b.decode().replace("\r\n", "\n"))
    sys.stdout.flush()
print("end", flush=True)
PY
	RECV=$!
	wait_for test -S "$SOCK"
}
tty_says() { wait_for grep -q "^end" "$BATS_TEST_TMPDIR/tty"; }

@test "tty: the master goes to the console socket; size, owner, session" {
	receiver
	config '.process.consoleSize = {height: 33, width: 111} | .process.user = {uid: 1000, gid: 1000}'
	config_args sh -c 'stty size; tty; stat -c "%u" $(tty); stat -c "%t" /dev/console; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo all; echo via-tty >/dev/tty; echo via-console >/dev/console'
	amphi create --bundle "$BUNDLE" --console-socket "$SOCK" "$ID" </dev/null
	wait_for grep -q message "$BATS_TEST_TMPDIR/tty"
	amphi start "$ID"
	tty_says
	[ "$(cat "$BATS_TEST_TMPDIR/tty")" = "message /dev/pts/0 1
33 111
/dev/pts/0
1000
88
all
via-tty
via-console
end" ]
}

@test "tty: exec with a terminal of its own" {
	config '.process.terminal = false'
	config_args sleep 1000
	detached
	jq '.process | .terminal = true | .args = ["sh", "-c", "stty size; tty; echo done >/dev/tty"] | .consoleSize = {height: 10, width: 20}' "$BUNDLE/config.json" >"$BATS_TEST_TMPDIR/p.json"
	receiver
	amphi exec --detach --process "$BATS_TEST_TMPDIR/p.json" --console-socket "$SOCK" "$ID" </dev/null
	tty_says
	[ "$(cat "$BATS_TEST_TMPDIR/tty")" = "message /dev/pts/0 1
10 20
/dev/pts/0
done
end" ]
}

@test "tty: relayed to what is no terminal, lines end as anywhere" {
	skip_in_vm "its terminal is in the machine"
	config_args echo line
	amphi run --bundle "$BUNDLE" "$ID" </dev/null >"$BATS_TEST_TMPDIR/out"
	[ "$(od -An -c "$BATS_TEST_TMPDIR/out" | tr -d ' ')" = 'line\n' ]
	config '(.mounts[] | select(.destination == "/dev")).options += ["ro"]'
	config_args sh -c 'touch /dev/x || echo given >/dev/console'
	run -0 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	check_output given
}

@test "tty: a socket that is not there is an error before anything is made" {
	run -1 amphi create --bundle "$BUNDLE" --console-socket "$BATS_TEST_TMPDIR/none" "$ID" </dev/null
	[ ! -e "$ROOT/$ID" ]
}

@test "tty: without a devpts there is no terminal" {
	config '.mounts |= map(select(.destination != "/dev/pts"))'
	receiver
	run -1 amphi create --bundle "$BUNDLE" --console-socket "$SOCK" "$ID" </dev/null
	check_output "/dev/pts"
}
