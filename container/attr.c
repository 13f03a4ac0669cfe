/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process asks of the kernel for itself and keeps over execve.
 *
 * Lists of CPUs and nodes ("0-3,7") become bit masks of as many words as the highest number needs, so machines with more
 * than 1024 CPUs work. runtime-spec config.md#linux-process, config-linux.md#memory-policy, #personality.
 */
#include "container/attr.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/keyctl.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <string.h>
#include <sys/personality.h>

#include "base/log.h"
#include "base/str.h"
#include "base/sys.h"
#include "oci/config.h"

/* struct sched_attr of linux/sched/types.h, whose header quarrels with sched.h. */
struct attr_sched {
	uint32_t size;
	uint32_t policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
	uint32_t util_min, util_max;
};

#define MASK_BITS_MAX 65536
#define WORD_BITS (8 * sizeof(unsigned long))

#define IOPRIO_CLASS_SHIFT 13
#define IOPRIO_WHO_PROCESS 1

/* Parses a list into an owned mask of *ret_words words; NULL with errno when it is malformed. */
static unsigned long *parse_mask(const char *list, size_t *ret_words)
{
	cleanup_strv char **parts = strv_split(list, ',');
	cleanup_free unsigned long *mask = xcalloc(MASK_BITS_MAX / WORD_BITS, sizeof(*mask));
	size_t highest = 0;

	for (size_t i = 0; parts[i]; i++) {
		char *dash = strchr(parts[i], '-');
		uint32_t from, to;

		if (!*parts[i])
			continue;
		if (dash)
			*dash++ = '\0';
		if (parse_u32(parts[i], &from) < 0 || parse_u32(dash ? dash : parts[i], &to) < 0 || from > to ||
		    to >= MASK_BITS_MAX) {
			errno = EINVAL;
			return NULL;
		}
		for (uint32_t b = from; b <= to; b++)
			mask[b / WORD_BITS] |= 1UL << (b % WORD_BITS);
		if (to > highest)
			highest = to;
	}
	*ret_words = highest / WORD_BITS + 1;
	return steal_ptr(mask);
}

static unsigned int count_bits(const unsigned long *mask, size_t words)
{
	unsigned int n = 0;

	for (size_t i = 0; mask && i < words; i++)
		n += (unsigned int)__builtin_popcountl(mask[i]);
	return n;
}

int attr_affinity(const char *list, const char *what, struct err *err)
{
	cleanup_free unsigned long *mask = NULL;
	size_t words;

	if (str_empty(list))
		return 0;
	mask = parse_mask(list, &words);
	if (!mask)
		return err_set(err, EINVAL, "%s: not a list of CPUs: %s", what, list);
	if (syscall(SYS_sched_setaffinity, 0, words * sizeof(*mask), mask) < 0)
		return err_sys(err, -errno, "%s: set CPU affinity %s", what, list);
	return 0;
}

void attr_affinity_reset(void)
{
	unsigned long all[8192 / WORD_BITS];

	memset(all, 0xff, sizeof(all));
	(void)syscall(SYS_sched_setaffinity, 0, sizeof(all), all);
}

unsigned long attr_affinity_first(void)
{
	unsigned long all[8192 / WORD_BITS] = { 0 };

	return syscall(SYS_sched_getaffinity, 0, sizeof(all), all) < 0 ? 0 : all[0];
}

