/* What the files of this room share: the deployment under way. */
#ifndef AMY_DEPLOY_INTERNAL_H
#define AMY_DEPLOY_INTERNAL_H

#include <amy/control.h>
#include <amy/deploy.h>

#include "core/json.h"
#include "core/loop.h"
#include "core/spawn.h"
#include "core/user.h"
#include "deploy/history.h"
#include "deploy/journal.h"
#include "deploy/plan.h"
#include "site/env.h"
#include "site/settings.h"
#include "site/site.h"

#include <limits.h>

#define AMY__DEPLOY_ARGS 72

/* A program under way, and what it said. */
struct amy__deploy_run {
    struct amy__child child; /* pidfd -1: none */
    struct amy__io *ended_io;
    struct amy__io *out_io;
    struct amy__io *taken_io;
    int out_fd;          /* what it says */
    int taken_fd;        /* its standard output, when that is an answer */
    struct amy__buf out; /* the beginning of the next line */
    struct amy__buf taken;
    char last[512]; /* line that it said, or the first that was fatal to git */
    unsigned lines;
    bool waits; /* one of them was about a lock that it did not get */
};

/* What removes the locks of a git that was killed; objects have none. */
#define AMY__DEPLOY_UNLOCK(directory)                                          \
    "find", directory, "-path", directory "/objects", "-prune", "-o", "-type", \
        "f", "-name", "*.lock", "-exec", "rm", "-f", "--", "{}", "+"

/* One program to be run. */
struct amy__deploy_program {
    const char *const *argv; /* the first without a slash: looked for in PATH */
    int who;                 /* enum amy__deploy_who */
    int cwd_fd;
    bool bare;           /* not in the site's environment */
    bool take;           /* its standard output is the answer: run.taken */
    const char *more[6]; /* further variables, "NAME=value"; NULL-terminated */
};

/* What an act does next: called when what it waits for is over. rc: how that
 * went. */
typedef void (*amy__deploy_then_fn)(struct amy_deploy *deploy, int rc,
                                    struct amy_error *err);

/* What the checks found. */
struct amy__deploy_facts {
    bool front;  /* amy-front answers */
    int pending; /* migrations; -1: nobody knows */
};

struct amy_deploy {
    unsigned magic;
    pid_t maker;
    struct event_base *base;
    const struct amy_clock *borrow_clock;
    amy_deploy_event_fn on_event;
    void *event_user;
    amy_deploy_done_fn on_done;
    void *done_user;
    uint32_t kind; /* enum amy_deploy_kind */
    bool if_changed;
    bool unchanged; /* and it is not: there is nothing to do */
    char *ref;      /* asked for; or NULL */
    char *from;
    char *to;
    char *domain;
    struct amy__settings *settings;
    struct amy__site *site;
    bool as_person;
    struct amy__user deployer;
    struct amy__user account; /* the site's user */
    int state_fd;             /* {state} */
    int webapps_fd;
    int site_fd;     /* the site's directory */
    int dir_fd;      /* {state}/deploy/sites/{domain}; -1: not there yet */
    int lock_fd;     /* held */
    int releases_fd; /* the site's releases/; -1: not there */
    int release_fd;  /* the new one's directory, or -1 */
    struct amy__deploy_history history;
    struct amy__deploy_journal journal; /* of this one */
    struct amy__deploy_plan plan;
    struct amy__deploy_facts facts;
    size_t at;       /* the step under way */
    bool mending;    /* the plan is that of mending */
    bool recovering; /* of an earlier deployment, before ours begins */
    bool started;
    bool begun;
    bool over; /* on_done was called */
    bool canceled;
    bool in_step; /* a step waits for something */
    int code;     /* 0, or why it failed */
    char failed_step[AMY__DEPLOY_STEP_SIZE];
    char reason[512];
    char next[1600];
    bool unmended; /* a step of mending failed */
    int64_t began_ms;
    int64_t step_began_ms;
    struct amy__timer *deadline; /* of the step */
    struct amy__timer *pause;    /* before it tries again */
    struct amy__defer *turn;     /* the next step begins in the next turn */
    amy__deploy_then_fn then;
    struct amy__deploy_run run;
    unsigned stage; /* of an act that has several programs */
    unsigned tries;
    struct amy_error scratch; /* of a pause, which cannot fail */
    struct amy__env_job *env_job;
    struct amy__env *env; /* of the release; NULL: not yet */
    struct amy_control_request *request;
    const char *asked;        /* the daemon */
    uint32_t status;          /* of the answer */
    struct amy__json *answer; /* or NULL */
    int64_t job;              /* of amy-backup */
    char release_path[PATH_MAX];
    char now[AMY__DEPLOY_LINK_SIZE];     /* what repo led to at first */
    char cleaned[AMY__DEPLOY_LINK_SIZE]; /* the release that goes now */
};

/* ---- deploy.c: the machine ---- */
/* It has no release of its own. */
bool amy__deploy_only_mends(const struct amy_deploy *deploy);
/* The step under way is over. */
void amy__deploy_done(struct amy_deploy *deploy, int rc,
                      const struct amy_error *err);
/* Something for people. */
void amy__deploy_tell(struct amy_deploy *deploy, uint32_t kind, const char *fmt,
                      ...) __attribute__((format(printf, 3, 4)));
/* After a while `then` goes on. */
int amy__deploy_wait(struct amy_deploy *deploy, int64_t ms,
                     amy__deploy_then_fn then, struct amy_error *err);

/* ---- act.c: begin a step; it ends with amy__deploy_done(), from the loop or
 * from inside ---- */
void amy__deploy_act(struct amy_deploy *deploy,
                     const struct amy__deploy_step *step);
