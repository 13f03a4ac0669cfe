/* SPDX-License-Identifier: Apache-2.0 */
/* Tells engines of an out-of-memory kill in a machine. */
/*
 * Theory of operation: engines learn that memory ran out from the container's cgroup on the host, and from nowhere else: conmon
 * and containerd's shim watch memory.oom_control (v1) or the counter in memory.events (v2) and then say "OOMKilled".
 * In a machine the guest's kernel has killed the workload and that of the host knows nothing. But the container is over and
 * all is delivered: so its process on the host goes the way of the workload's. It takes what its cgroup still allows, the host's
 * kernel kills it with the same status (137), and who watches is told by the one who always tells.
 *
 * MADV_POPULATE_WRITE gives an error where a write would be tried for ever. A host that swaps may have room for all
 * of it: then the process ends with the status by itself, as it does without a limit.
 */
#include "runtime/oomfill.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "base/str.h"

#define CHUNK (4UL << 20)
#define SPARED "-1000"

void oomfill(uint64_t limit, int stop_fd)
{
	cleanup_free char *score = NULL;
	size_t len;

	if (fd_slurp_at(AT_FDCWD, "/proc/self/oom_score_adj", 64, &score, &len) < 0 || str_starts(score, SPARED))
		return;
	for (uint64_t n = 0; n < limit; n += CHUNK) {
		void *p = mmap(NULL, CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED || madvise(p, CHUNK, MADV_POPULATE_WRITE) < 0 ||
		    poll(&(struct pollfd){ .fd = stop_fd, .events = POLLIN }, 1, 0) > 0)
			return;
	}
}
