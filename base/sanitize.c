/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Defaults of a build with SANITIZE=address: no search for leaks at exit. Commands live for milliseconds and leave their
 * memory to the kernel on purpose, and engines start them with an environment of their own, so that ASAN_OPTIONS would
 * not arrive. Linked as an object (Makefile): of an archive the sanitizer's own, weak, function would be found first.
 */

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}
