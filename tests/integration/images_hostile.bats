#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# backends: container
#
# Archives made to hurt: each kind is refused with its entry named, and nothing outside the layer is touched; and what is
# odd but honest is unpacked as it is.

load helpers.bash

setup() {
	need_root
	need_program python3
	export AMPHI_STORE=$BATS_TEST_TMPDIR/store AMPHI_STORE_SYNC=none
	T=$BATS_TEST_TMPDIR
	mkdir "$T/outside"
	echo canary >"$T/outside/canary"
	cat >"$T/make.py" <<'EOP'
# make.py OUT ENTRY...: ENTRY is TYPE:NAME[:LINK or TEXT or SIZE]; types f d s h c w(hole bytes announced) b(raw header size) x(pax k=v)
import sys, tarfile, io
t = tarfile.open(sys.argv[1], 'w', format=tarfile.PAX_FORMAT)
for e in sys.argv[2:]:
    kind, name, arg = (e.split(':', 2) + [''])[:3]
    i = tarfile.TarInfo(name); data = b''
    if kind == 'f': data = arg.encode(); i.size = len(data)
    if kind == 'd': i.type, i.mode = tarfile.DIRTYPE, 0o755
    if kind == 's': i.type, i.linkname = tarfile.SYMTYPE, arg
    if kind == 'h': i.type, i.linkname = tarfile.LNKTYPE, arg
    if kind == 'c': i.type = tarfile.CHRTYPE; i.devmajor, i.devminor = map(int, arg.split(','))
    if kind == 'w':
        i.pax_headers = {'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': arg, 'GNU.sparse.name': name}
        data = ('1\n0\n1\n').encode().ljust(512, b'\0') + b'x'; i.size = len(data)
    if kind == 'x': i.pax_headers = dict([arg.split('=', 1)])
    if kind == 'b':
        h = bytearray(i.tobuf(tarfile.USTAR_FORMAT)); h[124:136] = bytes.fromhex(arg)
        h[148:156] = b' ' * 8; h[148:156] = b'%06o\0 ' % sum(h); t.fileobj.write(bytes(h)); t.offset += 512; continue
    t.addfile(i, io.BytesIO(data))
t.close()
EOP
}

teardown() { rm -rf "$AMPHI_STORE"; }

make() { python3 "$T/make.py" "$@"; }

untouched() {
	[ "$(cd "$T/outside" && find . | sort | tr '\n' ' ')$(cat "$T/outside/canary")" = ". ./canary canary" ] || { echo "outside: $(ls -l "$T/outside")" >&2; return 1; }
	[ ! -d "$AMPHI_STORE" ] || [ -z "$(find "$AMPHI_STORE"/{layers,tmp,partial} -mindepth 1 2>/dev/null)" ]
}

# ERROR TEXT, then entries.
refused() {
	local want=$1
	shift
	make "$T/h.tar" "$@"
	run -1 "$AMPHI" import -q --max-size 1m --name h rootfs:"$T/h.tar"
	check_output "$want"
	untouched
}

@test "names and links that lead out" {
	refused 'entry /etc/x: absolute name' f:/etc/x:1
	refused 'entry ../x: ".." in the name' f:../x:1
	refused 'entry a/../../x: ".." in the name' d:a f:a/../../x:1
	refused 'entry ../: ".." in the name' d:..
	refused 'entry ../?[31mred: ".." in the name' $'f:../\e[31mred:1'
	refused 'entry out/x: the path leads through a symbolic link' "s:out:$T/outside" f:out/x:1
	refused 'entry out/d' "s:out:$T/outside" d:out/d
	refused 'entry out/x/y' "s:out:$T/outside" f:out/x/y:1
	refused 'entry rel/x' "s:rel:../../../../../../../../../../../../../$T/outside" f:rel/x:1
	refused 'entry out/.wh.canary' "s:out:$T/outside" f:out/.wh.canary:
	refused 'entry out/.wh..wh..opq' "s:out:$T/outside" f:out/.wh..wh..opq:
	refused 'entry out/c' "s:out:$T/outside" c:out/c:1,3
	refused 'entry out/s' "s:out:$T/outside" s:out/s:x
	refused 'entry h: hard link to out/canary: the path leads through a symbolic link' "s:out:$T/outside" h:h:out/canary
	refused 'entry h: hard link to' h:h:../outside/canary
	refused 'entry h: hard link to' "h:h:$T/outside/canary"
	refused 'entry h2: hard link to' "s:a:$T/outside" f:f:1 h:h2:a/../canary
	refused 'entry f/x: f: the path leads through a file' f:f:1 f:f/x:1
}

