# SPDX-License-Identifier: Apache-2.0
# backends: container vm
# bats file_tags=lab:container
load helpers
load cgroup

setup_file() { share_machine; }
teardown_file() { end_machine; }

setup() {
	need_root
	setup_bundle
	cd "$BUNDLE"
	config_args sleep 1000
}
teardown() { teardown_all; }

@test "the process is in the cgroup of cgroupsPath in every hierarchy, and delete removes it" {
	amphi run -d "$ID" </dev/null >/dev/null 2>&1
	pid=$(pid_of "$ID")
	while IFS=: read -r _ name path; do
		[ "$path" = "$CGROUP" ] || { echo "$name: $path" >&2; false; }
	done <"/proc/$pid/cgroup"
	amphi delete --force "$ID"
	cgroup_gone
}

@test "without cgroupsPath the container has a cgroup of its own that goes with it" {
	config 'del(.linux.cgroupsPath)'
	amphi run -d "$ID" </dev/null >/dev/null 2>&1
	path=$(awk -F: '{ p = $3 } END { print p }' "/proc/$(pid_of "$ID")/cgroup")
	[[ "$path" == *"$ID" ]]
	amphi delete --force "$ID"
	[ -z "$(find /sys/fs/cgroup -name "$ID" 2>/dev/null)" ]
}

@test "memory, CPU and process limits reach the kernel" {
	config '.linux.resources += {memory: {limit: 67108864, swap: 134217728, reservation: 33554432},
		cpu: {shares: 512, quota: 50000, period: 100000}, pids: {limit: 25}}'
	amphi run -d "$ID" </dev/null >/dev/null 2>&1
	file_is memory memory.limit_in_bytes 67108864 memory.max 67108864
	file_is memory memory.memsw.limit_in_bytes 134217728 memory.swap.max 67108864
	file_is memory memory.soft_limit_in_bytes 33554432 memory.low 33554432
	file_is cpu cpu.shares 512 cpu.weight 59
	file_is cpu cpu.cfs_quota_us 50000 cpu.max "50000 100000"
	file_is pids pids.max 25 pids.max 25
}

@test "a cpuset" {
	skip_in_vm "refused for a container of a pod"
	need_controller cpuset
	config '.linux.resources.cpu = {cpus: "0", mems: "0"}'
	config_args grep Cpus_allowed_list /proc/self/status
	run -0 amphi run "$ID"
	[[ "$output" =~ Cpus_allowed_list:[[:space:]]+0$ ]]
}

@test "burst, idle, swappiness" {
	config '.linux.resources.cpu = {quota: 50000, period: 100000, burst: 10000}'
	amphi run -d "$ID" </dev/null >/dev/null 2>&1
	file_is cpu cpu.cfs_burst_us 10000 cpu.max.burst 10000
	is_v2 || [ "$(cat "$(cgroup_dir memory)/memory.swappiness")" != 13 ]
	amphi delete --force "$ID"
	is_vm && return # an idle machine boots once nobody else wants the CPU: here that may be never
	config '.linux.resources.cpu = {idle: 1}'
	is_v2 || config '.linux.resources.memory = {swappiness: 13}'
	amphi run -d "$ID" </dev/null >/dev/null 2>&1
	file_is cpu cpu.idle 1 cpu.idle 1
	is_v2 || [ "$(cat "$(cgroup_dir memory)/memory.swappiness")" = 13 ]
}

@test "controllers that the host lacks are missed by the limit's name" {
	skip_in_vm "refused with other words"
	lacks() { ! [ -d "/sys/fs/cgroup/$1" ] && ! grep -qsw "$1" /sys/fs/cgroup/{,unified/}cgroup.controllers; }
	missed() { # CONTROLLER LIMIT FILTER
		lacks "$1" || return 0
		cp config.json config.kept
		config "$3"
		run -1 amphi run "$ID"
		check_output "linux.resources.$2"
		[[ "$output" == *"no $1 controller"* || "$output" == *"not supported by cgroup v2"* ]]
		mv config.kept config.json
		[ ! -e "$ROOT/$ID" ]
	}
	missed rdma rdma.mlx5_0 '.linux.resources.rdma = {mlx5_0: {hcaHandles: 3}}'
	missed net_cls network.classID '.linux.resources.network = {classID: 1048577}'
	missed net_prio "network.priorities[0]" '.linux.resources.network = {priorities: [{name: "lo", priority: 5}]}'
	missed hugetlb "hugepageLimits[0]" '.linux.resources.hugepageLimits = [{pageSize: "2MB", limit: 4194304}]'
}

