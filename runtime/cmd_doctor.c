/* SPDX-License-Identifier: Apache-2.0 */
/* amphi doctor: what this host can do, what is missing, and the remedy. */
/*
 * Theory of operation: a table of examinations, each looks at one thing and says yes, no or "less than all", with one
 * line of finding and, where something is missing, one of remedy. Nothing is changed on the host; namespaces are tried in
 * a child. Exit status 0 when containers can run (and with --isolation vm: machines too).
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/sys.h"
#include "container/cgroup.h"
#include "container/criu.h"
#include "container/lsm.h"
#include "network/network.h"
#include "runtime/commands.h"
#include "runtime/libexec.h"
#include "vm/kernel_store.h"
#include "vm/qemu.h"
#include "vm/vm.h"

enum verdict { DOCTOR_OK, DOCTOR_PARTLY, DOCTOR_MISSING };

struct finding {
	enum verdict verdict;
	char text[320];   /* what was found */
	char remedy[320]; /* "": none needed */
};

struct examination {
	const char *name;
	const char *needed_for; /* "containers", "machines", or what gets lost */
	void (*look)(const struct globals *g, struct finding *f);
};

static void PRINTF(4, 5) say(struct finding *f, enum verdict v, const char *remedy, const char *fmt, ...)
{
	va_list ap;

	f->verdict = v;
	snprintf(f->remedy, sizeof(f->remedy), "%s", remedy ? remedy : "");
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
}

static void look_kernel(const struct globals *g, struct finding *f)
{
	unsigned int major = 0, minor = 0;
	struct utsname u;

	(void)g;
	uname(&u);
	sscanf(u.release, "%u.%u", &major, &minor);
	if (major > 5 || (major == 5 && minor >= 15))
		say(f, DOCTOR_OK, NULL, "Linux %s %s", u.release, u.machine);
	else
		say(f, DOCTOR_MISSING, "use Linux 5.15 or later", "Linux %s", u.release);
}

/* Tries unshare(2) in a child. 0 or the errno. */
static int try_unshare(int flags)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		_exit(unshare(flags) < 0 ? errno : 0);
	if (pid < 0 || child_wait(pid, &status) < 0)
		return EAGAIN;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

static void look_namespaces(const struct globals *g, struct finding *f)
{
	static const struct {
		const char *name;
		int flag;
	} ns[] = {
		{ "mount", CLONE_NEWNS },  { "pid", CLONE_NEWPID }, { "network", CLONE_NEWNET },
		{ "ipc", CLONE_NEWIPC },   { "uts", CLONE_NEWUTS }, { "cgroup", CLONE_NEWCGROUP },
		{ "user", CLONE_NEWUSER },
	};
	/* without privileges the others need a user namespace first */
	int with = geteuid() ? CLONE_NEWUSER : 0;
	struct str lost = { 0 };

	(void)g;
	for (size_t i = 0; i < ARRAY_SIZE(ns); i++)
		if (try_unshare(ns[i].flag | with))
			str_addf(&lost, " %s", ns[i].name);
	if (!lost.len)
		say(f, DOCTOR_OK, NULL, "all kinds can be made");
	else if (!strcmp(str_get(&lost), " user"))
		say(f, DOCTOR_PARTLY, "sysctl user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns",
		    "user namespaces cannot be made");
	else
		say(f, DOCTOR_MISSING, "run as root or allow unprivileged user namespaces", "cannot be made:%s",
		    str_get(&lost));
	str_free(&lost);
}

static void look_cgroup(const struct globals *g, struct finding *f)
{
	(void)g;
	switch (cgroup_mode()) {
	case CGROUP_MODE_V2:
		say(f, DOCTOR_OK, NULL, "version 2%s", cgroup_systemd_booted() ? ", kept by systemd" : "");
		break;
	case CGROUP_MODE_HYBRID:
		say(f, DOCTOR_OK, NULL, "hybrid: controllers of version 1");
		break;
	case CGROUP_MODE_V1:
		say(f, DOCTOR_OK, NULL, "version 1");
		break;
	default:
		say(f, DOCTOR_PARTLY, "mount -t cgroup2 none /sys/fs/cgroup", "no control groups mounted: no limits");
	}
}

static void look_mounts(const struct globals *g, struct finding *f)
{
	int fd;

	(void)g;
	fd = (int)syscall(SYS_mount_setattr, -1, "", AT_EMPTY_PATH, NULL, 0);
	if (fd < 0 && errno == ENOSYS) {
		say(f, DOCTOR_MISSING, "use Linux 5.12 or later", "no mount_setattr");
		return;
	}
	fd = (int)syscall(SYS_fsopen, "overlay", 1);
	if (fd >= 0)
		close(fd);
	if (fd < 0 && errno == ENODEV)
		say(f, DOCTOR_PARTLY, "modprobe overlay", "new mount calls, but no overlay: images are copied");
	else
		say(f, DOCTOR_OK, NULL, "new mount calls%s", fd < 0 ? "" : " and overlay");
}

