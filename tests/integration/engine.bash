# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Container engines as clients: private roots and daemons below the test file's directory, images made here from
# busybox, no registry, no network. Nothing but the runtime's path differs from what the engine does with runc.
# With AMPHI_BACKEND=vm they run machines (amphi under the name amphi-vm).

# The runtime's path as engines get it. They pass no environment on: the machines' kernels and driver come by a script.
engine_runtime() {
	local path=$BATS_FILE_TMPDIR/amphi-vm
	is_vm || { echo "$AMPHI"; return; }
	[ -e "$path" ] || {
		setup_vm
		printf '#!/bin/bash\nexport AMPHI_KERNELS=%q AMPHI_QEMU_ACCEL=%q\nexec -a amphi-vm %q --vmm %q "$@"\n' "$AMPHI_KERNELS" \
			"${AMPHI_QEMU_ACCEL:-}" "$AMPHI" "$AMPHI_VMM" >"$path.new"
		chmod +x "$path.new"
		mv "$path.new" "$path"
	} >&2
	echo "$path"
}

# A tar of a busybox root: engine_rootfs FILE
engine_rootfs() {
	local dir=$BATS_FILE_TMPDIR/image
	mkdir -p "$dir"
	fill_rootfs "$dir"
	tar -C "$dir" -cf "$1" .
	rm -rf "$dir"
}

# Runs an engine, in the file's own network namespace where engine_host made one: bridges, rules and ports are there.
engine_on_host() {
	if [ -e "$E/netns" ]; then
		nsenter --net="/run/netns/$(cat "$E/netns")" "$@"
	else
		"$@"
	fi
}
# The same for a daemon in the background: becomes it, so that $! is its pid.
engine_daemon() {
	[ ! -e "$E/netns" ] || exec nsenter --net="/run/netns/$(cat "$E/netns")" "$@"
	exec "$@"
}
engine_host() {
	local name=amphi-$$-engine-$RANDOM
	ip netns add "$name"
	ip -n "$name" link set lo up
	echo "$name" >"$E/netns"
}

# podman with everything of its own below $E.
engine_podman() {
	engine_on_host timeout 120 podman --root "$E/root" --runroot "$E/run" --tmpdir "$E/tmp" --storage-driver vfs --events-backend file \
		--cgroup-manager cgroupfs --network-config-dir "$E/networks" --runtime "$(engine_runtime)" "$@"
}

# The image bb:1 in podman's store.
engine_image() {
	engine_rootfs "$E/image.tar"
	engine_podman import "$E/image.tar" bb:1 >/dev/null 2>&1
}

# Containers of this test get a parent cgroup of their own, so that nothing of the host's is touched.
engine_setup() {
	E=$BATS_FILE_TMPDIR/engine
	mkdir -p "$E"
	export CONTAINERS_CONF=$E/containers.conf CONTAINERS_STORAGE_CONF=$E/storage.conf
	[ -e "$E/containers.conf" ] || {
		# limits that any host can give: podman's own defaults need CAP_SYS_RESOURCE
		printf '[containers]\nlog_driver = "k8s-file"\ndefault_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]\n' >"$E/containers.conf"
		printf '[storage]\ndriver = "vfs"\ngraphroot = "%s"\nrunroot = "%s"\n' "$E/root" "$E/run" >"$E/storage.conf"
	}
}

# What engines leave: mounts below our directory, and empty parent cgroups of theirs.
engine_clean() {
	local host
	host=$(cat "$E/netns" 2>/dev/null) && {
		ip netns pids "$host" | xargs -r kill -9 # aardvark-dns, docker-proxy
		ip netns del "$host"
	}
	awk -v d="$BATS_FILE_TMPDIR" 'index($5, d) == 1 { print $5 }' /proc/self/mountinfo | sort -r | xargs -r umount -l
	find /sys/fs/cgroup -mindepth 1 -maxdepth 4 -depth -type d \( -path '*/libpod_parent*' -o -path '*/docker' -o -path '*/amphi' -o \
		-path '*/amphi-docker' -o -path '*/buildah-buildah*' \) -exec rmdir {} + 2>/dev/null || :
}

# Kills a process that this test started and waits for its end.
engine_stop() {
	[ -n "${1:-}" ] || return 0
	kill "$1" 2>/dev/null || return 0
	wait_for gone "$1" || kill -9 "$1"
}

# A containerd of our own at $E/containerd.sock; its pid in $E/containerd.pid. With "cri": Kubernetes' plugin, with the handlers
# of contrib/engine and the CNI configuration in $E/cni.
engine_containerd() { # [cri]
	local off='"io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs"'
	[ "${1:-}" = cri ] || off+=', "io.containerd.grpc.v1.cri"'
	cat >"$E/containerd.toml" <<-END
		version = 2
		root = "$E/containerd-root"
		state = "$E/containerd-state"
		disabled_plugins = [$off]
		[grpc]
		address = "$E/containerd.sock"
		[ttrpc]
		address = "$E/containerd.ttrpc"
	END
	[ "${1:-}" != cri ] || {
		sed "s,/usr/local/bin/amphi[-a-z]*,$(engine_runtime)," "$AMPHI_TOP/contrib/engine/containerd.toml" | grep -v '^version'
		cat <<-END
			[plugins."io.containerd.grpc.v1.cri"]
			sandbox_image = "localhost/pause:1"
			stream_server_address = "127.0.0.1"
			disable_apparmor = true
			restrict_oom_score_adj = true
			[plugins."io.containerd.grpc.v1.cri".containerd]
			snapshotter = "native"
			default_runtime_name = "amphi"
			[plugins."io.containerd.grpc.v1.cri".cni]
			conf_dir = "$E/cni"
			bin_dir = "/usr/lib/cni"
		END
	} >>"$E/containerd.toml"
	engine_daemon containerd --config "$E/containerd.toml" >"$E/containerd.log" 2>&1 3>&- &
	echo $! >"$E/containerd.pid"
	wait_for command ctr --address "$E/containerd.sock" version || { tail -5 "$E/containerd.log" >&2; return 1; }
}

# A dockerd of our own at $E/docker.sock on that containerd, our runtime its default: engine_dockerd [CONFIG-FILE WITH RUNTIMES]
engine_dockerd() {
	local runtime=()
	echo '{}' >"$E/docker.json" # the host's own is not for this one
	[ $# -eq 0 ] || cp "$1" "$E/docker.json"
	[ $# -gt 0 ] || runtime=(--add-runtime "amphi=$(engine_runtime)")
	local network=(--bridge none --iptables=false --ip6tables=false --ip-masq=false)
	[ ! -e "$E/netns" ] || network=(--bip 10.98.0.1/24 --ip6tables=false)
	engine_daemon dockerd --config-file "$E/docker.json" --data-root "$E/docker-root" --exec-root "$E/docker-exec" --pidfile "$E/docker.pidfile" -H "unix://$E/docker.sock" \
		--containerd "$E/containerd.sock" --containerd-namespace amphi-docker \
		"${runtime[@]}" --default-runtime amphi --storage-driver vfs "${network[@]}" \
		--exec-opt native.cgroupdriver=cgroupfs >"$E/dockerd.log" 2>&1 3>&- &
	echo $! >"$E/dockerd.pid"
	wait_for command docker -H "unix://$E/docker.sock" version || { tail -5 "$E/dockerd.log" >&2; return 1; }
}
