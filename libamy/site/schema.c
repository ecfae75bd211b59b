/* From YAML text to a tree with places, on libyaml's events.
 * Not for what the keys mean: that is fields.c and the tables of its users. */
#include "site/schema.h"

#include "core/alloc.h"

#include <string.h>
#include <yaml.h>

/* An open map or list, and the key that waits for its value. */
struct level {
    struct amy__node *node;
    char *key;
    uint32_t key_line;
    uint32_t key_column;
};

struct builder {
    struct amy__document *doc;
    struct amy__report *report;
    struct level levels[AMY__YAML_MAX_DEPTH];
    size_t depth;
    unsigned documents;
    bool stopped; /* what follows cannot be judged */
};

static uint32_t
from_one(size_t zero_based)
{
    return (uint32_t)zero_based + 1;
}

static struct amy__place
place_of(const yaml_mark_t *mark)
{
    return (struct amy__place){.line = from_one(mark->line),
                               .column = from_one(mark->column)};
}

static void
run_out_of_memory(struct builder *b)
{
    b->report->out_of_memory = true;
    b->stopped = true;
}

/* A value in the tree's order: under the open map's key or in the open list. */
static void
attach(struct builder *b, struct amy__node *node)
{
    struct level *top = NULL;

    if (b->depth == 0) {
        b->doc->root = node;
        return;
    }
    top = &b->levels[b->depth - 1];
    node->key = top->key;
    node->key_line = top->key_line;
    node->key_column = top->key_column;
    top->key = NULL;
    if (top->node->last == NULL) {
        top->node->first = node;
    } else {
        top->node->last->next = node;
    }
    top->node->last = node;
    top->node->count++;
}

static struct amy__node *
add_node(struct builder *b, enum amy__node_kind kind, const yaml_mark_t *mark)
{
    struct amy__node *node = amy__calloc(1, sizeof(*node));

    if (node == NULL) {
        run_out_of_memory(b);
        return NULL;
    }
    node->kind = kind;
    node->line = from_one(mark->line);
    node->column = from_one(mark->column);
    node->chain = b->doc->all;
    b->doc->all = node;
    attach(b, node);
    return node;
}

static bool
wants_key(const struct builder *b)
{
    const struct level *top = NULL;

    if (b->depth == 0) {
        return false;
    }
    top = &b->levels[b->depth - 1];
    return top->node->kind == AMY__NODE_MAP && top->key == NULL;
}

/* What a key or value may not carry; true when there is something. */
static bool
refuse_decoration(struct builder *b, const yaml_mark_t *mark,
                  const yaml_char_t *anchor, const yaml_char_t *tag)
{
    struct amy__place place = place_of(mark);

    if (anchor != NULL) {
        amy__report_error(b->report, &place, "anchors (&%.40s) are not allowed",
                          anchor);
    }
    if (tag != NULL) {
        amy__report_error(b->report, &place, "tags (%.40s) are not allowed",
                          tag);
    }
    return anchor != NULL || tag != NULL;
}

static void
refuse_duplicate(struct builder *b, const yaml_event_t *event, const char *key)
{
    struct level *top = &b->levels[b->depth - 1];
    const struct amy__node *earlier = amy__node_get(top->node, key);
    struct amy__place place = place_of(&event->start_mark);

    if (earlier != NULL) {
        amy__report_error(b->report, &place,
                          "key '%.64s' is given twice, first in line %u", key,
                          earlier->key_line);
    }
}

static bool
has_nul(const yaml_event_t *event)
{
    return memchr(event->data.scalar.value, 0, event->data.scalar.length) !=
           NULL;
}

static void
take_key(struct builder *b, const yaml_event_t *event)
{
    struct level *top = &b->levels[b->depth - 1];
    const char *key = (const char *)event->data.scalar.value;
    struct amy__place place = place_of(&event->start_mark);

    (void)refuse_decoration(b, &event->start_mark, event->data.scalar.anchor,
                            event->data.scalar.tag);
    if (has_nul(event)) {
        amy__report_error(b->report, &place, "a key holds a NUL character");
        b->stopped = true;
        return;
    }
    refuse_duplicate(b, event, key);
    top->key = amy__strdup(key);
    if (top->key == NULL) {
        run_out_of_memory(b);
        return;
    }
    top->key_line = place.line;
    top->key_column = place.column;
}

static bool
is_empty(const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;

    return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (text[0] == '\0' || strcmp(text, "~") == 0 ||
            strcmp(text, "null") == 0);
}

