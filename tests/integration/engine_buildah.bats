# SPDX-License-Identifier: Apache-2.0
# backends: container
load helpers
load engine

buildah() {
	timeout 120 buildah --root "$E/root" --runroot "$E/run" --storage-driver vfs "$@"
}

setup_file() {
	load helpers
	load engine
	need_root
	need_program buildah
	need_program podman
	engine_setup
	engine_rootfs "$E/image.tar"
	engine_podman import "$E/image.tar" bb:1 >/dev/null 2>&1
}
setup() {
	need_root
	need_program buildah
	need_program podman
	engine_setup
	export BUILDAH_RUNTIME
	BUILDAH_RUNTIME=$(engine_runtime)
}
teardown_file() {
	load helpers
	load engine
	engine_clean
}

@test "buildah run: output, exit code, files that stay" {
	c=$(buildah from --pull-never bb:1)
	run -0 buildah run --isolation oci --network none "$c" -- sh -c 'echo made in a container >/file; echo said'
	check_output said
	run -0 buildah run --isolation oci --network none "$c" -- cat /file
	check_output "made in a container"
	run buildah run --isolation oci --network none "$c" -- sh -c 'exit 6'
	[ "$status" -ne 0 ]
	check_output "6"
	buildah rm "$c"
}

@test "buildah build with RUN" {
	dir=$BATS_TEST_TMPDIR/context
	mkdir -p "$dir"
	printf 'FROM bb:1\nCOPY hello /hello\nRUN cat /hello > /copied && id -u > /uid\nUSER 1000\nRUN id -u > /tmp/uid\n' >"$dir/Containerfile"
	echo hello >"$dir/hello"
	buildah build --isolation oci --network none --pull-never -t built:1 "$dir"
	c=$(buildah from --pull-never built:1)
	m=$(buildah mount "$c")
	[ "$(cat "$m/copied")" = hello ]
	[ "$(cat "$m/uid")" = 0 ]
	[ "$(cat "$m/tmp/uid")" = 1000 ]
	buildah umount "$c"
	buildah rm "$c"
}

@test "buildah build stops at a RUN that fails" {
	dir=$BATS_TEST_TMPDIR/context
	mkdir -p "$dir"
	printf 'FROM bb:1\nRUN false\nRUN echo never\n' >"$dir/Containerfile"
	run buildah build --isolation oci --network none --pull-never "$dir"
	[ "$status" -ne 0 ]
	[[ "$output" != *never$'\n'* ]]
}
