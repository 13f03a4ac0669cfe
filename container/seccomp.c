/* SPDX-License-Identifier: Apache-2.0 */
/* Seccomp: profile to filter, filter into the kernel, listener to its agent.
 *
 * Theory: the parent compiles before clone, because libseccomp allocates and takes a millisecond; the result is a
 * plain array which the child loads with one system call as late as no_new_privs allows. In front of libseccomp's
 * program stands a short prologue: a system call with a number above every one the profile names did not exist for
 * the profile's author; libcs probe such calls and fall back on ENOSYS, but give up on EPERM. So those return
 * ENOSYS, when the default action would refuse anyway. Compiled filters are kept in a cache of fixed size (a slot
 * by hash) together with the profile they stand for, which is compared, so a collision costs time only.
 * runtime-spec config-linux.md#seccomp; kernel: userspace-api/seccomp_filter.rst.
 */
#include "container/seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "oci/config.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

#define ARCHS_MAX 32
#define X32_BIT 0x40000000U
#define CACHE_SLOTS 64
#define CACHE_FILE_MAX (1 << 20)

static const struct {
	const char *name;
	unsigned int bit;
} flag_table[] = {
	{ "SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FILTER_FLAG_TSYNC },
	{ "SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG },
	{ "SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW },
	{ "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV },
};

static const enum scmp_compare ops[OCI_OP_MAX] = {
	[OCI_OP_NE] = SCMP_CMP_NE,
	[OCI_OP_LT] = SCMP_CMP_LT,
	[OCI_OP_LE] = SCMP_CMP_LE,
	[OCI_OP_EQ] = SCMP_CMP_EQ,
	[OCI_OP_GE] = SCMP_CMP_GE,
	[OCI_OP_GT] = SCMP_CMP_GT,
	[OCI_OP_MASKED_EQ] = SCMP_CMP_MASKED_EQ,
};

static uint32_t action(enum oci_seccomp_action a, bool has_errno, uint32_t errno_ret)
{
	uint32_t data = (has_errno ? errno_ret : EPERM) & 0xffff;

	switch (a) {
	case OCI_SCMP_KILL_PROCESS:
		return SCMP_ACT_KILL_PROCESS;
	case OCI_SCMP_TRAP:
		return SCMP_ACT_TRAP;
	case OCI_SCMP_ERRNO:
		return SCMP_ACT_ERRNO(data);
	case OCI_SCMP_TRACE:
		return SCMP_ACT_TRACE(data);
	case OCI_SCMP_ALLOW:
		return SCMP_ACT_ALLOW;
	case OCI_SCMP_LOG:
		return SCMP_ACT_LOG;
	case OCI_SCMP_NOTIFY:
		return SCMP_ACT_NOTIFY;
	default:
		return SCMP_ACT_KILL_THREAD;
	}
}

/* Does the kernel know these bits? A NULL program is looked at only after the flags. */
static bool flags_known(unsigned int bits)
{
	if (bits & SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
		bits |= SECCOMP_FILTER_FLAG_NEW_LISTENER; /* means nothing alone */
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, bits, NULL) < 0 && errno == EFAULT;
}

static int read_flags(const struct oci_seccomp *p, bool notify, unsigned int *ret, struct err *err)
{
	*ret = notify ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0;
	/* where the profile says nothing: as with runc, the filter alone does not slow its processes down */
	if (!p->flags && flags_known(SECCOMP_FILTER_FLAG_SPEC_ALLOW))
		*ret |= SECCOMP_FILTER_FLAG_SPEC_ALLOW;
	for (size_t i = 0; p->flags && p->flags[i]; i++) {
		size_t k = 0;

		while (k < ARRAY_SIZE(flag_table) && strcmp(p->flags[i], flag_table[k].name))
			k++;
		if (k == ARRAY_SIZE(flag_table))
			return err_set(err, -EINVAL, "linux.seccomp.flags[%zu]: unknown seccomp flag \"%s\"", i,
				       p->flags[i]);
		if (!flags_known(flag_table[k].bit))
			return err_set(err, -EOPNOTSUPP,
				       "linux.seccomp.flags[%zu]: \"%s\" is not supported by this kernel", i,
				       p->flags[i]);
		/* about threads, and there is one; about a listener, and there is none */
		if (flag_table[k].bit == SECCOMP_FILTER_FLAG_TSYNC ||
		    (flag_table[k].bit == SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV && !notify))
			continue;
		*ret |= flag_table[k].bit;
	}
	return 0;
}

/* libseccomp's token; 0: it does not know the architecture. */
static uint32_t arch_token(const char *word)
{
	char name[32];
	size_t i;

	word += str_starts(word, "SCMP_ARCH_") ? 10 : 0;
	for (i = 0; word[i] && i < sizeof(name) - 1; i++)
		name[i] = word[i] >= 'A' && word[i] <= 'Z' ? (char)(word[i] + 32) : word[i];
	name[i] = '\0';
	return seccomp_arch_resolve_name(name);
}

static size_t collect_archs(const struct oci_seccomp *p, uint32_t ret[ARCHS_MAX])
{
	size_t n = 0;

	ret[n++] = seccomp_arch_native();
	for (char **a = p->architectures; a && *a && n < ARCHS_MAX; a++) {
		uint32_t token = arch_token(*a);
		bool have = !token;

		if (!token)
			log_debug("seccomp: libseccomp does not know %s: not this machine's", *a);
		for (size_t i = 0; i < n; i++)
			have = have || ret[i] == token;
		if (!have)
			ret[n++] = token;
	}
	return n;
}

static int add_rule(scmp_filter_ctx ctx, uint32_t act, int nr, const struct oci_seccomp_rule *rule)
{
	struct scmp_arg_cmp cmp[6];
	unsigned int count[6] = { 0 };
	bool repeated = rule->n_args > 6;
	int r = 0;

	for (size_t i = 0; i < rule->n_args; i++)
		repeated = ++count[rule->args[i].index % 6] > 1 || repeated;
	for (size_t i = 0; i < rule->n_args && r == 0; i++) {
		const struct oci_seccomp_arg *a = &rule->args[i];
		struct scmp_arg_cmp c = {
			.arg = a->index, .op = ops[a->op], .datum_a = a->value, .datum_b = a->value_two
		};

		/* two conditions on one argument cannot stand in one rule: they are alternatives then, as in runc */
		if (repeated)
			r = seccomp_rule_add_array(ctx, act, nr, 1, &c);
		else
			cmp[i] = c;
	}
	return repeated ? r : seccomp_rule_add_array(ctx, act, nr, (unsigned int)rule->n_args, cmp);
}

static int add_rules(scmp_filter_ctx ctx, const struct oci_seccomp *p, uint32_t default_action, bool *notify,
		     struct err *err)
{
	for (size_t i = 0; i < p->n_syscalls; i++) {
		const struct oci_seccomp_rule *rule = &p->syscalls[i];
		uint32_t act = action(rule->action, rule->has_errno_ret, rule->errno_ret);

		if (act == default_action)
			continue;
		for (size_t k = 0; k < rule->n_args; k++)
			if (rule->args[k].index > 5)
				return err_set(err, -EINVAL,
					       "linux.seccomp.syscalls[%zu].args[%zu].index: %u is not in 0..5", i, k,
					       rule->args[k].index);
		for (char **name = rule->names; *name; name++) {
			int nr = seccomp_syscall_resolve_name(*name);
			int r;

			if (nr == __NR_SCMP_ERROR && p->fail_unknown)
				return err_set(err, -EINVAL,
					       "linux.seccomp.syscalls[%zu]: invalid seccomp syscall `%s`", i, *name);
			if (nr == __NR_SCMP_ERROR) {
				log_debug("seccomp: unknown system call %s skipped", *name);
				continue;
			}
			if (rule->action == OCI_SCMP_NOTIFY && !strcmp(*name, "write"))
				return err_set(err, -EINVAL,
					       "linux.seccomp.syscalls[%zu]: SCMP_ACT_NOTIFY cannot be used for the "
					       "write syscall",
					       i);
			*notify = *notify || rule->action == OCI_SCMP_NOTIFY;
			r = add_rule(ctx, act, nr, rule);
			/* -EEXIST: the same rule stands there; -EDOM: no such call in one of the architectures */
			if (r < 0 && r != -EEXIST && r != -EDOM)
				return err_sys(err, r, "linux.seccomp.syscalls[%zu]: cannot add a rule for %s", i,
					       *name);
		}
	}
	return 0;
}

/* The highest number of an architecture that the profile names; -1: none. */
static long last_syscall(const struct oci_seccomp *p, uint32_t arch)
{
	long last = -1;

	for (size_t i = 0; i < p->n_syscalls; i++)
		for (char **name = p->syscalls[i].names; *name; name++) {
			int nr = seccomp_syscall_resolve_name_arch(arch, *name);

			if (nr != __NR_SCMP_ERROR && nr > last)
				last = nr;
		}
	return last;
}

/* The prologue into out (2 + 4 for each architecture at most); returns the number of instructions. */
static size_t enosys_prologue(const struct oci_seccomp *p, const uint32_t *archs, size_t n_archs,
			      struct sock_filter *out)
{
	size_t n = 0;
	bool refuses = p->default_action == OCI_SCMP_KILL || p->default_action == OCI_SCMP_KILL_PROCESS ||
		p->default_action == OCI_SCMP_KILL_THREAD || p->default_action == OCI_SCMP_ERRNO ||
		p->default_action == OCI_SCMP_TRAP;

	if (!refuses)
		return 0;
	for (size_t i = 0; i < n_archs; i++) {
		uint32_t token = archs[i] == SCMP_ARCH_X32 ? AUDIT_ARCH_X86_64 : archs[i];
		uint32_t base = archs[i] == SCMP_ARCH_X32 ? X32_BIT : 0;
		long last = last_syscall(p, archs[i]);

		if (last < 0)
			continue;
		last = base && last < (long)base ? last + (long)base : last;
		out[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
		out[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, token, 0,
							archs[i] == SCMP_ARCH_X86_64 || base ? 4 : 3);
		out[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
		/* the two ABIs of x86-64 share the architecture; a bit in the number tells them apart */
		if (archs[i] == SCMP_ARCH_X86_64)
			out[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 2, 0);
		else if (base)
			out[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 2);
		out[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, (uint32_t)last, 0, 1);
		out[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
	}
	return n;
}

/* libseccomp writes to files only (before 2.6). */
static int export_filter(scmp_filter_ctx ctx, char **ret, size_t *ret_len)
{
	cleanup_fd int fd = memfd_create("seccomp", MFD_CLOEXEC);
	int r = fd < 0 ? -errno : seccomp_export_bpf(ctx, fd);

	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	return r < 0 ? r : fd_slurp(fd, CACHE_FILE_MAX, ret, ret_len);
}

static int compile(scmp_filter_ctx ctx, const struct oci_seccomp *p, uint32_t default_action,
		   struct seccomp_filter *ret, struct err *err)
{
	struct sock_filter prologue[ARCHS_MAX * 6];
	uint32_t archs[ARCHS_MAX];
	size_t n_archs = collect_archs(p, archs), n, len;
	cleanup_free char *body = NULL;
	int r = 0;

	for (size_t i = 1; i < n_archs && r == 0; i++) {
		r = seccomp_arch_add(ctx, archs[i]);
		r = r == -EEXIST ? 0 : r;
	}
	if (r < 0)
		return err_sys(err, r, "linux.seccomp.architectures");
	/* a binary search over the numbers instead of a list; unknown before 2.5 */
	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	r = add_rules(ctx, p, default_action, &ret->notify, err);
	if (r < 0)
		return r;
	if (ret->notify && str_empty(p->listener_path))
		return err_set(err, -EINVAL, "linux.seccomp.listenerPath: required with SCMP_ACT_NOTIFY");
	r = read_flags(p, ret->notify, &ret->flags, err);
	if (r < 0)
		return r;
	r = export_filter(ctx, &body, &len);
	if (r < 0)
		return err_sys(err, r, "linux.seccomp: cannot make the filter");
	n = enosys_prologue(p, archs, n_archs, prologue);
	ret->len = n * sizeof(*prologue) + len;
	if (ret->len / sizeof(*prologue) > BPF_MAXINSNS)
		return err_set(err, -E2BIG, "linux.seccomp: the filter has %zu instructions, the kernel takes %d",
			       ret->len / sizeof(*prologue), BPF_MAXINSNS);
	ret->bpf = xmalloc(ret->len);
	memcpy(ret->bpf, prologue, n * sizeof(*prologue));
	memcpy((char *)ret->bpf + n * sizeof(*prologue), body, len);
	return 0;
}

int seccomp_compile(const struct oci_seccomp *p, struct seccomp_filter *ret, struct err *err)
{
	uint32_t default_action = action(p->default_action, p->has_default_errno_ret, p->default_errno_ret);
	scmp_filter_ctx ctx;
	int r;

	*ret = (struct seccomp_filter){ 0 };
	if (p->default_action == OCI_SCMP_NOTIFY)
		return err_set(err, -EINVAL,
			       "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be used as default action");
	ctx = seccomp_init(default_action);
	if (!ctx)
		return err_set(err, -EINVAL, "linux.seccomp.defaultAction: %s is not supported here",
			       oci_seccomp_action_name(p->default_action));
	r = compile(ctx, p, default_action, ret, err);
	seccomp_release(ctx);
	if (r < 0)
		seccomp_filter_free(ret);
	return r;
}

void seccomp_filter_free(struct seccomp_filter *f)
{
	free(f->bpf);
	*f = (struct seccomp_filter){ 0 };
}

/* Everything the result depends on, as bytes to compare. */
static void cache_key(const struct oci_seccomp *p, struct str *key)
{
	str_addf(key, "amphi-seccomp-2\n%s %x\n%d %d %u %d %d\n", seccomp_library_version(), seccomp_arch_native(),
		 p->default_action, p->has_default_errno_ret, p->default_errno_ret, !str_empty(p->listener_path),
		 p->fail_unknown);
	for (char **s = p->architectures; s && *s; s++)
		str_addf(key, "%s ", *s);
	str_addc(key, '\n');
	str_add(key, p->flags ? "flags " : "no flags ");
	for (char **s = p->flags; s && *s; s++)
		str_addf(key, "%s ", *s);
	for (size_t i = 0; i < p->n_syscalls; i++) {
		const struct oci_seccomp_rule *rule = &p->syscalls[i];

		str_addf(key, "\n%d %d %u", rule->action, rule->has_errno_ret, rule->errno_ret);
		for (size_t k = 0; k < rule->n_args; k++)
			str_addf(key, " %u:%d:%llx:%llx", rule->args[k].index, rule->args[k].op,
				 (unsigned long long)rule->args[k].value, (unsigned long long)rule->args[k].value_two);
		for (char **name = rule->names; *name; name++) {
			str_addc(key, ' ');
			str_add(key, *name);
		}
	}
	str_addc(key, '\n');
}

struct cache_header {
	uint32_t key_len, flags, notify, bpf_len;
};

static bool cache_read(int dirfd, const char *name, const struct str *key, struct seccomp_filter *ret)
{
	cleanup_fd int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	cleanup_free char *buf = NULL;
	struct cache_header h;
	struct stat st;
	size_t len;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022))
		return false;
	if (fd_slurp(fd, CACHE_FILE_MAX, &buf, &len) < 0 || len < sizeof(h))
		return false;
	memcpy(&h, buf, sizeof(h));
	if (h.key_len != key->len || h.bpf_len == 0 || h.bpf_len % sizeof(struct sock_filter) ||
	    len != sizeof(h) + (size_t)h.key_len + h.bpf_len || memcmp(buf + sizeof(h), key->s, key->len))
		return false;
	*ret = (struct seccomp_filter){
		.bpf = xmalloc(h.bpf_len), .len = h.bpf_len, .flags = h.flags, .notify = h.notify
	};
	memcpy(ret->bpf, buf + sizeof(h) + h.key_len, h.bpf_len);
	return true;
}

/* runc's words: its tests read them. */
static int tell_flags(const struct seccomp_filter *f)
{
	log_debug("seccomp filter flags: %u", f->flags);
	return 0;
}

int seccomp_compile_cached(int dirfd, const struct oci_seccomp *p, struct seccomp_filter *ret, struct err *err)
{
	cleanup_str struct str key = { 0 }, file = { 0 };
	uint64_t hash = 14695981039346656037ULL;
	char name[32];
	int r;

	if (dirfd < 0) {
		r = seccomp_compile(p, ret, err);
		return r < 0 ? r : tell_flags(ret);
	}
	cache_key(p, &key);
	for (size_t i = 0; i < key.len; i++)
		hash = (hash ^ (unsigned char)key.s[i]) * 1099511628211ULL;
	snprintf(name, sizeof(name), "seccomp-%02u", (unsigned int)((hash ^ (hash >> 32)) % CACHE_SLOTS));
	if (cache_read(dirfd, name, &key, ret))
		return tell_flags(ret);
	r = seccomp_compile(p, ret, err);
	if (r < 0)
		return r;
	struct cache_header h = { (uint32_t)key.len, ret->flags, ret->notify, (uint32_t)ret->len };

	str_addn(&file, &h, sizeof(h));
	str_addn(&file, key.s, key.len);
	str_addn(&file, ret->bpf, ret->len);
	r = path_write_atomic(dirfd, name, file.s, file.len, 0600);
	if (r < 0)
		log_debug("seccomp: cache: %s", strerror(-r));
	return tell_flags(ret);
}

int seccomp_install(const struct seccomp_filter *f, struct err *err)
{
	struct sock_fprog prog = { .len = (unsigned short)(f->len / sizeof(struct sock_filter)), .filter = f->bpf };
	int r = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, f->flags, &prog);

	if (r < 0)
		return err_sys(err, -errno, "linux.seccomp: cannot load the filter");
	return f->notify ? r : 0;
}

int seccomp_notify_send(const struct oci_seccomp *p, const char *state_json, pid_t pid, int listener, struct err *err)
{
	struct json_writer w = { 0 };
	cleanup_json_doc struct json_doc *state = json_parse(state_json, strlen(state_json), "state", err);
	cleanup_free char *text = NULL;
	cleanup_fd int sock = -1;
	int r;

	if (!state)
		return err_wrap(err, "linux.seccomp");
	sock = fd_unix_connect(p->listener_path);
	if (sock < 0)
		return err_sys(err, sock, "linux.seccomp.listenerPath: failed to connect with seccomp agent at %s",
			       p->listener_path);
	json_w_object(&w, NULL);
	json_w_string(&w, "ociVersion", OCI_VERSION);
	json_w_array(&w, "fds");
	json_w_string(&w, NULL, "seccompFd");
	json_w_array_end(&w);
	json_w_i64(&w, "pid", pid);
	if (p->listener_metadata)
		json_w_string(&w, "metadata", p->listener_metadata);
	json_w_value(&w, "state", json_root(state));
	json_w_object_end(&w);
	text = json_w_steal(&w);
	r = fd_send(sock, text, strlen(text), &listener, 1);
	return r < 0 ? err_sys(err, r, "linux.seccomp.listenerPath: cannot send to %s", p->listener_path) : 0;
}

/* "version" would be libseccomp's own name. */
const char *seccomp_library_version(void)
{
	static char text[32];
	const struct scmp_version *v = seccomp_version();

	snprintf(text, sizeof(text), "%u.%u.%u", v->major, v->minor, v->micro);
	return text;
}

const char *const *seccomp_actions(void)
{
	static const char *const words[] = {
		"SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO",  "SCMP_ACT_KILL",  "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD",
		"SCMP_ACT_LOG",   "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP",         NULL
	};

	return words;
}

const char *const *seccomp_operators(void)
{
	static const char *const words[] = { "SCMP_CMP_EQ", "SCMP_CMP_GE",        "SCMP_CMP_GT", "SCMP_CMP_LE",
					     "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE", NULL };

	return words;
}

const char *const *seccomp_archs(void)
{
	static const char *const all[] = { "SCMP_ARCH_AARCH64",     "SCMP_ARCH_ARM",    "SCMP_ARCH_LOONGARCH64",
					   "SCMP_ARCH_M68K",        "SCMP_ARCH_MIPS",   "SCMP_ARCH_MIPS64",
					   "SCMP_ARCH_MIPS64N32",   "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64",
					   "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PARISC", "SCMP_ARCH_PARISC64",
					   "SCMP_ARCH_PPC",         "SCMP_ARCH_PPC64",  "SCMP_ARCH_PPC64LE",
					   "SCMP_ARCH_RISCV64",     "SCMP_ARCH_S390",   "SCMP_ARCH_S390X",
					   "SCMP_ARCH_SH",          "SCMP_ARCH_SHEB",   "SCMP_ARCH_X32",
					   "SCMP_ARCH_X86",         "SCMP_ARCH_X86_64" };
	static const char *known[ARRAY_SIZE(all) + 1];
	size_t n = 0;

	/* what the linked library can make filters for */
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (arch_token(all[i]))
			known[n++] = all[i];
	known[n] = NULL;
	return known;
}

const char *const *seccomp_known_flags(void)
{
	static const char *words[ARRAY_SIZE(flag_table) + 1];

	for (size_t i = 0; i < ARRAY_SIZE(flag_table); i++)
		words[i] = flag_table[i].name;
	return words;
}

size_t seccomp_supported_flags(const char *ret[8])
{
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(flag_table); i++)
		if (flags_known(flag_table[i].bit))
			ret[n++] = flag_table[i].name;
	ret[n] = NULL;
	return n;
}
