#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# backends: container
# An ordinary user's network: pasta, with a published port.
load helpers
load rootless.bash
load network.bash

setup() {
	need_program pasta
	need_program socat
	setup_host
	setup_rootless
}
teardown() {
	amphi_user delete --force "$ID" >/dev/null 2>&1 || true
	teardown_host
}

@test "rootless: the network by pasta, a published port" {
	setup_outside
	need_pasta_for_user
	config_args sh -c 'ip -o -4 addr; while :; do echo mine | nc -l -p 80; done'
	chown "$USERID:$USERID" "$BUNDLE/config.json"
	user_on_host "$BATS_TEST_TMPDIR/amphi" run -d --network pasta -p 8080:80 --bundle "$BUNDLE" "$ID" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1 3>&-
	wait_for answer_is mine on_outside socat -T2 - TCP:192.0.2.1:8080
	grep -F 192.0.2.1 "$BATS_TEST_TMPDIR/out"
	amphi_user kill "$ID" KILL
	no_pasta() { ! pgrep -u "$USERID" pasta; }
	wait_for no_pasta
}
