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
read_set(const struct amy__json *set, struct amy__scheduler_facts *ret)
{
    bool good = amy__json_get_bool(set, "verified_set", false);
    const char *verdict = amy__json_get_text(set, "verdict", "");
    const char *reason = amy__json_get_text(set, "reason", "");

    ret->sets++;
    ret->bytes += (uint64_t)amy__json_get_int(set, "bytes", 0);
    if (amy__json_get_bool(set, "ahead", false)) {
        ret->ahead++;
        return;
    }
    if (ret->sets - ret->ahead == 1) {
        (void)snprintf(ret->newest_name, sizeof(ret->newest_name), "%s",
                       amy__json_get_text(set, "name", ""));
        (void)snprintf(ret->newest_verdict, sizeof(ret->newest_verdict), "%s",
                       verdict);
        (void)snprintf(ret->newest_reason, sizeof(ret->newest_reason),
                       AMY_SPAN_FMT, AMY_SPAN_ARG(amy__own_words(reason)));
    }
    if (good && ret->good == NULL) {
        ret->good = amy__json_copy(set);
        /* pg_dump's words: its owner sees them in the list. */
        (void)amy__json_set(ret->good, "warning", amy__json_text(""));
        ret->good_ms = time_at(set, "started");
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
