/* SPDX-License-Identifier: Apache-2.0 */
/* systemd unit properties as elements of an a(sv): of resources, and of org.systemd.property annotations. */
#ifndef CONTAINER_CGROUP_PROPERTY_H
#define CONTAINER_CGROUP_PROPERTY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct dbus_body;
struct oci_pair;
struct oci_resources;

void cgroup_property_string(struct dbus_body *b, const char *name, const char *value);
void cgroup_property_bool(struct dbus_body *b, const char *name, bool value);
void cgroup_property_u32(struct dbus_body *b, const char *name, uint32_t value);
void cgroup_property_u64(struct dbus_body *b, const char *name, uint64_t value);
void cgroup_property_u32s(struct dbus_body *b, const char *name, const uint32_t *v, size_t n);
void cgroup_property_strings(struct dbus_body *b, const char *name, char *const *v);
/* A bit mask of numbers ("0-3,7") as bytes, lowest first. -EINVAL for a malformed list. */
int cgroup_property_list(struct dbus_body *b, const char *name, const char *list);

/* The resources systemd can express; *n (may be NULL) counts them. r may be NULL. */
void cgroup_property_resources(struct dbus_body *b, const struct oci_resources *r, bool v2, size_t *n);
/*
 * Annotations org.systemd.property.NAME with values in GVariant text: true, 'text', "text", 5, uint32 5, uint64 5,
 * ['a', 'b']. NAMESec counts seconds and becomes NAMEUSec. -EINVAL names the annotation.
 */
int cgroup_property_annotations(struct dbus_body *b, const struct oci_pair *pairs, size_t n, struct err *err);

#endif
