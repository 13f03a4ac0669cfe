/* SPDX-License-Identifier: Apache-2.0 */
/* What `amphi kernel add` reads: packages, tar archives, kernel images, modules. The first byte chooses. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vm/deb.h"
#include "vm/initramfs.h"
#include "vm/modules.h"
#include "vm/unpack.h"

static int take(void *arg, const char *name, const uint8_t *data, size_t len)
{
	struct modules *m = arg;

	modules_add(m, name, data, len);
	if (len && data[len - 1] == '\n')
		modules_add_builtin(m, (const char *)data, len);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct modules m = { 0 };
	struct str out = { 0 };
	struct err err = { 0 };
	const uint8_t *p;
	uint8_t *buf;
	char *s = NULL;
	size_t n;
	int fd;

	if (!size)
		return 0;
	data++;
	size--;
	switch (data[-1] % 5) {
	case 0:
		(void)deb_member(data, size, "data.tar", &p, &n, &err);
		break;
	case 1:
		if (deb_tar_walk(data, size, take, &m, &err) == 0)
			for (size_t i = 0; i < m.n && i < 8; i++)
				(void)modules_want(&m, m.v[i].name, true, &err);
		initramfs_modules(&out, &m);
		break;
	case 2:
		if (modules_depends(data, size, &s, &err) == 0)
			free(s);
		(void)initramfs_init(&out, data, size, &err);
		break;
	case 3:
		if (unpack_to_memory(data, size, 1 << 20, &buf, &n, "fuzz", &err) == 0)
			free(buf);
		break;
	default:
		fd = memfd_create("fuzz", MFD_CLOEXEC);
		if (fd >= 0) {
			(void)unpack_kernel(data, size, fd, "fuzz", &err);
			close(fd);
		}
	}
	str_free(&out);
	modules_free(&m);
	return 0;
}
