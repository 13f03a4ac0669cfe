# SPDX-License-Identifier: Apache-2.0
# backends: container vm
# Kubernetes' way: containerd's CRI plugin with the handlers of contrib/engine. One pod of two containers lives as long as the
# file; with amphi-vm all of it is one machine.
load helpers
load engine
load cri

need_cri() {
	need_root
	for p in containerd podman protoc curl; do need_program $p; done
	[ -x /usr/lib/cni/bridge ] || skip "needs containernetworking-plugins"
}

# The sandbox' configuration, as kubelet sends it with each request for a container again.
sandbox_config() {
	cat <<-END
		metadata { name: "pod" uid: "uid$$" namespace: "default" }
		hostname: "the-pod"
		log_directory: "$E/logs"
		dns_config { servers: "10.96.0.10" searches: "cluster.local" options: "ndots:5" }
		linux {
			cgroup_parent: "/amphi-cri-$PARENT/pod"
			security_context { privileged: true seccomp { profile_type: RuntimeDefault } }
		}
	END
}

# A container's id: container NAME TEXT OF ITS CONFIGURATION
container() {
	cri_new CreateContainer <<-END
		pod_sandbox_id: "$POD"
		sandbox_config { $(sandbox_config) }
		config { metadata { name: "$1" } image { image: "localhost/pause:1" } log_path: "$1.log" $2 }
	END
}

# What kubelet sends with every container beside what its user wrote.
usual='namespace_options { pid: CONTAINER } masked_paths: "/proc/uptime" readonly_paths: "/proc/sys" seccomp { profile_type: RuntimeDefault }'

