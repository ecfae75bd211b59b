/* Writing a pool down for the next program, and going on from there. */
/* Not for one position's numbers: pool/facts.c. */
#include "pool/saved.h"

#include "core/check.h"
#include "core/error.h"
#include "core/files.h"
#include "core/str.h"
#include "pool/internal.h"

#include <stdio.h>
#include <string.h>

#define FACTS_BYTES 256

/* ---- leaving ---- */

static struct amy__json *
strays_json(const struct amy__strays *strays)
{
    struct amy__json *list = amy__json_array();

    for (size_t i = 0; i < strays->count; i++) {
        struct amy__json *one = amy__json_object();

        (void)amy__json_set(one, "pid", amy__json_int(strays->list[i].pid));
        (void)amy__json_set(one, "group", amy__json_int(strays->list[i].group));
        (void)amy__json_set(one, "start",
                            amy__json_int((int64_t)strays->list[i].start));
        (void)amy__json_add(list, one);
    }
    return list;
}

/* The process of now. */
static void
save_process(struct amy__json *json, const struct amy__worker *worker,
             struct amy__handover *handover)
{
    amy__handover_child(handover, worker->child.pid);
    (void)amy__json_set(json, "pid", amy__json_int(worker->child.pid));
    (void)amy__json_set(json, "process_fd",
                        amy__handover_fd(handover, worker->child.pidfd));
    (void)amy__json_set(json, "channel_fd",
                        amy__handover_fd(handover, worker->channel_fd));
    (void)amy__json_set(json, "strays", strays_json(&worker->strays));
    if (worker->output != NULL) {
        struct amy__span begun = amy__output_begun(worker->output);

        (void)amy__json_set(
            json, "output_fd",
            amy__handover_fd(handover, amy__output_fd(worker->output)));
        (void)amy__json_set(json, "line_fd",
                            amy__handover_bytes(handover, begun.p, begun.n));
    }
}

static struct amy__json *
save_worker(const struct amy__worker *worker, struct amy__handover *handover)
{
    struct amy__json *json = amy__json_object();
    char facts[FACTS_BYTES] = "";

    (void)amy__pool_facts_write(&worker->facts, facts, sizeof(facts));
    (void)amy__json_set(json, "facts", amy__json_text(facts));
    (void)amy__json_set(json, "incarnation",
                        amy__json_int((int64_t)worker->incarnation));
    (void)amy__json_set(json, "todo", amy__json_int(worker->todo));
    (void)amy__json_set(json, "tell", amy__json_int(worker->tell));
    (void)amy__json_set(json, "code", amy__json_int(worker->how.code));
    (void)amy__json_set(json, "signal", amy__json_int(worker->how.signal));
    (void)amy__json_set(json, "ending", amy__json_text(worker->ending));
    (void)amy__json_set(json, "reason", amy__json_text(worker->reason));
    if (amy__worker_lives(worker)) {
        save_process(json, worker, handover);
    }
    return json;
}

struct amy__json *
amy__pool_save(const struct amy_pool *pool, struct amy__handover *handover)
{
    struct amy__json *json = amy__json_object();
    struct amy__json *workers = amy__json_array();

    AMY_CHECK(pool, AMY__POOL_MAGIC);
    (void)amy__json_set(json, "started", amy__json_bool(pool->started));
    (void)amy__json_set(json, "stopping", amy__json_bool(pool->stopping));
    (void)amy__json_set(json, "roll", amy__json_int(pool->roll));
    (void)amy__json_set(json, "roll_sent", amy__json_bool(pool->roll_sent));
    (void)amy__json_set(json, "incarnations",
                        amy__json_int((int64_t)pool->incarnations));
    for (uint32_t i = 0; i < pool->opts.count; i++) {
        (void)amy__json_add(workers, save_worker(&pool->workers[i], handover));
    }
    (void)amy__json_set(json, "workers", workers);
    return json;
}

/* ---- going on ---- */

uint32_t
amy__pool_saved_count(const struct amy__json *saved)
{
    return (uint32_t)amy__json_count(amy__json_get(saved, "workers"));
}

static void
read_strays(struct amy__strays *strays, const struct amy__json *list)
{
    for (size_t i = 0;
         i < amy__json_count(list) && strays->count < AMY__STRAYS_MAX; i++) {
        const struct amy__json *one = amy__json_at(list, i);
        int64_t pid = amy__json_get_int(one, "pid", 0);

        if (pid > 1 && pid <= INT32_MAX) {
            strays->list[strays->count++] = (struct amy__process){
                .pid = (pid_t)pid,
                .group = (pid_t)amy__json_get_int(one, "group", 0),
                .start = (uint64_t)amy__json_get_int(one, "start", 0)};
        }
    }
}

