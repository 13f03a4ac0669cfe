/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor's jail. */
/*
 * Theory of operation: the monitor is a container process like any other, so its jail is a config.json that
 * container_create() applies: own mount, pid, ipc and uts namespaces, the container's network namespace, a root with
 * nothing in it but the export tree (rootfs, and one bind mount for each bind mount of the container), /proc and a
 * minimal /dev; no new privileges, and the capabilities that virtio-fs needs to act for the guest's users on files. They are the
 * process's own: none is in the bounding set, so QEMU, which it may execute, is root without any.
 * What a read-only mount forbids is forbidden here, by the host's kernel, whatever the guest does. Under QEMU the
 * jail also shows QEMU's program and data files, read-only.
 *
 * A user without root has a user namespace in config.json, with which all of that can be done: it becomes the jail's. virtio-fs
 * then sees files with the ids of the container, and inside the machine these are taken as they are.
 */
#include "runtime/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "oci/config.h"
#include "vm/qemu.h"

#define MONITOR_BYTES (64ULL << 20)
#define QEMU_BYTES (512ULL << 20)

static void write_maps(struct json_writer *w, const char *key, const struct oci_idmap *maps, size_t n)
{
	json_w_array(w, key);
	for (size_t i = 0; i < n; i++) {
		json_w_object(w, NULL);
		json_w_u64(w, "containerID", maps[i].container_id);
		json_w_u64(w, "hostID", maps[i].host_id);
		json_w_u64(w, "size", maps[i].size);
		json_w_object_end(w);
	}
	json_w_array_end(w);
}

static void begin_mount(struct json_writer *w, const char *destination, const char *type, const char *source,
			const char *const *options)
{
	json_w_object(w, NULL);
	json_w_string(w, "destination", destination);
	json_w_string(w, "type", type);
	json_w_string(w, "source", source);
	json_w_strv(w, "options", (char *const *)options);
}

static void write_mount(struct json_writer *w, const char *destination, const char *type, const char *source,
			const char *const *options)
{
	begin_mount(w, destination, type, source, options);
	json_w_object_end(w);
}

/* A bind mount of the container as the export tree shows it: read-only, propagation and id map as asked. */
static void write_export(struct json_writer *w, const char *destination, const char *source, const struct oci_mount *m,
			 const struct oci_linux *l, bool readonly)
{
	bool mapped = m && (oci_mount_has(m, "idmap") || oci_mount_has(m, "ridmap"));
	bool own = m && (m->n_uid_mappings || m->n_gid_mappings);
	const char *options[8] = { m && oci_mount_has(m, "bind") ? "bind" : "rbind" };
	size_t n = 1;

	if (m && oci_mount_has(m, "rslave"))
		options[n++] = "rslave";
	else if (m && oci_mount_has(m, "slave"))
		options[n++] = "slave";
	else
		options[n++] = "rprivate";
	if (m && oci_mount_has(m, "rro"))
		options[n++] = "rro";
	else if (readonly)
		options[n++] = "ro";
	/* the recursive words: those of the mount itself would take away other flags of the source */
	options[n++] = "rnosuid";
	options[n++] = "rnodev";
	if (mapped)
		options[n++] = oci_mount_has(m, "ridmap") ? "ridmap" : "idmap";
	begin_mount(w, destination, "bind", source, options);
	/* the jail has no user namespace whose maps would be meant */
	if (mapped) {
		write_maps(w, "uidMappings", own ? m->uid_mappings : l->uid_mappings,
			   own ? m->n_uid_mappings : l->n_uid_mappings);
		write_maps(w, "gidMappings", own ? m->gid_mappings : l->gid_mappings,
			   own ? m->n_gid_mappings : l->n_gid_mappings);
	}
	json_w_object_end(w);
}

bool jail_mount_readonly(const struct oci_mount *m)
{
	bool ro = false;

	for (char **o = m->options; o && *o; o++)
		if (!strcmp(*o, "ro") || !strcmp(*o, "rro"))
			ro = true;
		else if (!strcmp(*o, "rw"))
			ro = false;
	return ro;
}

