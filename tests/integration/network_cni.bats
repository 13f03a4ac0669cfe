#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# backends: container
# CNI both ways: amphi as a plugin, and other people's plugins run by amphi.

load helpers
load network

setup() {
	setup_host
	setup_bundle
	PLUGINS=
	for d in /opt/cni/bin /usr/lib/cni /usr/libexec/cni; do [ ! -x $d/bridge ] || PLUGINS=$d; done
	C=$HOST-c
	mkdir "$BATS_TEST_TMPDIR/bin"
	ln -s "$AMPHI" "$BATS_TEST_TMPDIR/bin/amphi-cni"
}
teardown() { teardown_host; }

# Runs the plugin in $HOST: plugin COMMAND [CONTAINER [IFNAME]] <configuration
plugin() {
	CNI_COMMAND=$1 CNI_CONTAINERID=${2-c1} CNI_IFNAME=${3-eth0} CNI_NETNS=/run/netns/$C CNI_PATH=$BATS_TEST_TMPDIR/bin:$PLUGINS \
		on_host "$BATS_TEST_TMPDIR/bin/amphi-cni"
}
conf() { # JSON members
	printf '{"cniVersion":"%s","name":"n1","type":"amphi-cni","subnets":["10.77.0.0/24"]%s}' "${VERSION:-1.0.0}" "${1:+,$1}"
}
new_container() {
	HOSTS+=("$C")
	ip netns add "$C"
}

@test "plugin: VERSION and STATUS" {
	run -0 plugin VERSION </dev/null
	[ "$(jq -r '.supportedVersions | join(" ")' <<<"$output")" = "0.3.0 0.3.1 0.4.0 1.0.0 1.1.0" ]
	VERSION=1.1.0
	conf | plugin STATUS
}

@test "plugin: ADD, CHECK, DEL" {
	new_container
	run -0 plugin ADD < <(conf '"runtimeConfig":{"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp"}],"mac":"02:00:00:00:00:99"}')
	[ "$(jq -r '.ips[0].address' <<<"$output")" = 10.77.0.2/24 ]
	[ "$(jq -r '.ips[0].gateway' <<<"$output")" = 10.77.0.1 ]
	[ "$(jq -r '.interfaces[2].name + " " + .interfaces[2].mac + " " + .interfaces[2].sandbox' <<<"$output")" = "eth0 02:00:00:00:00:99 /run/netns/$C" ]
	run -0 ip -n "$C" -o addr
	check_output 10.77.0.2/24
	run -0 on_host nft list map inet amphi ports4
	check_output "tcp . 8080 : 10.77.0.2 . 80"
	conf | plugin CHECK
	ip -n "$C" addr del 10.77.0.2/24 dev eth0
	run -1 plugin CHECK < <(conf)
	[ "$(jq -r .msg <<<"$output")" = "interface eth0 lacks address 10.77.0.2/24" ]
	conf | plugin DEL
	conf | plugin DEL
	run ! ip -n "$C" link show eth0
	run -1 plugin CHECK < <(conf)
	[ "$(jq -r .code <<<"$output")" = 3 ]
	[ "$(find "$AMPHI_NETWORK_DIR/run/attached" -type f | wc -l)" = 0 ]
}

@test "plugin: DEL after the namespace went" {
	new_container
	conf | plugin ADD
	ip netns del "$C"
	conf | plugin DEL
	[ "$(find "$AMPHI_NETWORK_DIR/run/ipam" -type f ! -name '.*' | wc -l)" = 0 ]
}

@test "plugin: mode tap gives a tap joined to the interface" {
	new_container
	run -0 plugin ADD < <(conf '"mode":"tap"')
	[ "$(jq -r '.interfaces[3].name' <<<"$output")" = tapeth0 ]
	run -0 nsenter --net="/run/netns/$C" tc filter show dev eth0 ingress
	check_output "Redirect to device tapeth0"
	conf '"mode":"tap"' | plugin DEL
	run ! ip -n "$C" link show tapeth0
}

