# SPDX-License-Identifier: Apache-2.0
# backends: container vm
# Mounts of the configuration: order, targets, option words, propagation, root.
load helpers

setup_file() { share_machine; }
teardown_file() { end_machine; }

setup() {
	need_root
	setup_bundle
	SRC=$BATS_TEST_TMPDIR/src
	mkdir -p "$SRC/sub"
	echo host >"$SRC/file"
}
teardown() {
	local m
	for m in $(awk -v d="$BATS_TEST_TMPDIR/src" 'index($5, d) == 1 { print $5 }' /proc/self/mountinfo | sort -r); do umount -l "$m"; done
	teardown_all
}

# the workload's output for a shell script
go() {
	config_args sh -c "$1"
	run amphi run --bundle "$BUNDLE" "$ID" </dev/null
	check_status 0
}
mount_json() { config '.mounts += [$m]' --argjson m "$1"; }
bind() { # DESTINATION OPTIONS [SOURCE]
	mount_json "$(jq -n --arg d "$1" --arg s "${3:-$SRC}" --arg o "$2" '{destination: $d, type: "bind", source: $s, options: ($o | split(","))}')"
}
# options of a mount point, from inside
flags_of() { printf "awk '\$5 == \"%s\" { print \$6 }' /proc/self/mountinfo" "$1"; }

@test "mounts: binds of directories and files, missing targets are made" {
	bind /new/deep/dir rbind,rw
	bind /new/file bind,ro "$SRC/file"
	go 'cat /new/deep/dir/file /new/file; echo x > /new/deep/dir/out && echo written; echo x 2>/dev/null > /new/file || echo refused'
	[ "$output" = $'host\nhost\nwritten\nrefused' ]
	[ "$(cat "$SRC/out")" = x ]
}

@test "mounts: flag words set and clear, the last one wins" {
	bind /a bind,ro,nosuid,nodev,noexec,noatime,nodiratime
	bind /b bind,ro,rw,nosuid,suid
	bind /c bind,nosymfollow,strictatime
	mount_json '{"destination":"/t","type":"tmpfs","source":"tmpfs","options":["nosuid","strictatime","mode=711","size=64k"]}'
	go "$(flags_of /a); $(flags_of /b); $(flags_of /c); stat -c %a /t; df -k /t | tail -1 | awk '{ print \$2 }'"
	[[ "${lines[0]}" == *ro,nosuid,nodev,noexec,noatime,nodiratime* ]]
	[[ "${lines[1]}" == rw* && "${lines[1]}" != *nosuid* ]]
	[[ "${lines[2]}" == *nosymfollow* && "${lines[2]}" != *relatime* ]]
	[ "${lines[3]}" = 711 ]
	[ "${lines[4]}" = 64 ]
	! is_vm || return 0
	mount --bind "$SRC" "$SRC"
	mount -o remount,bind,ro,nosuid,noexec,noatime "$SRC"
	setup_bundle -flags
	bind /a bind,rprivate
	bind /b bind,nodev
	go "$(flags_of /a); $(flags_of /b)"
	config '.linux.namespaces += [{type: "user"}] | .linux.uidMappings = [{containerID: 0, hostID: 0, size: 65536}] | .linux.gidMappings = .linux.uidMappings'
	[[ "${lines[0]}" == ro,nosuid,noexec,noatime* ]]
	[[ "${lines[1]}" == rw,nodev,noatime* ]]
	go "$(flags_of /b)"
	umount "$SRC"
	[[ "$output" == ro,nosuid,nodev,noexec,noatime* ]]
}

@test "mounts: recursive words reach the mounts below" {
	mount -t tmpfs tmpfs "$SRC/sub"
	bind /plain rbind,ro
	bind /deep rbind,rro,rnosuid
	bind /flat bind
	# in a machine what lies below a mount appears at its first use, with the mount's own flags
	go 'touch /plain/sub/x 2>/dev/null && echo below-is-writable || echo stricter; touch /deep/sub/x 2>/dev/null || echo below-is-read-only; ls /flat/sub | wc -l; '"$(flags_of /deep/sub)"
	[ "${lines[0]}" = "$(is_vm && echo stricter || echo below-is-writable)" ]
	[ "${lines[1]}" = below-is-read-only ]
	[ "${lines[2]}" = 0 ]
	[[ "${lines[3]}" == *nosuid* ]]
}

