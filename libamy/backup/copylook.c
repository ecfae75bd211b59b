/* What is known here of the copies, for lists and for retention. */
/* Not for going there: copy.c. */
#include "backup/copyplan.h"
#include "backup/job.h"
#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/clock.h"

#include <string.h>

/* One copy as it should be by its rules, and as it is as far as we know. */
struct view {
    struct amy__copy_record record;
    struct amy__copy_item *items;
    size_t n;
};

static void
view_clear(struct view *view)
{
    amy__copy_record_clear(&view->record);
    amy__free(view->items);
}

static int
look(struct amy__job *job, const struct amy__copy_rules *copy,
     const struct amy__sets *sets, struct view *ret, struct amy_error *err)
{
    int rc = amy__copies_load(job->sets_fd, copy->name, copy->place,
                              &ret->record, err);

    return rc < 0 ? rc
                  : amy__copy_items(sets, &ret->record, &copy->rules,
                                    amy__wall_ms(job->borrow_clock),
                                    &ret->items, &ret->n, err);
}

static struct amy__json *
entry_json(const struct amy__copy_entry *entry)
{
    struct amy__json *json = amy__json_object();

    (void)amy__json_set(json, "name", amy__json_text(entry->name));
    (void)amy__json_set(json, "bytes", amy__json_int((int64_t)entry->bytes));
    (void)amy__json_set(json, "proven", amy__manifest_time(entry->proven_ms));
    return json;
}

/* Failures show as an answer that says less: see amy__json_set. */
static struct amy__json *
view_json(const struct amy__copy_rules *copy, const struct view *view)
{
    struct amy__json *json = amy__json_object();
    struct amy__json *there = amy__json_array();
    int64_t newest_ms = AMY__MANIFEST_NO_TIME;
    int64_t missing = 0;
    uint64_t bytes = 0;

    for (size_t i = 0; i < view->record.count; i++) {
        bytes += view->record.items[i].bytes;
        (void)amy__json_add(there, entry_json(&view->record.items[i]));
    }
    for (size_t i = view->n; i-- > 0;) { /* the newest one comes last */
        missing += view->items[i].wanted;
        if (view->items[i].proven && !view->items[i].ahead) {
            newest_ms = view->items[i].made_ms;
        }
    }
    (void)amy__json_set(json, "name", amy__json_text(copy->name));
    (void)amy__json_set(json, "sets", there);
    (void)amy__json_set(json, "bytes", amy__json_int((int64_t)bytes));
    (void)amy__json_set(json, "newest", amy__manifest_time(newest_ms));
    (void)amy__json_set(json, "missing", amy__json_int(missing));
    return json;
}

int
amy__copy_tell(struct amy__job *job, struct amy_error *err)
{
    struct amy__json *list = amy__json_array();
    int rc = 0;

    for (size_t i = 0; i < job->spec.copy_count && rc == 0; i++) {
        const struct amy__copy_rules *copy = &job->spec.copies[i];
        AMY_CLEANUP(view_clear) struct view view = {.items = NULL};

        rc = look(job, copy, &job->sets, &view, err);
        if (rc == 0) {
            (void)amy__json_add(list, view_json(copy, &view));
        }
    }
    (void)amy__json_set(job->result, "copies", list);
    return rc;
}

int
amy__copy_places(struct amy__job *job, const char *name,
                 struct amy__json *ret_list, struct amy_error *err)
{
    int rc = 0;

    for (size_t i = 0; i < job->spec.copy_count && rc == 0; i++) {
        AMY_CLEANUP(amy__copy_record_clear_p) struct amy__copy_record record;
        const struct amy__copy_rules *copy = &job->spec.copies[i];
        const struct amy__copy_entry *entry = NULL;

        rc = amy__copies_load(job->sets_fd, copy->name, copy->place, &record,
                              err);
        entry = amy__copy_record_find(&record, name);
        if (entry != NULL && entry->proven) {
            rc = amy__json_add(ret_list, amy__json_text(copy->name));
        }
    }
    return rc;
}

/* Both are sorted, newest first. */
static void
mark_wanted(const struct view *view, const struct amy__sets *sets,
            bool *ret_waits)
{
    size_t at = 0;

    for (size_t i = 0; i < sets->count; i++) {
        const char *name = sets->items[i].manifest.name;

        while (at < view->n &&
               amy__stamp_compare(view->items[at].name, name) > 0) {
            at++;
        }
        if (at < view->n && strcmp(view->items[at].name, name) == 0) {
            ret_waits[i] = ret_waits[i] || view->items[at].wanted;
        }
    }
}

int
amy__copy_waits(struct amy__job *job, const struct amy__sets *sets,
                bool *ret_waits, struct amy_error *err)
{
    int rc = 0;

    for (size_t i = 0; i < job->spec.copy_count && rc == 0; i++) {
        AMY_CLEANUP(view_clear) struct view view = {.items = NULL};

        rc = look(job, &job->spec.copies[i], sets, &view, err);
        if (rc == 0) {
            mark_wanted(&view, sets, ret_waits);
        }
    }
    return rc;
}
