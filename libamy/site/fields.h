/* From a tree of YAML to a C struct, by a table: one row per key says its type,
 * default, bounds and where it goes. The same table reads, fills in defaults,
 * releases, and is what docs/site-yaml.md is checked against. */
#ifndef AMY_SITE_FIELDS_H
#define AMY_SITE_FIELDS_H

#include <amy/error.h>

#include "core/str.h"
#include "site/report.h"
#include "site/schema.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum amy__field_kind {
    AMY__FIELD_TEXT = 0,  /* char * */
    AMY__FIELD_TEXTS,     /* char **, NULL-terminated */
    AMY__FIELD_BOOL,      /* bool; or two words of its own */
    AMY__FIELD_WORD,      /* int or an enum: one of `words` */
    AMY__FIELD_COUNT,     /* uint32_t within min..max */
    AMY__FIELD_SIZE,      /* uint64_t bytes within min..max */
    AMY__FIELD_DURATION,  /* int64_t ms within min..max (ms) */
    AMY__FIELD_SECONDS,   /* int64_t s, written as a duration; min..max in ms */
    AMY__FIELD_CUSTOM,    /* what `set` makes of a single value */
    AMY__FIELD_CIDRS,     /* struct amy__cidr * and count_offset */
    AMY__FIELD_ADDRESSES, /* struct amy__address * and count_offset; min is the
                             default port */
    AMY__FIELD_MAP,       /* nested keys, into the same struct */
    AMY__FIELD_MAPS,      /* list of maps: array of item_size, count_offset */
};

#define AMY__FIELD_REQUIRED 1U
/* AMY__FIELD_TEXTS: absent gives an empty list instead of NULL. */
#define AMY__FIELD_NEVER_NULL 2U
/* AMY__FIELD_TEXTS: may not be an empty list. */
#define AMY__FIELD_SOME 4U
/* Never shown, not even when it is wrong. */
#define AMY__FIELD_SECRET 8U

struct amy__word {
    const char *word;
    int value;
};

/* 0, or AMY_EINVAL with the fault in err.msg. */
typedef int (*amy__field_check_fn)(struct amy__span text,
                                   struct amy_error *err);
/* Store text in record; {NULL, 0}: the key is absent. False: not allowed. */
typedef bool (*amy__field_set_fn)(void *record, struct amy__span text);

/* A row. A table ends with a row whose key is NULL. */
struct amy__field {
    const char *key;
    enum amy__field_kind kind;
    unsigned flags;
    const char *standard;      /* the default as one would write it, or NULL */
    const char *test_standard; /* another one with `stage: test`; or NULL */
    const char *allowed; /* for messages; NULL: made from kind and bounds */
    size_t offset;
    size_t count_offset;
    size_t item_size;
    int64_t min;
    int64_t max;
    const struct amy__word *words;   /* ends with NULL */
    const struct amy__field *fields; /* of AMY__FIELD_MAP and _MAPS */
    const char *short_for;     /* AMY__FIELD_MAP: the key that a single value in
                                  its place is meant for, or NULL */
    amy__field_check_fn check; /* of each text or address */
    amy__field_set_fn set;     /* AMY__FIELD_CUSTOM */
};

struct amy__fields_reader {
    struct amy__report *report;
    bool test;      /* it is a test site's */
    char path[256]; /* dotted, of what is being read */
};

/* Fill record (zeroed before) from map by the table, reporting every fault.
 * Absent and faulty keys get their defaults, so that record can be judged
 * further and must be cleared in any case. map NULL: defaults only. */
void amy__fields_read(struct amy__fields_reader *reader,
                      const struct amy__field *fields,
                      const struct amy__node *map, void *record);

/* Release what amy__fields_read stored in record. */
void amy__fields_clear(const struct amy__field *fields, void *record);

/* Append a copy to a NULL-terminated list (NULL: empty); false: no memory. */
bool amy__texts_add(char ***list, const char *text);
size_t amy__texts_count(char *const *list);
void amy__texts_free(char **list);

#endif
