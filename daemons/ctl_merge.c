/* Putting together what the daemons say of the same sites. */
/* Not for showing it: that is ctl_show.c. */
#include "ctl_show.h"

#include <stdbool.h>
#include <string.h>

/* A daemon's own part: everything but the sites; or why there is none. */
static json_t *
part_of(json_t *answer, const char *reason)
{
    json_t *part = NULL;

    if (answer == NULL) {
        return json_pack("{s:s}", "error", reason);
    }
    part = json_copy(answer);
    (void)json_object_del(part, "sites");
    return part;
}

static json_t *
find_site(const json_t *sites, const char *name)
{
    json_t *site = NULL;
    size_t i = 0;

    json_array_foreach(sites, i, site)
    {
        const char *other = json_string_value(json_object_get(site, "site"));

        if (other != NULL && strcmp(other, name) == 0) {
            return site;
        }
    }
    return NULL;
}

static bool
contains(const json_t *list, const json_t *value)
{
    const json_t *other = NULL;
    size_t i = 0;

    json_array_foreach(list, i, other)
    {
        if (json_equal(other, value)) {
            return true;
        }
    }
    return false;
}

/* Both read the same site.yaml: each fault is told once. */
static void
merge_problems(json_t *site, const json_t *more)
{
    json_t *problems = json_object_get(site, "problems");
    json_t *problem = NULL;
    size_t i = 0;

    if (problems == NULL) {
        problems = json_array();
        (void)json_object_set_new(site, "problems", problems);
    }
    json_array_foreach(more, i, problem)
    {
        if (!contains(problems, problem)) {
            (void)json_array_append(problems, problem);
        }
    }
}

static void
merge_sites(json_t *sites, const json_t *answer, const char *only)
{
    json_t *site = NULL;
    size_t i = 0;

    json_array_foreach(json_object_get(answer, "sites"), i, site)
    {
        const char *name = json_string_value(json_object_get(site, "site"));
        json_t *known = name == NULL ? NULL : find_site(sites, name);

        if (name == NULL || (only != NULL && strcmp(name, only) != 0)) {
            continue;
        }
        if (known == NULL) {
            known = json_object();
            (void)json_array_append_new(sites, known);
        }
        (void)json_object_update_missing(known, site);
        if (json_object_get(known, "problems") ==
            json_object_get(site, "problems")) {
            /* Taken over just now; our own list, for more may join. */
            (void)json_object_set_new(
                known, "problems",
                json_copy(json_object_get(site, "problems")));
        }
        merge_problems(known, json_object_get(site, "problems"));
    }
}

void
show_add(json_t *merged, const char *daemon, json_t *answer, const char *site)
{
    (void)json_object_set_new(merged, daemon, part_of(answer, ""));
    merge_sites(json_object_get(merged, "sites"), answer, site);
}

json_t *
show_merge(json_t *front, const char *front_reason, json_t *workers,
           const char *workers_reason, const char *site)
{
    json_t *merged = json_object();
    json_t *sites = json_array();

    (void)json_object_set_new(merged, "front", part_of(front, front_reason));
    (void)json_object_set_new(merged, "workers",
                              part_of(workers, workers_reason));
    merge_sites(sites, front, site);
    merge_sites(sites, workers, site);
    (void)json_object_set_new(merged, "sites", sites);
    return merged;
}
