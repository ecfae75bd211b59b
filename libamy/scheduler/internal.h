/* What the files of this room share: the scheduler, its sites, their runs. */
#ifndef AMY_SCHEDULER_INTERNAL_H
#define AMY_SCHEDULER_INTERNAL_H

#include <amy/scheduler.h>

#include "backup/job.h"
#include "backup/schedule.h"
#include "control/control.h"
#include "control/metrics.h"
#include "control/sockets.h"
#include "core/json.h"
#include "core/loop.h"
#include "core/spawn.h"
#include "core/upgrade.h"
#include "site/env.h"
#include "site/settings.h"
#include "site/site.h"

#include <stdbool.h>
#include <stdint.h>

#define AMY__SCHEDULER_MAGIC 0x73636865U /* "sche" */
#define AMY__RUN_ARGS 70
#define AMY__DEPLOY_KEPT_MS (INT64_C(7) * 86400000)

/* One process under way in a site's name, or what became of it: a job, or the
 * command of an alarm. */
struct amy__run {
    struct amy__run *next; /* of its site, newest first */
    struct amy__scheduler_site *borrow_site;
    uint64_t number;
    struct amy__job_spec spec;
    bool internal;  /* a look of ours: nobody asked for it */
    char **command; /* an alarm's; NULL: a job */
    struct amy__env_job *env_job;
    struct amy__child child;
    struct amy__io *ended_io;
    struct amy__io *event_io;
    int event_fd;
    int lend_fd;            /* the job's end of a socket to another; -1: none */
    struct amy__buf events; /* the beginning of the next line */
    size_t searched;        /* of which so much has no end of line */
    struct amy__json *progress;
    struct amy__json *result; /* of the last event */
    bool started;             /* the process */
    bool over;
    int code; /* 0, or why it failed */
    char message[256];
    int64_t began_wall_ms;
    int64_t heard_ms; /* mono: of its last event, or its beginning */
    /* Who waits to hear of it, and until when. */
    struct amy__control_call *waiting;
    struct amy__timer *patience;
    struct amy__timer *deadline; /* of a command, and of an end */
    bool asked_to_end;
    bool late; /* that is why it was asked to */
};

enum amy__alarm_kind {
    AMY__ALARM_AGE = 0,
    AMY__ALARM_FAILED,
    AMY__ALARM_SUSPECT,
    AMY__ALARM_COPY_FAILED,
    AMY__ALARM_COPY_LATE,
};
#define AMY__ALARM_COUNT 5

struct amy__alarm {
    bool on;
    int64_t since_wall_ms;
    char message[256];
    /* What the webhook knows. An alarm that is over before it has heard of it
     * is not told at all. */
    bool told;        /* it heard last that this is on */
    bool telling;     /* what it is told now */
    uint32_t untold;  /* how often in a row it was not reached */
    int64_t retry_ms; /* mono: not before */
    /* Of the command: it runs once for as long as the alarm is on. */
    bool ran;
    uint32_t unrun;   /* how often in a row it could not start */
    int64_t rerun_ms; /* mono: not before */
};

/* What the last look at the sets said. */
struct amy__scheduler_facts {
    bool known;
    size_t sets;
    uint64_t bytes;
    size_t foreign;
    size_t ahead;    /* dated in the future: all below is not of these */
    int64_t good_ms; /* when the newest verified one was made; or NO_TIME */
    int64_t slot_ms; /* of the newest one that has a slot; or NO_TIME */
    int64_t drilled_ms;
    char newest_name[AMY__STAMP_SIZE];
    char newest_verdict[16];
    char newest_reason[256];
    struct amy__json *good; /* the newest verified one */
};

/* One of the copies off the host, in the order of site.yaml. */
struct amy__scheduler_copy {
    char name[AMY__COPY_NAME_SIZE];
    bool known; /* all of the following, by the last look */
    size_t sets;
    uint64_t bytes;
    int64_t newest_ms; /* when the newest one there was made; or NO_TIME */
    size_t missing;    /* what it is to have and has not */
    uint8_t lines[32]; /* what site.yaml says of it, hashed */
    int64_t first_ms;  /* mono: of the first look, where nothing is missing */
    int64_t ran_ms;    /* mono: when it was brought up to date; 0: never */
    int64_t retry_ms;  /* mono: not before */
    uint32_t failures; /* in a row */
    char failure[256];
};

/* What failed, and is tried again: a dump, or only what was left of one. */
struct amy__retry {
    int64_t at_ms; /* mono; 0: nothing to make up for */
    enum amy__job_action action;
    int64_t slot_ms;
    char set[AMY__STAMP_SIZE];
};