@test "plugin: GC removes what is not valid" {
	new_container
	conf | plugin ADD c1 eth0
	conf | plugin ADD c2 eth1
	VERSION=1.1.0
	conf '"cni.dev/valid-attachments":[{"containerID":"c2","ifname":"eth1"}]' | plugin GC
	run -0 ip -n "$C" -o link
	[[ "$output" != *eth0* ]]
	check_output eth1
	conf '"cni.dev/valid-attachments":[]' | plugin GC
	[ "$(find "$AMPHI_NETWORK_DIR/run/attached" -type f | wc -l)" = 0 ]
}

@test "plugin: error codes" {
	new_container
	check_code() { # CODE COMMAND CONFIG [CONTAINER [IFNAME]]
		local want=$1 command=$2 text=$3
		shift 3
		run -1 plugin "$command" "$@" <<<"$text"
		[ "$(jq -r .code <<<"$output")" = "$want" ] || { echo "$output" >&2; return 1; }
	}
	check_code 6 ADD '{'
	check_code 1 ADD '{"cniVersion":"9.0.0","name":"n1","type":"x"}'
	check_code 2 ADD "$(conf '"ipam":{}')"
	check_code 4 ADD "$(conf)" ''
	check_code 4 ADD "$(conf)" c1 ''
	check_code 4 ADD "$(conf)" $'c1\nc2'
	check_code 2 GC "$(conf)"
	AMPHI_NETWORK_DIR=/dev/null/x check_code 5 ADD "$(conf)"
	AMPHI_NETWORK_DIR=/dev/null/x check_code 50 STATUS "$(conf)"
	check_code 4 FROB "$(conf)"
	CNI_ARGS='IgnoreUnknown=1;IP=nonsense' check_code 7 ADD "$(conf)"
	CNI_ARGS='MAC=01:00:00:00:00:01' check_code 7 ADD "$(conf)"
	check_code 7 ADD "$(conf '"runtimeConfig":{"portMappings":[{"hostPort":70000,"containerPort":80}]}')"
	check_code 7 ADD "$(conf '"mode":"x"')"
	check_code 7 ADD "$(conf '"runtimeConfig":{"ips":["10.99.0.1"]}')"
	C=nothing check_code 3 ADD "$(conf)"
	[ -z "$(ls "$AMPHI_NETWORK_DIR/run/attached" 2>/dev/null)" ]
}

@test "plugin: fixed addresses by CNI_ARGS; two hundred attachments leave nothing" {
	new_container
	CNI_ARGS='IgnoreUnknown=1;IP=10.77.0.9;MAC=02:00:00:00:00:09' run -0 plugin ADD < <(conf)
	[ "$(jq -r '.ips[0].address + " " + .interfaces[2].mac' <<<"$output")" = "10.77.0.9/24 02:00:00:00:00:09" ]
	conf | plugin DEL
	everything() {
		on_host ip -o link | cut -d: -f2
		on_host nft list ruleset
		find "$AMPHI_NETWORK_DIR" -type f ! -name '.next*'
		ip netns list | grep -c "$HOST"
		ip -n "$C" -o link | cut -d: -f2
	}
	before=$(everything)
	local i ports='"runtimeConfig":{"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp"},{"hostPort":53,"containerPort":53,"protocol":"udp"}],
		"bandwidth":{"ingressRate":8000000,"egressRate":8000000}}'
	conf >"$BATS_TEST_TMPDIR/plain"
	conf "$ports" >"$BATS_TEST_TMPDIR/ports"
	for i in $(seq 200); do
		[ $((i % 10)) = 0 ] && f=ports || f=plain
		plugin ADD <"$BATS_TEST_TMPDIR/$f" >/dev/null || return 1
		plugin DEL <"$BATS_TEST_TMPDIR/$f" || return 1
	done
	[ "$(everything)" = "$before" ] || { diff <(echo "$before") <(everything); return 1; }
}

