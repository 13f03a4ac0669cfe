#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# backends: container
# Networks: definitions, attaching, isolation, leases, repair.

load helpers
load network

setup() {
	setup_host
	setup_bundle
}
teardown() { teardown_host; }


@test "network create, ls, inspect, rm" {
	run -0 net create --subnet 10.20.0.0/24 --ip-range 10.20.0.10-10.20.0.19 --mtu 1400 --label a=b one
	check_output one
	run -0 net create --ipv6 two
	run -0 net ls -q
	[ "$output" = "$(printf 'one\ntwo')" ]
	run -0 net ls
	check_output "10.20.0.0/24"
	run -0 net ls --format json
	[ "$(jq -r '.[0].mtu' <<<"$output")" = 1400 ]
	run -0 net inspect two
	[ "$(jq -r '.[0].network.subnets | length' <<<"$output")" = 2 ]
	run -0 net rm one two
	run -0 net ls -q
	[ -z "$output" ]
}

@test "bad definitions give one error and leave nothing" {
	net create --subnet 10.20.0.0/24 one
	on_host ip addr add 10.30.0.1/24 dev lo
	while read -r message; read -r options; do
		run ! net create $options
		check_output "$message"
		[ "${#lines[@]}" = 1 ]
	done <<-END
		overlaps network one
		--subnet 10.20.0.128/25 bad
		overlaps address 10.30.0.1/24
		--subnet 10.30.0.0/16 bad
		already exists
		one
		--vlan 4095
		--vlan 4095 bad
		--vlan 0
		--vlan 0 bad
		--uplink needs --vlan
		--uplink lo bad
		is outside the subnet
		--subnet 10.21.0.0/24 --gateway 10.22.0.1 bad
		not ADDRESS/PREFIX
		--subnet 10.21.0.0 bad
		ascending range
		--subnet 10.21.0.0/24 --ip-range 10.21.0.9-10.21.0.3 bad
		IPv6 needs 1280
		--ipv6 --mtu 1000 bad
		name of a mode
		host
		letters, digits
		a/b
		needs --bridge
		--foreign bad
		not a link name
		--bridge a-name-that-is-too-long bad
	END
	run -0 net ls -q
	[ "$output" = one ]
	run ! net rm nothing
	check_output "does not exist"
	run ! net frobnicate
	check_output "unknown verb"
}

@test "a container has address, route, names and reaches its neighbours and the host" {
	start_on a --network bridge --hostname web -- sh -c "$(serve 80 hello)"
	run -0 run_on b --network bridge:alias=second -- sh -c 'ip -o -4 addr show eth0; ip route; cat /etc/hosts; for i in $(seq 60); do nc -w 5 web 80 </dev/null && break; sleep 1; done'
	check_output "10.89.0.3/24"
	check_output "default via 10.89.0.1"
	check_output "10.89.0.2	web a"
	check_output "second"
	check_output hello
	wait_for answer_is hello on_host socat -T5 - TCP:10.89.0.2:80
	run -0 hamphi delete -f a
	run -0 net inspect default
	[ "$(jq '.[0].attachments | length' <<<"$output")" = 0 ]
}

@test "IPv6, static addresses and MAC, two networks, interface name" {
	net create --subnet 10.20.0.0/24 --subnet fd00:20::/64 one
	net create --subnet 10.21.0.0/24 two
	run -0 run_on a --network one:ip=10.20.0.77,ip6=fd00:20::77,mac=02:11:22:33:44:55 --network two:interface=lan0 -- \
		sh -c 'ip addr; ip route; ip -6 route; cat /proc/sys/net/ipv6/conf/lan0/disable_ipv6'
	check_output "10.20.0.77/24"
	check_output "fd00:20::77/64"
	check_output "02:11:22:33:44:55"
	check_output "default via 10.20.0.1 dev eth0"
	check_output "default via fd00:20::1 dev eth0"
	check_output "10.21.0.2/24"
	[ "$(grep -c '^default via 10' <<<"$output")" = 1 ]
	[ "${lines[-1]}" = 1 ]
	run ! run_on b --network one:ip=10.20.0.1 -- true
	check_output reserved
	run ! run_on b --network one:ip=10.99.0.1 -- true
	check_output "outside subnet"
	run ! run_on b --network nothing -- true
	check_output "does not exist"
	run ! run_on b --network one --network one -- true
	check_output "twice"
	[ ! -e "$ROOT/b" ]
}

