/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network: one definition of a network gives a container a veth and a machine a tap on the same bridge, with the
 * same lease, MAC rule, ports and firewall.
 *
 * Use, in the order of the runtime's steps:
 *   network_request_init(); network_request_add_network()/add_port()…      parse what the user asked for
 *   network_attach(&req, &lease)         links, addresses, firewall, names; all or nothing
 *   network_lease_save()                 for the state document and `state`/`inspect`; not needed for the undo
 *   network_detach(&ref)                 from the id alone; repeatable; finishes what a killed attach began
 *
 * When to call: a container needs its network namespace first (after container_create(), before createRuntime
 * hooks). A machine needs none for our own networks: attach before the monitor is created, so that it inherits
 * lease.ifaces[].tap_fd. A machine in somebody's namespace (linux.namespaces[network].path, `--network ns:PATH`,
 * CNI): network_join().
 */
#ifndef NETWORK_NETWORK_H
#define NETWORK_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "network/rtnl.h"

enum network_kind { NETWORK_CONTAINER, NETWORK_MACHINE, NETWORK_KIND_MAX };

/* Who an attachment belongs to. */
struct network_ref {
	const char *dir;   /* definitions; NULL: $AMPHI_NETWORK_DIR, else /var/lib/amphi/networks */
	const char *id;    /* container id */
	const char *owner; /* absolute path of the state directory: while it exists the attachment is in use */
};

/* One network to attach to. */
struct network_attachment {
	char *network;        /* definition's name */
	char *ifname;         /* inside; NULL: eth0, eth1… in order */
	struct rtnl_addr ip4; /* static address; family 0: allocate */
	struct rtnl_addr ip6;
	bool has_mac;
	uint8_t mac[RTNL_MAC_LEN];
	char **aliases;               /* more names for the resolver */
	uint64_t rate_in, rate_out;   /* bits per second into / out of the container; 0: none */
	uint64_t burst_in, burst_out; /* bits; 0: chosen */
};

enum network_proto { NETWORK_TCP, NETWORK_UDP, NETWORK_SCTP, NETWORK_PROTO_MAX };

/* Published ports: host [port, port + n) → container [inside, inside + n). */
struct network_port {
	struct rtnl_addr host; /* host address; family 0: every address of the host */
	enum network_proto proto;
	uint16_t port, inside, n;
};

struct network_request {
	struct network_ref ref;
	enum network_kind kind;
	int netns_fd;                    /* container's namespace (borrowed); -1 for machines */
	const char *hostname;            /* also the first name in the resolver; NULL: the id */
	const char *name;                /* second name; NULL: none */
	struct network_attachment *nets; /* owned; the first one gives the default route */
	size_t n_nets;
	struct network_port *ports;
	size_t n_ports;
	char **dns_servers, **dns_search, **dns_options; /* owned; override the definition's */
	char **extra_hosts;                              /* "name:address" */
	const char
		*files_dir;  /* existing directory for resolv.conf, hosts, hostname (written in place); NULL: <owner> */
	bool no_files;       /* write none */
	uint16_t tap_queues; /* machines: 0 or 1 one queue; more gives ifaces[].tap_fds */
	const char *cni_config; /* file of a conflist: its plugins make the attachment instead of our networks */
	char **cni_path;        /* plugin directories; NULL: $CNI_PATH, /opt/cni/bin, /usr/lib/cni */
};

#define NETWORK_TAPS_MAX 16

/* One interface of the result. */
struct network_iface {
	struct rtnl_iface set;    /* what the inside looks like: the guest's configuration for machines */
	char *network;            /* definition's name; NULL in a joined namespace */
	char *bridge;             /* NULL: none */
	char host_link[IFNAMSIZ]; /* veth or tap on the host; in a joined namespace "", or a spare tap without a link */
	int tap_fds[NETWORK_TAPS_MAX]; /* machines: open taps with IFF_VNET_HDR, header of 12 bytes; -1 else */
	unsigned int n_taps;
};

struct network_lease {
	struct network_ref ref; /* members owned here */
	enum network_kind kind;
	struct network_iface *ifaces;
	size_t n_ifaces;
	struct network_port *ports;
	size_t n_ports;
	char *netns_path; /* CNI: where the plugins saw the namespace; NULL else */
	char *files_dir;  /* where resolv.conf, hosts and hostname are written; NULL: nowhere */
	char **names;     /* names in the resolver: hostname, name, aliases */
};

/* ---- asking --------------------------------------------------------------------------------------------- */

