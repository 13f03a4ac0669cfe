/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of the machine's containers.
 *
 * The config was made for the host and rewritten there for its mounts; here only that is changed which the machine
 * stands for itself: the network namespace (the machine's own), hooks that ran on the host, the cgroup's place, sets of
 * processors; id maps of bind mounts, which the host has applied; the host's devices of a privileged one; and for a pod's
 * member the sandbox's namespaces.
 *
 * The machine goes with its own container, the sandbox of a pod. What is left of the members then is killed, and told to the host,
 * before the sandbox's end is: they end like any process that lost its machine's first one, with 137, and not as lost.
 */
#include "vm/guest/guest_record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "container/cgroup.h"
#include "container/cgroup_plan.h"
#include "oci/config.h"

#define RECORD_DIR "/run/amphi/containers"
#define PODS_DIR PROTO_EXPORT_DIR "/pods/"
#define ID_MAX 1024u
/* Locked by the sessions of a pod's members while they live; no id begins with a dot. */
#define HOLD_FILE RECORD_DIR "/.members"
#define HOLD_TRIES 300
#define HOLD_PAUSE_NS 10000000

void guest_record_free(struct guest_record *r)
{
	free(r->id);
	free(r->sandbox);
	if (r->dirfd >= 0)
		close(r->dirfd);
	oci_config_free(r->config);
	cgroup_free(r->cgroup);
}
static bool id_valid(const char *id)
{
	static const char set[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+.-";

	return *id && *id != '.' && strlen(id) <= ID_MAX && strspn(id, set) == strlen(id);
}

static int take_id(const struct proto_msg *m, char **ret, struct err *err)
{
	int r = proto_get_string(m, PROTO_F_ID, ret, err);

	if (r < 0)
		return r;
	return id_valid(*ret) ? 0 : err_set(err, -EINVAL, "invalid container id");
}

void guest_record_drop_host(struct oci_resources *r)
{
	free(steal_ptr(r->cpu.cpus));
	free(steal_ptr(r->cpu.mems));
	r->has_block_io = false;
}

/* Ids of bind mounts are mapped by the host, in the tree that it exports. */
static void drop_idmap(struct oci_mount *m)
{
	size_t n = 0;

	free(steal_ptr(m->uid_mappings));
	free(steal_ptr(m->gid_mappings));
	m->n_uid_mappings = m->n_gid_mappings = 0;
	for (char **o = m->options; o && *o; o++) {
		if (strcmp(*o, "idmap") != 0 && strcmp(*o, "ridmap") != 0)
			m->options[n++] = *o;
		else
			free(*o);
	}
	if (m->options)
		m->options[n] = NULL;
}

/* Of the devices that engines took from the host's /dev for who may use all: those that the machine has too. */
static void keep_own_devices(struct oci_linux *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n_devices; i++) {
		struct oci_device *d = &l->devices[i];
		mode_t type = d->type == 'p' ? S_IFIFO : d->type == 'b' ? S_IFBLK : S_IFCHR;
		struct stat st;

		if (d->type == 'p' ||
		    (stat(d->path, &st) == 0 && (st.st_mode & S_IFMT) == type &&
		     st.st_rdev == makedev((unsigned int)d->major, (unsigned int)d->minor)))
			l->devices[n++] = *d;
		else
			free(d->path);
	}
	l->n_devices = n;
}

/* What the machine itself stands for; see the head of the file. */
static void adapt_config(struct oci_config *c, const char *id)
{
	struct oci_namespace *net = &c->linux_.namespaces[OCI_NS_NETWORK];

	free(net->path);
	*net = (struct oci_namespace){ 0 };
	for (int k = 0; k < OCI_HOOK_MAX; k++)
		if (k != OCI_HOOK_START_CONTAINER)
			c->hooks[k].n = 0;
	free(c->linux_.cgroups_path);
	c->linux_.cgroups_path = xasprintf("/%s", id);
	guest_record_drop_host(&c->linux_.resources);
	if (oci_resources_all_devices(&c->linux_.resources))
		keep_own_devices(&c->linux_);
	for (size_t i = 0; i < c->n_mounts; i++)
		if (oci_mount_is_bind(&c->mounts[i]))
			drop_idmap(&c->mounts[i]);
}

/* The host has seen to it that a namespace with a path is the sandbox's: here it is the one of its first process. */
static void share_namespaces(struct oci_config *c, pid_t sandbox)
{
	static const struct {
		enum oci_namespace_kind kind;
		const char *file;
	} shared[] = { { OCI_NS_IPC, "ipc" }, { OCI_NS_UTS, "uts" }, { OCI_NS_PID, "pid" }, { OCI_NS_USER, "user" } };

	for (size_t i = 0; i < ARRAY_SIZE(shared); i++) {
		struct oci_namespace *ns = &c->linux_.namespaces[shared[i].kind];

		if (!ns->path)
			continue;
		free(ns->path);
		ns->path = xasprintf("/proc/%d/ns/%s", (int)sandbox, shared[i].file);
	}
}

int guest_record_cgroup(struct guest_record *rec, struct err *err)
{
	const struct oci_config *c = rec->config;
	struct cgroup_params p = {
		.id = rec->id,
		.cgroups_path = c->linux_.cgroups_path,
		.driver = CGROUP_DRIVER_FS,
		.resources = c->linux_.has_resources ? &c->linux_.resources : NULL,
	};
	int r;

	p.delegate = cgroup_plan_owner(c, &p.owner_uid);
	r = cgroup_new(&p, &rec->cgroup, err);
	return r < 0 ? r : cgroup_create(rec->cgroup, err);
}

int guest_record_save(const struct guest_record *rec, struct err *err)
{
	struct json_writer w = { 0 };
	cleanup_free char *text = NULL;
	int r;

	json_w_object(&w, NULL);
	json_w_i64(&w, "pid", rec->pid);
	json_w_u64(&w, "startTime", rec->start_time);
	cgroup_save(rec->cgroup, "cgroup", &w);
	json_w_object_end(&w);
	text = json_w_steal(&w);
	r = path_write_atomic(rec->dirfd, "record.json", text, strlen(text), 0600);
	return r < 0 ? err_sys(err, r, "%s/record.json", rec->id) : 0;
}

static int open_record_dir(const char *id)
{
	cleanup_free char *path = xasprintf(RECORD_DIR "/%s", id);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int load_of(struct guest_record *rec, struct err *err)
{
	cleanup_free char *text = NULL, *config = NULL;
	cleanup_json_doc struct json_doc *doc = NULL;
	const struct json *cgroup;
	size_t len, config_len;
	int64_t pid = 0;
	uint64_t start = 0;
	int r;

	rec->dirfd = open_record_dir(rec->id);
	if (rec->dirfd < 0 || fd_slurp_at(rec->dirfd, "record.json", 1 << 20, &text, &len) < 0 ||
	    fd_slurp_at(rec->dirfd, "config.json", PROTO_MSG_MAX, &config, &config_len) < 0)
		return err_set(err, -ESRCH, "container not running");
	doc = json_parse(text, len, "record.json", err);
	if (!doc || json_opt_i64(json_root(doc), "pid", &pid, err) < 0 ||
	    json_opt_u64(json_root(doc), "startTime", &start, err) < 0)
		return -EINVAL;
	rec->pid = (pid_t)pid;
	rec->start_time = start;
	cgroup = json_get(json_root(doc), "cgroup");
	r = cgroup ? cgroup_load(cgroup, &rec->cgroup, err) : err_set(err, -EINVAL, "record.json: no cgroup");
	if (r < 0)
		return r;
	r = oci_config_parse(config, config_len, &rec->config, err);
	if (r < 0)
		return r;
	adapt_config(rec->config, rec->id);
	return 0;
}

int guest_record_load(const struct proto_msg *m, struct guest_record *rec, struct err *err)
{
	int r = take_id(m, &rec->id, err);

	return r < 0 ? r : load_of(rec, err);
}

/* What a pod's member had of the host's tree: the host takes its mounts away when nobody holds them. */
static void leave_export(const struct oci_config *c)
{
	for (size_t i = 0; i < c->n_mounts; i++)
		if (oci_mount_is_bind(&c->mounts[i]) && str_starts(c->mounts[i].source, PODS_DIR))
			(void)umount2(c->mounts[i].source, MNT_DETACH | UMOUNT_NOFOLLOW);
	if (c->has_root && str_starts(c->root.path, PODS_DIR))
		(void)umount2(c->root.path, MNT_DETACH | UMOUNT_NOFOLLOW);
}

void guest_record_forget(struct guest_record *rec)
{
	struct err err = { 0 };
	cleanup_fd int dir = open(RECORD_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (rec->cgroup) {
		(void)cgroup_kill(rec->cgroup, SIGKILL, &err);
		(void)cgroup_destroy(rec->cgroup, &err);
	}
	if (rec->config)
		leave_export(rec->config);
	if (dir >= 0 && rec->id)
		(void)path_remove_tree(dir, rec->id, true);
}

void guest_record_hold(void)
{
	/* held until the process ends */
	int fd = open(HOLD_FILE, O_RDONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd >= 0)
		(void)flock(fd, LOCK_SH);
}

static void kill_members(const struct guest_record *own)
{
	DIR *d = opendir(RECORD_DIR);
	const struct dirent *e;

	while (d && (e = readdir(d))) {
		cleanup_guest_record struct guest_record rec = { .dirfd = -1 };
		struct err err = { 0 };

		if (!id_valid(e->d_name) || !strcmp(e->d_name, own->id))
			continue;
		rec.id = xstrdup(e->d_name);
		if (load_of(&rec, &err) == 0)
			(void)cgroup_kill(rec.cgroup, SIGKILL, &err);
	}
	if (d)
		closedir(d);
}

void guest_record_end_members(const struct guest_record *own)
{
	cleanup_fd int fd = open(HOLD_FILE, O_RDONLY | O_CLOEXEC);
	struct timespec pause = { .tv_nsec = HOLD_PAUSE_NS };

	for (int i = 0; fd >= 0 && i < HOLD_TRIES; i++) {
		kill_members(own);
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return;
		nanosleep(&pause, NULL);
	}
}

int guest_record_make(struct guest_record *rec, const struct proto_field *config, struct err *err)
{
	cleanup_free char *path = xasprintf(RECORD_DIR "/%s", rec->id);
	int r = path_mkdirs(RECORD_DIR, 0700);

	if (r < 0)
		return err_sys(err, r, RECORD_DIR);
	if (mkdir(path, 0700) < 0)
		return errno == EEXIST ? err_set(err, -EEXIST, "container with given ID already exists") :
					 err_sys(err, -errno, "%s", path);
	rec->dirfd = open_record_dir(rec->id);
	if (rec->dirfd < 0)
		return err_sys(err, rec->dirfd, "%s", path);
	r = path_write_atomic(rec->dirfd, "config.json", config->data, config->len, 0600);
	return r < 0 ? err_sys(err, r, "%s/config.json", path) : 0;
}

/* CREATE's options: {"sandbox": ID} of a pod's member. */
static int take_sandbox(const struct proto_msg *m, struct guest_record *rec, struct err *err)
{
	const struct proto_field *f = proto_get(m, PROTO_F_OPTIONS);
	cleanup_guest_record struct guest_record sandbox = { .dirfd = -1 };
	cleanup_json_doc struct json_doc *doc = NULL;
	int r;

	if (!f)
		return 0;
	doc = json_parse((const char *)f->data, f->len, "options", err);
	if (!doc)
		return -EINVAL;
	r = json_opt_string(json_root(doc), "sandbox", &rec->sandbox, err);
	if (r <= 0)
		return r;
	sandbox.id = xstrdup(rec->sandbox);
	r = id_valid(sandbox.id) ? load_of(&sandbox, err) : err_set(err, -EINVAL, "invalid container id");
	if (r < 0)
		return err_wrap(err, "the pod's sandbox %s", rec->sandbox);
	share_namespaces(rec->config, sandbox.pid);
	return 0;
}

int guest_record_take(const struct proto_msg *m, struct guest_record *rec, struct err *err)
{
	const struct proto_field *config = proto_get(m, PROTO_F_CONFIG);
	int r = take_id(m, &rec->id, err);

	if (r < 0)
		return r;
	if (!config)
		return err_set(err, -EPROTO, "agent: create: no config");
	r = oci_config_parse((const char *)config->data, config->len, &rec->config, err);
	if (r < 0)
		return r;
	adapt_config(rec->config, rec->id);
	return take_sandbox(m, rec, err);
}
