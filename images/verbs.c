/* SPDX-License-Identifier: Apache-2.0 */
/* The commands that need no network, and the table of all. */
/*
 * A command opens the store in the mode it needs (which takes the right lock), does one thing and prints the
 * result: names and digests, one a line, or JSON.
 */
#include "images/verbs.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "images/archive.h"
#include "images/collect.h"
#include "images/commit.h"
#include "images/prepare.h"
#include "images/ref.h"
#include "images/usermap.h"

#define MAX_LAYER_DEFAULT (64ULL << 30)

static int open_store(const struct verbs_options *o, enum store_use use, struct store **ret, struct err *err)
{
	int r = store_open(o->store, use, ret, err);

	if (r >= 0 && o->sync) {
		if (strcmp(o->sync, "image") && strcmp(o->sync, "none"))
			return err_set(err, -EINVAL, "--sync %s: expected image or none", o->sync);
		(*ret)->sync = !strcmp(o->sync, "image");
	}
	return r;
}

static int fetch_options(const struct verbs_options *o, struct fetch_options *f, struct err *err)
{
	enum progress_mode mode = o->quiet ? PROGRESS_NONE : PROGRESS_AUTO;

	f->max_layer_bytes = MAX_LAYER_DEFAULT;
	if (o->max_size && parse_size(o->max_size, &f->max_layer_bytes) < 0)
		return err_set(err, -EINVAL, "--max-size %s: expected a number of bytes", o->max_size);
	if (o->progress && progress_mode_parse(o->progress, &mode) < 0)
		return err_set(err, -EINVAL, "--progress %s: expected auto, bars, plain, json or none", o->progress);
	f->progress = progress_new(mode);
	return 0;
}

/* --platform into *p; returns p, or NULL when it was not given. */
static int platform(const struct verbs_options *o, struct oci_platform *p, const struct oci_platform **ret,
		    struct err *err)
{
	*ret = NULL;
	if (!o->platform)
		return 0;
	*ret = p;
	return oci_platform_parse(o->platform, p, err);
}

static int import_main(const struct verbs_options *o, int argc, char **argv, struct err *err)
{
	struct archive_import in = { .path = argv[0], .name = o->name, .changes = o->changes };
	static const char *const prefixes[] = { "oci:", "oci-archive:", "docker-archive:", "rootfs:" };
	cleanup_store struct store *s = NULL;
	cleanup_strv char **names = NULL;
	struct oci_platform p = { 0 };
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		if (str_starts(in.path, prefixes[i])) {
			in.path += strlen(prefixes[i]);
			in.kind = (enum archive_kind)(i + 1);
			break;
		}
	}
	if (o->format && archive_kind_parse(o->format, &in.kind) < 0)
		return err_set(err, -EINVAL, "--format %s: expected oci, oci-archive, docker-archive or rootfs",
			       o->format);
	r = platform(o, &p, &in.platform, err);
	if (r >= 0)
		r = open_store(o, STORE_WRITE, &s, err);
	if (r >= 0)
		r = fetch_options(o, &in.fetch, err);
	if (r >= 0)
		r = archive_import(s, &in, &names, err);
	progress_free(in.fetch.progress);
	oci_platform_clear(&p);
	for (size_t i = 0; i < strv_len(names) && r >= 0; i++)
		printf("%s\n", names[i]);
	return r;
}

static int export_main(const struct verbs_options *o, int argc, char **argv, struct err *err)
{
	enum archive_kind kind = ARCHIVE_OCI;
	cleanup_store struct store *s = NULL;
	const struct oci_platform *want;
	struct oci_platform p = { 0 };
	int r;

	if (o->format && (archive_kind_parse(o->format, &kind) < 0 || kind == ARCHIVE_AUTO))
		return err_set(err, -EINVAL, "--format %s: expected oci, oci-archive, docker-archive or rootfs",
			       o->format);
	if (!o->output)
		return err_set(err, -EINVAL, "--output: required (a path, or - for standard output)");
	if (kind == ARCHIVE_OCI_DIR && !strcmp(o->output, "-"))
		return err_set(err, -EINVAL, "--output -: a directory is needed for --format oci");
	r = platform(o, &p, &want, err);
	if (r >= 0)
		r = open_store(o, STORE_READ, &s, err);
	if (r >= 0)
		r = archive_export(s, argv, kind, o->output, want, err);
	oci_platform_clear(&p);
	return r;
}

