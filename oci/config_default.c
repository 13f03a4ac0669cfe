/* SPDX-License-Identifier: Apache-2.0 */
/* The document of `amphi spec`: the values runc writes, as one template. */
/*
 * The document is written through base/json's writer in runc's order of members, so that a diff against `runc
 * spec` shows the version alone. The rootless form differs as runc's does: a user namespace in place of the
 * network namespace, mappings of the caller, /sys bound from the host, no gid option on devpts, no resources.
 */
#include "oci/config_default.h"

#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "oci/config.h"

static void strings(struct json_writer *w, const char *key, const char *const *v)
{
	json_w_array(w, key);
	for (; *v; v++)
		json_w_string(w, NULL, *v);
	json_w_array_end(w);
}
#define STRINGS(w, key, ...) strings(w, key, (const char *const[]){ __VA_ARGS__, NULL })

static void mount(struct json_writer *w, const char *dest, const char *type, const char *source,
		  const char *const *options)
{
	json_w_object(w, NULL);
	json_w_string(w, "destination", dest);
	json_w_string(w, "type", type);
	json_w_string(w, "source", source);
	if (options)
		strings(w, "options", options);
	json_w_object_end(w);
}
#define OPTIONS(...) \
	(const char *const[]) \
	{ \
		__VA_ARGS__, NULL \
	}

static void process(struct json_writer *w)
{
	static const char *const sets[] = { "bounding", "effective", "permitted" };

	json_w_object(w, "process");
	json_w_bool(w, "terminal", true);
	json_w_object(w, "user");
	json_w_u64(w, "uid", 0);
	json_w_u64(w, "gid", 0);
	json_w_object_end(w);
	STRINGS(w, "args", "sh");
	STRINGS(w, "env", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm");
	json_w_string(w, "cwd", "/");
	json_w_object(w, "capabilities");
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		STRINGS(w, sets[i], "CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE");
	json_w_object_end(w);
	json_w_array(w, "rlimits");
	json_w_object(w, NULL);
	json_w_string(w, "type", "RLIMIT_NOFILE");
	json_w_u64(w, "hard", 1024);
	json_w_u64(w, "soft", 1024);
	json_w_object_end(w);
	json_w_array_end(w);
	json_w_bool(w, "noNewPrivileges", true);
	json_w_object_end(w);
}

static void mounts(struct json_writer *w, bool rootless)
{
	json_w_array(w, "mounts");
	mount(w, "/proc", "proc", "proc", NULL);
	mount(w, "/dev", "tmpfs", "tmpfs", OPTIONS("nosuid", "strictatime", "mode=755", "size=65536k"));
	mount(w, "/dev/pts", "devpts", "devpts",
	      rootless ? OPTIONS("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620") :
			 OPTIONS("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"));
	mount(w, "/dev/shm", "tmpfs", "shm", OPTIONS("nosuid", "noexec", "nodev", "mode=1777", "size=65536k"));
	mount(w, "/dev/mqueue", "mqueue", "mqueue", OPTIONS("nosuid", "noexec", "nodev"));
	if (rootless)
		mount(w, "/sys", "none", "/sys", OPTIONS("rbind", "nosuid", "noexec", "nodev", "ro"));
	else
		mount(w, "/sys", "sysfs", "sysfs", OPTIONS("nosuid", "noexec", "nodev", "ro"));
	mount(w, "/sys/fs/cgroup", "cgroup", "cgroup", OPTIONS("nosuid", "noexec", "nodev", "relatime", "ro"));
	json_w_array_end(w);
}

static void mapping(struct json_writer *w, const char *key, uint32_t host)
{
	json_w_array(w, key);
	json_w_object(w, NULL);
	json_w_u64(w, "containerID", 0);
	json_w_u64(w, "hostID", host);
	json_w_u64(w, "size", 1);
	json_w_object_end(w);
	json_w_array_end(w);
}

static void namespaces(struct json_writer *w, bool rootless, bool cgroupns)
{
	static const char *const root_kinds[] = { "pid", "network", "ipc", "uts", "mount", "cgroup", NULL };
	static const char *const rootless_kinds[] = { "pid", "ipc", "uts", "mount", "cgroup", "user", NULL };

	json_w_array(w, "namespaces");
	for (const char *const *k = rootless ? rootless_kinds : root_kinds; *k; k++) {
		if (!cgroupns && !strcmp(*k, "cgroup"))
			continue;
		json_w_object(w, NULL);
		json_w_string(w, "type", *k);
		json_w_object_end(w);
	}
	json_w_array_end(w);
}

char *oci_config_default(bool rootless, bool cgroupns, uid_t uid, gid_t gid)
{
	struct json_writer w = { .indent = 4 };
	struct str s = { 0 };
	cleanup_free char *text = NULL;

	json_w_object(&w, NULL);
	json_w_string(&w, "ociVersion", OCI_VERSION);
	process(&w);
	json_w_object(&w, "root");
	json_w_string(&w, "path", "rootfs");
	json_w_bool(&w, "readonly", true);
	json_w_object_end(&w);
	json_w_string(&w, "hostname", "amphi");
	mounts(&w, rootless);
	json_w_object(&w, "linux");
	if (rootless) {
		mapping(&w, "uidMappings", uid);
		mapping(&w, "gidMappings", gid);
	} else {
		json_w_object(&w, "resources");
		json_w_array(&w, "devices");
		json_w_object(&w, NULL);
		json_w_bool(&w, "allow", false);
		json_w_string(&w, "access", "rwm");
		json_w_object_end(&w);
		json_w_array_end(&w);
		json_w_object_end(&w);
	}
	namespaces(&w, rootless, cgroupns);
	STRINGS(&w, "maskedPaths", "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi");
	STRINGS(&w, "readonlyPaths", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger");
	json_w_object_end(&w);
	json_w_object_end(&w);
	text = json_w_steal(&w);
	str_add(&s, text);
	if (!str_ends(text, "\n"))
		str_addc(&s, '\n');
	return str_steal(&s);
}
