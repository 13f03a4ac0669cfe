# SPDX-License-Identifier: Apache-2.0
# backends: container vm
# Namespaces: new ones, joined ones, mappings, offsets.
load helpers

setup_file() { share_machine; }
teardown_file() { end_machine; }

setup() {
	need_root
	setup_bundle
}
teardown() {
	[ -z "${HOLDER:-}" ] || kill -KILL "$HOLDER" 2>/dev/null || true
	teardown_all
}
go() {
	config_args sh -c "$1"
	run amphi run --bundle "$BUNDLE" "$ID" </dev/null
	check_status 0
}
# a process in namespaces of its own: hold FLAGS (unshare's)
hold() {
	unshare "$@" sleep 1000 </dev/null >/dev/null 2>&1 3>&- &
	HOLDER=$!
	wait_for grep -q sleep "/proc/$HOLDER/comm"
}
join() { config '(.linux.namespaces[] | select(.type == $t)).path = $p' --arg t "$1" --arg p "/proc/$HOLDER/ns/$2"; }
userns() {
	config '.linux.namespaces += [{type: "user"}] | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}] |
		.linux.gidMappings = [{containerID: 0, hostID: 200000, size: 65536}]'
}

@test "namespaces: each one asked for is new, the others are the runtime's" {
	local ns
	config '.linux.namespaces += [{type: "cgroup"}] | .linux.namespaces |= unique'
	go 'for n in pid net ipc uts mnt cgroup user time; do readlink /proc/self/ns/$n; done; hostname; echo $$'
	for ns in pid net ipc uts mnt cgroup; do
		[[ "$output" != *"$(readlink /proc/self/ns/$ns)"* ]]
	done
	check_output "$(readlink /proc/self/ns/user)"
	check_output "$(readlink /proc/self/ns/time)"
	[ "${lines[-1]}" = 1 ]
}

@test "namespaces: without net and ipc the host's are kept" {
	skip_in_vm "the host's namespaces"
	config '.linux.namespaces |= map(select(.type != "network" and .type != "ipc"))'
	go 'for n in net ipc; do readlink /proc/self/ns/$n; done'
	[ "$output" = "$(readlink /proc/self/ns/net; readlink /proc/self/ns/ipc)" ]
}

@test "namespaces: without uts the name is the host's" {
	skip_in_vm "seen in engine_vm.bats: the machine here is shared and has another name"
	config 'del(.hostname) | .linux.namespaces |= map(select(.type != "uts"))'
	go hostname
	[ "$output" = "$(hostname)" ]
}

@test "namespaces: joined by path: net, ipc, uts, and the pid namespace of another" {
	skip_in_vm "the host's namespaces"
	hold --net --ipc --uts
	join network net
	join ipc ipc
	join uts uts
	config 'del(.hostname)'
	go 'for n in net ipc uts; do readlink /proc/self/ns/$n; done'
	[ "$output" = "$(readlink /proc/$HOLDER/ns/net /proc/$HOLDER/ns/ipc /proc/$HOLDER/ns/uts)" ]
	kill -KILL "$HOLDER"
	unshare --pid --fork --mount-proc sleep 1000 </dev/null >/dev/null 2>&1 3>&- &
	local outer=$!
	wait_for pgrep -P "$outer"
	HOLDER=$(pgrep -P "$outer")
	wait_for grep -q sleep "/proc/$HOLDER/comm"
	config '.linux.namespaces |= map(if .type == "pid" then . + {path: $p} else del(.path) end)' --arg p "/proc/$HOLDER/ns/pid"
	go 'readlink /proc/self/ns/pid; cat /proc/1/comm'
	[ "$output" = "$(readlink "/proc/$HOLDER/ns/pid")"$'\nsleep' ]
}

@test "namespaces: a path of the wrong type, or none, is refused by name" {
	skip_in_vm "the host's namespaces"
	config '(.linux.namespaces[] | select(.type == "network")).path = "/proc/self/ns/uts"'
	run -1 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	check_output "is not a network namespace"
	config '(.linux.namespaces[] | select(.type == "network")).path = "/no/such/ns"'
	run -1 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	check_output "/no/such/ns: no such file or directory"
}

