#include "stage.h"

#include <stdio.h>
#include <string.h>

int64_t stage_now_ms;
char stage_lines[4096]; /* of the log */

static int64_t
tell_now(void *user)
{
    (void)user;
    return stage_now_ms;
}

static void
keep_line(enum amy_log_level level, const char *line, void *user)
{
    size_t n = strlen(stage_lines);

    (void)level;
    (void)user;
    (void)snprintf(stage_lines + n, sizeof(stage_lines) - n, "%s\n", line);
}

static const struct amy_clock fake_clock = {.struct_size = sizeof(fake_clock),
                                            .mono_ms = tell_now,
                                            .wall_ms = tell_now};
static char database[] = "DATABASE_URL";

void
stage_set(struct stage *stage)
{
    static char domain[] = "example.org";

    memset(stage, 0, sizeof(*stage));
    stage_now_ms = T0;
    stage_lines[0] = '\0';
    stage->scheduler.state_fd = -1;
    stage->scheduler.borrow_clock = &fake_clock;
    stage->scheduler.log = (struct amy_log){
        .struct_size = sizeof(struct amy_log), .fn = keep_line};
    stage->scheduler.started_wall_ms = T0;
    stage->scheduler.started_mono_ms = T0;
    stage->says.database_from = database;
    stage->says.backup_retry_ms = MINUTE_MS;
    stage->site.borrow_scheduler = &stage->scheduler;
    stage->site.domain = domain;
    stage->site.site = &stage->says;
    amy__scheduler_facts_clear(&stage->site.facts);
}

void
stage_know(struct stage *stage, const char *list)
{
    struct amy__json *json = NULL;

    assert_int_equal(amy__json_parse(amy__span_of(list), &json, NULL), 0);
    amy__scheduler_facts_read(json, &stage->site.facts);
    amy__json_free(json);
}

unsigned
stage_count(const char *words)
{
    unsigned n = 0;

    for (const char *at = strstr(stage_lines, words); at != NULL;
         at = strstr(at + 1, words)) {
        n++;
    }
    return n;
}

void
stage_end(struct stage *stage, enum amy__job_action action, int code,
          const char *result)
{
    struct amy__run run = {.internal = true, .code = code};

    run.spec.action = action;
    run.spec.slot_ms = T0 - MINUTE_MS;
    (void)snprintf(run.message, sizeof(run.message), "it failed");
    assert_int_equal(amy__json_parse(amy__span_of(result), &run.result, NULL),
                     0);
    stage->scheduler.stopping = true;
    amy__scheduler_site_ended(&stage->site, &run);
    stage->scheduler.stopping = false;
    amy__json_free(run.result);
}
