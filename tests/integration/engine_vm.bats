# SPDX-License-Identifier: Apache-2.0
# backends: vm
# Machines below podman, buildah and conmon, in few machines: one with a network made by netavark lives as long as the file. The
# other engine files run with machines too: AMPHI_BACKEND=vm tests/bats engine_podman.bats.
load podman.bash

setup_file() {
	need_root
	need_program podman
	need_program conmon
	need_program buildah
	engine_setup
	engine_host
	engine_image
	mkdir -p "$E/vol"
	echo from-host >"$E/vol/file"
	engine_podman network create --subnet 10.97.0.0/24 "net$$" >/dev/null
	engine_podman run -d --name m --network "net$$" -p 8088:80 --memory 128m --health-cmd 'test -e /tmp/healthy' --health-interval disable \
		-v "$E/vol:/vol" bb:1 sh -c 'trap "echo one" USR1; trap "exit 7" TERM; echo ready; (while :; do echo web | nc -l -p 80; done) & while :; do sleep 0.1; done' \
		>/dev/null || engine_podman logs m >&2
}
teardown() { :; } # the machine stays

logged() { engine_podman logs m 2>&1 | grep -q "$1"; }

@test "machine under podman: logs, exec with user, directory, environment, input, exit codes" {
	wait_for logged ready
	run -0 engine_podman exec -e A=b -u 1000:77 -w /tmp m sh -c 'echo $A; id; pwd; uname -r'
	for word in b "uid=1000" "gid=77" /tmp; do check_output "$word"; done
	[[ "$output" != *"$(uname -r)"* ]]
	run -0 engine_podman exec -i m cat <<<through
	check_output through
	run engine_podman exec m sh -c 'exit 3'
	check_status 3
	run -127 engine_podman exec m no-such-program
	run -0 engine_podman exec -t m tty
	check_output /dev/pts
	engine_podman exec -d m sh -c 'echo detached >/tmp/d'
	wait_for engine_podman exec m test -s /tmp/d
}

