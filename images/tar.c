/* SPDX-License-Identifier: Apache-2.0 */
/* Reading tar archives, entry by entry. */
/*
 * Pull parser: the caller's fill function hands out pieces of the archive, headers are assembled across pieces,
 * file data is passed through as slices of the pieces without a copy. Extended headers (pax 'x' and 'g', GNU 'L'
 * and 'K') are collected and applied to the next real entry. Sparse files come in three spellings: GNU's old
 * 'S' header, pax 0.x maps in records, pax 1.0 maps in front of the data. Everything is hostile: numbers are
 * checked for overflow, names for NUL and length, extended headers for size. POSIX pax, GNU tar manual "Formats".
 */
#include "images/tar.h"

#include <errno.h>
#include <string.h>

#include "base/str.h"

#define BLOCK 512
#define MAP_MAX 65536

struct header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100], magic[8], uname[32],
		gname[32], major[8], minor[8], prefix[155], pad[12];
};
_Static_assert(sizeof(struct header) == BLOCK, "a tar header is one block");

struct tar {
	tar_fill_fn *fill;
	tar_skip_fn *skip;
	void *arg;
	const uint8_t *p; /* current piece */
	size_t n;
	struct tar_entry e;
	uint64_t left; /* bytes of data in the archive not yet passed */
	uint64_t pad;  /* bytes behind them */
	size_t map_at; /* piece of e.map in progress */
	uint64_t map_done;
	uint64_t dense; /* offset in a file that is not sparse */
	uint8_t scratch[BLOCK];
	/* from extended headers, for the next entry */
	struct str global; /* pax records of 'g' */
	char *long_name, *long_link;
	bool has_size, sparse1;
	uint64_t pax_size, real_size;
	bool ended;
};

struct tar *tar_new(tar_fill_fn *fill, void *arg)
{
	struct tar *t = xcalloc(1, sizeof(*t));

	t->fill = fill;
	t->arg = arg;
	return t;
}

void tar_set_skip(struct tar *t, tar_skip_fn *skip)
{
	t->skip = skip;
}

static void entry_clear(struct tar_entry *e)
{
	free(e->path);
	free(e->link);
	for (size_t i = 0; i < e->n_xattrs; i++) {
		free(e->xattrs[i].name);
		free(e->xattrs[i].value);
	}
	free(e->xattrs);
	free(e->map);
	memset(e, 0, sizeof(*e));
}

void tar_free(struct tar *t)
{
	if (!t)
		return;
	entry_clear(&t->e);
	str_free(&t->global);
	free(t->long_name);
	free(t->long_link);
	free(t);
}

/* Makes sure a piece is at hand. Bytes in it, 0 at the end, negative. */
static ssize_t want(struct tar *t, struct err *err)
{
	if (!t->n) {
		ssize_t r = t->fill(t->arg, &t->p, err);

		if (r <= 0)
			return r;
		t->n = (size_t)r;
	}
	return (ssize_t)t->n;
}

/* Copies exactly len bytes; 0 at a clean end before the first one only, 1 done, negative. */
static int take(struct tar *t, void *buf, size_t len, struct err *err)
{
	size_t got = 0;

	while (got < len) {
		ssize_t r = want(t, err);
		size_t n;

		if (r < 0)
			return (int)r;
		if (!r)
			return got ? err_set(err, -EINVAL, "tar: truncated") : 0;
		n = t->n < len - got ? t->n : len - got;
		memcpy((char *)buf + got, t->p, n);
		t->p += n;
		t->n -= n;
		got += n;
	}
	return 1;
}

static int skip(struct tar *t, uint64_t len, struct err *err)
{
	while (len) {
		ssize_t r;
		size_t n;

		if (!t->n && t->skip)
			return t->skip(t->arg, len, err);
		r = want(t, err);
		if (r < 0)
			return (int)r;
		if (!r)
			return err_set(err, -EINVAL, "tar: truncated");
		n = t->n < len ? t->n : (size_t)len;
		t->p += n;
		t->n -= n;
		len -= n;
	}
	return 0;
}

