/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One machine. A caller describes it by struct vm_spec (values and fds, no OCI, no state directory) and drives it
 * through a struct vm_driver; our monitor (vm_kvm_driver, vm_kvm.c) and the QEMU driver (qemu_driver, qemu.h) look
 * the same from here. All calls happen in the monitor process unless said otherwise.
 *
 * The usual course (runtime/backend_vm.c):
 *
 *	amphi, outside the jail:   driver->prepare(&spec)   opens what the jail hides (/dev/kvm …)
 *	monitor, inside the jail:  driver->build(&spec, &vm)   memory, devices, kernel, vCPUs: nothing runs
 *	                           [report readiness, park until told]
 *	                           driver->run(vm, &exit)      blocks until the machine is over
 *	                           driver->free(vm)
 *
 * The guest's agent reports the workload's wait status by connecting to host vsock port VM_PORT_EXIT and writing 4
 * bytes (int32, little endian) before it powers off; the last complete report wins and is in struct vm_exit.
 */
#ifndef VM_VM_H
#define VM_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "vm/kvm_stats.h"

#define VM_PORT_AGENT 1024 /* guest: the agent listens here */
#define VM_PORT_EXIT 1023  /* host: takes the workload's wait status */
#define VM_GUEST_CID 3
#define VM_NICS_MAX 8
#define VM_NIC_QUEUES_MAX 4 /* pairs of queues of one interface */
#define VM_FS_TAG "amphi"   /* tag of the one virtio-fs device */

struct vm_nic {
	unsigned int queues;              /* of the tap, for as many pairs of the device */
	int tap_fds[VM_NIC_QUEUES_MAX];   /* IFF_VNET_HDR | IFF_NO_PI, non-blocking not required; owned by the spec */
	int vhost_fds[VM_NIC_QUEUES_MAX]; /* vhost_net_open(), as many; -1: none, the monitor moves the frames. owned */
	uint8_t mac[6];
	uint16_t mtu; /* 0: not announced */
};

struct virtio_fs_mount;
struct reopen;

struct vm_spec {
	const char *name;        /* for the log: the container's id */
	unsigned int vcpus;      /* online at boot */
	unsigned int vcpus_max;  /* present; 0: = vcpus */
	uint64_t memory_bytes;   /* multiple of 2 MiB */
	int kernel_fd;           /* ELF vmlinux or bzImage */
	int initrd_fd;           /* -1: none */
	const char *kernel_path; /* the same files for QEMU, and for messages; may be NULL with KVM */
	const char *initrd_path;
	const char *cmdline;                     /* added behind our own parameters; may be NULL */
	int export_fd;                           /* directory served by virtio-fs as VM_FS_TAG; -1: no virtio-fs */
	int fs_cache;                            /* its enum virtio_fs_cache */
	const struct virtio_fs_mount *fs_mounts; /* mounts in it with another one; owned by the caller */
	size_t n_fs_mounts;
	struct reopen *reopen; /* opens files again by their handles (vm/reopen.h); NULL: all stay open; the caller's */
	bool fs_shared_locks;  /* file locks are taken on the host's files */
	int agent_listen_fd;   /* listening unix stream socket: CONNECT <port>, or a control line; -1: no vsock */
	int console_fd;        /* the guest's console (panics, early boot) is appended here; -1: dropped */
	bool console_verbose;  /* whole kernel log on the console instead of "quiet" */
	struct vm_nic nics[VM_NICS_MAX];
	unsigned int n_nics;
	bool no_rng, no_balloon; /* leave these devices out */
	int lockdown;            /* enum lockdown_mode */
	int kvm_fd;              /* /dev/kvm from prepare(); -1 */
	int stop_fd;             /* readable: end the machine now (eventfd); -1: none */
	/* Host side of guest → host vsock connections: fd of a stream for the port, or -errno. Owned by the device. */
	int (*guest_connect)(void *arg, uint32_t port);
	void *guest_connect_arg;
};

