# SPDX-License-Identifier: Apache-2.0
# backends: vm
# Pods: what a CRI engine says by annotations puts the pod's containers into the machine of its sandbox.
load helpers

setup() {
	need_root
	setup_bundle
	SANDBOX=$ID
	config '.annotations = {"io.kubernetes.cri.container-type": "sandbox", "io.kubernetes.cri.sandbox-id": $id} | .hostname = "the-pod"' --arg id "$ID"
	config_args sh -c 'trap exit TERM; touch /i-am-sandbox; sleep 1000 & wait'
	amphi run -d --bundle "$BUNDLE" "$ID" </dev/null >"$BATS_TEST_TMPDIR/sandbox.out" 2>&1
	MONITOR=$(pid_of "$SANDBOX")
}
teardown() { teardown_all; }

# A bundle for a member; $ID, $BUNDLE and $CGROUP are its own afterwards. [annotation keys of cri-o]
member() { # SUFFIX [cri-o]
	setup_bundle "-$1"
	local type=io.kubernetes.cri.container-type id=io.kubernetes.cri.sandbox-id
	[ -z "${2:-}" ] || { type=io.kubernetes.cri-o.ContainerType id=io.kubernetes.cri-o.SandboxID; }
	config '.annotations = {($type): "container", ($id): $sandbox} | del(.hostname) | .linux.namespaces |= map(
		if (.type == "network" or .type == "ipc" or .type == "uts") then .path = "/proc/" + $pid + "/ns/" + ({network: "net"}[.type] // .type) else . end)' \
		--arg type "$type" --arg id "$id" --arg sandbox "$SANDBOX" --arg pid "$MONITOR"
	echo "member $1" >"$BUNDLE/rootfs/who"
}

# bats test_tags=lab:vm
@test "pods: members have their own root and processes and share the sandbox's machine" {
	local a b inside roots
	inside=$(amphi exec "$SANDBOX" cat /proc/sys/kernel/random/boot_id)
	member a
	a=$ID
	roots=$(stat -c %d:%i "$BUNDLE/rootfs")
	mkdir "$BATS_TEST_TMPDIR/data"
	echo data >"$BATS_TEST_TMPDIR/data/file"
	config '.mounts += [{destination: "/rw", type: "bind", source: $d, options: ["rbind", "rw"]}, {destination: "/etc/one", type: "bind", source: ($d + "/file"), options: ["bind", "ro"]}]' \
		--arg d "$BATS_TEST_TMPDIR/data"
	config_args sh -c 'trap "exit 9" TERM; echo $$ $(cat /who) $(hostname); echo x >/rw/new; cat /etc/one; echo x 2>/dev/null >/etc/one || echo refused; sleep 1000 & wait'
	amphi create --bundle "$BUNDLE" --pid-file "$BATS_TEST_TMPDIR/pid" "$a" </dev/null >"$BATS_TEST_TMPDIR/a.out" 2>&1 ||
		{ cat "$BATS_TEST_TMPDIR/a.out" >&2; false; }
	status_is "$a" created
	[ "$(cat "$BATS_TEST_TMPDIR/pid")" = "$(pid_of "$a")" ]
	[ "$(pid_of "$a")" != "$MONITOR" ]
	amphi start "$a"
	wait_for grep -q refused "$BATS_TEST_TMPDIR/a.out"
	[ "$(cat "$BATS_TEST_TMPDIR/a.out")" = $'1 member a the-pod\ndata\nrefused' ]
	[ "$(cat "$BATS_TEST_TMPDIR/data/new")" = x ]
	# a second one, in the foreground: its status and streams
	member b cri-o
	b=$ID
	config_args sh -c 'cat; cat /who; cat /proc/sys/kernel/random/boot_id; ls /i-am-sandbox 2>/dev/null; exit 7'
	run -7 amphi run --bundle "$BUNDLE" "$b" <<<"to b"
	[ "$output" = $'to b\nmember b\n'"$inside" ]
	# the same id once more
	run -7 amphi run --bundle "$BUNDLE" "$b" <<<"again"
	check_output $'again\nmember b'
	# namespaces: shared as the config says
	for ns in net ipc uts; do
		[ "$(amphi exec "$a" readlink /proc/self/ns/$ns)" = "$(amphi exec "$SANDBOX" readlink /proc/self/ns/$ns)" ]
	done
	for ns in pid mnt; do
		[ "$(amphi exec "$a" readlink /proc/self/ns/$ns)" != "$(amphi exec "$SANDBOX" readlink /proc/self/ns/$ns)" ]
	done
	run -0 amphi exec "$a" cat /who
	[ "$output" = "member a" ]
	run -0 amphi ps "$a"
	[ "${#lines[@]}" -eq 3 ] # the title and two processes
	grep -q ":$CGROUP\$\|/amphi-test-.*-a\$" "/proc/$(pid_of "$a")/cgroup"
	amphi kill "$a" TERM
	wait_for status_is "$a" stopped
	status_is "$SANDBOX" running
	# what the monitor knows of its files goes with it: the host has them for itself again
	known() { stat -Lc %d:%i "/proc/$MONITOR/fd/"* 2>/dev/null | grep -qx "$roots"; }
	known
	amphi delete "$a"
	[ ! -e "$ROOT/$a" ]
	run ! known
	[ -z "$(ls "$ROOT/$SANDBOX/jail/export/pods")" ]
	# the machine goes with the sandbox, and what runs in it is killed
	member c
	config_args sh -c 'trap "" TERM; echo up; while :; do sleep 1000; done'
	amphi run --bundle "$BUNDLE" "$ID" </dev/null >"$BATS_TEST_TMPDIR/c.out" 2>&1 3>&- &
	local runner=$! rc=0
	wait_for grep -q up "$BATS_TEST_TMPDIR/c.out"
	amphi kill "$SANDBOX" TERM
	wait $runner || rc=$?
	[ "$rc" -eq 137 ]
	wait_for status_is "$SANDBOX" stopped
	wait_for gone "$MONITOR"
	amphi delete "$SANDBOX"
}

@test "pods: with the machine its members end, and never with success" {
	member a
	config_args sleep 1000
	amphi run --bundle "$BUNDLE" "$ID" </dev/null >"$BATS_TEST_TMPDIR/a.out" 2>&1 3>&- &
	local runner=$! rc=0 b
	wait_for status_is "$ID" running
	member b
	b=$ID
	config_args sleep 1000
	detached
	kill -9 "$MONITOR"
	wait $runner || rc=$?
	[ "$rc" -eq 255 ]
	wait_for status_is "$b" stopped
	wait_for status_is "$SANDBOX" stopped
	amphi delete --force "$SANDBOX"
	amphi delete "$b"
}

@test "pods: delete --force of the sandbox ends what is left; foreign namespaces and sandboxes are refused by name" {
	local a
	member a
	a=$ID
	config_args sleep 1000
	detached
	member b
	config '(.linux.namespaces[] | select(.type == "ipc")).path = "/proc/1/ns/ipc"'
	run -1 amphi create --bundle "$BUNDLE" "$ID"
	check_output "linux.namespaces: ipc: /proc/1/ns/ipc is not the namespace of the pod's sandbox"
	config '.annotations["io.kubernetes.cri.sandbox-id"] = "no-such-one"'
	run -1 amphi create --bundle "$BUNDLE" "$ID"
	check_output "the pod's sandbox no-such-one does not exist"
	config '.annotations["io.kubernetes.cri.sandbox-id"] = "../x"'
	run -1 amphi create --bundle "$BUNDLE" "$ID"
	check_output "invalid container ID format"
	amphi delete --force "$SANDBOX"
	wait_for status_is "$a" stopped
	amphi delete "$a"
}
