/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a VM starts
 *
 *	1  prepare    open /dev/kvm (the jail will hide it)
 *	2  build      KVM_CREATE_VM, interrupt controllers, memory and its slots
 *	3             devices: virtio-fs, vsock, net, rng, balloon, each behind virtio-mmio; serial; power ports
 *	4             kernel, initrd, command line, ACPI tables and boot parameters into guest memory
 *	5             vCPUs: CPUID, MSRs, registers of the first
 *	6  run        lock the process down, start the vCPU threads, wait in machine_loop()
 *	7             stop: vCPUs out of the guest and joined, then the devices' threads, then free
 *
 * Threads: the caller's (main) waits for events and alone starts and stops device threads, on behalf of vCPUs that write
 * a device's status (vm_call()); one thread a vCPU; the devices' own. Whoever notices the guest's end records the first
 * reason under the lock and wakes main.
 *
 * The struct is this driver's own; vm.c has what both drivers share.
 */
#include "vm/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "vm/bus.h"
#include "vm/cmdline.h"
#include "vm/irq.h"
#include "vm/kernel.h"
#include "vm/kvm.h"
#include "vm/layout.h"
#include "vm/lockdown.h"
#include "vm/memory.h"
#include "vm/probe.h"
#include "vm/report.h"
#include "vm/serial.h"
#include "vm/vcpu.h"
#include "vm/virtio_balloon.h"
#include "vm/virtio_fs.h"
#include "vm/virtio_mmio.h"
#include "vm/virtio_net.h"
#include "vm/virtio_rng.h"
#include "vm/virtio_vsock.h"
#include "vm/vm_config.h"
#include "vm/x86_acpi.h"
#include "vm/x86_boot.h"
#include "vm/x86_cpuid.h"

/* A function that another thread wants run in the main thread. */
struct call {
	int (*fn)(void *arg);
	void *arg;
	int result;
	bool done;
	struct call *next;
};

struct vm {
	const struct vm_spec *spec;
	unsigned int n_vcpus;

	struct kvm kvm;
	struct vm_memory memory;
	struct bus mmio, pio;
	struct serial serial;
	int serial_line;
	struct virtio_mmio devices[LAYOUT_VIRTIO_MAX];
	pthread_mutex_t pulses[LAYOUT_VIRTIO_MAX]; /* an edge is two calls */
	unsigned int n_devices;
	struct virtio_device *fs, *balloon; /* owned by their transports; NULL: none */
	struct vcpu_group group;
	struct vcpu vcpus[VM_CONFIG_VCPUS_MAX];
	unsigned int n_created;
	struct report report;

	pthread_mutex_t lock;
	pthread_cond_t call_done;
	int statm_fd; /* /proc/self/statm; -1: none */
	int event_fd; /* wakes main */
	struct call *calls;
	bool main_runs; /* calls are served */
	bool over;
	enum vm_exit_reason reason;
	const char *fail_text;
	bool panicked; /* seen on the console */
};

static void wake_main(struct vm *vm)
{
	uint64_t one = 1;

	if (write(vm->event_fd, &one, sizeof(one)) < 0)
		log_debug("vm: event: %m");
}

/* The machine is over; the first reason counts. */
static void machine_over(struct vm *vm, enum vm_exit_reason reason, const char *text)
{
	pthread_mutex_lock(&vm->lock);
	if (!vm->over) {
		vm->over = true;
		vm->reason = reason;
		vm->fail_text = text;
	}
	pthread_mutex_unlock(&vm->lock);
	wake_main(vm);
}

static void vcpu_ended(void *arg, enum vcpu_end end, const char *text)
{
	struct vm *vm = arg;
	enum vm_exit_reason reason = VM_EXIT_STOPPED;

	if (end == VCPU_SHUTDOWN)
		reason = vm->panicked ? VM_EXIT_CRASH : VM_EXIT_POWEROFF;
	else if (end == VCPU_CRASHED)
		reason = VM_EXIT_CRASH;
	else if (end == VCPU_FAILED)
		reason = VM_EXIT_FAILED;
	machine_over(vm, reason, text);
}

