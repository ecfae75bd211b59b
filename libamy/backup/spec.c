/* A job's spec from and to JSON. */
/* Not for what it means: job.c. */
#include "backup/job.h"
#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/error.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

static const char *const actions[] = {
    "dump",        "verify", "drill",  "restore", "list",   "show",
    "pin",         "unpin",  "accept", "prune",   "notify", "copy",
    "verify-copy", "fetch",  "lend",   "refresh", "sweep"};
#define ACTION_COUNT (sizeof(actions) / sizeof(actions[0]))

const char *
amy__job_action_name(enum amy__job_action action)
{
    return actions[action];
}

/* A member of a struct that JSON has by the same name. */
struct member {
    const char *key; /* NULL: no more */
    size_t offset;
    size_t size;
};
#define MEMBER(type, member)                                                   \
    {                                                                          \
#member, offsetof(struct type, member),                                \
            sizeof(((struct type *)0)->member)                                 \
    }
#define TEXT(member) MEMBER(amy__job_spec, member)
#define COPY(member) MEMBER(amy__copy_spec, member)

static const struct member texts[] = {
    TEXT(site), TEXT(from), TEXT(set),    TEXT(why),   TEXT(to),
    TEXT(url),  TEXT(body), TEXT(lender), TEXT(scrub), {NULL, 0, 0}};

static const struct member copy_texts[] = {
    COPY(name),     COPY(directory), COPY(s3),          COPY(region),
    COPY(endpoint), COPY(style),     COPY(credentials), COPY(profile),
    COPY(ca_file),  {NULL, 0, 0}};

#define NUMBER(member) MEMBER(amy__retain_rules, member)
static const struct member numbers[] = {
    NUMBER(count),  NUMBER(age_ms),  NUMBER(hourly),       NUMBER(daily),
    NUMBER(weekly), NUMBER(monthly), NUMBER(deploy_age_ms)};
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

/* Failures show in amy__json_write: see amy__json_set. */
static void
write_texts(const struct member *members, const void *record,
            struct amy__json *json)
{
    for (; members->key != NULL; members++) {
        (void)amy__json_set(
            json, members->key,
            amy__json_text((const char *)record + members->offset));
    }
}

static void
write_rules(const struct amy__retain_rules *rules, struct amy__json *json)
{
    for (size_t i = 0; i < NUMBER_COUNT; i++) {
        (void)amy__json_set(json, numbers[i].key,
                            amy__json_int(number_at(rules, i)));
    }
}

void
amy__copy_place(const struct amy__copy_spec *copy,
                char ret[AMY__COPY_PLACE_SIZE])
{
    uint64_t place = amy__hash(amy__span_of(copy->directory), 0);

    place = amy__hash(amy__span_of(copy->endpoint), place);
    place = amy__hash(amy__span_of(copy->s3), place);
    (void)snprintf(ret, AMY__COPY_PLACE_SIZE, "%016" PRIx64, place);
}

static struct amy__json *
copies_json(const struct amy__job_spec *spec)
{
    struct amy__json *list = amy__json_array();

    for (size_t i = 0; i < spec->copy_count; i++) {
        struct amy__json *json = amy__json_object();

        write_rules(&spec->copies[i].rules, json);
        (void)amy__json_set(json, "name", amy__json_text(spec->copies[i].name));
        (void)amy__json_set(json, "place",
                            amy__json_text(spec->copies[i].place));
        if (amy__json_add(list, json) < 0) {
            amy__json_free(list);
            return NULL;
        }
    }
    return list;
}

