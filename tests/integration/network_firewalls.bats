#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# backends: container
# Beside the packet filters of others: what drops our traffic is named with its remedy, which works; nothing of theirs is touched.

load helpers
load network

setup() {
	setup_host
	setup_bundle
	need_program socat
	setup_outside
	on_host ip route add default via 192.0.2.2
	in_background on_outside socat TCP-LISTEN:90,fork,reuseaddr SYSTEM:'echo outside'
}
teardown() { teardown_host; }

doctor() { on_host "$AMPHI" doctor --format json | jq -r ".[] | select(.name == \"network\") | .$1"; }
# Container a with a published port; it warns of what the words say, once.
start_warned() { # WORD...
	start_on a --network bridge -p 8080:80 -- sh -c "$(serve 80 web)"
	run -0 cat "$BATS_TEST_TMPDIR/a.out"
	for word in "network default: " "for bridge amphi0" "$@"; do check_output "$word"; done
	run -0 run_on b --network bridge -- true
	[ -z "$output" ]
	[ "$(doctor verdict)" = partly ]
}
reaches_outside() { [ "$(hamphi exec a nc -w 2 192.0.2.2 90 </dev/null)" = outside ]; }
# With the doctor's remedy carried out both ways work and nobody warns.
remedied() {
	run -0 on_host sh -c "$(doctor remedy)"
	wait_for answer_is web on_outside socat -T2 - TCP:192.0.2.1:8080
	wait_for reaches_outside
	run -0 net reload
	[ -z "$output" ]
}

@test "a table of somebody that drops by policy; names in sets count" {
	on_host nft -f - <<-END
		table inet theirs {
			chain forward { type filter hook forward priority 10; policy drop; iifname "nothing0" accept; }
			chain other { }
		}
	END
	run -0 net create --subnet 10.20.0.0/24 --bridge other0 one
	check_output "network one: chain forward of the nftables table theirs drops by policy"
	start_warned "chain forward of the nftables table theirs drops by policy"
	run ! on_outside socat -T2 - TCP:192.0.2.1:8080,connect-timeout=2
	run ! reaches_outside
	before=$(on_host nft list table inet theirs)
	run -0 net reload
	check_output "table theirs"
	[ "$(on_host nft list table inet theirs)" = "$before" ]
	net rm one
	remedied
	for rule in 'iifname . ip saddr { "amphi0" . 10.89.0.2 }' 'iifname "amphi*"' 'iif amphi0' 'ip saddr 10.0.0.0/8' 'ip saddr { 10.89.0.0/24, 10.99.0.0/24 }'; do
		on_host nft "flush table inet theirs; add rule inet theirs other $rule accept"
		run -0 net reload
		[ -z "$output" ] || { echo "$rule: $output" >&2; return 1; }
	done
	on_host nft 'flush table inet theirs; add rule inet theirs other iifname "amphi" accept; add rule inet theirs other ip saddr 10.89.1.0/24 accept'
	run -0 net reload
	check_output "table theirs"
	# jumps and gotos are followed, as far as their conditions are met; a loop is not possible, depth is
	on_host nft -f - <<-END
		flush table inet theirs
		table inet theirs {
			chain last { counter drop; }
			chain middle { iifname "nothing0" return; goto last; }
			chain back { return; drop; }
			set bad { type ipv4_addr; elements = { 192.0.2.77 } }
			chain yes { counter accept; }
			chain forward { type filter hook forward priority 10; policy accept; ct state established accept; jump back; iifname "nothing0" jump last; jump middle; }
		}
	END
	run -0 net reload
	check_output "chain forward of the nftables table theirs leads to chain last, which drops"
	# RULES of the chain under a policy that accepts, or drops: conditions count that a new connection from the bridge meets
	judge() { # accept|drop warned|silent RULES...
		local policy=$1 how=$2 rule
		shift 2
		for rule; do
			on_host nft "flush chain inet theirs forward; add chain inet theirs forward { policy $policy; }; table inet theirs { chain forward { $rule; }; }"
			run -0 net reload
			if [ "$how" = warned ]; then [[ "$output" = *"table theirs"* ]]; else [ -z "$output" ]; fi || { echo "$rule: $output" >&2; return 1; }
			judged=$((${judged:-0} + 1))
		done
	}
	judge accept silent 'jump yes; jump last' 'jump back' 'goto back; drop' 'iifname "nothing0" drop' 'iifname "nothing0" jump last' \
		'ct state invalid jump last' 'ip saddr 10.64.0.0/12 jump last' 'meta nfproto ipv6 goto last' 'meta l4proto udp jump last' \
		'ip saddr @bad jump last' 'limit rate 1/second jump last' 'iif lo goto last' 'oifname "nothing0" jump last'
	judge accept warned 'ct state new jump last' 'ct state established accept; meta l4proto tcp ct state new goto last' \
		'iifname != "nothing0" jump middle' 'iifname != { "nothing0", "nothing1" } jump last' 'meta nfproto ipv4 goto last' \
		'ip saddr != 192.168.0.0/16 drop' 'ip protocol tcp meta mark set 1 jump last' 'ct state new,untracked log jump last'
	judge drop silent 'iifname != "nothing0" accept' 'ct state new jump yes' 'ip saddr 10.80.0.0/12 accept' 'ct state != established goto yes'
	judge drop warned 'iifname "nothing0" accept' 'ct state established,related jump yes' 'meta l4proto udp accept; ct state new jump back'
	[ "$judged" -eq 28 ]
	# what passes all by a rule has no policy to fear
	on_host nft 'flush chain inet theirs forward; add chain inet theirs forward { policy drop; }; add rule inet theirs forward jump yes'
	run -0 net reload
	[ -z "$output" ]
	# one of the other family alone is none
	on_host nft 'delete table inet theirs; add table ip6 theirs; add chain ip6 theirs f { type filter hook forward priority 0; policy drop; }'
	run -0 net reload
	[ -z "$output" ]
}

