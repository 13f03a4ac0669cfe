/* SPDX-License-Identifier: Apache-2.0 */
/* images/credentials: files, the most specific key, helpers' names, faults. */
#include "images/credentials.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/path.h"
#include "base/str.h"
#include "tests/unit/tap.h"

static char file[] = "/tmp/amphi-auth-XXXXXX";

static void look(const char *text, const char *host, const char *path, const char *user, const char *fault)
{
	struct credentials c = { 0 };
	struct err err = { 0 };
	int r, fd = open(file, O_WRONLY | O_TRUNC);

	ok(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
	r = credentials_find(host, path, NULL, file, &c, &err);
	if (fault) {
		ok(r < 0);
		has_str(err.msg, fault);
	} else {
		is_int(r, 0);
		is_str(c.user, user);
		ok(!c.identity);
	}
	credentials_clear(&c);
}

int main(void)
{
	struct credentials c;
	struct err err = { 0 };
	cleanup_free char *coded = credentials_base64("a:b:c", 5), *plain = credentials_unbase64("YTpiOmM="),
			  *bad = credentials_unbase64("a");
	/* "u1:p", "u2:p" */
	static const char auths[] =
		"{\"auths\":{\"r.example\":{\"auth\":\"dTE6cA==\"},\"r.example/team\":{\"auth\":\"dTI6cA==\"},"
		"\"https://index.docker.io/v1/\":{\"auth\":\"dTE6cA==\"}}}";

	close(mkstemp(file));
	is_str(coded, "YTpiOmM=");
	is_str(plain, "a:b:c");
	ok(!bad);
	is_int(credentials_find("h", "p", "me:se:cret", NULL, &c, &err), 0);
	is_str(c.password, "se:cret");
	credentials_clear(&c);
	is_int(credentials_find("h", "p", "me", NULL, &c, &err), -EINVAL);
	look(auths, "r.example", "other/app", "u1", NULL);
	look(auths, "r.example", "team/app", "u2", NULL);
	look(auths, "docker.io", "library/busybox", "u1", NULL);
	look(auths, "elsewhere.example", "a", NULL, NULL);
	look("{\"auths\":{\"r.example\":{\"auth\":\"????\"}}}", "r.example", "a", NULL,
	     "auth: not base64 of USER:PASSWORD");
	look("{", "r.example", "a", NULL, file);
	/* empty words are none */
	look("{\"auths\":{\"r.example\":{\"auth\":\"dTE6cA==\",\"identitytoken\":\"\"}},\"credsStore\":\"\"}",
	     "r.example", "a", "u1", NULL);
	look("{\"credHelpers\":{\"r.example\":\"\"},\"auths\":{\"r.example\":{\"auth\":\"dTE6cA==\"}}}", "r.example",
	     "a", "u1", NULL);
	look("{\"credHelpers\":[],\"auths\":[],\"credsStore\":\"\"}", "r.example", "a", NULL, NULL);
	look("[]", "r.example", "a", NULL, NULL);
	look("{\"credHelpers\":{\"r.example\":\"../evil\"}}", "r.example", "a", NULL, "not a name");
	unlink(file);
	return tap_done();
}
