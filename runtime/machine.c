/* SPDX-License-Identifier: Apache-2.0 */
/* The decisions about one machine. */
/*
 * Theory of operation: the plan carries what the command line and the configuration file say, vm_config what the
 * bundle says; together they give size, kernel and driver. "auto" takes our monitor where this host's KVM runs guest
 * kernels natively, and QEMU otherwise, which is slower and said once to a person at a terminal.
 */
#include "runtime/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "container/container.h"
#include "runtime/jail.h"
#include "runtime/libexec.h"
#include "runtime/plan.h"
#include "vm/kernel_files.h"
#include "vm/lockdown.h"
#include "vm/qemu.h"
#include "vm/virtio_fs.h"

#define MACHINE_VERSION 1
#define MIB2 (2ULL << 20)
#define SPARE_VCPUS_MAX 8

void machine_init(struct machine *mc)
{
	memset(mc, 0, sizeof(*mc));
	mc->control = -1;
	mc->monitor.control = -1;
	vm_spec_init(&mc->monitor.spec);
}

static int choose_driver(struct machine *mc, enum vmm_driver vmm, struct err *err)
{
	struct err why = { 0 };

	if (vmm == VMM_AUTO && vm_kvm_driver.probe(&why) == 0)
		vmm = VMM_KVM;
	if (vmm == VMM_KVM) {
		mc->monitor.driver = &vm_kvm_driver;
		return vm_kvm_driver.probe(err);
	}
	mc->qemu = true;
	mc->monitor.driver = &qemu_driver;
	if (qemu_driver.probe(err) < 0)
		return vmm == VMM_AUTO && err ?
			err_set(err, err->code, "no way to run a machine: %s; %s", why.msg, err->msg) :
			(err ? err->code : -ENOENT);
	if (vmm == VMM_AUTO && isatty(STDERR_FILENO))
		log_warn("%s; the machine runs under QEMU, which is slower", why.msg);
	return 0;
}

/* Processors that an update may bring online later: as many as the host can run, but each costs a little. */
static unsigned int spare_vcpus(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : n > SPARE_VCPUS_MAX ? SPARE_VCPUS_MAX : (unsigned int)n;
}

int machine_decide(struct machine *mc, const struct plan *plan, struct err *err)
{
	struct vm_config_defaults d = { .kernel = plan->kernel,
					.vcpus_max = spare_vcpus(),
					.allow_paths = plan->may_name_paths };
	enum vmm_driver vmm = plan->vmm;
	int r = vm_config_from_oci(plan->config, &d, &mc->config, err);

	if (r < 0)
		return r;
	if (plan->vcpus)
		mc->config.vcpus = plan->vcpus;
	if (mc->config.vcpus_max < mc->config.vcpus)
		mc->config.vcpus_max = mc->config.vcpus;
	if (plan->memory_bytes)
		mc->config.memory_bytes = (plan->memory_bytes + MIB2 - 1) / MIB2 * MIB2;
	if (plan->request && plan->request->kernel && strchr(plan->request->kernel, '/'))
		return err_set(err, -EINVAL,
			       "option --kernel: %s: add it to the store first: amphi kernel add --image %s",
			       plan->request->kernel, plan->request->kernel);
	if (vmm == VMM_AUTO && mc->config.vmm == VM_CONFIG_VMM_KVM)
		vmm = VMM_KVM;
	else if (vmm == VMM_AUTO && mc->config.vmm == VM_CONFIG_VMM_QEMU)
		vmm = VMM_QEMU;
	return choose_driver(mc, vmm, err);
}

static int open_file(const char *path, int *ret, struct err *err)
{
	*ret = open(path, O_RDONLY | O_CLOEXEC);
	return *ret < 0 ? err_sys(err, -errno, "%s", path) : 0;
}

int machine_lockdown(void)
{
	const char *s = secure_getenv("AMPHI_VM_LOCKDOWN");

	return !s ? LOCKDOWN_KILL : !strcmp(s, "off") ? LOCKDOWN_OFF : !strcmp(s, "log") ? LOCKDOWN_LOG : LOCKDOWN_KILL;
}

/* The cache policies of the exported trees, by their paths in the export tree. */
static void share_policies(struct machine *mc, struct vm_spec *spec)
{
	const struct vm_config_fs *fs = &mc->config.fs;

	mc->fs_mounts = xcalloc(fs->n_trees + 1, sizeof(*mc->fs_mounts));
	for (size_t i = 0; i < fs->n_trees; i++)
		mc->fs_mounts[mc->n_fs_mounts++] = (struct virtio_fs_mount){
			.path = fs->trees[i].mount == VM_CONFIG_FS_ROOT ? xstrdup("rootfs") :
									  xasprintf("mounts/%zu", fs->trees[i].mount),
			.cache = (enum virtio_fs_cache)fs->trees[i].cache,
		};
	spec->fs_cache = fs->cache;
	spec->fs_shared_locks = fs->shared_locks;
	spec->fs_mounts = mc->fs_mounts;
	spec->n_fs_mounts = mc->n_fs_mounts;
}

