/* SPDX-License-Identifier: Apache-2.0 */
/* oci_config → the machine: sources and their order, bounds, refusals by name. */
#include <stdio.h>

#include "oci/config.h"
#include "vm/virtio_fs.h"
#include "vm/vm_config.h"

#include "tests/unit/tap.h"

#define MIB (1ULL << 20)

static struct vm_config got;
static struct err err;

static int decide(const char *body, const struct vm_config_defaults *d)
{
	struct oci_config *config = NULL;
	char doc[2048];
	int r;

	vm_config_free(&got);
	memset(&err, 0, sizeof(err));
	snprintf(doc, sizeof(doc),
		 "{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"rootfs\"},"
		 "\"process\":{\"cwd\":\"/\",\"args\":[\"true\"],\"user\":{\"uid\":0,\"gid\":0}}%s%s}",
		 *body ? "," : "", body);
	r = oci_config_parse(doc, strlen(doc), &config, &err);
	if (r < 0) {
		printf("# %s\n", err.msg);
		exit(1);
	}
	r = vm_config_from_oci(config, d, &got, &err);
	oci_config_free(config);
	return r;
}

static void refused(const char *body, const struct vm_config_defaults *d, const char *words)
{
	ok(decide(body, d) < 0);
	has_str(err.msg, words);
}

static void test_defaults(void)
{
	struct vm_config_defaults d = {
		.vcpus = 2, .vcpus_max = 4, .memory_bytes = 300 * MIB + 1, .kernel = "stock", .vmm = VM_CONFIG_VMM_QEMU
	};

	is_int(decide("", NULL), 0);
	is_int(got.vcpus, 1);
	is_int(got.vcpus_max, 1);
	is_int(got.memory_bytes, VM_CONFIG_MEMORY_DEFAULT);
	is_int(got.vmm, VM_CONFIG_VMM_AUTO);
	ok(!got.kernel && !got.cmdline);
	is_int(decide("", &d), 0);
	is_int(got.vcpus, 2);
	is_int(got.vcpus_max, 4);
	is_int(got.memory_bytes, 302 * MIB);
	is_str(got.kernel, "stock");
	is_int(got.vmm, VM_CONFIG_VMM_QEMU);
}

static void test_resources(void)
{
	is_int(decide("\"linux\":{\"resources\":{\"memory\":{\"limit\":67108864},\"cpu\":{\"quota\":150000,\"period\":"
		      "100000}}}",
		      NULL),
	       0);
	is_int(got.memory_bytes, 64 * MIB + VM_CONFIG_MEMORY_OVERHEAD);
	is_int(got.vcpus, 2);
	is_int(decide("\"linux\":{\"resources\":{\"memory\":{\"limit\":-1},\"cpu\":{\"quota\":400000,\"cpus\":\"0-1,"
		      "4\"}}}",
		      NULL),
	       0);
	is_int(got.memory_bytes, VM_CONFIG_MEMORY_DEFAULT);
	is_int(got.vcpus, 3);
	is_int(decide("\"linux\":{\"resources\":{\"memory\":{\"limit\":9223372036854771712}}}", NULL), 0);
	is_int(got.memory_bytes, VM_CONFIG_MEMORY_DEFAULT);
}

static void test_vm_object(void)
{
	struct vm_config_defaults allowed = { .allow_paths = true };
	const char *with_kernel = "\"vm\":{\"kernel\":{\"path\":\"/boot/vmlinux\",\"parameters\":[\"debug\",\"a=b\"],"
				  "\"initrd\":\"/boot/initrd\"}}";

	is_int(decide("\"vm\":{\"hwConfig\":{\"vcpus\":4,\"memory\":268435456},\"kernel\":{\"path\":\"/k\"}}",
		      &allowed),
	       0);
	is_int(got.vcpus, 4);
	is_int(got.memory_bytes, 256 * MIB);
	is_int(decide(with_kernel, &allowed), 0);
	is_str(got.kernel_path, "/boot/vmlinux");
	is_str(got.initrd_path, "/boot/initrd");
	is_str(got.cmdline, "debug a=b");
	refused(with_kernel, NULL, "vm.kernel.path: host paths");
	refused("\"vm\":{\"hypervisor\":{\"path\":\"/usr/bin/qemu\"},\"kernel\":{\"path\":\"/k\"}}", &allowed,
		"vm.hypervisor.path: not supported");
}

