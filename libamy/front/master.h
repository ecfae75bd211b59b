/* What the files of amy-front's master share. Nothing outside front/master*.c
 * includes it. */
#ifndef AMY_FRONT_MASTER_H
#define AMY_FRONT_MASTER_H

#include <amy/front.h>
#include <amy/gate.h>
#include <amy/logrotate.h>
#include <amy/pool.h>

#include "control/control.h"
#include "control/metrics.h"
#include "control/sockets.h"
#include "core/json.h"
#include "core/loop.h"
#include "core/upgrade.h"
#include "core/user.h"
#include "front/accesslog.h"
#include "front/bundle.h"
#include "front/certs.h"
#include "front/listeners.h"
#include "front/prober.h"
#include "front/registry.h"
#include "front/round.h"
#include "front/slots.h"
#include "front/wire.h"
#include "gate/word.h"
#include "site/settings.h"
#include "site/site.h"

#define AMY__FRONT_MAGIC 0x66726f6eU
#define AMY__TICKET_BYTES 48U
#define AMY__TICKET_KEYS 3U
#define AMY__FRONT_PROBLEM 300 /* bytes of one, with its NUL */
#define AMY__FRONT_DRAIN_MS 30000U

/* A control call that waits for something; in a list. */
struct amy__waiter {
    struct amy__waiter *next;
    struct amy__control_call *call;
};

/* The front processes of one pool: those of now, and those of a program before
 * this one, which finish what they have. */
struct amy__front_crew {
    struct amy__front_crew *next; /* an older one */
    struct amy_front *front;
    struct amy_pool *pool;
    uint32_t count;
    uint32_t numbers[AMY__PROCESSES_MAX]; /* by position */
    bool leaving;                         /* told to finish */
};

/* One number of a front process: that of its bits, slot words and event. */
struct amy__front_process {
    struct amy_front *front;
    uint32_t index;
    uint32_t position;            /* in the pool of: */
    struct amy__front_crew *crew; /* NULL: the number is free */
    uint64_t incarnation;
    struct amy__wire *wire;    /* NULL: no process, or it does not speak */
    uint64_t bundle;           /* that it serves; 0: none yet */
    bool told_pages;           /* a bundle was sent: pages go to it, too */
    struct amy__json *figures; /* its last answer to STATUS, or NULL */
};

/* A log of a site, as the processes were given it. */
struct amy__front_log {
    int fd;               /* -1: none could be opened yet */
    uint64_t serial;      /* ours, of all logs; 0: none */
    uint64_t file_serial; /* the rotator's */
    uint64_t waiting;     /* processes that may still write the one before */
};
#define AMY__FRONT_LOGS 2U /* access.log, error.log */

/* Who compares passwords with hashes, and what it was asked. */
#define AMY__FRONT_ASKS 128U /* of all processes at a time */
struct amy__front_ask {
    uint64_t number; /* ours; 0: free */
    uint64_t their_number;
    uint64_t incarnation; /* of the process that asks */
    uint32_t process;
};
struct amy__front_checker {
    struct amy_front *front;
    struct amy_pool *pool;  /* of one; NULL until a site has users */
    struct amy__wire *wire; /* NULL: it does not live */
    uint64_t last;
    struct amy__front_ask asks[AMY__FRONT_ASKS];
};

/* What stays of a site while bundles come and go. */
struct amy__front_site {
    struct amy__front_site *next;
    struct amy_front *front;
    char *name;
    uint32_t index; /* of its gate word */
    int dir_fd;
    int run_fd;
    struct amy_gate *gate;
    uint64_t serial;  /* of page_fd; 0: open */
    int page_fd;      /* sealed; -1: the built-in page */
    uint64_t waiting; /* processes that have not acknowledged the page */
    struct amy__timer *page_timer;
    struct amy__waiter *waiters; /* for the word to be flipped */
    struct amy__json *problems;  /* of the last look; an array */
    bool listed;                 /* by the last look at webapps */
    struct amy__site *spec;      /* as it was read last; or NULL */
    size_t users;                /* who get in by a password */
    struct amy_logrotate *rotator;
    struct amy__front_log logs[AMY__FRONT_LOGS];
};

/* What one reading of the configuration gave: the bundle, and the sites of the
 * same places in it. */
