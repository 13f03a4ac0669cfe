/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KVM's ioctls (Documentation/virt/kvm/api.rst). Nothing here knows what a machine looks like.
 *
 * Capabilities and why: IRQCHIP (interrupt controllers in the kernel), USER_MEMORY, IRQFD and IOEVENTFD (device threads
 * and the guest meet without the vCPU leaving the kernel), SET_TSS_ADDR and SET_IDENTITY_MAP_ADDR (Intel without
 * unrestricted guest), EXT_CPUID (leaves), IMMEDIATE_EXIT (a vCPU is stopped without a race).
 */
#include "vm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"

static const struct {
	int cap;
	const char *name;
} wanted[] = {
	{ KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP" },     { KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY" },
	{ KVM_CAP_IRQFD, "KVM_CAP_IRQFD" },         { KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD" },
	{ KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID" }, { KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT" },
};

int kvm_ioctl(int fd, unsigned long request, void *arg)
{
	int r;

	do
		r = ioctl(fd, request, arg);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

int kvm_ioctl_val(int fd, unsigned long request, unsigned long arg)
{
	return kvm_ioctl(fd, request, (void *)arg);
}

int kvm_open(struct err *err)
{
	cleanup_fd int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int v;

	if (fd < 0 && errno == ENOENT)
		return err_set(err, ENOENT,
			       "/dev/kvm: missing: enable virtualization in the firmware and load kvm-intel or "
			       "kvm-amd");
	if (fd < 0 && errno == EACCES)
		return err_set(err, EACCES, "/dev/kvm: permission denied: join the group kvm");
	if (fd < 0)
		return err_sys(err, -errno, "/dev/kvm");
	v = kvm_ioctl_val(fd, KVM_GET_API_VERSION, 0);
	if (v != KVM_API_VERSION)
		return err_set(err, ENOTSUP, "/dev/kvm: API version %d, expected %d", v, KVM_API_VERSION);
	return steal_fd(fd);
}

int kvm_create(int kvm_fd, struct kvm *ret, struct err *err)
{
	struct kvm k = { .fd = kvm_fd, .vm_fd = -1 };

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		if (kvm_ioctl_val(kvm_fd, KVM_CHECK_EXTENSION, (unsigned long)wanted[i].cap) <= 0)
			return err_set(err, ENOTSUP, "/dev/kvm: lacks %s", wanted[i].name);
	}
	k.kvmclock_ctrl = kvm_ioctl_val(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_KVMCLOCK_CTRL) > 0;
	k.run_size = kvm_ioctl_val(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (k.run_size < (int)sizeof(struct kvm_run))
		return err_set(err, ENOTSUP, "/dev/kvm: vCPU area of %d bytes", k.run_size);
	k.vm_fd = kvm_ioctl_val(kvm_fd, KVM_CREATE_VM, 0);
	if (k.vm_fd < 0)
		return err_sys(err, k.vm_fd, "/dev/kvm: KVM_CREATE_VM");
	*ret = k;
	return 0;
}

void kvm_close(struct kvm *k)
{
	if (k->vm_fd >= 0)
		close(k->vm_fd);
	k->vm_fd = -1;
}

int kvm_add_memory(struct kvm *k, uint64_t gpa, uint64_t len, void *host, bool read_only, struct err *err)
{
	struct kvm_userspace_memory_region region = {
		.slot = k->slots,
		.flags = read_only ? KVM_MEM_READONLY : 0,
		.guest_phys_addr = gpa,
		.memory_size = len,
		.userspace_addr = (uintptr_t)host,
	};
	int r = kvm_ioctl(k->vm_fd, KVM_SET_USER_MEMORY_REGION, &region);

	if (r < 0)
		return err_sys(err, r, "KVM_SET_USER_MEMORY_REGION: %#llx bytes at %#llx", (unsigned long long)len,
			       (unsigned long long)gpa);
	k->slots++;
	return 0;
}

int kvm_irqfd(const struct kvm *k, int event_fd, uint32_t gsi, bool assign, struct err *err)
{
	struct kvm_irqfd arg = {
		.fd = (uint32_t)event_fd,
		.gsi = gsi,
		.flags = assign ? 0 : KVM_IRQFD_FLAG_DEASSIGN,
	};
	int r = kvm_ioctl(k->vm_fd, KVM_IRQFD, &arg);

	return r < 0 ? err_sys(err, r, "KVM_IRQFD: GSI %u", gsi) : 0;
}

int kvm_ioeventfd(const struct kvm *k, int event_fd, uint64_t addr, uint32_t value, bool assign, struct err *err)
{
	struct kvm_ioeventfd arg = {
		.datamatch = value,
		.addr = addr,
		.len = 4,
		.fd = event_fd,
		.flags = KVM_IOEVENTFD_FLAG_DATAMATCH | (assign ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN),
	};
	int r = kvm_ioctl(k->vm_fd, KVM_IOEVENTFD, &arg);

	return r < 0 ? err_sys(err, r, "KVM_IOEVENTFD: %#llx", (unsigned long long)addr) : 0;
}
