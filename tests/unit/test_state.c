/* SPDX-License-Identifier: Apache-2.0 */
/* oci/state: keys and order, times, reading back. */
#include "oci/state.h"

#include "tests/unit/tap.h"

int main(void)
{
	struct oci_pair notes[] = { { (char *)"a", (char *)"b" } };
	struct oci_state s = { .id = "c1",
			       .status = OCI_STATUS_RUNNING,
			       .pid = 42,
			       .bundle = "/b",
			       .rootfs = "/b/rootfs",
			       .created = { 1700000000, 120000000 },
			       .scope = "amphi-x.scope",
			       .owner = "",
			       .annotations = notes,
			       .n_annotations = 1 };
	cleanup_free char *one = NULL, *lines = NULL, *hook = NULL;
	struct oci_state_doc *d = NULL;
	struct err err = { 0 };
	struct timespec t;
	char buf[OCI_TIME_MAX];

	one = oci_state_write(&s, false);
	is_str(one,
	       "{\"ociVersion\":\"1.3.0\",\"id\":\"c1\",\"pid\":42,\"status\":\"running\",\"bundle\":\"/"
	       "b\",\"rootfs\":\"/b/rootfs\","
	       "\"created\":\"2023-11-14T22:13:20.12Z\",\"systemd-scope\":\"amphi-x.scope\",\"annotations\":{\"a\":"
	       "\"b\"},\"owner\":\"\"}");
	lines = oci_state_write(&s, true);
	ok(lines[strlen(lines) - 1] == '}');
	has_str(lines, "\n  \"id\": \"c1\",\n");
	is_int(oci_state_parse(lines, strlen(lines), &d, &err), 0);
	need(d);
	ok(d->state.pid == 42 && d->state.status == OCI_STATUS_RUNNING && d->state.created.tv_nsec == 120000000);
	is_str(d->state.annotations[0].value, "b");
	oci_state_doc_free(d);
	s = (struct oci_state){ .id = "c1", .status = OCI_STATUS_STOPPED, .pid = 42, .bundle = "/b" };
	hook = oci_state_write(&s, false);
	is_str(hook, "{\"ociVersion\":\"1.3.0\",\"id\":\"c1\",\"pid\":0,\"status\":\"stopped\",\"bundle\":\"/b\"}");
	is_int(oci_state_parse("{\"id\":\"a\",\"status\":\"odd\",\"bundle\":\"/\"}", 38, &d, &err), -EINVAL);
	is_str(err.msg, "status: unknown status \"odd\"");
	for (int i = 0; i < OCI_STATUS_MAX; i++)
		is_int(oci_status_number(oci_status_word((enum oci_status)i)), i);
	is_int(oci_time_parse("2023-11-14T23:13:20.5+01:00", &t), 0);
	ok(t.tv_sec == 1700000000 && t.tv_nsec == 500000000);
	is_int(oci_time_parse("2023-11-14 22:13:20Z", &t), -EINVAL);
	is_int(oci_time_parse("2023-11-14T22:13:20", &t), -EINVAL);
	is_int(oci_time_parse("2023-11-14T22:13:20.Z", &t), -EINVAL);
	is_str(oci_time_write(&(struct timespec){ 0, 0 }, buf), "1970-01-01T00:00:00Z");
	return tap_done();
}
