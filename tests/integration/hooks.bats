# SPDX-License-Identifier: Apache-2.0
# backends: container vm
# Hooks: six moments, in the right namespaces, with state on stdin.
load helpers

setup_file() { share_machine; }
teardown_file() { end_machine; }

setup() {
	need_root
	setup_bundle
	LOG=$BATS_TEST_TMPDIR/log
	: >"$LOG"
}
teardown() { teardown_all; }

# A hook that appends NAME, the mount namespace, root's marker and the state to the log (by fd of the host or path).
hook() { # KIND SCRIPT
	config '.hooks[$k] += [{path: "/bin/sh", args: ["sh", "-c", $s, "hook-name"], env: ["PATH=/bin:/usr/bin", "LOG=" + $l]}]' --arg k "$1" --arg s "$2" --arg l "$LOG"
}

@test "hooks: all kinds run in order with the state and the right namespaces" {
	local k
	touch "$BUNDLE/rootfs/i-am-root"
	for k in prestart createRuntime poststart poststop; do
		hook "$k" "echo $k \$(readlink /proc/self/ns/mnt) >>\$LOG; cat >\$LOG.$k"
	done
	is_vm || hook createContainer 'echo createContainer $(readlink /proc/self/ns/mnt) >>$LOG; cat >$LOG.createContainer'
	# inside the container's root: it can only leave its mark there
	hook startContainer 'echo startContainer $(readlink /proc/self/ns/mnt) $0 >/hook-log; [ -e /i-am-root ]; cat >/hook-state'
	config_args sh -c 'readlink /proc/self/ns/mnt; cat /hook-log'
	run -0 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	local inside=${lines[0]} host
	host=$(readlink /proc/self/ns/mnt)
	[ "${lines[1]}" = "startContainer $inside hook-name" ]
	local create=$'\n'"createContainer $inside"
	! is_vm || create=
	[ "$(cat "$LOG")" = "prestart $host
createRuntime $host$create
poststart $host
poststop $host" ]
	[ "$(jq -r '.id, .status, .bundle' "$LOG.createRuntime")" = "$ID"$'\ncreating\n'"$BUNDLE" ]
	is_vm || [ "$(jq -r .status "$LOG.createContainer")" = creating ]
	[ "$(jq -r .status "$BUNDLE/rootfs/hook-state")" = created ]
	[ "$(jq -r .status "$LOG.poststart")" = running ]
	[ "$(jq -r .status "$LOG.poststop")" = stopped ]
	[ "$(wc -l <"$LOG.createRuntime")" -le 1 ]
	[ "$(jq .pid "$LOG.createRuntime")" -gt 1 ]
}

@test "hooks: createRuntime finds the container's mounts and namespaces" {
	skip_in_vm "its mounts are the guest's"
	hook createRuntime 'pid=$(sed "s/.*\"pid\": *\([0-9]*\).*/\1/"); grep -c " /.*rootfs/proc " /proc/$pid/mountinfo >>$LOG; readlink /proc/$pid/ns/net >>$LOG'
	config_args readlink /proc/self/ns/net
	run -0 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	[ "$(cat "$LOG")" = "1"$'\n'"$output" ]
}

@test "hooks: a failing one fails create, with its words, and nothing is left" {
	local k
	for k in prestart createRuntime createContainer startContainer; do
		[ $k != createContainer ] || ! is_vm || continue
		config 'del(.hooks)'
		hook "$k" 'echo said >&2; exit 3'
		run -1 amphi run --bundle "$BUNDLE" "$ID" </dev/null
		check_output "error running $k hook #0: exit status 3"
		check_output "said"
		[ ! -e "$ROOT/$ID" ]
	done
	config '.hooks = {createRuntime: [{path: "/no/such/hook"}]}'
	run -1 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	check_output "no such file or directory"
}

@test "hooks: a time limit kills, a hook that reads nothing is fine" {
	config '.hooks = {createRuntime: [{path: "/bin/sleep", args: ["sleep", "1000"], timeout: 1}]}'
	run -1 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	check_output "timed out"
	config '.hooks = {createRuntime: [{path: "/bin/true"}]} | .annotations.big = ("x" * 200000)'
	config_args echo fine
	run -0 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	[ "$output" = fine ]
}

@test "hooks: poststop's failure only warns" {
	hook poststop 'exit 1'
	config_args true
	run -0 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	[ ! -e "$ROOT/$ID" ]
}

@test "hooks: environment is the hook's own" {
	config '.hooks = {createRuntime: [{path: "/usr/bin/env", args: ["env"]}, {path: "/bin/sh", args: ["sh", "-c", "env > $LOG"], env: ["LOG=" + $l, "ONLY=this"]}]}' --arg l "$LOG"
	run -0 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	grep -q ONLY=this "$LOG"
	! grep -q AMPHI "$LOG"
	! grep -q BATS "$LOG"
}

@test "hooks: crun's annotations send their output to files" {
	skip_in_vm "the files are the host's"
	hook createRuntime 'echo out1; echo err1 >&2'
	hook startContainer 'echo out2; echo err2 >&2'
	hook poststop 'echo out3'
	config '.annotations = {"run.oci.hooks.stdout": $o, "run.oci.hooks.stderr": $e}' --arg o "$LOG" --arg e "$LOG.err"
	run -1 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	check_output "annotations[run.oci.hooks.stderr]: a path is not allowed here"
	[ ! -s "$LOG" ]
	export AMPHI_CONFIG=$BATS_TEST_TMPDIR/amphi.json
	echo '{"annotationsMayNamePaths": true}' >"$AMPHI_CONFIG"
	run -0 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	[ -z "$output" ]
	[ "$(cat "$LOG")" = $'out1\nout2\nout3' ]
	[ "$(cat "$LOG.err")" = $'err1\nerr2' ]
}

@test "hooks: one without env has the runtime's environment" {
	config '.hooks = {createRuntime: [{path: "/bin/sh", args: ["sh", "-c", "test \"$HOOK_SEES\" = me"]}]}'
	HOOK_SEES=me run -0 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	config '.hooks.createRuntime[0].env = []'
	HOOK_SEES=me run -1 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	check_output "error running createRuntime hook #0"
}

@test "hooks: createContainer runs in the root file system, and hooks inside are told the pid they see" {
	local where='[ "$(pwd)" = "'$BUNDLE'/rootfs" ] && test -e proc/self && mkdir ./made'
	skip_in_vm "a machine has its own paths"
	config '.hooks = {createContainer: [{path: "/bin/sh", args: ["sh", "-c", $w], env: ["PATH=/bin:/usr/bin"]}, {path: "/bin/sh", args: ["sh", "-c", "cat >./cc"], env: ["PATH=/bin:/usr/bin"]}],
		startContainer: [{path: "/bin/sh", args: ["sh", "-c", "cat >/sc"]}]}' --arg w "$where"
	run -0 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	[ -d "$BUNDLE/rootfs/made" ]
	[ "$(jq -r '"\(.pid) \(.status) \(.bundle)"' "$BUNDLE/rootfs/cc")" = "1 creating $BUNDLE" ]
	[ "$(jq -r '"\(.pid) \(.status) \(.bundle)"' "$BUNDLE/rootfs/sc")" = "1 created $BUNDLE" ]
}
