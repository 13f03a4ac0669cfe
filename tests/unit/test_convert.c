/* SPDX-License-Identifier: Apache-2.0 */
/* images/convert: image-spec conversion.md, users looked up inside the image, people's options. */
#include "images/convert.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "tests/unit/tap.h"

static int root;
static char *const no_words[] = { NULL };

static void put(const char *path, const char *text)
{
	cleanup_fd int fd = openat(root, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	ok(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

static void user(const char *text, const char *want, const char *fault)
{
	struct convert_user u = { 0 };
	struct err err = { 0 };
	struct str s = { 0 };
	int r = convert_user(root, text, &u, &err);

	if (fault) {
		ok(r < 0);
		has_str(err.msg, fault);
		return;
	}
	is_int(r, 0);
	str_addf(&s, "%u:%u %s", u.uid, u.gid, u.home ? u.home : "-");
	for (size_t i = 0; i < u.n_gids; i++)
		str_addf(&s, " %u", u.gids[i]);
	is_str(s.s, want);
	str_free(&s);
	free(u.home);
	free(u.gids);
}

static void users(void)
{
	put("etc/passwd", "root:x:0:0::/root:/bin/sh\nweb:x:33:44::/srv:/bin/sh\nbroken\nodd:x:abc:1::/:\n");
	put("etc/group", "root:x:0:\nextra:x:50:other,web\nweb:x:44:web\nmore:x:51:web\n");
	user(NULL, "0:0 /root", NULL);
	user("", "0:0 /root", NULL);
	user("web", "33:44 /srv 50 51", NULL);
	user("33", "33:44 /srv", NULL);
	user("web:extra", "33:50 /srv", NULL);
	user("web:7", "33:7 /srv", NULL);
	user("1234", "1234:0 -", NULL);
	user("1234:50", "1234:50 -", NULL);
	user("nobody", NULL, "no user nobody in the image's /etc/passwd");
	user("odd", NULL, "no user odd");
	user("web:none", NULL, "no group none in the image's /etc/group");
	user("a:b:c", NULL, "expected USER or USER:GROUP");
	user("web:", NULL, "expected USER or USER:GROUP");
	user("4294967295", NULL, "not a user id");
	/* the files are looked up inside the image, whatever they are links to */
	unlinkat(root, "etc/passwd", 0);
	ok(symlinkat("/../../other/passwd", root, "etc/passwd") == 0 && mkdirat(root, "other", 0755) == 0);
	put("other/passwd", "inside:x:5:6::/in:/bin/sh\n");
	user("inside", "5:6 /in", NULL);
	unlinkat(root, "etc/passwd", 0);
	ok(mkfifoat(root, "etc/passwd", 0644) == 0); /* does not block */
	user("inside", NULL, "no user inside");
	unlinkat(root, "etc/passwd", 0);
	put("etc/passwd", "root:x:0:0::/root:/bin/sh\nweb:x:33:44::/srv:/bin/sh\n");
}

/* A member of the document by its names, "process.args.1". */
static const struct json *at(const struct json *v, const char *path)
{
	cleanup_strv char **names = strv_split(path, '.');

	for (size_t i = 0; v && i < strv_len(names); i++) {
		uint32_t n;

		if (v->type == JSON_ARRAY)
			v = parse_u32(names[i], &n) == 0 && n < v->c.n ? &v->c.v[n] : NULL;
		else
			v = json_get(v, names[i]);
	}
	return v;
}

static struct json_doc *convert(const struct oci_image *i, const struct convert_options *o, const char *fault)
{
	cleanup_free char *text = NULL;
	struct err err = { 0 };
	int r = convert_image(i, root, o, &text, &err);

	if (fault) {
		ok(r < 0);
		has_str(err.msg, fault);
		return NULL;
	}
	is_int(r, 0);
	is_str(err.msg, "");
	return text ? json_parse(text, strlen(text), "config.json", NULL) : NULL;
}

static const char *text_at(struct json_doc *doc, const char *path)
{
	const struct json *v = doc ? at(json_root(doc), path) : NULL;

	return v && v->type == JSON_STRING ? v->s : NULL;
}

/* An annotation; its key has dots. */
static const char *note(struct json_doc *doc, const char *key)
{
	const struct json *v = json_get(json_get(json_root(doc), "annotations"), key);

	return v && v->type == JSON_STRING ? v->s : NULL;
}

int main(void)
{
	char dir[] = "/tmp/amphi-convert-XXXXXX";
	char *env[] = { (char *)"A=1", (char *)"PATH=/bin", NULL }, *entry[] = { (char *)"/e", NULL },
	     *cmd[] = { (char *)"c", (char *)"d", NULL };
	char *ports[] = { (char *)"80/tcp", (char *)"53/udp", NULL };
	struct oci_pair labels[] = { { (char *)"org.opencontainers.image.os", (char *)"mine" },
				     { (char *)"k", (char *)"v" } };
	struct oci_image i = { .os = (char *)"linux",
			       .architecture = (char *)"amd64",
			       .author = (char *)"me",
			       .user = (char *)"web",
			       .env = env,
			       .entrypoint = entry,
			       .cmd = cmd,
			       .stop_signal = (char *)"SIGINT",
			       .exposed_ports = ports,
			       .labels = labels,
			       .n_labels = 2 };
	struct convert_options o = { .args = (char **)no_words };
	char *args[] = { (char *)"x", NULL }, *more[] = { (char *)"A=2", (char *)"B=3", NULL },
	     *other[] = { (char *)"/other", NULL }, *bad[] = { (char *)"rel:/x", NULL },
	     *volume[] = { (char *)"/tmp:/mnt:ro", NULL };
	struct json_doc *doc;

	root = mkdtemp(dir) ? open(dir, O_RDONLY | O_DIRECTORY) : -1;
	need(root >= 0 && mkdirat(root, "etc", 0755) == 0);
	users();

	doc = convert(&i, &o, NULL);
	is_str(text_at(doc, "process.args.0"), "/e");
	is_str(text_at(doc, "process.args.2"), "d");
	is_str(text_at(doc, "process.env.0"), "A=1");
	is_str(text_at(doc, "process.env.2"), "HOME=/srv");
	is_str(text_at(doc, "process.cwd"), "/");
	is_str(text_at(doc, "root.path"), "rootfs");
	is_str(note(doc, "org.opencontainers.image.os"), "mine"); /* the label wins */
	is_str(note(doc, "org.opencontainers.image.architecture"), "amd64");
	is_str(note(doc, "org.opencontainers.image.author"), "me");
	is_str(note(doc, "org.opencontainers.image.stopSignal"), "SIGINT");
	is_str(note(doc, "org.opencontainers.image.exposedPorts"), "80/tcp,53/udp");
	is_str(note(doc, "k"), "v");
	json_doc_free(doc);

	o = (struct convert_options){ .args = args, .env = more, .volumes = volume, .workdir = "/w", .user = "33:7" };
	doc = convert(&i, &o, NULL);
	is_str(text_at(doc, "process.args.1"), "x");
	ok(!text_at(doc, "process.args.2"));
	is_str(text_at(doc, "process.cwd"), "/w");
	is_str(text_at(doc, "process.env.0"), "A=2");
	json_doc_free(doc);

	o = (struct convert_options){ .args = (char **)no_words, .entrypoint = other };
	doc = convert(&i, &o, NULL);
	is_str(text_at(doc, "process.args.0"), "/other");
	ok(!text_at(doc, "process.args.1")); /* Cmd goes with the entrypoint it belonged to */
	json_doc_free(doc);

	o = (struct convert_options){ .args = (char **)no_words, .volumes = bad };
	convert(&i, &o, "--volume rel:/x");
	o = (struct convert_options){ .args = (char **)no_words, .user = "ghost" };
	convert(&i, &o, "no user ghost");
	i.entrypoint = i.cmd = NULL;
	o = (struct convert_options){ .args = (char **)no_words };
	convert(&i, &o, "give a command");
	close(root);
	path_remove_tree(AT_FDCWD, dir, true);
	return tap_done();
}
