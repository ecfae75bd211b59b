/* Judges of facts. Pure: each takes what was gathered and tells what is wrong
 * with it. */
#ifndef AMY_DOCTOR_JUDGE_H
#define AMY_DOCTOR_JUDGE_H

#include "core/json.h"
#include "core/str.h"
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
void amy__judge_front_user(const char *name, const char *shell,
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

/* ---- certificates ---- */

struct amy__cert_facts {
    const char *name; /* certbot's, or a path */
    int64_t not_before_ms;
    int64_t not_after_ms;
    int64_t now_ms;
    const char *chain_error; /* why no client would believe it; NULL: would */
};
void amy__judge_cert(const struct amy__cert_facts *facts,
                     struct amy__findings *findings);

/* /etc/letsencrypt/renewal/NAME.conf. path: of it, for messages; webroot: where
 * challenges of this site are served from. */
struct amy__renewal_facts {
    const char *name;
    const char *path;
    const char *domain;
    const char *webroot;
    struct amy__span conf;
};
void amy__judge_renewal(const struct amy__renewal_facts *facts,
                        struct amy__findings *findings);
/* Does this text of a hook meddle with nginx or apache? */
bool amy__hook_is_leftover(struct amy__span hook);

/* ---- the host ---- */

struct amy__clock_facts {
    bool is_known; /* the kernel told */
    bool is_synced;
};
void amy__judge_clock(const struct amy__clock_facts *facts,
                      struct amy__findings *findings);

struct amy__disk_facts {
    const char *path;
    uint64_t bytes;
    uint64_t bytes_free; /* for others than root */
    uint64_t inodes;     /* 0: this file system does not count them */
    uint64_t inodes_free;
};
void amy__judge_disk(const struct amy__disk_facts *facts,
                     struct amy__findings *findings);

/* Of a running daemon: how many files it may open. */
void amy__judge_files(const char *daemon, uint64_t files,
                      struct amy__findings *findings);
/* net.core.somaxconn: bursts of connections that may wait. */
void amy__judge_somaxconn(uint64_t value, struct amy__findings *findings);
/* vm.overcommit_memory, where a Redis of this host writes to disk by fork. */
void amy__judge_overcommit(uint64_t value, struct amy__findings *findings);

struct amy__port_facts {
    unsigned port;
    const char *program; /* who listens; NULL: nobody; "": cannot be seen */
    bool front_runs;
};
void amy__judge_port(const struct amy__port_facts *facts,
                     struct amy__findings *findings);

struct amy__name_facts {
    const char *name;
    size_t count;      /* addresses */
    const char *first; /* one of them */
    bool is_here;      /* some of them is this host's */
    const char *error; /* why there is none; or NULL */
    bool is_final;     /* it is known that there is none */
};
void amy__judge_name(const struct amy__name_facts *facts,
                     struct amy__findings *findings);

struct amy__daemon_facts {
    const char *name; /* "amy-front" */
    bool is_wanted;   /* by what the sites say */
    bool runs;
    bool is_replaced;  /* what it runs is not what is installed any more */
    const char *error; /* why it could not be asked; NULL: it could */
    const char *path;  /* its socket */
    unsigned mode;     /* of that; 0: unknown */
};
void amy__judge_daemon(const struct amy__daemon_facts *facts,
                       struct amy__findings *findings);

#endif