int machine_prepare(struct machine *mc, const char *id, const char *state_dir, bool log, struct err *err)
{
	struct vm_spec *spec = &mc->monitor.spec;
	cleanup_free char *init = libexec_find("amphi-init", err);
	int r;

	if (!init)
		return err ? err->code : -ENOENT;
	if (mc->config.kernel_path)
		r = kernel_files_open(mc->config.kernel_path, mc->config.initrd_path, init, state_dir, &mc->kernel,
				      err);
	else
		r = kernel_store_open(kernel_store_dir(), mc->config.kernel, init, &mc->kernel, err);
	if (!r)
		r = open_file(mc->kernel.vmlinux, &spec->kernel_fd, err);
	if (!r)
		r = open_file(mc->kernel.initrd, &spec->initrd_fd, err);
	if (r < 0)
		return r;
	if (log) {
		cleanup_free char *path = path_join(state_dir, "console.log");

		spec->console_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		spec->console_verbose = true;
	}
	spec->name = id;
	spec->vcpus = mc->config.vcpus;
	spec->vcpus_max = mc->config.vcpus_max;
	spec->memory_bytes = mc->config.memory_bytes;
	spec->kernel_path = JAIL_KERNEL;
	spec->initrd_path = JAIL_INITRD;
	spec->cmdline = mc->config.cmdline;
	spec->lockdown = machine_lockdown();
	share_policies(mc, spec);
	return mc->monitor.driver->prepare(spec, err);
}

char *machine_save(const struct machine *mc)
{
	struct json_writer w = { 0 };

	json_w_object(&w, NULL);
	json_w_u64(&w, "version", MACHINE_VERSION);
	if (mc->pod.sandbox) {
		json_w_string(&w, "sandbox", mc->pod.sandbox);
		json_w_string(&w, "slot", mc->pod.slot);
		json_w_object_end(&w);
		return json_w_steal(&w);
	}
	json_w_u64(&w, "memory", mc->config.memory_bytes);
	json_w_u64(&w, "vcpus", mc->config.vcpus);
	json_w_u64(&w, "vcpusMax", mc->config.vcpus_max);
	json_w_string(&w, "kernel", mc->kernel.name);
	json_w_string(&w, "release", mc->kernel.release);
	json_w_string(&w, "vmm", mc->monitor.driver->name);
	json_w_object_end(&w);
	return json_w_steal(&w);
}

int machine_saved_check(const char *record, struct err *err)
{
	cleanup_json_doc struct json_doc *doc = json_parse(record, strlen(record), "machine", err);
	uint64_t version = 0;
	int r = doc ? json_opt_u64(json_root(doc), "version", &version, err) : -EINVAL;

	if (r >= 0 && version != MACHINE_VERSION)
		r = err_set(err, -EINVAL, "version %llu is not known to this amphi (it writes %d)",
			    (unsigned long long)version, MACHINE_VERSION);
	return r < 0 ? err_wrap(err, "the record of the machine") : 0;
}

void machine_saved_size(const char *record, struct resize_machine *ret)
{
	cleanup_json_doc struct json_doc *doc = record ? json_parse(record, strlen(record), "machine", NULL) : NULL;
	cleanup_free char *vmm = NULL;
	uint64_t memory = 0;
	uint32_t vcpus = 0;

	if (doc) {
		(void)json_opt_u64(json_root(doc), "memory", &memory, NULL);
		(void)json_opt_u32(json_root(doc), "vcpusMax", &vcpus, NULL);
		(void)json_opt_string(json_root(doc), "vmm", &vmm, NULL);
	}
	*ret = (struct resize_machine){ .memory = memory, .vcpus_max = vcpus, .qemu = vmm && !strcmp(vmm, "qemu") };
}

void machine_saved_pod(const struct globals *g, const char *record, struct pod *ret)
{
	cleanup_json_doc struct json_doc *doc = record ? json_parse(record, strlen(record), "machine", NULL) : NULL;
	cleanup_free char *sandbox = NULL, *slot = NULL;

	*ret = (struct pod){ 0 };
	if (doc && json_opt_string(json_root(doc), "sandbox", &sandbox, NULL) > 0 &&
	    json_opt_string(json_root(doc), "slot", &slot, NULL) > 0)
		pod_restore(g, sandbox, slot, ret);
}

void machine_free(struct machine *mc)
{
	if (!mc)
		return;
	container_free(mc->jail);
	oci_config_free(mc->jail_config);
	kernel_store_entry_free(&mc->kernel);
	vm_config_free(&mc->config);
	pod_free(&mc->pod);
	vm_spec_close(&mc->monitor.spec);
	if (mc->control >= 0)
		close(mc->control);
	free(mc);
}
