/* SPDX-License-Identifier: Apache-2.0 */
/* What only the cgroup2 tree has.
 *
 * Theory: a controller is available in a cgroup when its parent lists it in cgroup.subtree_control, so it is
 * enabled from the mount point downwards. "No internal processes": a cgroup other than the root cannot pass
 * controllers down while processes live in it (EBUSY); that is fatal only for a controller some limit needs. A
 * frozen cgroup says so in cgroup.events, which wakes poll(2) at each change. Kernel: cgroup-v2.rst.
 */
#include "container/cgroup_fs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "container/cgroup_dir.h"

#define FREEZE_TIMEOUT_MS 10000

static bool word_in(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = strstr(text, word); p; p = strstr(p + 1, word))
		if ((p == text || p[-1] == ' ') && (!p[len] || p[len] == ' ' || p[len] == '\n'))
			return true;
	return false;
}

/* The words of `of` that text lacks, as a new vector; NULL: none. */
static char **missing(const char *text, char *const *of)
{
	char **ret = NULL;

	for (; of && *of; of++)
		if (!word_in(text, *of))
			strv_add(&ret, *of);
	return ret;
}

/* Enables the words in one directory; each alone, so that one which fails does not keep the others out. */
static void enable_in(const char *dir, char *const *controllers, char *const *required, struct err *why)
{
	cleanup_free char *file = path_join(dir, "cgroup.subtree_control");
	cleanup_free char *text = NULL;

	if (fd_slurp_at(AT_FDCWD, file, 4096, &text, NULL) < 0)
		return;
	cleanup_strv char **absent = missing(text, controllers);

	for (char **c = absent; c && *c; c++) {
		cleanup_free char *word = xasprintf("+%s", *c);
		int r = fd_write_file_at(AT_FDCWD, file, word);

		if (r < 0 && strv_has(required, *c) && !why->code)
			err_sys(why, r, "cannot enable controller %s in %s%s", *c, file,
				r == -EBUSY ? " (a cgroup with processes of its own cannot have limited children)" :
					      "");
		else if (r < 0)
			log_debug("cgroup: %s to %s: %s", word, file, strerror(-r));
	}
}

int cgroup_fs_enable(struct cgroup_dir *d, char *const *available, char *const *required, struct err *err)
{
	struct err why = { 0 };
	cleanup_free char *text = NULL;
	int r = cgroup_dir_read(d, "cgroup.controllers", &text);

	if (r < 0)
		return err_sys(err, r, "cgroup: %s/cgroup.controllers", d->path);
	cleanup_strv char **absent = missing(text, available);

	if (!absent)
		return 0;
	cleanup_free char *at = xstrdup(d->path);

	for (size_t i = strlen(d->mount); at[i]; i++) {
		if (at[i] != '/')
			continue;
		at[i] = '\0';
		enable_in(at, absent, required, &why);
		at[i] = '/';
	}
	free(steal_ptr(text));
	r = cgroup_dir_read(d, "cgroup.controllers", &text);
	if (r < 0)
		return err_sys(err, r, "cgroup: %s/cgroup.controllers", d->path);
	cleanup_strv char **lacking = missing(text, required);

	if (!lacking)
		return 0;
	if (why.code == -EACCES || why.code == -EPERM)
		return err_set(err, why.code,
			       "cgroup: controller %s is not available in %s: it was not delegated to this user",
			       lacking[0], d->path);
	if (why.code)
		return err_set(err, why.code, "cgroup: %s", why.msg);
	return err_set(err, -ENOENT, "cgroup: controller %s is not available in %s", lacking[0], d->path);
}

static long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (long long)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int cgroup_fs_freeze(struct cgroup_dir *d, bool on, struct err *err)
{
	int r = cgroup_dir_open(d);
	long long end = now_ms() + FREEZE_TIMEOUT_MS;
	cleanup_fd int events = -1;

	if (r == 0) {
		events = openat(d->fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
		r = events < 0 ? -errno : fd_write_file_at(d->fd, "cgroup.freeze", on ? "1" : "0");
	}
	if (r == -ENOENT && access(d->path, F_OK) == 0)
		r = -EOPNOTSUPP; /* the cgroup is there, its freezer is not */
	if (r < 0)
		return err_sys(err, r, "cgroup: %s %s", on ? "freeze" : "thaw", d->path);
	for (;;) {
		char text[256];
		ssize_t n = pread(events, text, sizeof(text) - 1, 0);
		unsigned long long frozen, populated;

		if (n < 0)
			return errno == ENODEV ? 0 : err_sys(err, -errno, "cgroup: %s/cgroup.events", d->path);
		text[n] = '\0';
		if (cgroup_dir_key(text, "frozen", &frozen) < 0 || !!frozen == on)
			return 0;
		if (cgroup_dir_key(text, "populated", &populated) == 0 && !populated && !on)
			return 0;
		struct pollfd p = { .fd = events, .events = POLLPRI };
		long long left = end - now_ms();

		if (left <= 0)
			return err_set(err, -ETIMEDOUT, "cgroup: %s did not %s within %d s", d->path,
				       on ? "freeze" : "thaw", FREEZE_TIMEOUT_MS / 1000);
		poll(&p, 1, left < 100 ? (int)left : 100);
	}
}

int cgroup_fs_kill(struct cgroup_dir *d)
{
	int r = cgroup_dir_open(d);

	r = r < 0 ? r : fd_write_file_at(d->fd, "cgroup.kill", "1");
	/* systemd removes a scope as soon as it is empty */
	return r == -ENODEV || (r == -ENOENT && access(d->path, F_OK) < 0) ? 0 : r;
}
