#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# backends: container
#
# The image store is killed (SIGKILL) at every step: it works at once, the second run repairs and leaves nothing. Needs the
# debug build, whose AMPHI_STOP_AT names the place. And the disk that is full, with the same promise.

load helpers.bash

setup_file() {
	[ -z "${AMPHI_DEBUG_BUILD:-}" ] || return 0
	"$AMPHI_TOP/tests/debug-build" >/dev/null 2>&3
}

setup() {
	need_root
	setup_bundle
	AMPHI=${AMPHI_DEBUG_BUILD:-$AMPHI_TOP/build/debug}/amphi
	export AMPHI_STORE=$BATS_TEST_TMPDIR/store AMPHI_STORE_SYNC=none AMPHI_LIBEXEC=${AMPHI%/*}
	T=$BATS_TEST_TMPDIR
	head -c 300000 /dev/urandom >"$BUNDLE/rootfs/data"
	tar -C "$BUNDLE/rootfs" -czf "$T/k.tar.gz" .
}

teardown() {
	local left=0
	teardown_all || left=1
	rm -rf "$AMPHI_STORE"
	return $left
}

# amphi killed at a point; 137, or for its child amphi-images the error of it, says that it got there.
killed_at() { # POINT COMMAND...
	local code=0
	(export AMPHI_STOP_AT=$1; shift; amphi "$@") </dev/null >"$T/out" 2>&1 || code=$?
	[ "$code" = 137 ] || { echo "$1: exit $code, not killed: $(cat "$T/out")" >&2; return 1; }
}

# Everything that is named is whole.
whole() { # POINT
	amphi images -q >"$T/names" || return 1
	amphi fsck >"$T/fsck" || { echo "$1: $(cat "$T/fsck")" >&2; return 1; }
}

nothing_left() { # POINT
	local n
	n=$(find "$AMPHI_STORE"/{layers,blobs,partial,tmp,containers,fixups} -mindepth 1 ! -path '*/blobs/sha256' ! -path '*/blobs/sha512' | wc -l)
	[ "$n" = 0 ] || { echo "$1: $n files left: $(find "$AMPHI_STORE" | head -20)" >&2; return 1; }
}

@test "killed in import of a root file system, and of a layout" {
	local point source
	amphi import -q --name k "$T/k.tar.gz" >/dev/null
	amphi export --format oci -o "$T/layout" k
	amphi rmi k >/dev/null
	for source in "$T/k.tar.gz" "$T/layout"; do
		for point in fetching staged synced blob layer index named; do
			killed_at "$point" import -q --name k "$source"
			whole "$point"
			[ ! -s "$T/names" ] || [ "$point" = named ]
			amphi import -q --name k "$source" >/dev/null
			whole "$point"
			[ "$(cat "$T/names")" = localhost/k:latest ]
			[ -z "$(ls "$AMPHI_STORE/tmp" "$AMPHI_STORE/partial" | grep -v :)" ] || { echo "$point: $(ls "$AMPHI_STORE"/{tmp,partial})" >&2; false; }
			amphi rmi k >/dev/null
			nothing_left "$point"
		done
	done
}

@test "killed in prune and rmi" {
	local point
	for point in index named sweep-blob sweep-tree; do
		amphi import -q --name k "$T/k.tar.gz" >/dev/null
		killed_at "$point" rmi k
		whole "$point"
		amphi rmi k >/dev/null 2>&1 || true
		amphi prune --all >/dev/null
		nothing_left "$point"
	done
}

@test "killed in commit" {
	local point
	amphi import -q --name k "$T/k.tar.gz" >/dev/null
	amphi run -d --image k "$ID" sh -c 'echo new >/etc/new; rm /data; sleep 1000' >/dev/null 2>&1 </dev/null
	wait_for amphi exec "$ID" test ! -e /data
	for point in commit staged blob layer index named; do
		killed_at "$point" commit "$ID" c
		whole "$point"
		amphi commit "$ID" c >/dev/null
		whole "$point"
		[ -z "$(ls "$AMPHI_STORE/tmp")" ]
		amphi rmi c >/dev/null
	done
	amphi delete --force "$ID"
	amphi rmi k >/dev/null
	nothing_left commit
}

# No bundle of the store, no mount of it.
no_bundle() { [ -z "$(ls "$AMPHI_STORE/containers")" ] && ! grep -q "$AMPHI_STORE" /proc/self/mountinfo; }

@test "killed in run --image: delete --force, prune, or the next run of the id takes what is left" {
	local point
	amphi import -q --name k "$T/k.tar.gz" >/dev/null
	for point in container-dir image-json mounted prepared; do
		# the child dies, amphi says so
		AMPHI_STOP_AT=$point run -1 amphi run --image k "$ID" true
		[ -n "$(ls "$AMPHI_STORE/containers")" ]
		run -0 amphi run --image k "$ID" echo again
		check_output again
		no_bundle
	done
	for point in image statedir record create started; do
		killed_at "$point" run --image k "$ID" sleep 1000
		[ -n "$(ls "$AMPHI_STORE/containers")" ]
		amphi delete --force "$ID"
		no_bundle || { echo "$point: $(ls "$AMPHI_STORE/containers")" >&2; false; }
	done
	killed_at image run --image k "$ID" true
	run -0 amphi prune
	check_output "1 containers that nobody has any more"
	no_bundle
	killed_at image run --image k "$ID" true
	run -0 amphi run --image k "$ID" echo again
	check_output again
	no_bundle
}

@test "killed in delete of an image's container" {
	amphi import -q --name k "$T/k.tar.gz" >/dev/null
	amphi run -d --image k "$ID" sleep 1000 >/dev/null 2>&1 </dev/null
	AMPHI_STOP_AT=unmounted run -1 amphi delete --force "$ID"
	amphi delete --force "$ID"
	no_bundle
}

@test "a living owner keeps its bundle, another state root's too" {
	amphi import -q --name k "$T/k.tar.gz" >/dev/null
	amphi run -d --image k "$ID" sleep 1000 >/dev/null 2>&1 </dev/null
	run -1 amphi run --image k "$ID" true
	check_output "already exists"
	run -0 "$AMPHI" --root "$T/otherroot" delete --force "$ID"
	run -0 amphi prune
	run -0 amphi exec "$ID" cat /etc/passwd
	amphi delete --force "$ID"
	no_bundle
}

@test "a full disk: a clear error, nothing of it stays" {
	local small=$T/small form
	AMPHI_STORE=$T/other amphi import -q --name k "$T/k.tar.gz" >/dev/null
	AMPHI_STORE=$T/other amphi export --format oci -o "$T/layout" k
	AMPHI_STORE=$T/other amphi export -o "$T/oci.tar" k
	rm -rf "$T/other"
	mkdir "$small"
	mount -t tmpfs -o size=1600k tmpfs "$small"
	export AMPHI_STORE=$small/store
	for form in "$T/k.tar.gz" "$T/layout" "$T/oci.tar"; do
		run -1 amphi import -q --name k "$form"
		check_output "no space left on device"
		whole "$form"
		[ ! -s "$T/names" ]
		nothing_left "$form"
	done
	mount -o remount,size=16m "$small"
	run -0 amphi import -q --name k "$T/k.tar.gz"
	# commit and run on a disk that is full
	amphi run -d --image k "$ID" sh -c 'head -c 1000000 /dev/urandom >/big; sleep 1000' >/dev/null 2>&1 </dev/null
	wait_for amphi exec "$ID" sh -c '[ "$(stat -c %s /big)" = 1000000 ]'
	head -c 20000000 /dev/zero >"$small/fill" 2>/dev/null || true
	run -1 amphi commit "$ID" c
	check_output "no space left on device"
	rm "$small/fill"
	whole commit
	[ "$(cat "$T/names")" = localhost/k:latest ]
	run -0 amphi commit "$ID" c
	amphi delete --force "$ID"
	umount "$small"
}
