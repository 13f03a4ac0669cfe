/* SPDX-License-Identifier: Apache-2.0 */
/* Images out of the store into files. */
/*
 * OCI forms carry the blobs as they are, so digests survive. docker-archive wants uncompressed layers named by
 * content; each is inflated into an unnamed file first, because a tar header needs the size. The root file system
 * form is the merged tree. What is written goes to a temporary name beside its destination and is renamed when
 * complete; only what is no file (a device, a pipe) is written in place.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "images/archive.h"
#include "images/inflate.h"
#include "images/ref.h"
#include "images/snapshot.h"

struct export
{
	struct store *s;
	enum archive_kind kind;
	int fd;         /* of the archive; -1 */
	int dirfd;      /* of the directory; -1 */
	char **written; /* member names */
};

static int put(void *arg, const void *buf, size_t len, struct err *err)
{
	struct export *x = arg;
	int r = fd_write_all(x->fd, buf, len);

	return r < 0 ? err_sys(err, r, "write") : 0;
}

static int put_header(struct export *x, const char *name, uint64_t size, struct err *err)
{
	struct tar_entry e = { .path = (char *)name, .type = TAR_FILE, .mode = 0644, .size = size };

	return tar_write_entry(put, x, &e, err);
}

/* A member from memory; once each. */
static int add_text(struct export *x, const char *name, const char *text, size_t len, struct err *err)
{
	int r;

	if (strv_has(x->written, name))
		return 0;
	strv_add(&x->written, name);
	if (x->dirfd >= 0) {
		r = path_write_atomic(x->dirfd, name, text, len, 0644);
		return r < 0 ? err_sys(err, r, "%s", name) : 0;
	}
	r = put_header(x, name, len, err);
	if (r >= 0)
		r = put(x, text, len, err);
	return r < 0 ? r : tar_write_padding(put, x, len, err);
}

