/* SPDX-License-Identifier: Apache-2.0 */
/* Where the programs that belong to amphi lie. */
/*
 * Theory of operation: no search path and no compiled-in prefix: what belongs together is installed together, so the
 * place of our own binary tells (its real place: commands that enter a container run from a read-only copy).
 */
#include "runtime/libexec.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"
#include "base/str.h"
#include "container/selfexe.h"

static char *own_dir(void)
{
	const char *real = selfexe_path();
	char buf[PATH_MAX];
	char *path, *slash;
	ssize_t n;

	if (real) {
		path = xstrdup(real);
	} else {
		n = readlink("/proc/self/exe", buf, sizeof(buf) - 1);
		if (n < 0)
			return NULL;
		buf[n] = '\0';
		path = xstrdup(buf);
	}
	slash = strrchr(path, '/');
	if (slash)
		*slash = '\0';
	return path;
}

static char *candidate(const char *dir, const char *sub, const char *name)
{
	char *path = xasprintf("%s/%s%s", dir, sub, name);

	if (access(path, X_OK) == 0)
		return path;
	free(path);
	return NULL;
}

char *libexec_find(const char *name, struct err *err)
{
	const char *env = secure_getenv("AMPHI_LIBEXEC");
	cleanup_free char *dir = own_dir();
	char *path = NULL;

	if (!str_empty(env))
		path = candidate(env, "", name);
	if (!path && dir)
		path = candidate(dir, "", name);
	if (!path && dir)
		path = candidate(dir, "../libexec/amphi/", name);
	if (!path)
		err_set(err, -ENOENT, "%s: not found beside amphi (%s), in ../libexec/amphi, or in $AMPHI_LIBEXEC",
			name, dir ? dir : "?");
	return path;
}
