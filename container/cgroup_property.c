/* SPDX-License-Identifier: Apache-2.0 */
/* systemd unit properties.
 *
 * Theory: each property is a (name, variant) struct appended to an open D-Bus array. Resources are translated to
 * systemd's words: MemoryMax, CPUWeight, TasksMax and so on for v2, the older MemoryLimit and CPUShares for v1. A CPU quota
 * becomes time per second, rounded up to 10 ms as systemd itself does, because it would otherwise write back a smaller
 * one. "Unlimited" is the largest number. Pure but for the buffer. systemd.resource-control(5).
 */
#include "container/cgroup_property.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "container/cgroup_limits.h"
#include "container/dbus.h"
#include "oci/config.h"

#define ANNOTATION "org.systemd.property."
#define LIST_MAX 8192

static void name_and_type(struct dbus_body *b, const char *name, const char *type)
{
	dbus_struct(b);
	dbus_put_string(b, name);
	dbus_put_signature(b, type);
}

void cgroup_property_string(struct dbus_body *b, const char *name, const char *value)
{
	name_and_type(b, name, "s");
	dbus_put_string(b, value);
}

void cgroup_property_bool(struct dbus_body *b, const char *name, bool value)
{
	name_and_type(b, name, "b");
	dbus_put_bool(b, value);
}

void cgroup_property_u32(struct dbus_body *b, const char *name, uint32_t value)
{
	name_and_type(b, name, "u");
	dbus_put_u32(b, value);
}

void cgroup_property_u64(struct dbus_body *b, const char *name, uint64_t value)
{
	name_and_type(b, name, "t");
	dbus_put_u64(b, value);
}

void cgroup_property_u32s(struct dbus_body *b, const char *name, const uint32_t *v, size_t n)
{
	size_t mark;

	name_and_type(b, name, "au");
	mark = dbus_array_begin(b, 4);
	for (size_t i = 0; i < n; i++)
		dbus_put_u32(b, v[i]);
	dbus_array_end(b, mark, 4);
}

void cgroup_property_strings(struct dbus_body *b, const char *name, char *const *v)
{
	size_t mark;

	name_and_type(b, name, "as");
	mark = dbus_array_begin(b, 4);
	for (; v && *v; v++)
		dbus_put_string(b, *v);
	dbus_array_end(b, mark, 4);
}

int cgroup_property_list(struct dbus_body *b, const char *name, const char *list)
{
	unsigned char bits[LIST_MAX / 8] = { 0 };
	size_t used = 0, mark;

	for (const char *p = list; *p;) {
		char *end;
		unsigned long first = strtoul(p, &end, 10), last = first;

		if (!isdigit((unsigned char)*p))
			return -EINVAL;
		if (*end == '-') {
			if (!isdigit((unsigned char)end[1]))
				return -EINVAL;
			last = strtoul(end + 1, &end, 10);
		}
		if (first > last || last >= LIST_MAX || (*end && *end != ','))
			return -EINVAL;
		for (; first <= last; first++)
			bits[first / 8] |= (unsigned char)(1 << (first % 8));
		used = last / 8 + 1 > used ? last / 8 + 1 : used;
		p = *end ? end + 1 : end;
	}
	name_and_type(b, name, "ay");
	mark = dbus_array_begin(b, 1);
	for (size_t i = 0; i < used; i++)
		dbus_put_byte(b, bits[i]);
	dbus_array_end(b, mark, 1);
	return 0;
}

static uint64_t or_infinity(int64_t n)
{
	return n < 0 ? UINT64_MAX : (uint64_t)n;
}

static size_t memory(struct dbus_body *b, const struct oci_memory *m, bool v2)
{
	size_t n = 0;

	if (m->has_limit && m->limit) {
		cgroup_property_u64(b, v2 ? "MemoryMax" : "MemoryLimit", or_infinity(m->limit));
		n++;
	}
	if (v2 && m->has_reservation && m->reservation) {
		cgroup_property_u64(b, "MemoryLow", or_infinity(m->reservation));
		n++;
	}
	if (v2 && m->has_swap && m->swap && (m->swap < 0 || (m->has_limit && m->limit > 0 && m->swap >= m->limit))) {
		cgroup_property_u64(b, "MemorySwapMax", m->swap < 0 ? UINT64_MAX : (uint64_t)(m->swap - m->limit));
		n++;
	}
	return n;
}

static size_t cpu(struct dbus_body *b, const struct oci_cpu *c, bool v2)
{
	uint64_t period = c->has_period && c->period ? c->period : 100000;
	size_t n = 0;

	if (c->has_shares && c->shares) {
		cgroup_property_u64(b, v2 ? "CPUWeight" : "CPUShares",
				    v2 ? cgroup_limits_cpu_weight(c->shares) : c->shares);
		n++;
	}
	if (c->has_period && c->period) {
		cgroup_property_u64(b, "CPUQuotaPeriodUSec", c->period);
		n++;
	}
	if (c->has_quota && c->quota) {
		uint64_t per_second = UINT64_MAX;

		if (c->quota > 0) {
			per_second = (uint64_t)c->quota * 1000000 / period;
			if (per_second % 10000)
				per_second = (per_second / 10000 + 1) * 10000;
		}
		cgroup_property_u64(b, "CPUQuotaPerSecUSec", per_second);
		n++;
	}
	if (v2 && !str_empty(c->cpus) && cgroup_property_list(b, "AllowedCPUs", c->cpus) == 0)
		n++;
	if (v2 && !str_empty(c->mems) && cgroup_property_list(b, "AllowedMemoryNodes", c->mems) == 0)
		n++;
	return n;
}

