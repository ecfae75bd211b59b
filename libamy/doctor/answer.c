/* Asks a site's Redis or its database, in a process of the site's user: where
 * they are is that user's to say, and the rights of whoever examines are not
 * lent to it (docs/decisions/0112). */
/* Not for judging what comes: judge_services.c. */
#include <amy/doctor.h>
#include <amy/redis.h>

#include "backup/pg.h"
#include "backup/program.h"
#include "core/buf.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "core/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES ((size_t)64 * 1024)
#define ASK_MS 4000
#define OUT_FD 1

extern char **environ;

AMY_DEFINE_CLEANUP(char **, amy__pg_environment_free)

static int
write_line(const struct amy__json *json, struct amy_error *err)
{
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf line = {NULL, 0, 0, 0};
    int rc = 0;

    amy__buf_init(&line, LINE_MAX_BYTES);
    rc = amy__json_write(json, 0, &line);
    if (rc == 0) {
        rc = amy__buf_append_text(&line, "\n");
    }
    return rc < 0 ? amy__err(err, rc, "writing what was found")
                  : amy__write_all(OUT_FD, line.data, line.len, err);
}

static int
write_error(const struct amy_error *why, struct amy_error *err)
{
    AMY_CLEANUP(amy__json_free_p) struct amy__json *json = amy__json_object();

    (void)amy__json_set(json, "error", amy__json_text(why->msg));
    return write_line(json, err);
}

/* ---- Redis ---- */

static int
answer_redis(const char *name, struct amy_error *err)
{
    struct amy_redis_options opts = AMY_REDIS_OPTIONS_INIT;
    struct amy_error why = AMY_ERROR_INIT;

    opts.url = getenv(name);
    opts.name = "amy-doctor";
    opts.timeout_ms = ASK_MS;
    if (opts.url == NULL) {
        (void)amy__err(&why, AMY_ENOTFOUND, "the environment has no %s", name);
        return write_error(&why, err);
    }
    /* Why it failed is in the line it wrote. */
    (void)!amy_redis_report(&opts, OUT_FD, NULL);
    return 0;
}

/* ---- the database ---- */

/* What libpq takes where the target says nothing. */
static const char *
setting(const struct amy__pg_target *target, const char *keyword,
        const char *variable)
{
    const char *value = amy__pg_target_get(target, keyword);

    if (value == NULL || value[0] == '\0') {
        value = getenv(variable);
    }
    return value == NULL ? "" : value;
}

static void
tell_tls(struct amy__json *json, struct amy__pg *pg)
{
    char on[8] = "";

    if (amy__pg_ask(pg,
                    "SELECT ssl FROM pg_catalog.pg_stat_ssl "
                    "WHERE pid = pg_catalog.pg_backend_pid()",
                    NULL, on, sizeof(on), NULL) == 1) {
        (void)amy__json_set(json, "tls", amy__json_bool(on[0] == 't'));
    }
}

static void
tell_dump(struct amy__json *json, const struct amy__pg_target *target,
          const struct amy__pg *pg)
{
    AMY_CLEANUP(amy__pg_environment_free_p)
    char **environment = amy__pg_environment(target);
    struct amy_error why = AMY_ERROR_INIT;
    struct amy__program program;

    if (environment == NULL ||
        amy__program_find("pg_dump", amy__pg_server_number(pg), environment,
                          &program, &why) < 0) {
        (void)amy__json_set(json, "pg_dump_error", amy__json_text(why.msg));
    } else {
        (void)amy__json_set(json, "pg_dump", amy__json_text(program.path));
    }
}

static int
describe(struct amy__json *json, struct amy__pg_target *target,
         struct amy_error *err)
{
    AMY_CLEANUP(amy__pg_close_p) struct amy__pg *pg = NULL;
    int rc = amy__pg_open(target, &pg, err);

    if (rc < 0) {
        return rc;
    }
    amy__pg_set_patience(pg, ASK_MS);
    (void)amy__json_set(json, "server",
                        amy__json_text(amy__pg_server_name(pg)));
    (void)amy__json_set(json, "host",
                        amy__json_text(setting(target, "host", "PGHOST")));
    (void)amy__json_set(
        json, "sslmode",
        amy__json_text(setting(target, "sslmode", "PGSSLMODE")));
    tell_tls(json, pg);
    tell_dump(json, target, pg);
    return 0;
}

static int
answer_database(const char *from, struct amy_error *err)
{
    AMY_CLEANUP(amy__json_free_p) struct amy__json *json = amy__json_object();
    struct amy__pg_target target = {.count = 0};
    struct amy_error why = AMY_ERROR_INIT;
    int rc = amy__pg_target_read(from, &target, &why);

    if (rc == 0) {
        rc = describe(json, &target, &why);
    }
    amy__pg_target_clear(&target);
    return rc < 0 ? write_error(&why, err) : write_line(json, err);
}

int
amy_doctor_answer(const char *word, const char *name, struct amy_error *err)
{
    if (strcmp(word, "redis") == 0) {
        return answer_redis(name, err);
    }
    if (strcmp(word, "database") == 0) {
        return answer_database(name, err);
    }
    return amy__err(err, AMY_EINVAL, "'%s' is nothing to ask for", word);
}
