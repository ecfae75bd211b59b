/* Problems of YAML files, told to the log and kept for the status. */
/* Not for finding them: that is the site room. */
#include "site/told.h"

#include "core/log.h"

#include <unistd.h>

#define LINE_MAX_BYTES 512

static struct amy__json *
as_json(const struct amy_problem *problem)
{
    struct amy__json *json = amy__json_object();
    const char *severity =
        problem->severity == AMY_SEVERITY_WARNING ? "warning" : "error";

    if (json == NULL) {
        return NULL;
    }
    /* A failed set shows in the next one; a problem without a key is shown
     * without it. */
    (void)amy__json_set(json, "file", amy__json_text(problem->file));
    (void)amy__json_set(json, "line", amy__json_int(problem->line));
    (void)amy__json_set(json, "column", amy__json_int(problem->column));
    (void)amy__json_set(json, "key", amy__json_text(problem->key));
    (void)amy__json_set(json, "message", amy__json_text(problem->message));
    (void)amy__json_set(json, "allowed", amy__json_text(problem->allowed));
    (void)amy__json_set(json, "severity", amy__json_text(severity));
    return json;
}

void
amy__told_problem(const struct amy_problem *problem, void *user)
{
    struct amy__told *report = user;
    bool warning = problem->severity == AMY_SEVERITY_WARNING;
    char line[LINE_MAX_BYTES];

    (void)amy__problem_format(problem, line, sizeof(line));
    amy__log(report->log, warning ? AMY_LOG_WARN : AMY_LOG_ERROR, "%s", line);
    if (report->list != NULL) {
        /* Out of memory loses one line of the status, which the log has. */
        (void)amy__json_add(report->list, as_json(problem));
    }
}

struct amy__site_rules
amy__told_rules(const struct amy__settings *settings, bool as_person)
{
    return (struct amy__site_rules){.as_person = as_person,
                                    .person = geteuid(),
                                    .borrow_front_user = settings->front_user};
}
