/* What the files of this room share: the supervisor, its sites, their pools. */
#ifndef AMY_WORKERS_INTERNAL_H
#define AMY_WORKERS_INTERNAL_H

#include <amy/pool.h>
#include <amy/workers.h>

#include "control/control.h"
#include "control/metrics.h"
#include "control/sockets.h"
#include "core/handover.h"
#include "core/json.h"
#include "core/loop.h"
#include "core/upgrade.h"
#include "serve/client.h"
#include "site/env.h"
#include "site/settings.h"
#include "site/site.h"
#include "workers/identity.h"
#include "workers/roll.h"
#include "workers/tail.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define AMY__WORKERS_MAGIC 0x776f726bU /* "work" */
#define AMY__TROUBLE_BYTES 160

struct amy__workers_output; /* output.h */
struct amy_logrotate;
struct amy__workers_shared; /* shared.c: a listener for strangers */
struct amy__workers_redis;  /* redis.c */

/* The socket of one position's present incarnation. */
struct amy__workers_socket {
    uint64_t incarnation;
    int listen_fd;              /* -1 once the worker has it */
    char hidden[64];            /* its name while it boots: begins with a dot */
    char published[48];         /* "{generation}.{position}", "" while hidden */
    struct amy__client *client; /* for the probe; NULL: none under way */
    struct amy__call *call;
    struct amy__workers_pool *borrow_pool; /* whose it is */
    uint32_t position;
    unsigned status;  /* of the answer that comes in; 0: none yet */
    uint32_t healthy; /* answers in a row */
    uint32_t missed;  /* connections refused in a row */
    bool spoke;       /* answered once: from then on it has so long: */
    struct amy__timer *giving_up;
    char trouble[AMY__TROUBLE_BYTES]; /* with its last answer; or "" */
};

/* What a pool is to its site. */
enum amy__workers_role {
    AMY__POOL_NEXT = 0, /* of a generation that is still to prove itself */
    AMY__POOL_CURRENT,
    AMY__POOL_OLD, /* ends, and is freed then */
};

/* One position of a pool. */
struct amy__workers_place {
    bool wanted;
    bool ready; /* its present worker was */
    struct amy__tail tail;
};

/* One generation of one pool of a site. */
struct amy__workers_pool {
    struct amy__workers_pool *next;
    struct amy__workers_site *borrow_site;
    const struct amy__site_worker *spec; /* in `site` below */
    struct amy__site *site;              /* the one of this generation */
    struct amy__env *env;
    uint64_t generation;
    char name[320];                     /* "{domain}/{pool}", for log lines */
    char identity[AMY__IDENTITY_BYTES]; /* of repo/ when it was read */
    struct amy_pool *pool;
    int dir_fd; /* of its sockets; -1 when it serves nobody */
    struct amy__workers_socket *sockets; /* one a position; or NULL */
    struct amy__workers_shared *shared;  /* of all of them; or NULL */
    struct amy__workers_place *places;   /* one a position */
    enum amy__workers_role role;
    bool strict; /* its workers must be healthy before they are used */
    bool stopping;
    bool gone;   /* stopped: freed at the end of the turn */
    bool proven; /* one of its workers was ready once */
};

/* Somebody who waits for the end of a reload. */
struct amy__workers_asker {
    struct amy__workers_asker *next;
    struct amy__control_call *call; /* or NULL, and: */
    amy_workers_done_fn fn;
    void *user;
    bool proven; /* it says that what it wants has served before */
};

/* The pools of one name in both generations. */
struct amy__workers_pair {
    struct amy__workers_pool *next; /* or NULL: the new site.yaml has none */
    struct amy__workers_pool *now;  /* or NULL: there was none */
};

/* How one generation takes over from another, or did. */
struct amy__workers_reload {
    struct amy__roll roll;
    struct amy__workers_pair *pairs; /* as roll.pools */
    struct amy__roll_seat *seats;    /* of all of them */
    uint64_t generation;
    uint64_t noted;          /* the generation that has served, for served.c */
    int64_t ended_ms;        /* monotonic; 0: never */
    int64_t check_ms;        /* next health check of the bake */
    bool refused;            /* before there was anything to roll */
    char reason[320];        /* why it failed, or "" */
    struct amy__json *lines; /* the failed worker's last, or NULL */
    struct amy__timer *timer;
    bool again; /* asked for meanwhile: once more */
    struct amy__workers_asker *askers;
    struct amy__workers_asker *later; /* of the one after this */
};

