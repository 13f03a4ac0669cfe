# SPDX-License-Identifier: Apache-2.0
# backends: vm
# Machines below containerd and dockerd, in few machines; see engine_vm.bats.
load helpers
load engine

ctr() { timeout 120 ctr --address "$E/containerd.sock" -n amphi "$@"; }
ctr_run() { ctr run --snapshotter native --runc-binary "$(engine_runtime)" "$@"; }
docker() { timeout 120 docker -H "unix://$E/docker.sock" "$@"; }

setup_file() {
	need_root
	for p in containerd dockerd docker podman; do need_program $p; done
	engine_setup
	engine_host
	engine_rootfs "$E/image.tar"
	engine_podman import "$E/image.tar" localhost/bb:1 >/dev/null 2>&1
	engine_podman save --format oci-archive -o "$E/oci.tar" localhost/bb:1 >/dev/null 2>&1
	engine_containerd
	engine_dockerd
	ctr image import --snapshotter native --no-unpack "$E/oci.tar" >/dev/null
	docker import "$E/image.tar" bb:1 >/dev/null
	docker run -d --name mach -p 8089:80 --memory 128m -v "$E:/e" --health-cmd 'test -e /tmp/healthy' --health-interval 1s bb:1 \
		sh -c 'trap "exit 7" TERM; echo ready; (while :; do echo web | nc -l -p 80; done) & while :; do sleep 0.1; done' >/dev/null ||
		tail -5 "$E/dockerd.log" >&2
}
setup() {
	need_root
	for p in containerd dockerd docker podman; do need_program $p; done
	engine_setup
	NAME=c$$-$BATS_TEST_NUMBER
}
teardown_file() {
	engine_setup
	docker ps -aq 2>/dev/null | xargs -r timeout 60 docker -H "unix://$E/docker.sock" rm -f >/dev/null 2>&1 || :
	for c in $(ctr task ls -q 2>/dev/null); do ctr task rm -f "$c" >/dev/null 2>&1 || :; done
	engine_stop "$(cat "$E/dockerd.pid" 2>/dev/null)"
	engine_stop "$(cat "$E/containerd.pid" 2>/dev/null)"
	engine_clean
}

stopped() { ctr task ls | grep -q "^$1 .*STOPPED"; }
inspect() { docker inspect -f "$1" mach; }

@test "machine under docker: logs, exec, exit codes, terminal" {
	ready() { docker logs mach | grep -q ready; }
	wait_for ready
	run -0 docker exec -u 1000 -w /tmp -e A=b mach sh -c 'id -u; pwd; echo $A; uname -r; ls /e/image.tar'
	for word in 1000 /tmp b /e/image.tar; do check_output "$word"; done
	[[ "$output" != *"$(uname -r)"* ]]
	run docker exec mach sh -c 'exit 3'
	check_status 3
	run -0 docker exec -t mach tty
	check_output /dev/pts
	run ! docker exec mach no-such-program
}

@test "machine under docker: address and published port of its bridge" {
	run -0 docker exec mach ip addr show eth0
	check_output "$(inspect '{{.NetworkSettings.IPAddress}}')/24"
	answers() { [ "$(engine_on_host socat -T5 - TCP:127.0.0.1:8089,connect-timeout=5 </dev/null)" = web ]; }
	wait_for answers
}

@test "machine under docker: stats, top, health, files in and out" {
	run -0 docker stats --no-stream --format '{{.MemUsage}} {{.PIDs}}' mach
	[[ "$output" =~ ^[0-9.]+MiB\ /\ [0-9.]+[MG]iB\ [1-9] ]] # the machine's, with its monitor
	run -0 docker top mach
	check_output "amphi:[vmm]"
	docker exec mach touch /tmp/healthy
	healthy() { [ "$(inspect '{{.State.Health.Status}}')" = healthy ]; }
	wait_for healthy
	echo from-host >"$BATS_TEST_TMPDIR/in"
	docker cp "$BATS_TEST_TMPDIR/in" mach:/root/in
	copied() { [ "$(docker exec mach cat /root/in)" = from-host ]; }
	wait_for copied
	docker exec mach sh -c 'echo from-inside >/root/out'
	docker cp mach:/root/out "$BATS_TEST_TMPDIR/out"
	[ "$(cat "$BATS_TEST_TMPDIR/out")" = from-inside ]
}

@test "machine under docker: pause, update, stop with its exit code, start again" {
	docker pause mach
	run -0 inspect '{{.State.Status}}'
	check_output paused
	docker unpause mach
	docker update --memory 100m --memory-swap 200m --cpus 0.9 mach
	docker stop -t 100 mach
	run -0 inspect '{{.State.ExitCode}} {{.State.Status}} {{.HostConfig.Runtime}}'
	check_output "7 exited amphi"
	docker start mach
	run -0 docker exec mach cat /root/in
	check_output from-host
	docker rm -f mach
}

@test "machine under docker: what cannot run, memory used up" {
	run -127 docker run --rm --network none bb:1 no-such-program
	check_output "executable file not found"
	run docker run --name oom --network none --memory 64m bb:1 sh -c 'x=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; while :; do x=$x$x; done'
	check_status 137
	[ "$(docker inspect -f '{{.State.OOMKilled}}' oom)" = true ]
	docker rm oom
}

@test "machine under containerd: run, exit code" {
	run ctr_run --rm localhost/bb:1 "$NAME" sh -c 'echo hello; exit 5'
	check_status 5
	check_output hello
}

@test "machine under containerd: exec, pause, metrics, ps, kill" {
	ctr_run -d --memory-limit 134217728 localhost/bb:1 "$NAME" sleep 1000
	run ctr task exec --exec-id e1 "$NAME" sh -c 'echo inside; exit 8'
	check_status 8
	check_output inside
	ctr task pause "$NAME"
	ctr task ls | grep -q "^$NAME .*PAUSED"
	ctr task resume "$NAME"
	run -0 ctr task metrics "$NAME"
	check_output memory
	run -0 ctr task ps "$NAME"
	check_output "$(ctr task ls | awk -v n="$NAME" '$1 == n { print $2 }')"
	ctr task kill -s SIGKILL "$NAME"
	wait_for stopped "$NAME"
	ctr task rm "$NAME" || :
	ctr container rm "$NAME"
}
