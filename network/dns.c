/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns: names for containers and machines on a network.
 *
 * Theory of operation: every attachment has three files in its state directory, mounted over /etc/resolv.conf,
 * /etc/hosts and /etc/hostname. A mount shows an inode, so files are rewritten in place, never replaced. The
 * lease file of an address (ipam) says which names belong to it and where its owner's hosts file is: a new
 * attachment writes what it finds there into its own file and appends its own line to the others'; one that goes
 * takes its lines out. A container may have written to its own hosts file: only lines of addresses in question are
 * touched, a symlink or a file beyond 1 MiB is left alone.
 * resolv.conf names the network's resolver when one runs (resolver.c).
 * resolv.conf(5), hosts(5).
 */
#include "network/dns.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "network/endpoint.h"
#include "network/ipam.h"
#include "network/resolver.h"

#define HOSTS_MAX (1 << 20)

static bool loopback_server(const char *s)
{
	return str_starts(s, "127.") || !strcmp(s, "::1") || !strcmp(s, "0.0.0.0");
}

static void add_joined(struct str *out, const char *word, char *const *v)
{
	if (!v || !*v)
		return;
	str_add(out, word);
	for (char *const *p = v; *p; p++)
		str_addf(out, " %s", *p);
	str_addc(out, '\n');
}

void dns_resolv(struct str *out, char *const *servers, char *const *search, char *const *options, const char *host_text)
{
	cleanup_strv char **lines = strv_split(host_text, '\n');

	if (search && *search)
		add_joined(out, "search", search);
	for (char *const *p = servers; p && *p; p++)
		str_addf(out, "nameserver %s\n", *p);
	for (char **p = lines; *p; p++) {
		char word[32], value[128];

		if (sscanf(*p, "%31s %127s", word, value) != 2)
			continue;
		if (!strcmp(word, "nameserver")) {
			if ((!servers || !*servers) && !loopback_server(value))
				str_addf(out, "nameserver %s\n", value);
		} else if (!strcmp(word, "search") || !strcmp(word, "domain")) {
			if (!search || !*search)
				str_addf(out, "%s\n", *p);
		} else if (!strcmp(word, "options")) {
			if (!options || !*options)
				str_addf(out, "%s\n", *p);
		}
	}
	add_joined(out, "options", options);
}

char *dns_host_resolv(void)
{
	char *text = NULL;
	size_t n;

	if (fd_slurp_at(AT_FDCWD, "/etc/resolv.conf", 65536, &text, &n) < 0)
		return xstrdup("");
	if (strstr(text, "nameserver 127.0.0.53")) {
		char *real = NULL;

		if (!fd_slurp_at(AT_FDCWD, "/run/systemd/resolve/resolv.conf", 65536, &real, &n)) {
			free(text);
			text = real;
		}
	}
	return text;
}

char *dns_hosts_without(const char *text, const struct rtnl_addr *addrs, size_t n)
{
	char(*names)[RTNL_ADDR_TEXT] = xcalloc(n ? n : 1, sizeof(*names));
	struct str out = { 0 };

	for (size_t i = 0; i < n; i++)
		rtnl_addr_text(&addrs[i], false, names[i]);
	while (*text) {
		size_t len = strcspn(text, "\n"), field = strcspn(text, " \t\n");
		bool drop = false;

		if (text[len])
			len++;
		for (size_t i = 0; i < n; i++)
			drop |= strlen(names[i]) == field && !memcmp(names[i], text, field);
		if (!drop)
			str_addn(&out, text, len);
		text += len;
	}
	free(names);
	return str_steal(&out);
}

