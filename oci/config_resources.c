/* SPDX-License-Identifier: Apache-2.0 */
/* The resources object of config.json and of update --resources: read and written. */
/*
 * Scalars whose absence means "do not touch" keep a has_ flag; values are only checked for what no kernel could
 * take, the rest is the control group files' to judge. runtime-spec config-linux.md#control-groups.
 */
#include <string.h>

#include "base/str.h"
#include "oci/config_read.h"

/* A device number in a rule: absent or -1 means all. */
static int read_rule_number(const struct json *v, const char *key, bool *has, int64_t *ret, struct err *err)
{
	OCI_TRY(oci_opt_i64(v, key, has, ret, err));
	if (*has && *ret == -1)
		*has = false;
	if (*has && (*ret < 0 || *ret > UINT32_MAX))
		return json_error(json_get(v, key), err, "not a device number");
	return 0;
}

static int read_device_rule(const struct json *v, void *slot, struct err *err)
{
	struct oci_device_rule *d = slot;
	const struct json *f;
	const char *s;

	OCI_TRY(json_want(v, JSON_OBJECT, err));
	OCI_TRY(oci_req(v, "allow", &f, err));
	OCI_TRY(json_bool(f, &d->allow, err));
	d->type = 'a';
	f = json_get(v, "type");
	if (f) {
		OCI_TRY(json_string(f, &s, err));
		if (*s && (s[1] || !strchr("acb", *s)))
			return json_error(f, err, "unknown device type \"%.20s\" (a, c or b)", s);
		d->type = *s ? *s : 'a';
	}
	OCI_TRY(read_rule_number(v, "major", &d->has_major, &d->major, err));
	OCI_TRY(read_rule_number(v, "minor", &d->has_minor, &d->minor, err));
	f = json_get(v, "access");
	s = "";
	if (f)
		OCI_TRY(json_string(f, &s, err));
	/* runc knows no "a" either and passes it over: its suite has "rwa" */
	if (s[strspn(s, "rwma")] || (*s && !strpbrk(s, "rwm")))
		return json_error(f, err, "invalid device access \"%.20s\" (of r, w and m)", s);
	d->r = !*s || strchr(s, 'r');
	d->w = !*s || strchr(s, 'w');
	d->m = !*s || strchr(s, 'm');
	return 0;
}

static int read_memory(const struct json *res, struct oci_resources *r, struct err *err)
{
	struct oci_memory *m = &r->memory;
	const struct json *v;
	int found = json_opt_object(res, "memory", &v, err);

	if (found <= 0)
		return found;
	r->has_memory = true;
	OCI_TRY(oci_opt_i64(v, "limit", &m->has_limit, &m->limit, err));
	OCI_TRY(oci_opt_i64(v, "reservation", &m->has_reservation, &m->reservation, err));
	OCI_TRY(oci_opt_i64(v, "swap", &m->has_swap, &m->swap, err));
	OCI_TRY(oci_opt_i64(v, "kernel", &m->has_kernel, &m->kernel, err));
	OCI_TRY(oci_opt_i64(v, "kernelTCP", &m->has_kernel_tcp, &m->kernel_tcp, err));
	OCI_TRY(oci_opt_u64(v, "swappiness", &m->has_swappiness, &m->swappiness, err));
	OCI_TRY(oci_opt_bool(v, "disableOOMKiller", &m->has_disable_oom_killer, &m->disable_oom_killer, err));
	OCI_TRY(oci_opt_bool(v, "useHierarchy", &m->has_use_hierarchy, &m->use_hierarchy, err));
	return oci_opt_bool(v, "checkBeforeUpdate", &m->has_check_before_update, &m->check_before_update, err);
}

