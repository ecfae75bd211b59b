/* The history of a site's releases as JSON, and questions to it. */
/* Not for what is on the disk: release.c looks there. */
#include "deploy/history.h"

#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/json.h"
#include "site/fields.h"

#include <stdio.h>
#include <string.h>

#define VERSION 1

static void
clear_entry(struct amy__deploy_entry *entry)
{
    amy__texts_free(entry->migrations);
    entry->migrations = NULL;
}

void
amy__deploy_history_clear(struct amy__deploy_history *history)
{
    for (size_t i = 0; i < history->count; i++) {
        clear_entry(&history->entries[i]);
    }
    amy__free(history->entries);
    *history = (struct amy__deploy_history){.count = 0};
}

/* ---- as a file ---- */

static struct amy__json *
entry_json(const struct amy__deploy_entry *entry)
{
    struct amy__json *json = amy__json_object();

    (void)amy__json_set(json, "link", amy__json_text(entry->link));
    (void)amy__json_set(json, "ref", amy__json_text(entry->ref));
    (void)amy__json_set(json, "commit", amy__json_text(entry->commit));
    (void)amy__json_set(json, "backup", amy__json_text(entry->backup));
    (void)amy__json_set(json, "served_ms",
                        amy__json_int(entry->served_wall_ms));
    (void)amy__json_set(json, "ours", amy__json_bool(entry->ours));
    (void)amy__json_set(json, "left", amy__json_bool(entry->left));
    (void)amy__json_set(json, "migrations",
                        amy__deploy_texts_json(entry->migrations));
    return json;
}

int
amy__deploy_history_write(const struct amy__deploy_history *history,
                          struct amy__buf *out)
{
    AMY_CLEANUP(amy__json_free_p) struct amy__json *json = amy__json_object();
    struct amy__json *list = amy__json_array();

    for (size_t i = 0; i < history->count; i++) {
        (void)amy__json_add(list, entry_json(&history->entries[i]));
    }
    (void)amy__json_set(json, "version", amy__json_int(VERSION));
    (void)amy__json_set(json, "releases", list);
    return amy__json_write(json, 2, out);
}

static bool
read_text(const struct amy__json *json, const char *key, char *ret, size_t size)
{
    return amy__span_copy(amy__span_of(amy__json_get_text(json, key, "")), ret,
                          size);
}

static bool
read_entry(const struct amy__json *json, struct amy__deploy_entry *ret)
{
    if (!read_text(json, "link", ret->link, sizeof(ret->link)) ||
        !amy__deploy_is_link(ret->link) ||
        !read_text(json, "ref", ret->ref, sizeof(ret->ref)) ||
        !read_text(json, "commit", ret->commit, sizeof(ret->commit)) ||
        !read_text(json, "backup", ret->backup, sizeof(ret->backup))) {
        return false;
    }
    ret->served_wall_ms = amy__json_get_int(json, "served_ms", 0);
    ret->ours = amy__json_get_bool(json, "ours", false);
    ret->left = amy__json_get_bool(json, "left", false);
    return amy__deploy_texts(amy__json_get(json, "migrations"),
                             AMY__DEPLOY_MIGRATIONS_MAX,
                             amy__deploy_is_migration, &ret->migrations);
}

static int
read_entries(const struct amy__json *list, struct amy__deploy_history *history,
             struct amy_error *err)
{
    size_t count = amy__json_count(list);

    if (!amy__json_is_array(list) || count > AMY__DEPLOY_HISTORY_MAX) {
        return amy__err(err, AMY_EPARSE, "no list of releases");
    }
    history->entries = amy__calloc(count + 1, sizeof(*history->entries));
    if (history->entries == NULL) {
        return amy__err(err, AMY_ENOMEM, "reading the list of releases");
    }
    for (size_t i = 0; i < count; i++) {
        if (!read_entry(amy__json_at(list, i), &history->entries[i])) {
            return amy__err(err, AMY_EPARSE, "release %zu is not readable", i);
        }
        history->count++;
    }
    return 0;
}

int
amy__deploy_history_read(struct amy__span text,
                         struct amy__deploy_history *ret_history,
                         struct amy_error *err)
{
    AMY_CLEANUP(amy__json_free_p) struct amy__json *json = NULL;
    struct amy__deploy_history history = {.count = 0};
    int rc = 0;

