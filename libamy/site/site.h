/* A site as its directory says: the accepted site.yaml, checked and filled with
 * defaults. Reference counted and read-only once loaded: exchanges under way
 * keep the one they began with. */
#ifndef AMY_SITE_SITE_H
#define AMY_SITE_SITE_H

#include <amy/error.h>

#include "core/buf.h"
#include "core/str.h"
#include "net/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum amy__http_mode {
    AMY__HTTP_REDIRECT = 0,
    AMY__HTTP_SERVE,
    AMY__HTTP_OFF,
};

enum amy__replace_mode {
    AMY__REPLACE_ROLLING = 0, /* new ready before the old one drains */
    AMY__REPLACE_STOP_FIRST,  /* never two at once */
};

/* site.yaml names a user; only the masters may ask who that is. */
#define AMY__UID_UNKNOWN ((uid_t)-1)
#define AMY__GID_UNKNOWN ((gid_t)-1)

struct amy__site_worker {
    char *name;
    char *wsgi;     /* "config.wsgi:application": gunicorn runs it; or NULL */
    char **command; /* NULL-terminated; NULL when wsgi is set */
    uint32_t count;
    uint32_t slots;          /* requests each takes at once [1] */
    int64_t timeout_ms;      /* [30 s] of the worker (gunicorn --timeout) */
    int64_t boot_timeout_ms; /* [60 s] until it answers */
    enum amy__replace_mode replace;
    int stop_signal;          /* [SIGTERM] */
    int64_t stop_patience_ms; /* [30 s] then SIGKILL */
    char **after;             /* names of pools that must be ready, or NULL */
    char *socket;             /* path of a listener for strangers, or NULL */
    char *socket_group;       /* that alone may connect to it; NULL: anybody */
    bool serves;   /* gets a socket: wsgi, named by a route, or `socket` */
    uint32_t line; /* in site.yaml, for later problems */
};

enum amy__route_kind {
    AMY__ROUTE_POOL = 0,
    AMY__ROUTE_FILES,
    AMY__ROUTE_UPSTREAM, /* servers that somebody else runs */
};

struct amy__route {
    char *path; /* prefix, begins with '/'; "/static/" also matches "/static" */
    enum amy__route_kind kind;
    char *pool; /* AMY__ROUTE_POOL; of upstreams the path of the first route to
                   the same servers: they share a queue. No pool begins so. */
    char **upstream;    /* AMY__ROUTE_UPSTREAM: addresses, or NULL */
    uint32_t slots;     /* [1000] requests that each of these takes at once */
    char *files;        /* AMY__ROUTE_FILES: directory beneath the site's */
    bool immutable;     /* cache: immutable */
    int64_t max_age_s;  /* cache: a duration; -1: none given */
    bool internal;      /* X-Accel-Redirect only */
    int64_t timeout_ms; /* 0: the pool's default, 60 s */
    int64_t tunnel_idle_ms; /* 0: 10 min */
};

/* Where one certificate of a site lies. */
#define AMY__SITE_CERTS_MAX 16U
struct amy__site_cert {
    char *certificate; /* an absolute path, or a name below {certificates} */
    char *key;         /* an absolute path; NULL with a name */
};

/* A log that another program writes into logs/. */
#define AMY__SITE_LOG_FILES_MAX 32U
struct amy__site_log_file {
    char *path;     /* its name there */
    int signal;     /* that has the program open it anew; 0: it notices */
    char *pid_file; /* whose: beneath the site's directory; NULL: nobody's */
    char **command; /* or what has it do so, NULL-terminated; NULL: none */
};

enum amy__s3_style {
    AMY__S3_STYLE_AUTO = 0, /* path with an endpoint, else host */
    AMY__S3_STYLE_HOST,     /* https://bucket.host/key */
    AMY__S3_STYLE_PATH,     /* https://host/bucket/key */
};

enum amy__s3_credentials {
    AMY__S3_ENVIRONMENT = 0, /* of the site */
    AMY__S3_FILE,            /* that the AWS tools share */
    AMY__S3_IMDS,            /* of the machine, by its metadata service */
};

