/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter_legacy: the filter table of the kernel's old iptables.
 *
 * Theory of operation: the table is one blob of entries that getsockopt(2) copies out; a chain's policy is the entry at
 * its underflow, each entry says which links it is for. The tables of IPv4 and IPv6 differ in the size of an entry's
 * head alone. Asking for a table would load it: only one that the namespace's list has is asked for.
 * include/uapi/linux/netfilter_ipv4/ip_tables.h.
 */
#include "network/filter_legacy.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/str.h"

#define TABLE "filter"
#define TABLE_MAX (64U << 20)

/* What differs: where the list is, how it is asked for, where things are in an entry. */
static const struct kind {
	uint8_t family;
	const char *list;
	int level, get_info, get_entries;
	size_t head, iniface, outiface, iniface_mask, outiface_mask, target, next;
} kinds[] = {
	{ AF_INET, "/proc/net/ip_tables_names", IPPROTO_IP, IPT_SO_GET_INFO, IPT_SO_GET_ENTRIES,
	  sizeof(struct ipt_entry), offsetof(struct ipt_entry, ip.iniface), offsetof(struct ipt_entry, ip.outiface),
	  offsetof(struct ipt_entry, ip.iniface_mask), offsetof(struct ipt_entry, ip.outiface_mask),
	  offsetof(struct ipt_entry, target_offset), offsetof(struct ipt_entry, next_offset) },
	{ AF_INET6, "/proc/net/ip6_tables_names", IPPROTO_IPV6, IP6T_SO_GET_INFO, IP6T_SO_GET_ENTRIES,
	  sizeof(struct ip6t_entry), offsetof(struct ip6t_entry, ipv6.iniface),
	  offsetof(struct ip6t_entry, ipv6.outiface), offsetof(struct ip6t_entry, ipv6.iniface_mask),
	  offsetof(struct ip6t_entry, ipv6.outiface_mask), offsetof(struct ip6t_entry, target_offset),
	  offsetof(struct ip6t_entry, next_offset) },
};

static bool has_table(const struct kind *k)
{
	cleanup_free char *text = NULL;
	cleanup_strv char **names = NULL;
	size_t n;

	if (fd_slurp_at(AT_FDCWD, k->list, 4096, &text, &n) < 0)
		return false;
	names = strv_split(text, '\n');
	return strv_has(names, TABLE);
}

/* Is the entry for this link alone, or for some that it is among ("amphi+")? */
static bool for_link(const char *entry, size_t name, size_t mask, const char *link)
{
	char padded[IFNAMSIZ] = { 0 };

	if (!entry[name])
		return false;
	strncpy(padded, link, sizeof(padded) - 1);
	for (size_t i = 0; i < IFNAMSIZ; i++)
		if ((entry[name + i] ^ padded[i]) & entry[mask + i])
			return false;
	return true;
}

static bool drops(const struct kind *k, const char *entries, size_t size, size_t underflow)
{
	struct xt_standard_target t;
	uint16_t target;

	if (underflow + k->head > size)
		return false;
	memcpy(&target, entries + underflow + k->target, sizeof(target));
	if (underflow + target + sizeof(t) > size)
		return false;
	memcpy(&t, entries + underflow + target, sizeof(t));
	return !t.target.u.user.name[0] && t.verdict == -NF_DROP - 1;
}

bool filter_legacy_drops(uint8_t family, bool forward, const char *link, bool *ret_docker)
{
	const struct kind *k = &kinds[family == AF_INET6];
	struct ipt_getinfo info = { .name = TABLE }; /* ip6t_getinfo has the same layout */
	cleanup_free struct ipt_get_entries *all = NULL;
	socklen_t len = sizeof(info);
	cleanup_fd int fd = -1;
	const char *e;
	uint16_t next;

	if (!has_table(k))
		return false;
	fd = socket(k->family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	if (fd < 0 || getsockopt(fd, k->level, k->get_info, &info, &len) < 0 || info.size > TABLE_MAX)
		return false;
	len = (socklen_t)(sizeof(*all) + info.size);
	all = xcalloc(1, len);
	strcpy(all->name, TABLE);
	all->size = info.size;
	/* -EAGAIN: it was changed in between; the next look will tell */
	if (getsockopt(fd, k->level, k->get_entries, all, &len) < 0)
		return false;
	e = (const char *)all->entrytable;
	if (!drops(k, e, info.size, info.underflow[forward ? NF_INET_FORWARD : NF_INET_LOCAL_IN]))
		return false;
	*ret_docker = memmem(e, info.size, "DOCKER-USER", sizeof("DOCKER-USER")) != NULL;
	for (size_t at = 0; at + k->head <= info.size; at += next) {
		if (for_link(e + at, k->iniface, k->iniface_mask, link) ||
		    for_link(e + at, k->outiface, k->outiface_mask, link))
			return false;
		memcpy(&next, e + at + k->next, sizeof(next));
		if (!next)
			break;
	}
	return true;
}
