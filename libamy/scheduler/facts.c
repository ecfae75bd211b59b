/* What a list of sets, as a job tells it, means to the schedule. */
/* Not for reading the sets: the job does, as the site's user. */
#include "backup/manifest.h"
#include "core/error.h"
#include "scheduler/internal.h"

#include <stdio.h>
#include <string.h>

static int64_t
time_at(const struct amy__json *set, const char *key)
{
    int64_t ms = AMY__MANIFEST_NO_TIME;

    if (!amy__civil_parse(amy__span_of(amy__json_get_text(set, key, "")),
                          &ms)) {
        return AMY__MANIFEST_NO_TIME;
    }
    return ms;
}

static void
take_newest(const struct amy__json *set, struct amy__scheduler_facts *ret)
{
    const char *reason = amy__json_get_text(set, "reason", "");

    (void)snprintf(ret->newest_name, sizeof(ret->newest_name), "%s",
                   amy__json_get_text(set, "name", ""));
    (void)snprintf(ret->newest_verdict, sizeof(ret->newest_verdict), "%s",
                   amy__json_get_text(set, "verdict", ""));
    (void)snprintf(ret->newest_reason, sizeof(ret->newest_reason), AMY_SPAN_FMT,
                   AMY_SPAN_ARG(amy__own_words(reason)));
}

static void
take_good(const struct amy__json *set, struct amy__scheduler_facts *ret)
{
    amy__json_free(ret->good);
    ret->good = amy__json_copy(set);
    /* pg_dump's words: its owner sees them in the list. */
    (void)amy__json_set(ret->good, "warning", amy__json_text(""));
    ret->good_ms = time_at(set, "started");
}

static bool
is_good(const struct amy__json *set)
{
    return amy__json_get_bool(set, "verified_set", false);
}

static bool
is_ahead(const struct amy__json *set)
{
    return amy__json_get_bool(set, "ahead", false);
}

static void
read_set(const struct amy__json *set, struct amy__scheduler_facts *ret)
{
    const char *verdict = amy__json_get_text(set, "verdict", "");

    ret->sets++;
    ret->bytes += (uint64_t)amy__json_get_int(set, "bytes", 0);
    if (is_ahead(set)) {
        ret->ahead++;
        return;
    }
    if (ret->sets - ret->ahead == 1) {
        take_newest(set, ret);
    }
    if (is_good(set) && ret->good == NULL) {
        take_good(set, ret);
    }
    if (ret->slot_ms == AMY__MANIFEST_NO_TIME) {
        ret->slot_ms = time_at(set, "slot");
    }
    if (ret->drilled_ms == AMY__MANIFEST_NO_TIME &&
        strcmp(verdict, "restored") == 0) {
        ret->drilled_ms = time_at(set, "verified");
    }
}

void
amy__scheduler_facts_made(const struct amy__json *set,
                          struct amy__scheduler_facts *ret)
{
    if (set == NULL || is_ahead(set)) {
        return;
    }
    take_newest(set, ret);
    if (is_good(set)) {
        take_good(set, ret);
    }
}

void
amy__scheduler_facts_clear(struct amy__scheduler_facts *facts)
{
    amy__json_free(facts->good);
    *facts = (struct amy__scheduler_facts){.good_ms = AMY__MANIFEST_NO_TIME,
                                           .slot_ms = AMY__MANIFEST_NO_TIME,
                                           .drilled_ms = AMY__MANIFEST_NO_TIME};
}

void
amy__scheduler_facts_read(const struct amy__json *result,
                          struct amy__scheduler_facts *ret)
{
    const struct amy__json *sets = amy__json_get(result, "sets");

    amy__scheduler_facts_clear(ret);
    ret->known = true;
    ret->foreign = (size_t)amy__json_get_int(result, "foreign", 0);
    for (size_t i = 0; i < amy__json_count(sets); i++) {
        read_set(amy__json_at(sets, i), ret); /* newest first */
    }
}
