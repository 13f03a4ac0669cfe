/* SPDX-License-Identifier: Apache-2.0 */
/* The store on disk: opening, locks, blobs, names. */
/*
 * Everything appears by rename: blobs and layers first, then one syncfs, the name in index.json last, so a crash
 * leaves the old or the new state and rubbish in tmp/, which the next writer that finds itself alone removes.
 * Locks are flock(2) on files that are never unlinked: gc.lock is held shared by whoever uses content and
 * exclusively by collectors, so nothing is collected between being found and being used; index.lock is held for
 * the moment of rewriting index.json; locks/DIGEST keeps two programs from unpacking or fetching the same thing.
 */
#include "images/store.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "images/images.h"
#include "images/ref.h"

#define VERSION 1
#define LAYOUT "{\"imageLayoutVersion\":\"1.0.0\"}"
#define EMPTY_INDEX "{\"schemaVersion\":2,\"mediaType\":\"" OCI_MT_INDEX "\",\"manifests\":[]}"

#ifdef AMPHI_DEBUG
void store_stop_at(const char *point)
{
	const char *at = getenv("AMPHI_STOP_AT");

	if (at && !strcmp(at, point))
		kill(getpid(), SIGKILL);
}
#endif

static char *default_path(void)
{
	const char *env = getenv(IMAGES_STORE_ENV), *home;

	if (!str_empty(env))
		return path_abs(env);
	if (rights_caller() == 0)
		return xstrdup(IMAGES_STORE_DEFAULT);
	env = getenv("XDG_DATA_HOME");
	home = getenv("HOME");
	if (!str_empty(env))
		return path_join(env, "amphi");
	return path_join(str_empty(home) ? "/tmp" : home, ".local/share/amphi");
}

static int check_version(int fd, const char *path, struct err *err)
{
	cleanup_free char *buf = NULL;
	cleanup_json_doc struct json_doc *doc = NULL;
	uint32_t version = 0;
	size_t len;
	int r = fd_slurp_at(fd, "store.json", 4096, &buf, &len);

	if (r < 0)
		return r == -ENOENT ? err_set(err, -ENOENT, "no image store at %s", path) :
				      err_sys(err, r, "%s/store.json", path);
	doc = json_parse(buf, len, "store.json", err);
	if (!doc)
		return err_wrap(err, "%s", path);
	r = json_opt_u32(json_root(doc), "version", &version, err);
	if (r < 0)
		return err_wrap(err, "%s/store.json", path);
	if (version != VERSION)
		return err_set(err, -EPROTO, "%s: store version %u, this program knows %d", path, version, VERSION);
	return 0;
}

static int write_new(int fd, const char *name, const char *text, struct err *err)
{
	int r = faccessat(fd, name, F_OK, 0) == 0 ? 0 : path_write_atomic(fd, name, text, strlen(text), 0644);

	return r < 0 ? err_sys(err, r, "%s", name) : 0;
}

static int create(const char *path, struct err *err)
{
	static const char *const dirs[] = { "blobs",  "blobs/sha256", "blobs/sha512", "partial", "layers",
					    "fixups", "locks",        "containers",   "origins", "tmp" };
	cleanup_fd int fd = -1;
	int r = path_mkdirs(path, 0700);

	if (r < 0)
		return err_sys(err, r, "%s", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, -errno, "%s", path);
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		if (mkdirat(fd, dirs[i], 0755) < 0 && errno != EEXIST)
			return err_sys(err, -errno, "%s/%s", path, dirs[i]);
	r = write_new(fd, "oci-layout", LAYOUT, err);
	if (r >= 0)
		r = write_new(fd, "index.json", EMPTY_INDEX, err);
	if (r >= 0)
		r = write_new(fd, "store.json", "{\"version\":1}\n", err);
	return r < 0 ? err_wrap(err, "%s", path) : 0;
}

