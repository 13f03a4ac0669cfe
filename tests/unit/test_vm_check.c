/* SPDX-License-Identifier: Apache-2.0 */
/* What a machine refuses: each by its path, alone in a document that is accepted without it; and what is not refused. */
#include "runtime/vm_check.h"

#include <errno.h>

#include "oci/config.h"
#include "runtime/plan.h"
#include "tests/unit/tap.h"

#define NS(pid, ipc, net, mount) "\"namespaces\":[{\"type\":\"uts\"}" pid ipc net mount "]"
#define PID ",{\"type\":\"pid\"}"
#define IPC ",{\"type\":\"ipc\"}"
#define NET ",{\"type\":\"network\"}"
#define MNT ",{\"type\":\"mount\"}"
#define ALL NS(PID, IPC, NET, MNT)

/* Members of process, of linux (namespaces included) and of the document; the words of the refusal, NULL: accepted. */
static const struct {
	const char *process, *linux_, *rest, *words;
} cases[] = {
	{ "", ALL, "", NULL },
	{ "", NS(PID, IPC, NET, ",{\"type\":\"mount\",\"path\":\"/proc/1/ns/mnt\"}"), "", "linux.namespaces: mount" },
	{ "", NS(PID, ",{\"type\":\"ipc\",\"path\":\"/proc/1/ns/ipc\"}", NET, MNT), "", "linux.namespaces: ipc" },
	{ "", NS(",{\"type\":\"pid\",\"path\":\"/proc/1/ns/pid\"}", IPC, NET, MNT), "", "linux.namespaces: pid" },
	{ "", NS(PID, IPC, ",{\"type\":\"network\",\"path\":\"/proc/1/ns/net\"}", MNT), "", NULL },
	{ "", NS("", IPC, NET, MNT), "", "linux.namespaces: pid" },
	{ "", NS(PID, "", NET, MNT), "", "linux.namespaces: ipc" },
	{ "", NS(PID, IPC, "", MNT), "", "linux.namespaces: network" },
	{ "", NS(PID, IPC, NET, ""), "", "linux.namespaces: mount" },
	{ "", ALL, ",\"hooks\":{\"createContainer\":[{\"path\":\"/bin/true\"}]}", "hooks.createContainer" },
	{ "", ALL, ",\"hooks\":{\"createRuntime\":[{\"path\":\"/bin/true\"}]}", NULL },
	{ "", ALL ",\"devices\":[{\"path\":\"/dev/sda\",\"type\":\"b\",\"major\":8,\"minor\":0}]", "",
	  "linux.devices[0]: /dev/sda" },
	{ "", ALL ",\"devices\":[{\"path\":\"/dev/nil\",\"type\":\"c\",\"major\":1,\"minor\":3}]", "", NULL },
	{ "", ALL ",\"netDevices\":{\"eth7\":{}}", "", "linux.netDevices" },
	{ "", ALL ",\"intelRdt\":{\"closID\":\"x\"}", "", "linux.intelRdt" },
	{ "", ALL ",\"memoryPolicy\":{\"mode\":\"MPOL_INTERLEAVE\",\"nodes\":\"0\"}", "", "linux.memoryPolicy" },
	{ "", ALL ",\"resources\":{\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":0}]}", "",
	  "linux.resources.hugepageLimits" },
	{ "", ALL ",\"resources\":{\"rdma\":{\"mlx5_0\":{\"hcaHandles\":1}}}", "", "linux.resources.rdma" },
	{ "", ALL ",\"resources\":{\"network\":{\"classID\":1}}", "", "linux.resources.network" },
	{ "", ALL ",\"resources\":{\"network\":{\"priorities\":[{\"name\":\"lo\",\"priority\":1}]}}", "",
	  "linux.resources.network" },
	{ "", ALL ",\"resources\":{\"pids\":{\"limit\":9},\"memory\":{\"limit\":99999999}}", "", NULL },
	{ "",
	  ALL ",\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerPath\":\"/l\",\"syscalls\":"
	      "[{\"names\":[\"mkdir\"],\"action\":\"SCMP_ACT_NOTIFY\"}]}",
	  "", "linux.seccomp.listenerPath" },
	{ "", ALL ",\"mountLabel\":\"x\"", "", "linux.mountLabel" },
	{ "", ALL ",\"rootfsPropagation\":\"shared\"", "", "linux.rootfsPropagation" },
	{ "", ALL ",\"rootfsPropagation\":\"unbindable\"", "", "linux.rootfsPropagation" },
	{ "", ALL ",\"rootfsPropagation\":\"slave\"", "", NULL },
	{ ",\"apparmorProfile\":\"x\"", ALL, "", "process.apparmorProfile" },
	{ ",\"apparmorProfile\":\"unconfined\"", ALL, "", NULL },
	{ ",\"selinuxLabel\":\"x\"", ALL, "", "process.selinuxLabel" },
	{ "", ALL, ",\"mounts\":[{\"destination\":\"/x\",\"type\":\"ext4\",\"source\":\"/dev/sda\"}]",
	  "mounts[0].type: ext4" },
	{ "", ALL, ",\"mounts\":[{\"destination\":\"/x\",\"source\":\"/s\",\"options\":[\"bind\",\"shared\"]}]",
	  "mounts[0].options: shared" },
	{ "", ALL, ",\"mounts\":[{\"destination\":\"/x\",\"source\":\"/s\",\"options\":[\"rbind\",\"rshared\"]}]",
	  "mounts[0].options: rshared" },
	{ "", ALL, ",\"mounts\":[{\"destination\":\"/x\",\"source\":\"/s\",\"options\":[\"rbind\",\"rslave\"]}]",
	  NULL },
	{ "", ALL, ",\"mounts\":[{\"destination\":\"/\",\"type\":\"tmpfs\",\"source\":\"t\"}]",
	  "mounts[0].destination: /" },
	{ "", ALL, ",\"annotations\":{\"run.oci.keep_original_groups\":\"1\"}",
	  "annotations[run.oci.keep_original_groups]" },
	{ "", ALL, ",\"annotations\":{\"run.oci.hooks.stdout\":\"/o\"}", "annotations[run.oci.hooks]" },
	{ "", ALL, ",\"annotations\":{\"run.oci.hooks.stderr\":\"/o\"}", "annotations[run.oci.hooks]" },
	{ "", ALL, ",\"annotations\":{\"run.oci.systemd.force_cgroup_v1\":\"/sys/fs/cgroup/systemd\"}",
	  "annotations[run.oci.systemd.force_cgroup_v1]" },
};

