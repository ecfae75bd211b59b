/* Problems of YAML files, on their way to the log and to the status. */
#ifndef AMY_WORKERS_REPORT_H
#define AMY_WORKERS_REPORT_H

#include <amy/error.h>
#include <amy/log.h>

#include "core/json.h"
#include "site/settings.h"
#include "site/site.h"

struct amy__workers_report {
    const struct amy_log *log;
    const char *domain;
    struct amy__json *list; /* array that each is added to; or NULL */
};

/* An amy_problem_fn; user is a struct amy__workers_report. */
void amy__workers_on_problem(const struct amy_problem *problem, void *user);

/* Whose files we read, given who we are. */
struct amy__site_rules amy__workers_rules(const struct amy__settings *settings,
                                          bool as_person);

#endif
