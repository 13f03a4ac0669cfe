#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# backends: container
# A process killed at any point of attach or detach: delete --force and prune leave nothing.
# Needs the debug build, whose AMPHI_STOP_AT names the place.

load helpers
load network

setup_file() {
	[ -z "${AMPHI_DEBUG_BUILD:-}" ] || return 0
	"$AMPHI_TOP/tests/debug-build" >/dev/null 2>&3
}

setup() {
	AMPHI=${AMPHI_DEBUG_BUILD:-$AMPHI_TOP/build/debug}/amphi
	setup_host
	setup_bundle
	mkdir "$BATS_TEST_TMPDIR/bin"
	ln -s "$AMPHI" "$BATS_TEST_TMPDIR/bin/amphi-cni"
	C=$HOST-c
	HOSTS+=("$C")
}
teardown() { teardown_host; }

plugin() { # COMMAND [POINT]
	AMPHI_STOP_AT=${2:-} CNI_COMMAND=$1 CNI_CONTAINERID=c1 CNI_IFNAME=eth0 CNI_NETNS=/run/netns/$C CNI_PATH=$BATS_TEST_TMPDIR/bin \
		on_host "$BATS_TEST_TMPDIR/bin/amphi-cni" <<<'{"cniVersion":"1.0.0","name":"n1","type":"amphi-cni","subnets":["10.77.0.0/24"],
		"runtimeConfig":{"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp"}]}}'
}
remains() {
	find "$AMPHI_NETWORK_DIR/run/attached" "$AMPHI_NETWORK_DIR/run/ports" "$AMPHI_NETWORK_DIR/run/ipam" -type f ! -name '.*' 2>/dev/null
	on_host ip -o link | grep -E ': a[vti][0-9a-f]{13}'
	on_host nft list table inet amphi 2>/dev/null | grep 8080
	resolvers
	true
}

@test "SIGKILL at each point of ADD, then DEL" {
	local p
	for p in leased recorded ports bridge link configured firewall elements names; do
		ip netns add "$C"
		run plugin ADD "$p"
		[ "$status" -eq 137 ] || { echo "$p: status $status: $output" >&2; return 1; }
		plugin DEL
		[ -z "$(remains)" ] || { echo "$p leaves: $(remains)" >&2; return 1; }
		plugin ADD >/dev/null
		plugin DEL
		ip netns del "$C"
	done
}

@test "SIGKILL at each point of ADD, then prune after the owner went" {
	local p
	for p in leased recorded ports link configured elements names; do
		ip netns add "$C"
		run plugin ADD "$p"
		[ "$status" -eq 137 ]
		rm -f "$AMPHI_NETWORK_DIR"/run/plugin/*
		ip netns del "$C"
		net prune
		[ -z "$(remains)" ] || { echo "$p leaves: $(remains)" >&2; return 1; }
	done
}

@test "SIGKILL at each point of DEL, then DEL again" {
	local p
	for p in detach-elements detach-link detach-resolver detach-record; do
		ip netns add "$C"
		plugin ADD >/dev/null
		run plugin DEL "$p"
		[ "$status" -eq 137 ] || { echo "$p: status $status: $output" >&2; return 1; }
		plugin DEL
		[ -z "$(remains)" ] || { echo "$p leaves: $(remains)" >&2; return 1; }
		ip netns del "$C"
	done
}

# amphi on the host, killed at a point.
killed_at() { # POINT COMMAND...
	AMPHI_STOP_AT=$1 run hamphi "${@:2}" </dev/null
	[ "$status" -eq 137 ] || { echo "$1: status $status: $output" >&2; return 1; }
}
nothing_left() { # POINT
	[ ! -e "$ROOT/a" ] && [ -z "$(remains)" ] || { echo "$1 leaves: $(remains)" >&2; return 1; }
}

@test "SIGKILL at each point of a container's create and delete, the resolver's among them: delete --force leaves nothing" {
	local p create=(create -b "$BUNDLE" --network bridge -p 8080:80 a)
	export AMPHI_LIBEXEC=$AMPHI_BUILD
	config_args sleep 1000
	for p in leased recorded ports firewall bridge link configured elements resolver names; do
		killed_at "$p" "${create[@]}"
		[ "$p" != resolver ] || ! command -v dnsmasq || [ -n "$(resolvers)" ]
		hamphi delete --force a
		nothing_left "$p"
	done
	for p in detach-elements detach-link detach-resolver detach-record; do
		hamphi "${create[@]}" </dev/null >/dev/null 2>&1
		killed_at "$p" delete --force a
		hamphi delete --force a
		nothing_left "$p"
	done
}

@test "SIGKILL with a resolver running, the owner gone: prune leaves nothing" {
	local p
	export AMPHI_LIBEXEC=$AMPHI_BUILD
	config_args sleep 1000
	for p in elements resolver names; do
		killed_at "$p" create -b "$BUNDLE" --network bridge -p 8080:80 a
		mv "$ROOT/a" "$BATS_TEST_TMPDIR/a"
		net prune
		[ -z "$(remains)" ] || { echo "$p leaves: $(remains)" >&2; return 1; }
		mv "$BATS_TEST_TMPDIR/a" "$ROOT/a"
		hamphi delete --force a
	done
	[[ "$(on_host ip -o link)" != *amphi0* ]]
}
