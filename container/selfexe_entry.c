/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: the program's ELF entry, before the C library's _start. A command whose process will enter a
 * container executes its binary again (see selfexe.c), and where a second exec has to be, the first should cost little: the
 * C library's start is relocation, thread storage and some fifty CPUID instructions, each of which leaves a virtual
 * machine. So the usual way of protection, a detached read-only mount, is tried here. Whatever is not as expected falls
 * through to _start, and selfexe_protect() goes the other way or says what is wrong.
 *
 * Nothing is set up yet: no relocation, no thread storage (so no stack protector, no errno), no memcpy() (an indirect
 * function). The file is compiled without instrumentation and calls nothing.
 */
#include "container/selfexe.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

/* what the entry calls: stack is argc, argv, NULL, envp, NULL */
void selfexe_entry_main(const long *stack);

__asm__(".globl " SELFEXE_ENTRY "\n"
	".type " SELFEXE_ENTRY ", @function\n" SELFEXE_ENTRY ":\n"
	"	.cfi_startproc\n"
	"	.cfi_undefined rip\n"
	"	mov %rsp, %rdi\n"
	"	push %rdx\n" /* the dynamic linker's, for _start */
	"	sub $8, %rsp\n"
	"	call selfexe_entry_main\n"
	"	add $8, %rsp\n"
	"	pop %rdx\n"
	"	jmp _start\n"
	"	.cfi_endproc\n");

static long call(long n, long a, long b, long c, long d, long e)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return ret;
}

static bool same(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static bool starts(const char *s, const char *with, long len)
{
	while (len && *s && *s == *with)
		s++, with++, len--;
	return !len;
}

/* Wherever the word stands: it costs a needless exec if it is something else. */
static bool enters_container(const char *word)
{
	return same(word, "run") || same(word, "create") || same(word, "exec") || same(word, "restore");
}

#define NAME SELFEXE_MARK "="
#define NAME_LEN ((long)sizeof(NAME) - 1)

/* "SELFEXE_MARK=PID:PATH"; where PATH begins, or 0 if it cannot be read. */
static long make_mark(char *mark, long size)
{
	long at = 0, pid = call(SYS_getpid, 0, 0, 0, 0, 0), n, d = 3 * sizeof(long);
	char digits[3 * sizeof(long)];

	for (; at < NAME_LEN; at++)
		mark[at] = NAME[at];
	for (n = pid; n; n /= 10)
		digits[--d] = (char)('0' + n % 10);
	while (d < (long)sizeof(digits))
		mark[at++] = digits[d++];
	mark[at++] = ':';
	n = call(SYS_readlink, (long)SELFEXE_LINK, (long)(mark + at), size - at - 1, 0, 0);
	if (n <= 0)
		return 0;
	mark[at + n] = '\0';
	return at;
}

/* The environment that the second exec sees; false if this is the second. */
static bool make_env(const char **env, char *const *envp, const char *mark, long path_at)
{
	*env++ = mark;
	for (; *envp; envp++)
		if (starts(*envp, mark, path_at))
			return false;
		else if (!starts(*envp, NAME, NAME_LEN))
			*env++ = *envp;
	*env = NULL;
	return true;
}

void selfexe_entry_main(const long *stack)
{
	long argc = stack[0], envs = 0, i = 1, fd, path_at;
	char *const *argv = (char *const *)(stack + 1), *const *envp = argv + argc + 1;
	struct mount_attr readonly = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV };
	char mark[PATH_MAX + 64];
	struct statfs fs;

	while (i < argc && !enters_container(argv[i]))
		i++;
	if (i >= argc || call(SYS_statfs, (long)SELFEXE_LINK, (long)&fs, 0, 0, 0) || fs.f_flags & ST_RDONLY)
		return;
	path_at = make_mark(mark, sizeof(mark));
	while (envp[envs])
		envs++;
	const char *env[envs + 2];

	if (!path_at || !make_env(env, envp, mark, path_at))
		return;
	fd = call(SYS_open_tree, AT_FDCWD, (long)SELFEXE_LINK, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC, 0, 0);
	if (fd < 0)
		return;
	if (!call(SYS_mount_setattr, fd, (long)"", AT_EMPTY_PATH, (long)&readonly, sizeof(readonly)))
		(void)call(SYS_execveat, fd, (long)"", (long)argv, (long)env, AT_EMPTY_PATH);
	(void)call(SYS_close, fd, 0, 0, 0, 0);
}
