#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# backends: container vm
#
# The image store: import, run, share, commit, collect, repair. Images are made on the spot from busybox.

load helpers.bash

setup() {
	need_root
	setup_bundle
	export AMPHI_STORE=$BATS_TEST_TMPDIR/store AMPHI_STORE_SYNC=none
	if is_vm; then image_network=(--network none); else image_network=(); fi
}

teardown() {
	local left=0
	teardown_all || left=1
	rm -rf "$AMPHI_STORE"
	return $left
}

# A busybox image NAME with an own file /etc/who; further arguments go to import.
make_image() {
	local name=$1
	shift
	echo "$name" >"$BUNDLE/rootfs/etc/who"
	tar -C "$BUNDLE/rootfs" -czf "$BATS_TEST_TMPDIR/$name.tar.gz" .
	"$AMPHI" import -q --name "$name" "$@" "$BATS_TEST_TMPDIR/$name.tar.gz"
}

@test "run of an image: command, environment, user, exit status, nothing left" {
	make_image one -c 'CMD ["sh","-c","cat /etc/who; echo $A; exit 7"]' -c 'ENV A=b c'
	run -7 --separate-stderr amphi run --image one "$ID"
	check_output "one
b c"
	run -0 --separate-stderr amphi run --image one --env A=x -u user -w /tmp "$ID" sh -c 'echo $A $(id -u) $(pwd) $HOME'
	check_output "x 1000 /tmp /home"
	[ -z "$(ls "$AMPHI_STORE/containers")" ]
	! grep -q "$AMPHI_STORE" /proc/self/mountinfo
}

@test "what a container writes stays its own" {
	skip_in_vm "the same mount, checked once"
	make_image one
	amphi run --image one "$ID" sh -c 'echo changed >/etc/who; rm -rf /home; mkdir /new'
	run -0 amphi run --image one "$ID" sh -c 'cat /etc/who; ls -d /home /new; true'
	check_output one
	check_output /home
	[[ "$output" != *changed* ]]
}

@test "a detached container keeps its image until it is deleted" {
	make_image one
	amphi run -d --image one "$ID" sleep 1000 >/dev/null 2>&1 </dev/null
	wait_for status_is "$ID" running
	run -1 "$AMPHI" rmi one
	check_output "is used by container $ID"
	"$AMPHI" prune
	run -0 amphi exec "$ID" cat /etc/who
	check_output one
	amphi delete --force "$ID"
	[ -z "$(ls "$AMPHI_STORE/containers")" ]
	"$AMPHI" rmi one
	[ -z "$(ls "$AMPHI_STORE/layers")" ] && [ -z "$(ls "$AMPHI_STORE/blobs/sha256")" ]
}

@test "faults of run --image leave nothing" {
	make_image one
	run -1 amphi run --image one "$ID" nosuchprogram
	check_output 'executable file not found in $PATH'
	run -1 amphi run --image absent --pull never "$ID"
	check_output "no image absent here"
	run -1 amphi run --image one -u nobodyknows "$ID"
	check_output "no user nobodyknows in the image"
	run -1 amphi run --env A=b "$ID"
	check_output "option --env needs --image"
	run -1 amphi run --image one "$ID"
	check_output "give a command"
	run -1 amphi run --image one --volume rel:/x "$ID" true
	check_output "--volume rel:/x"
	[ -z "$(ls "$AMPHI_STORE/containers")" ]
	! grep -q "$AMPHI_STORE" /proc/self/mountinfo
}

@test "volumes, limits and a read-only root" {
	make_image one
	mkdir "$BATS_TEST_TMPDIR/data"
	run -0 amphi run --image one --read-only -v "$BATS_TEST_TMPDIR/data:/mnt/data" "$ID" \
		sh -c 'echo kept >/mnt/data/f; touch /x 2>/dev/null || echo read-only'
	check_output read-only
	[ "$(cat "$BATS_TEST_TMPDIR/data/f")" = kept ]
}

