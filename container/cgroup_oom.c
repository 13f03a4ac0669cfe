/* SPDX-License-Identifier: Apache-2.0 */
/* Out-of-memory events of a container's cgroup.
 *
 * Theory: on cgroup2, memory.events counts kills and is watched by inotify(7), as is cgroup.events, which changes
 * when the last process goes. On v1 an eventfd is tied to memory.oom_control through cgroup.event_control; the
 * kernel also signals it when the cgroup is removed, which the missing file tells apart. Kernel: cgroup-v2.rst (memory.events), cgroup-v1/memory.rst section 9.
 */
#include "container/cgroup_oom.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "container/cgroup_dir.h"

static int open_v1(const struct cgroup_dir *d, struct err *err)
{
	cleanup_free char *control = path_join(d->path, "memory.oom_control");
	cleanup_free char *file = path_join(d->path, "cgroup.event_control");
	cleanup_fd int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	cleanup_fd int oom = open(control, O_RDONLY | O_CLOEXEC);
	char text[32];
	int r;

	if (event < 0 || oom < 0)
		return err_sys(err, -errno, "cgroup: %s", control);
	snprintf(text, sizeof(text), "%d %d", event, oom);
	r = fd_write_file_at(AT_FDCWD, file, text);
	if (r < 0)
		return err_sys(err, r, "cgroup: %s", file);
	return steal_fd(event);
}

static int open_v2(const struct cgroup_dir *d, struct err *err)
{
	static const char *const files[] = { "memory.events", "cgroup.events" };
	cleanup_fd int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	if (fd < 0)
		return err_sys(err, -errno, "cgroup: inotify");
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		cleanup_free char *file = path_join(d->path, files[i]);

		if (inotify_add_watch(fd, file, IN_MODIFY) < 0)
			return err_sys(err, -errno, "cgroup: %s", file);
	}
	return steal_fd(fd);
}

int cgroup_oom_open(const struct cgroup_manager *m, struct err *err)
{
	const struct cgroup_dir *v1 = cgroup_dir_find(m, "memory"), *v2 = cgroup_dir_find(m, NULL);

	if (v1)
		return open_v1(v1, err);
	if (v2)
		return open_v2(v2, err);
	return err_set(err, -EOPNOTSUPP, "cgroup: this container has no memory cgroup to watch");
}

unsigned long long cgroup_oom_kills(const struct cgroup_manager *m)
{
	const struct cgroup_dir *v1 = cgroup_dir_find(m, "memory"), *v2 = cgroup_dir_find(m, NULL);
	cleanup_free char *text = NULL;
	unsigned long long n = 0;
	int r = v1 ? cgroup_dir_read(v1, "memory.oom_control", &text) :
		v2 ? cgroup_dir_read(v2, "memory.events", &text) :
		     -ENOENT;

	if (r >= 0)
		cgroup_dir_key(text, "oom_kill", &n);
	return n;
}

int cgroup_oom_read(const struct cgroup_manager *m, int fd, unsigned long long *seen)
{
	const struct cgroup_dir *v1 = cgroup_dir_find(m, "memory"), *v2 = cgroup_dir_find(m, NULL);
	cleanup_free char *text = NULL;
	unsigned long long n = 0;
	char buf[4096];
	bool got = false;

	while (read(fd, buf, sizeof(buf)) > 0)
		got = true;
	if (v1)
		return cgroup_dir_read(v1, "memory.oom_control", &text) < 0 ? -ENODEV : got;
	if (cgroup_dir_read(v2, "memory.events", &text) < 0)
		return -ENODEV;
	cgroup_dir_key(text, "oom_kill", &n);
	if (n > *seen) {
		*seen = n;
		return 1;
	}
	return cgroup_dir_populated(v2) > 0 ? 0 : -ENODEV;
}
