#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# backends: vm
# What is special about machines; what both back ends share is tested by the other files.

load helpers

setup() { need_root; setup_bundle; }
teardown() { teardown_all; }

# bats test_tags=lab:vm
@test "the machine runs a kernel of its own" {
	config_args uname -r
	run -0 amphi run --bundle "$BUNDLE" "$ID"
	[ "$output" != "$(uname -r)" ]
	[ "$output" = "$("$AMPHI" kernel ls --format json | jq -r '.[] | select(.default) | .release')" ]
}

@test "the distribution's other kernel, chosen by its name" {
	local dir release
	dir=$("$BATS_TEST_DIRNAME/../lab/fetch" amd64) || skip "needs the package linux-image-amd64"
	release=$(ls "$dir/lib/modules")
	cp -r "$AMPHI_KERNELS" "$BATS_TEST_TMPDIR/kernels"
	export AMPHI_KERNELS=$BATS_TEST_TMPDIR/kernels
	"$AMPHI" kernel add --image "$dir/boot/vmlinuz-$release" --modules "$dir/lib/modules/$release"
	config '.annotations = {"amphi.vm.kernel": $r}' --arg r "$release"
	config_args sh -c 'uname -r; echo written >/file'
	run -0 amphi run --bundle "$BUNDLE" "$ID"
	[ "$output" = "$release" ]
	[ "$(cat "$BUNDLE/rootfs/file")" = written ]
}

# bats test_tags=lab:vm
@test "the exit code is the workload's, a signal is 128 + its number" {
	config_args sh -c 'exit 42'
	run -42 amphi run --bundle "$BUNDLE" "$ID"
	config_args sh -c 'sh -c "kill -9 \$\$"; exit $?'
	run -137 amphi run --bundle "$BUNDLE" "$ID"
}

# bats test_tags=lab:vm
@test "an executable that is not there is told before create returns" {
	config_args no-such-program
	run -1 amphi create --bundle "$BUNDLE" --pid-file "$BATS_TEST_TMPDIR/pid" "$ID"
	check_output 'exec: "no-such-program": executable file not found in $PATH'
	[ ! -e "$BATS_TEST_TMPDIR/pid" ]
	run -1 amphi state "$ID"
}

# bats test_tags=lab:vm
@test "large stdin and stdout pass unharmed" {
	config_args cat
	head -c 20000000 /dev/urandom >"$BATS_TEST_TMPDIR/data"
	amphi run --bundle "$BUNDLE" "$ID" <"$BATS_TEST_TMPDIR/data" >"$BATS_TEST_TMPDIR/back"
	cmp "$BATS_TEST_TMPDIR/data" "$BATS_TEST_TMPDIR/back"
}

@test "stdout and stderr are apart, stdin ends" {
	config_args sh -c 'cat; echo err >&2'
	echo in | amphi run --bundle "$BUNDLE" "$ID" >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err"
	[ "$(cat "$BATS_TEST_TMPDIR/out")" = in ]
	[ "$(cat "$BATS_TEST_TMPDIR/err")" = err ]
}

# bats test_tags=lab:vm
@test "the life of a machine: create, start, exec, kill, delete" {
	config_args sleep 1000
	amphi create --bundle "$BUNDLE" --pid-file "$BATS_TEST_TMPDIR/pid" "$ID" </dev/null >/dev/null 2>&1
	status_is "$ID" created
	[ "$(cat "$BATS_TEST_TMPDIR/pid")" = "$(pid_of "$ID")" ]
	amphi start "$ID"
	status_is "$ID" running
	run -5 amphi exec "$ID" sh -c 'echo from exec; exit 5'
	[ "$output" = "from exec" ]
	run -255 amphi exec "$ID" no-such-program
	check_output 'executable file not found in $PATH'
	amphi kill "$ID" KILL
	wait_for status_is "$ID" stopped
	amphi delete "$ID"
}

@test "exec fifty times" {
	config_args sleep 1000
	amphi run -d --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
	for i in $(seq 50); do
		[ "$(amphi exec "$ID" echo "$i")" = "$i" ]
	done
	run -0 amphi exec "$ID" sh -c 'ls /proc | grep -c "^[0-9]"'
	[ "$output" -le 6 ]
}

