# SPDX-License-Identifier: Apache-2.0
# backends: container vm
load helpers

setup_file() { share_machine; }
teardown_file() { end_machine; }

setup() {
	need_root
	setup_bundle
	cd "$BUNDLE"
}
teardown() {
	[ -z "${AGENT:-}" ] || kill "$AGENT" 2>/dev/null || :
	teardown_all
}

@test "a refused call, with its errno" {
	config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
		syscalls: [{names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 28}]}'
	config_args mkdir /tmp/x
	run amphi run "$ID"
	check_status 1
	check_output "No space left on device"
}

@test "startContainer hooks run under the filter" {
	local nnp
	config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["mkdir", "mkdirat"], action: "SCMP_ACT_KILL"}]}
		| .process.rlimits = [{type: "RLIMIT_CORE", soft: 0, hard: 0}] | .hooks = {startContainer: [{path: "/bin/mkdir", args: ["mkdir", "/tmp/x"]}]}'
	config_args grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status
	run -1 amphi run "$ID" </dev/null
	check_output "error running startContainer hook #0"
	check_output "signal: bad system call"
	config '.hooks.startContainer[0] = {path: "/bin/true"}'
	for nnp in true false; do
		config '.process.noNewPrivileges = $n' --argjson n $nnp
		run -0 amphi run "$ID" </dev/null
		# CAP_SYS_ADMIN, kept for the filter, is gone
		[[ "$output" == *"CapEff:"*"0000000020000420"*"NoNewPrivs:"*"Seccomp:"*2 ]]
	done
}

@test "exec is filtered too" {
	config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO"}]}'
	config_args sleep 1000
	amphi run -d "$ID" </dev/null >/dev/null 2>&1
	run amphi exec "$ID" mkdir /tmp/x
	check_status 1
	check_output "Operation not permitted"
	run -0 amphi exec "$ID" grep Seccomp: /proc/self/status
	[[ "$output" =~ 2$ ]]
}

@test "killing actions" {
	config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["mkdir", "mkdirat"], action: "SCMP_ACT_KILL_PROCESS"}]}'
	config_args mkdir /tmp/x
	run amphi run "$ID"
	check_status 159
}

@test "arguments decide" {
	config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["kill"], action: "SCMP_ACT_ERRNO", errnoRet: 28,
		args: [{index: 1, value: 10, op: "SCMP_CMP_EQ"}]}]}'
	config_args sh -c 'trap "echo usr2" USR2; kill -USR2 $$; kill -USR1 $$'
	run amphi run "$ID"
	check_output usr2
	check_output "No space left"
}

@test "an agent is asked, and its state document is right" {
	skip_in_vm "an agent of the host"
	need_program jq
	config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", listenerPath: $p, listenerMetadata: "some text",
		syscalls: [{names: ["mkdir", "mkdirat"], action: "SCMP_ACT_NOTIFY"}]}' --arg p "$BATS_TEST_TMPDIR/agent.sock"
	config_args sh -c 'mkdir /tmp/x; echo went on'
	timeout 120 "$HELPERS/seccomp_agent" "$BATS_TEST_TMPDIR/agent.sock" "$BATS_TEST_TMPDIR/agent-state" 28 3>&- &
	AGENT=$!
	wait_for test -S "$BATS_TEST_TMPDIR/agent.sock"
	run -0 timeout 60 "$AMPHI" --root "$ROOT" run -b "$BUNDLE" "$ID"
	check_output "No space left on device"
	check_output "went on"
	jq -e --arg id "$ID" '.fds == ["seccompFd"] and .pid > 0 and .metadata == "some text" and .state.id == $id and .state.bundle' "$BATS_TEST_TMPDIR/agent-state"
	wait "$AGENT"
	AGENT=
}

@test "an agent that is not there fails the container, nothing hangs" {
	skip_in_vm "an agent of the host"
	config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", listenerPath: $p, syscalls: [{names: ["mkdir"], action: "SCMP_ACT_NOTIFY"}]}' \
		--arg p "$BATS_TEST_TMPDIR/nobody.sock"
	run timeout 60 "$AMPHI" --root "$ROOT" run -b "$BUNDLE" "$ID"
	[ "$status" -ne 0 ] && [ "$status" -ne 124 ]
	check_output "listenerPath"
}

@test "calls that must work are not taken for notification" {
	skip_in_vm "an agent of the host"
	config '.linux.seccomp = {defaultAction: "SCMP_ACT_NOTIFY", listenerPath: "/x"}'
	run ! amphi run "$ID"
	check_output "linux.seccomp.defaultAction"
	config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", listenerPath: "/x", syscalls: [{names: ["write"], action: "SCMP_ACT_NOTIFY"}]}'
	run ! amphi run "$ID"
	check_output "linux.seccomp.syscalls[0]"
}

@test "unknown words are refused by their path" {
	config '.linux.seccomp = {defaultAction: "SCMP_ACT_NONSENSE"}'
	run ! amphi run "$ID"
	check_output "linux.seccomp.defaultAction"
	config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", flags: ["NONSENSE"]}'
	run ! amphi run "$ID"
	check_output "linux.seccomp.flags[0]"
	config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_NONSENSE"]}'
	run ! amphi run "$ID"
	check_output "linux.seccomp.architectures[0]"
}

@test "a filter without no_new_privs, and one with it" {
	config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO"}]}'
	config_args grep -E 'Seccomp:|NoNewPrivs' /proc/self/status
	for value in true false; do
		config ".process.noNewPrivileges = $value"
		run -0 amphi run "$ID"
		[[ "$output" =~ Seccomp:.*2 ]]
	done
}

@test "the flags the kernel knows" {
	config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", flags: ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"],
		syscalls: [{names: ["mkdir"], action: "SCMP_ACT_ERRNO"}]}'
	config_args true
	amphi run "$ID"
}