static int read_cpu(const struct json *res, struct oci_resources *r, struct err *err)
{
	struct oci_cpu *c = &r->cpu;
	const struct json *v;
	int found = json_opt_object(res, "cpu", &v, err);

	if (found <= 0)
		return found;
	r->has_cpu = true;
	OCI_TRY(oci_opt_u64(v, "shares", &c->has_shares, &c->shares, err));
	OCI_TRY(oci_opt_i64(v, "quota", &c->has_quota, &c->quota, err));
	OCI_TRY(oci_opt_u64(v, "burst", &c->has_burst, &c->burst, err));
	OCI_TRY(oci_opt_u64(v, "period", &c->has_period, &c->period, err));
	OCI_TRY(oci_opt_i64(v, "realtimeRuntime", &c->has_realtime_runtime, &c->realtime_runtime, err));
	OCI_TRY(oci_opt_u64(v, "realtimePeriod", &c->has_realtime_period, &c->realtime_period, err));
	OCI_TRY(oci_opt_i64(v, "idle", &c->has_idle, &c->idle, err));
	OCI_TRY(json_opt_string(v, "cpus", &c->cpus, err));
	return json_opt_string(v, "mems", &c->mems, err);
}

static int read_device_numbers(const struct json *v, int64_t *major, int64_t *minor, struct err *err)
{
	const struct json *f;

	OCI_TRY(json_want(v, JSON_OBJECT, err));
	OCI_TRY(oci_req(v, "major", &f, err));
	OCI_TRY(json_i64(f, major, err));
	OCI_TRY(oci_req(v, "minor", &f, err));
	return json_i64(f, minor, err);
}

static int read_weight_device(const struct json *v, void *slot, struct err *err)
{
	struct oci_weight_device *d = slot;

	OCI_TRY(read_device_numbers(v, &d->major, &d->minor, err));
	OCI_TRY(oci_opt_u16(v, "weight", &d->has_weight, &d->weight, err));
	return oci_opt_u16(v, "leafWeight", &d->has_leaf_weight, &d->leaf_weight, err);
}

static int read_throttle_device(const struct json *v, void *slot, struct err *err)
{
	struct oci_throttle_device *d = slot;
	const struct json *f;

	OCI_TRY(read_device_numbers(v, &d->major, &d->minor, err));
	OCI_TRY(oci_req(v, "rate", &f, err));
	return json_u64(f, &d->rate, err);
}

static int read_throttles(const struct json *v, const char *key, struct oci_throttle_list *l, struct err *err)
{
	return oci_read_array(v, key, sizeof(*l->v), read_throttle_device, &l->v, &l->n, err);
}

static int read_block_io(const struct json *res, struct oci_resources *r, struct err *err)
{
	struct oci_block_io *b = &r->block_io;
	const struct json *v;
	int found = json_opt_object(res, "blockIO", &v, err);

	if (found <= 0)
		return found;
	r->has_block_io = true;
	OCI_TRY(oci_opt_u16(v, "weight", &b->has_weight, &b->weight, err));
	OCI_TRY(oci_opt_u16(v, "leafWeight", &b->has_leaf_weight, &b->leaf_weight, err));
	OCI_TRY(oci_read_array(v, "weightDevice", sizeof(*b->weight_devices), read_weight_device, &b->weight_devices,
			       &b->n_weight_devices, err));
	OCI_TRY(read_throttles(v, "throttleReadBpsDevice", &b->read_bps, err));
	OCI_TRY(read_throttles(v, "throttleWriteBpsDevice", &b->write_bps, err));
	OCI_TRY(read_throttles(v, "throttleReadIOPSDevice", &b->read_iops, err));
	return read_throttles(v, "throttleWriteIOPSDevice", &b->write_iops, err);
}

static int read_hugepage(const struct json *v, void *slot, struct err *err)
{
	struct oci_hugepage_limit *h = slot;
	const struct json *f;

	OCI_TRY(json_want(v, JSON_OBJECT, err));
	OCI_TRY(json_req_string(v, "pageSize", &h->page_size, err));
	f = json_get(v, "pageSize");
	if (!*h->page_size || strchr(h->page_size, '/'))
		return json_error(f, err, "not a page size");
	OCI_TRY(oci_req(v, "limit", &f, err));
	return json_u64(f, &h->limit, err);
}