static void write_qemu(struct json_writer *w, const struct jail_request *req)
{
	static const char *const ro[] = { "rbind", "ro", "rprivate", NULL };
	static const char *const tmp[] = { "nosuid", "nodev", "mode=1777", "size=16m", NULL };

	for (const char *const *p = qemu_host_paths; *p; p++)
		if (access(*p, F_OK) == 0)
			write_mount(w, *p, "bind", *p, ro);
	write_mount(w, JAIL_KERNEL, "bind", req->kernel, ro);
	write_mount(w, JAIL_INITRD, "bind", req->initrd, ro);
	write_mount(w, "/tmp", "tmpfs", "tmpfs", tmp);
	if (access("/dev/kvm", R_OK | W_OK) == 0)
		write_mount(w, "/dev/kvm", "bind", "/dev/kvm", (const char *const[]){ "bind", NULL });
}

static void write_mounts(struct json_writer *w, const struct jail_request *req)
{
	/* read-only: uid 0 may write the host's settings there without any capability */
	static const char *const proc[] = { "ro", "nosuid", "nodev", "noexec", NULL };
	static const char *const dev[] = { "nosuid", "noexec", "mode=755", "size=64k", NULL };
	const struct oci_config *c = req->config;

	json_w_array(w, "mounts");
	write_mount(w, "/proc", "proc", "proc", proc);
	write_mount(w, "/dev", "tmpfs", "tmpfs", dev);
	if (!req->rootfs) {
		json_w_array_end(w);
		return;
	}
	write_export(w, JAIL_EXPORT "/rootfs", req->rootfs, NULL, &c->linux_, c->root.readonly);
	for (size_t i = 0; i < c->n_mounts; i++) {
		cleanup_free char *to = xasprintf(JAIL_EXPORT "/mounts/%zu", i);

		if (oci_mount_is_bind(&c->mounts[i]))
			write_export(w, to, c->mounts[i].source, &c->mounts[i], &c->linux_,
				     jail_mount_readonly(&c->mounts[i]));
		else if (oci_mount_exported(&c->mounts[i]))
			write_mount(w, to, c->mounts[i].type,
				    c->mounts[i].source ? c->mounts[i].source : c->mounts[i].type,
				    (const char *const *)c->mounts[i].options);
	}
	if (req->qemu)
		write_qemu(w, req);
	json_w_array_end(w);
}

static void write_process(struct json_writer *w, const struct jail_request *req)
{
	const struct oci_config *c = req->config;
	static const char *const none[] = { NULL };
	static const char *const caps[] = { "CAP_CHOWN",  "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH",
					    "CAP_FOWNER", "CAP_FSETID",       "CAP_SETGID",
					    "CAP_SETUID", "CAP_MKNOD",        "CAP_SETFCAP",
					    NULL };
	static const char *const args[] = { "amphi", NULL };
	static const char *const sets[] = { "effective", "permitted" };

	json_w_object(w, "process");
	json_w_bool(w, "terminal", false);
	json_w_string(w, "cwd", "/");
	json_w_strv(w, "args", (char *const *)args);
	json_w_object(w, "user");
	json_w_u64(w, "uid", 0);
	json_w_u64(w, "gid", 0);
	json_w_object_end(w);
	json_w_object(w, "capabilities");
	/* the monitor executes nothing but QEMU, which is to have none */
	json_w_strv(w, "bounding", (char *const *)none);
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		json_w_strv(w, sets[i], (char *const *)(req->rootfs ? caps : none));
	json_w_object_end(w);
	json_w_bool(w, "noNewPrivileges", true);
	if (c->process.has_oom_score_adj)
		json_w_i64(w, "oomScoreAdj", c->process.oom_score_adj);
	json_w_object_end(w);
}

static void write_namespaces(struct json_writer *w, const struct oci_config *c, bool userns)
{
	static const char *const own[] = { "pid", "ipc", "uts", "mount", "user" };
	const struct oci_namespace *net = &c->linux_.namespaces[OCI_NS_NETWORK];

	json_w_array(w, "namespaces");
	for (size_t i = 0; i < ARRAY_SIZE(own) - !userns; i++) {
		json_w_object(w, NULL);
		json_w_string(w, "type", own[i]);
		json_w_object_end(w);
	}
	json_w_object(w, NULL);
	json_w_string(w, "type", "network");
	if (net->path)
		json_w_string(w, "path", net->path);
	json_w_object_end(w);
	json_w_array_end(w);
}

