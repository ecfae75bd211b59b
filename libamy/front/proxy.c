/* A request that a worker answers: its body is collected first, its answer
 * taken off the worker at once and kept for a client that is slower. Not for
 * queues and slots: that is dispatch.c. */
#include "front/accel.h"
#include "front/costs.h"
#include "front/state.h"

#include <string.h>
#include <unistd.h>

/* Of an answer that the client has not taken yet. */
#define LATE_MEMORY_BYTES (256U * 1024)
#define LATE_MAX_BYTES ((uint64_t)1024 * 1024 * 1024)
/* What was read off a worker before it could be held. */
#define LATER_MEMORY_BYTES (1024U * 1024)
#define PIECE_BYTES 8192U

static void
finish(struct amy__visit *v)
{
    v->closed = true;
    amy__exchange_end(v->x);
}

static void
cut(struct amy__visit *v)
{
    v->closed = true;
    amy__exchange_abort(v->x);
}

/* ---- what the client has not taken yet ---- */

static struct amy__spool_place
late_place(struct amy__front *front)
{
    return (struct amy__spool_place){
        .blocks = &front->blocks,
        .memory_bytes = LATE_MEMORY_BYTES,
        .dir_fd = front->spool_fd,
    };
}

static bool
has_late(const struct amy__visit *v)
{
    return v->late_at < v->late.n;
}

static void
clear_late(struct amy__visit *v)
{
    amy__spool_clear(&v->late, &v->front->blocks);
    v->late = v->later;
    v->late_at = 0;
    amy__spool_init(&v->later);
}

/* Hand on one piece; false: it could not be read back. */
static bool
send_late_piece(struct amy__visit *v)
{
    uint64_t left = v->late.n - v->late_at;
    size_t n = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
    struct amy__span piece = {0};
    char buf[PIECE_BYTES];

    if (v->late.fd < 0) {
        piece = (struct amy__span){v->late.memory.p + v->late_at, n};
    } else {
        ssize_t got = pread(v->late.fd, buf, n, (off_t)v->late_at);

        if (got <= 0) {
            return false;
        }
        piece = (struct amy__span){buf, (size_t)got};
    }
    v->late_at += piece.n;
    v->full = amy__exchange_send(v->x, piece) == AMY_EAGAIN;
    return true;
}

void
amy__proxy_cut(struct amy__visit *v)
{
    if (v->job_on) {
        v->job_on = false;
        amy__job_leave(&v->job);
    }
    cut(v);
}

/* Send until the client is full again. */
static void
send_late(struct amy__visit *v)
{
    while (has_late(v) && !v->full) {
        if (!send_late_piece(v)) {
            amy__proxy_cut(v);
            return;
        }
        if (!has_late(v)) {
            clear_late(v);
        }
    }
}

static void
hold_worker(struct amy__visit *v)
{
    if (!v->paused && v->job_on) {
        v->paused = true;
        amy__job_pause(&v->job);
    }
}

static void
keep_late(struct amy__visit *v, struct amy__span data)
{
    struct amy__spool_place place = late_place(v->front);

    if (v->later.n == 0 &&
        amy__spool_write(&v->late, &place, data, NULL) == 0) {
        if (v->late.n - v->late_at > LATE_MAX_BYTES) {
            hold_worker(v);
        }
        return;
    }
    /* No room on the disk: the worker has to wait after all. */
    hold_worker(v);
    place.memory_bytes = LATER_MEMORY_BYTES;
    place.dir_fd = -1;
    if (amy__spool_write(&v->later, &place, data, NULL) < 0) {
        amy__proxy_cut(v);
    }
}

void
amy__proxy_on_room(struct amy__visit *v)
{
    if (v->closed) {
        return;
    }
    v->full = false;
    if (v->tunnel) {
        amy__tunnel_client_room(v);
        return;
    }
    send_late(v);
    if (v->closed || has_late(v)) {
        return;
    }
    if (v->ended) {
        finish(v);
    } else if (v->paused && !v->full) {
        v->paused = false;
        amy__job_resume(&v->job);
    }
}

/* ---- what the worker says ---- */

/* More than that of an answer nobody wants is not read for the sake of the
 * connection. */
#define BRIEF_BYTES 65536U

/* A file takes the answer's place: the worker is free. */
static void
stand_in(struct amy__visit *v, const struct amy__answer_head *head)
{
    bool brief =
        head->body == AMY__BODY_NONE ||
        (head->body == AMY__BODY_LENGTH && head->content_length <= BRIEF_BYTES);

    amy__accel_serve(v, head);
    v->job_on = false;
    amy__job_dismiss(&v->job, brief);
}

static const struct amy__request_head *
on_head(struct amy__job *job, struct amy__body *ret_body)
{
    struct amy__visit *v = amy__visit_of_job(job);
    struct amy__front *front = v->front;
    const struct amy__request_head *head = amy__exchange_head(v->x);
    struct amy__arrival arrival = amy__visit_arrival(v);

    if (head->body != AMY__BODY_NONE) {
        amy__exchange_body(v->x, ret_body);
    }
    amy__forward_head(&front->upstream, head, &arrival, v->client,
                      v->request_id, head->body != AMY__BODY_NONE, ret_body->n,
                      &front->text);
    if (v->as != NULL) { /* a password of ours is no application's business */
        amy__forward_drop(&front->upstream, AMY__FIELD_AUTHORIZATION);
    }
    return &front->upstream;
}

