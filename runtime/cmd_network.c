/* SPDX-License-Identifier: Apache-2.0 */
/*
 * amphi network: definitions of networks and what is attached to them.
 *
 * Theory of operation: a table of verbs below one command. Definitions and attachments are the network room's; what
 * this file adds is the container by its id: state directory (the attachment's owner) and network namespace.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "network/network.h"
#include "oci/config.h"
#include "runtime/commands.h"
#include "runtime/sandbox.h"

#define NO_VLAN UINT32_MAX /* the option was not given */

struct network_options {
	/* create */
	char **subnets, **gateways, **ranges, **dns, **dns_search, **dns_options, **labels;
	const char *bridge, *uplink;
	uint32_t vlan, mtu;
	bool ipv6, internal, no_masquerade, no_isolate, no_dns, foreign;
	/* others */
	bool force, quiet, all;
	const char *ip, *ip6, *mac, *interface;
	char **aliases;
	const char *format;
};

static const struct option_def create_defs[] = {
	OPTION_STRV("subnet", 0, struct network_options, subnets, "ADDRESS/PREFIX",
		    "addresses of the network (repeatable; default: a free 10.89.N.0/24)"),
	OPTION_STRV("gateway", 0, struct network_options, gateways, "ADDRESS",
		    "the bridge's address in the subnet named before (default: the first)"),
	OPTION_STRV("ip-range", 0, struct network_options, ranges, "FIRST-LAST",
		    "part of the subnet that leases come from"),
	OPTION_FLAG("ipv6", '6', struct network_options, ipv6,
		    "also an IPv6 subnet (a unique local /64 when none is given)"),
	OPTION_STRING("bridge", 0, struct network_options, bridge, "LINK", "name of the bridge (default: amphiN)"),
	OPTION_FLAG("foreign", 0, struct network_options, foreign,
		    "use an existing bridge as it is: only plug ports in"),
	OPTION_U32("vlan", 0, struct network_options, vlan, "ID", "VLAN of the network (1 to 4094)"),
	OPTION_STRING("uplink", 0, struct network_options, uplink, "LINK", "host link that carries the VLAN, tagged"),
	OPTION_U32("mtu", 0, struct network_options, mtu, "BYTES", "MTU (default: that of the default route's link)"),
	OPTION_FLAG("internal", 0, struct network_options, internal, "no way out of the network and none in"),
	OPTION_FLAG("no-masquerade", 0, struct network_options, no_masquerade, "leave source addresses as they are"),
	OPTION_FLAG("no-isolate", 0, struct network_options, no_isolate,
		    "let other networks without isolation reach this one"),
	OPTION_FLAG("no-dns", 0, struct network_options, no_dns, "do not resolve names of other containers"),
	OPTION_STRV("dns", 0, struct network_options, dns, "ADDRESS", "name server (repeatable; default: the host's)"),
	OPTION_STRV("dns-search", 0, struct network_options, dns_search, "DOMAIN", "search domain (repeatable)"),
	OPTION_STRV("dns-option", 0, struct network_options, dns_options, "OPTION", "resolver option (repeatable)"),
	OPTION_STRV("label", 0, struct network_options, labels, "KEY=VALUE", "label (repeatable)"),
	OPTION_END,
};

static const struct option_def list_defs[] = {
	OPTION_FLAG("quiet", 'q', struct network_options, quiet, "names only"),
	OPTION_STRING("format", 'f', struct network_options, format, "table|json", "output format (default: table)"),
	OPTION_END,
};

static const struct option_def force_defs[] = {
	OPTION_FLAG("force", 'f', struct network_options, force, "disconnect what is connected"),
	OPTION_END,
};

static const struct option_def connect_defs[] = {
	OPTION_STRING("ip", 0, struct network_options, ip, "ADDRESS", "static IPv4 address"),
	OPTION_STRING("ip6", 0, struct network_options, ip6, "ADDRESS", "static IPv6 address"),
	OPTION_STRING("mac", 0, struct network_options, mac, "MAC", "MAC address"),
	OPTION_STRING("interface", 0, struct network_options, interface, "NAME", "interface name (default: ethN)"),
	OPTION_STRV("alias", 0, struct network_options, aliases, "NAME", "further name in the resolver (repeatable)"),
	OPTION_END,
};

static const struct option_def prune_defs[] = {
	OPTION_FLAG("all", 'a', struct network_options, all, "also remove networks that nothing is connected to"),
	OPTION_END,
};

