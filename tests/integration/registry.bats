#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# backends: container
#
# pull and push against docker-registry on loopback: open, with a password, over TLS, and through a proxy that breaks things.

load helpers.bash

setup_file() {
	[ "$(id -u)" = 0 ] && command -v docker-registry >/dev/null || return 0
	cd "$BATS_FILE_TMPDIR"
	cat >faults.py <<'EOP'
# A registry's front that misbehaves: faults.py PORT UPSTREAM_PORT DIR. DIR/fault says how: "cut" every blob after 64 KiB, once
# each; "status N": N answered with that status first; "flip": a blob's byte changed; "norange": Range ignored, with cuts.
import http.server, http.client, sys, os, threading
port, upstream, d = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
lock, seen = threading.Lock(), {}
def fault():
    try: return open(d + '/fault').read().split()
    except OSError: return ['none']
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def log_message(self, *a): pass
    def go(self):
        f = fault()
        with lock:
            n = seen[self.path] = seen.get(self.path, 0) + 1
            with open(d + '/log', 'a') as log: log.write(self.command + ' ' + self.path + ' ' + self.headers.get('Range', '-') + '\n')
        if f[0] == 'status' and n <= 2 and self.path != '/v2/':
            self.send_response(int(f[1])); self.send_header('Retry-After', '0'); self.send_header('Content-Length', '0'); self.end_headers(); return
        c = http.client.HTTPConnection('127.0.0.1', upstream)
        length = int(self.headers.get('Content-Length', 0))
        h = {k: v for k, v in self.headers.items() if k.lower() not in ('host', 'connection') and not (f[0] == 'norange' and k.lower() == 'range')}
        h['Host'] = '127.0.0.1:%d' % port
        c.request(self.command, self.path, self.rfile.read(length) if length else None, h)
        r = c.getresponse(); body = r.read()
        blob = '/blobs/sha256:' in self.path and self.command == 'GET' and len(body) > 100000
        if blob and f[0] == 'flip': body = body[:50000] + bytes([body[50000] ^ 1]) + body[50001:]
        self.send_response(r.status)
        for k, v in r.getheaders():
            if k.lower() not in ('transfer-encoding', 'connection', 'content-length'): self.send_header(k, v)
        self.send_header('Content-Length', r.headers.get('Content-Length', str(len(body))) if self.command == 'HEAD' else str(len(body))); self.end_headers()
        if blob and (f[0] in ('cut', 'norange') and n <= 3 or f[0] == 'always'):
            self.wfile.write(body[:65536 * n]); self.wfile.flush(); self.close_connection = True; self.connection.shutdown(2); return
        if self.command != 'HEAD': self.wfile.write(body)
    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = go
s = http.server.ThreadingHTTPServer(('127.0.0.1', port), H)
open(d + '/ready', 'w').write('x')
s.serve_forever()
EOP
	PORT=$((20000 + RANDOM % 10000))
	start_registry open $PORT ""
	mkdir -p proxy
	python3 faults.py $((PORT + 1)) $PORT "$PWD/proxy" 3>&- &
	echo $! >>pids
	if command -v htpasswd >/dev/null; then
		htpasswd -Bbn me secret >htpasswd 2>/dev/null
		start_registry auth $((PORT + 2)) "auth: {htpasswd: {realm: test, path: $PWD/htpasswd}}"
	fi
	openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost 2>/dev/null
	start_registry tls $((PORT + 3)) "" ", tls: {certificate: $PWD/cert.pem, key: $PWD/key.pem}"
	echo $PORT >port
	for p in $PORT $((PORT + 1)) $((PORT + 3)); do
		for i in $(seq 600); do (: </dev/tcp/127.0.0.1/$p) 2>/dev/null && break; sleep 0.1; done
	done
}

start_registry() { # NAME PORT EXTRA HTTP
	mkdir -p "data-$1"
	printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: "127.0.0.1:%s"%s}\nlog: {level: error}\n%s\n' \
		"$PWD/data-$1" "$2" "${4:-}" "$3" >"$1.yml"
	docker-registry serve "$1.yml" >"$1.log" 2>&1 3>&- &
	echo $! >>pids
}

teardown_file() {
	local p
	[ -e "$BATS_FILE_TMPDIR/pids" ] || return 0
	for p in $(cat "$BATS_FILE_TMPDIR/pids"); do kill "$p" 2>/dev/null || true; done
}

