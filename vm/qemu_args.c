/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line of the fallback driver's QEMU: microvm with ACPI (stock kernels find virtio-mmio by it), guest memory
 * in a shared memfd (our device threads map it), modern virtio only (vhost-user wants it), nothing else on the machine.
 *
 * TCG: one thread, the code cache bounded. It passes rdtsc through, and on a busy host the guest's calibration against
 * the emulated PIT fails, after which the kernel hangs in half of all boots: the rate is given to it instead.
 */
#include "vm/qemu_args.h"

#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "vm/vm.h"

static const char *const kernel_common[] = {
	"console=ttyS0", /* early boot and panics */
	"8250.nr_uarts=1",
	"reboot=t", /* a reboot is a triple fault, which ends QEMU */
	"panic=-1",
	"pci=off",
	"i8042.noaux",
	"i8042.nokbd",
	"i8042.dumbkbd",
	"tsc=reliable", /* a busy host makes the watchdog see ghosts */
	"no_timer_check",
	"cryptomgr.notests",
	"random.trust_cpu=on",
	"rcupdate.rcu_expedited=1",
	"net.ifnames=0",
	"initcall_blacklist=tracer_init_tracefs,trace_eval_init", /* as in cmdline.c */
	"rdinit=/init",
};

static char *kernel_parameters(const struct vm_spec *spec, const struct qemu_args *a)
{
	cleanup_str struct str s = { 0 };
	unsigned int present = spec->vcpus_max > spec->vcpus ? spec->vcpus_max : spec->vcpus;

	for (size_t n = 0; n < ARRAY_SIZE(kernel_common); n++)
		str_addf(&s, "%s ", kernel_common[n]);
	str_add(&s, spec->console_verbose ? "ignore_loglevel" : "quiet loglevel=1");
	if (!a->kvm) {
		/* Emulated code runs without speculation; the detours cost time only. */
		str_add(&s, " mitigations=off");
		if (a->tsc_khz)
			str_addf(&s, " tsc_early_khz=%lu", a->tsc_khz);
	}
	if (present > spec->vcpus)
		str_addf(&s, " maxcpus=%u", spec->vcpus);
	if (!str_empty(spec->cmdline))
		str_addf(&s, " %s", spec->cmdline);
	return str_steal(&s);
}

static void add(char ***v, const char *option, char *value)
{
	strv_add(v, option);
	if (value)
		strv_add_take(v, value);
}

static void add_machine(char ***v, const struct vm_spec *spec, const struct qemu_args *a)
{
	unsigned int present = spec->vcpus_max > spec->vcpus ? spec->vcpus_max : spec->vcpus;

	add(v, "-nodefaults", NULL);
	add(v, "-no-user-config", NULL);
	add(v, "-no-reboot", NULL);
	add(v, "-display", xstrdup("none"));
	add(v, "-M", xstrdup("microvm,acpi=on,memory-backend=ram"));
	add(v, "-accel", xstrdup(a->kvm ? "kvm" : "tcg,thread=multi,tb-size=256"));
	add(v, "-cpu", xstrdup(a->kvm ? "host" : "max"));
	add(v, "-smp", xasprintf("%u", present));
	add(v, "-m", xasprintf("%lluM", (unsigned long long)(spec->memory_bytes >> 20)));
	add(v, "-object",
	    xasprintf("memory-backend-memfd,id=ram,size=%llu,share=on", (unsigned long long)spec->memory_bytes));
	add(v, "-global", xstrdup("virtio-mmio.force-legacy=false"));
	if (a->sandbox)
		add(v, "-sandbox", xstrdup("on,obsolete=deny,elevateprivileges=deny,spawn=deny"));
	add(v, "-chardev", xstrdup("stdio,id=console,signal=off"));
	add(v, "-serial", xstrdup("chardev:console"));
	add(v, "-chardev", xasprintf("socket,id=qmp,fd=%d", a->qmp_fd));
	add(v, "-mon", xstrdup("chardev=qmp,mode=control"));
}

static void add_devices(char ***v, const struct vm_spec *spec, const struct qemu_args *a)
{
	if (a->fs_fd >= 0) {
		add(v, "-chardev", xasprintf("socket,id=fs,fd=%d", a->fs_fd));
		add(v, "-device",
		    xasprintf("vhost-user-fs-device,chardev=fs,tag=" VM_FS_TAG ",queue-size=1024,num-request-queues=%u",
			      vm_fs_queues(spec) - 1));
	}
	if (a->vsock_fd >= 0) {
		add(v, "-chardev", xasprintf("socket,id=vsock,fd=%d", a->vsock_fd));
		add(v, "-device", xstrdup("vhost-user-vsock-device,chardev=vsock"));
	}
	for (unsigned int n = 0; n < spec->n_nics; n++) {
		const struct vm_nic *nic = &spec->nics[n];
		const uint8_t *m = nic->mac;
		cleanup_str struct str fds = { 0 };
		char mtu[32] = "";

		if (nic->mtu)
			snprintf(mtu, sizeof(mtu), ",host_mtu=%u", nic->mtu);
		for (unsigned int k = 0; k < nic->queues; k++)
			str_addf(&fds, k ? ":%d" : "%d", nic->tap_fds[k]);
		add(v, "-netdev",
		    xasprintf("tap,id=net%u,%s=%s,vhost=off", n, nic->queues > 1 ? "fds" : "fd", str_get(&fds)));
		add(v, "-device",
		    xasprintf("virtio-net-device,netdev=net%u,mac=%02x:%02x:%02x:%02x:%02x:%02x%s%s", n, m[0], m[1],
			      m[2], m[3], m[4], m[5], mtu, nic->queues > 1 ? ",mq=on" : ""));
	}
	if (!spec->no_rng)
		add(v, "-device", xstrdup("virtio-rng-device"));
	if (!spec->no_balloon)
		add(v, "-device", xstrdup("virtio-balloon-device,id=balloon,deflate-on-oom=on,free-page-reporting=on"));
}

char **qemu_args_build(const struct vm_spec *spec, const struct qemu_args *a, struct err *err)
{
	cleanup_free char *append = kernel_parameters(spec, a);
	cleanup_strv char **v = NULL;

	for (const char *p = append; *p; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f) {
			err_set(err, EINVAL, "kernel parameters: control character");
			return NULL;
		}
	}
	if (strlen(append) >= 2048) {
		err_set(err, E2BIG, "kernel parameters: %zu bytes, at most 2047 fit", strlen(append));
		return NULL;
	}
	strv_add(&v, a->binary);
	if (!str_empty(spec->name)) {
		/* A comma separates options for QEMU unless it is doubled. */
		cleanup_strv char **parts = strv_split(spec->name, ',');
		cleanup_free char *name = strv_join(parts, ",,");

		add(&v, "-name", xasprintf("guest=%s", name));
	}
	add_machine(&v, spec, a);
	add_devices(&v, spec, a);
	add(&v, "-kernel", xstrdup(spec->kernel_path));
	if (!str_empty(spec->initrd_path))
		add(&v, "-initrd", xstrdup(spec->initrd_path));
	add(&v, "-append", steal_ptr(append));
	return steal_ptr(v);
}
