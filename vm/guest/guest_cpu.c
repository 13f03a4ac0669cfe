/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processors of the machine. All that it may ever have are present from the beginning, those beyond the wanted number
 * stay offline (maxcpus=): a write to sysfs wakes or stops one (cpu-hotplug.rst). The lowest numbers are the ones
 * online; 0 always is.
 */
#include "vm/guest/guest_cpu.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"

#define CPUS_MAX 512

unsigned int guest_cpu_online(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n > 0 ? (unsigned int)n : 1;
}

/* 1 online, 0 offline, -ENOENT: no such processor. */
static int state(unsigned int cpu)
{
	cleanup_free char *path = xasprintf("/sys/devices/system/cpu/cpu%u/online", cpu), *text = NULL;
	size_t len;
	int r = fd_slurp_at(AT_FDCWD, path, 16, &text, &len);

	return r < 0 ? r : text[0] == '1';
}

int guest_cpu_set(unsigned int n, struct err *err)
{
	/* the first has no switch */
	for (unsigned int cpu = 1; cpu < CPUS_MAX; cpu++) {
		cleanup_free char *path = xasprintf("/sys/devices/system/cpu/cpu%u/online", cpu);
		int now = state(cpu), want = cpu < n, r;

		if (now < 0)
			return 0;
		if (now == want)
			continue;
		r = fd_write_file_at(AT_FDCWD, path, want ? "1" : "0");
		if (r < 0)
			return err_sys(err, r, "processor %u: %s", cpu, want ? "online" : "offline");
	}
	return 0;
}