/* Pairs of queues an interface of a machine gets that boots with so many vCPUs. */
unsigned int vm_nic_queues(unsigned int vcpus);

/* All fds -1, the rest 0. */
void vm_spec_init(struct vm_spec *spec);
/* Closes all fds in it. */
void vm_spec_close(struct vm_spec *spec);

enum vm_exit_reason {
	VM_EXIT_POWEROFF, /* the guest powered itself off or rebooted */
	VM_EXIT_CRASH,    /* triple fault, kernel panic or internal error without an agent's report */
	VM_EXIT_STOPPED,  /* vm_driver.stop or stop_fd */
	VM_EXIT_FAILED,   /* the monitor could not go on; *err says why */
	VM_EXIT_REASON_MAX
};

struct vm_exit {
	enum vm_exit_reason reason;
	bool has_status; /* the agent reported */
	int status;      /* wait status of the workload, as from waitpid() */
};

/* The reason's word ("poweroff"). */
const char *vm_exit_name(enum vm_exit_reason reason);

struct vm_stats {
	uint64_t memory_bytes;         /* RAM of the machine */
	uint64_t balloon_bytes;        /* taken away by the balloon */
	uint64_t rss_bytes;            /* resident on the host, monitor included */
	unsigned int vcpus;            /* present */
	uint64_t exits[KVM_STATS_MAX]; /* why the guest left, by kind; all 0: not known */
};

struct vm;
struct virtio_device;

/* The spec's virtio-fs device, for the drivers. NULL with *err. */
struct virtio_device *vm_fs_new(const struct vm_spec *spec, struct err *err);
/* Its number of queues: that of high priority and a request queue for each vCPU, bounded. */
unsigned int vm_fs_queues(const struct vm_spec *spec);

struct vm_driver {
	const char *name; /* "kvm", "qemu" */
	/* Can this host run machines with this driver? 0, or -errno with what is missing and the remedy. Anywhere. */
	int (*probe)(struct err *err);
	/* Outside the jail, any process: opens what the jail hides into spec. 0 or -errno. */
	int (*prepare)(struct vm_spec *spec, struct err *err);
	/* Makes the machine; spec and its fds must outlive it. 0 with *ret, or -errno. */
	int (*build)(const struct vm_spec *spec, struct vm **ret, struct err *err);
	/* Runs it to its end. Blocks. 0 with *ret, or -errno (reason VM_EXIT_FAILED). */
	int (*run)(struct vm *vm, struct vm_exit *ret, struct err *err);
	/* These from any thread while run() blocks, or by control lines on the agent socket. */
	void (*stop)(struct vm *vm);
	int (*pause)(struct vm *vm, bool paused, struct err *err);
	int (*set_balloon)(struct vm *vm, uint64_t bytes, struct err *err);
	/* What was mounted below path (two names) of the shared directory is gone: nothing here may pin it. */
	int (*release)(struct vm *vm, const char *path, struct err *err);
	int (*stats)(struct vm *vm, struct vm_stats *ret, struct err *err);
	void (*free)(struct vm *vm); /* after run() or build(); NULL allowed */
};

extern const struct vm_driver vm_kvm_driver;

/*
 * A line of the guest's console: does it tell that its kernel panicked? The first such (*panicked false till then) goes to
 * the log.
 */
void vm_console_line(const char *line, bool *panicked);

/*
 * A line on the agent socket that is not CONNECT, for both drivers: "PAUSE", "RESUME", "STOP", "BALLOON <bytes>",
 * "RELEASE <path>", "STATS" (memory, balloon, rss in bytes, vcpus; exits by the words of kvm_stats.h). Writes one line ("OK", "OK key=value …" or "ERR text", with newline) to reply. The vsock core calls it.
 */
void vm_control_line(const struct vm_driver *driver, struct vm *vm, const char *line, char *reply, size_t reply_len);

#endif
