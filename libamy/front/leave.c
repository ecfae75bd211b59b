/* The end of a front process' life: how long who is left may take. */
/* Not for when it ends: the master says so, or a signal does. */
#include "front/leave.h"

#include "core/log.h"
#include "core/loop.h"
#include "front/process.h"
#include "front/state.h"

#define DRAIN_MS 30000
/* A tunnel ends when its client likes: who waits for that serves nobody else
 * meanwhile. */
#define DRAIN_TUNNELS_MS 5000

static void
finish(struct amy__front *front)
{
    if (!front->finished) {
        front->finished = true;
        front->on_finished(front, front->masterless ? AMY_ECONN : 0,
                           front->user);
    }
}

static void
on_drained(void *user)
{
    finish(user);
}

/* Finish what is under way, as if nobody took our place. */
void
amy__front_hurry_out(struct amy__front *front)
{
    front->patient = false;
    if (front->tunnels_over || front->hurried || front->server == NULL) {
        amy__front_leave(front, false);
        return;
    }
    front->draining = true;
    (void)amy__timer_arm(front->deadline, DRAIN_TUNNELS_MS, NULL);
    amy__server_drain(front->server, on_drained, front);
}

/* Others serve in our place: there is no hurry. */
void
amy__front_leave_asked(struct amy__front *front, const struct amy__json *json)
{
    int64_t patience_ms = amy__json_get_int(json, "patience_ms", 0);

    if (patience_ms <= 0 || front->server == NULL) {
        amy__front_hurry_out(front);
    } else if (!front->draining) {
        front->draining = true;
        front->patient = true;
        (void)amy__timer_arm(front->deadline, patience_ms, NULL);
        amy__server_leave(front->server, on_drained, front);
    }
}

void
amy__front_leave_deadline(void *user)
{
    struct amy__front *front = user;

    if (front->patient) { /* from now on as SIGTERM would have it */
        amy__front_hurry_out(front);
        return;
    }
    if (!front->hurried && !front->tunnels_over && front->server != NULL) {
        front->tunnels_over = true;
        (void)amy__timer_arm(front->deadline, DRAIN_MS - DRAIN_TUNNELS_MS,
                             NULL);
        amy__dispatch_end_tunnels(front->dispatch); /* it may be all */
        return;
    }
    if (!front->hurried && front->server != NULL) {
        amy__log(&front->log, AMY_LOG_WARN, "requests are cut after %d s",
                 DRAIN_MS / 1000);
    }
    finish(front);
}

void
amy__front_leave(struct amy__front *front, bool now)
{
    if (now || (front->server == NULL && !front->draining)) {
        front->hurried = true;
        front->draining = true;
        (void)amy__timer_arm(front->deadline, 0, NULL);
        return;
    }
    if (!front->draining) {
        amy__front_hurry_out(front);
    }
}
