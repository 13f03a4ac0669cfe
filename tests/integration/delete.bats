# SPDX-License-Identifier: Apache-2.0
# backends: container vm
# bats file_tags=lab:vm
# amphi delete.
load helpers

setup() {
	setup_bundle
	config_args sleep 1000
}
teardown() { teardown_all; }

@test "delete of a running container is refused without --force" {
	amphi run -d --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
	local pid
	pid=$(pid_of "$ID")
	run -1 amphi delete "$ID"
	check_output "cannot delete container $ID that is not stopped: running"
	amphi delete --force "$ID"
	[ ! -e "$ROOT/$ID" ]
	wait_for gone "$pid"
}

@test "delete of a stopped container; then it does not exist" {
	amphi run -d --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
	amphi kill "$ID" KILL
	wait_for status_is "$ID" stopped
	amphi delete "$ID"
	run -1 amphi delete "$ID"
	check_output "container does not exist"
	amphi delete --force "$ID"
}

@test "delete of a created container kills it" {
	amphi create --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
	local pid
	pid=$(pid_of "$ID")
	amphi delete "$ID"
	wait_for gone "$pid"
	[ ! -e "$ROOT/$ID" ]
}

@test "delete --force of a directory without a record" {
	mkdir "$ROOT/$ID"
	run -1 amphi delete "$ID"
	check_output "container does not exist"
	amphi delete --force "$ID"
	[ ! -e "$ROOT/$ID" ]
}

@test "delete --regex" {
	skip_in_vm "the same code"
	amphi create --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
	config '.linux.cgroupsPath += "-b"'
	amphi create --bundle "$BUNDLE" "$ID-b" </dev/null >/dev/null 2>&1
	amphi delete --regex "^$ID"
	[ ! -e "$ROOT/$ID" ]
	[ ! -e "$ROOT/$ID-b" ]
}

@test "a pid that belongs to somebody else is never touched" {
	skip_in_vm "the same code"
	amphi run -d --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
	local pid
	pid=$(pid_of "$ID")
	sleep 1000 3>&- &
	local stranger=$!
	amphi kill "$ID" KILL
	wait_for status_is "$ID" stopped
	jq ".pid = $stranger" "$ROOT/$ID/state.json" >"$ROOT/$ID/new" && mv "$ROOT/$ID/new" "$ROOT/$ID/state.json"
	status_is "$ID" stopped
	run -1 amphi kill "$ID" KILL
	amphi delete --force "$ID"
	kill -0 "$stranger"
	kill "$stranger"
}

@test "poststop hooks run when everything is gone, and their failure is no failure" {
	config '.hooks.poststop = [{path: "/bin/sh", args: ["sh", "-c", "cat >\($f)"]}, {path: "/bin/false"}]' --arg f "$BATS_TEST_TMPDIR/hook"
	amphi create --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
	amphi delete --force "$ID"
	[ "$(jq -r .status "$BATS_TEST_TMPDIR/hook")" = stopped ]
	[ "$(jq -r .id "$BATS_TEST_TMPDIR/hook")" = "$ID" ]
}
