/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set of kernel modules and the order to load them.
 *
 * Distribution packages carry no modules.dep (depmod makes it at installation), so dependencies are read where
 * depmod reads them: the "depends=" entry of the .modinfo section of each module that is wanted, depth first.
 * Modules are foreign bytes: section headers and strings are checked against the image's length.
 *
 * Counted in a guest under -icount, loading Debian's fourteen modules takes 265 million instructions, two thirds of what
 * the kernel takes before: signatures are checked and type information is parsed. Slimmed ones take 42.
 */
#include "vm/modules.h"

#include <elf.h>
#include <string.h>

#include "base/str.h"
#include "vm/unpack.h"

#define MODULE_MAX (64ULL << 20)
#define DEPTH_MAX 32

/* "kernel/drivers/virtio/virtio-rng.ko.xz" → "virtio_rng"; NULL when it is no module. */
static char *module_name(const char *path)
{
	static const char *const suffixes[] = { ".ko", ".ko.xz", ".ko.zst", ".ko.gz" };
	const char *base = strrchr(path, '/');

	base = base ? base + 1 : path;
	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		size_t n = strlen(base), s = strlen(suffixes[i]);
		char *name;

		if (n <= s || !str_ends(base, suffixes[i]))
			continue;
		name = xstrndup(base, n - s);
		for (char *p = name; *p; p++)
			if (*p == '-')
				*p = '_';
		return name;
	}
	return NULL;
}

void modules_add(struct modules *m, const char *path, const uint8_t *data, size_t len)
{
	char *name = module_name(path);

	if (!name)
		return;
	if (m->n == m->cap) {
		m->cap = m->cap ? m->cap * 2 : 512;
		m->v = xreallocarray(m->v, m->cap, sizeof(*m->v));
	}
	m->v[m->n++] = (struct modules_entry){ .name = name, .data = data, .len = len };
}

void modules_add_builtin(struct modules *m, const char *text, size_t len)
{
	const char *end = text + len;

	while (text < end) {
		const char *nl = memchr(text, '\n', (size_t)(end - text));
		cleanup_free char *line = xstrndup(text, (size_t)((nl ? nl : end) - text));
		char *name = module_name(line);

		if (name)
			strv_add_take(&m->builtin, name);
		if (!nl)
			break;
		text = nl + 1;
	}
}

/* The section's slice, or NULL when it lies outside the image. */
static const uint8_t *section(const uint8_t *image, size_t len, uint64_t off, uint64_t size)
{
	return off > len || size > len - off ? NULL : image + off;
}

/* The ELF header, the header of the section with the sections' names, and these; all within the image. */
static int read_headers(const uint8_t *image, size_t len, Elf64_Ehdr *eh, Elf64_Shdr *names,
			const uint8_t **ret_strings)
{
	if (len < sizeof(*eh))
		return -ENOEXEC;
	memcpy(eh, image, sizeof(*eh));
	if (memcmp(eh->e_ident, ELFMAG, SELFMAG) != 0 || eh->e_ident[EI_CLASS] != ELFCLASS64 ||
	    eh->e_shentsize != sizeof(*names) || eh->e_shstrndx >= eh->e_shnum ||
	    !section(image, len, eh->e_shoff, (uint64_t)eh->e_shnum * sizeof(*names)))
		return -ENOEXEC;
	memcpy(names, image + eh->e_shoff + (size_t)eh->e_shstrndx * sizeof(*names), sizeof(*names));
	*ret_strings = section(image, len, names->sh_offset, names->sh_size);
	return *ret_strings ? 0 : -ENOEXEC;
}

static int find_modinfo(const uint8_t *image, size_t len, const uint8_t **ret, size_t *ret_len)
{
	Elf64_Ehdr eh;
	Elf64_Shdr sh, names;
	const uint8_t *strings;

	if (read_headers(image, len, &eh, &names, &strings) < 0)
		return -ENOEXEC;
	for (unsigned int i = 0; i < eh.e_shnum; i++) {
		memcpy(&sh, image + eh.e_shoff + (size_t)i * sizeof(sh), sizeof(sh));
		if (sh.sh_name >= names.sh_size || names.sh_size - sh.sh_name < sizeof(".modinfo") ||
		    memcmp(strings + sh.sh_name, ".modinfo", sizeof(".modinfo")) != 0)
			continue;
		*ret = section(image, len, sh.sh_offset, sh.sh_size);
		*ret_len = (size_t)sh.sh_size;
		return *ret && sh.sh_type != SHT_NOBITS ? 0 : -ENOEXEC;
	}
	return -ENOEXEC;
}

