/* Sessions with PostgreSQL, and how its programs are told the same. */
/* Not for what is asked: interlock.c and job.c know. */
#include "backup/pg.h"

#include "core/alloc.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/error.h"
#include "core/library.h"
#include "core/str.h"

#include <libpq-fe.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIBRARY "libpq.so.5"

/* What is used of libpq. */
struct api {
    PQconninfoOption *(*conninfo_parse)(const char *text, char **message);
    PQconninfoOption *(*defaults)(void);
    void (*conninfo_free)(PQconninfoOption *options);
    void (*free_memory)(void *memory);
    PGconn *(*connect)(const char *const *keywords, const char *const *values,
                       int expand);
    ConnStatusType (*status)(const PGconn *conn);
    char *(*error)(const PGconn *conn);
    void (*finish)(PGconn *conn);
    int (*send)(PGconn *conn, const char *sql, int n, const Oid *types,
                const char *const *values, const int *lengths,
                const int *formats, int result_format);
    int (*socket)(const PGconn *conn);
    int (*consume)(PGconn *conn);
    int (*is_busy)(PGconn *conn);
    PGresult *(*next)(PGconn *conn);
    ExecStatusType (*result_status)(const PGresult *result);
    char *(*result_field)(const PGresult *result, int field);
    int (*rows)(const PGresult *result);
    int (*is_null)(const PGresult *result, int row, int column);
    char *(*value)(const PGresult *result, int row, int column);
    void (*clear)(PGresult *result);
    int (*server_number)(const PGconn *conn);
    const char *(*parameter)(const PGconn *conn, const char *name);
    char *(*database)(const PGconn *conn);
    int (*process)(const PGconn *conn);
};

struct amy__pg {
    struct api api;
    PGconn *conn;
    int patience_ms;
    bool gave_up; /* an answer may still come, and would be taken for another */
};

static int
load(struct api *ret, struct amy_error *err)
{
    const struct amy__library_symbol wanted[] = {
        {"PQconninfoParse", &ret->conninfo_parse},
        {"PQconndefaults", &ret->defaults},
        {"PQconninfoFree", &ret->conninfo_free},
        {"PQfreemem", &ret->free_memory},
        {"PQconnectdbParams", &ret->connect},
        {"PQstatus", &ret->status},
        {"PQerrorMessage", &ret->error},
        {"PQfinish", &ret->finish},
        {"PQsendQueryParams", &ret->send},
        {"PQsocket", &ret->socket},
        {"PQconsumeInput", &ret->consume},
        {"PQisBusy", &ret->is_busy},
        {"PQgetResult", &ret->next},
        {"PQresultStatus", &ret->result_status},
        {"PQresultErrorField", &ret->result_field},
        {"PQntuples", &ret->rows},
        {"PQgetisnull", &ret->is_null},
        {"PQgetvalue", &ret->value},
        {"PQclear", &ret->clear},
        {"PQserverVersion", &ret->server_number},
        {"PQparameterStatus", &ret->parameter},
        {"PQdb", &ret->database},
        {"PQbackendPID", &ret->process},
    };

    return amy__library_load(LIBRARY, "libpq5", wanted,
                             sizeof(wanted) / sizeof(wanted[0]), err);
}

/* --- targets --- */

static void
clear_setting(struct amy__pg_setting *setting)
{
    if (setting->value != NULL) {
        amy__wipe(setting->value, strlen(setting->value));
    }
    amy__free(setting->keyword);
    amy__free(setting->value);
    amy__free(setting->variable);
    *setting = (struct amy__pg_setting){NULL, NULL, NULL};
}

void
amy__pg_target_clear(struct amy__pg_target *target)
{
    for (size_t i = 0; i < target->count; i++) {
        clear_setting(&target->settings[i]);
    }
    target->count = 0;
}

static struct amy__pg_setting *
find(const struct amy__pg_target *target, const char *keyword)
{
    for (size_t i = 0; i < target->count; i++) {
        if (strcmp(target->settings[i].keyword, keyword) == 0) {
            return (struct amy__pg_setting *)(uintptr_t)&target->settings[i];
        }
    }
    return NULL;
}

const char *
amy__pg_target_get(const struct amy__pg_target *target, const char *keyword)
{
    const struct amy__pg_setting *setting = find(target, keyword);

    return setting == NULL ? NULL : setting->value;
}

