/* Single values of a table's kinds, for fields.c. */
#ifndef AMY_SITE_VALUES_H
#define AMY_SITE_VALUES_H

#include "site/fields.h"

#include <stdbool.h>
#include <stddef.h>

/* True when `text` is allowed for that field; it is stored in record then.
 * Texts and lists are not for this call. */
bool amy__value_set(const struct amy__field *field, const char *text,
                    void *record);

/* What is wrong when it is not: "is no number in range". */
const char *amy__value_why_not(enum amy__field_kind kind);

/* What would be right: the row's own words, or made from its kind in buf; NULL
 * when there are none. */
const char *amy__value_allowed(const struct amy__field *field, char *buf,
                               size_t size);

#endif
