/* SPDX-License-Identifier: Apache-2.0 */
/* The process object of config.json and process.json: read, written, copied. */
/*
 * Reading turns words into the kernel's numbers and leaves what needs a second field to oci_process_check().
 * Writing is the inverse, so that a process changed by exec's options can travel to a guest; copying is writing
 * and reading back. runtime-spec config.md#process.
 */
#include <string.h>

#include "base/str.h"
#include "oci/config_read.h"

static const char *const sched_policies[] = {
	[0] = "SCHED_OTHER", [1] = "SCHED_FIFO", [2] = "SCHED_RR",       [3] = "SCHED_BATCH",
	[4] = "SCHED_ISO",   [5] = "SCHED_IDLE", [6] = "SCHED_DEADLINE",
};

static const char *const sched_flags[] = {
	"SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM",        "SCHED_FLAG_DL_OVERRUN",     "SCHED_FLAG_KEEP_POLICY",
	"SCHED_FLAG_KEEP_PARAMS",   "SCHED_FLAG_UTIL_CLAMP_MIN", "SCHED_FLAG_UTIL_CLAMP_MAX",
};

static const char *const ioprio_classes[] = {
	[OCI_IOPRIO_NONE] = NULL, /* no word of the spec */
	[OCI_IOPRIO_RT] = "IOPRIO_CLASS_RT",
	[OCI_IOPRIO_BE] = "IOPRIO_CLASS_BE",
	[OCI_IOPRIO_IDLE] = "IOPRIO_CLASS_IDLE",
};

static int read_capability_set(const struct json *obj, const char *key, uint64_t *mask, char ***unknown,
			       struct err *err)
{
	const struct json *list;
	int r = json_opt_array(obj, key, &list, err);

	if (r <= 0)
		return r;
	json_for_each(v, list) {
		const char *name;
		int cap;

		OCI_TRY(json_string(v, &name, err));
		cap = str_starts(name, "CAP_") ? oci_capability_number(name) : -1;
		if (cap >= 0)
			*mask |= 1ULL << cap;
		else if (!strv_has(*unknown, name))
			strv_add(unknown, name);
	}
	return 1;
}

static int read_capabilities(const struct json *proc, struct oci_process *p, struct err *err)
{
	struct oci_capabilities *c = &p->capabilities;
	const struct json *v;
	int r = json_opt_object(proc, "capabilities", &v, err);

	if (r <= 0)
		return r;
	p->has_capabilities = true;
	OCI_TRY(read_capability_set(v, "bounding", &c->bounding, &c->unknown, err));
	OCI_TRY(read_capability_set(v, "effective", &c->effective, &c->unknown, err));
	OCI_TRY(read_capability_set(v, "inheritable", &c->inheritable, &c->unknown, err));
	OCI_TRY(read_capability_set(v, "permitted", &c->permitted, &c->unknown, err));
	return read_capability_set(v, "ambient", &c->ambient, &c->unknown, err);
}

static int read_rlimit(const struct json *v, void *slot, struct err *err)
{
	struct oci_rlimit *l = slot;
	const struct json *f;
	const char *name;

	OCI_TRY(json_want(v, JSON_OBJECT, err));
	OCI_TRY(oci_req(v, "type", &f, err));
	OCI_TRY(json_string(f, &name, err));
	l->resource = oci_rlimit_number(name);
	if (l->resource < 0)
		return json_error(f, err, "invalid rlimit type: %.100s", name);
	OCI_TRY(oci_req(v, "soft", &f, err));
	OCI_TRY(json_u64(f, &l->soft, err));
	OCI_TRY(oci_req(v, "hard", &f, err));
	return json_u64(f, &l->hard, err);
}

/* An unknown word is told in runc's words, another type by its path alone as everywhere. */
static int bad_word(const struct json *v, const char *what, struct err *err)
{
	return v->type == JSON_STRING ? err_wrap(err, "%s", what) : -EINVAL;
}

static int read_scheduler(const struct json *proc, struct oci_process *p, struct err *err)
{
	struct oci_scheduler *s = &p->scheduler;
	const struct json *v, *f, *flags;
	int r = json_opt_object(proc, "scheduler", &v, err);

	if (r <= 0)
		return r;
	p->has_scheduler = true;
	OCI_TRY(oci_req(v, "policy", &f, err));
	if (oci_read_word(f, sched_policies, ARRAY_SIZE(sched_policies), &s->policy, err) < 0)
		return bad_word(f, "invalid scheduler policy", err);
	OCI_TRY(json_opt_i32(v, "nice", &s->nice, err));
	OCI_TRY(json_opt_i32(v, "priority", &s->priority, err));
	OCI_TRY(oci_opt_u64(v, "runtime", &s->has_runtime, &s->runtime, err));
	OCI_TRY(oci_opt_u64(v, "deadline", &s->has_deadline, &s->deadline, err));
	OCI_TRY(json_opt_u64(v, "period", &s->period, err));
	r = json_opt_array(v, "flags", &flags, err);
	if (r <= 0)
		return r;
	json_for_each(w, flags) {
		int bit;

		if (oci_read_word(w, sched_flags, ARRAY_SIZE(sched_flags), &bit, err) < 0)
			return bad_word(w, "invalid scheduler flag", err);
		s->flags |= 1ULL << bit;
	}
	return 1;
}

