/* Problems of YAML files, on their way to the log and to the status. */
#ifndef AMY_SITE_TOLD_H
#define AMY_SITE_TOLD_H

#include <amy/error.h>
#include <amy/log.h>

#include "core/json.h"
#include "site/settings.h"
#include "site/site.h"

struct amy__told {
    const struct amy_log *log;
    const char *domain;
    struct amy__json *list; /* array that each is added to; or NULL */
};

/* An amy_problem_fn; user is a struct amy__told. */
void amy__told_problem(const struct amy_problem *problem, void *user);

/* Whose files we read, given who we are. */
struct amy__site_rules amy__told_rules(const struct amy__settings *settings,
                                       bool as_person);

#endif