@test "exec with a terminal of the caller and its size" {
	config_args sleep 1000
	amphi run -d --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
	run -0 script -qec "stty rows 33 cols 77; '$AMPHI' --root '$ROOT' exec -t '$ID' sh -c 'tty; stty size'" /dev/null
	check_output /dev/pts/
	check_output "33 77"
}

@test "run with a terminal" {
	config '.process.terminal = true'
	config_args sh -c 'tty; stty size; exit 4'
	run -4 script -qec "stty rows 21 cols 71; '$AMPHI' --root '$ROOT' --isolation vm --vmm $AMPHI_VMM run --bundle '$BUNDLE' '$ID'" /dev/null
	check_output /dev/
	check_output "21 71"
}

# bats test_tags=lab:vm
@test "bind mounts: directory and file, read-write and read-only" {
	mkdir "$BATS_TEST_TMPDIR/rw" "$BATS_TEST_TMPDIR/ro"
	echo one >"$BATS_TEST_TMPDIR/ro/a"
	echo two >"$BATS_TEST_TMPDIR/file"
	config '.mounts += [
		{destination: "/rw", type: "bind", source: $rw, options: ["rbind", "rw"]},
		{destination: "/ro", type: "bind", source: $ro, options: ["rbind", "ro"]},
		{destination: "/etc/file", type: "bind", source: $file, options: ["bind", "rw"]}]' \
		--arg rw "$BATS_TEST_TMPDIR/rw" --arg ro "$BATS_TEST_TMPDIR/ro" --arg file "$BATS_TEST_TMPDIR/file"
	config_args sh -c 'cat /ro/a /etc/file; echo three >/rw/b; echo four >>/etc/file; ! echo x 2>/dev/null >/ro/x'
	run -0 amphi run --bundle "$BUNDLE" "$ID"
	[ "$output" = $'one\ntwo' ]
	[ "$(cat "$BATS_TEST_TMPDIR/rw/b")" = three ]
	[ "$(cat "$BATS_TEST_TMPDIR/file")" = $'two\nfour' ]
	[ ! -e "$BATS_TEST_TMPDIR/ro/x" ]
}

@test "user, groups, environment, working directory, hostname, umask" {
	config '.process.user = {uid: 1000, gid: 1000, additionalGids: [7], umask: 63} | .process.env += ["A=b c"] | .process.cwd = "/home" | .hostname = "machine"'
	config_args sh -c 'id -u; id -G; echo "$A"; pwd; hostname; umask'
	run -0 amphi run --bundle "$BUNDLE" "$ID"
	[ "$output" = $'1000\n1000 7\nb c\n/home\nmachine\n0077' ]
}

@test "capabilities, rlimits, no new privileges, seccomp act inside" {
	config '.process.capabilities = {bounding: ["CAP_KILL"], permitted: ["CAP_KILL"], effective: ["CAP_KILL"]}
		| .process.rlimits = [{type: "RLIMIT_NOFILE", soft: 111, hard: 222}]
		| .linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 95}]}'
	config_args sh -c 'grep CapEff /proc/self/status; grep NoNewPrivs /proc/self/status; grep Seccomp: /proc/self/status; ulimit -n; mkdir /tmp/x'
	run -1 amphi run --bundle "$BUNDLE" "$ID"
	check_output $'CapEff:\t0000000000000020'
	check_output $'NoNewPrivs:\t1'
	check_output $'Seccomp:\t2'
	check_output $'\n111\n'
	check_output "not supported"
}

# bats test_tags=lab:vm
@test "entropy comes from the host" {
	config '.process.capabilities |= map_values(. + ["CAP_MKNOD"])
		| .linux.resources.devices += [{allow: true, type: "c", major: 10, minor: 183, access: "rm"}]'
	config_args sh -c 'cat /sys/class/misc/hw_random/rng_current; mknod /dev/hwrng c 10 183
		for i in 1 2; do head -c 4096 /dev/hwrng | md5sum; done'
	run -0 amphi run --bundle "$BUNDLE" "$ID"
	[ "${lines[0]}" = virtio_rng.0 ]
	[ "${lines[1]}" != "${lines[2]}" ]
	[ "$(head -c 4096 /dev/zero | md5sum)" != "${lines[1]}" ]
}

