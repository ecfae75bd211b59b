/* What the files of this room share: the supervisor, its sites, their pools. */
#ifndef AMY_WORKERS_INTERNAL_H
#define AMY_WORKERS_INTERNAL_H

#include <amy/pool.h>
#include <amy/workers.h>

#include "control/control.h"
#include "core/json.h"
#include "core/loop.h"
#include "serve/client.h"
#include "site/env.h"
#include "site/settings.h"
#include "site/site.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct amy__workers_output; /* output.h */

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
};

/* One generation of one pool of a site. */
struct amy__workers_pool {
    struct amy__workers_pool *next;
    struct amy__workers_site *borrow_site;
    const struct amy__site_worker *spec; /* in `site` below */
    struct amy__site *site;              /* the one of this generation */
    struct amy__env *env;
    uint64_t generation;
    char name[320]; /* "{domain}/{pool}", for log lines */
    struct amy_pool *pool;
    int dir_fd; /* of its sockets; -1 when it serves nobody */
    struct amy__workers_socket *sockets; /* one a position */
    bool started;
    bool replaced; /* a newer generation takes over: stop when it is ready */
    bool stopping;
    bool gone;   /* stopped: freed at the end of the turn */
    bool proven; /* one of its workers was ready once */
};

/* One site as its directory says. */
struct amy__workers_site {
    struct amy__workers_site *next;
    struct amy_workers *borrow_workers;
    char *domain;
    struct amy__site *site; /* accepted last; NULL: none was ever */
    struct amy__env_job *job;
    bool job_for_reload; /* its end is what a reload waits for */
    int64_t retry_ms;    /* next wait after an environment that failed */
    struct amy__timer *retry;
    uint64_t generation;
    struct amy__workers_pool *pools; /* newest generation first */
    struct amy__workers_output *output;
    struct amy__json *problems; /* array, for the status */
    char env_error[256];        /* "" or why the last renewal was refused */
    struct amy__control_call *asked; /* waits to hear how a renewal went */
    bool seen;                       /* by the scan under way */
    bool leaving; /* its directory is gone: stop and forget */
};

/* A caller of amy_workers_reload. */
struct amy__workers_waiter {
    struct amy__workers_waiter *next;
    amy_workers_done_fn fn;
    void *user;
};

struct amy_workers {
    unsigned magic;
    struct event_base *base;
    const struct amy_clock *borrow_clock;
    struct amy_log log;
    struct amy__settings *settings;
    bool as_person;
    gid_t front_gid; /* may connect to the workers' sockets */
    int run_fd;
    int state_fd;
    int webapps_fd;
    struct amy__control *control;
    struct amy__workers_site *sites;
    struct amy__defer *sweep; /* frees what is gone, finishes what is over */
    int64_t started_wall_ms;
    bool stopping;
    bool stop_now;
    bool reloading;
    struct amy__control_call *asked; /* waits for the end of a reload */
    amy_workers_done_fn on_stopped;
    void *stopped_user;
    struct amy__workers_waiter *reloaded; /* for the end of a reload */
};

/* site.c */
int amy__workers_scan(struct amy_workers *workers, struct amy_error *err);
/* Read one site again (NULL: never seen) and give it a new generation. */
int amy__workers_site_renew(struct amy_workers *workers, const char *domain,
                            bool for_reload, struct amy_error *err);
struct amy__workers_site *
amy__workers_site_find(const struct amy_workers *workers, const char *domain);
/* Start what may start, stop what should stop; called after every change. */
void amy__workers_site_step(struct amy__workers_site *site);
void amy__workers_site_stop(struct amy__workers_site *site);
void amy__workers_site_free(struct amy__workers_site *site);
/* Ask for a look at what is gone or over, at the end of the turn. */
void amy__workers_ask_sweep(struct amy_workers *workers);

/* pool.c */
int amy__workers_pool_create(struct amy__workers_site *site,
                             const struct amy__site_worker *spec,
                             struct amy__env *env,
                             struct amy__workers_pool **ret_pool,
                             struct amy_error *err);
void amy__workers_pool_free(struct amy__workers_pool *pool);
void amy__workers_pool_start(struct amy__workers_pool *pool);
void amy__workers_pool_stop(struct amy__workers_pool *pool);
/* How many of its workers are ready. */
uint32_t amy__workers_pool_ready(const struct amy__workers_pool *pool);

/* socket.c */
void amy__workers_socket_init(struct amy__workers_socket *socket,
                              struct amy__workers_pool *pool,
                              uint32_t position);
int amy__workers_socket_open(struct amy__workers_socket *socket,
                             uint64_t incarnation, struct amy_error *err);
/* Ask the worker for an answer; publish and set it ready when one comes. */
void amy__workers_socket_probe(struct amy__workers_socket *socket);
void amy__workers_socket_withdraw(struct amy__workers_socket *socket);
void amy__workers_socket_clear(struct amy__workers_socket *socket);
/* {run}/{domain}/{pool}, made with owner and mode; a descriptor. */
int amy__workers_socket_dir(struct amy_workers *workers, const char *domain,
                            const char *pool, struct amy_error *err);
/* Unlink names of generations before this one behind which nobody listens: a
 * former supervisor left them. */
void amy__workers_socket_sweep(int dir_fd, uint64_t before);

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

/* methods.c */
int amy__workers_methods_add(struct amy_workers *workers,
                             struct amy_error *err);
/* A renewal, or the reload of all, is over: answer whoever asked for it. */
void amy__workers_tell_site(struct amy__workers_site *site);
void amy__workers_tell_reload(struct amy_workers *workers);

#endif
