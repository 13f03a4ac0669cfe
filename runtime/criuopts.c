/* SPDX-License-Identifier: Apache-2.0 */
/* The options of checkpoint and restore, checked, with their directories open. */
#include "runtime/criuopts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"

#define DEFAULT_IMAGES "checkpoint"

static int directory(const char *option, const char *path, bool make, int *ret, struct err *err)
{
	int r = make ? path_mkdirs(path, 0700) : 0;

	if (!r) {
		*ret = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = *ret < 0 ? -errno : 0;
	}
	return r < 0 ? err_sys(err, r, "option --%s: %s", option, path) : 0;
}

static int one_of(const char *option, const char *word, const char *const *words, struct err *err)
{
	for (size_t i = 0; word && words[i]; i++)
		if (!strcmp(word, words[i]))
			return 0;
	return word ? err_set(err, EINVAL, "option --%s: \"%s\" is not known", option, word) : 0;
}

static int parent(const struct criuopts *o, int images_fd, struct err *err)
{
	struct stat st;

	if (!o->parent_path)
		return 0;
	if (*o->parent_path == '/')
		return err_set(err, EINVAL, "--parent-path must be relative");
	if (fstatat(images_fd, o->parent_path, &st, 0) < 0)
		return err_sys(err, -errno, "invalid --parent-path: %s", o->parent_path);
	return S_ISDIR(st.st_mode) ?
		0 :
		err_set(err, ENOTDIR, "invalid --parent-path: %s: not a directory", o->parent_path);
}

/* ADDRESS:PORT; the address is cut off into *ret_address (owned). */
static int page_server(const char *word, struct criu_options *ret, struct err *err)
{
	const char *colon = word ? strchr(word, ':') : NULL;

	if (!word)
		return 0;
	if (!colon || colon == word || parse_u32(colon + 1, &ret->page_port) < 0 || ret->page_port > 65535)
		return err_set(err, EINVAL, "Use --page-server ADDRESS:PORT to specify page server");
	ret->page_address = xstrndup(word, (size_t)(colon - word));
	return 0;
}

static int status_fd(const char *word, int *ret, struct err *err)
{
	uint32_t n;
	int flags;

	if (!word)
		return 0;
	if (parse_u32(word, &n) < 0 || n < 3 || n > INT32_MAX)
		return err_set(err, EINVAL, "invalid --status-fd argument %s", word);
	flags = fcntl((int)n, F_GETFL);
	if (flags < 0)
		return err_sys(err, -errno, "invalid --status-fd argument %s", word);
	if ((flags & O_ACCMODE) == O_RDONLY)
		return err_set(err, EINVAL, "invalid --status-fd argument %s: not writable", word);
	*ret = (int)n;
	return 0;
}

static int words(const struct criuopts *o, struct criu_options *ret, struct err *err)
{
	static const char *const modes[] = { "soft", "full", "strict", "ignore", NULL };
	static const char *const locks[] = { "iptables", "nftables", "skip", NULL };
	static const char *const namespaces[] = { "network", NULL };
	int r = one_of("manage-cgroups-mode", o->manage_cgroups, modes, err);

	if (r < 0)
		return err_set(err, EINVAL, "Invalid manage-cgroups-mode value %s", o->manage_cgroups);
	r = one_of("network-lock", o->network_lock, locks, err);
	for (char **n = o->empty_ns; !r && n && *n; n++) {
		r = one_of("empty-ns", *n, namespaces, err);
		ret->empty_net = true;
	}
	if (!r)
		r = page_server(o->page_server, ret, err);
	return r < 0 ? r : status_fd(o->status_fd, &ret->status_fd, err);
}

int criuopts_open(const struct criuopts *o, bool make, struct criu_options *ret, struct err *err)
{
	const char *images = str_empty(o->image_path) ? DEFAULT_IMAGES : o->image_path;
	const char *work = str_empty(o->work_path) ? images : o->work_path;
	int r;

	*ret = (struct criu_options)CRIU_OPTIONS_INIT;
	ret->work_path = work;
	ret->parent_path = o->parent_path;
	ret->manage_cgroups = o->manage_cgroups;
	ret->network_lock = o->network_lock;
	ret->lsm_profile = o->lsm_profile;
	ret->lsm_mount_context = o->lsm_mount_context;
	ret->leave_running = o->leave_running;
	ret->pre_dump = o->pre_dump;
	ret->tcp_established = o->tcp_established;
	ret->tcp_close = o->tcp_close;
	ret->tcp_skip_in_flight = o->tcp_skip_in_flight;
	ret->ext_unix_sk = o->ext_unix_sk;
	ret->shell_job = o->shell_job;
	ret->file_locks = o->file_locks;
	ret->link_remap = o->link_remap;
	ret->lazy_pages = o->lazy_pages;
	ret->auto_dedup = o->auto_dedup;
	r = words(o, ret, err);
	if (!r)
		r = directory("image-path", images, make, &ret->images_fd, err);
	if (!r)
		r = directory("work-path", work, true, &ret->work_fd, err);
	if (!r)
		r = parent(o, ret->images_fd, err);
	if (r < 0)
		criuopts_close(ret);
	return r;
}

void criuopts_close(struct criu_options *c)
{
	if (c->images_fd >= 0)
		close(c->images_fd);
	if (c->work_fd >= 0)
		close(c->work_fd);
	free((char *)c->page_address);
	*c = (struct criu_options)CRIU_OPTIONS_INIT;
}

void criuopts_free(struct criuopts *o)
{
	strv_free(o->empty_ns);
}
