/* Judges of facts. Pure: each takes what was gathered and tells what is wrong
 * with it. */
#ifndef AMY_DOCTOR_JUDGE_H
#define AMY_DOCTOR_JUDGE_H

#include "core/json.h"
#include "doctor/finding.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- what lies in a site's directory ---- */

struct amy__piece_facts {
    const char *path;  /* absolute */
    const char *owner; /* who owns it */
    const char *user;  /* the site's */
    bool is_users;     /* these two are the same */
    unsigned mode;
};
/* logs/, DB_backups/: the site's user's, and `most` at the most. */
void amy__judge_own_directory(const struct amy__piece_facts *facts,
                              unsigned most, struct amy__findings *findings);
/* A file with secrets: not for everybody to read. */
void amy__judge_secret(const struct amy__piece_facts *facts,
                       struct amy__findings *findings);
/* repo/, static/, media/: not for everybody to write; code best not by the
 * site's user either. */
void amy__judge_code(const struct amy__piece_facts *facts, bool is_code,
                     struct amy__findings *findings);

/* ---- the site's user ---- */

struct amy__user_facts {
    const char *user;
    const char *front_user;
    bool is_admin;      /* in the group that may do everything */
    bool is_in_front;   /* in the group of the front processes */
    const char *shares; /* another site of the same user; or NULL */
};
void amy__judge_user(const struct amy__user_facts *facts,
                     struct amy__findings *findings);

/* ---- Redis ---- */

/* report: what amy_redis_report() wrote, or {"error": "..."}; name: the
 * variable of its URL; queues: has the site workers of rq? */
void amy__judge_redis(const struct amy__json *report, const char *name,
                      bool queues, struct amy__findings *findings);

/* ---- PostgreSQL ---- */

/* report: as answer.c wrote it, or {"error": "..."}. */
void amy__judge_database(const struct amy__json *report, const char *from,
                         struct amy__findings *findings);

#endif
