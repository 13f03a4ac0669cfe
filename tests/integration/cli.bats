# SPDX-License-Identifier: Apache-2.0
# backends: container vm
# The command line itself: help, version, log, errors.
load helpers

setup() { ROOT=$BATS_TEST_TMPDIR/state; }

@test "version: the lines that engines parse" {
	run -0 --separate-stderr "$AMPHI" --version
	[[ "${lines[0]}" == "amphi version "* ]]
	[[ "${lines[1]}" == "commit: "* ]]
	[[ "${lines[2]}" == "spec: 1."* ]]
	[ -z "$stderr" ]
	run -0 "$AMPHI" -v
}

@test "help of amphi and of every command" {
	local c
	run -0 "$AMPHI" --help
	[ "${lines[0]}" = NAME: ]
	[[ "${lines[1]}" == "   amphi - Open Container Initiative runtime"* ]]
	for c in create start run exec kill delete state list ps spec; do
		[[ "$output" == *"  $c "* ]]
	done
	for c in $("$AMPHI" --help | awk '/^COMMANDS:/ { on = 1; next } /^$/ { on = 0 } on { print $1 }'); do
		[ "$c" != cni ] || continue # run by engines only, takes no words
		run -0 "$AMPHI" "$c" --help
		[ -n "$output" ]
		case $c in create | start | run | exec | kill | delete | state | list | ps | spec) [[ "${lines[1]}" == "   amphi $c - "* ]] ;; esac
	done
}

@test "unknown words are one clear error" {
	run -1 "$AMPHI" frobnicate
	[ "${#lines[@]}" = 1 ]
	[[ "$output" == *"No help topic for 'frobnicate'"* ]]
	run -1 "$AMPHI" --frobnicate state x
	[[ "$output" == *--frobnicate* ]]
	run -1 "$AMPHI" state --frobnicate x
	[[ "$output" == *--frobnicate* ]]
	run -1 "$AMPHI" state
	[[ "$output" == *'"state" requires exactly 1 argument(s)'* ]]
	run -1 "$AMPHI" state a b
	[[ "$output" == *'"state" requires exactly 1 argument(s)'* ]]
	run -1 "$AMPHI" create --bundle
	[[ "$output" == *"requires an argument"* ]]
	run -1 "$AMPHI" --isolation pod state x
	[[ "$output" == *--isolation* ]]
	run -1 "$AMPHI" --vmm xen state x
	[[ "$output" == *--vmm* ]]
	run -1 "$AMPHI" --cgroup-manager x state y
	[[ "$output" == *--cgroup-manager* ]]
}

@test "log: JSON is exactly one line in a failure, and stderr says it too" {
	local log=$BATS_TEST_TMPDIR/log
	run -1 "$AMPHI" --root "$ROOT" --log "$log" --log-format json state nobody
	[ "$output" = "container does not exist" ]
	[ "$(wc -l <"$log")" = 1 ]
	[ "$(jq -r .level "$log")" = error ]
	[ "$(jq -r .msg "$log")" = "container does not exist" ]
	date -d "$(jq -r .time "$log")" >/dev/null
	run -1 "$AMPHI" --root "$ROOT" --log="$log" -log-format=json state nobody
	[ "$(wc -l <"$log")" = 2 ]
}

@test "log: text, to stderr by default; --debug adds lines" {
	run -1 --separate-stderr "$AMPHI" --root "$ROOT" state nobody
	[ -z "$output" ]
	[ "${#stderr_lines[@]}" = 1 ]
	[[ "$stderr" == *"container does not exist"* ]]
	run -1 "$AMPHI" --root "$ROOT" --log-format xml state nobody
	[[ "$output" == *--log-format* ]]
	run -1 "$AMPHI" --root "$ROOT" --log /nonexistent/dir/log state nobody
	[[ "$output" == *--log* ]]
}

@test "log: text lines are pairs of level and message, in a file and on stderr" {
	local log=$BATS_TEST_TMPDIR/log
	run -1 "$AMPHI" --root "$ROOT" --log "$log" --log-format text state nobody
	[[ "$(cat "$log")" == 'time="'*'" level=error msg="container does not exist"' ]]
	setup_bundle
	run -0 amphi --debug run --bundle "$BUNDLE" "$ID"
	check_output level=debug
	run -0 amphi --debug --log "$log" run --bundle "$BUNDLE" "$ID"
	[[ "$output" != *level=debug* ]]
	grep -q 'level=debug msg="step' "$log"
	local line
	is_vm || for line in "nsexec container setup" "child process in init()" "init: closing the pipe to signal completion"; do
		grep -qF "$line" "$log"
	done
	teardown_all
}

