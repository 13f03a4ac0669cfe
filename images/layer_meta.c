/* SPDX-License-Identifier: Apache-2.0 */
/* meta.json of a layer: what later readers need and the tree does not show. */
/*
 * A small versioned document beside the tree, written before the tree is published. Versions from the future are
 * refused: such a store belongs to a newer program.
 */
#include <string.h>

#include "base/fd.h"
#include "base/json.h"
#include "images/digest.h"
#include "images/layer.h"

#define VERSION 1

/* Names are bytes, JSON is UTF-8: everything but plain ASCII is written as %XX. */
static char *escape(const char *name)
{
	struct str s = { 0 };

	str_add(&s, "");
	for (; *name; name++) {
		if (*name > ' ' && *name < 127 && *name != '%')
			str_addc(&s, *name);
		else
			str_addf(&s, "%%%02x", (unsigned char)*name);
	}
	return str_steal(&s);
}

static char *unescape(char *name)
{
	char *out = name;

	for (const char *p = name; *p; p++) {
		unsigned int byte;

		if (*p == '%' && sscanf(p + 1, "%2x", &byte) == 1 && byte) {
			*out++ = (char)byte;
			p += 2;
		} else {
			*out++ = *p;
		}
	}
	*out = '\0';
	return name;
}

void layer_meta_clear(struct layer_meta *m)
{
	strv_free(m->implied);
	for (size_t i = 0; i < m->n_links; i++) {
		free(m->links[i].path);
		free(m->links[i].target);
	}
	free(m->links);
	memset(m, 0, sizeof(*m));
}

char *layer_meta_write(const struct layer_meta *m)
{
	struct json_writer w = { 0 };

	json_w_object(&w, NULL);
	json_w_u64(&w, "version", VERSION);
	json_w_u64(&w, "bytes", m->bytes);
	json_w_u64(&w, "entries", m->entries);
	json_w_array(&w, "implied");
	for (char **p = m->implied; p && *p; p++) {
		cleanup_free char *name = escape(*p);

		json_w_string(&w, NULL, name);
	}
	json_w_array_end(&w);
	json_w_array(&w, "links");
	for (size_t i = 0; i < m->n_links; i++) {
		cleanup_free char *path = escape(m->links[i].path), *target = escape(m->links[i].target);

		json_w_object(&w, NULL);
		json_w_string(&w, "path", path);
		json_w_string(&w, "target", target);
		json_w_object_end(&w);
	}
	json_w_array_end(&w);
	json_w_object_end(&w);
	return json_w_steal(&w);
}

static int read_links(const struct json *root, struct layer_meta *m, struct err *err)
{
	const struct json *list;
	int r = json_opt_array(root, "links", &list, err);

	if (r <= 0)
		return r;
	m->links = xcalloc(list->c.n ? list->c.n : 1, sizeof(*m->links));
	json_for_each(v, list) {
		struct layer_link *l = &m->links[m->n_links++];

		r = json_req_string(v, "path", &l->path, err);
		if (r >= 0)
			r = json_req_string(v, "target", &l->target, err);
		if (r < 0)
			return r;
		unescape(l->path);
		unescape(l->target);
	}
	return 0;
}

int layer_meta_parse(const char *buf, size_t len, struct layer_meta *ret, struct err *err)
{
	cleanup_json_doc struct json_doc *doc = json_parse(buf, len, "meta.json", err);
	const struct json *root;
	uint32_t version = 0;
	int r;

	memset(ret, 0, sizeof(*ret));
	if (!doc)
		return -EINVAL;
	root = json_root(doc);
	r = json_want(root, JSON_OBJECT, err);
	if (r >= 0)
		r = json_opt_u32(root, "version", &version, err);
	if (r < 0)
		return r;
	if (version != VERSION)
		return err_set(err, -EINVAL, "meta.json: version %u is unknown", version);
	r = json_opt_u64(root, "bytes", &ret->bytes, err);
	if (r >= 0)
		r = json_opt_u64(root, "entries", &ret->entries, err);
	if (r >= 0)
		r = json_opt_strv(root, "implied", &ret->implied, err);
	for (char **p = ret->implied; r >= 0 && p && *p; p++)
		unescape(*p);
	if (r >= 0)
		r = read_links(root, ret, err);
	if (r < 0)
		layer_meta_clear(ret);
	return r;
}

int layer_meta_read(int storefd, const char *diff_id, struct layer_meta *ret, struct err *err)
{
	cleanup_free char *path = xasprintf("layers/%s/meta.json", digest_hex(diff_id)), *buf = NULL;
	size_t len;
	int r = fd_slurp_at(storefd, path, 64 * 1024 * 1024, &buf, &len);

	return r < 0 ? err_sys(err, r, "%s", path) : layer_meta_parse(buf, len, ret, err);
}