/* Where copies of backups go, and which of them stay there. */
#define AMY__SITE_COPIES_MAX 4U
struct amy__site_copy {
    char *name;
    char *directory; /* an absolute path; NULL: s3 */
    char *s3;        /* "bucket" or "bucket/prefix"; NULL: directory */
    char *region;    /* ["us-east-1"] */
    char *endpoint;  /* "https://host:port"; NULL: Amazon's */
    int style;       /* enum amy__s3_style */
    int credentials; /* enum amy__s3_credentials */
    char *profile;   /* in the file ["default"] */
    char *ca_file;   /* PEM; NULL: whom this system trusts */
    uint32_t keep;   /* [48] */
    int64_t keep_for_ms;
    uint32_t hourly; /* thinning */
    uint32_t daily;
    uint32_t weekly;
    uint32_t monthly;
    int64_t late_ms; /* how old the newest there may get; 0: see age_limit */
};

/* Who runs a command of a deployment. */
enum amy__deploy_who {
    AMY__DEPLOY_AS_DEPLOYER = 0, /* whom releases/ belongs to */
    AMY__DEPLOY_AS_SITE,         /* the site's user */
};

enum amy__deploy_gate {
    AMY__DEPLOY_GATE_AUTO = 0, /* closed while migrations are carried out */
    AMY__DEPLOY_GATE_NONE,
    AMY__DEPLOY_GATE_CLOSED,
};

/* One command of a deployment: a step, or a hook. */
#define AMY__DEPLOY_COMMANDS_MAX 32U
struct amy__deploy_command {
    char *name; /* of a step; a hook needs none */
    char **run; /* NULL-terminated; NULL: the step of ours with that name */
    int who;    /* enum amy__deploy_who */
    int64_t timeout_ms; /* 0: the step's own */
};

/* How new releases come. */
struct amy__site_deploy {
    char *source;  /* of git: an address or a directory; NULL: none */
    char *ref;     /* ["main"] */
    char *user;    /* who fetches and builds; NULL: the owner of releases/ */
    int gate;      /* enum amy__deploy_gate */
    uint32_t keep; /* [5] releases */
    uint64_t disk_bytes; /* [512 MiB] what must be free */
    bool drill;          /* the backup before it must have been restored, too */
    char *python;
    char *requirements;
    int64_t lock_timeout_ms; /* [5 s] how long migrate waits for a lock */
    uint32_t lock_tries;     /* [3] */
    bool rq_suspend;
    int64_t rq_drain_ms; /* [10 min] how long its jobs may go on */
    struct amy__deploy_command *steps; /* instead of Django's */
    size_t step_count;
    struct amy__deploy_command *before; /* when the release is built */
    size_t before_count;
    struct amy__deploy_command *after; /* when it serves */
    size_t after_count;
};