static int read_priority(const struct json *v, void *slot, struct err *err)
{
	struct oci_interface_priority *p = slot;
	const struct json *f;

	OCI_TRY(json_want(v, JSON_OBJECT, err));
	OCI_TRY(json_req_string(v, "name", &p->name, err));
	OCI_TRY(oci_req(v, "priority", &f, err));
	return json_u32(f, &p->priority, err);
}

static int read_network(const struct json *res, struct oci_resources *r, struct err *err)
{
	const struct json *v;
	int found = json_opt_object(res, "network", &v, err);

	if (found <= 0)
		return found;
	OCI_TRY(oci_opt_u32(v, "classID", &r->has_net_class_id, &r->net_class_id, err));
	return oci_read_array(v, "priorities", sizeof(*r->net_priorities), read_priority, &r->net_priorities,
			      &r->n_net_priorities, err);
}

static int read_rdma(const struct json *v, void *slot, struct err *err)
{
	struct oci_rdma *d = slot;

	OCI_TRY(json_want(v, JSON_OBJECT, err));
	if (!*v->key)
		return json_error(v, err, "the key must not be empty");
	d->device = xstrdup(v->key);
	OCI_TRY(oci_opt_u32(v, "hcaHandles", &d->has_hca_handles, &d->hca_handles, err));
	return oci_opt_u32(v, "hcaObjects", &d->has_hca_objects, &d->hca_objects, err);
}

static int read_unified(const struct json *v, void *slot, struct err *err)
{
	OCI_TRY(oci_read_pair(v, slot, err));
	if (strchr(v->key, '/') || !strcmp(v->key, ".") || !strcmp(v->key, ".."))
		return json_error(v, err, "unified resource must be a file name, without /");
	return 0;
}

int oci_resources_read(const struct json *v, struct oci_resources *r, struct err *err)
{
	const struct json *pids;
	int found;

	OCI_TRY(json_want(v, JSON_OBJECT, err));
	OCI_TRY(oci_read_array(v, "devices", sizeof(*r->devices), read_device_rule, &r->devices, &r->n_devices, err));
	OCI_TRY(read_memory(v, r, err));
	OCI_TRY(read_cpu(v, r, err));
	found = json_opt_object(v, "pids", &pids, err);
	if (found < 0)
		return found;
	if (found > 0)
		OCI_TRY(oci_opt_i64(pids, "limit", &r->has_pids_limit, &r->pids_limit, err));
	OCI_TRY(read_block_io(v, r, err));
	OCI_TRY(oci_read_array(v, "hugepageLimits", sizeof(*r->hugepage_limits), read_hugepage, &r->hugepage_limits,
			       &r->n_hugepage_limits, err));
	OCI_TRY(read_network(v, r, err));
	OCI_TRY(oci_read_map(v, "rdma", sizeof(*r->rdma), read_rdma, &r->rdma, &r->n_rdma, err));
	return oci_read_map(v, "unified", sizeof(*r->unified), read_unified, &r->unified, &r->n_unified, err);
}

void oci_resources_clear(struct oci_resources *r)
{
	free(r->devices);
	free(r->cpu.cpus);
	free(r->cpu.mems);
	free(r->block_io.weight_devices);
	free(r->block_io.read_bps.v);
	free(r->block_io.write_bps.v);
	free(r->block_io.read_iops.v);
	free(r->block_io.write_iops.v);
	for (size_t i = 0; i < r->n_hugepage_limits; i++)
		free(r->hugepage_limits[i].page_size);
	free(r->hugepage_limits);
	for (size_t i = 0; i < r->n_net_priorities; i++)
		free(r->net_priorities[i].name);
	free(r->net_priorities);
	for (size_t i = 0; i < r->n_rdma; i++)
		free(r->rdma[i].device);
	free(r->rdma);
	oci_pairs_free(r->unified, r->n_unified);
	memset(r, 0, sizeof(*r));
}

