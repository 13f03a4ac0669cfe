#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# backends: container
#
# Images to and from other tools, without loss: skopeo, umoci, and our own forms among themselves.

load helpers.bash
load engine

setup() {
	need_root
	setup_bundle
	export AMPHI_STORE=$BATS_TEST_TMPDIR/store AMPHI_STORE_SYNC=none
	T=$BATS_TEST_TMPDIR/t
	mkdir -p "$T"
	# what archives are good at getting wrong
	local r=$BUNDLE/rootfs
	mkdir -p "$r/odd" "$r/$(printf 'n%.0s' {1..120})/deep"
	ln "$r/bin/busybox" "$r/odd/hard"
	ln -s nowhere "$r/odd/dangling"
	chmod 4755 "$r/odd/hard"
	echo 'names with blanks and ümlaut' >"$r/odd/a name"
	mknod "$r/odd/null" c 1 3
	mkfifo "$r/odd/fifo"
	chown 70000:80000 "$r/odd/a name"
	truncate -s 3M "$r/odd/sparse"
	setcap cap_net_raw=ep "$r/odd/a name" 2>/dev/null || true
	touch -d '1999-12-31 23:59:59' "$r/odd"
	tar -C "$r" --xattrs --xattrs-include='*' --format=posix -cf "$T/root.tar" .
	"$AMPHI" import -q --name test -c 'CMD ["cat","/odd/a name"]' -c 'LABEL k=v' "$T/root.tar"
}

teardown() {
	local left=0
	teardown_all || left=1
	rm -rf "$AMPHI_STORE"
	return $left
}

id_of() { "$AMPHI" inspect "$1" | jq -r .id; }
digest_of() { "$AMPHI" inspect "$1" | jq -r .digest; }

# Everything but the times of what tools touch themselves: one line a file.
listing() { (cd "$1" && find . -printf '%P %y %m %U %G %s %l %n\n' | grep -v -E '^ d|^(dev|proc|sys)' | sort); }

@test "our own forms keep digests and content" {
	local form
	for form in oci-archive docker-archive; do
		"$AMPHI" export --format $form -o "$T/$form.tar" test
		"$AMPHI" import -q --name "from-$form" "$T/$form.tar"
		[ "$(id_of test)" = "$(id_of "from-$form")" ]
	done
	"$AMPHI" export --format oci -o "$T/dir" test
	[ "$(digest_of test)" = "$(jq -r '.manifests[0].digest' "$T/dir/index.json")" ]
	gzip "$T/docker-archive.tar"
	"$AMPHI" import -q --name from-gz "$T/docker-archive.tar.gz"
	[ "$(id_of test)" = "$(id_of from-gz)" ]
	"$AMPHI" bundle test "$T/b1"
	"$AMPHI" export --format rootfs -o "$T/flat.tar" test
	# a device is written to, not replaced; what lies at our temporary name is not followed
	mknod "$T/null" c 1 3
	echo kept >"$T/victim"
	ln -s victim "$T/again.tar.part"
	"$AMPHI" export -o "$T/null" test
	"$AMPHI" export -o "$T/again.tar" test
	[ -c "$T/null" ] && [ "$(cat "$T/victim")" = kept ] && [ "$(echo "$T"/*.part)" = "$T/again.tar.part" ]
	run -1 "$AMPHI" export -o /dev/full test
	check_output "no space left"
	[ -c /dev/full ]
	"$AMPHI" import -q --name flat -c 'CMD ["true"]' "$T/flat.tar"
	"$AMPHI" bundle flat "$T/b2"
	listing "$BUNDLE/rootfs" >"$T/want"
	diff "$T/want" <(listing "$T/b1/rootfs")
	diff "$T/want" <(listing "$T/b2/rootfs")
	[ "$(stat -c %Y "$T/b2/rootfs/odd")" = "$(date -d '1999-12-31 23:59:59' +%s)" ]
	[ "$(ls "$AMPHI_STORE/layers" | wc -l)" -le 2 ]
	[ "$(getfattr -h --only-values -n security.capability "$T/b2/rootfs/odd/a name" 2>/dev/null | od -An -tx1)" = \
		"$(getfattr -h --only-values -n security.capability "$BUNDLE/rootfs/odd/a name" 2>/dev/null | od -An -tx1)" ]
	run -0 "$AMPHI" fsck
}