static int
put(struct amy__pg_target *target, const char *keyword, const char *value,
    const char *variable, struct amy_error *err)
{
    struct amy__pg_setting *setting = find(target, keyword);

    if (setting == NULL) {
        if (target->count == AMY__PG_SETTINGS_MAX) {
            return amy__err(err, AMY_ELIMIT, "too many parameters");
        }
        setting = &target->settings[target->count++];
    }
    clear_setting(setting);
    setting->keyword = amy__strdup(keyword);
    setting->value = amy__strdup(value);
    setting->variable = variable == NULL ? NULL : amy__strdup(variable);
    if (setting->keyword == NULL || setting->value == NULL ||
        (variable != NULL && setting->variable == NULL)) {
        clear_setting(setting);
        *setting = target->settings[--target->count];
        return amy__err(err, AMY_ENOMEM, "reading a database's parameters");
    }
    return 0;
}

int
amy__pg_target_set(struct amy__pg_target *target, const char *keyword,
                   const char *value, struct amy_error *err)
{
    static const char *const variables[][2] = {
        {"host", "PGHOST"},         {"port", "PGPORT"},
        {"dbname", "PGDATABASE"},   {"user", "PGUSER"},
        {"password", "PGPASSWORD"}, {"service", "PGSERVICE"}};
    const char *variable = NULL;

    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
        if (strcmp(variables[i][0], keyword) == 0) {
            variable = variables[i][1];
        }
    }
    return put(target, keyword, value, variable, err);
}

static int
take_options(const PQconninfoOption *options, struct amy__pg_target *ret,
             struct amy_error *err)
{
    int rc = 0;

    for (; options->keyword != NULL && rc == 0; options++) {
        if (options->val != NULL && options->val[0] != '\0') {
            rc = put(ret, options->keyword, options->val, options->envvar, err);
        }
    }
    return rc;
}

/* libpq quotes what it does not understand, which may be a password. */
static int
explain_url(const char *from, const char *message, struct amy_error *err)
{
    static const char known[] = "invalid URI query parameter: ";

    if (message != NULL && strncmp(message, known, strlen(known)) == 0) {
        return amy__err(err, AMY_EPARSE,
                        "%s has a parameter that libpq does not know" AMY__SAID
                        "%.*s",
                        from, (int)strcspn(message, "\n"), message);
    }
    return amy__err(err, AMY_EPARSE,
                    "%s is no URL of a database that libpq understands", from);
}

/* Frameworks have schemes of their own for the same thing. */
static const char *
after_scheme(const char *url)
{
    static const char *const schemes[] = {"postgres://",
                                          "postgresql://",
                                          "postgis://",
                                          "pgsql://",
                                          "postgresql+psycopg://",
                                          "psql://",
                                          "postgresql+psycopg2://"};

    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        if (strncmp(url, schemes[i], strlen(schemes[i])) == 0) {
            return url + strlen(schemes[i]);
        }
    }
    return NULL;
}

static int
read_url(const struct api *api, const char *from, struct amy__pg_target *ret,
         struct amy_error *err)
{
    const char *value = getenv(from);
    const char *rest = value == NULL ? NULL : after_scheme(value);
    PQconninfoOption *options = NULL;
    char *message = NULL;
    char *url = NULL;
    size_t size = 0;
    int rc = 0;

    if (value == NULL || value[0] == '\0') {
        return amy__err(err, AMY_ENOTFOUND, "the site's environment has no %s",
                        from);
    }
    if (rest == NULL) {
        return amy__err(err, AMY_EPARSE, "%s is no URL of PostgreSQL", from);
    }
    size = strlen(rest) + sizeof("postgresql://");
    url = amy__calloc(1, size);
    if (url == NULL) {
        return amy__err(err, AMY_ENOMEM, "reading %s", from);
    }
    (void)snprintf(url, size, "postgresql://%s", rest);
    options = api->conninfo_parse(url, &message);
    rc = options == NULL ? explain_url(from, message, err)
                         : take_options(options, ret, err);
    api->conninfo_free(options);
    api->free_memory(message);
    amy__wipe(url, size);
    amy__free(url);
    return rc;
}

int
amy__pg_target_read(const char *from, struct amy__pg_target *ret,
                    struct amy_error *err)
{
    static const char service[] = "service=";
    struct api api;
    int rc = load(&api, err);

