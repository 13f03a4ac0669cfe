# SPDX-License-Identifier: Apache-2.0
# backends: container
# The files of contrib/engine, each read by its engine, with the build's programs for the installed ones.
load helpers
load engine

setup_file() {
	need_root
	engine_setup
	mkdir -p "$E/bin"
	ln -sf "$AMPHI" "$E/bin/amphi"
	ln -sf "$AMPHI" "$E/bin/amphi-vm"
	for f in "$AMPHI_TOP"/contrib/engine/*; do sed "s,/usr/local/bin/,$E/bin/,g" "$f" >"$E/$(basename "$f")-test"; done
}
setup() {
	need_root
	engine_setup
}
teardown_file() {
	engine_setup
	engine_stop "$(cat "$E/dockerd.pid" 2>/dev/null)"
	engine_stop "$(cat "$E/containerd.pid" 2>/dev/null)"
	engine_clean
}

@test "contrib/engine/containers.conf: podman knows both runtimes by name" {
	need_program podman
	for name in amphi amphi-vm; do
		run -0 env CONTAINERS_CONF="$E/containers.conf-test" podman --root "$E/root" --runroot "$E/run" --tmpdir "$E/tmp" \
			--storage-driver vfs --cgroup-manager cgroupfs --runtime $name info --format '{{.Host.OCIRuntime.Name}} {{.Host.OCIRuntime.Path}}'
		check_output "$name $E/bin/$name"
	done
	engine_image
	printf '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]\n' >>"$E/containers.conf-test"
	run -0 env CONTAINERS_CONF="$E/containers.conf-test" podman --root "$E/root" --runroot "$E/run" --tmpdir "$E/tmp" --storage-driver vfs \
		--cgroup-manager cgroupfs --runtime amphi run --rm --network none --log-driver none --cgroups disabled bb:1 cat /proc/self/cgroup
	[[ "$output" != *libpod* ]]
}

@test "contrib/engine/containerd.toml: handlers of containerd's CRI plugin" {
	need_program containerd
	run -0 containerd --config "$E/containerd.toml-test" config dump
	check_output "BinaryName = \"$E/bin/amphi\""
	check_output "BinaryName = \"$E/bin/amphi-vm\""
	check_output "containerd.runtimes.amphi-vm.options"
	[[ "$output" =~ privileged_without_host_devices\ =\ true ]]
}

@test "contrib/engine/daemon.json: dockerd has both runtimes" {
	need_program dockerd
	need_program docker
	engine_containerd
	engine_dockerd "$E/daemon.json-test"
	run -0 timeout 60 docker -H "unix://$E/docker.sock" info --format '{{json .Runtimes}}'
	[ "$(jq -r '.amphi.path, ."amphi-vm".path' <<<"$output")" = "$E/bin/amphi"$'\n'"$E/bin/amphi-vm" ]
}

@test "contrib/engine/crio.conf: handlers of cri-o" {
	if command -v crio >/dev/null; then
		run -0 crio --config "$E/crio.conf-test" config
		check_output "$E/bin/amphi-vm"
		return
	fi
	need_program python3
	run -0 python3 -c '
import sys, tomllib
for name, r in tomllib.load(open(sys.argv[1], "rb"))["crio"]["runtime"]["runtimes"].items():
    print(name, r["runtime_path"], r["runtime_type"], r["runtime_root"])' "$E/crio.conf-test"
	check_output "amphi $E/bin/amphi oci /run/amphi"
	check_output "amphi-vm $E/bin/amphi-vm oci /run/amphi"
}
