# SPDX-License-Identifier: Apache-2.0
# backends: container
load podman.bash

@test "podman run: output, exit codes, errors" {
	run -0 pod_run --rm bb:1 sh -c 'echo out; echo err >&2'
	check_output out
	check_output err
	run pod_run --rm bb:1 sh -c 'exit 42'
	check_status 42
	run -127 pod_run --rm bb:1 no-such-program
	run pod_run --rm bb:1 /etc/passwd
	check_status 126
}

@test "podman run -d, logs, exec, top, stop, rm" {
	pod_run -d --name "$NAME" bb:1 sh -c 'trap "exit 7" TERM; echo ready; while :; do sleep 0.1; done'
	ready() { engine_podman logs "$NAME" | grep -q ready; }
	wait_for ready
	run -0 engine_podman exec "$NAME" echo inside
	check_output inside
	run engine_podman exec "$NAME" sh -c 'exit 3'
	check_status 3
	run -127 engine_podman exec "$NAME" no-such-program
	run -0 engine_podman top "$NAME" pid comm
	check_output sh
	engine_podman stop -t 60 "$NAME"
	run -0 engine_podman inspect -f '{{.State.ExitCode}} {{.State.Status}}' "$NAME"
	check_output "7 exited"
	engine_podman rm "$NAME"
}

@test "podman pause, unpause, kill" {
	pod_run -d --name "$NAME" bb:1 sleep 1000
	engine_podman pause "$NAME"
	run -0 engine_podman inspect -f '{{.State.Status}}' "$NAME"
	check_output paused
	engine_podman unpause "$NAME"
	engine_podman kill -s KILL "$NAME"
	run -0 engine_podman wait "$NAME"
	check_output 137
}

@test "podman limits, update, stats" {
	! is_vm || skip "a machine's cgroup is the monitor's"
	pod_run -d --name "$NAME" --memory 64m --memory-swap 64m --cpus 0.5 --pids-limit 50 bb:1 sleep 1000
	pid=$(engine_podman inspect -f '{{.State.Pid}}' "$NAME")
	path=$(awk -F: '$2 == "pids" || $2 == "" { print $3; exit }' "/proc/$pid/cgroup")
	[ "$(cat "/sys/fs/cgroup/pids$path/pids.max" 2>/dev/null || cat "/sys/fs/cgroup$path/pids.max")" = 50 ]
	[ "$(cat "/sys/fs/cgroup/memory$path/memory.limit_in_bytes" 2>/dev/null || cat "/sys/fs/cgroup$path/memory.max")" = 67108864 ]
	run -0 engine_podman stats --no-stream --format '{{.MemLimit}}' "$NAME"
	engine_podman update --memory 128m --memory-swap 128m "$NAME"
	[ "$(cat "/sys/fs/cgroup/memory$path/memory.limit_in_bytes" 2>/dev/null || cat "/sys/fs/cgroup$path/memory.max")" = 134217728 ]
}

@test "podman volumes, read-only root, tmpfs, working directory, environment" {
	mkdir -p "$BATS_TEST_TMPDIR/vol"
	echo from-host >"$BATS_TEST_TMPDIR/vol/file"
	run -0 pod_run --rm -v "$BATS_TEST_TMPDIR/vol:/vol" --read-only --tmpfs /scratch -w /vol -e WORD=hello bb:1 \
		sh -c 'cat file; echo $WORD; pwd; echo back >out; touch /x || echo read-only; touch /scratch/x && echo scratch'
	for word in from-host hello /vol read-only scratch; do check_output "$word"; done
	[ "$(cat "$BATS_TEST_TMPDIR/vol/out")" = back ]
}

@test "podman users and capabilities" {
	run -0 pod_run --rm --user 1000:1000 bb:1 id
	check_output "uid=1000"
	run -0 pod_run --rm --cap-drop all bb:1 grep CapEff /proc/self/status
	check_output 0000000000000000
	run -0 pod_run --rm --cap-drop all --cap-add net_admin bb:1 grep CapEff /proc/self/status
	check_output 0000000000001000
}

@test "podman's seccomp profile is in force, and can be left out" {
	run -0 pod_run --rm bb:1 grep Seccomp: /proc/self/status
	[[ "$output" =~ 2 ]]
	run -0 pod_run --rm --security-opt seccomp=unconfined bb:1 grep Seccomp: /proc/self/status
	[[ "$output" =~ 0 ]]
	echo '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28}]}' >"$BATS_TEST_TMPDIR/p.json"
	run pod_run --rm --security-opt seccomp="$BATS_TEST_TMPDIR/p.json" bb:1 mkdir /x
	check_status 1
	check_output "No space left"
}

@test "podman user namespace" {
	! is_vm || skip "user namespaces of the guest's own"
	run -0 pod_run --rm --uidmap 0:100000:65536 --gidmap 0:100000:65536 bb:1 cat /proc/self/uid_map
	[[ "$output" =~ 0[[:space:]]+100000[[:space:]]+65536 ]]
}

@test "podman terminal" {
	run -0 pod_run --rm -t bb:1 sh -c 'tty; stty size'
	check_output /dev/pts/0
	pod_run -d -t --name "$NAME" bb:1 sleep 1000
	run -0 engine_podman exec -t "$NAME" tty
	check_output /dev/pts
}

@test "podman healthcheck" {
	pod_run -d --name "$NAME" --health-cmd 'test -e /tmp/healthy' --health-interval disable bb:1 sleep 1000
	run ! engine_podman healthcheck run "$NAME"
	engine_podman exec "$NAME" touch /tmp/healthy
	engine_podman healthcheck run "$NAME"
}

@test "podman init, start -a, restart" {
	engine_podman create --network none --name "$NAME" bb:1 echo once more >/dev/null
	engine_podman init "$NAME"
	run -0 engine_podman start -a "$NAME"
	check_output "once more"
	run -0 engine_podman start -a "$NAME"
	check_output "once more"
}
