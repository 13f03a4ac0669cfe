/* SPDX-License-Identifier: Apache-2.0 */
/* amphi's part of a dump: telling criu what comes from outside. */
/*
 * Theory of operation: criu saves what belongs to the container's namespaces and refuses what it finds there without
 * knowing where it came from. That we tell it: bind mounts and masks are external under the name of their destination
 * in config.json (the real mount point behind it is found by the mount's id, so links in the image do not matter); a network or pid
 * namespace that config.json joins is external too; files of the host that serve as standard streams are external by mount
 * and inode. Pipes need no word in a dump: restore puts its own in their place by the names in descriptors.json.
 */
#include "container/criu_dump.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "container/cgroup.h"
#include "oci/config.h"

#define DUMP_LOG "dump.log"
#define MOUNTINFO_MAX (64U << 20)

/* The mount point of a mount id in the text of a mountinfo file, as criu reads it; owned; NULL: not in it. */
static char *mount_point(const char *mountinfo, unsigned long id)
{
	for (const char *line = mountinfo; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		char point[PATH_MAX * 4];
		unsigned long n;
		struct str b = { 0 };

		if (sscanf(line, "%lu %*u %*s %*s %16383s", &n, point) != 2 || n != id)
			continue;
		for (const char *p = point; *p; p++) {
			unsigned int c;

			if (*p == '\\' && sscanf(p + 1, "%3o", &c) == 1) {
				str_addc(&b, (char)c);
				p += 3;
			} else {
				str_addc(&b, *p);
			}
		}
		return str_steal(&b);
	}
	return NULL;
}

/* If a mount of its own lies on path of the container, its real mount point; owned. */
static char *mounted_on(int root, const char *path, const char *mountinfo)
{
	cleanup_fd int fd = path_open_in(root, path, O_PATH, 0);
	struct statx st;

	if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) < 0 ||
	    !(st.stx_attributes & STATX_ATTR_MOUNT_ROOT))
		return NULL;
	return mount_point(mountinfo, st.stx_mnt_id);
}

static void external_mounts(const struct criu_dump_params *p, int root, const char *mountinfo, struct str *opts)
{
	const struct oci_config *c = p->config;

	for (size_t i = 0; i < c->n_mounts; i++) {
		cleanup_free char *at = NULL;

		if (!oci_mount_is_bind(&c->mounts[i]))
			continue;
		at = mounted_on(root, c->mounts[i].destination, mountinfo);
		if (at)
			criu_external(opts, "mnt", at, c->mounts[i].destination);
	}
	if (p->notify_dir)
		criu_external(opts, "mnt", "/run/notify", "/run/notify");
	for (char **m = c->linux_.masked_paths; m && *m; m++) {
		cleanup_free char *at = mounted_on(root, *m, mountinfo);
		cleanup_fd int fd = at ? path_open_in(root, *m, O_PATH, 0) : -1;
		struct stat st;

		/* directories are masked by a tmpfs, which belongs to the container */
		if (fd >= 0 && fstat(fd, &st) == 0 && S_ISCHR(st.st_mode))
			criu_external(opts, "mnt", at, *m);
	}
	if (!c->linux_.namespaces[OCI_NS_USER].present)
		return;
	/* nodes cannot be made in a user namespace: the host's were bound */
	for (size_t i = 0; i < c->linux_.n_devices; i++) {
		cleanup_free char *at = mounted_on(root, c->linux_.devices[i].path, mountinfo);

		if (at)
			criu_external(opts, "mnt", at, c->linux_.devices[i].path);
	}
	for (const char *const *d = criu_default_devices(); *d; d++) {
		cleanup_free char *at = mounted_on(root, *d, mountinfo);

		if (at)
			criu_external(opts, "mnt", at, *d);
	}
}

/* Joined namespaces that criu leaves alone when told their inodes. */
static int external_namespaces(const struct criu_dump_params *p, struct str *opts, struct err *err)
{
	static const struct {
		enum oci_namespace_kind kind;
		const char *name;
	} all[] = { { OCI_NS_NETWORK, CRIU_OUTER_NET }, { OCI_NS_PID, CRIU_OUTER_PID } };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		const struct oci_namespace *ns = &p->config->linux_.namespaces[all[i].kind];
		const char *file = oci_namespace_file(all[i].kind);
		cleanup_free char *path = NULL;
		char inode[32];
		struct stat st;

		if (!ns->present || !ns->path)
			continue;
		path = xasprintf("/proc/%d/ns/%s", p->pid, file);
		if (stat(path, &st) < 0)
			return err_sys(err, -errno, "%s", path);
		snprintf(inode, sizeof(inode), "%" PRIu64, (uint64_t)st.st_ino);
		criu_external(opts, file, inode, all[i].name);
	}
	return 0;
}

static unsigned long mount_id(pid_t pid, int fd)
{
	cleanup_free char *path = xasprintf("/proc/%d/fdinfo/%d", pid, fd), *text = NULL;
	const char *p;

	if (fd_slurp_at(AT_FDCWD, path, 65536, &text, NULL) < 0)
		return 0;
	p = strstr(text, "mnt_id:");
	return p ? strtoul(p + strlen("mnt_id:"), NULL, 10) : 0;
}