static void human(uint64_t n, char buf[16])
{
	double v = (double)n;
	int u = 0;

	for (; v >= 1000 && u < 4; u++)
		v /= 1000;
	snprintf(buf, 16, u ? "%.1f%s" : "%.0f%s", v, (const char *const[]){ "B", "kB", "MB", "GB", "TB" }[u]);
}

static uint64_t image_size(const struct store_image *i)
{
	uint64_t n = i->manifest_len + i->manifest->config.size;

	for (size_t k = 0; k < i->manifest->n_layers; k++)
		n += i->manifest->layers[k].size;
	return n;
}

static void images_json(struct json_writer *w, const struct oci_descriptor *d, const struct store_image *i)
{
	json_w_object(w, NULL);
	json_w_string(w, "name", d->ref_name);
	json_w_string(w, "digest", d->digest);
	json_w_string(w, "id", i->manifest->config.digest);
	json_w_string(w, "created", i->config->created);
	json_w_string(w, "os", i->config->os);
	json_w_string(w, "architecture", i->config->architecture);
	json_w_u64(w, "size", image_size(i));
	json_w_u64(w, "layers", i->manifest->n_layers);
	json_w_object_end(w);
}

static int images_main(const struct verbs_options *o, int argc, char **argv, struct err *err)
{
	struct json_writer w = { .indent = 2 };
	cleanup_store struct store *s = NULL;
	struct oci_index *index = NULL;
	bool json = o->json || (o->format && !strcmp(o->format, "json"));
	int r = open_store(o, STORE_READ, &s, err);

	if (o->format && strcmp(o->format, "json") && strcmp(o->format, "table"))
		return err_set(err, -EINVAL, "--format %s: expected table or json", o->format);
	if (r == -ENOENT) {
		*err = (struct err){ 0 };
		r = 0;
	}
	if (r >= 0 && s)
		r = store_load_index(s, &index, err);
	if (r < 0)
		return r;
	if (json)
		json_w_array(&w, NULL);
	else if (!o->quiet)
		printf("%-48s %-14s %-20s %10s\n", "NAME", "ID", "CREATED", "SIZE");
	for (size_t n = 0; index && n < index->n_manifests; n++) {
		const struct oci_descriptor *d = &index->manifests[n];
		struct store_image i;
		struct err why = { 0 };
		char size[16];

		if (store_load_image(s, d, NULL, &i, &why) < 0) {
			fprintf(stderr, "amphi-images: %s: %s\n", d->ref_name, why.msg);
			continue;
		}
		human(image_size(&i), size);
		if (json)
			images_json(&w, d, &i);
		else if (o->quiet)
			printf("%s\n", d->ref_name);
		else
			printf("%-48s %.12s   %-20.19s %10s\n", d->ref_name,
			       digest_hex(o->digests ? d->digest : i.manifest->config.digest),
			       i.config->created ? i.config->created : "-", size);
		store_image_clear(&i);
	}
	if (json) {
		json_w_array_end(&w);
		cleanup_free char *text = json_w_steal(&w);

		printf("%s\n", text);
	}
	oci_index_free(index);
	return 0;
}

static int find_image(const struct verbs_options *o, struct store *s, const char *name, struct oci_descriptor *d,
		      struct store_image *i, struct err *err)
{
	const struct oci_platform *want;
	struct oci_platform p = { 0 };
	int r = platform(o, &p, &want, err);

	if (r >= 0)
		r = store_find(s, name, d, err);
	if (r >= 0)
		r = store_load_image(s, d, want, i, err);
	oci_platform_clear(&p);
	return r;
}

