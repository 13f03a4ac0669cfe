# SPDX-License-Identifier: Apache-2.0
# backends: systemd
# bats file_tags=lab:systemd
# Scopes of a real systemd: names, properties, limits, updates, and that nothing is left. In the lab that systemd boots.
load helpers
load engine

setup_file() { [ "$(cat /proc/1/comm)" != systemd ] || debug_build; }

setup() {
	[ "$(cat /proc/1/comm)" = systemd ] || skip "needs systemd as PID 1"
	need_root
	setup_bundle
	cd "$BUNDLE"
	config 'del(.linux.cgroupsPath)'
	config_args sleep 1000
	SCOPE=amphi-$ID.scope
}
teardown() {
	teardown_all
	run -0 systemctl list-units --all --plain --no-legend "*$ID*"
	[ -z "$output" ] || { echo "left: $output" >&2; return 1; }
}

prop() { systemctl show -P "$1" "$SCOPE"; }
is_gone() { [ "$(prop LoadState)" = not-found ]; }
# One question for all of them: has NAME=VALUE...
has() {
	local names
	names=$(printf '%s\n' "$@" | sed 's/=.*//' | paste -sd,)
	diff <(systemctl show -p "$names" "$SCOPE" | sort) <(printf '%s\n' "$@" | sort) >&2
}
# Runs the bundle in a scope; G is its directory.
up() { # COMMAND...
	amphi --systemd-cgroup "$@" --pid-file "$BATS_TEST_TMPDIR/pid" "$ID" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1 ||
		{ cat "$BATS_TEST_TMPDIR/out" >&2; return 1; }
	G=/sys/fs/cgroup$(cut -d: -f3 "/proc/$(<"$BATS_TEST_TMPDIR/pid")/cgroup")
}
in_group() { # FILE VALUE
	[ "$(<"$G/$1")" = "$2" ] || { echo "$1: $(<"$G/$1"), expected $2" >&2; return 1; }
}

@test "systemd: a scope by its default names lives as long as the container" {
	up create
	[ "$G" = "/sys/fs/cgroup/system.slice/$SCOPE" ]
	has ActiveState=active Slice=system.slice Delegate=yes "Description=amphi container $ID"
	[ "$(amphi state "$ID" | jq -r '."systemd-scope"')" = "$SCOPE" ]
	amphi start "$ID"
	amphi exec -d --pid-file "$BATS_TEST_TMPDIR/pid" "$ID" sleep 1000
	[ "$(<"/proc/$(<"$BATS_TEST_TMPDIR/pid")/cgroup")" = "0::/system.slice/$SCOPE" ]
	run -0 amphi ps -f json "$ID"
	[[ "$output" =~ ^\[[0-9]+,[0-9]+\]$ ]]
	run -0 amphi events --stats "$ID"
	[[ "$output" == *'"pids":{"current":2'* ]]
	amphi pause "$ID"
	in_group cgroup.freeze 1
	amphi resume "$ID"
	amphi kill --all "$ID" KILL
	wait_for test ! -e "$G"
	amphi delete "$ID"
	is_gone
}

