/* SPDX-License-Identifier: Apache-2.0 */
/* The plan: what was asked, what the config says and what the host can do become decisions. */
/*
 * Theory of operation: plan_host_facts() is the only part that reads anything (the administrator's file, a
 * device node, the environment). plan_make() is pure and decides in the order of amphi(1): isolation by --isolation, the program's
 * name, the annotation, a vm object, the administrator's file, container. Annotations come from whoever writes
 * config.json, often an unprivileged user of an engine: they may choose and shrink, never name host paths.
 * Contradictions between options and config are refused here by the option's name, before anything is touched.
 */
#include "runtime/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "oci/config.h"
#include "runtime/notify.h"

#define PLAN_CONFIG_FILE "/etc/amphi/amphi.json"
#define PLAN_CONFIG_MAX (1U << 20)

static int facts_word(const struct json *root, const char *key, int (*parse)(const char *word, struct host_facts *f),
		      struct host_facts *f, struct err *err)
{
	cleanup_free char *word = NULL;
	int r = json_opt_string(root, key, &word, err);

	if (r <= 0)
		return r;
	if (parse(word, f) < 0)
		return json_error(json_get(root, key), err, "unknown word \"%s\"", word);
	return 0;
}

static int facts_isolation(const char *word, struct host_facts *f)
{
	return commands_isolation_parse(word, &f->default_isolation);
}

static int facts_vmm(const char *word, struct host_facts *f)
{
	return commands_vmm_parse(word, &f->default_vmm);
}

/* An unknown key in the administrator's file is a mistake to be told, not a wish to be ignored. */
static int facts_known_keys(const struct json *root, struct err *err)
{
	static const char *const known[] = { "isolation", "vmm", "kernel", "kernels", "annotationsMayNamePaths",
					     "vhostNet" };

	json_for_each(c, root) {
		size_t i;

		for (i = 0; i < ARRAY_SIZE(known) && strcmp(c->key, known[i]); i++)
			;
		if (i == ARRAY_SIZE(known))
			return json_error(c, err, "unknown setting");
	}
	return 0;
}

static int facts_file(const char *path, struct host_facts *f, struct err *err)
{
	cleanup_json_doc struct json_doc *doc = NULL;
	cleanup_free char *text = NULL;
	const struct json *root;
	size_t len;
	int r = fd_slurp_at(AT_FDCWD, path, PLAN_CONFIG_MAX, &text, &len);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return err_sys(err, r, "%s", path);
	doc = json_parse(text, len, path, err);
	if (!doc)
		return err ? err->code : -EINVAL;
	root = json_root(doc);
	r = json_want(root, JSON_OBJECT, err);
	if (!r)
		r = facts_known_keys(root, err);
	if (!r)
		r = facts_word(root, "isolation", facts_isolation, f, err);
	if (!r)
		r = facts_word(root, "vmm", facts_vmm, f, err);
	if (!r)
		r = json_opt_string(root, "kernel", &f->default_kernel, err);
	if (r >= 0)
		r = json_opt_strv(root, "kernels", &f->kernels, err);
	if (r >= 0)
		r = json_opt_bool(root, "annotationsMayNamePaths", &f->annotations_may_name_paths, err);
	if (r >= 0)
		r = json_opt_bool(root, "vhostNet", &f->vhost_net, err);
	return r < 0 ? err_wrap(err, "%s", path) : 0;
}

/* As sd_listen_fds(3), but without $LISTEN_PID (from a shell) they may be meant for us. */
static void facts_listen_fds(struct host_facts *f)
{
	const char *fds = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID");
	uint32_t n, owner = 0;

	if (!fds || parse_u32(fds, &n) < 0)
		return;
	if (!str_empty(pid) && (parse_u32(pid, &owner) < 0 || owner != (uint32_t)getpid()))
		return;
	f->listen_fds = n;
	f->listen_sure = owner;
}

int plan_host_facts(struct host_facts *ret, struct err *err)
{
	const char *path = getenv("AMPHI_CONFIG");
	struct host_facts f = { .euid = geteuid(), .vhost_net = true };
	int r = facts_file(path && *path ? path : PLAN_CONFIG_FILE, &f, err);

	if (r < 0) {
		plan_host_facts_free(&f);
		return r;
	}
	f.kvm_device = access("/dev/kvm", R_OK | W_OK) == 0;
	facts_listen_fds(&f);
	f.notify = notify_wanted();
	*ret = f;
	return 0;
}

void plan_host_facts_free(struct host_facts *f)
{
	free(f->default_kernel);
	strv_free(f->kernels);
	*f = (struct host_facts){ 0 };
}

