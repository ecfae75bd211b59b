/* Lines of a site's logs: when they were written, and what is in them. Pure.
 * Nothing here trusts a line: a site's user can write all of it. */
#ifndef AMY_LOGROTATE_LINE_H
#define AMY_LOGROTATE_LINE_H

#include <amy/logrotate.h>

#include "core/str.h"

#include <stdbool.h>
#include <stdint.h>

/* "access.log"; NULL past the last. */
const char *amy__log_component_file(uint32_t component);

/* The time in a line: at its beginning (RFC 3339, or with a space, in brackets
 * or not: gunicorn's and Python's), or within brackets as in access logs.
 * Without an offset it counts as UTC. False: the line has none, and belongs to
 * the one before it. */
bool amy__log_line_time(struct amy__span line, int64_t *ret_wall_ms);

/* An access log's line, combined (Apache, nginx) or ours, which has more.
 * Pieces stay escaped as they are. n == 0: it has none. */
struct amy__log_access {
    struct amy__span client;
    struct amy__span user;    /* of Basic authentication */
    struct amy__span request; /* all of it: "GET /a HTTP/1.1" */
    struct amy__span method;
    struct amy__span target;
    struct amy__span status; /* digits */
    struct amy__span bytes;  /* digits */
    struct amy__span referer;
    struct amy__span agent;
    struct amy__span duration; /* seconds */
    struct amy__span queued;
    struct amy__span request_id;
    struct amy__span worker;
    struct amy__span stage; /* "test" */
};
bool amy__log_line_access(struct amy__span line, struct amy__log_access *ret);

/* "TIME [web:2 4711] text". */
struct amy__log_worker {
    struct amy__span pool;
    struct amy__span position; /* digits */
    struct amy__span pid;      /* digits */
    struct amy__span text;
};
bool amy__log_line_worker(struct amy__span line, struct amy__log_worker *ret);

#endif
