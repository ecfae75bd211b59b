/* access.log and error.log of a site, as one front process writes them. Lines
 * are collected and written whole; a full disk never holds up an answer. */
#ifndef AMY_FRONT_ACCESSLOG_H
#define AMY_FRONT_ACCESSLOG_H

#include <amy/error.h>
#include <amy/log.h>
#include <amy/logrotate.h>

#include "core/str.h"

#include <stdbool.h>
#include <stdint.h>

struct amy__access_log;

/* In memory that all front processes share: AMY__SITES_MAX of these, by the
 * site's index. */
struct amy__site_locks {
    struct amy_log_lock access;
    struct amy_log_lock error;
};

/* One exchange. Everything is borrowed and escaped when written. */
struct amy__access_line {
    const char *client;
    const char *user; /* in by a password; "": none */
    int64_t wall_ms;  /* of its end */
    struct amy__span method;
    struct amy__span target;
    uint8_t version_major;
    uint8_t version_minor;
    unsigned status;
    uint64_t sent; /* body bytes */
    struct amy__span referer;
    struct amy__span agent;
    int64_t total_us;
    int64_t queued_us; /* -1: it never asked for a worker */
    const char *request_id;
    const char *worker; /* "web/1.0"; "": none */
    bool stage_test;
};

/* name: the site, for our own log. */
int amy__access_log_create(const char *name, const struct amy_log *log,
                           struct amy__access_log **ret_log,
                           struct amy_error *err);
void amy__access_log_free(struct amy__access_log *log);
/* Where lines go from now on (what was collected goes to the old file);
 * O_APPEND, taken over; -1: nowhere. */
void amy__access_log_set_fd(struct amy__access_log *log, int fd);
/* Who else writes it; NULL: nobody. Borrowed until the next call. */
int amy__access_log_set_lock(struct amy__access_log *log,
                             struct amy_log_lock *borrow_lock,
                             struct amy_error *err);
/* Lines are JSON from now on, of this site. */
int amy__access_log_set_json(struct amy__access_log *log, const char *site,
                             struct amy_error *err);
void amy__access_log_add(struct amy__access_log *log,
                         const struct amy__access_line *line);
/* Once a second, and at the end. */
void amy__access_log_flush(struct amy__access_log *log);
/* Did lines find no room (ENOSPC, EDQUOT) since this was asked last? */
bool amy__access_log_was_full(struct amy__access_log *log);
uint64_t amy__access_log_lost(const struct amy__access_log *log);

/* At most 10 lines a second; the next one says how many were left out. */
struct amy__error_log;
int amy__error_log_create(const char *name, const struct amy_log *log,
                          struct amy__error_log **ret_log,
                          struct amy_error *err);
void amy__error_log_free(struct amy__error_log *log);
void amy__error_log_set_fd(struct amy__error_log *log, int fd);
int amy__error_log_set_lock(struct amy__error_log *log,
                            struct amy_log_lock *borrow_lock,
                            struct amy_error *err);
int amy__error_log_set_json(struct amy__error_log *log, const char *site,
                            struct amy_error *err);
void amy__error_log_add(struct amy__error_log *log, int64_t wall_ms,
                        const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
bool amy__error_log_was_full(struct amy__error_log *log);
/* What another process held up: once a second. */
void amy__error_log_flush(struct amy__error_log *log);

#endif
