# SPDX-License-Identifier: Apache-2.0
# backends: container vm
# Bad input: one clear line that names the place, exit status 1, nothing left and no machine started for it.
load helpers

setup() { setup_bundle; }
teardown() { teardown_all; }

# The bundle is refused by create and by run, in one line that has the words.
refused() { # WORDS [OPTION...]
	local words=$1 verb
	shift
	for verb in create run; do
		run -1 --separate-stderr amphi "$verb" --bundle "$BUNDLE" --pid-file "$BATS_TEST_TMPDIR/pid" "$@" "$ID" </dev/null
		[ -z "$output" ]
		[ "${#stderr_lines[@]}" = 1 ] || { echo "more than one line: $stderr" >&2; return 1; }
		[[ "$stderr" == *"$words"* ]] || { echo "lacks '$words': $stderr" >&2; return 1; }
		[ ! -e "$ROOT/$ID" ]
		[ ! -e "$BATS_TEST_TMPDIR/pid" ]
		! find /sys/fs/cgroup -maxdepth 4 -type d -path "*$CGROUP" 2>/dev/null | grep -q .
	done
}

@test "a missing bundle, a bundle that is a file" {
	mv "$BUNDLE" "$BUNDLE.away"
	refused "bundle $BUNDLE: no such file or directory"
	touch "$BUNDLE"
	refused "$BUNDLE/config.json: not a directory"
	rm "$BUNDLE"
	mv "$BUNDLE.away" "$BUNDLE"
}

@test "broken JSON, an empty document, another document" {
	cp "$BUNDLE/config.json" "$BATS_TEST_TMPDIR/keep"
	head -c 300 "$BATS_TEST_TMPDIR/keep" >"$BUNDLE/config.json"
	refused "parse error"
	: >"$BUNDLE/config.json"
	refused "config.json"
	echo '[]' >"$BUNDLE/config.json"
	refused "config.json"
	echo '{}' >"$BUNDLE/config.json"
	refused "ociVersion"
}

@test "a wrong type deep in the config names its path" {
	cp "$BUNDLE/config.json" "$BATS_TEST_TMPDIR/keep"
	config '.process.rlimits = [{type: "RLIMIT_CORE", soft: 0, hard: 0}, {type: "RLIMIT_NOFILE", soft: 1, hard: 2},
		{type: "RLIMIT_NPROC", soft: "many", hard: 2}]'
	refused "process.rlimits[2].soft: expected an unsigned 64-bit integer"
	cp "$BATS_TEST_TMPDIR/keep" "$BUNDLE/config.json"
	config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["a"], action: "SCMP_ACT_ERRNO",
		args: [{index: 0, value: "x", op: "SCMP_CMP_EQ"}]}]}'
	refused "linux.seccomp.syscalls[0].args[0].value: expected an unsigned 64-bit integer"
}

@test "a rootfs that is a file, a rootfs that is missing" {
	mv "$BUNDLE/rootfs" "$BUNDLE/away"
	touch "$BUNDLE/rootfs"
	refused "root.path: $(realpath "$BUNDLE")/rootfs: not a directory"
	rm "$BUNDLE/rootfs"
	refused "root.path: rootfs"
}

@test "an unknown kernel, an unusable KVM" {
	is_vm || skip "of machines"
	config '.annotations["amphi.vm.kernel"] = "no-such-kernel"'
	refused "no-such-kernel"
	config 'del(.annotations)'
	[ ! -e /dev/kvm ] || skip "this host has /dev/kvm"
	AMPHI_VMM=kvm refused "/dev/kvm: missing"
}
