/* Copies off the host: when each is due, and what became of it. */
/* Not for making them: jobs do, as the site's user. */
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/error.h"
#include "scheduler/internal.h"

#include <stdio.h>
#include <string.h>

#define SWEEP_MS INT64_C(86400000) /* so often even if nothing is missing */
#define AGAIN_MS INT64_C(1000)
#define AT_ONCE 2 /* for all sites; each is a process, and reads much */
#define SPREAD_MS INT64_C(300000) /* of the first looks, after a start */
#define SPEC_MAX ((size_t)64 * 1024)

/* --- site.yaml --- */

static struct amy__retain_rules
rules_of(const struct amy__site_copy *copy)
{
    return (struct amy__retain_rules){.count = copy->keep,
                                      .age_ms = copy->keep_for_ms,
                                      .hourly = copy->hourly,
                                      .daily = copy->daily,
                                      .weekly = copy->weekly,
                                      .monthly = copy->monthly,
                                      .deploy_age_ms = AMY__DEPLOY_KEPT_MS};
}

static void
put(char *buf, size_t size, const char *text)
{
    (void)snprintf(buf, size, "%s", text == NULL ? "" : text);
}

static void
describe(const struct amy__site_copy *copy, struct amy__copy_spec *ret)
{
    static const char *const styles[] = {"", "host", "path"};
    static const char *const sources[] = {"environment", "file", "imds"};

    *ret = (struct amy__copy_spec){.rules = rules_of(copy)};
    put(ret->name, sizeof(ret->name), copy->name);
    put(ret->directory, sizeof(ret->directory), copy->directory);
    put(ret->s3, sizeof(ret->s3), copy->s3);
    put(ret->region, sizeof(ret->region), copy->region);
    put(ret->endpoint, sizeof(ret->endpoint), copy->endpoint);
    put(ret->style, sizeof(ret->style), styles[copy->style]);
    put(ret->credentials, sizeof(ret->credentials), sources[copy->credentials]);
    put(ret->profile, sizeof(ret->profile), copy->profile);
    put(ret->ca_file, sizeof(ret->ca_file), copy->ca_file);
}

void
amy__scheduler_copies_rules(const struct amy__site *says,
                            struct amy__job_spec *ret)
{
    ret->copy_count = says->copy_count;
    for (size_t i = 0; i < says->copy_count; i++) {
        struct amy__copy_rules *rules = &ret->copies[i];
        struct amy__copy_spec copy;

        describe(&says->copies[i], &copy);
        put(rules->name, sizeof(rules->name), copy.name);
        amy__copy_place(&copy, rules->place);
        rules->rules = copy.rules;
    }
}

bool
amy__scheduler_copies_foreign(const struct amy__site *says,
                              struct amy__job_spec *ret)
{
    const struct amy__site_copy *copy = &says->refresh_copy;

    describe(copy, &ret->copy);
    return copy->directory != NULL || copy->s3 != NULL;
}

bool
amy__scheduler_copies_name(const struct amy__site *says, const char *name,
                           struct amy__job_spec *ret)
{
    for (size_t i = 0; i < says->copy_count; i++) {
        if (strcmp(says->copies[i].name, name) == 0) {
            describe(&says->copies[i], &ret->copy);
            return true;
        }
    }
    return false;
}

static struct amy__scheduler_copy *
find(struct amy__scheduler_copy *copies, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(copies[i].name, name) == 0) {
            return &copies[i];
        }
    }
    return NULL;
}

/* On failure the copy passes for one that did not change. */
static void
hash_lines(const struct amy__site_copy *copy, uint8_t ret[32])
{
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf text = {NULL, 0, 0, 0};
    struct amy__job_spec spec = {.action = AMY__JOB_COPY};

    memset(ret, 0, 32);
    describe(copy, &spec.copy);
    amy__buf_init(&text, SPEC_MAX);
    if (amy__job_spec_write(&spec, &text) == 0) {
        (void)amy__sha256(text.data, text.len, ret, NULL);
    }
}

/* Not those of all sites in the same second. */
static int64_t
first_look_ms(const struct amy_scheduler *scheduler)
{
    uint8_t dice = 0;

    (void)amy__random(&dice, 1, NULL);
    return scheduler->started_mono_ms + SPREAD_MS * dice / UINT8_MAX;
}

static void
renew(struct amy__scheduler_site *site, struct amy__scheduler_copy *copy,
      const struct amy__site_copy *says)
{
    uint8_t lines[sizeof(copy->lines)];

    put(copy->name, sizeof(copy->name), says->name);
    hash_lines(says, lines);
    if (memcmp(copy->lines, lines, sizeof(lines)) != 0) {
        memcpy(copy->lines, lines, sizeof(lines));
        copy->first_ms = first_look_ms(site->borrow_scheduler);
        copy->retry_ms = 0; /* perhaps what was wrong is mended now */
        copy->ran_ms = 0;
    }
}

void
amy__scheduler_copies_renew(struct amy__scheduler_site *site)
{
    const struct amy__site *says = site->site;
    struct amy__scheduler_copy old[AMY__COPIES_MAX];
    size_t old_count = site->copy_count;

    memcpy(old, site->copies, sizeof(old));
    site->copy_count = says->copy_count;
    for (size_t i = 0; i < says->copy_count; i++) {
        struct amy__scheduler_copy *copy = &site->copies[i];
        const struct amy__scheduler_copy *known =
            find(old, old_count, says->copies[i].name);

        *copy =
            (struct amy__scheduler_copy){.newest_ms = AMY__MANIFEST_NO_TIME};
        if (known != NULL) {
            *copy = *known;
        }
        renew(site, copy, &says->copies[i]);
    }
}

