/* SPDX-License-Identifier: Apache-2.0 */
/* cni_doc: the documents of the Container Network Interface: configuration lists, plugin input, results, errors. */
#ifndef NETWORK_CNI_DOC_H
#define NETWORK_CNI_DOC_H

#include "base/err.h"
#include "base/json.h"
#include "network/network.h"

/* The newest version spoken here. */
#define CNI_DOC_VERSION "1.1.0"
/* Versions accepted from a configuration or announced by the plugin, NULL-terminated, oldest first. */
extern const char *const cni_doc_versions[];
/* Place of a version in that list, or -1. */
int cni_doc_version(const char *v);

struct cni_doc_list {
	struct json_doc *doc; /* owned; the values below point into it */
	const char *name;
	const char *version; /* the highest of cniVersion and cniVersions that is spoken here */
	bool disable_check, disable_gc;
	const struct json *plugins[32]; /* objects with "type" */
	size_t n_plugins;
};

/* Parses a conflist, or a single plugin's conf as a list of one. 0, or -EINVAL naming the JSON path. */
int cni_doc_parse(const char *text, size_t len, const char *what, struct cni_doc_list *ret, struct err *err);
void cni_doc_free(struct cni_doc_list *l);
#define cleanup_cni_doc CLEANUP(cni_doc_free)
/* A plugin's type. */
const char *cni_doc_type(const struct json *plugin);
/*
 * What a plugin gets on stdin: its own keys but "capabilities", cniVersion, name, runtimeConfig with those members of
 * capabilities that it declares, prevResult (NULL: none), for GC the valid attachments (NULL: none). Owned text.
 */
char *cni_doc_input(const struct cni_doc_list *l, const struct json *plugin, const struct json *capabilities,
		    const struct json *prev_result, const struct json *valid);
/* The capabilities a request can fill: portMappings, bandwidth, ips, mac, aliases, dns. Owned JSON object text. */
char *cni_doc_capabilities(const struct network_request *req, const char *network);
/* Adds the interfaces of a result that have a sandbox to the lease, with addresses and routes. 0 or -EINVAL. */
int cni_doc_result(const struct json *result, struct network_lease *l, struct err *err);
/* Turns a plugin's error document (or any text) into an error "TYPE COMMAND: msg: details". Returns -EIO. */
int cni_doc_error(const char *text, const char *type, const char *command, struct err *err);

#endif
