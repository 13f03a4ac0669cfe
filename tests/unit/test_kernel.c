/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel files: a small ELF loads, broken ones end in errors; where the initrd goes. */
#include <elf.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include "base/fd.h"
#include "vm/kernel.h"

#include "tests/unit/tap.h"

#define MIB (1ULL << 20)

static struct vm_memory mem;
static struct kernel_image img;
static struct err err;

struct tiny {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[2];
	char text[64];
};

static struct tiny make(void)
{
	struct tiny t = { 0 };

	memcpy(t.eh.e_ident, ELFMAG, 4);
	t.eh.e_ident[EI_CLASS] = ELFCLASS64;
	t.eh.e_machine = EM_X86_64;
	t.eh.e_phentsize = sizeof(Elf64_Phdr);
	t.eh.e_phnum = 2;
	t.eh.e_phoff = sizeof(t.eh);
	t.eh.e_entry = MIB;
	t.ph[0] = (Elf64_Phdr){ .p_type = PT_LOAD,
				.p_offset = offsetof(struct tiny, text),
				.p_paddr = MIB,
				.p_filesz = 64,
				.p_memsz = 8192 };
	t.ph[1].p_type = PT_NOTE;
	strcpy(t.text, "kernel text");
	return t;
}

static int load(const void *buf, size_t len)
{
	int fd = fd_memfd("kernel", buf, len, false), r;

	memset(&err, 0, sizeof(err));
	r = kernel_load(&mem, fd, "test", &img, &err);
	close(fd);
	return r;
}

int main(void)
{
	struct tiny t = make();
	uint8_t junk[2048] = { 0 };
	uint64_t len;
	gpa_t at;
	int fd;

	need(memory_alloc(&mem, 4 * MIB, &err) == 0);
	is_int(load(&t, sizeof(t)), 0);
	is_int(img.entry, MIB);
	is_int(img.end, MIB + 8192);
	is_str(memory_slice(&mem, MIB, 64), "kernel text");
	is_int(load(&t, 100), -ENODATA);
	t.ph[0].p_paddr = 4 * MIB - 4096;
	is_int(load(&t, sizeof(t)), -ENOMEM);
	has_str(err.msg, "does not fit into 4 MiB");
	t.ph[0].p_paddr = 0x1000; /* over the boot structures */
	is_int(load(&t, sizeof(t)), -ENOMEM);
	t = make();
	t.ph[0].p_memsz = UINT64_MAX;
	is_int(load(&t, sizeof(t)), -ENOMEM);
	t = make();
	t.ph[0].p_filesz = 9000;
	is_int(load(&t, sizeof(t)), -ENOMEM);
	t = make();
	t.ph[0].p_offset = 1 << 20;
	is_int(load(&t, sizeof(t)), -ENODATA);
	t = make();
	t.eh.e_machine = EM_AARCH64;
	is_int(load(&t, sizeof(t)), -ENOEXEC);
	t = make();
	t.eh.e_phnum = 1000;
	is_int(load(&t, sizeof(t)), -ENOEXEC);
	t = make();
	t.eh.e_entry = 1ULL << 40;
	is_int(load(&t, sizeof(t)), -ENOEXEC);
	is_int(load(junk, sizeof(junk)), -ENOEXEC);
	memcpy(junk + 0x202, "HdrS\x0f\x02", 6);
	is_int(load(junk, sizeof(junk)), -ENOEXEC);
	has_str(err.msg, "64-bit entry");
	junk[0x236] = 1;
	is_int(load(junk, sizeof(junk)), -ENOEXEC); /* four sectors of setup: nothing behind them */
	junk[0x1f1] = 1;
	is_int(load(junk, sizeof(junk)), -ENOMEM); /* preferred address 0 */

	fd = fd_memfd("initrd", junk, sizeof(junk), false);
	is_int(kernel_load_initrd(&mem, fd, 2 * MIB, &at, &len, &err), 0);
	is_int(at, 4 * MIB - 4096);
	is_int(len, sizeof(junk));
	is_int(kernel_load_initrd(&mem, fd, 4 * MIB - 100, &at, &len, &err), -ENOMEM);
	close(fd);
	memory_free(&mem);
	return tap_done();
}
