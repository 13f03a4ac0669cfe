/* SPDX-License-Identifier: Apache-2.0 */
/* Pods: what the annotations of CRI engines say. */
#include <stdio.h>

#include "oci/config.h"
#include "runtime/pod.h"

#include "tests/unit/tap.h"

static const char *sandbox;

static enum pod_role role(const char *annotations)
{
	struct oci_config *config = NULL;
	static char id[64];
	enum pod_role r;
	char doc[512];

	snprintf(doc, sizeof(doc), "{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"r\"},\"annotations\":{%s}}",
		 annotations);
	if (oci_config_parse(doc, strlen(doc), &config, NULL) < 0)
		exit(1);
	sandbox = NULL;
	r = pod_role(config, &sandbox);
	snprintf(id, sizeof(id), "%s", sandbox ? sandbox : "none");
	sandbox = id;
	oci_config_free(config);
	return r;
}

int main(void)
{
	is_int(role(""), POD_NONE);
	is_int(role("\"io.kubernetes.cri.container-type\":\"sandbox\",\"io.kubernetes.cri.sandbox-id\":\"s1\""),
	       POD_SANDBOX);
	is_int(role("\"io.kubernetes.cri.container-type\":\"container\",\"io.kubernetes.cri.sandbox-id\":\"s1\""),
	       POD_MEMBER);
	is_str(sandbox, "s1");
	is_int(role("\"io.kubernetes.cri-o.ContainerType\":\"container\",\"io.kubernetes.cri-o.SandboxID\":\"s2\""),
	       POD_MEMBER);
	is_str(sandbox, "s2");
	is_int(role("\"io.kubernetes.cri-o.ContainerType\":\"sandbox\""), POD_SANDBOX);
	/* without a sandbox's id there is none to join */
	is_int(role("\"io.kubernetes.cri.container-type\":\"container\""), POD_NONE);
	is_int(role("\"io.kubernetes.cri.container-type\":\"other\",\"io.kubernetes.cri.sandbox-id\":\"s1\""),
	       POD_NONE);
	return tap_done();
}