static int
take_output(struct amy__worker *worker, struct amy__handover *handover,
            const struct amy__json *json, struct amy_error *err)
{
    int fd = amy__handover_take(handover, json, "output_fd");
    struct amy__buf begun = {0};
    int rc = 0;

    if (fd < 0) {
        return 0;
    }
    rc = amy__worker_watch_output(worker, &fd, err);
    amy__close(&fd);
    amy__buf_init(&begun, AMY__OUTPUT_LINE_MAX - 1);
    if (rc == 0 &&
        amy__handover_take_bytes(handover, json, "line_fd",
                                 AMY__OUTPUT_LINE_MAX - 1, &begun, NULL) == 0) {
        amy__output_begin(worker->output, amy__buf_span(&begun));
    }
    amy__buf_clear(&begun);
    return rc;
}

static bool
is_alive(uint32_t state)
{
    return state == AMY_WORKER_BOOT || state == AMY_WORKER_READY ||
           state == AMY_WORKER_DRAIN || state == AMY_WORKER_KILLED;
}

static int
take_process(struct amy__worker *worker, struct amy__handover *handover,
             const struct amy__json *json, struct amy_error *err)
{
    int64_t pid = amy__json_get_int(json, "pid", -1);
    int rc = 0;

    if (pid <= 1 || pid > INT32_MAX) {
        return amy__err(err, AMY_EPARSE, "state: a worker without a process");
    }
    worker->child.pid = (pid_t)pid;
    worker->child.pidfd = amy__handover_take(handover, json, "process_fd");
    worker->channel_fd = amy__handover_take(handover, json, "channel_fd");
    if (worker->child.pidfd < 0) {
        return amy__err(err, AMY_EPARSE, "state: a worker without a process");
    }
    read_strays(&worker->strays, amy__json_get(json, "strays"));
    rc = take_output(worker, handover, json, err);
    return rc < 0 ? rc : amy__worker_watch_end(worker, err);
}

static int
restore_worker(struct amy__worker *worker, struct amy__handover *handover,
               const struct amy__json *json, struct amy_error *err)
{
    const char *facts = amy__json_get_text(json, "facts", "");
    int rc = amy__pool_facts_read(amy__span_of(facts), &worker->facts, err);

    if (rc < 0) {
        return rc;
    }
    worker->incarnation = (uint64_t)amy__json_get_int(json, "incarnation", 0);
    worker->todo = (uint32_t)amy__json_get_int(json, "todo", 0);
    worker->tell = (uint32_t)amy__json_get_int(json, "tell", 0);
    worker->how.code = (int)amy__json_get_int(json, "code", 0);
    worker->how.signal = (int)amy__json_get_int(json, "signal", 0);
    (void)snprintf(worker->ending, sizeof(worker->ending), "%s",
                   amy__json_get_text(json, "ending", ""));
    (void)snprintf(worker->reason, sizeof(worker->reason), "%s",
                   amy__json_get_text(json, "reason", ""));
    worker->todo &= AMY__DO_START | AMY__DO_SIGNAL | AMY__DO_KILL;
    worker->tell &= (2U << AMY_POOL_FAILED) - 2U;
    return is_alive(worker->facts.state)
               ? take_process(worker, handover, json, err)
               : 0;
}

int
amy__pool_restore(struct amy_pool *pool, struct amy__handover *handover,
                  const struct amy__json *saved, amy_pool_done_fn on_done,
                  void *done_user, struct amy_error *err)
{
    const struct amy__json *workers = amy__json_get(saved, "workers");
    int rc = 0;

    AMY_CHECK(pool, AMY__POOL_MAGIC);
    if (amy__json_count(workers) != pool->opts.count) {
        return amy__err(err, AMY_EPARSE, "state: pool %s has %zu positions",
                        pool->opts.name, amy__json_count(workers));
    }
    pool->started = amy__json_get_bool(saved, "started", false);
    pool->stopping = amy__json_get_bool(saved, "stopping", false);
    pool->on_done = pool->stopping ? on_done : NULL;
    pool->done_user = done_user;
    pool->roll = (uint32_t)amy__json_get_int(saved, "roll", pool->opts.count);
    pool->roll_sent = amy__json_get_bool(saved, "roll_sent", false);
    pool->incarnations = (uint64_t)amy__json_get_int(saved, "incarnations", 0);
    for (uint32_t i = 0; rc == 0 && i < pool->opts.count; i++) {
        rc = restore_worker(&pool->workers[i], handover,
                            amy__json_at(workers, i), err);
    }
    amy__defer_ask(pool->defer); /* what was due meanwhile, and the timer */
    return rc;
}

int
amy__pool_channel(const struct amy_pool *pool, uint32_t position)
{
    AMY_CHECK(pool, AMY__POOL_MAGIC);
    return position < pool->opts.count ? pool->workers[position].channel_fd
                                       : -1;
}
