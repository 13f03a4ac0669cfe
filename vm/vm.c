/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of vm.h that belong to no driver: the spec's life, its virtio-fs device, words for reasons, control lines. */
#include "vm/vm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "vm/virtio_fs.h"

void vm_spec_init(struct vm_spec *spec)
{
	memset(spec, 0, sizeof(*spec));
	spec->kernel_fd = -1;
	spec->initrd_fd = -1;
	spec->export_fd = -1;
	spec->agent_listen_fd = -1;
	spec->console_fd = -1;
	spec->kvm_fd = -1;
	spec->stop_fd = -1;
	spec->fs_cache = VIRTIO_FS_CACHE_AUTO;
	for (unsigned int i = 0; i < VM_NICS_MAX; i++)
		for (unsigned int k = 0; k < VM_NIC_QUEUES_MAX; k++)
			spec->nics[i].tap_fds[k] = spec->nics[i].vhost_fds[k] = -1;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void vm_spec_close(struct vm_spec *spec)
{
	int *fds[] = { &spec->kernel_fd,  &spec->initrd_fd, &spec->export_fd, &spec->agent_listen_fd,
		       &spec->console_fd, &spec->kvm_fd,    &spec->stop_fd };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close_fd(fds[i]);
	for (unsigned int i = 0; i < VM_NICS_MAX; i++) {
		for (unsigned int k = 0; k < VM_NIC_QUEUES_MAX; k++) {
			close_fd(&spec->nics[i].tap_fds[k]);
			close_fd(&spec->nics[i].vhost_fds[k]);
		}
	}
}

unsigned int vm_nic_queues(unsigned int vcpus)
{
	return vcpus < 1 ? 1 : vcpus > VM_NIC_QUEUES_MAX ? VM_NIC_QUEUES_MAX : vcpus;
}

unsigned int vm_fs_queues(const struct vm_spec *spec)
{
	unsigned int n = spec->vcpus_max > spec->vcpus ? spec->vcpus_max : spec->vcpus;

	return 1 + (n < 1 ? 1 : n > VIRTIO_FS_REQUEST_QUEUES_MAX ? VIRTIO_FS_REQUEST_QUEUES_MAX : n);
}

struct virtio_device *vm_fs_new(const struct vm_spec *spec, struct err *err)
{
	struct virtio_fs_params p;

	virtio_fs_params_init(&p);
	p.export_fd = spec->export_fd;
	p.tag = VM_FS_TAG;
	p.cache = (enum virtio_fs_cache)spec->fs_cache;
	p.mounts = spec->fs_mounts;
	p.main = "rootfs";
	p.n_mounts = spec->n_fs_mounts;
	p.shared_locks = spec->fs_shared_locks;
	p.reopen = spec->reopen;
	p.request_queues = vm_fs_queues(spec) - 1;
	return virtio_fs_create(&p, err);
}

const char *vm_exit_name(enum vm_exit_reason reason)
{
	static const char *const names[] = { "poweroff", "crash", "stopped", "failed" };

	_Static_assert(ARRAY_SIZE(names) == VM_EXIT_REASON_MAX, "a word for each reason");
	return reason < VM_EXIT_REASON_MAX ? names[reason] : "unknown";
}

void vm_console_line(const char *line, bool *panicked)
{
	const char *at = *panicked ? NULL : strstr(line, "Kernel panic - not syncing");

	if (!at)
		return;
	*panicked = true;
	log_error("the machine's kernel: %.*s", (int)strcspn(at, "\r\n"), at);
}

static void say_stats(const struct vm_stats *st, char *reply, size_t reply_len)
{
	int n = snprintf(reply, reply_len, "OK memory=%llu balloon=%llu rss=%llu vcpus=%u",
			 (unsigned long long)st->memory_bytes, (unsigned long long)st->balloon_bytes,
			 (unsigned long long)st->rss_bytes, st->vcpus);

	for (size_t k = 0; k < KVM_STATS_MAX && st->exits[KVM_STATS_EXITS] && n > 0 && (size_t)n < reply_len; k++)
		n += snprintf(reply + n, reply_len - (size_t)n, " %s=%llu", kvm_stats_name((enum kvm_stats_kind)k),
			      (unsigned long long)st->exits[k]);
	if (n > 0 && (size_t)n + 1 < reply_len)
		memcpy(reply + n, "\n", 2);
}

void vm_control_line(const struct vm_driver *driver, struct vm *vm, const char *line, char *reply, size_t reply_len)
{
	struct err err = { 0 };
	struct vm_stats st;
	uint64_t bytes;
	int r = 0;

	if (!strcmp(line, "PAUSE") || !strcmp(line, "RESUME")) {
		r = driver->pause(vm, line[0] == 'P', &err);
	} else if (!strcmp(line, "STOP")) {
		driver->stop(vm);
	} else if (str_starts(line, "BALLOON ")) {
		r = parse_u64(line + strlen("BALLOON "), &bytes);
		if (r < 0)
			err_set(&err, EINVAL, "BALLOON: expected a number of bytes");
		else
			r = driver->set_balloon(vm, bytes, &err);
	} else if (str_starts(line, "RELEASE ")) {
		r = driver->release(vm, line + strlen("RELEASE "), &err);
	} else if (!strcmp(line, "STATS")) {
		r = driver->stats(vm, &st, &err);
		if (r >= 0) {
			say_stats(&st, reply, reply_len);
			return;
		}
	} else {
		r = err_set(&err, EINVAL, "unknown request");
	}
	if (r < 0)
		snprintf(reply, reply_len, "ERR %s\n", err.msg);
	else
		snprintf(reply, reply_len, "OK\n");
}
