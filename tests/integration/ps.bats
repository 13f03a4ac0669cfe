# SPDX-License-Identifier: Apache-2.0
# backends: container vm
# bats file_tags=lab:vm
# amphi ps.
load helpers

setup() {
	setup_bundle
	config_args sleep 1000
	amphi run -d --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
}
teardown() { teardown_all; }

@test "ps: json is an array of the host's pids and nothing else" {
	run -0 amphi ps --format json "$ID"
	[ "$(jq -r 'type' <<<"$output")" = array ]
	[ "$(jq -r 'map(type) | unique | join(" ")' <<<"$output")" = number ]
	[ "$(jq -r '.[0]' <<<"$output")" = "$(pid_of "$ID")" ]
}

@test "ps: the table shows the command" {
	run -0 amphi ps "$ID"
	[[ "${lines[0]}" == UID*PID*PPID*CMD ]]
	check_output "sleep 1000"
	run -0 amphi ps "$ID" -ef
	check_output "sleep 1000"
}

@test "ps: arguments of ps(1)" {
	need_program ps
	if is_vm; then
		run -1 amphi ps "$ID" -o pid,args
		check_output "machine"
		return
	fi
	run -0 amphi ps "$ID" -e -o pid,args
	[ "${#lines[@]}" = 2 ]
	check_output "sleep 1000"
	run -1 amphi ps "$ID" -e -o args
	check_output "PID"
}

@test "ps of a stopped container" {
	amphi kill "$ID" KILL
	wait_for status_is "$ID" stopped
	run -0 amphi ps "$ID"
	[ "${#lines[@]}" = 1 ]
	check_output PID
	run -0 amphi ps -f json "$ID"
	[ "$output" = "[]" ]
}