static int check(const char *process, const char *linux_, const char *rest, struct plan *p, struct err *err)
{
	cleanup_free char *text = xasprintf(
		"{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\"},\"process\":{\"cwd\":\"/\",\"args\":[\"sh\"],"
		"\"user\":{\"uid\":0,\"gid\":0}%s},\"linux\":{%s}%s}",
		process, linux_, rest);
	struct oci_config *c = NULL;
	int r;

	memset(err, 0, sizeof(*err));
	r = oci_config_parse(text, strlen(text), &c, err);
	if (r < 0)
		return r;
	p->config = c;
	r = vm_check(p, err);
	oci_config_free(c);
	return r;
}

int main(void)
{
	struct create_request keeps = { .preserve_fds = 1 }, restores = { .restore = (const void *)&keeps };
	struct plan p = { 0 };
	struct err err;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int r = check(cases[i].process, cases[i].linux_, cases[i].rest, &p, &err);

		if (r < 0)
			printf("# %s\n", err.msg);
		is_int(r, cases[i].words ? -ENOTSUP : 0);
		if (cases[i].words)
			has_str(err.msg, cases[i].words);
	}
	p.listen_fds = 1;
	is_int(check("", ALL, "", &p, &err), -ENOTSUP);
	has_str(err.msg, "environment LISTEN_FDS");
	p.listen_fds = 0;
	p.notify = true;
	is_int(check("", ALL, "", &p, &err), -ENOTSUP);
	has_str(err.msg, "environment NOTIFY_SOCKET");
	p.notify = false;
	p.request = &keeps;
	is_int(check("", ALL, "", &p, &err), -ENOTSUP);
	has_str(err.msg, "option --preserve-fds");
	p.request = &restores;
	is_int(check("", ALL, "", &p, &err), -ENOTSUP);
	has_str(err.msg, "restore");
	return tap_done();
}
