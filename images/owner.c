/* SPDX-License-Identifier: Apache-2.0 */
/* Owners of containers' directories. */
/*
 * `amphi run --image` has the bundle made first and the state directory after it, so a SIGKILL between the two
 * leaves a bundle that no delete knows of; a reboot takes the state directories and leaves all bundles. image.json
 * therefore says which state directory there is going to be and which process is about to make it. A process is
 * known by pid and start time, within one boot and one pid namespace.
 */
#include "images/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/child.h"
#include "base/fd.h"
#include "base/str.h"

static char *boot_id(void)
{
	char *buf = NULL;
	size_t len;

	if (fd_slurp_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 128, &buf, &len) < 0)
		return xstrdup("");
	buf[strcspn(buf, "\n")] = '\0';
	return buf;
}

/* Clock ticks from boot to the process's start; 0: there is no such process. */
static uint64_t start_time(pid_t pid)
{
	unsigned long long ticks;

	return child_start_time(pid, &ticks) < 0 ? 0 : ticks;
}

static uint64_t pid_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) < 0 ? 0 : (uint64_t)st.st_ino;
}

void owner_write(struct json_writer *w, const char *state, pid_t pid)
{
	cleanup_free char *boot = boot_id();

	json_w_object(w, "owner");
	json_w_string(w, "state", state);
	json_w_string(w, "boot", boot);
	json_w_u64(w, "pidNamespace", pid_namespace());
	json_w_u64(w, "pid", (uint64_t)pid);
	json_w_u64(w, "start", start_time(pid));
	json_w_object_end(w);
}

static bool process_gone(const struct json *owner)
{
	cleanup_free char *boot = NULL, *now = boot_id();
	uint64_t ns = 0, pid = 0, start = 0;

	if (json_opt_string(owner, "boot", &boot, NULL) <= 0 || json_opt_u64(owner, "pidNamespace", &ns, NULL) <= 0 ||
	    json_opt_u64(owner, "pid", &pid, NULL) <= 0 || json_opt_u64(owner, "start", &start, NULL) <= 0)
		return false;
	if (strcmp(boot, now))
		return true;
	return ns == pid_namespace() && pid < INT32_MAX && start_time((pid_t)pid) != start;
}

bool owner_gone(const char *image_json, size_t len, const char *state)
{
	cleanup_json_doc struct json_doc *doc = json_parse(image_json, len, "image.json", NULL);
	const struct json *owner = doc ? json_get(json_root(doc), "owner") : NULL;
	cleanup_free char *dir = NULL;
	struct stat st;

	if (!owner || json_opt_string(owner, "state", &dir, NULL) <= 0 || (state && strcmp(state, dir)))
		return false;
	return stat(dir, &st) < 0 && errno == ENOENT && process_gone(owner);
}