/* Octal text, or base 256 when the first bit is set. */
static int number(const char *f, size_t len, int64_t *ret)
{
	const unsigned char *u = (const unsigned char *)f;
	uint64_t v = 0;
	size_t i = 0;

	if (u[0] & 0x80) {
		bool negative = u[0] & 0x40;

		v = negative ? ~0ULL : 0;
		for (i = 0; i < len; i++) {
			unsigned char b = i ? u[i] : (unsigned char)(negative ? u[0] | 0x80 : u[0] & 0x7f);

			/* the bits shifted out must be copies of the sign */
			if ((negative ? ~v : v) >> 55)
				return -ERANGE;
			v = v << 8 | b;
		}
		*ret = (int64_t)v;
		return 0;
	}
	while (i < len && f[i] == ' ')
		i++;
	for (; i < len && f[i] >= '0' && f[i] <= '7'; i++) {
		if (v >> 60)
			return -ERANGE;
		v = v << 3 | (uint64_t)(f[i] - '0');
	}
	for (; i < len; i++)
		if (f[i] && f[i] != ' ')
			return -EINVAL;
	*ret = (int64_t)v;
	return 0;
}

static bool checksum_ok(const struct header *h)
{
	const unsigned char *p = (const unsigned char *)h;
	int64_t want_sum, sum = 0, signed_sum = 0;

	for (size_t i = 0; i < BLOCK; i++) {
		bool blank = i >= offsetof(struct header, checksum) && i < offsetof(struct header, type);

		sum += blank ? ' ' : p[i];
		signed_sum += blank ? ' ' : (signed char)p[i];
	}
	return number(h->checksum, sizeof(h->checksum), &want_sum) == 0 && (want_sum == sum || want_sum == signed_sum);
}

static int pax_number(const char *v, size_t n, int64_t *secs, uint32_t *nsec)
{
	cleanup_free char *s = xstrndup(v, n);
	char *dot = strchr(s, '.');
	uint32_t ns = 0, unit = 100000000;
	int64_t x;
	int r;

	if (dot) {
		*dot++ = '\0';
		for (; *dot >= '0' && *dot <= '9'; dot++, unit /= 10)
			ns += (uint32_t)(*dot - '0') * unit;
		if (*dot)
			return -EINVAL;
	}
	r = parse_i64(s, &x);
	if (r < 0)
		return r;
	if (*s == '-' && ns) {
		x--;
		ns = 1000000000 - ns;
	}
	*secs = x;
	if (nsec)
		*nsec = ns;
	return 0;
}

static void add_xattr(struct tar_entry *e, const char *name, const char *value, size_t len)
{
	e->xattrs = xreallocarray(e->xattrs, e->n_xattrs + 1, sizeof(*e->xattrs));
	e->xattrs[e->n_xattrs] = (struct tar_xattr){ xstrdup(name), xmalloc(len + 1), len };
	memcpy(e->xattrs[e->n_xattrs++].value, value, len);
}

static int add_map(struct tar_entry *e, uint64_t offset, uint64_t len)
{
	const struct tar_hole_map *last = e->n_map ? &e->map[e->n_map - 1] : NULL;

	if (e->n_map >= MAP_MAX || offset > INT64_MAX || len > INT64_MAX - offset ||
	    (last && offset < last->offset + last->len))
		return -EINVAL;
	e->map = xreallocarray(e->map, e->n_map + 1, sizeof(*e->map));
	e->map[e->n_map++] = (struct tar_hole_map){ offset, len };
	return 0;
}

