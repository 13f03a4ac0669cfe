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
	# jumps and gotos are followed, as far as they have no condition; a loop is not possible, depth is
	on_host nft -f - <<-END
		flush table inet theirs
		table inet theirs {
			chain last { counter drop; }
			chain middle { iifname "nothing0" return; goto last; }
			chain back { return; drop; }
			chain yes { counter accept; }
			chain forward { type filter hook forward priority 10; policy accept; ct state established accept; jump back; iifname "nothing0" jump last; jump middle; }
		}
	END
	run -0 net reload
	check_output "chain forward of the nftables table theirs leads to chain last, which drops"
	for rule in 'jump yes; jump last' 'jump back' 'goto back; drop' 'iifname "nothing0" drop'; do
		on_host nft "flush chain inet theirs forward; add chain inet theirs forward { policy accept; }; table inet theirs { chain forward { $rule; }; }"
		run -0 net reload
		[ -z "$output" ] || { echo "$rule: $output" >&2; return 1; }
	done
	# what passes all by a rule has no policy to fear
	on_host nft 'flush chain inet theirs forward; add chain inet theirs forward { policy drop; }; add rule inet theirs forward jump yes'
	run -0 net reload
	[ -z "$output" ]
	# one of the other family alone is none
	on_host nft 'delete table inet theirs; add table ip6 theirs; add chain ip6 theirs f { type filter hook forward priority 0; policy drop; }'
	run -0 net reload
	[ -z "$output" ]
}

# As docker leaves them.
docker_rules() { # IPTABLES
	on_host "$1" -N DOCKER-USER
	on_host "$1" -A FORWARD -j DOCKER-USER
	on_host "$1" -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
	on_host "$1" -A FORWARD -i docker0 -j ACCEPT
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
	on_host nft 'add table inet theirs; add chain inet theirs i { type filter hook input priority 0; policy drop; }'
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