@test "skopeo reads our forms and the store itself, and we read skopeo's" {
	need_program skopeo
	local digest
	digest=$(digest_of test)
	"$AMPHI" export -o "$T/a.tar" test
	run -0 skopeo inspect --raw "oci-archive:$T/a.tar"
	[ "$(printf %s "$output" | jq -r '.layers | length')" = 1 ]
	run -0 skopeo copy -q --preserve-digests "oci:$AMPHI_STORE:localhost/test:latest" "oci:$T/sk:latest"
	[ "$(jq -r '.manifests[0].digest' "$T/sk/index.json")" = "$digest" ]
	"$AMPHI" import -q --name back "$T/sk"
	[ "$(digest_of back)" = "$digest" ]
	skopeo copy -q "oci:$T/sk:latest" "docker-archive:$T/sk.tar:example.org/some/name:v2"
	run -0 "$AMPHI" import -q "$T/sk.tar"
	check_output example.org/some/name:v2
	[ "$(id_of example.org/some/name:v2)" = "$(id_of test)" ]
	"$AMPHI" export --format docker-archive -o "$T/ours.tar" test
	skopeo copy -q "docker-archive:$T/ours.tar" "oci:$T/sk2:x"
	for form in gzip zstd; do
		skopeo copy -q --dest-compress --dest-compress-format $form "oci:$T/sk:latest" "dir:$T/dir-$form"
	done
	skopeo copy -q --dest-compress-format zstd --dest-compress "oci:$AMPHI_STORE:localhost/test:latest" "oci:$T/zstd:z"
	"$AMPHI" import -q --name zstd "$T/zstd"
	[ "$(ls "$AMPHI_STORE/layers" | wc -l)" = 1 ]
	run -0 amphi run --image zstd "$ID"
	check_output "names with blanks"
}

@test "umoci unpacks what we export to the same tree" {
	need_program umoci
	"$AMPHI" export --format oci -o "$T/layout" test
	umoci unpack --image "$T/layout:latest" "$T/umoci" >/dev/null
	"$AMPHI" bundle test "$T/ours"
	diff <(listing "$T/umoci/rootfs") <(listing "$T/ours/rootfs")
	echo changed >"$T/umoci/rootfs/odd/new"
	rm "$T/umoci/rootfs/odd/fifo"
	umoci repack --image "$T/layout:next" "$T/umoci" >/dev/null
	run -0 "$AMPHI" import -q "$T/layout"
	check_output next
	run -0 amphi run --image localhost/layout:next "$ID" sh -c 'cat /odd/new; ls /odd'
	check_output changed
	[[ "$output" != *fifo* ]]
}

