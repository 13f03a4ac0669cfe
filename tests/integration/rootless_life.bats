# SPDX-License-Identifier: Apache-2.0
# backends: container
# A user without privileges: own state root, one mapped id, no control group.
load helpers

setup() {
	need_program setpriv
	[ "$(id -u)" != 0 ] || setpriv --reuid 1000 --regid 1000 --clear-groups unshare -U true 2>/dev/null || skip "needs user namespaces for users"
	# below /tmp, because the test's own directory may be closed to others
	DIR=$(mktemp -d /tmp/amphi-rootless.XXXXXX)
	BUNDLE=$DIR/bundle
	mkdir -p "$BUNDLE/rootfs" "$DIR/run"
	cp "$AMPHI" "$DIR/amphi"
	fill_rootfs "$BUNDLE/rootfs"
	"$AMPHI" spec -f - --rootless | jq '.process.terminal = false | (.linux.uidMappings, .linux.gidMappings)[0].hostID = 1000' >"$BUNDLE/config.json"
	chown -R 1000:1000 "$DIR"
	ID=r$$-$BATS_TEST_NUMBER
}

teardown() {
	[ -z "${DIR:-}" ] || { user delete --force "$ID" || true; rm -rf "$DIR"; }
}

user() {
	if [ "$(id -u)" = 0 ]; then
		(cd "$BUNDLE" && setpriv --reuid 1000 --regid 1000 --clear-groups env -i PATH="$PATH" XDG_RUNTIME_DIR="$DIR/run" "$DIR/amphi" "$@")
	else
		(cd "$BUNDLE" && env -i PATH="$PATH" XDG_RUNTIME_DIR="$DIR/run" "$DIR/amphi" "$@")
	fi
}

@test "rootless: run with an exit code, nothing left" {
	config_args sh -c 'id -u; exit 4'
	run -4 user run "$ID" </dev/null
	[ "$output" = 0 ]
	[ ! -e "$DIR/run/amphi/$ID" ]
	[ -k "$DIR/run/amphi" ]
}

@test "rootless: create, start, exec, ps, kill, delete" {
	config_args sleep 1000
	user create "$ID" </dev/null >/dev/null 2>&1
	user start "$ID"
	run user exec "$ID" sh -c 'id -u; exit 3' </dev/null
	check_status 3
	[ "$output" = 0 ]
	run -0 user ps "$ID"
	check_output "sleep 1000"
	[ "$(user list -q)" = "$ID" ]
	user kill "$ID" KILL
	user delete --force "$ID"
	[ ! -e "$DIR/run/amphi/$ID" ]
}