/* One site as its directory says. */
struct amy__workers_site {
    struct amy__workers_site *next;
    struct amy_workers *borrow_workers;
    char *domain;
    struct amy__site *site; /* accepted last; NULL: none was ever */
    struct amy__env_job *job;
    struct amy__workers_reload reload;
    int64_t retry_ms; /* next wait after an environment that failed */
    struct amy__timer *retry;
    uint64_t generation;
    bool changed; /* repo/, of the generation that was looked at last */
    uint64_t looked_at;
    int64_t look_ms;                    /* not again before this */
    struct amy__workers_pool *pools;    /* newest generation first */
    struct amy__workers_shared *shared; /* all that its pools have */
    struct amy__workers_output *output;
    struct amy_logrotate *rotator;    /* of its file, and of other programs' */
    struct amy__workers_hook *hooks;  /* commands after a rotation, under way */
    struct amy__workers_redis *redis; /* NULL: site.yaml names none */
    struct amy__json *problems;       /* array, for the status */
    char env_error[256]; /* "" or why the last renewal was refused */
    bool begun;    /* with whatever: only before that is there a resuming */
    bool resuming; /* the release that served last is still to have its try */
    bool refused;  /* the present site.yaml is; `site` is an older one */
    bool seen;     /* by the scan under way */
    bool leaving;  /* its directory is gone: stop and forget */
};

struct amy_workers {
    unsigned magic;
    pid_t maker;
    struct event_base *base;
    const struct amy_clock *borrow_clock;
    struct amy_log log;
    struct amy__settings *settings;
    bool as_person;
    gid_t front_gid; /* may connect to the workers' sockets */
    char *program;   /* ours, for what is asked as a site's user */
    int run_fd;
    int state_fd;
    int webapps_fd;
    struct amy__logrotate_peers *log_peers; /* all rotators */
    struct amy__control *control;
    struct amy__metrics *metrics;
    struct amy__workers_site *sites;
    struct amy__defer *sweep; /* frees what is gone, finishes what is over */
    int64_t started_wall_ms;
    struct amy__upgrade_past past;
    struct amy__upgrade *upgrade; /* under way, or NULL */
    struct amy__upgrade_owner owner;
    struct amy__handover *handover; /* while it is taken over, or NULL */
    bool stopping;
    bool stop_now;
    bool reloading;
    amy_workers_done_fn on_stopped;
    void *stopped_user;
    struct amy__workers_asker *askers; /* for the end of a reload of all */
};

/* metrics.c: what Prometheus is told. */
int amy__workers_metrics_create(struct amy_workers *workers,
                                struct amy_error *err);

/* site.c */
int amy__workers_scan(struct amy_workers *workers, struct amy_error *err);
/* Read one site again, or for the first time, and give it a new generation;
 * once more when the present one is still open. What is wrong is logged, kept
 * for the status and told to who asked; the code is for who did not. */
int amy__workers_site_renew(struct amy_workers *workers, const char *domain);
struct amy__workers_site *
amy__workers_site_find(const struct amy_workers *workers, const char *domain);
/* Start what may start, stop what should stop; called after every change. */
void amy__workers_site_step(struct amy__workers_site *site);
void amy__workers_site_stop(struct amy__workers_site *site);
void amy__workers_site_free(struct amy__workers_site *site);
/* Ask for a look at what is gone or over, at the end of the turn. */
void amy__workers_ask_sweep(struct amy_workers *workers);

/* For a program that takes over: a site without anything, and its log. */
int amy__workers_site_create(struct amy_workers *workers, const char *domain,
                             struct amy__workers_site **ret_site,
                             struct amy_error *err);
int amy__workers_site_open_output(struct amy__workers_site *site,
                                  struct amy_error *err);
/* Nothing of it runs, but something should: begin. */
void amy__workers_site_begin(struct amy__workers_site *site);

/* upgrade.c: from program to program. */
void amy__workers_own(struct amy_workers *workers);
/* Open what the program before this one left; nothing without a descriptor. */
int amy__workers_take_over(struct amy_workers *workers, uint32_t fd_plus_one,
                           struct amy_error *err);
/* All sites and their workers, from there. What cannot be used of one site
 * costs that site its workers, and it begins anew. */
int amy__workers_restore(struct amy_workers *workers, struct amy_error *err);

/* saved.c: one site, written down and read again. */
struct amy__json *amy__workers_site_save(struct amy__workers_site *site,
                                         struct amy__handover *handover);
int amy__workers_site_restore(struct amy_workers *workers,
                              const struct amy__json *json,
                              struct amy_error *err);
