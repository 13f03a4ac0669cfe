/* SPDX-License-Identifier: Apache-2.0 */
/* config.json: bytes to struct oci_config, and the rewriting of paths for the guest. */
/*
 * oci_config_parse() reads the document in its order (root, mounts, process, hooks, linux, vm), each object by
 * the function of its own file, then applies the rules across fields (config_check.c). A document is refused
 * at its first fault; nothing is repaired. Properties of other platforms and unknown ones are ignored, as
 * runtime-spec config.md#extensibility demands. Rewriting works on the JSON tree, not on the structs, so that
 * what we do not know reaches the guest too.
 */
#include "oci/config.h"

#include <string.h>

#include "base/str.h"
#include "oci/config_read.h"

static int read_version(const struct json *root, struct oci_config *c, unsigned int *ret_minor, struct err *err)
{
	unsigned int major, patch;
	int end = 0;

	OCI_TRY(json_req_string(root, "ociVersion", &c->oci_version, err));
	if (sscanf(c->oci_version, "%3u.%3u.%3u%n", &major, ret_minor, &patch, &end) != 3 ||
	    !strchr("-+", c->oci_version[end]))
		return json_error(json_get(root, "ociVersion"), err, "\"%.50s\" is not a version (x.y.z)",
				  c->oci_version);
	if (major != 1)
		return json_error(json_get(root, "ociVersion"), err, "version %.50s is not supported (1.x.y is)",
				  c->oci_version);
	return 0;
}

static int read_root(const struct json *root, struct oci_config *c, struct err *err)
{
	const struct json *v;
	int r = json_opt_object(root, "root", &v, err);

	if (r <= 0)
		return r;
	c->has_root = true;
	OCI_TRY(json_req_string(v, "path", &c->root.path, err));
	if (!*c->root.path)
		return json_error(json_get(v, "path"), err, "must not be empty");
	return json_opt_bool(v, "readonly", &c->root.readonly, err);
}

static int read_mount(const struct json *v, void *slot, struct err *err)
{
	struct oci_mount *m = slot;

	OCI_TRY(json_want(v, JSON_OBJECT, err));
	OCI_TRY(json_req_string(v, "destination", &m->destination, err));
	if (!*m->destination)
		return json_error(json_get(v, "destination"), err, "must not be empty");
	OCI_TRY(json_opt_string(v, "type", &m->type, err));
	OCI_TRY(json_opt_string(v, "source", &m->source, err));
	OCI_TRY(json_opt_strv(v, "options", &m->options, err));
	OCI_TRY(oci_read_array(v, "uidMappings", sizeof(struct oci_idmap), oci_read_idmap, &m->uid_mappings,
			       &m->n_uid_mappings, err));
	return oci_read_array(v, "gidMappings", sizeof(struct oci_idmap), oci_read_idmap, &m->gid_mappings,
			      &m->n_gid_mappings, err);
}

void oci_mounts_free(struct oci_mount *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(v[i].destination);
		free(v[i].type);
		free(v[i].source);
		strv_free(v[i].options);
		free(v[i].uid_mappings);
		free(v[i].gid_mappings);
	}
	free(v);
}

int oci_mounts_parse(const char *buf, size_t len, struct oci_mount **ret, size_t *n_ret, struct err *err)
{
	cleanup_json_doc struct json_doc *doc = json_parse(buf, len, "mounts", err);
	const struct json *list = doc ? json_root(doc) : NULL;
	struct oci_mount *v;
	size_t n = 0;
	int r;

	if (!doc)
		return -EINVAL;
	OCI_TRY(json_want(list, JSON_ARRAY, err));
	v = xcalloc(list->c.n + 1, sizeof(*v));
	r = 0;
	json_for_each(e, list) {
		r = read_mount(e, &v[n++], err);
		if (r >= 0 && oci_mount_is_bind(&v[n - 1]) && str_empty(v[n - 1].source))
			r = json_error(e, err, "source: required for a bind mount");
		if (r < 0)
			break;
	}
	if (r < 0) {
		oci_mounts_free(v, n);
		return r;
	}
	*ret = v;
	*n_ret = n;
	return 0;
}