@test "machine under podman: address and published port of a network made by netavark" {
	run -0 engine_podman exec m ip addr show eth0
	check_output "$(engine_podman inspect -f "{{(index .NetworkSettings.Networks \"net$(basename "$E/networks"/net*.json .json | tr -dc 0-9)\").IPAddress}}" m)/24"
	run -0 engine_podman port m
	check_output 8088
	answers() { [ "$(engine_on_host socat -T5 - TCP:127.0.0.1:8088,connect-timeout=5 </dev/null)" = web ]; }
	wait_for answers
	run -0 engine_podman exec m ping -c 1 10.97.0.1
}

@test "machine under podman: volumes both ways, cp, diff" {
	run -0 engine_podman exec m sh -c 'cat /vol/file; echo from-inside >/vol/back; echo kept >/root/out'
	check_output from-host
	[ "$(cat "$E/vol/back")" = from-inside ]
	run -0 engine_podman diff m
	check_output "A /root/out"
	engine_podman cp "$E/vol/file" m:/root/in
	engine_podman cp "$E/vol/file" m:/vol/in
	run -0 engine_podman exec m cat /root/in /vol/in
	[ "$output" = $'from-host\nfrom-host' ]
	engine_podman cp m:/root/out "$BATS_TEST_TMPDIR/out"
	[ "$(cat "$BATS_TEST_TMPDIR/out")" = kept ]
	run ! engine_podman cp "$E/vol/file" m:/dev/shm/in # memory of the machine: told, not lost
}

@test "machine under podman: stats, top, healthcheck, inspect" {
	run -0 engine_podman stats --no-stream --format json m
	[ "$(jq -r '.[0].pids' <<<"$output")" -ge 1 ]
	[[ "$(jq -r '.[0].mem_usage' <<<"$output")" =~ MB ]]
	run -0 engine_podman top m pid comm
	check_output "amphi:[vmm]"
	run -0 engine_podman top m -ef
	check_output "sleep 0.1"
	run ! engine_podman healthcheck run m
	engine_podman exec m touch /tmp/healthy
	engine_podman healthcheck run m
}

@test "machine under podman: pause, update, signals, stop with its exit code" {
	engine_podman pause m
	run -0 engine_podman inspect -f '{{.State.Status}}' m
	check_output paused
	engine_podman unpause m
	engine_podman update --memory 96m --cpus 0.9 m
	engine_podman kill -s USR1 m
	wait_for logged one
	engine_podman stop -t 100 m
	run -0 engine_podman inspect -f '{{.State.ExitCode}} {{.State.Status}}' m
	check_output "7 exited"
}

@test "machine under podman: what options ask for is seen inside" {
	run pod_run --name "$NAME" --init --read-only --tmpfs /t:size=1m -v "named$$:/named:U" -v "$E/vol:/ro:ro" -v "$E/vol:/over:O" --user 1000 \
		--group-add 77 --cap-drop all --cap-add chown --security-opt no-new-privileges --hostname box --umask 077 --sysctl kernel.msgmax=9999 \
		--ulimit nofile=99:99 --ulimit nproc=50:50 -w /named -e WORD=hello bb:1 sh -c 'tr "\0" " " </proc/1/cmdline; echo; id; hostname; umask; pwd; echo $WORD
			grep -E "^(CapBnd|NoNewPrivs|Seccomp):" /proc/self/status | tr -s "\t" " "; ulimit -n; cat /proc/sys/kernel/msgmax
			touch /x || echo read-only; touch /ro/x || echo volume-read-only; touch /t/x && echo scratch; echo mine >/named/file
			cat /over/file; echo x >/over/x; echo err >&2; exit 9'
	check_status 9
	for word in podman-init uid=1000 77 box 0077 /named hello "CapBnd: 0000000000000001" "NoNewPrivs: 1" "Seccomp: 2" 99 9999 \
		read-only volume-read-only scratch from-host err; do check_output "$word"; done
	[ ! -e "$E/vol/x" ]
	[ "$(cat "$(engine_podman volume inspect -f '{{.Mountpoint}}' "named$$")/file")" = mine ]
}

@test "machine under podman: errors have the exit codes of a container" {
	run -127 pod_run --rm bb:1 no-such-program
	check_output "executable file not found"
	run -126 pod_run --rm bb:1 /etc/passwd
	check_output "permission denied"
	run ! engine_podman container exists "$NAME"
}

@test "machine under podman: terminal, memory of the machine used up" {
	run -0 pod_run --rm -t --uts host bb:1 sh -c 'tty; stty size; hostname'
	check_output /dev/pts/0
	check_output "$(hostname)"
	run pod_run --rm --memory 64m bb:1 sh -c 'x=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; while :; do x=$x$x; done'
	check_status 137
}

@test "machine under podman: a pod's containers in one machine, one of them privileged" {
	engine_podman pod create --name "pod$$" --infra-image bb:1 --infra-command "sleep 1000" --network none
	engine_podman run -d --pod "pod$$" --name "$NAME" bb:1 sleep 1000
	run -0 engine_podman run --pod "pod$$" --privileged bb:1 sh -c 'cat /proc/sys/kernel/random/boot_id; mkdir -p /m && mount -t tmpfs none /m && echo mounted'
	check_output mounted
	[ "$(engine_podman exec "$NAME" cat /proc/sys/kernel/random/boot_id)" = "${lines[0]}" ]
	[ "$(cat /proc/sys/kernel/random/boot_id)" != "${lines[0]}" ]
	engine_podman pod rm -f -t 0 "pod$$"
}

@test "machine under podman: what cannot be is refused by name" {
	for option in "--pid host" "--ipc container:m" "--pid container:m" "--device /dev/loop-control"; do
		# shellcheck disable=SC2086
		run -126 pod_run --rm $option bb:1 true
		check_output "in a machine (--isolation vm)"
	done
}

@test "machine under buildah: RUN, its exit code, what it leaves" {
	export BUILDAH_RUNTIME
	BUILDAH_RUNTIME=$(engine_runtime)
	b() { timeout 120 buildah --root "$E/root" --runroot "$E/run" --storage-driver vfs "$@"; }
	c=$(b from --pull-never bb:1)
	run -0 b run --isolation oci --network none "$c" -- sh -c 'uname -r >/kernel; echo said'
	check_output said
	run ! b run --isolation oci --network none "$c" -- sh -c 'exit 6'
	check_output 6
	m=$(b mount "$c")
	[ "$(cat "$m/kernel")" != "$(uname -r)" ]
	b rm "$c"
}

@test "machine under buildah: a build with cache and tmpfs mounts" {
	export BUILDAH_RUNTIME
	BUILDAH_RUNTIME=$(engine_runtime)
	printf 'FROM bb:1\nRUN --mount=type=cache,target=/cache --mount=type=tmpfs,target=/t echo kept >/cache/x && touch /t/y && cp /cache/x /from\n' >"$E/Containerfile"
	b() { TMPDIR=$BATS_TEST_TMPDIR timeout 120 buildah --root "$E/root" --runroot "$E/run" --storage-driver vfs "$@"; }
	b build --isolation oci --network none --pull-never -t cached:1 -f "$E/Containerfile" "$BATS_TEST_TMPDIR"
	c=$(b from --pull-never cached:1)
	[ "$(cat "$(b mount "$c")/from")" = kept ]
	b rm "$c"
}

@test "machine under podman: with a user namespace its network is made between create and start" {
	engine_podman network create --subnet 10.96.0.0/24 "late$$" >/dev/null
	run -0 engine_podman run --rm --memory 128m --uidmap 0:5000:1000 --gidmap 0:5000:1000 --network "late$$" bb:1 \
		sh -c 'ip -4 addr show eth0; cat /proc/self/uid_map; nc -w 5 10.96.0.1 1 </dev/null; ip neigh'
	[[ "$output" =~ 10\.96\.0\.[0-9]+/24 ]]
	[[ "$output" =~ 0[[:space:]]+5000[[:space:]]+1000 ]]
	[[ "$output" =~ 10\.96\.0\.1\ .*lladdr ]]
}
