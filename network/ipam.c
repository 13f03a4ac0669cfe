/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ipam: address leases on disk.
 *
 * Theory of operation: a network's lease directory holds one file per leased address, named by the address, with
 * four lines: attachment key, owner's state directory, directory of its hosts file, its names. The file is created
 * with O_EXCL, so an address is taken by one system call, and a cursor file per family makes allocation go round
 * the range. All callers hold the network lock; a file without content can therefore only be the remains of a
 * killed process and counts as free. Nothing is synced: leases do not outlive the boot (netdir).
 */
#include "network/ipam.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "network/netdir.h"

#define LEASE_MAX 16384

bool ipam_next(struct rtnl_addr *a)
{
	for (size_t i = rtnl_addr_len(a); i-- > 0;)
		if (++a->b[i])
			return true;
	return false;
}

int ipam_compare(const struct rtnl_addr *a, const struct rtnl_addr *b)
{
	return memcmp(a->b, b->b, rtnl_addr_len(a));
}

/* The address before a; a is not all zero. */
static void previous(struct rtnl_addr *a)
{
	for (size_t i = rtnl_addr_len(a); i-- > 0;)
		if (a->b[i]--)
			return;
}

static struct rtnl_addr last_of(const struct rtnl_addr *net)
{
	struct rtnl_addr a = *net;

	for (size_t i = 0; i < rtnl_addr_len(&a); i++) {
		int bits = (int)a.prefix - (int)(8 * i);

		if (bits <= 0)
			a.b[i] = 0xff;
		else if (bits < 8)
			a.b[i] |= (uint8_t)(0xff >> bits);
	}
	return a;
}

/* Network and broadcast address of IPv4, the router anycast address of IPv6; none in /31 and /127 nets. */
static bool reserved(const struct network_subnet *sn, const struct rtnl_addr *a)
{
	unsigned int full = 8 * (unsigned int)rtnl_addr_len(a);
	struct rtnl_addr last = last_of(&sn->net);

	if (sn->gateway.family && rtnl_addr_equal(a, &sn->gateway))
		return true;
	if (sn->net.prefix >= full - 1)
		return false;
	return rtnl_addr_equal(a, &sn->net) || (a->family == AF_INET && rtnl_addr_equal(a, &last));
}

int ipam_defaults(struct network_subnet *sn, struct err *err)
{
	unsigned int full = 8 * (unsigned int)rtnl_addr_len(&sn->net);
	char text[RTNL_ADDR_TEXT];

	rtnl_addr_mask(&sn->net);
	if (sn->net.prefix >= full || sn->net.prefix == 0)
		return err_set(err, -EINVAL, "subnet %s: no room for addresses", rtnl_addr_text(&sn->net, true, text));
	if (!sn->gateway.family) {
		sn->gateway = sn->net;
		if (sn->net.prefix < full - 1)
			ipam_next(&sn->gateway);
	}
	sn->gateway.prefix = sn->net.prefix;
	if (!sn->first.family) {
		sn->first = sn->net;
		if (sn->net.prefix < full - 1)
			ipam_next(&sn->first);
	}
	if (!sn->last.family) {
		sn->last = last_of(&sn->net);
		if (sn->net.family == AF_INET && sn->net.prefix < full - 1)
			previous(&sn->last);
	}
	sn->first.prefix = sn->last.prefix = (uint8_t)full;
	if (!rtnl_addr_in(&sn->gateway, &sn->net))
		return err_set(err, -EINVAL, "gateway %s is outside the subnet",
			       rtnl_addr_text(&sn->gateway, false, text));
	if (!rtnl_addr_in(&sn->first, &sn->net) || !rtnl_addr_in(&sn->last, &sn->net) ||
	    ipam_compare(&sn->first, &sn->last) > 0)
		return err_set(err, -EINVAL, "range of subnet %s: not an ascending range inside the subnet",
			       rtnl_addr_text(&sn->net, true, text));
	return 0;
}

/* Creates the address's file; -EEXIST when leased. */
static int take(int dirfd, const struct rtnl_addr *a, const struct ipam_owner *o)
{
	char name[RTNL_ADDR_TEXT];
	cleanup_str struct str s = { 0 };
	cleanup_fd int fd = -1;
	int r;

	rtnl_addr_text(a, false, name);
	fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0 && errno == EEXIST) {
		cleanup_free char *old = NULL;
		size_t n;

		if (fd_slurp_at(dirfd, name, LEASE_MAX, &old, &n) < 0 || n)
			return -EEXIST;
		fd = openat(dirfd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	}
	if (fd < 0)
		return -errno;
	str_addf(&s, "%s\n%s\n%s\n%s\n", o->key, o->owner, o->files_dir, o->names);
	r = fd_write_all(fd, s.s, s.len);
	if (r < 0)
		unlinkat(dirfd, name, 0);
	return r;
}

