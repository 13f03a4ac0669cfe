/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's initramfs: two cpio archives behind each other, which the kernel unpacks as one tree. The first holds
 * amphi-init and changes with our program, the second holds the kernel's modules and changes with the kernel.
 */
#include "vm/initramfs.h"

#include <elf.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "vm/modules.h"

static void pad4(struct str *out)
{
	while (out->len % 4)
		str_addc(out, '\0');
}

void initramfs_add(struct str *out, const char *name, uint32_t mode, unsigned int rdev_major, unsigned int rdev_minor,
		   const void *data, size_t len)
{
	/* magic ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check */
	pad4(out);
	str_addf(out, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", 0U, mode, 0U, 0U,
		 S_ISDIR(mode) ? 2U : 1U, 0U, (unsigned int)len, 0U, 0U, rdev_major, rdev_minor,
		 (unsigned int)strlen(name) + 1, 0U);
	str_addn(out, name, strlen(name) + 1);
	pad4(out);
	if (len)
		str_addn(out, data, len);
	pad4(out);
}

void initramfs_end(struct str *out)
{
	initramfs_add(out, "TRAILER!!!", 0, 0, 0, NULL, 0);
	while (out->len % 512)
		str_addc(out, '\0');
}

void initramfs_modules(struct str *out, const struct modules *m)
{
	cleanup_str struct str list = { 0 };

	initramfs_add(out, "lib", S_IFDIR | 0755, 0, 0, NULL, 0);
	initramfs_add(out, INITRAMFS_MODULE_DIR, S_IFDIR | 0755, 0, 0, NULL, 0);
	for (size_t i = 0; i < m->n_order; i++) {
		const struct modules_entry *e = &m->v[m->order[i]];
		cleanup_free char *name = xasprintf(INITRAMFS_MODULE_DIR "/%s.ko", e->name);

		initramfs_add(out, name, S_IFREG | 0644, 0, 0, e->image, e->image_len);
		str_addf(&list, "%s.ko\n", e->name);
	}
	initramfs_add(out, INITRAMFS_MODULE_LIST, S_IFREG | 0644, 0, 0, str_get(&list), list.len);
	initramfs_end(out);
}

/* The bytes up to the end of the last loaded segment: everything behind is for debuggers. */
static size_t loaded_size(const uint8_t *elf, size_t len, bool *ret_static)
{
	Elf64_Ehdr eh;
	uint64_t end = 0;

	*ret_static = true;
	if (len < sizeof(eh))
		return 0;
	memcpy(&eh, elf, sizeof(eh));
	if (memcmp(eh.e_ident, ELFMAG, SELFMAG) != 0 || eh.e_ident[EI_CLASS] != ELFCLASS64 ||
	    eh.e_phentsize != sizeof(Elf64_Phdr) || eh.e_phoff > len ||
	    (uint64_t)eh.e_phnum * sizeof(Elf64_Phdr) > len - eh.e_phoff)
		return 0;
	for (unsigned int i = 0; i < eh.e_phnum; i++) {
		Elf64_Phdr ph;

		memcpy(&ph, elf + eh.e_phoff + i * sizeof(ph), sizeof(ph));
		if (ph.p_type == PT_INTERP)
			*ret_static = false;
		if (ph.p_type != PT_LOAD)
			continue;
		if (ph.p_offset > len || ph.p_filesz > len - ph.p_offset)
			return 0;
		if (ph.p_offset + ph.p_filesz > end)
			end = ph.p_offset + ph.p_filesz;
	}
	return (size_t)end;
}

int initramfs_init(struct str *out, const uint8_t *elf, size_t len, struct err *err)
{
	static const char *const dirs[] = { "dev", "proc", "sys", "run", "tmp" };
	bool is_static;
	size_t n = loaded_size(elf, len, &is_static);
	cleanup_free uint8_t *copy = NULL;
	Elf64_Ehdr eh;

	if (n < sizeof(eh) || !is_static)
		return err_set(err, -ENOEXEC, "amphi-init is no static executable");
	copy = xmalloc(n);
	memcpy(copy, elf, n);
	memcpy(&eh, copy, sizeof(eh));
	eh.e_shoff = 0;
	eh.e_shnum = 0;
	eh.e_shstrndx = 0;
	memcpy(copy, &eh, sizeof(eh));
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		initramfs_add(out, dirs[i], S_IFDIR | 0755, 0, 0, NULL, 0);
	initramfs_add(out, "dev/console", S_IFCHR | 0600, 5, 1, NULL, 0);
	initramfs_add(out, "init", S_IFREG | 0755, 0, 0, copy, n);
	initramfs_end(out);
	return 0;
}
