# SPDX-License-Identifier: Apache-2.0
# backends: container
# Hostile images and workloads: a test for each line of the field's security history. The host must be untouched.
load helpers

setup() {
	need_root
	setup_bundle
	HOST=$BATS_TEST_TMPDIR/host
	mkdir -p "$HOST"
	PIDS=()
}
teardown() {
	[ ${#PIDS[@]} = 0 ] || kill -KILL "${PIDS[@]}" 2>/dev/null || true
	[ -z "$(ls -A "$HOST")" ] || { echo "the host was written to: $(ls -A "$HOST")" >&2; return 1; }
	teardown_all
}
go() {
	config_args sh -c "$1"
	run amphi run --bundle "$BUNDLE" "$ID" </dev/null
	check_status 0
}
fails() { # MESSAGE PART
	run -1 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	check_output "$1"
	[ ! -e "$ROOT/$ID" ]
}
no_dev_mounts() { config '.mounts |= map(select(.destination | startswith("/dev") | not))'; }

@test "CVE-2016-3697: a user whose name is a number is not looked up" {
	printf '1000:x:0:0::/hostile:/bin/sh\n' >"$BUNDLE/rootfs/etc/passwd"
	config '.process.user = {uid: 1000, gid: 1000}'
	go 'id -u; echo $HOME'
	[ "$output" = $'1000\n/' ]
	config_args sleep 1000
	config '.process.user = {uid: 0, gid: 0}'
	detached
	run -0 amphi exec --user 1000 "$ID" id -u </dev/null
	[ "$output" = 1000 ]
}

@test "CVE-2016-9962: a process that is entering cannot be looked into" {
	local i
	cp "$HELPERS/peek" "$BUNDLE/rootfs/bin/peek"
	config '.process.capabilities |= map_values(. + ["CAP_DAC_READ_SEARCH", "CAP_DAC_OVERRIDE"])'
	config_args peek amphi
	detached
	wait_for grep -q ready "$BATS_TEST_TMPDIR/out"
	for i in $(seq 20); do amphi exec "$ID" true </dev/null; done
	amphi kill "$ID" TERM
	wait_for grep -q rounds "$BATS_TEST_TMPDIR/out"
	[ "$(grep -c leak "$BATS_TEST_TMPDIR/out")" = 0 ]
}

@test "CVE-2019-5736: our binary cannot be opened for writing through /proc" {
	local sum
	sum=$(sha256sum "$AMPHI")
	printf '#!/proc/self/exe\n' >"$BUNDLE/rootfs/entry"
	chmod 755 "$BUNDLE/rootfs/entry"
	config_args /entry --version
	run timeout 60 "$AMPHI" --root "$ROOT" run --bundle "$BUNDLE" "$ID" </dev/null
	amphi delete --force "$ID"
	# what runs inside as "ourselves" is read-only even for root with every capability
	cp "$HELPERS/peek" "$BUNDLE/rootfs/bin/peek"
	config '.process.capabilities |= map_values(. + ["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN"])'
	config_args peek write
	detached
	wait_for grep -q ready "$BATS_TEST_TMPDIR/out"
	for _ in 1 2 3 4 5 6 7 8; do amphi exec "$ID" /entry </dev/null >/dev/null 2>&1 || true; done
	amphi kill "$ID" TERM
	wait_for grep -q rounds "$BATS_TEST_TMPDIR/out"
	[ "$(grep -c 'leak' "$BATS_TEST_TMPDIR/out")" = 0 ]
	[ "$(sha256sum "$AMPHI")" = "$sum" ]
}

@test "CVE-2019-5736: what a container sees as /proc/1/exe is a read-only mount of no namespace, else a sealed copy" {
	! is_vm || skip "a machine's first process is the guest's"
	local pid
	# a mark of somebody else's is none
	AMPHI_SELFEXE="1:/nowhere" amphi create --bundle "$BUNDLE" "$ID" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1
	pid=$(pid_of "$ID")
	[ "$(readlink "/proc/$pid/exe")" = / ]
	tr '\0' '\n' <"/proc/$pid/environ" | grep -q "^AMPHI_SELFEXE=[0-9]*:$AMPHI\$"
	run ! sh -c "echo >>/proc/$pid/exe"
	amphi delete --force "$ID"
	# where open_tree() is refused
	need_program strace
	strace -o /dev/null -e inject=open_tree:error=EPERM:when=1 "$AMPHI" --root "$ROOT" create --bundle "$BUNDLE" "$ID" \
		</dev/null >"$BATS_TEST_TMPDIR/out" 2>&1
	pid=$(pid_of "$ID")
	[[ "$(readlink "/proc/$pid/exe")" = "/memfd:amphi"* ]]
	amphi delete --force "$ID"
}

@test "CVE-2019-16884, CVE-2019-19921, CVE-2023-27561: /proc and /sys are real ones on plain directories" {
	mkdir -p "$BUNDLE/rootfs/fake/self/attr"
	rmdir "$BUNDLE/rootfs/proc"
	ln -s fake "$BUNDLE/rootfs/proc"
	fails 'must be mounted on ordinary directory'
	rm "$BUNDLE/rootfs/proc"
	mkdir "$BUNDLE/rootfs/proc"
	config '.mounts += [{destination: "/proc", type: "bind", source: $s, options: ["bind"]}]' --arg s "$BUNDLE/rootfs/fake"
	fails 'is not of type proc'
	config '.mounts[-1] = {destination: "/proc", type: "tmpfs", source: "tmpfs"}'
	fails 'is not of type proc'
	config 'del(.mounts[-1])'
	rmdir "$BUNDLE/rootfs/sys"
	ln -s fake "$BUNDLE/rootfs/sys"
	fails 'must be mounted on ordinary directory'
}

@test "CVE-2019-18837: links on the way to a mount target stay inside the root" {
	ln -s "$HOST" "$BUNDLE/rootfs/abs"
	ln -s ../../../../../../../../../../"$HOST" "$BUNDLE/rootfs/rel"
	config '.mounts += [{destination: "/abs/a", type: "tmpfs", source: "tmpfs"}, {destination: "/rel/b/c", type: "tmpfs", source: "tmpfs"},
		{destination: "/abs/file", type: "bind", source: "/etc/hostname", options: ["bind"]}]'
	go 'grep -c -E " (/abs|/rel|'"$HOST"')/" /proc/self/mountinfo; ls '"$HOST"
	[ "${lines[0]}" = 3 ]
	[ "${lines[1]} ${lines[2]} ${lines[3]}" = "a b file" ]
}

@test "CVE-2021-30465, CVE-2024-45310: a volume that swaps directory and link during mounts" {
	local i vol=$BATS_TEST_TMPDIR/vol
	mkdir -p "$vol/dir"
	ln -s "/..$HOST" "$vol/link"
	"$HELPERS/swapper" "$vol/dir" "$vol/link" </dev/null >/dev/null 2>&1 3>&- &
	PIDS+=($!)
	config '.mounts += [{destination: "/vol", type: "bind", source: $v, options: ["bind"]}, {destination: "/vol/dir/one/two", type: "tmpfs", source: "tmpfs"},
		{destination: "/vol/dir/file", type: "bind", source: "/etc/hostname", options: ["bind"]}]' --arg v "$vol"
	config_args true
	for i in $(seq 15); do
		# either way it may end, but never on the host
		amphi run --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1 || true
		[ -z "$(ls -A "$HOST")" ]
		! grep -q "$HOST" /proc/self/mountinfo
	done
}

