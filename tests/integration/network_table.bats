#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# backends: vm
# Who reaches whom: two machines, two containers, the host and somebody outside, by IPv4 and IPv6, by name and by published port.
# All are started once; each test is one row of the table.

load helpers
load network

# Options of each: fixed addresses make the table readable.
#   m1, m2 machines  10.20.0.11, .12   fd00:20::11, ::12   published 8011, 8012
#   c1, c2 containers 10.20.0.21, .22  fd00:20::21, ::22   published 8021, 8022
setup_file() {
	export BATS_TEST_TMPDIR=$BATS_FILE_TMPDIR BATS_TEST_NUMBER=0
	setup_host
	[ -w /dev/net/tun ] || skip "needs /dev/net/tun"
	need_program socat
	setup_bundle
	add_program socat
	setup_outside
	net create --subnet 10.20.0.0/24 --subnet fd00:20::/64 t
	serve_name m1 11 vm ",mac=02:11:22:33:44:55"
	serve_name m2 12 vm ",rate-in=400mbit,rate-out=200mbit"
	serve_name c1 21 container
	serve_name c2 22 container
	export HOST OUTSIDE ROOT BUNDLE CGROUP ID
	declare -p HOSTS SERVERS >"$BATS_FILE_TMPDIR/hosts"
}
setup() {
	BATS_TEST_TMPDIR=$BATS_FILE_TMPDIR
	. "$BATS_FILE_TMPDIR/hosts"
}
teardown_file() {
	BATS_TEST_TMPDIR=$BATS_FILE_TMPDIR
	[ ! -e "$BATS_FILE_TMPDIR/hosts" ] || . "$BATS_FILE_TMPDIR/hosts"
	teardown_host
}

# Servers that say their name, on port 80 and on port 53 for datagrams: serve_name NAME NUMBER BACKEND [OPTIONS]
serve_name() {
	local n=$2
	AMPHI_BACKEND=$3 start_on "$1" --hostname "$1" --network "t:ip=10.20.0.$n,ip6=fd00:20::$n$4" -p "80$n:80" -p "53$n:53/udp" -- \
		sh -c "socat UDP6-LISTEN:53,fork,reuseaddr,ipv6only=0 SYSTEM:'echo $1' & socat TCP6-LISTEN:80,fork,reuseaddr,ipv6only=0 SYSTEM:'echo $1'"
}
# Runs a command at a place: at PLACE COMMAND...
at() {
	local place=$1
	shift
	case $place in
	host) on_host "$@" ;;
	outside) on_outside "$@" ;;
	*) "$AMPHI" --root "$ROOT" exec "$place" "$@" ;;
	esac
}
says() { [ "$(at "$2" socat -T10 - "TCP:$3,connect-timeout=10" 2>/dev/null </dev/null)" = "$1" ]; }
# One row: row FROM; what comes back from each address must be its name.
row() {
	local from=$1 failed=0 want address n=0
	while read -r want address; do
		[ -n "$want" ] || continue
		n=$((n + 1))
		wait_for says "$want" "$from" "$address" || { echo "$from does not get $want at $address" >&2; failed=1; }
	done
	[ "$n" -gt 0 ] && [ "$failed" = 0 ]
}

@test "machine to machine, container, itself: IPv4, IPv6, names, published ports" {
	row m1 <<-END
		m2 10.20.0.12:80
		m2 [fd00:20::12]:80
		m2 m2:80
		c1 10.20.0.21:80
		c1 [fd00:20::21]:80
		c1 c1:80
		m2 10.20.0.1:8012
		m2 [fd00:20::1]:8012
		c1 192.0.2.1:8021
		c1 [2001:db8::1]:8021
		m1 192.0.2.1:8011
		m1 [2001:db8::1]:8011
	END
}

@test "container to machine, container, itself: IPv4, IPv6, names, published ports" {
	row c1 <<-END
		m1 10.20.0.11:80
		m1 [fd00:20::11]:80
		m1 m1:80
		c2 10.20.0.22:80
		c2 [fd00:20::22]:80
		c2 c2:80
		m1 10.20.0.1:8011
		m1 [fd00:20::1]:8011
		c2 192.0.2.1:8022
		c2 [2001:db8::1]:8022
		c1 192.0.2.1:8021
		c1 [2001:db8::1]:8021
	END
}