/* "0,512,4096,512" of GNU.sparse.map */
static int pax_map(struct tar_entry *e, const char *v, size_t n)
{
	cleanup_free char *s = xstrndup(v, n);
	cleanup_strv char **w = strv_split(s, ',');

	for (size_t i = 0; i + 1 < strv_len(w); i += 2) {
		uint64_t offset, len;

		if (parse_u64(w[i], &offset) < 0 || parse_u64(w[i + 1], &len) < 0 || add_map(e, offset, len) < 0)
			return -EINVAL;
	}
	e->sparse = true;
	return 0;
}

static bool name_ok(const char *s, size_t n)
{
	return n && n < TAR_NAME_MAX && !memchr(s, '\0', n);
}

static void set_name(char **slot, const char *v, size_t n)
{
	free(*slot);
	*slot = xstrndup(v, n);
}

static int pax_record(struct tar *t, const char *key, const char *v, size_t n, struct err *err)
{
	struct tar_entry *e = &t->e;
	int64_t x = 0;
	int r = 0;

	if (!strcmp(key, "path") || !strcmp(key, "GNU.sparse.name")) {
		if (!name_ok(v, n))
			return err_set(err, -EINVAL, "tar: pax record %s is not a name", key);
		if (*key == 'G' || !t->sparse1)
			set_name(&t->long_name, v, n);
	} else if (!strcmp(key, "linkpath")) {
		if (!name_ok(v, n))
			return err_set(err, -EINVAL, "tar: pax record %s is not a name", key);
		set_name(&t->long_link, v, n);
	} else if (!strcmp(key, "size")) {
		r = pax_number(v, n, &x, NULL);
		t->has_size = true;
		t->pax_size = (uint64_t)x;
		r = r < 0 || x < 0 ? -EINVAL : 0;
	} else if (!strcmp(key, "uid") || !strcmp(key, "gid")) {
		r = pax_number(v, n, &x, NULL);
		r = r < 0 || x < 0 || x > UINT32_MAX ? -EINVAL : 0;
		*(*key == 'u' ? &e->uid : &e->gid) = (uint32_t)x;
	} else if (!strcmp(key, "mtime")) {
		r = pax_number(v, n, &e->mtime, &e->mtime_nsec);
	} else if (!strcmp(key, "GNU.sparse.realsize") || !strcmp(key, "GNU.sparse.size")) {
		r = pax_number(v, n, &x, NULL);
		r = r < 0 || x < 0 ? -EINVAL : 0;
		e->sparse = true;
		t->real_size = (uint64_t)x;
	} else if (!strcmp(key, "GNU.sparse.major")) {
		t->sparse1 = n == 1 && *v == '1';
	} else if (!strcmp(key, "GNU.sparse.map")) {
		r = pax_map(e, v, n);
	} else if (str_starts(key, "SCHILY.xattr.")) {
		if (!key[13] || strlen(key + 13) > 255 || n > 65536)
			r = -EINVAL;
		else
			add_xattr(e, key + 13, v, n);
	}
	return r < 0 ? err_set(err, -EINVAL, "tar: pax record %.100s: bad value", key) : 0;
}

/* What a pax header says about ids and times must survive the ustar header that follows. */
enum { SET_UID = 1, SET_GID = 2, SET_MTIME = 4 };

static int pax_records(struct tar *t, const char *buf, size_t len, unsigned int *set, struct err *err)
{
	while (len) {
		size_t digits = 0, n = 0;
		const char *eq;

		while (digits < len && buf[digits] >= '0' && buf[digits] <= '9' && n <= TAR_EXTENDED_MAX)
			n = n * 10 + (size_t)(buf[digits++] - '0');
		if (!digits || digits >= len || buf[digits] != ' ' || n > len || n < digits + 4 || buf[n - 1] != '\n')
			return err_set(err, -EINVAL, "tar: damaged pax header");
		eq = memchr(buf + digits + 1, '=', n - digits - 2);
		if (!eq || memchr(buf + digits + 1, '\0', (size_t)(eq - buf) - digits - 1))
			return err_set(err, -EINVAL, "tar: damaged pax header");
		cleanup_free char *key = xstrndup(buf + digits + 1, (size_t)(eq - buf) - digits - 1);
		size_t value = (size_t)(buf + n - 1 - (eq + 1));
		/* an empty value takes an earlier one back */
		int r = value || str_starts(key, "SCHILY.xattr.") ? pax_record(t, key, eq + 1, value, err) : 0;

		if (r < 0)
			return r;
		if (value)
			*set |= !strcmp(key, "uid")   ? SET_UID :
				!strcmp(key, "gid")   ? SET_GID :
				!strcmp(key, "mtime") ? SET_MTIME :
							0;
		buf += n;
		len -= n;
	}
	return 0;
}