@test "podman's and docker's tables for nftables stop nothing of ours" {
	on_host nft -f - <<-END
		table inet netavark {
			chain NETAVARK-ISOLATION-1 { iifname "podman0" oifname != "podman0" jump NETAVARK-ISOLATION-2; jump NETAVARK-ISOLATION-3; }
			chain NETAVARK-ISOLATION-2 { oifname "podman0" drop; oifname "podman1" drop; }
			chain NETAVARK-ISOLATION-3 { oifname "podman1" drop; jump NETAVARK-ISOLATION-2; }
			chain INPUT { type filter hook input priority filter; policy accept; ip saddr 10.88.0.0/16 meta l4proto { tcp, udp } th dport 53 accept; }
			chain FORWARD { type filter hook forward priority filter; policy accept; ct state invalid drop; jump NETAVARK-ISOLATION-1;
				ip daddr 10.88.0.0/16 ct state established,related accept; ip saddr 10.88.0.0/16 accept; }
		}
		table ip docker-bridges {
			chain in__docker0 { ct state established,related accept; iifname "docker0" accept; counter drop; }
			chain out__docker0 { ct state established,related accept; oifname "docker0" drop; counter accept; }
			map in-jumps { type ifname : verdict; elements = { "docker0" : jump in__docker0 }; }
			map out-jumps { type ifname : verdict; elements = { "docker0" : jump out__docker0 }; }
			chain filter-FORWARD { type filter hook forward priority filter; policy accept; oifname vmap @out-jumps; iifname vmap @in-jumps; }
		}
	END
	run -0 net create one
	[ "$output" = one ]
	on_host nft add rule ip docker-bridges filter-FORWARD ct state new goto in__docker0
	run -0 net create two
	check_output "network two: chain filter-FORWARD of the nftables table docker-bridges leads to chain in__docker0, which drops"
}

# As docker leaves them.
docker_rules() { # IPTABLES
	local chain
	for chain in DOCKER DOCKER-USER DOCKER-FORWARD DOCKER-CT DOCKER-BRIDGE; do on_host "$1" -N "$chain"; done
	on_host "$1" -A FORWARD -j DOCKER-USER
	on_host "$1" -A FORWARD -j DOCKER-FORWARD
	on_host "$1" -A DOCKER-FORWARD -j DOCKER-CT
	on_host "$1" -A DOCKER-FORWARD -j DOCKER-BRIDGE
	on_host "$1" -A DOCKER-FORWARD -i docker0 -j ACCEPT
	on_host "$1" -A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
	on_host "$1" -A DOCKER-BRIDGE -o docker0 -j DOCKER
	on_host "$1" -A DOCKER ! -i docker0 -o docker0 -j DROP
	on_host "$1" -A DOCKER-USER -j RETURN
	on_host "$1" -P FORWARD DROP
}

@test "docker's rules, by iptables-nft" {
	need_program iptables-nft
	docker_rules iptables-nft
	start_warned "chain FORWARD of the nftables table filter drops by policy" "iptables -I DOCKER-USER -i amphi0 -j ACCEPT"
	run ! on_outside socat -T2 - TCP:192.0.2.1:8080,connect-timeout=2
	iptables() { iptables-nft "$@"; }
	remedied
	on_host iptables-nft -F DOCKER-USER
	on_host iptables-nft -P FORWARD ACCEPT
	run -0 net reload
	[ -z "$output" ]
	on_host iptables-nft -A FORWARD -j REJECT
	run -0 net reload
	check_output "chain FORWARD of the nftables table filter ends in a rule that drops"
	# conditions of iptables' own kind
	on_host iptables-nft -R FORWARD 3 -m conntrack --ctstate INVALID -j REJECT
	run -0 net reload
	[ -z "$output" ]
	on_host iptables-nft -R FORWARD 3 -p tcp -m conntrack --ctstate NEW -m comment --comment why -j REJECT
	run -0 net reload
	check_output "ends in a rule that drops"
}