/* Runs fn in the main thread; its result, or -ESHUTDOWN when the machine is over. */
static int vm_call(void *host, int (*fn)(void *arg), void *arg)
{
	struct vm *vm = host;
	struct call c = { .fn = fn, .arg = arg };

	pthread_mutex_lock(&vm->lock);
	if (!vm->main_runs) {
		pthread_mutex_unlock(&vm->lock);
		return -ESHUTDOWN;
	}
	c.next = vm->calls;
	vm->calls = &c;
	wake_main(vm);
	while (!c.done)
		pthread_cond_wait(&vm->call_done, &vm->lock);
	pthread_mutex_unlock(&vm->lock);
	return c.result;
}

/* Serves the waiting calls; refuse: answers them all with -ESHUTDOWN and serves no more. */
static void serve_calls(struct vm *vm, bool refuse)
{
	pthread_mutex_lock(&vm->lock);
	if (refuse)
		vm->main_runs = false;
	while (vm->calls) {
		struct call *c = vm->calls;

		vm->calls = c->next;
		pthread_mutex_unlock(&vm->lock);
		c->result = refuse ? -ESHUTDOWN : c->fn(c->arg);
		pthread_mutex_lock(&vm->lock);
		c->done = true;
		pthread_cond_broadcast(&vm->call_done);
	}
	pthread_mutex_unlock(&vm->lock);
}

/* ACPI's sleep and reset registers. */
static void power_ports(void *arg, uint64_t off, void *data, unsigned int len, bool write)
{
	struct vm *vm = arg;
	uint8_t v;

	if (!write) {
		memset(data, 0, len);
		return;
	}
	v = *(uint8_t *)data;
	if (off == LAYOUT_PORT_SLEEP_CONTROL - LAYOUT_PORT_SLEEP_CONTROL && v & 0x20 &&
	    (v >> 2 & 7) == LAYOUT_SLEEP_TYPE_S5)
		machine_over(vm, VM_EXIT_POWEROFF, NULL);
	else if (off == LAYOUT_PORT_RESET - LAYOUT_PORT_SLEEP_CONTROL && v == LAYOUT_RESET_VALUE)
		machine_over(vm, vm->panicked ? VM_EXIT_CRASH : VM_EXIT_POWEROFF, NULL);
}

static void console_line(void *arg, const char *line)
{
	struct vm *vm = arg;

	vm_console_line(line, &vm->panicked);
}

static int host_ioeventfd(void *host, int event_fd, uint64_t addr, uint32_t value, bool assign)
{
	struct vm *vm = host;

	return kvm_ioeventfd(&vm->kvm, event_fd, addr, value, assign, NULL);
}

/* One GSI has one way at a time: a pulse among those of an irqfd would be taken for theirs. */
static void host_pulse(void *host, const struct virtio_mmio *t)
{
	struct vm *vm = host;
	size_t n = (size_t)(t - vm->devices);

	if (atomic_load(&t->dev->interrupts_by_fd)) {
		irq_pulse(t->line);
		return;
	}
	pthread_mutex_lock(&vm->pulses[n]);
	irq_edge(&vm->kvm, LAYOUT_GSI_VIRTIO + (uint32_t)n);
	pthread_mutex_unlock(&vm->pulses[n]);
}

/* Takes dev (freed on failure; NULL: *err is set already). */
static int add_device(struct vm *vm, struct virtio_device *dev, struct err *err)
{
	struct virtio_mmio_host host = {
		.call = vm_call, .ioeventfd = host_ioeventfd, .pulse = host_pulse, .host = vm
	};
	struct virtio_mmio *t = &vm->devices[vm->n_devices];
	uint64_t base = LAYOUT_VIRTIO + vm->n_devices * LAYOUT_VIRTIO_SIZE;
	cleanup_fd int line = -1;
	int r;

	if (!dev)
		return err->code ? err->code : -EIO;
	if (vm->n_devices >= LAYOUT_VIRTIO_MAX) {
		virtio_free(dev);
		return err_set(err, ENOSPC, "machine: more than %d devices", LAYOUT_VIRTIO_MAX);
	}
	line = irq_line(&vm->kvm, LAYOUT_GSI_VIRTIO + vm->n_devices, err);
	r = line < 0 ? line : virtio_mmio_init(t, dev, &vm->memory, base, line, &host, err);
	if (r < 0) {
		virtio_free(dev);
		return r;
	}
	steal_fd(line);
	vm->n_devices++;
	r = bus_add(&vm->mmio, base, LAYOUT_VIRTIO_SIZE, virtio_mmio_access, t);
	return r < 0 ? err_sys(err, r, "machine: register range of %s", dev->ops->name) : 0;
}

