/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KVM's binary statistics (virt/kvm/api.rst, 4.133): a header, then descriptors with names, then the values, all read
 * by pread(2) from one descriptor. Names are looked up each time: it is asked for by people, seldom.
 */
#include "vm/kvm_stats.h"

#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "vm/kvm.h"

#define NAME_MAX_ 256u
#define DESCRIPTORS_MAX 1024u

/* The word, and the name in KVM. */
static const struct {
	const char *word, *name;
} kinds[] = {
	[KVM_STATS_EXITS] = { "exits", "exits" },
	[KVM_STATS_IO] = { "io", "io_exits" },
	[KVM_STATS_MMIO] = { "mmio", "mmio_exits" },
	[KVM_STATS_HALT] = { "halt", "halt_exits" },
	[KVM_STATS_IRQ] = { "irq", "irq_exits" },
	[KVM_STATS_IRQ_WINDOW] = { "irqWindow", "irq_window_exits" },
	[KVM_STATS_SIGNAL] = { "signal", "signal_exits" },
	[KVM_STATS_HYPERCALL] = { "hypercall", "hypercalls" },
	[KVM_STATS_PAGE_FAULT] = { "pageFault", "pf_taken" },
};
_Static_assert(ARRAY_SIZE(kinds) == KVM_STATS_MAX, "a name for each kind");

const char *kvm_stats_name(enum kvm_stats_kind kind)
{
	return kind < KVM_STATS_MAX ? kinds[kind].word : "unknown";
}

int kvm_stats_open(int vcpu_fd)
{
	return kvm_ioctl_val(vcpu_fd, KVM_GET_STATS_FD, 0);
}

static int read_at(int fd, void *buf, size_t len, uint64_t off)
{
	ssize_t n = pread(fd, buf, len, (off_t)off);

	return n == (ssize_t)len ? 0 : n < 0 ? -errno : -EIO;
}

int kvm_stats_add(int stats_fd, uint64_t sum[KVM_STATS_MAX])
{
	struct kvm_stats_header h;
	size_t size;
	int r = read_at(stats_fd, &h, sizeof(h), 0);

	if (r < 0)
		return r;
	if (h.name_size > NAME_MAX_ || h.num_desc > DESCRIPTORS_MAX)
		return -EPROTO;
	size = sizeof(struct kvm_stats_desc) + h.name_size;
	for (uint32_t i = 0; i < h.num_desc; i++) {
		union {
			struct kvm_stats_desc d;
			char bytes[sizeof(struct kvm_stats_desc) + NAME_MAX_ + 1];
		} u = { .bytes = { 0 } };
		const char *name = u.bytes + sizeof(struct kvm_stats_desc);
		uint64_t v;

		r = read_at(stats_fd, &u, size, h.desc_offset + i * size);
		if (r < 0)
			return r;
		for (size_t k = 0; k < KVM_STATS_MAX; k++) {
			if (u.d.size != 1 || strcmp(name, kinds[k].name) != 0)
				continue;
			r = read_at(stats_fd, &v, sizeof(v), h.data_offset + u.d.offset);
			if (r < 0)
				return r;
			sum[k] += v;
		}
	}
	return 0;
}
