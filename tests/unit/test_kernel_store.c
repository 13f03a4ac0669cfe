/* SPDX-License-Identifier: Apache-2.0 */
/* vm/kernel_store and the parsers below it, on hand-made packages: what works, and hostile files. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "tests/unit/tap.h"
#include "vm/deb.h"
#include "vm/initramfs.h"
#include "vm/kernel_store.h"
#include "vm/modules.h"
#include "vm/sha256.h"
#include "vm/unpack.h"

static char dir[] = "/tmp/amphi-test-XXXXXX";

/* A module: an ELF with a .modinfo section. */
static void make_module(struct str *out, const char *depends)
{
	static const char names[] = "\0.shstrtab\0.modinfo";
	cleanup_free char *info = xasprintf("license=GPL%cdepends=%s%c", 0, depends, 0);
	size_t info_len = strlen("license=GPL") + 1 + strlen("depends=") + strlen(depends) + 1;
	Elf64_Ehdr eh = { .e_type = ET_REL,
			  .e_machine = EM_X86_64,
			  .e_version = 1,
			  .e_ehsize = sizeof(eh),
			  .e_shentsize = sizeof(Elf64_Shdr),
			  .e_shnum = 3,
			  .e_shstrndx = 1 };
	Elf64_Shdr sh[3] = { 0 };

	memcpy(eh.e_ident, ELFMAG, SELFMAG);
	eh.e_ident[EI_CLASS] = ELFCLASS64;
	eh.e_shoff = sizeof(eh) + sizeof(names) + info_len;
	sh[1] = (Elf64_Shdr){ .sh_name = 1, .sh_type = SHT_STRTAB, .sh_offset = sizeof(eh), .sh_size = sizeof(names) };
	sh[2] = (Elf64_Shdr){
		.sh_name = 11, .sh_type = SHT_PROGBITS, .sh_offset = sizeof(eh) + sizeof(names), .sh_size = info_len
	};
	str_addn(out, &eh, sizeof(eh));
	str_addn(out, names, sizeof(names));
	str_addn(out, "license=GPL", sizeof("license=GPL"));
	str_addf(out, "depends=%s", depends);
	str_addc(out, '\0');
	str_addn(out, sh, sizeof(sh));
}

static void tar_add(struct str *out, const char *name, const void *data, size_t len)
{
	char h[512] = "";
	unsigned int sum = 0;

	snprintf(h, 100, "%s", name);
	memcpy(h + 100, "0000644", 8);
	snprintf(h + 124, 12, "%011zo", len);
	memset(h + 148, ' ', 8);
	h[156] = '0';
	memcpy(h + 257, "ustar", 6);
	for (size_t i = 0; i < sizeof(h); i++)
		sum += (unsigned char)h[i];
	snprintf(h + 148, 8, "%06o", sum);
	str_addn(out, h, sizeof(h));
	str_addn(out, data, len);
	while (out->len % 512)
		str_addc(out, '\0');
}

static void deb_add(struct str *out, const char *name, const struct str *data)
{
	str_addf(out, "%-16s%-12u%-6u%-6u%-8s%-10zu`\n", name, 0U, 0U, 0U, "100644", data->len);
	str_addn(out, data->s, data->len);
	if (data->len % 2)
		str_addc(out, '\n');
}

static void make_elf(struct str *out)
{
	Elf64_Ehdr eh = { .e_type = ET_EXEC,
			  .e_machine = EM_X86_64,
			  .e_phentsize = sizeof(Elf64_Phdr),
			  .e_phnum = 1,
			  .e_phoff = sizeof(Elf64_Ehdr) };
	Elf64_Phdr ph = { .p_type = PT_LOAD, .p_filesz = 200 };

	memcpy(eh.e_ident, ELFMAG, SELFMAG);
	eh.e_ident[EI_CLASS] = ELFCLASS64;
	str_addn(out, &eh, sizeof(eh));
	str_addn(out, &ph, sizeof(ph));
	while (out->len < 256)
		str_addc(out, 'x');
	str_add(out, "Linux version 9.9.9-test (x)");
	str_addc(out, '\0');
}