int jail_config(const struct jail_request *req, struct oci_config **ret, struct err *err)
{
	struct json_writer w = { 0 };
	cleanup_free char *text = NULL;
	int r;

	json_w_object(&w, NULL);
	json_w_string(&w, "ociVersion", "1.2.0");
	json_w_object(&w, "root");
	json_w_string(&w, "path", req->root);
	json_w_bool(&w, "readonly", true);
	json_w_object_end(&w);
	json_w_string(&w, "hostname", "amphi-vmm");
	write_mounts(&w, req);
	write_process(&w, req);
	json_w_object(&w, "linux");
	write_namespaces(&w, req->config, req->userns);
	if (req->userns) {
		write_maps(&w, "uidMappings", req->config->linux_.uid_mappings, req->config->linux_.n_uid_mappings);
		write_maps(&w, "gidMappings", req->config->linux_.gid_mappings, req->config->linux_.n_gid_mappings);
	}
	json_w_object_end(&w);
	json_w_object_end(&w);
	text = json_w_steal(&w);
	r = oci_config_parse(text, strlen(text), ret, err);
	return r < 0 ? err_wrap(err, "the monitor's jail") : 0;
}

/* Does a mount before the i-th one cover its destination? */
static bool covered(const struct oci_config *c, size_t i, const char *destination)
{
	for (size_t k = 0; k < i; k++) {
		cleanup_free char *above = path_clean(c->mounts[k].destination);

		if (strcmp(above, "/") && path_is_below(destination, above))
			return true;
	}
	return false;
}

static bool is_file_bind(const struct oci_mount *m)
{
	struct stat st;

	return oci_mount_is_bind(m) && m->source && stat(m->source, &st) == 0 && !S_ISDIR(st.st_mode);
}

/* The working directory too. */
static void make_cwd(const struct oci_config *config, int root)
{
	cleanup_free char *cwd = config->process.cwd ? path_clean(config->process.cwd) : NULL;
	int fd;

	if (!cwd || *cwd != '/' || covered(config, config->n_mounts, cwd))
		return;
	fd = path_open_in(root, cwd, O_PATH, 0);
	if (fd == -ENOENT)
		fd = path_mkdirs_in(root, cwd, 0755, -1, -1);
	if (fd >= 0)
		close(fd);
}

int jail_mount_points(const struct oci_config *config, const char *rootfs, struct err *err)
{
	cleanup_fd int root = -1;

	root = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return err_sys(err, -errno, "root.path: %s", rootfs);
	for (size_t i = 0; i < config->n_mounts; i++) {
		const struct oci_mount *m = &config->mounts[i];
		cleanup_free char *path = path_clean(m->destination);
		char proc[FD_PATH_MAX];
		int fd;

		if (covered(config, i, path))
			continue;
		fd = path_open_in(root, path, O_PATH, 0);
		if (fd == -ENOENT && is_file_bind(m)) {
			fd = path_touch_in(root, path, 0644);
		} else if (fd == -ENOENT) {
			fd = path_mkdirs_in(root, path, 0755, -1, -1);
			/* a tmpfs without a mode takes that of the directory it covers; where there was none it is 1777 */
			if (fd >= 0 && m->type && !strcmp(m->type, "tmpfs"))
				(void)!chmod(fd_path(fd, proc), 01777);
		}
		/* what cannot be made is the guest's error to tell, with the mount's name */
		if (fd >= 0)
			close(fd);
	}
	make_cwd(config, root);
	return 0;
}

