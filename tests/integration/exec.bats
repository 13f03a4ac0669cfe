# SPDX-License-Identifier: Apache-2.0
# backends: container vm
# bats file_tags=lab:vm
# amphi exec.
load helpers

setup() {
	setup_bundle
	config_args sleep 1000
}
teardown() { teardown_all; }

running() { detached; }

@test "exec: stdio, exit code, options behind the id belong to the command" {
	running
	run -5 --separate-stderr amphi exec "$ID" sh -c 'echo out; echo err >&2; exit 5' </dev/null
	[ "$output" = out ]
	[ "$stderr" = err ]
	run -0 bash -c 'echo in | "$@"' - "$AMPHI" --root "$ROOT" exec "$ID" cat
	[ "$output" = in ]
	run -0 amphi exec "$ID" ls -d /bin </dev/null
	[ "$output" = /bin ]
}

@test "exec: user, groups, cwd, environment" {
	running
	run -0 amphi exec --user 1000:1001 --additional-gids 5 -g 7 --cwd /tmp --env A=b -e C=d "$ID" sh -c 'echo $(id -u) $(id -g) $(id -G) $PWD $A $C' </dev/null
	[ "$output" = "1000 1001 1001 5 7 /tmp b d" ]
	run -255 amphi exec --user root "$ID" true </dev/null
	check_output "--user"
	run -255 amphi exec --user 1000:x "$ID" true </dev/null
	run -255 amphi exec --user '' "$ID" true </dev/null
	run -255 amphi exec --cwd tmp "$ID" true </dev/null
}

@test "exec --process" {
	running
	jq '.process | .args = ["sh", "-c", "echo $MARK; exit 6"] | .env += ["MARK=doc"]' "$BUNDLE/config.json" >"$BATS_TEST_TMPDIR/p.json"
	run -6 amphi exec --process "$BATS_TEST_TMPDIR/p.json" "$ID" ignored as by runc </dev/null
	[ "$output" = doc ]
	jq '.execCPUAffinity = {initial: "0"}' "$BATS_TEST_TMPDIR/p.json" >"$BATS_TEST_TMPDIR/q.json"
	if ! is_vm; then
		run -6 amphi --debug exec --process "$BATS_TEST_TMPDIR/q.json" "$ID"
		check_output "nsexec container setup"
		check_output "nsexec: affinity: 0x1"
		check_output "child process in init()"
		check_output "setns_init: about to exec"
	fi
	echo '{"args":["true"]' >"$BATS_TEST_TMPDIR/p.json"
	run -255 amphi exec --process "$BATS_TEST_TMPDIR/p.json" "$ID" </dev/null
}

@test "exec -d writes the pid file of a process that exists" {
	running
	amphi exec -d --pid-file "$BATS_TEST_TMPDIR/pid" "$ID" sleep 1000 </dev/null >/dev/null 2>&1
	kill -0 "$(cat "$BATS_TEST_TMPDIR/pid")"
}

@test "exec: a failure is 255, has the engines' words and writes no pid file" {
	running
	run -255 amphi exec --pid-file "$BATS_TEST_TMPDIR/pid" "$ID" no-such-program </dev/null
	check_output "executable file not found in \$PATH"
	[ ! -e "$BATS_TEST_TMPDIR/pid" ]
	run -255 amphi exec "$ID" /etc/passwd </dev/null
	check_output "permission denied"
	run -255 amphi exec "$ID" </dev/null
	run -255 amphi exec nobody true </dev/null
	check_output "container does not exist"
}

@test "exec in a stopped container" {
	running
	amphi kill "$ID" KILL
	wait_for status_is "$ID" stopped
	run -255 amphi exec "$ID" true </dev/null
	check_output "cannot exec in a stopped container"
}

@test "exec with a terminal in the foreground" {
	need_program script
	running
	run script -qec "$AMPHI --root $ROOT exec -t $ID sh -c 'tty; exit 3'" /dev/null </dev/null
	[ "$status" = 3 ]
	check_output "/dev/"
	run -255 amphi exec -d -t "$ID" true </dev/null
	check_output "console socket"
}