int modules_depends(const uint8_t *image, size_t len, char **ret, struct err *err)
{
	const uint8_t *info;
	size_t n, off = 0;

	if (find_modinfo(image, len, &info, &n) < 0)
		return err_set(err, -ENOEXEC, "not a kernel module");
	while (off < n) {
		const char *s = (const char *)info + off;
		size_t l = strnlen(s, n - off);

		if (l >= 8 && memcmp(s, "depends=", 8) == 0) {
			*ret = xstrndup(s + 8, l - 8);
			return 0;
		}
		off += l + 1;
	}
	*ret = xstrdup("");
	return 0;
}

/* linux/module_signature.h: the trailer's last fields, and the mark behind them. */
#define SIGNATURE_MARK "~Module signature appended~\n"
#define SIGNATURE_INFO 12u

/* The length without an appended signature. */
static size_t unsigned_len(const uint8_t *image, size_t len)
{
	size_t mark = sizeof(SIGNATURE_MARK) - 1, names, sig;
	const uint8_t *info;

	if (len < mark + SIGNATURE_INFO || memcmp(image + len - mark, SIGNATURE_MARK, mark) != 0)
		return len;
	len -= mark + SIGNATURE_INFO;
	info = image + len;
	names = (size_t)info[3] + info[4];
	sig = (size_t)info[8] << 24 | (size_t)info[9] << 16 | (size_t)info[10] << 8 | info[11];
	return sig + names > len ? len : len - sig - names;
}

size_t modules_slim(uint8_t *image, size_t len)
{
	const uint8_t *strings;
	Elf64_Shdr sh, names;
	Elf64_Ehdr eh;

	len = unsigned_len(image, len);
	if (read_headers(image, len, &eh, &names, &strings) < 0)
		return len;
	for (unsigned int i = 0; i < eh.e_shnum; i++) {
		uint8_t *at = image + eh.e_shoff + (size_t)i * sizeof(sh);

		memcpy(&sh, at, sizeof(sh));
		if (sh.sh_name >= names.sh_size || names.sh_size - sh.sh_name < sizeof(".BTF") ||
		    memcmp(strings + sh.sh_name, ".BTF", sizeof(".BTF")) != 0)
			continue;
		sh.sh_size = 0;
		memcpy(at, &sh, sizeof(sh));
	}
	return len;
}

static struct modules_entry *find(struct modules *m, const char *name)
{
	for (size_t i = 0; i < m->n; i++)
		if (strcmp(m->v[i].name, name) == 0)
			return &m->v[i];
	return NULL;
}

static int visit(struct modules *m, const char *name, bool required, unsigned int depth, struct err *err)
{
	struct modules_entry *e = find(m, name);
	cleanup_free char *depends = NULL;
	cleanup_strv char **list = NULL;
	int r;

	if (!e) {
		if (strv_has(m->builtin, name) || !required)
			return 0;
		return err_set(err, -ENOENT, "kernel module %s is missing", name);
	}
	if (e->state == 2)
		return 0;
	if (e->state == 1 || depth > DEPTH_MAX)
		return err_set(err, -ELOOP, "kernel module %s: its dependencies form a cycle", name);
	e->state = 1;
	if (!e->image) {
		r = unpack_to_memory(e->data, e->len, MODULE_MAX, &e->image, &e->image_len, name, err);
		if (r < 0)
			return r;
	}
	if (m->slim)
		e->image_len = modules_slim(e->image, e->image_len);
	r = modules_depends(e->image, e->image_len, &depends, err);
	if (r < 0)
		return err_wrap(err, "kernel module %s", name);
	list = strv_split(depends, ',');
	for (char **p = list; p && *p; p++) {
		for (char *c = *p; *c; c++)
			if (*c == '-')
				*c = '_';
		if (!**p)
			continue;
		r = visit(m, *p, true, depth + 1, err);
		if (r < 0)
			return r;
	}
	e->state = 2;
	m->order = xreallocarray(m->order, m->n_order + 1, sizeof(*m->order));
	m->order[m->n_order++] = (size_t)(e - m->v);
	return 0;
}

int modules_want(struct modules *m, const char *name, bool required, struct err *err)
{
	return visit(m, name, required, 0, err);
}

void modules_free(struct modules *m)
{
	for (size_t i = 0; i < m->n; i++) {
		free(m->v[i].name);
		free(m->v[i].image);
	}
	free(m->v);
	free(m->order);
	strv_free(m->builtin);
	memset(m, 0, sizeof(*m));
}
