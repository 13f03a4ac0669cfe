/* SPDX-License-Identifier: Apache-2.0 */
/* oci/image_spec: documents of strangers, choice of platform. */
#include "oci/image_spec.h"

#include "base/str.h"
#include "tests/unit/tap.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DESC(mt, extra) "{\"mediaType\":\"" mt "\",\"digest\":\"sha256:" HEX "\",\"size\":7" extra "}"
#define PLATFORM(arch, variant) ",\"platform\":{\"os\":\"linux\",\"architecture\":\"" arch "\"" variant "}"

static void refused_manifest(const char *text, const char *part)
{
	struct oci_manifest *m = NULL;
	struct err err = { 0 };

	is_int(oci_manifest_parse(text, strlen(text), "m", &m, &err), -EINVAL);
	has_str(err.msg, part);
}

static void choose(const char *platform, size_t want)
{
	static const char text[] =
		"{\"schemaVersion\":2,\"manifests\":[" DESC(OCI_MT_MANIFEST, PLATFORM("arm64", ",\"variant\":\"v8\"")) "," DESC(
			OCI_MT_MANIFEST,
			PLATFORM(
				"amd64",
				"")) "," DESC(OCI_MT_MANIFEST,
					      PLATFORM(
						      "arm",
						      ",\"variant\":\"v7\"")) "," DESC(OCI_MT_MANIFEST,
										       PLATFORM(
											       "arm",
											       ",\"variant\":"
											       "\"v6\"")) "," DESC("app"
														   "lic"
														   "ati"
														   "on/"
														   "unk"
														   "now"
														   "n",
														   PLATFORM(
															   "s390x",
															   "")) "]}";
	struct oci_platform p;
	struct oci_index *i = NULL;
	struct err err = { 0 };
	const struct oci_descriptor *d;

	is_int(oci_index_parse(text, strlen(text), "i", &i, &err), 0);
	need(i);
	is_int(oci_platform_parse(platform, &p, &err), 0);
	d = oci_index_choose(i, &p);
	is_int(d ? d - i->manifests : -1, (long)want);
	oci_platform_clear(&p);
	oci_index_free(i);
}

int main(void)
{
	static const char image_text[] = "{\"os\":\"linux\",\"architecture\":\"amd64\",\"unknown\":{},\"config\":{"
					 "\"User\":\"u\",\"Env\":[\"A=b\"],"
					 "\"Cmd\":null,\"ExposedPorts\":{\"80/tcp\":{}},\"Volumes\":{\"/"
					 "v\":{}},\"Labels\":{\"k\":\"v\"},\"Healthcheck\":{}},"
					 "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:" HEX "\"]}}";
	static const char manifest_text[] =
		"{\"schemaVersion\":2,\"config\":" DESC(OCI_MT_DOCKER_CONFIG, "") ",\"layers\":[" DESC(
			OCI_MT_DOCKER_LAYER_GZIP, ",\"annotations\":{\"" OCI_ANN_REF_NAME "\":\"n\"}") "]}";
	struct oci_platform p;
	struct oci_image *image = NULL;
	struct oci_manifest *m = NULL;
	struct err err = { 0 };

	is_int(oci_image_parse(image_text, strlen(image_text), "c", &image, &err), 0);
	need(image);
	ok(!image->cmd && !strcmp(image->exposed_ports[0], "80/tcp") && !strcmp(image->labels[0].value, "v"));
	oci_image_free(image);
	is_int(oci_manifest_parse(manifest_text, strlen(manifest_text), "m", &m, &err), 0);
	need(m);
	is_str(m->media_type, OCI_MT_DOCKER_MANIFEST);
	is_str(m->layers[0].ref_name, "n");
	cleanup_free char *text = oci_manifest_write(m);
	struct oci_manifest *again = NULL;

	is_int(oci_manifest_parse(text, strlen(text), "m", &again, &err), 0);
	oci_manifest_free(again);
	oci_manifest_free(m);
	refused_manifest("{\"schemaVersion\":1}", "schema 1 is not supported");
	refused_manifest("{\"manifests\":[],\"layers\":[]}", "both an index and a manifest");
	refused_manifest("{\"config\":{}}", "m: config.digest: required");
	refused_manifest("{\"config\":{\"digest\":\"sha256:abc\",\"size\":1}}", "is not a digest we know");
	refused_manifest("{\"config\":" DESC("x", "") ",\"layers\":[{\"digest\":\"sha256:" HEX "\",\"size\":-1}]}",
			 "layers[0].size");
	choose("linux/amd64", 1);
	choose("linux/arm64", 0);
	choose("linux/arm64/v8", 0);
	choose("linux/arm/v6", 3);
	choose("linux/s390x", (size_t)-1);
	is_int(oci_platform_parse("linux", &p, &err), -EINVAL);
	ok(oci_digest_valid("sha256:" HEX) && !oci_digest_valid("sha256:" HEX "0") && !oci_digest_valid("md5:abc"));
	return tap_done();
}