void oci_resources_free(struct oci_resources *r)
{
	if (!r)
		return;
	oci_resources_clear(r);
	free(r);
}

int oci_resources_parse(const char *buf, size_t len, struct oci_resources **ret, struct err *err)
{
	cleanup_json_doc struct json_doc *doc = json_parse(buf, len, "resources", err);
	struct oci_resources *res;
	int r;

	if (!doc)
		return -EINVAL;
	OCI_TRY(oci_want_root(doc, "resources", err));
	res = xcalloc(1, sizeof(*res));
	r = oci_resources_read(json_root(doc), res, err);
	if (r < 0) {
		oci_resources_free(res);
		return oci_below("resources", err);
	}
	*ret = res;
	return 0;
}

static void write_device_rules(struct json_writer *w, const struct oci_resources *r)
{
	json_w_array(w, "devices");
	for (size_t i = 0; i < r->n_devices; i++) {
		const struct oci_device_rule *d = &r->devices[i];
		char type[2] = { d->type }, access[4] = "";

		json_w_object(w, NULL);
		json_w_bool(w, "allow", d->allow);
		json_w_string(w, "type", type);
		if (d->has_major)
			json_w_i64(w, "major", d->major);
		if (d->has_minor)
			json_w_i64(w, "minor", d->minor);
		strcat(access, d->r ? "r" : "");
		strcat(access, d->w ? "w" : "");
		strcat(access, d->m ? "m" : "");
		json_w_string(w, "access", access);
		json_w_object_end(w);
	}
	json_w_array_end(w);
}