static void look_security(const struct globals *g, struct finding *f)
{
	cleanup_free char *text = NULL;
	bool seccomp = fd_slurp_at(AT_FDCWD, "/proc/sys/kernel/seccomp/actions_avail", 4096, &text, NULL) == 0;

	(void)g;
	say(f, seccomp ? DOCTOR_OK : DOCTOR_PARTLY, seccomp ? NULL : "a kernel with CONFIG_SECCOMP_FILTER", "%s%s%s",
	    seccomp ? "seccomp" : "no seccomp", lsm_apparmor_enabled() ? ", AppArmor" : "",
	    lsm_selinux_enabled() ? ", SELinux" : "");
}

static bool in_path(const char *program)
{
	const char *path = getenv("PATH");
	cleanup_strv char **dirs = strv_split(path && *path ? path : "/usr/sbin:/usr/bin:/sbin:/bin", ':');

	for (char **d = dirs; d && *d; d++) {
		cleanup_free char *p = xasprintf("%s/%s", *d, program);

		if (access(p, X_OK) == 0)
			return true;
	}
	return false;
}

static void look_checkpoint(const struct globals *g, struct finding *f)
{
	struct err err = { 0 };
	unsigned int version = 0;

	(void)g;
	if (criu_check(&version, &err) == 0)
		say(f, DOCTOR_OK, NULL, "criu %u.%u", version / 100, version % 100);
	else
		say(f, DOCTOR_PARTLY, "install criu (package criu), or a later one for this kernel; run as root",
		    "%.300s", err.msg);
}

static void look_rootless(const struct globals *g, struct finding *f)
{
	(void)g;
	if (!in_path("newuidmap") || !in_path("newgidmap"))
		say(f, DOCTOR_PARTLY, "install newuidmap and newgidmap (package uidmap)",
		    "no newuidmap: users get one id only");
	else if (!in_path("pasta"))
		say(f, DOCTOR_PARTLY, "install pasta (package passt)", "no pasta: no network for users");
	else
		say(f, DOCTOR_OK, NULL, "newuidmap, newgidmap, pasta");
}

static void look_network(const struct globals *g, struct finding *f)
{
	cleanup_free char *what = NULL, *remedy = NULL;

	(void)g;
	if (geteuid())
		say(f, DOCTOR_PARTLY, "use --network pasta, or run as root", "networks of our own need root");
	else if (!in_path("nft"))
		say(f, DOCTOR_PARTLY, "install nft (package nftables)", "no nft: no published ports, no masquerade");
	else if (network_blocked(NULL, &what, &remedy, NULL) > 0)
		say(f, DOCTOR_PARTLY, remedy, "%s", what);
	else
		say(f, DOCTOR_OK, NULL, "bridges, nft");
}

static void look_images(const struct globals *g, struct finding *f)
{
	struct err err = { 0 };
	cleanup_free char *path = libexec_find("amphi-images", &err);

	(void)g;
	if (path)
		say(f, DOCTOR_OK, NULL, "%s", path);
	else
		say(f, DOCTOR_PARTLY, "make install, or set AMPHI_LIBEXEC", "%.300s", err.msg);
}

static void look_driver(const struct vm_driver *d, const char *remedy, struct finding *f)
{
	struct err err = { 0 };

	if (d->probe(&err) == 0)
		say(f, DOCTOR_OK, NULL, "runs machines");
	else
		say(f, DOCTOR_PARTLY, remedy, "%.300s", err.msg);
}

static void look_kvm(const struct globals *g, struct finding *f)
{
	(void)g;
	look_driver(&vm_kvm_driver, "enable virtualization, load kvm_intel or kvm_amd, allow /dev/kvm; or use QEMU", f);
}

static void look_qemu(const struct globals *g, struct finding *f)
{
	(void)g;
	look_driver(&qemu_driver, "install qemu-system-x86_64 (package qemu-system-x86), unless KVM works", f);
}