struct amy__front_version {
    struct amy__bundle *bundle;
    struct amy__site **sites;
    bool certs_only; /* made for new certificates, not by a reload */
};

struct amy_front {
    uint32_t magic;
    pid_t maker;
    struct amy_front_options opts;
    struct amy_log log;
    struct amy__settings *settings;
    char *program;
    bool as_person;
    bool started;
    bool stopping;
    bool announced; /* on_ready has run */
    struct amy__user user;
    int webapps_fd;
    int run_fd;
    int state_fd;
    int spool_fd;
    int64_t since_ms;       /* monotonic */
    uint32_t process_count; /* of now */
    struct amy__front_process processes[AMY__PROCESSES_MAX];
    struct amy__front_crew *crews; /* newest first */
    struct amy__upgrade_past past; /* upgrades */
    struct amy__upgrade *upgrade;  /* under way, or NULL */
    struct amy__upgrade_owner owner;
    struct amy__handover *handover; /* while it is taken over, or NULL */
    struct amy__front_checker checker;
    struct amy__control *control;
    struct amy__metrics *metrics;
    struct amy__listeners listeners;
    struct amy__registry *registry;
    struct amy__watch *gate_watch;          /* of all gates */
    struct amy__logrotate_peers *log_peers; /* all rotators */
    struct amy__gate_words *words;
    int words_fd;
    struct amy__slots *slots;
    int slots_fd;
    struct amy__site_locks *locks; /* by the index of a site */
    uint32_t locks_made;           /* those before it */
    int locks_fd;
    int events[AMY__PROCESSES_MAX];
    uint8_t ticket_keys[AMY__TICKET_KEYS * AMY__TICKET_BYTES];
    size_t ticket_count;
    int tickets_fd;
    struct amy__timer *ticket_timer;
    int64_t tickets_due_ms;        /* when the next key comes (monotonic) */
    struct amy__front_site *sites; /* sorted by name */
    uint64_t last_serial;
    uint64_t last_log_serial;
    uint64_t last_bundle;
    struct amy__front_version *current; /* that new processes get */
    struct amy__front_version *staged;  /* offered in the round, or NULL */
    struct amy__round round;
    struct amy__timer *round_timer;
    bool reload_again;
    struct amy__certs *certs;
    bool certs_changed;             /* what current has is not what certs has */
    struct amy__timer *certs_timer; /* after a round that was refused */
    struct amy__prober *prober;
    uint32_t probe_process;             /* that was asked last */
    struct amy__waiter *reload_waiters; /* for the version that is staged */
    struct amy__waiter *next_waiters;   /* for the one after it */
    uint64_t reloads; /* that all processes serve, and others */
    uint64_t reloads_refused;
    char refusal[256]; /* why the last reload was refused; or "" */
    uint64_t ask;      /* of STATUS */
    uint64_t asked;    /* processes that have not answered it */
    struct amy__timer *ask_timer;
    struct amy__waiter *status_waiters;
    amy_front_done_fn on_done;
    void *done_user;
};

/* master.c */
int amy__front_read_options(struct amy_front_options *ret,
                            const struct amy_front_options *opts,
                            struct amy_error *err);
int amy__front_read_settings(const struct amy_front_options *opts,
                             amy_problem_fn on_problem, void *user,
                             struct amy__settings **ret_settings,
                             struct amy_error *err);
uint64_t amy__front_bit(uint32_t process);
/* Processes that serve a bundle, a bit each: all, or those of one crew. */
uint64_t amy__front_serving(const struct amy_front *front);
uint64_t amy__front_crew_serving(const struct amy__front_crew *crew);
/* Does every process of now serve? */
bool amy__front_is_complete(const struct amy_front *front);

void amy__front_tell(const struct amy__front_process *process,
                     enum amy__wire_type type, const struct amy__json *json,
                     const int *fds, size_t count);
void amy__front_wait(struct amy__waiter **list, struct amy__control_call *call);
struct amy__control_call *amy__front_waited(struct amy__waiter **list);

/* master_load.c: reading the configuration. */
/* Read all sites anew; only: that site alone, the rest as it is. */
int amy__front_load(struct amy_front *front, const char *only,
                    struct amy__front_version **ret_version,
                    struct amy_error *err);