static int lease_wanted(int dirfd, const struct network_subnet *sn, const struct rtnl_addr *want,
			const struct ipam_owner *o, struct rtnl_addr *ret, struct err *err)
{
	char text[RTNL_ADDR_TEXT], net[RTNL_ADDR_TEXT];
	int r;

	rtnl_addr_text(want, false, text);
	rtnl_addr_text(&sn->net, true, net);
	if (!rtnl_addr_in(want, &sn->net))
		return err_set(err, -EADDRNOTAVAIL, "address %s is outside subnet %s", text, net);
	if (reserved(sn, want))
		return err_set(err, -EADDRNOTAVAIL, "address %s is reserved in subnet %s", text, net);
	*ret = *want;
	ret->prefix = sn->net.prefix;
	r = take(dirfd, want, o);
	if (r == -EEXIST)
		return err_set(err, -EADDRINUSE, "address %s is in use", text);
	return r < 0 ? err_sys(err, r, "lease address %s", text) : 0;
}

int ipam_lease(int dirfd, const struct network_subnet *sn, const struct rtnl_addr *want, const struct ipam_owner *o,
	       struct rtnl_addr *ret, struct err *err)
{
	char text[RTNL_ADDR_TEXT], cursor[16];
	cleanup_free char *last = NULL;
	struct rtnl_addr a = sn->first, start;
	bool first = true;
	size_t n;
	int r;

	if (want && want->family)
		return lease_wanted(dirfd, sn, want, o, ret, err);
	snprintf(cursor, sizeof(cursor), ".next%d", sn->net.family == AF_INET ? 4 : 6);
	if (fd_slurp_at(dirfd, cursor, RTNL_ADDR_TEXT, &last, &n) == 0 && !rtnl_addr_parse(last, false, &start) &&
	    start.family == sn->net.family && ipam_compare(&start, &sn->first) >= 0 &&
	    ipam_compare(&start, &sn->last) < 0) {
		a = start;
		ipam_next(&a);
	}
	a.prefix = sn->first.prefix;
	for (start = a; first || !rtnl_addr_equal(&a, &start); first = false) {
		r = reserved(sn, &a) ? -EEXIST : take(dirfd, &a, o);
		if (r != -EEXIST) {
			rtnl_addr_text(&a, false, text);
			if (r < 0)
				return err_sys(err, r, "lease address %s", text);
			(void)path_write_atomic(dirfd, cursor, text, strlen(text), 0644);
			*ret = a;
			ret->prefix = sn->net.prefix;
			return 0;
		}
		if (rtnl_addr_equal(&a, &sn->last) || !ipam_next(&a))
			a = sn->first;
	}
	return err_set(err, -ENOSPC, "subnet %s: no free address (range exhausted)",
		       rtnl_addr_text(&sn->net, true, text));
}

int ipam_release(int dirfd, const struct rtnl_addr *a, const char *key, struct err *err)
{
	char name[RTNL_ADDR_TEXT];
	cleanup_free char *text = NULL;
	size_t n;
	int r;

	rtnl_addr_text(a, false, name);
	r = fd_slurp_at(dirfd, name, LEASE_MAX, &text, &n);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return err_sys(err, r, "read lease %s", name);
	if (n && (!str_starts(text, key) || text[strlen(key)] != '\n'))
		return 0;
	if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
		return err_sys(err, -errno, "release address %s", name);
	return 0;
}

void ipam_entry_free(struct ipam_entry *e)
{
	free(e->key);
	free(e->owner);
	free(e->files_dir);
	free(e->names);
	*e = (struct ipam_entry){ 0 };
}

void ipam_list_free(struct ipam_entry *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ipam_entry_free(&v[i]);
	free(v);
}

/* One file; -ENODATA for the remains of a killed process, -ENOENT when it vanished. */
static int read_entry(int dirfd, const char *name, struct ipam_entry *ret)
{
	cleanup_free char *text = NULL;
	cleanup_strv char **line = NULL;
	size_t n;
	int r;

	if (rtnl_addr_parse(name, false, &ret->addr) < 0)
		return -ENOENT;
	r = fd_slurp_at(dirfd, name, LEASE_MAX, &text, &n);
	if (r < 0)
		return r;
	line = strv_split(text, '\n');
	if (strv_len(line) < 4)
		return -ENODATA;
	ret->key = xstrdup(line[0]);
	ret->owner = xstrdup(line[1]);
	ret->files_dir = xstrdup(line[2]);
	ret->names = xstrdup(line[3]);
	return 0;
}

int ipam_list(int dirfd, struct ipam_entry **ret, size_t *ret_n, struct err *err)
{
	struct ipam_entry *v = NULL;
	size_t n = 0;
	cleanup_dir DIR *d = NULL;
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		int r = err_sys(err, -errno, "read lease directory");

		if (fd >= 0)
			close(fd);
		return r;
	}
	for (struct dirent *e; (e = readdir(d));) {
		struct ipam_entry x = { 0 };
		int r;

		if (e->d_name[0] == '.')
			continue;
		r = read_entry(dirfd, e->d_name, &x);
		if (r == -ENODATA)
			(void)unlinkat(dirfd, e->d_name, 0);
		if (r < 0)
			continue;
		v = xreallocarray(v, n + 1, sizeof(*v));
		v[n++] = x;
	}
	*ret = v;
	*ret_n = n;
	return 0;
}

void ipam_mac(const char *network, const struct rtnl_addr *a, uint8_t ret[RTNL_MAC_LEN])
{
	uint64_t h = netdir_hash(0, network, strlen(network) + 1);

	h = netdir_hash(h, a->b, rtnl_addr_len(a));
	for (int i = 1; i < RTNL_MAC_LEN; i++)
		ret[i] = (uint8_t)(h >> (8 * i));
	ret[0] = 0x02;
}
