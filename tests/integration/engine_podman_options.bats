# SPDX-License-Identifier: Apache-2.0
# backends: container
# podman's options that become something in config.json: each seen from inside.
load podman.bash

@test "podman volumes: named, chowned (:U), overlay (:O), read-only, of an image" {
	local lower=$BATS_TEST_TMPDIR/lower
	mkdir "$lower"
	echo lower >"$lower/file"
	run -0 pod_run --rm --user 1000:1000 -v "named$BATS_TEST_NUMBER:/named:U" -v "$lower:/over:O" -v "$lower:/ro:ro" \
		--mount type=image,src=bb:1,dst=/image bb:1 \
		sh -c 'echo kept >/named/file && stat -c "named %u" /named; cat /over/file; echo x >/ro/x || echo refused; ls /image/bin/busybox'
	for word in "named 1000" lower refused /image/bin/busybox; do check_output "$word"; done
	run -0 pod_run --rm -v "named$BATS_TEST_NUMBER:/named" -v "$lower:/over:O" bb:1 sh -c 'cat /named/file; echo new >/over/new; ls /over'
	check_output kept
	check_output new
	[ "$(ls "$lower")" = file ]
}

@test "podman mappings: --uidmap with a chowned volume, files have the mapped owner" {
	run -0 pod_run --rm --uidmap 0:5000:100 --gidmap 0:5000:100 -v "mapped$BATS_TEST_NUMBER:/v:U" bb:1 \
		sh -c 'touch /v/x; stat -c "inside %u" /v/x; cat /proc/self/uid_map; touch /bin/x && echo root'
	check_output "inside 0"
	[[ "$output" =~ 0[[:space:]]+5000[[:space:]]+100 ]]
	check_output root
	[ "$(stat -c %u "$(engine_podman volume inspect -f '{{.Mountpoint}}' "mapped$BATS_TEST_NUMBER")/x")" = 5000 ]
}

@test "podman --userns=auto: each container has ids of its own" {
	grep -q ^containers: /etc/subuid 2>/dev/null || skip "needs ids for the user \"containers\" in /etc/subuid"
	run -0 pod_run --rm --userns=auto:size=1024 bb:1 cat /proc/self/uid_map
	[[ "$output" =~ 0[[:space:]]+[1-9][0-9]*[[:space:]]+1024 ]]
}

@test "podman secrets: as a file and as a variable" {
	printf hidden | engine_podman secret create "s$BATS_TEST_NUMBER" - >/dev/null
	run -0 pod_run --rm --secret "s$BATS_TEST_NUMBER,mode=0400,uid=1000" --secret "s$BATS_TEST_NUMBER,type=env,target=WORD" --user 1000 bb:1 \
		sh -c "cat /run/secrets/s$BATS_TEST_NUMBER; stat -c ' %a %u' /run/secrets/s$BATS_TEST_NUMBER; echo \$WORD"
	check_output "hidden 400 1000"
	check_output $'\nhidden'
	engine_podman secret rm "s$BATS_TEST_NUMBER"
}

@test "podman --init, --read-only with its tmpfs, --hostname, --shm-size, --umask, --group-add" {
	run -0 pod_run --rm --init --read-only --tmpfs /t:size=1m,mode=700 --hostname box --shm-size 2m \
		--umask 077 --user 1000 --group-add 77 bb:1 sh -c \
		'tr "\0" " " </proc/1/cmdline; echo; hostname; df -k /dev/shm /t | tail -2; umask; id; touch /x || echo read-only; touch /run/x /tmp/x /dev/shm/x && echo scratch; stat -c "t %a" /t'
	for word in podman-init box 0077 uid=1000 77 read-only "t 700"; do check_output "$word"; done
	[[ "$output" =~ 2048[[:space:]] ]]
	[[ "$output" =~ 1024[[:space:]] ]]
}

