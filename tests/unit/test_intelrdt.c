/* SPDX-License-Identifier: Apache-2.0 */
/* linux.intelRdt against a directory that stands for resctrl: what is made, written, joined, undone. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "container/intelrdt.h"
#include "oci/config.h"
#include "tests/unit/tap.h"

static char root[] = "/tmp/amphi-rdt-XXXXXX";

/* In resctrl the files of a class come with it; here they have to be there before. */
static void class_files(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	(void)mkdir(path, 0755);
	for (size_t i = 0; i < 2; i++) {
		char file[300];

		snprintf(file, sizeof(file), "%s/%s", path, i ? "tasks" : "schemata");
		close(open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
	}
}

/* The last line written: the files of resctrl take one line a write. */
static char *content(const char *name)
{
	char path[256], *text = NULL;

	snprintf(path, sizeof(path), "%s/%s", root, name);
	return fd_slurp_at(AT_FDCWD, path, 4096, &text, NULL) < 0 ? NULL : text;
}

static int exists(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	return access(path, F_OK) == 0;
}

static void test_check(void)
{
	struct oci_intel_rdt rdt = { .clos_id = (char *)"../x" };
	struct err err = { 0 };

	ok(intelrdt_check(NULL, &err) == 0);
	ok(intelrdt_check(&rdt, &err) < 0);
	has_str(err.msg, "linux.intelRdt.closID");
	rdt.clos_id = (char *)"a/b";
	ok(intelrdt_check(&rdt, &err) < 0);
	rdt.clos_id = (char *)"nosuch";
	ok(intelrdt_check(&rdt, &err) == -ENOENT);
	has_str(err.msg, "nosuch");
	rdt.clos_id = (char *)"/";
	ok(intelrdt_check(&rdt, &err) == 0);
	rdt.enable_monitoring = true;
	ok(intelrdt_check(&rdt, &err) == -EOPNOTSUPP);
	has_str(err.msg, "enableMonitoring");
}

static void test_existing(void)
{
	struct oci_intel_rdt rdt = { .clos_id = (char *)"gold",
				     .l3_cache_schema = (char *)"L3:0=f",
				     .mem_bw_schema = (char *)"MB:0=20",
				     .enable_monitoring = true };
	char *lines[] = { (char *)"L2:0=3", NULL };
	struct intelrdt_group g = { 0 };
	struct err err = { 0 };
	char *text;

	class_files("gold");
	class_files("gold/mon_groups");
	class_files("gold/mon_groups/c1");
	rdt.schemata = lines;
	ok(intelrdt_apply(&rdt, "c1", 4711, &g, &err) == 0);
	ok(!g.made);
	text = content("gold/tasks");
	is_str(text, "4711");
	free(text);
	text = content("gold/mon_groups/c1/tasks");
	is_str(text, "4711");
	free(text);
	/* fake files keep what was longest: the last line over the earlier ones */
	text = content("gold/schemata");
	ok(text && !strncmp(text, "L2:0=3\n", 7));
	free(text);
	ok(intelrdt_update(&g, "L3:0=1", NULL, &err) == 0);
	text = content("gold/schemata");
	ok(text && !strncmp(text, "L3:0=1\n", 7));
	free(text);
	intelrdt_free(&g);
	ok(exists("gold"));
}

static void test_own(void)
{
	struct oci_intel_rdt rdt = { .l3_cache_schema = (char *)"L3:0=f" };
	struct intelrdt_group g = { 0 };
	struct json_writer w = { 0 };
	struct err err = { 0 };
	struct json_doc *doc;
	char *text;

	intelrdt_plan(&rdt, "own", &g);
	ok(g.made);
	ok(!exists("own"));
	intelrdt_free(&g);
	/* the directory is made, but this is no resctrl: no schemata appears, and what was made goes again */
	ok(intelrdt_apply(&rdt, "own", 1, &g, &err) < 0);
	has_str(err.msg, "linux.intelRdt.l3CacheSchema");
	ok(!exists("own"));
	intelrdt_free(&g);

	g.dir = path_join(root, "left");
	g.made = true;
	ok(mkdir(g.dir, 0755) == 0);
	intelrdt_save(&g, NULL, &w);
	intelrdt_free(&g);
	text = json_w_steal(&w);
	doc = json_parse(text, strlen(text), "rdt", &err);
	ok(doc && intelrdt_load(json_root(doc), &g, &err) == 0);
	ok(intelrdt_destroy(&g, &err) == 0);
	ok(!exists("left"));
	ok(intelrdt_destroy(&g, &err) == 0);
	intelrdt_free(&g);
	json_doc_free(doc);
	free(text);
	ok(intelrdt_update(&g, "L3:0=1", NULL, &err) < 0);
}

static void test_default_class(void)
{
	struct oci_intel_rdt rdt = { .clos_id = (char *)"/" };
	struct intelrdt_group g = { 0 };
	struct err err = { 0 };
	char *text;

	class_files(".");
	ok(intelrdt_apply(&rdt, "c", 42, &g, &err) == 0);
	text = content("tasks");
	is_str(text, "42");
	free(text);
	ok(!g.made);
	ok(intelrdt_destroy(&g, &err) == 0);
	ok(exists("tasks"));
	intelrdt_free(&g);
}

int main(void)
{
	cleanup_fd int tmp = -1;

	if (!mkdtemp(root))
		return 1;
	intelrdt_use(root);
	ok(intelrdt_enabled());
	ok(!intelrdt_has_monitoring());
	test_check();
	test_existing();
	test_own();
	test_default_class();
	tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ok(path_remove_tree(tmp, root + strlen("/tmp/"), true) == 0);
	return tap_done();
}