static int read_hook(const struct json *v, void *slot, struct err *err)
{
	struct oci_hook *h = slot;
	const struct json *f;

	OCI_TRY(json_want(v, JSON_OBJECT, err));
	OCI_TRY(oci_req(v, "path", &f, err));
	OCI_TRY(oci_opt_abs(v, "path", &h->path, err));
	OCI_TRY(json_opt_strv(v, "args", &h->args, err));
	OCI_TRY(json_opt_strv(v, "env", &h->env, err));
	OCI_TRY(oci_opt_u32(v, "timeout", &h->has_timeout, &h->timeout, err));
	if (h->has_timeout && !h->timeout)
		return json_error(json_get(v, "timeout"), err, "must be greater than zero");
	if (h->timeout > INT32_MAX / 1000)
		return json_error(json_get(v, "timeout"), err, "must be below %d seconds", INT32_MAX / 1000);
	return 0;
}

static int read_hooks(const struct json *root, struct oci_config *c, struct err *err)
{
	const struct json *v;
	int r = json_opt_object(root, "hooks", &v, err);

	if (r <= 0)
		return r;
	for (int k = 0; k < OCI_HOOK_MAX; k++)
		OCI_TRY(oci_read_array(v, oci_hook_word((enum oci_hook_kind)k), sizeof(struct oci_hook), read_hook,
				       &c->hooks[k].v, &c->hooks[k].n, err));
	return 1;
}

static int read_config(const struct json *root, struct oci_config *c, struct err *err)
{
	const struct json *v;
	unsigned int minor;

	OCI_TRY(read_version(root, c, &minor, err));
	OCI_TRY(read_root(root, c, err));
	OCI_TRY(oci_read_array(root, "mounts", sizeof(struct oci_mount), read_mount, &c->mounts, &c->n_mounts, err));
	v = json_get(root, "process");
	if (v) {
		c->has_process = true;
		OCI_TRY(oci_process_read(v, &c->process, err));
	}
	OCI_TRY(json_opt_string(root, "hostname", &c->hostname, err));
	OCI_TRY(json_opt_string(root, "domainname", &c->domainname, err));
	OCI_TRY(read_hooks(root, c, err));
	OCI_TRY(oci_read_map(root, "annotations", sizeof(struct oci_pair), oci_read_pair, &c->annotations,
			     &c->n_annotations, err));
	v = json_get(root, "linux");
	if (v) {
		c->has_linux = true;
		OCI_TRY(oci_linux_read(v, &c->linux_, err));
		/* what podman 4 writes for --pids-limit -1: before 1.3 a limit of 0 was none */
		if (minor < 3 && c->linux_.resources.has_pids_limit && c->linux_.resources.pids_limit == 0)
			c->linux_.resources.pids_limit = -1;
	}
	v = json_get(root, "vm");
	if (v)
		OCI_TRY(oci_vm_read(v, &c->vm, err));
	OCI_TRY(oci_idmap_words(c, err));
	OCI_TRY(oci_crun_annotations(c, err));
	return oci_config_check(c, err);
}