static int guest_connect(void *arg, uint32_t port)
{
	struct vm *vm = arg;

	if (port == VM_PORT_EXIT)
		return report_connect(&vm->report);
	if (vm->spec->guest_connect)
		return vm->spec->guest_connect(vm->spec->guest_connect_arg, port);
	return -ECONNREFUSED;
}

static void control(void *arg, const char *line, char *reply, size_t reply_len)
{
	vm_control_line(&vm_kvm_driver, arg, line, reply, reply_len);
}

static int dup_fd(int fd, struct err *err)
{
	int r = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	return r < 0 ? err_sys(err, -errno, "machine: descriptor") : r;
}

static int add_vsock(struct vm *vm, struct err *err)
{
	struct virtio_vsock_params p = {
		.listen_fd = dup_fd(vm->spec->agent_listen_fd, err),
		.guest_cid = VM_GUEST_CID,
		.guest_connect = guest_connect,
		.control = control,
		.arg = vm,
	};
	struct virtio_device *dev = p.listen_fd < 0 ? NULL : virtio_vsock_new(&p, err);

	if (!dev && p.listen_fd >= 0)
		close(p.listen_fd);
	return add_device(vm, dev, err);
}

static int add_nic(struct vm *vm, const struct vm_nic *nic, struct err *err)
{
	struct virtio_net_params p = { .pairs = nic->queues, .mtu = nic->mtu };
	struct virtio_device *dev;
	int r = 0;

	_Static_assert(VM_NIC_QUEUES_MAX <= VIRTIO_NET_PAIRS_MAX, "a pair for each queue of the tap");
	memcpy(p.mac, nic->mac, sizeof(p.mac));
	for (unsigned int i = 0; i < p.pairs; i++) {
		p.tap_fds[i] = r = r < 0 ? -1 : dup_fd(nic->tap_fds[i], err);
		p.vhost_fds[i] = r < 0 || nic->vhost_fds[i] < 0 ? -1 : (r = dup_fd(nic->vhost_fds[i], err));
	}
	dev = r < 0 ? NULL : virtio_net_new(&p, err);
	for (unsigned int i = 0; i < p.pairs && !dev; i++) {
		if (p.tap_fds[i] >= 0)
			close(p.tap_fds[i]);
		if (p.vhost_fds[i] >= 0)
			close(p.vhost_fds[i]);
	}
	return add_device(vm, dev, err);
}

static int build_devices(struct vm *vm, struct err *err)
{
	const struct vm_spec *spec = vm->spec;
	int r = 0;

	vm->serial_line = irq_line(&vm->kvm, LAYOUT_GSI_SERIAL, err);
	if (vm->serial_line < 0)
		return vm->serial_line;
	serial_init(&vm->serial, spec->console_fd, vm->serial_line);
	vm->serial.line_seen = console_line;
	vm->serial.line_arg = vm;
	if (bus_add(&vm->pio, LAYOUT_PORT_SERIAL, 8, serial_access, &vm->serial) ||
	    bus_add(&vm->pio, LAYOUT_PORT_SLEEP_CONTROL, 3, power_ports, vm))
		return err_set(err, ENOSPC, "machine: port ranges");
	if (spec->export_fd >= 0) {
		vm->fs = vm_fs_new(spec, err);
		r = add_device(vm, vm->fs, err);
	}
	if (r >= 0 && spec->agent_listen_fd >= 0)
		r = add_vsock(vm, err);
	for (unsigned int i = 0; i < spec->n_nics && r >= 0; i++)
		r = add_nic(vm, &spec->nics[i], err);
	if (r >= 0 && !spec->no_rng)
		r = add_device(vm, virtio_rng_new(err), err);
	if (r >= 0 && !spec->no_balloon) {
		vm->balloon = virtio_balloon_new(err);
		r = add_device(vm, vm->balloon, err);
	}
	return r;
}