@test "plugin: a hundred ADDs at once have a hundred addresses" {
	new_container
	local i pids=()
	for i in $(seq 100); do
		plugin ADD "p$i" "e$i" < <(conf) >"$BATS_TEST_TMPDIR/add$i" 3>&- &
		pids+=($!)
	done
	wait "${pids[@]}"
	[ "$(cat "$BATS_TEST_TMPDIR"/add* | jq -r '.ips[0].address' | sort -u | wc -l)" = 100 ]
	[ "$(ip -n "$C" -o -4 addr | grep -o 'inet 10[^ ]*' | sort -u | wc -l)" = 100 ]
	pids=()
	for i in $(seq 100); do
		plugin DEL "p$i" "e$i" < <(conf) 3>&- &
		pids+=($!)
	done
	wait "${pids[@]}"
	[ -z "$(find "$AMPHI_NETWORK_DIR/run/attached" "$AMPHI_NETWORK_DIR/run/ipam" "$AMPHI_NETWORK_DIR/run/plugin" -type f ! -name '.*')" ]
	[[ "$(on_host ip -o link)" != *": av"* ]]
}

@test "plugin: an exhausted range asks to try later" {
	new_container
	SMALL='{"cniVersion":"1.0.0","name":"small","type":"amphi-cni","subnets":["10.78.0.0/30"]}'
	plugin ADD c1 eth0 <<<"$SMALL"
	run -1 plugin ADD c2 eth1 <<<"$SMALL"
	[ "$(jq -r .code <<<"$output")" = 11 ]
	check_output "exhausted"
	plugin DEL c1 eth0 <<<"$SMALL"
	plugin ADD c2 eth1 <<<"$SMALL"
}

write_list() { # FILE PLUGIN...
	local file=$1
	shift
	jq -n --arg d "$BATS_TEST_TMPDIR/hostlocal" '{cniVersion:"1.0.0", name:"cninet", plugins:([{type:"bridge", bridge:"cnibr0", isGateway:true, ipMasq:false,
		ipam:{type:"host-local", dataDir:$d, ranges:[[{subnet:"10.66.0.0/24"}]], routes:[{dst:"0.0.0.0/0"}]}}] + $ARGS.positional)}' --jsonargs -- "$@" >"$file"
}

@test "conflist: bridge, host-local, bandwidth" {
	[ -n "$PLUGINS" ] || skip "needs the CNI reference plugins"
	write_list "$BATS_TEST_TMPDIR/l.conflist"
	run -0 run_on a --cni-config "$BATS_TEST_TMPDIR/l.conflist" -- sh -c 'ip -o addr; ip route; cat /etc/hosts'
	check_output 10.66.0.2/24
	check_output "default via 10.66.0.1"
	check_output "10.66.0.2	"
	[ "$(find "$BATS_TEST_TMPDIR/hostlocal" -name '10.*' | wc -l)" = 0 ]
	[ "$(find "$AMPHI_NETWORK_DIR/run/cni" "$AMPHI_NETWORK_DIR/run/attached" -type f | wc -l)" = 0 ]
}

@test "conflist: bridge, portmap, firewall: a published port answers, and their rules go with the container" {
	[ -x "$PLUGINS/portmap" ] && [ -x "$PLUGINS/firewall" ] || skip "needs the CNI reference plugins"
	need_program iptables
	setup_outside
	write_list "$BATS_TEST_TMPDIR/l.conflist" '{"type":"portmap","snat":true,"capabilities":{"portMappings":true}}' '{"type":"firewall","backend":"iptables"}'
	start_on a --cni-config "$BATS_TEST_TMPDIR/l.conflist" -p 8080:80 -- sh -c "$(serve 80 mapped)"
	wait_for answer_is mapped on_outside socat -T5 - TCP:192.0.2.1:8080
	run -0 on_host iptables-save
	check_output 10.66.0.2
	hamphi delete -f a
	run -0 on_host iptables-save
	[[ "$output" != *10.66.0.2* && "$output" != *8080* ]]
	[ -z "$(find "$AMPHI_NETWORK_DIR/run/cni" "$AMPHI_NETWORK_DIR/run/attached" -type f)" ]
}

