/* SPDX-License-Identifier: Apache-2.0 */
/* Device rules of a container, on both cgroup versions.
 *
 * Theory: the config's list is ordered and the last match wins, for each access bit (read, write, mknod) alone. It
 * stands between a "deny all" in front and the rules for nodes that every container has behind (null, zero, full,
 * random, urandom, tty, ptmx, pts, tun, and mknod of anything).
 *
 * v2: a program of type CGROUP_DEVICE walks the list from its end. R3 holds the bits not yet decided: a deny rule
 * that has one of them denies, an allow rule takes its bits away and allows when none is left. The walk ends at a
 * rule that matches everything, as the verifier wants no dead code. Programs attached earlier are detached after the
 * new one is in place, so an update is never open in between.
 *
 * v1: the kernel keeps one default and a list of exceptions to it. The rules are folded into that form; what has
 * no such form (denying part of an allowed range) is refused. Kernel: bpf-cgroup, cgroup-v1/devices.rst.
 */
#include "container/cgroup_device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "container/cgroup_dir.h"

#define ACC_ALL (BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE)
#define ANY (-1)
#define PROGRAMS_MAX 64

#define DEV(t, maj, min) \
	{ \
		.allow = true, .type = t, .has_major = (maj) != ANY, .major = maj, .has_minor = (min) != ANY, \
		.minor = min, .r = true, .w = true, .m = true \
	}

static const struct oci_device_rule builtin[] = {
	{ .allow = true, .type = 'c', .m = true },
	{ .allow = true, .type = 'b', .m = true },
	DEV('c', 1, 3),     /* null */
	DEV('c', 1, 5),     /* zero */
	DEV('c', 1, 7),     /* full */
	DEV('c', 1, 8),     /* random */
	DEV('c', 1, 9),     /* urandom */
	DEV('c', 5, 0),     /* tty */
	DEV('c', 5, 1),     /* console */
	DEV('c', 5, 2),     /* ptmx */
	DEV('c', 136, ANY), /* pts */
	DEV('c', 10, 200),  /* net/tun */
};

void cgroup_device_rules(const struct oci_resources *r, struct cgroup_device_rules *ret)
{
	size_t n = r ? r->n_devices : 0;

	ret->n = 1 + n + ARRAY_SIZE(builtin);
	ret->v = xcalloc(ret->n, sizeof(*ret->v));
	ret->v[0] = (struct oci_device_rule){ .type = 'a', .r = true, .w = true, .m = true };
	if (n)
		memcpy(ret->v + 1, r->devices, n * sizeof(*ret->v));
	memcpy(ret->v + 1 + n, builtin, sizeof(builtin));
}

void cgroup_device_free(struct cgroup_device_rules *rules)
{
	free(rules->v);
	*rules = (struct cgroup_device_rules){ 0 };
}

static int access_bits(const struct oci_device_rule *d)
{
	int bits =
		(d->r ? BPF_DEVCG_ACC_READ : 0) | (d->w ? BPF_DEVCG_ACC_WRITE : 0) | (d->m ? BPF_DEVCG_ACC_MKNOD : 0);

	return bits ? bits : ACC_ALL;
}

bool cgroup_device_allowed(const struct cgroup_device_rules *rules, char type, int64_t major, int64_t minor, bool r,
			   bool w, bool m)
{
	int open = (r ? BPF_DEVCG_ACC_READ : 0) | (w ? BPF_DEVCG_ACC_WRITE : 0) | (m ? BPF_DEVCG_ACC_MKNOD : 0);

	for (size_t i = rules->n; i-- > 0;) {
		const struct oci_device_rule *d = &rules->v[i];

		if ((d->type != 'a' && d->type != type) || (d->has_major && d->major != major) ||
		    (d->has_minor && d->minor != minor))
			continue;
		if (!d->allow && (open & access_bits(d)))
			return false;
		if (d->allow)
			open &= ~access_bits(d);
		if (!open)
			return true;
	}
	return false;
}

/* Instructions; R2 type, R3 open bits, R4 major, R5 minor. */
static struct bpf_insn alu(int op, int dst, int src_reg, int imm)
{
	return (struct bpf_insn){
		.code = BPF_ALU | op | (src_reg ? BPF_X : BPF_K), .dst_reg = dst, .src_reg = src_reg, .imm = imm
	};
}