@test "host to machine and container: addresses, published ports, localhost" {
	row host <<-END
		m1 10.20.0.11:80
		m1 [fd00:20::11]:80
		c1 10.20.0.21:80
		c1 [fd00:20::21]:80
		m1 127.0.0.1:8011
		c1 127.0.0.1:8021
		m1 192.0.2.1:8011
		m1 [2001:db8::1]:8011
		c1 192.0.2.1:8021
		c1 [2001:db8::1]:8021
	END
}

@test "outside to machine and container: published ports alone" {
	row outside <<-END
		m1 192.0.2.1:8011
		m1 [2001:db8::1]:8011
		c1 192.0.2.1:8021
		c1 [2001:db8::1]:8021
	END
	on_outside ip route replace 10.20.0.0/24 via 192.0.2.1
	on_outside ip route replace fd00:20::/64 via 2001:db8::1
	for address in 10.20.0.11 '[fd00:20::11]' 10.20.0.21 '[fd00:20::21]'; do
		run ! at outside socat -T2 - "TCP:$address:80,connect-timeout=2"
	done
}

@test "datagrams to published ports: IPv4 and IPv6" {
	answers() { [ "$(on_outside socat -T2 - "$2" <<<x 2>/dev/null)" = "$1" ]; }
	for n in 11 21; do
		name=$([ $n = 11 ] && echo m1 || echo c1)
		wait_for answers $name "UDP:192.0.2.1:53$n"
		wait_for answers $name "UDP6:[2001:db8::1]:53$n"
	done
}

@test "the resolver answers machines and containers" {
	need_program dnsmasq
	for from in m1 c1; do
		run -0 at $from nslookup m2 10.20.0.1
		check_output 10.20.0.12
		check_output fd00:20::12
		run -0 at $from nslookup c2 fd00:20::1
		check_output 10.20.0.22
		run -0 at $from cat /etc/resolv.conf
		check_output "nameserver 10.20.0.1"
	done
}

@test "machines: address, MAC, MTU, no route advertisements; counters; rates by tc" {
	run -0 at m1 sh -c 'ip addr show eth0; cat /proc/sys/net/ipv6/conf/eth0/accept_ra'
	check_output 02:11:22:33:44:55
	check_output 10.20.0.11/24
	check_output fd00:20::11/64
	check_output "mtu 1500"
	[ "${lines[-1]}" = 0 ]
	for id in m1 c1; do
		counters() { hamphi events --stats $id | jq -e ".data.network_interfaces[] | select(.Name == \"eth0\") | $1"; }
		before=$(counters .RxBytes)
		on_host ping -c 3 -s 1000 -W 10 "10.20.0.$([ $id = m1 ] && echo 11 || echo 21)"
		[ "$(counters .RxBytes)" -ge $((before + 3000)) ]
		counters '.RxPackets >= 3 and .TxBytes >= 3000 and .TxPackets >= 3'
	done
	run -0 on_host tc qdisc show
	check_output "rate 400Mbit"
	check_output "rate 200Mbit"
}

@test "a running machine is not connected or disconnected, and says so" {
	net create --subnet 10.21.0.0/24 u
	run ! on_host "$AMPHI" --root "$ROOT" network connect u m1
	check_output "a machine's network interfaces are fixed when it starts"
	run ! on_host "$AMPHI" --root "$ROOT" network disconnect t m1
	check_output "a machine's network interfaces are fixed when it starts"
	net rm u
	says m1 host 10.20.0.11:80
}

@test "afterwards nothing is left" {
	for id in m1 m2 c1 c2; do hamphi delete -f $id; done
	run -0 net prune
	run -0 on_host ip -o link
	[[ "$output" != *": a"[tvi]* && "$output" != *amphi0* ]]
	[ -z "$(find "$AMPHI_NETWORK_DIR/run" -path '*/attached/*' -o -path '*/ports/*' -o -path '*/ipam/*/[0-9f]*' -o -path '*/dns/*')" ]
	run -0 on_host nft list tables
	[[ "$output" != *amphi* ]]
	[ -z "$(ip netns pids "$HOST" | while read -r p; do tr '\0' ' ' <"/proc/$p/cmdline" | grep -a dnsmasq; done)" ]
}
