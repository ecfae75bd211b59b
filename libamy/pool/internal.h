/* What the files of the pool share. Everything runs from the loop's callbacks:
 * the public calls only note what is wanted and ask for a run, so no callback
 * of the owner's ever comes from inside one of them. */
#ifndef AMY_POOL_INTERNAL_H
#define AMY_POOL_INTERNAL_H

#include <amy/pool.h>

#include "core/loop.h"
#include "core/spawn.h"
#include "core/user.h"
#include "pool/output.h"
#include "pool/step.h"
#include "pool/tree.h"

#include <stdbool.h>
#include <stdint.h>

#define AMY__POOL_MAGIC 0x6c6f6f70U /* "pool" */
#define AMY__GIFT_FDS 16
#define AMY__GIFT_VARS 64
#define AMY__REASON_BYTES 224

/* What prepare adds for one worker. */
struct amy__gifts {
    bool open; /* inside prepare */
    int fds[AMY__GIFT_FDS];
    size_t fd_count;
    char *names; /* of the first `named`, joined by colons; or NULL */
    size_t named;
    char *vars[AMY__GIFT_VARS]; /* "NAME=value" */
    size_t var_count;
};

/* One position. */
struct amy__worker {
    struct amy_pool *pool;
    uint32_t position;
    uint32_t todo; /* AMY__DO_*, not done yet */
    uint32_t tell; /* events not told yet */
    struct amy__pool_facts facts;
    /* Of the process now, or of the last one. */
    uint64_t incarnation;
    struct amy__child child; /* pidfd -1: none lives */
    struct amy__child_exit how;
    int channel_fd;
    struct amy__io *ended;
    struct amy__output *output;
    struct amy__strays strays;
    uint64_t rss_bytes; /* at the last look */
    int64_t next_probe_ms;
    char ending[AMY__REASON_BYTES]; /* how it ended */
    char reason[AMY__REASON_BYTES]; /* the last failure */
};

struct amy_pool {
    uint32_t magic;
    pid_t maker;
    uint32_t busy; /* callbacks of ours on the stack */
    bool gone;     /* freed by its owner inside one of them */
    bool started;
    bool stopping;
    bool roll_sent; /* the position at `roll` has been told to restart */
    uint32_t roll;  /* restarting one by one has come to here; count: none */
    uint32_t random;
    struct amy_pool_options opts; /* its strings and lists are these: */
    char *name;
    char *directory;
    char *lock_name;
    char **argv;
    char **envp;
    struct amy__pool_policy policy;
    struct amy_log log;
    struct amy__user user;
    bool has_user;
    bool set_ids;
    int lock_dir_fd;
    int output_fd;
    uint64_t incarnations;
    int64_t next_look_ms;
    struct amy__worker *workers;
    struct amy__gifts gifts;
    struct amy__timer *timer;
    struct amy__defer *defer;
    amy_pool_done_fn on_done;
    void *done_user;
};

/* pool.c */
/* Bracket everything that may call the owner: what was freed meanwhile goes at
 * the last leave, after which the pool may not be touched. */
void amy__pool_enter(struct amy_pool *pool);
void amy__pool_leave(struct amy_pool *pool);
/* Do all that is to be done; call between enter and leave. */
void amy__pool_run(struct amy_pool *pool);
/* The same as a callback of timer and defer: enter, run, leave. */
void amy__pool_turn(void *user);
int64_t amy__pool_now(const struct amy_pool *pool);

/* worker.c */
void amy__worker_init(struct amy__worker *worker, struct amy_pool *pool,
                      uint32_t position);
void amy__worker_feed(struct amy__worker *worker, enum amy__cause cause,
                      uint32_t patience_ms);
/* One thing that is due, told or to be done; false when there is none. */
bool amy__worker_advance(struct amy__worker *worker);
/* When it wants to be looked at; INT64_MAX: never. */
int64_t amy__worker_due_ms(const struct amy__worker *worker);
bool amy__worker_lives(const struct amy__worker *worker);
/* Kill what lives, without telling anybody; then wait for it, until then. */
void amy__worker_kill(struct amy__worker *worker);
void amy__worker_clear(struct amy__worker *worker, int64_t until_ms);

/* See the end of its process. */
int amy__worker_watch_end(struct amy__worker *worker, struct amy_error *err);

/* launch.c: 1 a process runs, 0 the position is held by an earlier one (its
 * reason is set), or an error. */
int amy__worker_launch(struct amy__worker *worker, struct amy_error *err);

/* Read the pipe of its output, and take it over; -1: there is none. */
int amy__worker_watch_output(struct amy__worker *worker, int *pipe_fd,
                             struct amy_error *err);

/* gifts.c */
int amy__gifts_add_var(struct amy__gifts *gifts, const char *name,
                       const char *value, struct amy_error *err);
void amy__gifts_clear(struct amy__gifts *gifts);

/* command.c: what is executed, all memory ours. */
/* A copy of argv with {position} replaced. */
char **amy__command_argv(const char *const *argv, uint32_t position,
                         struct amy_error *err);
/* base (or PATH alone) and more; of two of one name the one in more. */
char **amy__command_envp(const char *const *base, char *const *more,
                         size_t more_count, struct amy_error *err);
/* Put the path found in envp's PATH in argv[0]'s place. */
int amy__command_find(char **argv, char *const *envp, struct amy_error *err);
char **amy__list_copy(const char *const *list);
void amy__list_free(char **list);

#endif