int
amy__job_spec_write(const struct amy__job_spec *spec, struct amy__buf *out)
{
    AMY_CLEANUP(amy__json_free_p) struct amy__json *json = amy__json_object();
    struct amy__json *copy = amy__json_object();
    int rc =
        amy__json_set(json, "action", amy__json_text(actions[spec->action]));

    write_texts(texts, spec, json);
    write_rules(&spec->rules, json);
    write_texts(copy_texts, &spec->copy, copy);
    write_rules(&spec->copy.rules, copy);
    rc |= amy__json_set(json, "copy", copy);
    rc |= amy__json_set(json, "copies", copies_json(spec));
    if (spec->slot_ms != AMY__MANIFEST_NO_TIME) {
        rc |= amy__json_set(json, "slot_ms", amy__json_int(spec->slot_ms));
    }
    rc |= amy__json_set(json, "silence_ms", amy__json_int(spec->silence_ms));
    rc |= amy__json_set(json, "scrub_ms", amy__json_int(spec->scrub_ms));
    rc |= amy__json_set(json, "lend_fd", amy__json_int(spec->lend_fd));
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

static int
read_texts(const struct member *members, const struct amy__json *json,
           void *record, struct amy_error *err)
{
    for (; members->key != NULL; members++) {
        const char *value = amy__json_get_text(json, members->key, "");

        if (!amy__span_copy(amy__span_of(value),
                            (char *)record + members->offset, members->size)) {
            return amy__err(err, AMY_EPARSE, "'%s' of a job is too long",
                            members->key);
        }
    }
    return 0;
}

static int
read_rules(const struct amy__json *json, struct amy__retain_rules *ret,
           struct amy_error *err)
{
    for (size_t i = 0; i < NUMBER_COUNT; i++) {
        if (!read_number(json, i, ret)) {
            return amy__err(err, AMY_EPARSE, "'%s' of a job is out of range",
                            numbers[i].key);
        }
    }
    return 0;
}

/* A name of a file, too. */
static bool
is_copy_name(const char *name)
{
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") ==
           strlen(name);
}

static int
read_copies(const struct amy__json *json, struct amy__job_spec *ret,
            struct amy_error *err)
{
    const struct amy__json *copy = amy__json_get(json, "copy");
    const struct amy__json *list = amy__json_get(json, "copies");
    bool good = amy__json_count(list) <= AMY__COPIES_MAX;
    int rc = read_texts(copy_texts, copy, &ret->copy, err);

    rc = rc < 0 ? rc : read_rules(copy, &ret->copy.rules, err);
    good = good && is_copy_name(ret->copy.name);
    for (size_t i = 0; rc == 0 && good && i < amy__json_count(list); i++) {
        struct amy__copy_rules *rules = &ret->copies[ret->copy_count++];
        const struct amy__json *one = amy__json_at(list, i);
        const char *name = amy__json_get_text(one, "name", "");

        good =
            name[0] != '\0' && is_copy_name(name) &&
            amy__span_copy(amy__span_of(name), rules->name,
                           sizeof(rules->name)) &&
            amy__span_copy(amy__span_of(amy__json_get_text(one, "place", "")),
                           rules->place, sizeof(rules->place));
        rc = read_rules(one, &rules->rules, err);
    }
    return rc < 0 || good
               ? rc
               : amy__err(err, AMY_EPARSE, "'copies' of a job is faulty");
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
        .scrub_ms = amy__json_get_int(json, "scrub_ms", 0),
        .lend_fd = (int)amy__json_get_int(json, "lend_fd", 0),
        .slot_ms = amy__json_get_int(json, "slot_ms", AMY__MANIFEST_NO_TIME)};
    if (!read_action(json, ret)) {
        return amy__err(err, AMY_EPARSE, "a job without an action");
    }
    if (ret->silence_ms < 0 || ret->silence_ms > INT_MAX || ret->scrub_ms < 0 ||
        ret->scrub_ms > INT_MAX) {
        return amy__err(err, AMY_EPARSE, "a time of a job is out of range");
    }
    rc = read_texts(texts, json, ret, err);
    rc = rc < 0 ? rc : read_rules(json, &ret->rules, err);
    return rc < 0 ? rc : read_copies(json, ret, err);
}
