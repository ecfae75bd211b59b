/* Four questions to a server, and one line of JSON. */
/* Not for reading single answers: figures.c. */
#include <amy/redis.h>

#include "core/alloc.h"
#include "core/buf.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"
#include "core/json.h"
#include "core/options.h"
#include "redis/figures.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LINE_MAX_BYTES ((size_t)1024 * 1024)
#define REPLY_MAX_BYTES ((size_t)1024 * 1024)
#define NAME_MAX_BYTES 200U /* of a queue; longer ones are passed over */
#define WORDS_MAX 8U

AMY_DEFINE_CLEANUP(struct amy_redis_batch *, amy_redis_batch_free)

struct report {
    struct amy_redis *client;
    struct amy__json *json;
    int64_t now_ms;
    int64_t queues_in_all;
    int64_t workers_in_all;
    size_t queue_count;
    size_t worker_count;
    char *queues[AMY_REDIS_REPORT_QUEUES];
    char *jobs[AMY_REDIS_REPORT_QUEUES]; /* the next one of each, or NULL */
    struct amy__json *rows[AMY_REDIS_REPORT_QUEUES];
    char *workers[AMY_REDIS_REPORT_WORKERS];
};

/* --- asking --- */

/* Words up to a NULL; a failed one leaves the batch short, which the count of
 * its answers shows. */
static void __attribute__((sentinel))
add(struct amy_redis_batch *batch, const char *first, ...)
{
    struct amy_redis_command command = AMY_REDIS_COMMAND_INIT;
    const char *argv[WORDS_MAX] = {first};
    va_list words;

    va_start(words, first);
    for (command.argc = 1; command.argc < WORDS_MAX; command.argc++) {
        argv[command.argc] = va_arg(words, const char *);
        if (argv[command.argc] == NULL) {
            break;
        }
    }
    va_end(words);
    command.argv = argv;
    (void)!amy_redis_batch_add(batch, &command, NULL);
}

static int
ask(struct report *report, const struct amy_redis_batch *batch,
    const struct amy_redis_reply **ret, struct amy_error *err)
{
    struct amy_redis_result result = AMY_REDIS_RESULT_INIT;
    int rc = amy_redis_run_batch(report->client, batch, &result, err);

    *ret = result.reply;
    return rc;
}

/* --- the server itself --- */

/* Places in the first batch. */
enum {
    INFO = 0,
    BIND,
    PORT,
    TLS_PORT,
    PROTECTED,
    SAVE,
    USER,
    QUEUES,
    QUEUE_NAMES,
    WORKERS,
    WORKER_NAMES,
};

static const char *
setting_at(const struct amy_redis_reply *answers, size_t place)
{
    return amy__redis_setting(amy_redis_reply_at(answers, place));
}

static void
take_server(struct report *report, const struct amy_redis_reply *answers)
{
    const struct amy__redis_settings settings = {
        .bind = setting_at(answers, BIND),
        .port = setting_at(answers, PORT),
        .tls_port = setting_at(answers, TLS_PORT),
        .protected_mode = setting_at(answers, PROTECTED),
        .save = setting_at(answers, SAVE),
    };
    struct amy__json *server = amy__json_object();
    struct amy__span info = {NULL, 0};
    enum amy__redis_reach reach =
        amy__redis_reach_of(&settings, amy_redis_reply_at(answers, USER));

    info.p = amy_redis_reply_text(amy_redis_reply_at(answers, INFO), &info.n);
    amy__redis_tell_server(server, info);
    if (settings.save != NULL) {
        (void)amy__json_set(server, "rdb",
                            amy__json_bool(settings.save[0] != '\0'));
    }
    (void)amy__json_set(server, "reach",
                        amy__json_text(amy__redis_reach_name(reach)));
    (void)amy__json_set(report->json, "server", server);
}

/* Behind the prefix, or NULL where it is too long for us or none of rq's. */
static const char *
name_of(const char *key, const char *prefix)
{
    size_t n = strlen(prefix);

    return key == NULL || strncmp(key, prefix, n) != 0 ||
                   strlen(key) - n > NAME_MAX_BYTES
               ? NULL
               : key + n;
}

static size_t
take_names(const struct amy_redis_reply *keys, const char *prefix, size_t max,
           char **ret_names)
{
    size_t count = 0;

    for (size_t i = 0; i < amy_redis_reply_count(keys) && count < max; i++) {
        const char *name = name_of(
            amy_redis_reply_text(amy_redis_reply_at(keys, i), NULL), prefix);

        ret_names[count] = name == NULL ? NULL : amy__strdup(name);
        count += ret_names[count] != NULL ? 1 : 0;
    }
    return count;
}

