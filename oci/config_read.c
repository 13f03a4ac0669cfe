/* SPDX-License-Identifier: Apache-2.0 */
/* Small readers that all files reading config.json share. */
/*
 * base/json knows types and paths; this file adds the shapes of runtime-spec: arrays of objects, maps, optional
 * scalars whose absence matters, words out of a list. Every failure names the JSON path of the value.
 */
#include "oci/config_read.h"

#include <string.h>

#include "base/str.h"

static int read_children(const struct json *c, size_t size, oci_read_fn *fn, void *ret, size_t *n_ret, struct err *err)
{
	char **array = ret;

	if (!c->c.n)
		return 0;
	/* a key that came twice is refused by the parser: the slot array is empty here */
	*array = xcalloc(c->c.n, size);
	json_for_each(v, c) {
		void *slot = *array + size * (*n_ret)++;

		OCI_TRY(fn(v, slot, err));
	}
	return 0;
}

int oci_read_array(const struct json *obj, const char *key, size_t size, oci_read_fn *fn, void *ret, size_t *n_ret,
		   struct err *err)
{
	const struct json *c;
	int r = json_opt_array(obj, key, &c, err);

	return r <= 0 ? r : read_children(c, size, fn, ret, n_ret, err);
}

int oci_read_map(const struct json *obj, const char *key, size_t size, oci_read_fn *fn, void *ret, size_t *n_ret,
		 struct err *err)
{
	const struct json *c;
	int r = json_opt_object(obj, key, &c, err);

	return r <= 0 ? r : read_children(c, size, fn, ret, n_ret, err);
}

int oci_read_pair(const struct json *v, void *slot, struct err *err)
{
	struct oci_pair *p = slot;
	const char *s;

	if (!*v->key)
		return json_error(v, err, "the key must not be empty");
	OCI_TRY(json_string(v, &s, err));
	p->key = xstrdup(v->key);
	p->value = xstrdup(s);
	return 0;
}

int oci_read_u32(const struct json *v, void *slot, struct err *err)
{
	return json_u32(v, slot, err);
}

int oci_read_idmap(const struct json *v, void *slot, struct err *err)
{
	struct oci_idmap *m = slot;
	const struct json *f;

	OCI_TRY(json_want(v, JSON_OBJECT, err));
	OCI_TRY(oci_req(v, "containerID", &f, err));
	OCI_TRY(json_u32(f, &m->container_id, err));
	OCI_TRY(oci_req(v, "hostID", &f, err));
	OCI_TRY(json_u32(f, &m->host_id, err));
	OCI_TRY(oci_req(v, "size", &f, err));
	OCI_TRY(json_u32(f, &m->size, err));
	if (!m->size)
		return json_error(f, err, "must not be 0");
	if (m->size - 1 > UINT32_MAX - m->container_id || m->size - 1 > UINT32_MAX - m->host_id)
		return json_error(f, err, "the range ends beyond the largest id");
	return 0;
}

int oci_req(const struct json *obj, const char *key, const struct json **ret, struct err *err)
{
	const struct json *v = json_get(obj, key);

	if (!v) {
		cleanup_free char *path = json_path(obj);

		return err_set(err, -EINVAL, "%s%s%s: required", path, *path ? "." : "", key);
	}
	*ret = v;
	return 0;
}

#define OPT(name, type, get) \
	int oci_opt_##name(const struct json *obj, const char *key, bool *has, type *ret, struct err *err) \
	{ \
		int r = get(obj, key, ret, err); \
		if (r > 0) \
			*has = true; \
		return r; \
	}
OPT(u64, uint64_t, json_opt_u64)
OPT(i64, int64_t, json_opt_i64)
OPT(u32, uint32_t, json_opt_u32)
OPT(i32, int32_t, json_opt_i32)
OPT(bool, bool, json_opt_bool)

int oci_opt_u16(const struct json *obj, const char *key, bool *has, uint16_t *ret, struct err *err)
{
	uint32_t n = 0;
	int r = json_opt_u32(obj, key, &n, err);

	if (r <= 0)
		return r;
	if (n > UINT16_MAX)
		return json_error(json_get(obj, key), err, "expected an unsigned 16-bit integer");
	*has = true;
	*ret = (uint16_t)n;
	return 1;
}

int oci_opt_abs(const struct json *obj, const char *key, char **ret, struct err *err)
{
	int r = json_opt_string(obj, key, ret, err);

	if (r > 0 && **ret != '/')
		return json_error(json_get(obj, key), err, "must be an absolute path");
	return r;
}

int oci_read_word(const struct json *v, const char *const *words, size_t n, int *ret, struct err *err)
{
	const char *s;

	OCI_TRY(json_string(v, &s, err));
	for (size_t i = 0; i < n; i++) {
		if (words[i] && !strcmp(words[i], s)) {
			*ret = (int)i;
			return 0;
		}
	}
	return json_error(v, err, "unknown value \"%.100s\"", s);
}

int oci_want_root(const struct json_doc *doc, const char *what, struct err *err)
{
	if (json_root(doc)->type == JSON_OBJECT)
		return 0;
	return err_set(err, -EINVAL, "%s: expected an object", what);
}

int oci_below(const char *root, struct err *err)
{
	cleanup_free char *msg = err ? xstrdup(err->msg) : NULL;
	size_t n = strlen(root);

	if (!msg)
		return -EINVAL;
	if (strncmp(msg, root, n) || (msg[n] != '.' && msg[n] != ':'))
		err_set(err, err->code, "%s.%s", root, msg);
	return err->code;
}

void oci_pairs_free(struct oci_pair *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(v[i].key);
		free(v[i].value);
	}
	free(v);
}
