/* SPDX-License-Identifier: Apache-2.0 */
/* oci/image_spec: any bytes as index, manifest, configuration; what is accepted survives writing. */
#include <stdint.h>
#include <string.h>

#include "base/str.h"
#include "images/ref.h"
#include "oci/image_spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct oci_index *index = NULL, *index2 = NULL;
	struct oci_manifest *m = NULL, *m2 = NULL;
	struct oci_image *image = NULL;
	struct oci_platform p;
	struct ref ref;
	struct err err = { 0 };
	char *out, *name = xstrndup(text, size);

	oci_platform_parse("linux/arm64/v8", &p, NULL);
	if (oci_index_parse(text, size, "i", &index, &err) == 0) {
		oci_index_choose(index, &p);
		out = oci_index_write(index);
		if (oci_index_parse(out, strlen(out), "i", &index2, &err) < 0)
			__builtin_trap();
		free(out);
	}
	if (oci_manifest_parse(text, size, "m", &m, &err) == 0) {
		out = oci_manifest_write(m);
		if (oci_manifest_parse(out, strlen(out), "m", &m2, &err) < 0)
			__builtin_trap();
		free(out);
	}
	oci_image_parse(text, size, "c", &image, &err);
	if (ref_parse(name, "docker.io", &ref, &err) == 0)
		ref_clear(&ref);
	free(name);
	oci_platform_clear(&p);
	oci_index_free(index);
	oci_index_free(index2);
	oci_manifest_free(m);
	oci_manifest_free(m2);
	oci_image_free(image);
	return 0;
}