static int read_extended(struct tar *t, const struct header *h, uint64_t size, unsigned int *set, struct err *err)
{
	cleanup_free char *buf = NULL;
	int r;

	if (size > TAR_EXTENDED_MAX)
		return err_set(err, -EINVAL, "tar: extended header of %llu bytes", (unsigned long long)size);
	buf = xmalloc(size + 1);
	r = size ? take(t, buf, size, err) : 1;
	if (r <= 0)
		return r < 0 ? r : err_set(err, -EINVAL, "tar: truncated");
	buf[size] = '\0';
	r = skip(t, -size & (BLOCK - 1), err);
	if (r < 0)
		return r;
	switch (h->type) {
	case 'x':
		return pax_records(t, buf, size, set, err);
	case 'g':
		if (t->global.len + size > TAR_EXTENDED_MAX)
			return err_set(err, -EINVAL, "tar: too many global headers");
		str_addn(&t->global, buf, size);
		return 0;
	default:
		if (!name_ok(buf, strlen(buf)))
			return err_set(err, -EINVAL, "tar: bad long name");
		set_name(h->type == 'L' ? &t->long_name : &t->long_link, buf, strlen(buf));
		return 0;
	}
}

/* GNU's old sparse header: four entries in the header, 21 in each further block. */
static int read_old_sparse(struct tar *t, const struct header *h, struct err *err)
{
	const char *p = (const char *)h + 386;
	bool more = ((const char *)h)[482];
	int64_t offset, len, real;
	int entries = 4;

	if (number((const char *)h + 483, 12, &real) < 0 || real < 0)
		return err_set(err, -EINVAL, "tar: damaged sparse header");
	t->e.sparse = true;
	t->real_size = (uint64_t)real;
	for (;;) {
		for (int i = 0; i < entries && p[i * 24]; i++) {
			if (number(p + i * 24, 12, &offset) < 0 || number(p + i * 24 + 12, 12, &len) < 0 ||
			    offset < 0 || len < 0 || add_map(&t->e, (uint64_t)offset, (uint64_t)len) < 0)
				return err_set(err, -EINVAL, "tar: damaged sparse header");
		}
		if (!more)
			return 0;
		int r = take(t, t->scratch, BLOCK, err);

		if (r <= 0)
			return r < 0 ? r : err_set(err, -EINVAL, "tar: truncated");
		p = (const char *)t->scratch;
		entries = 21;
		more = p[504];
	}
}

/* The map of pax 1.0: decimal numbers on lines, padded to blocks, in front of the data. */
static int read_sparse1(struct tar *t, struct err *err)
{
	uint64_t values[2], count = 0, got = 0;
	char line[24];
	size_t n = 0, at = BLOCK;
	bool have_count = false;

	while (!have_count || got < 2 * count) {
		if (at == BLOCK) {
			int r = t->left < BLOCK ? 0 : take(t, t->scratch, BLOCK, err);

			if (r <= 0)
				return r < 0 ? r : err_set(err, -EINVAL, "tar: damaged sparse map");
			t->left -= BLOCK;
			at = 0;
		}
		char c = (char)t->scratch[at++];

		if (c != '\n') {
			if (n + 1 >= sizeof(line))
				return err_set(err, -EINVAL, "tar: damaged sparse map");
			line[n++] = c;
			continue;
		}
		line[n] = '\0';
		n = 0;
		if (parse_u64(line, have_count ? &values[got & 1] : &count) < 0 || count > MAP_MAX)
			return err_set(err, -EINVAL, "tar: damaged sparse map");
		if (!have_count)
			have_count = true;
		else if (got++ & 1 && add_map(&t->e, values[0], values[1]) < 0)
			return err_set(err, -EINVAL, "tar: damaged sparse map");
	}
	return 0;
}

