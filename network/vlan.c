/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vlan: VLAN filtering on bridge ports.
 *
 * Theory of operation: the network's bridge filters VLANs. Endpoints and the bridge itself (the gateway) are
 * untagged members of the network's VLAN only; the uplink carries it tagged and nothing untagged, so that two
 * hosts with the same definition share the segment over an ordinary trunk. New ports come with VLAN 1, which is
 * taken off. Filtering itself is switched on here, so a reload puts it back. Needs CONFIG_BRIDGE_VLAN_FILTERING; the kernel's refusal is reported as it is.
 * The messages: RTM_SETLINK and RTM_DELLINK of family AF_BRIDGE with IFLA_AF_SPEC{IFLA_BRIDGE_VLAN_INFO}.
 */
#include "network/vlan.h"

#include <errno.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>

#include "base/cleanup.h"

static void put_vlan(struct rtnl_msg *m, uint16_t type, int index, uint16_t vid, uint16_t flags, bool self)
{
	struct ifinfomsg h = { .ifi_family = AF_BRIDGE, .ifi_index = index };
	struct bridge_vlan_info v = { .flags = flags, .vid = vid };
	size_t nest;

	rtnl_begin(m, type, 0, &h, sizeof(h));
	nest = rtnl_nest(m, IFLA_AF_SPEC);
	if (self)
		rtnl_put_u16(m, IFLA_BRIDGE_FLAGS, BRIDGE_FLAGS_SELF);
	rtnl_put(m, IFLA_BRIDGE_VLAN_INFO, &v, sizeof(v));
	rtnl_nest_end(m, nest);
}

int vlan_port(struct rtnl *nl, int index, uint16_t vlan, bool self, struct err *err)
{
	struct rtnl_msg m = { .len = 0 };

	put_vlan(&m, RTM_SETLINK, index, vlan, BRIDGE_VLAN_INFO_PVID | BRIDGE_VLAN_INFO_UNTAGGED, self);
	if (vlan != 1)
		put_vlan(&m, RTM_DELLINK, index, 1, 0, self);
	return rtnl_send(nl, &m, NULL, err, "set VLAN of bridge port");
}

static int switch_on(struct rtnl *nl, int bridge, struct err *err)
{
	struct ifinfomsg h = { .ifi_family = AF_UNSPEC, .ifi_index = bridge };
	struct rtnl_msg m = { .len = 0 };
	size_t info, data;

	rtnl_begin(&m, RTM_NEWLINK, 0, &h, sizeof(h));
	info = rtnl_nest(&m, IFLA_LINKINFO);
	rtnl_put(&m, IFLA_INFO_KIND, "bridge", 6);
	data = rtnl_nest(&m, IFLA_INFO_DATA);
	rtnl_put_u8(&m, IFLA_BR_VLAN_FILTERING, 1);
	rtnl_nest_end(&m, data);
	rtnl_nest_end(&m, info);
	return rtnl_send(nl, &m, NULL, err, "switch VLAN filtering on");
}

int vlan_bridge(struct rtnl *nl, const struct network *n, int index, struct err *err)
{
	struct rtnl_msg m = { .len = 0 };
	struct rtnl_link up;
	int r = switch_on(nl, index, err);

	if (r >= 0)
		r = vlan_port(nl, index, n->vlan, true, err);
	if (r < 0 || !n->uplink)
		return r;
	r = rtnl_link_get(nl, n->uplink, 0, &up, err);
	if (r == -ENODEV)
		return err_set(err, r, "uplink %s of network %s does not exist", n->uplink, n->name);
	if (r < 0)
		return r;
	if (up.master && up.master != index)
		return err_set(err, -EBUSY, "uplink %s of network %s belongs to another bridge", n->uplink, n->name);
	if (!up.master) {
		r = rtnl_link_change(nl, up.index, &(struct rtnl_change){ .master = index, .up = 1 }, err);
		if (r < 0)
			return err_wrap(err, "plug in uplink %s", n->uplink);
	}
	put_vlan(&m, RTM_SETLINK, up.index, n->vlan, 0, false);
	if (n->vlan != 1)
		put_vlan(&m, RTM_DELLINK, up.index, 1, 0, false);
	return rtnl_send(nl, &m, NULL, err, "set VLAN of uplink");
}