/* Files that systemd has a property for: it would write its own value back. */
static const struct {
	const char *file, *property;
} unified_numbers[] = {
	{ "cpu.weight", "CPUWeight" }, { "memory.high", "MemoryHigh" }, { "memory.low", "MemoryLow" },
	{ "memory.max", "MemoryMax" }, { "memory.min", "MemoryMin" },   { "memory.swap.max", "MemorySwapMax" },
	{ "pids.max", "TasksMax" },
};

static size_t unified(struct dbus_body *b, const char *file, const char *value)
{
	uint64_t n = UINT64_MAX;

	if (!strcmp(file, "cpuset.cpus") || !strcmp(file, "cpuset.mems"))
		return cgroup_property_list(b, file[7] == 'c' ? "AllowedCPUs" : "AllowedMemoryNodes", value) == 0;
	if (!strcmp(file, "cpu.max")) {
		struct oci_cpu c = { .has_quota = true, .quota = -1 };
		char quota[24];
		int words = sscanf(value, "%23s %" SCNu64, quota, &c.period);

		c.has_period = words == 2;
		if (words < 1 || (strcmp(quota, "max") && (parse_u64(quota, &n) < 0 || n > INT64_MAX)))
			return 0;
		c.quota = n > INT64_MAX ? -1 : (int64_t)n;
		return cpu(b, &c, true);
	}
	if (strcmp(value, "max") && parse_u64(value, &n) < 0)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(unified_numbers); i++)
		if (!strcmp(file, unified_numbers[i].file)) {
			cgroup_property_u64(b, unified_numbers[i].property, n);
			return 1;
		}
	return 0;
}

void cgroup_property_resources(struct dbus_body *b, const struct oci_resources *r, bool v2, size_t *ret_n)
{
	size_t n = 0;

	if (r && r->has_memory)
		n += memory(b, &r->memory, v2);
	if (r && r->has_cpu)
		n += cpu(b, &r->cpu, v2);
	if (r && r->has_pids_limit) {
		/* systemd refuses 0; with 1 nothing can be forked either */
		cgroup_property_u64(b, "TasksMax", r->pids_limit == 0 ? 1 : or_infinity(r->pids_limit));
		n++;
	}
	if (r && r->has_block_io && r->block_io.has_weight && r->block_io.weight) {
		cgroup_property_u64(b, v2 ? "IOWeight" : "BlockIOWeight",
				    v2 ? cgroup_limits_io_weight(r->block_io.weight) : r->block_io.weight);
		n++;
	}
	for (size_t i = 0; r && v2 && i < r->n_unified; i++)
		n += unified(b, r->unified[i].key, r->unified[i].value);
	if (ret_n)
		*ret_n = n;
}

/* A quoted string at *p: its content, *p behind it; NULL: none there. Owned. */
static char *quoted(const char **p)
{
	cleanup_str struct str out = { 0 };
	char quote = **p;
	const char *s = *p + 1;

	if (quote != '\'' && quote != '"')
		return NULL;
	for (; *s && *s != quote; s++) {
		if (*s == '\\' && s[1])
			s++;
		str_addc(&out, *s);
	}
	if (!*s)
		return NULL;
	*p = s + 1;
	return str_steal(&out);
}

static int put_array(struct dbus_body *b, const char *name, const char *text)
{
	cleanup_strv char **v = NULL;

	for (text++;;) {
		text += strspn(text, " ");
		if (*text == ']' && !text[1])
			break;
		char *s = quoted(&text);

		if (!s)
			return -EINVAL;
		strv_add_take(&v, s);
		text += strspn(text, " ");
		if (*text == ',')
			text++;
		else if (*text != ']')
			return -EINVAL;
	}
	cgroup_property_strings(b, name, v);
	return 0;
}

static int put_text(struct dbus_body *b, const char *name, const char *text)
{
	bool wide = str_starts(text, "uint64 ");
	const char *digits = text + (wide || str_starts(text, "uint32 ") ? 7 : 0);
	size_t len = strlen(name);
	uint64_t n;

	if (!strcmp(text, "true") || !strcmp(text, "false")) {
		cgroup_property_bool(b, name, text[0] == 't');
	} else if (*text == '[') {
		return put_array(b, name, text);
	} else if (*text == '\'' || *text == '"') {
		cleanup_free char *s = quoted(&text);

		if (!s || *text)
			return -EINVAL;
		cgroup_property_string(b, name, s);
	} else if (parse_u64(digits, &n) == 0) {
		/* seconds have another name on the bus */
		if (str_ends(name, "Sec") && !str_ends(name, "USec") && n <= UINT64_MAX / 1000000) {
			cleanup_free char *usec = xasprintf("%.*sUSec", (int)len - 3, name);

			cgroup_property_u64(b, usec, n * 1000000);
		} else if (wide) {
			cgroup_property_u64(b, name, n);
		} else if (n <= UINT32_MAX) {
			cgroup_property_u32(b, name, (uint32_t)n);
		} else {
			return -EINVAL;
		}
	} else {
		return -EINVAL;
	}
	return 0;
}

int cgroup_property_annotations(struct dbus_body *b, const struct oci_pair *pairs, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		const char *name = pairs[i].key + strlen(ANNOTATION);

		if (!str_starts(pairs[i].key, ANNOTATION))
			continue;
		if (!*name || put_text(b, name, pairs[i].value) < 0)
			return err_set(err, -EINVAL, "annotations[%s]: cannot use \"%s\" as a systemd property",
				       pairs[i].key, pairs[i].value);
	}
	return 0;
}
