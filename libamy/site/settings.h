/* What is not of one site: the daemons' options, from /etc/amy/amy.yaml and the
 * command line (which wins). */
#ifndef AMY_SITE_SETTINGS_H
#define AMY_SITE_SETTINGS_H

#include <amy/error.h>

#include "core/str.h"
#include "core/user.h"
#include "net/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct amy__settings {
    char *config;       /* the file it was read from, or would have been */
    char *webapps;      /* [/webapps] */
    char *run;          /* [$RUNTIME_DIRECTORY, /run/amy] */
    char *state;        /* [$STATE_DIRECTORY, /var/lib/amy] */
    char *certificates; /* [/etc/letsencrypt/live] */
    bool logs_stdout;   /* logs: stdout: all of them, as JSON lines [files] */
    char *spool;        /* [{state}/spool] for request bodies, unlinked files */
    /* front: {https: [...], http: [...], processes: N, connections: N,
     * user: amy, trusted: [CIDR]} */
    struct amy__address *https;
    size_t https_count; /* [*:443] */
    struct amy__address *http;
    size_t http_count;    /* [*:80] */
    uint32_t processes;   /* [number of CPUs] */
    uint32_t connections; /* per process [0: from RLIMIT_NOFILE] */
    char *front_user;     /* [amy] */
    struct amy__cidr *trusted;
    size_t trusted_count; /* proxies whose X-Forwarded-For counts [none] */
    /* metrics: {front: [...], workers: [...], backup: [...]} beside their unix
     * sockets */
    struct amy__address *front_metrics;
    size_t front_metrics_count; /* [none] */
    struct amy__address *workers_metrics;
    size_t workers_metrics_count;
    struct amy__address *backup_metrics;
    size_t backup_metrics_count;
};

/* Overrides from argv; NULL: not given. */
struct amy__settings_args {
    const char *config; /* [/etc/amy/amy.yaml]; missing is fine unless given */
    const char *webapps;
    const char *run;
    const char *state;
};
/* Parse and check the YAML alone: no files, no variables; what is derived
 * (spool, processes ...) has its default already. Paths of args are NULL. */
int amy__settings_parse(struct amy__span yaml, const char *file,
                        amy_problem_fn on_problem, void *user,
                        struct amy__settings **ret_settings,
                        struct amy_error *err);

/* Read the file, then the environment (RUNTIME_DIRECTORY, STATE_DIRECTORY: set
 * by systemd), then args. Relative paths are made absolute. The file must
 * belong to root or to us and be writable by its owner only.
 * @return 0, AMY_ENOTFOUND (config was given and is missing), AMY_EPARSE,
 *         AMY_EDENIED (owner or mode), AMY_EIO, AMY_ENOMEM. */
int amy__settings_load(const struct amy__settings_args *args,
                       amy_problem_fn on_problem, void *user,
                       struct amy__settings **ret_settings,
                       struct amy_error *err);

/* The user of the front processes. AMY_ENOTFOUND (there is none) says how to
 * make one; any failure is told as a problem of the file, too. ret_user is
 * cleared by the caller; NULL: only see that there is one. */
int amy__settings_front_user(const struct amy__settings *settings,
                             amy_problem_fn on_problem, void *user,
                             struct amy__user *ret_user, struct amy_error *err);
/* Open the directories that a daemon works in; run and state are made when they
 * are not there. What was opened is the caller's, also on failure. */
int amy__settings_open(const struct amy__settings *settings, int *ret_run_fd,
                       int *ret_state_fd, int *ret_webapps_fd,
                       struct amy_error *err);
void amy__settings_free(struct amy__settings *settings);

#endif