@test "docker's rules, by the old iptables" {
	need_program iptables-legacy
	on_host iptables-legacy -S >/dev/null 2>&1 || skip "the kernel has no old iptables"
	docker_rules iptables-legacy
	start_warned "chain FORWARD of iptables-legacy (IPv4) drops by policy" "iptables-legacy -I DOCKER-USER -i amphi0 -j ACCEPT"
	run ! on_outside socat -T2 - TCP:192.0.2.1:8080,connect-timeout=2
	remedied
	on_host iptables-legacy -F DOCKER-USER
	on_host iptables-legacy -A DOCKER-USER -i 'amphi+' -j ACCEPT
	run -0 net reload
	[ -z "$output" ]
}

@test "a filter that drops questions to the host: no resolver, the host's servers and hosts files" {
	need_program dnsmasq
	on_host nft 'add table inet theirs; add chain inet theirs i { type filter hook input priority 0; policy drop; }; add rule inet theirs i iif lo accept' # criu waits for loopback
	start_on a --network bridge --hostname alpha -- sleep 1000
	run -0 cat "$BATS_TEST_TMPDIR/a.out"
	check_output "network default: no resolver: chain i of the nftables table theirs drops by policy what is asked from bridge amphi0"
	run -0 run_on b --network bridge -- cat /etc/resolv.conf /etc/hosts
	check_output "alpha"
	[[ "$output" != *"nameserver 10.89.0.1"* ]]
	[[ "$(doctor finding)" = *"no names by DNS"* ]]
	run -0 on_host sh -c "$(doctor remedy)"
	run -0 net reload
	[ -z "$output" ]
	[ "$(doctor verdict)" = ok ]
	run -0 run_on b --network bridge -- sh -c 'cat /etc/resolv.conf; nslookup alpha 10.89.0.1'
	check_output "nameserver 10.89.0.1"
	check_output "10.89.0.2"
}

# Debian's firewalld in $HOST with a bus of its own, not installed: it would be this machine's firewall after the next boot.
start_firewalld() {
	local d=$AMPHI_BUILD/firewalld t=$BATS_TEST_TMPDIR
	need_program dbus-daemon
	/usr/bin/python3 -c 'import dbus, gi' 2>/dev/null || skip "needs python3-dbus and python3-gi"
	(
		mkdir -p "$d" && cd "$d" && flock 9 && { [ -e complete ] ||
			{ timeout 120 apt-get download -q firewalld python3-firewall python3-nftables && for f in *.deb; do dpkg -x "$f" .; done && touch complete; }; }
	) 9>"$AMPHI_BUILD/firewalld.lock" >/dev/null 2>&1 || skip "firewalld cannot be downloaded"
	cat >"$t/bus.conf" <<-END
		<busconfig><type>system</type><listen>unix:path=$t/bus</listen><auth>EXTERNAL</auth><policy context="default">
		<allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/></policy></busconfig>
	END
	cp -r "$d/etc/firewalld" "$t/etc"
	mkdir "$t/bin"
	printf '#!/bin/sh\nexec /usr/bin/python3 %s/usr/bin/firewall-cmd "$@"\n' "$d" >"$t/bin/firewall-cmd"
	chmod +x "$t/bin/firewall-cmd"
	export PATH=$t/bin:$PATH DBUS_SYSTEM_BUS_ADDRESS=unix:path=$t/bus PYTHONPATH=$d/usr/lib/python3/dist-packages
	in_background on_host dbus-daemon --nofork --config-file="$t/bus.conf"
	wait_for test -S "$t/bus"
	in_background on_host unshare -m --propagation private sh -c 'mount -t tmpfs none /run && exec /usr/bin/python3 "$@"' sh \
		"$d/usr/sbin/firewalld" --nofork --nopid --log-target=console --system-config="$t/etc" --default-config="$d/usr/lib/firewalld"
	wait_for on_host firewall-cmd --state
}

@test "firewalld: named, let pass, and still so after its reload" {
	start_firewalld
	start_warned "chain filter_FORWARD of the nftables table firewalld leads to chain filter_FWD_public, which drops" "firewall-cmd --permanent --zone=trusted --add-interface=amphi0"
	wait_for answer_is web on_outside socat -T2 - TCP:192.0.2.1:8080
	run ! reaches_outside
	remedied
	on_host firewall-cmd --reload
	reaches_outside
	answer_is web on_outside socat -T2 - TCP:192.0.2.1:8080
	run -0 net reload
	[ -z "$output" ]
}
