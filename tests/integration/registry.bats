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
# each; "status N": N answered with that status first; "flip": a blob's byte changed; "norange": Range ignored, with cuts;
# "short": a blob's end missing without a word; "slow": 4 KiB at a time; "redirect": blobs elsewhere, where an Authorization is an
# error, uploads too; "loop": uploads sent round; "huge", "deep": 5 and 1 MB of [ for a manifest; "bearer": a token wanted, which /token gives for me:secret; "patch": chunks broken off; "413": no whole blob above 100 kB; "nomount": a blob from elsewhere refused.
import http.server, http.client, sys, os, threading, base64, time
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
        length = int(self.headers.get('Content-Length', 0)); auth = self.headers.get('Authorization')
        def answer(status, text=b'', *headers):
            self.send_response(status)
            for k, v in headers: self.send_header(k, v)
            self.send_header('Content-Length', str(len(text))); self.end_headers(); self.wfile.write(text)
        with open(d + '/auth', 'a') as log: log.write(self.path + ' ' + str(auth) + '\n')
        if self.path.startswith('/token?'):
            ok = auth == 'Basic ' + base64.b64encode(b'me:secret').decode() and 'service=s' in self.path and 'scope=repository:t' in self.path
            return answer(200, b'{"access_token":"tok","expires_in":60}') if ok else answer(401)
        if f[0] == 'bearer' and auth != 'Bearer tok':
            return answer(401, b'', ('WWW-Authenticate', 'Bearer realm="http://127.0.0.1:%d/token",service="s",scope="repository:%s:pull"' % (port, '/'.join(self.path.split('/')[2:4]))))
        if f[0] == 'redirect' and '/blobs/sha256:' in self.path and self.command == 'GET' and not self.path.startswith('/elsewhere'):
            return answer(307, b'', ('Location', 'http://127.0.0.1:%d/elsewhere%s' % (port, self.path)))
        if (f[0] == 'redirect' and not self.path.startswith('/elsewhere') or f[0] == 'loop') and self.command in ('POST', 'PUT', 'PATCH'):
            self.rfile.read(length)
            return answer(307 if n % 2 else 308, b'', ('Location', 'http://127.0.0.1:%d/elsewhere%s' % (port, self.path) if f[0] == 'redirect' else '../..' + self.path))
        if self.path.startswith('/elsewhere'):
            if auth: return answer(400, b'an authorization where none belongs')
            self.path = self.path[10:]
        if f[0] == 'huge' and '/manifests/' in self.path and self.command == 'GET': return answer(200, b'[' * 5000000)
        if f[0] == 'deep' and '/manifests/' in self.path and self.command == 'GET': return answer(200, b'[' * 1000000)
        if f[0] == 'nomount' and '?mount=' in self.path:
            return answer(403)
        if f[0] == '413' and self.command == 'PUT' and length > 100000:
            self.rfile.read(length); return answer(413)
        if self.command == 'PATCH':
            with lock: n = seen['PATCH'] = seen.get('PATCH', 0) + 1
        if f[0] == 'patch' and self.command == 'PATCH' and n % 2:
            self.rfile.read(length // 2); self.close_connection = True; self.connection.shutdown(2); return
        if f[0] == 'patch' and self.command == 'PATCH':
            open(d + '/patched', 'a').write('x')
        c = http.client.HTTPConnection('127.0.0.1', upstream)
        h = {k: v for k, v in self.headers.items() if k.lower() not in ('host', 'connection', 'authorization') and not (f[0] == 'norange' and k.lower() == 'range')}
        h['Host'] = 'localhost:%d' % port
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
        if blob and f[0] == 'short': self.wfile.write(body[:-1000]); self.wfile.flush(); self.close_connection = True; self.connection.shutdown(2); return
        if blob and f[0] == 'slow':
            try:
                for i in range(0, len(body), 4096): self.wfile.write(body[i:i + 4096]); self.wfile.flush(); time.sleep(0.02)
            except OSError: self.close_connection = True
            return
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
	rm -f "$PROXY/fault" "$PROXY/log" "$PROXY/auth" "$PROXY/patched"
	mkdir -p "$BATS_TEST_TMPDIR/r/bin"
	cp "$(command -v busybox)" "$BATS_TEST_TMPDIR/r/bin/busybox"
	# incompressible, and its own in every test, so that paths are fresh
	head -c 500000 /dev/urandom >"$BATS_TEST_TMPDIR/r/data"
	tar -C "$BATS_TEST_TMPDIR/r" -czf "$BATS_TEST_TMPDIR/r.tar.gz" .
	"$AMPHI" import -q --name base -c 'CMD ["/bin/busybox","echo","from the registry"]' "$BATS_TEST_TMPDIR/r.tar.gz"
	REPO=t$BATS_TEST_NUMBER-$RANDOM/app
	DIGEST=$("$AMPHI" inspect base | jq -r .digest)
}

