/* SPDX-License-Identifier: Apache-2.0 */
/* CNI documents: configurations, plugin input, results, errors. */
#include "base/str.h"
#include "network/cni_doc.h"
#include "network/network_lease.h"
#include "tests/unit/tap.h"

static struct err e;

static int parse(const char *text, struct cni_doc_list *l)
{
	e = (struct err){ 0 };
	return cni_doc_parse(text, strlen(text), "x.conflist", l, &e);
}

static void test_config(void)
{
	static const struct {
		const char *text, *message;
	} bad[] = {
		{ "{", "x.conflist" },
		{ "[]", "object" },
		{ "{\"cniVersion\":\"9.0.0\",\"name\":\"n\",\"plugins\":[{\"type\":\"a\"}]}", "cniVersion" },
		{ "{\"cniVersion\":\"1.0.0\",\"plugins\":[{\"type\":\"a\"}]}", "name" },
		{ "{\"cniVersion\":\"1.0.0\",\"name\":\"a/b\",\"plugins\":[{\"type\":\"a\"}]}", "name" },
		{ "{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":[]}", "plugins" },
		{ "{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":[{}]}", "plugins[0]" },
		{ "{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":[{\"type\":\"../sh\"}]}",
		  "not the name of a plugin" },
		{ "{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":{\"type\":\"a\"}}", "plugins" },
	};
	struct cni_doc_list l;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		is_int(parse(bad[i].text, &l), -EINVAL);
		has_str(e.msg, bad[i].message);
	}
	is_int(parse("{\"cniVersion\":\"0.4.0\",\"cniVersions\":[\"0.3.1\",\"1.1.0\",\"7.0.0\"],\"name\":\"n\","
		     "\"type\":\"bridge\"}",
		     &l),
	       0);
	is_str(l.version, "1.1.0");
	is_int(l.n_plugins, 1);
	cni_doc_free(&l);
}

static void test_input(void)
{
	static const char text[] =
		"{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":[{\"type\":\"portmap\",\"odd\":{\"x\":[1,2.5]},"
		"\"capabilities\":{\"portMappings\":true,\"mac\":false}}]}";
	struct network_request q;
	struct cni_doc_list l;
	cleanup_free char *caps = NULL, *input = NULL;
	cleanup_json_doc struct json_doc *c = NULL, *prev = json_parse("{\"ips\":[]}", 10, "prev", &e);

	need(parse(text, &l) == 0);
	network_request_init(&q, "c", "/c", NETWORK_CONTAINER);
	network_request_add_network(&q, "n:mac=02:00:00:00:00:01,rate-in=1mbit", &e);
	network_request_add_port(&q, "8080:80", &e);
	caps = cni_doc_capabilities(&q, "n");
	has_str(caps, "\"mac\":\"02:00:00:00:00:01\"");
	has_str(caps, "\"ingressRate\":1000000");
	c = json_parse(caps, strlen(caps), "caps", &e);
	input = cni_doc_input(&l, l.plugins[0], json_root(c), json_root(prev), NULL);
	is_str(input,
	       "{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"type\":\"portmap\",\"odd\":{\"x\":[1,2.5]},"
	       "\"runtimeConfig\":{\"portMappings\":[{\"hostPort\":8080,\"containerPort\":80,\"protocol\":\"tcp\"}]},"
	       "\"prevResult\":{\"ips\":[]}}");
	network_request_free(&q);
	cni_doc_free(&l);
}

static int result(const char *text, struct network_lease *l)
{
	cleanup_json_doc struct json_doc *d = json_parse(text, strlen(text), "result", &e);

	return d ? cni_doc_result(json_root(d), l, &e) : -1;
}

static void test_result(void)
{
	static const char good[] = "{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"br0\"},{\"name\":\"eth0\","
				   "\"mac\":\"02:00:00:00:00:01\",\"sandbox\":\"/n\"}],"
				   "\"ips\":[{\"address\":\"10.0.0.1/24\",\"interface\":0},{\"address\":\"10.0.0.2/"
				   "24\",\"gateway\":\"10.0.0.1\",\"interface\":1}],"
				   "\"routes\":[{\"dst\":\"0.0.0.0/0\",\"gw\":\"10.0.0.1\"}],\"dns\":{}}";
	static const char *const bad[] = {
		"[]",
		"{\"ips\":[{}]}",
		"{\"ips\":[{\"address\":\"10.0.0.1/24\",\"interface\":3}]}",
		"{\"interfaces\":[{\"sandbox\":\"/n\",\"name\":\"waytoolonganinterfacename\"}]}",
		"{\"routes\":[{\"dst\":\"x\"}]}",
		"{\"interfaces\":[{\"sandbox\":\"/n\",\"name\":\"a\",\"mac\":\"zz\"}]}"
	};
	struct network_lease l = { 0 };

	is_int(result(good, &l), 0);
	is_int(l.n_ifaces, 1);
	is_int(l.ifaces[0].set.n_addrs, 1);
	is_int(l.ifaces[0].set.n_routes, 1);
	network_lease_free(&l);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		is_int(result(bad[i], &l), -EINVAL);
		network_lease_free(&l);
	}
	is_int(cni_doc_error("{\"code\":7,\"msg\":\"no\",\"details\":\"way\"}", "bridge", "ADD", &e), -EIO);
	is_str(e.msg, "CNI plugin bridge ADD: no: way");
	is_int(cni_doc_error("panic: x\nmore", "bridge", "DEL", &e), -EIO);
	is_str(e.msg, "CNI plugin bridge DEL failed: panic: x");
}

int main(void)
{
	test_config();
	test_input();
	test_result();
	return tap_done();
}
