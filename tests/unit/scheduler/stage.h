/* One site of a scheduler that starts nothing: what a unit test needs of them.
 */
#ifndef STAGE_H
#define STAGE_H

#include "amy_test.h"

#include "core/json.h"
#include "scheduler/internal.h"

#define MINUTE_MS INT64_C(60000)
#define T0 INT64_C(1795466527123) /* 2026-11-23T20:42:07.123Z */

struct stage {
    struct amy_scheduler scheduler;
    struct amy__site says;
    struct amy__scheduler_site site;
};

extern int64_t stage_now_ms;   /* both clocks */
extern char stage_lines[4096]; /* of the log */

void stage_set(struct stage *stage);
/* A list of sets has come. */
void stage_know(struct stage *stage, const char *list);
/* How often these words are in the log. */
unsigned stage_count(const char *words);
/* A scheduled run is over, and nothing new begins. */
void stage_end(struct stage *stage, enum amy__job_action action, int code,
               const char *result);

#endif