teardown() {
	! mountpoint -q "$BATS_TEST_TMPDIR/small" || umount "$BATS_TEST_TMPDIR/small"
	rm -rf "$AMPHI_STORE" "$BATS_TEST_TMPDIR/other"
}

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

@test "push takes blobs over from another repository of the host, remembered from pull and push; refused, it sends them" {
	# remembered from a push: not a byte goes out again
	"$AMPHI" push -q base "$FAULTY/$REPO:v1"
	: >"$PROXY/log"
	run -0 --separate-stderr "$AMPHI" push --progress plain base "$FAULTY/$REPO-b:v1"
	[[ "$stderr" == *mounted* ]]
	grep -q "^POST /v2/$REPO-b/blobs/uploads/?mount=sha256:.*&from=$REPO " "$PROXY/log"
	! grep -q "^P[UA]T.*/blobs/" "$PROXY/log"
	run -0 skopeo inspect --tls-verify=false --format '{{.Digest}}' "docker://$OPEN/$REPO-b:v1"
	[ "$output" = "$DIGEST" ]
	# from a pull, though the name is gone, for an image made on it; a token for both repositories is asked for
	other_store
	"$AMPHI" pull -q "$FAULTY/$REPO:v1"
	ROOT=$BATS_TEST_TMPDIR/state
	amphi run --image "$FAULTY/$REPO:v1" --network host --keep c1
	"$AMPHI" commit c1 more
	amphi delete --force c1
	"$AMPHI" rmi "$FAULTY/$REPO:v1"
	: >"$PROXY/log"
	echo bearer >"$PROXY/fault"
	"$AMPHI" push -q --creds me:secret more "$FAULTY/$REPO-c:v1"
	grep -q "scope=repository:$REPO-c:pull,push&scope=repository:$REPO:pull&" "$PROXY/log"
	[ "$(grep -c '&from=' "$PROXY/log")" = 1 ]
	[ "$(grep -c "^PUT.*/blobs/" "$PROXY/log")" = 2 ]
	# a registry that knows no blob of that name elsewhere, and one that refuses
	rm "$PROXY/fault"
	echo "$FAULTY nowhere/at-all" | tee "$AMPHI_STORE"/origins/* >/dev/null
	run -0 "$AMPHI" push -q more "$FAULTY/$REPO-d:v1"
	echo nomount >"$PROXY/fault"
	run -0 "$AMPHI" push -q more "$FAULTY/$REPO-e:v1"
	rm "$PROXY/fault"
	"$AMPHI" rmi more
	"$AMPHI" prune
	[ -z "$(ls "$AMPHI_STORE/origins")" ]
	run -0 "$AMPHI" pull -q "$OPEN/$REPO-e:v1"
}

@test "an index of platforms: the one asked for, else the machine's own" {
	local p m list= size
	declare -A digest
	for p in arm/v6 arm/v7 arm64 amd64; do
		"$AMPHI" import -q --name "$p" --platform "linux/$p" -c 'CMD ["x"]' "$BATS_TEST_TMPDIR/r.tar.gz"
		"$AMPHI" push -q "$p" "$OPEN/$REPO:${p//\//-}"
		digest[$p]=$("$AMPHI" inspect "$p" | jq -r .digest)
		size=$(stat -c %s "$AMPHI_STORE/blobs/sha256/${digest[$p]#sha256:}")
		m=$(jq -nc --arg d "${digest[$p]}" --arg p "$p/" --argjson s "$size" '{mediaType: "application/vnd.oci.image.manifest.v1+json", digest: $d, size: $s,
			platform: ({os: "linux", architecture: ($p | split("/")[0])} + ($p | split("/")[1] | if . == "" then {} else {variant: .} end))}')
		list+=${list:+,}$m
	done
	curl -fsS -X PUT -H 'Content-Type: application/vnd.oci.image.index.v1+json' "http://$OPEN/v2/$REPO/manifests/multi" \
		--data-binary '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":['"$list"']}'
	other_store
	for p in arm/v6 arm/v7 arm64 amd64; do
		run -0 "$AMPHI" pull -q --platform "linux/$p" "$OPEN/$REPO:multi"
		[ "$output" = "${digest[$p]}" ]
	done
	if [ "$(uname -m)" = x86_64 ]; then
		run -0 "$AMPHI" pull -q "$OPEN/$REPO:multi"
		[ "$output" = "${digest[amd64]}" ]
	fi
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
	# documents made to take memory or the stack: one request each
	echo huge >"$PROXY/fault"
	run -1 "$AMPHI" pull -q "$FAULTY/$REPO:v1"
	check_output "answers with more than 4194304 bytes"
	[ "$(grep -c /manifests/ "$PROXY/log")" = 1 ]
	echo deep >"$PROXY/fault"
	run -1 "$AMPHI" pull -q "$FAULTY/$REPO:v1"
	check_output "nested"
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

partial_has() { [ "$(cat "$AMPHI_STORE"/partial/* 2>/dev/null | wc -c)" -ge "$1" ]; }

@test "a pull that was killed is resumed by the next program where it ended, from another registry too" {
	local pid had layer
	"$AMPHI" push -q base "$OPEN/$REPO:v1"
	"$AMPHI" push -q base "$OPEN/$REPO-two:v1"
	other_store
	echo slow >"$PROXY/fault"
	"$AMPHI" pull -q "$FAULTY/$REPO:v1" >/dev/null 2>&1 3>&- &
	pid=$!
	# what has come is unpacked already
	unpacking() { compgen -G "$AMPHI_STORE/tmp/*/fs/*" >/dev/null && partial_has 60000; }
	wait_for unpacking
	kill -KILL $pid
	wait $pid || true
	had=$(cat "$AMPHI_STORE"/partial/* | wc -c)
	rm -f "$PROXY/fault" "$PROXY/log"
	run -0 "$AMPHI" pull -q "$FAULTY/$REPO-two:v1"
	[ "$output" = "$DIGEST" ]
	grep "bytes=$had-\$" "$PROXY/log"
	[ -z "$(ls "$AMPHI_STORE/partial")" ]
	run -0 "$AMPHI" fsck
	# a beginning that the disk did not keep as it was: found out, and fetched again
	layer=$("$AMPHI" inspect "$FAULTY/$REPO-two:v1" | jq -r '.manifest.layers[0].digest[7:]')
	"$AMPHI" rmi "$FAULTY/$REPO-two:v1"
	head -c 5000 /dev/zero >"$AMPHI_STORE/partial/$layer"
	run -0 "$AMPHI" pull -q "$FAULTY/$REPO:v1"
	[ "$output" = "$DIGEST" ]
	grep "bytes=5000-\$" "$PROXY/log"
	[ -z "$(ls "$AMPHI_STORE/partial")" ]
	run -0 "$AMPHI" fsck
}

@test "a pull that is killed at any step leaves a store that works; the next one ends it and nothing else is left" {
	local point code debug
	[ -n "${AMPHI_DEBUG_BUILD:-}" ] || "$AMPHI_TOP/tests/debug-build" >/dev/null 2>&3
	debug=${AMPHI_DEBUG_BUILD:-$AMPHI_TOP/build/debug}
	"$AMPHI" push -q base "$OPEN/$REPO:v1"
	other_store
	for point in fetching staged synced blob layer index named; do
		code=0
		AMPHI_LIBEXEC=$debug AMPHI_STOP_AT=$point "$debug/amphi" pull -q "$OPEN/$REPO:v1" >/dev/null 2>&1 || code=$?
		[ "$code" = 137 ] || { echo "$point: exit $code, not killed" >&2; false; }
		run -0 "$AMPHI" images -q
		[ -z "$output" ] || [ "$point" = named ]
		run -0 "$AMPHI" fsck
		run -0 "$AMPHI" pull -q "$OPEN/$REPO:v1"
		[ "$output" = "$DIGEST" ]
		run -0 "$AMPHI" fsck
		[ -z "$(find "$AMPHI_STORE"/{tmp,partial} -mindepth 1)" ]
		"$AMPHI" rmi "$OPEN/$REPO:v1" >/dev/null
		[ -z "$(find "$AMPHI_STORE"/{layers,blobs,fixups} -mindepth 1 ! -path '*/sha256' ! -path '*/sha512')" ] || { echo "$point: $(find "$AMPHI_STORE")" >&2; false; }
	done
}