static int add_fd(struct export *x, const char *name, int fd, struct err *err)
{
	cleanup_free char *buf = NULL, *part = xasprintf("%s.%d.part", name, (int)getpid());
	cleanup_fd int out = -1;
	struct stat st;
	ssize_t n;
	int r = 0;

	if (strv_has(x->written, name))
		return 0;
	strv_add(&x->written, name);
	if (fstat(fd, &st) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(err, -errno, "%s", name);
	if (x->dirfd >= 0) {
		if (faccessat(x->dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			return 0; /* same name, same content */
		out = openat(x->dirfd, part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
		if (out < 0)
			return err_sys(err, -errno, "%s", part);
	} else {
		r = put_header(x, name, (uint64_t)st.st_size, err);
	}
	buf = xmalloc(1 << 20);
	while (r >= 0 && (n = fd_read_all(fd, buf, 1 << 20)) != 0) {
		if (n < 0)
			r = err_sys(err, (int)n, "%s", name);
		else if (out >= 0)
			r = (r = fd_write_all(out, buf, (size_t)n)) < 0 ? err_sys(err, r, "%s", name) : 0;
		else
			r = put(x, buf, (size_t)n, err);
	}
	if (r >= 0 && out >= 0 && renameat(x->dirfd, part, x->dirfd, name) < 0)
		r = err_sys(err, -errno, "%s", name);
	if (r < 0 && out >= 0)
		unlinkat(x->dirfd, part, 0);
	if (r >= 0 && out < 0)
		r = tar_write_padding(put, x, (uint64_t)st.st_size, err);
	return r;
}

static int add_blob(struct export *x, const char *digest, struct err *err)
{
	cleanup_free char *name = xasprintf("blobs/%.6s/%s", digest, digest_hex(digest));
	cleanup_free char *dir = xasprintf("blobs/%.6s", digest);
	cleanup_fd int fd = store_open_blob(x->s, digest, err);

	if (fd >= 0 && x->dirfd >= 0 && mkdirat(x->dirfd, dir, 0755) < 0 && errno != EEXIST)
		return err_sys(err, -errno, "%s", dir);
	return fd < 0 ? fd : add_fd(x, name, fd, err);
}

static ssize_t read_fd(void *arg, void *buf, size_t len, struct err *err)
{
	ssize_t n = fd_read_all(*(int *)arg, buf, len);

	return n < 0 ? err_sys(err, (int)n, "read") : n;
}

/* The layer uncompressed in an unnamed file. */
static int inflated(struct export *x, const char *digest, struct err *err)
{
	cleanup_free char *dir = path_join(x->s->path, "tmp");
	cleanup_fd int in = store_open_blob(x->s, digest, err), out = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	cleanup_free char *buf = xmalloc(1 << 20);
	struct inflate *z;
	ssize_t n;
	int r = 0;

	if (in < 0 || out < 0)
		return in < 0 ? in : err_sys(err, -errno, "%s", dir);
	z = inflate_new(read_fd, &in);
	while (r >= 0 && (n = inflate_read(z, buf, 1 << 20, err)) != 0)
		r = n < 0 ? (int)n : fd_write_all(out, buf, (size_t)n) < 0 ? err_sys(err, -errno, "write") : 0;
	inflate_free(z);
	return r < 0 ? r : steal_fd(out);
}

static int export_oci_image(struct export *x, const struct store_image *i, struct err *err)
{
	int r = add_blob(x, i->desc.digest, err);

	if (r >= 0)
		r = add_blob(x, i->manifest->config.digest, err);
	for (size_t n = 0; n < i->manifest->n_layers && r >= 0; n++)
		r = add_blob(x, i->manifest->layers[n].digest, err);
	return r;
}

static void describe(struct json_writer *w, const struct store_image *i, const char *name)
{
	cleanup_ref struct ref ref = { 0 };
	const char *tag = ref_parse(name, "docker.io", &ref, NULL) == 0 && ref.tag ? ref.tag : "latest";
	struct oci_pair notes[] = { { (char *)OCI_ANN_REF_NAME, (char *)tag },
				    { (char *)"io.containerd.image.name", (char *)name } };
	struct oci_descriptor d = { .media_type = i->manifest->media_type,
				    .digest = i->desc.digest,
				    .size = i->manifest_len,
				    .annotations = notes,
				    .n_annotations = 2,
				    .platform = { i->config->os, i->config->architecture, i->config->variant,
						  i->config->os_version } };

	oci_descriptor_write(w, NULL, &d);
}

static int export_docker_image(struct export *x, const struct store_image *i, struct err *err)
{
	cleanup_free char *config = xasprintf("%s.json", digest_hex(i->manifest->config.digest));
	int r = 0;

	for (size_t n = 0; n < i->manifest->n_layers && r >= 0; n++) {
		cleanup_free char *name = xasprintf("%s.tar", digest_hex(i->config->diff_ids[n]));
		cleanup_fd int fd = -1;

		if (strv_has(x->written, name))
			continue;
		fd = inflated(x, i->manifest->layers[n].digest, err);
		r = fd < 0 ? fd : add_fd(x, name, fd, err);
	}
	return r < 0 ? r : add_text(x, config, i->config_json, i->config_len, err);
}

static void describe_docker(struct json_writer *w, const struct store_image *i, const char *name)
{
	cleanup_free char *config = xasprintf("%s.json", digest_hex(i->manifest->config.digest));

	json_w_object(w, NULL);
	json_w_string(w, "Config", config);
	json_w_array(w, "RepoTags");
	if (!strchr(name, '@'))
		json_w_string(w, NULL, name);
	json_w_array_end(w);
	json_w_array(w, "Layers");
	for (size_t n = 0; n < i->manifest->n_layers; n++) {
		cleanup_free char *layer = xasprintf("%s.tar", digest_hex(i->config->diff_ids[n]));

		json_w_string(w, NULL, layer);
	}
	json_w_array_end(w);
	json_w_object_end(w);
}

static int export_rootfs(struct export *x, const struct store_image *i, struct err *err)
{
	cleanup_strv char **trees = NULL;
	struct merge m;
	int r = snapshot_trees(x->s, i->config->diff_ids, &trees, err);

	if (r >= 0)
		r = snapshot_open(x->s, trees, &m, err);
	if (r < 0)
		return r;
	r = merge_out_tar(&m, put, x, err);
	snapshot_close(&m);
	return r;
}

static int export_images(struct export *x, char *const *names, const struct oci_platform *platform, struct err *err)
{
	struct json_writer w = { 0 };
	cleanup_free char *text = NULL;
	bool docker = x->kind == ARCHIVE_DOCKER;
	int r = 0;

	if (!docker) {
		json_w_object(&w, NULL);
		json_w_u64(&w, "schemaVersion", 2);
		json_w_string(&w, "mediaType", OCI_MT_INDEX);
	}
	json_w_array(&w, docker ? NULL : "manifests");
	for (size_t n = 0; n < strv_len(names) && r >= 0; n++) {
		struct oci_descriptor d = { 0 };
		struct store_image i = { 0 };

		r = store_find(x->s, names[n], &d, err);
		if (r >= 0)
			r = store_load_image(x->s, &d, platform, &i, err);
		if (r >= 0)
			r = x->kind == ARCHIVE_ROOTFS ? export_rootfs(x, &i, err) :
				docker                ? export_docker_image(x, &i, err) :
							export_oci_image(x, &i, err);
		if (r >= 0 && x->kind != ARCHIVE_ROOTFS)
			(docker ? describe_docker : describe)(&w, &i, d.ref_name ? d.ref_name : names[n]);
		oci_descriptor_clear(&d);
		store_image_clear(&i);
	}
	json_w_array_end(&w);
	if (!docker)
		json_w_object_end(&w);
	text = json_w_steal(&w);
	if (r < 0 || x->kind == ARCHIVE_ROOTFS)
		return r;
	if (docker)
		r = add_text(x, "manifest.json", text, strlen(text), err);
	else
		r = add_text(x, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}", 30, err);
	if (r >= 0 && !docker)
		r = add_text(x, "index.json", text, strlen(text), err);
	return r < 0 || x->dirfd >= 0 ? r : tar_write_end(put, x, err);
}

static int open_dir(struct export *x, const char *out, struct err *err)
{
	int r = path_mkdirs(out, 0755);

	x->dirfd = r < 0 ? r : open(out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (x->dirfd < 0)
		return err_sys(err, r < 0 ? r : -errno, "%s", out);
	if (faccessat(x->dirfd, "index.json", F_OK, 0) == 0)
		return err_set(err, -EEXIST, "%s: has an image layout already", out);
	if (mkdirat(x->dirfd, "blobs", 0755) < 0 && errno != EEXIST)
		return err_sys(err, -errno, "%s/blobs", out);
	return 0;
}

/* Where the archive is written; *ret_tmp: a name for it until it is complete, beside out. */
static int open_out(struct export *x, const char *out, char **ret_tmp, struct err *err)
{
	struct stat st;

	if (!strcmp(out, "-")) {
		x->fd = fcntl(1, F_DUPFD_CLOEXEC, 3);
	} else if (stat(out, &st) == 0 && !S_ISREG(st.st_mode)) {
		x->fd = open(out, O_WRONLY | O_CLOEXEC);
	} else {
		cleanup_free char *tmp = xasprintf("%s.%d.part", out, (int)getpid());

		/* the directory may be everybody's: nothing that lies there under this name is followed or written to */
		unlink(tmp);
		x->fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
		if (x->fd >= 0)
			*ret_tmp = steal_ptr(tmp);
	}
	return x->fd < 0 ? err_sys(err, -errno, "%s", out) : 0;
}

int archive_export(struct store *s, char *const *names, enum archive_kind kind, const char *out,
		   const struct oci_platform *platform, struct err *err)
{
	struct export x = { .s = s, .kind = kind, .fd = -1, .dirfd = -1 };
	cleanup_free char *tmp = NULL;
	int r = 0;

	if (kind == ARCHIVE_ROOTFS && strv_len(names) != 1)
		return err_set(err, -EINVAL, "a root file system is of one image");
	r = kind == ARCHIVE_OCI_DIR ? open_dir(&x, out, err) : open_out(&x, out, &tmp, err);
	if (r >= 0)
		r = export_images(&x, names, platform, err);
	if (r >= 0 && tmp && rename(tmp, out) < 0)
		r = err_sys(err, -errno, "%s", out);
	if (r < 0 && tmp)
		unlink(tmp);
	if (x.fd >= 0)
		close(x.fd);
	if (x.dirfd >= 0)
		close(x.dirfd);
	strv_free(x.written);
	return r;
}
