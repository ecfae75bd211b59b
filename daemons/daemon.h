/* What all daemons of libamy share: arguments, the event base, signals, the
 * log, sd_notify(3), duty as PID 1, the exit code. Nothing about
 * sites, HTTP or workers: that is the library's. */
#ifndef DAEMON_H
#define DAEMON_H

#include <amy/error.h>
#include <amy/log.h>
#include <amy/upgrade.h>

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct daemon;

/* Exit codes. */
#define DAEMON_OK 0
#define DAEMON_FAILED 1 /* could not start, or --check found something */
#define DAEMON_USAGE 2

/* The command line, as given; NULL: not given, the defaults are the library's.
 */
struct daemon_paths {
    const char *config;  /* --config FILE */
    const char *webapps; /* --webapps DIR */
    const char *run;     /* --run DIR */
    const char *state;   /* --state DIR */
};

/* One daemon. All calls come from the loop's thread. */
struct daemon_spec {
    const char *name;    /* "amy-front" */
    const char *purpose; /* one line for --help */
    /* A process that a master started: no arguments, no sd_notify, no duty as
     * PID 1; no path is given. */
    bool is_child;
    bool json_log; /* its log lines go to stdout from the first on */
    void *user;
    /* --check: print everything wrong to stdout; returns an exit code. May be
     * NULL. The base does not run. */
    int (*check)(struct daemon *daemon, void *user);
    /* Create everything; negative: it has been logged, exit with
     * DAEMON_FAILED. Call daemon_ready() now or later. */
    int (*start)(struct daemon *daemon, void *user);
    /* SIGHUP. Call daemon_ready() when it is over; further signals are
     * coalesced to one more reload then. NULL: ignored. */
    void (*reload)(struct daemon *daemon, void *user);
    /* SIGTERM, SIGINT: finish what is under way; now: SIGQUIT, or a second
     * SIGINT. Called at most once each. Call daemon_finish() when done. */
    void (*stop)(struct daemon *daemon, bool now, void *user);
    /* SIGUSR1: open log files anew. NULL: ignored. */
    void (*reopen)(struct daemon *daemon, void *user);
    /* SIGUSR2: become the program of now, with these options. NULL: ignored. */
    int (*upgrade)(const struct amy_upgrade_options *opts, void *user,
                   struct amy_error *err);
    /* --check-state: could we go on from daemon_handover()? NULL: 0. */
    int (*check_state)(struct daemon *daemon, void *user,
                       struct amy_error *err);
    /* After the loop ended, also when start failed: free everything. */
    void (*clear)(struct daemon *daemon, void *user);
};

/* The whole of main(): returns the exit code. */
int daemon_main(const struct daemon_spec *spec, int argc, char **argv);

struct event_base *daemon_base(struct daemon *daemon);
const struct daemon_paths *daemon_paths(const struct daemon *daemon);
/* The path of the program that is installed where we were started from; NULL:
 * unknown. */
const char *daemon_program(const struct daemon *daemon);
/* The descriptor + 1 that the program before us left, for the library to take
 * over; 0: none. */
uint32_t daemon_handover(const struct daemon *daemon);
/* Lines to stderr, with a level prefix ("<4>") under the journal and with the
 * time and level elsewhere; copied by whoever is given it. */
const struct amy_log *daemon_log(const struct daemon *daemon);
/* From now on lines go to stdout, as JSON; those that it does not take go to
 * stderr as before. */
void daemon_log_json(struct daemon *daemon);

/* READY=1 with STATUS= (sd_notify(3)): after start, and after each reload. */
void daemon_ready(struct daemon *daemon, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* STATUS= alone. */
void daemon_status(struct daemon *daemon, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Leave the loop and exit with this code. */
void daemon_finish(struct daemon *daemon, int code);
/* What --check says: an amy_problem_fn that prints a line to stdout, and the
 * exit code for the number of errors found (negative: err says why it ended).
 */
void daemon_print_problem(const struct amy_problem *problem, void *user);
int daemon_checked(int errors, const struct amy_error *err);
/* One line to the log, at this level. */
void daemon_say(const struct daemon *daemon, enum amy_log_level level,
                const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
