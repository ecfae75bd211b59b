/* What is not of one site: the daemons' options, from /etc/amy/amy.yaml and the
 * command line (which wins). */
#ifndef AMY_SITE_SETTINGS_H
#define AMY_SITE_SETTINGS_H

#include <amy/error.h>

#include "net/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct amy__settings {
    char *webapps;      /* [/webapps] */
    char *run;          /* [$RUNTIME_DIRECTORY, /run/amy] */
    char *state;        /* [$STATE_DIRECTORY, /var/lib/amy] */
    char *certificates; /* [/etc/letsencrypt/live] */
    char *spool;        /* [{state}/spool] for request bodies, unlinked files */
    /* front: {https: [...], http: [...], processes: N, user: amy,
     * trusted: [CIDR]} */
    struct amy__address *https;
    size_t https_count; /* [*:443] */
    struct amy__address *http;
    size_t http_count;    /* [*:80] */
    uint32_t processes;   /* [number of CPUs] */
    uint32_t connections; /* per process [from RLIMIT_NOFILE] */
    char *front_user;     /* [amy] */
    struct amy__cidr *trusted;
    size_t trusted_count; /* proxies whose X-Forwarded-For counts [none] */
};

/* Overrides from argv; NULL: not given. */
struct amy__settings_args {
    const char *config; /* [/etc/amy/amy.yaml]; missing is fine unless given */
    const char *webapps;
    const char *run;
    const char *state;
};
int amy__settings_load(const struct amy__settings_args *args,
                       amy_problem_fn on_problem, void *user,
                       struct amy__settings **ret_settings,
                       struct amy_error *err);
void amy__settings_free(struct amy__settings *settings);

#endif
