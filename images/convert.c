/* SPDX-License-Identifier: Apache-2.0 */
/* From an image's configuration to a bundle's config.json. */
/*
 * The document of `amphi spec` (oci/config_default) is taken apart and written again with the image's process,
 * mounts and annotations in it. Capabilities are the fourteen that Docker gives and containers' programs expect.
 * The table of image-spec conversion.md is followed to the letter: labels win over the fields that become
 * annotations, numeric users are taken as they are, Volumes are directories of their own on the container's upper
 * directory (so they need no mount).
 */
#include "images/convert.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "oci/config_default.h"

#define FILE_MAX (4 * 1024 * 1024)

static const char *const default_caps[] = {
	"CAP_CHOWN",   "CAP_DAC_OVERRIDE", "CAP_FSETID",           "CAP_FOWNER",
	"CAP_MKNOD",   "CAP_NET_RAW",      "CAP_SETGID",           "CAP_SETUID",
	"CAP_SETFCAP", "CAP_SETPCAP",      "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT",
	"CAP_KILL",    "CAP_AUDIT_WRITE",
};

/* The lines of a file of the image; NULL when it has none. */
static char **read_lines(int rootfd, const char *path)
{
	cleanup_fd int fd = path_open_in(rootfd, path, O_RDONLY | O_NONBLOCK, 0);
	cleanup_free char *buf = NULL;
	size_t len;

	if (fd < 0 || fd_slurp(fd, FILE_MAX, &buf, &len) < 0)
		return NULL;
	return strv_split(buf, '\n');
}

static bool is_number(const char *s, uint32_t *ret)
{
	return parse_u32(s, ret) == 0;
}

static int find_group(int rootfd, const char *name, uint32_t *ret)
{
	cleanup_strv char **lines = read_lines(rootfd, "/etc/group");

	for (size_t i = 0; i < strv_len(lines); i++) {
		cleanup_strv char **f = strv_split(lines[i], ':');

		if (strv_len(f) >= 3 && !strcmp(f[0], name) && is_number(f[2], ret))
			return 0;
	}
	return -ENOENT;
}

/* Groups that list the user. */
static void find_member_groups(int rootfd, const char *user, struct convert_user *u)
{
	cleanup_strv char **lines = read_lines(rootfd, "/etc/group");

	for (size_t i = 0; i < strv_len(lines); i++) {
		cleanup_strv char **f = strv_split(lines[i], ':');
		cleanup_strv char **members = strv_len(f) >= 4 ? strv_split(f[3], ',') : NULL;
		uint32_t gid;

		if (!strv_has(members, user) || !is_number(f[2], &gid) || gid == u->gid)
			continue;
		u->gids = xreallocarray(u->gids, u->n_gids + 1, sizeof(*u->gids));
		u->gids[u->n_gids++] = gid;
	}
}

int convert_user(int rootfd, const char *text, struct convert_user *ret, struct err *err)
{
	cleanup_strv char **parts = strv_split(str_empty(text) ? "0" : text, ':'), **lines = NULL;
	const char *name = parts[0], *group = parts[1];
	bool found = false, numeric;

	memset(ret, 0, sizeof(*ret));
	if (strv_len(parts) > 2 || !*name || (group && !*group))
		return err_set(err, -EINVAL, "user \"%s\": expected USER or USER:GROUP", text);
	numeric = is_number(name, &ret->uid);
	if (numeric && ret->uid == UINT32_MAX)
		return err_set(err, -EINVAL, "user \"%s\": not a user id", text);
	lines = read_lines(rootfd, "/etc/passwd");
	for (size_t i = 0; i < strv_len(lines) && !found; i++) {
		cleanup_strv char **f = strv_split(lines[i], ':');
		uint32_t uid, gid;

		if (strv_len(f) < 6 || !is_number(f[2], &uid) || !is_number(f[3], &gid))
			continue;
		if (numeric ? uid != ret->uid : strcmp(f[0], name))
			continue;
		found = true;
		ret->uid = uid;
		ret->home = xstrdup(f[5]);
		/* a name brings its groups; a number, as conversion.md has it, none but the primary one */
		if (!group)
			ret->gid = gid;
		if (!group && !numeric)
			find_member_groups(rootfd, f[0], ret);
	}
	if (!found && !numeric)
		return err_set(err, -ENOENT, "user \"%s\": no user %s in the image's /etc/passwd", text, name);
	if (group && !is_number(group, &ret->gid) && find_group(rootfd, group, &ret->gid) < 0) {
		free(steal_ptr(ret->home));
		return err_set(err, -ENOENT, "user \"%s\": no group %s in the image's /etc/group", text, group);
	}
	return 0;
}

