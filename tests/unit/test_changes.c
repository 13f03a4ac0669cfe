/* SPDX-License-Identifier: Apache-2.0 */
/* images/changes: a Dockerfile's words into an image's configuration. */
#include "images/changes.h"

#include "base/str.h"
#include "tests/unit/tap.h"

static void change(const char *old, const char *words, const char *want, const char *fault)
{
	cleanup_json_doc struct json_doc *doc = old ? json_parse(old, strlen(old), "old", NULL) : NULL;
	cleanup_strv char **changes = strv_split(words, '\n');
	struct json_writer w = { 0 };
	cleanup_free char *text = NULL;
	struct err err = { 0 };
	int r;

	json_w_object(&w, NULL);
	r = changes_write(&w, doc ? json_root(doc) : NULL, changes, &err);
	if (fault) {
		is_int(r, -EINVAL);
		has_str(err.msg, fault);
	} else {
		is_int(r, 0);
		json_w_object_end(&w);
		text = json_w_steal(&w);
		is_str(text, want);
		return;
	}
	/* what was begun is thrown away */
	json_w_object_end(&w);
	free(json_w_steal(&w));
}

int main(void)
{
	change(NULL, "CMD [\"a\",\"b c\"]", "{\"config\":{\"Cmd\":[\"a\",\"b c\"]}}", NULL);
	change(NULL, "cmd echo $HOME", "{\"config\":{\"Cmd\":[\"/bin/sh\",\"-c\",\"echo $HOME\"]}}", NULL);
	change(NULL, "USER  web\nUSER root", "{\"config\":{\"User\":\"root\"}}", NULL);
	change("{\"Env\":[\"A=1\",\"B=2\"],\"X\":{\"y\":[1,null,true]}}", "ENV B=x=y\nENV C=3\nENV C=4",
	       "{\"config\":{\"X\":{\"y\":[1,null,true]},\"Env\":[\"A=1\",\"B=x=y\",\"C=4\"]}}", NULL);
	change("{\"Labels\":{\"a\":\"1\",\"b\":\"2\"}}",
	       "LABEL b=two words\nLABEL c=", "{\"config\":{\"Labels\":{\"a\":\"1\",\"b\":\"two words\",\"c\":\"\"}}}",
	       NULL);
	change("{\"ExposedPorts\":{\"80/tcp\":{}}}",
	       "EXPOSE 80/tcp\nEXPOSE 53/udp\nVOLUME /data\nSTOPSIGNAL SIGINT\nWORKDIR /w",
	       "{\"config\":{\"WorkingDir\":\"/w\",\"StopSignal\":\"SIGINT\",\"ExposedPorts\":{\"80/tcp\":{},\"53/"
	       "udp\":{}},\"Volumes\":{\"/data\":{}}}}",
	       NULL);
	change("{\"User\":\"kept\"}", "CMD x", "{\"config\":{\"User\":\"kept\",\"Cmd\":[\"/bin/sh\",\"-c\",\"x\"]}}",
	       NULL);
	change(NULL, "RUN x", NULL, "--change RUN x: expected CMD");
	change(NULL, "CMD", NULL, "--change CMD: expected CMD");
	change(NULL, "ENV A", NULL, "--change ENV A: expected NAME=VALUE");
	change(NULL, "ENV =A", NULL, "--change ENV =A: expected NAME=VALUE");
	change(NULL, "ENTRYPOINT [\"a\"", NULL, "expected a JSON list");
	change(NULL, "CMD [1]", NULL, "expected a list of strings");
	return tap_done();
}
