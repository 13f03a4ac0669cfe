/* SPDX-License-Identifier: Apache-2.0 */
/* images/tar, images/tar_write: what is written is read the same, in pieces of any size; GNU forms; sparse files. */
#include "tests/unit/tarball.h"

static char long_name[300];

static void round_trip(size_t step)
{
	struct tar_xattr x = { (char *)"user.a", (void *)"v\0w", 3 };
	struct tar_entry in[] = {
		{ .type = TAR_FILE,
		  .path = long_name,
		  .mode = 0644,
		  .uid = 4000000000u,
		  .gid = 7,
		  .size = 5,
		  .mtime = -5,
		  .mtime_nsec = 500000000,
		  .xattrs = &x,
		  .n_xattrs = 1 },
		{ .type = TAR_SYMLINK, .path = (char *)"s", .link = long_name, .mode = 0777 },
		{ .type = TAR_CHAR, .path = (char *)"c", .mode = 0600, .major = 5, .minor = 300 },
		{ .type = TAR_DIR, .path = (char *)"d/", .mode = 01777, .mtime = 1700000000, .mtime_nsec = 1 },
	};
	struct str b = { 0 };
	struct tarball_reader r = { &b, 0, step };
	const struct tar_entry *e;
	const uint8_t *p;
	uint64_t offset;
	struct err err = { 0 };
	struct str data = { 0 };
	struct tar *t;
	ssize_t n;

	for (size_t i = 0; i < ARRAY_SIZE(in); i++) {
		tar_write_entry(tarball_put, &b, &in[i], NULL);
		if (in[i].size) {
			str_add(&b, "hello");
			tar_write_padding(tarball_put, &b, 5, NULL);
		}
	}
	tar_write_end(tarball_put, &b, NULL);
	t = tar_new(tarball_fill, &r);
	need(tar_next(t, &e, &err) == 1);
	is_str(e->path, long_name);
	ok(e->uid == 4000000000u && e->gid == 7 && e->size == 5 && e->mtime == -5 && e->mtime_nsec == 500000000);
	ok(e->n_xattrs == 1 && e->xattrs[0].len == 3 && !memcmp(e->xattrs[0].value, "v\0w", 3));
	while ((n = tar_data(t, &p, &offset, &err)) > 0)
		str_addn(&data, p, (size_t)n);
	is_str(str_get(&data), "hello");
	need(tar_next(t, &e, &err) == 1);
	is_str(e->link, long_name);
	need(tar_next(t, &e, &err) == 1);
	ok(e->type == TAR_CHAR && e->major == 5 && e->minor == 300);
	need(tar_next(t, &e, &err) == 1);
	ok(e->type == TAR_DIR && e->mode == 01777 && e->mtime_nsec == 1);
	is_int(tar_next(t, &e, &err), 0);
	is_int(tar_drain(t, &err), 0);
	tar_free(t);
	str_free(&b);
	str_free(&data);
}

/* A pax 1.0 sparse file by hand: map "1\n4096\n3\n" in front of 3 bytes of data at 4096 of 5000. */
static void sparse(void)
{
	static const char records[] = "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
				      "24 GNU.sparse.name=file\n28 GNU.sparse.realsize=5000\n";
	struct str b = { 0 }, body = { 0 };
	struct tar_entry x = { .type = TAR_FILE, .path = (char *)"pax", .size = sizeof(records) - 1 };
	struct tar_entry f = { .type = TAR_FILE, .path = (char *)"ignored", .mode = 0644, .size = 515 };
	struct tarball_reader r = { &b, 0, 64 };
	const struct tar_entry *e;
	const uint8_t *p;
	uint64_t offset = 0;
	struct err err = { 0 };
	struct tar *t;

	tar_write_entry(tarball_put, &b, &x, NULL);
	b.s[156] = 'x';
	unsigned int sum = 0;

	memset(b.s + 148, ' ', 8);
	for (int i = 0; i < 512; i++)
		sum += (unsigned char)b.s[i];
	snprintf(b.s + 148, 8, "%06o", sum);
	str_add(&b, records);
	tar_write_padding(tarball_put, &b, x.size, NULL);
	tar_write_entry(tarball_put, &b, &f, NULL);
	str_add(&body, "1\n4096\n3\n");
	while (body.len < 512)
		str_addc(&body, '\0');
	str_add(&body, "abc");
	str_addn(&b, body.s, body.len);
	tar_write_padding(tarball_put, &b, 515, NULL);
	tar_write_end(tarball_put, &b, NULL);
	t = tar_new(tarball_fill, &r);
	is_int(tar_next(t, &e, &err), 1);
	is_str(err.msg, "");
	is_str(e->path, "file");
	ok(e->sparse && e->size == 5000);
	is_int(tar_data(t, &p, &offset, &err), 3);
	is_int(offset, 4096);
	is_int(tar_data(t, &p, &offset, &err), 0);
	is_int(tar_next(t, &e, &err), 0);
	tar_free(t);
	str_free(&b);
	str_free(&body);
}

int main(void)
{
	memset(long_name, 'n', sizeof(long_name) - 1);
	long_name[100] = '/';
	round_trip(1);
	round_trip(511);
	round_trip(1 << 20);
	sparse();
	return tap_done();
}