@test "a link's own name with a dot behind it does not follow it; entries replace, never write through" {
	make "$T/h.tar" "s:out:$T/outside/new" d:out/. "s:f:$T/outside/canary" f:f:over "s:d:$T/outside" d:d f:d/in:1
	run -0 "$AMPHI" import -q --name h -c 'CMD ["x"]' rootfs:"$T/h.tar"
	[ "$(ls "$T/outside")" = canary ] && [ "$(cat "$T/outside/canary")" = canary ]
	"$AMPHI" bundle h "$T/b"
	[ -f "$T/b/rootfs/f" ] && [ ! -L "$T/b/rootfs/f" ] && [ "$(cat "$T/b/rootfs/f")" = over ]
	[ -d "$T/b/rootfs/d" ] && [ ! -L "$T/b/rootfs/d" ] && [ -f "$T/b/rootfs/d/in" ]
}

@test "whiteouts and devices made to confuse overlay" {
	refused 'entry .wh.: whiteout without a name' f:.wh.:
	refused 'entry .wh...: whiteout of a directory itself' f:.wh...:
	refused 'entry d/.wh..: whiteout of a directory itself' d:d f:d/.wh..:
	refused 'entry dev: character device 0:0' c:dev:0,0
	refused 'entry h: hard link to gone, which is a whiteout' f:.wh.gone: h:h:gone
	refused 'entry h: hard link to d, which is a directory' d:d h:h:d
	refused 'the root is not a directory' f:.:x
	refused 'the root is not a directory' s:./:x
	# an image's own overlay attributes are not taken over
	python3 - "$T/x.tar" <<'EOP'
import sys, tarfile
t = tarfile.open(sys.argv[1], 'w', format=tarfile.PAX_FORMAT)
i = tarfile.TarInfo('d'); i.type = tarfile.DIRTYPE; i.mode = 0o755
i.pax_headers = {'SCHILY.xattr.trusted.overlay.opaque': 'y', 'SCHILY.xattr.trusted.overlay.redirect': '/etc', 'SCHILY.xattr.user.mine': 'kept'}
t.addfile(i); t.close()
EOP
	run -0 "$AMPHI" import -q --name x -c 'CMD ["x"]' rootfs:"$T/x.tar"
	run -0 getfattr -d -m - "$AMPHI_STORE"/layers/*/fs/d
	check_output 'user.mine="kept"'
	[[ "$output" != *overlay* ]]
}

@test "sizes beyond the limit, announced or real, and bombs" {
	local form
	refused 'entry big: the layer is larger than the limit of 1048576 bytes' f:small:1 b:big:313737373737373737373700
	refused 'entry big: the layer is larger than the limit' b:big:800000000000000fffffffff
	refused 'entry hole: the layer is larger than the limit' w:hole:9000000000000000000
	refused 'entry' b:neg:ffffffffffffffffffffffff
	refused 'pax record size: bad value' x:f:size=99999999999999999999999999
	for form in gzip zstd xz; do
		need_program $form
		mkdir -p "$T/bomb"
		truncate -s 200M "$T/bomb/zeros"
		tar -C "$T/bomb" -cf - zeros | $form -c >"$T/bomb.$form"
		[ "$(stat -c %s "$T/bomb.$form")" -lt 300000 ]
		run -1 "$AMPHI" import -q --max-size 1m --name h rootfs:"$T/bomb.$form"
		check_output "entry zeros: the layer is larger than the limit of 1048576 bytes"
		untouched
	done
	# the archive around the layers, too
	run -1 "$AMPHI" import -q --max-size 1m --format docker-archive "$T/bomb.gzip"
	check_output "inflates to more than the limit of 1048576 bytes"
	untouched
	# not files but padding behind the archive: 200 MiB of it
	{ tar -C "$T/outside" -cf - canary; head -c 200M /dev/zero; } | gzip -1 >"$T/pad.gz"
	run -1 "$AMPHI" import -q --max-size 1m --name h rootfs:"$T/pad.gz"
	check_output "goes on behind its limit"
	untouched
}

@test "damaged and cut streams of every compression" {
	local form
	head -c 300000 /dev/urandom >"$T/outside/../data"
	tar -C "$T" -cf "$T/good.tar" data
	for form in gzip zstd xz; do
		need_program $form
		$form -c "$T/good.tar" >"$T/good.$form"
		head -c 200000 "$T/good.$form" >"$T/cut.$form"
		run -1 "$AMPHI" import -q --name h rootfs:"$T/cut.$form"
		check_output "$form: truncated"
		cp "$T/good.$form" "$T/bad.$form"
		printf 'XXXXXXXX' | dd of="$T/bad.$form" bs=1 seek=299000 conv=notrunc 2>/dev/null
		run -1 "$AMPHI" import -q --name h rootfs:"$T/bad.$form"
		check_output "$form"
		untouched
	done
	head -c 100000 "$T/good.tar" >"$T/cut.tar"
	run -1 "$AMPHI" import -q --name h rootfs:"$T/cut.tar"
	check_output "entry data"
	head -c 5000 /dev/urandom >"$T/noise"
	run -1 "$AMPHI" import -q --name h rootfs:"$T/noise"
	check_output "$T/noise"
	untouched
}

@test "an archive that is cut while it is imported: an error, no signal, and nothing stays" {
	need_program strace
	local n
	head -c 300000 /dev/urandom >"$T/data"
	tar -C "$T" -czf "$T/good.tar.gz" data
	AMPHI_STORE=$T/other "$AMPHI" import -q --name h "$T/good.tar.gz"
	AMPHI_STORE=$T/other "$AMPHI" export -o "$T/oci.tar" h
	# the headers take three reads, then come index, manifest and configuration
	for n in 4 5 6; do
		run -1 strace -f -qq -o /dev/null -P "$T/oci.tar" -e inject=pread64:retval=0:when=$n+ "$AMPHI" import -q --name h "$T/oci.tar"
		check_output "the file was cut while it was read"
		untouched
	done
	run -0 "$AMPHI" import -q --name h "$T/oci.tar"
}

@test "xz, zstd and gzip roots become images that others read; xz is packed anew" {
	local form want
	mkdir -p "$T/r/etc"
	head -c 100000 /dev/urandom >"$T/r/etc/data"
	tar -C "$T/r" -cf "$T/r.tar" .
	want=$(sha256sum "$T/r.tar" | cut -d' ' -f1)
	for form in xz zstd gzip; do
		need_program $form
		$form -c "$T/r.tar" >"$T/r.tar.$form"
		run -0 "$AMPHI" import -q --name "$form" -c 'CMD ["x"]' "$T/r.tar.$form"
		[ "$("$AMPHI" inspect "$form" | jq -r '.config.rootfs.diff_ids[0]')" = "sha256:$want" ]
	done
	$form -dc "$T/r.tar.$form" | xz -c | "$AMPHI" import -q --name piped -c 'CMD ["x"]' -
	# a pipe that gives the magic in two pieces, and one by name
	{ head -c 3 "$T/r.tar.xz"; sleep 0.1; tail -c +4 "$T/r.tar.xz"; } | "$AMPHI" import -q --name pieces -c 'CMD ["x"]' -
	"$AMPHI" import -q --name fifo -c 'CMD ["x"]' <(cat "$T/r.tar.gzip")
	[ "$("$AMPHI" inspect xz | jq -r '.manifest.layers[0].mediaType')" = application/vnd.oci.image.layer.v1.tar+gzip ]
	[ "$("$AMPHI" inspect zstd | jq -r '.manifest.layers[0].mediaType')" = application/vnd.oci.image.layer.v1.tar+zstd ]
	[ "$(ls "$AMPHI_STORE/layers" | wc -l)" = 1 ]
	run -0 "$AMPHI" fsck
	if command -v skopeo >/dev/null; then
		skopeo copy -q "oci:$AMPHI_STORE:localhost/xz:latest" "dir:$T/sk"
	fi
}

@test "options that do not fit are refused before anything is unpacked; no image takes another's name" {
	head -c 100000 /dev/urandom >"$T/data"
	tar -C "$T" -cf "$T/a.-b.tar" data
	tar -C "$T" -cf "$T/r.tar" data
	run -1 "$AMPHI" import -q --name h -c 'RUN x' "$T/r.tar"
	check_output "--change RUN x: expected CMD"
	run -1 "$AMPHI" import -q "$T/a.-b.tar"
	check_output "no image name follows from the file's name: give --name"
	run -1 "$AMPHI" import -q --max-size 1x --name h "$T/r.tar"
	check_output "--max-size 1x"
	untouched
	[ -z "$(find "$AMPHI_STORE/blobs" -type f)" ]
	"$AMPHI" import -q --name a --platform linux/arm/v7 "$T/r.tar"
	[ "$("$AMPHI" inspect a | jq -c '.config | [.os, .architecture, .variant]')" = '["linux","arm","v7"]' ]
	"$AMPHI" import -q --name b -c 'CMD ["x"]' "$T/r.tar"
	"$AMPHI" export --format docker-archive -o "$T/two.tar" a b
	"$AMPHI" export -o "$T/two-oci.tar" a b
	run -1 "$AMPHI" import -q --name one "$T/two.tar"
	check_output "--name: the archive has 2 images"
	run -1 "$AMPHI" import -q -c 'CMD ["y"]' "$T/two.tar"
	check_output "--change: $T/two.tar has images, not a root file system"
	run -0 "$AMPHI" import -q "$T/two.tar"
	[ "$output" = "localhost/a:latest"$'\n'"localhost/b:latest" ]
	# two images that nobody named, in either form
	mkdir "$T/x" "$T/y"
	tar -C "$T/x" -xf "$T/two.tar"
	jq -c 'map(.RepoTags = null)' "$T/x/manifest.json" >"$T/m" && mv "$T/m" "$T/x/manifest.json"
	tar -C "$T/y" -xf "$T/two-oci.tar"
	jq -c 'del(.manifests[].annotations)' "$T/y/index.json" >"$T/m" && mv "$T/m" "$T/y/index.json"
	run -1 "$AMPHI" import -q docker-archive:"$T/x"
	check_output "two images of the archive would be localhost/x:latest: give --name, and --platform"
	run -1 "$AMPHI" import -q "$T/y"
	check_output "two images of the archive would be localhost/y:latest: give --name, and --platform"
	run -0 "$AMPHI" import -q --name chosen --platform linux/arm/v7 "$T/y"
	[ "$("$AMPHI" inspect chosen | jq -r .config.architecture)" = arm ]
	# names in manifest.json that lead out of a directory
	jq -c 'map(.Config = "../../outside/canary")' "$T/x/manifest.json" >"$T/m" && mv "$T/m" "$T/x/manifest.json"
	run -1 "$AMPHI" import -q docker-archive:"$T/x"
	check_output "../../outside/canary"
	[[ "$output" != *canary:*json* ]]
}

@test "odd but honest: long names, many links, sparse files, ACLs, capabilities, nanoseconds, big ids" {
	local long want
	long=$(printf 'x%.0s' {1..200})
	mkdir -p "$T/r/$long/$long/$long"
	echo deep >"$T/r/$long/$long/$long/$long"
	ln -s "$long/$long/$long/$long" "$T/r/link"
	truncate -s 50M "$T/r/sparse"
	echo end >>"$T/r/sparse"
	echo cap >"$T/r/cap"
	setcap cap_net_raw+ep "$T/r/cap"
	chown 3000000000:4000000000 "$T/r/cap"
	setcap cap_net_raw+ep "$T/r/cap"
	echo acl >"$T/r/acl"
	setfacl -m u:1234:r,g:77:rw "$T/r/acl" 2>/dev/null || true
	setfacl -d -m u:1234:rx "$T/r/$long" 2>/dev/null || true
	mknod "$T/r/tty" c 5 0
	mknod "$T/r/blk" b 7 300
	touch -d '2001-02-03 04:05:06.789012345' "$T/r/cap"
	for f in pax gnu; do
		if [ $f = gnu ]; then tar -C "$T/r" --sparse -cf "$T/o.tar" --format=gnu .
		else tar -C "$T/r" --sparse --xattrs --xattrs-include='*' --acls --format=pax -cf "$T/o.tar" .; fi
		[ "$(stat -c %s "$T/o.tar")" -lt 1000000 ]
		"$AMPHI" import -q --name o -c 'CMD ["x"]' rootfs:"$T/o.tar"
		rm -rf "$T/b"
		"$AMPHI" bundle o "$T/b"
		diff <(cd "$T/r" && find . -printf '%P %y %m %U %G %s %l %n\n' | sort) <(cd "$T/b/rootfs" && find . -printf '%P %y %m %U %G %s %l %n\n' | sort)
		[ "$(du -k "$AMPHI_STORE"/layers/*/fs/sparse | cut -f1 | sort -n | tail -1)" -lt 1000 ]
		cmp "$T/r/sparse" "$T/b/rootfs/sparse"
		if [ $f = pax ]; then
			diff <(cd "$T/r" && getfattr -R -h -d -m - -e hex . | sort) <(cd "$T/b/rootfs" && getfattr -R -h -d -m - -e hex . | sort)
			[ "$(stat -c %y "$T/b/rootfs/cap")" = "$(stat -c %y "$T/r/cap")" ]
		fi
		run -0 "$AMPHI" fsck
		"$AMPHI" rmi o
	done
}