/* The config without its user namespace; takes *text and replaces it. */
static int drop_userns(const struct oci_config *config, char **text, struct err *err)
{
	cleanup_free char *before = steal_ptr(*text), *over = NULL;
	struct json_writer w = { 0 };

	json_w_object(&w, NULL);
	json_w_object(&w, "linux");
	json_w_array(&w, "namespaces");
	for (int k = 0; k < OCI_NS_MAX; k++) {
		const struct oci_namespace *ns = &config->linux_.namespaces[k];

		if (k == OCI_NS_USER || !ns->present)
			continue;
		json_w_object(&w, NULL);
		json_w_string(&w, "type", oci_namespace_word((enum oci_namespace_kind)k));
		if (ns->path)
			json_w_string(&w, "path", ns->path);
		json_w_object_end(&w);
	}
	json_w_array_end(&w);
	write_maps(&w, "uidMappings", NULL, 0);
	write_maps(&w, "gidMappings", NULL, 0);
	json_w_object_end(&w);
	json_w_object_end(&w);
	over = json_w_steal(&w);
	return oci_config_merge(before, strlen(before), over, text, err);
}

int jail_guest_config(const struct oci_config *config, const char *json, size_t len, const char *dir, bool userns,
		      char **ret, struct err *err)
{
	cleanup_free char *root = path_join(dir, "rootfs");
	size_t n = config->n_mounts;
	char **sources = xcalloc(n + 1, sizeof(*sources));
	int r;

	for (size_t i = 0; i < n; i++)
		if (oci_mount_exported(&config->mounts[i]))
			sources[i] = xasprintf("%s/mounts/%zu", dir, i);
	r = oci_config_rewrite(json, len, root, sources, n, ret, err);
	if (!r && userns)
		r = drop_userns(config, ret, err);
	for (size_t i = 0; i < n; i++)
		free(sources[i]);
	free(sources);
	return r;
}

unsigned long long jail_overhead(bool qemu)
{
	return qemu ? QEMU_BYTES : MONITOR_BYTES;
}

void jail_limits(const struct oci_config *config, unsigned long long machine_bytes, bool qemu,
		 struct oci_resources *ret)
{
	static const struct oci_device_rule rules[] = {
		{ .allow = false, .type = 'a', .r = true, .w = true, .m = true },
		/* virtio-fs makes nodes for the guest, it never opens them */
		{ .allow = true, .type = 'c', .m = true },
		{ .allow = true, .type = 'b', .m = true },
		{ .allow = true,
		  .type = 'c',
		  .has_major = true,
		  .major = 1,
		  .has_minor = true,
		  .minor = 3,
		  .r = true,
		  .w = true },
		{ .allow = true,
		  .type = 'c',
		  .has_major = true,
		  .major = 1,
		  .has_minor = true,
		  .minor = 5,
		  .r = true,
		  .w = true },
		{ .allow = true,
		  .type = 'c',
		  .has_major = true,
		  .major = 1,
		  .has_minor = true,
		  .minor = 7,
		  .r = true,
		  .w = true },
		{ .allow = true, .type = 'c', .has_major = true, .major = 1, .has_minor = true, .minor = 8, .r = true },
		{ .allow = true, .type = 'c', .has_major = true, .major = 1, .has_minor = true, .minor = 9, .r = true },
		{ .allow = true, .type = 'c', .has_major = true, .major = 5, .r = true, .w = true },
		{ .allow = true, .type = 'c', .has_major = true, .major = 136, .r = true, .w = true },
		{ .allow = true,
		  .type = 'c',
		  .has_major = true,
		  .major = 10,
		  .has_minor = true,
		  .minor = 232,
		  .r = true,
		  .w = true },
	};
	const struct oci_resources *have = config->linux_.has_resources ? &config->linux_.resources : NULL;

	*ret = (struct oci_resources){ .devices = (struct oci_device_rule *)rules, .n_devices = ARRAY_SIZE(rules) };
	if (!have)
		return;
	ret->has_cpu = have->has_cpu;
	ret->cpu = have->cpu;
	ret->has_block_io = have->has_block_io;
	ret->block_io = have->block_io;
	if (have->has_memory && have->memory.has_limit && have->memory.limit > 0) {
		ret->has_memory = true;
		ret->memory.has_limit = true;
		ret->memory.limit = (int64_t)(machine_bytes + jail_overhead(qemu));
	}
}

void jail_member_limits(struct oci_resources *limits)
{
	struct oci_resources all = *limits;

	*limits = (struct oci_resources){ .devices = all.devices, .n_devices = all.n_devices };
	limits->has_memory = all.has_memory;
	limits->memory.has_limit = all.has_memory;
	limits->memory.limit = MONITOR_BYTES;
}