@test "limits hold inside" {
	config '.linux.resources.pids = {limit: 20} | .linux.resources.memory = {limit: 67108864}'
	config_args sh -c 'cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/memory.max'
	config '.linux.namespaces += [{type: "cgroup"}] | .mounts += [{destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["ro"]}] | .linux.namespaces |= unique_by(.type) | .mounts |= unique_by(.destination)'
	run -0 amphi run --bundle "$BUNDLE" "$ID"
	[ "$output" = $'20\n67108864' ]
}

@test "the kill of the monitor leaves nothing, and is no success" {
	config_args sleep 1000
	amphi run --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1 3>&- &
	runner=$!
	wait_for status_is "$ID" running
	kill -9 "$(pid_of "$ID")"
	rc=0
	wait $runner || rc=$?
	[ $rc -eq 137 ]
	run -1 amphi state "$ID"
}

# A workload that may write to /proc/sysrq-trigger.
may_sysrq() {
	config '.linux.maskedPaths = [] | .linux.readonlyPaths = [] | .process.capabilities.bounding += ["CAP_SYS_ADMIN"] | .process.capabilities.effective += ["CAP_SYS_ADMIN"] | .process.capabilities.permitted += ["CAP_SYS_ADMIN"]'
}

# bats test_tags=lab:vm
@test "a kernel that panics: its words are in the log, the run ends without success, nothing stays" {
	config_args sh -c 'echo c >/proc/sysrq-trigger; sleep 1000'
	may_sysrq
	run amphi --log "$BATS_TEST_TMPDIR/log" run --bundle "$BUNDLE" "$ID"
	check_status 255
	grep "level=error" "$BATS_TEST_TMPDIR/log" | grep -q "the machine's kernel: Kernel panic - not syncing: sysrq triggered crash"
	grep -q "$ID: the machine was lost" "$BATS_TEST_TMPDIR/log"
	[ ! -e "$ROOT/$ID" ]
}

@test "every process of the machine but its first killed at once is the end of the run" {
	config_args sh -c 'echo i >/proc/sysrq-trigger; sleep 1000'
	may_sysrq
	run amphi run --bundle "$BUNDLE" "$ID"
	[ "$status" = 137 ] || check_status 255 # as who tells of it is killed too
	[ ! -e "$ROOT/$ID" ]
}

# bats test_tags=lab:vm
@test "a machine is put down with its file systems written" {
	cp "$HELPERS/mapped" "$BUNDLE/rootfs/bin/"
	config_args mapped /file
	run -7 amphi run --bundle "$BUNDLE" "$ID"
	[ "$(tr -d m <"$BUNDLE/rootfs/file" | wc -c)" = 0 ]
	[ "$(stat -c %s "$BUNDLE/rootfs/file")" = 1048576 ]
}

@test "signals reach the workload" {
	config_args sh -c 'trap "echo got term; exit 3" TERM; echo ready; while :; do sleep 0.1; done'
	amphi run -d --bundle "$BUNDLE" "$ID" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1
	wait_for grep -q ready "$BATS_TEST_TMPDIR/out"
	amphi kill "$ID" TERM
	wait_for status_is "$ID" stopped
	grep -q "got term" "$BATS_TEST_TMPDIR/out"
}

@test "pause and resume" {
	config_args sh -c 'while :; do echo x >>/count; sleep 0.02; done'
	amphi run -d --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
	wait_for test -s "$BUNDLE/rootfs/count"
	amphi pause "$ID"
	status_is "$ID" paused
	amphi resume "$ID"
	status_is "$ID" running
	size=$(stat -c %s "$BUNDLE/rootfs/count")
	wait_for test "$(stat -c %s "$BUNDLE/rootfs/count")" -ge "$size"
}

