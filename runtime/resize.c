/* SPDX-License-Identifier: Apache-2.0 */
/* The size of a machine that runs. */
/*
 * Theory of operation: limits hold three times. Inside, the container's cgroup has them as they are. The machine is given
 * what they need: processors beyond a quota are taken offline by the agent, memory beyond a limit (and what the
 * guest's kernel needs beside it) by the balloon. Outside, the monitor's cgroup bounds what a guest that does not
 * play along can take: CPU and block I/O as the container's, memory as the machine's present size with the monitor's own.
 *
 * A machine has at most the memory and the processors it was booted with. When it shrinks, the host's memory limit
 * follows only when the guest has given the memory back; one that does not within a few seconds keeps the old bound.
 */
#include "runtime/resize.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/str.h"
#include "container/cgroup.h"
#include "oci/config.h"
#include "runtime/jail.h"
#include "runtime/sandbox.h"
#include "vm/agent.h"
#include "vm/vm_config.h"

#define PERIOD_US 100000
#define SHRINK_TRIES 30
#define SHRINK_PAUSE_NS 100000000
#define PAGE 4096ULL

static void plan_vcpus(const struct oci_resources *res, const struct oci_config *config, const struct resize_machine *m,
		       struct resize *ret)
{
	const struct oci_resources *have = &config->linux_.resources;
	uint64_t period = PERIOD_US, n;

	if (!res->has_cpu || !res->cpu.has_quota || !m->vcpus_max)
		return;
	if (res->cpu.has_period && res->cpu.period)
		period = res->cpu.period;
	else if (have->has_cpu && have->cpu.has_period && have->cpu.period)
		period = have->cpu.period;
	n = res->cpu.quota > 0 ? ((uint64_t)res->cpu.quota + period - 1) / period : m->vcpus_max;
	ret->vcpus = n > m->vcpus_max ? m->vcpus_max : (unsigned int)n;
}

int resize_plan(const struct oci_resources *res, const struct oci_config *config, const struct resize_machine *m,
		struct resize *ret, struct err *err)
{
	uint64_t need;

	*ret = (struct resize){ 0 };
	plan_vcpus(res, config, m, ret);
	if (!res->has_memory || !res->memory.has_limit || !m->memory)
		return 0;
	if (res->memory.limit > (int64_t)m->memory)
		return err_set(err, -ENOTSUP, "linux.resources.memory.limit: the machine has %llu MiB and cannot grow",
			       (unsigned long long)m->memory >> 20);
	need = res->memory.limit > 0 ? (uint64_t)res->memory.limit + VM_CONFIG_MEMORY_OVERHEAD : m->memory;
	ret->has_memory = true;
	ret->balloon = need < m->memory ? (m->memory - need) / PAGE * PAGE : 0;
	ret->host_limit = m->memory - ret->balloon + jail_overhead(m->qemu);
	return 0;
}

static int set_balloon(const char *sock, uint64_t bytes, struct err *err)
{
	cleanup_free char *line = xasprintf("BALLOON %llu", (unsigned long long)bytes);

	return agent_control(sock, line, NULL, err);
}

/* The balloon as it was set last; 0: not known. */
static uint64_t present_balloon(const char *sock)
{
	cleanup_free char *reply = NULL;
	unsigned long long n = 0;
	char *p;

	if (agent_control(sock, "STATS", &reply, NULL) < 0 || !(p = strstr(reply, "balloon=")))
		return 0;
	(void)sscanf(p, "balloon=%llu", &n);
	return n;
}

static int host_memory(struct sandbox *sb, uint64_t limit, bool check, struct err *err)
{
	struct oci_resources host = { .has_memory = true };

	if (!sb->rec.cgroup || sandbox_cgroup(sb, NULL) < 0 || !cgroup_exists(sb->cgroup))
		return 0;
	host.memory.has_limit = true;
	host.memory.limit = (int64_t)limit;
	host.memory.has_check_before_update = host.memory.check_before_update = check;
	return cgroup_update(sb->cgroup, &host, err);
}

static int grow(struct sandbox *sb, const char *sock, const struct resize *z, struct err *err)
{
	int r = host_memory(sb, z->host_limit, false, err);

	return r < 0 ? r : set_balloon(sock, z->balloon, err);
}

static int shrink(struct sandbox *sb, const char *sock, const struct resize *z, struct err *err)
{
	struct timespec pause = { .tv_nsec = SHRINK_PAUSE_NS };
	struct err why = { 0 };
	int r = set_balloon(sock, z->balloon, err);

	if (r < 0)
		return r;
	for (int i = 0; i < SHRINK_TRIES; i++) {
		if (host_memory(sb, z->host_limit, true, &why) >= 0)
			return 0;
		nanosleep(&pause, NULL);
	}
	log_debug("machine: its memory limit on the host stays: %s", why.msg);
	return 0;
}

/* CPU and block I/O, which hold the machine from outside. */
static int host_others(struct sandbox *sb, const struct oci_resources *res, struct err *err)
{
	struct oci_resources host = {
		.has_cpu = res->has_cpu, .cpu = res->cpu, .has_block_io = res->has_block_io, .block_io = res->block_io
	};
	int r;

	if ((!host.has_cpu && !host.has_block_io) || !sb->rec.cgroup)
		return 0;
	r = sandbox_cgroup(sb, err);
	return r < 0 ? r : cgroup_update(sb->cgroup, &host, err);
}

int resize_apply(struct sandbox *sb, const char *sock, const struct oci_resources *res, const struct resize_machine *m,
		 struct err *err)
{
	cleanup_free char *text = oci_resources_write(res);
	struct agent_machine am = { 0 };
	struct resize z = { 0 };
	bool grows;
	int r = sandbox_config(sb, err);

	if (!r)
		r = resize_plan(res, sb->config, m, &z, err);
	if (r < 0)
		return r;
	grows = z.has_memory && z.balloon <= present_balloon(sock);
	am.vcpus = z.vcpus;
	if (grows)
		r = grow(sb, sock, &z, err);
	if (!r)
		r = agent_update(sock, sb->rec.id, text, err);
	if (!r && z.vcpus)
		r = agent_machine(sock, &am, err);
	if (!r && z.has_memory && !grows)
		r = shrink(sb, sock, &z, err);
	/* a pod's member has no machine: what is here of it only relays */
	return r < 0 || !m->memory ? r : host_others(sb, res, err);
}