setup_file() {
	need_cri
	engine_setup
	engine_host
	mkdir -p "$E"/{cni,logs,vol}
	cat >"$E/cni/10-net.conflist" <<-END
		{"cniVersion": "0.4.0", "name": "cri", "plugins": [{"type": "bridge", "bridge": "cri0", "isGateway": true,
		 "ipam": {"type": "host-local", "dataDir": "$E/ipam", "ranges": [[{"subnet": "10.95.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
	END
	engine_rootfs "$E/image.tar"
	engine_podman import --change ENV=PATH=/bin:/usr/bin --change 'CMD ["sleep", "100000"]' "$E/image.tar" localhost/pause:1 >/dev/null 2>&1
	engine_podman save --format oci-archive -o "$E/oci.tar" localhost/pause:1 >/dev/null 2>&1
	engine_containerd cri
	ctr --address "$E/containerd.sock" -n k8s.io image import --snapshotter native --no-unpack "$E/oci.tar" >/dev/null
	echo from-host >"$E/vol/file"
	echo "$BASHPID" >"$E/parent"
	PARENT=$BASHPID
	handler=amphi
	! is_vm || handler=amphi-vm
	POD=$(cri_new RunPodSandbox <<<"config { $(sandbox_config) } runtime_handler: \"$handler\"") || tail -3 "$E/containerd.log" >&2
	echo "$POD" >"$E/pod"
}
setup() {
	need_cri
	engine_setup
	PARENT=$(cat "$E/parent") POD=$(cat "$E/pod")
	[ -n "$POD" ] || { tail -5 "$E/containerd.log" >&2; false; }
}
teardown_file() {
	engine_setup
	POD=$(cat "$E/pod")
	[ -z "$POD" ] || { cri_id StopPodSandbox "$POD"; cri_id RemovePodSandbox "$POD"; } >/dev/null 2>&1
	engine_stop "$(cat "$E/containerd.pid" 2>/dev/null)"
	engine_clean
	find /sys/fs/cgroup -maxdepth 4 -depth -type d -path "*/amphi-cri-$(cat "$E/parent")*" -exec rmdir {} + 2>/dev/null || :
}

# Creates and starts; the id in $a or what is given: started NAME TEXT
started() {
	a=$(container "$@")
	[ -n "$a" ]
	cri_id StartContainer "$a"
}
status() { cri_id ContainerStatus "$1" ContainerStatusResponse; }
status_has() { status "$1" | grep -q "$2"; }
logged() { grep -q "$2" "$E/logs/$1.log"; }
boot_id() { cri_exec "$1" cat /proc/sys/kernel/random/boot_id; }

@test "cri: a container as kubelet describes it" {
	started full "command: 'sh' args: '-c' args: 'echo out \$A; echo err >&2; trap \"exit 4\" TERM; sleep 1000 & wait' working_dir: '/tmp'
		envs { key: 'A' value: 'b' } mounts { container_path: '/vol' host_path: '$E/vol' readonly: true }
		linux { resources { cpu_shares: 102 memory_limit_in_bytes: 67108864 oom_score_adj: 900 }
			security_context { run_as_user { value: 1000 } supplemental_groups: 77 no_new_privs: true capabilities { drop_capabilities: 'ALL' } $usual } }"
	run -0 cri_exec "$a" sh -c 'hostname; id; pwd; cat /vol/file /etc/resolv.conf; touch /vol/x 2>/dev/null || echo vol-ro
		touch /proc/sys/kernel/x 2>/dev/null || echo sys-ro; wc -c </proc/uptime; grep -E "^(CapEff|NoNewPrivs|Seccomp):" /proc/1/status | tr -s "\t" " "; cat /proc/1/oom_score_adj; df /dev/shm'
	for word in the-pod "uid=1000" "77" /tmp from-host "search cluster.local" "nameserver 10.96.0.10" vol-ro sys-ro $'\n0\n' "CapEff: 0000000000000000" "NoNewPrivs: 1" \
		"Seccomp: 2" $'\n900\n' /dev/shm; do
		check_output "$word"
	done
	run cri_exec "$a" sh -c 'echo said >&2; exit 6'
	check_status 6
	check_output said
	run ! cri_exec "$a" no-such-program
	wait_for logged full ' stdout F out b$'
	wait_for logged full ' stderr F err$'
	cri UpdateContainerResources UpdateContainerResourcesRequest Empty <<<"container_id: '$a' linux { cpu_shares: 204 memory_limit_in_bytes: 50331648 }"
	measured() { cri_id ContainerStats "$a" ContainerStatsResponse | tr -d ' \n' | grep -q 'cpu{usage_core_nano_seconds{value:[1-9].*memory{working_set_bytes{value:[1-9]'; }
	wait_for measured
	cri StopContainer StopContainerRequest Empty <<<"container_id: '$a' timeout: 30"
	run -0 status "$a"
	check_output "exit_code: 4"
	check_output CONTAINER_EXITED
	cri_id RemoveContainer "$a"
}

@test "cri: what the containers of a pod share" {
	started one "command: 'sh' args: '-c' args: 'echo shared >/dev/shm/file; while :; do echo answer | nc -l -p 80; done'"
	local one=$a inside
	started two "command: 'sleep' args: '1000' linux { security_context { namespace_options { pid: CONTAINER } } }"
	# network and memory files; processes as each asks
	inside=$(cri_id PodSandboxStatus "$POD" PodSandboxStatusResponse | sed -n 's/.* ip: "\(.*\)"/\1/p')
	run -0 cri_exec "$a" sh -c 'cat /dev/shm/file; hostname; ip addr show eth0; nc 127.0.0.1 80; tr "\0" " " </proc/1/cmdline'
	for word in shared the-pod "$inside/24" answer "sleep 1000 "; do check_output "$word"; done
	run -0 cri_exec "$one" sh -c 'tr "\0" " " </proc/1/cmdline'
	check_output "sleep 100000"
	! is_vm || {
		[ "$(boot_id "$a")" = "$(boot_id "$one")" ]
		[ "$(boot_id "$a")" != "$(cat /proc/sys/kernel/random/boot_id)" ]
	}
	[ "$(engine_on_host socat -T5 - "TCP:$inside:80,connect-timeout=5" </dev/null)" = answer ]
	cri StopContainer StopContainerRequest Empty <<<"container_id: '$a'"
	run -0 status "$a"
	check_output "exit_code: 137"
}

@test "cri: a privileged container, one that memory runs out of, one that cannot be" {
	started priv "command: 'sleep' args: '1000' linux { security_context { privileged: true } }"
	run -0 cri_exec "$a" sh -c 'mount -t tmpfs none /mnt 2>/dev/null || { mkdir /m && mount -t tmpfs none /m; } && echo mounted; test -w /proc/sys/kernel/hostname && echo writable; grep Seccomp: /proc/self/status'
	for word in mounted writable $'Seccomp:\t0'; do check_output "$word"; done
	started oom "command: 'sh' args: '-c' args: 'x=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; while :; do x=\$x\$x; done'
		linux { resources { memory_limit_in_bytes: 33554432 } security_context { $usual } }"
	wait_for status_has "$a" CONTAINER_EXITED
	run -0 status "$a"
	check_output "exit_code: 137"
	check_output '"OOMKilled"'
	a=$(container none "command: 'no-such-program'")
	run ! cri_id StartContainer "$a"
	check_output "executable file not found"
}

@test "cri: the end of a pod leaves nothing" {
	cri_id StopPodSandbox "$POD"
	run -0 cri_id PodSandboxStatus "$POD" PodSandboxStatusResponse
	check_output SANDBOX_NOTREADY
	cri_id RemovePodSandbox "$POD"
	: >"$E/pod"
	[ -z "$(find "$E/containerd-state/io.containerd.runtime.v2.task" -mindepth 2 -maxdepth 2)" ]
	[ -z "$(ls /run/containerd/runc/k8s.io 2>/dev/null | grep "$POD")" ]
	[ -z "$(find /sys/fs/cgroup -maxdepth 5 -type d -path "*/amphi-cri-$PARENT/pod/*")" ]
	[ -z "$(ls "$E/ipam/cri" | grep 10.95)" ]
}
