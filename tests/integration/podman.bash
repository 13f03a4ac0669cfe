# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the files of podman's tests begin and end with.
load helpers
load engine

setup_file() {
	need_root
	need_program podman
	need_program conmon
	engine_setup
	engine_image
}
setup() {
	need_root
	need_program podman
	engine_setup
	NAME=c$BATS_TEST_NUMBER
}
teardown() {
	engine_podman rm -f -t 0 -a >/dev/null 2>&1 || :
}
teardown_file() {
	engine_setup
	engine_podman rm -f -t 0 -a >/dev/null 2>&1 || :
	engine_podman pod rm -f -a >/dev/null 2>&1 || :
	engine_podman volume rm -f -a >/dev/null 2>&1 || :
	engine_clean
}

# In a network namespace of its own without links.
pod_run() { engine_podman run --network none "$@"; }
