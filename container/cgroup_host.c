/* SPDX-License-Identifier: Apache-2.0 */
/* The host's cgroup hierarchies.
 *
 * Theory: /proc/self/cgroup names every hierarchy ("ID:CONTROLLERS:PATH") and our cgroup in it. A hierarchy is
 * mounted, on every distribution, at /sys/fs/cgroup (cgroup2 alone), /sys/fs/cgroup/CONTROLLERS (v1) and
 * /sys/fs/cgroup/unified (cgroup2 of a hybrid host); statfs(2) says whether it is. Only where nothing is found
 * there the mount table is read, because reading it costs time in proportion to the containers of the host.
 * A path that does not exist below the mount point means that the mount shows a subtree which starts at our
 * cgroup (a container without cgroup namespace): we are at its root then. Runs in any process, changes nothing.
 */
#include "container/cgroup_host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"

#define CGROUP_ROOT "/sys/fs/cgroup"
#define CGROUP_V1_MAGIC 0x27e0eb
#define CGROUP_V2_MAGIC 0x63677270

static bool mounted(const char *path, long magic)
{
	struct statfs st;

	return statfs(path, &st) == 0 && (long)st.f_type == magic;
}

/* The mount point of a hierarchy by the mount table; owned. */
static char *find_in_mountinfo(const char *mountinfo, const char *name, bool v2)
{
	cleanup_strv char **lines = strv_split(mountinfo, '\n');

	for (char **l = lines; *l; l++) {
		cleanup_strv char **f = strv_split(*l, ' ');
		size_t n = strv_len(f), sep = 6;

		while (sep < n && strcmp(f[sep], "-"))
			sep++;
		if (sep + 3 >= n || strcmp(f[sep + 1], v2 ? "cgroup2" : "cgroup"))
			continue;
		if (v2)
			return xstrdup(f[4]);
		cleanup_strv char **options = strv_split(f[sep + 3], ',');
		cleanup_strv char **wanted = strv_split(name, ',');
		bool all = true;

		for (char **w = wanted; *w; w++)
			all = all && strv_has(options, *w);
		if (all)
			return xstrdup(f[4]);
	}
	return NULL;
}

static char *find_mount(const char *name, bool v2)
{
	if (v2) {
		if (mounted(CGROUP_ROOT, CGROUP_V2_MAGIC))
			return xstrdup(CGROUP_ROOT);
		if (mounted(CGROUP_ROOT "/unified", CGROUP_V2_MAGIC))
			return xstrdup(CGROUP_ROOT "/unified");
		return NULL;
	}
	char *path = path_join(CGROUP_ROOT, str_starts(name, "name=") ? name + 5 : name);

	if (mounted(path, CGROUP_V1_MAGIC))
		return path;
	free(path);
	return NULL;
}

static char **v2_controllers(const char *mount, const char *own)
{
	cleanup_free char *dir = path_join(mount, own);
	cleanup_free char *file = path_join(dir, "cgroup.controllers");
	cleanup_free char *text = NULL;
	char **ret = NULL;

	if (fd_slurp_at(AT_FDCWD, file, 4096, &text, NULL) < 0)
		return NULL;
	text[strcspn(text, "\n")] = '\0';
	cleanup_strv char **words = strv_split(text, ' ');

	for (char **w = words; w && *w; w++)
		if (**w)
			strv_add(&ret, *w);
	return ret;
}

struct cgroup_host *cgroup_host_parse(const char *self_cgroup, const char *mountinfo)
{
	struct cgroup_host *h = xcalloc(1, sizeof(*h));
	cleanup_strv char **lines = strv_split(self_cgroup, '\n');
	bool v1 = false, v2 = false;

	for (char **l = lines; *l; l++) {
		char *name = strchr(*l, ':'), *path = name ? strchr(name + 1, ':') : NULL;
		struct cgroup_hier hier = { 0 };

		if (!path)
			continue;
		*path++ = '\0';
		name++;
		hier.v2 = !*name;
		hier.mount = mountinfo ? find_in_mountinfo(mountinfo, name, hier.v2) : find_mount(name, hier.v2);
		if (!hier.mount)
			continue;
		hier.name = xstrdup(name);
		/* "/../x": our cgroup is outside of what the namespace and the mount show */
		hier.own = str_starts(path, "/..") ? xstrdup("/") : path_clean(path);
		cleanup_free char *dir = path_join(hier.mount, hier.own);

		if (!mountinfo && access(dir, F_OK) < 0) {
			free(hier.own);
			hier.own = xstrdup("/");
		}
		if (hier.v2)
			hier.controllers = v2_controllers(hier.mount, "/");
		else if (!str_starts(name, "name="))
			hier.controllers = strv_split(name, ',');
		v1 = v1 || !hier.v2;
		v2 = v2 || hier.v2;
		h->hiers = xreallocarray(h->hiers, h->n + 1, sizeof(*h->hiers));
		h->hiers[h->n++] = hier;
	}
	h->mode = v1 && v2 ? CGROUP_MODE_HYBRID : v1 ? CGROUP_MODE_V1 : v2 ? CGROUP_MODE_V2 : CGROUP_MODE_NONE;
	return h;
}

void cgroup_host_free(struct cgroup_host *h)
{
	if (!h)
		return;
	for (size_t i = 0; i < h->n; i++) {
		free(h->hiers[i].name);
		free(h->hiers[i].mount);
		free(h->hiers[i].own);
		strv_free(h->hiers[i].controllers);
	}
	free(h->hiers);
	free(h);
}

const struct cgroup_host *cgroup_host_get(void)
{
	static struct cgroup_host *host;
	cleanup_free char *self = NULL, *mountinfo = NULL;

	if (host)
		return host;
	if (fd_slurp_at(AT_FDCWD, "/proc/self/cgroup", 1 << 20, &self, NULL) < 0)
		self = xstrdup("");
	host = cgroup_host_parse(self, NULL);
	if (host->mode == CGROUP_MODE_NONE && *self &&
	    fd_slurp_at(AT_FDCWD, "/proc/self/mountinfo", 64 << 20, &mountinfo, NULL) == 0) {
		cgroup_host_free(host);
		host = cgroup_host_parse(self, mountinfo);
	}
	return host;
}

const struct cgroup_hier *cgroup_host_find(const struct cgroup_host *h, const char *controller)
{
	for (size_t i = 0; i < h->n; i++)
		if (h->hiers[i].controllers && strv_has(h->hiers[i].controllers, controller))
			return &h->hiers[i];
	return NULL;
}

char *cgroup_host_lookup(const char *proc_cgroup, const char *hier_name)
{
	size_t len = strlen(hier_name);

	for (const char *l = proc_cgroup; l && *l; l = strchr(l, '\n'), l = l ? l + 1 : NULL) {
		const char *name = strchr(l, ':');

		if (name && !strncmp(name + 1, hier_name, len) && name[1 + len] == ':') {
			const char *path = name + len + 2;

			return xstrndup(path, strcspn(path, "\n"));
		}
	}
	return NULL;
}
