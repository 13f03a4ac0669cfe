/* SPDX-License-Identifier: Apache-2.0 */
/* base/json: strict reading with paths, writing. */
#include "base/json.h"

#include "tests/unit/tap.h"

static void refused(const char *text, const char *part)
{
	struct err err = { 0 };
	struct json_doc *d = json_parse(text, strlen(text), "doc", &err);

	ok(!d);
	has_str(err.msg, part);
	json_doc_free(d);
}

int main(void)
{
	static const char text[] =
		"{\"a\":{\"list\":[{\"n\":18446744073709551615},{\"n\":-1,\"s\":\"\\u00e4\"}]},\"z\":null,\"t\":true,"
		"\"words\":[\"x\",\"y\"]}";
	struct err err = { 0 };
	cleanup_json_doc struct json_doc *d = json_parse(text, strlen(text), "doc", &err);
	struct json_writer w = { .indent = 0 };
	cleanup_strv char **words = NULL;
	cleanup_free char *s = NULL, *out = NULL, *path = NULL;
	const struct json *root, *list;
	char deep[400];
	uint64_t n = 0;
	bool t = false;

	need(d);
	root = json_root(d);
	need(json_opt_array(json_get(root, "a"), "list", &list, &err) == 1);
	is_int(json_opt_u64(&list->c.v[0], "n", &n, &err), 1);
	ok(n == UINT64_MAX);
	ok(json_opt_u64(&list->c.v[1], "n", &n, &err) < 0);
	is_str(err.msg, "a.list[1].n: expected an unsigned 64-bit integer");
	is_int(json_opt_string(&list->c.v[1], "s", &s, &err), 1);
	is_str(s, "\xc3\xa4");
	path = json_path(&list->c.v[1]);
	is_str(path, "a.list[1]");
	is_int(json_opt_string(root, "z", &s, &err), 0);
	is_int(json_opt_bool(root, "t", &t, &err), 1);
	ok(t);
	is_int(json_opt_strv(root, "words", &words, &err), 1);
	is_str(words[1], "y");
	ok(json_opt_strv(root, "t", &words, &err) < 0);
	is_str(err.msg, "t: expected an array");
	ok(json_req_string(root, "missing", &s, &err) < 0);
	is_str(err.msg, "missing: required");
	json_w_value(&w, NULL, root);
	out = json_w_steal(&w);
	is_str(out,
	       "{\"a\":{\"list\":[{\"n\":18446744073709551615},{\"n\":-1,\"s\":\"\xc3\xa4\"}]},\"z\":null,\"t\":true,"
	       "\"words\":[\"x\",\"y\"]}");

	refused("", "doc: ");
	refused("{", "doc: ");
	refused("{} x", "doc: ");
	refused("{\"a\":1,\"a\":2}", "doc: a: duplicate key");
	refused("{\"a\":[1,{\"b\":0,\"b\":1}]}", "doc: a[1].b: duplicate key");
	refused("{\"a\":\"x\\u0000y\"}", "NUL byte");
	refused("\xff", "doc: ");
	memset(deep, '[', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = '\0';
	refused(deep, "nested too deeply");
	return tap_done();
}
