/* SPDX-License-Identifier: Apache-2.0 */
/* The counters of one container or machine. */
/*
 * A machine's counters are the workload's as its own kernel keeps them, and in an object "vm" what the machine itself costs.
 * Network counters are seen from inside: a container's are those of its network namespace, a machine's those of its taps, or
 * of the links its taps are joined to; without a network of its own there are none.
 */
#include "runtime/counters.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "network/network.h"
#include "runtime/sandbox.h"

int counters_load(const struct globals *g, const char *id, struct sandbox *sb, struct err *err)
{
	enum oci_status status;
	int r = sandbox_load(g, id, false, sb, err);

	if (r == -ENODATA)
		return err_set(err, ENOENT, "container does not exist");
	r = r < 0 ? r : sandbox_status(sb, &status, err);
	if (r < 0)
		return r;
	if (status == OCI_STATUS_STOPPED || status == OCI_STATUS_CREATING)
		return err_set(err, ESRCH, "container with id %s is not running", id);
	return 0;
}

/* The lease of a machine on networks of ours: its taps are links of the host. */
static int machine_lease(struct sandbox *sb, struct network_lease *ret)
{
	cleanup_json_doc struct json_doc *doc = NULL;

	if (sb->rec.isolation != ISOLATION_VM || !sb->rec.network)
		return -ENOENT;
	doc = json_parse(sb->rec.network, strlen(sb->rec.network), "network", NULL);
	return doc ? network_lease_load(json_root(doc), ret, NULL) : -EINVAL;
}

/* The network's counters; best effort: a namespace that is the caller's own has none to tell. */
static void read_network(struct sandbox *sb, struct counters *c)
{
	cleanup_network_lease struct network_lease lease = { 0 };
	cleanup_free char *path = xasprintf("/proc/%d/ns/net", (int)sb->rec.pid);
	cleanup_fd int netns = -1;
	struct stat theirs, ours;

	if (machine_lease(sb, &lease) >= 0 && lease.n_ifaces && lease.ifaces[0].host_link[0]) {
		(void)network_stats(&lease, -1, &c->net, &c->n_net, NULL);
		return;
	}
	/* plugins made the machine's links in a namespace of their own */
	netns = open(lease.netns_path ? lease.netns_path : path, O_RDONLY | O_CLOEXEC);
	if (netns < 0 || fstat(netns, &theirs) < 0 || stat("/proc/self/ns/net", &ours) < 0 ||
	    (theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino))
		return;
	(void)network_stats(NULL, netns, &c->net, &c->n_net, NULL);
}

int counters_read(struct sandbox *sb, struct counters *ret, struct err *err)
{
	int r = sb->backend->stats(sb, &ret->cgroup, &ret->vm, err);

	if (r >= 0)
		read_network(sb, ret);
	return r;
}

/* runc has no lower-case names for the interfaces' members. */
void counters_write(const struct counters *c, struct json_writer *w)
{
	json_w_object(w, "data");
	cgroup_stats_write(&c->cgroup, w);
	if (!c->n_net)
		json_w_null(w, "network_interfaces");
	else
		json_w_array(w, "network_interfaces");
	for (size_t i = 0; i < c->n_net; i++) {
		const struct network_stats *n = &c->net[i];

		json_w_object(w, NULL);
		json_w_string(w, "Name", n->name);
		json_w_u64(w, "RxBytes", n->rx_bytes);
		json_w_u64(w, "RxPackets", n->rx_packets);
		json_w_u64(w, "RxErrors", n->rx_errors);
		json_w_u64(w, "RxDropped", n->rx_dropped);
		json_w_u64(w, "TxBytes", n->tx_bytes);
		json_w_u64(w, "TxPackets", n->tx_packets);
		json_w_u64(w, "TxErrors", n->tx_errors);
		json_w_u64(w, "TxDropped", n->tx_dropped);
		json_w_object_end(w);
	}
	if (c->n_net)
		json_w_array_end(w);
	json_w_object_end(w);
	if (c->vm) {
		cleanup_json_doc struct json_doc *doc = json_parse(c->vm, strlen(c->vm), "vm", NULL);

		if (doc)
			json_w_value(w, "vm", json_root(doc));
	}
}

void counters_free(struct counters *c)
{
	cgroup_stats_free(&c->cgroup);
	free(c->net);
	free(c->vm);
}
