# SPDX-License-Identifier: Apache-2.0
# backends: vm
# A machine of an unprivileged user: its monitor's jail is in the user namespace of config.json.
load helpers
load rootless.bash
load network.bash

setup() {
	setup_bundle
	setup_user
	[ "$AMPHI_VMM" = qemu ] || skip "this host's /dev/kvm is root's"
	cp "$AMPHI_BUILD/amphi-init" "$BATS_TEST_TMPDIR/"
	# the store is made current by who may write it
	cp -r "$AMPHI_KERNELS" "$BATS_TEST_TMPDIR/kernels"
	chown -R "$USERID" "$BATS_TEST_TMPDIR/kernels"
	export AMPHI_KERNELS=$BATS_TEST_TMPDIR/kernels
	ID=rl-$$-$BATS_TEST_NUMBER
	rm "$BUNDLE/config.json"
	chown -R "$USERID:$USERID" "$BUNDLE"
	(cd "$BUNDLE" && user "$BATS_TEST_TMPDIR/amphi" spec --rootless)
	config '.process.terminal = false | .root.readonly = false | del(.linux.cgroupsPath)'
}
teardown() {
	user "$BATS_TEST_TMPDIR/amphi" delete --force "$ID" >/dev/null 2>&1 || true
	if [ -n "${HOST:-}" ]; then teardown_host; else teardown_all; fi
}
go() { # VERB
	chown "$USERID:$USERID" "$BUNDLE/config.json"
	run user "$BATS_TEST_TMPDIR/amphi" --isolation vm --vmm "$AMPHI_VMM" "$1" --bundle "$BUNDLE" "$ID" </dev/null
}

@test "rootless: a machine, root in it has the user's files; what it cannot have is refused by name" {
	config_args sh -c 'id -u; touch /tmp/mine; stat -c %u /tmp/mine; chown 55 /tmp/mine 2>/dev/null || echo one-id; cut -d: -f1 /proc/net/dev | tail -n +3 | tr -d " "; cat /proc/sys/kernel/random/boot_id'
	go create
	check_status 1
	check_output "linux.namespaces: network: the host's own namespace cannot be shared"
	config '.linux.namespaces += [{type: "network", path: "/proc/1/ns/net"}]'
	go create
	check_output "linux.namespaces: network: a machine (--isolation vm) without root has no network"
	config '.linux.namespaces |= map(select(.type != "network")) + [{type: "network"}]'
	go run
	check_status 0
	[ "${lines[*]:0:4}" = "0 0 one-id lo" ] || { echo "$output" >&2; false; }
	[ "${lines[4]}" != "$(cat /proc/sys/kernel/random/boot_id)" ]
	[ "$(stat -c %u "$BUNDLE/rootfs/tmp/mine")" = "$USERID" ]
	[ ! -e "$XDG/amphi/$ID" ]
}

@test "rootless: a machine's network by pasta: out, and a published port" {
	need_program socat
	setup_host
	setup_outside
	need_pasta_for_user
	in_background on_outside socat TCP-LISTEN:90,fork,reuseaddr SYSTEM:'echo outside; sleep 5'
	config '.linux.namespaces |= map(select(.type != "network")) + [{type: "network"}]'
	config_args sh -c 'ip -o -4 addr; sleep 3 | nc -w 5 192.0.2.2 90 | head -n 1; while :; do echo mine | nc -l -p 80; done'
	chown "$USERID:$USERID" "$BUNDLE/config.json"
	user_on_host env AMPHI_KERNELS="$AMPHI_KERNELS" "$BATS_TEST_TMPDIR/amphi" --isolation vm --vmm "$AMPHI_VMM" run -d --network pasta -p 8080:80 \
		--bundle "$BUNDLE" "$ID" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- || { cat "$BATS_TEST_TMPDIR/out" >&2; false; }
	wait_for grep -q outside "$BATS_TEST_TMPDIR/out"
	grep -F 192.0.2.1 "$BATS_TEST_TMPDIR/out"
	wait_for answer_is mine on_outside socat -T2 - TCP:192.0.2.1:8080
	user "$BATS_TEST_TMPDIR/amphi" delete --force "$ID"
	no_pasta() { ! pgrep -u "$USERID" pasta; }
	wait_for no_pasta
}