@test "commit: changes, deletions and opaque directories become a layer" {
	skip_in_vm "the same upper directory"
	make_image one -c 'CMD ["true"]'
	amphi run -d --image one "$ID" sh -c 'rm /etc/who; rm -rf /home; mkdir /home; echo n >/home/new; ln /home/new /home/link; sleep 1000' >/dev/null 2>&1 </dev/null
	wait_for amphi exec "$ID" test -e /home/link
	"$AMPHI" commit -m "a test" -c 'CMD ["cat","/home/new"]' -c 'ENV X=y' "$ID" two
	amphi delete --force "$ID"
	run -0 --separate-stderr amphi run --image two "$ID"
	[ "$output" = n ]
	run -0 amphi run --image two "$ID" sh -c 'ls /etc/who 2>&1; ls /home; stat -c %h /home/new; echo $X'
	check_output "No such file"
	check_output "link
new
2
y"
	run -0 "$AMPHI" inspect two
	[ "$(jq '.manifest.layers | length' <<<"$output")" = 2 ]
	[ "$(jq -r '.config.history[-1].comment' <<<"$output")" = "a test" ]
	run -0 "$AMPHI" fsck
}

@test "two images share a layer once, on disk and in the page cache" {
	skip_in_vm "the same trees"
	make_image one
	"$AMPHI" tag one other
	[ "$(ls "$AMPHI_STORE/layers" | wc -l)" = 1 ]
	"$AMPHI" rmi one
	run -0 amphi run --image other "$ID" cat /etc/who
	check_output one
}

@test "layers that lean on those below: implied directories, a symlink in the way, a hard link's target" {
	skip_in_vm "the same trees"
	local t=$BATS_TEST_TMPDIR/l
	mkdir -p "$t"/{a/usr/lib,b/lib/sub,b/tmp,b/secret} "$t/img/blobs/sha256"
	cp "$BUNDLE/rootfs/bin/busybox" "$t/a/usr/busybox"
	ln -s usr/lib "$t/a/lib"
	mkdir -m 1777 "$t/a/tmp"
	mkdir -m 700 "$t/a/secret"
	chown 5:6 "$t/a/secret"
	echo low >"$t/a/usr/lib/low"
	echo target >"$t/a/target"
	tar -C "$t/a" -cf "$t/1.tar" .
	echo high >"$t/b/lib/sub/high"
	echo t >"$t/b/tmp/t"
	echo s >"$t/b/secret/s"
	cp "$t/a/target" "$t/b/target"
	ln "$t/b/target" "$t/b/hard"
	# entries without their parents, and a hard link whose target is in the layer below alone
	tar -C "$t/b" -cf "$t/2.tar" --no-recursion target lib/sub/high tmp/t secret/s hard
	tar --delete -f "$t/2.tar" target
	image_of_layers layered "$t/1.tar" "$t/2.tar"
	run -0 amphi run --image layered "$ID" /usr/busybox sh -c '
		b=/usr/busybox; $b cat /lib/low /lib/sub/high /hard; $b readlink /lib; $b stat -c "%a %u %g" /tmp /secret'
	check_output "low
high
target
usr/lib
1777 0 0
700 5 6"
	"$AMPHI" export --format rootfs -o "$t/flat.tar" layered
	run -0 tar tf "$t/flat.tar"
	check_output usr/lib/sub/high
	run -0 "$AMPHI" prune
	run -0 "$AMPHI" fsck
}

# An OCI layout of plain layer archives, imported as NAME.
image_of_layers() {
	local name=$1 dir=$BATS_TEST_TMPDIR/layout-$1 layers=() diffs=() f d
	shift
	mkdir -p "$dir/blobs/sha256"
	for f in "$@"; do
		d=$(sha256sum "$f" | cut -d' ' -f1)
		cp "$f" "$dir/blobs/sha256/$d"
		layers+=("{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"sha256:$d\",\"size\":$(stat -c %s "$f")}")
		diffs+=("\"sha256:$d\"")
	done
	local IFS=,
	printf '{"os":"linux","architecture":"amd64","config":{"Cmd":["/x"]},"rootfs":{"type":"layers","diff_ids":[%s]}}' "${diffs[*]}" >"$dir/config"
	d=$(sha256sum "$dir/config" | cut -d' ' -f1)
	mv "$dir/config" "$dir/blobs/sha256/$d"
	printf '{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:%s","size":%s},"layers":[%s]}' \
		"$d" "$(stat -c %s "$dir/blobs/sha256/$d")" "${layers[*]}" >"$dir/manifest"
	d=$(sha256sum "$dir/manifest" | cut -d' ' -f1)
	printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%s}]}' \
		"$d" "$(stat -c %s "$dir/manifest")" >"$dir/index.json"
	mv "$dir/manifest" "$dir/blobs/sha256/$d"
	printf '{"imageLayoutVersion":"1.0.0"}' >"$dir/oci-layout"
	"$AMPHI" import -q --name "$name" "$dir"
}