/* Replaces the content of dir/name, keeping its inode when there is one. */
static int write_in_place(const char *dir, const char *name, const char *text)
{
	cleanup_fd int dfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int fd = -1;
	int r;

	if (dfd < 0)
		return -errno;
	fd = openat(dfd, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	r = fd_write_all(fd, text, strlen(text));
	if (!r && ftruncate(fd, (off_t)strlen(text)) < 0)
		r = -errno;
	return r;
}

static void hosts_line(struct str *out, const struct rtnl_addr *a, const char *names)
{
	char text[RTNL_ADDR_TEXT];

	if (!str_empty(names))
		str_addf(out, "%s\t%s\n", rtnl_addr_text(a, false, text), names);
}

static int hosts_head(struct str *out, const struct network_request *req, struct err *err)
{
	str_add(out, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
	for (char *const *p = req->extra_hosts; p && *p; p++) {
		const char *colon = strchr(*p, ':');
		struct rtnl_addr a;

		if (!colon || colon == *p || rtnl_addr_parse(colon + 1, false, &a) < 0)
			return err_set(err, -EINVAL, "--add-host %s: not NAME:ADDRESS", *p);
		str_addf(out, "%s\t%.*s\n", colon + 1, (int)(colon - *p), *p);
	}
	return 0;
}

static int hosts_text(struct str *out, const struct netdir *nd, const struct network_request *req,
		      const struct network_lease *l, const struct network *nets, struct err *err)
{
	char key[NETDIR_KEY];
	int head = hosts_head(out, req, err);

	if (head < 0)
		return head;
	netdir_key(l->ref.id, l->ref.owner, key);
	for (size_t i = 0; i < l->n_ifaces; i++) {
		struct ipam_entry *v = NULL;
		cleanup_fd int dir = -1;
		size_t n = 0;
		int r;

		if (!l->ifaces[i].network)
			continue;
		dir = endpoint_dir(nd, l->ifaces[i].network, err);
		r = dir < 0 ? dir : ipam_list(dir, &v, &n, err);
		if (r < 0)
			return r;
		for (size_t k = 0; k < n; k++)
			if (nets[i].dns || !strcmp(v[k].key, key))
				hosts_line(out, &v[k].addr, v[k].names);
		ipam_list_free(v, n);
	}
	return 0;
}

/* The three files of a lease. */
static int write_files(const struct network_lease *l, const char *resolv, const char *hosts, struct err *err)
{
	cleanup_free char *name = xasprintf("%s\n", l->names && l->names[0] ? l->names[0] : l->ref.id);
	int r = write_in_place(l->files_dir, "resolv.conf", resolv);

	if (!r)
		r = write_in_place(l->files_dir, "hosts", hosts);
	if (!r)
		r = write_in_place(l->files_dir, "hostname", name);
	return r < 0 ? err_sys(err, r, "write resolv.conf, hosts and hostname in %s", l->files_dir) : 0;
}

/* Whom endpoints of the network ask: its resolver, which asks the network's servers itself, else those. */
static void add_servers(const struct netdir *nd, const struct network *n, char ***servers)
{
	bool runs = n->dns && resolver_runs(nd, n->name);
	char a[RTNL_ADDR_TEXT];

	for (unsigned int i = 0; runs && i < n->n_subnets; i++)
		if (n->subnets[i].gateway.family)
			strv_add(servers, rtnl_addr_text(&n->subnets[i].gateway, false, a));
	for (char **p = n->dns_servers; !runs && p && *p; p++)
		strv_add(servers, *p);
}

int dns_write(const struct netdir *nd, const struct network_request *req, const struct network_lease *l,
	      const struct network *nets, struct err *err)
{
	cleanup_str struct str hosts = { 0 }, resolv = { 0 };
	cleanup_strv char **servers = strv_dup(req->dns_servers), **search = strv_dup(req->dns_search),
			  **options = strv_dup(req->dns_options);
	cleanup_free char *host = NULL;
	int r;

	if (!l->files_dir)
		return 0;
	for (size_t i = 0; i < l->n_ifaces; i++) {
		if (!strv_len(req->dns_servers))
			add_servers(nd, &nets[i], &servers);
		for (char **p = nets[i].dns_search; !strv_len(req->dns_search) && p && *p; p++)
			strv_add(&search, *p);
		for (char **p = nets[i].dns_options; !strv_len(req->dns_options) && p && *p; p++)
			strv_add(&options, *p);
	}
	host = dns_host_resolv();
	dns_resolv(&resolv, servers, search, options, host);
	r = hosts_text(&hosts, nd, req, l, nets, err);
	return r < 0 ? r : write_files(l, str_get(&resolv), str_get(&hosts), err);
}

int dns_write_plain(const struct network_request *req, const struct network_lease *l, const struct json *dns,
		    struct err *err)
{
	cleanup_str struct str hosts = { 0 }, resolv = { 0 };
	cleanup_strv char **servers = strv_dup(req->dns_servers), **search = strv_dup(req->dns_search),
			  **options = strv_dup(req->dns_options);
	cleanup_free char *host = NULL, *names = strv_join(l->names, " ");
	int r = 0;

	if (!l->files_dir)
		return 0;
	if (dns && !servers)
		r = json_opt_strv(dns, "nameservers", &servers, err);
	if (r >= 0 && dns && !search)
		r = json_opt_strv(dns, "search", &search, err);
	if (r >= 0 && dns && !options)
		r = json_opt_strv(dns, "options", &options, err);
	if (r >= 0)
		r = hosts_head(&hosts, req, err);
	if (r < 0)
		return r;
	host = dns_host_resolv();
	dns_resolv(&resolv, servers, search, options, host);
	for (size_t i = 0; i < l->n_ifaces; i++)
		for (size_t k = 0; k < l->ifaces[i].set.n_addrs; k++)
			hosts_line(&hosts, &l->ifaces[i].set.addrs[k], names);
	return write_files(l, str_get(&resolv), str_get(&hosts), err);
}

static int open_hosts(const char *dir, int flags)
{
	cleanup_fd int dfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int fd = dfd < 0 ? -1 : openat(dfd, "hosts", flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > HOSTS_MAX)
		return -1;
	return steal_fd(fd);
}

static void append_lines(const char *dir, const char *lines)
{
	cleanup_fd int fd = open_hosts(dir, O_WRONLY | O_APPEND);

	if (fd >= 0)
		(void)fd_write_all(fd, lines, strlen(lines));
}

static void remove_lines(const char *dir, const struct rtnl_addr *addrs, size_t n)
{
	cleanup_fd int fd = open_hosts(dir, O_RDWR);
	cleanup_free char *old = NULL, *kept = NULL;
	size_t len;

	if (fd < 0 || fd_slurp(fd, HOSTS_MAX, &old, &len) < 0)
		return;
	kept = dns_hosts_without(old, addrs, n);
	if (strlen(kept) == len || lseek(fd, 0, SEEK_SET) < 0 || fd_write_all(fd, kept, strlen(kept)) < 0)
		return;
	(void)!ftruncate(fd, (off_t)strlen(kept));
}

void dns_publish(const struct netdir *nd, const struct network_lease *l, const struct network_iface *iface, bool add)
{
	cleanup_fd int dir = iface->network ? endpoint_dir(nd, iface->network, NULL) : -1;
	cleanup_str struct str lines = { 0 };
	struct ipam_entry *v = NULL;
	char key[NETDIR_KEY];
	size_t n = 0;

	if (dir < 0 || ipam_list(dir, &v, &n, NULL) < 0)
		return;
	netdir_key(l->ref.id, l->ref.owner, key);
	for (size_t i = 0; add && i < n; i++)
		if (!strcmp(v[i].key, key))
			hosts_line(&lines, &v[i].addr, v[i].names);
	for (size_t i = 0; i < n; i++) {
		bool seen = !v[i].files_dir[0] || !strcmp(v[i].key, key);

		for (size_t k = 0; !seen && k < i; k++)
			seen = !strcmp(v[k].key, v[i].key); /* one file, several addresses */
		if (seen)
			continue;
		if (add)
			append_lines(v[i].files_dir, str_get(&lines));
		else
			remove_lines(v[i].files_dir, iface->set.addrs, iface->set.n_addrs);
	}
	ipam_list_free(v, n);
}

void dns_learn(const struct netdir *nd, const struct network_lease *l, const struct network_iface *iface)
{
	cleanup_fd int dir = iface->network ? endpoint_dir(nd, iface->network, NULL) : -1;
	cleanup_str struct str lines = { 0 };
	struct ipam_entry *v = NULL;
	size_t n = 0;

	if (dir < 0 || !l->files_dir || ipam_list(dir, &v, &n, NULL) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		hosts_line(&lines, &v[i].addr, v[i].names);
	append_lines(l->files_dir, str_get(&lines));
	ipam_list_free(v, n);
}