static void
add_server_questions(struct amy_redis_batch *batch)
{
    char queues[16] = "";
    char workers[16] = "";

    (void)snprintf(queues, sizeof(queues), "%u", AMY_REDIS_REPORT_QUEUES);
    (void)snprintf(workers, sizeof(workers), "%u", AMY_REDIS_REPORT_WORKERS);
    add(batch, "INFO", NULL);
    /* One by one: "*" would bring passwords, and a list needs Redis 7. */
    add(batch, "CONFIG", "GET", "bind", NULL);
    add(batch, "CONFIG", "GET", "port", NULL);
    add(batch, "CONFIG", "GET", "tls-port", NULL);
    add(batch, "CONFIG", "GET", "protected-mode", NULL);
    add(batch, "CONFIG", "GET", "save", NULL);
    add(batch, "ACL", "GETUSER", "default", NULL);
    add(batch, "SCARD", "rq:queues", NULL);
    add(batch, "SRANDMEMBER", "rq:queues", queues, NULL);
    add(batch, "SCARD", "rq:workers", NULL);
    add(batch, "SRANDMEMBER", "rq:workers", workers, NULL);
}

static int
ask_server(struct report *report, struct amy_error *err)
{
    AMY_CLEANUP(amy_redis_batch_free_p) struct amy_redis_batch *batch = NULL;
    const struct amy_redis_reply *answers = NULL;
    int rc = amy_redis_batch_create(NULL, &batch, err);

    if (rc < 0) {
        return rc;
    }
    add_server_questions(batch);
    rc = ask(report, batch, &answers, err);
    if (rc < 0) {
        return rc;
    }
    take_server(report, answers);
    report->queue_count =
        take_names(amy_redis_reply_at(answers, QUEUE_NAMES),
                   "rq:queue:", AMY_REDIS_REPORT_QUEUES, report->queues);
    report->worker_count =
        take_names(amy_redis_reply_at(answers, WORKER_NAMES),
                   "rq:worker:", AMY_REDIS_REPORT_WORKERS, report->workers);
    report->queues_in_all =
        amy_redis_reply_integer(amy_redis_reply_at(answers, QUEUES));
    report->workers_in_all =
        amy_redis_reply_integer(amy_redis_reply_at(answers, WORKERS));
    return 0;
}

/* --- queues --- */

static void
add_of_queue(struct amy_redis_batch *batch, const char *name)
{
    char key[NAME_MAX_BYTES + 32] = "";

    (void)snprintf(key, sizeof(key), "rq:queue:%s", name);
    add(batch, "LLEN", key, NULL);
    add(batch, "LINDEX", key, "0", NULL);
    (void)snprintf(key, sizeof(key), "rq:wip:%s", name);
    add(batch, "ZCARD", key, NULL);
    (void)snprintf(key, sizeof(key), "rq:failed:%s", name);
    add(batch, "ZCARD", key, NULL);
}
#define ANSWERS_OF_QUEUE 4U

static void
take_queue(struct report *report, size_t i,
           const struct amy_redis_reply *answers)
{
    static const char *const names[] = {"length", NULL, "started", "failed"};
    struct amy__json *row = amy__json_object();
    const char *job = amy_redis_reply_text(
        amy_redis_reply_at(answers, i * ANSWERS_OF_QUEUE + 1), NULL);

    (void)amy__json_set(row, "name", amy__json_text(report->queues[i]));
    for (size_t n = 0; n < ANSWERS_OF_QUEUE; n++) {
        if (names[n] != NULL) {
            (void)amy__json_set(
                row, names[n],
                amy__json_int(amy_redis_reply_integer(
                    amy_redis_reply_at(answers, i * ANSWERS_OF_QUEUE + n))));
        }
    }
    report->jobs[i] =
        job == NULL || strlen(job) > NAME_MAX_BYTES ? NULL : amy__strdup(job);
    report->rows[i] = row;
}

static int
ask_queues(struct report *report, struct amy_error *err)
{
    AMY_CLEANUP(amy_redis_batch_free_p) struct amy_redis_batch *batch = NULL;
    const struct amy_redis_reply *answers = NULL;
    int rc = amy_redis_batch_create(NULL, &batch, err);

    if (rc < 0 || report->queue_count == 0) {
        return rc;
    }
    for (size_t i = 0; i < report->queue_count; i++) {
        add_of_queue(batch, report->queues[i]);
    }
    rc = ask(report, batch, &answers, err);
    for (size_t i = 0; rc == 0 && i < report->queue_count; i++) {
        take_queue(report, i, answers);
    }
    return rc;
}

/* How long the job waits that is next in each. */
static int
ask_jobs(struct report *report, struct amy_error *err)
{
    AMY_CLEANUP(amy_redis_batch_free_p) struct amy_redis_batch *batch = NULL;
    const struct amy_redis_reply *answers = NULL;
    size_t asked = 0;
    int rc = amy_redis_batch_create(NULL, &batch, err);

    for (size_t i = 0; rc == 0 && i < report->queue_count; i++) {
        char key[NAME_MAX_BYTES + 32] = "";

        if (report->jobs[i] != NULL) {
            (void)snprintf(key, sizeof(key), "rq:job:%s", report->jobs[i]);
            add(batch, "HGET", key, "enqueued_at", NULL);
            asked++;
        }
    }
    if (rc < 0 || asked == 0) {
        return rc;
    }
    rc = ask(report, batch, &answers, err);
    for (size_t i = 0, at = 0; rc == 0 && i < report->queue_count; i++) {
        int64_t since_ms = 0;

        if (report->jobs[i] != NULL &&
            amy__redis_time(
                amy_redis_reply_text(amy_redis_reply_at(answers, at++), NULL),
                &since_ms)) {
            (void)amy__json_set(report->rows[i], "oldest_ms",
                                amy__json_int(report->now_ms - since_ms));
        }
    }
    return rc;
}