@test "exec: capabilities" {
	running
	run -0 amphi exec "$ID" grep CapEff /proc/self/status </dev/null
	local before=${output##*[[:space:]]}
	run -0 amphi exec --cap CAP_SYS_TIME "$ID" grep CapEff /proc/self/status </dev/null
	[ $((16#${output##*[[:space:]]})) = $((16#$before | 1 << 25)) ]
	run -0 amphi exec --cap CAP_SYS_TIME "$ID" grep CapInh /proc/self/status </dev/null
	[ $((16#${output##*[[:space:]]})) = 0 ]
	run -0 amphi exec --cap CAP_FOO "$ID" grep CapEff /proc/self/status </dev/null
	check_output "ignoring unknown capability CAP_FOO"
	[ $((16#${output##*[[:space:]]})) = $((16#$before)) ]
}

@test "exec --cgroup: bad paths, unknown controllers and missing groups are told apart" {
	skip_in_vm "a machine's cgroups are its own"
	running
	run -255 amphi exec --cgroup .. "$ID" true </dev/null
	check_output "bad sub cgroup path"
	run -255 amphi exec --cgroup whatever:/ "$ID" true </dev/null
	check_output "unknown controller whatever"
	run -255 amphi exec --cgroup nonexistent "$ID" true </dev/null
	[[ "$output" == *" adding pid "*" to cgroups"*"/nonexistent/cgroup.procs: no such file or directory" ]]
	run -0 amphi exec --cgroup / "$ID" cat /proc/self/cgroup </dev/null
	check_output "$CGROUP"
}

@test "exec: many at once" {
	local n pids=()
	running
	for n in $(seq 10); do
		amphi exec "$ID" sh -c "exit $n" </dev/null 3>&- &
		pids+=($!)
	done
	for n in $(seq 10); do
		local code=0
		wait "${pids[n - 1]}" || code=$?
		[ "$code" = "$n" ]
	done
}

@test "exec: the session keyring is the container's, not the caller's" {
	skip_in_vm "keyrings are the machine's own"
	need_root
	[ -e /proc/keys ] || skip "needs keyrings (CONFIG_KEYS)"
	config 'del(.linux.seccomp)'
	cp "$HELPERS/keyring" "$BUNDLE/rootfs/bin/"
	config_args sh -c 'keyring; exec sleep 1000'
	detached
	wait_for grep -q "_ses.$ID" "$BATS_TEST_TMPDIR/out"
	run -0 amphi exec "$ID" keyring
	[ "$output" = "$(cat "$BATS_TEST_TMPDIR/out")" ]
	run -0 amphi exec --user 1000 "$ID" keyring
	check_output "_ses.$ID"
	config ".linux.cgroupsPath += \"-old\""
	amphi run -d --no-new-keyring --bundle "$BUNDLE" "$ID-old" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1
	wait_for grep -q keyring "$BATS_TEST_TMPDIR/out"
	[ "$(cat "$BATS_TEST_TMPDIR/out")" = "$("$HELPERS/keyring")" ]
	run -0 amphi exec "$ID-old" keyring
	[ "$output" = "$("$HELPERS/keyring")" ]
}

@test "exec: execCPUAffinity: initial before, final in the process; the document's wins" {
	skip_in_vm "processors are the machine's"
	need_root
	[ "$(nproc)" -ge 2 ] || skip "needs two processors"
	config '.process.execCPUAffinity = {initial: "0", final: "1"}'
	config_args sleep 1000
	detached
	run -0 amphi exec "$ID" grep Cpus_allowed_list /proc/self/status
	[ "$output" = $'Cpus_allowed_list:\t1' ]
	jq '.process | .args = ["grep", "Cpus_allowed_list", "/proc/self/status"] | .execCPUAffinity = {initial: "0"}' \
		"$BUNDLE/config.json" >"$BATS_TEST_TMPDIR/p.json"
	run -0 amphi exec --process "$BATS_TEST_TMPDIR/p.json" "$ID"
	[ "$output" = $'Cpus_allowed_list:\t0' ]
	jq '.execCPUAffinity = {final: "0-x"}' "$BATS_TEST_TMPDIR/p.json" >"$BATS_TEST_TMPDIR/q.json"
	run -255 amphi exec --process "$BATS_TEST_TMPDIR/q.json" "$ID"
	check_output execCPUAffinity.final
}

@test "exec: scheduler and I/O priority are the process's own" {
	skip_in_vm "tested by process.bats"
	config_args sleep 1000
	detached
	jq '.process | .args = ["cut", "-d ", "-f19,41", "/proc/self/stat"] | .scheduler = {policy: "SCHED_BATCH", nice: 5}' \
		"$BUNDLE/config.json" >"$BATS_TEST_TMPDIR/p.json"
	run -0 amphi exec --process "$BATS_TEST_TMPDIR/p.json" "$ID"
	[ "$output" = "5 3" ]
}