    if (text.n > AMY__DEPLOY_HISTORY_BYTES) {
        return amy__err(err, AMY_EPARSE, "the list of releases is too long");
    }
    rc = amy__json_parse(text, &json, err);
    if (rc == 0 && amy__json_get_int(json, "version", 0) != VERSION) {
        rc = amy__err(err, AMY_EPARSE, "of another version");
    }
    if (rc == 0) {
        rc = read_entries(amy__json_get(json, "releases"), &history, err);
    }
    if (rc < 0) {
        amy__deploy_history_clear(&history);
        return rc;
    }
    *ret_history = history;
    return 0;
}

/* ---- questions ---- */

struct amy__deploy_entry *
amy__deploy_history_find(const struct amy__deploy_history *history,
                         const char *link)
{
    for (size_t i = 0; i < history->count; i++) {
        if (strcmp(history->entries[i].link, link) == 0) {
            return &history->entries[i];
        }
    }
    return NULL;
}

/* Without its texts, which are somebody else's now. */
static void
take_out(struct amy__deploy_history *history, size_t index)
{
    memmove(&history->entries[index], &history->entries[index + 1],
            (history->count - index - 1) * sizeof(history->entries[0]));
    history->count--;
}

void
amy__deploy_history_drop(struct amy__deploy_history *history, const char *link)
{
    struct amy__deploy_entry *entry = amy__deploy_history_find(history, link);

    if (entry != NULL) {
        clear_entry(entry);
        take_out(history, (size_t)(entry - history->entries));
    }
}

struct amy__deploy_entry *
amy__deploy_history_serve(struct amy__deploy_history *history, const char *link,
                          int64_t wall_ms)
{
    const struct amy__deploy_entry *entry =
        amy__deploy_history_find(history, link);
    size_t index =
        entry == NULL ? history->count : (size_t)(entry - history->entries);
    struct amy__deploy_entry kept = {.served_wall_ms = 0};
    struct amy__deploy_entry *entries =
        amy__realloc(history->entries, (history->count + 1) * sizeof(*entries));

    if (entries == NULL) {
        return NULL;
    }
    history->entries = entries;
    if (index < history->count) {
        kept = entries[index];
        take_out(history, index);
    }
    (void)snprintf(kept.link, sizeof(kept.link), "%s", link);
    kept.served_wall_ms = wall_ms;
    kept.left = false;
    if (history->count == AMY__DEPLOY_HISTORY_MAX) {
        clear_entry(&entries[0]);
        take_out(history, 0);
    }
    entries[history->count] = kept;
    return &entries[history->count++];
}

const struct amy__deploy_entry *
amy__deploy_history_before(const struct amy__deploy_history *history,
                           const char *now)
{
    const struct amy__deploy_entry *entry =
        amy__deploy_history_find(history, now);
    size_t index =
        entry == NULL ? history->count : (size_t)(entry - history->entries);

    while (index > 0) {
        index--;
        if (!history->entries[index].left) {
            return &history->entries[index];
        }
    }
    return NULL;
}

bool
amy__deploy_history_is_newer(const struct amy__deploy_history *history,
                             const struct amy__deploy_entry *entry,
                             const char *link)
{
    const struct amy__deploy_entry *other =
        amy__deploy_history_find(history, link);

    if (!entry->ours || other == NULL || !other->ours) {
        return entry->ours;
    }
    return strncmp(link, "repo@", 5) == 0 ? entry > other
                                          : strcmp(entry->link, link) > 0;
}

const struct amy__deploy_entry *
amy__deploy_history_surplus(const struct amy__deploy_history *history,
                            const char *now, size_t keep)
{
    const struct amy__deploy_entry *before =
        amy__deploy_history_before(history, now);
    size_t ours = 0;

    for (size_t i = 0; i < history->count; i++) {
        ours += history->entries[i].ours;
    }
    for (size_t i = 0; i < history->count && ours > keep; i++) {
        const struct amy__deploy_entry *entry = &history->entries[i];

        if (entry->ours && entry != before && strcmp(entry->link, now) != 0) {
            return entry;
        }
    }
    return NULL;
}
