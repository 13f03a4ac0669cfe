/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel store.
 *
 * add: the source's files are gathered as slices of mapped memory (a package's data.tar is unpacked to an unnamed
 * file first), the image is unpacked to vmlinux, the wanted modules and their dependencies are put in order and
 * written as modules.cpio; all that happens in <dir>/.new-PID, which is renamed to its name at the end. Writers
 * hold flock(2) on the directory. The modules wanted are those a machine of ours can need: its transports and devices,
 * the filesystems for the root, and what containers use inside. Everything else a kernel brings stays out.
 */
#include "vm/kernel_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "vm/deb.h"
#include "vm/initramfs.h"
#include "vm/modules.h"
#include "vm/sha256.h"
#include "vm/unpack.h"

#define PACKAGE_UNPACKED_MAX (4ULL << 30)
#define MODULE_FILES_MAX 20000u
#define DIR_DEPTH_MAX 16u

/* Load order follows this list, each after its dependencies. */
static const struct {
	const char *name;
	bool required; /* when the kernel is modular at all */
} wanted[] = {
	{ "virtio_mmio", true }, { "virtiofs", true },    { "vmw_vsock_virtio_transport", true },
	{ "virtio_net", false }, { "virtio_rng", false }, { "virtio_balloon", false },
	{ "overlay", false },    { "unix", false },       { "af_packet", false },
	{ "ipv6", false },
};

/* A read-only mapping of a file; slices of the source point into these. */
struct mapping {
	void *p;
	size_t len;
	struct mapping *next;
};

/* What add() gathers. */
struct gather {
	struct modules modules;
	struct mapping *maps;
	const uint8_t *image; /* slice of a mapping */
	size_t image_len;
	const char *image_name;
	char *release;
	size_t n_files;
	struct err *err;
};

const char *kernel_store_dir(void)
{
	const char *e = secure_getenv("AMPHI_KERNELS");

	return str_empty(e) ? KERNEL_STORE_DIR : e;
}

static void gather_free(struct gather *g)
{
	modules_free(&g->modules);
	while (g->maps) {
		struct mapping *m = g->maps;

		g->maps = m->next;
		munmap(m->p, m->len);
		free(m);
	}
	free(g->release);
}

static int map_fd(struct gather *g, int fd, const char *what, const uint8_t **ret, size_t *ret_len, struct err *err)
{
	struct mapping *m;
	struct stat st;
	void *p;

	if (fstat(fd, &st) < 0)
		return err_sys(err, -errno, "%s", what);
	if (!S_ISREG(st.st_mode) || st.st_size <= 0)
		return err_set(err, -EINVAL, "%s: not a file with content", what);
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return err_sys(err, -errno, "%s: mmap", what);
	m = xcalloc(1, sizeof(*m));
	m->p = p;
	m->len = (size_t)st.st_size;
	m->next = g->maps;
	g->maps = m;
	*ret = p;
	*ret_len = m->len;
	return 0;
}

static int map_file(struct gather *g, int dirfd, const char *path, const uint8_t **ret, size_t *ret_len,
		    struct err *err)
{
	cleanup_fd int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0)
		return err_sys(err, -errno, "%s", path);
	return map_fd(g, fd, path, ret, ret_len, err);
}

/* "lib/modules/6.1.0-57-cloud-amd64/…" tells the release; usr-merged packages have usr/ in front. */
static void note_release(struct gather *g, const char *path)
{
	const char *p = str_starts(path, "usr/") ? path + 4 : path, *end;

	if (g->release || !str_starts(p, "lib/modules/"))
		return;
	p += strlen("lib/modules/");
	end = strchr(p, '/');
	if (end && end > p)
		g->release = xstrndup(p, (size_t)(end - p));
}

static int take_file(void *arg, const char *name, const uint8_t *data, size_t len)
{
	struct gather *g = arg;

	if (++g->n_files > MODULE_FILES_MAX)
		return err_set(g->err, -E2BIG, "more than %u files", MODULE_FILES_MAX);
	note_release(g, name);
	if (str_starts(name, "boot/vmlinuz-") || str_starts(name, "boot/vmlinux-") || str_ends(name, "/vmlinuz")) {
		g->image = data;
		g->image_len = len;
	} else if (strstr(name, "boot/config-")) {
		/* a kernel that takes unsigned modules need not check signatures of those that are its own */
		g->modules.slim = !memmem(data, len, "CONFIG_MODULE_SIG_FORCE=y", strlen("CONFIG_MODULE_SIG_FORCE=y"));
	} else if (str_ends(name, "/modules.builtin")) {
		modules_add_builtin(&g->modules, (const char *)data, len);
	} else {
		modules_add(&g->modules, name, data, len);
	}
	return 0;
}

