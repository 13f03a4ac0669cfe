/* SPDX-License-Identifier: Apache-2.0 */
/* Capability sets: the plan, and the sets a child really ends with (needs root). */
#include "container/caps.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "oci/config.h"
#include "tap.h"

#define KILL CAPS_BIT(CAP_KILL)
#define CHOWN CAPS_BIT(CAP_CHOWN)
#define ADMIN CAPS_BIT(CAP_SYS_ADMIN)

static unsigned long long set_of(const char *name)
{
	char *text, *p;
	unsigned long long v;

	if (fd_slurp_at(AT_FDCWD, "/proc/self/status", 1 << 16, &text, NULL) < 0 || !(p = strstr(text, name)))
		return ~0ULL;
	v = strtoull(p + strlen(name) + 1, NULL, 16);
	free(text);
	return v;
}

/* The whole way of a process to uid 1000. Exit status tells the step that is wrong. */
static int child(const struct oci_process *p)
{
	struct err err = { 0 };
	struct caps c;

	if (caps_plan(p, &c, &err) || caps_before_setuid(&c, &err) || setgid(1000) || setuid(1000) ||
	    caps_after_setuid(&c, ADMIN, &err))
		return 1;
	if (set_of("CapBnd:") != (KILL | CHOWN) || set_of("CapPrm:") != (KILL | ADMIN) || set_of("CapInh:") != KILL ||
	    set_of("CapAmb:") != KILL)
		return 2;
	if (caps_final(&c, &err))
		return 3;
	return set_of("CapPrm:") == KILL && set_of("CapEff:") == KILL ? 0 : 4;
}

int main(void)
{
	struct oci_process p = { .has_capabilities = true,
				 .capabilities = { .bounding = KILL | CHOWN,
						   .permitted = KILL,
						   .effective = KILL | CHOWN,
						   .inheritable = KILL,
						   .ambient = KILL | CHOWN } };
	struct err err = { 0 };
	struct caps c;
	int status;
	pid_t pid;

	if (geteuid() != 0) {
		skip("needs root");
		return tap_done();
	}
	is_int(caps_plan(&p, &c, &err), 0);
	is_int(c.bounding, KILL | CHOWN);
	is_int(c.effective, KILL); /* never more than permitted */
	is_int(c.ambient, KILL);
	pid = fork();
	if (pid == 0)
		_exit(child(&p));
	waitpid(pid, &status, 0);
	is_int(WEXITSTATUS(status), 0);
	p.has_capabilities = false;
	is_int(caps_plan(&p, &c, &err), 0);
	is_int(c.bounding | c.permitted | c.effective | c.inheritable | c.ambient, 0);
	return tap_done();
}
