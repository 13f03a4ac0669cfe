# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What every bats file loads. A test calls setup_bundle, changes config.json with config 'JQ PROGRAM', and runs
# amphi; teardown_all removes what it made and fails the test when something of its own is left.
#
# A file says by a line "# backends: container vm" where it runs: the suites run it once per backend named.
# AMPHI_BACKEND and AMPHI_VMM choose; AMPHI_BUILD is the build under test.

bats_require_minimum_version 1.5.0

AMPHI=${AMPHI_BUILD:?run through tests/bats}/amphi
HELPERS=$AMPHI_BUILD/tests/helpers

is_vm() { [ "$AMPHI_BACKEND" = vm ]; }
skip_in_vm() { ! is_vm || skip "not in a machine: $*"; }
need_program() { command -v "$1" >/dev/null || skip "needs $1"; }
need_root() { [ "$EUID" = 0 ] || skip "needs root"; }

# amphi with this test's root and backend; use with run or directly.
amphi() {
	local flags=(--root "$ROOT")
	if is_vm; then flags+=(--isolation vm --vmm "$AMPHI_VMM"); fi
	"$AMPHI" "${flags[@]}" "$@"
}

# A bundle in $BUNDLE with a busybox root, the default configuration, no terminal, an own cgroup; id in $ID; state in $ROOT.
setup_bundle() {
	ROOT=${SHARED_ROOT:-${ROOT:-$BATS_TEST_TMPDIR/state}}
	BUNDLE=$BATS_TEST_TMPDIR/bundle${1:-}
	ID=t$$-$BATS_TEST_NUMBER-$RANDOM${1:-}
	CGROUP=/amphi-test-$$/$ID
	mkdir -p "$BUNDLE/rootfs" "$ROOT"
	fill_rootfs "$BUNDLE/rootfs"
	# jq takes half a second in the lab: once per file
	local template=$BATS_FILE_TMPDIR/config.json
	[ -e "$template" ] || "$AMPHI" spec -f - | jq '.process.terminal = false | .root.readonly = false
		| .linux.cgroupsPath = "@CGROUP@" | .process.args = ["true"]' >"$template"
	local text
	mapfile -d '' text <"$template"
	printf '%s' "${text[0]/@CGROUP@/$CGROUP}" >"$BUNDLE/config.json"
	if is_vm; then setup_vm; fi
	if [ -n "${SHARED:-}" ]; then
		config '.annotations = {"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.sandbox-id": $id} |
			(.linux.namespaces[] | select(.type == "network")).path = "/proc/" + $pid + "/ns/net"' --arg id "$SHARED" --arg pid "$SHARED_PID"
	fi
}

# For setup_file: one machine for all tests of the file; their containers are members of its pod, which costs a tenth of
# a machine each. For what does not depend on the machine itself. Nothing for containers.
share_machine() {
	is_vm || return 0
	local BATS_TEST_TMPDIR=$BATS_FILE_TMPDIR BATS_TEST_NUMBER=0
	need_root
	setup_bundle -shared
	config '.annotations = {"io.kubernetes.cri.container-type": "sandbox"}'
	config_args sleep 100000
	detached
	export SHARED=$ID SHARED_ROOT=$ROOT SHARED_PID
	SHARED_PID=$(pid_of "$ID")
}
# For teardown_file.
end_machine() {
	[ -n "${SHARED:-}" ] || return 0
	local BATS_TEST_TMPDIR=$BATS_FILE_TMPDIR ROOT=$SHARED_ROOT
	SHARED= teardown_all
}

# A root file system: busybox, its links, and what programs expect.
fill_rootfs() {
	local template=$BATS_FILE_TMPDIR/rootfs
	if [ ! -d "$template" ]; then
		mkdir -p "$template"/{bin,dev,etc,proc,root,sys,tmp,var,home,usr/bin,sbin}
		cp "$(command -v busybox)" "$template/bin/busybox"
		# one process, not one per link: each costs a twentieth of a second in the lab
		(cd "$template/bin" && perl -e 'for (@ARGV) { symlink("busybox", $_) or die "$_: $!" unless $_ eq "busybox" }' $(./busybox --list))
		chmod 1777 "$template/tmp"
		printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\nuser:x:1000:1000::/home:/bin/sh\n' >"$template/etc/passwd"
		printf 'root:x:0:\nnogroup:x:65534:\nuser:x:1000:\n' >"$template/etc/group"
	fi
	cp -a "$template/." "$1/"
}

# Changes the bundle's config.json: config PROGRAM [jq arguments].
config() {
	local program=$1 new
	shift
	new=$(jq "$program" "$BUNDLE/config.json" "$@") && printf '%s\n' "$new" >"$BUNDLE/config.json"
}

