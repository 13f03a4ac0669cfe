# SPDX-License-Identifier: Apache-2.0
# backends: container
load helpers
load engine

ctr() { timeout 120 ctr --address "$E/containerd.sock" -n amphi "$@"; }

# ctr run with the runc shim and our binary.
ctr_run() { ctr run --snapshotter native --runc-binary "$(engine_runtime)" "$@"; }

setup_file() {
	need_root
	need_program containerd
	need_program podman
	engine_setup
	engine_rootfs "$E/image.tar"
	engine_podman import "$E/image.tar" localhost/bb:1 >/dev/null 2>&1
	engine_podman save --format oci-archive -o "$E/oci.tar" localhost/bb:1 >/dev/null 2>&1
	engine_containerd
	ctr image import --snapshotter native --no-unpack "$E/oci.tar" >/dev/null
}
setup() {
	need_root
	need_program containerd
	need_program podman
	engine_setup
	NAME=c$$-$BATS_TEST_NUMBER
}
teardown() {
	for c in $(ctr task ls -q 2>/dev/null); do ctr task rm -f "$c" >/dev/null 2>&1 || :; done
	for c in $(ctr container ls -q 2>/dev/null); do ctr container rm "$c" >/dev/null 2>&1 || :; done
}
teardown_file() {
	engine_setup
	engine_stop "$(cat "$E/containerd.pid" 2>/dev/null)"
	engine_clean
}

running() { ctr task ls | grep -q "^$1 .*RUNNING"; }
stopped() { ctr task ls | grep -q "^$1 .*STOPPED"; }

@test "ctr run: output and exit codes" {
	run -0 ctr_run --rm localhost/bb:1 "$NAME" echo hello
	check_output hello
	run ctr_run --rm localhost/bb:1 "$NAME" sh -c 'exit 5'
	check_status 5
	run ctr_run --rm localhost/bb:1 "$NAME" no-such-program
	[ "$status" -ne 0 ]
	check_output "executable file not found"
}

@test "ctr run -d, exec, pause, resume, kill" {
	ctr_run -d localhost/bb:1 "$NAME" sleep 1000
	running "$NAME"
	run -0 ctr task exec --exec-id e1 "$NAME" echo inside
	check_output inside
	run ctr task exec --exec-id e2 "$NAME" sh -c 'exit 8'
	check_status 8
	ctr task pause "$NAME"
	ctr task ls | grep -q "^$NAME .*PAUSED"
	ctr task resume "$NAME"
	run -0 ctr task ps "$NAME"
	check_output "$(ctr task ls | awk -v n="$NAME" '$1 == n { print $2 }')"
	ctr task kill -s SIGKILL "$NAME"
	wait_for stopped "$NAME"
	ctr task rm "$NAME" || :
	ctr container rm "$NAME"
}

@test "ctr with limits and metrics" {
	ctr_run -d --memory-limit 67108864 localhost/bb:1 "$NAME" sleep 1000
	run -0 ctr task metrics "$NAME"
	check_output memory
	pid=$(ctr task ls | awk -v n="$NAME" '$1 == n { print $2 }')
	! is_vm || return 0
	path=$(awk -F: '$2 == "memory" || $2 == "" { print $3; exit }' "/proc/$pid/cgroup")
	[ "$(cat "/sys/fs/cgroup/memory$path/memory.limit_in_bytes" 2>/dev/null || cat "/sys/fs/cgroup$path/memory.max")" = 67108864 ]
}

@test "ctr with a terminal" {
	run -0 timeout 60 script -qec "ctr --address '$E/containerd.sock' -n amphi run --rm -t --snapshotter native --runc-binary '$(engine_runtime)' localhost/bb:1 $NAME tty" /dev/null
	check_output /dev/pts/0
}
