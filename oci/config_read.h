/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files that read config.json: one function for each object of the document, and small readers. */
#ifndef OCI_CONFIG_READ_H
#define OCI_CONFIG_READ_H

#include "base/json.h"
#include "oci/config.h"

/* Leaves the calling function with the negative code of x. */
#define OCI_TRY(x) \
	do { \
		int r_ = (x); \
		if (r_ < 0) \
			return r_; \
	} while (0)

/* Reads one element of an array or member of an object into the zeroed slot. */
typedef int oci_read_fn(const struct json *v, void *slot, struct err *err);

/*
 * Reads the optional array (or object, for the map form) obj.key of elements of size bytes. *ret and *n_ret
 * grow before each call of fn, so that a half-read slot is released with the rest.
 */
int oci_read_array(const struct json *obj, const char *key, size_t size, oci_read_fn *fn, void *ret, size_t *n_ret,
		   struct err *err);
int oci_read_map(const struct json *obj, const char *key, size_t size, oci_read_fn *fn, void *ret, size_t *n_ret,
		 struct err *err);

/* Slot readers: struct oci_pair from a member with a string value; uint32_t; struct oci_idmap. */
int oci_read_pair(const struct json *v, void *slot, struct err *err);
int oci_read_u32(const struct json *v, void *slot, struct err *err);
int oci_read_idmap(const struct json *v, void *slot, struct err *err);

/* Required members: the value, or "PATH.key: required". */
int oci_req(const struct json *obj, const char *key, const struct json **ret, struct err *err);
/* Optional members that also set has: the value is present. */
int oci_opt_u64(const struct json *obj, const char *key, bool *has, uint64_t *ret, struct err *err);
int oci_opt_i64(const struct json *obj, const char *key, bool *has, int64_t *ret, struct err *err);
int oci_opt_u32(const struct json *obj, const char *key, bool *has, uint32_t *ret, struct err *err);
int oci_opt_i32(const struct json *obj, const char *key, bool *has, int32_t *ret, struct err *err);
int oci_opt_u16(const struct json *obj, const char *key, bool *has, uint16_t *ret, struct err *err);
int oci_opt_bool(const struct json *obj, const char *key, bool *has, bool *ret, struct err *err);
/* An optional path that must be absolute. */
int oci_opt_abs(const struct json *obj, const char *key, char **ret, struct err *err);
/* v is a string out of words[0..n): its index in *ret. NULL entries match nothing. */
int oci_read_word(const struct json *v, const char *const *words, size_t n, int *ret, struct err *err);

/* The root must be an object, or "WHAT: expected an object". */
int oci_want_root(const struct json_doc *doc, const char *what, struct err *err);
/* Puts "root." in front of a path below an unnamed root ("cpu.quota: ..."); returns err->code or -EINVAL. */
int oci_below(const char *root, struct err *err);

/* The objects. Each takes the object itself (type checked here). */
int oci_process_read(const struct json *v, struct oci_process *p, struct err *err);
void oci_process_clear(struct oci_process *p);
int oci_linux_read(const struct json *v, struct oci_linux *l, struct err *err);
void oci_linux_clear(struct oci_linux *l);
int oci_resources_read(const struct json *v, struct oci_resources *r, struct err *err);
void oci_resources_clear(struct oci_resources *r);
int oci_seccomp_read(const struct json *v, struct oci_seccomp **ret, struct err *err);
void oci_seccomp_free(struct oci_seccomp *s);
int oci_vm_read(const struct json *v, struct oci_vm **ret, struct err *err);
void oci_vm_free(struct oci_vm *vm);
void oci_pairs_free(struct oci_pair *v, size_t n);

/* Mount words "idmap=uids=…;gids=…" become mappings (config_idmap.c); after mounts and linux were read. */
int oci_idmap_words(struct oci_config *c, struct err *err);
/* crun's annotations become fields (config_crun.c); after everything else was read. */
int oci_crun_annotations(struct oci_config *c, struct err *err);
/* The rules across fields (config_check.c); adds to c->warnings. */
int oci_config_check(struct oci_config *c, struct err *err);
/* The rules of a process alone; at names it in errors ("process"). */
int oci_process_check(const struct oci_process *p, const char *at, struct err *err);

#endif
