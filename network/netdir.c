/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netdir: the directories of the network room and their lock.
 *
 * Theory of operation: definitions are few, made by people, and stand in CONF/NAME.json (written by rename). What
 * is in use now is made by attach and ends with the boot, so it stands below /run; a boot id beside it guards
 * against a run directory on a disk. One flock orders all changes, because addresses, ports, bridges and the
 * firewall table are one state; it is held for the milliseconds that an attach takes. A killed process loses the
 * lock with its descriptors, and what it had begun is on record before it is done: attach writes the address files
 * and the attachment's document before the first link.
 */
#include "network/netdir.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"

#define CONF_DEFAULT "/var/lib/amphi/networks"
#define RUN_DEFAULT "/run/amphi-network"

static int open_dir(const char *path, struct err *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

	if (fd >= 0)
		return fd;
	if (errno != ENOENT)
		return err_sys(err, -errno, "network directory %s", path);
	r = path_mkdirs(path, 0755);
	if (r < 0)
		return err_sys(err, r, "make network directory %s", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_sys(err, -errno, "network directory %s", path) : fd;
}

/* A run directory of an earlier boot describes nothing that exists. Under the lock. */
static int check_boot(struct netdir *nd, struct err *err)
{
	static const char *const parts[] = { "attached", "ipam", "ports", "joined", "cni", "nat", "dns", "blocked" };
	cleanup_free char *now = NULL, *then = NULL;
	size_t n, m;
	int r = fd_slurp_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &now, &n);

	if (r < 0)
		return 0; /* no proc: nothing to compare with */
	r = fd_slurp_at(nd->run_fd, "boot", 64, &then, &m);
	if (!r && !strcmp(now, then))
		return 0;
	if (!r)
		for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
			r = path_remove_tree(nd->run_fd, parts[i], true);
			if (r < 0 && r != -ENOENT)
				return err_sys(err, r, "remove %s/%s of an earlier boot", nd->run, parts[i]);
		}
	r = path_write_atomic(nd->run_fd, "boot", now, n, 0644);
	return r < 0 ? err_sys(err, r, "write %s/boot", nd->run) : 0;
}

static const char *choose_dir(const char *dir)
{
	if (!dir)
		dir = getenv("AMPHI_NETWORK_DIR");
	return str_empty(dir) ? NULL : dir;
}

bool netdir_exists(const char *dir)
{
	dir = choose_dir(dir);
	return access(dir ? dir : CONF_DEFAULT, F_OK) == 0;
}

int netdir_open(const char *dir, bool lock, struct netdir *ret, struct err *err)
{
	struct netdir nd = NETDIR_INIT;
	int r;

	dir = choose_dir(dir);
	nd.conf = xstrdup(dir ? dir : CONF_DEFAULT);
	nd.run = dir ? path_join(dir, "run") : xstrdup(RUN_DEFAULT);
	r = nd.conf_fd = open_dir(nd.conf, err);
	if (r >= 0)
		r = nd.run_fd = open_dir(nd.run, err);
	if (r >= 0 && lock) {
		nd.lock_fd = openat(nd.run_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		r = nd.lock_fd < 0 ? err_sys(err, -errno, "open %s/lock", nd.run) : 0;
		while (!r && flock(nd.lock_fd, LOCK_EX) < 0)
			if (errno != EINTR)
				r = err_sys(err, -errno, "lock %s/lock", nd.run);
		if (!r)
			r = check_boot(&nd, err);
	}
	if (r < 0) {
		netdir_close(&nd);
		return r;
	}
	*ret = nd;
	return 0;
}

void netdir_close(struct netdir *nd)
{
	free(nd->conf);
	free(nd->run);
	if (nd->conf_fd >= 0)
		close(nd->conf_fd);
	if (nd->run_fd >= 0)
		close(nd->run_fd);
	if (nd->lock_fd >= 0)
		close(nd->lock_fd);
	*nd = (struct netdir)NETDIR_INIT;
}

void netdir_unlock(const struct netdir *nd)
{
	if (nd->lock_fd >= 0)
		(void)flock(nd->lock_fd, LOCK_UN);
}

int netdir_relock(const struct netdir *nd, struct err *err)
{
	while (nd->lock_fd >= 0 && flock(nd->lock_fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return err_sys(err, -errno, "lock %s/lock", nd->run);
	return 0;
}

uint64_t netdir_hash(uint64_t seed, const void *data, size_t len)
{
	uint64_t h = seed ? seed : 0xcbf29ce484222325u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ ((const uint8_t *)data)[i]) * 0x100000001b3u;
	return h;
}

void netdir_key(const char *id, const char *owner, char ret[NETDIR_KEY])
{
	uint64_t h = netdir_hash(0, id, strlen(id) + 1);

	snprintf(ret, NETDIR_KEY, "%016llx", (unsigned long long)netdir_hash(h, owner, strlen(owner)));
}

int netdir_sub(const struct netdir *nd, const char *path, struct err *err)
{
	int fd = openat(nd->run_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT) {
		cleanup_free char *full = path_join(nd->run, path);
		int r = path_mkdirs(full, 0755);

		if (r < 0)
			return err_sys(err, r, "make %s", full);
		fd = openat(nd->run_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	return fd < 0 ? err_sys(err, -errno, "open %s/%s", nd->run, path) : fd;
}

#ifdef AMPHI_DEBUG
void netdir_stop_at(const char *point)
{
	const char *want = getenv("AMPHI_STOP_AT");

	if (want && !strcmp(want, point))
		raise(SIGKILL);
}
#endif