static int read_io_priority(const struct json *proc, struct oci_process *p, struct err *err)
{
	const struct json *v, *f;
	int class, r = json_opt_object(proc, "ioPriority", &v, err);

	if (r <= 0)
		return r;
	p->has_io_priority = true;
	OCI_TRY(oci_req(v, "class", &f, err));
	if (oci_read_word(f, ioprio_classes, ARRAY_SIZE(ioprio_classes), &class, err) < 0)
		return bad_word(f, "invalid ioPriority.Class", err);
	p->io_priority_class = (enum oci_ioprio_class) class;
	r = json_opt_i32(v, "priority", &p->io_priority, err);
	if (r > 0 && (p->io_priority < 0 || p->io_priority > 7))
		return json_error(json_get(v, "priority"), err, "must be between 0 and 7");
	return r;
}

static int read_user(const struct json *proc, struct oci_user *u, struct err *err)
{
	const struct json *v;
	int r = json_opt_object(proc, "user", &v, err);

	if (r <= 0)
		return r;
	OCI_TRY(json_opt_u32(v, "uid", &u->uid, err));
	OCI_TRY(json_opt_u32(v, "gid", &u->gid, err));
	OCI_TRY(oci_opt_u32(v, "umask", &u->has_umask, &u->umask, err));
	if (u->umask > 0777)
		return json_error(json_get(v, "umask"), err, "must not be larger than 511 (octal 777)");
	return oci_read_array(v, "additionalGids", sizeof(uint32_t), oci_read_u32, &u->additional_gids,
			      &u->n_additional_gids, err);
}

int oci_process_read(const struct json *v, struct oci_process *p, struct err *err)
{
	const struct json *o;
	int r;

	OCI_TRY(json_want(v, JSON_OBJECT, err));
	OCI_TRY(json_opt_bool(v, "terminal", &p->terminal, err));
	r = json_opt_object(v, "consoleSize", &o, err);
	if (r < 0)
		return r;
	if (r > 0) {
		p->has_console_size = true;
		OCI_TRY(json_opt_u32(o, "height", &p->console_height, err));
		OCI_TRY(json_opt_u32(o, "width", &p->console_width, err));
		if (p->console_height > UINT16_MAX || p->console_width > UINT16_MAX)
			return json_error(o, err, "a terminal has at most 65535 rows and columns");
	}
	OCI_TRY(json_opt_string(v, "cwd", &p->cwd, err));
	OCI_TRY(json_opt_strv(v, "env", &p->env, err));
	OCI_TRY(json_opt_strv(v, "args", &p->args, err));
	OCI_TRY(read_user(v, &p->user, err));
	OCI_TRY(oci_read_array(v, "rlimits", sizeof(*p->rlimits), read_rlimit, &p->rlimits, &p->n_rlimits, err));
	OCI_TRY(read_capabilities(v, p, err));
	OCI_TRY(json_opt_bool(v, "noNewPrivileges", &p->no_new_privileges, err));
	OCI_TRY(json_opt_string(v, "apparmorProfile", &p->apparmor_profile, err));
	OCI_TRY(json_opt_string(v, "selinuxLabel", &p->selinux_label, err));
	OCI_TRY(oci_opt_i32(v, "oomScoreAdj", &p->has_oom_score_adj, &p->oom_score_adj, err));
	if (p->oom_score_adj < -1000 || p->oom_score_adj > 1000)
		return json_error(json_get(v, "oomScoreAdj"), err, "must be between -1000 and 1000");
	OCI_TRY(read_scheduler(v, p, err));
	OCI_TRY(read_io_priority(v, p, err));
	r = json_opt_object(v, "execCPUAffinity", &o, err);
	if (r <= 0)
		return r;
	OCI_TRY(json_opt_string(o, "initial", &p->exec_cpu_affinity_initial, err));
	return json_opt_string(o, "final", &p->exec_cpu_affinity_final, err);
}

void oci_process_clear(struct oci_process *p)
{
	free(p->cwd);
	strv_free(p->env);
	strv_free(p->args);
	free(p->user.additional_gids);
	free(p->rlimits);
	strv_free(p->capabilities.unknown);
	free(p->apparmor_profile);
	free(p->selinux_label);
	free(p->exec_cpu_affinity_initial);
	free(p->exec_cpu_affinity_final);
	memset(p, 0, sizeof(*p));
}

void oci_process_free(struct oci_process *p)
{
	if (!p)
		return;
	oci_process_clear(p);
	free(p);
}

