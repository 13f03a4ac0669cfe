/* SPDX-License-Identifier: Apache-2.0 */
/* QEMU's command line: what is on the machine, what a busy host needs, what cannot be expressed. */
#include "vm/qemu_args.h"

#include <errno.h>

#include "base/str.h"
#include "tests/unit/tap.h"
#include "vm/vm.h"

/* The argument behind an option whose text begins with start; NULL: none. */
static const char *find(char *const *argv, const char *option, const char *start)
{
	for (size_t n = 0; argv[n] && argv[n + 1]; n++)
		if (strcmp(argv[n], option) == 0 && str_starts(argv[n + 1], start))
			return argv[n + 1];
	return NULL;
}

static void spec_init(struct vm_spec *s)
{
	vm_spec_init(s);
	s->name = "a,b";
	s->vcpus = 1;
	s->memory_bytes = 512u << 20;
	s->kernel_path = "/k ernel";
	s->initrd_path = "/initrd";
	s->cmdline = "extra=1";
}

static void test_all(void)
{
	struct qemu_args a = {
		.binary = "/qemu", .tsc_khz = 2000000, .qmp_fd = 7, .fs_fd = 8, .vsock_fd = 9, .sandbox = true
	};
	struct err err = { 0 };
	struct vm_spec s;
	char **v;

	spec_init(&s);
	s.n_nics = 1;
	s.nics[0].queues = 1;
	s.nics[0].tap_fds[0] = 12;
	memcpy(s.nics[0].mac, "\x02\0\0\0\0\x0a", 6);
	s.nics[0].mtu = 1400;
	v = qemu_args_build(&s, &a, &err);
	need(v);
	is_str(v[0], "/qemu");
	is_str(find(v, "-name", "guest"), "guest=a,,b");
	has_str(find(v, "-M", "microvm"), "acpi=on");
	has_str(find(v, "-accel", "tcg"), "tcg");
	is_str(find(v, "-m", ""), "512M");
	is_str(find(v, "-smp", ""), "1");
	has_str(find(v, "-object", "memory-backend-memfd"), "size=536870912,share=on");
	is_str(find(v, "-kernel", ""), "/k ernel");
	is_str(find(v, "-initrd", ""), "/initrd");
	is_str(find(v, "-chardev", "socket,id=fs"), "socket,id=fs,fd=8");
	has_str(find(v, "-device", "vhost-user-fs-device"), "tag=amphi");
	is_str(find(v, "-chardev", "socket,id=vsock"), "socket,id=vsock,fd=9");
	is_str(find(v, "-netdev", "tap"), "tap,id=net0,fd=12,vhost=off");
	is_str(find(v, "-device", "virtio-net"), "virtio-net-device,netdev=net0,mac=02:00:00:00:00:0a,host_mtu=1400");
	ok(find(v, "-device", "virtio-rng"));
	ok(find(v, "-device", "virtio-balloon"));
	ok(find(v, "-sandbox", "on"));
	has_str(find(v, "-append", ""), "tsc_early_khz=2000000");
	has_str(find(v, "-append", ""), "quiet");
	has_str(find(v, "-append", ""), " extra=1");
	strv_free(v);
}

static void test_less(void)
{
	struct qemu_args a = { .binary = "/qemu", .kvm = true, .qmp_fd = 7, .fs_fd = -1, .vsock_fd = -1 };
	struct err err = { 0 };
	struct vm_spec s;
	char **v;

	spec_init(&s);
	s.name = s.initrd_path = s.cmdline = NULL;
	s.vcpus = 2;
	s.vcpus_max = 4;
	s.no_rng = s.no_balloon = s.console_verbose = true;
	v = qemu_args_build(&s, &a, &err);
	need(v);
	is_str(find(v, "-accel", ""), "kvm");
	is_str(find(v, "-cpu", ""), "host");
	is_str(find(v, "-smp", ""), "4");
	ok(!find(v, "-device", ""));
	ok(!find(v, "-initrd", ""));
	ok(!find(v, "-sandbox", ""));
	has_str(find(v, "-append", ""), "maxcpus=2");
	has_str(find(v, "-append", ""), "ignore_loglevel");
	ok(!strstr(find(v, "-append", ""), "tsc_early_khz"));
	strv_free(v);
}

static void test_refused(void)
{
	struct qemu_args a = { .binary = "/qemu", .fs_fd = -1, .vsock_fd = -1 };
	struct err err = { 0 };
	char text[3000];
	struct vm_spec s;

	spec_init(&s);
	s.cmdline = "a\nb";
	ok(!qemu_args_build(&s, &a, &err));
	has_str(err.msg, "control character");
	memset(text, 'x', sizeof(text));
	text[2999] = 0;
	s.cmdline = text;
	ok(!qemu_args_build(&s, &a, &err));
	is_int(err.code, -E2BIG);
}

int main(void)
{
	test_all();
	test_less();
	test_refused();
	return tap_done();
}
