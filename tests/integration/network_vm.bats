#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# backends: vm
# Machines on the networks that containers are on: the same leases, names, ports; and in a namespace of somebody else.

load helpers
load network

setup() {
	setup_host
	setup_bundle
	[ -w /dev/net/tun ] || skip "needs /dev/net/tun"
}
teardown() { teardown_host; }

# A container beside the machines, whatever the backend under test: container NAME [OPTION...] -- COMMAND...
container() { AMPHI_BACKEND=container "$@"; }

@test "container and machine, machine and host, published port, names" {
	start_on m --network bridge --hostname machine -p 8080:80 -- sh -c "$(serve 80 machine)"
	# host to machine, published port by localhost
	wait_for answer_is machine on_host socat -T5 - TCP:10.89.0.2:80
	wait_for answer_is machine on_host socat -T5 - TCP:127.0.0.1:8080
	# container to machine, by name
	run -0 container run_on c --network bridge -- sh -c 'cat /etc/hosts; for i in 1 2 3 4 5 6 7 8 9 10; do nc -w 5 machine 80 </dev/null && break; sleep 1; done'
	check_output "10.89.0.2	machine m"
	check_output "
machine"
	# machine to container
	container start_on d --network bridge --hostname box -- sh -c "$(serve 81 box)"
	wait_for answer_is box on_host socat -T5 - TCP:10.89.0.4:81
	run -0 hamphi exec m sh -c 'ip -o -4 addr show eth0; ip route; cat /etc/hosts; nc -w 20 box 81 </dev/null'
	check_output "10.89.0.2/24"
	check_output "default via 10.89.0.1"
	check_output "box"
	container hamphi delete -f d
	hamphi delete -f m
	run -0 on_host ip -o link
	[[ "$output" != *": at"* ]]
	[ "$(find "$AMPHI_NETWORK_DIR/run/attached" -type f | wc -l)" = 0 ]
}

@test "a machine in a namespace that somebody prepared" {
	ip netns add "$HOST-x"
	HOSTS+=("$HOST-x")
	ip -n "$HOST" link add pre0 type veth peer name eth7 netns "$HOST-x"
	ip -n "$HOST" addr add 10.50.0.1/24 dev pre0
	ip -n "$HOST" link set pre0 up
	ip -n "$HOST-x" addr add 10.50.0.2/24 dev eth7
	ip -n "$HOST-x" link set eth7 mtu 1400 up
	ip -n "$HOST-x" route add default via 10.50.0.1
	start_on m --network "ns:/run/netns/$HOST-x" -- sh -c "$(serve 80 joined)"
	wait_for answer_is joined on_host socat -T5 - TCP:10.50.0.2:80
	run -0 hamphi exec m sh -c 'ip -o addr; ip route; cat /sys/class/net/eth7/mtu'
	check_output "10.50.0.2/24"
	check_output "default via 10.50.0.1"
	[ "${lines[-1]}" = 1400 ]
	# a second one would take the link from the first
	run ! run_on late --network "ns:/run/netns/$HOST-x" -- true
	check_output "another machine has its links already"
	[ ! -e "$ROOT/late" ]
	wait_for answer_is joined on_host socat -T5 - TCP:10.50.0.2:80
	hamphi delete -f m
	run -0 nsenter --net="/run/netns/$HOST-x" tc qdisc show dev eth7
	[[ "$output" != *ingress* ]]
}

# bats test_tags=lab:vm
@test "a machine on a macvlan or ipvlan link that somebody prepared" {
	local kind n=0
	ip -n "$HOST" link add base0 type veth peer name base1
	ip -n "$HOST" link set base0 up
	ip netns add "$HOST-o"
	HOSTS+=("$HOST-o")
	ip -n "$HOST" link set base1 netns "$HOST-o"
	ip -n "$HOST-o" addr add 10.51.0.1/24 dev base1
	ip -n "$HOST-o" link set base1 up
	for kind in "macvlan mode bridge" "ipvlan mode l2"; do
		n=$((n + 1))
		ip -n "$HOST" link add sub0 link base0 type $kind 2>/dev/null || { echo "# the kernel has no ${kind%% *}" >&3; continue; }
		ip netns add "$HOST-x$n"
		HOSTS+=("$HOST-x$n")
		ip -n "$HOST" link set sub0 netns "$HOST-x$n" name eth0
		ip -n "$HOST-x$n" addr add "10.51.0.1$n/24" dev eth0
		ip -n "$HOST-x$n" link set eth0 up
		start_on "m$n" --network "ns:/run/netns/$HOST-x$n" -- sh -c "$(serve 80 "${kind%% *}")"
		wait_for answer_is "${kind%% *}" nsenter --net="/run/netns/$HOST-o" socat -T5 - "TCP:10.51.0.1$n:80"
		hamphi delete -f "m$n"
		ip -n "$HOST-x$n" link del eth0 # a link carries either kind
	done
}

@test "a machine whose links are made by plugins" {
	local d p
	for d in /opt/cni/bin /usr/lib/cni /usr/libexec/cni; do [ ! -x $d/bridge ] || p=$d; done
	[ -n "$p" ] || skip "needs the CNI reference plugins"
	jq -n --arg d "$BATS_TEST_TMPDIR/hostlocal" '{cniVersion:"1.0.0", name:"cninet", plugins:[{type:"bridge", bridge:"cnibr0", isGateway:true, ipMasq:false,
		ipam:{type:"host-local", dataDir:$d, ranges:[[{subnet:"10.66.0.0/24"}]], routes:[{dst:"0.0.0.0/0"}]}}]}' >"$BATS_TEST_TMPDIR/l.conflist"
	start_on m --cni-config "$BATS_TEST_TMPDIR/l.conflist" --hostname plugged -- sh -c "$(serve 80 plugged)"
	wait_for answer_is plugged on_host socat -T5 - TCP:10.66.0.2:80
	run -0 hamphi exec m sh -c 'ip route; cat /etc/hosts'
	check_output "default via 10.66.0.1"
	check_output "10.66.0.2	plugged"
	on_host "$AMPHI" --root "$ROOT" network check m
	hamphi events --stats m | jq -e '.data.network_interfaces[0] | .Name == "eth0" and .RxBytes > 0 and .TxBytes > 0'
	hamphi delete -f m
	[ -z "$(find "$BATS_TEST_TMPDIR/hostlocal" -name '10.*')" ]
	[ -z "$(find "$AMPHI_NETWORK_DIR/run/cni" "$AMPHI_NETWORK_DIR/run/attached" -type f)" ]
	[[ "$(on_host ip -o link show type veth)" != *cnibr0* ]]
}

@test "a machine by pasta" {
	setup_outside
	probe_pasta
	in_background on_outside socat TCP-LISTEN:90,fork,reuseaddr SYSTEM:'echo $SOCAT_PEERADDR; sleep 5'
	start_on m --network pasta -p 8080:80 -- sh -c "$(serve 80 web)"
	wait_for answer_is web on_outside socat -T5 - TCP:192.0.2.1:8080
	wait_for answer_is 192.0.2.1 hamphi exec m sh -c 'sleep 3 | nc -w 5 192.0.2.2 90 | head -n 1'
	pid=$(cat "$ROOT/m/pasta.pid")
	hamphi delete -f m
	wait_for gone "$pid"
}

@test "host mode is refused for machines" {
	run ! run_on m --network host -- true
	check_output "host"
	[ ! -e "$ROOT/m" ]
}
