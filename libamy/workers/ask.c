/* Who waits for the end of a reload, and what they are told. */
/* Not for how it goes: reload.c. */
#include "core/alloc.h"
#include "core/error.h"
#include "workers/internal.h"

#include <string.h>

int
amy__workers_ask(struct amy__workers_asker **list,
                 const struct amy__workers_asker *asker, struct amy_error *err)
{
    struct amy__workers_asker *added = amy__calloc(1, sizeof(*added));

    if (added == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a reload");
    }
    *added = *asker;
    added->next = NULL;
    while (*list != NULL) {
        list = &(*list)->next;
    }
    *list = added;
    return 0;
}

void
amy__workers_ask_now(struct amy__workers_site *site)
{
    struct amy__workers_asker **end = &site->reload.askers;

    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = site->reload.later;
    site->reload.later = NULL;
}

bool
amy__workers_is_proven(const struct amy__workers_site *site)
{
    const struct amy__workers_asker *asker = site->reload.askers;
    bool proven = asker != NULL;

    for (; asker != NULL; asker = asker->next) {
        proven = proven && asker->proven;
    }
    return proven;
}

static bool
take(struct amy__workers_asker **list, struct amy__workers_asker *ret)
{
    struct amy__workers_asker *first = *list;

    if (first == NULL) {
        return false;
    }
    *list = first->next;
    *ret = *first;
    amy__free(first);
    return true;
}

/* ---- what a site has to say ---- */

static bool
has_failed(const struct amy__workers_site *site)
{
    return site->reload.reason[0] != '\0';
}

/* What was wrong with its files. */
static void
add_problems(struct amy__json *problems, const struct amy__workers_site *site)
{
    for (size_t i = 0; i < amy__json_count(site->problems); i++) {
        (void)amy__json_add(problems,
                            amy__json_copy(amy__json_at(site->problems, i)));
    }
}

static struct amy__json *
lines_of(const struct amy__workers_site *site)
{
    return site->reload.lines == NULL ? amy__json_array()
                                      : amy__json_copy(site->reload.lines);
}

static struct amy__json *
failure_json(const struct amy__workers_site *site)
{
    struct amy__json *json = amy__json_object();
    struct amy__json *problems = amy__json_array();

    if (site->reload.refused) {
        add_problems(problems, site);
    }
    (void)amy__json_set(json, "title",
                        amy__json_text(site->reload.refused ? "Reload refused"
                                                            : "Reload failed"));
    (void)amy__json_set(json, "detail", amy__json_text(site->reload.reason));
    (void)amy__json_set(json, "lines", lines_of(site));
    (void)amy__json_set(json, "problems", problems);
    return json;
}

/* The pools that wait for an old worker to finish its job. */
static struct amy__json *
draining_json(const struct amy__workers_site *site)
{
    const struct amy__workers_reload *reload = &site->reload;
    struct amy__json *names = amy__json_array();

    for (size_t i = 0; i < reload->roll.pool_count; i++) {
        const struct amy__workers_pool *next = reload->pairs[i].next;

        if (next != NULL && amy__workers_pool_ready(next) < next->spec->count) {
            (void)amy__json_add(names, amy__json_text(next->spec->name));
        }
    }
    return names;
}

static struct amy__json *
success_json(const struct amy__workers_site *site)
{
    struct amy__json *json = amy__json_object();

    (void)amy__json_set(json, "done", amy__json_bool(true));
    (void)amy__json_set(json, "generation",
                        amy__json_int((int64_t)site->reload.generation));
    (void)amy__json_set(json, "draining", draining_json(site));
    return json;
}

void
amy__workers_tell_site(struct amy__workers_site *site)
{
    struct amy__workers_asker one = {.next = NULL};

    while (take(&site->reload.askers, &one)) {
        if (has_failed(site)) {
            amy__control_reply(one.call, 422, failure_json(site));
        } else {
            amy__control_reply(one.call, 200, success_json(site));
        }
    }
    if (!site->reload.again && site->reload.later != NULL) {
        /* Nothing more is to come: it is over for them, too. */
        amy__workers_ask_now(site);
        amy__workers_tell_site(site);
    }
}

/* ---- all sites ---- */

static struct amy__json *
all_json(const struct amy_workers *workers, unsigned *ret_status)
{
    struct amy__json *json = amy__json_object();
    struct amy__json *sites = amy__json_array();

    for (const struct amy__workers_site *site = workers->sites; site != NULL;
         site = site->next) {
        struct amy__json *one = NULL;

        if (has_failed(site)) {
            one = failure_json(site);
            (void)amy__json_set(one, "site", amy__json_text(site->domain));
            (void)amy__json_add(sites, one);
        }
    }
    *ret_status = amy__json_count(sites) == 0 ? 200 : 422;
    if (*ret_status == 200) {
        (void)amy__json_set(json, "done", amy__json_bool(true));
    } else {
        (void)amy__json_set(json, "title", amy__json_text("Reload failed"));
        (void)amy__json_set(json, "detail",
                            amy__json_text("some sites go on as they were"));
    }
    (void)amy__json_set(json, "sites", sites);
    return json;
}

void
amy__workers_tell_one(struct amy_workers *workers)
{
    struct amy__workers_asker one = {.next = NULL};
    unsigned status = 0;

    if (!take(&workers->askers, &one)) {
        return;
    }
    if (one.call != NULL) {
        struct amy__json *json = all_json(workers, &status);

        amy__control_reply(one.call, status, json);
    } else {
        one.fn(workers, one.user);
    }
}

void
amy__workers_tell_all(struct amy_workers *workers)
{
    struct amy__workers_asker one = {.next = NULL};

    while (take(&workers->askers, &one)) {
        if (one.call != NULL) {
            amy__control_refuse(one.call, 503, "amy-workers is stopping");
        }
    }
}