@test "layers that lean on those below are what umoci makes of them" {
	need_program umoci
	need_program python3
	# a hard link to a lower file, which the archive replaces later, or the link; directories implied inside opaque ones
	python3 - "$T/lean" <<'EOP'
import sys, os, io, json, tarfile, hashlib
top = sys.argv[1]; os.makedirs(top + '/blobs/sha256')
def blob(data):
    h = hashlib.sha256(data).hexdigest(); open(top + '/blobs/sha256/' + h, 'wb').write(data); return {'digest': 'sha256:' + h, 'size': len(data)}
def layer(*entries):
    out = io.BytesIO(); t = tarfile.open(fileobj=out, mode='w')
    for kind, name, mode, arg in entries:
        i = tarfile.TarInfo(name); i.mode = mode; i.mtime = 1000000000
        i.type = {'d': tarfile.DIRTYPE, 'f': tarfile.REGTYPE, 'h': tarfile.LNKTYPE}[kind]
        if kind == 'h': i.linkname = arg
        data = arg.encode() if kind == 'f' else b''; i.size = len(data)
        if kind == 'd' and arg: i.uid = int(arg)
        t.addfile(i, io.BytesIO(data))
    t.close(); return out.getvalue()
layers = [layer(('d', './', 0o755, ''), ('f', 'target', 0o640, 'old'), ('f', 'kept', 0o640, 'kept'), ('d', 'o', 0o755, ''),
                ('d', 'o/sub', 0o700, '5'), ('f', 'o/sub/low', 0o644, 'low'), ('d', 'was', 0o755, ''), ('d', 'was/sub', 0o700, '6')),
          layer(('h', 'h1', 0o644, 'target'), ('h', 'h2', 0o644, 'h1'), ('f', 'target', 0o600, 'new'), ('h', 'h3', 0o644, 'target'),
                ('h', 'k1', 0o644, 'kept'), ('h', 'gone', 0o644, 'kept'), ('f', 'gone', 0o644, 'file'),
                ('f', 'o/.wh..wh..opq', 0, ''), ('f', 'o/sub/f', 0o644, 'f'),
                ('f', '.wh.was', 0, ''), ('d', 'was', 0o755, ''), ('f', 'was/sub/f', 0o644, 'f'))]
d = [dict(blob(l), mediaType='application/vnd.oci.image.layer.v1.tar') for l in layers]
c = blob(json.dumps({'os': 'linux', 'architecture': 'amd64', 'config': {'Cmd': ['x']}, 'rootfs': {'type': 'layers', 'diff_ids': [x['digest'] for x in d]}}).encode())
m = blob(json.dumps({'schemaVersion': 2, 'mediaType': 'application/vnd.oci.image.manifest.v1+json', 'config': dict(c, mediaType='application/vnd.oci.image.config.v1+json'), 'layers': d}).encode())
m.update(mediaType='application/vnd.oci.image.manifest.v1+json', annotations={'org.opencontainers.image.ref.name': 'l'})
json.dump({'schemaVersion': 2, 'manifests': [m]}, open(top + '/index.json', 'w'))
open(top + '/oci-layout', 'w').write('{"imageLayoutVersion":"1.0.0"}')
EOP
	"$AMPHI" import -q --name lean "$T/lean"
	"$AMPHI" bundle lean "$T/ours"
	umoci unpack --image "$T/lean:l" "$T/theirs" >/dev/null 2>&1
	diff <(listing "$T/ours/rootfs") <(listing "$T/theirs/rootfs")
	diff -r "$T/ours/rootfs" "$T/theirs/rootfs"
	[ "$(cat "$T/ours/rootfs/h2")" = old ]
	run -0 "$AMPHI" fsck
}

@test "podman loads what we export, and we import what podman saves" {
	need_program podman
	engine_setup
	local form
	"$AMPHI" export --format docker-archive -o "$T/d.tar" test
	"$AMPHI" export --format oci-archive -o "$T/o.tar" test
	for form in d o; do
		run -0 engine_podman load -q -i "$T/$form.tar"
		[ "sha256:$(engine_podman images -q --no-trunc | sort -u | head -1 | sed 's/^sha256://')" = "$(id_of test)" ]
	done
	name=$(engine_podman images --format '{{.Repository}}:{{.Tag}}' | grep -v none | head -1)
	for form in docker-archive oci-archive; do
		engine_podman save -q --format $form -o "$T/p-$form.tar" "$name"
		"$AMPHI" import -q --name "p-$form" "$T/p-$form.tar"
		[ "$(id_of "p-$form")" = "$(id_of test)" ]
	done
	[ "$(ls "$AMPHI_STORE/layers" | wc -l)" = 1 ]
	# what podman commits on top has our layer below its own
	printf 'FROM %s\nLABEL by=buildah\nCOPY new /odd/new\n' "$name" >"$T/Containerfile"
	echo fresh >"$T/new"
	engine_podman build -q --isolation chroot -f "$T/Containerfile" -t built "$T" >/dev/null
	engine_podman save -q --format oci-archive -o "$T/built.tar" built
	"$AMPHI" import -q --name built "$T/built.tar"
	[ "$("$AMPHI" inspect built | jq -r '.config.config.Labels | .by + .k')" = buildahv ]
	run -0 amphi run --image built "$ID" cat /odd/new
	check_output fresh
	engine_clean
}

