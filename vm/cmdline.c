/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel command line: each parameter says why it is there. What a stock kernel would probe for and this machine
 * does not have costs exits and time, so it is told.
 */
#include "vm/cmdline.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "vm/layout.h"
#include "vm/vm.h"

static const char *const common[] = {
	"console=ttyS0",   /* early boot and panics; the workload's output never goes this way */
	"8250.nr_uarts=1", /* the others do not exist */
	"reboot=t",        /* a reboot is a triple fault: the quickest way out */
	"panic=-1",        /* a dead guest ends at once */
	"pci=off",         /* there is none */
	"i8042.noaux",
	"i8042.nokbd",
	"i8042.dumbkbd",
	"tsc=reliable", /* no watchdog against clocks that are not there */
	"no_timer_check",
	"cryptomgr.notests",
	"random.trust_cpu=on", /* no wait for entropy; virtio-rng adds to it */
	"rcupdate.rcu_expedited=1",
	"swiotlb=noforce", /* no bounce buffers: there is no DMA but virtio's */
	"net.ifnames=0",   /* eth0 */
	/* thousands of files and names in tracefs that nobody reads: a quarter of a stock kernel's own start */
	"initcall_blacklist=tracer_init_tracefs,trace_eval_init",
	"rdinit=/init",
};

char *cmdline_build(const struct vm_spec *spec, struct err *err)
{
	cleanup_str struct str s = { 0 };
	unsigned int present = spec->vcpus_max > spec->vcpus ? spec->vcpus_max : spec->vcpus;

	for (size_t i = 0; i < ARRAY_SIZE(common); i++)
		str_addf(&s, "%s%s", i ? " " : "", common[i]);
	str_add(&s, spec->console_verbose ? " ignore_loglevel" : " quiet loglevel=1");
	/* The rest is present and parked until the agent brings it online. */
	if (present > spec->vcpus)
		str_addf(&s, " maxcpus=%u", spec->vcpus);
	if (!str_empty(spec->cmdline))
		str_addf(&s, " %s", spec->cmdline);
	for (const char *p = str_get(&s); *p; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f) {
			err_set(err, EINVAL, "kernel parameters: control character");
			return NULL;
		}
	}
	if (s.len >= LAYOUT_CMDLINE_MAX) {
		err_set(err, E2BIG, "kernel parameters: %zu bytes, at most %llu fit", s.len, LAYOUT_CMDLINE_MAX - 1);
		return NULL;
	}
	return str_steal(&s);
}