# A router advertisement on the uplink; does the host have its default route?
advertised() {
	printf '\206\0\0\0\100\0\7\10\0\0\0\0\0\0\0\0' |
		on_outside socat -u - 'IP6-SENDTO:[ff02::1]:58,so-bindtodevice=up0,setsockopt=41:18:255' && # IPV6_MULTICAST_HOPS
		on_host ip -6 route show default | grep -q "proto ra"
}

@test "IPv6 forwarding ends a default route from router advertisements: said once, with the remedy" {
	setup_outside
	on_host sh -c 'echo 1 >/proc/sys/net/ipv6/conf/up0/accept_ra'
	wait_for advertised
	net create --subnet 10.20.0.0/24 --subnet fd00:20::/64 six
	run -0 run_on a --network six -- true
	check_output "network six: IPv6 forwarding"
	run -0 run_on b --network six -- true
	[[ "$output" != *forwarding* ]]
	run ! advertised
	# as it says
	on_host sh -c 'echo 0 >/proc/sys/net/ipv6/conf/all/forwarding; echo 2 >/proc/sys/net/ipv6/conf/up0/accept_ra'
	wait_for advertised
	run -0 run_on a --network six -- true
	[[ "$output" != *forwarding* ]]
	advertised
}

@test "an exhausted range is a clear error" {
	net create --subnet 10.20.0.0/30 small
	start_on a --network small -- sleep 1000
	run ! run_on b --network small -- true
	check_output "exhausted"
	hamphi delete -f a
	run -0 run_on b --network small -- true
}

@test "masquerade to the outside; MTU of the uplink" {
	setup_outside 1420
	on_host ip route add default via 192.0.2.2
	in_background on_outside socat TCP-LISTEN:90,fork,reuseaddr SYSTEM:'echo $SOCAT_PEERADDR'
	run -0 run_on a --network bridge -- sh -c 'cat /sys/class/net/eth0/mtu; for i in 1 2 3 4 5 6 7 8 9 10; do nc 192.0.2.2 90 </dev/null && break; sleep 1; done'
	check_output 1420
	check_output 192.0.2.1
}

@test "networks are isolated unless both say otherwise; internal ones have no way out" {
	setup_outside
	on_host ip route add default via 192.0.2.2
	net create --subnet 10.20.0.0/24 one
	net create --subnet 10.21.0.0/24 two
	net create --subnet 10.22.0.0/24 --no-isolate three
	net create --subnet 10.23.0.0/24 --no-isolate four
	net create --subnet 10.24.0.0/24 --internal five
	start_on a --network one -- sh -c "$(serve 80 one)"
	start_on c --network three -- sh -c "$(serve 80 three)"
	start_on e --network five -- sh -c "$(serve 80 five)"
	start_on m --network five --network one -p 8081:80 -- sh -c "$(serve 80 both)"
	wait_for answer_is one on_host socat -T5 - TCP:10.20.0.2:80
	wait_for answer_is five on_host socat -T5 - TCP:10.24.0.2:80
	run run_on b --network two -- nc -w 1 10.20.0.2 80
	[ "$output" != one ]
	run -0 run_on d --network four -- nc -w 20 10.22.0.2 80
	check_output three
	# nor to what others publish
	run ! run_on f --network five -- sh -c 'nc -w 1 192.0.2.2 90 || nc -w 1 10.24.0.1 8081 || nc -w 1 192.0.2.1 8081'
	wait_for answer_is both on_outside socat -T2 - TCP:192.0.2.1:8081
	run -0 on_host nft list map inet amphi ports4
	check_output "tcp . 8081 : 10.20.0.3 . 80"
	run -0 run_on g --network five -- nc -w 20 10.24.0.2 80
	check_output five
	# From outside nothing that is not published can be reached.
	on_outside ip route add 10.20.0.0/24 via 192.0.2.1
	run on_outside socat -T2 - TCP:10.20.0.2:80,connect-timeout=1
	[ "$output" != one ]
}

