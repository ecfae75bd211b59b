/* Walks a map of YAML along a table of fields and fills a struct.
 * Not for rules between keys (rules.c) nor for YAML itself (schema.c). */
#include "site/fields.h"

#include "core/alloc.h"
#include "core/error.h"
#include "net/address.h"
#include "site/values.h"

#include <stdio.h>
#include <string.h>

/* Longest text shown of a faulty value. */
#define SHOWN 64
#define ALLOWED_SIZE 400

static void *
at(void *record, size_t offset)
{
    return (char *)record + offset;
}

/* --- reporting --- */

static void
report_node(struct amy__fields_reader *reader, const struct amy__node *node,
            const struct amy__field *field, const char *message)
{
    char allowed[ALLOWED_SIZE];
    struct amy__place place = {
        .line = node->line,
        .column = node->column,
        .key = reader->path,
        .allowed = amy__value_allowed(field, allowed, sizeof(allowed)),
    };

    if (!node->spoilt) {
        amy__report_error(reader->report, &place, "%s", message);
    }
}

static void
report_value(struct amy__fields_reader *reader, const struct amy__node *node,
             const struct amy__field *field, const char *why)
{
    const char *secret = strstr(node->text, "://"); /* a URL may hold one */
    struct amy__span text = {node->text, secret == NULL
                                             ? strlen(node->text)
                                             : (size_t)(secret - node->text)};
    char shown[SHOWN + 1];
    char message[SHOWN + 160];

    if ((field->flags & AMY__FIELD_SECRET) != 0) {
        (void)snprintf(message, sizeof(message), "what is there %s", why);
        report_node(reader, node, field, message);
        return;
    }
    (void)amy__escape(text, shown, sizeof(shown));
    (void)snprintf(message, sizeof(message), "'%s%s' %s", shown,
                   secret == NULL ? "" : "://...", why);
    report_node(reader, node, field, message);
}

static void
report_kind(struct amy__fields_reader *reader, const struct amy__node *node,
            const struct amy__field *field, const char *belongs)
{
    char message[80];

    (void)snprintf(message, sizeof(message), "%s where %s belongs",
                   node->empty ? "nothing" : amy__node_kind_name(node),
                   belongs);
    report_node(reader, node, field, message);
}

/* --- single values --- */

/* A single value with text in it; reported when it is not. */
static bool
is_value(struct amy__fields_reader *reader, const struct amy__field *field,
         const struct amy__node *node)
{
    if (node->kind == AMY__NODE_TEXT && !node->empty && !node->spoilt) {
        return true;
    }
    report_kind(reader, node, field, "a single value");
    return false;
}

static bool
has_control(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7F) {
            return true;
        }
    }
    return false;
}

/* A text that the row's check accepts. */
static bool
is_good_text(struct amy__fields_reader *reader, const struct amy__field *field,
             const struct amy__node *node)
{
    struct amy_error err = AMY_ERROR_INIT;

    if (!is_value(reader, field, node)) {
        return false;
    }
    if (node->text[0] == '\0' &&
        (field->kind == AMY__FIELD_TEXT || field->check != NULL)) {
        report_value(reader, node, field, "is empty");
        return false;
    }
    if (field->kind == AMY__FIELD_TEXT && has_control(node->text)) {
        report_value(reader, node, field, "holds a control character");
        return false;
    }
    if (field->check != NULL &&
        field->check(amy__span_of(node->text), &err) < 0) {
        report_value(reader, node, field, err.msg);
        return false;
    }
    return true;
}

static void
store_text(struct amy__fields_reader *reader, const struct amy__field *field,
           const char *text, void *record)
{
    char **target = at(record, field->offset);

    amy__free(*target);
    *target = amy__strdup(text);
    if (*target == NULL) {
        reader->report->out_of_memory = true;
    }
}

/* --- paths of keys --- */

/* Lengthen the path by ".key" or "[index]"; returns the length to go back to.
 */
static size_t
enter_key(struct amy__fields_reader *reader, const char *key)
{
    size_t old = strlen(reader->path);

    (void)snprintf(reader->path + old, sizeof(reader->path) - old, "%s%s",
                   old == 0 ? "" : ".", key);
    return old;
}

static size_t
enter_item(struct amy__fields_reader *reader, size_t index)
{
    size_t old = strlen(reader->path);

    (void)snprintf(reader->path + old, sizeof(reader->path) - old, "[%zu]",
                   index);
    return old;
}