@test "mounts: propagation words" {
	mount -t tmpfs tmpfs "$SRC"
	mount --make-shared "$SRC"
	mkdir "$SRC/late"
	bind /private rbind,rprivate
	bind /slave rbind,rslave
	is_vm || bind /shared bind,shared
	config_args sh -c 'until [ -e /slave/go ]; do sleep 0.05; done; grep " /shared " /proc/self/mountinfo; ls /private/late /slave/late; sleep 1000'
	detached
	mount -t tmpfs tmpfs "$SRC/late"
	touch "$SRC/late/seen" "$SRC/go"
	wait_for grep -q seen "$BATS_TEST_TMPDIR/out"
	[ "$(grep -c seen "$BATS_TEST_TMPDIR/out")" = 1 ]
	is_vm || grep -q " shared:" "$BATS_TEST_TMPDIR/out"
}

@test "mounts: a file system for / as the first one is the root; an overlay's names begin at root.path" {
	mkdir -p "$BUNDLE"/{upper,work}
	config '.mounts = [{destination: "/", type: "overlay", source: "overlay", options: ["lowerdir=rootfs","upperdir=upper","workdir=work"]}] + .mounts'
	config_args sh -c 'echo new >/new; ls -d /proc/1; grep " / / " /proc/self/mountinfo'
	run amphi run --bundle "$BUNDLE" "$ID" </dev/null
	if is_vm; then
		check_status 1
		check_output "mounts[0].destination: /"
		return
	fi
	check_status 0
	check_output "- overlay overlay"
	[ "$(cat "$BUNDLE/upper/new")" = new ]
	[ ! -e "$BUNDLE/rootfs/new" ]
}

@test "mounts: tmpcopyup begins with what the image has" {
	mkdir -p "$BUNDLE/rootfs/data/sub"
	echo image >"$BUNDLE/rootfs/data/sub/file"
	chmod 640 "$BUNDLE/rootfs/data/sub/file"
	ln -s sub/file "$BUNDLE/rootfs/data/link"
	mount_json '{"destination":"/data","type":"tmpfs","source":"tmpfs","options":["tmpcopyup","ro"]}'
	go 'cat /data/link; stat -c %a /data/sub/file; touch /data/x 2>/dev/null || echo read-only'
	[ "$output" = $'image\n640\nread-only' ]
}

@test "mounts: one on / is the root of all that follows" {
	mkdir "$SRC/data"
	cp -a "$BUNDLE/rootfs/." "$SRC"
	config '.mounts = [{destination: "/", type: "bind", source: $s, options: ["bind"]}, {destination: "/data", type: "tmpfs", source: "tmpfs"}] + .mounts' --arg s "$SRC"
	go 'cat /file; grep -c " /data " /proc/self/mountinfo'
	[ "$output" = $'host\n1' ]
	config '.mounts[0] = {destination: "/", type: "tmpfs", source: "tmpfs", options: ["tmpcopyup"]}'
	go 'stat -f -c %T /; ls /file 2>&1; [ -d /home ] && grep -c " /data " /proc/self/mountinfo'
	[[ "${lines[0]}" == tmpfs && "${lines[1]}" == *"No such file"* && "${lines[2]}" == 1 ]]
}

@test "mounts: a tmpfs takes the mode of the directory it covers, and is everybody's where there was none" {
	mkdir -m 1750 "$BUNDLE/rootfs/cover"
	mount_json '{"destination":"/cover","type":"tmpfs","source":"tmpfs"}'
	mount_json '{"destination":"/new/place","type":"tmpfs","source":"tmpfs"}'
	go 'stat -c %a /cover /new/place'
	[ "$output" = $'1750\n1777' ]
}

@test "mounts: a dangling link as target is made inside the root" {
	ln -s ../run/resolve/stub "$BUNDLE/rootfs/etc/resolv.conf"
	ln -s /run/abs "$BUNDLE/rootfs/etc/abs"
	bind /etc/resolv.conf bind,ro "$SRC/file"
	bind /etc/abs bind,ro "$SRC/file"
	go 'cat /etc/resolv.conf /run/resolve/stub /etc/abs'
	[ "$output" = $'host\nhost\nhost' ]
	[ ! -e /run/resolve/stub ]
	[ ! -e /run/abs ]
}