struct amy__site {
    unsigned refs;
    char *domain;
    char **aliases; /* NULL-terminated, never NULL */
    bool stage_test;
    bool closed;        /* to strangers: a test site, or one with `access` */
    char *access_users; /* a file of passwords: a name in the site's directory,
                           or an absolute path; or NULL */
    struct amy__cidr *access_allow; /* who needs none */
    size_t access_allow_count;
    char **access_except; /* paths for everybody; NULL-terminated, never NULL */
    char *access_realm;   /* NULL: the domain */
    char *user;
    uid_t uid; /* resolved at load; AMY__UID_UNKNOWN after a mere parse */
    gid_t gid;
    uint32_t user_line; /* of `user` in site.yaml, for later problems */
    uint32_t user_column;
    char *tls_certificate; /* as it was written; certs says what it means */
    char *tls_key;
    struct amy__site_cert *certs;
    size_t cert_count; /* 0: auto */
    enum amy__http_mode http;
    char **http_except; /* paths served over plain HTTP all the same, and */
    struct amy__cidr
        *http_peers; /* whom everything is; both never with SERVE */
    size_t http_peer_count;
    char *health_path; /* ["/"] */
    bool health_any_host;
    uint32_t health_probes;    /* [3] answers in a row */
    int64_t health_timeout_ms; /* [10 s] from the first answer to those */
    int64_t health_bake_ms;    /* [5 s] a new generation's first worker */
    struct amy__site_worker *workers;
    size_t worker_count;
    struct amy__route *routes; /* longest path first, defaults filled in */
    size_t route_count;
    uint64_t body_bytes;   /* [20 MiB] */
    uint32_t queue_length; /* [1000] requests that wait for a slot */
    int64_t queue_ms;      /* [30 s] longest wait */
    int64_t retry_after_s;
    struct amy__cidr *gate_allow;
    size_t gate_allow_count;
    char **gate_except; /* paths; NULL-terminated, never NULL */
    /* Which database is the site's, as backup/pg.h reads it, or NULL. */
    char *database_from;
    /* The variable of the site's environment with the URL of its Redis, or
     * NULL. */
    char *redis_from;
    /* Whose backup a test site takes over, and what makes it harmless. */
    char *refresh_from;
    char **refresh_scrub;       /* or NULL */
    int64_t refresh_timeout_ms; /* [1h] of that */
    /* Where that site's backups are, if it is not one of this host's; no name,
     * nothing of what stays. */
    struct amy__site_copy refresh_copy;
    /* When it is backed up: at most one of the first three, or by hand only. */
    int64_t backup_every_ms; /* 0: not so */
    char **backup_at;        /* times of day, or NULL */
    char *backup_cron;       /* or NULL */
    char *backup_zone;       /* whose clocks [UTC] */
    uint32_t backup_keep;    /* [48] */
    int64_t backup_keep_for_ms;
    uint32_t backup_hourly; /* thinning */
    uint32_t backup_daily;
    uint32_t backup_weekly;
    uint32_t backup_monthly;
    bool backup_before_deploy;       /* [true] */
    int64_t backup_drill_ms;         /* how often one is restored; 0: never */
    int64_t backup_silence_ms;       /* of the server and its programs [10m] */
    int64_t backup_retry_ms;         /* after a first failure [1m] */
    char **backup_alarm_command;     /* or NULL */
    char *backup_alarm_webhook;      /* or NULL; a secret */
    int64_t backup_alarm_timeout_ms; /* of the command [60s] */
    int64_t backup_alarm_age_ms;     /* 0: twice the schedule's distance */
    struct amy__site_copy *copies;
    size_t copy_count;
    /* Rotation, as amy_logrotate_options has it. */
    uint64_t logs_size_bytes;  /* [50 MiB] */
    int logs_every;            /* enum amy_logrotate_every */
    uint32_t logs_keep;        /* [1000] */
    int64_t logs_max_age_ms;   /* [30d] */
    uint64_t logs_total_bytes; /* [2 GiB] */
    int logs_packing;          /* enum amy_logrotate_packing */
    struct amy__site_log_file *log_files;
    size_t log_file_count;
    struct amy__site_deploy deploy;
    uint8_t hash[32]; /* SHA-256 of the YAML */
    char *text;       /* the YAML; UTF-8 */
};

/* "production" or "test". */
const char *amy__site_stage(const struct amy__site *site);
/* " stage=test" behind a line that is about a test site, else ""; NULL is no
 * site at all. */
const char *amy__site_tag(const struct amy__site *site);

struct amy__site *amy__site_ref(struct amy__site *site);
void amy__site_unref(struct amy__site *site);

/* Parse and check YAML text: every problem goes to on_problem; the first error
 * is returned (AMY_EPARSE; warnings alone do not fail). Touches nothing but the
 * text: no files, no users. `file` is for the messages. `expect_domain`: the
 * directory's name (NULL: not compared). */
int amy__site_parse(struct amy__span yaml, const char *file,
                    const char *expect_domain, amy_problem_fn on_problem,
                    void *user, struct amy__site **ret_site,
                    struct amy_error *err);

/* Whom the files of a site may belong to and whom it may run as. */
struct amy__site_rules {
    bool
        as_person; /* not root: files may be ours, the site's user must be us */
    uid_t person;
    const char *borrow_front_user; /* refused as a site's user [amy] */
};

/* Read and check a site's directory as the master must: owner and modes of
 * site.yaml and of every directory above it up to /, not writable by the site's
 * user (or, started by a person, by anybody but that person); the user exists
 * and is not root. Appends the YAML bytes accepted to ret_yaml (may be NULL).
 * Every fault goes to on_problem, those of owners with the file or directory
 * concerned and no line.
 * @return 0, AMY_ENOTFOUND (no such directory, or no site.yaml in it; nothing
 *         is reported), AMY_EPARSE (what it says), AMY_EDENIED (who may write
 *         it), AMY_EINVAL (no domain, no regular file), AMY_ENOMEM, AMY_EIO. */