static struct bpf_insn load(int dst, size_t off)
{
	return (struct bpf_insn){
		.code = BPF_LDX | BPF_W | BPF_MEM, .dst_reg = dst, .src_reg = BPF_REG_1, .off = (short)off
	};
}

static struct bpf_insn jump(int op, int reg, int imm)
{
	return (struct bpf_insn){ .code = BPF_JMP | op | BPF_K, .dst_reg = reg, .imm = imm };
}

struct program {
	struct bpf_insn *v;
	size_t n;
};

static void emit(struct program *p, struct bpf_insn i)
{
	p->v = xreallocarray(p->v, p->n + 1, sizeof(*p->v));
	p->v[p->n++] = i;
}

static void emit_return(struct program *p, int value)
{
	emit(p, alu(BPF_MOV, BPF_REG_0, 0, value));
	emit(p, (struct bpf_insn){ .code = BPF_JMP | BPF_EXIT });
}

/* One rule; jumps marked with offset 0 go behind it. Returns true when nothing passes it. */
static bool emit_rule(struct program *p, const struct oci_device_rule *d)
{
	int bits = access_bits(d);
	size_t start = p->n;

	if (d->type != 'a')
		emit(p, jump(BPF_JNE, BPF_REG_2, d->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR));
	if (d->has_major)
		emit(p, jump(BPF_JNE, BPF_REG_4, (int)d->major));
	if (d->has_minor)
		emit(p, jump(BPF_JNE, BPF_REG_5, (int)d->minor));
	if (d->allow && bits != ACC_ALL) {
		emit(p, alu(BPF_AND, BPF_REG_3, 0, ACC_ALL & ~bits));
		emit(p, jump(BPF_JNE, BPF_REG_3, 0));
	} else if (bits != ACC_ALL) {
		struct bpf_insn has = jump(BPF_JSET, BPF_REG_3, bits);

		has.off = 1;
		emit(p, has);
		emit(p, (struct bpf_insn){ .code = BPF_JMP | BPF_JA });
	}
	bool total = p->n == start;

	emit_return(p, d->allow);
	for (size_t i = start; i < p->n - 2; i++)
		if (!p->v[i].off && BPF_CLASS(p->v[i].code) == BPF_JMP)
			p->v[i].off = (short)(p->n - i - 1);
	return total;
}

void cgroup_device_compile(const struct cgroup_device_rules *rules, struct bpf_insn **ret_insns, size_t *ret_n)
{
	struct program p = { 0 };
	bool total = false;

	emit(&p, load(BPF_REG_2, offsetof(struct bpf_cgroup_dev_ctx, access_type)));
	emit(&p, alu(BPF_MOV, BPF_REG_3, BPF_REG_2, 0));
	emit(&p, alu(BPF_AND, BPF_REG_2, 0, 0xffff));
	emit(&p, alu(BPF_RSH, BPF_REG_3, 0, 16));
	emit(&p, load(BPF_REG_4, offsetof(struct bpf_cgroup_dev_ctx, major)));
	emit(&p, load(BPF_REG_5, offsetof(struct bpf_cgroup_dev_ctx, minor)));
	for (size_t i = rules->n; i-- > 0 && !total;)
		total = emit_rule(&p, &rules->v[i]);
	if (!total)
		emit_return(&p, 0);
	*ret_insns = p.v;
	*ret_n = p.n;
}

static int bpf(int cmd, union bpf_attr *attr)
{
	int r = (int)syscall(SYS_bpf, cmd, attr, sizeof(*attr));

	return r < 0 ? -errno : r;
}

static int load_program(const struct cgroup_device_rules *rules)
{
	cleanup_free struct bpf_insn *insns = NULL;
	union bpf_attr attr = { .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE };
	size_t n;

	cgroup_device_compile(rules, &insns, &n);
	attr.insns = (uintptr_t)insns;
	attr.insn_cnt = (unsigned int)n;
	attr.license = (uintptr_t) "Apache-2.0";
	return bpf(BPF_PROG_LOAD, &attr);
}

