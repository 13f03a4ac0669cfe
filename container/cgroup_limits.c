/* SPDX-License-Identifier: Apache-2.0 */
/* Resources of the config as writes to interface files of either cgroup version.
 *
 * Theory: each property becomes one struct cgroup_limit: controller, file, text, and the JSON path that an error
 * names. Which version a controller lives in is asked for each one alone, because a hybrid host has both. The
 * specification counts as v1 does; for v2 values are converted: shares and weights by formulas that keep minimum,
 * default and maximum, swap by subtracting the memory limit, throttles into io.max keys. What one version cannot
 * express is refused, except where the kernel does it anyway. Zero means "not set" for the numbers in which the
 * kernel has no zero, as engines send it. Building touches nothing; cgroup_apply.c writes. Kernel: cgroup-v2.rst,
 * cgroup-v1/.
 */
#include "container/cgroup_limits.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "container/cgroup_host.h"
#include "oci/config.h"

/* State of one build: where entries go, whom errors name. */
struct build {
	const struct cgroup_host *host;
	const char *prefix;
	const struct cgroup_limits_now *now;
	struct cgroup_limits *out;
	struct err *err;
};

uint64_t cgroup_limits_cpu_weight(uint64_t shares)
{
	if (shares <= 2)
		return 1;
	if (shares >= 262144)
		return 10000;
	/* the quadratic in log2(shares) through (2, 1), (1024, 100), (262144, 10000) */
	double l = log2((double)shares);

	return (uint64_t)ceil(pow(10, (l * l + 125 * l) / 612.0 - 7.0 / 34.0));
}

uint64_t cgroup_limits_io_weight(uint64_t weight)
{
	return weight <= 10 ? 1 : 1 + (weight - 10) * 9999 / 990;
}

static struct cgroup_limit *add(struct build *b, const char *controller, bool v2, const char *field, const char *file,
				const char *fmt, ...) PRINTF(6, 7);

