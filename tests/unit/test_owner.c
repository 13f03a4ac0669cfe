/* SPDX-License-Identifier: Apache-2.0 */
/* images/owner: when is a container's owner gone? */
#include "images/owner.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "tests/unit/tap.h"

static char *text_of(const char *state, pid_t pid)
{
	struct json_writer w = { 0 };

	json_w_object(&w, NULL);
	if (state)
		owner_write(&w, state, pid);
	json_w_object_end(&w);
	return json_w_steal(&w);
}

static bool gone(const char *text, const char *state)
{
	return owner_gone(text, strlen(text), state);
}

/* The text with what is between the key's colon and the comma replaced. */
static char *with(const char *text, const char *key, const char *value)
{
	cleanup_free char *word = xasprintf("\"%s\":", key);
	const char *p = strstr(text, word) + strlen(word);

	return xasprintf("%.*s%s%s", (int)(p - text), text, value, p + strcspn(p, ",}"));
}

int main(void)
{
	static const char dir[] = "/nonexistent/state/c1";
	int go[2];
	pid_t pid;
	cleanup_free char *none = text_of(NULL, 0), *alive = text_of(dir, getpid()), *here = NULL, *dead = NULL,
			  *reused = NULL, *boot = NULL, *ns = NULL;

	ok(pipe(go) == 0);
	pid = fork();
	if (!pid) {
		char c;

		close(go[1]);
		_exit((int)read(go[0], &c, 1));
	}
	dead = text_of(dir, pid);
	here = text_of("/tmp", pid);
	ok(!gone(dead, NULL)); /* it lives */
	close(go[0]);
	close(go[1]);
	waitpid(pid, NULL, 0);
	ok(gone(dead, NULL));
	ok(gone(dead, dir));
	ok(!gone(dead, "/another/root/c1"));
	ok(!gone(here, NULL)); /* the state directory is there */
	ok(!gone(alive, NULL));
	ok(!gone(none, NULL));
	ok(!gone("{", NULL));
	ok(!gone("{\"owner\":7}", NULL));
	reused = with(alive, "start", "1");
	ok(gone(reused, NULL)); /* the pid is another's now */
	boot = with(alive, "boot", "\"another\"");
	ok(gone(boot, NULL));
	ns = with(dead, "pidNamespace", "1");
	ok(!gone(ns, NULL)); /* not ours to judge */
	return tap_done();
}