int oci_process_parse(const char *buf, size_t len, struct oci_process **ret, struct err *err)
{
	cleanup_json_doc struct json_doc *doc = json_parse(buf, len, "process", err);
	struct oci_process *p;
	int r;

	if (!doc)
		return -EINVAL;
	OCI_TRY(oci_want_root(doc, "process", err));
	p = xcalloc(1, sizeof(*p));
	r = oci_process_read(json_root(doc), p, err);
	r = r < 0 ? oci_below("process", err) : oci_process_check(p, "process", err);
	if (r < 0) {
		oci_process_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

static void write_capability_set(struct json_writer *w, const char *key, uint64_t mask)
{
	json_w_array(w, key);
	for (int i = 0; i <= OCI_CAP_LAST; i++)
		if (mask & (1ULL << i))
			json_w_string(w, NULL, oci_capability_name(i));
	json_w_array_end(w);
}

static void write_opt(struct json_writer *w, const char *key, const char *s)
{
	if (s)
		json_w_string(w, key, s);
}

static void write_scheduler(struct json_writer *w, const struct oci_scheduler *s)
{
	json_w_object(w, "scheduler");
	json_w_string(w, "policy", sched_policies[s->policy]);
	json_w_i64(w, "nice", s->nice);
	json_w_i64(w, "priority", s->priority);
	if (s->has_runtime)
		json_w_u64(w, "runtime", s->runtime);
	if (s->has_deadline)
		json_w_u64(w, "deadline", s->deadline);
	json_w_u64(w, "period", s->period);
	json_w_array(w, "flags");
	for (size_t i = 0; i < ARRAY_SIZE(sched_flags); i++)
		if (s->flags & (1ULL << i))
			json_w_string(w, NULL, sched_flags[i]);
	json_w_array_end(w);
	json_w_object_end(w);
}

static void write_user(struct json_writer *w, const struct oci_user *u)
{
	json_w_object(w, "user");
	json_w_u64(w, "uid", u->uid);
	json_w_u64(w, "gid", u->gid);
	if (u->has_umask)
		json_w_u64(w, "umask", u->umask);
	if (u->n_additional_gids) {
		json_w_array(w, "additionalGids");
		for (size_t i = 0; i < u->n_additional_gids; i++)
			json_w_u64(w, NULL, u->additional_gids[i]);
		json_w_array_end(w);
	}
	json_w_object_end(w);
}

char *oci_process_write(const struct oci_process *p)
{
	struct json_writer w = { 0 };

	json_w_object(&w, NULL);
	json_w_bool(&w, "terminal", p->terminal);
	if (p->has_console_size) {
		json_w_object(&w, "consoleSize");
		json_w_u64(&w, "height", p->console_height);
		json_w_u64(&w, "width", p->console_width);
		json_w_object_end(&w);
	}
	write_user(&w, &p->user);
	if (p->args)
		json_w_strv(&w, "args", p->args);
	if (p->env)
		json_w_strv(&w, "env", p->env);
	write_opt(&w, "cwd", p->cwd);
	if (p->has_capabilities) {
		json_w_object(&w, "capabilities");
		write_capability_set(&w, "bounding", p->capabilities.bounding);
		write_capability_set(&w, "effective", p->capabilities.effective);
		write_capability_set(&w, "inheritable", p->capabilities.inheritable);
		write_capability_set(&w, "permitted", p->capabilities.permitted);
		write_capability_set(&w, "ambient", p->capabilities.ambient);
		json_w_object_end(&w);
	}
	if (p->n_rlimits) {
		json_w_array(&w, "rlimits");
		for (size_t i = 0; i < p->n_rlimits; i++) {
			json_w_object(&w, NULL);
			json_w_string(&w, "type", oci_rlimit_name(p->rlimits[i].resource));
			json_w_u64(&w, "hard", p->rlimits[i].hard);
			json_w_u64(&w, "soft", p->rlimits[i].soft);
			json_w_object_end(&w);
		}
		json_w_array_end(&w);
	}
	json_w_bool(&w, "noNewPrivileges", p->no_new_privileges);
	write_opt(&w, "apparmorProfile", p->apparmor_profile);
	write_opt(&w, "selinuxLabel", p->selinux_label);
	if (p->has_oom_score_adj)
		json_w_i64(&w, "oomScoreAdj", p->oom_score_adj);
	if (p->has_scheduler)
		write_scheduler(&w, &p->scheduler);
	if (p->has_io_priority) {
		json_w_object(&w, "ioPriority");
		json_w_string(&w, "class", ioprio_classes[p->io_priority_class]);
		json_w_i64(&w, "priority", p->io_priority);
		json_w_object_end(&w);
	}
	if (p->exec_cpu_affinity_initial || p->exec_cpu_affinity_final) {
		json_w_object(&w, "execCPUAffinity");
		write_opt(&w, "initial", p->exec_cpu_affinity_initial);
		write_opt(&w, "final", p->exec_cpu_affinity_final);
		json_w_object_end(&w);
	}
	json_w_object_end(&w);
	return json_w_steal(&w);
}

struct oci_process *oci_process_dup(const struct oci_process *p)
{
	cleanup_free char *text = oci_process_write(p);
	cleanup_json_doc struct json_doc *doc = json_parse(text, strlen(text), "process", NULL);
	struct oci_process *copy = xcalloc(1, sizeof(*copy));

	/* our own writing is always readable; without the check, for a process may be under construction */
	if (!doc || oci_process_read(json_root(doc), copy, NULL) < 0)
		abort();
	return copy;
}
