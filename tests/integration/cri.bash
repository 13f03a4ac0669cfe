# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A client of the container runtime interface in a dozen lines: messages in protoc's text format, gRPC by curl. What an
# engine answers goes to stdout as text; an error's words to stderr.

# cri METHOD REQUEST-TYPE ANSWER-TYPE <TEXT
cri() {
	local d code
	d=$(mktemp -d -p "$E")
	protoc -I "$AMPHI_TOP/tests/integration" --encode="runtime.v1.$2" cri.proto >"$d/message" || return 1
	# one frame: no compression, length, message (gRPC over HTTP2)
	{ printf '\0'; printf "$(printf '\\x%02x' $(n=$(stat -c %s "$d/message") && echo $((n >> 24 & 255)) $((n >> 16 & 255)) $((n >> 8 & 255)) $((n & 255))))"; cat "$d/message"; } >"$d/request"
	curl -sS --max-time 200 --http2-prior-knowledge --unix-socket "$E/containerd.sock" -H 'content-type: application/grpc' -H 'te: trailers' \
		--data-binary "@$d/request" -D "$d/headers" -o "$d/answer" "http://localhost/runtime.v1.RuntimeService/$1" || return 1
	code=$(sed -n 's/^grpc-status: *\([0-9]*\).*/\1/p' "$d/headers" | tail -1)
	[ "$code" = 0 ] || { sed -n 's/^grpc-message: *//p' "$d/headers" >&2; rm -rf "$d"; return 1; }
	tail -c +6 "$d/answer" | protoc -I "$AMPHI_TOP/tests/integration" --decode="runtime.v1.$3" cri.proto
	rm -rf "$d"
}

# Methods that take one id; those that answer with one.
cri_id() { cri "$1" Id "${3:-Empty}" <<<"id: \"$2\""; } # METHOD ID [ANSWER-TYPE]
cri_new() { cri "$1" "$1Request" Id | sed -n 's/^id: "\(.*\)"/\1/p'; } # METHOD <TEXT

# A command's output, its status as ours: cri_exec ID WORD...
cri_exec() {
	local answer id=$1 word
	shift
	answer=$({
		echo "container_id: \"$id\""
		for word; do
			word=${word//\\/\\\\} word=${word//\"/\\\"}
			printf 'cmd: "%s"\n' "${word//$'\n'/\\n}"
		done
	} | cri ExecSync ExecSyncRequest ExecSyncResponse) || return 125
	printf '%b' "$(sed -n 's/^std\(out\|err\): "\(.*\)"$/\2/p' <<<"$answer" | tr -d '\n')"
	return "$(sed -n 's/^exit_code: //p; $a 0' <<<"$answer" | head -1)"
}
