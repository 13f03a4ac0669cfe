# SPDX-License-Identifier: Apache-2.0
# backends: container vm
# bats file_tags=lab:vm
# amphi ps.
load helpers

setup() {
	setup_bundle
	config_args sleep 1000
}
teardown() { teardown_all; }

started() { amphi run -d --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1; }

@test "ps: json is an array of the host's pids and nothing else; the table shows the command" {
	started
	run -0 amphi ps --format json "$ID"
	[ "$(jq -r 'type' <<<"$output")" = array ]
	[ "$(jq -r 'map(type) | unique | join(" ")' <<<"$output")" = number ]
	[ "$(jq -r '.[0]' <<<"$output")" = "$(pid_of "$ID")" ]
	run -0 amphi ps "$ID"
	[[ "${lines[0]}" == UID*PID*PPID*CMD ]]
	check_output "sleep 1000"
	run -0 amphi ps "$ID" -ef
	check_output "sleep 1000"
	if is_vm; then
		run -1 amphi ps "$ID" -o pid,args
		check_output "machine"
	fi
}

@test "ps: arguments of ps(1)" {
	need_program ps
	skip_in_vm "they are refused"
	started
	run -0 amphi ps "$ID" -e -o pid,args
	[ "${#lines[@]}" = 2 ]
	check_output "sleep 1000"
	run -1 amphi ps "$ID" -e -o args
	check_output "PID"
}

@test "ps of a stopped container" {
	started
	amphi kill "$ID" KILL
	wait_for status_is "$ID" stopped
	run -0 amphi ps "$ID"
	[ "${#lines[@]}" = 1 ]
	check_output PID
	run -0 amphi ps -f json "$ID"
	[ "$output" = "[]" ]
}
