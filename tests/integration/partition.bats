# SPDX-License-Identifier: Apache-2.0
# backends: vm
# The size of a machine: from annotations and limits, changed while it runs, and what its counters say.
load helpers
load cgroup

setup() { need_root; setup_bundle; }
teardown() { teardown_all; }

vm_stat() { amphi events --stats "$ID" | jq "$1"; }
vm_stat_is() { [ "$(vm_stat "$1")" = "$2" ]; }

# bats test_tags=lab:vm
@test "partition: processors and memory follow the limits while the machine runs" {
	config '.annotations = {"amphi.vm.vcpus": "2", "amphi.vm.memory": "320m"} | .linux.resources.memory = {limit: 209715200}'
	config_args sleep 1000
	detached
	[ "$(amphi exec "$ID" nproc)" = 2 ]
	# both work: field 39 is the processor that it ran on
	amphi exec "$ID" sh -c 'for c in 0 1; do taskset $((c + 1)) sh -c "i=0; while [ \$i -lt 3000 ]; do i=\$((i + 1)); done
		cut -d\  -f39 /proc/\$\$/stat >/cpu$c" & done; wait'
	[ "$(cat "$BUNDLE/rootfs/cpu0" "$BUNDLE/rootfs/cpu1")" = $'0\n1' ]
	run -0 amphi events --stats "$ID"
	jq -e '.vm.vcpus == 2 and .vm.vcpusPresent >= 2 and .vm.memory == 335544320 and .vm.balloon == 0 and .vm.resident > 0
		and .vm.host.memory > 0 and .data.memory.usage.limit == 209715200 and .data.pids.current == 1 and .data.cpu.usage.total > 0' <<<"$output"
	# what made the guest leave is known where KVM runs it
	[ "$(amphi list --format json | jq -r '.[0].id')" = "$ID" ]
	if [ "$AMPHI_VMM" = kvm ]; then jq -e '.vm.exits.all > 0 and .vm.exits.mmio > 0' <<<"$output"; fi
	amphi update --cpu-quota 90000 --cpu-period 100000 "$ID"
	[ "$(amphi exec "$ID" nproc)" = 1 ]
	vm_stat_is .vm.vcpus 1
	# what the host gives is the host's to say, whatever the guest does
	throttled() { [ "$(awk '/^nr_throttled/ { print $2 }' "$(cgroup_dir cpu)/cpu.stat")" -gt "$1" ]; }
	amphi exec -d "$ID" timeout 10 sh -c 'while :; do :; done'
	amphi update --cpu-quota 30000 "$ID"
	WAIT=200 wait_for throttled "$(awk '/^nr_throttled/ { print $2 }' "$(cgroup_dir cpu)/cpu.stat")"
	amphi update --cpu-quota 150000 "$ID"
	[ "$(amphi exec "$ID" nproc)" = 2 ]
	# 192 MiB and 96 MiB for the guest's kernel stay of 320
	amphi update --memory 192m "$ID"
	WAIT=200 wait_for vm_stat_is .vm.balloon 33554432
	vm_stat_is .data.memory.usage.limit 201326592
	amphi update --memory 200m "$ID"
	WAIT=200 wait_for vm_stat_is .vm.balloon 25165824
	run -1 amphi update --memory 400m "$ID"
	check_output "linux.resources.memory.limit: the machine has 320 MiB and cannot grow"
	vm_stat_is .data.memory.usage.limit 209715200
}

@test "partition: out of memory in the machine is an event and a kill, and the machine goes on" {
	config '.linux.resources.memory = {limit: 33554432, swap: 33554432}'
	config_args sh -c 'until [ -e /go ]; do sleep 0.05; done; dd if=/dev/zero of=/dev/shm/x bs=1M count=60; echo "dd: $?"; rm /dev/shm/x; until [ -e /end ]; do sleep 0.05; done; exec dd if=/dev/zero of=/dev/shm/x bs=1M count=60'
	config '(.mounts[] | select(.destination == "/dev/shm")).options |= map(if startswith("size=") then "size=90m" else . end)'
	amphi run --bundle "$BUNDLE" "$ID" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	local runner=$! rc=0
	WAIT=200 wait_for status_is "$ID" running
	timeout 200 "$AMPHI" --root "$ROOT" events --interval 100ms "$ID" >"$BATS_TEST_TMPDIR/events" 3>&- &
	wait_for grep -q stats "$BATS_TEST_TMPDIR/events"
	touch "$BUNDLE/rootfs/go"
	wait_for grep -q '"type":"oom"' "$BATS_TEST_TMPDIR/events"
	wait_for grep -q "dd: 137" "$BATS_TEST_TMPDIR/out"
	touch "$BUNDLE/rootfs/end"
	wait $runner || rc=$?
	[ $rc -eq 137 ]
}

# bats test_tags=lab:vm
@test "partition: free memory goes back to the host, the balloon gives way when the machine has none left, the host's limit kills" {
	local before full runner rc=0
	need_program socat
	config '.annotations = {"amphi.vm.memory": "176m"} | (.mounts[] | select(.destination == "/dev/shm")).options |= map(if startswith("size=") then "size=90m" else . end)'
	config_args sleep 1000
	amphi run --bundle "$BUNDLE" "$ID" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	runner=$!
	WAIT=200 wait_for status_is "$ID" running
	before=$(vm_stat .vm.resident)
	amphi exec "$ID" dd if=/dev/zero of=/dev/shm/x bs=1M count=60
	full=$(vm_stat .vm.resident)
	# nobody asks for it: free pages are reported by themselves
	amphi exec "$ID" rm /dev/shm/x
	resident_below() { [ "$(vm_stat .vm.resident)" -lt "$1" ]; }
	echo "# resident: $before, with 60 MiB $full" >&3
	[ "$full" -gt $((before + 50000000)) ]
	wait_for resident_below $((full - 40000000))
	# 96 MiB stay for 88 and the kernel: what it lacks the balloon gives back
	printf 'BALLOON 83886080\n' | timeout 60 socat -t 60 - "UNIX-CONNECT:$ROOT/$ID/agent.sock" | grep -q OK
	wait_for vm_stat_is .vm.balloon 83886080
	amphi exec "$ID" dd if=/dev/zero of=/dev/shm/x bs=1M count=88
	[ "$(vm_stat .vm.balloon)" -lt 83886080 ]
	[ "$(vm_stat .data.memory.usage.usage)" -gt 88000000 ]
	# What the host's limit does not have for the machine is the end of its monitor, never success.
	[ "$AMPHI_VMM" = kvm ] && is_v2 || return 0
	echo $(($(cat "$(cgroup_dir memory)/memory.current") - 41943040)) >"$(cgroup_dir memory)/memory.max"
	wait $runner || rc=$?
	[ $rc -eq 137 ]
}
