/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to a registry, inside the room: authorization, retries and what failures say. */
#ifndef IMAGES_REGISTRY_CALL_H
#define IMAGES_REGISTRY_CALL_H

#include <pthread.h>

#include "base/str.h"
#include "images/credentials.h"
#include "images/http.h"

#define REGISTRY_TRIES 6

struct registry {
	/* identity */
	char *base; /* "https://host" */
	char *host, *path;
	bool push, loopback;
	uint64_t chunk; /* of uploads; 0: whole blobs */
	/* configuration */
	struct http_config http;
	char *ca_file, *cert_file, *key_file;
	char **from; /* of registry_options */
	struct credentials creds;
	/* state */
	pthread_mutex_t lock;
	char *authorization; /* header line; NULL: none yet */
	unsigned int auth_generation;
};

/*
 * One request: the authorization we have is added, a 401 answered by getting one, and what may pass (no connection,
 * 429, 5xx) tried again; 307 and 308 are followed, with method and body. 0 with any final answer in *ret, which the caller clears; negative when there was none.
 */
int registry_call(struct registry *r, const struct http_request *q, struct http_response *ret, struct err *err);
/* The same with at most so many tries. */
int registry_call_tries(struct registry *r, const struct http_request *q, unsigned int most, struct http_response *ret,
			struct err *err);
/* Sets *err to what the registry says of a failure: -ENOENT, -EACCES or -EIO. */
int registry_call_refused(const struct registry *r, const char *what, const struct http_response *resp,
			  struct err *err);
/* May a request with this status succeed when it is repeated? */
bool registry_call_transient(int status);
/* Waits before another try, as long as Retry-After (s) says or longer with each. */
void registry_call_pause(unsigned int tries, unsigned int retry_after);
/* The caller's headers and the authorization, an owned vector; *ret_generation for registry_call_authorize(). */
char **registry_call_headers(struct registry *r, char *const *headers, unsigned int *ret_generation);
/* After a 401: gets the authorization its challenge wants. seen: generation of what was refused. */
int registry_call_authorize(struct registry *r, const char *challenges, unsigned int seen, struct err *err);
/* Appends ?key=value or &key=value, coded. */
void registry_call_query(struct str *url, const char *key, const char *value);

#endif
