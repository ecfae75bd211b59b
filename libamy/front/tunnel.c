/* A WebSocket between a client and its worker, once both have agreed: bytes are
 * passed on as they come, and where one end is slower the other is not read. */
/* Not for the request and its answer: that is proxy.c. */
#include "front/state.h"

void
amy__tunnel_open(struct amy__visit *v, struct amy__answer_head *answer)
{
    v->begun = true;
    /* Who does not wait for the answer will not speak either. */
    if (v->gone || amy__exchange_upgrade(v->x, answer) < 0) {
        amy__proxy_cut(v);
        return;
    }
    v->tunnel = true;
}

/* ---- to the client ---- */

void
amy__tunnel_from_worker(struct amy__visit *v, struct amy__span data)
{
    switch (amy__exchange_send(v->x, data)) {
    case 0:
        return;
    case AMY_EAGAIN:
        v->full = true;
        v->paused = true;
        amy__job_pause(&v->job);
        return;
    default: /* it is told that the client is gone */
        return;
    }
}

void
amy__tunnel_client_room(struct amy__visit *v)
{
    if (v->paused && v->job_on) {
        v->paused = false;
        amy__job_resume(&v->job);
    }
}

void
amy__tunnel_worker_over(struct amy__job *job)
{
    struct amy__visit *v = amy__visit_of_job(job);

    if (!v->closed) {
        v->ended = true;
        v->closed = v->gone; /* both have said all */
        amy__exchange_end(v->x);
    }
}

/* A worker that is gone wholly: nobody hears the client any more. */
void
amy__tunnel_worker_gone(struct amy__visit *v)
{
    if (!v->closed) {
        v->closed = true;
        amy__exchange_part(v->x);
    }
}

/* ---- to the worker ---- */

void
amy__tunnel_from_client(struct amy__exchange *x, struct amy__span data,
                        void *user)
{
    struct amy__visit *v = amy__visit_of(x);

    (void)user;
    if (v->job_on && amy__job_send(&v->job, data) == AMY_EAGAIN) {
        amy__exchange_hold(x, true);
    }
}

void
amy__tunnel_worker_room(struct amy__job *job)
{
    struct amy__visit *v = amy__visit_of_job(job);

    if (!v->closed) {
        amy__exchange_hold(v->x, false);
    }
}

void
amy__tunnel_client_over(struct amy__exchange *x, void *user)
{
    struct amy__visit *v = amy__visit_of(x);

    (void)user;
    v->gone = true;
    v->closed = v->ended;
    if (v->job_on) {
        amy__job_finish(&v->job);
    }
}
