# SPDX-License-Identifier: Apache-2.0
# backends: container
load helpers
load engine

docker() { timeout 120 docker -H "unix://$E/docker.sock" "$@"; }
docker_run() { docker run --network none "$@"; }

setup_file() {
	need_root
	need_program dockerd
	need_program docker
	engine_setup
	engine_host
	engine_rootfs "$E/image.tar"
	engine_containerd
	engine_dockerd
	docker import "$E/image.tar" bb:1 >/dev/null
}
setup() {
	need_root
	need_program dockerd
	need_program docker
	engine_setup
	NAME=c$BATS_TEST_NUMBER
}
teardown() {
	docker ps -aq 2>/dev/null | xargs -r timeout 60 docker -H "unix://$E/docker.sock" rm -f >/dev/null 2>&1 || :
}
teardown_file() {
	engine_setup
	engine_stop "$(cat "$E/dockerd.pid" 2>/dev/null)"
	engine_stop "$(cat "$E/containerd.pid" 2>/dev/null)"
	engine_clean
}

@test "docker run: output, exit codes, errors" {
	run -0 docker_run --rm bb:1 echo hello
	check_output hello
	run docker_run --rm bb:1 sh -c 'exit 44'
	check_status 44
	run -127 docker_run --rm bb:1 no-such-program
	check_output "executable file not found"
	run -126 docker_run --rm bb:1 /etc/passwd
}

@test "docker run -d, logs, exec, top, pause, stop" {
	docker_run -d --name "$NAME" bb:1 sh -c 'trap "exit 7" TERM; echo ready; while :; do sleep 0.1; done'
	ready() { docker logs "$NAME" | grep -q ready; }
	wait_for ready
	run -0 docker exec "$NAME" echo inside
	check_output inside
	run docker exec "$NAME" sh -c 'exit 3'
	check_status 3
	docker top "$NAME"
	docker pause "$NAME"
	run -0 docker inspect -f '{{.State.Status}}' "$NAME"
	check_output paused
	docker unpause "$NAME"
	docker stop -t 60 "$NAME"
	run -0 docker inspect -f '{{.State.ExitCode}} {{.State.Status}} {{.HostConfig.Runtime}}' "$NAME"
	check_output "7 exited amphi"
}

@test "docker limits and update" {
	! is_vm || skip "a machine's cgroup is the monitor's"
	docker_run -d --name "$NAME" --memory 64m --pids-limit 50 --cpus 0.5 bb:1 sleep 1000
	pid=$(docker inspect -f '{{.State.Pid}}' "$NAME")
	path=$(awk -F: '$2 == "memory" || $2 == "" { print $3; exit }' "/proc/$pid/cgroup")
	[ "$(cat "/sys/fs/cgroup/memory$path/memory.limit_in_bytes" 2>/dev/null || cat "/sys/fs/cgroup$path/memory.max")" = 67108864 ]
	docker update --memory 128m --memory-swap 256m "$NAME"
	[ "$(cat "/sys/fs/cgroup/memory$path/memory.limit_in_bytes" 2>/dev/null || cat "/sys/fs/cgroup$path/memory.max")" = 134217728 ]
}

@test "docker volumes, users, capabilities, seccomp, terminal" {
	mkdir -p "$BATS_TEST_TMPDIR/vol"
	echo from-host >"$BATS_TEST_TMPDIR/vol/file"
	run -0 docker_run --rm -v "$BATS_TEST_TMPDIR/vol:/vol" --read-only --tmpfs /scratch -w /vol -e WORD=hello bb:1 \
		sh -c 'cat file; echo $WORD; pwd; touch /x || echo read-only; touch /scratch/x && echo scratch'
	for word in from-host hello /vol read-only scratch; do check_output "$word"; done
	run -0 docker_run --rm --user 1000 --cap-drop all bb:1 sh -c 'id -u; grep -E "CapBnd|Seccomp:" /proc/self/status'
	check_output 1000
	check_output 0000000000000000
	[[ "$output" =~ Seccomp:[[:space:]]+2 ]]
	run -0 docker_run --rm -t bb:1 tty
	check_output /dev/pts/0
}

@test "docker: bridge, published port, name of another container, health, stats, files in and out" {
	docker network create --subnet 10.96.1.0/24 "net$$" >/dev/null
	docker run -d --name "$NAME" --network "net$$" -p 8077:80 --memory 64m --health-cmd 'test -e /tmp/healthy' --health-interval 1s bb:1 \
		sh -c 'while :; do echo web | nc -l -p 80; done' >/dev/null
	answers() { [ "$(engine_on_host socat -T5 - TCP:127.0.0.1:8077,connect-timeout=5 </dev/null)" = web ]; }
	wait_for answers
	run -0 docker run --rm --network "net$$" bb:1 nc "$NAME" 80
	check_output web
	docker exec "$NAME" touch /tmp/healthy
	healthy() { [ "$(docker inspect -f '{{.State.Health.Status}}' "$NAME")" = healthy ]; }
	wait_for healthy
	run -0 docker stats --no-stream --format '{{.MemUsage}} {{.PIDs}}' "$NAME"
	is_vm || [[ "$output" =~ /\ 64MiB\ [1-9] ]]
	echo from-host >"$BATS_TEST_TMPDIR/in"
	docker cp "$BATS_TEST_TMPDIR/in" "$NAME:/root/in"
	run -0 docker exec "$NAME" cat /root/in
	check_output from-host
	docker restart -t 0 "$NAME"
	wait_for answers
	docker rm -f "$NAME"
	docker network rm "net$$"
}

@test "docker: killed by a signal, out of memory, restart policy" {
	docker_run -d --name "$NAME" bb:1 sleep 1000 >/dev/null
	docker kill -s KILL "$NAME"
	run -0 docker wait "$NAME"
	check_output 137
	run docker_run --name "$NAME-o" --memory 32m --memory-swap 32m bb:1 sh -c 'x=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; while :; do x=$x$x; done'
	check_status 137
	[ "$(docker inspect -f '{{.State.OOMKilled}}' "$NAME-o")" = true ]
	docker_run -d --name "$NAME-r" --restart on-failure:2 bb:1 sh -c 'echo attempt; exit 3' >/dev/null
	ended() { [ "$(docker inspect -f '{{.State.Status}} {{.RestartCount}} {{.State.ExitCode}}' "$NAME-r")" = "exited 2 3" ]; }
	wait_for ended
	[ "$(docker logs "$NAME-r" | grep -c attempt)" = 3 ]
}