static int build_boot(struct vm *vm, gpa_t *ret_entry, struct err *err)
{
	const struct vm_spec *spec = vm->spec;
	struct x86_acpi_params acpi = { .vcpus = vm->n_vcpus, .devices = vm->n_devices };
	size_t acpi_len = LAYOUT_ACPI_END - LAYOUT_ACPI;
	uint8_t *acpi_mem = memory_slice(&vm->memory, LAYOUT_ACPI, acpi_len);
	cleanup_free char *cmdline = cmdline_build(spec, err);
	struct kernel_image kernel;
	struct x86_boot boot = { .kernel = &kernel, .cmdline = cmdline, .acpi = LAYOUT_ACPI };
	int r;

	if (!cmdline)
		return err->code;
	r = kernel_load(&vm->memory, spec->kernel_fd, spec->kernel_path ? spec->kernel_path : "image", &kernel, err);
	if (r >= 0 && spec->initrd_fd >= 0)
		r = kernel_load_initrd(&vm->memory, spec->initrd_fd, kernel.end, &boot.initrd, &boot.initrd_len, err);
	if (r >= 0)
		r = x86_acpi_build(&acpi, LAYOUT_ACPI, acpi_mem, acpi_len, err);
	if (r >= 0)
		r = x86_boot_memory(&vm->memory, &boot, err);
	if (r >= 0)
		*ret_entry = kernel.entry;
	return r;
}

static int build_vcpus(struct vm *vm, gpa_t entry, struct err *err)
{
	cleanup_free struct x86_cpuid *supported = xcalloc(1, sizeof(*supported));
	cleanup_free struct x86_cpuid *cpuid = xcalloc(1, sizeof(*cpuid));
	int r = x86_cpuid_supported(vm->kvm.fd, supported, err);

	vm->group.mmio = &vm->mmio;
	vm->group.pio = &vm->pio;
	vm->group.ended = vcpu_ended;
	vm->group.arg = vm;
	vcpu_group_init(&vm->group);
	for (unsigned int i = 0; i < vm->n_vcpus && r >= 0; i++) {
		struct vcpu *v = &vm->vcpus[i];

		vm->n_created++;
		r = vcpu_create(v, &vm->kvm, i, &vm->group, err);
		if (r < 0)
			break;
		*cpuid = *supported;
		x86_cpuid_adjust(cpuid, i, vm->n_vcpus);
		r = x86_cpuid_apply(v->fd, cpuid, err);
		if (r >= 0 && i == 0)
			r = x86_boot_registers(v->fd, entry, err);
	}
	return r;
}

static int check_spec(const struct vm_spec *spec, struct err *err)
{
	unsigned int most = spec->vcpus_max > spec->vcpus ? spec->vcpus_max : spec->vcpus;

	if (!spec->vcpus || most > VM_CONFIG_VCPUS_MAX)
		return err_set(err, EINVAL, "machine: %u vCPUs, 1 to %d are possible", most, VM_CONFIG_VCPUS_MAX);
	if (spec->n_nics > VM_NICS_MAX)
		return err_set(err, EINVAL, "machine: more than %d network interfaces", VM_NICS_MAX);
	for (unsigned int i = 0; i < spec->n_nics; i++)
		if (spec->nics[i].queues < 1 || spec->nics[i].queues > VM_NIC_QUEUES_MAX)
			return err_set(err, EINVAL, "machine: interface %u: %u queues, 1 to %d are possible", i,
				       spec->nics[i].queues, VM_NIC_QUEUES_MAX);
	if (spec->kernel_fd < 0)
		return err_set(err, EINVAL, "machine: no kernel");
	return 0;
}

