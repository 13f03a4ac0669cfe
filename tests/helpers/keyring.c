/* SPDX-License-Identifier: Apache-2.0 */
/* Prints the serial number and the description of the session keyring. */
#include <linux/keyctl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	char text[512] = "";
	long serial = syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);

	if (serial < 0 || syscall(SYS_keyctl, KEYCTL_DESCRIBE, serial, text, sizeof(text) - 1) < 0) {
		perror("keyctl");
		return 1;
	}
	printf("%ld %s\n", serial, text);
	return 0;
}
