/* Rotation of a site's logs as its site.yaml wants it. Each daemon rotates
 * those that it writes, and counts the others towards the total. */
#ifndef AMY_SITE_LOGS_H
#define AMY_SITE_LOGS_H

#include <amy/logrotate.h>

#include "core/json.h"
#include "site/site.h"

#include <limits.h>

struct amy__logrotate_peers;

struct amy__site_logs_spec {
    struct event_base *base;
    struct amy__logrotate_peers *borrow_peers; /* or NULL */
    int webapps_fd;                            /* duplicated */
    const struct amy_clock *borrow_clock;
    const struct amy_log *log;
    const char *const *own; /* names of those that are rotated here, or NULL */
    uint32_t kind;          /* theirs: enum amy_logrotate_kind */
    bool files;             /* those of other programs are rotated here, too */
    amy_logrotate_file_fn on_file;
    void *user;
};

/* on_file is called for each log of ours from inside, unless it cannot be
 * opened; amy_logrotate_read() says why then. */
int amy__site_logs_create(const struct amy__site *site,
                          const struct amy__site_logs_spec *spec,
                          struct amy_logrotate **ret_rotator,
                          struct amy_error *err);
/* site.yaml was read again. files: as in the spec. What logs.files does not
 * name any more is rotated until the daemon ends. */
int amy__site_logs_renew(const struct amy__site *site, bool files,
                         struct amy_logrotate *rotator, struct amy_error *err);

/* Is this a log of one of the daemons? */
bool amy__site_logs_is_ours(struct amy__span name);

/* Does an entry in /etc/logrotate.d rotate one of these, too? true: ret_entry
 * is its name. Blocks for reading all entries: for start and reload. */
bool amy__site_logs_leftover(const char *webapps, const char *domain,
                             char ret_entry[NAME_MAX + 1]);

/* {bytes, old_files, rotations, packed, removed, waiting, problem}; NULL: an
 * empty object. */
struct amy__json *amy__site_logs_json(const struct amy_logrotate *rotator);

#endif