static bool env_has(char *const *env, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < strv_len(env); i++)
		if (!strncmp(env[i], name, n) && env[i][n] == '=')
			return true;
	return false;
}

static void env_set(char ***env, const char *assignment)
{
	size_t n = strcspn(assignment, "=");

	for (size_t i = 0; i < strv_len(*env); i++) {
		if (!strncmp((*env)[i], assignment, n + 1)) {
			free((*env)[i]);
			(*env)[i] = xstrdup(assignment);
			return;
		}
	}
	strv_add(env, assignment);
}

static int make_env(const struct oci_image *image, const struct convert_options *o, const struct convert_user *u,
		    char ***ret, struct err *err)
{
	for (size_t i = 0; i < strv_len(image->env); i++)
		if (strchr(image->env[i], '=') && *image->env[i] != '=')
			env_set(ret, image->env[i]);
	for (size_t i = 0; i < strv_len(o->env); i++) {
		if (!strchr(o->env[i], '=') || *o->env[i] == '=')
			return err_set(err, -EINVAL, "--env %s: expected NAME=VALUE", o->env[i]);
		env_set(ret, o->env[i]);
	}
	if (!env_has(*ret, "PATH"))
		strv_add(ret, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	if (!env_has(*ret, "HOME")) {
		cleanup_free char *home = xasprintf("HOME=%s", str_empty(u->home) ? "/" : u->home);

		strv_add(ret, home);
	}
	if (o->terminal && !env_has(*ret, "TERM"))
		strv_add(ret, "TERM=xterm");
	return 0;
}

static int make_args(const struct oci_image *image, const struct convert_options *o, char ***ret, struct err *err)
{
	char *const *entry = o->entrypoint ? o->entrypoint : image->entrypoint;
	char *const *cmd = strv_len(o->args) ? o->args : o->entrypoint ? NULL : image->cmd;

	for (size_t i = 0; i < strv_len(entry); i++)
		if (!o->entrypoint || *entry[i])
			strv_add(ret, entry[i]);
	for (size_t i = 0; i < strv_len(cmd); i++)
		strv_add(ret, cmd[i]);
	if (!strv_len(*ret))
		return err_set(err, -EINVAL, "the image has neither Entrypoint nor Cmd: give a command");
	return 0;
}

static int change_caps(uint64_t *mask, char *const *names, bool add, struct err *err)
{
	for (size_t i = 0; i < strv_len(names); i++) {
		int cap = oci_capability_number(names[i]);
		uint64_t bits = !strcasecmp(names[i], "all") ? (1ULL << (OCI_CAP_LAST + 1)) - 1 :
			cap < 0                              ? 0 :
							       1ULL << cap;

		if (!bits)
			return err_set(err, -EINVAL, "--cap-%s %s: no such capability", add ? "add" : "drop", names[i]);
		*mask = add ? *mask | bits : *mask & ~bits;
	}
	return 0;
}

static int write_caps(struct json_writer *w, const struct convert_options *o, struct err *err)
{
	static const char *const sets[] = { "bounding", "effective", "permitted" };
	uint64_t mask = 0;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(default_caps); i++)
		mask |= 1ULL << oci_capability_number(default_caps[i]);
	if (o->privileged)
		mask = (1ULL << (OCI_CAP_LAST + 1)) - 1;
	r = change_caps(&mask, o->cap_drop, false, err);
	if (r >= 0)
		r = change_caps(&mask, o->cap_add, true, err);
	if (r < 0)
		return r;
	json_w_object(w, "capabilities");
	for (size_t s = 0; s < ARRAY_SIZE(sets); s++) {
		json_w_array(w, sets[s]);
		for (int cap = 0; cap <= OCI_CAP_LAST; cap++)
			if (mask & (1ULL << cap))
				json_w_string(w, NULL, oci_capability_name(cap));
		json_w_array_end(w);
	}
	json_w_object_end(w);
	return 0;
}

