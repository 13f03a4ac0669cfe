/* SPDX-License-Identifier: Apache-2.0 */
/* Where blobs of the store are known to be. */
/*
 * A registry can take a blob over from another of its repositories without a byte being sent, when it is told from
 * which. So pull and push note for each blob the repositories that had it: origins/HEX, a line "HOST PATH" for each,
 * the newest first, a few at most. It is a hint: nothing is synced, a wrong one costs a request that is answered no.
 * distribution-spec "Mounting a blob from another repository".
 */
#include "images/origin.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"

#define ORIGINS_MAX 8

static char **read_lines(const struct store *s, const char *digest)
{
	cleanup_free char *path = xasprintf("origins/%s", digest_hex(digest)), *text = NULL;
	size_t len;

	return fd_slurp_at(s->fd, path, 1 << 16, &text, &len) < 0 ? NULL : strv_split(text, '\n');
}

static void note_blob(const struct store *s, int dirfd, const char *digest, const char *line)
{
	cleanup_strv char **old = read_lines(s, digest);
	cleanup_str struct str text = { 0 };
	size_t n = 1;
	int r;

	if (strv_len(old) && !strcmp(old[0], line))
		return;
	str_addf(&text, "%s\n", line);
	for (size_t i = 0; i < strv_len(old) && n < ORIGINS_MAX; i++) {
		if (!*old[i] || !strcmp(old[i], line))
			continue;
		str_addf(&text, "%s\n", old[i]);
		n++;
	}
	r = path_write_atomic(dirfd, digest_hex(digest), text.s, text.len, 0644);
	if (r < 0)
		log_debug("origins/%s: %s", digest_hex(digest), strerrordesc_np(-r));
}

void origin_note(const struct store *s, const struct store_image *i, const struct ref *ref)
{
	cleanup_free char *line = xasprintf("%s %s", ref->host, ref->path);
	cleanup_fd int dirfd = openat(s->fd, "origins", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dirfd < 0)
		return; /* of an older program, and only read since */
	note_blob(s, dirfd, i->manifest->config.digest, line);
	for (size_t n = 0; n < i->manifest->n_layers; n++)
		note_blob(s, dirfd, i->manifest->layers[n].digest, line);
}

char *origin_find(const struct store *s, const char *digest, const struct ref *ref)
{
	cleanup_strv char **lines = read_lines(s, digest);
	size_t n = strlen(ref->host);

	for (size_t i = 0; i < strv_len(lines); i++)
		if (!strncmp(lines[i], ref->host, n) && lines[i][n] == ' ' && strcmp(lines[i] + n + 1, ref->path))
			return xstrdup(lines[i] + n + 1);
	return NULL;
}

void origin_sweep(const struct store *s)
{
	cleanup_dir DIR *dir = NULL;
	int fd = openat(s->fd, "origins", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *de;

	dir = fd < 0 ? NULL : fdopendir(fd);
	while (dir && (de = readdir(dir))) {
		cleanup_free char *digest =
			xasprintf("sha%s:%s", strlen(de->d_name) == 128 ? "512" : "256", de->d_name);

		if (strcmp(de->d_name, ".") && strcmp(de->d_name, "..") && !store_has_blob(s, digest, NULL))
			unlinkat(fd, de->d_name, 0);
	}
}