static void vm_kvm_free(struct vm *vm)
{
	if (!vm)
		return;
	for (unsigned int i = 0; i < vm->n_created; i++)
		vcpu_free(&vm->vcpus[i]);
	for (unsigned int i = 0; i < vm->n_devices; i++)
		virtio_mmio_free(&vm->devices[i]);
	if (vm->serial_line >= 0)
		close(vm->serial_line);
	kvm_close(&vm->kvm);
	memory_free(&vm->memory);
	report_free(&vm->report);
	if (vm->statm_fd >= 0)
		close(vm->statm_fd);
	if (vm->event_fd >= 0)
		close(vm->event_fd);
	free(vm);
}

static int vm_kvm_build(const struct vm_spec *spec, struct vm **ret, struct err *err)
{
	struct vm *vm;
	gpa_t entry = 0;
	int r = check_spec(spec, err);

	if (r < 0)
		return r;
	vm = xcalloc(1, sizeof(*vm));
	vm->spec = spec;
	vm->n_vcpus = spec->vcpus_max > spec->vcpus ? spec->vcpus_max : spec->vcpus;
	vm->kvm = KVM_NONE;
	vm->serial_line = -1;
	vm->statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	pthread_mutex_init(&vm->lock, NULL);
	for (size_t i = 0; i < LAYOUT_VIRTIO_MAX; i++)
		pthread_mutex_init(&vm->pulses[i], NULL);
	pthread_cond_init(&vm->call_done, NULL);
	vm->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = vm->event_fd < 0 ? err_sys(err, -errno, "machine: eventfd") : 0;
	if (r >= 0)
		r = report_init(&vm->report, err);
	if (r >= 0)
		r = kvm_create(spec->kvm_fd, &vm->kvm, err);
	if (r >= 0)
		r = irq_setup(&vm->kvm, err);
	if (r >= 0)
		r = memory_alloc(&vm->memory, spec->memory_bytes, err);
	for (unsigned int i = 0; i < vm->memory.n && r >= 0; i++) {
		const struct memory_region *m = &vm->memory.regions[i];

		r = kvm_add_memory(&vm->kvm, m->gpa, m->len, m->host, false, err);
	}
	if (r >= 0)
		r = build_devices(vm, err);
	if (r >= 0)
		r = build_boot(vm, &entry, err);
	if (r >= 0)
		r = build_vcpus(vm, entry, err);
	if (r < 0) {
		vm_kvm_free(vm);
		return r;
	}
	*ret = vm;
	return 0;
}

/* Main's wait: events, calls, the report, the stop fd. */
static void machine_loop(struct vm *vm)
{
	struct pollfd p[3] = {
		{ .fd = vm->event_fd, .events = POLLIN },
		{ .fd = vm->report.epoll_fd, .events = POLLIN },
		{ .fd = vm->spec->stop_fd, .events = POLLIN },
	};
	uint64_t n;

	for (;;) {
		if (poll(p, ARRAY_SIZE(p), -1) < 0 && errno != EINTR) {
			machine_over(vm, VM_EXIT_FAILED, "poll failed");
			return;
		}
		if (p[0].revents && read(vm->event_fd, &n, sizeof(n)) < 0 && errno != EAGAIN)
			log_debug("vm: event: %m");
		if (p[1].revents)
			report_handle(&vm->report);
		if (p[2].revents)
			machine_over(vm, VM_EXIT_STOPPED, NULL);
		serve_calls(vm, false);
		pthread_mutex_lock(&vm->lock);
		if (vm->over) {
			pthread_mutex_unlock(&vm->lock);
			return;
		}
		pthread_mutex_unlock(&vm->lock);
	}
}