static char *write_file(const char *name, const struct str *data)
{
	char *path = path_join(dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);

	ok(fd >= 0 && fd_write_all(fd, data->s, data->len) == 0);
	close(fd);
	return path;
}

static void make_deb(struct str *deb, bool with_vsock)
{
	static const char *const mods[][2] = {
		{ "drivers/virtio/virtio_ring.ko", "" },
		{ "drivers/virtio/virtio.ko", "virtio_ring" },
		{ "drivers/virtio/virtio_mmio.ko", "virtio,virtio_ring" },
		{ "fs/fuse/fuse.ko", "" },
		{ "fs/fuse/virtiofs.ko", "virtio,fuse" },
		{ "net/vmw_vsock/vmw_vsock_virtio_transport.ko", "virtio" },
	};
	struct str tar = { 0 }, elf = { 0 }, version = { 0 };

	make_elf(&elf);
	tar_add(&tar, "./boot/vmlinuz-9.9.9-test", elf.s, elf.len);
	for (size_t i = 0; i < ARRAY_SIZE(mods) - !with_vsock; i++) {
		cleanup_free char *name = xasprintf("./lib/modules/9.9.9-test/kernel/%s", mods[i][0]);
		struct str m = { 0 };

		make_module(&m, mods[i][1]);
		tar_add(&tar, name, m.s, m.len);
		str_free(&m);
	}
	str_add(&version, "2.0\n");
	str_add(deb, "!<arch>\n");
	deb_add(deb, "debian-binary", &version);
	deb_add(deb, "data.tar", &tar);
	str_free(&tar);
	str_free(&elf);
	str_free(&version);
}

static size_t count_entries(const char *store)
{
	struct kernel_store_entry *v;
	struct err err = { 0 };
	size_t n = 99;

	is_int(kernel_store_list(store, &v, &n, &err), 0);
	kernel_store_list_free(v, n);
	return n;
}

static void store(void)
{
	cleanup_free char *root = path_join(dir, "store"), *init = NULL, *deb = NULL, *bad = NULL;
	struct kernel_store_source src = { 0 };
	struct kernel_store_entry e = { 0 };
	struct str s = { 0 };
	struct err err = { 0 };
	char *again;

	make_elf(&s);
	init = write_file("init", &s);
	str_free(&s);
	make_deb(&s, true);
	deb = write_file("good.deb", &s);
	str_free(&s);
	make_deb(&s, false);
	bad = write_file("bad.deb", &s);
	str_free(&s);

	is_int(count_entries(root), 0);
	is_int(kernel_store_open(root, NULL, init, &e, &err), -ENOENT);
	has_str(err.msg, "amphi kernel add");
	src.deb = bad;
	is_int(kernel_store_add(root, &src, init, NULL, &err), -ENOENT);
	has_str(err.msg, "vmw_vsock_virtio_transport");
	is_int(count_entries(root), 0);
	src.deb = deb;
	if (!is_int(kernel_store_add(root, &src, init, &e, &err), 0))
		printf("# %s\n", err.msg);
	is_str(e.release, "9.9.9-test");
	is_int(e.n_modules, 6);
	ok(e.is_default);
	ok(e.digest && strlen(e.digest) == 7 + 64);
	kernel_store_entry_free(&e);
	is_int(kernel_store_add(root, &src, init, NULL, &err), -EEXIST);
	src.name = "../x";
	is_int(kernel_store_add(root, &src, init, NULL, &err), -EINVAL);
	src.name = "second";
	is_int(kernel_store_add(root, &src, init, NULL, &err), 0);
	is_int(count_entries(root), 2);
	/* a changed amphi-init makes a new initrd */
	make_elf(&s);
	str_add(&s, "changed");
	again = write_file("init", &s);
	free(again);
	str_free(&s);
	is_int(kernel_store_open(root, NULL, init, &e, &err), 0);
	is_str(e.name, "9.9.9-test");
	kernel_store_entry_free(&e);
	is_int(kernel_store_remove(root, "9.9.9-test", &err), 0);
	is_int(kernel_store_open(root, NULL, init, &e, &err), 0);
	is_str(e.name, "second");
	kernel_store_entry_free(&e);
	is_int(kernel_store_remove(root, "nothing", &err), -ENOENT);
}

