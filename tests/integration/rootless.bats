# SPDX-License-Identifier: Apache-2.0
# backends: container
# Containers of an unprivileged user: one id, helpers' ids, no cgroup rights.
load helpers

USERID=4321

setup() {
	need_root
	need_program setpriv
	setup_bundle
	chmod 755 "$BATS_TEST_TMPDIR" "$BATS_FILE_TMPDIR" "$BATS_SUITE_TMPDIR" "$BATS_RUN_TMPDIR" 2>/dev/null || true
	cp "$AMPHI" "$BATS_TEST_TMPDIR/amphi"
	rm "$BUNDLE/config.json"
	XDG=$BATS_TEST_TMPDIR/xdg
	mkdir -m 700 "$XDG"
	chown -R "$USERID:$USERID" "$BUNDLE" "$XDG"
	user true || skip "needs programs that another user can run"
	user unshare -U true 2>/dev/null || skip "needs user namespaces for users"
	(cd "$BUNDLE" && user "$BATS_TEST_TMPDIR/amphi" spec --rootless)
	config '.process.terminal = false | .root.readonly = false | del(.linux.cgroupsPath)'
	chown "$USERID:$USERID" "$BUNDLE/config.json"
	ID=rl-$$-$BATS_TEST_NUMBER
}
teardown() {
	user "$BATS_TEST_TMPDIR/amphi" delete --force "$ID" >/dev/null 2>&1 || true
	teardown_all
}
user() { setpriv --reuid "$USERID" --regid "$USERID" --clear-groups env XDG_RUNTIME_DIR="$XDG" HOME=/nonexistent "$@"; }
go() {
	config_args sh -c "$1"
	chown "$USERID:$USERID" "$BUNDLE/config.json"
	run user "$BATS_TEST_TMPDIR/amphi" run --bundle "$BUNDLE" "$ID" </dev/null
	check_status 0
}

@test "rootless: one id, root inside" {
	go 'id -u; cat /proc/self/uid_map; cat /proc/self/setgroups; touch /tmp/mine; echo $$; ls /dev/null /dev/pts/ptmx'
	[ "${lines[0]}" = 0 ]
	[[ "${lines[1]}" =~ 0\ +$USERID\ +1 ]]
	[ "${lines[2]}" = deny ]
	[ "${lines[3]}" = 1 ]
	[ "$(stat -c %u "$BUNDLE/rootfs/tmp/mine")" = "$USERID" ]
}

@test "rootless: create, start, exec, kill, delete" {
	config_args sleep 1000
	chown "$USERID:$USERID" "$BUNDLE/config.json"
	user "$BATS_TEST_TMPDIR/amphi" create --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
	user "$BATS_TEST_TMPDIR/amphi" start "$ID"
	run user "$BATS_TEST_TMPDIR/amphi" exec "$ID" sh -c 'id -u; grep CapInh /proc/self/status; cat /proc/1/comm' </dev/null
	check_status 0
	[ "${lines[0]}" = 0 ]
	[[ "${lines[1]}" == *0000000000000000 ]]
	[ "${lines[2]}" = sleep ]
	user "$BATS_TEST_TMPDIR/amphi" kill "$ID" KILL
	stopped() { [ "$(user "$BATS_TEST_TMPDIR/amphi" state "$ID" | jq -r .status)" = stopped ]; }
	wait_for stopped
	user "$BATS_TEST_TMPDIR/amphi" delete "$ID"
	[ ! -e "$XDG/amphi/$ID" ]
}

@test "rootless: additional groups are refused by name" {
	config '.process.user.additionalGids = [5]'
	config_args true
	run -1 user "$BATS_TEST_TMPDIR/amphi" run --bundle "$BUNDLE" "$ID" </dev/null
	check_output "additional"
}

@test "rootless, CVE-2023-25809: no cgroup of the host is writable" {
	config '.mounts += [{destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["nosuid", "noexec", "nodev", "relatime", "ro"]}] |
		.linux.namespaces |= map(select(.type != "cgroup"))'
	go 'find /sys/fs/cgroup -maxdepth 2 -type d -writable 2>/dev/null | head -1; for d in /sys/fs/cgroup /sys/fs/cgroup/*; do mkdir $d/x 2>/dev/null && echo made $d; done; echo done'
	[[ "$output" != *made* ]]
}