@test "connect and disconnect a running container" {
	net create --subnet 10.20.0.0/24 one
	start_on a --network bridge -- sleep 1000
	run -0 net_root connect --ip 10.20.0.9 one a
	run -0 hamphi exec a ip -o -4 addr
	check_output "10.20.0.9/24"
	run ! net_root connect one a
	check_output "already"
	run ! net rm one
	check_output "in use by container a"
	mac=$(net inspect default | jq -r '.[0].attachments[0].interfaces[0].inside.mac')
	run ! run_on b --network "bridge:mac=$mac" -- true
	check_output "network default: MAC address $mac is in use by container a"
	# a failed one leaves no trace
	start_on z --network none -- sleep 1000
	run ! net_root connect --ip 10.99.0.1 one z
	check_output "outside subnet"
	[ "$(ls "$AMPHI_NETWORK_DIR/run/attached" | wc -l)" = 1 ]
	net_root connect one z
	hamphi delete -f z
	[ "$(ls "$AMPHI_NETWORK_DIR/run/attached" | wc -l)" = 1 ]
	run -0 net_root disconnect one a
	run -0 hamphi exec a ip -o -4 addr
	[[ "$output" != *10.20.0.9* ]]
	run ! net_root disconnect one a
	run -0 net rm one
}
net_root() { on_host "$AMPHI" --root "$ROOT" network "$@"; }

@test "published ports move to the next network when theirs is disconnected" {
	net create --subnet 10.20.0.0/24 one
	start_on a --network bridge -p 8080:80 -- sh -c "$(serve 80 web)"
	net_root connect one a
	wait_for answer_is web on_host socat -T2 - TCP:127.0.0.1:8080
	net_root disconnect default a
	run -0 on_host nft list map inet amphi ports4
	check_output "tcp . 8080 : 10.20.0.2 . 80"
	wait_for answer_is web on_host socat -T2 - TCP:127.0.0.1:8080
}

@test "modes none, host, ns:PATH and container:ID" {
	run -0 run_on a --network none -- sh -c 'ip -o link | wc -l'
	[ "$output" = 1 ]
	on_host ip addr add 10.99.0.1/32 dev lo
	run -0 run_on b --network host -- ip -o addr
	check_output 10.99.0.1
	ip netns add "$HOST-x"
	HOSTS+=("$HOST-x")
	ip -n "$HOST-x" addr add 10.98.0.1/32 dev lo
	run -0 run_on c "--network" "ns:/run/netns/$HOST-x" -- ip -o addr
	check_output 10.98.0.1
	start_on d --network bridge -- sleep 1000
	run -0 run_on e --network container:d -- ip -o addr
	check_output 10.89.0.2
}

@test "events and stats count what goes over the network" {
	start_on a --network bridge -- sleep 1000
	counters() { hamphi events --stats a | jq -e ".data.network_interfaces[] | select(.Name == \"eth0\") | $1"; }
	before=$(counters .RxBytes)
	on_host ping -c 3 -i 0.2 -s 1000 -W 10 10.89.0.2
	[ "$(counters .RxBytes)" -ge $((before + 3000)) ]
	counters '.RxPackets >= 3 and .TxBytes >= 3000 and .TxPackets >= 3 and .RxErrors == 0 and .TxDropped == 0'
	run -0 hamphi stats a
	check_output RECEIVED
	start_on h --network host -- sleep 1000
	run -0 hamphi events --stats h
	[ "$(jq .data.network_interfaces <<<"$output")" = null ]
}

@test "rates are limited by tc" {
	start_on a --network bridge:rate-in=8mbit,rate-out=4mbit -- sleep 1000
	run -0 on_host tc qdisc show
	check_output "rate 8Mbit"
	check_output "rate 4Mbit"
	hamphi delete -f a
	run -0 on_host ip -o link
	[[ "$output" != *ifb* && "$output" != *": ai"* ]]
}