static struct cgroup_limit *add(struct build *b, const char *controller, bool v2, const char *field, const char *file,
				const char *fmt, ...)
{
	struct cgroup_limits *l = b->out;
	char value[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	l->v = xreallocarray(l->v, l->n + 1, sizeof(*l->v));
	l->v[l->n] = (struct cgroup_limit){
		.controller = controller,
		.v2 = v2,
		.file = xstrdup(file),
		.value = xstrdup(value),
		.field = xasprintf("%s.%s", b->prefix, field),
	};
	return &l->v[l->n++];
}

static int refuse_v2(struct build *b, const char *field)
{
	return err_set(b->err, -EOPNOTSUPP, "%s.%s: not supported by cgroup v2", b->prefix, field);
}

/* Finds the version of a controller: 1, 2, or an error for the field. v1 and v2 may have different names for it. */
static int version(struct build *b, const char *v1_name, const char *v2_name, const char *field)
{
	if (v1_name && cgroup_host_find(b->host, v1_name)) {
		const struct cgroup_hier *h = cgroup_host_find(b->host, v1_name);

		if (!h->v2)
			return 1;
	}
	if (v2_name) {
		const struct cgroup_hier *h = cgroup_host_find(b->host, v2_name);

		if (h && h->v2)
			return 2;
	}
	if (v1_name && !v2_name && b->host->mode == CGROUP_MODE_V2)
		return refuse_v2(b, field);
	return err_set(b->err, -EOPNOTSUPP, "%s.%s: this host has no %s controller", b->prefix, field,
		       v1_name ? v1_name : v2_name);
}

static int memory_swap_v2(struct build *b, const struct oci_memory *m, int64_t *ret)
{
	int64_t limit = m->has_limit && m->limit ? m->limit : b->now && b->now->known ? b->now->memory_max : 0;

	if (m->swap == -1) {
		*ret = -1;
		return 0;
	}
	if (limit == 0 || limit == -1)
		return err_set(b->err, -EINVAL, "%s.memory.swap: unable to set swap limit without memory limit",
			       b->prefix);
	if (m->swap < limit)
		return err_set(b->err, -EINVAL, "%s.memory.swap: memory+swap limit should be >= memory limit",
			       b->prefix);
	*ret = m->swap - limit;
	return 0;
}

/* A number or "max". */
static void add_max(struct build *b, const char *controller, const char *field, const char *file, int64_t n)
{
	if (n < 0)
		add(b, controller, true, field, file, "max");
	else
		add(b, controller, true, field, file, "%" PRId64, n);
}

static int build_memory_v2(struct build *b, const struct oci_memory *m)
{
	bool has_swap = m->has_swap && m->swap != 0;
	int64_t swap = -1;

	if (m->has_swappiness)
		return refuse_v2(b, "memory.swappiness");
	if (m->has_disable_oom_killer && m->disable_oom_killer)
		return refuse_v2(b, "memory.disableOOMKiller");
	if (m->has_kernel && m->kernel > 0)
		return refuse_v2(b, "memory.kernel");
	if (m->has_kernel_tcp && m->kernel_tcp > 0)
		return refuse_v2(b, "memory.kernelTCP");
	if (has_swap) {
		int r = memory_swap_v2(b, m, &swap);

		if (r < 0)
			return r;
	} else if (m->has_limit && m->limit == -1) {
		has_swap = true; /* unlimited memory with limited swap is never meant */
		swap = -1;
	}
	if (has_swap) {
		add_max(b, "memory", "memory.swap", "memory.swap.max", swap);
		b->out->v[b->out->n - 1].may_miss = swap <= 0;
	}
	if (m->has_limit && m->limit != 0)
		add_max(b, "memory", "memory.limit", "memory.max", m->limit);
	if (m->has_reservation && m->reservation != 0)
		add_max(b, "memory", "memory.reservation", "memory.low", m->reservation);
	return 0;
}

static int build_memory_v1(struct build *b, const struct oci_memory *m)
{
	int64_t swap = m->has_swap ? m->swap : 0;

	if (m->has_limit && m->limit > 0 && swap > 0 && swap < m->limit)
		return err_set(b->err, -EINVAL, "%s.memory.swap: memory+swap limit should be >= memory limit",
			       b->prefix);
	if (m->has_swappiness && m->swappiness > 100)
		return err_set(b->err, -EINVAL, "%s.memory.swappiness: not in 0..100", b->prefix);
	if (m->has_limit && m->limit == -1 && swap == 0)
		swap = -1;
	if (m->has_limit && m->limit != 0)
		add(b, "memory", false, "memory.limit", "memory.limit_in_bytes", "%" PRId64, m->limit);
	if (swap != 0)
		add(b, "memory", false, "memory.swap", "memory.memsw.limit_in_bytes", "%" PRId64, swap)->may_miss =
			swap == -1;
	if (m->has_reservation && m->reservation != 0)
		add(b, "memory", false, "memory.reservation", "memory.soft_limit_in_bytes", "%" PRId64, m->reservation);
	/* removed from the kernel in 6.x: nothing can be limited there any more and the limit above counts it */
	if (m->has_kernel && m->kernel != 0)
		add(b, "memory", false, "memory.kernel", "memory.kmem.limit_in_bytes", "%" PRId64, m->kernel)
			->may_miss = true;
	if (m->has_kernel_tcp && m->kernel_tcp != 0)
		add(b, "memory", false, "memory.kernelTCP", "memory.kmem.tcp.limit_in_bytes", "%" PRId64, m->kernel_tcp)
			->may_miss = true;
	if (m->has_disable_oom_killer && m->disable_oom_killer)
		add(b, "memory", false, "memory.disableOOMKiller", "memory.oom_control", "1");
	if (m->has_swappiness)
		add(b, "memory", false, "memory.swappiness", "memory.swappiness", "%" PRIu64, m->swappiness);
	return 0;
}

static int build_memory(struct build *b, const struct oci_memory *m)
{
	static const char *const names[] = { "memory.limit", "memory.reservation", "memory.swap" };
	const int64_t values[] = { m->has_limit ? m->limit : 0, m->has_reservation ? m->reservation : 0,
				   m->has_swap ? m->swap : 0 };
	int v;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (values[i] < -1)
			return err_set(b->err, -EINVAL, "%s.%s: invalid value: %" PRId64, b->prefix, names[i],
				       values[i]);
	if (m->has_use_hierarchy && !m->use_hierarchy)
		log_debug("cgroup: memory.useHierarchy false: the kernel always accounts hierarchically");
	if (!values[0] && !values[1] && !values[2] && !(m->has_kernel && m->kernel) && !m->has_swappiness &&
	    !(m->has_kernel_tcp && m->kernel_tcp) && !(m->has_disable_oom_killer && m->disable_oom_killer))
		return 0;
	v = version(b, "memory", "memory", "memory");
	return v < 0 ? v : v == 2 ? build_memory_v2(b, m) : build_memory_v1(b, m);
}

static int build_cpu_v2(struct build *b, const struct oci_cpu *c)
{
	bool quota = c->has_quota && c->quota != 0, period = c->has_period && c->period != 0;

	if (c->has_realtime_runtime && c->realtime_runtime != 0)
		return refuse_v2(b, "cpu.realtimeRuntime");
	if (c->has_realtime_period && c->realtime_period != 0)
		return refuse_v2(b, "cpu.realtimePeriod");
	if (c->has_idle)
		add(b, "cpu", true, "cpu.idle", "cpu.idle", "%" PRId64, c->idle);
	if (c->has_shares && c->shares != 0 && !(c->has_idle && c->idle == 1))
		add(b, "cpu", true, "cpu.shares", "cpu.weight", "%" PRIu64, cgroup_limits_cpu_weight(c->shares));
	if (quota || period) {
		int64_t q = quota ? c->quota : b->now && b->now->known ? b->now->cpu_quota : -1;
		uint64_t p = period ? c->period : b->now && b->now->known ? b->now->cpu_period : 100000;
		char text[32];

		snprintf(text, sizeof(text), "%" PRId64, q);
		add(b, "cpu", true, quota ? "cpu.quota" : "cpu.period", "cpu.max", "%s %" PRIu64, q > 0 ? text : "max",
		    p);
	}
	if (c->has_burst)
		add(b, "cpu", true, "cpu.burst", "cpu.max.burst", "%" PRIu64, c->burst);
	return 0;
}

static void build_cpu_v1(struct build *b, const struct oci_cpu *c)
{
	if (c->has_idle)
		add(b, "cpu", false, "cpu.idle", "cpu.idle", "%" PRId64, c->idle);
	if (c->has_shares && c->shares != 0 && !(c->has_idle && c->idle == 1))
		add(b, "cpu", false, "cpu.shares", "cpu.shares", "%" PRIu64, c->shares);
	if (c->has_period && c->period != 0)
		add(b, "cpu", false, "cpu.period", "cpu.cfs_period_us", "%" PRIu64, c->period);
	if (c->has_quota && c->quota != 0)
		add(b, "cpu", false, "cpu.quota", "cpu.cfs_quota_us", "%" PRId64, c->quota);
	if (c->has_burst)
		add(b, "cpu", false, "cpu.burst", "cpu.cfs_burst_us", "%" PRIu64, c->burst);
	if (c->has_realtime_period && c->realtime_period != 0)
		add(b, "cpu", false, "cpu.realtimePeriod", "cpu.rt_period_us", "%" PRIu64, c->realtime_period);
	if (c->has_realtime_runtime && c->realtime_runtime != 0)
		add(b, "cpu", false, "cpu.realtimeRuntime", "cpu.rt_runtime_us", "%" PRId64, c->realtime_runtime);
}

static int build_cpu(struct build *b, const struct oci_cpu *c)
{
	int v;

	if (c->has_shares || c->has_quota || c->has_burst || c->has_period || c->has_realtime_runtime ||
	    c->has_realtime_period || c->has_idle) {
		v = version(b, "cpu", "cpu", "cpu");
		if (v == 2)
			v = build_cpu_v2(b, c);
		else if (v == 1)
			build_cpu_v1(b, c);
		if (v < 0)
			return v;
	}
	if (str_empty(c->cpus) && str_empty(c->mems))
		return 0;
	v = version(b, "cpuset", "cpuset", str_empty(c->cpus) ? "cpu.mems" : "cpu.cpus");
	if (v < 0)
		return v;
	if (!str_empty(c->cpus))
		add(b, "cpuset", v == 2, "cpu.cpus", "cpuset.cpus", "%s", c->cpus);
	if (!str_empty(c->mems))
		add(b, "cpuset", v == 2, "cpu.mems", "cpuset.mems", "%s", c->mems);
	return 0;
}

static void build_throttle(struct build *b, bool v2, const struct oci_throttle_list *l, const char *field,
			   const char *v1_file, const char *v2_key)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct oci_throttle_device *t = &l->v[i];

		cleanup_free char *name = xasprintf("blockIO.%s[%zu]", field, i);

		if (!v2)
			add(b, "blkio", false, name, v1_file, "%" PRId64 ":%" PRId64 " %" PRIu64, t->major, t->minor,
			    t->rate);
		else if (t->rate)
			add(b, "io", true, name, "io.max", "%" PRId64 ":%" PRId64 " %s=%" PRIu64, t->major, t->minor,
			    v2_key, t->rate);
		else
			add(b, "io", true, name, "io.max", "%" PRId64 ":%" PRId64 " %s=max", t->major, t->minor,
			    v2_key);
	}
}