/* --- what is known --- */

static size_t
count_proven(const struct amy__json *sets)
{
    size_t count = 0;

    for (size_t i = 0; i < amy__json_count(sets); i++) {
        count +=
            amy__json_get_text(amy__json_at(sets, i), "proven", NULL) != NULL;
    }
    return count;
}

void
amy__scheduler_copies_read(struct amy__scheduler_site *site,
                           const struct amy__json *result)
{
    const struct amy__json *list = amy__json_get(result, "copies");

    for (size_t i = 0; i < amy__json_count(list); i++) {
        const struct amy__json *json = amy__json_at(list, i);
        struct amy__scheduler_copy *copy =
            find(site->copies, site->copy_count,
                 amy__json_get_text(json, "name", ""));
        const char *newest = amy__json_get_text(json, "newest", "");

        if (copy == NULL) {
            continue;
        }
        copy->known = true;
        copy->sets = count_proven(amy__json_get(json, "sets"));
        copy->bytes = (uint64_t)amy__json_get_int(json, "bytes", 0);
        copy->missing = (size_t)amy__json_get_int(json, "missing", 0);
        if (!amy__civil_parse(amy__span_of(newest), &copy->newest_ms)) {
            copy->newest_ms = AMY__MANIFEST_NO_TIME;
        }
    }
}

static const struct amy__run *
run_of(const struct amy__scheduler_site *site, const char *name)
{
    for (const struct amy__run *run = site->runs; run != NULL;
         run = run->next) {
        if (!run->over && strcmp(run->spec.copy.name, name) == 0) {
            return run;
        }
    }
    return NULL;
}

static struct amy__json *
copy_json(const struct amy__scheduler_site *site,
          const struct amy__scheduler_copy *copy)
{
    struct amy__json *json = amy__json_object();
    const struct amy__run *run = run_of(site, copy->name);

    (void)amy__json_set(json, "name", amy__json_text(copy->name));
    (void)amy__json_set(json, "known", amy__json_bool(copy->known));
    (void)amy__json_set(json, "sets", amy__json_int((int64_t)copy->sets));
    (void)amy__json_set(json, "bytes", amy__json_int((int64_t)copy->bytes));
    (void)amy__json_set(json, "newest", amy__manifest_time(copy->newest_ms));
    (void)amy__json_set(json, "missing", amy__json_int((int64_t)copy->missing));
    (void)amy__json_set(json, "failed",
                        copy->failures > 0 ? amy__json_text(copy->failure)
                                           : amy__json_null());
    (void)amy__json_set(json, "running",
                        run == NULL ? amy__json_null() : amy__run_json(run));
    return json;
}

struct amy__json *
amy__scheduler_copies_json(const struct amy__scheduler_site *site)
{
    struct amy__json *list = amy__json_array();

    for (size_t i = 0; i < site->copy_count; i++) {
        (void)amy__json_add(list, copy_json(site, &site->copies[i]));
    }
    return list;
}

/* --- what is due --- */

/* Something is missing; or it is time to look whether all is well there. */
static bool
is_due(const struct amy__scheduler_site *site,
       const struct amy__scheduler_copy *copy, int64_t now_ms)
{
    int64_t look_ms =
        copy->ran_ms == 0 ? copy->first_ms : copy->ran_ms + SWEEP_MS;

    return copy->known && now_ms >= copy->retry_ms &&
           run_of(site, copy->name) == NULL &&
           (copy->missing > 0 || now_ms >= look_ms);
}

static void
failed(const struct amy__scheduler_site *site, struct amy__scheduler_copy *copy,
       const char *message)
{
    copy->retry_ms = amy__mono_ms(site->borrow_scheduler->borrow_clock) +
                     amy__scheduler_wait_ms(site, copy->failures);
    copy->failures++;
    (void)snprintf(copy->failure, sizeof(copy->failure), AMY_SPAN_FMT,
                   AMY_SPAN_ARG(amy__own_words(message)));
}

void
amy__scheduler_copies_tick(struct amy__scheduler_site *site)
{
    int64_t now_ms = amy__mono_ms(site->borrow_scheduler->borrow_clock);

    for (size_t i = 0; i < site->copy_count; i++) {
        struct amy__scheduler_copy *copy = &site->copies[i];
        struct amy__job_spec spec;

        if (!is_due(site, copy, now_ms) ||
            amy__run_copies(site->borrow_scheduler) >= AT_ONCE) {
            continue;
        }
        amy__scheduler_spec(site, AMY__JOB_COPY, &spec);
        (void)snprintf(spec.why, sizeof(spec.why), "schedule");
        if (!amy__scheduler_copies_name(site->site, copy->name, &spec)) {
            continue;
        }
        if (amy__scheduler_begin(site, &spec) < 0) {
            failed(site, copy, site->failure);
        }
    }
}

/* Whoever asked for it. */
void
amy__scheduler_copies_ended(struct amy__scheduler_site *site,
                            const struct amy__run *run)
{
    int64_t now_ms = amy__mono_ms(site->borrow_scheduler->borrow_clock);
    struct amy__scheduler_copy *copy =
        find(site->copies, site->copy_count, run->spec.copy.name);

    if (copy == NULL) {
        return;
    }
    if (run->code == 0) {
        copy->failures = 0;
        copy->missing = 0; /* until somebody has looked again */
        copy->ran_ms = now_ms;
        copy->retry_ms = now_ms + AGAIN_MS;
    } else if (amy__scheduler_is_failure(run->code)) {
        failed(site, copy, run->message);
    } else { /* another is at it */
        copy->retry_ms = now_ms + amy__scheduler_wait_ms(site, 0);
    }
}