static int gather_deb(struct gather *g, const char *path, int tmp_dirfd, struct err *err)
{
	const uint8_t *deb, *data, *tar;
	size_t len, data_len, tar_len;
	cleanup_fd int fd = -1;
	int r = map_file(g, AT_FDCWD, path, &deb, &len, err);

	if (r < 0)
		return r;
	r = deb_member(deb, len, "data.tar", &data, &data_len, err);
	if (r < 0)
		return err_wrap(err, "%s", path);
	if (unpack_format(data, data_len)) {
		fd = openat(tmp_dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		if (fd < 0)
			fd = fd_memfd("amphi-deb", "", 0, false);
		if (fd < 0)
			return err_sys(err, fd, "%s: temporary file", path);
		r = unpack_to_fd(data, data_len, fd, PACKAGE_UNPACKED_MAX, NULL, path, err);
		if (r < 0)
			return r;
		r = map_fd(g, fd, path, &tar, &tar_len, err);
		if (r < 0)
			return r;
	} else {
		tar = data;
		tar_len = data_len;
	}
	g->err = err;
	g->image_name = path;
	r = deb_tar_walk(tar, tar_len, take_file, g, err);
	if (r < 0)
		return err_wrap(err, "%s", path);
	if (!g->image)
		return err_set(err, -ENOENT, "%s: no kernel image (boot/vmlinuz-*) in the package", path);
	return 0;
}

static int gather_dir(struct gather *g, int fd, const char *prefix, unsigned int depth, struct err *err)
{
	cleanup_dir DIR *d = fdopendir(fd);
	struct dirent *e;

	if (!d) {
		close(fd);
		return err_set(err, -ENOTDIR, "%s: not a directory", prefix);
	}
	if (depth > DIR_DEPTH_MAX)
		return err_set(err, -ELOOP, "%s: directories nested too deep", prefix);
	while ((e = readdir(d))) {
		cleanup_free char *path = xasprintf("%s/%s", prefix, e->d_name);
		const uint8_t *data;
		struct stat st;
		size_t len;
		int r;

		if (e->d_name[0] == '.' || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISDIR(st.st_mode)) {
			int sub = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

			if (sub < 0)
				return err_sys(err, -errno, "%s", path);
			r = gather_dir(g, sub, path, depth + 1, err);
		} else if (S_ISREG(st.st_mode) && st.st_size > 0 &&
			   (strstr(e->d_name, ".ko") || strcmp(e->d_name, "modules.builtin") == 0)) {
			r = map_file(g, dirfd(d), e->d_name, &data, &len, err);
			if (r == 0)
				r = take_file(g, path, data, len);
		} else {
			r = 0;
		}
		if (r < 0)
			return r;
	}
	return 0;
}

/* "Linux version 6.1.0-57-cloud-amd64 (…" in the image tells the release where no module path did. */
static char *release_of(const uint8_t *vmlinux, size_t len)
{
	static const char mark[] = "Linux version ";
	const uint8_t *p = vmlinux, *end = vmlinux + len;

	while ((p = memmem(p, (size_t)(end - p), mark, sizeof(mark) - 1))) {
		size_t n = 0;

		p += sizeof(mark) - 1;
		while (p + n < end && n < 64 && p[n] > ' ' && p[n] < 0x7f)
			n++;
		if (n && p[0] >= '0' && p[0] <= '9')
			return xstrndup((const char *)p, n);
	}
	return NULL;
}

static bool good_name(const char *s)
{
	if (str_empty(s) || strlen(s) > 128 || *s == '.' || *s == '-' || strcmp(s, "default") == 0)
		return false;
	return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-") == strlen(s);
}

static int open_store(const char *dir, bool lock, struct err *err)
{
	cleanup_fd int fd = -1;

	if (lock) {
		int r = path_mkdirs(dir, 0755);

		if (r < 0)
			return err_sys(err, r, "%s", dir);
	}
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, -errno, "%s", dir);
	while (lock && flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return err_sys(err, -errno, "%s: lock", dir);
	return steal_fd(fd);
}

static int write_json(int dirfd, const struct kernel_store_entry *e, const struct stat *init, struct err *err)
{
	struct json_writer w = { .indent = 2 };
	cleanup_free char *text = NULL;
	int r;

	json_w_object(&w, NULL);
	json_w_u64(&w, "version", KERNEL_STORE_VERSION);
	json_w_string(&w, "release", e->release);
	json_w_string(&w, "digest", e->digest);
	json_w_u64(&w, "size", e->size);
	json_w_u64(&w, "modules", e->n_modules);
	json_w_u64(&w, "initSize", (uint64_t)init->st_size);
	json_w_u64(&w, "initTime", (uint64_t)init->st_mtim.tv_sec * 1000000000u + (uint64_t)init->st_mtim.tv_nsec);
	json_w_object_end(&w);
	text = json_w_steal(&w);
	r = path_write_atomic(dirfd, "kernel.json", text, strlen(text), 0644);
	return r < 0 ? err_sys(err, r, "kernel.json") : 0;
}

/* initrd = amphi-init's archive, then the modules' archive. */
static int write_initrd(int dirfd, const char *init_path, struct stat *ret_init, struct err *err)
{
	cleanup_str struct str out = { 0 };
	struct gather g = { 0 };
	const uint8_t *p;
	size_t len;
	int r;

	if (stat(init_path, ret_init) < 0)
		return err_sys(err, -errno, "%s", init_path);
	r = map_file(&g, AT_FDCWD, init_path, &p, &len, err);
	if (r == 0)
		r = initramfs_init(&out, p, len, err);
	if (r == 0)
		r = map_file(&g, dirfd, "modules.cpio", &p, &len, err);
	if (r == 0) {
		str_addn(&out, p, len);
		r = path_write_atomic(dirfd, "initrd", out.s, out.len, 0644);
		if (r < 0)
			err_sys(err, r, "initrd");
	}
	gather_free(&g);
	return r;
}

static int order_modules(struct gather *g, bool modular, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		int r = modules_want(&g->modules, wanted[i].name, wanted[i].required && modular, err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int write_entry(struct gather *g, int dirfd, bool modular, const char *init_path, struct kernel_store_entry *e,
		       struct err *err)
{
	cleanup_fd int fd = openat(dirfd, "vmlinux", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	cleanup_str struct str cpio = { 0 };
	char hex[SHA256_HEX_SIZE];
	const uint8_t *p;
	struct stat init;
	size_t len;
	int r;

	if (fd < 0)
		return err_sys(err, -errno, "vmlinux");
	r = unpack_kernel(g->image, g->image_len, fd, g->image_name, err);
	if (r < 0)
		return r;
	r = map_fd(g, fd, "vmlinux", &p, &len, err);
	if (r < 0)
		return r;
	sha256_hex(p, len, hex);
	e->digest = xasprintf("sha256:%s", hex);
	e->size = len;
	e->release = g->release ? steal_ptr(g->release) : release_of(p, len);
	r = order_modules(g, modular, err);
	if (r < 0)
		return err_wrap(err, "%s", g->image_name);
	e->n_modules = g->modules.n_order;
	initramfs_modules(&cpio, &g->modules);
	r = path_write_atomic(dirfd, "modules.cpio", cpio.s, cpio.len, 0644);
	if (r < 0)
		return err_sys(err, r, "modules.cpio");
	r = write_initrd(dirfd, init_path, &init, err);
	if (r < 0)
		return r;
	return 0;
}

static int point_default(int store, const char *name, struct err *err)
{
	(void)unlinkat(store, ".default", 0);
	if (symlinkat(name, store, ".default") < 0 || renameat(store, ".default", store, "default") < 0)
		return err_sys(err, -errno, "default kernel");
	return 0;
}

static char *default_name(int store)
{
	char buf[256];
	ssize_t n = readlinkat(store, "default", buf, sizeof(buf));

	if (n <= 0 || (size_t)n >= sizeof(buf))
		return NULL;
	buf[n] = '\0';
	return good_name(buf) ? xstrdup(buf) : NULL;
}

/* Everything of add() that happens in the temporary directory. */
static int build_entry(struct gather *g, int store, const char *tmp, const struct kernel_store_source *src,
		       const char *init_path, struct kernel_store_entry *e, struct err *err)
{
	cleanup_fd int dirfd = openat(store, tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat init;
	int r;

	if (dirfd < 0)
		return err_sys(err, -errno, "%s", tmp);
	if (src->deb) {
		r = gather_deb(g, src->deb, dirfd, err);
	} else {
		g->image_name = src->image;
		r = map_file(g, AT_FDCWD, src->image, &g->image, &g->image_len, err);
		if (r == 0 && src->modules) {
			cleanup_free char *abs = path_abs(src->modules);
			int fd = open(src->modules, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

			g->err = err;
			r = fd < 0 ? err_sys(err, -errno, "%s", src->modules) :
				     gather_dir(g, fd, abs && *abs == '/' ? abs + 1 : src->modules, 0, err);
		}
	}
	if (r < 0)
		return r;
	r = write_entry(g, dirfd, src->deb || src->modules, init_path, e, err);
	if (r < 0)
		return r;
	if (!src->name && !good_name(e->release))
		return err_set(err, -EINVAL, "%s: the release of the kernel is not known, name it by --name",
			       g->image_name);
	e->name = xstrdup(src->name ? src->name : e->release);
	if (!e->release)
		e->release = xstrdup(e->name);
	if (stat(init_path, &init) < 0)
		return err_sys(err, -errno, "%s", init_path);
	return write_json(dirfd, e, &init, err);
}

int kernel_store_add(const char *dir, const struct kernel_store_source *src, const char *init_path,
		     struct kernel_store_entry *ret, struct err *err)
{
	cleanup_kernel_store_entry struct kernel_store_entry e = { 0 };
	cleanup_fd int store = -1;
	cleanup_free char *def = NULL;
	struct gather g = { 0 };
	char tmp[32];
	int r;

	if (!src->deb == !src->image)
		return err_set(err, -EINVAL, "kernel add: give a package or an image");
	if (src->name && !good_name(src->name))
		return err_set(err, -EINVAL, "kernel add: bad name '%s'", src->name);
	store = open_store(dir, true, err);
	if (store < 0)
		return store;
	if (src->name && faccessat(store, src->name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return err_set(err, -EEXIST, "kernel %s exists", src->name);
	snprintf(tmp, sizeof(tmp), ".new-%d", (int)getpid());
	if (mkdirat(store, tmp, 0755) < 0)
		return err_sys(err, -errno, "%s/%s", dir, tmp);
	r = build_entry(&g, store, tmp, src, init_path, &e, err);
	gather_free(&g);
	if (r == 0 && renameat2(store, tmp, store, e.name, RENAME_NOREPLACE) < 0)
		r = errno == EEXIST ? err_set(err, -EEXIST, "kernel %s exists", e.name) :
				      err_sys(err, -errno, "%s/%s", dir, e.name);
	if (r < 0) {
		(void)path_remove_tree(store, tmp, true);
		return r;
	}
	def = default_name(store);
	if (!def || src->make_default) {
		r = point_default(store, e.name, err);
		if (r < 0)
			return r;
		e.is_default = true;
	}
	if (ret) {
		e.vmlinux = xasprintf("%s/%s/vmlinux", dir, e.name);
		e.initrd = xasprintf("%s/%s/initrd", dir, e.name);
		*ret = e;
		memset(&e, 0, sizeof(e));
	}
	return 0;
}

/* Reads kernel.json; *ret_current: initrd was made from the amphi-init described by init (may be NULL). */
static int load_entry(const char *dir, int store, const char *name, const struct stat *init,
		      struct kernel_store_entry *ret, bool *ret_current, struct err *err)
{
	cleanup_free char *path = xasprintf("%s/kernel.json", name), *text = NULL;
	cleanup_json_doc struct json_doc *doc = NULL;
	uint64_t version = 0, n = 0, init_size = 0, init_time = 0;
	const struct json *root;
	size_t len;
	int r = fd_slurp_at(store, path, 1 << 16, &text, &len);

	if (r < 0)
		return r == -ENOENT ? err_set(err, r, "no kernel named %s in the store", name) :
				      err_sys(err, r, "%s/%s", dir, path);
	doc = json_parse(text, len, path, err);
	if (!doc)
		return -EINVAL;
	root = json_root(doc);
	if (json_opt_u64(root, "version", &version, err) < 0)
		return -EINVAL;
	if (version != KERNEL_STORE_VERSION)
		return err_set(err, -EPROTONOSUPPORT, "%s: version %llu of the store is not supported", path,
			       (unsigned long long)version);
	if (json_req_string(root, "release", &ret->release, err) < 0 ||
	    json_req_string(root, "digest", &ret->digest, err) < 0 || json_opt_u64(root, "size", &ret->size, err) < 0 ||
	    json_opt_u64(root, "modules", &n, err) < 0 || json_opt_u64(root, "initSize", &init_size, err) < 0 ||
	    json_opt_u64(root, "initTime", &init_time, err) < 0)
		return -EINVAL;
	ret->n_modules = (size_t)n;
	ret->name = xstrdup(name);
	ret->vmlinux = xasprintf("%s/%s/vmlinux", dir, name);
	ret->initrd = xasprintf("%s/%s/initrd", dir, name);
	if (init)
		*ret_current = init_size == (uint64_t)init->st_size &&
			init_time == (uint64_t)init->st_mtim.tv_sec * 1000000000u + (uint64_t)init->st_mtim.tv_nsec;
	return 0;
}

static int compare_entries(const void *a, const void *b)
{
	return strcmp(((const struct kernel_store_entry *)a)->name, ((const struct kernel_store_entry *)b)->name);
}

int kernel_store_list(const char *dir, struct kernel_store_entry **ret, size_t *ret_n, struct err *err)
{
	cleanup_fd int store = open_store(dir, false, NULL);
	cleanup_free char *def = NULL;
	cleanup_dir DIR *d = NULL;
	struct dirent *e;

	*ret = NULL;
	*ret_n = 0;
	if (store < 0)
		return store == -ENOENT ? 0 : err_sys(err, store, "%s", dir);
	def = default_name(store);
	d = opendir(dir);
	if (!d)
		return err_sys(err, -errno, "%s", dir);
	while ((e = readdir(d))) {
		struct kernel_store_entry entry = { 0 };

		if (!good_name(e->d_name))
			continue;
		if (load_entry(dir, store, e->d_name, NULL, &entry, NULL, err) < 0) {
			kernel_store_entry_free(&entry);
			kernel_store_list_free(*ret, *ret_n);
			*ret = NULL;
			*ret_n = 0;
			return err ? err->code : -EIO;
		}
		entry.is_default = def && strcmp(def, entry.name) == 0;
		*ret = xreallocarray(*ret, *ret_n + 1, sizeof(**ret));
		(*ret)[(*ret_n)++] = entry;
	}
	if (*ret_n)
		qsort(*ret, *ret_n, sizeof(**ret), compare_entries);
	return 0;
}

void kernel_store_list_free(struct kernel_store_entry *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		kernel_store_entry_free(&v[i]);
	free(v);
}

int kernel_store_remove(const char *dir, const char *name, struct err *err)
{
	cleanup_fd int store = open_store(dir, false, NULL);
	cleanup_free char *def = NULL;
	struct kernel_store_entry *v;
	size_t n;
	int r;

	if (store < 0 || !good_name(name) || faccessat(store, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(err, -ENOENT, "no kernel named %s in the store", name);
	if (flock(store, LOCK_EX) < 0)
		return err_sys(err, -errno, "%s: lock", dir);
	def = default_name(store);
	r = path_remove_tree(store, name, true);
	if (r < 0)
		return err_sys(err, r, "%s/%s", dir, name);
	if (!def || strcmp(def, name) != 0)
		return 0;
	(void)unlinkat(store, "default", 0);
	r = kernel_store_list(dir, &v, &n, err);
	if (r < 0)
		return r;
	if (n)
		r = point_default(store, v[0].name, err);
	kernel_store_list_free(v, n);
	return r;
}

int kernel_store_set_default(const char *dir, const char *name, struct err *err)
{
	cleanup_fd int store = open_store(dir, false, NULL);

	if (store < 0 || !good_name(name) || faccessat(store, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(err, -ENOENT, "no kernel named %s in the store", name);
	return point_default(store, name, err);
}

int kernel_store_open(const char *dir, const char *name, const char *init_path, struct kernel_store_entry *ret,
		      struct err *err)
{
	cleanup_kernel_store_entry struct kernel_store_entry e = { 0 };
	cleanup_fd int store = open_store(dir, false, NULL), dirfd = -1;
	cleanup_free char *def = NULL;
	bool current = false;
	struct stat init;
	int r;

	if (store >= 0)
		def = default_name(store);
	if (store < 0 || (!name && !def))
		return err_set(err, -ENOENT, "no kernel in the store %s: run \"amphi kernel add\"", dir);
	if (name && !good_name(name))
		return err_set(err, -EINVAL, "bad kernel name '%s'", name);
	if (stat(init_path, &init) < 0)
		return err_sys(err, -errno, "%s", init_path);
	r = load_entry(dir, store, name ? name : def, &init, &e, &current, err);
	if (r < 0)
		return r;
	if (!current) {
		dirfd = openat(store, e.name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (dirfd < 0)
			return err_sys(err, -errno, "%s/%s", dir, e.name);
		if (flock(dirfd, LOCK_EX) < 0)
			return err_sys(err, -errno, "%s/%s: lock", dir, e.name);
		r = write_initrd(dirfd, init_path, &init, err);
		if (r == 0)
			r = write_json(dirfd, &e, &init, err);
		if (r < 0)
			return r;
	}
	e.is_default = def && strcmp(def, e.name) == 0;
	*ret = e;
	memset(&e, 0, sizeof(e));
	return 0;
}

void kernel_store_entry_free(struct kernel_store_entry *e)
{
	free(e->name);
	free(e->release);
	free(e->digest);
	free(e->vmlinux);
	free(e->initrd);
	memset(e, 0, sizeof(*e));
}