    ret->count = 0;
    if (rc < 0 || strcmp(from, "PG") == 0) {
        return rc; /* libpq reads those variables itself */
    }
    if (strncmp(from, service, strlen(service)) == 0) {
        return amy__pg_target_set(ret, "service", from + strlen(service), err);
    }
    rc = read_url(&api, from, ret, err);
    if (rc < 0) {
        amy__pg_target_clear(ret);
    }
    return rc;
}

/* --- for programs --- */

extern char **environ;

static bool
add_variable(char **list, size_t *n, const char *name, const char *value)
{
    size_t size = strlen(name) + strlen(value) + 2;

    list[*n] = amy__calloc(1, size);
    if (list[*n] == NULL) {
        return false;
    }
    (void)snprintf(list[(*n)++], size, "%s=%s", name, value);
    return true;
}

static bool
add_entry(char **list, size_t *n, const char *entry)
{
    list[*n] = amy__strdup(entry);
    return list[(*n)++] != NULL;
}

static bool
fill_environment(const struct amy__pg_target *target, char **list)
{
    static const char *const kept[] = {"PATH=", "HOME=", "PG"};
    size_t n = 0;
    bool done = add_entry(list, &n, "LC_ALL=C.UTF-8");

    for (size_t i = 0; done && i < target->count; i++) {
        const struct amy__pg_setting *setting = &target->settings[i];

        if (setting->variable != NULL) {
            done = add_variable(list, &n, setting->variable, setting->value);
        }
    }
    /* A variable that is there twice counts the first time. */
    for (char **entry = environ; done && *entry != NULL; entry++) {
        for (size_t i = 0; done && i < sizeof(kept) / sizeof(kept[0]); i++) {
            if (strncmp(*entry, kept[i], strlen(kept[i])) == 0) {
                done = add_entry(list, &n, *entry);
            }
        }
    }
    return done;
}

char **
amy__pg_environment(const struct amy__pg_target *target)
{
    size_t count = AMY__PG_SETTINGS_MAX + 2;
    char **list = NULL;

    for (char **entry = environ; *entry != NULL; entry++) {
        count++;
    }
    list = amy__calloc(count, sizeof(*list));
    if (list != NULL && !fill_environment(target, list)) {
        amy__pg_environment_free(list);
        list = NULL;
    }
    return list;
}

void
amy__pg_environment_free(char **environment)
{
    for (char **entry = environment; entry != NULL && *entry != NULL; entry++) {
        amy__wipe(*entry, strlen(*entry));
        amy__free(*entry);
    }
    amy__free(environment);
}

/* How long a silent peer is believed to be there. */
static const char *const patience[][2] = {{"connect_timeout", "10"},
                                          {"keepalives_idle", "30"},
                                          {"keepalives_interval", "10"},
                                          {"keepalives_count", "3"},
                                          {"tcp_user_timeout", "60000"}};
#define PATIENCE_COUNT (sizeof(patience) / sizeof(patience[0]))

/* keyword='value', quotes and backslashes escaped. */
static bool
add_word(char *buf, size_t size, size_t *n, const char *keyword,
         const char *value)
{
    int written =
        snprintf(buf + *n, size - *n, "%s%s='", *n == 0 ? "" : " ", keyword);

    if (written < 0 || (size_t)written >= size - *n) {
        return false;
    }
    *n += (size_t)written;
    for (const char *p = value; *p != '\0'; p++) {
        if (size - *n < 4) {
            return false;
        }
        if (*p == '\'' || *p == '\\') {
            buf[(*n)++] = '\\';
        }
        buf[(*n)++] = *p;
    }
    if (size - *n < 2) {
        return false;
    }
    buf[(*n)++] = '\'';
    buf[*n] = '\0';
    return true;
}

/* sslpassword, scram_client_key, oauth_client_secret ... */
static bool
is_secret(const char *keyword)
{
    return strstr(keyword, "password") != NULL ||
           strstr(keyword, "secret") != NULL ||
           strncmp(keyword, "scram_", strlen("scram_")) == 0;
}

bool
amy__pg_target_words(const struct amy__pg_target *target, char *buf,
                     size_t size)
{
    /* What a service's file says wins over variables, and loses to words. */
    bool all = find(target, "service") != NULL || getenv("PGSERVICE") != NULL;
    size_t n = 0;
    bool done = true;

    buf[0] = '\0';
    for (size_t i = 0; done && i < target->count; i++) {
        const struct amy__pg_setting *setting = &target->settings[i];

        if ((all || setting->variable == NULL) &&
            !is_secret(setting->keyword)) {
            done = add_word(buf, size, &n, setting->keyword, setting->value);
        }
    }
    for (size_t i = 0; done && i < PATIENCE_COUNT; i++) {
        if (find(target, patience[i][0]) == NULL) {
            done = add_word(buf, size, &n, patience[i][0], patience[i][1]);
        }
    }
    return done;
}

