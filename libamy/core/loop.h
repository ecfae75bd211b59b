/* Timers, descriptors and deferred calls on the caller's event base: the only
 * way the library waits. The hot path of serve/ has its own events; everything
 * else comes here, where a test can stand in (tests/support/fake_loop.c). */
#ifndef AMY_CORE_LOOP_H
#define AMY_CORE_LOOP_H

#include <amy/error.h>

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct amy__timer;
struct amy__io;
struct amy__defer;

typedef void (*amy__timer_fn)(void *user);
/* what: AMY__IO_READ, AMY__IO_WRITE or both. */
typedef void (*amy__io_fn)(int fd, unsigned what, void *user);

#define AMY__IO_READ 1U
#define AMY__IO_WRITE 2U

/* One shot: arm again from the callback for a period. Arming an armed timer
 * moves it; below zero counts as zero. A timer may be freed in its own
 * callback. libevent counts on a coarse clock, so a timer may fire up to 4 ms
 * before the clock says so: look at the clock, and arm again when early. */
int amy__timer_create(struct event_base *base, amy__timer_fn fn, void *user,
                      struct amy__timer **ret_timer, struct amy_error *err);
int amy__timer_arm(struct amy__timer *timer, int64_t after_ms,
                   struct amy_error *err);
void amy__timer_cancel(struct amy__timer *timer);
void amy__timer_free(struct amy__timer *timer);

/* Level-triggered and persistent. The descriptor stays the caller's, must
 * outlive the watch; what = 0 pauses. May be freed in its own callback. */
int amy__io_create(struct event_base *base, int fd, unsigned what,
                   amy__io_fn fn, void *user, struct amy__io **ret_io,
                   struct amy_error *err);
int amy__io_want(struct amy__io *io, unsigned what, struct amy_error *err);
void amy__io_free(struct amy__io *io);

/* Call fn once at the end of this turn of the loop, however often it is asked
 * for before that. May be freed in its own callback. Asking from inside the
 * callback runs it again in the same turn: never do so without an end. */
int amy__defer_create(struct event_base *base, amy__timer_fn fn, void *user,
                      struct amy__defer **ret_defer, struct amy_error *err);
void amy__defer_ask(struct amy__defer *defer);
void amy__defer_free(struct amy__defer *defer);

/* A loop of our own, for a process that waits for one thing and has no other
 * loop: a job. Run until *until, which a callback sets. AMY_EIO, AMY_ENOMEM. */
int amy__loop_create(struct event_base **ret_base, struct amy_error *err);
int amy__loop_run(struct event_base *base, const bool *until,
                  struct amy_error *err);
/* What is due now, without waiting. */
void amy__loop_turn(struct event_base *base);
void amy__loop_free(struct event_base *base);

#endif
