# SPDX-License-Identifier: Apache-2.0
# backends: container
load helpers

@test "features is the specification's document and nothing else" {
	run -0 --separate-stderr "$AMPHI" features
	[ -z "$stderr" ]
	jq -e '.ociVersionMin and .ociVersionMax
		and (.hooks | length == 6)
		and (.mountOptions | index("rro") and index("idmap") and index("rbind"))
		and (.linux.namespaces | index("time") and index("cgroup") and index("user"))
		and (.linux.capabilities | index("CAP_SYS_ADMIN"))
		and .linux.cgroup.v1 and .linux.cgroup.v2
		and .linux.seccomp.enabled and (.linux.seccomp.actions | index("SCMP_ACT_NOTIFY"))
		and (.linux.seccomp.archs | index("SCMP_ARCH_X86_64"))
		and (.linux.seccomp.knownFlags | index("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"))
		and (.linux.seccomp.supportedFlags | index("SECCOMP_FILTER_FLAG_LOG"))
		and .linux.mountExtensions.idmap.enabled' <<<"$output"
}

@test "every mount option of features is accepted in a config" {
	need_root
	setup_bundle
	for word in $("$AMPHI" features | jq -r '.mountOptions[]'); do
		case $word in idmap | ridmap | tmpcopyup | remount | mand | bind | rbind) continue ;; esac
		config '.mounts += [{destination: "/mnt", type: "tmpfs", source: "tmpfs", options: [$w]}]' --arg w "$word"
		run "$AMPHI" --root "$ROOT" run -b "$BUNDLE" "$ID"
		[ "$status" -eq 0 ] || { echo "$word: $output" >&2; false; }
		config '.mounts |= map(select(.destination != "/mnt"))'
	done
	teardown_all
}
