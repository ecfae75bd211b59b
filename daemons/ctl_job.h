/* Jobs of amy-backup: asked for, and followed to their end. */
#ifndef CTL_JOB_H
#define CTL_JOB_H

#include <jansson.h>
#include <stdbool.h>

struct job_options {
    const char *run;
    bool json;      /* steps are told on stdout, an object a line */
    bool wait_turn; /* for what the site has under way */
};

/* POST body to /v1/sites/SITE/WHAT; NULL: refused, which was told. */
json_t *job_begin(const struct job_options *options, const char *site,
                  const char *what, const char *body);
/* Until it is over; takes job over. The last answer is the caller's to free,
 * NULL: a failure that was told. */
json_t *job_follow(const struct job_options *options, const char *site,
                   json_t *job);
/* A line to stderr. EXIT_FAILURE. */
int job_complain(const char *site, const char *why);
/* A line to stdout. */
void job_print(const json_t *json);

#endif
