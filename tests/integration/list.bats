# SPDX-License-Identifier: Apache-2.0
# backends: container vm
# bats file_tags=lab:vm
# amphi list.
load helpers

setup() { setup_bundle; }
teardown() { teardown_all; }

@test "list: table, json, ids" {
	config_args sleep 1000
	amphi create --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
	run -0 amphi list
	[ "$(awk '{ print $1, $3, $6 }' <<<"${lines[0]}")" = "ID STATUS OWNER" ]
	[ "$(awk '{ print $1, $3, $6 }' <<<"${lines[1]}")" = "$ID created $(id -un)" ]
	run -0 amphi list -q
	[ "$output" = "$ID" ]
	run -0 amphi list -f json
	[ "$(jq -r '.[0].id' <<<"$output")" = "$ID" ]
	[ "$(jq -r '.[0].owner' <<<"$output")" = "$(id -un)" ]
	run -1 amphi list -f xml
	check_output "invalid format"
}

@test "list of an empty root, of a missing root" {
	run -0 amphi list -f json
	[ "$output" = "[]" ]
	ROOT=$BATS_TEST_TMPDIR/none run -1 amphi list
	XDG_RUNTIME_DIR=$BATS_TEST_TMPDIR USER=me run -0 unshare -r "$AMPHI" list -f json
	[ "$output" = "[]" ]
}

@test "list leaves out what is no container" {
	mkdir "$ROOT/half"
	touch "$ROOT/file"
	run -0 amphi list -f json
	[ "$output" = "[]" ]
	rm "$ROOT/file"
}