@test "what cannot exist in a machine is refused by its name, and nothing is left" {
	refused() { # WORDS JQ
		cp "$BUNDLE/config.json" "$BUNDLE/config.keep"
		config "$2"
		run -1 amphi create --bundle "$BUNDLE" "$ID"
		check_output "$1"
		run -1 amphi state "$ID"
		mv "$BUNDLE/config.keep" "$BUNDLE/config.json"
	}
	refused "linux.namespaces: ipc" '.linux.namespaces |= map(if .type == "ipc" then .path = "/proc/1/ns/ipc" else . end)'
	refused "linux.namespaces: network" '.linux.namespaces |= map(select(.type != "network"))'
	refused "hooks.createContainer" '.hooks.createContainer = [{path: "/bin/true"}]'
	refused "linux.devices[0]: /dev/sda" '.linux.devices = [{path: "/dev/sda", type: "b", major: 8, minor: 0}]'
	refused "options: rshared" '.process.capabilities.bounding += ["CAP_SYS_ADMIN"] | .mounts += [{destination: "/x", type: "bind", source: "/tmp", options: ["rbind", "rshared"]}]'
	refused "linux.intelRdt" '.linux.intelRdt = {closID: "x"}'
	refused "process.apparmorProfile" '.process.apparmorProfile = "x"'
}

@test "hooks: those of the host run there, startContainer runs in the machine" {
	config '.hooks = {createRuntime: [{path: "/bin/sh", args: ["sh", "-c", $c]}], startContainer: [{path: "/bin/sh", args: ["sh", "-c", "uname -r >/hook"]}], poststop: [{path: "/bin/sh", args: ["sh", "-c", $p]}]}' \
		--arg c "uname -r >$BATS_TEST_TMPDIR/create" --arg p "touch $BATS_TEST_TMPDIR/stop"
	config_args true
	run -0 amphi run --bundle "$BUNDLE" "$ID"
	[ "$(cat "$BATS_TEST_TMPDIR/create")" = "$(uname -r)" ]
	[ "$(cat "$BUNDLE/rootfs/hook")" != "$(uname -r)" ]
	[ -e "$BATS_TEST_TMPDIR/stop" ]
}

@test "network: a namespace that somebody prepared, with its address and routes" {
	need_program ip
	ns=amphi-vm-$$ host=av$$
	ip netns add "$ns" || skip "needs network namespaces"
	ip link add "$host" type veth peer name eth0 netns "$ns"
	ip addr add 10.213.7.1/24 dev "$host" && ip link set "$host" up
	ip -n "$ns" addr add 10.213.7.2/24 dev eth0 && ip -n "$ns" link set eth0 up && ip -n "$ns" route add default via 10.213.7.1
	config '.linux.namespaces |= map(if .type == "network" then .path = $p else . end)
		| .process.capabilities |= map_values(. + ["CAP_NET_RAW"])' --arg p "/run/netns/$ns"
	config_args sh -c 'ip -4 addr show eth0; ip route; ping -c 1 -W 30 10.213.7.1'
	run amphi run --bundle "$BUNDLE" "$ID"
	after=$(ip -n "$ns" -4 addr show eth0)
	ip netns del "$ns"
	ip link del "$host" 2>/dev/null || :
	check_status 0
	check_output "10.213.7.2/24"
	check_output "default via 10.213.7.1"
	check_output "1 packets received"
	[[ "$after" == *10.213.7.2/24* ]]
}

# bats test_tags=lab:vm
@test "network: what the namespace's links are given between create and start" {
	need_program ip
	local ns=amphi-vm-$$ host=av$$
	ip netns add "$ns" || skip "needs network namespaces"
	ip link add "$host" type veth peer name eth0 netns "$ns"
	ip addr add 10.213.7.1/24 dev "$host" && ip link set "$host" up
	ip -n "$ns" addr add 10.213.7.2/24 dev eth0 && ip -n "$ns" link set eth0 up && ip -n "$ns" route add 10.99.0.0/16 dev eth0
	config '.linux.namespaces |= map(if .type == "network" then .path = $p else . end)
		| .process.capabilities |= map_values(. + ["CAP_NET_RAW"])' --arg p "/run/netns/$ns"
	config_args sh -c 'cat /sys/class/net/eth0/address /sys/class/net/eth0/mtu; ip addr show eth0; ip route; ping -c 1 -W 30 -s 8000 10.213.7.1'
	amphi create --bundle "$BUNDLE" "$ID" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1
	ip -n "$ns" addr del 10.213.7.2/24 dev eth0
	ip -n "$ns" link set eth0 down
	ip -n "$ns" link set eth0 address 02:00:00:00:07:09 mtu 9000 up
	ip link set "$host" mtu 9000
	ip -n "$ns" addr add 10.213.7.9/24 dev eth0
	ip -n "$ns" addr add fd00:213::9/64 dev eth0 nodad
	ip -n "$ns" route add default via 10.213.7.1
	run amphi start "$ID"
	[ "$status" != 0 ] || wait_for status_is "$ID" stopped
	ip netns del "$ns"
	ip link del "$host" 2>/dev/null || :
	check_status 0
	run -0 cat "$BATS_TEST_TMPDIR/out"
	[ "${lines[0]}" = 02:00:00:00:07:09 ]
	[ "${lines[1]}" = 9000 ]
	check_output "10.213.7.9/24"
	check_output "fd00:213::9/64"
	check_output "default via 10.213.7.1"
	check_output "1 packets received"
	[[ "$output" != *10.213.7.2/24* && "$output" != *10.99.0.0* ]]
}

