/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci/config*: every field of a full document in turn gets every wrong type and every number out of range, and
 * must be refused by its own path; every field in turn is left out, or null, and is accepted or named.
 */
#include "base/json.h"
#include "oci/config.h"
#include "tests/unit/config_full.h"
#include "tests/unit/tap.h"

static const struct json *root;
static unsigned int tried;

/* Writes v with the value target replaced (by with; NULL leaves it out). */
static void write_replaced(struct json_writer *w, const struct json *v, const struct json *target,
			   const struct json *with)
{
	const char *key = v->parent && v->parent->type == JSON_OBJECT ? v->key : NULL;

	if (v == target) {
		if (with)
			json_w_value(w, key, with);
	} else if (v->type == JSON_OBJECT) {
		json_w_object(w, key);
		json_for_each(c, v)
			write_replaced(w, c, target, with);
		json_w_object_end(w);
	} else if (v->type == JSON_ARRAY) {
		json_w_array(w, key);
		json_for_each(c, v)
			write_replaced(w, c, target, with);
		json_w_array_end(w);
	} else {
		json_w_value(w, key, v);
	}
}

/* 0 accepted; else the error is in *err. text NULL: without the value. */
static int parse_with(const struct json *target, const char *text, struct err *err)
{
	cleanup_json_doc struct json_doc *with = text ? json_parse(text, strlen(text), "value", err) : NULL;
	cleanup_oci_config struct oci_config *c = NULL;
	struct json_writer w = { 0 };
	cleanup_free char *doc = NULL;

	write_replaced(&w, root, target, with ? json_root(with) : NULL);
	doc = json_w_steal(&w);
	memset(err, 0, sizeof(*err));
	tried++;
	return oci_config_parse(doc, strlen(doc), &c, err);
}

static void must_name(const struct json *v, const char *text)
{
	cleanup_free char *path = json_path(v);
	struct err err;
	size_t n = strlen(path);
	int r = parse_with(v, text, &err);

	if (r != -EINVAL || strncmp(err.msg, path, n) || !strchr(":.[", err.msg[n]) || !err.msg[n]) {
		ok(!"refused by its path");
		printf("# %s = %s: %d, %s\n", path, text, r, err.msg);
	}
}

static void wrong_values(const struct json *v)
{
	static const struct {
		enum json_type type;
		const char *text;
	} samples[] = {
		{ JSON_BOOL, "true" }, { JSON_NUMBER, "7" },         { JSON_STRING, "\"text\"" },
		{ JSON_ARRAY, "[7]" }, { JSON_OBJECT, "{\"k\":7}" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
		if (samples[i].type != v->type)
			must_name(v, samples[i].text);
	if (v->type == JSON_NUMBER) {
		must_name(v, "1.5");
		must_name(v, "1e3");
		must_name(v, "99999999999999999999");
		must_name(v, "-9999999999999999999");
	}
}

static void walk(const struct json *v)
{
	if (v != root) {
		cleanup_free char *path = json_path(v);
		struct err err;

		wrong_values(v);
		/* left out or null: accepted, or the complaint is not empty and is -EINVAL */
		for (int null = 0; null < 2; null++) {
			int r = parse_with(v, null ? "null" : NULL, &err);

			if (r && (r != -EINVAL || !err.msg[0])) {
				ok(!"accepted or named");
				printf("# %s: %d, %s\n", path, r, err.msg);
			}
		}
		if (v->type == JSON_STRING)
			parse_with(v, "\"\"", &err);
		if (v->type == JSON_ARRAY)
			parse_with(v, "[]", &err);
		if (v->type == JSON_OBJECT)
			parse_with(v, "{}", &err);
	}
	if (v->type == JSON_OBJECT || v->type == JSON_ARRAY)
		json_for_each(c, v)
			walk(c);
}

int main(void)
{
	struct err err = { 0 };
	struct json_doc *doc = json_parse(FULL_CONFIG, strlen(FULL_CONFIG), "full", &err);

	need(doc);
	root = json_root(doc);
	walk(root);
	ok(tried > 1500);
	printf("# %u documents\n", tried);
	json_doc_free(doc);
	return tap_done();
}