int cgroup_device_attach(struct cgroup_dir *d, const struct cgroup_device_rules *rules, struct err *err)
{
	unsigned int ids[PROGRAMS_MAX];
	union bpf_attr query = { .query = { .attach_type = BPF_CGROUP_DEVICE } };
	union bpf_attr attach = { .attach_type = BPF_CGROUP_DEVICE, .attach_flags = BPF_F_ALLOW_MULTI };
	cleanup_fd int dir = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int prog = -1;
	unsigned int old = 0;
	int r;

	if (dir < 0)
		return err_sys(err, -errno, "cgroup: %s", d->path);
	query.query.target_fd = (unsigned int)dir;
	query.query.prog_ids = (uintptr_t)ids;
	query.query.prog_cnt = PROGRAMS_MAX;
	if (bpf(BPF_PROG_QUERY, &query) == 0)
		old = query.query.prog_cnt;
	prog = load_program(rules);
	if (prog < 0)
		return err_sys(err, prog, "cgroup: cannot load the device program");
	attach.target_fd = (unsigned int)dir;
	attach.attach_bpf_fd = (unsigned int)prog;
	r = bpf(BPF_PROG_ATTACH, &attach);
	if (r < 0)
		return err_sys(err, r, "cgroup: cannot attach the device program to %s", d->path);
	for (unsigned int i = 0; i < old; i++) {
		union bpf_attr get = { .prog_id = ids[i] };
		cleanup_fd int fd = bpf(BPF_PROG_GET_FD_BY_ID, &get);
		union bpf_attr detach = { .target_fd = (unsigned int)dir,
					  .attach_bpf_fd = (unsigned int)fd,
					  .attach_type = BPF_CGROUP_DEVICE };

		r = fd < 0 ? fd : bpf(BPF_PROG_DETACH, &detach);
		if (r < 0 && r != -ENOENT)
			return err_sys(err, r, "cgroup: cannot detach an older device program from %s", d->path);
	}
	return 0;
}

/* v1: one default, and exceptions each for one kind, numbers (ANY) and bits. */
struct exception {
	char type;
	int64_t major, minor;
	int bits;
};

struct folded {
	bool allow; /* the default */
	struct exception *v;
	size_t n;
};

static bool overlaps(const struct exception *a, const struct exception *b)
{
	return a->type == b->type && (a->major == ANY || b->major == ANY || a->major == b->major) &&
		(a->minor == ANY || b->minor == ANY || a->minor == b->minor) && (a->bits & b->bits);
}

static bool same(const struct exception *a, const struct exception *b)
{
	return a->type == b->type && a->major == b->major && a->minor == b->minor;
}

static bool covers(const struct exception *a, const struct exception *b)
{
	return a->type == b->type && (a->major == ANY || a->major == b->major) &&
		(a->minor == ANY || a->minor == b->minor) && !(b->bits & ~a->bits);
}

/* Adds an exception, or takes one away (rule agrees with the default). -EOPNOTSUPP where that leaves a hole. */
static int fold_one(struct folded *f, bool allow, struct exception e)
{
	struct exception *same_one = NULL;

	for (size_t i = 0; i < f->n; i++)
		if (same(&f->v[i], &e))
			same_one = &f->v[i];
	if (allow != f->allow) {
		if (same_one) {
			same_one->bits |= e.bits;
			return 0;
		}
		f->v = xreallocarray(f->v, f->n + 1, sizeof(*f->v));
		f->v[f->n++] = e;
		return 0;
	}
	for (size_t i = 0; i < f->n; i++) {
		struct exception *x = &f->v[i];

		if (!overlaps(x, &e))
			continue;
		if (!covers(&(struct exception){ e.type, e.major, e.minor, ACC_ALL },
			    &(struct exception){ x->type, x->major, x->minor, ACC_ALL }))
			return -EOPNOTSUPP;
		x->bits &= ~e.bits;
	}
	return 0;
}

