# SPDX-License-Identifier: Apache-2.0
# backends: container vm
load helpers
load cgroup

setup() {
	need_root
	setup_bundle
	cd "$BUNDLE"
	config_args sleep 1000
}
teardown() {
	[ -z "${EVENTS:-}" ] || kill "$EVENTS" 2>/dev/null || :
	teardown_all
}

@test "events --stats is one line of runc's JSON" {
	amphi run -d "$ID" </dev/null >/dev/null 2>&1
	run -0 --separate-stderr amphi events --stats "$ID"
	[ -z "$stderr" ]
	[ "${#lines[@]}" -eq 1 ]
	jq -e --arg id "$ID" '.type == "stats" and .id == $id and (.data.memory.usage.limit | type) == "number"
		and .data.memory.usage.usage > 0 and .data.cpu.usage.total > 0 and .data.pids.current >= 1
		and (.data | has("cpuset") and has("blkio") and has("hugetlb") and has("intel_rdt") and has("network_interfaces"))' <<<"$output"
}

@test "events prints counters at each interval and ends with the container" {
	amphi run -d "$ID" </dev/null >/dev/null 2>&1
	timeout 120 "$AMPHI" --root "$ROOT" events --interval 100ms "$ID" >"$BATS_TEST_TMPDIR/out" 3>&- &
	EVENTS=$!
	several() { [ "$(grep -c '"type":"stats"' "$BATS_TEST_TMPDIR/out")" -ge 2 ]; }
	wait_for several
	amphi kill "$ID" KILL
	wait "$EVENTS"
	EVENTS=
	jq -es 'all(.type == "stats")' "$BATS_TEST_TMPDIR/out"
}

@test "events reports an out-of-memory kill" {
	config '.linux.resources.memory = {limit: 20971520, swap: 20971520}'
	config_args sh -c 'until [ -e /go ]; do sleep 0.05; done; dd if=/dev/zero of=/dev/shm/x bs=1M count=60; sleep 1000'
	amphi run -d "$ID" </dev/null >/dev/null 2>&1
	timeout 120 "$AMPHI" --root "$ROOT" events --interval 50ms "$ID" >"$BATS_TEST_TMPDIR/out" 3>&- &
	EVENTS=$!
	wait_for grep -q stats "$BATS_TEST_TMPDIR/out" # it is listening
	touch "$BUNDLE/rootfs/go"
	wait_for grep -q "{\"type\":\"oom\",\"id\":\"$ID\"}" "$BATS_TEST_TMPDIR/out"
}

@test "stats: a table and JSON" {
	amphi run -d "$ID" </dev/null >/dev/null 2>&1
	run -0 amphi stats
	[[ "${lines[0]}" == ID* ]]
	check_output "$ID"
	run -0 amphi stats --format json "$ID"
	jq -e --arg id "$ID" '.[0].id == $id and .[0].data.pids.current >= 1' <<<"$output"
	run ! amphi stats nosuch
	check_output "container does not exist"
}

@test "bad options and containers are refused" {
	run ! amphi events nosuch
	check_output "container does not exist"
	amphi run -d "$ID" </dev/null >/dev/null 2>&1
	run ! amphi events --interval 0s "$ID"
	check_output "greater than 0"
	run ! amphi events --interval soon "$ID"
	check_output "--interval"
	amphi kill "$ID" KILL
	wait_for status_is "$ID" stopped
	run ! amphi events --stats "$ID"
	check_output "is not running"
}
