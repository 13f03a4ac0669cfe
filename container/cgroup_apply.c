/* SPDX-License-Identifier: Apache-2.0 */
/* Writes a list of limits to a manager's directories, and reads what is in force.
 *
 * Theory: entries are written in list order. Two pairs can be refused in one order and accepted in the other,
 * depending on what is in force: memory may not exceed memory+swap (v1), and a quota over a shorter period may
 * exceed the parent's share. So an entry that gets EINVAL is put off once, to the end of the list, and only
 * then fails. A missing file falls back to its alternative or, where that is harmless, is passed over. Runs in
 * the parent.
 */
#include "container/cgroup_apply.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "container/cgroup_dir.h"
#include "container/cgroup_limits.h"

static struct cgroup_dir *dir_of(const struct cgroup_manager *m, const struct cgroup_limit *l)
{
	return cgroup_dir_find(m, l->v2 ? NULL : l->controller);
}

static int write_one(struct cgroup_manager *m, const struct cgroup_limit *l)
{
	struct cgroup_dir *d = dir_of(m, l);
	int r = d ? cgroup_dir_open(d) : -ENODEV;

	if (r < 0)
		return r;
	r = fd_write_file_at(d->fd, l->file, l->value);
	if (r == -ENOENT && l->alt_file)
		r = fd_write_file_at(d->fd, l->alt_file, l->alt_value);
	if ((r == -ENOENT || r == -EOPNOTSUPP) && l->may_miss) {
		log_debug("cgroup: no %s here, nothing to do for %s", l->file, l->field);
		r = 0;
	}
	return r;
}

/* runc's words for the failure that people meet. */
static int limit_failed(struct cgroup_manager *m, const struct cgroup_limit *l, int r, struct err *err)
{
	struct cgroup_dir *d = dir_of(m, l);
	cleanup_free char *usage = NULL, *peak = NULL;

	if (!d)
		return err_set(err, -EOPNOTSUPP, "%s: cannot be limited: this container has no %s cgroup", l->field,
			       l->controller);
	if (r == -EBUSY && !strcmp(l->file, "memory.limit_in_bytes") &&
	    cgroup_dir_read(d, "memory.usage_in_bytes", &usage) == 0 &&
	    cgroup_dir_read(d, "memory.max_usage_in_bytes", &peak) == 0)
		return err_set(err, r, "%s: unable to set memory limit to %s (current usage: %s, peak usage: %s)",
			       l->field, l->value, usage, peak);
	return err_sys(err, r, "%s: cannot write \"%s\" to %s/%s", l->field, l->value, d->path,
		       l->alt_file && r == -ENOENT ? l->alt_file : l->file);
}

int cgroup_apply_limits(const struct cgroup_limits *l, struct cgroup_manager *m, struct err *err)
{
	cleanup_free bool *later = xcalloc(l->n + 1, sizeof(*later));
	int r;

	for (size_t i = 0; i < l->n; i++) {
		r = write_one(m, &l->v[i]);
		later[i] = r == -EINVAL && i + 1 < l->n;
		if (r < 0 && !later[i])
			return limit_failed(m, &l->v[i], r, err);
	}
	for (size_t i = 0; i < l->n; i++) {
		r = later[i] ? write_one(m, &l->v[i]) : 0;
		if (r < 0)
			return limit_failed(m, &l->v[i], r, err);
	}
	return 0;
}

static int64_t read_number(const struct cgroup_dir *d, const char *file)
{
	cleanup_free char *text = NULL;

	/* "max" and v1's page-rounded LONG_MAX are both unlimited */
	if (cgroup_dir_read(d, file, &text) < 0 || !strcmp(text, "max"))
		return -1;
	int64_t n = strtoll(text, NULL, 10);

	return n >= INT64_MAX - 65536 ? -1 : n;
}

void cgroup_apply_now(const struct cgroup_manager *m, struct cgroup_limits_now *ret)
{
	const struct cgroup_dir *d = cgroup_dir_find(m, NULL);
	cleanup_free char *text = NULL;
	char *blank;

	*ret = (struct cgroup_limits_now){ .memory_max = -1, .cpu_quota = -1, .cpu_period = 100000 };
	if (!d)
		return; /* v1 has a file for each value */
	ret->known = true;
	ret->memory_max = read_number(d, "memory.max");
	if (cgroup_dir_read(d, "cpu.max", &text) < 0 || !(blank = strchr(text, ' ')))
		return;
	if (strncmp(text, "max", 3))
		ret->cpu_quota = strtoll(text, NULL, 10);
	ret->cpu_period = strtoull(blank + 1, NULL, 10);
}

int cgroup_apply_check_memory(const struct cgroup_manager *m, long long limit, struct err *err)
{
	const struct cgroup_dir *v1 = cgroup_dir_find(m, "memory"), *d = v1 ? v1 : cgroup_dir_find(m, NULL);
	int64_t usage = d ? read_number(d, v1 ? "memory.usage_in_bytes" : "memory.current") : 0;

	if (limit <= 0 || usage <= limit)
		return 0;
	return err_set(err, -ENOMEM, "rejecting memory limit %lld < usage %" PRId64, limit, usage);
}
