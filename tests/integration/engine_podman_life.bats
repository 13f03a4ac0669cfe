# SPDX-License-Identifier: Apache-2.0
# backends: container
# podman's commands on containers that live: files in and out, logs, attach, exec, signals, restarts, events.
load podman.bash

state() { engine_podman inspect -f '{{.State.Status}} {{.State.ExitCode}}' "$NAME"; }
state_is() { [ "$(state)" = "$1" ]; }

@test "podman cp: into and out of a running, a paused and a stopped container" {
	echo from-host >"$BATS_TEST_TMPDIR/in"
	mkdir -p "$BATS_TEST_TMPDIR/vol"
	pod_run -d --name "$NAME" -v "$BATS_TEST_TMPDIR/vol:/vol" bb:1 sleep 1000
	engine_podman cp "$BATS_TEST_TMPDIR/in" "$NAME:/tmp/in"
	engine_podman cp "$BATS_TEST_TMPDIR/in" "$NAME:/vol/in"
	run -0 engine_podman exec "$NAME" cat /tmp/in /vol/in
	[ "$output" = $'from-host\nfrom-host' ]
	[ "$(cat "$BATS_TEST_TMPDIR/vol/in")" = from-host ]
	engine_podman exec "$NAME" sh -c 'echo from-inside >/root/out'
	engine_podman cp "$NAME:/root/out" "$BATS_TEST_TMPDIR/out"
	[ "$(cat "$BATS_TEST_TMPDIR/out")" = from-inside ]
	run ! engine_podman cp "$NAME:/no-such-file" "$BATS_TEST_TMPDIR/none"
	check_output "no such file"
	if is_vm; then
		run ! engine_podman cp "$BATS_TEST_TMPDIR/in" "$NAME:/dev/shm/in" # memory of the machine: told, not lost
	else
		engine_podman cp "$BATS_TEST_TMPDIR/in" "$NAME:/dev/shm/in"
		run -0 engine_podman exec "$NAME" cat /dev/shm/in
		check_output from-host
	fi
	engine_podman pause "$NAME"
	engine_podman cp "$BATS_TEST_TMPDIR/in" "$NAME:/tmp/paused"
	engine_podman unpause "$NAME"
	run -0 engine_podman exec "$NAME" cat /tmp/paused
	engine_podman stop -t 0 "$NAME"
	engine_podman cp "$BATS_TEST_TMPDIR/in" "$NAME:/tmp/stopped"
	engine_podman cp "$NAME:/tmp/stopped" "$BATS_TEST_TMPDIR/stopped"
	[ "$(cat "$BATS_TEST_TMPDIR/stopped")" = from-host ]
}

@test "podman diff, commit, export" {
	pod_run --name "$NAME" bb:1 sh -c 'echo made >/made; rm /bin/vi; chmod 600 /etc/group'
	run -0 engine_podman diff "$NAME"
	for line in "A /made" "D /bin/vi" "C /etc/group"; do check_output "$line"; done
	engine_podman commit -q "$NAME" "im:$BATS_TEST_NUMBER" >/dev/null
	run -0 pod_run --rm "im:$BATS_TEST_NUMBER" cat /made
	check_output made
	engine_podman export -o "$BATS_TEST_TMPDIR/x.tar" "$NAME"
	tar -tf "$BATS_TEST_TMPDIR/x.tar" made
	run ! tar -tf "$BATS_TEST_TMPDIR/x.tar" bin/vi
}

@test "podman logs -f, wait, attach with input" {
	pod_run -d --name "$NAME" bb:1 sh -c 'for i in 1 2 3; do echo "line $i"; echo "err $i" >&2; sleep 0.2; done; exit 5'
	run -0 engine_podman logs -f "$NAME"
	for i in 1 2 3; do check_output "line $i"; check_output "err $i"; done
	run -0 engine_podman wait "$NAME"
	check_output 5
	engine_podman create -i --network none --name "$NAME-i" bb:1 sh -c 'read x; echo "got $x"; exit 3' >/dev/null
	run engine_podman start -ai "$NAME-i" <<<typed
	check_status 3
	check_output "got typed"
}

