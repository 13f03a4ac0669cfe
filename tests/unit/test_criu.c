/* SPDX-License-Identifier: Apache-2.0 */
/* criu's messages and the options that a dump and a restore send. No criu is needed. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "container/criu_dump.h"
#include "container/criu_restore.h"
#include "oci/config.h"
#include "tests/unit/tap.h"

/* Is the field with this text (or, text NULL, this number) among those of the message? */
static int has(const struct str *m, unsigned int field, const char *text, int64_t number)
{
	struct str want = { 0 };
	int found;

	if (text)
		criu_rpc_string(&want, field, text);
	else
		criu_rpc_number(&want, field, number);
	found = memmem(m->s, m->len, want.s, want.len) != NULL;
	str_free(&want);
	return found;
}

static void test_messages(void)
{
	static const unsigned char version[] = {
		0x08, 0x0a, 0x10, 0x01, 0x52, 0x06, 0x08, 0x03, 0x10, 0x11, 0x20, 0x01
	};
	static const unsigned char cut[] = { 0x08, 0x0a, 0x52, 0x06, 0x08 };
	static const unsigned char endless[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct criu_rpc_reply r;
	struct str m = { 0 }, sub = { 0 };

	ok(criu_rpc_parse(version, sizeof(version), &r) == 0);
	is_int(r.type, CRIU_RPC_VERSION);
	ok(r.success);
	is_int(r.major, 3);
	is_int(r.minor, 17);
	criu_rpc_reply_free(&r);
	is_int(criu_rpc_parse(cut, sizeof(cut), &r), -EPROTO);
	criu_rpc_reply_free(&r);
	is_int(criu_rpc_parse(endless, sizeof(endless), &r), -EPROTO);
	criu_rpc_reply_free(&r);

	criu_rpc_number(&m, 1, CRIU_RPC_NOTIFY);
	criu_rpc_string(&sub, 1, "setup-namespaces");
	criu_rpc_number(&sub, 2, 4711);
	criu_rpc_message(&m, 5, &sub);
	criu_rpc_number(&m, 7, -1); /* an int32 below zero takes ten bytes */
	criu_rpc_string(&m, 9, "why");
	ok(criu_rpc_parse(m.s, m.len, &r) == 0);
	is_str(r.script, "setup-namespaces");
	is_int(r.pid, 4711);
	is_int(r.error, -1);
	is_str(r.message, "why");
	for (size_t n = 1; n < m.len; n++) {
		struct criu_rpc_reply part;

		(void)criu_rpc_parse(m.s, n, &part);
		criu_rpc_reply_free(&part);
	}
	criu_rpc_reply_free(&r);
	str_free(&m);
	str_free(&sub);
}

static struct oci_config *config(const char *linux_part)
{
	cleanup_free char *text = xasprintf(
		"{\"ociVersion\":\"1.0.2\",\"process\":{\"cwd\":\"/\",\"args\":[\"x\"],\"user\":{\"uid\":0,\"gid\":0}},"
		"\"root\":{\"path\":\"/\"},\"mounts\":[{\"destination\":\"/proc\",\"source\":\"/srv/"
		"p\",\"options\":[\"bind\"]},"
		"{\"destination\":\"/usr\",\"source\":\"/srv/u\",\"options\":[\"rbind\"]},"
		"{\"destination\":\"/tmp\",\"type\":\"tmpfs\"}],\"linux\":%s}",
		linux_part);
	struct oci_config *c = NULL;
	struct err err = { 0 };

	if (oci_config_parse(text, strlen(text), &c, &err) < 0)
		printf("# %s\n", err.msg);
	ok(c != NULL);
	return c;
}

static void test_dump(void)
{
	struct criu_options o = CRIU_OPTIONS_INIT;
	struct oci_config *c =
		config("{\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"network\",\"path\":\"/proc/self/ns/net\"}],"
		       "\"maskedPaths\":[\"/nowhere\"]}");
	struct criu_dump_params p = { .config = c, .rootfs = "/root/fs", .pid = getpid(), .options = &o };
	cleanup_free char *streams = NULL;
	struct str m = { 0 };
	struct err err = { 0 };

	o.images_fd = 7;
	o.work_fd = 8;
	o.leave_running = o.file_locks = o.tcp_established = o.pre_dump = o.empty_net = true;
	o.parent_path = "../before";
	o.manage_cgroups = "ignore";
	o.page_address = "127.0.0.1";
	o.page_port = 4242;
	ok(criu_dump_opts(&p, &m, &streams, &err) == 0);
	ok(has(&m, 1, NULL, 7));
	ok(has(&m, CRIU_OPT_PID, NULL, getpid()));
	ok(has(&m, CRIU_OPT_LEAVE_RUNNING, NULL, 1));
	ok(has(&m, CRIU_OPT_TRACK_MEM, NULL, 1));
	ok(has(&m, CRIU_OPT_PARENT, "../before", 0));
	ok(has(&m, 34, NULL, 0));          /* IGNORE */
	ok(has(&m, 38, NULL, 0x40000000)); /* CLONE_NEWNET */
	ok(has(&m, 1, "127.0.0.1", 0));
	ok(has(&m, 37, "mnt[/proc]:/proc", 0));
	ok(!has(&m, 37, "mnt[/usr]:/usr", 0)); /* nothing is mounted there */
	ok(!memmem(m.s, m.len, "nowhere", 7));
	ok(memmem(m.s, m.len, "]:" CRIU_OUTER_NET, strlen("]:" CRIU_OUTER_NET)) != NULL);
	ok(!has(&m, 7, NULL, 1)); /* no shell job */
	ok(streams && *streams == '[');
	str_free(&m);
	oci_config_free(c);
}

static void test_restore(void)
{
	struct criu_options o = CRIU_OPTIONS_INIT;
	struct oci_config *c = config("{\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"network\",\"path\":\"/run/"
				      "ns\"}],\"maskedPaths\":[\"/proc/kcore\"]}");
	struct criu_restore_params p = { .config = c, .rootfs = "/root/fs", .options = &o, .console_socket = -1 };
	struct str m = { 0 }, inherit = { 0 }, root = { 0 };
	struct err err = { 0 };

	o.lsm_profile = "apparmor:other";
	ok(criu_restore_opts(&p, "[\"/dev/null\",\"pipe:[77]\",\"file[1c:9]\"]",
			     "1:name=systemd:/a\n4:memory,cpu:/b\n0::/c\n", &m, &err) == 0);
	ok(has(&m, CRIU_OPT_SIBLING, NULL, 1));
	ok(has(&m, 37, "mnt[/usr]:/srv/u", 0));
	ok(has(&m, 37, "mnt[/proc/kcore]:/dev/null", 0));
	ok(!memmem(m.s, m.len, "mnt[/tmp]", 9));
	ok(has(&m, CRIU_OPT_LSM_PROFILE, "apparmor:other", 0));
	criu_rpc_string(&inherit, 1, "pipe:[77]");
	criu_rpc_number(&inherit, 2, CRIU_FIRST_FD + 2);
	ok(memmem(m.s, m.len, inherit.s, inherit.len) != NULL);
	ok(memmem(m.s, m.len, "file[1c:9]", 10) != NULL);
	ok(!memmem(m.s, m.len, "/dev/null\"", 10));
	criu_rpc_string(&root, 1, "cpu");
	criu_rpc_string(&root, 2, "/b");
	ok(memmem(m.s, m.len, root.s, root.len) != NULL);
	ok(memmem(m.s, m.len, CRIU_OUTER_NET, strlen(CRIU_OUTER_NET)) != NULL);
	str_free(&root);
	str_free(&inherit);
	str_free(&m);
	ok(criu_restore_opts(&p, "{}", "", &m, &err) < 0);
	has_str(err.msg, CRIU_STREAMS);
	str_free(&m);
	ok(criu_restore_opts(&p, "[5]", "", &m, &err) < 0);
	str_free(&m);
	oci_config_free(c);
}

int main(void)
{
	test_messages();
	test_dump();
	test_restore();
	return tap_done();
}
