/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials for registries. */
/*
 * Order: --creds, then --authfile alone, or $REGISTRY_AUTH_FILE alone, or ${XDG_RUNTIME_DIR}/containers/auth.json,
 * ~/.config/containers/auth.json, ~/.docker/config.json. In a file, credHelpers for the host, then auths (from
 * "host/ns/repo" down to "host"), then credsStore. A helper is a program docker-credential-NAME that reads the
 * host on stdin (containers-auth.json(5), docker-credential-helpers). A broken file is an error, not "no
 * credentials": a silent anonymous pull would hide it.
 */
#include "images/credentials.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>
#include <unistd.h>

#include "base/child.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/str.h"

char *credentials_base64(const void *buf, size_t len)
{
	char *out = xmalloc(4 * ((len + 2) / 3) + 1);

	EVP_EncodeBlock((unsigned char *)out, buf, (int)len);
	return out;
}

char *credentials_unbase64(const char *text)
{
	size_t n = strlen(text), pad = 0;
	cleanup_free char *out = xcalloc(n + 4, 1);
	int len;

	if (n % 4 || n > 65536)
		return NULL;
	while (pad < n && pad < 2 && text[n - 1 - pad] == '=')
		pad++;
	len = EVP_DecodeBlock((unsigned char *)out, (const unsigned char *)text, (int)n);
	if (len < 0)
		return NULL;
	out[(size_t)len - pad] = '\0';
	return steal_ptr(out);
}

void credentials_clear(struct credentials *c)
{
	free(c->user);
	free(c->password);
	free(c->identity);
	memset(c, 0, sizeof(*c));
}

static int split(const char *text, struct credentials *ret)
{
	const char *colon = strchr(text, ':');

	if (!colon || colon == text)
		return -EINVAL;
	ret->user = xstrndup(text, (size_t)(colon - text));
	ret->password = xstrdup(colon + 1);
	return 0;
}

/* 1 found, 0 the helper knows nothing. */
static int ask_helper(const char *name, const char *host, struct credentials *ret, struct err *err)
{
	cleanup_free char *program = xasprintf("docker-credential-%s", name);
	cleanup_json_doc struct json_doc *doc = NULL;
	cleanup_free char *user = NULL, *secret = NULL;
	char *argv[] = { program, (char *)"get", NULL };
	struct child_io io = { .in = host, .in_len = strlen(host), .want_out = 1, .want_err = 1, .timeout_ms = 60000 };
	int r;

	if (strchr(name, '/'))
		return err_set(err, -EINVAL, "credential helper \"%s\": not a name", name);
	r = child_run(argv, &io, err);
	if (r > 0 && io.out && strstr(io.out, "credentials not found"))
		r = 0;
	else if (r > 0)
		r = err_set(err, -EIO, "%s: exit status %d", program, r);
	else if (r == 0) {
		doc = json_parse(io.out ? io.out : "", io.out_len, program, err);
		r = doc ? json_req_string(json_root(doc), "Username", &user, err) : -EINVAL;
		if (r >= 0)
			r = json_req_string(json_root(doc), "Secret", &secret, err);
		if (r >= 0 && !strcmp(user, "<token>"))
			ret->identity = steal_ptr(secret);
		if (r >= 0 && secret) {
			ret->user = steal_ptr(user);
			ret->password = steal_ptr(secret);
		}
		r = r < 0 ? r : 1;
	}
	free(io.out);
	free(io.errout);
	return r;
}

/* The entry of auths for the key. 1 found. */
static int read_auth(const struct json *auths, const char *key, struct credentials *ret, struct err *err)
{
	const struct json *v = json_get(auths, key);
	cleanup_free char *auth = NULL, *plain = NULL;
	int r;

	if (!v)
		return 0;
	r = json_want(v, JSON_OBJECT, err);
	if (r >= 0)
		r = json_opt_string(v, "identitytoken", &ret->identity, err);
	if (r >= 0)
		r = json_opt_string(v, "auth", &auth, err);
	if (r < 0)
		return r;
	if (str_empty(ret->identity))
		free(steal_ptr(ret->identity));
	if (str_empty(auth))
		return ret->identity ? 1 : 0;
	plain = credentials_unbase64(auth);
	if (!plain || split(plain, ret) < 0)
		return json_error(v, err, "auth: not base64 of USER:PASSWORD");
	return 1;
}

static int read_file(const char *file, const char *host, const char *path, bool must, struct credentials *ret,
		     struct err *err)
{
	bool hub = !strcmp(host, "docker.io");
	cleanup_free char *buf = NULL, *key = xasprintf("%s/%s", host, path), *helper = NULL;
	cleanup_json_doc struct json_doc *doc = NULL;
	const struct json *auths;
	size_t len;
	int r = fd_slurp_at(AT_FDCWD, file, 1 << 20, &buf, &len);

	if (r == -ENOENT && !must)
		return 0;
	if (r < 0)
		return err_sys(err, r, "%s", file);
	doc = json_parse(buf, len, file, err);
	if (!doc)
		return -EINVAL;
	r = json_opt_string(json_get(json_root(doc), "credHelpers"), host, &helper, err);
	if (r > 0 && *helper)
		return ask_helper(helper, host, ret, err);
	auths = json_get(json_root(doc), "auths");
	if (r > 0) /* "": none for this host */
		r = 0;
	for (char *slash; r >= 0 && auths;) {
		r = read_auth(auths, key, ret, err);
		slash = strrchr(key, '/');
		if (r || !slash)
			break;
		*slash = '\0';
	}
	if (r == 0 && hub && auths)
		r = read_auth(auths, "https://index.docker.io/v1/", ret, err);
	if (r == 0 && auths) {
		cleanup_free char *url = xasprintf("https://%s", host);

		r = read_auth(auths, url, ret, err);
	}
	if (r == 0 && json_opt_string(json_root(doc), "credsStore", &helper, err) > 0 && *helper)
		r = ask_helper(helper, hub ? "https://index.docker.io/v1/" : host, ret, err);
	return r < 0 ? err_wrap(err, "%s", file) : r;
}

int credentials_find(const char *host, const char *path, const char *creds, const char *authfile,
		     struct credentials *ret, struct err *err)
{
	const char *env = getenv("REGISTRY_AUTH_FILE"), *run = getenv("XDG_RUNTIME_DIR"), *home = getenv("HOME");
	cleanup_strv char **files = NULL;
	int r = 0;

	memset(ret, 0, sizeof(*ret));
	if (creds)
		return split(creds, ret) < 0 ? err_set(err, -EINVAL, "--creds: expected USER:PASSWORD") : 0;
	if (!authfile && !str_empty(env))
		authfile = env;
	if (authfile) {
		r = read_file(authfile, host, path, true, ret, err);
		return r < 0 ? r : 0;
	}
	if (!str_empty(run))
		strv_add_take(&files, xasprintf("%s/containers/auth.json", run));
	strv_add_take(&files, xasprintf("/run/containers/%u/auth.json", (unsigned int)geteuid()));
	if (!str_empty(home)) {
		strv_add_take(&files, xasprintf("%s/.config/containers/auth.json", home));
		strv_add_take(&files, xasprintf("%s/.docker/config.json", home));
	}
	for (size_t i = 0; i < strv_len(files) && r == 0; i++)
		r = read_file(files[i], host, path, false, ret, err);
	return r < 0 ? r : 0;
}