/* ustar fields into the entry; what pax said stays. */
static int read_fields(struct tar *t, const struct header *h, int64_t size, unsigned int set, struct err *err)
{
	struct tar_entry *e = &t->e;
	int64_t mode, uid, gid, mtime, major = 0, minor = 0;
	bool ustar = !memcmp(h->magic, "ustar", 5);

	if (number(h->mode, 8, &mode) < 0 || number(h->uid, 8, &uid) < 0 || number(h->gid, 8, &gid) < 0 ||
	    number(h->mtime, 12, &mtime) < 0 ||
	    (ustar && (number(h->major, 8, &major) < 0 || number(h->minor, 8, &minor) < 0)))
		return err_set(err, -EINVAL, "tar: damaged header");
	if ((!(set & SET_UID) && (uid < 0 || uid > UINT32_MAX)) ||
	    (!(set & SET_GID) && (gid < 0 || gid > UINT32_MAX)) || major < 0 || minor < 0 || major > UINT32_MAX ||
	    minor > UINT32_MAX)
		return err_set(err, -EINVAL, "tar: id or device number out of range");
	e->mode = (uint32_t)mode & 07777;
	if (!(set & SET_UID))
		e->uid = (uint32_t)uid;
	if (!(set & SET_GID))
		e->gid = (uint32_t)gid;
	if (!(set & SET_MTIME))
		e->mtime = mtime;
	e->major = (uint32_t)major;
	e->minor = (uint32_t)minor;
	e->size = t->has_size ? t->pax_size : (uint64_t)size;
	if (t->long_name) {
		e->path = steal_ptr(t->long_name);
	} else {
		struct str s = { 0 };

		if (ustar && !memcmp(h->magic, "ustar\0", 6) && h->prefix[0]) {
			str_addn(&s, h->prefix, strnlen(h->prefix, sizeof(h->prefix)));
			str_addc(&s, '/');
		}
		str_addn(&s, h->name, strnlen(h->name, sizeof(h->name)));
		e->path = str_steal(&s);
	}
	e->link = t->long_link ? steal_ptr(t->long_link) : xstrndup(h->link, strnlen(h->link, sizeof(h->link)));
	if (!*e->path)
		return err_set(err, -EINVAL, "tar: entry without a name");
	return 0;
}

static int entry_type(struct tar_entry *e, char type, struct err *err)
{
	switch (type) {
	case '\0':
	case '0':
	case '7':
	case 'S':
		e->type = str_ends(e->path, "/") && type != 'S' ? TAR_DIR : TAR_FILE;
		return 0;
	case '1':
		e->type = TAR_HARDLINK;
		break;
	case '2':
		e->type = TAR_SYMLINK;
		break;
	case '3':
		e->type = TAR_CHAR;
		return 0;
	case '4':
		e->type = TAR_BLOCK;
		return 0;
	case '5':
		e->type = TAR_DIR;
		return 0;
	case '6':
		e->type = TAR_FIFO;
		return 0;
	default:
		return err_set(err, -EINVAL, "tar: entry %.200s has the unknown type '%c'", e->path,
			       type >= ' ' && type < 127 ? type : '?');
	}
	if (!*e->link)
		return err_set(err, -EINVAL, "tar: entry %.200s is a link to nothing", e->path);
	return 0;
}

