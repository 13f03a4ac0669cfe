# SPDX-License-Identifier: Apache-2.0
# backends: container vm
# bats file_tags=lab:vm
# amphi kill: signals by every name, all processes, expressions.
load helpers

setup() {
	setup_bundle
	config_args sh -c 'trap "echo usr1" USR1; trap "echo usr2" USR2; trap "echo hup" HUP; trap "exit 0" TERM; echo ready; while :; do sleep 0.05; done'
	OUT=$BATS_TEST_TMPDIR/out
}
teardown() { teardown_all; }

running() {
	amphi run -d --bundle "$BUNDLE" "$ID" </dev/null >"$OUT" 2>&1
	wait_for grep -q ready "$OUT"
}

@test "kill by number, name, SIGname; TERM when none is given" {
	running
	amphi kill "$ID" 10
	wait_for grep -q usr1 "$OUT"
	amphi kill "$ID" USR2
	wait_for grep -q usr2 "$OUT"
	amphi kill "$ID" SIGHUP
	wait_for grep -q hup "$OUT"
	run -1 amphi kill "$ID" NOSUCH
	check_output "NOSUCH"
	amphi kill "$ID" 0
	run -1 amphi kill "$ID" -1
	run -1 amphi kill "$ID" 65
	amphi kill "$ID"
	wait_for status_is "$ID" stopped
}

@test "kill of what does not run has the engines' words" {
	run -1 amphi kill nobody KILL
	check_output "container does not exist"
	running
	amphi kill "$ID" KILL
	wait_for status_is "$ID" stopped
	run -1 amphi kill "$ID" KILL
	check_output "container not running"
	amphi kill --all "$ID" KILL
}

@test "kill of a created container" {
	local signal
	for signal in TERM KILL; do
		amphi create --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
		amphi kill "$ID" $signal
		wait_for status_is "$ID" stopped
		amphi delete "$ID"
	done
}

@test "kill --all reaches every process" {
	config_args sh -c 'sleep 1000 & sleep 1000 & echo ready; wait'
	config '.linux.namespaces |= map(select(.type != "pid"))'
	skip_in_vm "the pid namespace is the machine's"
	running
	local pids pid
	pids=$(amphi ps -f json "$ID" | jq '.[]')
	[ "$(wc -w <<<"$pids")" -ge 3 ]
	amphi kill --all "$ID" KILL
	for pid in $pids; do wait_for gone "$pid"; done
}

@test "kill --regex" {
	skip_in_vm "the same code"
	running
	amphi kill --regex "^$ID\$" KILL
	wait_for status_is "$ID" stopped
	run -1 amphi kill --regex '(' KILL
	check_output "regex"
}

@test "kill KILL of a container in the host's pid namespace ends every process of it, and those its init left" {
	skip_in_vm "a machine has its own pid namespace"
	local procs=/sys/fs/cgroup/pids$CGROUP/cgroup.procs init
	[ -d /sys/fs/cgroup/pids ] || procs=/sys/fs/cgroup$CGROUP/cgroup.procs
	config 'del(.linux.namespaces[] | select(.type == "pid"))'
	config_args sleep 1000
	detached
	amphi exec -d "$ID" sleep 1000 </dev/null >/dev/null 2>&1
	[ "$(wc -l <"$procs")" = 2 ]
	amphi kill "$ID" KILL
	wait_for status_is "$ID" stopped
	wait_for sh -c "[ -z \"\$(cat $procs)\" ]"
	amphi delete "$ID"

	detached
	amphi exec -d "$ID" sleep 1000 </dev/null >/dev/null 2>&1
	init=$(pid_of "$ID")
	kill -9 "$init"
	wait_for status_is "$ID" stopped
	[ "$(wc -l <"$procs")" = 1 ]
	run -1 amphi kill "$ID" TERM
	check_output "container not running"
	amphi kill "$ID" KILL
	wait_for sh -c "[ -z \"\$(cat $procs)\" ]"
	amphi delete "$ID"
}
