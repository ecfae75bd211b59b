/* What a copy of a site's sets lacks, and what it has too much. Pure.
 *
 * A copy has rules of its own. It is to have what those would keep if all that
 * is verified here lay there; of what lies there only what was read back counts
 * for anything, so nothing goes on account of a set that may not be sound. Nor
 * does one go that nobody has read yet: it may be all that is left of a host
 * that is gone. */
#ifndef AMY_BACKUP_COPYPLAN_H
#define AMY_BACKUP_COPYPLAN_H

#include <amy/error.h>

#include "backup/copyrecord.h"
#include "backup/retain.h"
#include "backup/set.h"
#include "core/civil.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One set, wherever it lies. */
struct amy__copy_item {
    char name[AMY__STAMP_SIZE];
    int64_t made_ms;
    bool here;     /* in DB_backups */
    bool verified; /* and its verdict counts */
    bool there;    /* complete at the copy */
    bool proven;   /* and read back */
    bool unread;   /* nobody knows yet what it is worth: it stays */
    bool pinned;
    bool deploy;
    bool ahead;       /* dated in the future */
    bool wanted;      /* out: the copy is to have it, and has not */
    const char *keep; /* out, of what is there: why it stays; NULL: it goes */
};

/* items: newest first. scratch: room for as many. */
void amy__copyplan(const struct amy__retain_rules *rules,
                   struct amy__copy_item *items, size_t n, int64_t now_ms,
                   struct amy__retain_set *scratch);
/* Is what lies there a copy of this set? A name may have come twice in a
 * second.
 */
bool amy__copy_is_of(const struct amy__copy_entry *entry,
                     const struct amy__manifest *here);
/* All that lies here or there, planned; *ret_items is the caller's to free.
 * AMY_ENOMEM */
int amy__copy_items(const struct amy__sets *sets,
                    const struct amy__copy_record *record,
                    const struct amy__retain_rules *rules, int64_t now_ms,
                    struct amy__copy_item **ret_items, size_t *ret_n,
                    struct amy_error *err);

#endif
