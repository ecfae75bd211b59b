/* JSON values, behind one file that knows jansson. Bounded on reading: size by
 * the caller, nesting 32. Not for streaming. */
#ifndef AMY_CORE_JSON_H
#define AMY_CORE_JSON_H

#include <amy/error.h>

#include "core/buf.h"
#include "core/str.h"

#include <stdbool.h>
#include <stdint.h>

struct amy__json; /* one value and all beneath it; freed by its root */

/* Duplicate keys, trailing bytes and NUL are refused: AMY_EPARSE with line. */
int amy__json_parse(struct amy__span text, struct amy__json **ret,
                    struct amy_error *err);
void amy__json_free(struct amy__json *json);
static inline void
amy__json_free_p(struct amy__json **json)
{
    amy__json_free(*json);
}

/* Makers; NULL when memory is out. Text must be UTF-8; bytes that are not are
 * replaced by '?'. */
struct amy__json *amy__json_object(void);
struct amy__json *amy__json_array(void);
struct amy__json *amy__json_text(const char *text); /* NULL: null */
struct amy__json *amy__json_span(struct amy__span text);
struct amy__json *amy__json_int(int64_t value);
struct amy__json *amy__json_real(double value);
struct amy__json *amy__json_bool(bool value);
struct amy__json *amy__json_null(void);
/* All of it, for another owner; NULL when json is NULL too. */
struct amy__json *amy__json_copy(const struct amy__json *json);

/* Take `value` over, also on failure; a NULL value or container gives
 * AMY_ENOMEM, so makers can be nested without looking at each. What could not
 * be had is missing then, and nothing else changes. */
int amy__json_set(struct amy__json *object, const char *key,
                  struct amy__json *value);
int amy__json_add(struct amy__json *array, struct amy__json *value);
/* How often either has failed in this thread, ever: for whoever makes a whole
 * that may not lack anything, and compares before and after. */
uint64_t amy__json_lost(void);

/* Readers; borrowed results, valid while the root lives. A missing key or
 * another type gives the fallback. */
const struct amy__json *amy__json_get(const struct amy__json *object,
                                      const char *key); /* or NULL */
const char *amy__json_get_text(const struct amy__json *object, const char *key,
                               const char *fallback);
int64_t amy__json_get_int(const struct amy__json *object, const char *key,
                          int64_t fallback);
bool amy__json_get_bool(const struct amy__json *object, const char *key,
                        bool fallback);
size_t amy__json_count(const struct amy__json *json); /* array or object */
const struct amy__json *amy__json_at(const struct amy__json *array, size_t i);
/* i-th pair of an object, in insertion order; false past the end. */
bool amy__json_pair(const struct amy__json *object, size_t i,
                    const char **ret_key, const struct amy__json **ret_value);
const char *amy__json_as_text(const struct amy__json *json,
                              const char *fallback);
int64_t amy__json_as_int(const struct amy__json *json, int64_t fallback);
bool amy__json_is_object(const struct amy__json *json);
bool amy__json_is_array(const struct amy__json *json);
bool amy__json_is_text(const struct amy__json *json);
bool amy__json_is_int(const struct amy__json *json);

/* One line, keys in insertion order; indent > 0 for people. 0, AMY_ELIMIT,
 * AMY_ENOMEM (also when json is NULL); out is as before on failure. */
int amy__json_write(const struct amy__json *json, int indent,
                    struct amy__buf *out);

#endif
