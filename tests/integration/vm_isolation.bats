#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# backends: vm
# What a guest that got out of its machine would find: every thread of the monitor is made to try it (tests/helpers/takeover.c).

load helpers

setup() {
	need_root
	setup_bundle
	config_args sleep 1000
	mkdir "$BATS_TEST_TMPDIR/share"
	config '.mounts += [{destination: "/share", type: "bind", source: $d, options: ["bind"]}]' --arg d "$BATS_TEST_TMPDIR/share"
	detached
}

teardown() { teardown_all; }

# bats test_tags=lab:vm
@test "no thread of the monitor can leave the jail, whatever takes it over" {
	local pid
	pid=$(pid_of "$ID")
	[ "$("$HELPERS/lock" ofd "$BATS_TEST_TMPDIR/share/l")" = got ]
	amphi exec "$ID" sh -c 'ls /share >/dev/null'
	run "$HELPERS/takeover" "$pid"
	[ "$status" = 0 ] || { grep -v '^ok' <<<"$output" >&2; return 1; }
	[ "$(grep -c SIGSYS <<<"$output")" -gt 100 ]
	[ "$(grep -c ': ENOENT$\|: EACCES$\|: EPERM$\|: EROFS$' <<<"$output")" -gt 10 ]
	[ ! -e "$BUNDLE/rootfs/.takeover" ]
	# It lives on, and the guest with it.
	run -0 amphi exec "$ID" echo alive
	check_output alive
	# The filters are real: one forbidden call is the end of the monitor, which is the container's.
	run -0 "$HELPERS/takeover" "$pid" kill
	wait_for status_is "$ID" stopped
}
