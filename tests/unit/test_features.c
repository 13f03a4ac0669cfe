/* SPDX-License-Identifier: Apache-2.0 */
/* oci/features: required members are there and the document is JSON. */
#include "oci/features.h"

#include "base/json.h"
#include "tests/unit/tap.h"

int main(void)
{
	char *mounts[] = { (char *)"bind", (char *)"rro", NULL };
	struct oci_features f = { .mount_options = mounts, .idmap = true, .memory_policy = true };
	cleanup_free char *text = oci_features_write(&f);
	cleanup_json_doc struct json_doc *d = json_parse(text, strlen(text), "features", NULL);
	const struct json *l;

	need(d);
	l = json_get(json_root(d), "linux");
	is_str(json_get(json_root(d), "ociVersionMin")->s, "1.0.0");
	is_str(json_get(json_root(d), "ociVersionMax")->s, "1.3.0");
	is_int(json_get(json_root(d), "hooks")->c.n, 6);
	is_int(json_get(l, "namespaces")->c.n, 8);
	is_int(json_get(l, "capabilities")->c.n, 41);
	ok(json_get(json_get(json_get(l, "mountExtensions"), "idmap"), "enabled")->b);
	is_str(json_get(json_root(d), "mountOptions")->c.v[1].s, "rro");
	is_int(json_get(json_get(l, "seccomp"), "operators")->c.n, 7);
	return tap_done();
}