@test "CVE-2021-43784: large documents are not cut" {
	config '.process.env += [range(3000) | "VAR\(.)=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"] | .annotations += ([range(3000) | {key: "k\(.)", value: "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvv"}] | from_entries) |
		.mounts += [range(100) | {destination: "/tmp/m\(.)", type: "tmpfs", source: "tmpfs", options: ["size=4k"]}] |
		.hooks.createContainer = [{path: "/bin/sh", args: ["sh", "-c", "[ $(wc -c) -gt 120000 ]"], env: ["PATH=/bin:/usr/bin"]}]'
	go 'env | grep -c ^VAR; grep -c " /tmp/m" /proc/self/mountinfo'
	[ "$output" = $'3000\n100' ]
}

@test "CVE-2022-24769, CVE-2022-29162: exec has no inheritable capabilities" {
	config_args sleep 1000
	detached
	run -0 amphi exec "$ID" sed -n 's/^Cap\(Inh\|Amb\):\s*//p' /proc/self/status </dev/null
	[ "$output" = $'0000000000000000\n0000000000000000' ]
	run -0 amphi exec --cap CAP_NET_ADMIN "$ID" sed -n 's/^Cap\(Inh\|Amb\|Eff\):\s*//p' /proc/self/status </dev/null
	[ "${lines[0]} ${lines[2]}" = "0000000000000000 0000000000000000" ]
}

