/* SPDX-License-Identifier: Apache-2.0 */
/* The state document, written with runc's keys and read back. */
/*
 * Pure: what goes in is what the caller knows about a container. Members appear in runc's order; rootfs, created
 * and owner, which the specification does not have, are left out for hooks. runtime-spec runtime.md#state.
 */
#include "oci/state.h"

#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "oci/config_read.h"

static const char *const words[] = {
	[OCI_STATUS_CREATING] = "creating", [OCI_STATUS_CREATED] = "created", [OCI_STATUS_RUNNING] = "running",
	[OCI_STATUS_PAUSED] = "paused",     [OCI_STATUS_STOPPED] = "stopped",
};
_Static_assert(ARRAY_SIZE(words) == OCI_STATUS_MAX, "a word for every status");

const char *oci_status_word(enum oci_status s)
{
	return (size_t)s < OCI_STATUS_MAX ? words[s] : NULL;
}

int oci_status_number(const char *word)
{
	for (int i = 0; i < OCI_STATUS_MAX; i++)
		if (!strcmp(words[i], word))
			return i;
	return -1;
}

void oci_state_write_to(struct json_writer *w, const char *key, const struct oci_state *s)
{
	char when[OCI_TIME_MAX];

	json_w_object(w, key);
	json_w_string(w, "ociVersion", OCI_VERSION);
	json_w_string(w, "id", s->id);
	json_w_i64(w, "pid", s->status == OCI_STATUS_STOPPED ? 0 : s->pid);
	json_w_string(w, "status", oci_status_word(s->status));
	json_w_string(w, "bundle", s->bundle);
	if (s->rootfs)
		json_w_string(w, "rootfs", s->rootfs);
	if (s->created.tv_sec)
		json_w_string(w, "created", oci_time_write(&s->created, when));
	if (s->scope)
		json_w_string(w, "systemd-scope", s->scope);
	if (s->n_annotations) {
		json_w_object(w, "annotations");
		for (size_t i = 0; i < s->n_annotations; i++)
			json_w_string(w, s->annotations[i].key, s->annotations[i].value);
		json_w_object_end(w);
	}
	if (s->owner)
		json_w_string(w, "owner", s->owner);
	json_w_object_end(w);
}

char *oci_state_write(const struct oci_state *s, bool indent)
{
	struct json_writer w = { .indent = indent ? 2 : 0 };
	char *text;
	size_t n;

	oci_state_write_to(&w, NULL, s);
	text = json_w_steal(&w);
	n = strlen(text);
	if (n && text[n - 1] == '\n')
		text[n - 1] = '\0';
	return text;
}

static int read_state(const struct json *v, struct oci_state_doc *d, struct err *err)
{
	struct oci_state *s = &d->state;
	const struct json *f;
	const char *word;
	int64_t pid = 0;
	int status;

	OCI_TRY(json_want(v, JSON_OBJECT, err));
	OCI_TRY(json_req_string(v, "id", &d->strings[0], err));
	OCI_TRY(oci_req(v, "status", &f, err));
	OCI_TRY(json_string(f, &word, err));
	status = oci_status_number(word);
	if (status < 0)
		return json_error(f, err, "unknown status \"%.50s\"", word);
	s->status = (enum oci_status)status;
	OCI_TRY(json_opt_i64(v, "pid", &pid, err));
	if (pid < 0 || pid > INT32_MAX)
		return json_error(json_get(v, "pid"), err, "not a process id");
	s->pid = (pid_t)pid;
	OCI_TRY(json_req_string(v, "bundle", &d->strings[1], err));
	OCI_TRY(json_opt_string(v, "rootfs", &d->strings[2], err));
	OCI_TRY(json_opt_string(v, "owner", &d->strings[3], err));
	f = json_get(v, "created");
	if (f) {
		OCI_TRY(json_string(f, &word, err));
		if (oci_time_parse(word, &s->created) < 0)
			return json_error(f, err, "not a time (RFC 3339)");
	}
	OCI_TRY(oci_read_map(v, "annotations", sizeof(struct oci_pair), oci_read_pair, &d->annotations,
			     &s->n_annotations, err));
	s->id = d->strings[0];
	s->bundle = d->strings[1];
	s->rootfs = d->strings[2];
	s->owner = d->strings[3];
	s->annotations = d->annotations;
	return 0;
}

int oci_state_parse(const char *buf, size_t len, struct oci_state_doc **ret, struct err *err)
{
	cleanup_json_doc struct json_doc *doc = json_parse(buf, len, "state", err);
	struct oci_state_doc *d;
	int r;

	if (!doc)
		return -EINVAL;
	OCI_TRY(oci_want_root(doc, "state", err));
	d = xcalloc(1, sizeof(*d));
	r = read_state(json_root(doc), d, err);
	if (r < 0) {
		oci_state_doc_free(d);
		return r;
	}
	*ret = d;
	return 0;
}

void oci_state_doc_free(struct oci_state_doc *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(d->strings); i++)
		free(d->strings[i]);
	oci_pairs_free(d->annotations, d->state.n_annotations);
	free(d);
}

const char *oci_time_write(const struct timespec *t, char buf[OCI_TIME_MAX])
{
	struct tm tm;
	size_t n;

	gmtime_r(&t->tv_sec, &tm);
	/* not strftime(3): it reads /etc/localtime */
	n = (size_t)snprintf(buf, OCI_TIME_MAX, "%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900, tm.tm_mon + 1,
			     tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
	if (t->tv_nsec > 0 && t->tv_nsec < 1000000000) {
		n += (size_t)snprintf(buf + n, OCI_TIME_MAX - n, ".%09u", (unsigned int)t->tv_nsec);
		while (buf[n - 1] == '0')
			n--;
	}
	snprintf(buf + n, OCI_TIME_MAX - n, "Z");
	return buf;
}

int oci_time_parse(const char *s, struct timespec *ret)
{
	struct tm tm = { 0 };
	const char *p = strptime(s, "%Y-%m-%dT%H:%M:%S", &tm);
	long nsec = 0, unit = 100000000, hours, minutes;
	char sign;
	int end = 0;

	if (!p)
		return -EINVAL;
	if (*p == '.') {
		if (p[1] < '0' || p[1] > '9')
			return -EINVAL;
		for (p++; *p >= '0' && *p <= '9'; p++, unit /= 10)
			nsec += (*p - '0') * unit;
	}
	ret->tv_sec = timegm(&tm);
	ret->tv_nsec = nsec;
	if (!strcmp(p, "Z") || !strcmp(p, "z"))
		return 0;
	if (sscanf(p, "%c%2ld:%2ld%n", &sign, &hours, &minutes, &end) != 3 || p[end] || (sign != '+' && sign != '-') ||
	    hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
		return -EINVAL;
	ret->tv_sec -= (sign == '+' ? 1 : -1) * (hours * 3600 + minutes * 60);
	return 0;
}