@test "log: to the journal and to syslog, and to stderr where there is none" {
	need_root
	need_program python3
	local listen='import socket,sys
s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM); s.bind(sys.argv[1]); s.settimeout(60); sys.stdout.write(repr(s.recv(4096)))'
	cat >"$BATS_TEST_TMPDIR/try" <<-EOF
		mount -t tmpfs none /run && mkdir -p /run/systemd/journal
		"\$1" --root "$ROOT" --log-level warn --log journald:me state nobody
		python3 -c '$listen' /run/systemd/journal/socket >$BATS_TEST_TMPDIR/journal &
		until [ -S /run/systemd/journal/socket ]; do sleep 0.05; done
		"\$1" --root "$ROOT" --log journald:me state nobody
		mount -t tmpfs none /dev; mknod -m 666 /dev/null c 1 3; mknod -m 666 /dev/urandom c 1 9
		python3 -c '$listen' /dev/log >$BATS_TEST_TMPDIR/syslog &
		until [ -S /dev/log ]; do sleep 0.05; done
		"\$1" --root "$ROOT" --log syslog:me state nobody
		wait
	EOF
	run -0 unshare -m bash "$BATS_TEST_TMPDIR/try" "$AMPHI"
	[ "$(grep -c "container does not exist" <<<"$output")" -ge 3 ]
	grep -qF 'PRIORITY=3\nSYSLOG_IDENTIFIER=me\nMESSAGE=container does not exist' "$BATS_TEST_TMPDIR/journal"
	grep -qE '<11>me\[[0-9]+\]: container does not exist' "$BATS_TEST_TMPDIR/syslog"
}

@test "called by the name of runc it says so" {
	ln -s "$AMPHI" "$BATS_TEST_TMPDIR/runc"
	run -0 "$BATS_TEST_TMPDIR/runc" --version
	[[ "${lines[0]}" == "runc version "* ]]
	[[ "${lines[1]}" == "commit: "* ]]
	run -0 "$BATS_TEST_TMPDIR/runc" state --help
	[[ "${lines[1]}" == "   runc state - "* ]]
	run -0 "$AMPHI" --version
	[[ "${lines[0]}" == "amphi version "* ]]
}

@test "exec's own failures are 255, the others' 1" {
	run -255 "$AMPHI" --root "$ROOT" exec nobody true
	run -255 "$AMPHI" --root "$ROOT" exec --frobnicate nobody true
	run -1 "$AMPHI" --root "$ROOT" start nobody
	run -1 "$AMPHI" --root "$ROOT" delete nobody
	run -0 "$AMPHI" --root "$ROOT" delete --force nobody
}

@test "closed descriptors 0 to 2 are no trouble" {
	mkdir -p "$ROOT"
	run -0 bash -c '"$@" <&- >&- 2>&-' - "$AMPHI" --root "$ROOT" --version
	run -1 bash -c '"$@" <&- >&- 2>&-' - "$AMPHI" --root "$ROOT" state nobody
}

@test "make install puts all in place, make uninstall takes all away" {
	local d=$BATS_TEST_TMPDIR/dest files
	files="bin/amphi bin/amphi-vm libexec/amphi/amphi-images libexec/amphi/amphi-init"
	files+=" share/bash-completion/completions/amphi share/man/man1/amphi.1 share/man/man5/amphi.5"
	make -s -C "$AMPHI_TOP" BUILD="$AMPHI_BUILD" DESTDIR="$d" PREFIX=/usr install
	[ "$(cd "$d/usr" && find . ! -type d | sort | cut -c 3- | tr '\n' ' ')" = "$files " ]
	run -0 "$d/usr/bin/amphi-vm" --version
	make -s -C "$AMPHI_TOP" BUILD="$AMPHI_BUILD" DESTDIR="$d" PREFIX=/usr uninstall
	[ -z "$(find "$d" ! -type d)" ]
}
