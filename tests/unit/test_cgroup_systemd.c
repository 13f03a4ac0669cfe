/* SPDX-License-Identifier: Apache-2.0 */
/* Unit names, slices, and properties as bytes. */
#include "container/cgroup_systemd.h"

#include <errno.h>

#include "base/str.h"
#include "container/cgroup_property.h"
#include "container/dbus.h"
#include "oci/config.h"
#include "tests/unit/tap.h"

static void names(const char *path, const char *want_slice, const char *want_scope)
{
	char *slice = NULL, *scope = NULL;

	is_int(cgroup_systemd_names(path, "c1", false, &slice, &scope, NULL), 0);
	is_str(slice, want_slice);
	is_str(scope, want_scope);
	free(slice);
	free(scope);
}

static void refused(const char *path, const char *part)
{
	char *slice = NULL, *scope = NULL;
	struct err err = { 0 };

	ok(cgroup_systemd_names(path, "c1", false, &slice, &scope, &err) < 0);
	has_str(err.msg, part);
}

static void expands(const char *slice, const char *want)
{
	char *got = cgroup_systemd_expand(slice);

	is_str(got, want);
	free(got);
}

/* The properties as "NAME:TYPE;" by walking the array's elements for the types we use. */
static char *describe(struct dbus_body *b)
{
	struct dbus_message m = { .data = b->data.s, .len = b->data.len };
	struct str out = { 0 };

	while (m.pos < m.len) {
		const char *name, *type, *text;
		uint32_t n, high;

		m.pos = (m.pos + 7) / 8 * 8;
		if (dbus_get_string(&m, &name) < 0 || dbus_get_signature(&m, &type) < 0)
			break;
		str_addf(&out, "%s:%s", name, type);
		if (!strcmp(type, "s")) {
			dbus_get_string(&m, &text);
			str_addf(&out, "=%s", text);
		} else if (!strcmp(type, "t")) {
			m.pos = (m.pos + 7) / 8 * 8;
			dbus_get_u32(&m, &n);
			dbus_get_u32(&m, &high);
			str_addf(&out, "=%llu", ((unsigned long long)high << 32) | n);
		} else if (!strcmp(type, "b") || !strcmp(type, "u")) {
			dbus_get_u32(&m, &n);
			str_addf(&out, "=%u", n);
		} else { /* arrays: their bytes */
			dbus_get_u32(&m, &n);
			for (uint32_t i = 0; i < n; i++)
				str_addf(&out, "%s%02x", i ? "" : "=", (unsigned char)m.data[m.pos + i]);
			m.pos += n;
		}
		str_addc(&out, ';');
	}
	str_free(&b->data);
	return str_steal(&out);
}

static void is_properties(const char *json, bool v2, const char *want)
{
	struct oci_resources *r = NULL;
	struct dbus_body b = { 0 };
	size_t n;

	need(oci_resources_parse(json, strlen(json), &r, NULL) == 0);
	cgroup_property_resources(&b, r, v2, &n);
	char *got = describe(&b);

	is_str(got, want);
	free(got);
	oci_resources_free(r);
}

static int annotation(const char *key, const char *value, char **ret)
{
	struct oci_pair p = { (char *)key, (char *)value };
	struct dbus_body b = { 0 };
	struct err err = { 0 };
	int r = cgroup_property_annotations(&b, &p, 1, &err);

	*ret = describe(&b);
	return r;
}

static void is_annotation(const char *key, const char *value, const char *want)
{
	char *got;

	is_int(annotation(key, value, &got), 0);
	is_str(got, want);
	free(got);
}

int main(void)
{
	char *got;

	names("machine.slice:libpod:abc", "machine.slice", "libpod-abc.scope");
	names(":amphi:x", "system.slice", "amphi-x.scope");
	names("a-b.slice::x", "a-b.slice", "x.scope");
	names(NULL, "system.slice", "amphi-c1.scope");
	refused("/a/b", "slice:prefix:name");
	refused("a:b", "slice:prefix:name");
	refused("a.slice:x:", "unit names");
	refused("a.slice:x:y/../z", "unit names");
	refused("a.slice:x:y.slice", "cannot be a slice");
	expands("-.slice", "");
	expands("a.slice", "/a.slice");
	expands("a-b-c.slice", "/a.slice/a-b.slice/a-b-c.slice");
	expands("a--b.slice", NULL);
	expands("-a.slice", NULL);
	expands("a", NULL);
	expands(".slice", NULL);

	is_properties("{\"memory\":{\"limit\":1000,\"swap\":3000,\"reservation\":500},\"pids\":{\"limit\":0}}", true,
		      "MemoryMax:t=1000;MemoryLow:t=500;MemorySwapMax:t=2000;TasksMax:t=1;");
	is_properties("{\"memory\":{\"limit\":-1},\"pids\":{\"limit\":-1}}", true,
		      "MemoryMax:t=18446744073709551615;TasksMax:t=18446744073709551615;");
	is_properties("{\"cpu\":{\"shares\":1024,\"quota\":12345,\"period\":50000,\"cpus\":\"0-1,9\"}}", true,
		      "CPUWeight:t=100;CPUQuotaPeriodUSec:t=50000;CPUQuotaPerSecUSec:t=250000;AllowedCPUs:ay=0302;");
	is_properties("{\"cpu\":{\"shares\":1024},\"memory\":{\"limit\":5}}", false,
		      "MemoryLimit:t=5;CPUShares:t=1024;");
	is_properties(
		"{\"unified\":{\"memory.high\":\"max\",\"cpu.max\":\"20000 50000\",\"cpuset.mems\":\"1\",\"pids.max\":"
		"\"7\",\"hugetlb.2MB.max\":\"5\"}}",
		true,
		"MemoryHigh:t=18446744073709551615;CPUQuotaPeriodUSec:t=50000;CPUQuotaPerSecUSec:t=400000;"
		"AllowedMemoryNodes:ay=02;TasksMax:t=7;");
	is_properties("{\"unified\":{\"cpu.max\":\"max\",\"memory.max\":\"many\"}}", true,
		      "CPUQuotaPerSecUSec:t=18446744073709551615;");
	is_properties("{}", true, "");

	is_annotation("org.systemd.property.CollectMode", "'inactive-or-failed'", "CollectMode:s=inactive-or-failed;");
	is_annotation("org.systemd.property.TimeoutStopSec", "5", "TimeoutStopUSec:t=5000000;");
	is_annotation("org.systemd.property.TimeoutStopUSec", "uint64 7", "TimeoutStopUSec:t=7;");
	is_annotation("org.systemd.property.Foo", "true", "Foo:b=1;");
	is_annotation("org.systemd.property.After", "['a.service', 'b']",
		      "After:as=09000000612e73657276696365000000010000006200;");
	is_annotation("some.other", "garbage", "");
	is_int(annotation("org.systemd.property.Foo", "garbage", &got), -EINVAL);
	free(got);
	is_int(annotation("org.systemd.property.Foo", "['a'", &got), -EINVAL);
	free(got);
	return tap_done();
}