setup() {
	need_root
	need_program docker-registry
	need_program python3
	export AMPHI_STORE=$BATS_TEST_TMPDIR/store AMPHI_STORE_SYNC=none
	PORT=$(cat "$BATS_FILE_TMPDIR/port")
	OPEN=localhost:$PORT
	FAULTY=localhost:$((PORT + 1))
	PROXY=$BATS_FILE_TMPDIR/proxy
	rm -f "$PROXY/fault" "$PROXY/log"
	mkdir -p "$BATS_TEST_TMPDIR/r/bin"
	cp "$(command -v busybox)" "$BATS_TEST_TMPDIR/r/bin/busybox"
	# incompressible, and its own in every test, so that paths are fresh
	head -c 500000 /dev/urandom >"$BATS_TEST_TMPDIR/r/data"
	tar -C "$BATS_TEST_TMPDIR/r" -czf "$BATS_TEST_TMPDIR/r.tar.gz" .
	"$AMPHI" import -q --name base -c 'CMD ["/bin/busybox","echo","from the registry"]' "$BATS_TEST_TMPDIR/r.tar.gz"
	REPO=t$BATS_TEST_NUMBER-$RANDOM/app
	DIGEST=$("$AMPHI" inspect base | jq -r .digest)
}

teardown() { rm -rf "$AMPHI_STORE" "$BATS_TEST_TMPDIR/other"; }

# From now on another, empty store.
other_store() { export AMPHI_STORE=$BATS_TEST_TMPDIR/other; rm -rf "$AMPHI_STORE"; }

@test "push, pull by tag and by digest, run" {
	run -0 "$AMPHI" push -q base "$OPEN/$REPO:v1"
	[ "$output" = "$DIGEST" ]
	"$AMPHI" push --progress plain base "$OPEN/$REPO:v1" 2>&1 | grep -q exists
	other_store
	run -0 "$AMPHI" pull -q "$OPEN/$REPO:v1"
	[ "$output" = "$DIGEST" ]
	run -0 --separate-stderr "$AMPHI" pull --progress plain "$OPEN/$REPO@$DIGEST"
	[ "$output" = "$OPEN/$REPO@$DIGEST" ]
	[[ "$stderr" == *exists* ]]
	run -0 "$AMPHI" fsck
	ROOT=$BATS_TEST_TMPDIR/state
	run -0 --separate-stderr amphi run --image "$OPEN/$REPO:v1" --network host c1
	[ "$output" = "from the registry" ]
	run -0 "$AMPHI" rmi "$OPEN/$REPO:v1" "$OPEN/$REPO@$DIGEST"
	run -0 --separate-stderr amphi run --image "$OPEN/$REPO:v1" --network host c1
	[ "$output" = "from the registry" ]
}

