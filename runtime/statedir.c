/* SPDX-License-Identifier: Apache-2.0 */
/* The state directory: create, lock, save, load, list, remove. */
/*
 * Theory of operation: mkdir(2) decides who owns an id, flock(2) on the directory's descriptor decides who works on
 * it. Whoever got the lock checks that the directory still has a link: a delete may have removed it while we
 * waited. Readers (state, list, kill, exec) take no lock: state.json is replaced by rename(2), so they see the
 * old or the new record whole. The document carries a version; an unknown one is refused, not guessed at.
 */
#include "runtime/statedir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"

#define STATE_FILE "state.json"
#define STATE_FILE_MAX (1U << 20)

int statedir_check_id(const char *id, struct err *err)
{
	size_t n = strlen(id);

	if (!n)
		return err_set(err, EINVAL, "container id cannot be empty");
	if (n > 255 || !strcmp(id, ".") || !strcmp(id, ".."))
		return err_set(err, EINVAL, "invalid container ID format: \"%.64s\"", id);
	for (size_t i = 0; i < n; i++) {
		char c = id[i];
		bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
			c == '+' || c == '-' || c == '.';

		if (!ok || (!i && c == '.'))
			return err_set(err, EINVAL,
				       "invalid container ID format: \"%.64s\": invalid character `%c` in the ID", id,
				       c > ' ' && c < 127 ? c : '?');
	}
	return 0;
}

static int statedir_flock(int fd, int how)
{
	int r;

	do
		r = flock(fd, how) < 0 ? -errno : 0;
	while (r == -EINTR);
	return r;
}

/* After the lock: 1 the directory is still there, 0 it was removed meanwhile. */
static int statedir_linked(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	return st.st_nlink > 0;
}

static int statedir_make_root(const struct globals *g, struct err *err)
{
	int r = path_mkdirs(g->root, 0700);

	if (r < 0)
		return err_sys(err, r, "state root %s", g->root);
	/* the sticky bit keeps the session's clean-up from ageing it out */
	if (g->rootless && !g->root_given)
		(void)chmod(g->root, 0700 | S_ISVTX);
	return 0;
}

