# SPDX-License-Identifier: Apache-2.0
# backends: container vm
# amphi spec.
load helpers

setup() { ROOT=$BATS_TEST_TMPDIR/state; }

@test "spec writes config.json once" {
	cd "$BATS_TEST_TMPDIR"
	amphi spec
	jq -e '.process.args == ["sh"] and .root.path == "rootfs"' config.json
	run -1 amphi spec
	[[ "$output" == *"config.json exists. Remove it first"* ]]
}

@test "spec -b, -f and --rootless" {
	mkdir "$BATS_TEST_TMPDIR/b"
	amphi spec -b "$BATS_TEST_TMPDIR/b" --rootless
	jq -e '.linux.namespaces | map(.type) | index("user") != null and index("network") == null' "$BATS_TEST_TMPDIR/b/config.json"
	amphi spec -f "$BATS_TEST_TMPDIR/other.json"
	jq -e .process "$BATS_TEST_TMPDIR/other.json"
	amphi spec -f - | jq -e .process
	run -1 amphi spec -b "$BATS_TEST_TMPDIR/none"
}

@test "spec asks for a cgroup namespace on hosts of cgroup2 alone" {
	cd "$BATS_TEST_TMPDIR"
	"$AMPHI" spec
	if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
		jq -e '.linux.namespaces | map(.type) | index("cgroup") != null' config.json
	else
		jq -e '.linux.namespaces | map(.type) | index("cgroup") == null' config.json
	fi
}
