/* SPDX-License-Identifier: Apache-2.0 */
/* amphi update: other limits for a live container. */
/*
 * Theory of operation: options become the resources document of the specification, so that options and a
 * --resources document go one way: parsed and checked by oci/, applied by the back end. Fields that are not given
 * stay as they are; values that the kernel takes in pairs (memory and swap, quota and period) are completed from
 * what is in force. Last the config in the state directory gets the new values: a checkpoint, exec or a later update
 * goes by them.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "container/intelrdt.h"
#include "oci/config.h"
#include "runtime/commands.h"
#include "runtime/sandbox.h"

#define UPDATE_DOCUMENT_MAX (1 << 20)

struct update_options {
	const char *resources;
	const char *memory, *memory_reservation, *memory_swap, *kernel_memory, *kernel_memory_tcp;
	const char *cpu_period, *cpu_quota, *cpu_burst, *cpu_share, *cpu_rt_period, *cpu_rt_runtime, *cpu_idle;
	const char *cpuset_cpus, *cpuset_mems;
	const char *pids_limit, *blkio_weight;
	const char *l3_cache_schema, *mem_bw_schema;
};

static const struct option_def update_defs[] = {
	OPTION_STRING("resources", 'r', struct update_options, resources, "FILE",
		      "resources as a JSON document of the runtime specification; - reads standard input"),
	OPTION_STRING("memory", 0, struct update_options, memory, "BYTES", "memory limit (512m, 1g; -1: none)"),
	OPTION_STRING("memory-reservation", 0, struct update_options, memory_reservation, "BYTES", "soft memory limit"),
	OPTION_STRING("memory-swap", 0, struct update_options, memory_swap, "BYTES",
		      "limit of memory and swap together (-1: none)"),
	OPTION_STRING("kernel-memory", 0, struct update_options, kernel_memory, "BYTES",
		      "kernel memory limit (cgroup v1)"),
	OPTION_STRING("kernel-memory-tcp", 0, struct update_options, kernel_memory_tcp, "BYTES",
		      "limit of TCP buffers (cgroup v1)"),
	OPTION_STRING("cpu-period", 0, struct update_options, cpu_period, "US",
		      "length of a CPU period in microseconds"),
	OPTION_STRING("cpu-quota", 0, struct update_options, cpu_quota, "US", "CPU time in a period (-1: no limit)"),
	OPTION_STRING("cpu-burst", 0, struct update_options, cpu_burst, "US", "unused CPU time that may be used later"),
	OPTION_STRING("cpu-share", 0, struct update_options, cpu_share, "N",
		      "CPU weight against other containers (default 1024)"),
	OPTION_STRING("cpu-rt-period", 0, struct update_options, cpu_rt_period, "US", "realtime period (cgroup v1)"),
	OPTION_STRING("cpu-rt-runtime", 0, struct update_options, cpu_rt_runtime, "US", "realtime runtime (cgroup v1)"),
	OPTION_STRING("cpu-idle", 0, struct update_options, cpu_idle, "0|1",
		      "run only when nothing else wants the CPU"),
	OPTION_STRING("cpuset-cpus", 0, struct update_options, cpuset_cpus, "LIST", "CPUs to use (0-3,7)"),
	OPTION_STRING("cpuset-mems", 0, struct update_options, cpuset_mems, "LIST", "memory nodes to use"),
	OPTION_STRING("pids-limit", 0, struct update_options, pids_limit, "N", "number of processes (-1: no limit)"),
	OPTION_STRING("blkio-weight", 0, struct update_options, blkio_weight, "N", "block I/O weight, 10 to 1000"),
	OPTION_STRING("l3-cache-schema", 0, struct update_options, l3_cache_schema, "TEXT",
		      "Intel RDT schema of the L3 cache"),
	OPTION_STRING("mem-bw-schema", 0, struct update_options, mem_bw_schema, "TEXT",
		      "Intel RDT schema of memory bandwidth"),
	OPTION_END,
};

/* What an option is in the resources document; the fields of an object stand together. */
struct update_field {
	const char *object, *key, *option;
	size_t offset; /* of the option's text in struct update_options */
	enum { NUMBER, SIZE, TEXT } kind;
};