static int fold(const struct cgroup_device_rules *rules, struct folded *f, struct err *err)
{
	*f = (struct folded){ .allow = true };
	for (size_t i = 0; i < rules->n; i++) {
		const struct oci_device_rule *d = &rules->v[i];
		struct exception e = { d->type, d->has_major ? d->major : ANY, d->has_minor ? d->minor : ANY,
				       access_bits(d) };
		int r;

		if (d->type == 'a' && e.major == ANY && e.minor == ANY && e.bits == ACC_ALL) {
			f->allow = d->allow;
			f->n = 0;
			continue;
		}
		e.type = d->type == 'a' ? 'c' : d->type;
		r = fold_one(f, d->allow, e);
		if (r == 0 && d->type == 'a') {
			e.type = 'b';
			r = fold_one(f, d->allow, e);
		}
		if (r < 0)
			return err_set(
				err, r,
				"linux.resources.devices[%zu]: cgroup v1 cannot %s a part of what a wider rule %s",
				i - 1, d->allow ? "allow" : "deny", d->allow ? "denied" : "allowed");
	}
	return 0;
}

int cgroup_device_check_v1(const struct cgroup_device_rules *rules, struct err *err)
{
	struct folded f;
	int r = fold(rules, &f, err);

	free(f.v);
	return r;
}

static int write_exception(struct cgroup_dir *d, const char *file, const struct exception *e, struct err *err)
{
	char major[24] = "*", minor[24] = "*", text[64];
	int r;

	if (e->major != ANY)
		snprintf(major, sizeof(major), "%lld", (long long)e->major);
	if (e->minor != ANY)
		snprintf(minor, sizeof(minor), "%lld", (long long)e->minor);
	snprintf(text, sizeof(text), "%c %s:%s %s%s%s", e->type, major, minor, e->bits & BPF_DEVCG_ACC_READ ? "r" : "",
		 e->bits & BPF_DEVCG_ACC_WRITE ? "w" : "", e->bits & BPF_DEVCG_ACC_MKNOD ? "m" : "");
	r = fd_write_file_at(d->fd, file, text);
	return r < 0 ? err_sys(err, r, "linux.resources.devices: cannot write \"%s\" to %s/%s", text, d->path, file) :
		       0;
}

static bool parse_exception(const char *line, struct exception *ret)
{
	char major[16], minor[16], access[8];

	if (sscanf(line, "%c %15[^:]:%15s %7s", &ret->type, major, minor, access) != 4)
		return false;
	ret->major = *major == '*' ? ANY : atoll(major);
	ret->minor = *minor == '*' ? ANY : atoll(minor);
	ret->bits = (strchr(access, 'r') ? BPF_DEVCG_ACC_READ : 0) | (strchr(access, 'w') ? BPF_DEVCG_ACC_WRITE : 0) |
		(strchr(access, 'm') ? BPF_DEVCG_ACC_MKNOD : 0);
	return true;
}

/* Denies what devices.list allows and the rules do not. */
static int deny_surplus(struct cgroup_dir *d, const char *list, const struct folded *f, struct err *err)
{
	cleanup_strv char **lines = strv_split(list, '\n');

	for (char **l = lines; *l; l++) {
		struct exception e;

		if (!parse_exception(*l, &e) || e.type == 'a')
			continue;
		for (size_t i = 0; i < f->n; i++)
			if (same(&f->v[i], &e))
				e.bits &= ~f->v[i].bits;
		int r = e.bits ? write_exception(d, "devices.deny", &e, err) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}

int cgroup_device_write_v1(struct cgroup_dir *d, const struct cgroup_device_rules *rules, struct err *err)
{
	cleanup_free char *list = NULL;
	struct folded f = { 0 };
	int r = fold(rules, &f, err);

	if (r == 0 && (r = cgroup_dir_open(d)) == 0)
		r = cgroup_dir_read(d, "devices.list", &list);
	if (r < 0) {
		free(f.v);
		return err && err->code ? err->code : err_sys(err, r, "cgroup: %s/devices.list", d->path);
	}
	if (f.allow || str_starts(list, "a ")) {
		r = fd_write_file_at(d->fd, f.allow ? "devices.allow" : "devices.deny", "a");
		if (r < 0)
			err_sys(err, r, "linux.resources.devices: cannot write \"a\" to %s/devices.%s", d->path,
				f.allow ? "allow" : "deny");
	}
	for (size_t i = 0; r == 0 && i < f.n; i++)
		if (f.v[i].bits)
			r = write_exception(d, f.allow ? "devices.deny" : "devices.allow", &f.v[i], err);
	if (r == 0 && !f.allow && !str_starts(list, "a "))
		r = deny_surplus(d, list, &f, err);
	free(f.v);
	return r;
}
