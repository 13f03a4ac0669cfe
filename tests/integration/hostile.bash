# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A machine whose guest drives its devices against every rule (tests/helpers/hostile.c).

# The machine's own devices are taken away from its kernel and driven against every rule.
# $SETTINGS: more of the configuration file; $RUN: the command (amphi), $OPTIONS of its run.
RUN=(amphi)
OPTIONS=()
hostile() { # ARG...
	cp "$HELPERS/hostile" "$BUNDLE/rootfs/bin/"
	printf '{"annotationsMayNamePaths": true%s}' "${SETTINGS:+, $SETTINGS}" >"$BATS_TEST_TMPDIR/amphi.json"
	export AMPHI_CONFIG=$BATS_TEST_TMPDIR/amphi.json
	config '.vm = {kernel: {path: ($k + "/vmlinux"), parameters: ["iomem=relaxed"], initrd: ($k + "/modules.cpio")}} | .linux.resources.devices = [{allow: true}] | .linux.maskedPaths = []
		| .process.capabilities |= map_values(. + ["CAP_SYS_RAWIO", "CAP_SYS_ADMIN", "CAP_MKNOD", "CAP_IPC_LOCK"])' \
		--arg k "$(realpath "$AMPHI_KERNELS/default")"
	config_args hostile "$@"
	"${RUN[@]}" --log "$BATS_TEST_TMPDIR/log" --log-level warning run --bundle "$BUNDLE" "${OPTIONS[@]}" "$ID" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	runner=$!
	WAIT=150 wait_for grep -q done "$BATS_TEST_TMPDIR/out" || { cat "$BATS_TEST_TMPDIR/log" "$BATS_TEST_TMPDIR/out" >&2; return 1; }
}
said() { grep "broke the rules" "$BATS_TEST_TMPDIR/log" | grep -c "$1"; }
complains() { [ "$(said "$1")" -ge 1 ]; }