static int build_weight_devices(struct build *b, bool v2, const struct oci_block_io *io)
{
	for (size_t i = 0; i < io->n_weight_devices; i++) {
		const struct oci_weight_device *d = &io->weight_devices[i];
		struct cgroup_limit *l;

		cleanup_free char *name = xasprintf("blockIO.weightDevice[%zu]", i);
		cleanup_free char *leaf = xasprintf("blockIO.weightDevice[%zu].leafWeight", i);

		if (d->has_weight && d->weight) {
			l = add(b, v2 ? "io" : "blkio", v2, name, v2 ? "io.bfq.weight" : "blkio.weight_device",
				"%" PRId64 ":%" PRId64 " %u", d->major, d->minor, d->weight);
			l->alt_file = xstrdup(v2 ? "io.weight" : "blkio.bfq.weight_device");
			l->alt_value = v2 ? xasprintf("%" PRId64 ":%" PRId64 " %" PRIu64, d->major, d->minor,
						      cgroup_limits_io_weight(d->weight)) :
					    xstrdup(l->value);
		}
		if (!d->has_leaf_weight || !d->leaf_weight)
			continue;
		if (v2)
			return refuse_v2(b, leaf);
		add(b, "blkio", false, leaf, "blkio.leaf_weight_device", "%" PRId64 ":%" PRId64 " %u", d->major,
		    d->minor, d->leaf_weight);
	}
	return 0;
}