static void look_machine_kernel(const struct globals *g, struct finding *f)
{
	cleanup_free char *init = libexec_find("amphi-init", NULL);
	struct kernel_store_entry *e = NULL;
	struct err err = { 0 };
	const char *name = NULL;
	size_t n = 0;

	(void)g;
	if (!init) {
		say(f, DOCTOR_MISSING, "make install, or set AMPHI_LIBEXEC", "amphi-init was not found");
		return;
	}
	if (kernel_store_list(kernel_store_dir(), &e, &n, &err) < 0) {
		say(f, DOCTOR_MISSING, "amphi kernel add", "%.300s", err.msg);
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (e[i].is_default)
			name = e[i].name;
	if (name)
		say(f, DOCTOR_OK, NULL, "%zu in %s, default %s", n, kernel_store_dir(), name);
	else
		say(f, DOCTOR_MISSING, "amphi kernel add linux-image-….deb", "no default kernel in %s",
		    kernel_store_dir());
	kernel_store_list_free(e, n);
}

static const struct examination examinations[] = {
	{ "kernel", "containers", look_kernel },
	{ "namespaces", "containers", look_namespaces },
	{ "mounts", "containers", look_mounts },
	{ "control groups", "limits", look_cgroup },
	{ "security modules", "confinement", look_security },
	{ "checkpoint", "checkpoint, restore", look_checkpoint },
	{ "rootless", "users without root", look_rootless },
	{ "network", "--network", look_network },
	{ "images", "pull, run --image", look_images },
	{ "kvm", "fast machines", look_kvm },
	{ "qemu", "machines without kvm", look_qemu },
	{ "machine kernel", "machines", look_machine_kernel },
};

struct doctor_options {
	const char *format;
};

static const struct option_def doctor_defs[] = {
	OPTION_STRING("format", 'f', struct doctor_options, format, "FORMAT", "table or json"),
	OPTION_END,
};

static const char *const verdict_words[] = {
	[DOCTOR_OK] = "ok", [DOCTOR_PARTLY] = "partly", [DOCTOR_MISSING] = "missing"
};

static void print_text(const struct finding *f, struct str *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(examinations); i++) {
		str_addf(out, "%-8s %-17s %s\n", verdict_words[f[i].verdict], examinations[i].name, f[i].text);
		if (f[i].remedy[0])
			str_addf(out, "%27sremedy: %s (for: %s)\n", "", f[i].remedy, examinations[i].needed_for);
	}
}

static void print_json(const struct finding *f, struct str *out)
{
	struct json_writer w = { .indent = 2 };
	cleanup_free char *text = NULL;

	json_w_array(&w, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(examinations); i++) {
		json_w_object(&w, NULL);
		json_w_string(&w, "name", examinations[i].name);
		json_w_string(&w, "verdict", verdict_words[f[i].verdict]);
		json_w_string(&w, "finding", f[i].text);
		if (f[i].remedy[0])
			json_w_string(&w, "remedy", f[i].remedy);
		json_w_string(&w, "for", examinations[i].needed_for);
		json_w_object_end(&w);
	}
	json_w_array_end(&w);
	text = json_w_steal(&w);
	str_addf(out, "%s\n", text);
}

/* Can what the global options ask for run? */
static bool doctor_healthy(const struct globals *g, const struct finding *f)
{
	bool driver = false;

	for (size_t i = 0; i < ARRAY_SIZE(examinations); i++) {
		if (!strcmp(examinations[i].needed_for, "containers") && f[i].verdict == DOCTOR_MISSING)
			return false;
		if (examinations[i].look == look_kvm || examinations[i].look == look_qemu)
			driver |= f[i].verdict == DOCTOR_OK;
		if (g->isolation == ISOLATION_VM && examinations[i].look == look_machine_kernel &&
		    f[i].verdict != DOCTOR_OK)
			return false;
	}
	return g->isolation != ISOLATION_VM || driver;
}

static int doctor_main(const struct globals *g, const struct command *self, int argc, char **argv, struct err *err)
{
	struct doctor_options o = { .format = "table" };
	struct finding f[ARRAY_SIZE(examinations)] = { 0 };
	struct str out = { 0 };
	int r, i = commands_options(self, &o, argc, argv, 0, 0, err);

	if (i < 0)
		return commands_end(i);
	if (strcmp(o.format, "json") && strcmp(o.format, "table"))
		return err_set(err, EINVAL, "invalid format option");
	for (size_t k = 0; k < ARRAY_SIZE(examinations); k++)
		examinations[k].look(g, &f[k]);
	if (!strcmp(o.format, "json"))
		print_json(f, &out);
	else
		print_text(f, &out);
	r = commands_print(str_get(&out), err);
	str_free(&out);
	return r < 0 ? r : !doctor_healthy(g, f);
}

const struct command cmd_doctor = {
	.name = "doctor",
	.main = doctor_main,
	.options = doctor_defs,
	.synopsis = "[OPTIONS]",
	.help = "tell what this host can do and what is missing",
};