struct amy__scheduler_site {
    struct amy__scheduler_site *next;
    struct amy_scheduler *borrow_scheduler;
    char *domain;
    struct amy__site *site; /* accepted last; NULL: none was ever */
    struct amy__json *problems;
    char error[256]; /* "" or why the last site.yaml was refused */
    struct amy__schedule schedule;
    struct amy__zone *zone;
    char unscheduled[256]; /* "" or why the schedule is not as site.yaml says */
    bool scheduled;        /* it has one, and its state has begun */
    bool has_schedule;
    struct amy__schedule_state state;
    struct amy_log_writer *log;    /* backup.log where it is no file; or NULL */
    struct amy_logrotate *rotator; /* of backup.log; NULL: none yet */
    struct amy__scheduler_facts facts;
    struct amy__run *runs;
    uint32_t failures; /* of scheduled dumps, in a row */
    struct amy__retry retry;
    int64_t drill_ms;       /* mono: no drill before */
    bool drill_failed;      /* the last scheduled one */
    int64_t look_ms;        /* mono: when to look at the sets again */
    uint32_t look_failures; /* in a row */
    char look_failure[256];
    /* mono: when another host was seen to back the database up; 0: never */
    int64_t other_ms;
    int64_t other_wall_ms; /* the same, for memory.c */
    char failure[256];
    struct amy__scheduler_copy copies[AMY__COPIES_MAX];
    size_t copy_count;
    struct amy__alarm alarms[AMY__ALARM_COUNT];
    struct amy__buf noted; /* what the state directory has of all that */
    bool unnoted;          /* the last try failed, and that was told */
    bool seen;
};

struct amy_scheduler {
    unsigned magic;
    pid_t maker;
    struct event_base *base;
    const struct amy_clock *borrow_clock;
    struct amy_log log;
    struct amy__settings *settings;
    char *program;
    bool as_person;
    int run_fd;
    int state_fd;
    int webapps_fd;
    struct amy__logrotate_peers *log_peers; /* all rotators */
    struct amy__control *control;
    struct amy__metrics *metrics;
    struct amy__scheduler_site *sites;
    struct amy__timer *tick;
    struct amy__defer *sweep;
    uint64_t last_run;
    int64_t started_wall_ms;
    int64_t started_mono_ms;
    bool stopping;
    amy_scheduler_done_fn on_stopped;
    void *stopped_user;
    struct amy__upgrade_past past;
    struct amy__upgrade *upgrade; /* under way, or NULL */
    struct amy__upgrade_owner owner;
    struct amy__handover *handover; /* while it is taken over, or NULL */
};

/* site.c */
int amy__scheduler_scan(struct amy_scheduler *scheduler, struct amy_error *err);
/* Read one site again. AMY_ENOTFOUND: there is none. */
int amy__scheduler_renew(struct amy_scheduler *scheduler, const char *domain,
                         struct amy_error *err);
struct amy__scheduler_site *
amy__scheduler_site_find(const struct amy_scheduler *scheduler,
                         const char *domain);
void amy__scheduler_site_free(struct amy__scheduler_site *site);
/* The schedule as site.yaml has it now; its state goes on. On failure, which is
 * kept in `unscheduled`, the one there was stays. AMY_EINVAL. */
int amy__scheduler_set_schedule(struct amy__scheduler_site *site,
                                struct amy_error *err);
/* A spec with what the site says; the action's own parts are the caller's. */
void amy__scheduler_spec(const struct amy__scheduler_site *site,
                         enum amy__job_action action,
                         struct amy__job_spec *ret);
/* Look at what is due, once. */
void amy__scheduler_site_tick(struct amy__scheduler_site *site);
/* A run of this site is over. */
void amy__scheduler_site_ended(struct amy__scheduler_site *site,
                               struct amy__run *run);

/* facts.c: what a list of sets tells. */
void amy__scheduler_facts_read(const struct amy__json *result,
                               struct amy__scheduler_facts *ret);
/* One was just made: so that who was told so finds it at once in what we tell,
 * before the next list. */
void amy__scheduler_facts_made(const struct amy__json *set,
                               struct amy__scheduler_facts *ret);
void amy__scheduler_facts_clear(struct amy__scheduler_facts *facts);

/* copies.c: copies off the host. */
/* As site.yaml has them now; what is known of those that stay is kept. */
void amy__scheduler_copies_renew(struct amy__scheduler_site *site);
/* Add what a look at the sets needs to know of them. */
void amy__scheduler_copies_rules(const struct amy__site *says,
                                 struct amy__job_spec *ret);
/* Which of them a job is about. False: there is none of that name. */
bool amy__scheduler_copies_name(const struct amy__site *says, const char *name,
                                struct amy__job_spec *ret);
/* Where another host's site keeps its backups. False: nobody said so. */
bool amy__scheduler_copies_foreign(const struct amy__site *says,
                                   struct amy__job_spec *ret);
