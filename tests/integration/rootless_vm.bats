# SPDX-License-Identifier: Apache-2.0
# backends: vm
# A machine of an unprivileged user: its monitor's jail is in the user namespace of config.json.
load helpers
load rootless.bash

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
	teardown_all
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
