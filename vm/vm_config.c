/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci_config → the machine. Pure: looks at the document and the caller's defaults and nothing else.
 *
 * Memory: a workload's limit becomes the machine's RAM plus what the guest's kernel and agent need, because inside the
 * machine the workload has its own cgroup with that very limit. vCPUs: a CPU quota gives the number of processors
 * rounded up, a cpuset its number of processors if that is less. The vm object and the annotations say it outright. They
 * may only choose and shrink: host paths need allow_paths.
 */
#include "vm/vm_config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "oci/config.h"

#define ROUND (2ULL << 20)
#define MEMORY_MAX (1ULL << 40)

int vm_config_vmm_parse(const char *word, enum vm_config_vmm *ret)
{
	static const char *const words[] = { "auto", "kvm", "qemu" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (!strcmp(word, words[i])) {
			*ret = (enum vm_config_vmm)i;
			return 0;
		}
	}
	return -EINVAL;
}

void vm_config_free(struct vm_config *c)
{
	vm_config_fs_free(&c->fs);
	if (!c)
		return;
	free(c->kernel);
	free(c->kernel_path);
	free(c->initrd_path);
	free(c->cmdline);
	memset(c, 0, sizeof(*c));
}

static int set_memory(struct vm_config *c, uint64_t bytes, const char *where, struct err *err)
{
	if (bytes < VM_CONFIG_MEMORY_MIN)
		return err_set(err, EINVAL, "%s: %llu bytes, a machine needs at least %llu MiB", where,
			       (unsigned long long)bytes, VM_CONFIG_MEMORY_MIN >> 20);
	if (bytes > MEMORY_MAX)
		return err_set(err, EINVAL, "%s: %llu bytes, at most 1 TiB are possible", where,
			       (unsigned long long)bytes);
	c->memory_bytes = (bytes + ROUND - 1) / ROUND * ROUND;
	return 0;
}

static int set_vcpus(struct vm_config *c, uint64_t n, const char *where, struct err *err)
{
	if (!n || n > VM_CONFIG_VCPUS_MAX)
		return err_set(err, EINVAL, "%s: %llu, 1 to %d are possible", where, (unsigned long long)n,
			       VM_CONFIG_VCPUS_MAX);
	c->vcpus = (unsigned int)n;
	return 0;
}

/* Number of processors in a list like "0-3,7"; 0 when it is not one. */
static unsigned int count_cpus(const char *list)
{
	cleanup_strv char **parts = strv_split(list, ',');
	unsigned int n = 0;

	for (size_t i = 0; parts[i]; i++) {
		char *dash = strchr(parts[i], '-');
		uint32_t a, b;

		if (dash)
			*dash++ = 0;
		if (parse_u32(parts[i], &a) < 0)
			return 0;
		b = a;
		if (dash && (parse_u32(dash, &b) < 0 || b < a || b - a > 4096))
			return 0;
		n += b - a + 1;
	}
	return n;
}

/* What the limits suggest; never an error: they hold inside the machine in any case. */
static void from_resources(const struct oci_resources *r, struct vm_config *c)
{
	if (r->has_memory && r->memory.has_limit && r->memory.limit > 0) {
		uint64_t bytes = (uint64_t)r->memory.limit;

		/* A limit that no machine could hold is no statement about this one. */
		if (bytes <= MEMORY_MAX - VM_CONFIG_MEMORY_OVERHEAD)
			c->memory_bytes = (bytes + VM_CONFIG_MEMORY_OVERHEAD + ROUND - 1) / ROUND * ROUND;
	}
	if (r->has_cpu && r->cpu.has_quota && r->cpu.quota > 0) {
		uint64_t period = r->cpu.has_period && r->cpu.period ? r->cpu.period : 100000;
		uint64_t n = ((uint64_t)r->cpu.quota + period - 1) / period;

		c->vcpus = n > VM_CONFIG_VCPUS_MAX ? VM_CONFIG_VCPUS_MAX : (unsigned int)n;
	}
	if (r->has_cpu && r->cpu.cpus) {
		unsigned int n = count_cpus(r->cpu.cpus);

		if (n && n < c->vcpus)
			c->vcpus = n;
	}
}

/*
 * A pod's machine is made before its containers: the CRI engine sums up what they will ask for (containerd's
 * pkg/cri/annotations). 0 means nothing was asked for.
 */
static void from_pod(const struct oci_config *config, struct vm_config *c)
{
	const char *type = oci_annotation(config, "io.kubernetes.cri.container-type");
	const char *memory = oci_annotation(config, "io.kubernetes.cri.sandbox-memory");
	const char *quota = oci_annotation(config, "io.kubernetes.cri.sandbox-cpu-quota");
	const char *period = oci_annotation(config, "io.kubernetes.cri.sandbox-cpu-period");
	struct oci_resources r = { 0 };
	uint64_t n;

	if (!type || strcmp(type, "sandbox") != 0)
		return;
	if (memory && parse_u64(memory, &n) == 0 && n && n <= MEMORY_MAX) {
		r.has_memory = r.memory.has_limit = true;
		r.memory.limit = (int64_t)n;
	}
	if (quota && parse_u64(quota, &n) == 0 && n && n <= INT64_MAX) {
		r.has_cpu = r.cpu.has_quota = true;
		r.cpu.quota = (int64_t)n;
	}
	if (period && parse_u64(period, &n) == 0) {
		r.cpu.has_period = true;
		r.cpu.period = n;
	}
	from_resources(&r, c);
}

