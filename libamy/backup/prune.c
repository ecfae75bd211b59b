/* Removes the sets that no rule keeps. */
/* Not for the rules: retain.c. */
#include "backup/job.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/error.h"

#include <string.h>

/* What retention sees of a set. A broken one is nobody's business but a
 * person's. */
static void
describe(const struct amy__set *set, int64_t now_ms,
         struct amy__retain_set *ret)
{
    int64_t made_ms = 0;
    unsigned sequence = 0;

    (void)amy__stamp_parse(amy__span_of(set->manifest.name), &made_ms,
                           &sequence);
    *ret = (struct amy__retain_set){
        .made_ms = made_ms,
        .verified = amy__set_is_good(set),
        .pinned = set->broken[0] != '\0' || set->manifest.pinned,
        .deploy = strcmp(set->manifest.why, "deploy") == 0,
        .ahead = amy__set_is_ahead(set->manifest.name, now_ms),
    };
}

static int
remove_others(struct amy__job *job, const struct amy__sets *sets,
              const struct amy__retain_set *facts, bool dry_run,
              struct amy__json *ret_list, struct amy_error *err)
{
    int rc = 0;

    for (size_t i = sets->count; i-- > 0 && rc == 0;) { /* oldest first */
        const char *name = sets->items[i].manifest.name;

        if (facts[i].keep != NULL) {
            continue;
        }
        (void)amy__json_add(ret_list, amy__json_text(name));
        if (!dry_run) {
            rc = amy__set_remove(job->sets_fd, name, err);
            if (rc == AMY_EEXIST) { /* a person's file is left, and no set */
                rc = 0;
            }
            amy__job_log(job,
                         rc < 0 ? "%s could not be removed"
                                : "%s removed: no rule keeps it",
                         name);
        }
    }
    return rc;
}

/* What a copy is still to get stays until it was read back there. */
static int
keep_for_copies(struct amy__job *job, const struct amy__sets *sets,
                struct amy__retain_set *facts, struct amy_error *err)
{
    bool *waits = amy__calloc(sets->count + 1, sizeof(*waits));
    int rc = 0;

    if (waits == NULL) {
        return amy__err(err, AMY_ENOMEM, "pruning");
    }
    rc = amy__copy_waits(job, sets, waits, err);
    for (size_t i = 0; i < sets->count; i++) {
        if (waits[i] && facts[i].keep == NULL) {
            facts[i].keep = "not copied yet";
        }
    }
    amy__free(waits);
    return rc;
}

int
amy__prune(struct amy__job *job, bool dry_run, struct amy__json *ret_list,
           struct amy_error *err)
{
    struct amy__sets sets;
    struct amy__retain_set *facts = NULL;
    int64_t now_ms = amy__wall_ms(job->borrow_clock);
    int rc = amy__sets_read(job->sets_fd, &sets, err);

    facts = amy__calloc(sets.count + 1, sizeof(*facts));
    if (facts == NULL) {
        amy__sets_clear(&sets);
        return amy__err(err, AMY_ENOMEM, "pruning");
    }
    if (rc == 0) {
        for (size_t i = 0; i < sets.count; i++) {
            describe(&sets.items[i], now_ms, &facts[i]);
        }
        amy__retain(&job->spec.rules, facts, sets.count, now_ms);
        rc = keep_for_copies(job, &sets, facts, err);
        rc = rc < 0 ? rc
                    : remove_others(job, &sets, facts, dry_run, ret_list, err);
    }
    amy__free(facts);
    amy__sets_clear(&sets);
    return rc;
}