/* With room for so many sites, and all that is not of one site. */
int amy__front_version_create(struct amy_front *front, size_t places,
                              struct amy__front_version **ret_version,
                              struct amy_error *err);
void amy__front_version_free(struct amy__front_version *version);
struct amy__front_site *amy__front_site(struct amy_front *front,
                                        const char *name);
/* With the index that a program before this one gave it. */
struct amy__front_site *amy__front_site_return(struct amy_front *front,
                                               const char *name,
                                               uint32_t index);
void amy__front_site_free(struct amy__front_site *site);
int amy__front_load_check(struct amy_front *front, amy_problem_fn on_problem,
                          void *user, struct amy_error *err);

/* master_cert.c: certificates. */
int amy__front_certs_create(struct amy_front *front, struct amy_error *err);
/* Look at those of a site, and put the good ones into its place. */
int amy__front_certs_fill(struct amy_front *front, const struct amy__site *spec,
                          struct amy__bundle_site *one, struct amy_error *err);
/* Stage what is served now with the certificates there are now. */
int amy__front_stage_certs(struct amy_front *front, struct amy_error *err);
void amy__front_certs_again(struct amy_front *front); /* later */
struct amy__json *amy__front_certs_json(const struct amy_front *front,
                                        const char *domain);
struct amy__json *amy__front_uncovered_json(const struct amy_front *front,
                                            const char *domain);
struct amy__json *amy__front_served_json(const struct amy_front *front,
                                         const char *domain);

/* master_probe.c: is what is served what is held? */
int amy__front_prober_create(struct amy_front *front, struct amy_error *err);
void amy__front_probed(struct amy__front_process *process,
                       const struct amy__json *json);
void amy__front_probe_lost(struct amy_front *front, uint32_t process);

/* master_bundle.c: rounds. */
void amy__front_offer(struct amy_front *front); /* begin what is to be done */
void amy__front_take_step(struct amy_front *front, enum amy__round_step step,
                          const char *why);
void amy__front_adopt(struct amy_front *front); /* share out the listeners */
int amy__front_stage(struct amy_front *front, const char *only,
                     struct amy_error *err);
void amy__front_on_round_timer(void *user);
void amy__front_on_worker(const struct amy__registry_pool *pool,
                          const struct amy__roster_worker *worker, bool is_new,
                          void *user);

/* master_process.c: the pool of front processes, and what they say. */
void amy__front_kill(const struct amy__front_process *process, const char *why);
int amy__front_pool_create(struct amy_front *front, struct amy_error *err);
/* A crew without a pool, its numbers free ones, or those given. */
int amy__front_crew_create(struct amy_front *front, uint32_t count,
                           const uint32_t *numbers,
                           struct amy__front_crew **ret_crew,
                           struct amy_error *err);
/* leaving: its processes are to finish, when asked, with patience. */
int amy__front_crew_open(struct amy__front_crew *crew, bool leaving,
                         struct amy_error *err);
void amy__front_crew_free(struct amy__front_crew *crew); /* and its numbers */
/* Go on with a process that a program before this one started. */
int amy__front_process_adopt(struct amy__front_process *process,
                             int borrow_channel_fd, struct amy_error *err);
/* Those who are not of now may go, once those of now serve. */
void amy__front_relieve(struct amy_front *front);
/* Those who leave have been patient for long enough. */
void amy__front_hurry(struct amy_front *front);

/* A pool of such processes, whatever they do. */
struct amy__front_children {
    const char *name;
    uint32_t count;
    uint32_t patience_ms; /* 0: AMY__FRONT_DRAIN_MS */
    uint32_t withdraw_ms;
    amy_pool_probe_fn probe;
    amy_pool_event_fn on_event;
    void *user;
};
int amy__front_child_pool(struct amy_front *front,
                          const struct amy__front_children *what,
                          struct amy_pool **ret_pool, struct amy_error *err);

/* master_access.c: closed sites. */
/* Who gets in by a password: sealed, -1 where there is nobody. What is wrong
 * with the file goes to on_problem and is no failure. */
int amy__front_users_read(struct amy_front *front,
                          const struct amy__front_site *site,
                          const struct amy__site *spec,
                          amy_problem_fn on_problem, void *user, int *ret_fd,
                          size_t *ret_count, struct amy_error *err);
