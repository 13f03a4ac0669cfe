# SPDX-License-Identifier: Apache-2.0
# backends: container
load helpers
load engine

buildah() {
	timeout 120 buildah --root "$E/root" --runroot "$E/run" --storage-driver vfs "$@"
}

setup_file() {
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

@test "buildah build: RUN with cache, bind, tmpfs and secret mounts" {
	dir=$BATS_TEST_TMPDIR/context
	mkdir -p "$dir"
	echo bound >"$dir/file"
	echo hidden >"$dir/secret"
	cat >"$dir/Containerfile" <<-'END'
		FROM bb:1
		RUN --mount=type=cache,target=/cache echo kept >/cache/x
		RUN --mount=type=cache,target=/cache --mount=type=tmpfs,target=/t cat /cache/x >/from-cache && touch /t/y
		RUN --mount=type=bind,source=file,target=/bound --mount=type=secret,id=s cat /bound /run/secrets/s >/from-mounts
	END
	TMPDIR=$BATS_TEST_TMPDIR buildah build --isolation oci --network none --pull-never --secret "id=s,src=$dir/secret" -t mounts:1 "$dir"
	c=$(buildah from --pull-never mounts:1)
	m=$(buildah mount "$c")
	[ "$(cat "$m/from-cache")" = kept ]
	[ "$(cat "$m/from-mounts")" = $'bound\nhidden' ]
	[ ! -s "$m/run/secrets/s" ]
	[ ! -e "$m/t/y" ]
	buildah umount "$c"
	buildah rm "$c"
}

@test "buildah run: volume, user, capabilities, terminal off, environment" {
	mkdir -p "$BATS_TEST_TMPDIR/vol"
	echo from-host >"$BATS_TEST_TMPDIR/vol/file"
	c=$(buildah from --pull-never bb:1)
	run -0 buildah run --isolation oci --network none -v "$BATS_TEST_TMPDIR/vol:/vol" --user 1000 --cap-drop all --hostname box --workingdir /vol \
		"$c" -- sh -c 'cat file; id -u; hostname; pwd; grep CapBnd /proc/self/status'
	for word in from-host 1000 box /vol 0000000000000000; do check_output "$word"; done
	buildah rm "$c"
}
