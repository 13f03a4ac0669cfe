/* SPDX-License-Identifier: Apache-2.0 */
/* An ordinary user's way to owners and mounts. */
/*
 * A user's store belongs to the user's ids: 0 is the user, 1 and up are the ranges of /etc/subuid and /etc/subgid, so layers have
 * their owners on the disk (shifted by the map) and overlay works without root. To read and write them this process
 * enters a user namespace with that map, as the container will have one, and a mount namespace in which the root of
 * an image can be looked at. A child, which stays outside, writes the maps. Where there are no ranges, or no
 * helpers, the user's one id must do: owners are left out, overlay still works.
 */
#include "images/rights.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "base/userns.h"
#include "images/usermap.h"

#define FILE_MAX (16 * 1024 * 1024)

/* The lines of a /proc/self/uid_map. */
static int read_map(const char *path, struct usermap_range **ret, size_t *ret_n, struct err *err)
{
	cleanup_strv char **lines = NULL;
	cleanup_free char *text = NULL;
	size_t len;
	int r = fd_slurp_at(AT_FDCWD, path, FILE_MAX, &text, &len);

	if (r < 0)
		return err_sys(err, r, "%s", path);
	lines = strv_split(text, '\n');
	for (size_t i = 0; i < strv_len(lines); i++) {
		struct usermap_range m;

		if (sscanf(lines[i], "%u %u %u", &m.inside, &m.outside, &m.size) != 3)
			continue;
		*ret = xreallocarray(*ret, *ret_n + 1, sizeof(**ret));
		(*ret)[(*ret_n)++] = m;
	}
	return 0;
}

int rights_map(struct usermap *ret, struct err *err)
{
	int r = 0;

	memset(ret, 0, sizeof(*ret));
	if (userns_is_initial())
		return 0;
	r = read_map("/proc/self/uid_map", &ret->uids, &ret->n_uids, err);
	if (r >= 0)
		r = read_map("/proc/self/gid_map", &ret->gids, &ret->n_gids, err);
	if (r < 0)
		usermap_clear(ret);
	return r;
}

static bool many(const struct usermap_range *m, size_t n)
{
	return n > 1 || (n == 1 && m->size > 1);
}

enum rights rights_now(void)
{
	CLEANUP(usermap_clear) struct usermap map = { 0 };

	if (geteuid() == 0 && userns_is_initial())
		return RIGHTS_ROOT;
	if (geteuid() != 0 || rights_map(&map, NULL) < 0)
		return RIGHTS_ONE_ID;
	return many(map.uids, map.n_uids) && many(map.gids, map.n_gids) ? RIGHTS_RANGES : RIGHTS_ONE_ID;
}

uid_t rights_caller(void)
{
	CLEANUP(usermap_clear) struct usermap map = { 0 };
	int64_t outside = -1;

	if (geteuid() == 0 && rights_map(&map, NULL) >= 0)
		outside = usermap_outside(map.uids, map.n_uids, 0);
	return outside < 0 ? geteuid() : (uid_t)outside;
}

static void add(struct usermap_range **m, size_t *n, uint32_t outside, uint32_t size)
{
	uint32_t inside = *n ? (*m)[*n - 1].inside + (*m)[*n - 1].size : 0;

	if (!size || size > UINT32_MAX - 1 - inside || size > UINT32_MAX - outside)
		return;
	*m = xreallocarray(*m, *n + 1, sizeof(**m));
	(*m)[(*n)++] = (struct usermap_range){ inside, outside, size };
}

/* The user's lines ("NAME:FIRST:COUNT" or "UID:FIRST:COUNT") of a file. */
static void add_ranges(const char *path, const char *name, struct usermap_range **m, size_t *n)
{
	cleanup_free char *text = NULL, *uid = xasprintf("%u", geteuid());
	cleanup_strv char **lines = NULL;
	size_t len;

	if (fd_slurp_at(AT_FDCWD, path, FILE_MAX, &text, &len) < 0)
		return;
	lines = strv_split(text, '\n');
	for (size_t i = 0; i < strv_len(lines); i++) {
		cleanup_strv char **f = strv_split(lines[i], ':');
		uint32_t first, count;

		if (strv_len(f) == 3 && (!strcmp(f[0], uid) || (name && !strcmp(f[0], name))) &&
		    parse_u32(f[1], &first) >= 0 && parse_u32(f[2], &count) >= 0)
			add(m, n, first, count);
	}
}