static int build_block_io(struct build *b, const struct oci_block_io *io)
{
	struct cgroup_limit *l;
	int v, r;

	if (!(io->has_weight && io->weight) && !(io->has_leaf_weight && io->leaf_weight) && !io->n_weight_devices &&
	    !io->read_bps.n && !io->write_bps.n && !io->read_iops.n && !io->write_iops.n)
		return 0;
	v = version(b, "blkio", "io", "blockIO");
	if (v < 0)
		return v;
	if (io->has_weight && io->weight) {
		if (io->weight < 10 || io->weight > 1000)
			return err_set(b->err, -EINVAL, "%s.blockIO.weight: %u is not in 10..1000", b->prefix,
				       io->weight);
		l = add(b, v == 2 ? "io" : "blkio", v == 2, "blockIO.weight", v == 2 ? "io.bfq.weight" : "blkio.weight",
			"%u", io->weight);
		l->alt_file = xstrdup(v == 2 ? "io.weight" : "blkio.bfq.weight");
		l->alt_value = v == 2 ? xasprintf("%" PRIu64, cgroup_limits_io_weight(io->weight)) : xstrdup(l->value);
	}
	if (io->has_leaf_weight && io->leaf_weight) {
		if (v == 2)
			return refuse_v2(b, "blockIO.leafWeight");
		add(b, "blkio", false, "blockIO.leafWeight", "blkio.leaf_weight", "%u", io->leaf_weight);
	}
	r = build_weight_devices(b, v == 2, io);
	if (r < 0)
		return r;
	build_throttle(b, v == 2, &io->read_bps, "throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps");
	build_throttle(b, v == 2, &io->write_bps, "throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps");
	build_throttle(b, v == 2, &io->read_iops, "throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops");
	build_throttle(b, v == 2, &io->write_iops, "throttleWriteIOPSDevice", "blkio.throttle.write_iops_device",
		       "wiops");
	return 0;
}

