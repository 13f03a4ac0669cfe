# SPDX-License-Identifier: Apache-2.0
# backends: container vm
# bats file_tags=lab:vm
# amphi state: the document and its status words.
load helpers

setup() { setup_bundle; }
teardown() { teardown_all; }

@test "state has the keys that engines read" {
	config_args sleep 1000
	config '.annotations = {"a.b": "c"}'
	amphi create --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
	run -0 --separate-stderr amphi state "$ID"
	[ -z "$stderr" ]
	[ "$(jq -r 'keys_unsorted | join(" ")' <<<"$output")" = "ociVersion id pid status bundle rootfs created annotations owner" ]
	[ "$(jq -r .status <<<"$output")" = created ]
	[ "$(jq -r '.annotations["a.b"]' <<<"$output")" = c ]
	[ "$(jq -r .rootfs <<<"$output")" = "$(realpath "$BUNDLE/rootfs")" ]
	date -d "$(jq -r .created <<<"$output")" >/dev/null
	amphi start "$ID"
	status_is "$ID" running
	amphi kill "$ID" KILL
	wait_for status_is "$ID" stopped
	[ "$(pid_of "$ID")" = 0 ]
}

@test "state of an unknown id" {
	run -1 amphi state nobody
	check_output "container does not exist"
}

@test "a createRuntime hook sees creating, also by amphi state" {
	config '.hooks.createRuntime = [{path: "/bin/sh", args: ["sh", "-c", "cat >\($d)/stdin; \($a) --root \($r) state \($id) >\($d)/seen"]}]' \
		--arg d "$BATS_TEST_TMPDIR" --arg a "$AMPHI" --arg r "$ROOT" --arg id "$ID"
	amphi create --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
	[ "$(jq -r .status "$BATS_TEST_TMPDIR/stdin")" = creating ]
	[ "$(jq -r .pid "$BATS_TEST_TMPDIR/stdin")" -gt 1 ]
	[ "$(jq -r .bundle "$BATS_TEST_TMPDIR/stdin")" = "$(realpath "$BUNDLE")" ]
	[ "$(jq -r .status "$BATS_TEST_TMPDIR/seen")" = creating ]
}

@test "a state of another version is refused" {
	skip_in_vm "the same code"
	amphi create --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
	cp "$ROOT/$ID/state.json" "$BATS_TEST_TMPDIR/keep"
	jq '.version = 99' "$BATS_TEST_TMPDIR/keep" >"$ROOT/$ID/state.json"
	run -1 amphi state "$ID"
	check_output "version 99"
	jq '.machine = {version: 98}' "$BATS_TEST_TMPDIR/keep" >"$ROOT/$ID/state.json"
	run -1 amphi state "$ID"
	check_output "the record of the machine: version 98"
	cp "$BATS_TEST_TMPDIR/keep" "$ROOT/$ID/state.json"
}