static int write_process(struct json_writer *w, const struct oci_image *image, int rootfd,
			 const struct convert_options *o, struct err *err)
{
	cleanup_strv char **args = NULL, **env = NULL;
	struct convert_user u;
	const char *cwd = !str_empty(o->workdir) ? o->workdir :
		!str_empty(image->working_dir)   ? image->working_dir :
						   "/";
	int r = convert_user(rootfd, o->user ? o->user : image->user, &u, err);

	if (r < 0)
		return r;
	if (*cwd != '/')
		r = err_set(err, -EINVAL, "working directory %s: not absolute", cwd);
	if (r >= 0)
		r = make_args(image, o, &args, err);
	if (r >= 0)
		r = make_env(image, o, &u, &env, err);
	json_w_object(w, "process");
	json_w_bool(w, "terminal", o->terminal);
	json_w_object(w, "user");
	json_w_u64(w, "uid", u.uid);
	json_w_u64(w, "gid", u.gid);
	if (u.n_gids) {
		json_w_array(w, "additionalGids");
		for (size_t i = 0; i < u.n_gids; i++)
			json_w_u64(w, NULL, u.gids[i]);
		json_w_array_end(w);
	}
	json_w_object_end(w);
	json_w_strv(w, "args", args);
	json_w_strv(w, "env", env);
	json_w_string(w, "cwd", cwd);
	if (r >= 0)
		r = write_caps(w, o, err);
	json_w_bool(w, "noNewPrivileges", false);
	json_w_object_end(w);
	free(u.gids);
	free(u.home);
	return r;
}

/* SRC:DST[:OPTION,OPTION...] */
static int write_volume(struct json_writer *w, const char *text, struct err *err)
{
	cleanup_strv char **p = strv_split(text, ':'), **words = NULL;
	bool propagation = false;

	if (strv_len(p) < 2 || strv_len(p) > 3 || *p[0] != '/' || *p[1] != '/')
		return err_set(err, -EINVAL, "--volume %s: expected /SOURCE:/DESTINATION[:OPTIONS]", text);
	words = p[2] && *p[2] ? strv_split(p[2], ',') : NULL;
	json_w_object(w, NULL);
	json_w_string(w, "destination", p[1]);
	json_w_string(w, "type", "bind");
	json_w_string(w, "source", p[0]);
	json_w_array(w, "options");
	json_w_string(w, NULL, "rbind");
	for (size_t i = 0; i < strv_len(words); i++) {
		propagation = propagation || strstr(words[i], "private") || strstr(words[i], "shared") ||
			strstr(words[i], "slave");
		json_w_string(w, NULL, words[i]);
	}
	if (!propagation)
		json_w_string(w, NULL, "rprivate");
	json_w_array_end(w);
	json_w_object_end(w);
	return 0;
}

static int write_mounts(struct json_writer *w, const struct json *mounts, const struct convert_options *o,
			struct err *err)
{
	int r = 0;

	json_w_array(w, "mounts");
	if (o->overlay) {
		cleanup_strv char **options = strv_split(o->overlay, ',');

		json_w_object(w, NULL);
		json_w_string(w, "destination", "/");
		json_w_string(w, "type", "overlay");
		json_w_string(w, "source", "overlay");
		json_w_strv(w, "options", options);
		json_w_object_end(w);
	}
	json_for_each(m, mounts)
		json_w_value(w, NULL, m);
	for (size_t i = 0; i < strv_len(o->volumes) && r >= 0; i++)
		r = write_volume(w, o->volumes[i], err);
	json_w_array_end(w);
	return r;
}

static void write_resources(struct json_writer *w, const struct json *res, const struct convert_options *o)
{
	json_w_object(w, "resources");
	if (o->privileged) {
		json_w_array(w, "devices");
		json_w_object(w, NULL);
		json_w_bool(w, "allow", true);
		json_w_string(w, "access", "rwm");
		json_w_object_end(w);
		json_w_array_end(w);
	} else if (res) {
		json_for_each(v, res)
			json_w_value(w, v->key, v);
	}
	if (o->memory) {
		json_w_object(w, "memory");
		json_w_u64(w, "limit", o->memory);
		json_w_object_end(w);
	}
	if (o->cpus > 0) {
		json_w_object(w, "cpu");
		json_w_u64(w, "period", 100000);
		json_w_u64(w, "quota", (uint64_t)(o->cpus * 100000));
		json_w_object_end(w);
	}
	if (o->pids_limit) {
		json_w_object(w, "pids");
		json_w_i64(w, "limit", o->pids_limit);
		json_w_object_end(w);
	}
	json_w_object_end(w);
}

static void write_linux(struct json_writer *w, const struct json *l, const struct convert_options *o)
{
	bool resources = false, maps = o->map && o->map->n_uids;

	json_w_object(w, "linux");
	json_for_each(v, l) {
		if (!strcmp(v->key, "resources")) {
			write_resources(w, v, o);
			resources = true;
		} else if (maps && (!strcmp(v->key, "uidMappings") || !strcmp(v->key, "gidMappings"))) {
			continue;
		} else if (!strcmp(v->key, "namespaces") && maps) {
			json_w_array(w, "namespaces");
			json_for_each(n, v)
				json_w_value(w, NULL, n);
			if (!o->rootless) {
				json_w_object(w, NULL);
				json_w_string(w, "type", "user");
				json_w_object_end(w);
			}
			json_w_array_end(w);
			usermap_write(w, o->map);
		} else if (!o->privileged || (strcmp(v->key, "maskedPaths") && strcmp(v->key, "readonlyPaths"))) {
			json_w_value(w, v->key, v);
		}
	}
	if (!resources && (o->memory || o->cpus > 0 || o->pids_limit))
		write_resources(w, NULL, o);
	json_w_object_end(w);
}

