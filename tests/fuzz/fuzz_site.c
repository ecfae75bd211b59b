/* site.yaml of any bytes: no crash, no leak, bounded time, and what is accepted
 * is whole enough to be used. */
#include "site/settings.h"
#include "site/site.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(int holds)
{
    if (!holds) {
        abort();
    }
}

static void
on_problem(const struct amy_problem *problem, void *user)
{
    char line[1024];

    (*(size_t *)user)++;
    must(problem->message[0] != '\0');
    (void)amy__problem_format(problem, line, sizeof(line));
    must(strchr(line, '\n') == NULL);
}

static void
check_site(const struct amy__site *site)
{
    struct amy__span domain = amy__span_of(site->domain);

    must(amy__domain_check(domain, NULL) == 0);
    must(site->user[0] != '\0' && site->aliases != NULL);
    must(site->gate_except != NULL);
    for (size_t i = 0; i < site->worker_count; i++) {
        const struct amy__site_worker *worker = &site->workers[i];

        must(worker->name != NULL);
        must((worker->wsgi == NULL) != (worker->command == NULL));
        must(worker->count >= 1 && worker->count <= 1000);
    }
    for (size_t i = 0; i < site->route_count; i++) {
        const struct amy__route *route = &site->routes[i];

        must(route->path[0] == '/');
        must((route->pool == NULL) != (route->files == NULL));
        must(route->pool == NULL ||
             amy__site_worker(site, amy__span_of(route->pool))->serves);
        must(i == 0 || strlen(route->path) <= strlen(site->routes[i - 1].path));
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct amy__span text = {(const char *)data, size};
    struct amy__site *site = NULL;
    struct amy__settings *settings = NULL;
    size_t problems = 0;
    int rc =
        amy__site_parse(text, "f", NULL, on_problem, &problems, &site, NULL);

    must((rc == 0) == (site != NULL) && (rc == 0 || problems > 0));
    if (site != NULL) {
        check_site(site);
    }
    amy__site_unref(site);
    problems = 0;
    rc = amy__settings_parse(text, "f", on_problem, &problems, &settings, NULL);
    must((rc == 0) == (settings != NULL) && (rc == 0 || problems > 0));
    amy__settings_free(settings);
    return 0;
}
