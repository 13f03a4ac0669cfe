/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel by its files: runtime-spec config-vm.md, vm.kernel.path and vm.kernel.initrd.
 *
 * The kernel is booted as it is: an ELF image directly, a bzImage by its own loader. Its initial ramdisk cannot be
 * left alone, since PID 1 of a machine is amphi-init: the kernel unpacks archives that stand behind each other into one tree,
 * and what comes last stays. Modules in <initrd>/lib/modules are loaded when there is a list "order" beside them, as in
 * the store's modules.cpio; otherwise the kernel needs virtio-mmio, virtio-fs and vsock built in.
 */
#include "vm/kernel_files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "vm/initramfs.h"

#define INITRD_MAX (512u << 20)

/* The file's bytes at the end of out. */
static int add_file(struct str *out, const char *path, const char *what, struct err *err)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	cleanup_free char *text = NULL;
	struct stat st;
	size_t len;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, -errno, "%s: %s", what, path);
	if (!S_ISREG(st.st_mode) || !st.st_size)
		return err_set(err, -EINVAL, "%s: %s: not a file with content", what, path);
	r = fd_slurp(fd, INITRD_MAX, &text, &len);
	if (r < 0)
		return err_sys(err, r, "%s: %s", what, path);
	str_addn(out, text, len);
	return 0;
}

static int write_initrd(const char *initrd, const char *init_path, const char *dir, struct err *err)
{
	cleanup_fd int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_str struct str out = { 0 }, init = { 0 };
	int r = initrd ? add_file(&out, initrd, "vm.kernel.initrd", err) : 0;

	if (!r)
		r = add_file(&init, init_path, "amphi-init", err);
	if (r < 0)
		return r;
	/* an archive begins at a multiple of 4 */
	while (out.len % 4)
		str_addc(&out, '\0');
	r = initramfs_init(&out, (const uint8_t *)init.s, init.len, err);
	if (r < 0)
		return r;
	r = dirfd < 0 ? -errno : path_write_atomic(dirfd, "initrd", out.s, out.len, 0600);
	return r < 0 ? err_sys(err, r, "%s/initrd", dir) : 0;
}

int kernel_files_open(const char *kernel, const char *initrd, const char *init_path, const char *dir,
		      struct kernel_store_entry *ret, struct err *err)
{
	struct stat st;
	int r;

	if (stat(kernel, &st) < 0)
		return err_sys(err, -errno, "vm.kernel.path: %s", kernel);
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "vm.kernel.path: %s: not a file", kernel);
	r = write_initrd(initrd, init_path, dir, err);
	if (r < 0)
		return r;
	*ret = (struct kernel_store_entry){
		.name = xstrdup(kernel),
		.release = xstrdup(kernel),
		.vmlinux = xstrdup(kernel),
		.initrd = path_join(dir, "initrd"),
		.size = (uint64_t)st.st_size,
	};
	return 0;
}
