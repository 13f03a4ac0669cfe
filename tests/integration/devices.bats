# SPDX-License-Identifier: Apache-2.0
# backends: container vm
# /dev: default nodes and links, configured devices, what an image may have there.
load helpers

setup_file() { share_machine; }
teardown_file() { end_machine; }

setup() {
	need_root
	setup_bundle
}
teardown() { teardown_all; }
go() {
	config_args sh -c "$1"
	run amphi run --bundle "$BUNDLE" "$ID" </dev/null
	check_status 0
}
nodes='for d in null zero full random urandom tty; do stat -c "%n %t:%T %a" /dev/$d; done'
want=$'/dev/null 1:3 666\n/dev/zero 1:5 666\n/dev/full 1:7 666\n/dev/random 1:8 666\n/dev/urandom 1:9 666\n/dev/tty 5:0 666'

@test "devices: default nodes and links" {
	go "$nodes; for l in fd stdin stdout stderr ptmx; do readlink /dev/\$l; done; head -c 3 /dev/zero | wc -c; echo x >/dev/null && echo ok"
	[ "$output" = "$want"$'\n/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\n3\nok' ]
}

@test "devices: configured ones with mode and owner" {
	config '.linux.devices = [{path: "/dev/x/fuse", type: "c", major: 10, minor: 229, fileMode: 384, uid: 7, gid: 8},
		{path: "/dev/loopy", type: "b", major: 7, minor: 3}, {path: "/run/fifo", type: "p"}]'
	# a machine has no disks of the host
	! is_vm || config '.linux.devices[1] = {path: "/dev/loopy", type: "c", major: 10, minor: 200}'
	go 'stat -c "%F %t:%T %a %u %g" /dev/x/fuse /dev/loopy /run/fifo'
	[ "${lines[0]}" = "character special file a:e5 600 7 8" ]
	is_vm || [ "${lines[1]}" = "block special file 7:3 666 0 0" ]
	! is_vm || [ "${lines[1]}" = "character special file a:c8 666 0 0" ]
	[[ "${lines[2]}" == fifo* ]]
}

@test "devices: something else in the node's place is an error" {
	config '.mounts |= map(select(.destination | startswith("/dev") | not))'
	config '.linux.devices = [{path: "/etc", type: "c", major: 1, minor: 3}]'
	run -1 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	check_output "device /etc: something else is there already"
}

@test "devices: in a user namespace the host's nodes are bound, configured ones need not be on the host" {
	config '.linux.namespaces += [{type: "user"}] | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}] |
		.linux.gidMappings = [{containerID: 0, hostID: 100000, size: 65536}] |
		.linux.devices = [{path: "/dev/x/nought", type: "c", major: 1, minor: 5, fileMode: 416, uid: 7, gid: 8},
		{path: "/dev/fifo", type: "p"}, {path: "/dev/blank", type: "u", major: 1, minor: 3}]'
	go "$nodes; echo x >/dev/null && head -c 4 /dev/urandom | wc -c
		stat -c '%F %t:%T %a %u %g' /dev/x/nought /dev/fifo /dev/blank; echo x >/dev/blank && echo written"
	[ "$output" = "$want"$'\n4\ncharacter special file 1:5 640 7 8\nfifo 0:0 666 0 0\ncharacter special file 1:3 666 0 0\nwritten' ]

	# without maps all ids are the host's
	config 'del(.linux.uidMappings, .linux.gidMappings)'
	go "cat /proc/self/uid_map; stat -c '%u %g' /dev/x/nought"
	[[ "$output" =~ ^\ +0\ +0\ +4294967295$'\n7 8'$ ]]

	config '.linux.uidMappings = [{containerID: 0, hostID: 0, size: 65536}] | .linux.gidMappings = .linux.uidMappings | .linux.devices[0].uid = 65536'
	run -1 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	check_output "device /dev/x/nought: uid 65536 is not in linux.uidMappings"
}

@test "devices: an image without /dev mount, with its own and with empty files there" {
	config '.mounts |= map(select(.destination | startswith("/dev") | not))'
	touch "$BUNDLE/rootfs/dev/null" "$BUNDLE/rootfs/dev/console"
	mknod -m 666 "$BUNDLE/rootfs/dev/zero" c 1 5
	go "$nodes"
	[ "$output" = "$want" ]
}

@test "devices: /dev bound from the host is left alone" {
	mkdir "$BATS_TEST_TMPDIR/dev"
	config '.mounts |= map(select(.destination | startswith("/dev") | not)) | .mounts += [{destination: "/dev", type: "bind", source: $s, options: ["bind"]}]' --arg s "$BATS_TEST_TMPDIR/dev"
	go 'ls -A /dev | wc -l'
	[ "$output" = 0 ]
	[ -z "$(ls -A "$BATS_TEST_TMPDIR/dev")" ]
}