@test "an index of platforms" {
	local i m
	"$AMPHI" push -q base "$OPEN/$REPO:amd64"
	m=$("$AMPHI" inspect base | jq -c '{mediaType: .manifest.mediaType, digest, size: 0}')
	"$AMPHI" export --format oci -o "$BATS_TEST_TMPDIR/l" base
	m=$(jq --argjson size "$(stat -c %s "$BATS_TEST_TMPDIR/l/blobs/sha256/${DIGEST#sha256:}")" '.size = $size' <<<"$m")
	i=$(jq -nc --argjson m "$m" '{schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json",
		manifests: [($m + {platform: {os: "linux", architecture: "amd64"}})]}')
	curl -fsS -X PUT -H 'Content-Type: application/vnd.oci.image.index.v1+json' --data-binary "$i" "http://$OPEN/v2/$REPO/manifests/multi"
	other_store
	run -0 "$AMPHI" pull -q --platform linux/amd64 "$OPEN/$REPO:multi"
	[ "$output" = "$DIGEST" ]
	run -1 "$AMPHI" pull -q --platform linux/s390x "$OPEN/$REPO:multi"
	check_output "no image for linux/s390x"
}

@test "faults say what is wrong" {
	run -1 "$AMPHI" pull -q "$OPEN/$REPO:none"
	check_output "(HTTP 404)"
	run -1 "$AMPHI" pull -q "localhost:1/x"
	check_output "localhost:1"
	run -1 "$AMPHI" push -q nothing "$OPEN/$REPO:v1"
	check_output "no image nothing here"
	run -1 "$AMPHI" pull -q "UPPER CASE"
	check_output 'image name "UPPER CASE"'
}

@test "broken connections: the rest is fetched by Range" {
	"$AMPHI" push -q base "$OPEN/$REPO:v1"
	other_store
	echo cut >"$PROXY/fault"
	run -0 "$AMPHI" pull -q "$FAULTY/$REPO:v1"
	[ "$output" = "$DIGEST" ]
	grep -q 'bytes=[1-9][0-9]*-$' "$PROXY/log"
	run -0 "$AMPHI" fsck
}

@test "a server without Range" {
	"$AMPHI" push -q base "$OPEN/$REPO:v1"
	other_store
	echo norange >"$PROXY/fault"
	run -0 "$AMPHI" pull -q "$FAULTY/$REPO:v1"
	[ "$output" = "$DIGEST" ]
	run -0 "$AMPHI" fsck
}

@test "an interrupted pull is resumed by the next program" {
	"$AMPHI" push -q base "$OPEN/$REPO:v1"
	other_store
	echo always >"$PROXY/fault"
	run -1 "$AMPHI" pull -q --progress none "$FAULTY/$REPO:v1" || true
	rm -f "$PROXY/fault" "$PROXY/log"
	run -0 "$AMPHI" pull -q "$FAULTY/$REPO:v1"
	run -0 "$AMPHI" fsck
}

@test "429 and 503 are waited out" {
	"$AMPHI" push -q base "$OPEN/$REPO:v1"
	other_store
	echo "status 503" >"$PROXY/fault"
	run -0 "$AMPHI" pull -q "$FAULTY/$REPO:v1"
	[ "$output" = "$DIGEST" ]
	echo "status 429" >"$PROXY/fault"
	run -0 "$AMPHI" push -q "$FAULTY/$REPO:v1" "$FAULTY/$REPO-copy:v1"
}

@test "wrong bytes are refused, and not kept" {
	"$AMPHI" push -q base "$OPEN/$REPO:v1"
	other_store
	echo flip >"$PROXY/fault"
	run -1 "$AMPHI" pull -q "$FAULTY/$REPO:v1"
	check_output "digest mismatch"
	[ -z "$("$AMPHI" images -q)" ] && [ -z "$(ls "$AMPHI_STORE/layers")" ]
	rm -f "$PROXY/fault"
	run -0 "$AMPHI" pull -q "$FAULTY/$REPO:v1"
	run -0 "$AMPHI" fsck
}

@test "a password: from the command line, from files, refused" {
	need_program htpasswd
	local host=localhost:$((PORT + 2)) auth=$BATS_TEST_TMPDIR/auth.json
	run -1 "$AMPHI" push -q base "$host/$REPO:v1"
	check_output "authentication required"
	run -1 "$AMPHI" push -q --creds me:wrong base "$host/$REPO:v1"
	check_output "authentication refused"
	run -0 "$AMPHI" push -q --creds me:secret base "$host/$REPO:v1"
	printf '{"auths":{"%s":{"auth":"%s"}}}' "$host" "$(printf me:secret | base64)" >"$auth"
	other_store
	run -0 "$AMPHI" pull -q --authfile "$auth" "$host/$REPO:v1"
	[ "$output" = "$DIGEST" ]
	REGISTRY_AUTH_FILE=$auth run -0 "$AMPHI" pull -q "$host/$REPO:v1"
}

@test "TLS: an unknown authority is refused, a given one and --insecure are not" {
	local host=localhost:$((PORT + 3)) dir=$BATS_TEST_TMPDIR/certs
	mkdir "$dir"
	cp "$BATS_FILE_TMPDIR/cert.pem" "$dir/ca.crt"
	run -1 "$AMPHI" push -q base "$host/$REPO:v1"
	check_output "certificate"
	run -0 "$AMPHI" push -q --cert-dir "$dir" base "$host/$REPO:v1"
	other_store
	run -0 "$AMPHI" pull -q --insecure "$host/$REPO:v1"
	[ "$output" = "$DIGEST" ]
}

@test "ten pulls at once" {
	local i pids=()
	"$AMPHI" push -q base "$OPEN/$REPO:v1"
	other_store
	for i in 1 2 3 4 5 6 7 8 9 10; do
		"$AMPHI" pull -q "$FAULTY/$REPO:v1" 3>&- >/dev/null 2>&1 &
		pids+=($!)
	done
	for i in "${pids[@]}"; do wait "$i"; done
	[ "$(grep -c "GET /v2/$REPO/blobs/" "$PROXY/log")" -le 11 ] # the layer once, the configuration each time
	run -0 "$AMPHI" fsck
}

@test "skopeo sees what was pushed, and we pull what skopeo pushed" {
	need_program skopeo
	"$AMPHI" push -q base "$OPEN/$REPO:v1"
	run -0 skopeo inspect --tls-verify=false --format '{{.Digest}}' "docker://$OPEN/$REPO:v1"
	[ "$output" = "$DIGEST" ]
	skopeo copy -q --src-tls-verify=false --dest-tls-verify=false --format v2s2 "docker://$OPEN/$REPO:v1" "docker://$OPEN/$REPO:docker"
	other_store
	run -0 "$AMPHI" pull -q "$OPEN/$REPO:docker"
	[ "$("$AMPHI" inspect "$OPEN/$REPO:docker" | jq -r .manifest.mediaType)" = application/vnd.docker.distribution.manifest.v2+json ]
	ROOT=$BATS_TEST_TMPDIR/state
	run -0 --separate-stderr amphi run --image "$OPEN/$REPO:docker" --network host c1
	[ "$output" = "from the registry" ]
}