/* Empty request of this owner; strings of the ref are borrowed. */
void network_request_init(struct network_request *r, const char *id, const char *owner, enum network_kind kind);
void network_request_free(struct network_request *r);
/*
 * "NAME[:key=value[,key=value…]]", keys ip, ip6, mac, alias (repeatable), interface, rate-in, rate-out. "bridge" means "default".
 * 0 or -EINVAL. The modes none, host, ns:PATH, container:ID and pasta are the runtime's and refused here.
 */
int network_request_add_network(struct network_request *r, const char *text, struct err *err);
/* "[HOSTADDR:][HOSTPORT[-END]:]PORT[-END][/tcp|udp|sctp]", IPv6 host addresses in brackets. 0 or -EINVAL. */
int network_request_add_port(struct network_request *r, const char *text, struct err *err);
/* Are machines or containers able to use this mode word? "host" for machines: -ENOTSUP with the reason. */
int network_request_mode(const char *mode, enum network_kind kind, struct err *err);

/* ---- doing ---------------------------------------------------------------------------------------------- */

/*
 * Attaches. All or nothing: on failure everything done is undone and *err names the network and the reason. An
 * attachment that a killed process left under the same ref is removed first. ret: owned, network_lease_free().
 * Blocks on the lock of the network directory (milliseconds) and, with published ports, on one run of nft.
 */
int network_attach(const struct network_request *req, struct network_lease *ret, struct err *err);
/*
 * Undoes whatever exists of ref's attachment: links, ports, leases, names. Repeatable; 0 when there was nothing.
 * Continues past failures and reports the first. The namespace may be gone.
 */
int network_detach(const struct network_ref *ref, struct err *err);
/* Does everything the lease promises still exist? 0, or -ENOENT/-EIO naming the first difference. */
int network_check(const struct network_lease *lease, int netns_fd, struct err *err);
/* Loads the attachment recorded for ref. 0, -ENOENT or -errno. tap_fds are -1. */
int network_lease_find(const struct network_ref *ref, struct network_lease *ret, struct err *err);

/*
 * Machine in a namespace somebody else made: every link that has addresses (not loopback) is joined to a new tap
 * in that namespace by tc redirect; the link's addresses, routes, MAC and MTU become the guest's (in ret). The link
 * keeps them but sees no packet any more. ret->ifaces may be empty (a namespace with loopback only: no network), or with
 * spare a tap of which the guest is told nothing yet. Repeatable: an old redirect is replaced. The tap disappears with its fds.
 */
int network_join(const struct network_ref *ref, int netns_fd, uint16_t queues, bool spare, struct network_lease *ret,
		 struct err *err);
/* The same in the network namespace of a process in a user namespace of the caller's, who has no privilege outside of it. */
int network_join_process(const struct network_ref *ref, int pid, uint16_t queues, struct network_lease *ret,
			 struct err *err);
/*
 * Somebody may give joined links other addresses, routes, MAC addresses or another MTU while the machine waits for its
 * start (its tap's follows), or bring the first link: it is joined to the spare tap. told: the lease of network_join(). 1 and
 * *ret (owned): network_lease_guest() of what they have now, with what each link was; 0: nothing changed; -errno: a link is gone.
 */
int network_join_changes(int netns_fd, const struct network_lease *told, char **ret, struct err *err);
/* Undoes network_join() in a namespace that lives on (engines run hooks and CNI DEL there). 0 when nothing was done. */
int network_join_undo(const struct network_ref *ref, int netns_fd, struct err *err);

/* The lease as a JSON object (schema 1): {"version":1,"id","owner","kind","interfaces":[…],"ports":[…]…}. */
void network_lease_save(struct json_writer *w, const char *key, const struct network_lease *l);
/* Reads it back; -EPROTO for an unknown version. */
int network_lease_load(const struct json *v, struct network_lease *ret, struct err *err);
/* The guest's part for the agent: {"interfaces":[struct rtnl_iface…]}, without spare ones. Owned text. */
char *network_lease_guest(const struct network_lease *l);
/* Closes taps and frees members. */
void network_lease_free(struct network_lease *l);
#define cleanup_network_lease CLEANUP(network_lease_free)

/* Counters of one interface as the container sees them (rx: into it). */
struct network_stats {
	char name[IFNAMSIZ];
	uint64_t rx_bytes, rx_packets, rx_errors, rx_dropped;
	uint64_t tx_bytes, tx_packets, tx_errors, tx_dropped;
};
/*
 * Counters of every interface but loopback in a namespace (container), or by the lease's host links (machine or
 * container; netns_fd -1). Owned array.
 */