/* --- workers --- */

static bool
is_alive(const struct amy_redis_reply *fields)
{
    return amy_redis_reply_text(amy_redis_reply_at(fields, 0), NULL) != NULL &&
           amy_redis_reply_text(amy_redis_reply_at(fields, 1), NULL) == NULL;
}

/* A worker that lives renews its key before it expires, and notes when; one
 * that ends says so. What is left of the others is their name. */
static int
ask_workers(struct report *report, struct amy_error *err)
{
    AMY_CLEANUP(amy_redis_batch_free_p) struct amy_redis_batch *batch = NULL;
    const struct amy_redis_reply *answers = NULL;
    struct amy__json *told = amy__json_object();
    int64_t alive = 0;
    int rc = amy_redis_batch_create(NULL, &batch, err);

    for (size_t i = 0; rc == 0 && i < report->worker_count; i++) {
        char key[NAME_MAX_BYTES + 32] = "";

        (void)snprintf(key, sizeof(key), "rq:worker:%s", report->workers[i]);
        add(batch, "HMGET", key, "last_heartbeat", "death", NULL);
    }
    if (rc == 0 && report->worker_count > 0) {
        rc = ask(report, batch, &answers, err);
    }
    for (size_t i = 0; rc == 0 && i < report->worker_count; i++) {
        alive += is_alive(amy_redis_reply_at(answers, i)) ? 1 : 0;
    }
    (void)amy__json_set(told, "alive", amy__json_int(alive));
    (void)amy__json_set(told, "known", amy__json_int(report->workers_in_all));
    (void)amy__json_set(report->json, "workers", told);
    return rc;
}

/* --- all of it --- */

static void
clear(struct report *report)
{
    for (size_t i = 0; i < AMY_REDIS_REPORT_QUEUES; i++) {
        amy__free(report->queues[i]);
        amy__free(report->jobs[i]);
        amy__json_free(report->rows[i]);
    }
    for (size_t i = 0; i < AMY_REDIS_REPORT_WORKERS; i++) {
        amy__free(report->workers[i]);
    }
    amy__json_free(report->json);
    amy_redis_free(report->client);
    amy__free(report);
}

static void
clear_p(struct report **report)
{
    if (*report != NULL) {
        clear(*report);
    }
}

static int
gather(struct report *report, const struct amy_redis_options *opts,
       struct amy_error *err)
{
    struct amy__json *queues = amy__json_array();
    struct amy_redis_options own = {.struct_size = 0};
    int rc = amy__options_read(&own, sizeof(own), opts,
                               offsetof(struct amy_redis_options, name), err);

    own.struct_size = sizeof(own);
    own.reply_bytes_max = REPLY_MAX_BYTES;
    own.base = NULL;
    rc = rc < 0 ? rc : amy_redis_create(&own, &report->client, err);
    rc = rc < 0 ? rc : ask_server(report, err);
    rc = rc < 0 ? rc : ask_queues(report, err);
    rc = rc < 0 ? rc : ask_jobs(report, err);
    rc = rc < 0 ? rc : ask_workers(report, err);
    for (size_t i = 0; i < report->queue_count; i++) {
        (void)amy__json_add(queues, report->rows[i]);
        report->rows[i] = NULL;
    }
    (void)amy__json_set(report->json, "queues", queues);
    (void)amy__json_set(report->json, "queues_known",
                        amy__json_int(report->queues_in_all));
    return rc;
}

int
amy_redis_report(const struct amy_redis_options *opts, int fd,
                 struct amy_error *err)
{
    AMY_CLEANUP(clear_p)
    struct report *report = amy__calloc(1, sizeof(*report));
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf line = {NULL, 0, 0, 0};
    struct amy_error why = AMY_ERROR_INIT;
    int rc = 0;
    int written = 0;

    if (report == NULL) {
        return amy__err(err, AMY_ENOMEM, "asking Redis");
    }
    amy__buf_init(&line, LINE_MAX_BYTES);
    report->now_ms = amy__wall_ms(NULL);
    report->json = amy__json_object();
    rc = gather(report, opts, &why);
    if (rc < 0) {
        amy__json_free(report->json);
        report->json = amy__json_object();
        (void)amy__json_set(report->json, "error", amy__json_text(why.msg));
    }
    written = amy__json_write(report->json, 0, &line);
    written = written < 0 ? written : amy__buf_append_text(&line, "\n");
    if (written < 0) {
        return amy__err(err, written, "writing what Redis says");
    }
    written = amy__write_all(fd, line.data, line.len, err);
    if (rc < 0 && err != NULL) {
        *err = why;
    }
    return rc < 0 ? rc : written;
}
