/* SPDX-License-Identifier: Apache-2.0 */
/* The plan: what chooses the isolation, what annotations may, contradictions. */
#include "runtime/plan.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "oci/config.h"
#include "tests/unit/tap.h"

static const char base[] = "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\"},"
			   "\"process\":{\"cwd\":\"/\",\"args\":[\"sh\"],\"user\":{\"uid\":0,\"gid\":0}%s}%s}";

static struct oci_config *config(const char *process, const char *rest)
{
	cleanup_free char *text = xasprintf(base, process, rest);
	struct oci_config *c = NULL;
	struct err err = { 0 };

	if (oci_config_parse(text, strlen(text), &c, &err) < 0)
		printf("# %s\n", err.msg);
	return c;
}

/* Plans and returns the result; the plan goes to *p. */
static int plan(const struct globals *g, const struct create_request *req, const struct host_facts *f,
		const char *process, const char *rest, struct plan *p, struct err *err)
{
	struct oci_config *c = config(process, rest);
	int r;

	memset(err, 0, sizeof(*err));
	memset(p, 0, sizeof(*p));
	if (!c)
		return -EIO;
	r = plan_make(g, req, c, f, p, err);
	p->config = NULL;
	oci_config_free(c);
	return r;
}

static void isolation(void)
{
	struct globals none = { .program = "amphi" };
	struct globals option = { .isolation = ISOLATION_CONTAINER, .isolation_by = "option --isolation" };
	struct globals name = { .isolation = ISOLATION_VM, .isolation_by = "program name" };
	struct create_request req = { .id = "x" };
	struct host_facts f = { 0 }, file = { .default_isolation = ISOLATION_VM };
	struct err err;
	struct plan p;

	is_int(plan(&none, &req, &f, "", "", &p, &err), 0);
	is_int(p.isolation, ISOLATION_CONTAINER);
	is_str(p.isolation_by, "default");
	is_int(plan(&none, &req, &file, "", "", &p, &err), 0);
	is_int(p.isolation, ISOLATION_VM);
	is_int(plan(&none, &req, &f, "", ",\"vm\":{\"kernel\":{\"path\":\"/k\"}}", &p, &err), 0);
	is_int(p.isolation, ISOLATION_VM);
	is_int(plan(&none, &req, &file, "", ",\"annotations\":{\"amphi.isolation\":\"container\"}", &p, &err), 0);
	is_int(p.isolation, ISOLATION_CONTAINER);
	is_int(plan(&none, &req, &f, "", ",\"annotations\":{\"amphi.isolation\":\"vm\"}", &p, &err), 0);
	is_int(p.isolation, ISOLATION_VM);
	is_int(plan(&option, &req, &f, "", ",\"annotations\":{\"amphi.isolation\":\"vm\"}", &p, &err), 0);
	is_int(p.isolation, ISOLATION_CONTAINER);
	is_int(plan(&name, &req, &f, "", "", &p, &err), 0);
	is_int(p.isolation, ISOLATION_VM);
	is_int(plan(&none, &req, &f, "", ",\"annotations\":{\"amphi.isolation\":\"pod\"}", &p, &err), -EINVAL);
	has_str(err.msg, "annotations[amphi.isolation]");
}

