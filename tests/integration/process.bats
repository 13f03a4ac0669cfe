# SPDX-License-Identifier: Apache-2.0
# backends: container vm
# The process: user, capabilities, limits, environment, working directory, errors of the executable, attributes.
load helpers

setup_file() { share_machine; }
teardown_file() { end_machine; }

setup() { setup_bundle; }
teardown() { teardown_all; }
go() {
	config_args sh -c "$1"
	run amphi run --bundle "$BUNDLE" "$ID" </dev/null
	check_status 0
}
status_line() { printf "sed -n 's/^%s:[[:space:]]*//p' /proc/self/status" "$1"; }

@test "process: user, groups, umask, HOME" {
	config '.process.user = {uid: 1000, gid: 1001, additionalGids: [5, 6], umask: 23}'
	go 'id -u; id -g; id -G; umask; echo $HOME; touch /tmp/f; stat -c "%u %g" /tmp/f'
	[ "$output" = $'1000\n1001\n1001 5 6\n0027\n/home\n1000 1001' ]
	config '.process.user = {uid: 4242, gid: 0} | .process.env += ["HOME="]'
	go 'umask; echo $HOME'
	[ "$output" = $'0022\n/' ]
	config '.process.env += ["HOME=/own"]'
	go 'echo $HOME'
	[ "$output" = /own ]
	skip_in_vm "groups of the host"
	config '.annotations = {"run.oci.keep_original_groups": "1"}'
	config_args id -G
	run -0 setpriv --groups 7,8 "$AMPHI" --root "$ROOT" run --bundle "$BUNDLE" "$ID" </dev/null
	[ "$output" = "0 7 8" ]
}

@test "process: the environment is the document's and nothing else" {
	config '.process.env = ["PATH=/bin", "A=first", "B=with=equals and blanks", "A=last"]'
	config_args env
	LEAK=1 run -0 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	[ "$(sort <<<"$output")" = $'A=last\nB=with=equals and blanks\nHOME=/root\nPATH=/bin' ]
}

@test "process: five capability sets" {
	config '.process.capabilities = {bounding: ["CAP_KILL", "CAP_CHOWN"], permitted: ["CAP_KILL", "CAP_CHOWN"], effective: ["CAP_KILL"], inheritable: ["CAP_KILL"], ambient: ["CAP_KILL"]} |
		.process.user.uid = 1000 | .process.noNewPrivileges = false'
	go "$(status_line CapInh); $(status_line CapPrm); $(status_line CapEff); $(status_line CapBnd); $(status_line CapAmb)"
	[ "$output" = $'0000000000000020\n0000000000000020\n0000000000000020\n0000000000000021\n0000000000000020' ]
	config '.process.capabilities.ambient += ["CAP_CHOWN"]'
	go "$(status_line CapAmb)"
	check_output 0000000000000020
	is_vm || check_output "can't raise ambient capability CAP_CHOWN: "
	config '.process.user.uid = 0 | .process.capabilities = {bounding: ["CAP_KILL"], permitted: ["CAP_KILL"], effective: ["CAP_KILL"]}'
	go "$(status_line CapInh); $(status_line CapPrm); $(status_line CapBnd); $(status_line CapAmb)"
	[ "$output" = $'0000000000000000\n0000000000000020\n0000000000000020\n0000000000000000' ]
	config 'del(.process.capabilities)'
	go "$(status_line CapEff); $(status_line CapBnd)"
	[ "$output" = $'0000000000000000\n0000000000000000' ]
}

@test "process: no_new_privs" {
	config '.process.noNewPrivileges = true'
	go "$(status_line NoNewPrivs)"
	[ "$output" = 1 ]
	config '.process.noNewPrivileges = false'
	go "$(status_line NoNewPrivs)"
	[ "$output" = 0 ]
}

@test "process: rlimits, even very small ones" {
	config '.process.rlimits = [{type: "RLIMIT_NOFILE", soft: 9, hard: 11}, {type: "RLIMIT_CORE", soft: 0, hard: 0}, {type: "RLIMIT_NPROC", soft: 77, hard: 78}]'
	go 'ulimit -n; ulimit -Hn; ulimit -c; grep processes /proc/self/limits'
	[ "${lines[0]}" = 9 ]
	[ "${lines[1]}" = 11 ]
	[ "${lines[2]}" = 0 ]
	[[ "${lines[3]}" =~ 77\ +78 ]]
}