#define WRITE(kind, key, field) \
	do { \
		if (s->has_##field) \
			json_w_##kind(w, key, s->field); \
	} while (0)

static void write_memory(struct json_writer *w, const struct oci_memory *s)
{
	json_w_object(w, "memory");
	WRITE(i64, "limit", limit);
	WRITE(i64, "reservation", reservation);
	WRITE(i64, "swap", swap);
	WRITE(i64, "kernel", kernel);
	WRITE(i64, "kernelTCP", kernel_tcp);
	WRITE(u64, "swappiness", swappiness);
	WRITE(bool, "disableOOMKiller", disable_oom_killer);
	WRITE(bool, "useHierarchy", use_hierarchy);
	WRITE(bool, "checkBeforeUpdate", check_before_update);
	json_w_object_end(w);
}

static void write_cpu(struct json_writer *w, const struct oci_cpu *s)
{
	json_w_object(w, "cpu");
	WRITE(u64, "shares", shares);
	WRITE(i64, "quota", quota);
	WRITE(u64, "burst", burst);
	WRITE(u64, "period", period);
	WRITE(i64, "realtimeRuntime", realtime_runtime);
	WRITE(u64, "realtimePeriod", realtime_period);
	WRITE(i64, "idle", idle);
	if (s->cpus)
		json_w_string(w, "cpus", s->cpus);
	if (s->mems)
		json_w_string(w, "mems", s->mems);
	json_w_object_end(w);
}

static void write_throttles(struct json_writer *w, const char *key, const struct oci_throttle_list *l)
{
	if (!l->n)
		return;
	json_w_array(w, key);
	for (size_t i = 0; i < l->n; i++) {
		json_w_object(w, NULL);
		json_w_i64(w, "major", l->v[i].major);
		json_w_i64(w, "minor", l->v[i].minor);
		json_w_u64(w, "rate", l->v[i].rate);
		json_w_object_end(w);
	}
	json_w_array_end(w);
}

static void write_block_io(struct json_writer *w, const struct oci_block_io *b)
{
	const struct oci_block_io *s = b;

	json_w_object(w, "blockIO");
	WRITE(u64, "weight", weight);
	WRITE(u64, "leafWeight", leaf_weight);
	if (b->n_weight_devices) {
		json_w_array(w, "weightDevice");
		for (size_t i = 0; i < b->n_weight_devices; i++) {
			const struct oci_weight_device *d = &b->weight_devices[i];

			json_w_object(w, NULL);
			json_w_i64(w, "major", d->major);
			json_w_i64(w, "minor", d->minor);
			if (d->has_weight)
				json_w_u64(w, "weight", d->weight);
			if (d->has_leaf_weight)
				json_w_u64(w, "leafWeight", d->leaf_weight);
			json_w_object_end(w);
		}
		json_w_array_end(w);
	}
	write_throttles(w, "throttleReadBpsDevice", &b->read_bps);
	write_throttles(w, "throttleWriteBpsDevice", &b->write_bps);
	write_throttles(w, "throttleReadIOPSDevice", &b->read_iops);
	write_throttles(w, "throttleWriteIOPSDevice", &b->write_iops);
	json_w_object_end(w);
}

static void write_network(struct json_writer *w, const struct oci_resources *r)
{
	json_w_object(w, "network");
	if (r->has_net_class_id)
		json_w_u64(w, "classID", r->net_class_id);
	json_w_array(w, "priorities");
	for (size_t i = 0; i < r->n_net_priorities; i++) {
		json_w_object(w, NULL);
		json_w_string(w, "name", r->net_priorities[i].name);
		json_w_u64(w, "priority", r->net_priorities[i].priority);
		json_w_object_end(w);
	}
	json_w_array_end(w);
	json_w_object_end(w);
}

static void write_hugepages(struct json_writer *w, const struct oci_resources *r)
{
	json_w_array(w, "hugepageLimits");
	for (size_t i = 0; i < r->n_hugepage_limits; i++) {
		json_w_object(w, NULL);
		json_w_string(w, "pageSize", r->hugepage_limits[i].page_size);
		json_w_u64(w, "limit", r->hugepage_limits[i].limit);
		json_w_object_end(w);
	}
	json_w_array_end(w);
}

static void write_rdma(struct json_writer *w, const struct oci_resources *r)
{
	json_w_object(w, "rdma");
	for (size_t i = 0; i < r->n_rdma; i++) {
		const struct oci_rdma *s = &r->rdma[i];

		json_w_object(w, s->device);
		WRITE(u64, "hcaHandles", hca_handles);
		WRITE(u64, "hcaObjects", hca_objects);
		json_w_object_end(w);
	}
	json_w_object_end(w);
}

char *oci_resources_write(const struct oci_resources *r)
{
	struct json_writer w = { 0 };

	json_w_object(&w, NULL);
	if (r->n_devices)
		write_device_rules(&w, r);
	if (r->has_memory)
		write_memory(&w, &r->memory);
	if (r->has_cpu)
		write_cpu(&w, &r->cpu);
	if (r->has_pids_limit) {
		json_w_object(&w, "pids");
		json_w_i64(&w, "limit", r->pids_limit);
		json_w_object_end(&w);
	}
	if (r->has_block_io)
		write_block_io(&w, &r->block_io);
	if (r->n_hugepage_limits)
		write_hugepages(&w, r);
	if (r->has_net_class_id || r->n_net_priorities)
		write_network(&w, r);
	if (r->n_rdma)
		write_rdma(&w, r);
	if (r->n_unified) {
		json_w_object(&w, "unified");
		for (size_t i = 0; i < r->n_unified; i++)
			json_w_string(&w, r->unified[i].key, r->unified[i].value);
		json_w_object_end(&w);
	}
	json_w_object_end(&w);
	return json_w_steal(&w);
}

bool oci_resources_all_devices(const struct oci_resources *r)
{
	const struct oci_device_rule *last = r->n_devices ? &r->devices[r->n_devices - 1] : NULL;

	return last && last->allow && last->type == 'a' && !last->has_major && !last->has_minor && last->r && last->w &&
		last->m;
}
