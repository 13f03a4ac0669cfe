# SPDX-License-Identifier: Apache-2.0
# backends: container vm
# Many runs in a row leave nothing of ours: no process, mount, cgroup, link, socket, network lease or state.
load helpers
load network

# thirty machines in a row under the emulator, on a busy host; LEAK_RUNS=100 for a longer row of the first test
BATS_TEST_TIMEOUT=$((900 + ${LEAK_RUNS:-0} * 30))

setup() { setup_bundle; OUT=$BATS_TEST_TMPDIR/out; }
teardown() { if [ -n "${HOST:-}" ]; then teardown_host; else teardown_all; fi; }

no_process() {
	! find /proc/[0-9]*/fd -lname "$OUT" 2>/dev/null | grep -q . && ! grep -qs "$CGROUP" /proc/[0-9]*/cgroup
}

nothing_left() {
	[ ! -e "$ROOT/$ID" ]
	[ -z "$(ls -A "$ROOT")" ]
	! grep -F "$ROOT" /proc/net/unix
	wait_for no_process
	! grep -q "$BATS_TEST_TMPDIR" /proc/self/mountinfo
	! find /sys/fs/cgroup -maxdepth 4 -type d -path "*$CGROUP" 2>/dev/null | grep -q .
}

# bats test_tags=lab:vm
@test "runs in a row leave nothing" {
	local turn n=${LEAK_RUNS:-30}
	if is_vm && [ "$AMPHI_VMM" = kvm ]; then n=${LEAK_RUNS:-3}; fi
	config_args sh -c 'echo line; exit 4'
	for turn in $(seq "$n"); do
		local code=0
		amphi run --bundle "$BUNDLE" "$ID" </dev/null >>"$OUT" 2>&1 || code=$?
		[ "$code" = 4 ]
	done
	[ "$(grep -c line "$OUT")" = "$n" ]
	nothing_left
}

@test "failing creates in a row leave nothing" {
	local turn n=10
	if is_vm; then n=2; fi
	config_args no-such-program
	for turn in $(seq "$n"); do
		run -1 amphi create --bundle "$BUNDLE" "$ID" </dev/null
	done
	nothing_left
	config_args true
	config '.hooks.createRuntime = [{path: "/bin/false"}]'
	for turn in $(seq "$n"); do
		run -1 amphi create --bundle "$BUNDLE" "$ID" </dev/null
		check_output "createRuntime hook"
	done
	nothing_left
}

# bats test_tags=lab:vm
@test "runs on a network in a row leave no link, address or rule" {
	local turn n=30 links rules
	if is_vm; then n=2; fi
	setup_host
	run_on first --network bridge -- true >>"$OUT" 2>&1
	links=$(on_host ip -o link | wc -l)
	rules=$(on_host nft list ruleset)
	for turn in $(seq "$n"); do
		run_on "$ID" --network bridge -p 8080:80 -- true >>"$OUT" 2>&1
	done
	nothing_left
	[ "$(on_host ip -o link | wc -l)" = "$links" ]
	[ "$(on_host nft list ruleset)" = "$rules" ]
	[ "$(find "$AMPHI_NETWORK_DIR/run/attached" "$AMPHI_NETWORK_DIR/run/ports" -type f | wc -l)" = 0 ]
	[ "$(find "$AMPHI_NETWORK_DIR/run/ipam/default" -type f ! -name '.*' | wc -l)" = 0 ]
}
