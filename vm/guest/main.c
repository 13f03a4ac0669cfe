/* SPDX-License-Identifier: Apache-2.0 */
/* amphi-init: see guest_init.c. */
#include "vm/guest/guest_init.h"

int main(int argc, char **argv)
{
	return guest_init_main(argc, argv);
}
