/* SPDX-License-Identifier: Apache-2.0 */
/* The vm object of config.json: hypervisor, kernel, image and hardware of a machine. */
/*
 * Only the document's own rules (required members, absolute paths); what our machine cannot honour (dtdevs,
 * iomems, irqs, a foreign hypervisor) is refused by the back end. runtime-spec config-vm.md.
 */
#include <string.h>

#include "base/str.h"
#include "oci/config_read.h"

static const char *const image_formats[] = {
	[OCI_IMAGE_RAW] = "raw",   [OCI_IMAGE_QCOW2] = "qcow2", [OCI_IMAGE_VDI] = "vdi",
	[OCI_IMAGE_VMDK] = "vmdk", [OCI_IMAGE_VHD] = "vhd",
};
_Static_assert(ARRAY_SIZE(image_formats) == OCI_IMAGE_MAX, "a word for every format");

static int read_iomem(const struct json *v, void *slot, struct err *err)
{
	struct oci_vm_iomem *m = slot;
	const struct json *f;

	OCI_TRY(json_want(v, JSON_OBJECT, err));
	OCI_TRY(json_opt_u64(v, "firstGFN", &m->first_gfn, err));
	OCI_TRY(oci_req(v, "firstMFN", &f, err));
	OCI_TRY(json_u64(f, &m->first_mfn, err));
	OCI_TRY(oci_req(v, "nrMFNs", &f, err));
	return json_u64(f, &m->nr_mfns, err);
}

static int read_hw(const struct json *vm_obj, struct oci_vm *vm, struct err *err)
{
	const struct json *v;
	int r = json_opt_object(vm_obj, "hwConfig", &v, err);

	if (r <= 0)
		return r;
	OCI_TRY(oci_opt_abs(v, "deviceTree", &vm->device_tree, err));
	OCI_TRY(oci_opt_u32(v, "vcpus", &vm->has_vcpus, &vm->vcpus, err));
	if (vm->has_vcpus && !vm->vcpus)
		return json_error(json_get(v, "vcpus"), err, "must be at least 1");
	OCI_TRY(oci_opt_u64(v, "memory", &vm->has_memory, &vm->memory, err));
	if (vm->has_memory && !vm->memory)
		return json_error(json_get(v, "memory"), err, "must not be 0");
	OCI_TRY(json_opt_strv(v, "dtdevs", &vm->dtdevs, err));
	OCI_TRY(oci_read_array(v, "iomems", sizeof(*vm->iomems), read_iomem, &vm->iomems, &vm->n_iomems, err));
	return oci_read_array(v, "irqs", sizeof(*vm->irqs), oci_read_u32, &vm->irqs, &vm->n_irqs, err);
}

int oci_vm_read(const struct json *v, struct oci_vm **ret, struct err *err)
{
	const struct json *o, *f;
	struct oci_vm *vm;
	int word, r;

	OCI_TRY(json_want(v, JSON_OBJECT, err));
	vm = *ret = xcalloc(1, sizeof(*vm));
	r = json_opt_object(v, "hypervisor", &o, err);
	if (r < 0)
		return r;
	if (r > 0) {
		OCI_TRY(oci_req(o, "path", &f, err));
		OCI_TRY(oci_opt_abs(o, "path", &vm->hypervisor_path, err));
		OCI_TRY(json_opt_strv(o, "parameters", &vm->hypervisor_parameters, err));
	}
	r = json_opt_object(v, "kernel", &o, err);
	if (r < 0)
		return r;
	if (r > 0) {
		OCI_TRY(oci_req(o, "path", &f, err));
		OCI_TRY(oci_opt_abs(o, "path", &vm->kernel_path, err));
		OCI_TRY(json_opt_strv(o, "parameters", &vm->kernel_parameters, err));
		OCI_TRY(oci_opt_abs(o, "initrd", &vm->initrd, err));
	}
	r = json_opt_object(v, "image", &o, err);
	if (r < 0)
		return r;
	if (r > 0) {
		OCI_TRY(oci_req(o, "path", &f, err));
		OCI_TRY(oci_opt_abs(o, "path", &vm->image_path, err));
		OCI_TRY(oci_req(o, "format", &f, err));
		OCI_TRY(oci_read_word(f, image_formats, ARRAY_SIZE(image_formats), &word, err));
		vm->image_format = (enum oci_image_format)word;
	}
	return read_hw(v, vm, err);
}

void oci_vm_free(struct oci_vm *vm)
{
	if (!vm)
		return;
	free(vm->hypervisor_path);
	strv_free(vm->hypervisor_parameters);
	free(vm->kernel_path);
	strv_free(vm->kernel_parameters);
	free(vm->initrd);
	free(vm->image_path);
	free(vm->device_tree);
	strv_free(vm->dtdevs);
	free(vm->iomems);
	free(vm->irqs);
	free(vm);
}
