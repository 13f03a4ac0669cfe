/* SPDX-License-Identifier: Apache-2.0 */
/* images/usermap: options, ids through the maps, xattrs that name ids. */
#include "images/usermap.h"

#include <endian.h>
#include <linux/capability.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <string.h>

#include "base/str.h"
#include "tests/unit/tap.h"

static void options(void)
{
	char *uids[] = { (char *)"0:1000:1", (char *)"1:200000:100", NULL }, *bad[] = { (char *)"1:2:3", NULL };
	char *wide[] = { (char *)"0:4294967295:2", NULL };
	CLEANUP(usermap_clear) struct usermap m;
	struct usermap none;
	struct err err = { 0 };

	is_int(usermap_parse(uids, NULL, &m, &err), 0);
	is_int((int)m.n_gids, 2);
	cleanup_free char *text = usermap_text(m.gids, m.n_gids);
	is_str(text, "0 1000 1\n1 200000 100\n");
	is_int((int)usermap_outside(m.uids, m.n_uids, 100), 200099);
	is_int((int)usermap_outside(m.uids, m.n_uids, 101), -1);
	ok(usermap_parse(bad, NULL, &none, &err) == -EINVAL && strstr(err.msg, "0 is not mapped"));
	ok(usermap_parse(wide, NULL, &none, &err) == -EINVAL && strstr(err.msg, "0:4294967295:2"));
}

static void xattrs(void)
{
	struct usermap_range uids = { 0, 200000, 50 }, gids = { 0, 300000, 50 };
	struct usermap m = { &uids, &gids, 1, 1 };
	struct vfs_cap_data caps = { .magic_etc = htole32(VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE),
				     .data = { { htole32(1 << 13), 0 } } };
	struct {
		struct posix_acl_xattr_header head;
		struct posix_acl_xattr_entry e[5];
	} acl = { { htole32(POSIX_ACL_XATTR_VERSION) },
		  { { htole16(ACL_USER_OBJ), htole16(6), htole32(ACL_UNDEFINED_ID) },
		    { htole16(ACL_USER), htole16(4), htole32(33) },
		    { htole16(ACL_USER), htole16(4), htole32(77) },
		    { htole16(ACL_GROUP), htole16(4), htole32(44) },
		    { htole16(ACL_OTHER), htole16(0), htole32(ACL_UNDEFINED_ID) } } };
	const struct posix_acl_xattr_entry *e;
	void *value = xmalloc(sizeof(caps));
	size_t len = sizeof(caps);

	memcpy(value, &caps, len);
	usermap_xattr(&m, "security.capability", &value, &len);
	const struct vfs_ns_cap_data *ns = value;
	is_int((int)len, (int)sizeof(*ns));
	is_int((int)le32toh(ns->rootid), 200000);
	is_int((int)le32toh(ns->magic_etc), VFS_CAP_REVISION_3 | VFS_CAP_FLAGS_EFFECTIVE);
	is_int((int)le32toh(ns->data[0].permitted), 1 << 13);
	value = xrealloc(value, sizeof(acl));
	memcpy(value, &acl, len = sizeof(acl));
	usermap_xattr(&m, "system.posix_acl_access", &value, &len);
	e = (const struct posix_acl_xattr_entry *)((const struct posix_acl_xattr_header *)value + 1);
	/* the one whose user has no id is gone */
	is_int((int)len, (int)(sizeof(acl) - sizeof(*e)));
	is_int((int)le32toh(e[0].e_id), -1);
	is_int((int)le32toh(e[1].e_id), 200033);
	is_int((int)le32toh(e[2].e_id), 300044);
	is_int(le16toh(e[3].e_tag), ACL_OTHER);
	len = 3;
	usermap_xattr(&m, "system.posix_acl_access", &value, &len);
	usermap_xattr(&m, "security.capability", &value, &len);
	is_int((int)len, 3);
	free(value);
}

int main(void)
{
	options();
	xattrs();
	return tap_done();
}