static void
leave(struct amy__fields_reader *reader, size_t old)
{
    reader->path[old] = '\0';
}

/* --- lists --- */

/* Make room for `count` items; NULL when there are none or no memory. */
static void *
make_items(struct amy__fields_reader *reader, const struct amy__field *field,
           size_t count, size_t item_size, void *record)
{
    void *items = NULL;

    if (count == 0) {
        return NULL;
    }
    items = amy__calloc(count, item_size);
    if (items == NULL) {
        reader->report->out_of_memory = true;
        return NULL;
    }
    memcpy(at(record, field->offset), &items, sizeof(items));
    return items;
}

static bool
is_list(struct amy__fields_reader *reader, const struct amy__field *field,
        const struct amy__node *node)
{
    if (node->kind != AMY__NODE_LIST) {
        report_kind(reader, node, field, "a list");
        return false;
    }
    if (field->max > 0 && node->count > (size_t)field->max) {
        char message[64];

        (void)snprintf(message, sizeof(message), "more than %lld entries",
                       (long long)field->max);
        report_node(reader, node, field, message);
        return false;
    }
    if ((field->flags & AMY__FIELD_SOME) != 0 && node->count == 0) {
        report_node(reader, node, field, "an empty list");
        return false;
    }
    return true;
}

static void
read_texts(struct amy__fields_reader *reader, const struct amy__field *field,
           const struct amy__node *node, void *record)
{
    const struct amy__node *child = node->first;
    char ***target = at(record, field->offset);

    for (size_t i = 0; child != NULL; i++, child = child->next) {
        size_t old = enter_item(reader, i);

        if (is_good_text(reader, field, child) &&
            !amy__texts_add(target, child->text)) {
            reader->report->out_of_memory = true;
        }
        leave(reader, old);
    }
}

static bool
parse_item(const struct amy__field *field, const char *text, void *items,
           size_t index, struct amy_error *err)
{
    struct amy__span span = amy__span_of(text);

    if (field->kind == AMY__FIELD_CIDRS) {
        struct amy__cidr *cidrs = items;

        return amy__cidr_parse(span, &cidrs[index], err) == 0;
    }
    return amy__address_parse(span, (uint16_t)field->min,
                              &((struct amy__address *)items)[index],
                              err) == 0 &&
           (field->check == NULL || field->check(span, err) == 0);
}

/* A list of addresses or networks: what each means is net/'s to say. */
static void
read_network(struct amy__fields_reader *reader, const struct amy__field *field,
             const struct amy__node *node, void *record)
{
    size_t size = field->kind == AMY__FIELD_CIDRS ? sizeof(struct amy__cidr)
                                                  : sizeof(struct amy__address);
    void *items = make_items(reader, field, node->count, size, record);
    const struct amy__node *child = items == NULL ? NULL : node->first;
    size_t *count = at(record, field->count_offset);

    for (size_t i = 0; child != NULL; i++, child = child->next) {
        struct amy_error err = AMY_ERROR_INIT;
        size_t old = enter_item(reader, i);

        if (is_value(reader, field, child)) {
            if (parse_item(field, child->text, items, *count, &err)) {
                (*count)++;
            } else {
                report_node(reader, child, field, err.msg);
            }
        }
        leave(reader, old);
    }
}

static void
read_maps(struct amy__fields_reader *reader, const struct amy__field *field,
          const struct amy__node *node, void *record)
{
    char *items =
        make_items(reader, field, node->count, field->item_size, record);
    const struct amy__node *child = items == NULL ? NULL : node->first;
    size_t *count = at(record, field->count_offset);

    for (size_t i = 0; child != NULL; i++, child = child->next) {
        size_t old = enter_item(reader, i);

        if (child->kind != AMY__NODE_MAP) {
            report_kind(reader, child, field, "a map");
            amy__fields_read(reader, field->fields, NULL,
                             items + i * field->item_size);
        } else {
            amy__fields_read(reader, field->fields, child,
                             items + i * field->item_size);
        }
        (*count)++;
        leave(reader, old);
    }
}

/* --- one key --- */

/* A map within a map has its defaults set twice: absent, then given. Each way
 * here must stand that. */
