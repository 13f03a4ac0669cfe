# SPDX-License-Identifier: Apache-2.0
# checkpoint and restore through criu. Where criu does not work on the kernel, what is refused, and how; else all of it.
# backends: container vm

load helpers

setup() {
	need_root
	setup_bundle
	IMAGES=$BATS_TEST_TMPDIR/images
}
teardown() { teardown_all; }

criu_works() { command -v criu >/dev/null && criu check >/dev/null 2>&1; }
need_criu() {
	skip_in_vm "refused"
	criu_works || skip "needs a criu that works on this kernel: $(criu check 2>&1 | head -n 1)"
}

# A workload that counts in /count, in an own directory and in memory alike.
counting() {
	config_args sh -c 'i=0; while [ ! -e /go ]; do i=$((i + 1)); echo $i >/count; sleep 0.05; done; exit 7'
	amphi run -d --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
	wait_for counted_to 3
}
count() { cat "$BUNDLE/rootfs/count"; }
counted_to() { [ "$(count)" -ge "$1" ]; }

@test "checkpoint: without a criu that works both commands say so, and nothing changes" {
	skip_in_vm "refused"
	! criu_works || skip "criu works here"
	counting
	run -1 amphi checkpoint --image-path "$IMAGES" "$ID"
	check_output criu
	status_is "$ID" running
	config '.linux.cgroupsPath += "-2"'
	run -1 amphi restore --image-path "$IMAGES" --bundle "$BUNDLE" "$ID-2"
	check_output criu
	[ ! -e "$ROOT/$ID-2" ]
}

@test "checkpoint: words that cannot be are refused by their option" {
	skip_in_vm "refused"
	refused() { # TEXT OPTION...
		run -1 amphi checkpoint --image-path "$IMAGES" "${@:2}" "$ID"
		check_output "$1"
	}
	refused "--parent-path must be relative" --parent-path /x
	refused "invalid --parent-path" --parent-path x
	refused "Invalid manage-cgroups-mode" --manage-cgroups-mode some
	refused "Use --page-server ADDRESS:PORT" --page-server localhost
	refused "--empty-ns" --empty-ns ipc
	refused "--status-fd" --status-fd 200
	refused "--network-lock" --network-lock none
	refused "container does not exist" --tcp-established
	run -1 amphi restore --image-path "$BATS_TEST_TMPDIR/none" --bundle "$BUNDLE" "$ID"
	check_output "--image-path"
	run -1 amphi restore --lsm-mount-context
	check_output "requires an argument"
	config_args sleep 1000
	amphi create --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
	refused "Container cannot be checkpointed in created state"
}

@test "checkpoint: a machine refuses images of criu by name" {
	is_vm || skip "for machines"
	mkdir "$IMAGES"
	run -1 amphi restore --image-path "$IMAGES" --bundle "$BUNDLE" "$ID"
	check_output "restore: images of criu cannot be restored in a machine"
}

# bats test_tags=lab:container
@test "checkpoint, restore: the workload goes on where it was" {
	need_criu
	config '.mounts += [{destination: "/tmp/t", type: "tmpfs", source: "tmpfs"},
		{destination: "/link/b", source: $d, options: ["rbind", "ro"]}]' --arg d "$BATS_TEST_TMPDIR/shared"
	mkdir "$BATS_TEST_TMPDIR/shared" "$BUNDLE/rootfs/real"
	ln -s real "$BUNDLE/rootfs/link"
	echo shared >"$BATS_TEST_TMPDIR/shared/f"
	counting
	amphi exec "$ID" sh -c 'echo kept >/tmp/t/f'
	amphi checkpoint --image-path "$IMAGES" "$ID"
	run -1 amphi state "$ID"
	local before
	before=$(count)
	rm "$BUNDLE/rootfs/count"
	amphi restore -d --image-path "$IMAGES" --bundle "$BUNDLE" --pid-file "$BATS_TEST_TMPDIR/pid" "$ID-2" </dev/null >/dev/null 2>&1
	wait_for counted_to $((before + 3))
	status_is "$ID-2" running
	[ "$(cat "$BATS_TEST_TMPDIR/pid")" = "$(pid_of "$ID-2")" ]
	run -0 amphi exec "$ID-2" sh -c 'cat /tmp/t/f /real/b/f; [ ! -s /proc/keys ] && echo masked; cat /proc/self/cgroup | tail -n 1'
	[ "${lines[0]}" = kept ]
	[ "${lines[1]}" = shared ]
	[ "${lines[2]}" = masked ]
	[ "${lines[3]}" = "0::/" ]
	grep -q "$ID" "/proc/$(pid_of "$ID-2")/cgroup"
	amphi delete --force "$ID-2"
}

# bats test_tags=lab:container
@test "checkpoint, restore: --leave-running, --pre-dump, and a foreground with pipes and an exit code" {
	need_criu
	config_args sh -c 'while [ ! -e /go ]; do sleep 0.05; done; echo gone; exit 7'
	amphi run -d --bundle "$BUNDLE" "$ID" </dev/null 2>/dev/null | cat >"$BATS_TEST_TMPDIR/first" 3>&- &
	wait_for status_is "$ID" running
	local parent=()
	if criu check --feature mem_dirty_track; then
		amphi checkpoint --pre-dump --image-path "$IMAGES/0" "$ID"
		status_is "$ID" running
		parent=(--parent-path ../0)
	else
		run -1 amphi checkpoint --pre-dump --image-path "$IMAGES/0" "$ID"
		check_output "--pre-dump: this kernel"
	fi
	amphi checkpoint --leave-running "${parent[@]}" --image-path "$IMAGES/1" "$ID"
	status_is "$ID" running
	amphi delete --force "$ID"
	touch "$BUNDLE/rootfs/go"
	run -7 amphi restore --image-path "$IMAGES/1" --bundle "$BUNDLE" "$ID-2" </dev/null
	check_output gone
	[ ! -e "$ROOT/$ID-2" ]
}

@test "checkpoint: a mount with mapped ids is refused by its path" {
	skip_in_vm "refused"
	mkdir "$BATS_TEST_TMPDIR/src"
	config '.mounts += [{destination: "/foo", type: "bind", source: $s, options: ["bind", "idmap"],
		uidMappings: [{containerID: 0, hostID: 5, size: 10}], gidMappings: [{containerID: 0, hostID: 5, size: 10}]}]' --arg s "$BATS_TEST_TMPDIR/src"
	config_args sleep 1000
	detached || skip "needs a filesystem with idmapped mounts"
	run -1 amphi checkpoint --image-path "$IMAGES" "$ID"
	check_output "criu cannot save an id-mapped mount (/foo)"
	status_is "$ID" running
}
