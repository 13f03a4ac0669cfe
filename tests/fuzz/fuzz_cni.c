/* SPDX-License-Identifier: Apache-2.0 */
/* CNI configurations and results, lease and interface documents: any bytes are read or refused. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "network/cni_doc.h"
#include "network/network.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = { 0 };
	struct cni_doc_list l;
	struct json_doc *doc;

	if (!size)
		return 0;
	switch (data[0] & 3) {
	case 0:
		if (cni_doc_parse((const char *)data + 1, size - 1, "fuzz", &l, &e) == 0) {
			for (size_t i = 0; i < l.n_plugins; i++)
				free(cni_doc_input(&l, l.plugins[i], json_root(l.doc), NULL, NULL));
			cni_doc_free(&l);
		}
		return 0;
	case 1: {
		char *text = strndup((const char *)data + 1, size - 1);

		cni_doc_error(text, "t", "ADD", &e);
		free(text);
		return 0;
	}
	}
	doc = json_parse((const char *)data + 1, size - 1, "fuzz", &e);
	if (doc) {
		struct network_lease lease = { 0 };
		int r = data[0] & 1 ? network_lease_load(json_root(doc), &lease, &e) :
				      cni_doc_result(json_root(doc), &lease, &e);

		if (r == 0) {
			struct json_writer w = { 0 };

			if (lease.ref.id)
				network_lease_save(&w, NULL, &lease);
			free(json_w_steal(&w));
			free(network_lease_guest(&lease));
		}
		network_lease_free(&lease);
		json_doc_free(doc);
	}
	return 0;
}