/* Every prefix of a good file and every byte of it damaged: an error or a result, never a crash. */
static void hostile(void)
{
	struct str deb = { 0 }, mod = { 0 };
	struct err err = { 0 };
	const uint8_t *p;
	size_t n;
	char *d;

	make_deb(&deb, true);
	for (size_t cut = 0; cut < deb.len; cut += cut < 300 ? 1 : 97)
		(void)deb_member((uint8_t *)deb.s, cut, "data.tar", &p, &n, &err);
	is_int(deb_member((uint8_t *)deb.s, deb.len, "data.tar", &p, &n, &err), 0);
	ok(deb_member((uint8_t *)deb.s, 100, "data.tar", &p, &n, &err) < 0);
	make_module(&mod, "a,b");
	for (size_t i = 0; i < mod.len; i++) {
		mod.s[i] ^= (char)0xff;
		if (modules_depends((uint8_t *)mod.s, mod.len, &d, &err) == 0)
			free(d);
		if (modules_depends((uint8_t *)mod.s, i, &d, &err) == 0)
			free(d);
		mod.s[i] ^= (char)0xff;
	}
	is_int(modules_depends((uint8_t *)mod.s, mod.len, &d, &err), 0);
	is_str(d, "a,b");
	free(d);
	str_free(&deb);
	str_free(&mod);
}

static void cycle(void)
{
	struct modules m = { 0 };
	struct str a = { 0 }, b = { 0 };
	struct err err = { 0 };

	make_module(&a, "b");
	make_module(&b, "a");
	modules_add(&m, "x/a.ko", (uint8_t *)a.s, a.len);
	modules_add(&m, "x/b.ko", (uint8_t *)b.s, b.len);
	is_int(modules_want(&m, "a", true, &err), -ELOOP);
	modules_free(&m);
	modules_add_builtin(&m, "kernel/fs/over-lay.ko\n", 22);
	is_int(modules_want(&m, "over_lay", true, &err), 0);
	is_int(modules_want(&m, "other", false, &err), 0);
	is_int(modules_want(&m, "other", true, &err), -ENOENT);
	modules_free(&m);
	str_free(&a);
	str_free(&b);
}

static void unpack(void)
{
	uint8_t plain[100000], packed[2000], *back;
	struct err err = { 0 };
	z_stream z = { 0 };
	size_t n;

	memset(plain, 7, sizeof(plain));
	is_int(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = plain;
	z.avail_in = sizeof(plain);
	z.next_out = packed;
	z.avail_out = sizeof(packed);
	is_int(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	is_str(unpack_format(packed, z.total_out), "gzip");
	is_int(unpack_to_memory(packed, z.total_out, 1 << 20, &back, &n, "x", &err), 0);
	ok(n == sizeof(plain) && memcmp(back, plain, n) == 0);
	free(back);
	is_int(unpack_to_memory(packed, z.total_out, 5000, &back, &n, "x", &err), -EFBIG);
	is_int(unpack_to_memory(packed, z.total_out / 2, 1 << 20, &back, &n, "x", &err), -EBADMSG);
	is_int(unpack_kernel(plain, sizeof(plain), 2, "x", &err), -ENOEXEC);
}

static void digest(void)
{
	char hex[SHA256_HEX_SIZE];

	sha256_hex("abc", 3, hex);
	is_str(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	sha256_hex("", 0, hex);
	is_str(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, hex);
	is_str(hex, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

int main(void)
{
	ok(mkdtemp(dir) != NULL);
	store();
	hostile();
	cycle();
	unpack();
	digest();
	(void)path_remove_tree(AT_FDCWD, dir, true);
	return tap_done();
}
