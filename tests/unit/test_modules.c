/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel modules: what slimming takes away and what it leaves, malformed ones included. */
#include <elf.h>

#include "vm/modules.h"

#include "tests/unit/tap.h"

#define MARK "~Module signature appended~\n"

static const char names[] = "\0.shstrtab\0.BTF\0.modinfo";
static const char info[] = "license=GPL\0depends=virtio,virtio_ring\0";

/* {ELF header, names, .BTF's 100 bytes, .modinfo, four section headers, signature}. */
static size_t build(uint8_t *to, bool sign)
{
	Elf64_Ehdr eh = { .e_shoff = 512, .e_shentsize = sizeof(Elf64_Shdr), .e_shnum = 4, .e_shstrndx = 1 };
	Elf64_Shdr sh[4] = {
		[1] = { .sh_name = 1, .sh_offset = 64, .sh_size = sizeof(names) },
		[2] = { .sh_name = 11, .sh_type = SHT_PROGBITS, .sh_offset = 128, .sh_size = 100 },
		[3] = { .sh_name = 16, .sh_type = SHT_PROGBITS, .sh_offset = 256, .sh_size = sizeof(info) },
	};
	size_t len = 512 + sizeof(sh);

	memset(to, 0, 2048);
	memcpy(eh.e_ident, ELFMAG, SELFMAG);
	eh.e_ident[EI_CLASS] = ELFCLASS64;
	memcpy(to, &eh, sizeof(eh));
	memcpy(to + 64, names, sizeof(names));
	memset(to + 128, 'B', 100);
	memcpy(to + 256, info, sizeof(info));
	memcpy(to + 512, sh, sizeof(sh));
	if (!sign)
		return len;
	memset(to + len, 'S', 200);
	len += 200;
	to[len + 2] = 2; /* PKCS#7 */
	to[len + 11] = 200;
	memcpy(to + len + 12, MARK, sizeof(MARK) - 1);
	return len + 12 + sizeof(MARK) - 1;
}

static uint64_t btf_size(const uint8_t *image)
{
	Elf64_Shdr sh;

	memcpy(&sh, image + 512 + 2 * sizeof(sh), sizeof(sh));
	return sh.sh_size;
}

int main(void)
{
	static uint8_t image[2048], before[2048];
	size_t plain = build(image, false), len;
	struct err err = { 0 };
	char *depends = NULL;

	is_int(modules_slim(image, plain), plain);
	is_int(btf_size(image), 0);
	len = build(image, true);
	ok(len > plain);
	is_int(modules_slim(image, len), plain);
	is_int(btf_size(image), 0);
	is_int(modules_depends(image, plain, &depends, &err), 0);
	is_str(depends, "virtio,virtio_ring");
	free(depends);
	/* once more changes nothing */
	memcpy(before, image, sizeof(image));
	is_int(modules_slim(image, plain), plain);
	ok(!memcmp(before, image, sizeof(image)));
	/* a signature that claims more than there is: only its trailer goes */
	len = build(image, true);
	image[len - sizeof(MARK) + 1 - 4] = 0x7f;
	is_int(modules_slim(image, len), plain + 200);
	/* headers that lead out of the image, and no ELF at all */
	plain = build(image, false);
	image[0x28 + 2] = 0xff;
	memcpy(before, image, sizeof(image));
	is_int(modules_slim(image, plain), plain);
	ok(!memcmp(before, image, sizeof(image)));
	memset(image, 0, sizeof(image));
	is_int(modules_slim(image, 300), 300);
	is_int(modules_slim(image, 0), 0);
	is_int(modules_slim((uint8_t[]){ MARK }, sizeof(MARK) - 1), sizeof(MARK) - 1);
	return tap_done();
}