int amy__site_load(int webapps_fd, const char *webapps_path, const char *domain,
                   const struct amy__site_rules *rules,
                   amy_problem_fn on_problem, void *user,
                   struct amy__buf *ret_yaml, struct amy__site **ret_site,
                   struct amy_error *err);

/* Call fn once for each directory of webapps that has a site.yaml, sorted by
 * name. Not a judgement: load each. Copies whose site.yaml names another site
 * are refused by amy__site_load with that message. */
typedef int (*amy__site_name_fn)(const char *domain, void *user);
int amy__site_each(int webapps_fd, amy__site_name_fn fn, void *user,
                   struct amy_error *err);
/* Where it would call nobody: a warning, so that a check is not silent. */
int amy__site_expect_some(int webapps_fd, const char *webapps,
                          amy_problem_fn on_problem, void *user,
                          struct amy_error *err);

/* {state}/{daemon}/sites/{domain}, where a daemon keeps what it must know of a
 * site after a restart; made if asked to, root's alone. Returns the descriptor.
 * AMY_ENOTFOUND, AMY_EINVAL (no domain), AMY_EIO ... */
int amy__site_state_dir(int state_fd, bool make, const char *daemon,
                        const char *domain, struct amy_error *err);

/* The last accepted copy, kept per daemon in its state directory as
 * {state}/{daemon}/sites/{domain}/site.yaml (a directory each, because a domain
 * of 253 characters leaves no room for a suffix); used when site.yaml is
 * refused later. Root's alone: mode 0600 in 0700. */
int amy__site_save_copy(int state_fd, const char *daemon, const char *domain,
                        struct amy__span yaml, struct amy_error *err);
/* AMY_ENOTFOUND when there is none; appends to ret_yaml. */
int amy__site_read_copy(int state_fd, const char *daemon, const char *domain,
                        struct amy__buf *ret_yaml, struct amy_error *err);
/* None is success too. */
int amy__site_drop_copy(int state_fd, const char *daemon, const char *domain,
                        struct amy_error *err);

/* Where a daemon finds its sites and keeps its copies. */
struct amy__site_source {
    int webapps_fd;
    const char *webapps_path;
    int state_fd;       /* -1: no copies are kept or used */
    const char *daemon; /* "front", "workers": whose copies */
    struct amy__site_rules rules;
    amy_problem_fn on_problem; /* may be NULL */
    void *problem_user;
};
/* What amy__site_accept did. */
#define AMY__SITE_ACCEPTED 0
#define AMY__SITE_FROM_COPY 1

/* Load a site as both daemons do: what is good is copied to the state
 * directory; what is not is reported, and the last good copy is given instead.
 * ret_yaml (may be NULL) gets the bytes of the one given.
 * A copy that cannot be saved is a warning to on_problem, not a failure.
 * @return AMY__SITE_ACCEPTED; AMY__SITE_FROM_COPY with the cause in err;
 *         negative as amy__site_load when there is no usable copy either. A
 *         site whose site.yaml is gone is gone: AMY_ENOTFOUND, copy dropped. */
int amy__site_accept(const struct amy__site_source *source, const char *domain,
                     struct amy__buf *ret_yaml, struct amy__site **ret_site,
                     struct amy_error *err);

/* "site.yaml:3:5: workers[1].count: 'x' is ... (allowed: ...)", as snprintf. */
size_t amy__problem_format(const struct amy_problem *problem, char *buf,
                           size_t size);

/* The worker of that name, or NULL. */
const struct amy__site_worker *amy__site_worker(const struct amy__site *site,
                                                struct amy__span name);
/* After how long a WSGI server kills a worker that does not answer: the pool's
 * timeout, or what the most patient route to it allows and the time that the
 * front gives up earlier. */
#define AMY__SITE_GIVE_UP_MS 1000
int64_t amy__site_kill_after_ms(const struct amy__site *site,
                                const struct amy__site_worker *worker);
/* RFC 1123 name, lower case, at most 253 characters; the only shape of a site's
 * directory. The message of AMY_EINVAL says what is wrong. */
int amy__domain_check(struct amy__span name, struct amy_error *err);

#endif
