/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boots a stock kernel in our monitor: to a small init, to its end by power-off, reboot, panic and stop. Needs a KVM
 * that runs kernels (the lab has one) and a kernel: $AMPHI_TEST_KERNEL, or what tests/lab/fetch cloud-amd64 left; what tests/lab/fetch
 * amd64 left is booted too.
 */
#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "vm/lockdown.h"
#include "vm/vm.h"

#include "tests/unit/tap.h"

/* The whole program is skipped. */
static int skip_all(const char *why)
{
	printf("1..0 # SKIP %s\n", why);
	return 0;
}

/* One member of a newc archive. */
static void cpio(struct str *out, const char *name, unsigned int mode, unsigned int major, unsigned int minor,
		 const void *data, size_t len)
{
	static unsigned int ino;
	size_t at;

	str_addf(out, "070701%08X%08X%08X%08X%08X%08X%08zX%08X%08X%08X%08X%08zX%08X", ++ino, mode, 0u, 0u, 1u, 0u, len,
		 0u, 0u, major, minor, strlen(name) + 1, 0u);
	str_addn(out, name, strlen(name) + 1);
	for (at = out->len; at % 4; at++)
		str_addc(out, 0);
	str_addn(out, data, len);
	for (at = out->len; at % 4; at++)
		str_addc(out, 0);
}

static int make_initrd(const char *init)
{
	cleanup_str struct str out = { 0 };
	cleanup_free char *data = NULL;
	size_t len;

	if (fd_slurp_at(AT_FDCWD, init, 64 << 20, &data, &len) < 0)
		return -1;
	cpio(&out, "dev", S_IFDIR | 0755, 0, 0, NULL, 0);
	cpio(&out, "dev/console", S_IFCHR | 0600, 5, 1, NULL, 0);
	cpio(&out, "init", S_IFREG | 0755, 0, 0, data, len);
	cpio(&out, "TRAILER!!!", 0, 0, 0, NULL, 0);
	return fd_memfd("initrd", out.s, out.len, false);
}

static char *find_kernel(const char *flavour)
{
	const char *cache = getenv("AMPHI_LAB_CACHE");
	char pattern[512];
	char *path;
	glob_t g;

	snprintf(pattern, sizeof(pattern), "%s/linux-%s/boot/vmlinuz-*", cache ? cache : "build/lab", flavour);
	if (glob(pattern, 0, NULL, &g))
		return NULL;
	path = xstrdup(g.gl_pathv[0]);
	globfree(&g);
	return path;
}

struct result {
	struct vm_exit exit;
	int r;
	double seconds;
	char *console;
	struct err err;
};

struct stopper {
	int fd, console;
	const char *text;
};