@test "a pull onto a full disk: a clear error, nothing of it stays" {
	local small=$BATS_TEST_TMPDIR/small
	"$AMPHI" push -q base "$OPEN/$REPO:v1"
	mkdir "$small"
	mount -t tmpfs -o size=1400k tmpfs "$small"
	AMPHI_STORE=$small/store
	run -1 "$AMPHI" pull -q "$OPEN/$REPO:v1"
	check_output "no space left on device"
	[ -z "$(find "$AMPHI_STORE"/{layers,blobs,partial,tmp} -mindepth 1 ! -path '*/sha256' ! -path '*/sha512')" ] || { find "$AMPHI_STORE" >&2; false; }
	run -0 "$AMPHI" fsck
	mount -o remount,size=32m "$small"
	run -0 "$AMPHI" pull -q "$OPEN/$REPO:v1"
	umount "$small"
}

@test "a blob that is shorter than its manifest says" {
	"$AMPHI" push -q base "$OPEN/$REPO:v1"
	other_store
	echo short >"$PROXY/fault"
	run -0 "$AMPHI" pull -q "$FAULTY/$REPO:v1" # the rest by Range
	[ "$output" = "$DIGEST" ]
	run -0 "$AMPHI" fsck
}

@test "redirects are followed without the authorization" {
	"$AMPHI" push -q base "$OPEN/$REPO:v1"
	other_store
	echo redirect >"$PROXY/fault"
	run -0 "$AMPHI" pull -q --creds me:secret "$FAULTY/$REPO:v1"
	[ "$output" = "$DIGEST" ]
	grep -q "^/elsewhere.* None" "$PROXY/auth"
	run -0 "$AMPHI" fsck
	# an upload keeps its method and its body: whole, in chunks, and the manifest
	: >"$PROXY/log"
	rm "$AMPHI_STORE"/origins/*
	run -0 "$AMPHI" push -q --creds me:secret "$FAULTY/$REPO:v1" "$FAULTY/$REPO-b:v1"
	rm "$AMPHI_STORE"/origins/*
	run -0 "$AMPHI" push -q --creds me:secret --chunk-size 200k "$FAULTY/$REPO:v1" "$FAULTY/$REPO-c:v1"
	for method in POST PATCH PUT; do grep -q "^$method /elsewhere" "$PROXY/log"; done
	echo loop >"$PROXY/fault"
	run -1 "$AMPHI" push -q "$FAULTY/$REPO:v1" "$FAULTY/$REPO-d:v1"
	check_output "redirected more than 5 times"
	rm "$PROXY/fault"
	other_store
	for repo in $REPO-b $REPO-c; do
		run -0 "$AMPHI" pull -q "$OPEN/$repo:v1"
		[ "$output" = "$DIGEST" ]
	done
}

@test "bearer tokens, with credentials from a file and from a helper" {
	local auth=$BATS_TEST_TMPDIR/auth.json bin=$BATS_TEST_TMPDIR/bin
	echo bearer >"$PROXY/fault"
	run -1 "$AMPHI" push -q base "$FAULTY/$REPO:v1"
	check_output "authentication refused"
	run -1 "$AMPHI" push -q --creds me:wrong base "$FAULTY/$REPO:v1"
	check_output "authentication refused"
	run -0 "$AMPHI" push -q --creds me:secret base "$FAULTY/$REPO:v1"
	[ "$output" = "$DIGEST" ]
	grep -q 'scope=repository:.*:pull,push' "$PROXY/auth"
	other_store
	mkdir "$bin"
	printf '#!/bin/sh\nread -r host\n[ "$1:$host" = "get:%s" ] && echo "{\\"Username\\":\\"me\\",\\"Secret\\":\\"secret\\"}"\n' "$FAULTY" >"$bin/docker-credential-test"
	chmod +x "$bin/docker-credential-test"
	printf '{"credHelpers":{"%s":"test"}}' "$FAULTY" >"$auth"
	PATH=$bin:$PATH run -0 "$AMPHI" pull -q --authfile "$auth" "$FAULTY/$REPO:v1"
	[ "$output" = "$DIGEST" ]
	printf '{"credsStore":"test"}' >"$auth"
	PATH=$bin:$PATH run -0 "$AMPHI" pull -q --authfile "$auth" "$FAULTY/$REPO:v1"
	printf '{"credHelpers":{"%s":"absent"}}' "$FAULTY" >"$auth"
	run -1 "$AMPHI" pull -q --authfile "$auth" "$FAULTY/$REPO:v1"
	check_output docker-credential-absent
}

@test "push in chunks: broken ones go on where they ended; too large for one request goes in chunks by itself" {
	"$AMPHI" push -q --chunk-size 100000 base "$FAULTY/$REPO:v1"
	[ "$(grep -c ^PATCH "$PROXY/log")" -ge 5 ]
	run -0 skopeo inspect --tls-verify=false --format '{{.Digest}}' "docker://$OPEN/$REPO:v1"
	[ "$output" = "$DIGEST" ]
	rm "$AMPHI_STORE"/origins/*
	echo patch >"$PROXY/fault"
	run -0 "$AMPHI" push -q --chunk-size 200k base "$FAULTY/$REPO-b:v1"
	[ -s "$PROXY/patched" ]
	rm "$AMPHI_STORE"/origins/*
	echo 413 >"$PROXY/fault"
	: >"$PROXY/log"
	run -0 "$AMPHI" push -q base "$FAULTY/$REPO-c:v1"
	grep -q ^PATCH "$PROXY/log"
	run -1 "$AMPHI" push -q --chunk-size 0 base "$FAULTY/$REPO:v1"
	check_output "--chunk-size 0"
	other_store
	rm "$PROXY/fault"
	for repo in $REPO-b $REPO-c; do
		run -0 "$AMPHI" pull -q "$OPEN/$repo:v1"
		[ "$output" = "$DIGEST" ]
	done
	run -0 "$AMPHI" fsck
}

# An image of six layers of 150 kB, called many.
many_layers() {
	local i t=$BATS_TEST_TMPDIR/many
	mkdir -p "$t"
	for i in 1 2 3 4 5 6; do
		head -c 150000 /dev/urandom >"$t/f$i"
		tar -C "$t" -cf "$t/$i.tar" "f$i"
	done
	python3 - "$t" <<'EOP'
import sys, hashlib, json, os
t = sys.argv[1]; os.makedirs(t + '/l/blobs/sha256')
def put(b): h = hashlib.sha256(b).hexdigest(); open(t + '/l/blobs/sha256/' + h, 'wb').write(b); return {'digest': 'sha256:' + h, 'size': len(b)}
layers = [dict(put(open('%s/%d.tar' % (t, i), 'rb').read()), mediaType='application/vnd.oci.image.layer.v1.tar') for i in range(1, 7)]
layers.append(layers[0]) # and one of them again
c = put(json.dumps({'os': 'linux', 'architecture': 'amd64', 'config': {'Cmd': ['x']}, 'rootfs': {'type': 'layers', 'diff_ids': [l['digest'] for l in layers]}}).encode())
m = put(json.dumps({'schemaVersion': 2, 'mediaType': 'application/vnd.oci.image.manifest.v1+json', 'config': dict(c, mediaType='application/vnd.oci.image.config.v1+json'), 'layers': layers}).encode())
open(t + '/l/index.json', 'w').write(json.dumps({'schemaVersion': 2, 'manifests': [dict(m, mediaType='application/vnd.oci.image.manifest.v1+json')]}))
open(t + '/l/oci-layout', 'w').write('{"imageLayoutVersion":"1.0.0"}')
EOP
	"$AMPHI" import -q --name many "$t/l"
}

@test "many layers, one of them twice: bars on a terminal, lines or JSON elsewhere" {
	need_program script
	many_layers
	run -0 --separate-stderr "$AMPHI" push --progress json many "$OPEN/$REPO:v1"
	[ "$(jq -s 'map(select(.status == "done")) | length' <<<"$stderr")" = 7 ]
	[ "$(jq -s 'map(select(.done > .total)) | length' <<<"$stderr")" = 0 ]
	other_store
	echo slow >"$PROXY/fault"
	script -qefc "stty cols 100; '$AMPHI' pull $FAULTY/$REPO:v1" "$BATS_TEST_TMPDIR/tty" </dev/null >/dev/null
	run -0 cat "$BATS_TEST_TMPDIR/tty"
	check_output "[##############################]"
	check_output "/s"
	check_output "150.0K"
	grep -q '\[#\{3,27\} \{3,27\}\]' "$BATS_TEST_TMPDIR/tty"
	"$AMPHI" rmi "$FAULTY/$REPO:v1"
	run -0 --separate-stderr "$AMPHI" pull --progress json "$OPEN/$REPO:v1"
	[ "$(jq -s 'map(select(.status == "done")) | map(.blob) | unique | length' <<<"$stderr")" = 6 ]
	run -0 --separate-stderr "$AMPHI" pull -q "$OPEN/$REPO:v1"
	[ -z "$stderr" ]
	run -0 "$AMPHI" fsck
}

@test "a manifest list in Docker's media types" {
	need_program skopeo
	local size m
	"$AMPHI" push -q base "$OPEN/$REPO:v1"
	skopeo copy -q --src-tls-verify=false --dest-tls-verify=false --format v2s2 "docker://$OPEN/$REPO:v1" "docker://$OPEN/$REPO:d"
	m=$(curl -fsS -H 'Accept: application/vnd.docker.distribution.manifest.v2+json' "http://$OPEN/v2/$REPO/manifests/d" | tee "$BATS_TEST_TMPDIR/m" | sha256sum | cut -d' ' -f1)
	size=$(stat -c %s "$BATS_TEST_TMPDIR/m")
	curl -fsS -X PUT -H 'Content-Type: application/vnd.docker.distribution.manifest.list.v2+json' "http://$OPEN/v2/$REPO/manifests/list" --data-binary \
		"{\"schemaVersion\":2,\"mediaType\":\"application/vnd.docker.distribution.manifest.list.v2+json\",\"manifests\":[{\"mediaType\":\"application/vnd.docker.distribution.manifest.v2+json\",\"size\":$size,\"digest\":\"sha256:$m\",\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}}]}"
	other_store
	run -0 "$AMPHI" pull -q --platform linux/amd64 "$OPEN/$REPO:list"
	[ "$output" = "sha256:$m" ]
	run -1 "$AMPHI" pull -q --platform linux/arm64 "$OPEN/$REPO:list"
	check_output "no image for linux/arm64"
}

@test "429 and 503 are waited out" {
	"$AMPHI" push -q base "$OPEN/$REPO:v1"
	other_store
	echo "status 503" >"$PROXY/fault"
	local start=${EPOCHREALTIME/./}
	run -0 "$AMPHI" pull -q "$FAULTY/$REPO:v1"
	[ "$output" = "$DIGEST" ]
	# each twice, with growing pauses between: 100 and 200 ms for the manifest alone
	[ $((${EPOCHREALTIME/./} - start)) -ge 300000 ]
	[ "$(grep -c "/manifests/v1 -" "$PROXY/log")" = 3 ]
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