# The workload's command line: config_args sh -c 'echo hi'. Without jq where the template's stands and plain text comes.
config_args() {
	local text a list= old=$'"args": [\n      "true"\n    ]'
	mapfile -d '' text <"$BUNDLE/config.json"
	if [[ ${text[0]} != *"$old"* || $* == *[^[:print:]$'\n\t']* ]]; then
		config '.process.args = $ARGS.positional' --args -- "$@"
		return
	fi
	for a; do
		a=${a//\\/\\\\} a=${a//\"/\\\"} a=${a//$'\n'/\\n}
		list+=", \"${a//$'\t'/\\t}\""
	done
	printf '%s' "${text[0]%%"$old"*}\"args\": [${list:2}]${text[0]#*"$old"}" >"$BUNDLE/config.json"
}

# Runs the bundle in the background; the workload's output goes to $BATS_TEST_TMPDIR/out.
detached() {
	amphi run -d --bundle "$BUNDLE" "$ID" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1 || { cat "$BATS_TEST_TMPDIR/out" >&2; return 1; }
}

# Waits (60 s by default, WAIT=seconds) until the command succeeds.
wait_for() {
	local end=$((SECONDS + ${WAIT:-60}))
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || { echo "waited in vain for: $*" >&2; return 1; }
		sleep 0.05
	done
}

status_is() { [[ $(amphi state "$1" 2>/dev/null) == *"\"status\": \"$2\""* ]]; }
pid_of() { [[ $(amphi state "$1") =~ \"pid\":\ ([0-9]+) ]] && echo "${BASH_REMATCH[1]}"; }
# Ended, whether or not somebody waited for it.
gone() { ! grep -q '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$1/status" 2>/dev/null; }

# The debug build, whose AMPHI_STOP_AT names the place where it is killed; for setup_file.
debug_build() {
	[ -n "${AMPHI_DEBUG_BUILD:-}" ] || "$AMPHI_TOP/tests/debug-build" >/dev/null 2>&3
}
use_debug_build() {
	AMPHI=${AMPHI_DEBUG_BUILD:-$AMPHI_TOP/build/debug}/amphi
	export AMPHI_LIBEXEC=$AMPHI_BUILD
}
# amphi killed at a point; 137 says that it got there. Its output and the workload's go to $OUT.
killed_at() { # POINT COMMAND...
	local code=0
	(export AMPHI_STOP_AT=$1; shift; amphi "$@") </dev/null >>"$OUT" 2>&1 || code=$?
	[ "$code" = 137 ] || { echo "$1: exit $code, not killed: $(cat "$OUT")" >&2; return 1; }
}

# Readable failures: the last run's status and output.
check_status() { # WANT
	[ "$status" -eq "$1" ] || { echo "status $status, expected $1; output: $output ${stderr:-}" >&2; return 1; }
}
check_output() { # PART
	[[ "$output" == *"$1"* ]] || { echo "output lacks '$1': $output ${stderr:-}" >&2; return 1; }
}

# Removes this test's containers and looks for what they may have left.
teardown_all() {
	local id left=0 line own
	[ -n "${ROOT:-}" ] || return 0
	shopt -s nullglob
	for id in "$ROOT"/*/; do
		id=${id%/} id=${id##*/}
		[ "$id" != "${SHARED:-}" ] || continue
		timeout 60 "$AMPHI" --root "$ROOT" delete --force "$id" >/dev/null 2>&1 || { echo "delete --force $id fails" >&2; left=1; }
	done
	mapfile -t own </proc/self/mountinfo
	if [[ ${own[*]} == *" $BATS_TEST_TMPDIR"* ]]; then
		while read -r line; do
			echo "left mounted: $line" >&2
			umount -l "$line"
			left=1
		done < <(awk -v d="$BATS_TEST_TMPDIR" 'index($5, d) == 1 { print $5 }' /proc/self/mountinfo | sort -r)
	fi
	own=(/sys/fs/cgroup/{,*/,*/*/,*/*/*/}[a]mphi-test-$$)
	for line in "${own[@]}"; do
		for line in "$line"/*/; do
			line=${line%/}
			[[ -z "${SHARED:-}" || "$line" != */"$SHARED" ]] || continue
			echo "left cgroup: $line" >&2
			find "$line" -depth -type d -exec rmdir {} +
			left=1
		done
	done
	[ ${#own[@]} = 0 ] || rmdir "${own[@]}" 2>/dev/null || :
	shopt -u nullglob
	return $left
}

# Machines: a kernel store of the build's own, filled once; in the lab or offline by AMPHI_KERNEL_PACKAGE.
setup_vm() {
	export AMPHI_KERNELS=${AMPHI_KERNELS:-$AMPHI_BUILD/kernels}
	[ ! -L "$AMPHI_KERNELS/default" ] || return 0
	mkdir -p "$AMPHI_KERNELS"
	(
		flock 9
		[ ! -L "$AMPHI_KERNELS/default" ] || exit 0
		package=${AMPHI_KERNEL_PACKAGE:-$("$AMPHI_TOP/contrib/fetch-kernel" "$AMPHI_BUILD/kernel-package" 9>&-)} || exit 1
		"$AMPHI" kernel add "$package" >/dev/null
	) 9>"$AMPHI_KERNELS.lock" || skip "needs a kernel for machines (contrib/fetch-kernel)"
}