static int build_hugepages(struct build *b, const struct oci_resources *r)
{
	for (size_t i = 0; i < r->n_hugepage_limits; i++) {
		const struct oci_hugepage_limit *h = &r->hugepage_limits[i];

		cleanup_free char *field = xasprintf("hugepageLimits[%zu]", i);
		int v = version(b, "hugetlb", "hugetlb", field);
		const char *what = v == 2 ? "max" : "limit_in_bytes";

		if (v < 0)
			return v;
		if (strchr(h->page_size, '/'))
			return err_set(b->err, -EINVAL, "%s.%s.pageSize: contains '/'", b->prefix, field);
		cleanup_free char *rsvd = xasprintf("hugetlb.%s.rsvd.%s", h->page_size, what);
		cleanup_free char *file = xasprintf("hugetlb.%s.%s", h->page_size, what);

		/* the reservation limit fails mmap instead of sending SIGBUS later; kernels before 5.7 lack it */
		add(b, "hugetlb", v == 2, field, rsvd, "%" PRIu64, h->limit)->may_miss = true;
		add(b, "hugetlb", v == 2, field, file, "%" PRIu64, h->limit);
	}
	return 0;
}

static int build_rdma(struct build *b, const struct oci_resources *r)
{
	for (size_t i = 0; i < r->n_rdma; i++) {
		const struct oci_rdma *d = &r->rdma[i];
		cleanup_str struct str text = { 0 };

		cleanup_free char *field = xasprintf("rdma.%s", d->device);
		int v = version(b, "rdma", "rdma", field);

		if (v < 0)
			return v;
		str_add(&text, d->device);
		if (d->has_hca_handles)
			str_addf(&text, " hca_handle=%u", d->hca_handles);
		if (d->has_hca_objects)
			str_addf(&text, " hca_object=%u", d->hca_objects);
		add(b, "rdma", v == 2, field, "rdma.max", "%s", str_get(&text));
	}
	return 0;
}

static int build_network(struct build *b, const struct oci_resources *r)
{
	int v;

	if (r->has_net_class_id && r->net_class_id) {
		v = version(b, "net_cls", NULL, "network.classID");
		if (v < 0)
			return v;
		add(b, "net_cls", false, "network.classID", "net_cls.classid", "%" PRIu32, r->net_class_id);
	}
	for (size_t i = 0; i < r->n_net_priorities; i++) {
		cleanup_free char *field = xasprintf("network.priorities[%zu]", i);

		v = version(b, "net_prio", NULL, field);
		if (v < 0)
			return v;
		add(b, "net_prio", false, field, "net_prio.ifpriomap", "%s %" PRIu32, r->net_priorities[i].name,
		    r->net_priorities[i].priority);
	}
	return 0;
}