static void
set_standard(struct amy__fields_reader *reader, const struct amy__field *field,
             void *record)
{
    const char *standard = reader->test && field->test_standard != NULL
                               ? field->test_standard
                               : field->standard;

    if (field->kind == AMY__FIELD_MAP) {
        amy__fields_read(reader, field->fields, NULL, record);
    } else if (field->kind == AMY__FIELD_TEXTS &&
               (field->flags & AMY__FIELD_NEVER_NULL) != 0) {
        char ***target = at(record, field->offset);

        amy__texts_free(*target);
        *target = NULL;
        (void)make_items(reader, field, 1, sizeof(char *), record);
    } else if (field->kind == AMY__FIELD_CUSTOM) {
        (void)field->set(record, (struct amy__span){NULL, 0});
    } else if (field->kind == AMY__FIELD_TEXT && standard != NULL) {
        store_text(reader, field, standard, record);
    } else if (standard != NULL && field->item_size == 0) {
        (void)amy__value_set(field, standard, record);
    }
}

static void
read_single(struct amy__fields_reader *reader, const struct amy__field *field,
            const struct amy__node *node, void *record)
{
    if (field->kind == AMY__FIELD_TEXT) {
        if (is_good_text(reader, field, node)) {
            store_text(reader, field, node->text, record);
        }
    } else if (is_value(reader, field, node) &&
               !amy__value_set(field, node->text, record)) {
        report_value(reader, node, field, amy__value_why_not(field->kind));
    }
}

static void
read_list(struct amy__fields_reader *reader, const struct amy__field *field,
          const struct amy__node *node, void *record)
{
    if (!is_list(reader, field, node)) {
        return;
    }
    if (field->kind == AMY__FIELD_TEXTS) {
        read_texts(reader, field, node, record);
    } else if (field->kind == AMY__FIELD_MAPS) {
        read_maps(reader, field, node, record);
    } else {
        read_network(reader, field, node, record);
    }
}

static const struct amy__field *
find_field(const struct amy__field *fields, const char *key)
{
    for (; fields->key != NULL; fields++) {
        if (strcmp(fields->key, key) == 0) {
            return fields;
        }
    }
    return NULL;
}

static void
read_map(struct amy__fields_reader *reader, const struct amy__field *field,
         const struct amy__node *node, void *record)
{
    if (node->kind == AMY__NODE_MAP) {
        amy__fields_read(reader, field->fields, node, record);
    } else if (node->kind == AMY__NODE_TEXT && field->short_for != NULL) {
        read_single(reader, find_field(field->fields, field->short_for), node,
                    record);
    } else {
        report_kind(reader, node, field, "a map");
    }
}

static void
read_field(struct amy__fields_reader *reader, const struct amy__field *field,
           const struct amy__node *node, void *record)
{
    switch (field->kind) {
    case AMY__FIELD_TEXTS:
    case AMY__FIELD_CIDRS:
    case AMY__FIELD_ADDRESSES:
    case AMY__FIELD_MAPS:
        read_list(reader, field, node, record);
        return;
    case AMY__FIELD_MAP:
        read_map(reader, field, node, record);
        return;
    case AMY__FIELD_TEXT:
    case AMY__FIELD_BOOL:
    case AMY__FIELD_WORD:
    case AMY__FIELD_COUNT:
    case AMY__FIELD_SIZE:
    case AMY__FIELD_DURATION:
    case AMY__FIELD_SECONDS:
    case AMY__FIELD_CUSTOM:
        break;
    }
    read_single(reader, field, node, record);
}

/* --- unknown keys --- */

static size_t
smallest(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;

    return least < c ? least : c;
}

/* Letters to add, drop or change to get from a to b (Levenshtein); `far` when
 * one is too long to be a slip of the other. */
static size_t
distance(const char *a, const char *b, size_t far)
{
    size_t row[33];
    size_t n = strlen(b);

    if (n >= sizeof(row) / sizeof(row[0]) || strlen(a) > n + far) {
        return far;
    }
    for (size_t j = 0; j <= n; j++) {
        row[j] = j;
    }
    for (size_t i = 0; a[i] != '\0'; i++) {
        size_t diagonal = row[0];

        row[0] = i + 1;
        for (size_t j = 0; j < n; j++) {
            size_t above = row[j + 1];

            row[j + 1] = smallest(above + 1, row[j] + 1,
                                  diagonal + (a[i] == b[j] ? 0 : 1));
            diagonal = above;
        }
    }
    return row[n];
}