static const struct option_def no_defs[] = { OPTION_END };

static int network_create_main(const struct globals *g, struct network_options *o, char **argv, struct err *err)
{
	struct network_create c = {
		.name = argv[0],
		.subnets = o->subnets,
		.gateways = o->gateways,
		.ranges = o->ranges,
		.ipv6 = o->ipv6,
		.bridge = o->bridge,
		.uplink = o->uplink,
		.vlan = o->vlan == NO_VLAN ? 0 : o->vlan,
		.mtu = o->mtu,
		.internal = o->internal,
		.no_masquerade = o->no_masquerade,
		.no_isolate = o->no_isolate,
		.no_dns = o->no_dns,
		.foreign = o->foreign,
		.dns_servers = o->dns,
		.dns_search = o->dns_search,
		.dns_options = o->dns_options,
		.labels = o->labels,
	};
	cleanup_free char *line = xasprintf("%s\n", argv[0]);
	int r;

	if (!o->vlan)
		return err_set(err, -EINVAL, "--vlan 0: must be 1 to 4094");
	r = network_def_create(NULL, &c, err);
	return r < 0 ? r : commands_print(line, err);
}

static void subnets_text(const struct network *n, struct str *out)
{
	char a[RTNL_ADDR_TEXT];

	for (unsigned int i = 0; i < n->n_subnets; i++)
		str_addf(out, "%s%s", i ? "," : "", rtnl_addr_text(&n->subnets[i].net, true, a));
}

static int network_list_main(const struct globals *g, struct network_options *o, char **argv, struct err *err)
{
	cleanup_strv char **names = NULL;
	cleanup_str struct str out = { 0 };
	struct json_writer w = { .indent = 2 };
	bool json = o->format && !strcmp(o->format, "json");
	int r;

	if (o->format && !json && strcmp(o->format, "table"))
		return err_set(err, -EINVAL, "option --format: must be table or json");
	r = network_def_list(NULL, &names, err);
	if (json)
		json_w_array(&w, NULL);
	else if (!o->quiet)
		str_addf(&out, "%-20s %-15s %-8s %s\n", "NAME", "BRIDGE", "VLAN", "SUBNETS");
	for (char **p = names; r >= 0 && p && *p; p++) {
		cleanup_network struct network n = { 0 };
		cleanup_str struct str subnets = { 0 };
		char vlan[16] = "-";

		r = network_def_load(NULL, *p, &n, err);
		if (r < 0)
			break;
		subnets_text(&n, &subnets);
		if (n.vlan)
			snprintf(vlan, sizeof(vlan), "%u", n.vlan);
		if (json)
			network_def_save(&w, NULL, &n);
		else if (o->quiet)
			str_addf(&out, "%s\n", n.name);
		else
			str_addf(&out, "%-20s %-15s %-8s %s\n", n.name, n.bridge, vlan, str_get(&subnets));
	}
	if (json) {
		cleanup_free char *text = NULL;

		json_w_array_end(&w);
		text = json_w_steal(&w);
		str_addf(&out, "%s\n", text);
	}
	return r < 0 ? r : commands_print(str_get(&out), err);
}

static int inspect_one(const char *name, struct json_writer *w, struct err *err)
{
	cleanup_network struct network n = { 0 };
	struct network_lease *v = NULL;
	size_t count = 0;
	int r = network_def_load(NULL, name, &n, err);

	if (r >= 0)
		r = network_endpoints(NULL, name, &v, &count, err);
	if (r < 0)
		return r;
	json_w_object(w, NULL);
	network_def_save(w, "network", &n);
	json_w_array(w, "attachments");
	for (size_t i = 0; i < count; i++) {
		network_lease_save(w, NULL, &v[i]);
		network_lease_free(&v[i]);
	}
	free(v);
	json_w_array_end(w);
	json_w_object_end(w);
	return 0;
}

static int network_inspect_main(const struct globals *g, struct network_options *o, char **argv, struct err *err)
{
	struct json_writer w = { .indent = 2 };
	cleanup_free char *text = NULL, *line = NULL;
	int r = 0;

	json_w_array(&w, NULL);
	for (char **p = argv; r >= 0 && *p; p++)
		r = inspect_one(*p, &w, err);
	json_w_array_end(&w);
	text = json_w_steal(&w);
	line = xasprintf("%s\n", text);
	return r < 0 ? r : commands_print(line, err);
}

