# SPDX-License-Identifier: Apache-2.0
# backends: systemd
# bats file_tags=lab:systemd
# A user's containers below the user's own systemd, which has cpu, memory and pids delegated: scopes, and plain cgroups.
load helpers
load rootless.bash

setup_file() {
	[ "$(cat /proc/1/comm)" = systemd ] || return 0
	systemctl start user@4321
}
teardown_file() { [ "$(cat /proc/1/comm)" != systemd ] || systemctl stop user@4321; }
setup() {
	[ "$(cat /proc/1/comm)" = systemd ] || skip "needs systemd as PID 1"
	setup_rootless /run/user/4321
	config_args sleep 1000
	BASE=/sys/fs/cgroup/user.slice/user-4321.slice/user@4321.service
	SCOPE=amphi-$ID.scope
}
teardown() {
	teardown_rootless
	run -0 find "$BASE" -name "*$ID*"
	[ -z "$output" ] || { echo "left: $output" >&2; return 1; }
}

is_gone() { [ "$(user systemctl --user show -P LoadState "$SCOPE")" = not-found ]; }
in_group() { [ "$(<"$G/$1")" = "$2" ] || { echo "$1: $(<"$G/$1"), expected $2" >&2; return 1; }; }

@test "user's systemd: a scope with limits, exec in it, update, pause, and its end" {
	config '.linux.resources = {memory: {limit: 33554432, swap: 33554432}, cpu: {shares: 512, quota: 50000, period: 100000}, pids: {limit: 25}}'
	amphi_user --systemd-cgroup run -d --pid-file "$XDG/pid" "$ID" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1 || { cat "$BATS_TEST_TMPDIR/out" >&2; false; }
	G=$BASE/user.slice/$SCOPE
	[ "/sys/fs/cgroup$(cut -d: -f3 "/proc/$(<"$XDG/pid")/cgroup")" = "$G" ]
	in_group memory.max 33554432
	in_group memory.swap.max 0
	in_group cpu.max "50000 100000"
	in_group cpu.weight 59
	in_group pids.max 25
	# what exec starts is in the scope, too, and limited
	run -137 amphi_user exec "$ID" tail /dev/zero
	amphi_user exec -d --pid-file "$XDG/pid" "$ID" sleep 1000
	[ "/sys/fs/cgroup$(cut -d: -f3 "/proc/$(<"$XDG/pid")/cgroup")" = "$G" ]
	amphi_user update --pids-limit 31 --memory 50331648 --memory-swap 50331648 "$ID"
	in_group pids.max 31
	[ "$(user systemctl --user show -p MemoryMax,TasksMax "$SCOPE" | sort)" = $'MemoryMax=50331648\nTasksMax=31' ]
	amphi_user pause "$ID"
	in_group cgroup.freeze 1
	amphi_user resume "$ID"
	amphi_user delete --force "$ID"
	is_gone
}

@test "user's systemd: a controller that was not delegated is named, nothing is left" {
	config '.linux.resources.cpu = {cpus: "0"}'
	run -1 amphi_user --systemd-cgroup run "$ID" </dev/null
	check_output "controller cpuset is not available"
	check_output "not delegated"
	[ ! -e "$XDG/amphi/$ID" ]
	is_gone
}

@test "user's systemd: ranges of ids; the container's root has its cgroup" {
	config '.linux.uidMappings = [{containerID: 0, hostID: 4321, size: 1}, {containerID: 1, hostID: 200000, size: 65535}]
		| .linux.gidMappings = .linux.uidMappings | .linux.resources.pids.limit = 20
		| .mounts |= map(select(.destination != "/sys/fs/cgroup")) + [{destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["nosuid", "noexec", "nodev"]}]'
	config_args sh -c 'cd /sys/fs/cgroup && mkdir x && echo $$ >x/cgroup.procs && cat pids.max && stat -c %u . && { (echo 5 >x/pids.max) 2>/dev/null || echo refused; }'
	run -0 amphi_user --systemd-cgroup run "$ID" </dev/null
	[ "$output" = $'20\n0\nrefused' ]
}

@test "user's systemd: by root of the user's own namespace, over the session's bus" {
	config '.linux.resources.pids.limit = 21'
	# as podman unshare has it: root is mapped, the caller is not who it says it is
	own() { user unshare -rm bash -c 'mount --bind /dev/null "$XDG_RUNTIME_DIR/systemd/private" && exec "$@"' - "$BATS_TEST_TMPDIR/amphi" "$@"; }
	config '.linux.uidMappings[0].hostID = 0 | .linux.gidMappings[0].hostID = 0'
	cd "$BUNDLE"
	own --systemd-cgroup run -d "$ID" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1 || { cat "$BATS_TEST_TMPDIR/out" >&2; false; }
	G=$BASE/user.slice/$SCOPE
	in_group pids.max 21
	own delete --force "$ID"
	is_gone
}

@test "user's systemd: cgroupfs below a delegated scope, limited" {
	config '.linux.resources = {memory: {limit: 16777216, swap: 16777216}, pids: {limit: 25}} | del(.linux.cgroupsPath)'
	config_args sh -c 'cat /proc/self/cgroup; tail /dev/zero'
	run -137 user systemd-run --user --scope -q -p Delegate=yes bash -c 'cd "$1" && shift && exec "$@"' - "$BUNDLE" "$BATS_TEST_TMPDIR/amphi" run "$ID" </dev/null
	# nothing is delegated where root's service is: limits cannot be had, and without them the container runs
	run -1 amphi_user run "$ID" </dev/null
	check_output "rootless container with limits needs a delegated cgroup"
	config 'del(.linux.resources)'
	config_args true
	amphi_user run "$ID" </dev/null
}

@test "user's systemd: without a session it is said what is missing" {
	mkdir -m 700 "$BATS_TEST_TMPDIR/empty"
	chown 4321 "$BATS_TEST_TMPDIR/empty"
	XDG=$BATS_TEST_TMPDIR/empty run -1 amphi_user --systemd-cgroup run "$ID" </dev/null
	check_output "no systemd of this user"
	check_output XDG_RUNTIME_DIR
}