@test "podman capabilities, seccomp, no-new-privileges, masked paths, sysctl, ulimit, oom score" {
	run -0 pod_run --rm --cap-drop all --cap-add chown --cap-add net_raw --security-opt no-new-privileges \
		--security-opt mask=/proc/uptime --sysctl kernel.msgmax=9999 --ulimit nofile=99:99 --ulimit nproc=4096:4096 --oom-score-adj 100 bb:1 sh -c \
		'grep -E "^(CapBnd|CapEff|NoNewPrivs|Seccomp):" /proc/self/status | tr -s "\t" " "; wc -c </proc/uptime; cat /proc/sys/kernel/msgmax /proc/self/oom_score_adj; ulimit -n'
	for word in "CapBnd: 0000000000002001" "CapEff: 0000000000002001" "NoNewPrivs: 1" "Seccomp: 2" 9999 99; do check_output "$word"; done
	is_vm || check_output 100
	[ "${lines[4]}" = 0 ] # /dev/null bound over it
}

@test "podman --pids-limit -1: none, also in podman 4's words for it" {
	run -0 pod_run --rm --pids-limit -1 bb:1 sh -c 'true & wait; echo forked'
	check_output forked
}

@test "podman devices" {
	run -0 pod_run --rm --device /dev/null:/dev/nothing:r bb:1 stat -c '%t:%T' /dev/nothing
	check_output 1:3
	run pod_run --rm --device /dev/no-such-device bb:1 true
	[ "$status" -ne 0 ]
	check_output no-such-device
}

@test "podman --privileged" {
	! is_vm || skip "the devices of the host do not exist in a machine"
	run -0 pod_run --rm --privileged bb:1 sh -c 'grep -E "^(CapEff|Seccomp):" /proc/self/status | tr -s "\t" " "; mount -t tmpfs none /mnt 2>/dev/null || mkdir /m && mount -t tmpfs none /m && echo mounted'
	check_output "Seccomp: 0"
	check_output mounted
	check_output "CapEff: $(grep CapEff /proc/self/status | tr -s '\t' ' ' | cut -d' ' -f2)"
}

@test "podman namespaces of the host: pid, ipc, uts, cgroup" {
	! is_vm || skip "a machine does not share the host's namespaces"
	run -0 pod_run --rm --pid host --ipc host --uts host --cgroupns host bb:1 sh -c 'for n in pid ipc uts cgroup; do readlink /proc/self/ns/$n; done; hostname'
	for n in pid ipc uts cgroup; do check_output "$(readlink /proc/self/ns/$n)"; done
	check_output "$(hostname)"
}

@test "podman --preserve-fds, --timeout, --env-file, --entrypoint, --rootfs" {
	echo FROM=file >"$BATS_TEST_TMPDIR/env"
	run -0 pod_run --rm --env-file "$BATS_TEST_TMPDIR/env" --entrypoint '["sh","-c"]' bb:1 'echo $FROM'
	check_output file
	run pod_run --rm --timeout 1 bb:1 sleep 1000
	check_status 255
	! is_vm || return 0
	echo passed >"$BATS_TEST_TMPDIR/fd"
	run -0 pod_run --rm --preserve-fds 1 bb:1 sh -c 'cat <&3' 3<"$BATS_TEST_TMPDIR/fd"
	check_output passed
	mkdir "$BATS_TEST_TMPDIR/root"
	fill_rootfs "$BATS_TEST_TMPDIR/root"
	run -0 pod_run --rm --rootfs "$BATS_TEST_TMPDIR/root" echo own root
	check_output "own root"
}

@test "podman: what the host refuses is named" {
	run pod_run --rm --sysctl kernel.hostname=x bb:1 true
	[ "$status" -ne 0 ]
	check_output kernel.hostname
	run pod_run --rm --user no-such-user bb:1 true
	[ "$status" -ne 0 ]
	check_output no-such-user
	! is_vm || return 0
	run pod_run --rm --cpuset-cpus 9999 bb:1 true
	[ "$status" -ne 0 ]
	run pod_run --rm --memory 1k bb:1 true
	[ "$status" -ne 0 ]
	run pod_run --rm --security-opt apparmor=no-such-profile bb:1 true
	[ "$status" -ne 0 ]
}