/* All ids that may be ours in a new namespace. */
static int find_ids(struct usermap *ret, struct err *err)
{
	const struct passwd *pw = getpwuid(geteuid());
	int r;

	memset(ret, 0, sizeof(*ret));
	if (geteuid() == 0) { /* of a user namespace: the same ids again */
		r = rights_map(ret, err);
		for (size_t i = 0; i < ret->n_uids; i++)
			ret->uids[i].outside = ret->uids[i].inside;
		for (size_t i = 0; i < ret->n_gids; i++)
			ret->gids[i].outside = ret->gids[i].inside;
		return r;
	}
	add(&ret->uids, &ret->n_uids, geteuid(), 1);
	add(&ret->gids, &ret->n_gids, getegid(), 1);
	add_ranges("/etc/subuid", pw ? pw->pw_name : NULL, &ret->uids, &ret->n_uids);
	add_ranges("/etc/subgid", pw ? pw->pw_name : NULL, &ret->gids, &ret->n_gids);
	return 0;
}

static int write_both(pid_t pid, const struct usermap *m, struct err *err)
{
	cleanup_free char *uids = usermap_text(m->uids, m->n_uids), *gids = usermap_text(m->gids, m->n_gids);
	int r;

	if (!many(m->uids, m->n_uids) || !many(m->gids, m->n_gids))
		return -EPERM;
	r = userns_write_map(pid, "uid_map", "newuidmap", uids, err);
	return r < 0 ? r : userns_write_map(pid, "gid_map", "newgidmap", gids, err);
}

/* In the child: the maps of our parent, with all ids or at least one. */
static int map_parent(pid_t pid, const struct usermap *all, struct err *err)
{
	struct usermap_range uid = { 0, geteuid(), 1 }, gid = { 0, getegid(), 1 };
	cleanup_free char *uids = usermap_text(&uid, 1), *gids = usermap_text(&gid, 1);
	struct err why = { 0 };
	int r = write_both(pid, all, &why);

	if (r >= 0)
		return 0;
	if (why.code)
		log_info("%s: owners of files are left out", why.msg);
	r = userns_write_map(pid, "uid_map", NULL, uids, err);
	if (r >= 0)
		r = userns_deny_setgroups(pid, err);
	return r < 0 ? r : userns_write_map(pid, "gid_map", NULL, gids, err);
}

int rights_enter(struct err *err)
{
	CLEANUP(usermap_clear) struct usermap all = { 0 };
	int sv[2], status, r;
	char byte = 0;
	pid_t pid;

	if (geteuid() == 0 && userns_is_initial())
		return 0;
	r = find_ids(&all, err);
	if (r < 0)
		return r;
	if (pipe2(sv, O_CLOEXEC) < 0)
		return err_sys(err, -errno, "pipe");
	pid = fork();
	if (pid == 0) {
		struct err why = { 0 };

		close(sv[1]);
		if (read(sv[0], &byte, 1) != 1)
			_exit(0);
		r = map_parent(getppid(), &all, &why);
		if (r < 0)
			log_warn("%s", why.msg);
		_exit(r < 0);
	}
	close(sv[0]);
	r = pid < 0 || unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 ? -errno : 0;
	if (r < 0)
		log_info("no user namespace (%s): owners of files are left out", strerrordesc_np(-r));
	else if (write(sv[1], &byte, 1) != 1)
		r = -EIO;
	close(sv[1]);
	if (pid > 0 && (child_wait(pid, &status) < 0 || (r >= 0 && status)))
		return err_set(err, -EPERM, "user namespace: its ids cannot be mapped");
	if (r < 0)
		return 0;
	/* with one id setgroups is denied; supplementary groups then stay as they were */
	(void)!setgroups(0, NULL);
	if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return err_sys(err, -errno, "user namespace: become root");
	return 0;
}