void amy__scheduler_copies_read(struct amy__scheduler_site *site,
                                const struct amy__json *result);
/* Begin what is due. */
void amy__scheduler_copies_tick(struct amy__scheduler_site *site);
void amy__scheduler_copies_ended(struct amy__scheduler_site *site,
                                 const struct amy__run *run);
struct amy__json *
amy__scheduler_copies_json(const struct amy__scheduler_site *site);

/* Begin a job of ours; what it is about is in the spec. */
int amy__scheduler_begin(struct amy__scheduler_site *site,
                         const struct amy__job_spec *spec);
/* Is it a failure that counts, and how long to wait after so many in a row? */
bool amy__scheduler_is_failure(int code);
int64_t amy__scheduler_wait_ms(const struct amy__scheduler_site *site,
                               uint32_t failures);

/* alarm.c: look at what is wrong; tell what is so since now. */
void amy__scheduler_alarms(struct amy__scheduler_site *site);
/* memory.c: what of alarms must outlive a restart, so that nobody is told
 * twice, or never. Read it, of a site that is new; note it, unless it is noted.
 */
void amy__scheduler_memory_read(struct amy__scheduler_site *site);
void amy__scheduler_memory_note(struct amy__scheduler_site *site);

/* hook.c: tell the webhook what it does not know, once it is due. */
void amy__scheduler_hooks(struct amy__scheduler_site *site);
/* A run that told it is over. */
void amy__scheduler_hook_ended(struct amy__scheduler_site *site,
                               const struct amy__run *run);
/* How long to wait after so many tries to tell somebody. */
int64_t amy__alarm_wait_ms(uint32_t tries);

/* refresh.c: begin to put another site's backup into a test site's database.
 * body: what was asked. AMY_EDENIED (no test site), AMY_EINVAL (whose, and
 * scrubbed how?), AMY_ENOTFOUND, AMY_EBUSY ... */
int amy__scheduler_refresh(struct amy__scheduler_site *site, bool by_root,
                           const struct amy__json *body,
                           struct amy__run **ret_run, struct amy_error *err);

/* command.c: run the command for each alarm that it has not run for. */
void amy__scheduler_commands(struct amy__scheduler_site *site);
void amy__scheduler_command_ended(struct amy__scheduler_site *site,
                                  const struct amy__run *run);
const char *amy__alarm_name(enum amy__alarm_kind kind);

/* run.c */
/* command: NULL-terminated, taken over also on failure; NULL: a job. */
int amy__run_start(struct amy__scheduler_site *site,
                   const struct amy__job_spec *spec, char **command,
                   struct amy__run **ret_run, struct amy_error *err);
void amy__run_free(struct amy__run *run);
void amy__run_stop(struct amy__run *run);
/* The run that changes a site's sets now, or NULL. */
struct amy__run *amy__run_of_site(const struct amy__scheduler_site *site);
/* Does a look at the sets that nobody asked for run? The next one waits. */
bool amy__run_is_looking(const struct amy__scheduler_site *site);
/* May one more of what hinders nobody begin? Each is processes of a user who
 * may stop them. */
bool amy__run_has_room(const struct amy__scheduler_site *site);
/* Can another job be hindered by it? */
bool amy__spec_is_look(const struct amy__job_spec *spec);
/* Answer whoever waits: at an event, at its end, when patience ends. */
void amy__run_answer(struct amy__run *run);
struct amy__json *amy__run_json(const struct amy__run *run);
/* Does a dump, a drill or a restore run for any site, and moves? They take
 * turns. */
bool amy__run_is_busy(const struct amy_scheduler *scheduler);
/* How many copies of ours are under way for all sites, and still new. */
unsigned amy__run_copies(const struct amy_scheduler *scheduler);

/* metrics.c: what Prometheus is told. */
int amy__scheduler_metrics_create(struct amy_scheduler *scheduler,
                                  struct amy_error *err);

/* methods.c */
int amy__scheduler_methods_add(struct amy_scheduler *scheduler,
                               struct amy_error *err);

/* scheduler.c */
bool amy__scheduler_is_idle(const struct amy_scheduler *scheduler);
struct amy__settings_args
amy__scheduler_args(const struct amy_scheduler_options *o);
int amy__scheduler_read_options(const struct amy_scheduler_options *opts,
                                struct amy_scheduler_options *ret,
                                struct amy_error *err);

/* upgrade.c: from program to program. */
void amy__scheduler_own(struct amy_scheduler *scheduler);
/* Open what the program before this one left; nothing without a descriptor. */
int amy__scheduler_take_over(struct amy_scheduler *scheduler,
                             uint32_t fd_plus_one, struct amy_error *err);

#endif