@test "huge page limits, reservations too" {
	skip_in_vm "huge pages of the host"
	need_controller hugetlb
	[ -d /sys/kernel/mm/hugepages/hugepages-2048kB ] || skip "needs 2 MiB pages"
	config '.linux.resources.hugepageLimits = [{pageSize: "2MB", limit: 4194304}]'
	amphi run -d "$ID" </dev/null >/dev/null 2>&1
	dir=$(cgroup_dir hugetlb)
	[ "$(cat "$dir"/hugetlb.2MB.{max,limit_in_bytes} 2>/dev/null)" = 4194304 ]
	[ "$(cat "$dir"/hugetlb.2MB.rsvd.{max,limit_in_bytes} 2>/dev/null)" = 4194304 ]
}

@test "block I/O throttling" {
	skip_in_vm "the host's disks hold its monitor"
	need_controller blkio io
	dev=$(lsblk -dnro MAJ:MIN,TYPE 2>/dev/null | awk '$2 == "disk" { print $1; exit }')
	[ -n "$dev" ] || skip "needs a disk"
	config '.linux.resources.blockIO.throttleReadBpsDevice = [{major: ($d | split(":")[0] | tonumber), minor: ($d | split(":")[1] | tonumber), rate: 1048576}]' --arg d "$dev"
	amphi run -d "$ID" </dev/null >/dev/null 2>&1
	file_is blkio blkio.throttle.read_bps_device "$dev 1048576" io.max "$dev rbps=1048576 wbps=max riops=max wiops=max"
}

@test "the process limit holds" {
	config '.linux.resources.pids.limit = 3'
	config_args sh -c 'sleep 5 & sleep 5 & sleep 5 & echo survived; kill 0'
	run amphi run "$ID"
	[[ "$output" == *"can't fork"* ]]
}

@test "too much memory ends with a kill" {
	config '.linux.resources.memory = {limit: 20971520, swap: 20971520}'
	config_args sh -c 'dd if=/dev/zero of=/dev/shm/x bs=1M count=60'
	run amphi run "$ID"
	[ "$status" -eq 137 ] || [[ "$output" == *Killed* ]]
}

@test "unified files on cgroup v2; refused by name on v1" {
	config '.linux.resources.unified = {"memory.high": "50331648", "pids.max": "33"}'
	if is_vm; then
		amphi run -d "$ID" </dev/null >/dev/null 2>&1
		file_is memory - - memory.high 50331648
		file_is pids - - pids.max 33
	elif is_v2; then
		amphi run -d "$ID" </dev/null >/dev/null 2>&1
		[ "$(cat "/sys/fs/cgroup$CGROUP/memory.high")" = 50331648 ]
		[ "$(cat "/sys/fs/cgroup$CGROUP/pids.max")" = 33 ]
	else
		run ! amphi run -d "$ID"
		check_output "linux.resources.unified"
		check_output "cgroup v1"
		cgroup_gone
	fi
}

@test "a unified file of no controller is refused by name" {
	config '.linux.resources.unified = {"nonsense.max": "1"}'
	run ! amphi run "$ID"
	check_output 'linux.resources.unified[nonsense.max]'
	cgroup_gone
}

@test "a limit that the kernel refuses names its JSON path and leaves nothing" {
	config '.linux.resources.cpu.cpus = "5000"'
	run ! amphi run "$ID"
	check_output "linux.resources.cpu.cpus"
	cgroup_gone
	[ -z "$(ls "$ROOT/$ID" 2>/dev/null)" ]
}

@test "a cgroup in use is refused before anything happens" {
	amphi run -d "$ID" </dev/null >/dev/null 2>&1
	run ! amphi run -d "$ID-2"
	check_output "container's cgroup is not empty"
	status_is "$ID" running
	run ! amphi state "$ID-2"
}

@test "a frozen cgroup is refused" {
	amphi run -d "$ID" </dev/null >/dev/null 2>&1
	amphi pause "$ID"
	run ! amphi create "$ID-2"
	check_output "container's cgroup"
	amphi resume "$ID"
}