/* Writes the stop fd once the console shows the text. */
static void *stop_when_seen(void *arg)
{
	struct stopper *s = arg;
	char buf[65536];
	uint64_t one = 1;

	for (int i = 0; i < 1200; i++) {
		ssize_t n = pread(s->console, buf, sizeof(buf) - 1, 0);

		buf[n > 0 ? n : 0] = 0;
		if (strstr(buf, s->text))
			break;
		usleep(100 * 1000);
	}
	if (write(s->fd, &one, sizeof(one)) < 0)
		abort();
	return NULL;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void boot(const char *kernel, int initrd, unsigned int vcpus, unsigned int vcpus_max, const char *cmdline,
		 const char *stop_text, struct result *ret)
{
	struct vm_spec spec;
	struct vm *vm = NULL;
	struct stopper s;
	pthread_t t;
	double begin;
	size_t len;

	memset(ret, 0, sizeof(*ret));
	vm_spec_init(&spec);
	spec.name = "test";
	spec.vcpus = vcpus;
	spec.vcpus_max = vcpus_max;
	spec.memory_bytes = 256 << 20;
	spec.kernel_fd = open(kernel, O_RDONLY | O_CLOEXEC);
	spec.kernel_path = kernel;
	spec.initrd_fd = dup(initrd);
	spec.cmdline = cmdline;
	spec.console_verbose = getenv("AMPHI_TEST_VERBOSE") != NULL;
	spec.console_fd = fd_memfd("console", NULL, 0, false);
	spec.lockdown = LOCKDOWN_KILL;
	spec.stop_fd = eventfd(0, EFD_CLOEXEC);
	ret->r = vm_kvm_driver.prepare(&spec, &ret->err);
	if (ret->r >= 0)
		ret->r = vm_kvm_driver.build(&spec, &vm, &ret->err);
	begin = now();
	if (stop_text) {
		s = (struct stopper){ .fd = spec.stop_fd, .console = spec.console_fd, .text = stop_text };
		pthread_create(&t, NULL, stop_when_seen, &s);
	}
	if (ret->r >= 0)
		ret->r = vm_kvm_driver.run(vm, &ret->exit, &ret->err);
	ret->seconds = now() - begin;
	if (stop_text)
		pthread_join(t, NULL);
	vm_kvm_driver.free(vm);
	lseek(spec.console_fd, 0, SEEK_SET);
	fd_slurp(spec.console_fd, 8 << 20, &ret->console, &len);
	vm_spec_close(&spec);
	if (ret->r < 0)
		printf("# %s\n", ret->err.msg);
	printf("# %s after %.2f s\n", vm_exit_name(ret->exit.reason), ret->seconds);
	if (getenv("AMPHI_TEST_VERBOSE"))
		fputs(ret->console ? ret->console : "", stderr);
}

int main(int argc, char **argv)
{
	const char *env = getenv("AMPHI_TEST_KERNEL");
	cleanup_free char *kernel = env ? xstrdup(env) : find_kernel("cloud-amd64"), *other = find_kernel("amd64");
	cleanup_free char *init = NULL, *dir = NULL;
	struct err err = { 0 };
	struct result res;
	int initrd;

	log_set(LOG_WARN, LOG_TEXT);
	if (vm_kvm_driver.probe(&err) < 0)
		return skip_all(err.msg);
	if (!kernel)
		return skip_all("no kernel (tests/lab/fetch cloud-amd64)");
	dir = xstrndup(argv[0], (size_t)(strrchr(argv[0], '/') - argv[0]));
	init = xasprintf("%s/../helpers/vm_guest_init", dir);
	initrd = make_initrd(init);
	if (initrd < 0)
		return skip_all("no build/tests/helpers/vm_guest_init (make helpers)");

	boot(kernel, initrd, 1, 1, "", NULL, &res);
	ok(res.r == 0 && res.exit.reason == VM_EXIT_POWEROFF); /* one processor: powers itself off */
	ok(res.console && strstr(res.console, "guest: hello from pid 1, 1 of 1 processors")); /* the guest's init ran */
	ok(res.console && strstr(res.console, "guest: MemTotal:")); /* the guest sees its memory */
	free(res.console);

	boot(kernel, initrd, 2, 4, "", NULL, &res);
	ok(res.r == 0 && res.exit.reason == VM_EXIT_POWEROFF); /* two of four processors: powers itself off */
	ok(res.console &&
	   strstr(res.console, "guest: hello from pid 1, 2 of 4 processors")); /* two are online, two parked */
	free(res.console);

	/* the distribution's kernel for every machine, too */
	boot(other ? other : kernel, initrd, 1, 1, "test.reboot", NULL, &res);
	ok(res.r == 0 && res.exit.reason == VM_EXIT_POWEROFF); /* a reboot ends the machine */
	ok(res.console && strstr(res.console, "guest: hello from pid 1, 1 of 1 processors"));
	if (!other)
		skip("linux-image-amd64 (tests/lab/fetch amd64)");
	free(res.console);

	boot(kernel, initrd, 1, 1, "test.crash", NULL, &res);
	ok(res.r == 0 && res.exit.reason == VM_EXIT_CRASH);                   /* a panic is a crash */
	ok(res.console && strstr(res.console, "Kernel panic - not syncing")); /* its words are on the console */
	free(res.console);

	boot(kernel, initrd, 1, 1, "test.loop", "guest: looping", &res);
	ok(res.r == 0 && res.exit.reason == VM_EXIT_STOPPED); /* a looping guest is stopped */
	free(res.console);
	return tap_done();
}
