# SPDX-License-Identifier: Apache-2.0
# backends: container vm
# bats file_tags=lab:container
load helpers
load cgroup

setup() {
	need_root
	setup_bundle
	cd "$BUNDLE"
	config_args sleep 1000
	config '.linux.resources += {memory: {limit: 67108864, reservation: 33554432}, cpu: {shares: 100, quota: 500000, period: 1000000}, pids: {limit: 20}}'
	amphi run -d "$ID" </dev/null >/dev/null 2>&1
}
teardown() { teardown_all; }

@test "each option changes its file and leaves the others" {
	amphi update --memory 96m "$ID"
	file_is memory memory.limit_in_bytes 100663296 memory.max 100663296
	file_is memory memory.soft_limit_in_bytes 33554432 memory.low 33554432
	amphi update --memory-reservation 40m "$ID"
	file_is memory memory.soft_limit_in_bytes 41943040 memory.low 41943040
	amphi update --cpu-share 200 "$ID"
	file_is cpu cpu.shares 200 cpu.weight 29
	amphi update --cpu-quota 600000 "$ID"
	file_is cpu cpu.cfs_quota_us 600000 cpu.max "600000 1000000"
	amphi update --cpu-period 900000 --cpu-quota 600000 "$ID"
	file_is cpu cpu.cfs_period_us 900000 cpu.max "600000 900000"
	amphi update --cpu-quota -1 "$ID"
	file_is cpu cpu.cfs_quota_us -1 cpu.max "max 900000"
	amphi update --pids-limit 10 "$ID"
	file_is pids pids.max 10 pids.max 10
	amphi update --pids-limit -1 "$ID"
	file_is pids pids.max max pids.max max
	amphi update --cpuset-cpus 0 "$ID"
	# a set of the host's processors holds the machine there
	is_vm || file_is cpuset cpuset.cpus 0 cpuset.cpus 0
}

@test "memory and swap in either direction" {
	amphi update --memory 64m --memory-swap 96m "$ID"
	file_is memory memory.memsw.limit_in_bytes 100663296 memory.swap.max 33554432
	amphi update --memory 128m --memory-swap 160m "$ID"
	file_is memory memory.limit_in_bytes 134217728 memory.max 134217728
	file_is memory memory.memsw.limit_in_bytes 167772160 memory.swap.max 33554432
	amphi update --memory 32m --memory-swap 40m "$ID"
	file_is memory memory.limit_in_bytes 33554432 memory.max 33554432
	amphi update --memory -1 "$ID"
	file_is memory memory.limit_in_bytes 9223372036854771712 memory.max max
}

@test "a resources document, from standard input and from a file" {
	echo '{"memory":{"limit":50331648},"pids":{"limit":12}}' | amphi update -r - "$ID"
	file_is memory memory.limit_in_bytes 50331648 memory.max 50331648
	file_is pids pids.max 12 pids.max 12
	file_is cpu cpu.cfs_quota_us 500000 cpu.max "500000 1000000"
	echo '{"cpu":{"shares":300}}' >"$BATS_TEST_TMPDIR/r.json"
	amphi update --resources="$BATS_TEST_TMPDIR/r.json" "$ID"
	file_is cpu cpu.shares 300 cpu.weight 39
}

@test "the stored configuration has what is in force" {
	stored() { jq -r "$1" "$ROOT/$ID/config.json"; }
	amphi update --memory 96m --cpu-share 200 "$ID"
	[ "$(stored .linux.resources.memory.limit)" = 100663296 ]
	[ "$(stored .linux.resources.memory.reservation)" = 33554432 ]
	[ "$(stored .linux.resources.cpu.shares)" = 200 ]
	[ "$(stored .linux.resources.cpu.quota)" = 500000 ]
	echo '{"pids":{"limit":12}}' | amphi update -r - "$ID"
	[ "$(stored .linux.resources.pids.limit)" = 12 ]
	[ "$(stored .linux.resources.memory.limit)" = 100663296 ]
	[ "$(stored .process.args[0])" = sleep ]
	run ! amphi update --cpuset-cpus 9999 "$ID"
	[ "$(stored .linux.resources.cpu.cpus)" = null ]
	[ "$(jq -r .linux.resources.pids.limit "$BUNDLE/config.json")" = 20 ]
}

@test "devices change without being open in between" {
	run amphi exec "$ID" sh -c ': </dev/null && echo yes'
	check_output yes
	echo '{"devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":1,"minor":11,"access":"r"}]}' | amphi update -r - "$ID"
	run amphi exec "$ID" sh -c ': </dev/null && echo yes'
	check_output yes
	if ! is_v2 && ! is_vm; then grep -q "c 1:11 r" "$(cgroup_dir devices)/devices.list"; fi
	echo '{"memory":{"limit":50331648}}' | amphi update -r - "$ID"
	if ! is_v2 && ! is_vm; then grep -q "c 1:11 r" "$(cgroup_dir devices)/devices.list"; fi
}

@test "bad values are refused by name and change nothing" {
	run ! amphi update --memory lots "$ID"
	check_output "--memory"
	run ! amphi update --cpu-period x "$ID"
	check_output "--cpu-period"
	run ! amphi update -r - "$ID" <<<'{"memory":{"limit":"x"}}'
	check_output "memory.limit"
	run ! amphi update -r - "$ID" <<<'{'
	run ! amphi update -r - --memory 1m "$ID" <<<'{}'
	check_output "--resources"
	run ! amphi update --memory 64m --memory-swap 32m "$ID"
	check_output "memory+swap limit should be >= memory limit"
	file_is memory memory.limit_in_bytes 67108864 memory.max 67108864
	run ! amphi update --memory 1m nosuch
	check_output "container does not exist"
}

@test "checkBeforeUpdate refuses a limit below the usage" {
	amphi exec "$ID" dd if=/dev/zero of=/dev/shm/fill bs=1M count=16
	run ! amphi update -r - "$ID" <<<'{"memory":{"limit":8388608,"checkBeforeUpdate":true}}'
	check_output "rejecting memory limit"
	file_is memory memory.limit_in_bytes 67108864 memory.max 67108864
}

@test "a stopped container has no limits" {
	amphi kill "$ID" KILL
	wait_for status_is "$ID" stopped
	run ! amphi update --memory 1g "$ID"
	check_output "container not running"
}