@test "a cgroup that was there before stays, and serves again" {
	dir=$(cgroup_dir pids)
	local v2=/sys/fs/cgroup/unified$CGROUP
	is_v2 && v2=$dir
	[ ! -d "${v2%"$CGROUP"}" ] || mkdir -p "$v2"
	mkdir -p "$dir"
	jq '.process.args = ["true"]' "$BUNDLE/config.json" >"$BUNDLE/true.json"
	run -0 amphi run --config "$BUNDLE/true.json" "$ID" </dev/null
	run -0 amphi run --config "$BUNDLE/true.json" "$ID" </dev/null
	# cgroup.kill would spoil it for who is cloned into it (newer kernels): not used there, and no harm when others did
	amphi run -d "$ID" </dev/null >/dev/null 2>&1
	amphi delete --force "$ID"
	[ -d "$dir" ]
	[ ! -d "$v2" ] || perl -MFcntl -MPOSIX -e 'sysopen(my $d, $ARGV[0], O_RDONLY) or die; # clone3(CLONE_INTO_CGROUP)
		my $args = pack("Q11", 1 << 33, 0, 0, 0, SIGCHLD, 0, 0, 0, 0, 0, fileno($d));
		my $pid = syscall(435, $args, 88); _exit(0) unless $pid; waitpid($pid, 0); exit($? != 0 || $pid < 0)' "$v2"
	[ ! -e "$v2/cgroup.kill" ] || echo 1 >"$v2/cgroup.kill"
	amphi run -d "$ID" </dev/null >/dev/null 2>&1
	run -0 amphi exec "$ID" echo lives </dev/null
	[ "$output" = lives ]
	# nor when the caller's own was killed before it moved in
	if ! is_vm && [ -e "$v2/cgroup.kill" ]; then
		mkdir "$v2-killed"
		echo 1 >"$v2-killed/cgroup.kill"
		in_killed() { sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$v2-killed" "$AMPHI" --root "$ROOT" "$@" </dev/null; }
		run -0 in_killed exec "$ID" echo here
		[ "$output" = here ]
		jq '.linux.cgroupsPath += "-new"' "$BUNDLE/true.json" >"$BUNDLE/new.json"
		run -0 in_killed run --config "$BUNDLE/new.json" "$ID-new"
		rmdir "$v2-killed"
	fi
	amphi delete --force "$ID"
	[ ! -d "$v2" ] || [ "$v2" = "$dir" ] || rmdir "$v2"
	rmdir "$dir"
}

@test "what a v1 freezer holds dies all the same, or delete says at once who holds it" {
	! is_v2 || skip "a v2 freezer lets killed processes go"
	local dir
	dir=$(cgroup_dir freezer)
	amphi run -d "$ID" </dev/null >/dev/null 2>&1
	# frozen below, by the workload
	mkdir "$dir/below"
	echo "$(pid_of "$ID")" >"$dir/below/cgroup.procs"
	echo FROZEN >"$dir/below/freezer.state"
	amphi delete --force "$ID"
	# moved elsewhere and frozen there: it comes back to die, others stay as they are
	amphi run -d "$ID" </dev/null >/dev/null 2>&1
	mkdir "$dir-other"
	echo "$(pid_of "$ID")" >"$dir-other/cgroup.procs"
	echo FROZEN >"$dir-other/freezer.state"
	amphi delete --force "$ID"
	[ "$(cat "$dir-other/freezer.state")" = FROZEN ]
	rmdir "$dir-other"
	# frozen above, by somebody else
	amphi run -d "$ID" </dev/null >/dev/null 2>&1
	echo FROZEN >"${dir%/*}/freezer.state"
	if ! is_vm; then # a machine is paused by its vCPUs
		run -1 amphi resume "$ID"
		check_output "${dir%/*} is frozen"
	fi
	run -1 amphi delete --force "$ID"
	check_output "${dir%/*} is frozen"
	echo THAWED >"${dir%/*}/freezer.state"
	amphi delete --force "$ID"
	cgroup_gone
}

@test "cgroups that the workload made go too" {
	config '.linux.namespaces |= (map(select(.type != "cgroup")) + [{type: "cgroup"}]) | .mounts += [{destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["nosuid", "noexec", "nodev", "relatime", "rw"]}] | .mounts |= unique_by(.destination)'
	amphi run -d "$ID" </dev/null >/dev/null 2>&1
	dir=$(cgroup_dir pids)
	mkdir -p "$dir/a/b"
	amphi delete --force "$ID"
	cgroup_gone
}

@test "devices: only what is allowed can be opened" {
	config '.linux.resources.devices = [{allow: false, access: "rwm"}]'
	config_args sh -c 'echo >/dev/null && echo null works; mknod /tmp/kmsg c 1 11 && echo mknod works; cat /tmp/kmsg || echo denied'
	config '.process.capabilities.bounding += ["CAP_MKNOD"] | .process.capabilities.effective += ["CAP_MKNOD"] | .process.capabilities.permitted += ["CAP_MKNOD"]
		| .mounts |= map(if .destination == "/tmp" then .options -= ["nodev"] else . end)'
	run amphi run "$ID"
	check_output "null works"
	check_output "mknod works"
	check_output "denied"
}

@test "devices: an allowed one opens, and only as allowed" {
	: <>/dev/fuse 2>/dev/null || skip "needs a device that opens: /dev/fuse"
	config '.linux.resources.devices = [{allow: false, access: "rwm"}, {allow: true, type: "c", major: 10, minor: 229, access: "r"}]
		| .linux.devices = [{path: "/dev/fuse", type: "c", major: 10, minor: 229, fileMode: 438, uid: 0, gid: 0}]'
	config_args sh -c '(: </dev/fuse) && echo reads; (: >>/dev/fuse) && echo writes; true'
	run -0 amphi run "$ID"
	check_output reads
	[[ "$output" != *writes* ]]
}

@test "cgroup manager disabled: no cgroup, and no limits" {
	skip_in_vm "a machine has one of its own"
	before=$(cat /proc/self/cgroup)
	config_args cat /proc/self/cgroup
	config 'del(.linux.resources) | .linux.namespaces |= map(select(.type != "cgroup"))'
	run -0 amphi --cgroup-manager disabled run "$ID"
	[ "$(echo "$output" | sort)" = "$(echo "$before" | sort)" ]
	config '.linux.resources.pids.limit = 10'
	run ! amphi --cgroup-manager disabled run "$ID"
	check_output "linux.resources.pids.limit"
}

@test "the systemd driver says what is missing" {
	[ ! -d /run/systemd/system ] || skip "systemd runs here"
	config '.linux.cgroupsPath = "system.slice:amphi:x"'
	run ! amphi --systemd-cgroup run "$ID"
	check_output "systemd not running on this host"
}

@test "systemd: a scope with limits, and its end" {
	[ -d /run/systemd/system ] || skip "needs systemd"
	config '.linux.cgroupsPath = "system.slice:amphitest:" + $id | .linux.resources.pids.limit = 21' --arg id "$ID"
	amphi --systemd-cgroup run -d "$ID" </dev/null >/dev/null 2>&1
	grep -q "/system.slice/amphitest-$ID.scope" "/proc/$(pid_of "$ID")/cgroup"
	[ "$(systemctl show -P TasksMax "amphitest-$ID.scope")" = 21 ]
	amphi update --pids-limit 31 "$ID"
	[ "$(systemctl show -P TasksMax "amphitest-$ID.scope")" = 31 ]
	amphi delete --force "$ID"
	[ "$(systemctl show -P LoadState "amphitest-$ID.scope")" = not-found ]
}

@test "paths that lead out are refused" {
	config '.linux.cgroupsPath = "/../x"'
	run ! amphi run "$ID"
	check_output "linux.cgroupsPath"
	config '.linux.cgroupsPath = "/"'
	run ! amphi run "$ID"
	check_output "linux.cgroupsPath"
}

@test "exec runs in the container's cgroup, or below it with --cgroup" {
	amphi run -d "$ID" </dev/null >/dev/null 2>&1
	amphi exec -d --pid-file "$BATS_TEST_TMPDIR/pid" "$ID" sleep 900
	pid=$(cat "$BATS_TEST_TMPDIR/pid")
	grep -q ":$CGROUP\$" "/proc/$pid/cgroup"
	run ! grep -v ":$CGROUP\$" "/proc/$pid/cgroup"
	run ! amphi exec --cgroup ../out "$ID" true
	check_output "--cgroup"
}

@test "kill --all reaches every process" {
	config_args sh -c 'trap "" TERM; sleep 1000 & sleep 1000 & wait'
	amphi run -d "$ID" </dev/null >/dev/null 2>&1
	pid=$(pid_of "$ID")
	amphi kill --all "$ID" KILL
	wait_for gone "$pid"
	wait_for status_is "$ID" stopped
	amphi delete "$ID"
	cgroup_gone
}

@test "intelRdt is refused by name where the host has none" {
	skip_in_vm "refused altogether"
	! mountpoint -q /sys/fs/resctrl || skip "resctrl is mounted here"
	config '.linux.intelRdt = {closID: "guaranteed", l3CacheSchema: "L3:0=f"}'
	run ! amphi run "$ID"
	check_output "linux.intelRdt"
	config '.linux.intelRdt = {closID: "../x"}'
	run ! amphi run "$ID"
	check_output "linux.intelRdt.closID"
	cgroup_gone
}