static int plan_isolation(const struct globals *g, const struct oci_config *config, const struct host_facts *facts,
			  struct plan *p, struct err *err)
{
	const char *word = oci_annotation(config, "amphi.isolation");
	enum isolation by_word = ISOLATION_UNSET;

	if (word && commands_isolation_parse(word, &by_word) < 0)
		return err_set(err, EINVAL, "annotations[amphi.isolation]: \"%s\" is neither container nor vm", word);
	if (g->isolation != ISOLATION_UNSET) {
		p->isolation = g->isolation;
		p->isolation_by = g->isolation_by;
	} else if (by_word != ISOLATION_UNSET) {
		p->isolation = by_word;
		p->isolation_by = "annotation amphi.isolation";
	} else if (config->vm) {
		p->isolation = ISOLATION_VM;
		p->isolation_by = "vm object of config.json";
	} else if (facts->default_isolation != ISOLATION_UNSET) {
		p->isolation = facts->default_isolation;
		p->isolation_by = "configuration file";
	} else {
		p->isolation = ISOLATION_CONTAINER;
		p->isolation_by = "default";
	}
	return 0;
}

static int plan_kernel(const struct create_request *req, const struct oci_config *config,
		       const struct host_facts *facts, struct plan *p, struct err *err)
{
	const char *word = oci_annotation(config, "amphi.vm.kernel");

	if (word && !req->kernel) {
		if (strchr(word, '/') && !facts->annotations_may_name_paths)
			return err_set(err, EPERM,
				       "annotations[amphi.vm.kernel]: a path is not allowed here "
				       "(annotationsMayNamePaths in the configuration file)");
		if (facts->kernels && !strv_has(facts->kernels, word))
			return err_set(err, EPERM,
				       "annotations[amphi.vm.kernel]: \"%s\" is not in the administrator's "
				       "list of kernels",
				       word);
	}
	p->kernel = xstrdup(req->kernel ? req->kernel : word ? word : facts->default_kernel);
	return 0;
}

static int plan_vmm(const struct globals *g, const struct oci_config *config, const struct host_facts *facts,
		    struct plan *p, struct err *err)
{
	const char *word = oci_annotation(config, "amphi.vm.vmm");

	p->vmm = facts->default_vmm;
	if (word && commands_vmm_parse(word, &p->vmm) < 0)
		return err_set(err, EINVAL, "annotations[amphi.vm.vmm]: \"%s\" is none of kvm, qemu, auto", word);
	if (g->vmm_given)
		p->vmm = g->vmm;
	return 0;
}

static int plan_machine(const struct globals *g, const struct create_request *req, const struct oci_config *config,
			const struct host_facts *facts, struct plan *p, struct err *err)
{
	int r;

	if (p->isolation != ISOLATION_VM) {
		const char *what = req->kernel ? "kernel" : req->vcpus ? "vcpus" : req->memory_bytes ? "memory" : NULL;

		if (what)
			return err_set(err, EINVAL, "option --%s: only a machine has that (--isolation vm)", what);
		if (g->vmm_given && g->vmm != VMM_AUTO)
			return err_set(err, EINVAL, "option --vmm: only a machine has that (--isolation vm)");
		return 0;
	}
	r = plan_vmm(g, config, facts, p, err);
	if (r < 0)
		return r;
	p->may_name_paths = facts->annotations_may_name_paths;
	p->vcpus = req->vcpus;
	p->memory_bytes = req->memory_bytes;
	return plan_kernel(req, config, facts, p, err);
}

/* Engines rely on these being errors instead of hangs. */
static int plan_terminal(const struct create_request *req, struct plan *p, struct err *err)
{
	if (p->terminal && req->detach && !req->console_socket)
		return err_set(err, EINVAL, "cannot allocate tty if %s will detach without setting console socket",
			       commands_program());
	if ((!p->terminal || !req->detach) && req->console_socket)
		return err_set(err, EINVAL, "cannot use console socket if %s will not detach or allocate tty",
			       commands_program());
	return 0;
}

uint32_t plan_preserve_fds(const struct globals *g, uint32_t listen_fds, uint32_t n)
{
	if (n <= g->inherited - listen_fds)
		return n;
	log_warn("option --preserve-fds %u: descriptor %u is not open", n, 3 + g->inherited);
	return fd_inherited(3 + listen_fds, n);
}