/* Once a site has users. */
int amy__front_checker_start(struct amy_front *front, struct amy_error *err);
void amy__front_checker_free(struct amy_front *front);
/* Whoever waits for a verdict may ask again, and a checker to come. */
void amy__front_checker_let_go(struct amy_front *front);
/* CHECK came. */
void amy__front_check(struct amy__front_process *process,
                      struct amy__json *json);

/* master_gate.c: gates, their words, and what is remembered of them. */
/* Before the first gate. */
int amy__front_gates_watch(struct amy_front *front, struct amy_error *err);
int amy__front_gate_create(struct amy_front *front,
                           struct amy__front_site *site, struct amy_error *err);
void amy__front_gate_acked(struct amy__front_site *site, uint32_t process,
                           uint64_t serial);
void amy__front_gate_lost(struct amy_front *front, uint32_t process);

/* master_logs.c: access.log and error.log. */
int amy__front_logs_begin(struct amy_front *front, struct amy_error *err);
/* Begin with a site's logs, or go on by its new site.yaml, and put them into
 * its place of a bundle. What cannot be opened is told in ret_problem. */
int amy__front_logs_fill(struct amy__front_site *site,
                         const struct amy__site *spec,
                         struct amy__bundle_site *one,
                         char ret_problem[AMY__FRONT_PROBLEM],
                         struct amy_error *err);
/* The files of now: a bundle may be older than they are. */
void amy__front_logs_freshen(const struct amy__front_site *site,
                             struct amy__bundle_site *one);
void amy__front_log_acked(struct amy__front_site *site, uint32_t process,
                          const char *log, uint64_t serial);
/* A process found no room for lines of this site. */
void amy__front_log_full(struct amy_front *front, const char *site);
void amy__front_logs_lost(struct amy_front *front, uint32_t process);
void amy__front_logs_free(struct amy__front_site *site);

/* master_shared.c: memory that all processes map, keys, descriptors. */
int amy__front_shared_create(struct amy_front *front, struct amy_error *err);
void amy__front_shared_clear(struct amy_front *front);
void amy__front_shared_save(const struct amy_front *front,
                            struct amy__handover *handover);
/* See that the locks of the site of this index are made. */
int amy__front_lock_logs(struct amy_front *front, uint32_t index,
                         struct amy_error *err);
/* Every process looks at its queues again. */
void amy__front_ring_all(struct amy_front *front);

/* master_upgrade.c: from program to program. */
void amy__front_own(struct amy_front *front); /* before all the others */
int amy__front_take_over(struct amy_front *front, struct amy_error *err);
int amy__front_open_listeners(struct amy_front *front, struct amy_error *err);
/* What is taken over when the parts are there that it belongs to. */
int amy__front_take_sites(struct amy_front *front, struct amy_error *err);
int amy__front_take_crews(struct amy_front *front, struct amy_error *err);

/* master_control.c: gates and reloads. */
int amy__front_control_create(struct amy_front *front, struct amy_error *err);
/* rc < 0: refused, with why. */
void amy__front_reload_over(struct amy_front *front, int rc, const char *why);

/* master_status.c: what status tells; asks the processes first. */
void amy__front_figures_came(struct amy__front_process *process,
                             struct amy__wire_message *message);
void amy__front_figures_lost(struct amy_front *front, uint32_t process);
void amy__front_get_status(struct amy__control_call *call, void *user);
void amy__front_on_ask_timer(void *user);
/* Have the processes tell their figures; then all who wait are answered. */
void amy__front_ask(void *user);

/* What a pool has to do. */
struct amy__front_load {
    int64_t total; /* slots */
    int64_t busy;
    int64_t queued;
    int64_t oldest_ms;
    int64_t tunnels;
    /* By address: the most connections in a row that a server did not take of
     * any process. NULL: not wanted. The caller's, set before the call. */
    struct amy__json *refusals;
};
void amy__front_pool_load(const struct amy_front *front,
                          const struct amy__registry_pool *pool,
                          struct amy__front_load *ret);

/* master_metrics.c: the same figures, for Prometheus. */
int amy__front_metrics_create(struct amy_front *front, struct amy_error *err);

#endif