static void annotations(void)
{
	struct globals vm = { .isolation = ISOLATION_VM, .isolation_by = "option --isolation" };
	struct create_request req = { .id = "x" };
	struct host_facts f = { .kernels = (char *[]){ "stock", NULL } };
	struct host_facts paths = { .annotations_may_name_paths = true };
	struct err err;
	struct plan p;

	is_int(plan(&vm, &req, &f, "", ",\"annotations\":{\"amphi.vm.kernel\":\"/etc/shadow\"}", &p, &err), -EPERM);
	has_str(err.msg, "path is not allowed");
	is_int(plan(&vm, &req, &f, "", ",\"annotations\":{\"run.oci.hooks.stdout\":\"/etc/passwd\"}", &p, &err),
	       -EPERM);
	has_str(err.msg, "annotations[run.oci.hooks.stdout]: a path is not allowed");
	is_int(plan(&vm, &req, &paths, "", ",\"annotations\":{\"run.oci.hooks.stdout\":\"/o\"}", &p, &err), 0);
	plan_free(&p);
	is_int(plan(&vm, &req, &f, "", ",\"annotations\":{\"amphi.vm.kernel\":\"other\"}", &p, &err), -EPERM);
	is_int(plan(&vm, &req, &f, "", ",\"annotations\":{\"amphi.vm.kernel\":\"stock\"}", &p, &err), 0);
	is_str(p.kernel, "stock");
	plan_free(&p);
	is_int(plan(&vm, &req, &paths, "", ",\"annotations\":{\"amphi.vm.kernel\":\"/boot/k\"}", &p, &err), 0);
	is_str(p.kernel, "/boot/k");
	plan_free(&p);
	is_int(plan(&vm, &req, &f, "", ",\"annotations\":{\"amphi.vm.vmm\":\"qemu\"}", &p, &err), 0);
	is_int(p.vmm, VMM_QEMU);
	plan_free(&p);
	is_int(plan(&vm, &req, &f, "", ",\"annotations\":{\"amphi.vm.vmm\":\"xen\"}", &p, &err), -EINVAL);
}

static void contradictions(void)
{
	struct globals g = { .program = "amphi", .inherited = 1 };
	struct host_facts f = { 0 };
	struct create_request detach = { .id = "x", .detach = true };
	struct create_request socket = { .id = "x", .detach = true, .console_socket = "/s" };
	struct create_request fds = { .id = "x", .preserve_fds = UINT32_MAX };
	struct create_request vcpus = { .id = "x", .vcpus = 2 };
	struct err err;
	struct plan p;

	is_int(plan(&g, &detach, &f, ",\"terminal\":true", "", &p, &err), -EINVAL);
	has_str(err.msg, "console socket");
	is_int(plan(&g, &socket, &f, "", "", &p, &err), -EINVAL);
	has_str(err.msg, "console socket");
	is_int(plan(&g, &socket, &f, ",\"terminal\":true", "", &p, &err), 0);
	ok(p.terminal);
	/* what is not open is passed over */
	ok(dup2(2, 500) == 500 && dup3(2, 501, O_CLOEXEC) == 501);
	is_int(plan(&g, &fds, &f, "", "", &p, &err), 0);
	is_int(p.preserve_fds, 498);
	plan_free(&p);
	close(500);
	close(501);
	is_int(plan(&g, &vcpus, &f, "", "", &p, &err), -EINVAL);
	has_str(err.msg, "--vcpus");
}

static int facts(const char *text, struct host_facts *f, struct err *err)
{
	char path[] = "/tmp/amphi-plan.XXXXXX";
	int fd = mkstemp(path), r;

	if (fd < 0 || fd_write_all(fd, text, strlen(text)) < 0)
		return -EIO;
	close(fd);
	setenv("AMPHI_CONFIG", path, 1);
	r = plan_host_facts(f, err);
	unlink(path);
	return r;
}

static void configuration(void)
{
	struct host_facts f;
	struct err err = { 0 };

	is_int(facts("{\"isolation\":\"vm\",\"vmm\":\"qemu\",\"kernels\":[\"a\"],\"annotationsMayNamePaths\":true}", &f,
		     &err),
	       0);
	is_int(f.default_isolation, ISOLATION_VM);
	is_int(f.default_vmm, VMM_QEMU);
	is_str(f.kernels ? f.kernels[0] : NULL, "a");
	ok(f.annotations_may_name_paths);
	ok(f.vhost_net);
	plan_host_facts_free(&f);
	is_int(facts("{\"vhostNet\":false}", &f, &err), 0);
	ok(!f.vhost_net);
	plan_host_facts_free(&f);
	is_int(facts("{\"isolaton\":\"vm\"}", &f, &err), -EINVAL);
	has_str(err.msg, "isolaton");
	is_int(facts("{\"isolation\":\"pod\"}", &f, &err), -EINVAL);
	setenv("AMPHI_CONFIG", "/nonexistent/amphi.json", 1);
	is_int(plan_host_facts(&f, &err), 0);
}

int main(void)
{
	isolation();
	annotations();
	contradictions();
	configuration();
	return tap_done();
}