int oci_config_parse(const char *buf, size_t len, struct oci_config **ret, struct err *err)
{
	cleanup_json_doc struct json_doc *doc = json_parse(buf, len, "config.json", err);
	struct oci_config *c;
	int r;

	if (!doc)
		return -EINVAL;
	OCI_TRY(oci_want_root(doc, "config.json", err));
	c = xcalloc(1, sizeof(*c));
	r = read_config(json_root(doc), c, err);
	if (r < 0) {
		oci_config_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

void oci_config_free(struct oci_config *c)
{
	if (!c)
		return;
	free(c->oci_version);
	free(c->root.path);
	oci_mounts_free(c->mounts, c->n_mounts);
	oci_process_clear(&c->process);
	free(c->hostname);
	free(c->domainname);
	for (int k = 0; k < OCI_HOOK_MAX; k++) {
		for (size_t i = 0; i < c->hooks[k].n; i++) {
			free(c->hooks[k].v[i].path);
			strv_free(c->hooks[k].v[i].args);
			strv_free(c->hooks[k].v[i].env);
		}
		free(c->hooks[k].v);
	}
	oci_pairs_free(c->annotations, c->n_annotations);
	oci_linux_clear(&c->linux_);
	oci_vm_free(c->vm);
	strv_free(c->warnings);
	free(c);
}

const char *oci_annotation(const struct oci_config *c, const char *key)
{
	for (size_t i = 0; i < c->n_annotations; i++)
		if (!strcmp(c->annotations[i].key, key))
			return c->annotations[i].value;
	return NULL;
}

bool oci_mount_has(const struct oci_mount *m, const char *word)
{
	return strv_has(m->options, word);
}

bool oci_mount_is_bind(const struct oci_mount *m)
{
	return oci_mount_has(m, "bind") || oci_mount_has(m, "rbind") || (m->type && !strcmp(m->type, "bind"));
}

bool oci_mount_exported(const struct oci_mount *m)
{
	return oci_mount_is_bind(m) || (m->type && !strcmp(m->type, "overlay"));
}

/* Copies the object obj with the string member key replaced by (or, when absent, extended with) value. */
static void copy_with(struct json_writer *w, const char *as, const struct json *obj, const char *key, const char *value)
{
	bool done = !value;

	json_w_object(w, as);
	json_for_each(v, obj) {
		if (value && !strcmp(v->key, key)) {
			json_w_string(w, key, value);
			done = true;
		} else {
			json_w_value(w, v->key, v);
		}
	}
	if (!done)
		json_w_string(w, key, value);
	json_w_object_end(w);
}

static bool is_overlay(const struct json *m)
{
	const struct json *type = json_get(m, "type");
	const char *s;

	return type && json_string(type, &s, NULL) >= 0 && !strcmp(s, "overlay");
}

static void write_bind(struct json_writer *w, const struct json *m, const char *source)
{
	json_w_object(w, NULL);
	json_for_each(v, m)
		if (!strcmp(v->key, "destination"))
			json_w_value(w, v->key, v);
	json_w_string(w, "type", "bind");
	json_w_string(w, "source", source);
	json_w_strv(w, "options", (char *[]){ "rbind", NULL });
	json_w_object_end(w);
}

int oci_config_rewrite(const char *buf, size_t len, const char *root, char *const *sources, size_t n, char **ret,
		       struct err *err)
{
	cleanup_json_doc struct json_doc *doc = json_parse(buf, len, "config.json", err);
	struct json_writer w = { 0 };
	const struct json *mounts = NULL;

	if (!doc)
		return -EINVAL;
	OCI_TRY(oci_want_root(doc, "config.json", err));
	OCI_TRY(json_opt_array(json_root(doc), "mounts", &mounts, err));
	if ((mounts ? mounts->c.n : 0) != n)
		return err_set(err, -EINVAL, "mounts: %zu entries, sources for %zu", mounts ? mounts->c.n : 0, n);
	json_w_object(&w, NULL);
	json_for_each(v, json_root(doc)) {
		if (!strcmp(v->key, "root") && v->type == JSON_OBJECT) {
			copy_with(&w, v->key, v, "path", root);
		} else if (!strcmp(v->key, "mounts") && v->type == JSON_ARRAY) {
			json_w_array(&w, v->key);
			json_for_each(m, v) {
				if (m->type == JSON_OBJECT && sources[m->index] && is_overlay(m))
					write_bind(&w, m, sources[m->index]);
				else if (m->type == JSON_OBJECT)
					copy_with(&w, NULL, m, "source", sources[m->index]);
				else
					json_w_value(&w, NULL, m);
			}
			json_w_array_end(&w);
		} else {
			json_w_value(&w, v->key, v);
		}
	}
	json_w_object_end(&w);
	*ret = json_w_steal(&w);
	return 0;
}

/* a with b over it: objects of both are merged, everything else of b replaces what a has. */
static void merge(struct json_writer *w, const char *key, const struct json *a, const struct json *b)
{
	if (a->type != JSON_OBJECT || b->type != JSON_OBJECT) {
		json_w_value(w, key, b);
		return;
	}
	json_w_object(w, key);
	json_for_each(v, a) {
		const struct json *over = json_get(b, v->key);

		if (over)
			merge(w, v->key, v, over);
		else
			json_w_value(w, v->key, v);
	}
	json_for_each(v, b)
		if (!json_get(a, v->key))
			json_w_value(w, v->key, v);
	json_w_object_end(w);
}

int oci_config_merge(const char *buf, size_t len, const char *over, char **ret, struct err *err)
{
	cleanup_json_doc struct json_doc *doc = json_parse(buf, len, "config.json", err), *doc_over = NULL;
	struct json_writer w = { 0 };

	if (!doc)
		return -EINVAL;
	doc_over = json_parse(over, strlen(over), "config.json", err);
	if (!doc_over)
		return -EINVAL;
	merge(&w, NULL, json_root(doc), json_root(doc_over));
	*ret = json_w_steal(&w);
	return 0;
}
