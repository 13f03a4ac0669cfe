# SPDX-License-Identifier: Apache-2.0
# backends: vm
# Files in a machine: virtio-fs answers as the container's file system does.

load helpers

setup() {
	need_root
	setup_bundle
	cp "$HELPERS/fscheck" "$BUNDLE/rootfs/bin/"
	caps='["CAP_CHOWN","CAP_DAC_OVERRIDE","CAP_FOWNER","CAP_FSETID","CAP_SETUID","CAP_SETGID","CAP_MKNOD","CAP_KILL"]'
	config '.process.capabilities = {bounding: $c, effective: $c, permitted: $c}' --argjson c "$caps"
}

teardown() { teardown_all; }

@test "two hundred file operations answer as in a container" {
	config_args fscheck /in-machine
	timeout 200 "$AMPHI" --root "$ROOT" --isolation vm --vmm "$AMPHI_VMM" run -b "$BUNDLE" "$ID" >"$BATS_TEST_TMPDIR/machine" </dev/null
	config_args fscheck /in-container
	timeout 60 "$AMPHI" --root "$ROOT" --isolation container run -b "$BUNDLE" "$ID" >"$BATS_TEST_TMPDIR/container" </dev/null
	[ "$(wc -l <"$BATS_TEST_TMPDIR/container")" -gt 140 ]
	diff "$BATS_TEST_TMPDIR/container" "$BATS_TEST_TMPDIR/machine"
}

@test "random operations, mappings, processes, special files and events answer as in a container" {
	cp "$HELPERS/fsdeep" "$BUNDLE/rootfs/bin/"
	config_args fsdeep /in-machine
	timeout 200 "$AMPHI" --root "$ROOT" --isolation vm --vmm "$AMPHI_VMM" run -b "$BUNDLE" "$ID" >"$BATS_TEST_TMPDIR/machine" </dev/null
	config_args fsdeep /in-container
	timeout 60 "$AMPHI" --root "$ROOT" --isolation container run -b "$BUNDLE" "$ID" >"$BATS_TEST_TMPDIR/container" </dev/null
	[ "$(wc -l <"$BATS_TEST_TMPDIR/container")" -gt 60 ]
	grep -q "all right 1, size right 1, whole right 1" "$BATS_TEST_TMPDIR/container"
	diff "$BATS_TEST_TMPDIR/container" "$BATS_TEST_TMPDIR/machine"
}

@test "what either side writes the other sees" {
	mkdir "$BATS_TEST_TMPDIR/share"
	echo from host >"$BATS_TEST_TMPDIR/share/host"
	echo single >"$BATS_TEST_TMPDIR/one file"
	config '.mounts += [{destination: "/share", type: "bind", source: $d, options: ["bind", "rw"]},
		{destination: "/fixed", type: "bind", source: $d, options: ["bind", "ro"]},
		{destination: "/etc/one", type: "bind", source: $f, options: ["bind"]}]' \
		--arg d "$BATS_TEST_TMPDIR/share" --arg f "$BATS_TEST_TMPDIR/one file"
	config_args sh -c 'cat /share/host /etc/one; echo from guest >/share/guest; chown 12:34 /share/guest; mkdir -p /share/a/b;
		touch /fixed/x 2>&1 | grep -o "Read-only file system"; echo more >>/etc/one; ln -s /etc/passwd /share/link; echo root >/root/file'
	run -0 timeout 200 "$AMPHI" --root "$ROOT" --isolation vm --vmm "$AMPHI_VMM" run -b "$BUNDLE" "$ID" </dev/null
	check_output "from host"
	check_output "single"
	check_output "Read-only file system"
	[ "$(cat "$BATS_TEST_TMPDIR/share/guest")" = "from guest" ]
	[ "$(stat -c %u:%g "$BATS_TEST_TMPDIR/share/guest")" = 12:34 ]
	[ -d "$BATS_TEST_TMPDIR/share/a/b" ]
	[ "$(readlink "$BATS_TEST_TMPDIR/share/link")" = /etc/passwd ]
	[ ! -e "$BATS_TEST_TMPDIR/share/x" ]
	[ "$(tail -n 1 "$BATS_TEST_TMPDIR/one file")" = more ]
	[ "$(cat "$BUNDLE/rootfs/root/file")" = root ]
}

@test "a share has a device number of its own, and links do not cross" {
	mkdir "$BATS_TEST_TMPDIR/share"
	config '.mounts += [{destination: "/share", type: "bind", source: $d, options: ["bind"]}]' --arg d "$BATS_TEST_TMPDIR/share"
	config_args sh -c 'echo x >/f; a=$(stat -c %d /f); echo y >/share/g; b=$(stat -c %d /share/g); [ "$a" != "$b" ] && echo differ;
		ln /f /share/f 2>/dev/null || echo no link; mv /f /share/moved && cat /share/moved'
	run -0 timeout 200 "$AMPHI" --root "$ROOT" --isolation vm --vmm "$AMPHI_VMM" run -b "$BUNDLE" "$ID" </dev/null
	check_output differ
	check_output "no link"
	[ "$(cat "$BATS_TEST_TMPDIR/share/moved")" = x ]
}

@test "thousands of files, and megabytes through a pipe" {
	config_args sh -c 'mkdir /many; cd /many; i=0; while [ $i -lt 3000 ]; do : >f$i; i=$((i + 1)); done; ls | wc -l; find . -type f | wc -l;
		dd if=/dev/urandom of=/big bs=1M count=16 2>/dev/null; sha256sum </big >/sum; cat /big'
	timeout 200 "$AMPHI" --root "$ROOT" --isolation vm --vmm "$AMPHI_VMM" run -b "$BUNDLE" "$ID" >"$BATS_TEST_TMPDIR/out" </dev/null
	[ "$(head -n 2 "$BATS_TEST_TMPDIR/out" | tr '\n' ' ')" = "3000 3000 " ]
	# The bytes behind the two lines are the file, on the host and through the stream.
	[ "$(tail -c +11 "$BATS_TEST_TMPDIR/out" | sha256sum)" = "$(cat "$BUNDLE/rootfs/sum")" ]
	[ "$(sha256sum <"$BUNDLE/rootfs/big")" = "$(cat "$BUNDLE/rootfs/sum")" ]
	[ "$(find "$BUNDLE/rootfs/many" -type f | wc -l)" = 3000 ]
}
