#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# backends: container
# Published ports: protocols, ranges, host addresses, hairpin, localhost, conflicts.

load helpers
load network

setup() {
	export WAIT=30
	setup_host
	setup_bundle
	need_program socat
}
teardown() { teardown_host; }
# What a datagram brings: datagram_is WORD on_outside ADDRESS:PORT[,OPTION...]
datagram_is() { [ "$("$2" socat -T2 - "UDP:$3" <<<x 2>/dev/null)" = "$1" ]; }

@test "tcp from outside, from the host, by localhost, from a neighbour and from itself" {
	setup_outside
	start_on a --network bridge -p 8080:80 -- sh -c "$(serve 80 web)"
	wait_for answer_is web on_outside socat -T2 - TCP:192.0.2.1:8080
	wait_for answer_is web on_host socat -T2 - TCP:192.0.2.1:8080
	wait_for answer_is web on_host socat -T2 - TCP:127.0.0.1:8080
	run -0 hamphi exec a sh -c 'for i in 1 2 3 4 5 6 7 8 9 10; do nc -w 2 192.0.2.1 8080 </dev/null && break; done'
	check_output web
	run -0 run_on b --network bridge -- sh -c 'for i in 1 2 3 4 5 6 7 8 9 10; do nc -w 2 10.89.0.1 8080 </dev/null && break; done'
	check_output web
	net create --subnet 10.20.0.0/24 other
	run -0 run_on c --network other -- sh -c 'for i in 1 2 3 4 5 6 7 8 9 10; do nc -w 2 10.20.0.1 8080 </dev/null && break; done'
	check_output web
}

@test "a host address publishes there alone" {
	setup_outside
	on_host ip addr add 192.0.2.9/24 dev up0
	start_on a --network bridge -p 192.0.2.9:8080:80 -p 127.0.0.1:8081:80 -- sh -c "$(serve 80 web)"
	wait_for answer_is web on_outside socat -T2 - TCP:192.0.2.9:8080
	wait_for answer_is web on_host socat -T2 - TCP:127.0.0.1:8081
	run ! on_outside socat -T2 - TCP:192.0.2.1:8080,connect-timeout=2
	run ! on_outside socat -T2 - TCP:192.0.2.9:8081,connect-timeout=2
}

@test "IPv6" {
	setup_outside
	net create --subnet 10.20.0.0/24 --subnet fd00:20::/64 six
	start_on a --network six -p 8080:80 -p '[2001:db8::1]:8082:80' -- sh -c "$(serve 80 six)"
	wait_for answer_is six on_outside socat -T2 - 'TCP6:[2001:db8::1]:8080'
	wait_for answer_is six on_outside socat -T2 - 'TCP6:[2001:db8::1]:8082'
}

@test "ranges of tcp and udp ports" {
	setup_outside
	start_on a --network bridge -p 7000-7002:70-72 -p 5353:53/udp -p 6000-6002:60-62/udp -- \
		sh -c "($(serve 70 zero)) & $(serve 72 two)"
	serve_udp a 61 one
	serve_udp a 53 udp
	wait_for answer_is zero on_outside socat -T2 - TCP:192.0.2.1:7000
	wait_for answer_is two on_outside socat -T2 - TCP:192.0.2.1:7002
	wait_for datagram_is udp on_outside 192.0.2.1:5353
	wait_for datagram_is udp on_host 127.0.0.1:5353
	wait_for datagram_is one on_outside 192.0.2.1:6001
	run ! datagram_is one on_outside 192.0.2.1:6002
	run ! on_outside socat -T2 - TCP:192.0.2.1:7001,connect-timeout=2
}