@test "systemd: slice:prefix:name, limits as properties and in the kernel" {
	SCOPE=test-$ID.scope
	config '.linux.cgroupsPath = "amphi-deep.slice:test:" + $id | .linux.resources += {
		memory: {limit: 67108864, swap: 134217728, reservation: 33554432}, pids: {limit: 25},
		cpu: {shares: 512, quota: 55500, period: 100000, cpus: "0", mems: "0"}, unified: {"memory.high": "50331648"}}' --arg id "$ID"
	up run -d
	[ "$G" = "/sys/fs/cgroup/amphi.slice/amphi-deep.slice/$SCOPE" ]
	has Slice=amphi-deep.slice MemoryMax=67108864 MemoryLow=33554432 MemorySwapMax=67108864 MemoryHigh=50331648 TasksMax=25 \
		CPUWeight=59 CPUQuotaPerSecUSec=560ms AllowedCPUs=0 AllowedMemoryNodes=0
	in_group memory.max 67108864
	in_group memory.low 33554432
	in_group memory.swap.max 67108864
	in_group memory.high 50331648
	in_group pids.max 25
	in_group cpu.weight 59
	in_group cpu.max "55500 100000"
	in_group cpuset.cpus 0
	amphi update --memory 50331648 --memory-swap 50331648 --memory-reservation 16777216 --pids-limit 31 --cpu-quota 20000 \
		--cpu-share 1024 "$ID"
	has MemoryMax=50331648 MemorySwapMax=0 MemoryLow=16777216 TasksMax=31 CPUWeight=100 CPUQuotaPerSecUSec=200ms
	amphi update -r - "$ID" <<<'{"pids": {"limit": -1}, "unified": {"memory.high": "max"}}'
	has TasksMax=infinity MemoryHigh=infinity
	# what systemd writes anew is what was there
	systemctl daemon-reload
	in_group memory.max 50331648
	in_group memory.swap.max 0
	in_group memory.high max
	in_group pids.max max
	in_group cpu.max "20000 100000"
	amphi delete --force "$ID"
	is_gone
}

@test "systemd: device rules stay when systemd reads its units again" {
	config_args sh -c 'mknod /tmp/kmsg c 1 11; exec sleep 1000'
	config '.process.capabilities[] += ["CAP_MKNOD"]'
	up run -d
	wait_for test -e "$BUNDLE/rootfs/tmp/kmsg"
	systemctl daemon-reload
	amphi update --pids-limit 100 "$ID"
	run ! amphi exec "$ID" sh -c ': </dev/zero; : </tmp/kmsg'
	check_output "not permitted"
	[[ "$output" == *kmsg* && "$output" != *zero* ]]
}

@test "systemd: annotations are properties; what cannot be one is refused by name" {
	config '.annotations = {"org.systemd.property.TimeoutStopUSec": "uint64 5000000", "org.systemd.property.CollectMode": "\u0027inactive-or-failed\u0027",
		"other": "x"}'
	up run -d
	has TimeoutStopUSec=5s CollectMode=inactive-or-failed
	amphi delete --force "$ID"
	config '.annotations = {"org.systemd.property.TimeoutStopUSec": "soon"}'
	run -1 amphi --systemd-cgroup run "$ID"
	check_output 'annotations[org.systemd.property.TimeoutStopUSec]: cannot use "soon" as a systemd property'
	config '.annotations = {"org.systemd.property.NoSuchThing": "true"}'
	run -1 amphi --systemd-cgroup run "$ID"
	check_output NoSuchThing
	[ ! -e "$ROOT/$ID" ]
}

@test "systemd: a scope in use is not taken over, a failed one is forgotten" {
	config '.linux.cgroupsPath = "system.slice:test:" + $id | .linux.resources.memory = {limit: 16777216, swap: 16777216}' --arg id "$ID"
	SCOPE=test-$ID.scope
	up run -d
	run -1 amphi --systemd-cgroup run "$ID-second"
	check_output "container's cgroup is not empty"
	# a scope of that name elsewhere: only systemd knows that it is taken
	sed -i 's/system.slice:test/other.slice:test/' config.json
	run -1 amphi --systemd-cgroup run "$ID-second"
	check_output "$SCOPE"
	[ ! -e "$ROOT/$ID-second" ]
	status_is "$ID" running
	amphi delete --force "$ID"
	# out of memory: the scope fails
	config '.annotations = {"org.systemd.property.OOMPolicy": "\u0027kill\u0027"}'
	config_args tail /dev/zero
	run -137 amphi --systemd-cgroup run --keep "$ID"
	wait_for has ActiveState=failed
	config_args true
	amphi --systemd-cgroup run "$ID-third"
	amphi delete --force "$ID"
	is_gone
}

