/* SPDX-License-Identifier: Apache-2.0 */
/* oci/config_default: both forms parse and say what they should. */
#include "oci/config_default.h"

#include "base/str.h"
#include "oci/config.h"
#include "tests/unit/tap.h"

int main(void)
{
	cleanup_free char *root = oci_config_default(false, true, 0, 0),
			  *user = oci_config_default(true, true, 1000, 1001),
			  *v1 = oci_config_default(false, false, 0, 0);
	cleanup_oci_config struct oci_config *a = NULL, *b = NULL, *c = NULL;
	struct err err = { 0 };

	is_int(oci_config_parse(root, strlen(root), &a, &err), 0);
	is_int(oci_config_parse(user, strlen(user), &b, &err), 0);
	is_int(oci_config_parse(v1, strlen(v1), &c, &err), 0);
	need(a && b && c);
	ok(a->linux_.namespaces[OCI_NS_CGROUP].present && b->linux_.namespaces[OCI_NS_CGROUP].present);
	ok(!c->linux_.namespaces[OCI_NS_CGROUP].present && c->linux_.namespaces[OCI_NS_NETWORK].present);
	ok(str_ends(root, "}\n") && !a->warnings && !b->warnings);
	is_str(a->process.args[0], "sh");
	ok(a->process.terminal && a->root.readonly && a->n_mounts == 7);
	ok(a->linux_.namespaces[OCI_NS_NETWORK].present && !a->linux_.namespaces[OCI_NS_USER].present);
	ok(a->linux_.resources.n_devices == 1 && !a->linux_.resources.devices[0].allow);
	is_int(a->process.capabilities.ambient, 0);
	ok(!b->linux_.namespaces[OCI_NS_NETWORK].present && b->linux_.namespaces[OCI_NS_USER].present);
	ok(b->linux_.uid_mappings[0].host_id == 1000 && b->linux_.gid_mappings[0].host_id == 1001);
	ok(!b->linux_.has_resources);
	ok(oci_mount_has(&a->mounts[2], "gid=5") && !oci_mount_has(&b->mounts[2], "gid=5"));
	return tap_done();
}