@test "an image of 127 layers, some of them the same, mounts" {
	skip_in_vm "the same mount"
	local t=$BATS_TEST_TMPDIR/many i files=()
	mkdir -p "$t/d"
	for i in $(seq 1 126); do
		echo "$((i % 60))" >"$t/d/f$((i % 60))"
		tar -C "$t/d" --mtime=@1 -cf "$t/$i.tar" "f$((i % 60))"
		files+=("$t/$i.tar")
	done
	tar -C "$BUNDLE/rootfs" -cf "$t/0.tar" .
	image_of_layers many "$t/0.tar" "${files[@]}"
	run -0 amphi run --image many "$ID" sh -c 'ls /f* | wc -l; cat /f59'
	check_output "60
59"
}

@test "user namespaces: one layer on the disk, its ids mapped for each container; what is written, too, and commit" {
	skip_in_vm "user namespaces are the host's"
	mkdir -p "$BUNDLE/rootfs/srv"
	echo own >"$BUNDLE/rootfs/srv/web"
	chown 33:44 "$BUNDLE/rootfs/srv/web"
	make_image one -c 'VOLUME /data/deep'
	run -0 amphi run --image one --uidmap 0:100000:65536 "$ID" sh -c '
		cat /proc/self/uid_map; stat -c "%u:%g" /srv/web /bin/busybox /data/deep; echo new >/srv/new; chown 33:44 /srv/new; chown 55:66 /srv/web
		stat -c "%u:%g" /srv/new /srv/web'
	[ "$(tr -s ' \n' ' ' <<<"$output")" = " 0 100000 65536 33:44 0:0 0:0 33:44 55:66 " ]
	amphi run -d --image one --uidmap 0:200000:65536 --gidmap 0:300000:65536 "$ID" sh -c 'echo new >/srv/new; chown 33:44 /srv/new; sleep 1000' </dev/null >/dev/null 2>&1
	wait_for amphi exec "$ID" grep -q new /srv/new
	[ "$(stat -c %u:%g /proc/"$(pid_of "$ID")"/root/srv/new)" = 200033:300044 ]
	[ "$(stat -c %u:%g /proc/"$(pid_of "$ID")"/root/srv/web)" = 200033:300044 ]
	"$AMPHI" commit "$ID" two
	amphi delete --force "$ID"
	[ "$(stat -c %u:%g "$AMPHI_STORE"/layers/*/fs/srv/new)" = 33:44 ]
	run -0 amphi run --image two "$ID" stat -c %u:%g /srv/new
	check_output 33:44
	[ "$(ls "$AMPHI_STORE/layers" | wc -l)" = 2 ]
	run -0 "$AMPHI" fsck
	run -1 amphi run --image one --uidmap 0:x:1 "$ID" true
	check_output "--uidmap 0:x:1: expected CONTAINER:HOST:SIZE"
	run -1 amphi run --image one --uidmap 5:100000:10 "$ID" true
	check_output "id 0 is not mapped"
	[ -z "$(ls "$AMPHI_STORE/containers")" ]
}