/* Give up what the step waits for. */
void amy__deploy_act_cancel(struct amy_deploy *deploy);

/* ---- run.c: programs ---- */
void amy__deploy_run_init(struct amy__deploy_run *run);
int amy__deploy_run(struct amy_deploy *deploy,
                    const struct amy__deploy_program *program,
                    amy__deploy_then_fn then, struct amy_error *err);
/* With all that it started. */
void amy__deploy_run_kill(struct amy_deploy *deploy);
/* What an earlier deployment of that id left running, by the variable
 * AMY_DEPLOY; how many. */
unsigned amy__deploy_run_sweep(const struct amy_deploy *deploy, const char *id);
/* All variables of a program, NULL-terminated; NULL: no memory. */
char **amy__deploy_variables(const struct amy_deploy *deploy,
                             const struct amy__deploy_program *program);

/* ---- ask.c: questions to daemons ---- */
int amy__deploy_ask(struct amy_deploy *deploy, const char *daemon,
                    const char *method, const char *path, const char *body,
                    amy__deploy_then_fn then, struct amy_error *err);
/* The site's part of a status; NULL: it is not there. */
const struct amy__json *amy__deploy_site_of(const struct amy_deploy *deploy);

/* ---- backup.c ---- */
/* Nothing has served before: there is no environment yet in which amy-backup
 * would find the database. */
bool amy__deploy_is_first(const struct amy_deploy *deploy);

/* ---- release.c: files of releases, as whoever deploys ---- */
/* What repo leads to; "" when it is not there. AMY_ESTATE: it is no link. */
int amy__deploy_link_read(const struct amy_deploy *deploy,
                          char ret_link[AMY__DEPLOY_LINK_SIZE],
                          struct amy_error *err);
int amy__deploy_link_write(const struct amy_deploy *deploy, const char *link,
                           struct amy_error *err);
/* Make a directory beneath the site's, by root in root's, and give it to the
 * deploying user; one that is there stays as it is. */
int amy__deploy_directory_give(const struct amy_deploy *deploy,
                               const char *name, struct amy_error *err);
/* Make releases/ where it is missing, and open it. */
int amy__deploy_releases_open(struct amy_deploy *deploy, struct amy_error *err);
/* Make releases/{journal.release}, as the deploying user, and open it. */
int amy__deploy_release_make(struct amy_deploy *deploy, struct amy_error *err);
/* Open what a link leads to, as the site's user; the real path of it goes to
 * release_path. */
int amy__deploy_release_open(struct amy_deploy *deploy, const char *link,
                             struct amy_error *err);
/* The settings come along: .venv/bin/postactivate. */
int amy__deploy_settings_bring(struct amy_deploy *deploy,
                               struct amy_error *err);

/* ---- keep.c: journal, history, lock, log ---- */
int amy__deploy_lock(struct amy_deploy *deploy, struct amy_error *err);
int amy__deploy_journal_save(struct amy_deploy *deploy, struct amy_error *err);
/* Something is undone, or done to its end. While mending a journal that cannot
 * be written is no failure: at worst the same is undone once more. */
int amy__deploy_journal_undone(struct amy_deploy *deploy,
                               struct amy_error *err);
/* AMY_ENOTFOUND: none is there. */
int amy__deploy_journal_load(const struct amy_deploy *deploy,
                             struct amy__deploy_journal *ret,
                             struct amy_error *err);
void amy__deploy_journal_drop(const struct amy_deploy *deploy);
int amy__deploy_history_save(const struct amy_deploy *deploy,
                             struct amy_error *err);
int amy__deploy_history_load(struct amy_deploy *deploy, struct amy_error *err);
void amy__deploy_log(const struct amy_deploy *deploy, const char *step,
                     const char *text);

/* ---- in_place.c: where repo is a checkout ---- */
/* Is it one? */
bool amy__deploy_is_checkout(const struct amy_deploy *deploy);
void amy__deploy_fetch_in_place(struct amy_deploy *deploy);
void amy__deploy_checkout(struct amy_deploy *deploy);
void amy__deploy_checkout_back(struct amy_deploy *deploy);

/* ---- variables.c ---- */
/* The site's environment with the new release, or, while there is none, with
 * the one that repo leads to. */
int amy__deploy_env(struct amy_deploy *deploy, amy__deploy_then_fn then,
                    struct amy_error *err);

/* ---- check.c, fetch.c, python.c, backup.c, queues.c: acts of several parts
 * ---- */
void amy__deploy_fetch(struct amy_deploy *deploy);
void amy__deploy_environment(struct amy_deploy *deploy);
void amy__deploy_environment_back(struct amy_deploy *deploy);
/* Is the journal's commit what serves? Then, if nobody wants it again, the plan
 * ends with the step under way. */
bool amy__deploy_is_unchanged(struct amy_deploy *deploy);
/* A commit as git names it, from what a program said. AMY_EIO: none. */
int amy__deploy_commit_read(struct amy__span text,
                            char ret[AMY__DEPLOY_COMMIT_SIZE],
                            struct amy_error *err);
void amy__deploy_read_variables(struct amy_deploy *deploy);
void amy__deploy_pending(struct amy_deploy *deploy);
/* Is a site that is to be closed one that can be? */
int amy__deploy_check_gate(const struct amy_deploy *deploy,
                           struct amy_error *err);
void amy__deploy_migrate(struct amy_deploy *deploy);
void amy__deploy_suspend(struct amy_deploy *deploy);
void amy__deploy_resume(struct amy_deploy *deploy);
void amy__deploy_backup(struct amy_deploy *deploy);
void amy__deploy_check(struct amy_deploy *deploy);

#endif
