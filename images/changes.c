/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration changes of import and commit. */
/*
 * One table of words and what kind of member each sets. A scalar or a command is replaced by its last change; an
 * environment or label entry replaces the old one of the same name; ports and volumes are added. Members that no
 * change names are copied as they are, unknown ones included. image-spec config.md.
 */
#include "images/changes.h"

#include <string.h>
#include <strings.h>

#include "base/str.h"

enum kind { TEXT, COMMAND, ASSIGN_LIST, ASSIGN_MAP, KEYS };

static const struct word {
	const char *word, *key;
	enum kind kind;
} words[] = {
	{ "USER", "User", TEXT },
	{ "WORKDIR", "WorkingDir", TEXT },
	{ "STOPSIGNAL", "StopSignal", TEXT },
	{ "CMD", "Cmd", COMMAND },
	{ "ENTRYPOINT", "Entrypoint", COMMAND },
	{ "ENV", "Env", ASSIGN_LIST },
	{ "LABEL", "Labels", ASSIGN_MAP },
	{ "EXPOSE", "ExposedPorts", KEYS },
	{ "VOLUME", "Volumes", KEYS },
};

/* The text behind the word, or NULL. */
static const char *value_of(const char *change, const struct word *w)
{
	size_t n = strlen(w->word);

	if (strncasecmp(change, w->word, n) || change[n] != ' ')
		return NULL;
	return change + n + 1 + strspn(change + n + 1, " ");
}

static int check(char *const *changes, struct err *err)
{
	for (size_t i = 0; i < strv_len(changes); i++) {
		const char *value = NULL;

		for (size_t k = 0; k < ARRAY_SIZE(words) && !value; k++) {
			value = value_of(changes[i], &words[k]);
			if (value && (words[k].kind == ASSIGN_LIST || words[k].kind == ASSIGN_MAP) &&
			    (!strchr(value, '=') || *value == '='))
				return err_set(err, -EINVAL, "--change %s: expected NAME=VALUE", changes[i]);
		}
		if (str_empty(value))
			return err_set(err, -EINVAL,
				       "--change %s: expected CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, "
				       "VOLUME or WORKDIR",
				       changes[i]);
	}
	return 0;
}

static int write_command(struct json_writer *w, const char *key, const char *value, const char *change, struct err *err)
{
	cleanup_json_doc struct json_doc *doc = NULL;

	json_w_array(w, key);
	if (*value == '[') {
		doc = json_parse(value, strlen(value), "list", err);
		if (!doc || json_root(doc)->type != JSON_ARRAY)
			return err_set(err, -EINVAL, "--change %s: expected a JSON list", change);
		json_for_each(v, json_root(doc)) {
			if (v->type != JSON_STRING)
				return err_set(err, -EINVAL, "--change %s: expected a list of strings", change);
			json_w_string(w, NULL, v->s);
		}
	} else {
		json_w_string(w, NULL, "/bin/sh");
		json_w_string(w, NULL, "-c");
		json_w_string(w, NULL, value);
	}
	json_w_array_end(w);
	return 0;
}

/* Is the old entry NAME=... or key NAME set anew by a change? */
static bool replaced(const struct word *k, const char *name, size_t n, char *const *changes, size_t before)
{
	for (size_t i = 0; i < strv_len(changes); i++) {
		const char *value = value_of(changes[i], k);

		if (i >= before && value && !strncmp(value, name, n) &&
		    (value[n] == '=' || (k->kind == KEYS && !value[n])))
			return true;
	}
	return false;
}

static int write_member(struct json_writer *w, const struct word *k, const struct json *old, char *const *changes,
			struct err *err)
{
	const char *last = NULL, *change = NULL;
	bool list = k->kind == ASSIGN_LIST;

	for (size_t i = 0; i < strv_len(changes); i++) {
		const char *value = value_of(changes[i], k);

		last = value ? value : last;
		change = value ? changes[i] : change;
	}
	if (!last) {
		if (old)
			json_w_value(w, k->key, old);
		return 0;
	}
	if (k->kind == TEXT) {
		json_w_string(w, k->key, last);
		return 0;
	}
	if (k->kind == COMMAND)
		return write_command(w, k->key, last, change, err);
	if (list)
		json_w_array(w, k->key);
	else
		json_w_object(w, k->key);
	if (old && (old->type == JSON_ARRAY || old->type == JSON_OBJECT)) {
		json_for_each(v, old) {
			const char *name = list ? (v->type == JSON_STRING ? v->s : "") : v->key;

			if (!replaced(k, name, list ? strcspn(name, "=") : strlen(name), changes, 0))
				json_w_value(w, list ? NULL : v->key, v);
		}
	}
	for (size_t i = 0; i < strv_len(changes); i++) {
		const char *value = value_of(changes[i], k);
		size_t n = value ? strcspn(value, "=") : 0;
		cleanup_free char *name = value ? xstrndup(value, n) : NULL;

		if (!value || replaced(k, value, k->kind == KEYS ? strlen(value) : n, changes, i + 1))
			continue;
		if (list) {
			json_w_string(w, NULL, value);
		} else if (k->kind == ASSIGN_MAP) {
			json_w_string(w, name, value + n + 1);
		} else {
			json_w_object(w, value);
			json_w_object_end(w);
		}
	}
	if (list)
		json_w_array_end(w);
	else
		json_w_object_end(w);
	return 0;
}

int changes_write(struct json_writer *w, const struct json *old, char *const *changes, struct err *err)
{
	int r = check(changes, err);

	if (r < 0)
		return r;
	json_w_object(w, "config");
	if (old && old->type == JSON_OBJECT) {
		json_for_each(v, old) {
			bool ours = false;

			for (size_t k = 0; k < ARRAY_SIZE(words); k++)
				ours = ours || !strcmp(v->key, words[k].key);
			if (!ours)
				json_w_value(w, v->key, v);
		}
	}
	for (size_t k = 0; k < ARRAY_SIZE(words) && r >= 0; k++)
		r = write_member(w, &words[k], json_get(old, words[k].key), changes, err);
	json_w_object_end(w);
	return r;
}
