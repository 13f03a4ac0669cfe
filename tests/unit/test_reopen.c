/* SPDX-License-Identifier: Apache-2.0 */
/* vm/reopen: what was sealed is opened again, and nothing else is, whoever asks. */
#include "vm/reopen.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"

#include "tests/unit/tap.h"

static char dir[] = "/tmp/amphi-reopen-XXXXXX";
static int dir_fd;

static int touch(const char *name)
{
	return openat(dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
}

static bool is_file(int fd, const char *name)
{
	struct stat a, b;

	return fd >= 0 && fstat(fd, &a) == 0 && fstatat(dir_fd, name, &b, 0) == 0 && a.st_ino == b.st_ino &&
		a.st_dev == b.st_dev;
}

/* The first vectors of the paper's reference. */
static void test_siphash(void)
{
	static const uint64_t key[2] = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };
	static const uint8_t in[15] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14 };

	ok(reopen_siphash(key, in, 0) == 0x726fdb47dd0e0e31);
	ok(reopen_siphash(key, in, 1) == 0x74f839c593dc67fd);
	ok(reopen_siphash(key, in, 8) == 0x93f5f5799a932462);
	ok(reopen_siphash(key, in, 15) == 0xa129ca6149be45e5);
}

static void test_tickets(struct reopen *r)
{
	struct reopen_ticket a, b, forged;
	struct err err = { 0 };
	struct reopen *other = reopen_start(LOCKDOWN_KILL, &err);
	int fd, first = touch("a"), second = touch("b"), proc = open("/proc/self/status", O_RDONLY | O_CLOEXEC),
		bad = 0;

	need(other);
	is_int(reopen_seal(r, first, &a), 0);
	is_int(reopen_seal(r, second, &b), 0);
	ok(reopen_same(&a, first) && !reopen_same(&a, second));
	fd = reopen_open(r, dir_fd, &a);
	ok(is_file(fd, "a"));
	ok(fcntl(fd, F_GETFL) & O_PATH);
	close(fd);
	/* through O_PATH too, and from the other file's descriptor */
	fd = openat(dir_fd, "b", O_PATH | O_CLOEXEC);
	is_int(reopen_seal(r, fd, &b), 0);
	close(fd);
	fd = reopen_open(r, first, &b);
	ok(is_file(fd, "b"));
	close(fd);
	/* any bit of a ticket makes it nobody's */
	for (size_t i = 0; i < sizeof(a); i++) {
		forged = a;
		((uint8_t *)&forged)[i] ^= 1;
		fd = reopen_open(r, dir_fd, &forged);
		bad += fd != -EPERM;
		if (fd >= 0)
			close(fd);
	}
	is_int(bad, 0);
	/* the seal of one does not make the other good; nor is a ticket good elsewhere */
	forged = b;
	forged.seal = a.seal;
	is_int(reopen_open(r, dir_fd, &forged), -EPERM);
	is_int(reopen_open(other, dir_fd, &a), -EPERM);
	is_int(reopen_open(r, proc, &a), -EPERM);
	/* gone */
	close(first);
	unlinkat(dir_fd, "a", 0);
	is_int(reopen_open(r, dir_fd, &a), -ESTALE);
	close(second);
	close(proc);
	reopen_stop(other);
}

/* A process that was killed: an error each time, no signal and no wait. */
static void test_gone(void)
{
	struct err err = { 0 };
	struct reopen_ticket t = { 0 };
	struct reopen *r = reopen_start(LOCKDOWN_KILL, &err);
	char path[64], *pids = NULL, *last;
	size_t len;

	need(r);
	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	need(fd_slurp_at(AT_FDCWD, path, 4096, &pids, &len) == 0 && len > 1);
	pids[len - 1] = '\0';
	last = strrchr(pids, ' ');
	kill(atoi(last ? last : pids), SIGKILL);
	free(pids);
	is_int(reopen_seal(r, dir_fd, &t), -EIO);
	is_int(reopen_open(r, dir_fd, &t), -EIO);
	reopen_stop(r);
}

int main(void)
{
	struct err err = { 0 };
	struct reopen_ticket t;
	struct reopen *r;
	int fd;

	test_siphash();
	r = reopen_start(LOCKDOWN_KILL, &err);
	need(r);
	need(mkdtemp(dir));
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = reopen_seal(r, dir_fd, &t) < 0 ? -1 : reopen_open(r, dir_fd, &t);
	if (fd >= 0) {
		close(fd);
		test_tickets(r);
	} else {
		skip("tickets: needs file handles and CAP_DAC_READ_SEARCH");
	}
	test_gone();
	close(dir_fd);
	path_remove_tree(AT_FDCWD, dir, true);
	reopen_stop(r);
	return tap_done();
}