int statedir_create(const struct globals *g, const char *id, struct statedir *ret, struct err *err)
{
	struct statedir d = STATEDIR_INIT;
	int r = statedir_check_id(id, err);

	if (r < 0)
		return r;
	d.id = xstrdup(id);
	d.path = path_join(g->root, id);
	for (;;) {
		if (mkdir(d.path, 0711) < 0) {
			r = -errno;
			if (r == -ENOENT) {
				r = statedir_make_root(g, err);
				if (r < 0)
					goto fail;
				continue;
			}
			if (r == -EEXIST)
				err_set(err, r, "container with given ID already exists");
			else
				err_sys(err, r, "state directory %s", d.path);
			goto fail;
		}
		d.fd = open(d.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (d.fd >= 0 && statedir_flock(d.fd, LOCK_EX) == 0 && statedir_linked(d.fd) > 0)
			break;
		/* a forced delete came between mkdir and lock */
		if (d.fd >= 0)
			close(d.fd);
		d.fd = -1;
	}
	d.locked = true;
	*ret = d;
	return 0;
fail:
	statedir_close(&d);
	return r;
}

int statedir_lock(struct statedir *d, struct err *err)
{
	int r;

	if (d->locked)
		return 0;
	r = statedir_flock(d->fd, LOCK_EX);
	if (r < 0)
		return err_sys(err, r, "lock of %s", d->path);
	if (statedir_linked(d->fd) <= 0) {
		(void)statedir_flock(d->fd, LOCK_UN);
		return err_set(err, ENOENT, "container does not exist");
	}
	d->locked = true;
	return 0;
}

void statedir_unlock(struct statedir *d)
{
	if (d->locked)
		(void)statedir_flock(d->fd, LOCK_UN);
	d->locked = false;
}

int statedir_open(const struct globals *g, const char *id, bool lock, struct statedir *ret, struct err *err)
{
	struct statedir d = STATEDIR_INIT;
	int r = statedir_check_id(id, err);

	if (r < 0)
		return r;
	d.id = xstrdup(id);
	d.path = path_join(g->root, id);
	d.fd = open(d.path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (d.fd < 0) {
		r = -errno;
		if (r == -ENOENT || r == -ENOTDIR)
			r = err_set(err, ENOENT, "container does not exist");
		else
			err_sys(err, r, "state directory %s", d.path);
	} else if (lock) {
		r = statedir_lock(&d, err);
	}
	if (r < 0) {
		statedir_close(&d);
		return r;
	}
	*ret = d;
	return 0;
}

int statedir_remove(struct statedir *d, struct err *err)
{
	cleanup_fd int root = -1;
	char *slash = strrchr(d->path, '/');
	int r;

	*slash = 0;
	root = open(*d->path ? d->path : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = root < 0 ? -errno : 0;
	*slash = '/';
	/* state.json goes last but one: what is interrupted here can still be loaded or has nothing left to undo */
	if (!r)
		r = path_remove_tree(root, d->id, true);
	if (r == -ENOENT)
		r = 0;
	return r < 0 ? err_sys(err, r, "remove %s", d->path) : 0;
}

void statedir_close(struct statedir *d)
{
	/* said aloud: a parked child has a copy of the descriptor, and with it the lock */
	if (d->fd >= 0)
		statedir_unlock(d);
	if (d->fd >= 0)
		close(d->fd);
	free(d->path);
	free(d->id);
	*d = (struct statedir)STATEDIR_INIT;
}

/* A member that holds the JSON text of another room. */
static int save_raw(struct json_writer *w, const char *key, const char *text, struct err *err)
{
	cleanup_json_doc struct json_doc *doc = NULL;

	if (!text)
		return 0;
	doc = json_parse(text, strlen(text), key, err);
	if (!doc)
		return err ? err->code : -EINVAL;
	json_w_value(w, key, json_root(doc));
	return 0;
}

static void save_string(struct json_writer *w, const char *key, const char *s)
{
	if (s)
		json_w_string(w, key, s);
}

int statedir_save(const struct statedir *d, const struct statedir_record *rec, struct err *err)
{
	struct json_writer w = { 0 };
	cleanup_free char *text = NULL;
	int r;

	json_w_object(&w, NULL);
	json_w_u64(&w, "version", STATEDIR_VERSION);
	json_w_string(&w, "id", rec->id);
	save_string(&w, "bundle", rec->bundle);
	save_string(&w, "rootfs", rec->rootfs);
	json_w_string(&w, "created", rec->created);
	json_w_u64(&w, "owner", rec->owner);
	json_w_string(&w, "isolation", commands_isolation_name(rec->isolation));
	json_w_string(&w, "vmm", commands_vmm_name(rec->vmm));
	json_w_string(&w, "cgroupManager", cgroup_driver_name(rec->cgroup_driver));
	json_w_bool(&w, "rootless", rec->rootless);
	json_w_bool(&w, "keyring", rec->keyring);
	if (rec->networks)
		json_w_strv(&w, "networks", rec->networks);
	save_string(&w, "image", rec->image);
	r = save_raw(&w, "cgroup", rec->cgroup, err);
	if (!r)
		r = save_raw(&w, "network", rec->network, err);
	if (!r)
		r = save_raw(&w, "machine", rec->machine, err);
	json_w_string(&w, "phase", rec->phase);
	json_w_i64(&w, "pid", rec->pid);
	json_w_u64(&w, "startTime", rec->start_time);
	json_w_object_end(&w);
	text = json_w_steal(&w);
	if (r < 0)
		return r;
	r = path_write_atomic(d->fd, STATE_FILE, text, strlen(text), 0600);
	return r < 0 ? err_sys(err, r, "%s/" STATE_FILE, d->path) : 0;
}

static int load_raw(const struct json *root, const char *key, char **ret)
{
	const struct json *v = json_get(root, key);
	struct json_writer w = { 0 };

	if (!v)
		return 0;
	json_w_value(&w, NULL, v);
	*ret = json_w_steal(&w);
	return 0;
}

static int load_words(const struct json *root, struct statedir_record *rec, struct err *err)
{
	cleanup_free char *isolation = NULL, *vmm = NULL, *driver = NULL;
	int r;

	r = json_req_string(root, "isolation", &isolation, err);
	if (!r)
		r = json_req_string(root, "vmm", &vmm, err);
	if (!r)
		r = json_req_string(root, "cgroupManager", &driver, err);
	if (r < 0)
		return r;
	if (commands_isolation_parse(isolation, &rec->isolation) < 0)
		return json_error(root, err, "isolation: unknown word \"%s\"", isolation);
	if (commands_vmm_parse(vmm, &rec->vmm) < 0)
		return json_error(root, err, "vmm: unknown word \"%s\"", vmm);
	if (cgroup_driver_parse(driver, &rec->cgroup_driver) < 0)
		return json_error(root, err, "cgroupManager: unknown word \"%s\"", driver);
	return 0;
}

static int load_members(const struct json *root, struct statedir_record *rec, struct err *err)
{
	uint64_t version = 0;
	uint32_t owner = 0;
	int32_t pid = 0;
	int r;

	r = json_opt_u64(root, "version", &version, err);
	if (r >= 0 && version != STATEDIR_VERSION)
		return json_error(root, err, "version %llu is not known to this amphi (it writes %d)",
				  (unsigned long long)version, STATEDIR_VERSION);
	if (r >= 0)
		r = json_req_string(root, "id", &rec->id, err);
	if (r >= 0)
		r = json_opt_string(root, "bundle", &rec->bundle, err);
	if (r >= 0)
		r = json_opt_string(root, "rootfs", &rec->rootfs, err);
	if (r >= 0)
		r = json_req_string(root, "created", &rec->created, err);
	if (r >= 0)
		r = json_opt_u32(root, "owner", &owner, err);
	if (r >= 0)
		r = load_words(root, rec, err);
	if (r >= 0)
		r = json_opt_bool(root, "rootless", &rec->rootless, err);
	if (r >= 0)
		r = json_opt_bool(root, "keyring", &rec->keyring, err);
	if (r >= 0)
		r = json_opt_strv(root, "networks", &rec->networks, err);
	if (r >= 0)
		r = json_opt_string(root, "image", &rec->image, err);
	if (r >= 0)
		r = json_req_string(root, "phase", &rec->phase, err);
	if (r >= 0)
		r = json_opt_i32(root, "pid", &pid, err);
	if (r >= 0)
		r = json_opt_u64(root, "startTime", &rec->start_time, err);
	rec->owner = owner;
	rec->pid = pid;
	load_raw(root, "cgroup", &rec->cgroup);
	load_raw(root, "network", &rec->network);
	load_raw(root, "machine", &rec->machine);
	return r < 0 ? r : 0;
}

int statedir_load(const struct statedir *d, struct statedir_record *ret, struct err *err)
{
	cleanup_json_doc struct json_doc *doc = NULL;
	struct statedir_record rec = { 0 };
	cleanup_free char *text = NULL;
	size_t len;
	int r = fd_slurp_at(d->fd, STATE_FILE, STATE_FILE_MAX, &text, &len);

	if (r == -ENOENT)
		return err_set(err, ENODATA, "container %s has no state", d->id);
	if (r < 0)
		return err_sys(err, r, "%s/" STATE_FILE, d->path);
	doc = json_parse(text, len, STATE_FILE, err);
	if (!doc)
		return err ? err->code : -EINVAL;
	r = load_members(json_root(doc), &rec, err);
	if (r < 0) {
		statedir_record_free(&rec);
		return err_wrap(err, "%s", d->path);
	}
	*ret = rec;
	return 0;
}

void statedir_record_free(struct statedir_record *rec)
{
	free(rec->id);
	free(rec->bundle);
	free(rec->rootfs);
	free(rec->created);
	strv_free(rec->networks);
	free(rec->image);
	free(rec->cgroup);
	free(rec->network);
	free(rec->machine);
	free(rec->phase);
	*rec = (struct statedir_record){ 0 };
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int statedir_list(const struct globals *g, char ***ret_ids, struct err *err)
{
	cleanup_dir DIR *dir = opendir(g->root);
	char **ids = NULL;
	struct dirent *e;

	if (!dir && errno == ENOENT && !g->root_given) {
		*ret_ids = NULL;
		return 0;
	}
	if (!dir)
		return err_sys(err, errno, "state root %s", g->root);
	while ((e = readdir(dir)))
		if (e->d_type != DT_REG && statedir_check_id(e->d_name, NULL) == 0)
			strv_add(&ids, e->d_name);
	if (ids)
		qsort(ids, strv_len(ids), sizeof(*ids), compare);
	*ret_ids = ids;
	return 0;
}