static int finish_header(struct tar *t, const struct header *h, int64_t size, unsigned int set, struct err *err)
{
	struct tar_entry *e = &t->e;
	int r = read_fields(t, h, size, set, err);

	if (r >= 0)
		r = entry_type(e, h->type, err);
	if (r < 0)
		return r;
	t->left = e->type == TAR_FILE ? e->size : 0;
	/* a few writers give links and directories a size without data; pax demands none either */
	t->pad = -t->left & (BLOCK - 1);
	if (e->type != TAR_FILE) {
		e->size = 0;
		e->sparse = false;
		return 1;
	}
	if (h->type == 'S')
		r = read_old_sparse(t, h, err);
	else if (t->sparse1 && e->sparse)
		r = read_sparse1(t, err);
	if (r < 0)
		return r;
	if (e->sparse) {
		uint64_t data = 0;

		e->size = t->real_size;
		for (size_t i = 0; i < e->n_map; i++)
			data += e->map[i].len;
		if (data != t->left || (e->n_map && e->map[e->n_map - 1].offset + e->map[e->n_map - 1].len > e->size))
			return err_set(err, -EINVAL, "tar: entry %.200s: the sparse map does not fit", e->path);
	}
	if (e->size > INT64_MAX)
		return err_set(err, -EINVAL, "tar: entry %.200s: size out of range", e->path);
	return 1;
}

int tar_next(struct tar *t, const struct tar_entry **ret, struct err *err)
{
	unsigned int set = 0;
	struct header h;
	int64_t size;
	int r;

	r = skip(t, t->left + t->pad, err);
	if (r < 0)
		return r;
	entry_clear(&t->e);
	t->left = t->pad = t->map_done = t->dense = t->real_size = 0;
	t->map_at = 0;
	t->has_size = t->sparse1 = false;
	if (t->ended)
		return 0;
	if (t->global.len) {
		r = pax_records(t, t->global.s, t->global.len, &set, err);
		if (r < 0)
			return r;
	}
	for (;;) {
		r = take(t, &h, BLOCK, err);
		if (r < 0)
			return r;
		if (!r || (!h.name[0] && !memcmp(&h, (char *)&h + 1, BLOCK - 1))) {
			t->ended = true;
			return 0;
		}
		if (!checksum_ok(&h))
			return err_set(err, -EINVAL, "tar: damaged header (checksum)");
		if (number(h.size, sizeof(h.size), &size) < 0 || size < 0)
			return err_set(err, -EINVAL, "tar: entry %.100s: damaged header (size)", h.name);
		if (!strchr("xgLK", h.type) || !h.type)
			break;
		r = read_extended(t, &h, (uint64_t)size, &set, err);
		if (r < 0)
			return r;
	}
	r = finish_header(t, &h, size, set, err);
	if (r > 0)
		*ret = &t->e;
	return r;
}

ssize_t tar_data(struct tar *t, const uint8_t **ret, uint64_t *ret_offset, struct err *err)
{
	uint64_t most = t->left;
	ssize_t r;
	size_t n;

	if (!t->left)
		return 0;
	if (t->e.sparse) {
		while (t->map_at < t->e.n_map && t->map_done == t->e.map[t->map_at].len) {
			t->map_at++;
			t->map_done = 0;
		}
		if (t->map_at == t->e.n_map)
			return err_set(err, -EINVAL, "tar: the sparse map does not fit");
		most = t->e.map[t->map_at].len - t->map_done;
		*ret_offset = t->e.map[t->map_at].offset + t->map_done;
	} else {
		*ret_offset = t->dense;
	}
	r = want(t, err);
	if (r <= 0)
		return r < 0 ? r : err_set(err, -EINVAL, "tar: truncated");
	n = t->n < most ? t->n : (size_t)most;
	*ret = t->p;
	t->p += n;
	t->n -= n;
	t->left -= n;
	t->dense += n;
	t->map_done += n;
	return (ssize_t)n;
}

int tar_drain(struct tar *t, struct err *err)
{
	ssize_t r;

	do {
		t->n = 0;
		r = want(t, err);
	} while (r > 0);
	return (int)r;
}