static void
on_answer(struct amy__job *job, const struct amy__answer_head *head)
{
    struct amy__visit *v = amy__visit_of_job(job);
    struct amy__answer_head *answer = &v->front->answer;

    if (amy__accel_asks(head)) {
        stand_in(v, head);
        return;
    }
    v->streams = amy__backward_head(answer, head);
    if (head->status == 101) {
        amy__tunnel_open(v, answer);
        return;
    }
    v->endless =
        head->body == AMY__BODY_CHUNKED || head->body == AMY__BODY_UNTIL_CLOSE;
    if (answer->body == AMY__BODY_UNTIL_CLOSE) {
        answer->body = AMY__BODY_CHUNKED;
    }
    if (amy__exchange_begin(v->x, answer) < 0) {
        v->job_on = false;
        amy__job_leave(job);
        amy__visit_fail(v, 502, "the answer's head cannot be passed on");
        return;
    }
    v->begun = true;
    if (v->gone && v->streams) {
        amy__proxy_cut(v);
    }
}

static void
on_data(struct amy__job *job, struct amy__span data)
{
    struct amy__visit *v = amy__visit_of_job(job);
    int rc = 0;

    if (v->closed) {
        return;
    }
    if (v->tunnel) {
        amy__tunnel_from_worker(v, data);
        return;
    }
    if (v->full && !v->streams) {
        keep_late(v, data);
        return;
    }
    rc = amy__exchange_send(v->x, data);
    v->full = rc == AMY_EAGAIN;
    if (v->full && v->streams) {
        hold_worker(v);
    } else if (rc == AMY_ECONN && v->endless) {
        amy__proxy_cut(v);
    }
}

static void
on_end(struct amy__job *job)
{
    struct amy__visit *v = amy__visit_of_job(job);

    v->job_on = false;
    v->ended = true;
    if (v->tunnel) {
        amy__tunnel_worker_gone(v);
    } else if (!v->closed && !has_late(v)) {
        finish(v);
    }
}

static unsigned
status_of(enum amy__job_failure failure)
{
    switch (failure) {
    case AMY__JOB_TIMEOUT:
        return 504;
    case AMY__JOB_BAD:
    case AMY__JOB_CUT:
    case AMY__JOB_IDLE:
    case AMY__JOB_GONE:
        return 502;
    case AMY__JOB_DOWN:
    case AMY__JOB_FULL:
    case AMY__JOB_LATE:
    default:
        return 503;
    }
}

static void
on_fail(struct amy__job *job, enum amy__job_failure failure, const char *reason)
{
    struct amy__visit *v = amy__visit_of_job(job);

    v->job_on = false;
    if (v->closed) {
        return;
    }
    if (failure == AMY__JOB_IDLE || failure == AMY__JOB_GONE) {
        cut(v); /* nobody's fault */
        return;
    }
    if (v->begun) {
        amy__visit_blame(v, amy__exchange_status(v->x), reason);
        cut(v);
        return;
    }
    amy__visit_fail(v, status_of(failure), reason);
}

static const struct amy__job_events job_events = {
    .head = on_head,
    .on_answer = on_answer,
    .on_data = on_data,
    .on_half = amy__tunnel_worker_over,
    .on_room = amy__tunnel_worker_room,
    .on_end = on_end,
    .on_fail = on_fail,
};

/* ---- its course ---- */

static void
enter(struct amy__visit *v)
{
    const struct amy__request_head *head = amy__exchange_head(v->x);
    const struct amy__vhost_route *route =
        &v->vhost->routes[v->route - v->vhost->site->routes];

    v->job_on = true;
    v->job.tunnel_ms = route->tunnel_ms;
    v->job.cost_key = amy__costs_key(head->method_text, head->path);
    if (amy__job_start(&v->job, route->pool, route->timeout_ms, &job_events) <
        0) {
        v->job_on = false;
        amy__visit_fail(v, 503, "too many requests wait for a worker");
    }
}

void
amy__proxy_start(struct amy__visit *v)
{
    v->way = AMY__WAY_PROXY;
    amy__spool_init(&v->late);
    amy__spool_init(&v->later);
    if (v->body_here || amy__exchange_head(v->x)->body == AMY__BODY_NONE) {
        enter(v);
        return;
    }
    if (amy__exchange_want_body(v->x, v->vhost->site->body_bytes) < 0) {
        amy__visit_refuse(v, 413, NULL);
    }
}

void
amy__proxy_on_body(struct amy__visit *v)
{
    if (!v->closed) {
        enter(v);
    }
}

void
amy__proxy_on_gone(struct amy__visit *v)
{
    if (v->closed) {
        return;
    }
    v->gone = true;
    /* One that is being worked on goes on: a client that closed its sending
     * side alone still reads. A stream may have no end: it is cut. */
    if (v->job_on && v->job.run != NULL && !v->streams && !v->tunnel) {
        amy__job_gone(&v->job);
        return;
    }
    /* What was taken off the worker is sent as the client makes room. The
     * worker's end of a tunnel may still hear, and is told. */
    if (!v->ended || v->tunnel) {
        amy__proxy_cut(v);
    }
}

void
amy__proxy_clear(struct amy__visit *v)
{
    if (v->job_on) {
        v->job_on = false;
        amy__job_leave(&v->job);
    }
    amy__spool_clear(&v->late, &v->front->blocks);
    amy__spool_clear(&v->later, &v->front->blocks);
}
