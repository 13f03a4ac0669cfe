/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's network: the host has made the links' other ends and knows every address; the guest only writes
 * them down, by netlink, without DHCP or discovery. Interfaces are told apart by their MAC address; one whose driver
 * is still probing is waited for, bounded.
 */
#include "vm/guest/guest_net.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/str.h"
#include "network/rtnl.h"

#define LINK_WAIT_MS 10000

int guest_net_loopback(struct err *err)
{
	cleanup_rtnl struct rtnl nl = RTNL_INIT;
	int r = rtnl_open(&nl, -1, err);

	return r < 0 ? r : rtnl_loopback_up(&nl, err);
}

static int wait_link(struct rtnl *nl, const struct rtnl_iface *i, const uint8_t *by, struct err *err)
{
	char mac[RTNL_MAC_TEXT];

	for (int waited = 0;; waited += 5) {
		struct timespec ts = { .tv_nsec = 5000000 };
		int index = rtnl_link_by_mac(nl, by, NULL);

		if (index != -ENODEV)
			return index < 0 ? err_sys(err, index, "interface %s", i->name) : index;
		if (waited >= LINK_WAIT_MS)
			return err_set(err, -ENODEV, "interface %s: no link with address %s in the machine", i->name,
				       rtnl_mac_text(by, mac));
		nanosleep(&ts, NULL);
	}
}

/* A failure means that there is no IPv6. */
static void set_sysctl(const char *link, const char *what, const char *value)
{
	cleanup_free char *path = xasprintf("/proc/sys/net/ipv6/conf/%s/%s", link, what);

	(void)fd_write_file_at(AT_FDCWD, path, value);
}

static int apply(struct rtnl *nl, const struct rtnl_iface *i, struct err *err)
{
	static const uint8_t none[RTNL_MAC_LEN];
	bool again = memcmp(i->was, none, RTNL_MAC_LEN);
	int index = wait_link(nl, i, again ? i->was : i->mac, err);
	struct rtnl_link link;
	int r;

	if (index < 0)
		return index;
	r = rtnl_link_get(nl, NULL, index, &link, err);
	if (r >= 0 && again) {
		/* down it has no routes, and takes another name */
		r = rtnl_link_change(nl, index, &(struct rtnl_change){ .up = -1 }, err);
		if (r >= 0)
			r = rtnl_iface_flush(nl, index, err);
	}
	if (r < 0)
		return r;
	if (i->no_ipv6) {
		set_sysctl(link.name, "disable_ipv6", "1");
	} else {
		if (again)
			set_sysctl(link.name, "disable_ipv6", "0");
		/* addresses and routes are the host's to say, not those of a neighbour's router advertisements */
		set_sysctl(link.name, "accept_ra", "0");
		set_sysctl(link.name, "accept_dad", "0");
	}
	return rtnl_iface_apply(nl, index, i, err);
}

int guest_net_apply(const char *json, size_t len, struct err *err)
{
	cleanup_rtnl struct rtnl nl = RTNL_INIT;
	cleanup_json_doc struct json_doc *doc = json_parse(json, len, "network", err);
	const struct json *list = NULL;
	int r;

	if (!doc)
		return -EINVAL;
	r = json_opt_array(json_root(doc), "interfaces", &list, err);
	if (r < 0)
		return r;
	r = rtnl_open(&nl, -1, err);
	if (r < 0)
		return r;
	r = rtnl_loopback_up(&nl, err);
	if (r < 0 || !list)
		return r;
	json_for_each(v, list) {
		struct rtnl_iface i = { 0 };

		r = rtnl_iface_load(v, &i, err);
		if (r < 0)
			return r;
		r = apply(&nl, &i, err);
		rtnl_iface_free(&i);
		if (r < 0)
			return r;
	}
	return 0;
}