@test "a bridge or link of the network's name with other settings is refused, and nothing is left" {
	net create --subnet 10.20.0.0/24 --bridge mine0 --mtu 1400 one
	on_host ip link add mine0 type veth peer name other0
	run ! run_on a --network one -- true
	check_output "link mine0 exists and is not a bridge"
	on_host ip link del mine0
	run_on a --network one -- true
	on_host ip link set mine0 mtu 1300
	run ! run_on a --network one -- true
	check_output "bridge mine0 exists with MTU 1300, not 1400"
	on_host ip link set mine0 mtu 1400
	on_host ip link set mine0 alias theirs
	run ! run_on a --network one -- true
	check_output "does not belong to network one"
	[ -z "$(find "$AMPHI_NETWORK_DIR/run" -path '*/attached/*' -o -path '*/ipam/*/10*')" ]
	[ ! -e "$ROOT/a" ]
	on_host ip link show mine0
	run ! run_on a --network one:ip=10.20.0.9 --network nothing -- true
	run ! run_on a --network one:mac=01:00:00:00:00:01 -- true
	check_output "mac=01:00:00:00:00:01 is not valid"
	run ! run_on a --network one:rate-in=0 -- true
	check_output "rate-in=0 is not valid"
}

@test "a foreign bridge is used and left alone" {
	on_host ip link add their0 type bridge
	on_host ip addr add 10.40.0.1/24 dev their0
	on_host ip link set their0 up
	run ! net create --bridge their0 --subnet 10.40.0.0/24 one
	check_output overlaps
	net create --bridge their0 --subnet 10.41.0.0/24 mine
	run ! run_on a --network mine -- true
	check_output "does not belong to network mine"
	net rm mine
	net create --bridge their0 --foreign --subnet 10.40.0.0/24 theirs
	start_on a --network theirs -- sh -c "$(serve 80 there)"
	wait_for answer_is there on_host socat -T5 - TCP:10.40.0.2:80
	hamphi delete -f a
	net rm theirs
	on_host ip link show their0
}

# bats test_tags=lab:container
@test "VLAN filtering: untagged at the port, tagged at the uplink" {
	on_host ip link add probe type bridge vlan_filtering 1 2>/dev/null || skip "the kernel has no VLAN filtering on bridges"
	on_host ip link del probe
	setup_outside
	on_host ip addr flush dev up0
	net create --subnet 10.20.0.0/24 --vlan 42 --uplink up0 v
	ip -n "$OUTSIDE" link add link up0 name up0.42 type vlan id 42
	ip -n "$OUTSIDE" addr add 10.20.0.200/24 dev up0.42
	ip -n "$OUTSIDE" link set up0.42 up
	# the same addresses in another VLAN are another segment
	ip -n "$OUTSIDE" link add link up0 name up0.43 type vlan id 43
	ip -n "$OUTSIDE" link set up0.43 up
	start_on a --network v -- sh -c "$(serve 80 vlan)"
	wait_for answer_is vlan on_outside socat -T5 - TCP:10.20.0.2:80
	wait_for answer_is vlan on_host socat -T5 - TCP:10.20.0.2:80
	run -0 on_host bridge vlan show
	check_output "42 PVID Egress Untagged"
	[[ "$(on_host bridge vlan show dev up0)" != *Untagged* ]]
	ip -n "$OUTSIDE" addr del 10.20.0.200/24 dev up0.42
	ip -n "$OUTSIDE" addr add 10.20.0.200/24 dev up0.43
	run ! on_outside socat -T2 - TCP:10.20.0.2:80,connect-timeout=2
	# taken apart by somebody
	on_host ip link set up0 nomaster
	port=$(on_host ip -o link | grep -o 'av[0-9a-f]*' | head -n 1)
	on_host ip link set "$port" nomaster
	on_host ip link set amphi0 type bridge vlan_filtering 0
	net reload
	run -0 on_host ip -d link show amphi0
	check_output "vlan_filtering 1"
	run -0 on_host bridge vlan show dev "$port"
	check_output "42 PVID Egress Untagged"
	[[ "$output" != *" 1 PVID"* ]]
	run -0 on_host bridge vlan show dev up0
	check_output 42
	hamphi delete -f a
	net create --subnet 10.21.0.0/24 --vlan 43 --uplink up0 w
	run ! run_on b --network w -- true
	check_output "uplink up0 of network w belongs to another bridge"
	net create --subnet 10.22.0.0/24 --vlan 44 --uplink nothing0 x
	run ! run_on b --network x -- true
	check_output "uplink nothing0 of network x does not exist"
}