@test "conflist: bridge, bandwidth and one that looks on; ADD, CHECK, DEL with the recorded results" {
	[ -n "$PLUGINS" ] || skip "needs the CNI reference plugins"
	cat >"$BATS_TEST_TMPDIR/bin/spy" <<-END
		#!/bin/sh
		input=\$(cat)
		echo "\$CNI_COMMAND \$CNI_CONTAINERID \$CNI_IFNAME \$(echo "\$input" | jq -c '[.prevResult.ips[0].address, .runtimeConfig.portMappings[0].hostPort, ."cni.dev/valid-attachments"]')" >>$BATS_TEST_TMPDIR/spied
		[ "\$CNI_COMMAND" != ADD ] || echo "\$input" | jq .prevResult
		[ "\$CNI_COMMAND" != CHECK ] || [ ! -e $BATS_TEST_TMPDIR/broken ] || { echo '{"code":100,"msg":"broken"}'; exit 1; }
	END
	chmod +x "$BATS_TEST_TMPDIR/bin/spy"
	write_list "$BATS_TEST_TMPDIR/l.conflist" '{"type":"bandwidth","ingressRate":8000000,"ingressBurst":800000,"egressRate":8000000,"egressBurst":800000}' '{"type":"spy","capabilities":{"portMappings":true}}'
	jq '.cniVersion = "1.1.0"' "$BATS_TEST_TMPDIR/l.conflist" >"$BATS_TEST_TMPDIR/new" && mv "$BATS_TEST_TMPDIR/new" "$BATS_TEST_TMPDIR/l.conflist"
	# the reference plugins of this version speak 1.0.0 at most: the list says what all can
	"$PLUGINS/bridge" </dev/null 2>/dev/null | grep -q 1.1.0 || sed -i 's/1\.1\.0/1.0.0/' "$BATS_TEST_TMPDIR/l.conflist"
	export CNI_PATH=$BATS_TEST_TMPDIR/bin:$PLUGINS
	start_on a --cni-config "$BATS_TEST_TMPDIR/l.conflist" -p 8080:80 -- sleep 1000
	run net_root check a
	[ -z "$output" ] || { echo "$output" >&2; return 1; }
	touch "$BATS_TEST_TMPDIR/broken"
	run ! net_root check a
	check_output "CNI plugin spy CHECK: broken"
	net prune
	hamphi delete -f a
	run -0 cat "$BATS_TEST_TMPDIR/spied"
	check_output 'ADD a eth0 ["10.66.0.2/24",8080,null]'
	check_output 'CHECK a eth0 ["10.66.0.2/24",8080,null]'
	check_output 'DEL a eth0 ["10.66.0.2/24",8080,null]'
	[ -z "$(find "$AMPHI_NETWORK_DIR/run/cni" "$AMPHI_NETWORK_DIR/run/attached" -type f)" ]
}
net_root() { on_host "$AMPHI" --root "$ROOT" network "$@"; }

@test "conflist: GC names what is in use, on 1.1.0" {
	cat >"$BATS_TEST_TMPDIR/bin/spy" <<-END
		#!/bin/sh
		input=\$(cat)
		case \$CNI_COMMAND in
		ADD) echo '{"cniVersion":"1.1.0","interfaces":[],"ips":[]}' ;;
		GC) echo "\$input" | jq -c '."cni.dev/valid-attachments"' >$BATS_TEST_TMPDIR/valid ;;
		esac
	END
	chmod +x "$BATS_TEST_TMPDIR/bin/spy"
	echo '{"cniVersion":"1.1.0","name":"gc","plugins":[{"type":"spy"}]}' >"$BATS_TEST_TMPDIR/l.conflist"
	export CNI_PATH=$BATS_TEST_TMPDIR/bin
	start_on a --cni-config "$BATS_TEST_TMPDIR/l.conflist" -- sleep 1000
	net prune
	[ "$(cat "$BATS_TEST_TMPDIR/valid")" = '[{"containerID":"a","ifname":"eth0"}]' ]
	# not beside an ADD: what is being added is not valid yet when GC begins
	sed -i 's/^ADD)/ADD) touch added; for i in 1 2 3 4 5 6 7 8 9 10; do [ -e go ] || sleep 1; done;/' "$BATS_TEST_TMPDIR/bin/spy"
	cd "$BATS_TEST_TMPDIR"
	start_on b --cni-config l.conflist -- sleep 1000 3>&- &
	local adding=$!
	wait_for test -e added
	net prune 3>&- &
	local pruning=$!
	sleep 0.5
	touch go
	wait $adding $pruning
	[ "$(cat valid)" = '[{"containerID":"a","ifname":"eth0"},{"containerID":"b","ifname":"eth0"}]' ] ||
		[ "$(cat valid)" = '[{"containerID":"b","ifname":"eth0"},{"containerID":"a","ifname":"eth0"}]' ]
}

