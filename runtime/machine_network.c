/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: a machine on networks of ours gets their taps. In a namespace that somebody else made (an engine, a
 * chain of plugins) the links are joined to taps when the machine is created, and what they have becomes the
 * guest's configuration. Somebody may give them other addresses until the workload starts, or bring the first link then
 * (an engine whose container has a user namespace does): so a machine in a new, empty namespace that does not start at
 * once has a spare interface, and what the guest was told is kept in GIVEN and looked at once more at the start.
 */
#include "runtime/machine_network.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "network/network.h"
#include "runtime/monitor.h"
#include "runtime/sandbox.h"
#include "vm/agent.h"
#include "vm/vhost_net.h"

/* In the state directory: the configuration of joined links as the guest has it. */
#define GIVEN "network.json"
#define GIVEN_MAX (1u << 20)

/* The machine's interfaces: taps of our own networks, or what an engine put into the namespace. */
int machine_network_join(struct sandbox *sb, bool own_userns, struct network_lease *joined,
			 const struct network_lease **ret, struct err *err)
{
	struct network_ref ref = { .id = sb->rec.id, .owner = sb->dir.path };
	cleanup_free char *path = xasprintf("/proc/%d/ns/net", (int)sb->rec.pid);
	cleanup_fd int netns = -1;
	int r;

	*ret = &sb->lease;
	if (sb->lease.n_ifaces)
		return 0;
	/* a namespace that was made for a user without root has no links but pasta's, and is the user's in the user namespace only */
	if (own_userns && !sb->config->linux_.namespaces[OCI_NS_NETWORK].path) {
		if (!strv_len(sb->rec.networks) || strcmp(sb->rec.networks[0], "pasta"))
			return 0;
		*ret = joined;
		return network_join_process(&ref, sb->rec.pid, (uint16_t)sb->tap_queues, joined, err);
	}
	netns = open(path, O_RDONLY | O_CLOEXEC);
	if (netns < 0)
		return err_sys(err, -errno, "%s", path);
	r = network_join(&ref, netns, (uint16_t)sb->tap_queues,
			 !sb->config->linux_.namespaces[OCI_NS_NETWORK].path && !sb->request->starts, joined, err);
	*ret = joined;
	return r;
}

static void close_vhost(struct vm_nic *nic)
{
	for (unsigned int k = 0; k < nic->queues; k++)
		if (nic->vhost_fds[k] >= 0)
			close(steal_fd(nic->vhost_fds[k]));
}

/* One vhost-net for each queue, or none at all. */
static void open_vhost(struct vm_nic *nic, bool wanted)
{
	for (unsigned int k = 0; k < nic->queues; k++)
		nic->vhost_fds[k] = -1;
	for (unsigned int k = 0; wanted && k < nic->queues; k++) {
		nic->vhost_fds[k] = vhost_net_open();
		if (nic->vhost_fds[k] < 0)
			return close_vhost(nic);
	}
}

int machine_network_boot(struct sandbox *sb, const struct network_lease *lease, int control, struct err *err)
{
	struct vm_nic nics[VM_NICS_MAX];
	int r;

	if (lease->n_ifaces > VM_NICS_MAX)
		return err_set(err, -E2BIG, "a machine has at most %d interfaces", VM_NICS_MAX);
	for (size_t i = 0; i < lease->n_ifaces; i++) {
		nics[i].queues = lease->ifaces[i].n_taps;
		memcpy(nics[i].tap_fds, lease->ifaces[i].tap_fds, nics[i].queues * sizeof(nics[i].tap_fds[0]));
		memcpy(nics[i].mac, lease->ifaces[i].set.mac, sizeof(nics[i].mac));
		/* the device's is the largest that the guest takes: that of a link of somebody else's may still grow */
		nics[i].mtu = lease == &sb->lease ? (uint16_t)lease->ifaces[i].set.mtu : 0;
		open_vhost(&nics[i], sb->facts.vhost_net && sb->rec.vmm == VMM_KVM);
	}
	r = monitor_boot(control, nics, (unsigned int)lease->n_ifaces, err);
	for (size_t i = 0; i < lease->n_ifaces; i++)
		close_vhost(&nics[i]);
	return r;
}

int machine_network_given(struct sandbox *sb, bool own_userns, const struct network_lease *lease, struct err *err)
{
	cleanup_free char *text = NULL;
	struct json_writer w = { 0 };
	int r;

	if (lease == &sb->lease || !lease->n_ifaces || own_userns)
		return 0;
	network_lease_save(&w, NULL, lease);
	text = json_w_steal(&w);
	r = path_write_atomic(sb->dir.fd, GIVEN, text, strlen(text), 0600);
	return r < 0 ? err_sys(err, r, "%s/" GIVEN, sb->dir.path) : 0;
}

int machine_network_renew(struct sandbox *sb, const char *sock, struct err *err)
{
	cleanup_network_lease struct network_lease told = { 0 };
	cleanup_free char *path = NULL, *given = NULL, *now = NULL;
	cleanup_json_doc struct json_doc *doc = NULL;
	cleanup_fd int netns = -1;
	size_t len;
	int r = fd_slurp_at(sb->dir.fd, GIVEN, GIVEN_MAX, &given, &len);

	if (r < 0)
		return r == -ENOENT ? 0 : err_sys(err, r, "%s/" GIVEN, sb->dir.path);
	doc = json_parse(given, len, GIVEN, err);
	r = doc ? network_lease_load(json_root(doc), &told, err) : -EINVAL;
	if (r < 0)
		return r;
	path = xasprintf("/proc/%d/ns/net", (int)sb->rec.pid);
	netns = open(path, O_RDONLY | O_CLOEXEC);
	if (netns < 0)
		return err_sys(err, -errno, "%s", path);
	r = network_join_changes(netns, &told, &now, err);
	if (r <= 0)
		return r;
	return agent_machine(sock, &(struct agent_machine){ .network = now }, err);
}

/* The addresses that a joined machine took over go back to a namespace that lives on. */
void machine_network_leave(struct sandbox *sb)
{
	struct network_ref ref = { .id = sb->rec.id, .owner = sb->dir.path };
	const struct oci_namespace *net;
	cleanup_fd int netns = -1;
	struct err err = { 0 };

	if (sandbox_config(sb, NULL) < 0)
		return;
	net = &sb->config->linux_.namespaces[OCI_NS_NETWORK];
	/* ours have no path; --network ns:PATH and container:ID are somebody else's like an engine's */
	if (!net->path ||
	    (strv_len(sb->rec.networks) && !str_starts(sb->rec.networks[0], "ns:") &&
	     !str_starts(sb->rec.networks[0], "container:")))
		return;
	netns = open(net->path, O_RDONLY | O_CLOEXEC);
	if (netns >= 0 && network_join_undo(&ref, netns, &err) < 0)
		log_debug("network: %s", err.msg);
}