static void
take_scalar(struct builder *b, const yaml_event_t *event)
{
    struct amy__node *node = NULL;
    struct amy__place place = place_of(&event->start_mark);

    if (wants_key(b)) {
        take_key(b, event);
        return;
    }
    node = add_node(b, AMY__NODE_TEXT, &event->start_mark);
    if (node == NULL) {
        return;
    }
    node->spoilt =
        refuse_decoration(b, &event->start_mark, event->data.scalar.anchor,
                          event->data.scalar.tag);
    node->empty = is_empty(event);
    if (has_nul(event)) {
        amy__report_error(b->report, &place, "the value holds a NUL character");
        node->spoilt = true;
    }
    node->text = amy__strdup((const char *)event->data.scalar.value);
    if (node->text == NULL) {
        run_out_of_memory(b);
    }
}

static void
take_alias(struct builder *b, const yaml_event_t *event)
{
    struct amy__place place = place_of(&event->start_mark);
    struct amy__node *node = NULL;

    amy__report_error(b->report, &place, "aliases (*%.40s) are not allowed",
                      event->data.alias.anchor);
    if (wants_key(b)) {
        b->stopped = true;
        return;
    }
    node = add_node(b, AMY__NODE_TEXT, &event->start_mark);
    if (node == NULL) {
        return;
    }
    node->spoilt = true;
    node->text = amy__strdup("");
    if (node->text == NULL) {
        run_out_of_memory(b);
    }
}

static void
open_level(struct builder *b, enum amy__node_kind kind,
           const yaml_event_t *event, const yaml_char_t *anchor,
           const yaml_char_t *tag)
{
    struct amy__place place = place_of(&event->start_mark);
    struct amy__node *node = NULL;

    if (wants_key(b)) {
        amy__report_error(b->report, &place, "a key must be text");
        b->stopped = true;
        return;
    }
    if (b->depth == AMY__YAML_MAX_DEPTH) {
        amy__report_error(b->report, &place, "nested deeper than %d levels",
                          AMY__YAML_MAX_DEPTH);
        b->stopped = true;
        return;
    }
    (void)refuse_decoration(b, &event->start_mark, anchor, tag);
    node = add_node(b, kind, &event->start_mark);
    if (node != NULL) {
        b->levels[b->depth++] = (struct level){.node = node};
    }
}

static void
open_document(struct builder *b, const yaml_event_t *event)
{
    struct amy__place place = place_of(&event->start_mark);

    if (++b->documents > 1) {
        amy__report_error(b->report, &place,
                          "a second document begins here; one is allowed");
        b->stopped = true;
        return;
    }
    if (event->data.document_start.version_directive != NULL ||
        event->data.document_start.tag_directives.start !=
            event->data.document_start.tag_directives.end) {
        amy__report_error(b->report, &place, "directives are not allowed");
    }
}

static void
refuse_crowd(struct builder *b, const yaml_event_t *event)
{
    struct amy__place place = place_of(&event->start_mark);

    if (b->depth > 0 &&
        b->levels[b->depth - 1].node->count > AMY__YAML_MAX_ITEMS) {
        amy__report_error(b->report, &place, "more than %d entries",
                          AMY__YAML_MAX_ITEMS);
        b->stopped = true;
    }
}

static void
take_event(struct builder *b, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        open_document(b, event);
        break;
    case YAML_SCALAR_EVENT:
        take_scalar(b, event);
        break;
    case YAML_ALIAS_EVENT:
        take_alias(b, event);
        break;
    case YAML_SEQUENCE_START_EVENT:
        open_level(b, AMY__NODE_LIST, event, event->data.sequence_start.anchor,
                   event->data.sequence_start.tag);
        break;
    case YAML_MAPPING_START_EVENT:
        open_level(b, AMY__NODE_MAP, event, event->data.mapping_start.anchor,
                   event->data.mapping_start.tag);
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        b->depth--;
        break;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        break;
    }
    refuse_crowd(b, event);
}

/* libyaml gives errors of the encoding by offset, others by mark. */
static struct amy__place
place_at(struct amy__span text, size_t offset)
{
    struct amy__place place = {.line = 1, .column = 1};

    for (size_t i = 0; i < offset && i < text.n; i++) {
        if (text.p[i] == '\n') {
            place.line++;
            place.column = 1;
        } else if (((unsigned char)text.p[i] & 0xC0U) != 0x80U) {
            place.column++;
        }
    }
    return place;
}

static void
report_syntax(const yaml_parser_t *parser, struct amy__span text,
              struct amy__report *report)
{
    struct amy__place place = place_of(&parser->problem_mark);
    const char *what =
        parser->problem == NULL ? "not readable" : parser->problem;

    if (parser->error == YAML_MEMORY_ERROR) {
        report->out_of_memory = true;
        return;
    }
    if (parser->error == YAML_READER_ERROR) {
        place = place_at(text, parser->problem_offset);
    }
    if (parser->context == NULL) {
        amy__report_error(report, &place, "no valid YAML: %s", what);
    } else {
        amy__report_error(report, &place, "no valid YAML: %s, %s in line %zu",
                          what, parser->context, parser->context_mark.line + 1);
    }
}