@test "docker loads what we export, and we import what docker saves" {
	need_program dockerd
	need_program docker
	engine_setup
	engine_containerd
	engine_dockerd
	dk() { timeout 120 docker -H "unix://$E/docker.sock" "$@"; }
	"$AMPHI" export --format docker-archive -o "$T/d.tar" test
	run dk load -q -i "$T/d.tar"
	[ "$status" = 0 ] || { engine_stop "$(cat "$E/dockerd.pid")"; engine_stop "$(cat "$E/containerd.pid")"; echo "$output" >&2; false; }
	id=$(dk images -q --no-trunc | head -1)
	dk save -o "$T/saved.tar" "$(dk images --format '{{.Repository}}:{{.Tag}}' | head -1)"
	engine_stop "$(cat "$E/dockerd.pid")"
	engine_stop "$(cat "$E/containerd.pid")"
	engine_clean
	[ "$id" = "$(id_of test)" ]
	"$AMPHI" import -q --name saved "$T/saved.tar"
	[ "$(id_of saved)" = "$(id_of test)" ]
	"$AMPHI" bundle test "$T/b1"
	"$AMPHI" bundle saved "$T/b2"
	diff <(listing "$T/b1/rootfs") <(listing "$T/b2/rootfs")
}

@test "conversion: user, environment, labels and ports as the specification has them" {
	printf 'root:x:0:0::/root:/bin/sh\nweb:x:33:44::/srv:/bin/sh\n' >"$BUNDLE/rootfs/etc/passwd"
	printf 'root:x:0:\nextra:x:50:web,other\nwww:x:44:\n' >"$BUNDLE/rootfs/etc/group"
	tar -C "$BUNDLE/rootfs" -cf "$T/c.tar" .
	"$AMPHI" import -q --name c -c 'USER web' -c 'ENTRYPOINT ["/bin/echo","e"]' -c 'CMD ["c"]' -c 'WORKDIR /srv/w' -c 'ENV PATH=/bin' \
		-c 'LABEL org.opencontainers.image.os=mine' -c 'EXPOSE 80/tcp' -c 'VOLUME /data' -c 'STOPSIGNAL SIGINT' "$T/c.tar"
	"$AMPHI" bundle c "$T/cb"
	run -0 cat "$T/cb/config.json"
	[ "$(jq -c .process.user <<<"$output")" = '{"uid":33,"gid":44,"additionalGids":[50]}' ]
	[ "$(jq -c .process.args <<<"$output")" = '["/bin/echo","e","c"]' ]
	[ "$(jq -c .process.env <<<"$output")" = '["PATH=/bin","HOME=/srv"]' ]
	[ "$(jq -r .process.cwd <<<"$output")" = /srv/w ]
	[ "$(jq -r '.annotations["org.opencontainers.image.os"]' <<<"$output")" = mine ]
	[ "$(jq -r '.annotations["org.opencontainers.image.exposedPorts"]' <<<"$output")" = 80/tcp ]
	[ "$(jq -r '.annotations["org.opencontainers.image.stopSignal"]' <<<"$output")" = SIGINT ]
	[ -d "$T/cb/rootfs/data" ]
	"$AMPHI" bundle -u 77:www --entrypoint /bin/ls c "$T/cb2" -l
	[ "$(jq -c '[.process.user, .process.args]' "$T/cb2/config.json")" = '[{"uid":77,"gid":44},["/bin/ls","-l"]]' ]
	run -1 "$AMPHI" import -q --name bad -c 'RUN x' "$T/c.tar"
	check_output "--change RUN x: expected CMD"
}

@test "documents that do not agree are refused" {
	"$AMPHI" export --format oci -o "$T/l" test
	local m c
	m=$(jq -r '.manifests[0].digest[7:]' "$T/l/index.json")
	c=$(jq -r '.config.digest[7:]' "$T/l/blobs/sha256/$m")
	cp -r "$T/l" "$T/l2"
	sed -i 's/"os":"linux"/"os":"minix"/' "$T/l2/blobs/sha256/$c"
	run -1 "$AMPHI" import -q --name x "$T/l2"
	check_output "its bytes do not have this digest and size"
	rm "$T/l2/blobs/sha256/$c"
	run -1 "$AMPHI" import -q --name x "$T/l2"
	check_output "no such file"
	echo '{"schemaVersion":2,"manifests":[]}' >"$T/l2/index.json"
	run -1 "$AMPHI" import -q --name x "$T/l2"
	check_output "no image"
	echo '{"schemaVersion":2,"manifests":[{"digest":"sha256:00","size":1}]}' >"$T/l2/index.json"
	run -1 "$AMPHI" import -q --name x "$T/l2"
	check_output "manifests[0].digest"
	run -1 "$AMPHI" import -q "$T/nothing"
	check_output "$T/nothing"
	run -1 "$AMPHI" import -q --name 'Bad Name' "$T/l"
	check_output 'image name "Bad Name"'
}
