/* Plans a copy: what goes there, what goes away there. */
/* Not for doing either: copy.c. */
#include "backup/copyplan.h"

#include "core/alloc.h"
#include "core/error.h"

#include <stdio.h>
#include <string.h>

static void
describe(const struct amy__copy_item *item, bool counts,
         struct amy__retain_set *ret)
{
    *ret = (struct amy__retain_set){.made_ms = item->made_ms,
                                    .verified = counts,
                                    .pinned = item->pinned,
                                    .deploy = item->deploy,
                                    .ahead = item->ahead};
}

static bool
may_go_there(const struct amy__copy_item *item)
{
    return item->here && item->verified && !item->ahead;
}

void
amy__copyplan(const struct amy__retain_rules *rules,
              struct amy__copy_item *items, size_t n, int64_t now_ms,
              struct amy__retain_set *scratch)
{
    /* As if everything were there: what would the rules keep? */
    for (size_t i = 0; i < n; i++) {
        describe(&items[i], may_go_there(&items[i]) || items[i].proven,
                 &scratch[i]);
    }
    amy__retain(rules, scratch, n, now_ms);
    for (size_t i = 0; i < n; i++) {
        items[i].wanted = may_go_there(&items[i]) && !items[i].proven &&
                          scratch[i].keep != NULL;
    }
    /* As it is. What is not there takes nobody's place. */
    for (size_t i = 0; i < n; i++) {
        describe(&items[i], items[i].proven, &scratch[i]);
    }
    amy__retain(rules, scratch, n, now_ms);
    for (size_t i = 0; i < n; i++) {
        items[i].keep = items[i].wanted || items[i].unread ? "to be read back"
                                                           : scratch[i].keep;
    }
}

/* --- what lies here and what lies there, as one list --- */

static struct amy__copy_item
begin_item(const char *name, int64_t now_ms)
{
    struct amy__copy_item item = {.ahead = amy__set_is_ahead(name, now_ms)};
    unsigned sequence = 0;

    (void)snprintf(item.name, sizeof(item.name), "%s", name);
    (void)amy__stamp_parse(amy__span_of(name), &item.made_ms, &sequence);
    return item;
}

static void
add_here(const struct amy__set *set, struct amy__copy_item *item)
{
    if (set->broken[0] == '\0') { /* a broken one may be sound there */
        item->here = true;
        item->verified = amy__set_is_good(set);
        item->pinned = set->manifest.pinned;
        item->deploy = strcmp(set->manifest.why, "deploy") == 0;
    }
}

bool
amy__copy_is_of(const struct amy__copy_entry *entry,
                const struct amy__manifest *here)
{
    const struct amy__manifest_file *data =
        amy__manifest_file(here, AMY__SET_DATA);

    return data != NULL && strcmp(data->sha256, entry->data) == 0;
}

/* here: the set of that name in DB_backups, if item->here. */
static void
add_there(const struct amy__copy_entry *entry, const struct amy__set *here,
          struct amy__copy_item *item)
{
    item->there = true;
    item->proven = entry->proven &&
                   (!item->here || amy__copy_is_of(entry, &here->manifest));
    item->unread = !item->proven && !entry->bad;
    if (!item->here) {
        item->pinned = entry->pinned;
        item->deploy = entry->deploy;
    }
}

/* Both are sorted, newest first. */
static size_t
merge(const struct amy__sets *sets, const struct amy__copy_record *record,
      int64_t now_ms, struct amy__copy_item *items)
{
    size_t here = 0;
    size_t there = 0;
    size_t n = 0;

    while (here < sets->count || there < record->count) {
        int order = here == sets->count ? -1
                    : there == record->count
                        ? 1
                        : amy__stamp_compare(sets->items[here].manifest.name,
                                             record->items[there].name);
        const char *name = order >= 0 ? sets->items[here].manifest.name
                                      : record->items[there].name;

        items[n] = begin_item(name, now_ms);
        if (order >= 0) {
            add_here(&sets->items[here], &items[n]);
        }
        if (order <= 0) {
            add_there(&record->items[there++],
                      order == 0 ? &sets->items[here] : NULL, &items[n]);
        }
        here += order >= 0;
        n += items[n].here || items[n].there;
    }
    return n;
}

int
amy__copy_items(const struct amy__sets *sets,
                const struct amy__copy_record *record,
                const struct amy__retain_rules *rules, int64_t now_ms,
                struct amy__copy_item **ret_items, size_t *ret_n,
                struct amy_error *err)
{
    size_t room = sets->count + record->count + 1;
    struct amy__copy_item *items = amy__calloc(room, sizeof(*items));
    struct amy__retain_set *scratch = amy__calloc(room, sizeof(*scratch));

    if (items == NULL || scratch == NULL) {
        amy__free(items);
        amy__free(scratch);
        return amy__err(err, AMY_ENOMEM, "planning a copy");
    }
    *ret_n = merge(sets, record, now_ms, items);
    amy__copyplan(rules, items, *ret_n, now_ms, scratch);
    amy__free(scratch);
    *ret_items = items;
    return 0;
}