static int lock_file(int dirfd, const char *name, int op, struct err *err)
{
	cleanup_fd int fd = openat(dirfd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r;

	if (fd < 0)
		return err_sys(err, -errno, "%s", name);
	do
		r = flock(fd, op);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : err_sys(err, -errno, "lock %s", name);
	return steal_fd(fd);
}

/* Alone in the store: what lies in tmp/ has no owner any more. */
static void sweep_tmp(const struct store *s)
{
	cleanup_dir DIR *dir = NULL;
	int fd = openat(s->fd, "tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *de;

	dir = fd < 0 ? NULL : fdopendir(fd);
	while (dir && (de = readdir(dir)))
		if (strcmp(de->d_name, ".") && strcmp(de->d_name, ".."))
			path_remove_tree(fd, de->d_name, true);
}

static int take_gc_lock(struct store *s, enum store_use use, struct err *err)
{
	if (use == STORE_READ) {
		s->gc_lock = lock_file(s->fd, "gc.lock", LOCK_SH, err);
		return s->gc_lock;
	}
	s->gc_lock = lock_file(s->fd, "gc.lock", LOCK_EX | LOCK_NB, err);
	if (s->gc_lock >= 0) {
		sweep_tmp(s);
		if (use == STORE_WRITE && flock(s->gc_lock, LOCK_SH) < 0)
			return err_sys(err, -errno, "lock gc.lock");
		return 0;
	}
	if (s->gc_lock != -EAGAIN)
		return s->gc_lock;
	if (use == STORE_COLLECT)
		log_info("waiting for other programs that use the store");
	s->gc_lock = lock_file(s->fd, "gc.lock", use == STORE_COLLECT ? LOCK_EX : LOCK_SH, err);
	return s->gc_lock;
}

/*
 * A user's layers belong to the user's ranges of ids. The file "ids" has the first of both, 1:1 as seen with them: another
 * owner tells that the ranges changed since.
 */
static int check_ids(const struct store *s, enum store_use use, struct err *err)
{
	cleanup_free char *tmp = xasprintf("tmp/ids.%d", (int)getpid());
	struct stat st;

	if (s->rights == RIGHTS_ROOT || use == STORE_READ)
		return 0;
	if (fstatat(s->fd, "ids", &st, AT_SYMLINK_NOFOLLOW) == 0)
		return st.st_uid == 1 && st.st_gid == 1 ?
			0 :
			err_set(err, -EOVERFLOW,
				"%s: its layers have other ids than /etc/subuid and /etc/subgid give now: put the "
				"former ranges back, or let root remove this directory and pull again",
				s->path);
	if (s->rights == RIGHTS_RANGES && use == STORE_WRITE) {
		cleanup_fd int fd = openat(s->fd, tmp, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

		if (fd < 0 || fchown(fd, 1, 1) < 0 || renameat(s->fd, tmp, s->fd, "ids") < 0)
			log_debug("ids: %s", strerrordesc_np(errno));
	}
	return 0;
}

int store_open(const char *path, enum store_use use, struct store **ret, struct err *err)
{
	struct store *s = xcalloc(1, sizeof(*s));
	const char *sync = getenv("AMPHI_STORE_SYNC");
	int r;

	*s = (struct store){ .fd = -1, .gc_lock = -1, .rights = rights_now() };
	s->sync = !sync || strcmp(sync, "none");
	s->path = path ? path_abs(path) : default_path();
	r = use == STORE_WRITE ? create(s->path, err) : 0;
	if (r >= 0) {
		s->fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (s->fd < 0)
			r = errno == ENOENT ? err_set(err, -ENOENT, "no image store at %s", s->path) :
					      err_sys(err, -errno, "%s", s->path);
	}
	if (r >= 0)
		r = check_version(s->fd, s->path, err);
	if (r >= 0)
		r = take_gc_lock(s, use, err);
	if (r >= 0)
		r = check_ids(s, use, err);
	if (r < 0) {
		store_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	if (s->gc_lock >= 0)
		close(s->gc_lock);
	if (s->fd >= 0)
		close(s->fd);
	free(s->path);
	free(s);
}

static char *blob_name(const char *digest)
{
	return xasprintf("blobs/%.6s/%s", digest, digest_hex(digest));
}

bool store_has_blob(const struct store *s, const char *digest, uint64_t *ret_size)
{
	cleanup_free char *name = blob_name(digest);
	struct stat st;

	if (fstatat(s->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return false;
	if (ret_size)
		*ret_size = (uint64_t)st.st_size;
	return true;
}

int store_open_blob(const struct store *s, const char *digest, struct err *err)
{
	cleanup_free char *name = blob_name(digest);
	int fd = openat(s->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? err_sys(err, -errno, "blob %s", digest) : fd;
}

int store_read_blob(const struct store *s, const char *digest, char **ret, size_t *ret_len, struct err *err)
{
	cleanup_fd int fd = store_open_blob(s, digest, err);
	cleanup_digest struct digest *d = digest_new(digest);
	cleanup_free char *buf = NULL;
	char got[DIGEST_MAX];
	size_t len;
	int r;

	if (fd < 0)
		return fd;
	r = fd_slurp(fd, OCI_IMAGE_DOC_MAX, &buf, &len);
	if (r < 0)
		return err_sys(err, r, "blob %s", digest);
	digest_update(d, buf, len);
	if (strcmp(digest_final(d, got), digest))
		return err_set(err, -EBADMSG, "blob %s: damaged (its bytes have %s)", digest, got);
	*ret = steal_ptr(buf);
	*ret_len = len;
	return 0;
}

int store_put_blob(const struct store *s, const void *buf, size_t len, const char *media_type,
		   struct oci_descriptor *ret_desc, struct err *err)
{
	cleanup_free char *tmp = NULL;
	cleanup_fd int tmpfd = -1;
	char digest[DIGEST_MAX];
	int r = store_tmpdir(s, &tmp, &tmpfd, err);

	if (r < 0)
		return r;
	digest_of(buf, len, digest);
	r = path_write_atomic(tmpfd, "blob", buf, len, 0644);
	if (r < 0)
		err_sys(err, r, "blob %s", digest);
	else
		r = store_adopt_blob(s, tmp, "blob", digest, err);
	path_remove_tree(s->fd, tmp, true);
	if (r < 0)
		return r;
	if (ret_desc) {
		free(ret_desc->digest);
		free(ret_desc->media_type);
		ret_desc->digest = xstrdup(digest);
		ret_desc->media_type = xstrdup(media_type);
		ret_desc->size = len;
	}
	return 0;
}

int store_adopt_blob(const struct store *s, const char *dirname, const char *name, const char *digest, struct err *err)
{
	cleanup_free char *from = path_join(dirname, name), *to = blob_name(digest);

	if (renameat(s->fd, from, s->fd, to) < 0)
		return err_sys(err, -errno, "blob %s", digest);
	store_stop_at("blob");
	return 0;
}

int store_tmpdir(const struct store *s, char **ret_name, int *ret_fd, struct err *err)
{
	cleanup_free char *abs = xasprintf("%s/tmp/XXXXXX", s->path);
	int fd;

	if (!mkdtemp(abs))
		return err_sys(err, -errno, "%s/tmp", s->path);
	fd = open(abs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, -errno, "%s", abs);
	*ret_name = xstrdup(abs + strlen(s->path) + 1);
	*ret_fd = fd;
	return 0;
}

int store_sync(const struct store *s, struct err *err)
{
	if (s->sync && syncfs(s->fd) < 0)
		return err_sys(err, -errno, "%s: write to disk", s->path);
	return 0;
}

int store_lock_name(const struct store *s, const char *name, bool try, struct err *err)
{
	cleanup_free char *path = xasprintf("locks/%s", name);

	return lock_file(s->fd, path, LOCK_EX | (try ? LOCK_NB : 0), err);
}

int store_load_index(const struct store *s, struct oci_index **ret, struct err *err)
{
	cleanup_free char *buf = NULL;
	size_t len;
	int r = fd_slurp_at(s->fd, "index.json", 64 * 1024 * 1024, &buf, &len);

	if (r < 0)
		return err_sys(err, r, "%s/index.json", s->path);
	return oci_index_parse(buf, len, "index.json", ret, err);
}

static void descriptor_copy(struct oci_descriptor *to, const struct oci_descriptor *from, const char *name)
{
	memset(to, 0, sizeof(*to));
	to->media_type = xstrdup(from->media_type);
	to->digest = xstrdup(from->digest);
	to->size = from->size;
	to->platform = (struct oci_platform){ xstrdup(from->platform.os), xstrdup(from->platform.architecture),
					      xstrdup(from->platform.variant), xstrdup(from->platform.os_version) };
	to->ref_name = xstrdup(name);
	if (name) {
		to->annotations = xcalloc(1, sizeof(*to->annotations));
		to->annotations[0] = (struct oci_pair){ xstrdup(OCI_ANN_REF_NAME), xstrdup(name) };
		to->n_annotations = 1;
	}
}

/* Rewrites index.json without the name, and with desc under it when given. 1: the name was there. */
static int replace(const struct store *s, const char *name, const struct oci_descriptor *desc, struct err *err)
{
	cleanup_fd int lock = lock_file(s->fd, "index.lock", LOCK_EX, err);
	struct oci_index *index;
	cleanup_free char *text = NULL;
	size_t kept = 0;
	int r, found;

	if (lock < 0)
		return lock;
	r = store_load_index(s, &index, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < index->n_manifests; i++) {
		struct oci_descriptor *d = &index->manifests[i];

		if (d->ref_name && !strcmp(d->ref_name, name))
			oci_descriptor_clear(d);
		else
			index->manifests[kept++] = *d;
	}
	found = kept != index->n_manifests;
	index->n_manifests = kept;
	if (desc) {
		index->manifests = xreallocarray(index->manifests, kept + 1, sizeof(*index->manifests));
		descriptor_copy(&index->manifests[index->n_manifests++], desc, name);
	}
	text = oci_index_write(index);
	oci_index_free(index);
	r = path_write_atomic(s->fd, "index.json.new", text, strlen(text), 0644);
	if (r >= 0)
		r = store_sync(s, err) < 0 ? -EIO : 0;
	store_stop_at("index");
	if (r >= 0 && renameat(s->fd, "index.json.new", s->fd, "index.json") < 0)
		r = -errno;
	store_stop_at("named");
	if (r >= 0 && s->sync && fsync(s->fd) < 0)
		r = -errno;
	return r < 0 ? err_sys(err, r, "%s/index.json", s->path) : found;
}

int store_tag(const struct store *s, const char *name, const struct oci_descriptor *desc, struct err *err)
{
	int r = replace(s, name, desc, err);

	return r < 0 ? r : 0;
}

int store_untag(const struct store *s, const char *name, struct err *err)
{
	return replace(s, name, NULL, err);
}

static const struct oci_descriptor *find_name(const struct oci_index *index, const char *text)
{
	static const char *const hosts[] = { "docker.io", "localhost" };

	for (size_t h = 0; h < ARRAY_SIZE(hosts); h++) {
		cleanup_ref struct ref ref = { 0 };
		cleanup_free char *prefix = NULL;

		if (ref_parse(text, hosts[h], &ref, NULL) < 0)
			return NULL;
		prefix = xasprintf("%s/%s:", ref.host, ref.path);
		for (size_t i = 0; i < index->n_manifests; i++) {
			const struct oci_descriptor *d = &index->manifests[i];

			if (d->ref_name && !strcmp(d->ref_name, ref.name))
				return d;
			/* NAME@DIGEST is satisfied by the digest under any tag of the name */
			if (ref.digest && d->ref_name && !strcmp(d->digest, ref.digest) &&
			    str_starts(d->ref_name, prefix))
				return d;
		}
		if (!ref.implied_host)
			return NULL;
	}
	return NULL;
}

/* The config's digest of a manifest in the store, for ids; NULL when it cannot be read. */
static char *config_digest(const struct store *s, const struct oci_descriptor *d)
{
	struct store_image image;
	char *digest;

	if (store_load_image(s, d, NULL, &image, NULL) < 0)
		return NULL;
	digest = xstrdup(image.manifest->config.digest);
	store_image_clear(&image);
	return digest;
}

static int find_id(const struct store *s, const struct oci_index *index, const char *text,
		   const struct oci_descriptor **ret, struct err *err)
{
	const char *hex = str_starts(text, "sha256:") ? text + 7 : text;
	size_t n = strlen(hex);

	*ret = NULL;
	if (n < 4 || n > 64 || strspn(hex, "0123456789abcdef") != n)
		return 0;
	for (size_t i = 0; i < index->n_manifests; i++) {
		const struct oci_descriptor *d = &index->manifests[i];
		cleanup_free char *config = config_digest(s, d);

		if (strncmp(digest_hex(d->digest), hex, n) && (!config || strncmp(digest_hex(config), hex, n)))
			continue;
		if (*ret && strcmp((*ret)->digest, d->digest))
			return err_set(err, -EINVAL, "image id %s: more than one image begins with it", text);
		*ret = d;
	}
	return 0;
}

int store_find(const struct store *s, const char *text, struct oci_descriptor *ret, struct err *err)
{
	const struct oci_descriptor *d;
	struct oci_index *index;
	int r = store_load_index(s, &index, err);

	if (r < 0)
		return r;
	d = find_name(index, text);
	if (!d)
		r = find_id(s, index, text, &d, err);
	if (r >= 0 && d)
		descriptor_copy(ret, d, d->ref_name);
	else if (r >= 0)
		r = err_set(err, -ENOENT, "no image %s here", text);
	oci_index_free(index);
	return r < 0 ? r : 0;
}

/* desc itself, or through at most two indexes, the manifest of the platform. */
static int resolve(const struct store *s, const struct oci_descriptor *desc, const struct oci_platform *platform,
		   struct store_image *ret, struct err *err)
{
	struct oci_platform own = { 0 };
	struct oci_descriptor at;
	int r = 0;

	descriptor_copy(&at, desc, desc->ref_name);
	if (!platform)
		oci_platform_parse(NULL, &own, NULL);
	for (int depth = 0; r >= 0 && oci_is_index_type(at.media_type); depth++) {
		const struct oci_descriptor *chosen;
		struct oci_index *index = NULL;
		cleanup_free char *buf = NULL;
		size_t len;

		r = depth > 2 ? err_set(err, -EINVAL, "%s: indexes nested too deep", desc->digest) :
				store_read_blob(s, at.digest, &buf, &len, err);
		if (r >= 0)
			r = oci_index_parse(buf, len, at.digest, &index, err);
		if (r < 0)
			break;
		chosen = oci_index_choose(index, platform ? platform : &own);
		if (!chosen) {
			r = err_set(err, -ENOENT, "no image for %s/%s in this index", (platform ? platform : &own)->os,
				    (platform ? platform : &own)->architecture);
		} else {
			struct oci_descriptor next;

			descriptor_copy(&next, chosen, desc->ref_name);
			oci_descriptor_clear(&at);
			at = next;
		}
		oci_index_free(index);
	}
	oci_platform_clear(&own);
	if (r < 0)
		oci_descriptor_clear(&at);
	else
		ret->desc = at;
	return r;
}

int store_load_image(const struct store *s, const struct oci_descriptor *desc, const struct oci_platform *platform,
		     struct store_image *ret, struct err *err)
{
	int r;

	memset(ret, 0, sizeof(*ret));
	r = resolve(s, desc, platform, ret, err);
	if (r >= 0)
		r = store_read_blob(s, ret->desc.digest, &ret->manifest_json, &ret->manifest_len, err);
	if (r >= 0)
		r = oci_manifest_parse(ret->manifest_json, ret->manifest_len, ret->desc.digest, &ret->manifest, err);
	if (r >= 0)
		r = store_read_blob(s, ret->manifest->config.digest, &ret->config_json, &ret->config_len, err);
	if (r >= 0)
		r = oci_image_parse(ret->config_json, ret->config_len, ret->manifest->config.digest, &ret->config, err);
	if (r >= 0 && strv_len(ret->config->diff_ids) != ret->manifest->n_layers)
		r = err_set(err, -EINVAL, "image %s: %zu layers, but %zu diff_ids", ret->desc.digest,
			    ret->manifest->n_layers, strv_len(ret->config->diff_ids));
	if (r < 0)
		store_image_clear(ret);
	return r < 0 ? r : 0;
}

void store_image_clear(struct store_image *i)
{
	oci_descriptor_clear(&i->desc);
	oci_manifest_free(i->manifest);
	oci_image_free(i->config);
	free(i->manifest_json);
	free(i->config_json);
	memset(i, 0, sizeof(*i));
}
