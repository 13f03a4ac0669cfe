#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# backends: container
# Names: resolv.conf, hosts, hostname, kept up to date.

load helpers
load network

setup() {
	setup_host
	setup_bundle
}
teardown() { teardown_host; }

@test "resolv.conf from options, from the network, from the host" {
	run -0 run_on a --network bridge --dns 192.0.2.53 -- cat /etc/resolv.conf
	check_output "nameserver 192.0.2.53"
	net create --dns 192.0.2.54 --dns-search x.example --dns-option ndots:3 n
	run -0 run_on b --network n -- cat /etc/resolv.conf
	check_output "search x.example"
	if command -v dnsmasq >/dev/null; then check_output "nameserver 10.89.1.1"; else check_output "nameserver 192.0.2.54"; fi
	check_output "options ndots:3"
	run -0 run_on c --network bridge -- cat /etc/resolv.conf
	[[ "$output" != *"nameserver 127."* ]]
	net create --dns 192.0.2.54 --no-dns quiet
	run -0 run_on d --network quiet -- cat /etc/resolv.conf
	check_output "nameserver 192.0.2.54"
	run ! net create --dns nonsense m
	check_output "not an address"
}

@test "hosts follows containers that come and go" {
	start_on a --network bridge --hostname alpha -- sleep 1000
	start_on b --network bridge:alias=db --hostname beta -- sleep 1000
	run -0 hamphi exec a cat /etc/hosts
	check_output "10.89.0.2	alpha a"
	check_output "10.89.0.3	beta b db"
	run -0 hamphi exec b sh -c 'cat /etc/hosts; ping -c 1 -W 5 alpha >/dev/null 2>&1 || nc -w 1 alpha 9; cat /etc/hostname'
	check_output "10.89.0.2	alpha a"
	[ "${lines[-1]}" = beta ]
	hamphi delete -f b
	run -0 hamphi exec a cat /etc/hosts
	[[ "$output" != *beta* ]]
	check_output "10.89.0.2	alpha a"
}

@test "add-host; what a container wrote itself stays" {
	start_on a --network bridge --add-host db.example:192.0.2.7 -- sleep 1000
	hamphi exec a sh -c 'echo "192.0.2.8 mine" >>/etc/hosts'
	run_on b --network bridge -- true
	run -0 hamphi exec a cat /etc/hosts
	check_output "192.0.2.7	db.example"
	check_output "192.0.2.8 mine"
	run ! run_on c --network bridge --add-host nonsense -- true
	check_output "NAME:ADDRESS"
}

@test "networks without dns keep names to themselves" {
	net create --no-dns quiet
	start_on a --network quiet --hostname alpha -- sleep 1000
	run -0 run_on b --network quiet --hostname beta -- cat /etc/hosts
	check_output beta
	[[ "$output" != *alpha* ]]
}

# ask CONTAINER NAME [SERVER]: the addresses, one a line, without the server's own
ask() { hamphi exec "$1" nslookup "$2" "${3:-10.89.0.1}" 2>/dev/null | sed '1,/^$/d' | sed -n 's/^Address: //p'; }
answers() { [ "$(ask "${@:2}")" = "$1" ]; }

@test "a resolver for each network in use: names, changes, other names by its servers" {
	need_program dnsmasq
	setup_outside
	on_host ip route add default via 192.0.2.2
	in_background on_outside dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --pid-file= \
		--host-record=far.example,198.51.100.7 --listen-address=192.0.2.2 --bind-interfaces --user=root
	net create --subnet 10.20.0.0/24 --subnet fd00:20::/64 --dns 192.0.2.2 one
	start_on a --network one:alias=db --hostname alpha -- sleep 1000
	[ "$(resolvers | wc -l)" = 1 ]
	run -0 hamphi exec a cat /etc/resolv.conf
	check_output "nameserver 10.20.0.1"
	check_output "nameserver fd00:20::1"
	start_on b --network one --hostname beta -- sleep 1000
	[ "$(resolvers | wc -l)" = 1 ]
	wait_for answers "$(printf '10.20.0.3\nfd00:20::3')" a beta 10.20.0.1
	wait_for answers "$(printf '10.20.0.2\nfd00:20::2')" b db fd00:20::1
	wait_for answers 198.51.100.7 a far.example 10.20.0.1
	hamphi delete -f b
	wait_for answers "" a beta 10.20.0.1
	# no answer for other networks, nothing but its own names for an internal one
	net create --subnet 10.21.0.0/24 --internal --dns 192.0.2.2 two
	start_on c --network two --hostname gamma -- sleep 1000
	wait_for answers 10.21.0.2 c gamma 10.21.0.1
	answers "" c far.example 10.21.0.1
	answers "" c alpha 10.20.0.1
	# a connected one is found on both
	net_root connect two a
	wait_for answers 10.21.0.3 c alpha 10.21.0.1
	hamphi delete -f a
	[ "$(resolvers | wc -l)" = 1 ]
	hamphi delete -f c
	[ -z "$(resolvers)" ]
	[ -z "$(ls "$AMPHI_NETWORK_DIR/run/dns")" ]
}
net_root() { on_host "$AMPHI" --root "$ROOT" network "$@"; }

@test "a resolver that ended comes back; one whose containers were killed does not stay" {
	need_program dnsmasq
	start_on a --network bridge --hostname alpha -- sleep 1000
	kill -9 "$(cat "$AMPHI_NETWORK_DIR/run/dns/default/pid")"
	[ -z "$(resolvers)" ]
	net reload
	wait_for answers 10.89.0.2 a alpha
	kill -9 "$(cat "$AMPHI_NETWORK_DIR/run/dns/default/pid")"
	start_on b --network bridge --hostname beta -- sleep 1000
	wait_for answers 10.89.0.3 a beta
	# a pid file that names somebody else hurts nobody
	sleep 1000 3>&- &
	SERVERS+=($!)
	mkdir -p "$AMPHI_NETWORK_DIR/run/dns/gone"
	echo $! >"$AMPHI_NETWORK_DIR/run/dns/gone/pid"
	net prune
	kill -0 $!
	[ ! -e "$AMPHI_NETWORK_DIR/run/dns/gone" ]
	[ "$(resolvers | wc -l)" = 1 ]
	for id in a b; do
		pid=$(pid_of $id)
		kill -9 "$pid"
		wait_for gone "$pid"
		mv "$ROOT/$id" "$BATS_TEST_TMPDIR/$id"
	done
	net prune
	[ -z "$(resolvers)" ]
	for id in a b; do mv "$BATS_TEST_TMPDIR/$id" "$ROOT/$id"; done
}

@test "port 53 taken: a warning once, names in hosts files" {
	need_program dnsmasq
	in_background on_host socat UDP-RECVFROM:53,fork PIPE
	listens() { [ -n "$(on_host ss -Hlun sport = :53)" ]; }
	wait_for listens
	run -0 run_on a --network bridge --hostname alpha -- true
	start_on b --network bridge --hostname beta -- sleep 1000
	run -0 cat "$BATS_TEST_TMPDIR/b.out"
	check_output "network default: no resolver"
	run -0 run_on c --network bridge -- cat /etc/hosts /etc/resolv.conf
	check_output beta
	[[ "$output" != *"nameserver 10.89.0.1"* && "$output" != *"no resolver"* ]]
}