# bats test_tags=lab:vm
@test "network: the first link that comes between create and start" {
	need_program ip
	local host=av$$
	config '.process.capabilities |= map_values(. + ["CAP_NET_RAW"])'
	config_args sh -c 'cat /sys/class/net/eth0/address; ip addr show eth0; ip route; ping -c 1 -W 30 10.213.7.1'
	amphi create --bundle "$BUNDLE" "$ID" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1
	ip link add "$host" type veth peer name eth0 netns "$(pid_of "$ID")"
	ip addr add 10.213.7.1/24 dev "$host" && ip link set "$host" up
	nsenter -n -t "$(pid_of "$ID")" sh -c 'ip link set eth0 address 02:00:00:00:07:0a up; ip addr add 10.213.7.3/24 dev eth0
		ip route add default via 10.213.7.1'
	run amphi start "$ID"
	[ "$status" != 0 ] || wait_for status_is "$ID" stopped
	ip link del "$host" 2>/dev/null || :
	check_status 0
	run -0 cat "$BATS_TEST_TMPDIR/out"
	[ "${lines[0]}" = 02:00:00:00:07:0a ]
	check_output "10.213.7.3/24"
	check_output "default via 10.213.7.1"
	check_output "1 packets received"
}

@test "mount points are made in a read-only root, which stays read-only" {
	config '.root.readonly = true | .mounts += [{destination: "/new/dir", type: "bind", source: "/etc", options: ["rbind", "ro"]}]'
	config_args sh -c 'test -e /new/dir/passwd && ! echo x 2>/dev/null >/x'
	run -0 amphi run --bundle "$BUNDLE" "$ID"
	[ ! -e "$BUNDLE/rootfs/x" ]
}

@test "a kernel named by its files, with parameters and an initial ramdisk, when the administrator allows it" {
	config '.vm = {kernel: {path: ($k + "/vmlinux"), parameters: ["amphi.test=yes"], initrd: ($k + "/modules.cpio")}}' \
		--arg k "$(realpath "$AMPHI_KERNELS/default")"
	config_args cat /proc/cmdline
	run -1 amphi run --bundle "$BUNDLE" "$ID"
	check_output "vm.kernel.path: host paths need annotationsMayNamePaths"
	echo '{"annotationsMayNamePaths": true}' >"$BATS_TEST_TMPDIR/amphi.json"
	export AMPHI_CONFIG=$BATS_TEST_TMPDIR/amphi.json
	run -0 amphi run --bundle "$BUNDLE" "$ID"
	check_output "amphi.test=yes"
	# a machine whose first process is none, and so ends before the agent
	config '.vm.kernel.parameters = ["rdinit=/no/init"]'
	run -1 amphi run --bundle "$BUNDLE" "$ID"
	check_output "Kernel panic - not syncing"
	[ ! -e "$ROOT/$ID" ]
	config '.vm.kernel.path = "/no/such/kernel"'
	run -1 amphi run --bundle "$BUNDLE" "$ID"
	check_output "vm.kernel.path: /no/such/kernel: no such file or directory"
	[ ! -e "$ROOT/$ID" ]
}
