/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mount request. Mount sources that the child could not open or map (it is in a user namespace, or the mount is
 * idmapped) are opened by the parent as detached trees and passed as fds, in messages of at most SYNC_FDS_MAX before
 * the request itself, whose payload names for each fd the mount it belongs to.
 */
#include "container/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/str.h"
#include "container/device.h"
#include "container/mount.h"
#include "container/sync.h"
#include "oci/config.h"

static int send_trees(int sock, const int *fds, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && !r; i += SYNC_FDS_MAX)
		r = sync_send(sock, SYNC_FDS, NULL, 0, fds + i, n - i < SYNC_FDS_MAX ? n - i : SYNC_FDS_MAX);
	return r;
}

static int userns_of(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	return open(path, O_RDONLY | O_CLOEXEC);
}

int setup_send(int sock, const struct oci_config *config, const char *rootfs, const char *notify_dir, pid_t pid,
	       struct err *err)
{
	bool userns = config->linux_.namespaces[OCI_NS_USER].present;
	cleanup_free int *fds = xcalloc(config->n_mounts + SETUP_MORE, sizeof(*fds));
	cleanup_free uint32_t *index = xcalloc(config->n_mounts + SETUP_MORE, sizeof(*index));
	cleanup_fd int userns_fd = userns ? userns_of(pid) : -1;
	cleanup_str struct str payload = { 0 };
	const struct oci_mount more[] = {
		{ .destination = "/",
		  .type = "bind",
		  .source = (char *)rootfs,
		  .options = (char *[]){ "rbind", NULL } },
		{ .destination = "/run/notify",
		  .type = "bind",
		  .source = (char *)notify_dir,
		  .options = (char *[]){ "bind", NULL } },
	};
	size_t all = config->n_mounts + SETUP_MORE;
	uint32_t n = 0;
	int r = 0;

	for (size_t i = 0; i < all && r >= 0; i++) {
		size_t n_more = i - config->n_mounts;

		if (i < config->n_mounts)
			r = mount_source(&config->mounts[i], userns, userns_fd, err);
		else if (n_more == SETUP_DEVICES)
			r = device_tree(&config->linux_, err);
		else if (n_more == SETUP_NOTIFY && !notify_dir)
			r = -ENOTSUP;
		else
			r = mount_source(&more[n_more], userns, userns_fd, err);
		if (r >= 0) {
			fds[n] = r;
			index[n++] = (uint32_t)i;
		} else if (r == -ENOTSUP) {
			r = 0;
		}
	}
	if (r >= 0) {
		r = send_trees(sock, fds, n);
		str_addn(&payload, &n, sizeof(n));
		str_addn(&payload, index, n * sizeof(*index));
		if (!r)
			r = sync_send(sock, SYNC_MOUNT, payload.s, payload.len, NULL, 0);
		if (r < 0)
			err_sys(err, r, "ask container init to mount");
	}
	for (uint32_t i = 0; i < n; i++)
		close(fds[i]);
	return r < 0 ? r : 0;
}

static int unpack(const struct sync_msg *m, const int *fds, size_t n_fds, struct setup_request *q)
{
	uint32_t n, index;

	if (m->len < sizeof(n))
		return -EPROTO;
	memcpy(&n, m->data, sizeof(n));
	if (n != n_fds || m->len != sizeof(n) + (size_t)n * sizeof(index))
		return -EPROTO;
	for (uint32_t i = 0; i < n; i++) {
		memcpy(&index, m->data + sizeof(n) + i * sizeof(index), sizeof(index));
		if (index >= q->n_trees + SETUP_MORE || q->trees[index] >= 0)
			return -EPROTO;
		q->trees[index] = fds[i];
	}
	return 0;
}

int setup_recv(int sock, size_t n_mounts, struct setup_request *ret, struct err *err)
{
	cleanup_free int *fds = NULL;
	struct sync_msg m;
	size_t n_fds = 0;
	int r;

	*ret = (struct setup_request){ .trees = xcalloc(n_mounts + SETUP_MORE, sizeof(int)), .n_trees = n_mounts };
	for (size_t i = 0; i < n_mounts + SETUP_MORE; i++)
		ret->trees[i] = -1;
	for (;;) {
		r = sync_recv(sock, &m);
		if (r < 0)
			return err_sys(err, r, "waiting for the mount request");
		if (m.type != SYNC_FDS)
			break;
		fds = xreallocarray(fds, n_fds + m.n_fds, sizeof(*fds));
		memcpy(fds + n_fds, m.fds, m.n_fds * sizeof(*fds));
		n_fds += m.n_fds;
		m.n_fds = 0;
		sync_msg_done(&m);
	}
	r = m.type == SYNC_MOUNT ? unpack(&m, fds, n_fds, ret) : -EPROTO;
	sync_msg_done(&m);
	return r < 0 ? err_set(err, r, "the mount request is malformed") : 0;
}

int setup_take_tree(struct setup_request *q, size_t i)
{
	int fd = i < q->n_trees + SETUP_MORE ? q->trees[i] : -1;

	if (fd >= 0)
		q->trees[i] = -1;
	return fd;
}

void setup_done(struct setup_request *q)
{
	for (size_t i = 0; q->trees && i < q->n_trees + SETUP_MORE; i++)
		if (q->trees[i] >= 0)
			close(q->trees[i]);
	free(q->trees);
	*q = (struct setup_request){ 0 };
}