@test "hostile archives are refused by entry and leave nothing" {
	skip_in_vm "no container"
	local t=$BATS_TEST_TMPDIR/h
	mkdir -p "$t/d"
	ln -s "$t/outside" "$t/d/link"
	mkdir "$t/outside"
	echo x >"$t/d/f"
	tar -C "$t/d" -cf "$t/abs.tar" -P --transform 's,^f,/abs,' f
	tar -C "$t/d" -cf "$t/dots.tar" -P --transform 's,^f,../../dots,' f
	tar -C "$t/d" -cf "$t/through.tar" link f --transform 's,^f,link/escaped,'
	head -c 100000 /dev/zero >"$t/d/bomb"
	tar -C "$t/d" -czf "$t/bomb.tar.gz" bomb
	run -1 "$AMPHI" import -q rootfs:"$t/abs.tar"
	check_output "entry /abs: absolute name"
	run -1 "$AMPHI" import -q rootfs:"$t/dots.tar"
	check_output 'entry ../../dots: ".." in the name'
	run -1 "$AMPHI" import -q rootfs:"$t/through.tar"
	check_output "entry link/escaped: the path leads through a symbolic link"
	[ -z "$(ls "$t/outside")" ]
	run -1 "$AMPHI" import -q --max-size 50k "$t/bomb.tar.gz"
	check_output "entry bomb: the layer is larger than the limit"
	head -c 300 "$t/bomb.tar.gz" >"$t/cut.tar.gz"
	gzip -dc "$t/bomb.tar.gz" | head -c 20000 >"$t/cut.tar"
	run -1 "$AMPHI" import -q rootfs:"$t/cut.tar"
	check_output "truncated"
	[ -z "$(ls "$AMPHI_STORE/layers" "$AMPHI_STORE/tmp" | grep -v :)" ]
	run -0 "$AMPHI" images -q
	[ -z "$output" ]
}

@test "killed while it imports: the store works, the rubbish goes" {
	skip_in_vm "no container"
	local i n
	tar -C "$BUNDLE/rootfs" -czf "$BATS_TEST_TMPDIR/k.tar.gz" .
	for i in 0.002 0.01 0.03 0.06; do
		timeout -s KILL "$i" "$AMPHI" import -q --name k "$BATS_TEST_TMPDIR/k.tar.gz" || true
		run -0 "$AMPHI" images -q
	done
	"$AMPHI" import -q --name k "$BATS_TEST_TMPDIR/k.tar.gz"
	[ -z "$(ls "$AMPHI_STORE/tmp")" ]
	run -0 "$AMPHI" fsck
	"$AMPHI" rmi k
	n=$(find "$AMPHI_STORE/layers" "$AMPHI_STORE/blobs" -mindepth 2 | wc -l)
	[ "$n" = 0 ]
}

@test "fsck finds damage and repair lets an import heal it" {
	skip_in_vm "no container"
	local tree blob
	make_image one
	tree=$(echo "$AMPHI_STORE"/layers/*/fs)
	echo evil >"$tree/etc/who"
	run -1 "$AMPHI" fsck
	check_output "the tree differs: entry etc/who: "
	run -1 "$AMPHI" fsck --repair
	"$AMPHI" import -q --name one "$BATS_TEST_TMPDIR/one.tar.gz"
	run -0 "$AMPHI" fsck
	for blob in "$AMPHI_STORE"/blobs/sha256/*; do
		[ "$(stat -c %s "$blob")" -lt 100000 ] || printf X | dd of="$blob" bs=1 seek=1000 conv=notrunc 2>/dev/null
	done
	run -1 "$AMPHI" fsck
	check_output "damaged"
}

@test "ten imports at once end as one layer" {
	skip_in_vm "no container"
	local i pids=()
	tar -C "$BUNDLE/rootfs" -czf "$BATS_TEST_TMPDIR/p.tar.gz" .
	for i in 1 2 3 4 5 6 7 8 9 10; do
		"$AMPHI" import -q --name "p$i" "$BATS_TEST_TMPDIR/p.tar.gz" 3>&- &
		pids+=($!)
	done
	wait "${pids[@]}"
	run -0 "$AMPHI" images -q
	[ "$(wc -l <<<"$output")" = 10 ]
	[ "$(ls "$AMPHI_STORE/layers" | wc -l)" = 1 ]
	run -0 "$AMPHI" fsck
}

@test "bundle: a copy of the root and a config.json that runs" {
	make_image one -c 'CMD ["cat","/etc/who"]'
	"$AMPHI" bundle one "$BATS_TEST_TMPDIR/b"
	run -0 --separate-stderr amphi run --bundle "$BATS_TEST_TMPDIR/b" "$ID"
	[ "$output" = one ]
	run -1 "$AMPHI" bundle one "$BATS_TEST_TMPDIR/b"
	check_output "has a config.json already"
}