/* --- sessions --- */

/* What is usual, in words that hold nothing of anybody's. */
static const char *
cause_of(const char *message)
{
    static const char *const usual[] = {"Connection refused",
                                        "No such file or directory",
                                        "timeout expired",
                                        "authentication failed",
                                        "could not translate",
                                        "does not exist",
                                        "starting up",
                                        "shutting down",
                                        "too many",
                                        "Permission denied",
                                        "closed the connection",
                                        "no pg_hba.conf entry",
                                        "certificate",
                                        "no password supplied"};

    for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
        if (strstr(message, usual[i]) != NULL) {
            return usual[i];
        }
    }
    return "it failed";
}

/* One line of what libpq said, without its full stop. It quotes what it was
 * given: of a URL with a bare "@" in it, half a password as the host. */
static int
session_error(const struct amy__pg *pg, int code, const char *what,
              struct amy_error *err)
{
    const char *message = pg->api.error(pg->conn);
    size_t n = strcspn(message, "\n");

    while (n > 0 && (message[n - 1] == '.' || message[n - 1] == ' ')) {
        n--;
    }
    if (n == 0) {
        return amy__err(err, code, "%s: the server is gone", what);
    }
    return amy__err(err, code, "%s: %s" AMY__SAID "%.*s", what,
                    cause_of(message), (int)n, message);
}

int
amy__pg_open(const struct amy__pg_target *target, struct amy__pg **ret_pg,
             struct amy_error *err)
{
    const char *keywords[AMY__PG_SETTINGS_MAX + PATIENCE_COUNT + 2] = {NULL};
    const char *values[AMY__PG_SETTINGS_MAX + PATIENCE_COUNT + 2] = {NULL};
    struct amy__pg *pg = amy__calloc(1, sizeof(*pg));
    size_t n = 0;
    int rc = 0;

    if (pg == NULL) {
        return amy__err(err, AMY_ENOMEM, "connecting");
    }
    /* What the target says comes later and wins. */
    for (size_t i = 0; i < PATIENCE_COUNT; i++, n++) {
        keywords[n] = patience[i][0];
        values[n] = patience[i][1];
    }
    for (size_t i = 0; i < target->count; i++, n++) {
        keywords[n] = target->settings[i].keyword;
        values[n] = target->settings[i].value;
    }
    pg->patience_ms = AMY__PG_PATIENCE_MS;
    rc = load(&pg->api, err);
    if (rc == 0) {
        pg->conn = pg->api.connect(keywords, values, 0);
        if (pg->conn == NULL) {
            rc = amy__err(err, AMY_ENOMEM, "connecting");
        } else if (pg->api.status(pg->conn) != CONNECTION_OK) {
            rc = session_error(pg, AMY_ECONN, "connecting", err);
        }
    }
    if (rc < 0) {
        amy__pg_close(pg);
        return rc;
    }
    *ret_pg = pg;
    return 0;
}

void
amy__pg_close(struct amy__pg *pg)
{
    if (pg == NULL) {
        return;
    }
    if (pg->conn != NULL) {
        pg->api.finish(pg->conn);
    }
    amy__free(pg);
}

static int
statement_error(const struct amy__pg *pg, const PGresult *result,
                struct amy_error *err)
{
    const char *state = pg->api.result_field(result, PG_DIAG_SQLSTATE);
    const char *message = pg->api.result_field(result, PG_DIAG_MESSAGE_PRIMARY);
    int code = AMY_EIO;

    if (pg->api.status(pg->conn) != CONNECTION_OK || message == NULL) {
        return session_error(pg, AMY_ECONN, "asking", err);
    }
    if (state != NULL && strcmp(state, "42501") == 0) {
        code = AMY_EDENIED;
    }
    (void)amy__err(err, code,
                   "asking: the server refuses, SQLSTATE %s" AMY__SAID "%.*s",
                   state == NULL ? "unknown" : state,
                   (int)strcspn(message, "\n"), message);
    if (err != NULL && state != NULL) {
        err->source = AMY_SOURCE_SQL;
        (void)snprintf(err->sqlstate, sizeof(err->sqlstate), "%s", state);
    }
    return code;
}

