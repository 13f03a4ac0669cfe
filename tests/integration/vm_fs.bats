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

@test "a share of another file system has a device number of its own; links do not cross; a write is one request" {
	mkdir "$BATS_TEST_TMPDIR/share"
	OTHER=$(mktemp -d /dev/shm/amphi-test.XXXXXX)
	config '.mounts += [{destination: "/share", type: "bind", source: $d, options: ["bind"]}, {destination: "/other", type: "bind", source: $o, options: ["bind"]}]' \
		--arg d "$BATS_TEST_TMPDIR/share" --arg o "$OTHER"
	config_args sh -c 'echo x >/f; a=$(stat -c %d /f); echo y >/share/g; [ "$a" = "$(stat -c %d /share/g)" ] && echo same; [ "$a" != "$(stat -c %d /other)" ] && echo differ;
		ln /f /share/f 2>/dev/null || echo no link; mv /f /share/moved && cat /share/moved; dd if=/dev/zero of=/many bs=10 count=60 2>/dev/null'
	run -0 timeout 200 "$AMPHI" --debug --log "$BATS_TEST_TMPDIR/log" --root "$ROOT" --isolation vm --vmm "$AMPHI_VMM" run -b "$BUNDLE" "$ID" </dev/null
	rmdir "$OTHER"
	check_output same
	check_output differ
	check_output "no link"
	[ "$(cat "$BATS_TEST_TMPDIR/share/moved")" = x ]
	[ "$(grep -c "virtio-fs: WRITE " "$BATS_TEST_TMPDIR/log")" -ge 60 ]
	[ "$(grep -c "virtio-fs: GETXATTR " "$BATS_TEST_TMPDIR/log")" -lt 30 ]
	# and the way to there: whoever calls the agent finds it listening
	grep -q 'agent: answers at try [1-3]\b' "$BATS_TEST_TMPDIR/log"
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

# A volume's locks are the host's: each side sees the other's, and the end of a holder gives them up.
@test "file locks on a volume exclude the host and the machine" {
	cp "$HELPERS/lock" "$BUNDLE/rootfs/bin/"
	mkdir "$BATS_TEST_TMPDIR/share"
	config '.mounts += [{destination: "/share", type: "bind", source: $d, options: ["bind"]}]' --arg d "$BATS_TEST_TMPDIR/share"
	config_args sh -c 'for k in flock fcntl ofd; do lock $k /share/$k 1000 & done; lock fcntl /root/own; sleep 1000'
	detached
	holds() { [ "$("$HELPERS/lock" "$1" "$BATS_TEST_TMPDIR/share/$1")" = EAGAIN ]; }
	free() { [ "$("$HELPERS/lock" "$1" "$BATS_TEST_TMPDIR/share/$1")" = got ]; }
	for k in flock fcntl ofd; do wait_for holds $k; done
	amphi exec "$ID" killall lock
	for k in flock fcntl ofd; do wait_for free $k; done
	for k in flock fcntl ofd; do
		"$HELPERS/lock" $k "$BATS_TEST_TMPDIR/share/$k.host" 600 >"$BATS_TEST_TMPDIR/held.$k" 3>&- &
		holder=$!
		wait_for grep -q got "$BATS_TEST_TMPDIR/held.$k"
		run -0 amphi exec "$ID" lock $k "/share/$k.host"
		check_output EAGAIN
		kill "$holder"
		wait "$holder" || :
		run -0 amphi exec "$ID" lock $k "/share/$k.host"
		check_output got
	done
}

@test "an overlay in the machine: its lower tree is the host's, its upper one a tmpfs" {
	mkdir -p "$BUNDLE/rootfs/lower/dir/sub" "$BUNDLE/rootfs/m"
	echo low >"$BUNDLE/rootfs/lower/file"
	echo deep >"$BUNDLE/rootfs/lower/dir/sub/deep"
	ln "$BUNDLE/rootfs/lower/file" "$BUNDLE/rootfs/lower/hard"
	config '.process.capabilities |= map_values(. + ["CAP_SYS_ADMIN"])'
	config_args sh -c 'mount -t tmpfs t /tmp && mkdir /tmp/u /tmp/w && mount -t overlay o -o lowerdir=/lower,upperdir=/tmp/u,workdir=/tmp/w /m || exit 9
		cd /m; echo more >>file; cat file hard; rm -r dir; mkdir dir; ls dir | wc -l; mv file moved; ls; stat -c "%t:%T" /tmp/u/file; chmod 600 hard; sync'
	run -0 timeout 200 "$AMPHI" --root "$ROOT" --isolation vm --vmm "$AMPHI_VMM" run -b "$BUNDLE" "$ID" </dev/null
	[ "$output" = $'low\nmore\nlow\n0\ndir\nhard\nmoved\n0:0' ] || { echo "$output" >&2; return 1; }
	[ "$(cat "$BUNDLE/rootfs/lower/file" "$BUNDLE/rootfs/lower/dir/sub/deep")" = $'low\ndeep' ]
}

@test "cache policies by mount: what may change is asked for again, what may not is not" {
	mkdir "$BATS_TEST_TMPDIR/none" "$BATS_TEST_TMPDIR/always"
	echo 1 >"$BATS_TEST_TMPDIR/none/f"
	echo 1 >"$BATS_TEST_TMPDIR/always/f"
	config '.mounts += [{destination: "/none", type: "bind", source: $n, options: ["bind"]}, {destination: "/always", type: "bind", source: $a, options: ["bind"]}]
		| .annotations = {"amphi.vm.cache": "auto,/none=none,/always=always"}' --arg n "$BATS_TEST_TMPDIR/none" --arg a "$BATS_TEST_TMPDIR/always"
	config_args sleep 1000
	detached
	run -0 amphi exec "$ID" sh -c 'cat /none/f /always/f; ls /none/new /always/new 2>&1 | grep -c "No such"'
	[ "$output" = $'1\n1\n2' ]
	for d in none always; do
		echo two >"$BATS_TEST_TMPDIR/$d/f"
		touch "$BATS_TEST_TMPDIR/$d/new"
	done
	run -0 amphi exec "$ID" sh -c 'cat /none/f /always/f; ls /none/new /always/new 2>/dev/null; :'
	[ "$output" = $'two\n1\n/none/new' ] || { echo "$output" >&2; return 1; }
	config '.annotations = {"amphi.vm.cache": "/nowhere=none"}'
	run -1 amphi create -b "$BUNDLE" "$ID-2"
	check_output 'annotations["amphi.vm.cache"]: nothing is mounted on /nowhere'
}