/* Could it be? Only what the JSON says by itself. */
int amy__workers_site_check(const struct amy__json *json,
                            struct amy_error *err);

/* reload.c: one generation takes over from another; roll.h decides. */
int amy__workers_reload_init(struct amy__workers_site *site,
                             struct amy_error *err);
/* Begin with pools of a new generation, made from site->site and env. */
int amy__workers_reload_begin(struct amy__workers_site *site,
                              struct amy__env *env, struct amy_error *err);
/* A new worker is no good. */
void amy__workers_reload_failed(struct amy__workers_pool *pool,
                                uint32_t position, const char *reason);
/* It did not even begin. */
void amy__workers_reload_refuse(struct amy__workers_site *site,
                                const char *reason);
/* What is wrong with the files is mended. */
void amy__workers_reload_forget(struct amy__workers_site *site);
/* The one under way is not wanted any more: the old generation is completed
 * again. One that is through is not touched. */
void amy__workers_reload_give_up(struct amy__workers_site *site);
/* Is there one whose outcome has not been told? */
bool amy__workers_reload_is_open(const struct amy__workers_site *site);
/* Shall a further one wait? Not for a first generation: there is nothing to be
 * taken back to, and it may never come up. */
bool amy__workers_reload_must_wait(const struct amy__workers_site *site);
void amy__workers_reload_step(struct amy__workers_site *site);
/* What there is of NEXT and CURRENT pools is one reload, as it was before. */
int amy__workers_reload_pair(struct amy__workers_site *site,
                             struct amy_error *err);
/* The site stops: whoever waits is told so. */
void amy__workers_reload_cancel(struct amy__workers_site *site);
void amy__workers_reload_clear(struct amy__workers_site *site);
struct amy__json *
amy__workers_reload_json(const struct amy__workers_site *site);

/* workers.c: options of the caller. */
int amy__workers_read_options(const struct amy_workers_options *opts,
                              struct amy_workers_options *ret,
                              struct amy_error *err);
struct amy__settings_args
amy__workers_args(const struct amy_workers_options *o);
/* Read all sites again; the asker is told when that is over. */
int amy__workers_reload_all(struct amy_workers *workers,
                            const struct amy__workers_asker *asker,
                            struct amy_error *err);

/* ask.c: who waits for reloads, and what they are told. */
int amy__workers_ask(struct amy__workers_asker **list,
                     const struct amy__workers_asker *asker,
                     struct amy_error *err);
/* Does everybody who waits for the one that begins say that it has served
 * before? */
bool amy__workers_is_proven(const struct amy__workers_site *site);
/* Who asked for the one after this one asked for the one that begins now. */
void amy__workers_ask_now(struct amy__workers_site *site);
/* How the reload of a site ended, to all who asked for it. */
void amy__workers_tell_site(struct amy__workers_site *site);
/* The reload of all is over: tell one who asked. That one may have freed the
 * supervisor. */
void amy__workers_tell_one(struct amy_workers *workers);
/* It will never be. */
void amy__workers_tell_all(struct amy_workers *workers);

/* pool.c */
/* What a pool is made of. */
struct amy__workers_birth {
    struct amy__site *site;
    const struct amy__site_worker *spec; /* in it */
    struct amy__env *env;
    uint64_t generation;
};
int amy__workers_pool_create(struct amy__workers_site *site,
                             const struct amy__workers_birth *birth,
                             struct amy__workers_pool **ret_pool,
                             struct amy_error *err);
void amy__workers_pool_free(struct amy__workers_pool *pool);
/* Has its repo/ been changed in place since? Then a worker that is replaced
 * starts what is there now. */
bool amy__workers_pool_changed(const struct amy__workers_pool *pool);
/* Shall a worker run in that position? */
void amy__workers_pool_want(struct amy__workers_pool *pool, uint32_t position,
                            bool wanted);
/* enum amy_worker_state; STOPPED also where it has no such position. */
uint32_t amy__workers_pool_state(const struct amy__workers_pool *pool,
                                 uint32_t position);
void amy__workers_pool_stop(struct amy__workers_pool *pool);
/* An amy_pool_done_fn of one: it is gone. */
void amy__workers_pool_stopped(struct amy_pool *amy_pool, void *user);
/* How many of its workers are ready. */
uint32_t amy__workers_pool_ready(const struct amy__workers_pool *pool);

/* socket.c */
void amy__workers_socket_init(struct amy__workers_socket *socket,
                              struct amy__workers_pool *pool,
                              uint32_t position);
int amy__workers_socket_open(struct amy__workers_socket *socket,
                             uint64_t incarnation, struct amy_error *err);