@test "rules flushed by somebody are put back by reload; other tables stay" {
	setup_outside
	on_host nft add table inet theirs
	start_on a --network bridge -p 8080:80 -- sh -c "$(serve 80 web)"
	wait_for answer_is web on_outside socat -T5 - TCP:192.0.2.1:8080
	on_host nft flush ruleset
	run ! on_outside socat -T2 - TCP:192.0.2.1:8080,connect-timeout=2
	on_host nft add table inet theirs
	on_host ip link del amphi0
	run -0 net reload
	wait_for answer_is web on_host socat -T5 - TCP:127.0.0.1:8080
	run -0 on_host bridge -d link
	check_output "hairpin on"
	wait_for answer_is web on_outside socat -T5 - TCP:192.0.2.1:8080
	run -0 on_host nft list tables
	check_output theirs
	hamphi delete -f a
	run -0 net prune
	run -0 on_host nft list tables
	check_output theirs
	[[ "$output" != *amphi* ]]
}

@test "what a killed owner left is removed by prune" {
	start_on a --network bridge -p 8080:80 -- sleep 1000
	local pid
	pid=$(pid_of a)
	kill -9 "$pid"
	wait_for gone "$pid"
	rm -rf "$ROOT/a"
	run -0 net prune
	check_output removed
	[ "$(find "$AMPHI_NETWORK_DIR/run" -path '*ipam/*' -type f ! -name '.*' -o -path '*attached/*' -type f -o -path '*ports/*' -type f | wc -l)" = 0 ]
	run -0 on_host ip -o link
	[[ "$output" != *amphi0* && "$output" != *": av"* ]]
	for d in /sys/fs/cgroup/*"$CGROUP-a" "/sys/fs/cgroup$CGROUP-a"; do [ ! -d "$d" ] || rmdir "$d"; done
}

@test "pasta: a container reaches the host's world without a bridge" {
	setup_outside
	probe_pasta
	# Both ends stay for a moment: pasta of 2023 repeats the last bytes of a connection that is closed at once.
	in_background on_outside socat TCP-LISTEN:90,fork,reuseaddr SYSTEM:'echo $SOCAT_PEERADDR; sleep 5'
	start_on a --network pasta -p 8080:80 -p 192.0.2.1:8081:81 -- sh -c "($(serve 80 web)) & $(serve 81 more)"
	wait_for answer_is 192.0.2.1 hamphi exec a sh -c 'sleep 3 | nc -w 5 192.0.2.2 90 | head -n 1'
	wait_for answer_is web on_outside socat -T2 - TCP:192.0.2.1:8080
	wait_for answer_is web on_host socat -T2 - TCP:127.0.0.1:8080
	wait_for answer_is more on_outside socat -T2 - TCP:192.0.2.1:8081
	run ! on_host socat -T2 - TCP:127.0.0.1:8081,connect-timeout=2
	run -0 on_host ip -o link
	[[ "$output" != *amphi0* ]]
	run ! run_on b --network pasta -p 9000:9000/sctp -- true
	check_output "tcp and udp only"
	run ! run_on b --network pasta -p 8080:80 -- true
	check_output "pasta:"
	[ ! -e "$ROOT/b" ]
	pid=$(cat "$ROOT/a/pasta.pid")
	kill -0 "$pid"
	hamphi delete -f a
	wait_for gone "$pid"
}