@test "mounts: idmapped binds" {
	touch "$SRC/owned"
	chown 1000:1000 "$SRC/owned"
	config '.mounts += [{destination: "/m", type: "bind", source: $s, options: ["bind", "idmap"],
		uidMappings: [{containerID: 1000, hostID: 5000, size: 1}], gidMappings: [{containerID: 1000, hostID: 6000, size: 1}]}]' --arg s "$SRC"
	config_args sh -c 'stat -c "%u %g" /m/owned'
	run amphi run --bundle "$BUNDLE" "$ID" </dev/null
	if [[ "$output" == *"does the filesystem support it"* ]]; then skip "needs a filesystem with idmapped mounts"; fi
	check_status 0
	[ "$output" = "5000 6000" ]
}

@test "mounts: mistakes are told and leave nothing" {
	bind /x bind /no/such/source
	run -1 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	check_output "no such file or directory"
	config '.mounts |= map(select(.destination != "/x"))'
	bind /etc/passwd bind
	run -1 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	check_output "not a directory"
	config '.mounts |= map(select(.destination != "/etc/passwd"))'
	mount_json '{"destination":"/x","type":"nosuchfs","source":"x"}'
	run -1 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	check_output "$(is_vm && echo "nosuchfs: this file system cannot be mounted" || echo "no such device")"
	config '.mounts |= map(select(.destination != "/x"))'
	bind /proc/sys/kernel bind
	run -1 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	check_output "cannot be mounted because it is inside /proc"
	config '.mounts[-1] |= (.destination = "/proc/net/dev" | .source += "/file")'
	run -1 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	check_output '"/proc/net/dev" cannot be mounted because it is inside /proc'
	[ ! -e "$ROOT/$ID" ]
}

@test "mounts: read-only root; masked and read-only paths" {
	config '.root.readonly = true | .linux.maskedPaths = ["/proc/keys", "/proc/acpi", "/etc/passwd", "/no/such", "/etc/passwd"] |
		.linux.readonlyPaths = ["/tmp", "/proc/sys", "/no/such"] | .process.cwd = "/made/here"'
	go 'touch /x 2>/dev/null || echo root-ro; wc -c </etc/passwd; wc -c </proc/keys; ls /proc/acpi 2>/dev/null | wc -l
		echo 1 2>/dev/null >/proc/sys/kernel/domainname || echo sys-ro; pwd; touch /dev/x && echo dev-rw'
	[ "$output" = $'root-ro\n0\n0\n0\nsys-ro\n/made/here\ndev-rw' ]
}

@test "mounts: rootfsPropagation" {
	local p
	for p in slave private shared rshared unbindable runbindable; do
		# nothing propagates out of a machine
		! is_vm || [ $p = slave ] || [ $p = private ] || continue
		config '.linux.rootfsPropagation = $p' --arg p "$p"
		go "awk '\$5 == \"/\" { print \$7, \$8 }' /proc/self/mountinfo"
		case $p in
		*shared) check_output "shared:" ;;
		*unbindable) check_output "unbindable" ;;
		private) [[ "$output" == "- "* ]] ;;
		*) [[ "$output" == master:* || "$output" == "- "* ]] ;;
		esac
	done
	# a slave of what is shared on the host, which sees nothing of it
	skip_in_vm "its root is not the host's"
	for p in slave rslave; do
		config '.linux.rootfsPropagation = $p' --arg p "$p"
		run -0 unshare -m sh -c 'mount --make-rshared /; n=$(wc -l </proc/self/mountinfo); "$@" </dev/null; echo $((n - $(wc -l </proc/self/mountinfo)))' \
			sh "$AMPHI" --root "$ROOT" run --bundle "$BUNDLE" "$ID"
		[[ "${lines[0]}" == master:* && "${lines[1]}" == 0 ]]
	done
}

@test "mounts: --no-pivot shows no proc of the host" {
	config_args sh -c 'cat /proc/self/mountinfo | grep -c " - proc "; ls / | grep -c rootfs; [ "$(cat /proc/1/comm)" = sh ] && echo own'
	run -0 amphi run --no-pivot --bundle "$BUNDLE" "$ID" </dev/null
	[ "${lines[1]}" = 0 ]
	[ "${lines[2]}" = own ]
}

@test "mounts: cgroup is the container's own" {
	# spec leaves the namespace out on v1 hosts, as runc does
	config '.linux.namespaces |= map(select(.type != "cgroup")) + [{type: "cgroup"}]'
	go 'ls -d /sys/fs/cgroup; cat /proc/self/cgroup | head -1; mkdir /sys/fs/cgroup/x 2>/dev/null || echo read-only'
	check_output read-only
	[[ "${lines[1]}" == *:/ ]]
}