@test "a udp client that keeps sending follows the port to the next container" {
	setup_outside
	start_on b --network bridge -p 5454:53/udp -- sleep 1000
	serve_udp b 53 other
	wait_for datagram_is other on_outside 192.0.2.1:5454,sourceport=4001
	# a flow that was there before the port was published
	run ! datagram_is one on_outside 192.0.2.1:5353,sourceport=4000
	run -0 on_host cat /proc/net/nf_conntrack
	check_output "sport=4000"
	start_on a --network bridge -p 5353:53/udp -- sleep 1000
	serve_udp a 53 one
	wait_for datagram_is one on_outside 192.0.2.1:5353,sourceport=4000
	hamphi delete -f a
	start_on c --network bridge -p 5353:53/udp -- sleep 1000
	serve_udp c 53 two
	[ "$(address_of default c)" != 10.89.0.3 ]
	wait_for datagram_is two on_outside 192.0.2.1:5353,sourceport=4000
	# the flow of the other port was left alone
	run -0 on_host cat /proc/net/nf_conntrack
	check_output "sport=4001"
}

# bats test_tags=lab:container
@test "sctp: from outside, from the host, by localhost, from itself; IPv6" {
	setup_outside
	net create --subnet 10.20.0.0/24 --subnet fd00:20::/64 six
	start_on a --network six -p 9000:9001/sctp -- sleep 1000
	run -0 on_host nft list map inet amphi ports4
	check_output "sctp . 9000 : 10.20.0.2 . 9001"
	# the traffic itself, where the kernel has it; the server is this host's program in the container's namespace
	python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)' 2>/dev/null || skip "the kernel has no SCTP; the rule is there"
	inside a socat SCTP6-LISTEN:9001,fork,reuseaddr,ipv6only=0 SYSTEM:'echo sctp'
	# one direction alone: SCTP has no half-closed connections, an end of input would end the answer too
	answer() { answer_is sctp "$1" timeout 10 socat -u "SCTP:$2" STDOUT; }
	wait_for answer on_outside 192.0.2.1:9000
	wait_for answer on_outside '[2001:db8::1]:9000'
	wait_for answer on_host 192.0.2.1:9000
	wait_for answer on_host 127.0.0.1:9000
	in_a() { nsenter --net="/proc/$(pid_of a)/ns/net" "$@"; }
	wait_for answer in_a 192.0.2.1:9000
	# a port that a process of the host has
	in_background on_host socat SCTP-LISTEN:9100,fork PIPE
	taken() { run ! run_on b --network six -p 9100:1/sctp -- true; [[ "$output" = *"9100/sctp of the host is in use"* ]]; }
	wait_for taken
}

@test "conflicts are named and leave nothing" {
	start_on a --network bridge -p 8080:80 -p 127.0.0.1:8090:80 -- sleep 1000
	run ! run_on b --network bridge -p 8080:81 -- true
	check_output "8080/tcp is published by container a"
	run ! run_on b --network bridge -p 127.0.0.1:8080:81 -- true
	check_output "8080/tcp is published by container a (on all addresses)"
	run ! run_on b --network bridge -p 8090:81 -- true
	check_output "8090/tcp is published by container a (on 127.0.0.1)"
	in_background on_host socat TCP-LISTEN:8099,fork,reuseaddr PIPE
	wait_for on_host socat -T1 -u OPEN:/dev/null TCP:127.0.0.1:8099
	run ! run_on b --network bridge -p 8099:81 -- true
	check_output "8099/tcp of the host is in use"
	net create --internal closed
	run ! run_on b --network closed -p 8100:81 -- true
	check_output "internal"
	[ "$(find "$AMPHI_NETWORK_DIR/run/attached" -type f | wc -l)" = 1 ]
	run ! run_on b -p 8100:81 -- true
	check_output "--network"
}

@test "packets for 127/8 from a bridge are dropped" {
	localnet() { on_host cat /proc/sys/net/ipv4/conf/amphi0/route_localnet; }
	start_on a --network bridge -- sleep 1000
	run -0 on_host nft list chain inet amphi guard
	check_output "ip daddr 127.0.0.0/8 iifname @bridges drop"
	# and without a published port they would lead nowhere
	[ "$(localnet)" = 0 ]
	start_on b --network bridge -p 8080:80 -- sleep 1000
	[ "$(localnet)" = 1 ]
}
