#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# backends: container vm
#
# The image store: import, run, share, commit, collect, repair. Images are made on the spot from busybox.

load helpers.bash
load rootless.bash

setup() {
	need_root
	setup_bundle
	export AMPHI_STORE=$BATS_TEST_TMPDIR/store AMPHI_STORE_SYNC=none
	if is_vm; then image_network=(--network none); else image_network=(); fi
}

teardown() {
	local left=0
	[ -z "${MOUNTED:-}" ] || umount -l "$MOUNTED"
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
	[ "$(jq '.config.history | length' <<<"$output")" = 2 ]
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

# Bytes of the file that are in the page cache.
cached() { fincore -nb -o RES "$1" | tr -d ' '; }
read_and_cached() { amphi exec "$1" cat /big </dev/null >/dev/null && [ "$(cached "$2")" -ge 20000000 ]; }
on_disk() { du -xsk "$AMPHI_STORE" | cut -f1; }

@test "many containers and machines of one image: one copy on the disk and one in the host's page cache" {
	need_program fincore
	local file before i other=()
	head -c 20000000 /dev/urandom >"$BUNDLE/rootfs/big"
	make_image one
	file=$(echo "$AMPHI_STORE"/layers/*/fs/big)
	[ "$(stat -f -c %T "$file")" != tmpfs ] || skip "the page cache of tmpfs is its disk"
	sync "$file"
	before=$(on_disk)
	python3 -c 'import os, sys; f = os.open(sys.argv[1], os.O_RDONLY); os.posix_fadvise(f, 0, 0, os.POSIX_FADV_DONTNEED)' "$file"
	[ "$(cached "$file")" -lt 1000000 ]
	# the first one, a container or a machine, reads it from the disk
	amphi run -d --image one "${image_network[@]}" "$ID" sleep 1000 </dev/null >/dev/null 2>&1
	run -0 amphi exec "$ID" sh -c 'cat /big | wc -c' </dev/null
	check_output 20000000
	# (again, should somebody have dropped the host's caches meanwhile)
	wait_for read_and_cached "$ID" "$file"
	amphi run -d --image one "${image_network[@]}" "$ID-2" sleep 1000 </dev/null >/dev/null 2>&1
	run -0 amphi exec "$ID-2" sh -c 'cat /big | wc -c' </dev/null
	check_output 20000000
	# a container behind it reads what is in memory already: nothing comes from the disk
	nothing_read() {
		[ "$("$AMPHI" --root "$ROOT" --isolation container run --image one "$ID-3" \
			sh -c 'cat /big >/dev/null; grep ^read_bytes /proc/$$/io' </dev/null 2>/dev/null | cut -d' ' -f2)" -lt 1000000 ]
	}
	wait_for nothing_read
	# three roots and one copy: upper directories are empty, and no other file of the name is there
	[ $(($(on_disk) - before)) -lt 1000 ]
	[ "$(find "$AMPHI_STORE" -xdev -name big | wc -l)" = 1 ]
	for i in "$ID" "$ID-2"; do
		[ -z "$(find "$AMPHI_STORE/containers/$i/upper" -type f)" ]
		amphi delete --force "$i"
	done
}

@test "prune and rmi at any moment leave what containers use" {
	skip_in_vm "the same store"
	local i pids=()
	make_image one
	make_image two
	for i in 1 2 3 4; do
		(
			for n in 1 2 3; do
				[ "$(amphi run --image one "$ID-$i-$n" cat /etc/who 2>&1 </dev/null)" = one ] || exit 1
				"$AMPHI" import -q --name "x$i" "$BATS_TEST_TMPDIR/two.tar.gz" >/dev/null || exit 1
				"$AMPHI" rmi "x$i" >/dev/null || exit 1
			done
		) 3>&- &
		pids+=($!)
	done
	(
		for n in 1 2 3 4 5 6; do "$AMPHI" prune --all >/dev/null || exit 1; done
	) 3>&- &
	pids+=($!)
	for i in "${pids[@]}"; do wait "$i"; done
	run -0 "$AMPHI" fsck
	[ -z "$(ls "$AMPHI_STORE/containers")" ]
	[ "$(ls "$AMPHI_STORE/layers" | wc -l)" = 2 ]
}

@test "layers that lean on those below: implied directories, a symlink in the way, a hard link's target" {
	skip_in_vm "the same trees"
	local t=$BATS_TEST_TMPDIR/l
	mkdir -p "$t"/{a/usr/lib,a/was,b/lib/sub,b/tmp,b/secret} "$t/img/blobs/sha256"
	cp "$BUNDLE/rootfs/bin/busybox" "$t/a/usr/busybox"
	ln -s usr/lib "$t/a/lib"
	mkdir -m 1777 "$t/a/tmp"
	mkdir -m 700 "$t/a/secret"
	chown 5:6 "$t/a/secret"
	echo low >"$t/a/usr/lib/low"
	echo target >"$t/a/target"
	echo low >"$t/a/was/low"
	tar -C "$t/a" -cf "$t/1.tar" .
	echo high >"$t/b/lib/sub/high"
	echo t >"$t/b/tmp/t"
	echo s >"$t/b/secret/s"
	cp "$t/a/target" "$t/b/target"
	ln "$t/b/target" "$t/b/hard"
	# entries without their parents, and a hard link whose target is in the layer below alone
	tar -C "$t/b" -cf "$t/2.tar" --no-recursion target lib/sub/high tmp/t secret/s hard
	tar --delete -f "$t/2.tar" target
	# a file in a directory's place, and a directory again: nothing of the lower one is left
	echo file >"$t/b/was"
	tar -C "$t/b" -rf "$t/2.tar" was
	rm "$t/b/was"
	mkdir "$t/b/was"
	echo new >"$t/b/was/new"
	tar -C "$t/b" -rf "$t/2.tar" was
	image_of_layers layered "$t/1.tar" "$t/2.tar"
	run -0 amphi run --image layered "$ID" /usr/busybox sh -c '
		b=/usr/busybox; $b cat /lib/low /lib/sub/high /hard; $b readlink /lib; $b stat -c "%a %u %g" /tmp /secret; $b ls /was'
	check_output "low
high
target
usr/lib
1777 0 0
700 5 6
new"
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
	need_program python3
	tar -C "$BUNDLE/rootfs" -cf "$BATS_TEST_TMPDIR/0.tar" .
	python3 - "$BATS_TEST_TMPDIR" <<'EOP'
import sys, os, io, json, hashlib, tarfile
t = sys.argv[1]; l = t + '/many'; os.makedirs(l + '/blobs/sha256')
def put(b, kind):
    h = hashlib.sha256(b).hexdigest(); open(l + '/blobs/sha256/' + h, 'wb').write(b)
    return {'mediaType': 'application/vnd.oci.image.' + kind, 'digest': 'sha256:' + h, 'size': len(b)}
def layer(i):
    b = io.BytesIO(); a = tarfile.open(fileobj=b, mode='w'); e = tarfile.TarInfo('f%d' % i); e.size = 4; a.addfile(e, io.BytesIO(b'%03d\n' % i)); a.close()
    return put(b.getvalue(), 'layer.v1.tar')
layers = [put(open(t + '/0.tar', 'rb').read(), 'layer.v1.tar')] + [layer(i) for i in range(1, 127)]
layers += [layers[5], layers[7], layers[5]]
c = put(json.dumps({'os': 'linux', 'architecture': 'amd64', 'rootfs': {'type': 'layers', 'diff_ids': [x['digest'] for x in layers]}}).encode(), 'config.v1+json')
m = put(json.dumps({'schemaVersion': 2, 'mediaType': 'application/vnd.oci.image.manifest.v1+json', 'config': c, 'layers': layers}).encode(), 'manifest.v1+json')
json.dump({'schemaVersion': 2, 'manifests': [m]}, open(l + '/index.json', 'w'))
open(l + '/oci-layout', 'w').write('{"imageLayoutVersion":"1.0.0"}')
EOP
	"$AMPHI" import -q --name many "$BATS_TEST_TMPDIR/many"
	# 127 trees, whose paths do not fit into the page that mount(2) takes, and three that come again
	[ "$(find "$AMPHI_STORE/layers" -mindepth 1 -maxdepth 1 | wc -l)" = 127 ]
	[ "$(find "$AMPHI_STORE/layers" -mindepth 1 -maxdepth 1 | wc -c)" -gt 4096 ]
	run -0 amphi run --image many "$ID" sh -c 'ls /f* | wc -l; cat /f126 /f5'
	check_output "126
126
005"
	run -0 amphi run --image many --uidmap 0:100000:65536 "$ID" sh -c 'ls /f* | wc -l'
	check_output 126
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

# As a user by $1 (user or user_with_ids).
user_import() {
	mkdir -p "$BUNDLE/rootfs/srv/deep"
	echo own >"$BUNDLE/rootfs/srv/web"
	chown 33:44 "$BUNDLE/rootfs/srv/web"
	chmod 600 "$BUNDLE/rootfs/srv/web"
	mknod "$BUNDLE/rootfs/device" c 1 3
	tar -C "$BUNDLE/rootfs" -cf "$BATS_TEST_TMPDIR/r.tar" .
	run -0 "$1" "$BATS_TEST_TMPDIR/amphi" import -q --name one -c 'VOLUME /vol' "rootfs:$BATS_TEST_TMPDIR/r.tar"
}

@test "an ordinary user: a store of the user's own, an overlay in the user's namespace, nothing left" {
	skip_in_vm "machines need root"
	setup_user
	amphi_user() { user "$BATS_TEST_TMPDIR/amphi" "$@" </dev/null; }
	user_import user
	run -0 amphi_user run --image one "$ID" sh -c 'id -u; ls -d /vol /etc/passwd; echo x >/etc/new && cat /etc/new; grep " / / " /proc/self/mountinfo'
	check_output "0
/etc/passwd
/vol
x"
	check_output "- overlay overlay"
	[ -z "$(ls "$XDG/data/amphi/containers")" ]
	# nothing is copied, and nothing mounted where others see it
	amphi_user run -d --image one "$ID" sleep 1000 >/dev/null 2>&1
	[ -z "$(ls "$XDG/data/amphi/containers/$ID/rootfs")" ]
	! grep -q "$XDG" /proc/self/mountinfo
	amphi_user delete --force "$ID"
	run -0 amphi_user bundle one "$XDG/bundle" true
	run -0 amphi_user run --bundle "$XDG/bundle" "$ID"
	run -0 amphi_user fsck
	run -1 amphi_user run --image one --uidmap 0:100000:65536 "$ID" true
	check_output "need root"
	run -0 amphi_user rmi one
	[ -z "$(ls "$XDG/data/amphi/layers")" ]
}

@test "an ordinary user with ranges of ids: owners on the disk and inside, deletions, commit" {
	skip_in_vm "machines need root"
	setup_user
	need_ids
	amphi_user() { user_with_ids "$BATS_TEST_TMPDIR/amphi" "$@" </dev/null; }
	user_import user_with_ids
	[ "$(stat -c %u:%g "$XDG"/data/amphi/layers/*/fs/srv/web)" = 200032:200043 ]
	amphi_user run -d --image one "$ID" sh -c 'cat /srv/web >/tmp/web; rm -r /srv/deep; rm -r /home; mkdir /home; echo new >/home/new
		chown 55:66 /home/new; chmod 600 /home/new; stat -c "%u:%g" /srv/web /home/new /bin/busybox >/tmp/owners; sleep 1000' >/dev/null 2>&1
	written() { amphi_user exec "$ID" grep -q 0:0 /tmp/owners; }
	wait_for written
	run -0 amphi_user exec "$ID" cat /tmp/web /tmp/owners
	[ "$output" = "own
33:44
55:66
0:0" ]
	run -0 amphi_user commit "$ID" two
	amphi_user delete --force "$ID"
	run -0 amphi_user run --image two -u 55:66 "$ID" sh -c 'id -u; cat /home/new; ls /home /srv'
	[ "$output" = "55
new
/home:
new

/srv:
web" ]
	run -0 amphi_user fsck
	# an owner beyond the ranges
	chown 70000:1 "$BUNDLE/rootfs/srv/web"
	tar -C "$BUNDLE/rootfs" -cf "$BATS_TEST_TMPDIR/r.tar" .
	run -1 amphi_user import -q --name far "rootfs:$BATS_TEST_TMPDIR/r.tar"
	check_output "srv/web: owner 70000:1 is not among the user's ids"
	# ranges that were changed meanwhile, and none any more
	for IDS in amphitest:300000:65536 nobody:1:1; do
		run -1 amphi_user run --image one "$ID" true
		check_output "data/amphi: its layers have other ids than /etc/subuid and /etc/subgid give now: put the former ranges back"
		run -1 amphi_user import -q --name two "rootfs:$BATS_TEST_TMPDIR/r.tar"
	done
	unset IDS
	run -0 amphi_user rmi one two
	[ -z "$(ls "$XDG/data/amphi/layers" "$XDG/data/amphi/containers" | grep -v :)" ]
}

@test "where there is neither overlay nor idmapped mounts, a container has a copy: as root, with maps, as a user" {
	skip_in_vm "the host's mounts"
	setup_user
	local no=$BATS_TEST_TMPDIR/no
	mkdir -p "$no"/{lower,upper,work,on}
	mount -t overlay -o "lowerdir=$no/lower,upperdir=$no/upper,workdir=$no/work" overlay "$no/on" || skip "needs overlay"
	MOUNTED=$no/on
	mkdir -p "$BUNDLE/rootfs/srv"
	echo own >"$BUNDLE/rootfs/srv/web"
	chown 33:44 "$BUNDLE/rootfs/srv/web"
	setcap cap_net_raw+ep "$BUNDLE/rootfs/srv/web"
	export AMPHI_STORE=$no/on/store
	tar -C "$BUNDLE/rootfs" --xattrs --xattrs-include='*' -cf "$BATS_TEST_TMPDIR/r.tar" .
	run -0 "$AMPHI" import -q --name one -c 'VOLUME /vol' "rootfs:$BATS_TEST_TMPDIR/r.tar"
	run -0 amphi run --image one "$ID" sh -c 'echo x >/srv/new; stat -c %u:%g /srv/web /srv/new /vol'
	check_output "33:44
0:0
0:0"
	amphi run -d --image one --uidmap 0:200000:65536 --gidmap 0:300000:65536 "$ID" sleep 1000 >/dev/null 2>&1 </dev/null
	run -0 amphi exec "$ID" stat -c %u:%g /srv/web /vol /bin/busybox
	[ "$output" = "33:44
0:0
0:0" ]
	[ "$(stat -c %u:%g "$AMPHI_STORE/containers/$ID/rootfs/srv/web")" = 200033:300044 ]
	run -0 getcap -n "$AMPHI_STORE/containers/$ID/rootfs/srv/web"
	check_output "cap_net_raw=ep [rootid=200000]"
	run -1 "$AMPHI" commit "$ID" two
	check_output "is a copy"
	amphi delete --force "$ID"
	run -1 amphi run --image one --uidmap 0:200000:20 "$ID" true
	check_output "srv/web: owner 33:44 has no id in --uidmap"
	[ -z "$(ls "$AMPHI_STORE/containers")" ]
	mkdir "$no/on/user"
	chown "$USERID:$USERID" "$no/on/user"
	run -0 user env AMPHI_STORE="$no/on/user/store" "$BATS_TEST_TMPDIR/amphi" import -q --name one "rootfs:$BATS_TEST_TMPDIR/r.tar"
	run -0 user env AMPHI_STORE="$no/on/user/store" "$BATS_TEST_TMPDIR/amphi" run --image one "$ID" cat /srv/web
	[ "$output" = own ]
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

@test "fsck names every kind of damage, and repair leaves what an import makes whole" {
	skip_in_vm "no container"
	local tree kind want
	echo cap >"$BUNDLE/rootfs/cap"
	setcap cap_net_raw+ep "$BUNDLE/rootfs/cap"
	ln -s bin "$BUNDLE/rootfs/link"
	mkdir "$BUNDLE/rootfs/dir"
	mknod "$BUNDLE/rootfs/dev0" c 1 3
	tar -C "$BUNDLE/rootfs" --xattrs --xattrs-include='*' --format=pax -cf "$BATS_TEST_TMPDIR/d.tar" .
	"$AMPHI" import -q --name d "$BATS_TEST_TMPDIR/d.tar"
	tree=$(echo "$AMPHI_STORE"/layers/*/fs)
	while IFS=@ read -r kind want; do
		run -0 "$AMPHI" fsck
		(cd "$tree" && eval "$kind")
		run -1 "$AMPHI" fsck
		check_output "$want"
		run -1 "$AMPHI" fsck --repair
		"$AMPHI" import -q --name d "$BATS_TEST_TMPDIR/d.tar"
	done <<-'EOK'
		printf X >etc/passwd@entry etc/passwd: size
		printf X | dd of=bin/busybox bs=1 seek=1000 conv=notrunc 2>/dev/null@entry bin/busybox: content
		rm etc/passwd@entry etc/passwd: missing
		rm cap; mkdir cap@entry cap: kind
		chown 7 etc/passwd@entry etc/passwd: owner
		chmod 777 dir@entry dir: permissions
		ln -sfn etc link@entry link: link target
		rm dev0; mknod dev0 c 1 5@entry dev0: device number
		setcap -r cap@entry cap: attributes
		echo more >dir/more@entry dir/more: not in the archive
		echo {} >../meta.json@meta.json: version 0 is unknown
		rm ../meta.json@meta.json: no such file
		rm -r ../../*@is missing
		rm ../../../blobs/sha256/*@no such file or directory
		for b in ../../../blobs/sha256/*; do echo >>$b; done@damaged
	EOK
	echo '{' >"$AMPHI_STORE/index.json"
	run -1 "$AMPHI" fsck
	check_output "index.json"
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