@test "mounts: idmap words with mappings in them, plain and through the container's" {
	local src=$BATS_TEST_TMPDIR/idsrc
	skip_in_vm "mappings of the host"
	mkdir "$src"
	touch "$src/f"
	chown 1:1 "$src/f"
	config '.mounts += [{destination: "/m", type: "bind", source: $s, options: ["bind", "idmap=uids=0-1-1#1-7-10;gids=0-1-1#1-9-10"]}]' --arg s "$src"
	config_args stat -c %u:%g /m/f
	run amphi run --bundle "$BUNDLE" "$ID" </dev/null
	if [[ "$output" == *"does the filesystem support it"* ]]; then skip "needs a filesystem with idmapped mounts"; fi
	[ "$output" = 7:9 ]
	config '.linux.namespaces += [{type: "user"}] | .linux.uidMappings = [{hostID: 0, containerID: 0, size: 1}, {hostID: 2, containerID: 1, size: 1000}]
		| .linux.gidMappings = .linux.uidMappings | .mounts[-1].options[1] = "idmap=uids=@1-3-10;gids=@1-3-10"'
	run -0 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	[ "$output" = 3:3 ]
}

@test "mounts: crun's words for links: copied, mounted, mounted on" {
	ln -s point-to-nowhere "$BATS_TEST_TMPDIR/link"
	skip_in_vm "crun's word is for containers"
	config '.mounts += [{destination: "/a/sym/link", type: "bind", source: $s, options: ["rbind", "copy-symlink"]}]' --arg s "$BATS_TEST_TMPDIR/link"
	config_args readlink /a/sym/link
	run -0 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	[ "$output" = point-to-nowhere ]
	run -0 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	rm "$BUNDLE/rootfs/a/sym/link"
	echo other >"$BUNDLE/rootfs/a/sym/link"
	run -1 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	check_output "file exists"
	# the link itself on a link
	ln -s nowhere "$BUNDLE/rootfs/target"
	config '.mounts[-1] |= (.destination = "/target" | .options = ["bind", "src-nofollow", "dest-nofollow"])'
	config_args readlink /target
	run -0 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	[ "$output" = point-to-nowhere ]
	# a file on a link
	config '.mounts[-1] |= (.source = $s | .options = ["bind", "dest-nofollow"])' --arg s "$SRC/file"
	config_args cat /target
	run -0 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	[ "$output" = host ]
	[ "$(readlink "$BUNDLE/rootfs/target")" = nowhere ]
	config '.mounts[-1].destination = "/proc/self"'
	run -1 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	check_output "inside /proc"
}

@test "mounts: added to a container that runs, and removed" {
	skip_in_vm "what a machine sees is settled at create"
	mkdir "$BUNDLE/rootfs/foo"
	chmod 711 "$BATS_TEST_TMPDIR"
	mount_json '{"destination":"/foo","type":"tmpfs","source":"tmpfs"}'
	config '.linux.namespaces += [{type: "user"}] | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}] | .linux.gidMappings = .linux.uidMappings'
	config_args sleep 1000
	detached
	jq -n --arg s "$SRC" '[{destination: "/foo/bar", type: "bind", source: $s, options: ["bind", "ro"]},
		{destination: "/foo/tmp", type: "tmpfs", source: "tmpfs", options: ["size=64k", "nosuid", "mode=711"]}]' >"$BATS_TEST_TMPDIR/m"
	run -0 amphi mounts add "$ID" "$BATS_TEST_TMPDIR/m"
	run -0 amphi exec "$ID" sh -c 'cat /foo/bar/file; touch /foo/bar/x 2>/dev/null || echo refused; stat -c "%a %u" /foo/tmp; '"$(flags_of /foo/tmp)"
	[[ "$output" == $'host\nrefused\n711 0\n'*nosuid* ]]
	run -0 amphi mounts remove "$ID" "$BATS_TEST_TMPDIR/m"
	run -0 amphi exec "$ID" sh -c 'ls /foo/bar; grep -c /foo/ /proc/self/mountinfo; true'
	[ "$output" = 0 ]
	run -1 amphi mounts remove "$ID" "$BATS_TEST_TMPDIR/m"
	check_output 'unmount "/foo/tmp" (nothing is mounted there)'
	echo '[{"destination":"/x","type":"proc","source":"proc"}]' >"$BATS_TEST_TMPDIR/m"
	run -1 amphi mounts add "$ID" "$BATS_TEST_TMPDIR/m"
	check_output "only a bind mount or a tmpfs"
}
