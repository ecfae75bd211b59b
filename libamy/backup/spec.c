/* A job's spec from and to JSON. */
/* Not for what it means: job.c. */
#include "backup/job.h"
#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/error.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static const char *const actions[] = {"dump",   "verify", "drill", "restore",
                                      "list",   "show",   "pin",   "unpin",
                                      "accept", "prune",  "notify"};
#define ACTION_COUNT (sizeof(actions) / sizeof(actions[0]))

const char *
amy__job_action_name(enum amy__job_action action)
{
    return actions[action];
}

#define TEXT(member)                                                           \
    {                                                                          \
#member, offsetof(struct amy__job_spec, member),                       \
            sizeof(((struct amy__job_spec *)0)->member)                        \
    }
static const struct {
    const char *key;
    size_t offset;
    size_t size;
} texts[] = {TEXT(site), TEXT(from), TEXT(set), TEXT(why),
             TEXT(to),   TEXT(url),  TEXT(body)};
#define TEXT_COUNT (sizeof(texts) / sizeof(texts[0]))

#define NUMBER(member)                                                         \
    {                                                                          \
#member, offsetof(struct amy__retain_rules, member),                   \
            sizeof(((struct amy__retain_rules *)0)->member)                    \
    }
static const struct {
    const char *key;
    size_t offset;
    size_t size;
} numbers[] = {NUMBER(count),        NUMBER(age_ms), NUMBER(hourly),
               NUMBER(daily),        NUMBER(weekly), NUMBER(monthly),
               NUMBER(deploy_age_ms)};
#define NUMBER_COUNT (sizeof(numbers) / sizeof(numbers[0]))

static int64_t
number_at(const struct amy__retain_rules *rules, size_t i)
{
    const char *at = (const char *)rules + numbers[i].offset;
    int64_t wide = 0;
    uint32_t narrow = 0;

    if (numbers[i].size == sizeof(wide)) {
        memcpy(&wide, at, sizeof(wide));
        return wide;
    }
    memcpy(&narrow, at, sizeof(narrow));
    return narrow;
}

int
amy__job_spec_write(const struct amy__job_spec *spec, struct amy__buf *out)
{
    AMY_CLEANUP(amy__json_free_p) struct amy__json *json = amy__json_object();
    int rc =
        amy__json_set(json, "action", amy__json_text(actions[spec->action]));

    for (size_t i = 0; i < TEXT_COUNT; i++) {
        rc |=
            amy__json_set(json, texts[i].key,
                          amy__json_text((const char *)spec + texts[i].offset));
    }
    for (size_t i = 0; i < NUMBER_COUNT; i++) {
        rc |= amy__json_set(json, numbers[i].key,
                            amy__json_int(number_at(&spec->rules, i)));
    }
    if (spec->slot_ms != AMY__MANIFEST_NO_TIME) {
        rc |= amy__json_set(json, "slot_ms", amy__json_int(spec->slot_ms));
    }
    rc |= amy__json_set(json, "silence_ms", amy__json_int(spec->silence_ms));
    rc |= amy__json_set(json, "dry_run", amy__json_bool(spec->dry_run));
    rc |= amy__json_set(json, "tell_log", amy__json_bool(spec->tell_log));
    return rc == 0 ? amy__json_write(json, 0, out) : AMY_ENOMEM;
}

static bool
read_action(const struct amy__json *json, struct amy__job_spec *ret)
{
    const char *name = amy__json_get_text(json, "action", "");

    for (size_t i = 0; i < ACTION_COUNT; i++) {
        if (strcmp(name, actions[i]) == 0) {
            ret->action = (enum amy__job_action)i;
            return true;
        }
    }
    return false;
}

static bool
read_number(const struct amy__json *json, size_t i,
            struct amy__retain_rules *ret)
{
    char *at = (char *)ret + numbers[i].offset;
    int64_t wide = amy__json_get_int(json, numbers[i].key, 0);
    uint32_t narrow = (uint32_t)wide;

    if (wide < 0) {
        return false;
    }
    if (numbers[i].size == sizeof(wide)) {
        memcpy(at, &wide, sizeof(wide));
        return true;
    }
    memcpy(at, &narrow, sizeof(narrow));
    return wide <= UINT32_MAX;
}

int
amy__job_spec_read(struct amy__span text, struct amy__job_spec *ret,
                   struct amy_error *err)
{
    AMY_CLEANUP(amy__json_free_p) struct amy__json *json = NULL;
    int rc = amy__json_parse(text, &json, err);

    if (rc < 0) {
        return rc;
    }
    *ret = (struct amy__job_spec){
        .dry_run = amy__json_get_bool(json, "dry_run", false),
        .tell_log = amy__json_get_bool(json, "tell_log", false),
        .silence_ms = amy__json_get_int(json, "silence_ms", 0),
        .slot_ms = amy__json_get_int(json, "slot_ms", AMY__MANIFEST_NO_TIME)};
    if (!read_action(json, ret)) {
        return amy__err(err, AMY_EPARSE, "a job without an action");
    }
    if (ret->silence_ms < 0 || ret->silence_ms > INT_MAX) {
        return amy__err(err, AMY_EPARSE,
                        "'silence_ms' of a job is out of "
                        "range");
    }
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        const char *value = amy__json_get_text(json, texts[i].key, "");

        if (!amy__span_copy(amy__span_of(value), (char *)ret + texts[i].offset,
                            texts[i].size)) {
            return amy__err(err, AMY_EPARSE, "'%s' of a job is too long",
                            texts[i].key);
        }
    }
    for (size_t i = 0; i < NUMBER_COUNT; i++) {
        if (!read_number(json, i, &ret->rules)) {
            return amy__err(err, AMY_EPARSE, "'%s' of a job is out of range",
                            numbers[i].key);
        }
    }
    return 0;
}