/* False when libyaml gave up. */
static bool
run_parser(yaml_parser_t *parser, struct builder *b)
{
    bool ended = false;

    while (!ended && !b->stopped) {
        yaml_event_t event;

        if (yaml_parser_parse(parser, &event) == 0) {
            return false;
        }
        ended = event.type == YAML_STREAM_END_EVENT;
        take_event(b, &event);
        yaml_event_delete(&event);
    }
    return true;
}

static void
build(struct builder *b, struct amy__span text)
{
    yaml_parser_t parser;

    if (yaml_parser_initialize(&parser) == 0) {
        run_out_of_memory(b);
        return;
    }
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.p,
                                 text.n);
    if (!run_parser(&parser, b)) {
        report_syntax(&parser, text, b->report);
        b->stopped = true;
    }
    yaml_parser_delete(&parser);
    for (size_t i = 0; i < AMY__YAML_MAX_DEPTH; i++) {
        amy__free(b->levels[i].key);
    }
}

static void
report_tab(struct amy__report *report, uint32_t line, struct amy__span before,
           bool indents)
{
    struct amy__place place = place_at(before, before.n);

    place.line = line;
    place.allowed =
        indents ? "spaces to indent" : "spaces, or \\t between double quotes";
    amy__report_error(report, &place, "a tab character");
}

/* Tabs look like spaces and are not; one per line is enough to say. A tab that
 * indents makes the rest unreadable: then true. Others become a space, so that
 * the file's other problems are found too, at their own columns. */
static bool
refuse_tabs(char *text, size_t n, struct amy__report *report)
{
    uint32_t told_line = 0;
    uint32_t line = 1;
    size_t line_start = 0;
    bool indents = true;
    bool fatal = false;

    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\n') {
            line++;
            line_start = i + 1;
            indents = true;
        } else if (text[i] == '\t') {
            if (told_line != line) {
                report_tab(
                    report, line,
                    (struct amy__span){text + line_start, i - line_start},
                    indents);
            }
            told_line = line;
            fatal = fatal || indents;
            text[i] = ' ';
        } else if (text[i] != ' ') {
            indents = false;
        }
    }
    return fatal;
}

static void
read_copy(struct amy__document *doc, char *text, size_t n,
          struct amy__report *report)
{
    struct builder b = {.doc = doc, .report = report};
    struct amy__place whole = {.line = 0};

    if (refuse_tabs(text, n, report)) {
        return;
    }
    build(&b, (struct amy__span){text, n});
    if (b.stopped) {
        doc->root = NULL; /* the nodes stay in doc->all until cleared */
    } else if (doc->root == NULL || doc->root->empty) {
        doc->root = NULL;
        amy__report_error(report, &whole, "the file is empty");
    }
}

void
amy__document_read(struct amy__document *ret_doc, struct amy__span text,
                   struct amy__report *report)
{
    struct amy__place whole = {.line = 0};
    char *copy = NULL;

    *ret_doc = (struct amy__document){.root = NULL};
    if (text.n > AMY__YAML_MAX_BYTES) {
        amy__report_error(report, &whole, "larger than %zu KiB",
                          AMY__YAML_MAX_BYTES / 1024);
        return;
    }
    if (amy__span_starts(text, AMY_SPAN("\xEF\xBB\xBF"))) {
        text.p += 3; /* a byte order mark, which some editors leave */
        text.n -= 3;
    }
    copy = amy__calloc(1, text.n + 1);
    if (copy == NULL) {
        report->out_of_memory = true;
        return;
    }
    if (text.n > 0) {
        memcpy(copy, text.p, text.n);
    }
    read_copy(ret_doc, copy, text.n, report);
    amy__free(copy);
}

void
amy__document_clear(struct amy__document *doc)
{
    struct amy__node *node = doc->all;

    while (node != NULL) {
        struct amy__node *older = node->chain;

        amy__free(node->text);
        amy__free(node->key);
        amy__free(node);
        node = older;
    }
    *doc = (struct amy__document){.root = NULL};
}

const struct amy__node *
amy__node_get(const struct amy__node *map, const char *key)
{
    const struct amy__node *child =
        map == NULL || map->kind != AMY__NODE_MAP ? NULL : map->first;

    while (child != NULL && strcmp(child->key, key) != 0) {
        child = child->next;
    }
    return child;
}

const struct amy__node *
amy__node_at(const struct amy__node *list, size_t index)
{
    const struct amy__node *child = list == NULL ? NULL : list->first;

    while (child != NULL && index > 0) {
        child = child->next;
        index--;
    }
    return child;
}

const char *
amy__node_kind_name(const struct amy__node *node)
{
    switch (node->kind) {
    case AMY__NODE_LIST:
        return "a list";
    case AMY__NODE_MAP:
        return "a map";
    case AMY__NODE_TEXT:
        break;
    }
    return node->empty ? "nothing" : "a single value";
}