static const char *
nearest_key(const struct amy__field *fields, const char *key)
{
    const char *best = NULL;
    size_t best_distance = 3;

    for (; fields->key != NULL; fields++) {
        size_t d = distance(key, fields->key, 3);

        if (d < best_distance && d < strlen(fields->key)) {
            best = fields->key;
            best_distance = d;
        }
    }
    return best;
}

static void
report_unknown(struct amy__fields_reader *reader,
               const struct amy__field *fields, const struct amy__node *node)
{
    const char *near = nearest_key(fields, node->key);
    char shown[SHOWN + 1];
    char allowed[ALLOWED_SIZE];
    size_t n = 0;
    size_t old = 0;
    struct amy__place place = {.line = node->key_line,
                               .column = node->key_column,
                               .key = reader->path,
                               .allowed = allowed};

    (void)amy__escape(amy__span_of(node->key), shown, sizeof(shown));
    old = enter_key(reader, shown);
    for (; fields->key != NULL && n < sizeof(allowed); fields++) {
        int more = snprintf(allowed + n, sizeof(allowed) - n, "%s%s",
                            n == 0 ? "" : ", ", fields->key);

        n += more < 0 ? sizeof(allowed) : (size_t)more;
    }
    if (near == NULL) {
        amy__report_error(reader->report, &place, "unknown key");
    } else {
        amy__report_error(reader->report, &place,
                          "unknown key, did you mean '%s'?", near);
    }
    leave(reader, old);
}

static void
report_missing(struct amy__fields_reader *reader,
               const struct amy__field *field, const struct amy__node *map)
{
    char allowed[ALLOWED_SIZE];
    struct amy__place place = {
        .line = map->line,
        .column = map->column,
        .key = reader->path,
        .allowed = amy__value_allowed(field, allowed, sizeof(allowed)),
    };

    amy__report_error(reader->report, &place, "is required and missing");
}

void
amy__fields_read(struct amy__fields_reader *reader,
                 const struct amy__field *fields, const struct amy__node *map,
                 void *record)
{
    const struct amy__node *node = map == NULL ? NULL : map->first;

    /* Defaults first: a faulty value then leaves its default in place. */
    for (const struct amy__field *field = fields; field->key != NULL; field++) {
        set_standard(reader, field, record);
        if (map != NULL && (field->flags & AMY__FIELD_REQUIRED) != 0 &&
            amy__node_get(map, field->key) == NULL) {
            size_t old = enter_key(reader, field->key);

            report_missing(reader, field, map);
            leave(reader, old);
        }
    }
    for (; node != NULL; node = node->next) {
        const struct amy__field *field = find_field(fields, node->key);
        size_t old = 0;

        if (field == NULL) {
            report_unknown(reader, fields, node);
        } else if (amy__node_get(map, node->key) == node) {
            /* The first of two equal keys; the second was reported. */
            old = enter_key(reader, node->key);
            read_field(reader, field, node, record);
            leave(reader, old);
        }
    }
}

static void
clear_maps(const struct amy__field *field, void *record)
{
    char *items = *(char **)at(record, field->offset);
    size_t count = *(size_t *)at(record, field->count_offset);

    for (size_t i = 0; i < count; i++) {
        amy__fields_clear(field->fields, items + i * field->item_size);
    }
    amy__free(items);
}

static void
clear_field(const struct amy__field *field, void *record)
{
    switch (field->kind) {
    case AMY__FIELD_MAP:
        amy__fields_clear(field->fields, record);
        return;
    case AMY__FIELD_MAPS:
        clear_maps(field, record);
        return;
    case AMY__FIELD_TEXTS:
        amy__texts_free(*(char ***)at(record, field->offset));
        return;
    case AMY__FIELD_TEXT:
    case AMY__FIELD_CIDRS:
    case AMY__FIELD_ADDRESSES:
        amy__free(*(void **)at(record, field->offset));
        return;
    case AMY__FIELD_BOOL:
    case AMY__FIELD_WORD:
    case AMY__FIELD_COUNT:
    case AMY__FIELD_SIZE:
    case AMY__FIELD_DURATION:
    case AMY__FIELD_SECONDS:
    case AMY__FIELD_CUSTOM:
        return;
    }
}

void
amy__fields_clear(const struct amy__field *fields, void *record)
{
    for (; fields->key != NULL; fields++) {
        clear_field(fields, record);
    }
}