@test "namespaces: user namespace with maps; exec goes in" {
	userns
	config '.process.args = ["sleep", "1000"]'
	chown -R 100000:200000 "$BUNDLE/rootfs"
	detached
	run -0 amphi exec "$ID" sh -c 'id -u; cat /proc/self/uid_map /proc/self/gid_map; echo x > /dev/null && touch /tmp/f && stat -c %u:%g /tmp/f /dev/mqueue; readlink /proc/1/ns/user' </dev/null
	[ "${lines[0]}" = 0 ]
	[[ "${lines[1]}" =~ ^\ *0\ *100000\ *65536$ ]]
	[[ "${lines[2]}" =~ ^\ *0\ *200000\ *65536$ ]]
	[ "${lines[3]} ${lines[4]}" = "0:0 0:0" ]
	is_vm || [ "${lines[5]}" = "$(readlink "/proc/$(pid_of "$ID")/ns/user")" ]
	[ "${lines[5]}" != "$(readlink /proc/1/ns/user)" ]
	[ "$(stat -c %u "$BUNDLE/rootfs/tmp/f")" = 100000 ]
}

@test "namespaces: a user namespace that does not map 0; exec goes in" {
	userns
	config '.linux.uidMappings = [{containerID: 1000, hostID: 100000, size: 1}] | .linux.gidMappings = [{containerID: 1000, hostID: 200000, size: 1}]
		| .process.user = {uid: 1000, gid: 1000} | (.mounts[] | select(.destination == "/dev/pts") | .options) -= ["gid=5"]'
	chmod 755 "$BATS_TEST_TMPDIR" "$BUNDLE"
	chown -R 100000:200000 "$BUNDLE/rootfs"
	config_args sh -c 'id -u; id -g; cat /proc/self/uid_map; echo x >/dev/null; exec sleep 1000'
	detached
	wait_for grep -q 100000 "$BATS_TEST_TMPDIR/out"
	[ "$(tr -s ' \n' ' ' <"$BATS_TEST_TMPDIR/out")" = "1000 1000 1000 100000 1 " ]
	run -0 amphi exec "$ID" id -u </dev/null
	[ "$output" = 1000 ]
}

@test "namespaces: time offsets beside a user namespace" {
	[ -e /proc/self/ns/time ] || skip "needs time namespaces"
	userns
	chmod 755 "$BATS_TEST_TMPDIR" "$BUNDLE"
	chown -R 100000:200000 "$BUNDLE/rootfs"
	config '.linux.namespaces += [{type: "time"}] | .linux.timeOffsets = {monotonic: {secs: 7881}, boottime: {secs: 1337}}'
	config_args cat /proc/self/timens_offsets
	run -0 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	[ "$(tr -s ' \n' ' ' <<<"$output")" = "monotonic 7881 0 boottime 1337 0 " ]
}

@test "namespaces: new user namespace beside a named network namespace" {
	skip_in_vm "the host's namespaces"
	userns
	hold --net
	join network net
	config '.mounts |= map(select(.type != "sysfs" and .type != "cgroup")) | .linux.maskedPaths = [] | .linux.readonlyPaths = []'
	go 'readlink /proc/self/ns/net; id -u; cat /proc/self/uid_map'
	[ "${lines[0]}" = "$(readlink "/proc/$HOLDER/ns/net")" ]
	[ "${lines[1]}" = 0 ]
	[[ "${lines[2]}" == *100000* ]]
}

