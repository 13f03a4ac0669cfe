# SPDX-License-Identifier: Apache-2.0
# backends: container
# Containers of an unprivileged user: one id, helpers' ids, no cgroup rights.
load helpers
load rootless.bash

setup() { setup_rootless; }
teardown() { teardown_rootless; }
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

@test "rootless: ranges of ids by newuidmap and newgidmap, users and groups inside" {
	need_ids
	config '.linux.uidMappings = [{containerID: 0, hostID: $u, size: 1}, {containerID: 1, hostID: 200000, size: 65535}]
		| .linux.gidMappings = .linux.uidMappings | .process.user = {uid: 1000, gid: 1000, additionalGids: [5]}' --argjson u "$USERID"
	config_args sh -c 'id -u; id -G; cat /proc/self/uid_map; cat /proc/self/setgroups; touch /tmp/mine; exec sleep 1000'
	chown "$USERID:$USERID" "$BUNDLE/config.json"
	chmod 1777 "$BUNDLE/rootfs/tmp"
	# without a range of ids the helper's own words come up
	run -1 user "$BATS_TEST_TMPDIR/amphi" run --bundle "$BUNDLE" "$ID" </dev/null
	check_output newuidmap
	[ ! -e "$XDG/amphi/$ID" ]
	user_with_ids "$BATS_TEST_TMPDIR/amphi" run -d --bundle "$BUNDLE" "$ID" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1 ||
		{ cat "$BATS_TEST_TMPDIR/out" >&2; return 1; }
	wait_for test -e "$BUNDLE/rootfs/tmp/mine"
	mapfile -t lines <"$BATS_TEST_TMPDIR/out"
	[ "${lines[0]}" = 1000 ]
	[ "${lines[1]}" = "1000 5" ]
	[[ "${lines[2]}" =~ 0\ +$USERID\ +1 ]]
	[[ "${lines[3]}" =~ 1\ +200000\ +65535 ]]
	[ "${lines[4]}" = allow ]
	[ "$(stat -c %u:%g "$BUNDLE/rootfs/tmp/mine")" = 200999:200999 ]
	run -0 user_with_ids "$BATS_TEST_TMPDIR/amphi" exec --user 7:8 "$ID" id </dev/null
	check_output "uid=7 gid=8"
	user_with_ids "$BATS_TEST_TMPDIR/amphi" delete --force "$ID"
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


# bats test_tags=lab:container
@test "rootless: a cgroup given to the user without systemd limits containers; elsewhere it is said what is missing" {
	local top=/sys/fs/cgroup/amphi-given-$$
	[ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ] || skip "needs pure cgroup v2"
	echo "+pids +memory" >/sys/fs/cgroup/cgroup.subtree_control
	mkdir "$top" "$top/session"
	chown "$USERID" "$top" "$top"/cgroup.{procs,subtree_control} "$top/session" "$top/session/cgroup.procs"
	# amphi as the user, born in that cgroup
	within() { bash -c 'echo $$ >"$1/cgroup.procs" && cd "$2" && shift 2 && exec "$@"' - "$1" "$BUNDLE" setpriv --reuid "$USERID" \
		--regid "$USERID" --clear-groups env XDG_RUNTIME_DIR="$XDG" "$BATS_TEST_TMPDIR/amphi" "${@:2}"; }
	given() { within "$top/session" "$@"; }
	config '.linux.resources.pids.limit = 23'
	config_args sleep 1000
	given run -d "$ID" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1 || { cat "$BATS_TEST_TMPDIR/out" >&2; false; }
	[ "$(<"$top/$ID/pids.max")" = 23 ]
	[ "$(<"$top/$ID/cgroup.procs")" = "$(amphi_user state "$ID" | jq .pid)" ]
	# exec from where the user's other processes are: the container's cgroup is out of reach
	given exec "$ID" true
	given update --pids-limit 24 "$ID"
	[ "$(<"$top/$ID/pids.max")" = 24 ]
	given pause "$ID"
	given resume "$ID"
	given delete --force "$ID"
	[ ! -e "$top/$ID" ]
	# the user's own processes are in the given one itself, or nowhere near
	run -1 within /sys/fs/cgroup run "$ID" </dev/null
	check_output "rootless container with limits needs a delegated cgroup"
	config ".linux.cgroupsPath = \"/amphi-given-$$/$ID\""
	run -1 within /sys/fs/cgroup run "$ID" </dev/null
	check_output "only from inside the cgroup that was delegated"
	[ ! -e "$top/$ID" ]
	rmdir "$top/session" "$top"
}

@test "rootless: root of a system container has its own systemd and /run; --rootless takes runc's words" {
	local word
	inside() { user unshare -rm bash -c 'mount -t tmpfs none /run && mkdir -p /run/systemd/system && chown "$2" /run/systemd/system && shift 2 &&
		exec env USER=root "$@"' - "" "$1" "$BATS_TEST_TMPDIR/amphi" "${@:2}"; }
	config '.linux.uidMappings[0].hostID = 0 | .linux.gidMappings[0].hostID = 0'
	cd "$BUNDLE"
	run -1 inside 0 --systemd-cgroup run "$ID" </dev/null
	check_output "connect to /run/dbus/system_bus_socket"
	[ ! -e "$XDG/amphi" ]
	for word in true 1 T; do
		run -1 inside 0 --rootless $word --systemd-cgroup run "$ID" </dev/null
		check_output "no systemd of this user"
	done
	config 'del(.linux.uidMappings, .linux.gidMappings)'
	run -1 amphi_user run "$ID" </dev/null
	check_output "linux.uidMappings: a new user namespace needs mappings"
	run -1 amphi --rootless perhaps list
	check_output 'option --rootless: "perhaps" is none of true, false, auto'
}
