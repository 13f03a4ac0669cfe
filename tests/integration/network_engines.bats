#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# backends: container
# Engines that run amphi as their CNI plugin: podman with its CNI back end, containerd's client.

load helpers
load engine
load network

setup() {
	need_root
	export AMPHI_NETWORK_DIR=$BATS_TEST_TMPDIR/networks
	mkdir -p "$BATS_TEST_TMPDIR/bin" "$BATS_TEST_TMPDIR/net.d"
	# conmon cleans up with an environment of its own: the test's directory is said by a wrapper
	printf '#!/bin/sh\nAMPHI_NETWORK_DIR=%s exec %s cni\n' "$AMPHI_NETWORK_DIR" "$AMPHI" >"$BATS_TEST_TMPDIR/bin/amphi-cni"
	chmod +x "$BATS_TEST_TMPDIR/bin/amphi-cni"
	setup_host
	engine_setup
	jq -n '{cniVersion:"1.0.0", name:"own", plugins:[{type:"amphi-cni", subnets:["10.71.0.0/24"],
		capabilities:{portMappings:true, ips:true, mac:true, aliases:true}}]}' >"$BATS_TEST_TMPDIR/net.d/10-own.conflist"
}
teardown() {
	engine_stop "$(cat "$E/containerd.pid" 2>/dev/null)"
	rm -f "$E/containerd.pid"
	on_host_podman rm -f -t 0 -a >/dev/null 2>&1 || :
	teardown_host
	engine_clean
}
nothing_attached() {
	[ -z "$(find "$AMPHI_NETWORK_DIR/run/attached" "$AMPHI_NETWORK_DIR/run/plugin" "$AMPHI_NETWORK_DIR/run/ports" -type f)" ]
	! on_host ip -o link | grep -q ': av'
}

# podman in $HOST: its plugins run where it runs.
on_host_podman() {
	on_host timeout 120 podman --root "$E/root" --runroot "$E/run" --tmpdir "$E/tmp" --storage-driver vfs --events-backend file \
		--cgroup-manager cgroupfs --runtime "$AMPHI" "$@"
}

@test "podman with the CNI back end runs amphi cni: address, ports, names of the interface, removal" {
	need_program podman
	need_program conmon
	podman --version | grep -qE ' [34]\.' || skip "this podman has no CNI back end"
	for d in /opt/cni/bin /usr/lib/cni /usr/libexec/cni; do
		for f in "$d"/*; do [ ! -x "$f" ] || ln -sf "$f" "$BATS_TEST_TMPDIR/bin/"; done
	done
	printf '[network]\nnetwork_backend = "cni"\ncni_plugin_dirs = ["%s"]\nnetwork_config_dir = "%s"\n' "$BATS_TEST_TMPDIR/bin" "$BATS_TEST_TMPDIR/net.d" >>"$E/containers.conf"
	engine_rootfs "$E/image.tar"
	on_host_podman import "$E/image.tar" bb:1 >/dev/null 2>&1
	on_host_podman run -d --name a --network own -p 8080:80 bb:1 sh -c "$(serve 80 web)"
	[ "$(on_host_podman inspect -f '{{.NetworkSettings.Networks.own.IPAddress}}' a)" = 10.71.0.2 ]
	wait_for answer_is web on_host socat -T2 - TCP:10.71.0.2:80
	wait_for answer_is web on_host socat -T2 - TCP:127.0.0.1:8080
	run -0 on_host_podman run --rm --network own --ip 10.71.0.77 bb:1 ip -o -4 addr
	check_output 10.71.0.77/24
	one_attached() { [ "$(net inspect own | jq '.[0].attachments | length')" = 1 ]; }
	wait_for one_attached
	on_host_podman rm -f -t 0 a
	nothing_attached
}

@test "ctr run --cni runs amphi cni" {
	need_program containerd
	need_program ctr
	need_program podman
	[ -d /etc/cni ] || skip "containerd's client reads /etc/cni, which is not there"
	engine_rootfs "$E/image.tar"
	engine_podman import "$E/image.tar" localhost/bb:1 >/dev/null 2>&1
	engine_podman save --format oci-archive -o "$E/oci.tar" localhost/bb:1 >/dev/null 2>&1
	engine_containerd
	timeout 120 ctr --address "$E/containerd.sock" -n amphi image import --snapshotter native --no-unpack "$E/oci.tar" >/dev/null
	# The client's directories are fixed: it gets its own view of them.
	in_view() {
		on_host unshare -m --propagation private sh -c '
			mount -t tmpfs none /opt && mount -t tmpfs none /etc/cni && mkdir -p /etc/cni/net.d /opt/cni/bin &&
			mount --bind "$1/net.d" /etc/cni/net.d && mount --bind "$1/bin" /opt/cni/bin && shift && exec "$@"' sh "$BATS_TEST_TMPDIR" "$@"
	}
	run -0 in_view timeout 120 ctr --address "$E/containerd.sock" -n amphi run --cni --rm --snapshotter native --runc-binary "$AMPHI" \
		localhost/bb:1 c1 ip -o -4 addr
	check_output 10.71.0.2/24
	nothing_attached
}