static int network_rm_main(const struct globals *g, struct network_options *o, char **argv, struct err *err)
{
	int r = 0;

	for (char **p = argv; r >= 0 && *p; p++)
		r = network_prune_network(NULL, *p, o->force, err);
	return r;
}

/* The container's namespace, when it is running. */
static int open_netns(struct sandbox *sb, struct err *err)
{
	cleanup_free char *path = NULL;
	int fd;

	if (!sandbox_alive(sb))
		return err_set(err, -ESRCH, "container %s is not running", sb->dir.id);
	path = xasprintf("/proc/%d/ns/net", (int)sb->rec.pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? err_sys(err, -errno, "open %s", path) : fd;
}

static char *connect_word(const char *network, const struct network_options *o)
{
	struct str s = { 0 };
	char sep = ':';
	const struct {
		const char *key, *value;
	} parts[] = { { "ip", o->ip }, { "ip6", o->ip6 }, { "mac", o->mac }, { "interface", o->interface } };

	str_add(&s, network);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (parts[i].value) {
			str_addf(&s, "%c%s=%s", sep, parts[i].key, parts[i].value);
			sep = ',';
		}
	for (char **p = o->aliases; p && *p; p++) {
		str_addf(&s, "%calias=%s", sep, *p);
		sep = ',';
	}
	return str_steal(&s);
}

static int network_connect_main(const struct globals *g, struct network_options *o, char **argv, struct err *err)
{
	cleanup_network_lease struct network_lease lease = { 0 };
	cleanup_free char *word = connect_word(argv[0], o);
	struct network_request req;
	struct sandbox sb = { 0 };
	cleanup_fd int netns = -1;
	int r = sandbox_load(g, argv[1], true, &sb, err);

	if (r < 0)
		return r;
	network_request_init(&req, sb.dir.id, sb.dir.path,
			     sb.rec.isolation == ISOLATION_VM ? NETWORK_MACHINE : NETWORK_CONTAINER);
	req.hostname = sb.config ? sb.config->hostname : NULL;
	r = network_request_add_network(&req, word, err);
	if (r >= 0)
		r = netns = open_netns(&sb, err);
	req.netns_fd = netns;
	if (r >= 0)
		r = network_connect(&req, &lease, err);
	if (r >= 0 && !strv_has(sb.rec.networks, argv[0])) {
		struct json_writer w = { .indent = 0 };

		strv_add(&sb.rec.networks, argv[0]);
		network_lease_save(&w, NULL, &lease);
		free(sb.rec.network);
		sb.rec.network = json_w_steal(&w);
		r = sandbox_save(&sb, err);
	}
	network_request_free(&req);
	sandbox_close(&sb);
	return r < 0 ? r : 0;
}

static int network_disconnect_main(const struct globals *g, struct network_options *o, char **argv, struct err *err)
{
	struct sandbox sb = { 0 };
	int r = sandbox_load(g, argv[1], true, &sb, err);

	if (r >= 0) {
		struct network_ref ref = { .id = sb.dir.id, .owner = sb.dir.path };

		r = network_disconnect(&ref, strcmp(argv[0], "bridge") ? argv[0] : "default", err);
		sandbox_close(&sb);
	}
	return r < 0 ? r : 0;
}

/* The namespace in which the lease's interfaces are; -1 where they are a machine's taps, seen from here. */
static int check_netns(struct sandbox *sb, const struct network_lease *lease, struct err *err)
{
	int fd;

	if (lease->kind != NETWORK_MACHINE)
		return open_netns(sb, err);
	if (!lease->netns_path)
		return -1;
	fd = open(lease->netns_path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? err_sys(err, -errno, "open %s", lease->netns_path) : fd;
}

static int network_check_main(const struct globals *g, struct network_options *o, char **argv, struct err *err)
{
	cleanup_network_lease struct network_lease lease = { 0 };
	cleanup_sandbox struct sandbox sb = SANDBOX_INIT;
	cleanup_fd int netns = -1;
	struct network_ref ref = { 0 };
	int r = sandbox_load(g, argv[0], false, &sb, err);

	if (r < 0)
		return r;
	ref.id = sb.dir.id;
	ref.owner = sb.dir.path;
	r = network_lease_find(&ref, &lease, err);
	if (r >= 0) {
		netns = check_netns(&sb, &lease, err);
		r = netns < -1 ? netns : network_check(&lease, netns, err);
	}
	return r < 0 ? err_wrap(err, "container %s", argv[0]) : 0;
}

static int network_reload_main(const struct globals *g, struct network_options *o, char **argv, struct err *err)
{
	return network_prune_reload(NULL, err);
}

static int network_prune_main(const struct globals *g, struct network_options *o, char **argv, struct err *err)
{
	unsigned int n = 0;
	cleanup_free char *line = NULL;
	int r = network_prune(NULL, o->all, &n, err);

	line = xasprintf("%u removed\n", n);
	return r < 0 ? r : commands_print(line, err);
}

static const struct verb {
	const char *name;
	int (*main)(const struct globals *g, struct network_options *o, char **argv, struct err *err);
	const struct option_def *options;
	const char *synopsis, *help;
	int min, max; /* positional words; max -1: any number */
} verbs[] = {
	{ "create", network_create_main, create_defs, "[OPTIONS] NETWORK", "define a network", 1, 1 },
	{ "ls", network_list_main, list_defs, "[OPTIONS]", "list networks", 0, 0 },
	{ "inspect", network_inspect_main, no_defs, "NETWORK...", "definition and attachments as JSON", 1, -1 },
	{ "rm", network_rm_main, force_defs, "[OPTIONS] NETWORK...", "remove networks", 1, -1 },
	{ "connect", network_connect_main, connect_defs, "[OPTIONS] NETWORK CONTAINER", "connect a running container",
	  2, 2 },
	{ "disconnect", network_disconnect_main, no_defs, "NETWORK CONTAINER", "disconnect a running container", 2, 2 },
	{ "check", network_check_main, no_defs, "CONTAINER", "is everything of a container's network still there?", 1,
	  1 },
	{ "reload", network_reload_main, no_defs, "", "put bridges and firewall rules back", 0, 0 },
	{ "prune", network_prune_main, prune_defs, "[OPTIONS]", "remove what killed processes left and unused bridges",
	  0, 0 },
};

static int print_help(struct err *err)
{
	cleanup_str struct str s = { 0 };

	str_add(&s, "usage: amphi network VERB [OPTIONS] [WORD...]\n\nverbs:\n");
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		str_addf(&s, "  %-12s%s\n", verbs[i].name, verbs[i].help);
	return commands_print(str_get(&s), err);
}

static int print_verb_help(const struct verb *v, struct err *err)
{
	cleanup_str struct str s = { 0 };

	str_addf(&s, "usage: amphi network %s %s\n\n%s\n\n", v->name, v->synopsis, v->help);
	options_help(v->options, &s);
	return commands_print(str_get(&s), err);
}

static void free_options(struct network_options *o)
{
	char **v[] = {
		o->subnets, o->gateways, o->ranges, o->dns, o->dns_search, o->dns_options, o->labels, o->aliases
	};

	for (size_t i = 0; i < ARRAY_SIZE(v); i++)
		strv_free(v[i]);
}

static int network_main(const struct globals *g, const struct command *self, int argc, char **argv, struct err *err)
{
	struct network_options o CLEANUP(free_options) = { .vlan = NO_VLAN };
	const struct verb *v = NULL;
	int i, n;

	if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return argc < 2 ? err_set(err, -EINVAL,
					  "network: a verb is missing (create, ls, inspect, rm, connect, disconnect, "
					  "check, reload, prune)") :
				  print_help(err);
	for (size_t k = 0; k < ARRAY_SIZE(verbs); k++)
		if (!strcmp(argv[1], verbs[k].name))
			v = &verbs[k];
	if (!v)
		return err_set(err, -EINVAL, "network: unknown verb \"%s\"", argv[1]);
	i = options_parse(v->options, &o, OPTIONS_PERMUTE, argc - 1, argv + 1, err);
	if (i == OPTIONS_HELP)
		return print_verb_help(v, err);
	if (i < 0)
		return err_wrap(err, "network %s", v->name);
	n = argc - 1 - i;
	if (n < v->min || (v->max >= 0 && n > v->max))
		return err_set(err, -EINVAL, "network %s: usage: amphi network %s %s", v->name, v->name, v->synopsis);
	return v->main(g, &o, argv + 1 + i, err);
}

const struct command cmd_network = {
	.name = "network",
	.main = network_main,
	.synopsis = "VERB [OPTIONS] [WORD...]",
	.help = "create, list, change and repair networks",
};