#define FIELD(object, key, option, member, kind) \
	{ \
		object, key, option, offsetof(struct update_options, member), kind \
	}

static const struct update_field update_fields[] = {
	FIELD("memory", "limit", "memory", memory, SIZE),
	FIELD("memory", "reservation", "memory-reservation", memory_reservation, SIZE),
	FIELD("memory", "swap", "memory-swap", memory_swap, SIZE),
	FIELD("memory", "kernel", "kernel-memory", kernel_memory, SIZE),
	FIELD("memory", "kernelTCP", "kernel-memory-tcp", kernel_memory_tcp, SIZE),
	FIELD("cpu", "shares", "cpu-share", cpu_share, NUMBER),
	FIELD("cpu", "quota", "cpu-quota", cpu_quota, NUMBER),
	FIELD("cpu", "period", "cpu-period", cpu_period, NUMBER),
	FIELD("cpu", "burst", "cpu-burst", cpu_burst, NUMBER),
	FIELD("cpu", "realtimePeriod", "cpu-rt-period", cpu_rt_period, NUMBER),
	FIELD("cpu", "realtimeRuntime", "cpu-rt-runtime", cpu_rt_runtime, NUMBER),
	FIELD("cpu", "idle", "cpu-idle", cpu_idle, NUMBER),
	FIELD("cpu", "cpus", "cpuset-cpus", cpuset_cpus, TEXT),
	FIELD("cpu", "mems", "cpuset-mems", cpuset_mems, TEXT),
	FIELD("pids", "limit", "pids-limit", pids_limit, NUMBER),
	FIELD("blockIO", "weight", "blkio-weight", blkio_weight, NUMBER),
};

static const char *update_text(const struct update_options *o, const struct update_field *f)
{
	return *(const char *const *)((const char *)o + f->offset);
}

/* A size may be 512m, and -1 as a number. */
static int update_value(struct json_writer *w, const struct update_field *f, const char *text, struct err *err)
{
	uint64_t bytes;
	int64_t n;

	if (f->kind == TEXT)
		json_w_string(w, f->key, text);
	else if (parse_i64(text, &n) == 0)
		json_w_i64(w, f->key, n);
	else if (f->kind == SIZE && parse_size(text, &bytes) == 0 && bytes <= INT64_MAX)
		json_w_u64(w, f->key, bytes);
	else
		return err_set(err, EINVAL, "option --%s: invalid value \"%s\"", f->option, text);
	return 0;
}

static int update_document(const struct update_options *o, char **ret, struct err *err)
{
	struct json_writer w = { 0 };
	const char *object = NULL;
	int r = 0;

	json_w_object(&w, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(update_fields) && r == 0; i++) {
		const struct update_field *f = &update_fields[i];
		const char *text = update_text(o, f);

		if (!text)
			continue;
		if (!object || strcmp(object, f->object)) {
			if (object)
				json_w_object_end(&w);
			object = f->object;
			json_w_object(&w, object);
		}
		r = update_value(&w, f, text, err);
	}
	if (object)
		json_w_object_end(&w);
	json_w_object_end(&w);
	*ret = json_w_steal(&w);
	return r;
}

static bool update_has_limits(const struct update_options *o)
{
	for (size_t i = 0; i < ARRAY_SIZE(update_fields); i++)
		if (update_text(o, &update_fields[i]))
			return true;
	return false;
}