static int from_vm_object(const struct oci_vm *vm, const struct vm_config_defaults *d, struct vm_config *c,
			  struct err *err)
{
	int r = 0;

	if (vm->hypervisor_path)
		return err_set(err, ENOTSUP,
			       "vm.hypervisor.path: not supported; the monitor is amphi's own (see --vmm)");
	if (vm->hypervisor_parameters && vm->hypervisor_parameters[0])
		return err_set(err, ENOTSUP, "vm.hypervisor.parameters: not supported");
	if (vm->image_path)
		return err_set(err, ENOTSUP, "vm.image: not supported; the root file system is root.path");
	if (vm->device_tree || (vm->dtdevs && vm->dtdevs[0]) || vm->n_iomems || vm->n_irqs)
		return err_set(err, ENOTSUP, "vm.hwConfig: only vcpus and memory are supported");
	if (vm->kernel_path || vm->initrd) {
		if (!d->allow_paths)
			return err_set(
				err, EPERM,
				"vm.kernel.%s: host paths need annotationsMayNamePaths in amphi's configuration file",
				vm->kernel_path ? "path" : "initrd");
		if (!vm->kernel_path)
			return err_set(err, EINVAL, "vm.kernel.initrd: belongs to vm.kernel.path, which is missing");
		c->kernel_path = xstrdup(vm->kernel_path);
		c->initrd_path = xstrdup(vm->initrd);
	}
	if (vm->kernel_parameters && vm->kernel_parameters[0])
		c->cmdline = strv_join(vm->kernel_parameters, " ");
	if (vm->has_vcpus)
		r = set_vcpus(c, vm->vcpus, "vm.hwConfig.vcpus", err);
	if (r >= 0 && vm->has_memory)
		r = set_memory(c, vm->memory, "vm.hwConfig.memory", err);
	return r;
}

static bool name_ok(const char *s)
{
	if (!*s || *s == '.' || strlen(s) > 64)
		return false;
	return s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-")] == 0;
}

static int from_annotation(const struct oci_pair *a, const struct vm_config_defaults *d, struct vm_config *c,
			   struct err *err)
{
	const char *key = a->key + strlen("amphi.vm.");
	uint64_t n;

	if (!strcmp(key, "vcpus")) {
		if (parse_u64(a->value, &n) < 0)
			return err_set(err, EINVAL, "annotations[\"%s\"]: expected a number, found \"%s\"", a->key,
				       a->value);
		return set_vcpus(c, n, "annotations[\"amphi.vm.vcpus\"]", err);
	}
	if (!strcmp(key, "memory")) {
		if (parse_size(a->value, &n) < 0)
			return err_set(err, EINVAL, "annotations[\"%s\"]: expected a size like 512m, found \"%s\"",
				       a->key, a->value);
		return set_memory(c, n, "annotations[\"amphi.vm.memory\"]", err);
	}
	if (!strcmp(key, "kernel")) {
		if (!name_ok(a->value) && !(d->allow_paths && a->value[0] == '/'))
			return err_set(err, EINVAL, "annotations[\"%s\"]: \"%s\" is not a kernel's name", a->key,
				       a->value);
		free(c->kernel);
		c->kernel = xstrdup(a->value);
		return 0;
	}
	if (!strcmp(key, "vmm")) {
		if (vm_config_vmm_parse(a->value, &c->vmm) < 0)
			return err_set(err, EINVAL, "annotations[\"%s\"]: expected auto, kvm or qemu, found \"%s\"",
				       a->key, a->value);
		return 0;
	}
	if (!strcmp(key, "cache") || !strcmp(key, "locks"))
		return 0; /* vm_config_fs */
	return err_set(err, EINVAL,
		       "annotations[\"%s\"]: not known (amphi.vm.vcpus, memory, kernel, vmm, cache and locks are)",
		       a->key);
}

int vm_config_from_oci(const struct oci_config *config, const struct vm_config_defaults *defaults,
		       struct vm_config *ret, struct err *err)
{
	static const struct vm_config_defaults none;
	const struct vm_config_defaults *d = defaults ? defaults : &none;
	struct vm_config c = { .vmm = d->vmm };
	int r;

	r = set_vcpus(&c, d->vcpus ? d->vcpus : 1, "vm_vcpus", err);
	if (r >= 0)
		r = set_memory(&c, d->memory_bytes ? d->memory_bytes : VM_CONFIG_MEMORY_DEFAULT, "vm_memory", err);
	if (r < 0)
		return r;
	c.kernel = xstrdup(d->kernel);
	if (config->has_linux && config->linux_.has_resources)
		from_resources(&config->linux_.resources, &c);
	from_pod(config, &c);
	if (config->vm)
		r = from_vm_object(config->vm, d, &c, err);
	for (size_t i = 0; i < config->n_annotations && r >= 0; i++) {
		if (str_starts(config->annotations[i].key, "amphi.vm."))
			r = from_annotation(&config->annotations[i], d, &c, err);
	}
	if (r >= 0)
		r = vm_config_fs_from_oci(config, &c.fs, err);
	if (r < 0) {
		vm_config_free(&c);
		return r;
	}
	c.vcpus_max = d->vcpus_max > c.vcpus ? d->vcpus_max : c.vcpus;
	if (c.vcpus_max > VM_CONFIG_VCPUS_MAX)
		c.vcpus_max = VM_CONFIG_VCPUS_MAX;
	*ret = c;
	return 0;
}