@test "podman exec: -d -e -u -w -i -t --privileged, exit codes" {
	pod_run -d --name "$NAME" --cap-drop all bb:1 sleep 1000
	engine_podman exec -d "$NAME" sh -c 'echo detached >/tmp/d'
	wait_for engine_podman exec "$NAME" test -s /tmp/d
	run -0 engine_podman exec -e A=b -u 1000:77 -w /tmp "$NAME" sh -c 'echo $A; id; pwd'
	for word in b "uid=1000" "gid=77" /tmp; do check_output "$word"; done
	run -0 engine_podman exec -i "$NAME" cat <<<through
	check_output through
	run -0 engine_podman exec --privileged "$NAME" grep CapEff /proc/self/status
	[[ "$output" != *0000000000000000* ]]
	run -126 engine_podman exec "$NAME" /etc/passwd
	run -127 engine_podman exec "$NAME" no-such-program
	run engine_podman exec "$NAME" sh -c 'kill -9 $$'
	check_status 137
	run ! engine_podman exec -u no-such-user "$NAME" true
	run ! engine_podman exec -w /no-such-directory "$NAME" true
	is_vm || { # the exec sessions' processes are in the container's group
		engine_podman exec -d "$NAME" sleep 777
		run -0 engine_podman top "$NAME" args
		check_output "sleep 777"
	}
}

@test "podman kill by signals, stop with a time limit, restart, start of what has ended" {
	pod_run -d --name "$NAME" bb:1 sh -c 'trap "echo one" USR1; trap "" TERM; echo ready; while :; do sleep 0.1; done'
	logged() { engine_podman logs "$NAME" 2>&1 | grep -q "$1"; }
	wait_for logged ready
	engine_podman kill -s USR1 "$NAME"
	wait_for logged one
	engine_podman stop -t 1 "$NAME"
	run -0 state
	check_output "exited 137"
	engine_podman start "$NAME"
	engine_podman restart -t 0 "$NAME"
	run -0 state
	check_output "running 0"
	engine_podman kill "$NAME"
	wait_for state_is "exited 137"
}

@test "podman restart policy" {
	pod_run -d --name "$NAME" --restart on-failure:2 bb:1 sh -c 'echo attempt; exit 3'
	ended() { [ "$(engine_podman inspect -f '{{.State.Status}} {{.RestartCount}}' "$NAME")" = "exited 2" ]; }
	wait_for ended
	[ "$(engine_podman logs "$NAME" | grep -c attempt)" = 3 ]
	run -0 state
	check_output "exited 3"
}

@test "podman events and the exit code in them, out of memory" {
	pod_run --name "$NAME" bb:1 sh -c 'exit 5' || :
	run -0 engine_podman events --stream=false --since 10m --filter "container=$NAME" --format '{{.Status}} {{.ContainerExitCode}}'
	for word in "create 0" "init 0" "start 0" "died 5"; do check_output "$word"; done
	run pod_run --name "$NAME-o" --memory 32m --memory-swap 32m bb:1 \
		sh -c 'x=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; while :; do x=$x$x; done'
	check_status 137
}

@test "podman run --rm leaves nothing" {
	groups() { find /sys/fs/cgroup -type d -path '*libpod*' | grep -c "$1" || :; }
	cid=$(pod_run -d --rm bb:1 sleep 1000)
	engine_podman stop -t 0 "$cid" >/dev/null
	removed() { ! engine_podman container exists "$cid"; }
	wait_for removed
	[ "$(groups "$cid")" = 0 ]
	! grep -q "$cid" /proc/self/mountinfo
	[ -z "$(ls -d /run/amphi/"$cid" 2>/dev/null)" ]
	run ! pod_run --rm --name "$NAME" bb:1 no-such-program
	run ! engine_podman container exists "$NAME"
	[ "$(engine_podman ps -aq | wc -l)" = 0 ]
}

@test "podman stats and top show sensible figures" {
	pod_run -d --name "$NAME" --memory 64m bb:1 sh -c 'while :; do :; done'
	used() { [ "$(engine_podman stats --no-stream --format json "$NAME" | jq -r '.[0].cpu_time' | tr -d '.a-z%')" -gt 0 ]; }
	wait_for used
	run -0 engine_podman stats --no-stream --format json "$NAME"
	[ "$(jq -r '.[0].pids' <<<"$output")" -ge 1 ]
	check_output "67.11MB"
	is_vm || [[ "$(jq -r '.[0].mem_percent' <<<"$output")" =~ ^[0-9]{1,2}\. ]]
	run -0 engine_podman top "$NAME" pid comm
	check_output "$(is_vm && echo amphi || echo sh)"
	run -0 engine_podman top "$NAME" aux # by ps in the container
	check_output "while"
}

