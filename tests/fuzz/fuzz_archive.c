/* SPDX-License-Identifier: Apache-2.0 */
/* images/archive: any bytes as an image archive: opened, its members found, documents and streams read. */
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/str.h"
#include "images/archive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void members(struct archive *a)
{
	static const char *const names[] = {
		"index.json", "oci-layout", "manifest.json", "a", "a/layer.tar", "../x", ""
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		cleanup_free char *text = NULL;
		char buf[300];
		struct err err = { 0 };
		uint64_t n = 0, sum = 0;
		size_t len = 0;
		void *stream;
		ssize_t got;
		int r = archive_read(a, names[i], &text, &len, &err);

		if (r < 0 ? !err.msg[0] : text[len] != '\0' || !archive_has(a, names[i]))
			__builtin_trap();
		if (archive_stream(a, names[i], len / 2, &stream, &n, &err) < 0)
			continue;
		while ((got = archive_stream_read(stream, buf, sizeof(buf), &err)) > 0)
			sum += (uint64_t)got;
		if (got == 0 && sum + len / 2 != n)
			__builtin_trap();
		archive_stream_close(stream);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	cleanup_free char *path = xasprintf("/proc/self/fd/%d", fd);
	struct archive *a;
	struct err err = { 0 };

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		__builtin_trap();
	if (archive_open(path, "/tmp", 16 << 20, &a, &err) >= 0) {
		members(a);
		archive_close(a);
	} else if (!err.msg[0]) {
		__builtin_trap();
	}
	close(fd);
	return 0;
}