int network_stats(const struct network_lease *lease, int netns_fd, struct network_stats **ret, size_t *ret_n,
		  struct err *err);

/*
 * Connects the namespace of process pid (a container's, a machine's monitor's) to the world by pasta, with ports
 * published. -ENOENT when pasta is not installed. Its pid in *ret_pid; it ends with the namespace.
 */
int network_pasta(const struct network_request *req, int pid, int *ret_pid, struct err *err);
/* Undoes what network_pasta() left in the owner's directory. Repeatable; 0 when there was nothing. */
int network_pasta_undo(const struct network_ref *ref, struct err *err);

/* ---- definitions ---------------------------------------------------------------------------------------- */

struct network_subnet {
	struct rtnl_addr net;         /* masked, with prefix */
	struct rtnl_addr gateway;     /* family 0: none (internal without gateway) */
	struct rtnl_addr first, last; /* range leases come from, inclusive */
};

/* How far containers of this network reach those of other networks. */
enum network_isolation { NETWORK_ISOLATE_YES, NETWORK_ISOLATE_NO, NETWORK_ISOLATION_MAX };

#define NETWORK_SUBNETS_MAX 4

struct network {
	char *name;   /* [a-zA-Z0-9][a-zA-Z0-9_.-]*, at most 64 bytes */
	char *bridge; /* link name */
	struct network_subnet subnets[NETWORK_SUBNETS_MAX];
	unsigned int n_subnets;
	uint16_t vlan; /* 0: none */
	char *uplink;  /* host link plugged into the bridge, tagged with vlan; NULL: none */
	uint32_t mtu;  /* 0: that of the default route's link */
	bool internal; /* no way out: no default route, no forwarding */
	bool masquerade;
	bool foreign; /* the bridge is somebody else's: only ports are plugged in, it is never changed or removed */
	enum network_isolation isolate;
	bool dns; /* names resolve */
	char **dns_servers, **dns_search, **dns_options;
	char **labels; /* "key=value" */
};

/* What `amphi network create` was given; NULL/0 chooses. */
struct network_create {
	const char *name;
	char **subnets, **gateways, **ranges; /* texts, nth belongs to nth subnet */
	bool ipv6;                            /* also a unique-local /64 when no IPv6 subnet is given */
	const char *bridge, *uplink;
	uint32_t vlan, mtu;
	bool internal, no_masquerade, no_isolate, no_dns, foreign;
	char **dns_servers, **dns_search, **dns_options, **labels;
};

/* Creates a definition (no link yet). -EEXIST, -EINVAL (overlap with a network or a link of the host is named). */
int network_def_create(const char *dir, const struct network_create *c, struct err *err);
/* Removes definition, bridge and rules; -EBUSY when in use unless force (endpoints are disconnected). */
int network_prune_network(const char *dir, const char *name, bool force, struct err *err);
/* Loads one definition; "default" is created on demand. -ENOENT. */
int network_def_load(const char *dir, const char *name, struct network *ret, struct err *err);
/* Names of all definitions, sorted, owned. */
int network_def_list(const char *dir, char ***ret, struct err *err);
void network_def_free(struct network *n); /* frees the members */
#define cleanup_network CLEANUP(network_def_free)
void network_def_save(struct json_writer *w, const char *key, const struct network *n);
/* Leases of the attachments on a network. Owned array. */
int network_endpoints(const char *dir, const char *name, struct network_lease **ret, size_t *ret_n, struct err *err);

/* Adds one network to / takes it from a running container (containers only: a machine's NICs are fixed at boot). */
int network_connect(const struct network_request *req, struct network_lease *ret, struct err *err);
int network_disconnect(const struct network_ref *ref, const char *network, struct err *err);

/*
 * Does a packet filter of somebody else drop what a network of ours (without any: what "default" would be) forwards, or
 * keep names from its endpoints? 1 with what was found and how it is let pass (owned texts), 0 or -errno. Changes nothing.
 */
int network_blocked(const char *dir, char **ret_what, char **ret_remedy, struct err *err);

/* Puts bridges, sysctls and the firewall table back as definitions and attachments say; touches nothing else. */
int network_prune_reload(const char *dir, struct err *err);
/*
 * Removes attachments whose owner is gone, leases without attachment, links and rules without lease, bridges
 * without endpoint; with unused also definitions nobody uses (not "default"). Counts in *ret_removed (may be NULL).
 */
int network_prune(const char *dir, bool unused, unsigned int *ret_removed, struct err *err);

#endif