@test "systemd: killed at each step of create, start, exec and delete, delete --force leaves no unit" {
	use_debug_build
	OUT=$BATS_TEST_TMPDIR/out
	no_unit() { # POINT
		amphi delete --force "$ID" || { echo "$1: delete --force fails" >&2; return 1; }
		[ ! -e "$ROOT/$ID" ] && [ ! -e "/sys/fs/cgroup/system.slice/$SCOPE" ] && is_gone ||
			{ echo "$1: left: $(systemctl list-units --all --plain --no-legend "$SCOPE")" >&2; return 1; }
	}
	for point in statedir record cgroup create create-record hooks setup created pid-file; do
		killed_at "$point" --systemd-cgroup create --pid-file "$BATS_TEST_TMPDIR/pid" "$ID"
		no_unit "$point"
	done
	for point in start started poststart; do
		amphi --systemd-cgroup create "$ID" </dev/null >>"$OUT" 2>&1
		killed_at "$point" start "$ID"
		no_unit "$point"
	done
	amphi --systemd-cgroup run -d "$ID" </dev/null >>"$OUT" 2>&1
	killed_at exec exec -d "$ID" sleep 1000
	[ "$(prop ActiveState)" = active ]
	for point in delete undo-create undo-cgroup undo-cgroup-destroy undo-statedir; do
		killed_at "$point" delete --force "$ID"
		no_unit "$point"
		amphi --systemd-cgroup run -d "$ID" </dev/null >>"$OUT" 2>&1
	done
	no_unit last
}

@test "systemd: over the system's bus where there is no private socket" {
	without_private() {
		unshare -m --propagation private bash -c 'mount --bind /dev/null /run/systemd/private && exec "$@"' - \
			"$AMPHI" --root "$ROOT" --systemd-cgroup "$@"
	}
	without_private run -d "$ID" </dev/null >/dev/null 2>&1
	without_private update --pids-limit 22 "$ID"
	has TasksMax=22
	without_private delete --force "$ID"
	is_gone
}

@test "systemd: in a user namespace the container's user has its cgroup where it may write to it" {
	config '.linux.namespaces += [{type: "user"}] | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}]
		| .linux.gidMappings = .linux.uidMappings'
	chmod 755 "$BATS_RUN_TMPDIR" "$BATS_SUITE_TMPDIR" "$BATS_FILE_TMPDIR" "$BATS_TEST_TMPDIR" "$BUNDLE"
	chown 100000 "$BUNDLE/rootfs"
	config_args stat -c %u /sys/fs/cgroup
	run -0 amphi --systemd-cgroup run "$ID"
	[ "$output" = 65534 ]
	config '(.mounts[] | select(.destination == "/sys/fs/cgroup").options) -= ["ro"]'
	config_args sh -c 'cd /sys/fs/cgroup && stat -c %u . cgroup.procs memory.max && mkdir x && echo $$ >x/cgroup.procs && echo +pids >cgroup.subtree_control && cat x/pids.max'
	run -0 amphi --systemd-cgroup run "$ID"
	[ "$output" = $'0\n0\n65534\nmax' ]
}

@test "systemd: podman's containers are scopes of machine.slice" {
	need_program podman
	need_program conmon
	engine_setup
	engine_image
	podman_systemd() { engine_podman --cgroup-manager systemd "$@"; }
	podman_systemd run --network none -d --name c1 --memory 64m --pids-limit 33 bb:1 sleep 1000
	SCOPE=libpod-$(podman_systemd inspect -f '{{.Id}}' c1).scope
	has Slice=machine.slice MemoryMax=67108864 TasksMax=33
	run -0 podman_systemd exec c1 cat /proc/self/cgroup
	[ "$output" = 0::/ ]
	podman_systemd rm -f -t 0 c1 >/dev/null
	is_gone
	engine_clean
}