static int update_resources(const struct update_options *o, struct oci_resources **ret, struct err *err)
{
	cleanup_free char *text = NULL;
	size_t len;
	int r;

	if (!o->resources) {
		r = update_document(o, &text, err);
		return r < 0 ? r : oci_resources_parse(text, strlen(text), ret, err);
	}
	if (update_has_limits(o))
		return err_set(err, EINVAL,
			       "option --resources: the limits are in the document, no other option may give some");
	if (!strcmp(o->resources, "-"))
		r = fd_slurp(STDIN_FILENO, UPDATE_DOCUMENT_MAX, &text, &len);
	else
		r = fd_slurp_at(AT_FDCWD, o->resources, UPDATE_DOCUMENT_MAX, &text, &len);
	if (r < 0)
		return err_sys(err, r, "option --resources: %s", o->resources);
	return oci_resources_parse(text, len, ret, err);
}

/* The class is found by the config, as create made it. */
static int update_rdt(struct sandbox *sb, const struct update_options *o, struct err *err)
{
	const struct oci_intel_rdt *rdt;
	struct intelrdt_group g = { 0 };
	int r = sandbox_config(sb, err);

	if (r < 0)
		return r;
	rdt = sb->config->linux_.intel_rdt;
	if (rdt)
		g.dir = path_join("/sys/fs/resctrl", rdt->clos_id ? rdt->clos_id : sb->rec.id);
	r = intelrdt_update(&g, o->l3_cache_schema, o->mem_bw_schema, err);
	intelrdt_free(&g);
	return r;
}

/* Later commands see the limits that are in force. */
static int update_config(struct sandbox *sb, const struct update_options *o, const struct oci_resources *res,
			 struct err *err)
{
	cleanup_free char *limits = oci_resources_write(res), *over = NULL, *text = NULL;
	struct json_writer rdt = { 0 };
	cleanup_free char *rdt_text = NULL;
	int r = sandbox_config(sb, err);

	if (r < 0)
		return r;
	json_w_object(&rdt, NULL);
	if (o->l3_cache_schema)
		json_w_string(&rdt, "l3CacheSchema", o->l3_cache_schema);
	if (o->mem_bw_schema)
		json_w_string(&rdt, "memBwSchema", o->mem_bw_schema);
	json_w_object_end(&rdt);
	rdt_text = json_w_steal(&rdt);
	over = sb->config->linux_.intel_rdt ?
		xasprintf("{\"linux\":{\"resources\":%s,\"intelRdt\":%s}}", limits, rdt_text) :
		xasprintf("{\"linux\":{\"resources\":%s}}", limits);
	r = oci_config_merge(sb->config_json, sb->config_json_len, over, &text, err);
	if (r < 0)
		return r;
	r = path_write_atomic(sb->dir.fd, "config.json", text, strlen(text), 0600);
	return r < 0 ? err_sys(err, r, "%s/config.json", sb->dir.path) : 0;
}

static int update_main(const struct globals *g, const struct command *self, int argc, char **argv, struct err *err)
{
	cleanup_sandbox struct sandbox sb = SANDBOX_INIT;
	struct update_options o = { 0 };
	struct oci_resources *res = NULL;
	enum oci_status status;
	int r, i = commands_options(self, &o, argc, argv, 1, 1, err);

	if (i < 0)
		return commands_end(i);
	r = sandbox_load(g, argv[i], true, &sb, err);
	if (r == -ENODATA)
		return err_set(err, ENOENT, "container does not exist");
	r = r < 0 ? r : sandbox_status(&sb, &status, err);
	if (r < 0)
		return r;
	if (status == OCI_STATUS_STOPPED || status == OCI_STATUS_CREATING)
		return err_set(err, ESRCH, "container not running");
	r = update_resources(&o, &res, err);
	if (r == 0)
		r = sb.backend->update(&sb, res, err);
	if (r == 0 && (o.l3_cache_schema || o.mem_bw_schema))
		r = update_rdt(&sb, &o, err);
	if (r == 0)
		r = update_config(&sb, &o, res, err);
	oci_resources_free(res);
	return r;
}

const struct command cmd_update = {
	.name = "update",
	.main = update_main,
	.options = update_defs,
	.synopsis = "[OPTIONS] ID",
	.help = "change the limits of a container",
};
