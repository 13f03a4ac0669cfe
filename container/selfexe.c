/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protection of our own binary.
 *
 * A process that enters a container is visible there as /proc/PID/exe, and an image whose command is a script with
 * "#!/proc/self/exe" makes us execute ourselves inside: a container with root could then open the binary for writing
 * once it is no longer running (CVE-2019-5736). So we first execute ourselves again from a read-only image: a detached
 * bind mount that nobody can remount since it is in no namespace (the program's entry does that, see selfexe_entry.c),
 * or, where mounting is not allowed, a sealed copy in memory. A binary that lies on a read-only mount needs nothing.
 */
#include "container/selfexe.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#include "base/log.h"
#include "base/str.h"
#include "base/sys.h"

#define SELF SELFEXE_LINK
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static const char *mark(void)
{
	const char *m = getenv(SELFEXE_MARK);
	char *end;

	if (!m || strtol(m, &end, 10) != getpid() || *end != ':')
		return NULL;
	return end + 1;
}

static bool is_protected(void)
{
	cleanup_fd int fd = -1;
	struct statfs fs;
	int seals;

	if (!statfs(SELF, &fs) && (fs.f_flags & ST_RDONLY))
		return true;
	fd = open(SELF, O_RDONLY | O_CLOEXEC);
	seals = fd < 0 ? -1 : fcntl(fd, F_GET_SEALS);
	return seals >= 0 && (seals & SEALS) == SEALS;
}

static int sealed_copy(void)
{
	cleanup_fd int in = open(SELF, O_RDONLY | O_CLOEXEC);
	cleanup_fd int out = memfd_create("amphi", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct stat st;

	if (in < 0 || out < 0 || fstat(in, &st) < 0)
		return -errno;
	for (off_t done = 0; done < st.st_size;) {
		ssize_t n = sendfile(out, in, NULL, (size_t)(st.st_size - done));

		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += n;
	}
	if (fcntl(out, F_ADD_SEALS, SEALS) < 0)
		return -errno;
	return steal_fd(out);
}

int selfexe_protect(char *const argv[], struct err *err)
{
	cleanup_free char *value = NULL;
	cleanup_fd int fd = -1;
	char path[PATH_MAX];
	ssize_t n;

	if (is_protected())
		return 0;
	if (mark())
		return err_set(err, EPERM, "cannot protect %s from the container: still writable after a second exec",
			       SELF);
	n = readlink(SELF, path, sizeof(path) - 1);
	if (n < 0)
		return err_sys(err, -errno, "readlink %s", SELF);
	path[n] = '\0';
	value = xasprintf("%d:%s", (int)getpid(), path);
	if (setenv(SELFEXE_MARK, value, 1) < 0)
		return err_sys(err, ENOMEM, "setenv");
	fd = sealed_copy();
	if (fd >= 0) {
		execveat(fd, "", argv, environ, AT_EMPTY_PATH);
		return err_sys(err, -errno, "cannot protect %s from the container: exec of a sealed copy", SELF);
	}
	return err_sys(err, fd, "cannot protect %s from the container: sealed copy", SELF);
}

const char *selfexe_path(void)
{
	return mark();
}
