# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# An ordinary user: $USERID with an own runtime directory $XDG (setup_user's argument, or the test's), running a copy of the
# programs that it can reach.

USERID=4321

setup_user() {
	need_root
	need_program setpriv
	chmod 755 "$BATS_TEST_TMPDIR" "$BATS_FILE_TMPDIR" "$BATS_SUITE_TMPDIR" "$BATS_RUN_TMPDIR" 2>/dev/null || true
	cp "$AMPHI" "$AMPHI_BUILD/amphi-images" "$BATS_TEST_TMPDIR/"
	XDG=${1:-$BATS_TEST_TMPDIR/xdg}
	[ -d "$XDG" ] || mkdir -m 700 "$XDG"
	chown "$USERID:$USERID" "$XDG"
	user true || skip "needs programs that another user can run"
	user unshare -U true 2>/dev/null || skip "needs user namespaces for users"
}

# A bundle of the user's as spec --rootless has it.
setup_rootless() {
	setup_bundle
	setup_user "$@"
	rm "$BUNDLE/config.json"
	chown -R "$USERID:$USERID" "$BUNDLE"
	(cd "$BUNDLE" && user "$BATS_TEST_TMPDIR/amphi" spec --rootless)
	config '.process.terminal = false | .root.readonly = false | del(.linux.cgroupsPath)'
	ID=rl-$$-$BATS_TEST_NUMBER
}
teardown_rootless() {
	amphi_user delete --force "$ID" >/dev/null 2>&1 || true
	teardown_all
}
# amphi as the user, in the bundle.
amphi_user() { (cd "$BUNDLE" && user "$BATS_TEST_TMPDIR/amphi" "$@"); }

user() {
	setpriv --reuid "$USERID" --regid "$USERID" --clear-groups env -u AMPHI_STORE XDG_RUNTIME_DIR="$XDG" XDG_DATA_HOME="$XDG/data" HOME=/nonexistent "$@"
}

need_ids() {
	need_program newuidmap
	need_program newgidmap
	[ -e /etc/subuid ] && [ -e /etc/subgid ] || skip "needs /etc/subuid and /etc/subgid"
}

# As user, who has the ids of ranges in /etc/subuid and /etc/subgid (as $IDS says): in a mount namespace with own files.
user_with_ids() {
	local d=$BATS_TEST_TMPDIR
	{ echo "amphitest:x:$USERID:$USERID::/:/bin/sh"; cat /etc/passwd; } >"$d/passwd"
	{ echo "amphitest:x:$USERID:"; cat /etc/group; } >"$d/group"
	echo "${IDS:-amphitest:200000:65536}" | tee "$d/subuid" >"$d/subgid"
	unshare -m --propagation private bash -c 'd=$1; shift
		for f in passwd group subuid subgid; do mount --bind "$d/$f" "/etc/$f" || exit 99; done; "$@"' - "$d" \
		setpriv --reuid "$USERID" --regid "$USERID" --clear-groups env -u AMPHI_STORE XDG_RUNTIME_DIR="$XDG" XDG_DATA_HOME="$XDG/data" HOME=/nonexistent "$@"
}

# As the user, on the host that the test made, where the user may open the tun device.
user_on_host() {
	on_host unshare -m --propagation private bash -c 'mount --bind "$0" /dev/net/tun && exec "$@"' "$BATS_TEST_TMPDIR/tun" \
		setpriv --reuid "$USERID" --regid "$USERID" --clear-groups env XDG_RUNTIME_DIR="$XDG" HOME=/nonexistent "$@"
}
# pasta itself works so, with a way out of the host (setup_outside).
need_pasta_for_user() {
	need_program pasta
	on_host ip route add default via 192.0.2.2
	mknod -m 666 "$BATS_TEST_TMPDIR/tun" c 10 200
	user_on_host pasta --config-net --quiet -t none -u none -T none -U none -- true >"$BATS_TEST_TMPDIR/probe" 2>&1 3>&- ||
		skip "pasta alone does not work for a user here: $(grep -v '^Failed to send' "$BATS_TEST_TMPDIR/probe" | tail -1)"
}