static int inspect_main(const struct verbs_options *o, int argc, char **argv, struct err *err)
{
	struct json_writer w = { .indent = 2 };
	cleanup_store struct store *s = NULL;
	cleanup_json_doc struct json_doc *manifest = NULL, *config = NULL;
	struct oci_descriptor d = { 0 };
	struct store_image i = { 0 };
	int r = open_store(o, STORE_READ, &s, err);

	if (r >= 0)
		r = find_image(o, s, argv[0], &d, &i, err);
	if (r >= 0) {
		manifest = json_parse(i.manifest_json, i.manifest_len, "manifest", err);
		config = json_parse(i.config_json, i.config_len, "config", err);
		json_w_object(&w, NULL);
		json_w_string(&w, "name", d.ref_name);
		json_w_string(&w, "digest", i.desc.digest);
		json_w_string(&w, "id", i.manifest->config.digest);
		json_w_u64(&w, "size", image_size(&i));
		json_w_value(&w, "manifest", json_root(manifest));
		json_w_value(&w, "config", json_root(config));
		json_w_object_end(&w);
		cleanup_free char *text = json_w_steal(&w);

		printf("%s\n", text);
	}
	oci_descriptor_clear(&d);
	store_image_clear(&i);
	return r;
}

/* Containers that were made of the name. */
static bool in_use(struct store *s, const char *name, char **ret_id)
{
	cleanup_dir DIR *dir = NULL;
	int fd = openat(s->fd, "containers", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *de;

	dir = fd < 0 ? NULL : fdopendir(fd);
	while (dir && (de = readdir(dir))) {
		cleanup_free char *path = xasprintf("%s/image.json", de->d_name), *buf = NULL, *image = NULL;
		cleanup_json_doc struct json_doc *doc = NULL;
		size_t len;

		if (*de->d_name == '.' || fd_slurp_at(fd, path, OCI_IMAGE_DOC_MAX, &buf, &len) < 0)
			continue;
		doc = json_parse(buf, len, path, NULL);
		if (doc && json_opt_string(json_root(doc), "image", &image, NULL) > 0 && !strcmp(image, name)) {
			*ret_id = xstrdup(de->d_name);
			return true;
		}
	}
	return false;
}

static int rmi_main(const struct verbs_options *o, int argc, char **argv, struct err *err)
{
	cleanup_store struct store *s = NULL;
	struct collect_result result;
	int r = open_store(o, STORE_COLLECT, &s, err);

	for (int n = 0; n < argc && r >= 0; n++) {
		struct oci_descriptor d = { 0 };
		cleanup_free char *id = NULL;

		r = store_find(s, argv[n], &d, err);
		if (r >= 0 && !o->force && in_use(s, d.ref_name, &id))
			r = err_set(err, -EBUSY, "image %s is used by container %s; --force takes the name away",
				    d.ref_name, id);
		if (r >= 0)
			r = store_untag(s, d.ref_name, err);
		if (r >= 0)
			printf("%s\n", d.ref_name);
		oci_descriptor_clear(&d);
	}
	return r < 0 ? r : collect_garbage(s, true, &result, err);
}

static int prune_main(const struct verbs_options *o, int argc, char **argv, struct err *err)
{
	cleanup_store struct store *s = NULL;
	struct collect_result c;
	unsigned int n = 0;
	char size[16];
	int r = open_store(o, STORE_COLLECT, &s, err);

	if (r >= 0)
		r = prepare_sweep(s, &n, err);
	if (r >= 0)
		r = collect_garbage(s, !o->all, &c, err);
	if (r < 0)
		return r;
	human(c.bytes, size);
	if (n)
		printf("%u containers that nobody has any more removed\n", n);
	printf("%u blobs and partial downloads (%s), %u layers, %u fixups removed\n", c.blobs + c.partial, size,
	       c.layers, c.fixups);
	return 0;
}

static int fsck_main(const struct verbs_options *o, int argc, char **argv, struct err *err)
{
	cleanup_store struct store *s = NULL;
	cleanup_strv char **faults = NULL;
	int r = open_store(o, STORE_COLLECT, &s, err);

	if (r >= 0)
		r = collect_check(s, o->repair, &faults, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < strv_len(faults); i++)
		printf("%s\n", faults[i]);
	printf("%d faults\n", r);
	return r ? 1 : 0;
}

static int convert_options(const struct verbs_options *o, int argc, char **argv, struct convert_options *c,
			   struct err *err)
{
	*c = (struct convert_options){ .entrypoint = o->entrypoint,
				       .env = o->env,
				       .user = o->entry_user,
				       .workdir = o->workdir,
				       .hostname = o->hostname,
				       .terminal = o->terminal,
				       .readonly = o->readonly,
				       .privileged = o->privileged,
				       .volumes = o->volumes,
				       .cap_add = o->cap_add,
				       .cap_drop = o->cap_drop,
				       .annotations = o->annotations,
				       .args = argv };
	if (o->memory && parse_size(o->memory, &c->memory) < 0)
		return err_set(err, -EINVAL, "--memory %s: expected a number of bytes", o->memory);
	if (o->cpus) {
		char *end;

		c->cpus = strtod(o->cpus, &end);
		if (*end || end == o->cpus || !(c->cpus >= 0.01 && c->cpus <= 10000))
			return err_set(err, -EINVAL, "--cpus %s: expected a number, 0.01 or more", o->cpus);
	}
	if (o->pids_limit && (parse_i64(o->pids_limit, &c->pids_limit) < 0 || c->pids_limit < -1))
		return err_set(err, -EINVAL, "--pids-limit %s: expected a number", o->pids_limit);
	return 0;
}

static int bundle_main(const struct verbs_options *o, int argc, char **argv, struct err *err)
{
	cleanup_store struct store *s = NULL;
	struct oci_descriptor d = { 0 };
	struct store_image i = { 0 };
	CLEANUP(usermap_clear) struct usermap map = { 0 };
	struct convert_options c;
	int r = convert_options(o, argc - 2, argv + 2, &c, err);

	if (r >= 0)
		r = open_store(o, STORE_WRITE, &s, err);
	if (r >= 0)
		r = find_image(o, s, argv[0], &d, &i, err);
	if (r >= 0)
		r = rights_map(&map, err);
	/* the copy has one owner */
	if (map.n_uids && map.n_gids)
		map.n_uids = map.n_gids = map.uids->size = map.gids->size = 1;
	c.map = &map;
	c.rootless = r >= 0 && s->rights != RIGHTS_ROOT;
	if (r >= 0)
		r = prepare_bundle(s, &i, argv[1], &c, err);
	oci_descriptor_clear(&d);
	store_image_clear(&i);
	return r;
}

static int prepare_main(const struct verbs_options *o, int argc, char **argv, struct err *err)
{
	const char *when = o->pull ? o->pull : "missing";
	cleanup_store struct store *s = NULL;
	cleanup_free char *bundle = NULL, *name = NULL;
	struct oci_descriptor d = { 0 };
	struct store_image i = { 0 };
	CLEANUP(usermap_clear) struct usermap map = { 0 };
	struct convert_options c;
	int r = convert_options(o, argc - 1, argv + 1, &c, err);

	if (r >= 0)
		r = usermap_parse(o->uidmap, o->gidmap, &map, err);
	if (r < 0)
		return r;
	c.map = &map;
	if (!o->id)
		return err_set(err, -EINVAL, "--id: required");
	if (strcmp(when, "missing") && strcmp(when, "never") && strcmp(when, "always"))
		return err_set(err, -EINVAL, "--pull %s: expected missing, never or always", when);
	r = open_store(o, STORE_WRITE, &s, err);
	if (r < 0)
		return r;
	c.rootless = s->rights != RIGHTS_ROOT;
	if (c.rootless && map.n_uids)
		return err_set(err, -EPERM, "--uidmap, --gidmap: need root");
	if (c.rootless)
		r = rights_map(&map, err);
	if (r < 0)
		return r;
	name = xstrdup(argv[0]);
	if (strcmp(when, "always"))
		r = find_image(o, s, name, &d, &i, err);
	if (!strcmp(when, "always") || (r == -ENOENT && !d.digest && !strcmp(when, "missing"))) {
		free(steal_ptr(name));
		r = verbs_remote_fetch(s, argv[0], o, &name, err);
		if (r >= 0)
			r = find_image(o, s, name, &d, &i, err);
	}
	if (r >= 0)
		r = prepare_container(s, &i, o->id, o->owner, d.ref_name, &c, &bundle, err);
	if (r >= 0)
		printf("%s\n", bundle);
	oci_descriptor_clear(&d);
	store_image_clear(&i);
	return r;
}

static int release_main(const struct verbs_options *o, int argc, char **argv, struct err *err)
{
	cleanup_free char *above = xstrdup(argv[0]);
	struct verbs_options opt = *o;
	cleanup_store struct store *s = NULL;
	char *at = strstr(above, "/containers/");
	int r;

	/* the bundle's path names its store */
	if (!opt.store && at) {
		*at = '\0';
		opt.store = above;
	}
	r = open_store(&opt, STORE_READ, &s, err);
	return r == -ENOENT ? 0 : r < 0 ? r : prepare_release(s, argv[0], o->owner, err);
}

static int commit_main(const struct verbs_options *o, int argc, char **argv, struct err *err)
{
	struct commit_options c = {
		.name = argv[1], .changes = o->changes, .message = o->message, .author = o->author
	};
	cleanup_store struct store *s = NULL;
	cleanup_free char *digest = NULL;
	int r = open_store(o, STORE_WRITE, &s, err);

	if (r >= 0)
		r = commit_container(s, argv[0], &c, &digest, err);
	if (r >= 0)
		printf("%s\n", digest);
	return r;
}

static int tag_main(const struct verbs_options *o, int argc, char **argv, struct err *err)
{
	cleanup_store struct store *s = NULL;
	cleanup_ref struct ref ref = { 0 };
	struct oci_descriptor d = { 0 };
	int r = ref_parse(argv[1], "localhost", &ref, err);

	if (r >= 0)
		r = open_store(o, STORE_WRITE, &s, err);
	if (r >= 0)
		r = store_find(s, argv[0], &d, err);
	if (r >= 0)
		r = store_tag(s, ref.name, &d, err);
	if (r >= 0)
		printf("%s\n", ref.name);
	oci_descriptor_clear(&d);
	return r;
}

#define CONTAINER_OPTIONS \
	"platform entrypoint env user workdir hostname terminal volume read-only privileged cap-add cap-drop " \
	"annotation memory cpus pids-limit "
#define REMOTE_OPTIONS "insecure creds authfile cert-dir progress quiet max-size sync "

const struct verb verbs[] = {
	{ "pull", verbs_remote_pull, 1, -1, false, "[OPTIONS] IMAGE...", "fetch images from a registry",
	  "platform json " REMOTE_OPTIONS },
	{ "push", verbs_remote_push, 1, 2, false, "[OPTIONS] IMAGE [DESTINATION]", "send an image to a registry",
	  "platform chunk-size " REMOTE_OPTIONS },
	{ "images", images_main, 0, 0, false, "[OPTIONS]", "list images", "quiet json format digests " },
	{ "inspect", inspect_main, 1, 1, false, "[OPTIONS] IMAGE", "print an image's manifest and configuration",
	  "platform " },
	{ "tag", tag_main, 2, 2, false, "IMAGE NAME", "give an image another name", "" },
	{ "rmi", rmi_main, 1, -1, false, "[OPTIONS] IMAGE...", "remove images", "force " },
	{ "import", import_main, 1, 1, false, "[OPTIONS] [FORM:]PATH",
	  "bring an archive, a layout or a root file system into the store",
	  "name format platform change progress quiet max-size sync " },
	{ "export", export_main, 1, -1, false, "[OPTIONS] -o PATH IMAGE...", "write images to an archive or a layout",
	  "format output platform " },
	{ "bundle", bundle_main, 2, -1, true, "[OPTIONS] IMAGE DIR [COMMAND...]",
	  "make a bundle with a copy of an image's root", CONTAINER_OPTIONS },
	{ "prune", prune_main, 0, 0, false, "[OPTIONS]", "remove what no image or container needs", "all " },
	{ "commit", commit_main, 2, 2, false, "[OPTIONS] CONTAINER NAME",
	  "make an image of a container and its changes", "change message author sync " },
	{ "fsck", fsck_main, 0, 0, false, "[OPTIONS]", "verify blobs and layers", "repair " },
	{ "prepare", prepare_main, 1, -1, true, "[OPTIONS] --id ID IMAGE [COMMAND...]",
	  "make a container's bundle (for amphi run --image)",
	  "id owner pull uidmap gidmap " CONTAINER_OPTIONS REMOTE_OPTIONS },
	{ "release", release_main, 1, 1, false, "[OPTIONS] BUNDLE", "undo prepare", "owner " },
	{ NULL, NULL, 0, 0, false, NULL, NULL, NULL },
};
