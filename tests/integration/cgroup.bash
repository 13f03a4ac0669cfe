# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Where this host keeps a controller's files; loaded behind helpers.bash.

is_v2() { [ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ]; }

# Directory of the container's cgroup for a controller (v1 name): cgroup_dir memory
cgroup_dir() {
	local c=$1
	if is_v2; then
		echo "/sys/fs/cgroup$CGROUP"
	elif [ -d "/sys/fs/cgroup/$c" ]; then
		echo "/sys/fs/cgroup/$c$CGROUP"
	else
		echo "/sys/fs/cgroup/unified$CGROUP"
	fi
}

# Is the controller there at all (v1 name, v2 name)?
need_controller() {
	if is_v2; then
		grep -qw "${2:-$1}" /sys/fs/cgroup/cgroup.controllers || skip "needs controller ${2:-$1}"
	else
		[ -d "/sys/fs/cgroup/$1" ] || grep -qsw "$1" /sys/fs/cgroup/unified/cgroup.controllers || skip "needs controller $1"
	fi
}

# Checks an interface file: file_is CONTROLLER V1_FILE V1_VALUE V2_FILE V2_VALUE. A machine's is looked at inside.
file_is() {
	local file=$2 want=$3 got
	if is_vm; then
		got=$(amphi exec "$ID" sh -c 'cat "/sys/fs/cgroup/$(sed -n s/^0:://p /proc/self/cgroup)/$0"' "$4")
		[ "$got" = "$5" ] || { echo "$4 in the machine: $got, expected $5" >&2; return 1; }
		return
	fi
	if is_v2; then file=$4 want=$5; fi
	got=$(cat "$(cgroup_dir "$1")/$file")
	[ "$got" = "$want" ] || { echo "$file: $got, expected $want" >&2; return 1; }
}

# No directory of this container's cgroup is left in any hierarchy.
cgroup_gone() {
	[ -z "$(find /sys/fs/cgroup -maxdepth 4 -path "*$CGROUP" 2>/dev/null)" ]
}