static int vm_kvm_run(struct vm *vm, struct vm_exit *ret, struct err *err)
{
	int r = lockdown_process(vm->spec->lockdown, err);

	memset(ret, 0, sizeof(*ret));
	ret->reason = VM_EXIT_FAILED;
	if (r >= 0)
		r = lockdown_thread(LOCKDOWN_MAIN, err);
	if (r < 0)
		return r;
	vm->main_runs = true;
	for (unsigned int i = 0; i < vm->n_vcpus && r >= 0; i++)
		r = vcpu_start(&vm->vcpus[i], err);
	if (r >= 0)
		machine_loop(vm);
	serve_calls(vm, true);
	vcpu_stop_all(vm->vcpus, vm->n_created, &vm->group);
	for (unsigned int i = 0; i < vm->n_created; i++)
		vcpu_join(&vm->vcpus[i]);
	for (unsigned int i = 0; i < vm->n_devices; i++)
		virtio_mmio_stop(&vm->devices[i]);
	serial_flush(&vm->serial);
	report_handle(&vm->report);
	if (r < 0)
		return r;
	ret->reason = vm->reason;
	ret->has_status = vm->report.has_status;
	ret->status = vm->report.status;
	if (vm->reason == VM_EXIT_FAILED && !ret->has_status)
		return err_set(err, EIO, "machine: %s", vm->fail_text ? vm->fail_text : "failed");
	return 0;
}

static void vm_kvm_stop(struct vm *vm)
{
	machine_over(vm, VM_EXIT_STOPPED, NULL);
}

static int vm_kvm_pause(struct vm *vm, bool paused, struct err *err)
{
	int r = vcpu_pause_all(vm->vcpus, vm->n_created, &vm->group, paused);

	return r < 0 ? err_sys(err, r, "machine: pause") : 0;
}

static int vm_kvm_set_balloon(struct vm *vm, uint64_t bytes, struct err *err)
{
	uint64_t total = memory_total(&vm->memory);

	if (!vm->balloon)
		return err_set(err, ENOTSUP, "machine: has no balloon");
	if (bytes > total - VM_CONFIG_MEMORY_MIN)
		return err_set(err, EINVAL, "balloon: %llu bytes would leave less than %llu MiB",
			       (unsigned long long)bytes, VM_CONFIG_MEMORY_MIN >> 20);
	virtio_balloon_set(vm->balloon, bytes);
	return 0;
}

static int vm_kvm_release(struct vm *vm, const char *path, struct err *err)
{
	int r = virtio_fs_release(vm->fs, path);

	return r < 0 ? err_sys(err, r, "machine: %s", path) : 0;
}

/* Resident bytes of this process, or 0 where the jail has no /proc. Threads that ask may not open files. */
static uint64_t resident(const struct vm *vm)
{
	unsigned long long size, pages;
	char buf[128];
	ssize_t n = vm->statm_fd < 0 ? -1 : pread(vm->statm_fd, buf, sizeof(buf) - 1, 0);

	if (n <= 0)
		return 0;
	buf[n] = 0;
	return sscanf(buf, "%llu %llu", &size, &pages) == 2 ? pages * 4096 : 0;
}

static int vm_kvm_stats(struct vm *vm, struct vm_stats *ret, struct err *err)
{
	*ret = (struct vm_stats){
		.memory_bytes = memory_total(&vm->memory),
		.balloon_bytes = vm->balloon ? virtio_balloon_get(vm->balloon) : 0,
		.rss_bytes = resident(vm),
		.vcpus = vm->n_vcpus,
	};
	for (unsigned int i = 0; i < vm->n_created; i++)
		if (vm->vcpus[i].stats_fd >= 0)
			(void)kvm_stats_add(vm->vcpus[i].stats_fd, ret->exits);
	return 0;
}

static int vm_kvm_probe(struct err *err)
{
	return probe_kvm(err);
}

static int vm_kvm_prepare(struct vm_spec *spec, struct err *err)
{
	if (spec->kvm_fd >= 0)
		return 0;
	spec->kvm_fd = kvm_open(err);
	return spec->kvm_fd < 0 ? spec->kvm_fd : 0;
}

const struct vm_driver vm_kvm_driver = {
	.name = "kvm",
	.probe = vm_kvm_probe,
	.prepare = vm_kvm_prepare,
	.build = vm_kvm_build,
	.run = vm_kvm_run,
	.stop = vm_kvm_stop,
	.pause = vm_kvm_pause,
	.set_balloon = vm_kvm_set_balloon,
	.release = vm_kvm_release,
	.stats = vm_kvm_stats,
	.free = vm_kvm_free,
};