/* The kernel says no more than EINVAL of its rules in sched(7); the words are crun's. */
static int deadline_refused(const struct oci_scheduler *s, struct err *err)
{
	static const char at[] = "process.scheduler: sched_setattr: `SCHED_DEADLINE`";
	const struct {
		const char *name;
		uint64_t value;
		bool missing;
	} values[] = { { "runtime", s->runtime, !s->has_runtime },
		       { "deadline", s->deadline, !s->has_deadline },
		       { "period", s->period ? s->period : s->deadline, false } };

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		if (values[i].missing)
			return err_set(err, EINVAL, "%s requires `%s`", at, values[i].name);
		if (!values[i].value)
			return err_set(err, EINVAL, "%s %s must be greater than 0", at, values[i].name);
		if (values[i].value < 1024 || values[i].value > INT64_MAX)
			return err_set(err, EINVAL, "%s %s (%" PRIu64 ") must be between 1024 and 2^63-1", at,
				       values[i].name, values[i].value);
		if (i && values[i - 1].value > values[i].value)
			return err_set(err, EINVAL, "%s %s (%" PRIu64 ") must be <= %s (%" PRIu64 ")", at,
				       values[i - 1].name, values[i - 1].value, values[i].name, values[i].value);
	}
	return err_sys(err, -EINVAL, "%s runtime %" PRIu64 ", deadline %" PRIu64 ", period %" PRIu64, at, s->runtime,
		       s->deadline, s->period);
}

int attr_scheduling(const struct oci_process *p, struct err *err)
{
	if (p->has_scheduler) {
		struct attr_sched a = {
			.size = sizeof(a),
			.policy = (uint32_t)p->scheduler.policy,
			.flags = p->scheduler.flags,
			.nice = p->scheduler.nice,
			.priority = (uint32_t)p->scheduler.priority,
			.runtime = p->scheduler.runtime,
			.deadline = p->scheduler.deadline,
			.period = p->scheduler.period,
		};

		if (syscall(SYS_sched_setattr, 0, &a, 0) < 0)
			return errno == EINVAL && a.policy == SCHED_DEADLINE ?
				deadline_refused(&p->scheduler, err) :
				err_sys(err, -errno, "process.scheduler: set scheduler");
	}
	if (p->has_io_priority &&
	    syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0,
		    (int)p->io_priority_class << IOPRIO_CLASS_SHIFT | p->io_priority) < 0)
		return err_sys(err, -errno, "process.ioPriority: set I/O priority");
	return 0;
}

int attr_memory_and_personality(const struct oci_config *c, struct err *err)
{
	const struct oci_memory_policy *m = c->linux_.memory_policy;

	if (m) {
		cleanup_free unsigned long *mask = NULL;
		size_t words = 0;

		if (!str_empty(m->nodes)) {
			mask = parse_mask(m->nodes, &words);
			if (!mask)
				return err_set(
					err, EINVAL,
					"linux.memoryPolicy.nodes: invalid memory policy node: not a list of nodes: %s",
					m->nodes);
		}
		if (syscall(SYS_set_mempolicy, m->mode | (int)m->flags, mask, mask ? words * WORD_BITS + 1 : 0) < 0) {
			unsigned int nodes = count_bits(mask, words);

			if (errno == EINVAL && nodes && (m->mode == MPOL_DEFAULT || m->mode == MPOL_LOCAL))
				return err_sys(err, -EINVAL,
					       "linux.memoryPolicy: set_mempolicy: mode requires 0 nodes but got %u",
					       nodes);
			return err_sys(err, -errno, "linux.memoryPolicy: set_mempolicy");
		}
	}
	if (c->linux_.has_personality && personality(c->linux_.personality_linux32 ? PER_LINUX32 : PER_LINUX) < 0)
		return err_sys(err, -errno, "linux.personality");
	return 0;
}

/* KEY_POS_ALL | KEY_USR_VIEW | KEY_USR_READ | KEY_USR_SEARCH | KEY_USR_LINK */
#define KEYRING_PERM 0x3f1b0000UL

int attr_keyring(const char *name, struct err *err)
{
	long serial;

	if (!name)
		return 0;
	serial = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name);
	if (serial < 0 && (errno == ENOSYS || errno == EDQUOT || errno == EPERM)) {
		log_debug("attr: no session keyring: %s", strerrordesc_np(errno));
		return 0;
	}
	if (serial < 0)
		return err_sys(err, -errno, "join session keyring %s", name);
	/* what a later exec joins by name must be searchable by its owner */
	if (syscall(SYS_keyctl, KEYCTL_SETPERM, serial, KEYRING_PERM) < 0)
		log_debug("attr: session keyring: %s", strerrordesc_np(errno));
	return 0;
}