static void test_annotations(void)
{
	is_int(decide("\"vm\":{\"hwConfig\":{\"vcpus\":4},\"kernel\":{\"path\":\"/k\"}},"
		      "\"annotations\":{\"amphi.vm.vcpus\":\"3\",\"amphi.vm.memory\":\"200m\",\"amphi.vm.kernel\":"
		      "\"tiny\","
		      "\"amphi.vm.vmm\":\"kvm\",\"amphi.isolation\":\"vm\",\"other\":\"x\"}",
		      &(struct vm_config_defaults){ .allow_paths = true }),
	       0);
	is_int(got.vcpus, 3);
	is_int(got.memory_bytes, 200 * MIB);
	is_str(got.kernel, "tiny");
	is_int(got.vmm, VM_CONFIG_VMM_KVM);
	refused("\"annotations\":{\"amphi.vm.vcpus\":\"0\"}", NULL, "annotations[\"amphi.vm.vcpus\"]: 0");
	refused("\"annotations\":{\"amphi.vm.vcpus\":\"33\"}", NULL, "1 to 32");
	refused("\"annotations\":{\"amphi.vm.vcpus\":\"two\"}", NULL, "expected a number");
	refused("\"annotations\":{\"amphi.vm.memory\":\"8m\"}", NULL, "needs at least");
	refused("\"annotations\":{\"amphi.vm.memory\":\"much\"}", NULL, "expected a size");
	refused("\"annotations\":{\"amphi.vm.kernel\":\"../evil\"}", NULL, "is not a kernel's name");
	refused("\"annotations\":{\"amphi.vm.vmm\":\"xen\"}", NULL, "expected auto, kvm or qemu");
	refused("\"annotations\":{\"amphi.vm.gpu\":\"1\"}", NULL, "annotations[\"amphi.vm.gpu\"]: not known");
}

#define MOUNTS(options) \
	"\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"}," \
	"{\"destination\":\"/data\",\"type\":\"bind\",\"source\":\"/srv\",\"options\":[\"rbind\"" options "]}]"

static void test_fs(void)
{
	is_int(decide("", NULL), 0);
	is_int(got.fs.cache, VIRTIO_FS_CACHE_AUTO);
	ok(!got.fs.shared_locks && !got.fs.n_trees);
	is_int(decide("\"annotations\":{\"amphi.vm.cache\":\"none,/=always,/data/=auto\"}," MOUNTS(""), NULL), 0);
	is_int(got.fs.cache, VIRTIO_FS_CACHE_NONE);
	is_int(got.fs.n_trees, 2);
	ok(got.fs.trees[0].mount == VM_CONFIG_FS_ROOT && got.fs.trees[0].cache == VIRTIO_FS_CACHE_ALWAYS);
	ok(got.fs.trees[1].mount == 1 && got.fs.trees[1].cache == VIRTIO_FS_CACHE_AUTO);
	ok(got.fs.shared_locks); /* somebody else may write there */
	is_int(decide(MOUNTS(",\"ro\""), NULL), 0);
	ok(!got.fs.shared_locks);
	is_int(decide("\"annotations\":{\"amphi.vm.locks\":\"shared\"}," MOUNTS(",\"ro\""), NULL), 0);
	ok(got.fs.shared_locks);
	is_int(decide("\"annotations\":{\"amphi.vm.locks\":\"local\"}," MOUNTS(""), NULL), 0);
	ok(!got.fs.shared_locks);
	is_int(decide("\"annotations\":{\"io.kubernetes.cri.container-type\":\"sandbox\"}", NULL), 0);
	ok(got.fs.shared_locks);
	refused("\"annotations\":{\"amphi.vm.locks\":\"some\"}", NULL, "annotations[\"amphi.vm.locks\"]: expected");
	refused("\"annotations\":{\"amphi.vm.cache\":\"some\"}", NULL, "annotations[\"amphi.vm.cache\"]: expected");
	refused("\"annotations\":{\"amphi.vm.cache\":\"/data=some\"}," MOUNTS(""), NULL, "found \"some\"");
	refused("\"annotations\":{\"amphi.vm.cache\":\"/proc=none\"}," MOUNTS(""), NULL, "/proc is no bind mount");
	refused("\"annotations\":{\"amphi.vm.cache\":\"/dat=none\"}," MOUNTS(""), NULL, "nothing is mounted on /dat");
}

static void test_pod(void)
{
	is_int(decide("\"annotations\":{\"io.kubernetes.cri.container-type\":\"sandbox\",\"io.kubernetes.cri.sandbox-"
		      "memory\":"
		      "\"134217728\",\"io.kubernetes.cri.sandbox-cpu-quota\":\"250000\","
		      "\"io.kubernetes.cri.sandbox-cpu-period\":\"100000\"}",
		      NULL),
	       0);
	is_int(got.memory_bytes, 128 * MIB + VM_CONFIG_MEMORY_OVERHEAD);
	is_int(got.vcpus, 3);
	is_int(decide("\"annotations\":{\"io.kubernetes.cri.container-type\":\"sandbox\",\"io.kubernetes.cri.sandbox-"
		      "memory\":"
		      "\"0\",\"io.kubernetes.cri.sandbox-cpu-quota\":\"0\"}",
		      NULL),
	       0);
	is_int(got.memory_bytes, VM_CONFIG_MEMORY_DEFAULT);
	is_int(got.vcpus, 1);
	/* a member has no machine: what it says counts for nothing */
	is_int(decide("\"annotations\":{\"io.kubernetes.cri.container-type\":\"container\",\"io.kubernetes.cri.sandbox-"
		      "memory\":"
		      "\"134217728\"}",
		      NULL),
	       0);
	is_int(got.memory_bytes, VM_CONFIG_MEMORY_DEFAULT);
}

int main(void)
{
	test_defaults();
	test_resources();
	test_vm_object();
	test_annotations();
	test_fs();
	test_pod();
	vm_config_free(&got);
	return tap_done();
}