@test "namespaces: a joined user namespace" {
	skip_in_vm "the host's namespaces"
	userns
	config_args sleep 1000
	detached
	local first=$ID pid
	pid=$(pid_of "$ID")
	ID=$ID-b
	config 'del(.linux.uidMappings, .linux.gidMappings) | .linux.cgroupsPath += "-b" |
		(.linux.namespaces[] | select(.type == "user" or .type == "network" or .type == "ipc")) |= . + {path: ("/proc/" + $p + "/ns/" + ({user: "user", network: "net", ipc: "ipc"}[.type]))}' --arg p "$pid"
	go 'for n in user net ipc; do readlink /proc/self/ns/$n; done; cat /proc/self/uid_map'
	[ "${lines[0]}" = "$(readlink "/proc/$pid/ns/user")" ]
	[ "${lines[1]}" = "$(readlink "/proc/$pid/ns/net")" ]
	[ "${lines[2]}" = "$(readlink "/proc/$pid/ns/ipc")" ]
	ID=$first
}

@test "namespaces: time offsets" {
	[ -e /proc/self/ns/time ] || skip "needs time namespaces"
	config '.linux.namespaces += [{type: "time"}] | .linux.timeOffsets = {monotonic: {secs: 7777, nanosecs: 5}, boottime: {secs: 1000000}}'
	go 'cat /proc/self/timens_offsets; cut -d. -f1 /proc/uptime'
	[[ "${lines[0]}" =~ monotonic\ +7777\ +5 ]]
	[[ "${lines[1]}" =~ boottime\ +1000000\ +0 ]]
	[ "${lines[2]}" -ge 1000000 ]
}

@test "namespaces: hostname, domainname and sysctl belong to the container" {
	local before
	before=$(hostname)
	config '.hostname = "inside" | .domainname = "dom.inside" | .linux.sysctl = {"net.ipv4.ip_forward": "1", "kernel.shm_rmid_forced": "1", "net/ipv4/conf/lo/rp_filter": "2"}'
	go 'hostname; cat /proc/sys/kernel/domainname /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shm_rmid_forced /proc/sys/net/ipv4/conf/lo/rp_filter'
	[ "$output" = $'inside\ndom.inside\n1\n1\n2' ]
	[ "$(hostname)" = "$before" ]
	config '.linux.sysctl = {"net.no.such": "1"}'
	run -1 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	check_output 'net.no.such'
}

@test "namespaces: a container without a mount namespace" {
	skip_in_vm "the host's namespaces"
	config '.linux.namespaces |= map(select(.type != "mount")) | del(.mounts, .linux.maskedPaths, .linux.readonlyPaths)'
	config_args sleep 1000
	detached
	run -0 amphi exec "$ID" sh -c 'ls -d /bin/busybox /usr/bin/gcc 2>/dev/null; pwd' </dev/null
	[ "$output" = $'/bin/busybox\n/' ]
}

@test "namespaces: network devices of the host are moved in with their addresses" {
	skip_in_vm "links of the host"
	need_program ip
	local a="am$$"
	ip link add "${a}a" type veth peer name "${a}b" 2>/dev/null || skip "needs veth devices"
	ip address add 192.0.2.7/24 dev "${a}a"
	ip -6 address add 2001:db8::7/64 dev "${a}a" nodad 2>/dev/null || true
	config '.linux.netDevices = {($a + "a"): {name: "eth0"}, ($a + "b"): {name: "x%d"}}' --arg a "$a"
	config_args sh -c 'ip -o link show; ip -o -4 addr show dev eth0'
	run amphi run --bundle "$BUNDLE" "$ID" </dev/null
	ip link del "${a}a" 2>/dev/null || true
	ip link del "${a}b" 2>/dev/null || true
	check_status 0
	[[ "$output" =~ eth0:.*UP ]]
	[[ "$output" =~ x0:.*UP ]]
	check_output "192.0.2.7/24"
	config '.linux.netDevices = {"nosuchdev0": {}}'
	run -1 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	check_output 'linux.netDevices["nosuchdev0"]: no such device'
}

@test "the loopback link of a new network namespace is up" {
	config_args sh -c 'echo word | nc -l -p 8080 & while ! nc 127.0.0.1 8080 2>/dev/null; do sleep 0.1; done'
	run -0 amphi run --bundle "$BUNDLE" "$ID"
	check_output word
}