/* Those of systemd come first, --preserve-fds counts on from there. */
static int plan_descriptors(const struct globals *g, const struct create_request *req, const struct host_facts *facts,
			    struct plan *p, struct err *err)
{
	p->listen_fds = facts->listen_fds;
	if (p->listen_fds > g->inherited && !facts->listen_sure)
		p->listen_fds = 0; /* somebody else's, left in the environment */
	if (p->listen_fds > g->inherited)
		return err_set(err, EINVAL, "environment LISTEN_FDS=%u: descriptor %u is not open", p->listen_fds,
			       3 + g->inherited);
	p->preserve_fds = plan_preserve_fds(g, p->listen_fds, req->preserve_fds);
	return 0;
}

int plan_make(const struct globals *g, const struct create_request *req, const struct oci_config *config,
	      const struct host_facts *facts, struct plan *ret, struct err *err)
{
	struct plan p = { .request = req, .config = config };
	const struct oci_linux *l = &config->linux_;
	int r;

	p.cgroup_driver = g->cgroup_driver;
	p.rootless = g->rootless;
	p.notify = facts->notify;
	p.terminal = config->has_process && config->process.terminal;
	if (config->path_annotation && !facts->annotations_may_name_paths)
		return err_set(
			err, EPERM,
			"annotations[%s]: a path is not allowed here (annotationsMayNamePaths in the configuration "
			"file)",
			config->path_annotation);
	/* what the parser gives where none are; only root of the host can have them all */
	if (facts->euid != 0 && l->n_uid_mappings == 1 && l->uid_mappings[0].size == UINT32_MAX)
		return err_set(err, EINVAL, "linux.uidMappings: a new user namespace needs mappings");
	r = plan_isolation(g, config, facts, &p, err);
	if (!r)
		r = plan_machine(g, req, config, facts, &p, err);
	if (!r)
		r = plan_terminal(req, &p, err);
	if (!r)
		r = plan_descriptors(g, req, facts, &p, err);
	if (r < 0) {
		plan_free(&p);
		return r;
	}
	*ret = p;
	return 0;
}

void plan_free(struct plan *p)
{
	free(p->kernel);
	*p = (struct plan){ 0 };
}

static void print_opt(struct json_writer *w, const char *key, const char *s)
{
	if (s)
		json_w_string(w, key, s);
}

static void print_namespaces(struct json_writer *w, const struct oci_config *config)
{
	json_w_array(w, "namespaces");
	for (int k = 0; k < OCI_NS_MAX; k++) {
		const struct oci_namespace *ns = &config->linux_.namespaces[k];

		if (!ns->present)
			continue;
		json_w_object(w, NULL);
		json_w_string(w, "type", oci_namespace_word(k));
		print_opt(w, "path", ns->path);
		json_w_object_end(w);
	}
	json_w_array_end(w);
}

static void print_machine(struct json_writer *w, const struct plan *p)
{
	json_w_object(w, "machine");
	json_w_string(w, "vmm", commands_vmm_name(p->vmm));
	if (p->vcpus)
		json_w_u64(w, "vcpus", p->vcpus);
	if (p->memory_bytes)
		json_w_u64(w, "memory", p->memory_bytes);
	print_opt(w, "kernel", p->kernel);
	json_w_object_end(w);
}

void plan_print(const struct plan *p, const char *const *steps, struct str *out)
{
	const struct create_request *req = p->request;
	struct json_writer w = { .indent = 2 };
	cleanup_free char *text = NULL;

	json_w_object(&w, NULL);
	json_w_string(&w, "id", req->id);
	print_opt(&w, "bundle", req->bundle);
	json_w_string(&w, "isolation", commands_isolation_name(p->isolation));
	json_w_string(&w, "isolationBy", p->isolation_by);
	if (p->isolation == ISOLATION_VM)
		print_machine(&w, p);
	json_w_bool(&w, "rootless", p->rootless);
	json_w_bool(&w, "terminal", p->terminal);
	json_w_string(&w, "cgroupManager", cgroup_driver_name(p->cgroup_driver));
	print_opt(&w, "cgroupsPath", p->config->linux_.cgroups_path);
	print_namespaces(&w, p->config);
	if (req->networks)
		json_w_strv(&w, "networks", req->networks);
	if (req->publish)
		json_w_strv(&w, "publish", req->publish);
	if (p->config->has_process)
		json_w_strv(&w, "args", p->config->process.args);
	json_w_array(&w, "steps");
	for (; *steps; steps++)
		json_w_string(&w, NULL, *steps);
	json_w_array_end(&w);
	json_w_object_end(&w);
	text = json_w_steal(&w);
	str_add(out, text);
	str_addc(out, '\n');
}