/* Members of the annotations object, the last setting of a key winning. */
struct notes {
	struct oci_pair *v;
	size_t n;
};

static void note(struct notes *a, const char *key, const char *value)
{
	if (str_empty(key) || !value)
		return;
	for (size_t i = 0; i < a->n; i++) {
		if (!strcmp(a->v[i].key, key)) {
			free(a->v[i].value);
			a->v[i].value = xstrdup(value);
			return;
		}
	}
	a->v = xreallocarray(a->v, a->n + 1, sizeof(*a->v));
	a->v[a->n++] = (struct oci_pair){ xstrdup(key), xstrdup(value) };
}

static int write_annotations(struct json_writer *w, const struct oci_image *i, const struct convert_options *o,
			     struct err *err)
{
	cleanup_free char *ports = i->exposed_ports ? strv_join(i->exposed_ports, ",") : NULL;
	struct notes a = { 0 };
	int r = 0;

	note(&a, "org.opencontainers.image.os", i->os);
	note(&a, "org.opencontainers.image.architecture", i->architecture);
	note(&a, "org.opencontainers.image.variant", i->variant);
	note(&a, "org.opencontainers.image.os.version", i->os_version);
	note(&a, "org.opencontainers.image.author", i->author);
	note(&a, "org.opencontainers.image.created", i->created);
	note(&a, "org.opencontainers.image.stopSignal", i->stop_signal);
	note(&a, "org.opencontainers.image.exposedPorts", ports);
	for (size_t n = 0; n < i->n_labels; n++) /* a stranger's label must not choose how we run */
		if (!str_starts(i->labels[n].key, "amphi."))
			note(&a, i->labels[n].key, i->labels[n].value);
	for (size_t n = 0; n < strv_len(o->annotations) && r >= 0; n++) {
		cleanup_free char *key = xstrdup(o->annotations[n]);
		char *eq = strchr(key, '=');

		if (!eq || eq == key) {
			r = err_set(err, -EINVAL, "--annotation %s: expected KEY=VALUE", key);
			break;
		}
		*eq = '\0';
		note(&a, key, eq + 1);
	}
	if (a.n)
		json_w_object(w, "annotations");
	for (size_t n = 0; n < a.n; n++) {
		json_w_string(w, a.v[n].key, a.v[n].value);
		free(a.v[n].key);
		free(a.v[n].value);
	}
	if (a.n)
		json_w_object_end(w);
	free(a.v);
	return r;
}

int convert_image(const struct oci_image *image, int rootfd, const struct convert_options *o, char **ret,
		  struct err *err)
{
	cleanup_free char *base = oci_config_default(o->rootless, true, geteuid(), getegid());
	cleanup_json_doc struct json_doc *doc = json_parse(base, strlen(base), "default", err);
	struct json_writer w = { .indent = 2 };
	cleanup_free char *text = NULL;
	int r = 0;

	if (!doc)
		return -EINVAL;
	json_w_object(&w, NULL);
	json_for_each(v, json_root(doc)) {
		if (r < 0)
			break;
		if (!strcmp(v->key, "process")) {
			r = write_process(&w, image, rootfd, o, err);
		} else if (!strcmp(v->key, "root")) {
			json_w_object(&w, "root");
			json_w_string(&w, "path", o->root_path ? o->root_path : "rootfs");
			json_w_bool(&w, "readonly", o->readonly);
			json_w_object_end(&w);
		} else if (!strcmp(v->key, "hostname")) {
			json_w_string(&w, "hostname", o->hostname ? o->hostname : v->s);
		} else if (!strcmp(v->key, "mounts")) {
			r = write_mounts(&w, v, o, err);
		} else if (!strcmp(v->key, "linux")) {
			write_linux(&w, v, o);
		} else {
			json_w_value(&w, v->key, v);
		}
	}
	if (r >= 0)
		r = write_annotations(&w, image, o, err);
	json_w_object_end(&w);
	text = json_w_steal(&w);
	if (r < 0)
		return r;
	*ret = steal_ptr(text);
	return 0;
}