/* Ask the worker for an answer; publish and set it ready when enough came. */
void amy__workers_socket_probe(struct amy__workers_socket *socket);
/* Ask one that is published whether it is still healthy. */
void amy__workers_socket_check(struct amy__workers_socket *socket);
void amy__workers_socket_withdraw(struct amy__workers_socket *socket);
void amy__workers_socket_clear(struct amy__workers_socket *socket);
/* {run}/{domain}/{pool}, made with owner and mode; a descriptor. */
int amy__workers_socket_dir(struct amy_workers *workers, const char *domain,
                            const char *pool, struct amy_error *err);
/* Unlink names of generations before this one behind which nobody listens: a
 * former supervisor left them. */
void amy__workers_socket_sweep(int dir_fd, uint64_t before);

/* shared.c */
/* The listener at spec->socket, made when no pool of the site has it yet. A
 * stale file is replaced. AMY_EBUSY: somebody else listens there; AMY_EEXIST:
 * it is no socket; AMY_EDENIED: who may write its directory; AMY_ENOTFOUND. */
int amy__workers_shared_take(struct amy__workers_site *site,
                             const struct amy__site_worker *spec,
                             struct amy__workers_shared **ret_shared,
                             struct amy_error *err);
/* Let that group connect, or with NULL anybody. AMY_ENOTFOUND: no such group.
 */
int amy__workers_shared_admit(const struct amy__workers_shared *shared,
                              const char *group, struct amy_error *err);
/* The last one to give it back takes the file away; NULL is a no-op. */
void amy__workers_shared_give(struct amy__workers_site *site,
                              struct amy__workers_shared *shared);
int amy__workers_shared_fd(const struct amy__workers_shared *shared);
/* All of a site for the program after this one; there, before its pools. */
struct amy__json *amy__workers_shared_save(const struct amy__workers_site *site,
                                           struct amy__handover *handover);
int amy__workers_shared_restore(struct amy__workers_site *site,
                                struct amy__handover *handover,
                                const struct amy__json *list,
                                struct amy_error *err);

/* command.c: what is executed, for a spec: NULL-terminated, freed with
 * amy__workers_list_free. */
char **amy__workers_command(const struct amy__site *site,
                            const struct amy__site_worker *spec,
                            const struct amy__env *env);
char **amy__workers_environment(const struct amy__site *site,
                                const struct amy__site_worker *spec,
                                const struct amy__env *env,
                                uint64_t generation);
void amy__workers_list_free(char **list);

/* generation.c: the next number of a site, kept in the state directory. */
int amy__workers_generation_next(struct amy_workers *workers,
                                 const char *domain, uint64_t *ret_generation,
                                 struct amy_error *err);

/* {state}/workers/sites/{domain}, beside the last accepted site.yaml. */
int amy__workers_state_dir(const struct amy_workers *workers,
                           const char *domain, struct amy_error *err);

/* served.c: the release that served last, kept there too. */
void amy__workers_served_write(const struct amy__workers_pool *pool);
/* False when none is known, or `repo` and `.venv` lead to that one. */
bool amy__workers_served_read(const struct amy__workers_site *site,
                              struct amy__env_release *ret_release);

/* methods.c */
const char *amy__workers_state_name(uint32_t state);
int amy__workers_methods_add(struct amy_workers *workers,
                             struct amy_error *err);

/* redis.c: what there is to know of the site's Redis, asked again and again by
 * a process of the site's user: where that environment says it is. */
void amy__workers_redis_begin(struct amy__workers_site *site,
                              const struct amy__env *env);
void amy__workers_redis_free(struct amy__workers_redis *redis);
/* The last report and how old it is, or why there is none; NULL: not asked. */
struct amy__json *amy__workers_redis_json(const struct amy__workers_site *site);
/* The last report, the site's own, or NULL; and whether that is how it is. */
const struct amy__json *
amy__workers_redis_told(const struct amy__workers_site *site);
bool amy__workers_redis_is_up(const struct amy__workers_site *site);

/* foreign.c: a log of another program was renamed: have it open the new one. */
void amy__workers_foreign_rotated(struct amy__workers_site *site,
                                  const char *name);
/* Commands that still do so are killed. */
void amy__workers_foreign_end(struct amy__workers_site *site);
/* From program to program: commands under way are begun again. */
struct amy__json *
amy__workers_foreign_save(const struct amy__workers_site *site);
void amy__workers_foreign_restore(struct amy__workers_site *site,
                                  const struct amy__json *names);

#endif
