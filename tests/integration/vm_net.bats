#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# backends: vm
# bats file_tags=lab:vm
# virtio-net under traffic: megabytes in both directions between a machine, a container and the outside, in large frames.

load helpers
load hostile
load network

SIZE=6000000

setup() {
	setup_host
	setup_outside
	setup_bundle
	[ -w /dev/net/tun ] || skip "needs /dev/net/tun"
	config '.process.capabilities |= map_values(. + ["CAP_NET_RAW"])'
	mkdir "$BUNDLE/rootfs/data"
	head -c $SIZE /dev/urandom >"$BUNDLE/rootfs/data/file"
	# busybox's nc ends with the first end it sees: a side that only listens has a stdin without end
	mkfifo "$BUNDLE/rootfs/data/never"
	SUM=$(md5sum <"$BUNDLE/rootfs/data/file")
}
teardown() { teardown_host; }

container() { AMPHI_BACKEND=container "$@"; }
# Packets that the tap of the bridge has carried: received (from the machine) and sent.
packets() { # rx|tx
	local tap
	tap=$(on_host ip -j -d link show | jq -r '.[] | select(.linkinfo.info_kind == "tun") | .ifname' | head -n 1)
	on_host ip -j -s link show "$tap" | jq ".[0].stats64.$1.packets"
}
# One TCP stream is far fewer frames than segments of 1448 bytes when segmentation is offloaded.
in_large_frames() { # BEFORE AFTER
	[ $(($2 - $1)) -lt $((SIZE / 1448 * 4 / 5)) ] || { echo "$(($2 - $1)) frames for $SIZE bytes" >&2; return 1; }
}
listening() { on_outside ss -Hltn "sport = :$1" | grep -q LISTEN; }
sum_is() { [ "$(md5sum <"$1" 2>/dev/null)" = "$SUM" ]; }

@test "container and machine: ping, megabytes both ways with checksums, in large frames" {
	local before after
	start_on m --network bridge -- sh -c 'exec 3<>/data/never; busybox httpd -p 91 -h /data; nc -l -p 90 <&3 >/data/to-machine; sleep 1000'
	container start_on c --network bridge -- sh -c 'exec 3<>/data/never; nc -l -p 92 <&3 >/data/from-machine; sleep 1000'
	M=10.89.0.2 C=10.89.0.3
	run -0 hamphi exec m ip -o -4 addr show eth0
	check_output "$M/24"
	run -0 hamphi exec m ping -c 3 -W 60 "$C"
	check_output "3 packets received"
	run -0 container hamphi exec c ping -c 3 -W 60 "$M"
	check_output "3 packets received"
	# the largest datagram: fragments
	run -0 container hamphi exec c ping -c 2 -W 60 -s 20000 "$M"
	check_output "2 packets received"
	# container to machine, machine to container, and the machine as the server that sends
	before=$(packets tx)
	# busybox's nc writes by the KiB: what is to go in large frames is written in large pieces
	inside c socat -u -b 262144 "OPEN:$BUNDLE/rootfs/data/file" "TCP:$M:90"
	WAIT=150 wait_for sum_is "$BUNDLE/rootfs/data/to-machine"
	after=$(packets tx)
	in_large_frames "$before" "$after"
	hamphi exec m sh -c "nc -w 120 $C 92 </data/file"
	WAIT=150 wait_for sum_is "$BUNDLE/rootfs/data/from-machine"
	before=$(packets rx)
	run -0 container hamphi exec c sh -c "busybox wget -q -O - http://$M:91/file | md5sum"
	[ "$output" = "$SUM" ]
	after=$(packets rx)
	in_large_frames "$before" "$after"
}

@test "machine and outside: masquerade, megabytes both ways" {
	in_background on_outside socat TCP-LISTEN:90,fork,reuseaddr SYSTEM:'echo $SOCAT_PEERADDR'
	in_background on_outside socat -u "OPEN:$BUNDLE/rootfs/data/file" TCP-LISTEN:91,reuseaddr
	in_background on_outside socat -u TCP-LISTEN:92,reuseaddr "CREATE:$BATS_TEST_TMPDIR/from-machine"
	wait_for listening 90 && wait_for listening 91 && wait_for listening 92
	run -0 run_on m --network bridge -- sh -c '
		ping -c 2 -W 60 192.0.2.2 | grep received
		nc -w 60 192.0.2.2 90 </dev/null
		nc -w 120 192.0.2.2 91 </dev/null | md5sum
		nc -w 120 192.0.2.2 92 </data/file'
	check_output "2 packets received"
	check_output "192.0.2.1"
	check_output "$SUM"
	wait_for sum_is "$BATS_TEST_TMPDIR/from-machine"
	run -0 on_host ip -o link
	[[ "$output" != *tun* && "$output" != *": at"* ]]
}

# The monitor moves the frames itself, as where the host has no vhost-net.
without_vhost() {
	echo '{"vhostNet": false}' >"$BATS_TEST_TMPDIR/amphi.json"
	export AMPHI_CONFIG=$BATS_TEST_TMPDIR/amphi.json
}
vhost_threads() { pgrep -c "^vhost-$(pid_of "$1")"; }

@test "two processors, two pairs of queues: many flows at once" {
	local want=0
	[ -e /dev/vhost-net ] && [ "$AMPHI_VMM" = kvm ] && want=2
	[ -z "${LAB:-}" ] || [ $want = 2 ] || { echo "the lab has no vhost-net" >&2; return 1; }
	config '.annotations = {"amphi.vm.vcpus": "2"}'
	head -c 300000 "$BUNDLE/rootfs/data/file" >"$BUNDLE/rootfs/data/part"
	SUM=$(md5sum <"$BUNDLE/rootfs/data/part")
	flows() {
		local n url
		url=http://$(address_of default m):91/part
		rm -f "$BATS_TEST_TMPDIR"/got*
		for n in 1 2 3 4 5 6; do
			in_background on_host busybox wget -q -O "$BATS_TEST_TMPDIR/got$n" "$url"
		done
		for n in 1 2 3 4 5 6; do wait_for sum_is "$BATS_TEST_TMPDIR/got$n"; done
	}
	start_on m --network bridge -- busybox httpd -f -p 91 -h /data
	run -0 hamphi exec m sh -c 'nproc; ls -d /sys/class/net/eth0/queues/rx-* | wc -l'
	[ "$output" = $'2\n2' ]
	[ "$(vhost_threads m)" = $want ]
	flows
	[ $want = 0 ] && return
	hamphi delete --force m
	without_vhost
	start_on m --network bridge -- busybox httpd -f -p 91 -h /data
	[ "$(vhost_threads m)" = 0 ]
	flows
	hamphi pause m
	hamphi resume m
	flows
}

@test "a network driver against every rule" {
	[ "$AMPHI_VMM" = kvm ] || skip "the device is QEMU's"
	RUN=(hamphi) OPTIONS=(--network bridge)
	config '.annotations = {"amphi.vm.vcpus": "2"}'
	hostile rings 1
	cat "$BATS_TEST_TMPDIR/out" >&2
	grep -q '^1: 13 patterns, [1-9]' "$BATS_TEST_TMPDIR/out"
	status_is "$ID" running
	hamphi delete --force "$ID"
	rm "$BATS_TEST_TMPDIR/log"
	SETTINGS='"vhostNet": false' hostile rings 1
	cat "$BATS_TEST_TMPDIR/out" >&2
	grep -q '^1: 13 patterns, [1-9]' "$BATS_TEST_TMPDIR/out"
	complains virtio-net
	status_is "$ID" running
}
