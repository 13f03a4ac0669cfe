# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Network namespaces as hosts: each test has one of its own ($HOST), in which amphi's bridges, rules and ports are, and
# may have more. Nothing of the machine's own network is touched.

# A new host in $HOST with loopback up, networks in a directory of its own.
setup_host() {
	need_root
	need_program nft
	HOST=amphi-$$-$BATS_TEST_NUMBER-$RANDOM
	HOSTS=("$HOST")
	SERVERS=()
	ip netns add "$HOST"
	on_host ip link set lo up
	export AMPHI_NETWORK_DIR=$BATS_TEST_TMPDIR/networks
}

# Another namespace NAME joined to $HOST by a veth: 192.0.2.1 (host) and 192.0.2.2 (there), 2001:db8::1 and ::2.
setup_outside() {
	OUTSIDE=$HOST-o
	HOSTS+=("$OUTSIDE")
	ip netns add "$OUTSIDE"
	ip -n "$OUTSIDE" link set lo up
	ip -n "$HOST" link add up0 mtu "${1:-1500}" type veth peer name up0 netns "$OUTSIDE"
	ip -n "$HOST" addr add 192.0.2.1/24 dev up0
	ip -n "$HOST" addr add 2001:db8::1/64 dev up0 nodad
	ip -n "$HOST" link set up0 up
	ip -n "$OUTSIDE" addr add 192.0.2.2/24 dev up0
	ip -n "$OUTSIDE" addr add 2001:db8::2/64 dev up0 nodad
	ip -n "$OUTSIDE" link set up0 up
}

# nsenter, not "ip netns exec": that one mounts a /sys without control groups.
on_host() { nsenter --net="/run/netns/$HOST" "$@"; }
on_outside() { nsenter --net="/run/netns/$OUTSIDE" "$@"; }
# A command in the background on a host: in_background on_outside COMMAND...; ended by teardown_host.
in_background() {
	"$@" </dev/null >/dev/null 2>&1 3>&- &
	SERVERS+=($!)
}
net() { on_host "$AMPHI" network "$@"; }
# amphi on the host, with this test's root and backend.
hamphi() {
	local flags=(--root "$ROOT")
	if is_vm; then flags+=(--isolation vm --vmm "$AMPHI_VMM"); fi
	on_host "$AMPHI" "${flags[@]}" "$@"
}

# Starts container NAME in the background with the options, running the command: start_on NAME [OPTION...] -- COMMAND...
start_on() {
	local name=$1 options=()
	shift
	while [ "$1" != -- ]; do options+=("$1"); shift; done
	shift
	config_args "$@"
	config '.linux.cgroupsPath = $c' --arg c "$CGROUP-$name"
	hamphi run -d -b "$BUNDLE" "${options[@]}" "$name" </dev/null >"$BATS_TEST_TMPDIR/$name.out" 2>&1 ||
		{ cat "$BATS_TEST_TMPDIR/$name.out" >&2; return 1; }
}
# Runs the command in the foreground: run_on NAME [OPTION...] -- COMMAND...
run_on() {
	local name=$1 options=()
	shift
	while [ "$1" != -- ]; do options+=("$1"); shift; done
	shift
	config_args "$@"
	config '.linux.cgroupsPath = $c' --arg c "$CGROUP-$name"
	hamphi run -b "$BUNDLE" "${options[@]}" "$name"
}
# A server that answers each connection on a port with a word, for as long as it lives.
serve() { # PORT WORD
	printf 'while :; do echo %s | nc -l -p %s; done' "$2" "$1"
}
# A program of this host in the network of container NAME, in the background: inside NAME COMMAND...
inside() {
	local pid
	pid=$(pid_of "$1") || return 1
	shift
	in_background nsenter --net="/proc/$pid/ns/net" "$@"
}
# Copies a program of this host and its libraries into the bundle's root: busybox has no server for datagrams.
add_program() { # NAME
	local file
	for file in "$(command -v "$1")" $(ldd "$(command -v "$1")" | grep -o '/[^ ]*'); do
		mkdir -p "$BUNDLE/rootfs${file%/*}"
		cp -L "$file" "$BUNDLE/rootfs$file"
	done
}
# Answers each datagram to a port of container NAME with a word.
serve_udp() { # NAME PORT WORD
	inside "$1" socat "UDP-LISTEN:$2,fork,reuseaddr" SYSTEM:"echo $3"
}
# The resolvers that run on $HOST, one a line.
resolvers() { ip netns pids "$HOST" | while read -r p; do tr '\0' ' ' <"/proc/$p/cmdline" | grep -a '^dnsmasq' || :; done 2>/dev/null; }
address_of() { # NETWORK NAME [4|6]
	net inspect "$1" | jq -r --arg id "$2" --arg p "$([ "${3:-4}" = 4 ] && echo . || echo :)" \
		'.[0].attachments[] | select(.id == $id) | .interfaces[].inside.addresses[] | select(contains($p)) | split("/")[0]' | head -1
}
# What somebody gets from a port; retried until something comes (the server may not listen yet).
answer_is() { # WORD COMMAND...
	local want=$1
	shift
	[ "$("$@" </dev/null 2>/dev/null)" = "$want" ]
}
tcp() { socat -T5 - "TCP:$1,connect-timeout=5"; }

# Does pasta itself work here? It wants namespaces and seccomp of its own.
probe_pasta() {
	need_program pasta
	on_host ip route add default via 192.0.2.2
	ip netns add "$HOST-p"
	HOSTS+=("$HOST-p")
	on_host pasta --runas 0 --netns-only --netns "/run/netns/$HOST-p" --config-net --quiet --pid "$BATS_TEST_TMPDIR/probe" \
		-t none -u none -T none -U none >"$BATS_TEST_TMPDIR/probe.out" 2>&1 3>&- ||
		skip "pasta alone does not work here: $(grep -v '^Failed to send' "$BATS_TEST_TMPDIR/probe.out" | tail -1)"
	kill "$(cat "$BATS_TEST_TMPDIR/probe")"
}

teardown_host() {
	local r=0 id
	[ -z "${SERVERS[*]}" ] || kill -9 "${SERVERS[@]}" 2>/dev/null
	for id in $(ls "${ROOT:-/nonexistent}" 2>/dev/null); do
		[ ! -d "$ROOT/$id" ] || hamphi delete --force "$id" >/dev/null 2>&1 || r=1
	done
	for id in "${HOSTS[@]}"; do
		# servers of the test: one that stays would keep the test's output open
		ip netns pids "$id" 2>/dev/null | xargs -r kill -9
		ip netns del "$id" 2>/dev/null
	done
	teardown_all || r=1
	return $r
}