@test "process: oom_score_adj only when given" {
	config '.process.oomScoreAdj = 321'
	go 'cat /proc/self/oom_score_adj'
	[ "$output" = 321 ]
	config 'del(.process.oomScoreAdj)'
	go 'cat /proc/self/oom_score_adj'
	[ "$output" = "$(is_vm && echo 0 || cat /proc/self/oom_score_adj)" ]
}

@test "process: errors of the executable are found by create, in runc's words" {
	echo garbage >"$BUNDLE/rootfs/bin/garbage"
	chmod 755 "$BUNDLE/rootfs/bin/garbage"
	config_args no-such-program
	run -1 amphi create --bundle "$BUNDLE" "$ID" </dev/null
	check_output 'exec: "no-such-program": executable file not found in $PATH'
	config_args /no/such
	run -1 amphi create --bundle "$BUNDLE" "$ID" </dev/null
	check_output 'exec: "/no/such": stat /no/such: no such file or directory'
	config_args /etc/passwd
	run -1 amphi create --bundle "$BUNDLE" "$ID" </dev/null
	check_output 'exec: "/etc/passwd": permission denied'
	config_args /etc
	run -1 amphi create --bundle "$BUNDLE" "$ID" </dev/null
	check_output 'is a directory'
	config_args garbage
	run -1 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	check_output "exec format error"
	is_vm || [ "$output" = "exec /bin/garbage: exec format error" ]
	[ ! -e "$ROOT/$ID" ]
}

@test "process: permission is the user's" {
	printf '#!/bin/sh\necho ran\n' >"$BUNDLE/rootfs/bin/mine"
	chmod 700 "$BUNDLE/rootfs/bin/mine"
	config_args /bin/mine
	config '.process.user = {uid: 1000, gid: 1000}'
	run -1 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	check_output "permission denied"
	config '.process.user = {uid: 0, gid: 0}'
	run -0 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	[ "$output" = ran ]
}

@test "process: working directory" {
	config '.process.cwd = "/made/by/us"'
	go 'pwd'
	[ "$output" = /made/by/us ]
	config '.process.cwd = "/etc/passwd"'
	run -1 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	check_output 'chdir to cwd ("/etc/passwd") set in config.json failed: not a directory'
	mkdir -m 700 "$BUNDLE/rootfs/only"
	chown 1000 "$BUNDLE/rootfs/only"
	config '.process.cwd = "/only" | .process.user = {uid: 1000, gid: 1000}'
	go 'pwd'
	[ "$output" = /only ]
}

@test "process: only the standard streams are open, and preserved fds" {
	config_args sh -c 'ls /proc/$$/fd; :'
	exec 5</etc/hostname 6</etc/hostname
	run -0 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	[ "$output" = $'0\n1\n2' ] || { echo "open: $output" >&2; false; }
	exec 5<&- 6<&-
	! is_vm || return 0
	config_args sh -c 'ls /proc/$$/fd; cat <&4'
	echo four >"$BATS_TEST_TMPDIR/four"
	run -0 env F="$BATS_TEST_TMPDIR/four" bash -c 'for fd in $(seq 5 30); do eval "exec $fd<&-"; done; exec 3</dev/null 4<"$F" 5</dev/null; exec "$@"' - \
		"$AMPHI" --root "$ROOT" run --preserve-fds 2 --bundle "$BUNDLE" "$ID" </dev/null
	[ "$output" = $'0\n1\n2\n3\n4\nfour' ]
	# what is not open is passed over, and nothing of ours is seen there
	config_args sh -c 'ls /proc/$$/fd; cat <&12'
	run -0 --separate-stderr env F="$BATS_TEST_TMPDIR/four" bash -c 'for fd in $(seq 3 30); do eval "exec $fd<&-"; done; exec 12<"$F"; exec "$@"' - \
		"$AMPHI" --root "$ROOT" run --preserve-fds 100 --bundle "$BUNDLE" "$ID" </dev/null
	[ "$output" = $'0\n1\n12\n2\nfour' ]
	[[ "$stderr" == *"option --preserve-fds 100: descriptor 3 is not open"* ]]
}

