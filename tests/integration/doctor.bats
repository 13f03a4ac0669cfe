# SPDX-License-Identifier: Apache-2.0
# backends: container
# amphi doctor, and that help, man page and completion know the same commands.
load helpers

setup() { ROOT=$BATS_TEST_TMPDIR/state; }

@test "doctor: a verdict for everything, a remedy for what is missing" {
	run -0 "$AMPHI" doctor
	[[ "$output" == *kernel* ]]
	run -0 --separate-stderr "$AMPHI" doctor -f json
	jq -e 'all(.[]; .verdict == "ok" or .remedy != null)' <<<"$output"
	[ "$(jq -r '.[] | select(.name == "kernel") | .verdict' <<<"$output")" = ok ]
	run -1 "$AMPHI" doctor -f xml
}

@test "doctor with --isolation vm fails where no kernel is in the store" {
	AMPHI_KERNELS=$BATS_TEST_TMPDIR/none run -1 "$AMPHI" --isolation vm doctor
	[[ "$output" == *"amphi kernel add"* ]]
}

@test "every command and its options are in the man page" {
	local c o page=$AMPHI_TOP/runtime/amphi.1
	for c in $("$AMPHI" --help | sed -n '/^COMMANDS:/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
		grep -q "^\.BI \"amphi $c " "$page" || { echo "man page lacks $c" >&2; return 1; }
		[ "$c" != cni ] || continue
		for o in $("$AMPHI" "$c" --help | sed -n 's/^  *\(-., \)\{0,1\}\(--[a-z0-9-]*\).*/\2/p'); do
			[ "$o" = --help ] || grep -q -- "${o//-/\\\\-}" "$page" || { echo "man page lacks $c $o" >&2; return 1; }
		done
	done
}

@test "bash completion offers commands, options and ids" {
	PATH=$AMPHI_BUILD:$PATH
	# shellcheck source=/dev/null
	source "$AMPHI_TOP/contrib/completion/amphi.bash"
	COMP_WORDS=(amphi cre) COMP_CWORD=1
	_amphi
	[ "${COMPREPLY[*]}" = create ]
	COMP_WORDS=(amphi create --bun) COMP_CWORD=2
	_amphi
	[ "${COMPREPLY[*]}" = --bundle ]
	COMP_WORDS=(amphi network che) COMP_CWORD=2
	_amphi
	[ "${COMPREPLY[*]}" = check ]
	setup_bundle
	amphi create --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
	COMP_WORDS=(amphi --root "$ROOT" state "") COMP_CWORD=4
	_amphi
	[ "${COMPREPLY[*]}" = "$ID" ]
	COMP_WORDS=(amphi --root "$ROOT" mounts "") COMP_CWORD=4
	_amphi
	[ "${COMPREPLY[*]}" = "add remove $ID" ]
	teardown_all
}
