#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# backends: vm
# What a guest that got out of its machine would find: every thread of the monitor is made to try it (tests/helpers/takeover.c).

load helpers

setup() {
	need_root
	setup_bundle
}

teardown() { teardown_all; }

# bats test_tags=lab:vm
@test "no thread of the monitor can leave the jail, whatever takes it over" {
	local pid
	config_args sleep 1000
	mkdir "$BATS_TEST_TMPDIR/share"
	config '.mounts += [{destination: "/share", type: "bind", source: $d, options: ["bind"]}]' --arg d "$BATS_TEST_TMPDIR/share"
	detached
	pid=$(pid_of "$ID")
	[ "$("$HELPERS/lock" ofd "$BATS_TEST_TMPDIR/share/l")" = got ]
	amphi exec "$ID" sh -c 'ls /share >/dev/null'
	run "$HELPERS/takeover" "$pid"
	[ "$status" = 0 ] || { grep -v '^ok' <<<"$output" >&2; return 1; }
	[ "$(grep -c SIGSYS <<<"$output")" -gt 100 ]
	[ "$(grep -c ': ENOENT$\|: EACCES$\|: EPERM$\|: EROFS$' <<<"$output")" -gt 10 ]
	[ ! -e "$BUNDLE/rootfs/.takeover" ]
	# It lives on, and the guest with it.
	run -0 amphi exec "$ID" echo alive
	check_output alive
	# The filters are real: one forbidden call is the end of the monitor, which is the container's.
	run -0 "$HELPERS/takeover" "$pid" kill
	wait_for status_is "$ID" stopped
}

# The machine's own devices are taken away from its kernel and driven against every rule.
hostile() { # ARG...
	cp "$HELPERS/hostile" "$BUNDLE/rootfs/bin/"
	printf '{"annotationsMayNamePaths": true}' >"$BATS_TEST_TMPDIR/amphi.json"
	export AMPHI_CONFIG=$BATS_TEST_TMPDIR/amphi.json
	config '.vm = {kernel: {path: ($k + "/vmlinux"), parameters: ["iomem=relaxed"], initrd: ($k + "/modules.cpio")}} | .linux.resources.devices = [{allow: true}] | .linux.maskedPaths = []
		| .process.capabilities |= map_values(. + ["CAP_SYS_RAWIO", "CAP_SYS_ADMIN", "CAP_MKNOD", "CAP_IPC_LOCK"])' \
		--arg k "$(realpath "$AMPHI_KERNELS/default")"
	config_args hostile "$@"
	amphi --log "$BATS_TEST_TMPDIR/log" --log-level warning run --bundle "$BUNDLE" "$ID" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	runner=$!
	WAIT=150 wait_for grep -q done "$BATS_TEST_TMPDIR/out" || { cat "$BATS_TEST_TMPDIR/log" "$BATS_TEST_TMPDIR/out" >&2; return 1; }
}
said() { grep -h "broke the rules" "$BATS_TEST_TMPDIR/log" "$BATS_TEST_TMPDIR/out" | grep -c "$1"; }
complains() { [ "$(said "$1")" -ge 1 ]; }

# bats test_tags=lab:vm
@test "rings full of nonsense break the device and nothing else" {
	if [ "$AMPHI_VMM" = kvm ]; then
		hostile rings 4 5 26 19
		grep -q '^4: 13 patterns, [1-9]' "$BATS_TEST_TMPDIR/out"
		grep -q '^5: 13 patterns, [1-9]' "$BATS_TEST_TMPDIR/out"
	else
		hostile rings 26 19
	fi
	grep -q '^26: 13 patterns' "$BATS_TEST_TMPDIR/out"
	complains virtio-fs || { cat "$BATS_TEST_TMPDIR/log" "$BATS_TEST_TMPDIR/out" >&2; return 1; }
	# A line now and then, no flood.
	[ "$(said virtio-)" -le 20 ]
	# Without its streams the machine is lost, or ends by order; the monitor does not end by a signal of its own making.
	amphi delete --force "$ID" || :
	rc=0
	wait $runner || rc=$?
	[ "$rc" = 255 ] || [ "$rc" = 137 ] || { echo "status $rc"; cat "$BATS_TEST_TMPDIR/log" "$BATS_TEST_TMPDIR/out"; return 1; } >&2
}

# bats test_tags=lab:vm
@test "random values in the registers of a device are its driver's problem" {
	[ "$AMPHI_VMM" = kvm ] || skip "the registers are QEMU's"
	hostile pokes 4 5 26
	grep -q '^26: poked' "$BATS_TEST_TMPDIR/out"
	# The monitor lives, and ends by order; the guest's own agent may hang in the file system that is no more.
	status_is "$ID" running
	amphi delete --force "$ID" || :
	rc=0
	wait $runner || rc=$?
	[ "$rc" = 137 ] || [ "$rc" = 255 ]
}