static int
silent(const struct amy__pg *pg, struct amy_error *err)
{
    return amy__err(err, AMY_ETIMEOUT,
                    "asking: the server said nothing for %d s",
                    pg->patience_ms / 1000);
}

/* Keepalives tell of a host that is gone; one whose server stands still, or
 * what is between that forwards nothing, only a clock. */
static int
await_answer(struct amy__pg *pg, struct amy_error *err)
{
    int64_t until_ms = amy__mono_ms(NULL) + pg->patience_ms;

    while (pg->api.is_busy(pg->conn)) {
        struct pollfd fd = {.fd = pg->api.socket(pg->conn), .events = POLLIN};
        int64_t left_ms = until_ms - amy__mono_ms(NULL);
        int n = left_ms <= 0 ? 0 : poll(&fd, 1, (int)left_ms);

        if (n == 0) {
            pg->gave_up = true;
            return silent(pg, err);
        }
        if (n < 0 && errno != EINTR) {
            return amy__err_sys(err, errno, "waiting for the server");
        }
        if (n > 0 && !pg->api.consume(pg->conn)) {
            return session_error(pg, AMY_ECONN, "asking", err);
        }
    }
    return 0;
}

/* The result of the one statement; after it comes only its end. */
static int
take_result(struct amy__pg *pg, PGresult **ret_result, struct amy_error *err)
{
    PGresult *result = NULL;
    int rc = await_answer(pg, err);

    if (rc < 0) {
        return rc;
    }
    *ret_result = pg->api.next(pg->conn);
    do {
        rc = await_answer(pg, err);
        result = rc < 0 ? NULL : pg->api.next(pg->conn);
        pg->api.clear(result);
    } while (result != NULL);
    return rc;
}

static int
read_result(const struct amy__pg *pg, const PGresult *result, char *buf,
            size_t size, struct amy_error *err)
{
    ExecStatusType status = pg->api.result_status(result);

    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
        return statement_error(pg, result, err);
    }
    if (status == PGRES_COMMAND_OK || pg->api.rows(result) == 0 ||
        pg->api.is_null(result, 0, 0)) {
        return 0;
    }
    if (buf != NULL) {
        (void)snprintf(buf, size, "%s", pg->api.value(result, 0, 0));
    }
    return 1;
}

int
amy__pg_ask(struct amy__pg *pg, const char *sql, const char *parameter,
            char *buf, size_t size, struct amy_error *err)
{
    const char *values[1] = {parameter};
    PGresult *result = NULL;
    int rc = 0;

    if (pg->gave_up) {
        return silent(pg, err);
    }
    if (!pg->api.send(pg->conn, sql, parameter == NULL ? 0 : 1, NULL, values,
                      NULL, NULL, 0)) {
        return session_error(pg, AMY_ECONN, "asking", err);
    }
    rc = take_result(pg, &result, err);
    if (rc == 0) {
        rc = read_result(pg, result, buf, size, err);
    }
    pg->api.clear(result);
    return rc;
}

int
amy__pg_lift_limits(struct amy__pg *pg, struct amy_error *err)
{
    int rc = amy__pg_ask(pg,
                         "SELECT set_config(name, '0', false) FROM pg_settings"
                         " WHERE name IN ('statement_timeout', 'lock_timeout',"
                         " 'idle_in_transaction_session_timeout',"
                         " 'idle_session_timeout', 'transaction_timeout')",
                         NULL, NULL, 0, err);

    return rc < 0 ? rc : 0;
}

void
amy__pg_set_patience(struct amy__pg *pg, int patience_ms)
{
    pg->patience_ms = patience_ms;
}

int
amy__pg_server_number(const struct amy__pg *pg)
{
    return pg->api.server_number(pg->conn);
}

const char *
amy__pg_server_name(const struct amy__pg *pg)
{
    const char *name = pg->api.parameter(pg->conn, "server_version");

    return name == NULL ? "" : name;
}

const char *
amy__pg_encoding(const struct amy__pg *pg)
{
    const char *name = pg->api.parameter(pg->conn, "server_encoding");

    return name == NULL ? "" : name;
}

const char *
amy__pg_database(const struct amy__pg *pg)
{
    const char *name = pg->api.database(pg->conn);

    return name == NULL ? "" : name;
}

int
amy__pg_process(const struct amy__pg *pg)
{
    return pg->api.process(pg->conn);
}