@test "podman update: memory, cpus, pids of a running container" {
	pod_run -d --name "$NAME" --memory 64m --memory-swap 64m bb:1 sleep 1000
	engine_podman update --memory 48m --memory-swap 48m --cpus 0.3 --cpu-shares 256 "$NAME"
	is_vm || {
		pid=$(engine_podman inspect -f '{{.State.Pid}}' "$NAME")
		path=$(awk -F: '$2 == "memory" || $2 == "" { print $3; exit }' "/proc/$pid/cgroup")
		[ "$(cat "/sys/fs/cgroup/memory$path/memory.limit_in_bytes" 2>/dev/null || cat "/sys/fs/cgroup$path/memory.max")" = 50331648 ]
		[[ "$(cat "/sys/fs/cgroup/cpu$path/cpu.cfs_quota_us" 2>/dev/null || cat "/sys/fs/cgroup$path/cpu.max")" =~ ^30000 ]]
	}
}

@test "podman container checkpoint is either done or refused in so many words" {
	pod_run -d --name "$NAME" bb:1 sleep 1000
	run engine_podman container checkpoint "$NAME"
	if [ "$status" -ne 0 ]; then
		[ -n "$output" ]
		run -0 state
		check_output "running"
	fi
}

@test "podman pods: shared net, ipc and uts; stop, start, pause, kill, rm" {
	! is_vm || skip "a machine does not join another container's namespaces; pods are CRI's"
	engine_podman pod create --name "$NAME" --network none --share net,ipc,uts >/dev/null
	engine_podman run -d --pod "$NAME" --name "$NAME-a" bb:1 sh -c 'while :; do echo web | nc -l -p 8080; done' >/dev/null
	run -0 engine_podman run --rm --pod "$NAME" bb:1 sh -c 'until nc 127.0.0.1 8080 2>/dev/null; do sleep 0.1; done; hostname; echo shm >/dev/shm/x'
	check_output web
	check_output "$NAME"
	run -0 engine_podman exec "$NAME-a" cat /dev/shm/x
	check_output shm
	engine_podman pod pause "$NAME"
	run -0 engine_podman inspect -f '{{.State.Status}}' "$NAME-a"
	check_output paused
	engine_podman pod unpause "$NAME"
	engine_podman pod stop -t 0 "$NAME" 2>/dev/null
	engine_podman pod start "$NAME"
	run -0 engine_podman pod inspect -f '{{.State}}' "$NAME"
	check_output Running
	engine_podman pod kill "$NAME"
	engine_podman pod rm -f -t 0 "$NAME"
	run ! engine_podman container exists "$NAME-a"
}

@test "podman kube play and down" {
	! is_vm || skip "a machine does not join another container's namespaces; pods are CRI's"
	mkdir -p "$BATS_TEST_TMPDIR/vol"
	echo volume >"$BATS_TEST_TMPDIR/vol/file"
	cat >"$BATS_TEST_TMPDIR/k.yaml" <<-END
		apiVersion: v1
		kind: Pod
		metadata: {name: kube}
		spec:
		  restartPolicy: Never
		  containers:
		  - name: one
		    image: localhost/bb:1
		    imagePullPolicy: Never
		    command: [/bin/sh, -c, 'echo hello-\$WORD; sleep 1000']
		    env: [{name: WORD, value: there}]
		    resources: {limits: {memory: 64Mi, cpu: 500m}}
		    securityContext: {runAsUser: 1000, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
		    volumeMounts: [{name: v, mountPath: /vol}]
		  - name: two
		    image: localhost/bb:1
		    imagePullPolicy: Never
		    command: [/bin/sh, -c, 'sleep 1000']
		  volumes: [{name: v, hostPath: {path: $BATS_TEST_TMPDIR/vol, type: Directory}}]
	END
	engine_podman kube play --network none "$BATS_TEST_TMPDIR/k.yaml"
	logged() { engine_podman logs kube-one | grep -q hello-there; }
	wait_for logged
	run -0 engine_podman exec kube-one /bin/sh -c '/bin/cat /vol/file; /bin/touch /x || echo read-only; /bin/id -u'
	for word in volume read-only 1000; do check_output "$word"; done
	run -0 engine_podman inspect -f '{{.HostConfig.Memory}} {{.State.Status}}' kube-one
	check_output "67108864 running"
	engine_podman kube down "$BATS_TEST_TMPDIR/k.yaml"
	run ! engine_podman container exists kube-one
}
