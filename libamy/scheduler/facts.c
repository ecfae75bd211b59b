/* What a list of sets, as a job tells it, means to the schedule. */
/* Not for reading the sets: the job does, as the site's user. */
#include "backup/manifest.h"
#include "core/error.h"
#include "scheduler/internal.h"

#include <stdio.h>
#include <string.h>

#define WORDS_MAX 255

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

/* Everybody is told of it: numbers and short words, whatever else a process of
 * the site's user has put there. pg_dump's warnings its owner sees in the list.
 */
static struct amy__json *
tellable(const struct amy__json *set)
{
    static const char *const words[] = {"name",    "why",    "started", "slot",
                                        "verdict", "reason", "verified"};
    static const char *const numbers[] = {"duration_ms", "bytes", "tables",
                                          "rows", "restore_ms"};
    static const char *const flags[] = {"ahead", "verified_set", "pinned"};
    struct amy__json *json = amy__json_object();

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        const char *text = amy__json_get_text(set, words[i], NULL);

        (void)amy__json_set(
            json, words[i],
            amy__json_text(text == NULL || strlen(text) <= WORDS_MAX ? text
                                                                     : ""));
    }
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        (void)amy__json_set(
            json, numbers[i],
            amy__json_int(amy__json_get_int(set, numbers[i], 0)));
    }
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        (void)amy__json_set(
            json, flags[i],
            amy__json_bool(amy__json_get_bool(set, flags[i], false)));
    }
    (void)amy__json_set(json, "warning", amy__json_text(""));
    return json;
}

static void
take_good(const struct amy__json *set, struct amy__scheduler_facts *ret)
{
    amy__json_free(ret->good);
    ret->good = tellable(set);
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
