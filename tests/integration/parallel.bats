# SPDX-License-Identifier: Apache-2.0
# backends: container vm
# Many containers (machines: ten) at once, in one root: each is created, found, deleted.
load helpers

# ten kernels boot at once, emulated, on what else the host does
BATS_TEST_TIMEOUT=600

setup() { setup_bundle; }
teardown() { teardown_all; }

# Creates and deletes COUNT containers one after the other; says "worker fails" when one does not work.
worker() { # NUMBER COUNT
	local i id template bundle=$BATS_TEST_TMPDIR/w$1
	mkdir "$bundle"
	template=$(jq -c ".root.path = \"$BUNDLE/rootfs\" | .linux.cgroupsPath = \"@cgroup@\"" "$BUNDLE/config.json")
	for ((i = 0; i < $2; i++)); do
		id=$ID-$1-$i
		echo "${template/@cgroup@/$CGROUP-$1-$i}" >"$bundle/config.json"
		amphi create --bundle "$bundle" "$id" </dev/null >/dev/null 2>>"$BATS_TEST_TMPDIR/errors" || echo "worker fails: create $id"
		[[ $(amphi state "$id" 2>>"$BATS_TEST_TMPDIR/errors") == *'"status": "created"'* ]] || echo "worker fails: state $id"
		amphi delete --force "$id" 2>>"$BATS_TEST_TMPDIR/errors" || echo "worker fails: delete $id"
	done
}

ended() { ! grep -qs "$CGROUP" /proc/[0-9]*/cgroup; }

@test "200 creates and deletes by 4 workers; ten machines at once" {
	local w pids=() each=50 workers=4
	if is_vm; then
		each=1
		workers=10
		config '.annotations = {"amphi.vm.memory": "128m"}'
	fi
	for w in $(seq $workers); do
		worker "$w" $each >"$BATS_TEST_TMPDIR/result$w" 3>&- &
		pids+=($!)
	done
	wait "${pids[@]}"
	cat "$BATS_TEST_TMPDIR"/result* "$BATS_TEST_TMPDIR/errors"
	[ -z "$(cat "$BATS_TEST_TMPDIR"/result*)" ]
	[ "$(amphi list -q)" = "" ]
	[ -z "$(ls -A "$ROOT")" ]
	wait_for ended # zombies: the host's process 1 takes its time
}

@test "one id wanted by many: one gets it" {
	local i won pids=()
	for i in 1 2 3 4 5 6; do
		(amphi create --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1 && echo won >>"$BATS_TEST_TMPDIR/won") 3>&- &
		pids+=($!)
	done
	wait "${pids[@]}" || true
	[ "$(wc -l <"$BATS_TEST_TMPDIR/won")" = 1 ]
	status_is "$ID" created
}

@test "create and delete --force race: nothing is left" {
	local i pid turns=5
	if is_vm; then turns=2; fi
	for i in $(seq $turns); do
		(amphi create --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1 || true) 3>&- &
		pid=$!
		amphi delete --force "$ID"
		wait "$pid"
		amphi delete --force "$ID"
		[ ! -e "$ROOT/$ID" ]
	done
}