/* One entry for each line: some files take several keys, but only one in a write. */
static int build_unified(struct build *b, const struct oci_pair *p)
{
	size_t dot = strcspn(p->key, ".");
	cleanup_free char *controller = xstrndup(p->key, dot);
	cleanup_free char *field = xasprintf("unified[%s]", p->key);
	cleanup_strv char **lines = strv_split(p->value, '\n');
	bool core = !strcmp(controller, "cgroup");
	const struct cgroup_hier *h = cgroup_host_find(b->host, controller);

	if (strchr(p->key, '/'))
		return err_set(b->err, -EINVAL, "%s.%s: unified resource must be a file name (no slashes)", b->prefix,
			       field);
	if (!p->key[dot])
		return err_set(b->err, -EINVAL,
			       "%s.%s: unified resource \"%s\" must be in the form CONTROLLER.PARAMETER", b->prefix,
			       field, p->key);
	if (b->host->mode == CGROUP_MODE_V1 || (h && !h->v2))
		return err_set(b->err, -EOPNOTSUPP, "%s.%s: invalid configuration: cannot use unified on cgroup v1",
			       b->prefix, field);
	if (!core && !h)
		return err_set(b->err, -EOPNOTSUPP,
			       "%s.%s: unified resource \"%s\" can't be set: controller \"%s\" not available",
			       b->prefix, field, p->key, controller);
	for (char **l = lines; *l; l++) {
		struct cgroup_limit *e;

		if (!**l && l != lines)
			continue;
		e = add(b, NULL, true, field, p->key, "%s", "");
		free(e->value);
		e->value = xstrdup(*l);
		e->controller = core ? "" : e->file; /* the name before the dot */
	}
	return 0;
}

int cgroup_limits_build(const struct oci_resources *r, const struct cgroup_host *host, const char *prefix,
			const struct cgroup_limits_now *now, struct cgroup_limits *ret, struct err *err)
{
	struct build b = { host, prefix, now, ret, err };
	int v = 0;

	*ret = (struct cgroup_limits){ 0 };
	if (!r)
		return 0;
	if (r->has_memory)
		v = build_memory(&b, &r->memory);
	if (v >= 0 && r->has_cpu)
		v = build_cpu(&b, &r->cpu);
	if (v >= 0 && r->has_pids_limit) {
		v = version(&b, "pids", "pids", "pids.limit");
		if (v > 0 && r->pids_limit < 0)
			add(&b, "pids", v == 2, "pids.limit", "pids.max", "max");
		else if (v > 0)
			add(&b, "pids", v == 2, "pids.limit", "pids.max", "%" PRId64, r->pids_limit);
	}
	if (v >= 0 && r->has_block_io)
		v = build_block_io(&b, &r->block_io);
	if (v >= 0)
		v = build_hugepages(&b, r);
	if (v >= 0)
		v = build_network(&b, r);
	if (v >= 0)
		v = build_rdma(&b, r);
	for (size_t i = 0; v >= 0 && i < r->n_unified; i++)
		v = build_unified(&b, &r->unified[i]);
	if (v < 0) {
		cgroup_limits_free(ret);
		return v;
	}
	return 0;
}

char **cgroup_limits_controllers(const struct cgroup_limits *l)
{
	char **ret = NULL;

	for (size_t i = 0; i < l->n; i++) {
		cleanup_free char *name = xstrndup(l->v[i].controller, strcspn(l->v[i].controller, "."));

		if (l->v[i].v2 && *name && !strv_has(ret, name))
			strv_add(&ret, name);
	}
	return ret;
}

void cgroup_limits_free(struct cgroup_limits *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->v[i].file);
		free(l->v[i].value);
		free(l->v[i].alt_file);
		free(l->v[i].alt_value);
		free(l->v[i].field);
	}
	free(l->v);
	*l = (struct cgroup_limits){ 0 };
}
