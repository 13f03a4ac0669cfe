/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel store: <dir>/<name>/{vmlinux, modules.cpio, initrd, kernel.json} and the symlink <dir>/default. An entry
 * appears by rename, complete. initrd is amphi-init + modules.cpio and is made anew when amphi-init changed.
 */
#ifndef VM_KERNEL_STORE_H
#define VM_KERNEL_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define KERNEL_STORE_DIR "/var/lib/amphi/kernels"
#define KERNEL_STORE_VERSION 1

/* Where a kernel comes from: a .deb, or an image (vmlinuz or vmlinux) with an optional directory of modules. */
struct kernel_store_source {
	const char *name;    /* in the store; NULL: the kernel's release */
	const char *deb;     /* path of linux-image*.deb, or NULL */
	const char *image;   /* path of vmlinuz or vmlinux, or NULL */
	const char *modules; /* directory with .ko files below (lib/modules/RELEASE), or NULL: all is built in */
	bool make_default;   /* also when the store has a default already */
};

struct kernel_store_entry {
	char *name;
	char *release; /* "6.1.0-57-cloud-amd64", or the name where the image does not tell */
	char *digest;  /* "sha256:…" of vmlinux */
	char *vmlinux; /* path */
	char *initrd;  /* path */
	uint64_t size; /* of vmlinux, bytes */
	size_t n_modules;
	bool is_default;
};

/* $AMPHI_KERNELS or KERNEL_STORE_DIR. Borrowed. */
const char *kernel_store_dir(void);
/*
 * Adds a kernel. init_path: the amphi-init program. -EEXIST: the name is taken. *ret may be NULL. Files that are
 * no kernel are refused by name; nothing is left on failure.
 */
int kernel_store_add(const char *dir, const struct kernel_store_source *src, const char *init_path,
		     struct kernel_store_entry *ret, struct err *err);
/* All entries by name; *ret owned (kernel_store_list_free()). A store that does not exist is empty. */
int kernel_store_list(const char *dir, struct kernel_store_entry **ret, size_t *ret_n, struct err *err);
void kernel_store_list_free(struct kernel_store_entry *v, size_t n);
/* Removes an entry; the default moves to the first that is left. -ENOENT: no such kernel. */
int kernel_store_remove(const char *dir, const char *name, struct err *err);
int kernel_store_set_default(const char *dir, const char *name, struct err *err);
/*
 * The entry to boot: name, or the default when NULL; brings initrd up to date with init_path. -ENOENT: "no kernel
 * in the store: run amphi kernel add".
 */
int kernel_store_open(const char *dir, const char *name, const char *init_path, struct kernel_store_entry *ret,
		      struct err *err);
void kernel_store_entry_free(struct kernel_store_entry *e);
#define cleanup_kernel_store_entry CLEANUP(kernel_store_entry_free)

#endif