@test "conflist: what is broken is named, and nothing runs" {
	local l=$BATS_TEST_TMPDIR/l.conflist
	printf '#!/bin/sh\ntouch %s/ran\n' "$BATS_TEST_TMPDIR" >"$BATS_TEST_TMPDIR/bin/spy"
	chmod +x "$BATS_TEST_TMPDIR/bin/spy"
	while read -r message; read -r text; do
		echo "$text" >"$l"
		CNI_PATH=$BATS_TEST_TMPDIR/bin run ! run_on a --cni-config "$l" -- true
		check_output "$message"
		check_output l.conflist
		[ "${#lines[@]}" = 1 ]
	done <<-END
		l.conflist
		{
		name
		{"cniVersion":"1.0.0","plugins":[{"type":"spy"}]}
		type
		{"cniVersion":"1.0.0","name":"x"}
		plugins
		{"cniVersion":"1.0.0","name":"x","plugins":{}}
		type
		{"cniVersion":"1.0.0","name":"x","plugins":[{}]}
		type
		{"cniVersion":"1.0.0","name":"x","plugins":[{"type":"../spy"}]}
		cniVersion
		{"cniVersion":"9.0.0","name":"x","plugins":[{"type":"spy"}]}
	END
	[ ! -e "$BATS_TEST_TMPDIR/ran" ]
	[ ! -e "$ROOT/a" ]
	[ -z "$(find "$AMPHI_NETWORK_DIR/run" -path '*/attached/*' -o -path '*/cni/*')" ]
}

@test "conflist: a plugin that fails half-way is rolled back" {
	[ -n "$PLUGINS" ] || skip "needs the CNI reference plugins"
	printf '#!/bin/sh\n[ "$CNI_COMMAND" != ADD ] || { echo "{\\"cniVersion\\":\\"1.0.0\\",\\"code\\":100,\\"msg\\":\\"no luck\\"}"; exit 1; }\n' >"$BATS_TEST_TMPDIR/bin/failing"
	chmod +x "$BATS_TEST_TMPDIR/bin/failing"
	write_list "$BATS_TEST_TMPDIR/l.conflist" '{"type":"failing"}'
	CNI_PATH=$BATS_TEST_TMPDIR/bin:$PLUGINS run ! run_on a --cni-config "$BATS_TEST_TMPDIR/l.conflist" -- true
	check_output "CNI plugin failing ADD: no luck"
	[ "$(find "$BATS_TEST_TMPDIR/hostlocal" -name '10.*' | wc -l)" = 0 ]
	[ "$(find "$AMPHI_NETWORK_DIR/run/cni" -type f | wc -l)" = 0 ]
	run ! run_on b --cni-config "$BATS_TEST_TMPDIR/none" -- true
	check_output "--cni-config"
	echo '{"cniVersion":"1.0.0","name":"x","plugins":[{"type":"no-such-plugin"}]}' >"$BATS_TEST_TMPDIR/l.conflist"
	run ! run_on c --cni-config "$BATS_TEST_TMPDIR/l.conflist" -- true
	check_output "no-such-plugin: not found"
}

@test "conflist: amphi runs amphi" {
	jq -n '{cniVersion:"1.1.0", name:"own", plugins:[{type:"amphi-cni", subnets:["10.67.0.0/24"], capabilities:{portMappings:true}}]}' >"$BATS_TEST_TMPDIR/l.conflist"
	CNI_PATH=$BATS_TEST_TMPDIR/bin run -0 run_on a --cni-config "$BATS_TEST_TMPDIR/l.conflist" -p 8080:80 -- ip -o addr
	check_output 10.67.0.2/24
	[ "$(find "$AMPHI_NETWORK_DIR/run/attached" "$AMPHI_NETWORK_DIR/run/plugin" -type f | wc -l)" = 0 ]
}
