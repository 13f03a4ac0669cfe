/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel images (Documentation/arch/x86/boot.rst).
 *
 * An ELF vmlinux is the fast way: its PT_LOAD segments are read straight to their physical addresses and it starts at
 * its entry point. A bzImage is loaded as it is, 64-bit entry at 0x200 of its protected-mode part, and unpacks itself in
 * the guest, which costs time. Files come from the administrator's store, but a broken one must end in an error, so
 * all offsets are checked against file and memory.
 */
#include "vm/kernel.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "vm/layout.h"

#define PAGE 4096ULL
#define HDR_OFFSET 0x1f1
#define XLF_KERNEL_64 1

static int read_at(int fd, void *buf, size_t len, uint64_t off)
{
	uint8_t *p = buf;

	while (len) {
		ssize_t n = pread(fd, p, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENODATA;
		p += n;
		off += (size_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int load_elf(const struct vm_memory *m, int fd, const char *what, struct kernel_image *img, struct err *err)
{
	Elf64_Ehdr eh;
	Elf64_Phdr ph[32];
	unsigned int loaded = 0;
	int r;

	r = read_at(fd, &eh, sizeof(eh), 0);
	if (r < 0)
		return err_sys(err, r, "kernel %s", what);
	if (eh.e_ident[EI_CLASS] != ELFCLASS64 || eh.e_machine != EM_X86_64 || eh.e_phentsize != sizeof(ph[0]) ||
	    !eh.e_phnum || eh.e_phnum > ARRAY_SIZE(ph))
		return err_set(err, ENOEXEC, "kernel %s: not an x86-64 ELF kernel", what);
	r = read_at(fd, ph, eh.e_phnum * sizeof(ph[0]), eh.e_phoff);
	if (r < 0)
		return err_sys(err, r, "kernel %s: program headers", what);
	for (unsigned int i = 0; i < eh.e_phnum; i++) {
		uint8_t *to;

		if (ph[i].p_type != PT_LOAD || !ph[i].p_memsz)
			continue;
		to = memory_slice(m, ph[i].p_paddr, ph[i].p_memsz);
		if (!to || ph[i].p_filesz > ph[i].p_memsz || ph[i].p_paddr < LAYOUT_HIGH)
			return err_set(err, ENOMEM,
				       "kernel %s: segment of %llu bytes at %#llx does not fit into %llu MiB", what,
				       (unsigned long long)ph[i].p_memsz, (unsigned long long)ph[i].p_paddr,
				       (unsigned long long)(memory_total(m) >> 20));
		r = read_at(fd, to, ph[i].p_filesz, ph[i].p_offset);
		if (r < 0)
			return err_sys(err, r, "kernel %s: segment", what);
		if (ph[i].p_paddr + ph[i].p_memsz > img->end)
			img->end = ph[i].p_paddr + ph[i].p_memsz;
		loaded++;
	}
	if (!loaded || !memory_slice(m, eh.e_entry, 1))
		return err_set(err, ENOEXEC, "kernel %s: nothing to start", what);
	img->entry = eh.e_entry;
	return 0;
}

static uint32_t le32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static int load_bzimage(const struct vm_memory *m, int fd, const char *what, uint64_t size, struct kernel_image *img,
			struct err *err)
{
	uint8_t head[0x1f1 + KERNEL_SETUP_MAX];
	const uint8_t *h = head; /* addressed by the offsets of the protocol */
	uint64_t setup_bytes, payload, init_size, at;
	uint8_t *to;
	int r = read_at(fd, head, sizeof(head), 0);

	if (r < 0)
		return err_sys(err, r, "kernel %s", what);
	if (memcmp(h + 0x202, "HdrS", 4) || (h[0x206] | h[0x207] << 8) < 0x20c)
		return err_set(err, ENOEXEC, "kernel %s: neither an ELF kernel nor a bzImage of boot protocol 2.12",
			       what);
	if (!(h[0x236] & XLF_KERNEL_64))
		return err_set(err, ENOEXEC, "kernel %s: has no 64-bit entry point", what);
	setup_bytes = ((h[0x1f1] ? h[0x1f1] : 4) + 1ULL) * 512;
	at = le32(h + 0x258) | (uint64_t)le32(h + 0x25c) << 32; /* pref_address */
	init_size = le32(h + 0x260);
	if (setup_bytes >= size)
		return err_set(err, ENOEXEC, "kernel %s: cut short", what);
	payload = size - setup_bytes;
	if (init_size < payload)
		init_size = payload;
	to = at >= LAYOUT_HIGH ? memory_slice(m, at, init_size) : NULL;
	if (!to)
		return err_set(err, ENOMEM, "kernel %s: needs %llu bytes at %#llx, the machine has %llu MiB", what,
			       (unsigned long long)init_size, (unsigned long long)at,
			       (unsigned long long)(memory_total(m) >> 20));
	r = read_at(fd, to, payload, setup_bytes);
	if (r < 0)
		return err_sys(err, r, "kernel %s", what);
	img->entry = at + 0x200;
	img->end = at + init_size;
	img->setup_len = 0x202 + h[0x201] - HDR_OFFSET;
	if (img->setup_len > KERNEL_SETUP_MAX)
		img->setup_len = KERNEL_SETUP_MAX;
	memcpy(img->setup, h + HDR_OFFSET, img->setup_len);
	return 0;
}

int kernel_load(const struct vm_memory *m, int fd, const char *what, struct kernel_image *ret, struct err *err)
{
	struct kernel_image img = { 0 };
	char magic[4];
	struct stat st;
	int r;

	if (fstat(fd, &st))
		return err_sys(err, -errno, "kernel %s", what);
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > KERNEL_FILE_MAX)
		return err_set(err, EINVAL, "kernel %s: not a regular file of at most 512 MiB", what);
	r = read_at(fd, magic, sizeof(magic), 0);
	if (r < 0)
		return err_sys(err, r, "kernel %s", what);
	if (!memcmp(magic, ELFMAG, 4))
		r = load_elf(m, fd, what, &img, err);
	else
		r = load_bzimage(m, fd, what, (uint64_t)st.st_size, &img, err);
	if (r < 0)
		return r;
	*ret = img;
	return 0;
}

int kernel_load_initrd(const struct vm_memory *m, int fd, gpa_t lowest, gpa_t *ret_gpa, uint64_t *ret_len,
		       struct err *err)
{
	struct stat st;
	uint64_t len;
	gpa_t top, at;
	void *to;
	int r;

	if (fstat(fd, &st))
		return err_sys(err, -errno, "initrd");
	if (!S_ISREG(st.st_mode) || st.st_size <= 0 || (uint64_t)st.st_size > KERNEL_FILE_MAX)
		return err_set(err, EINVAL, "initrd: not a regular file of 1 byte to 512 MiB");
	len = (uint64_t)st.st_size;
	top = m->regions[0].gpa + m->regions[0].len;
	if (top > 0x7fffffffULL) /* initrd_addr_max of all current kernels */
		top = 0x80000000ULL;
	at = len < top ? (top - len) & ~(PAGE - 1) : 0;
	to = at >= ((lowest + PAGE - 1) & ~(PAGE - 1)) && at >= LAYOUT_HIGH ? memory_slice(m, at, len) : NULL;
	if (!to)
		return err_set(err, ENOMEM, "initrd: %llu bytes do not fit beside the kernel into %llu MiB",
			       (unsigned long long)len, (unsigned long long)(memory_total(m) >> 20));
	r = read_at(fd, to, len, 0);
	if (r < 0)
		return err_sys(err, r, "initrd");
	*ret_gpa = at;
	*ret_len = len;
	return 0;
}