@test "CVE-2024-21626: no fd of the host as working directory, none left open" {
	local n
	config_args pwd
	for n in 3 4 5 6 7 8 9 10 12 15; do
		config '.process.cwd = $c' --arg c "/proc/self/fd/$n"
		run -1 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	done
	config '.process.cwd = "/"'
	config_args sleep 1000
	detached
	for n in 3 4 5 6 7 8 9 10 12 15; do
		run -255 amphi exec --cwd "/proc/self/fd/$n" "$ID" pwd </dev/null
	done
	run -0 amphi exec "$ID" sh -c 'ls /proc/1/fd; ls /proc/$$/fd; :' </dev/null
	[ "$output" = $'0\n1\n2\n0\n1\n2' ]
}

@test "CVE-2025-31133: masks are the host's null device, whatever the image has at /dev/null" {
	no_dev_mounts
	config '.linux.maskedPaths = ["/etc/passwd"]'
	ln -s ../etc/group "$BUNDLE/rootfs/dev/null"
	fails 'device /dev/null'
	rm "$BUNDLE/rootfs/dev/null"
	mknod -m 666 "$BUNDLE/rootfs/dev/null" c 1 3
	go 'stat -c %t:%T /etc/passwd; wc -c </etc/passwd'
	[ "$output" = $'1:3\n0' ]
}

@test "CVE-2025-52565, CVE-2026-88264: /dev/console of the image is not followed" {
	no_dev_mounts
	config '.mounts += [{destination: "/dev/pts", type: "devpts", source: "devpts", options: ["newinstance", "ptmxmode=0666", "mode=0620"]}] | .process.terminal = true'
	ln -s "$HOST/console" "$BUNDLE/rootfs/dev/console"
	run -1 bash -c 'script -qec "$1" /dev/null </dev/null' - "$AMPHI --root $ROOT run --bundle $BUNDLE $ID"
	check_output "/dev/console"
}

@test "CVE-2026-41579, CVE-2026-47766: an image whose /dev is a link" {
	rmdir "$BUNDLE/rootfs/dev"
	ln -s "$HOST" "$BUNDLE/rootfs/dev"
	go 'ls -ld /dev | cut -c1; [ -c /dev/null ] && ls '"$HOST"' | grep -c null'
	[ "${lines[1]}" = 1 ]
	no_dev_mounts
	go '[ -c /dev/null ] && readlink /dev/ptmx'
	[ "$output" = pts/ptmx ]
	[ -z "$(ls -A "$HOST")" ]
}

@test "CVE-2026-88265: hostile entries in /dev are errors, not targets" {
	no_dev_mounts
	local n
	for n in null tty zero; do
		ln -s "$HOST/$n" "$BUNDLE/rootfs/dev/$n"
		fails "device /dev/$n: something else is there already"
		rm -f "$BUNDLE"/rootfs/dev/*
	done
	mkdir "$BUNDLE/rootfs/dev/full"
	fails "device /dev/full"
}

@test "CVE-2025-52881: sysctls go to the kernel, not to what the image shows at /proc" {
	local before
	before=$(cat /proc/sys/kernel/core_pattern)
	mkdir -p "$BUNDLE/rootfs/proc/sys/net/ipv4"
	ln -s ../../../kernel/core_pattern "$BUNDLE/rootfs/proc/sys/net/ipv4/ip_forward"
	config '.linux.sysctl = {"net.ipv4.ip_forward": "1"} | .mounts |= map(select(.destination != "/proc")) | .linux.maskedPaths = [] | .linux.readonlyPaths = []'
	config_args true
	run -0 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	[ "$(cat /proc/sys/kernel/core_pattern)" = "$before" ]
}

@test "CVE-2017-5226: the workload is in a session of its own" {
	config_args sh -c 'cut -d" " -f6,7 /proc/self/stat'
	run -0 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	[ "$output" = "1 0" ]
}
