/* PostgreSQL by libpq, which is opened at first use: the only file that knows
 * it. Blocking: for jobs (job.c), never on a loop. */
#ifndef AMY_BACKUP_PG_H
#define AMY_BACKUP_PG_H

#include <amy/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct amy__pg; /* one session */

/* One connection parameter. */
struct amy__pg_setting {
    char *keyword;
    char *value;    /* may be a secret: wiped when it is cleared */
    char *variable; /* "PGHOST"; NULL: there is none for it */
};

/* Which database is meant, as libpq has it. */
#define AMY__PG_SETTINGS_MAX 64
struct amy__pg_target {
    struct amy__pg_setting settings[AMY__PG_SETTINGS_MAX];
    size_t count;
};

/* Find out from our environment: the name of a variable with a URL, "PG" (the
 * variables of libpq), or "service=NAME". Nothing of a URL but the name of a
 * parameter gets into err.
 * @return 0, AMY_ENOTFOUND (no such variable), AMY_EPARSE, AMY_EUNSUPPORTED (no
 *         libpq; err names the package), AMY_ENOMEM */
int amy__pg_target_read(const char *from, struct amy__pg_target *ret,
                        struct amy_error *err);
/* Add a parameter, or replace its value. */
int amy__pg_target_set(struct amy__pg_target *target, const char *keyword,
                       const char *value, struct amy_error *err);
const char *amy__pg_target_get(const struct amy__pg_target *target,
                               const char *keyword); /* or NULL */
void amy__pg_target_clear(struct amy__pg_target *target);

/* For PostgreSQL's own programs: PATH, HOME and a C locale, our PG* variables
 * and those of the target. NULL-terminated; NULL when memory is out. */
char **amy__pg_environment(const struct amy__pg_target *target);
void amy__pg_environment_free(char **environment);
/* What no variable can say, as a connection string ("keepalives_idle='30'");
 * beside a service, which wins over variables, all that the target says. No
 * secret is ever in it. False: it does not fit. */
bool amy__pg_target_words(const struct amy__pg_target *target, char *buf,
                          size_t size);

/* 0, AMY_ECONN, AMY_EUNSUPPORTED, AMY_ENOMEM. Gives up after 10 s unless the
 * target says otherwise, and notices a peer that is gone within 2 min. */
int amy__pg_open(const struct amy__pg_target *target, struct amy__pg **ret_pg,
                 struct amy_error *err);
void amy__pg_close(struct amy__pg *pg);
static inline void
amy__pg_close_p(struct amy__pg **pg)
{
    amy__pg_close(*pg);
}

/* Run one statement with at most one text parameter ($1; NULL: none) and copy
 * its first value, as text, to buf (cut there; NULL: not wanted).
 * @return 1, 0 (no row, or a NULL), AMY_EDENIED, AMY_ECONN (the session is
 *         over), AMY_ETIMEOUT (no answer in time: so it is), AMY_EIO; err has
 *         the SQLSTATE */
int amy__pg_ask(struct amy__pg *pg, const char *sql, const char *parameter,
                char *buf, size_t size, struct amy_error *err);
/* What a role has against its own runaway sessions is not for this one, which
 * waits while others work. As amy__pg_ask. */
int amy__pg_lift_limits(struct amy__pg *pg, struct amy_error *err);
/* How long an answer may take; AMY__PG_PATIENCE_MS at first. */
#define AMY__PG_PATIENCE_MS 60000
void amy__pg_set_patience(struct amy__pg *pg, int patience_ms);
/* 150018 for 15.18. */
int amy__pg_server_number(const struct amy__pg *pg);
const char *amy__pg_server_name(const struct amy__pg *pg);
const char *amy__pg_encoding(const struct amy__pg *pg); /* the database's */
const char *amy__pg_database(const struct amy__pg *pg);
/* The server's process as the server's first message named it: another number
 * than pg_backend_pid() means that a pooler stands between. */
int amy__pg_process(const struct amy__pg *pg);

#endif
