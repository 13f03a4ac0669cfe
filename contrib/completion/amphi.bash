# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# bash completion for amphi: commands and options come from --help, ids, images and networks from amphi itself.

_amphi_options() { # [COMMAND]
	amphi ${1:+"$1"} --help 2>/dev/null | sed -n 's/^  *\(-., \)\{0,1\}\(--[a-z0-9-]*\).*/\2/p'
}

_amphi_commands() {
	amphi --help 2>/dev/null | sed -n '/^COMMANDS:/,/^$/s/^  \([a-z]*\) .*/\1/p'
}

# The global options that choose where ids are looked for, as they stand on the line.
_amphi_globals() {
	local i
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--root) [ "${COMP_WORDS[i + 1]}" = = ] && printf '%s=%s\n' --root "${COMP_WORDS[i + 2]}" ||
			printf '%s=%s\n' --root "${COMP_WORDS[i + 1]}" ;;
		esac
	done
}

_amphi() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command="" i words
	local -a globals
	mapfile -t globals < <(_amphi_globals)
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--root | --log | --log-format | --log-level | --rootless | --cgroup-manager | --isolation | --vmm) ((i++)) ;;
		-* | =) ;;
		*) command=${COMP_WORDS[i]} && break ;;
		esac
	done
	case $prev in
	--isolation) words="container vm" ;;
	--vmm) words="auto kvm qemu" ;;
	--log-format) words="text json" ;;
	--log-level) words="error warning info debug" ;;
	--cgroup-manager) words="cgroupfs systemd disabled" ;;
	--format | -f) words="table json" ;;
	--network) words="none host bridge pasta $(amphi network ls -q 2>/dev/null)" ;;
	--root | --bundle | -b | --log | --process | --pid-file | --console-socket | --resources)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return ;;
	*)
		if [[ $cur == -* ]]; then
			words=$(_amphi_options "$command")
		elif [ -z "$command" ]; then
			words=$(_amphi_commands)
		else
			case $command in
			start | exec | kill | delete | state | ps | pause | resume | update | events | stats | checkpoint | commit)
				words=$(amphi "${globals[@]}" list -q 2>/dev/null) ;;
			push | rmi | inspect | tag | export) words=$(amphi images -q 2>/dev/null) ;;
			mounts) words="add remove $(amphi "${globals[@]}" list -q 2>/dev/null)" ;;
			network) words="create ls inspect rm connect disconnect check reload prune" ;;
			kernel) words="add ls rm default" ;;
			*)
				mapfile -t COMPREPLY < <(compgen -f -- "$cur")
				return ;;
			esac
		fi ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}

complete -F _amphi amphi amphi-vm
