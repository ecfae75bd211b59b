/* The part of YAML that our files may use, as a tree that knows where each
 * piece stood. Anchors, aliases, tags, directives, tabs, second documents,
 * duplicate keys and keys that are no text are reported, never interpreted. */
#ifndef AMY_SITE_SCHEMA_H
#define AMY_SITE_SCHEMA_H

#include <amy/error.h>

#include "core/cleanup.h"
#include "core/str.h"
#include "site/report.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AMY__YAML_MAX_BYTES ((size_t)64 * 1024)
#define AMY__YAML_MAX_DEPTH 8    /* maps and lists inside each other */
#define AMY__YAML_MAX_ITEMS 1000 /* of one map or list */

enum amy__node_kind {
    AMY__NODE_TEXT = 0,
    AMY__NODE_LIST,
    AMY__NODE_MAP,
};

struct amy__node {
    enum amy__node_kind kind;
    uint32_t line; /* from 1; of the value */
    uint32_t column;
    bool empty;  /* nothing, ~ or null without quotes */
    bool spoilt; /* reported already (an alias, say): say no more about it */
    char *text;  /* AMY__NODE_TEXT, NUL-terminated without NUL inside */
    char *key;   /* in a map: its key; else NULL */
    uint32_t key_line;
    uint32_t key_column;
    size_t count; /* children */
    struct amy__node *first;
    struct amy__node *last;
    struct amy__node *next;  /* sibling */
    struct amy__node *chain; /* of all nodes, newest first; for release */
};

struct amy__document {
    struct amy__node *root; /* NULL: the text could not be read */
    struct amy__node *all;
};

/* Read `text` and report what is not allowed in it. The root is NULL when the
 * text is no YAML, too large or empty; otherwise the tree is good to be checked
 * further even if something was reported. */
void amy__document_read(struct amy__document *ret_doc, struct amy__span text,
                        struct amy__report *report);
void amy__document_clear(struct amy__document *doc);

/* The value of that key, or NULL; map may be NULL or no map. */
const struct amy__node *amy__node_get(const struct amy__node *map,
                                      const char *key);
/* The index-th child, or NULL. */
const struct amy__node *amy__node_at(const struct amy__node *list,
                                     size_t index);
/* "a list", "a map", "a value": for messages. */
const char *amy__node_kind_name(const struct amy__node *node);

static inline void
amy__document_clear_p(struct amy__document *doc)
{
    amy__document_clear(doc);
}

#endif