/* The name under which restore finds a standard stream again; a file of the host becomes external. */
static char *stream(pid_t pid, int fd, const char *mountinfo, struct str *opts)
{
	cleanup_free char *path = xasprintf("/proc/%d/fd/%d", pid, fd), *outside = NULL, *point = NULL;
	char target[PATH_MAX];
	ssize_t n = readlink(path, target, sizeof(target) - 1);
	unsigned long id = mount_id(pid, fd);
	struct stat st;

	if (n < 0)
		return xstrdup("");
	target[n] = '\0';
	if (target[0] != '/' || stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return xstrdup(target);
	point = mount_point(mountinfo, id);
	if (point)
		return xstrdup(target);
	outside = xasprintf("file[%lx:%" PRIx64 "]", id, (uint64_t)st.st_ino);
	criu_rpc_string(opts, 37, outside);
	return steal_ptr(outside);
}

static char *streams(const struct criu_dump_params *p, const char *mountinfo, struct str *opts)
{
	struct json_writer w = { 0 };

	json_w_array(&w, NULL);
	for (int fd = 0; fd < 3; fd++) {
		cleanup_free char *name = stream(p->pid, fd, mountinfo, opts);

		json_w_string(&w, NULL, name);
	}
	json_w_array_end(&w);
	return json_w_steal(&w);
}

int criu_dump_opts(const struct criu_dump_params *p, struct str *ret_opts, char **ret_streams, struct err *err)
{
	const struct criu_options *o = p->options;
	cleanup_free char *info = xasprintf("/proc/%d/mountinfo", p->pid), *mountinfo = NULL;
	cleanup_free char *path = xasprintf("/proc/%d/root", p->pid);
	cleanup_fd int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	const char *freezer = NULL;
	int r;

	if (root < 0)
		return err_sys(err, -errno, "%s", path);
	r = fd_slurp_at(AT_FDCWD, info, MOUNTINFO_MAX, &mountinfo, NULL);
	if (r < 0)
		return err_sys(err, r, "%s", info);
	criu_common_opts(o, p->rootfs, DUMP_LOG, ret_opts);
	criu_rpc_number(ret_opts, CRIU_OPT_PID, p->pid);
	criu_rpc_flag(ret_opts, CRIU_OPT_LEAVE_RUNNING, o->leave_running);
	criu_rpc_flag(ret_opts, CRIU_OPT_TRACK_MEM, o->pre_dump);
	criu_rpc_string(ret_opts, CRIU_OPT_PARENT, o->parent_path);
	if (o->status_fd >= 0)
		criu_rpc_number(ret_opts, CRIU_OPT_STATUS_FD, CRIU_FIRST_FD);
	if (p->cgroup && cgroup_exists(p->cgroup))
		freezer = cgroup_mode() == CGROUP_MODE_V2 ? cgroup_dir(p->cgroup, NULL) :
							    cgroup_dir(p->cgroup, "freezer");
	criu_rpc_string(ret_opts, CRIU_OPT_FREEZE_CGROUP, freezer);
	external_mounts(p, root, mountinfo, ret_opts);
	r = external_namespaces(p, ret_opts, err);
	if (!r)
		*ret_streams = streams(p, mountinfo, ret_opts);
	return r;
}

/* What the kernel or criu may lack though plain dumps work. */
static int check_features(const struct criu_options *o, struct err *err)
{
	int r = o->pre_dump ? criu_has_feature("mem_dirty_track", err) : 1;

	if (r == 0)
		return err_set(err, ENOTSUP,
			       "option --pre-dump: this kernel does not track memory changes "
			       "(CONFIG_MEM_SOFT_DIRTY)");
	if (r > 0 && o->lazy_pages)
		r = criu_has_feature("uffd-noncoop", err);
	if (r == 0)
		return err_set(err, ENOTSUP, "option --lazy-pages: this kernel has no userfaultfd for it");
	return r < 0 ? r : 0;
}

/* criu talks until it is done; nothing that it notifies of needs us here. */
static int follow(struct criu *c, const struct criu_dump_params *p, struct err *err)
{
	for (;;) {
		cleanup_criu_rpc_reply struct criu_rpc_reply reply = { .fd = -1 };
		int r = criu_next(c, &reply, err);

		if (r < 0)
			return r;
		if (reply.type != CRIU_RPC_NOTIFY)
			return reply.success ? 0 :
					       criu_failed(p->options, p->options->pre_dump ? "PRE_DUMP" : "DUMP",
							   DUMP_LOG, &reply, err);
		r = criu_go_on(c, err);
		if (r < 0)
			return r;
	}
}

/* criu binds external mounts again at restore, without their ids: files would have other owners. */
static int check_mounts(const struct oci_config *c, struct err *err)
{
	for (size_t i = 0; i < c->n_mounts; i++) {
		const struct oci_mount *m = &c->mounts[i];

		if (m->n_uid_mappings || m->n_gid_mappings || oci_mount_has(m, "idmap") || oci_mount_has(m, "ridmap"))
			return err_set(err, ENOTSUP,
				       "checkpoint: mounts[%zu]: criu cannot save an id-mapped mount (%s)", i,
				       m->destination);
	}
	return 0;
}

int criu_dump(const struct criu_dump_params *p, struct err *err)
{
	const struct criu_options *o = p->options;
	cleanup_criu struct criu c = CRIU_INIT;
	cleanup_str struct str opts = { 0 };
	cleanup_free char *streams_text = NULL;
	const struct criu_spawn s = { .fds = &o->status_fd, .n_fds = 1 };
	int r = check_mounts(p->config, err);

	if (!r)
		r = criu_check(NULL, err);
	if (!r)
		r = check_features(o, err);
	if (!r)
		r = criu_dump_opts(p, &opts, &streams_text, err);
	if (r < 0)
		return r;
	if (!o->pre_dump) {
		r = path_write_atomic(o->images_fd, CRIU_STREAMS, streams_text, strlen(streams_text), 0600);
		if (r < 0)
			return err_sys(err, r, "option --image-path: " CRIU_STREAMS);
	}
	r = criu_start(&c, &s, err);
	if (!r)
		r = criu_request(&c, o->pre_dump ? CRIU_RPC_PRE_DUMP : CRIU_RPC_DUMP, &opts, err);
	return r < 0 ? r : follow(&c, p, err);
}