@test "process: signals are at their defaults, a new session is led" {
	config_args sh -c 'grep -E "^Sig(Blk|Ign)" /proc/self/status; [ "$(cut -d" " -f6 /proc/$$/stat)" = $$ ] && echo leader'
	run -0 bash -c 'trap "" PIPE USR1 HUP; exec "$@"' - "$AMPHI" --root "$ROOT" --isolation "$AMPHI_BACKEND" run --bundle "$BUNDLE" "$ID" </dev/null
	[ "$output" = $'SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nleader' ]
}

@test "process: scheduler, I/O priority, personality, memory policy, affinity" {
	config '.process.scheduler = {policy: "SCHED_BATCH", nice: 7} | .process.ioPriority = {class: "IOPRIO_CLASS_BE", priority: 6} | .linux.personality = {domain: "LINUX32"}'
	go 'cut -d" " -f19,41 /proc/self/stat; uname -m; cat /proc/self/status | grep Cpus_allowed_list'
	[ "${lines[0]}" = "7 3" ]
	[ "${lines[1]}" != x86_64 ]
	! is_vm || return 0
	run -0 taskset -c 0 "$AMPHI" --root "$ROOT" run --bundle "$BUNDLE" "$ID" </dev/null
	[[ "${lines[2]}" == *"$(sed -n 's/^Cpus_allowed_list:\s*//p' /proc/self/status)" ]]
	[ -e /proc/self/numa_maps ] || skip "needs NUMA policies"
	config '.linux.memoryPolicy = {mode: "MPOL_BIND", nodes: "0", flags: []}'
	go 'grep -c bind:0 /proc/self/numa_maps'
	[ "$output" -gt 0 ]
}

@test "process: a memory policy or a deadline that cannot be is named" {
	skip_in_vm "the machine's CPUs and nodes are its own"
	config '.process.scheduler = {policy: "SCHED_DEADLINE", runtime: 42000, deadline: 1000000, period: 1000000} | .linux.resources.cpu.cpus = "0"'
	run -1 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	check_output "process scheduler can't be used together with AllowedCPUs"
	config 'del(.linux.resources.cpu)'
	while IFS='|' read -r fields words; do
		config ".process.scheduler = {policy: \"SCHED_DEADLINE\", $fields}"
		run -1 amphi run --bundle "$BUNDLE" "$ID" </dev/null
		check_output "sched_setattr: \`SCHED_DEADLINE\` $words"
	done <<-'END'
		deadline: 20000000, period: 20000000|requires `runtime`
		runtime: 10000000, period: 20000000|requires `deadline`
		runtime: 0, deadline: 20000000|runtime must be greater than 0
		runtime: 1023, deadline: 20000000|runtime (1023) must be between 1024 and
		runtime: 30000000, deadline: 20000000|runtime (30000000) must be <= deadline (20000000)
		runtime: 10000000, deadline: 30000000, period: 20000000|deadline (30000000) must be <= period (20000000)
	END
	[ -e /proc/self/numa_maps ] || skip "needs NUMA policies"
	config 'del(.process.scheduler, .linux.resources.cpu) | .linux.memoryPolicy = {mode: "MPOL_BIND", nodes: "0-9876543210"}'
	run -1 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	check_output "invalid memory policy node"
	config '.linux.memoryPolicy = {mode: "MPOL_DEFAULT", nodes: "0-7", flags: ["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"]}'
	run -1 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	[[ "$output" == *set_mempolicy*"invalid argument" ]]
	config '.linux.memoryPolicy = {}'
	run -1 amphi run --bundle "$BUNDLE" "$ID" </dev/null
	check_output "invalid memory policy mode"
}

@test "process: stdout can be opened again by another user" {
	config '.process.user = {uid: 1000, gid: 1000}'
	config_args sh -c 'echo again > /dev/stdout'
	amphi run --bundle "$BUNDLE" "$ID" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1
	[ "$(cat "$BATS_TEST_TMPDIR/out")" = again ]
}
