/* Figures for Prometheus: GET /metrics on a read-only socket of its own, and on
 * loopback where amy.yaml says so. Knows no figure: rooms register theirs. */
#ifndef AMY_CONTROL_METRICS_H
#define AMY_CONTROL_METRICS_H

#include <amy/clock.h>
#include <amy/error.h>
#include <amy/log.h>

#include "control/metrics_text.h"
#include "net/address.h"

#include <stdbool.h>
#include <stddef.h>

struct event_base;
struct amy__metrics;

struct amy__metrics_options {
    struct event_base *base;
    const char *run_path; /* /run/amy */
    const char *name;     /* "front": run_path/front-metrics.sock, 0666 */
    const struct amy__address *borrow_addresses; /* of loopback */
    size_t address_count;
    /* Somebody asks: gather what collectors will tell, and then call
     * amy__metrics_ready(), now or later; not asked again until then. NULL:
     * there is nothing to be gathered. */
    void (*on_ask)(void *user);
    void *user;
    const struct amy_clock *borrow_clock;
    const struct amy_log *log;
    /* Sockets on which a program before this one listened: those that fit are
     * taken over, and -1 then. */
    int *inherited;
    size_t inherited_count;
};
#define AMY__METRICS_FDS 33U /* at most */
/* AMY_EBUSY: somebody else's socket or port. */
int amy__metrics_create(const struct amy__metrics_options *opts,
                        struct amy__metrics **ret_metrics,
                        struct amy_error *err);
/* As amy__server_hush(). */
bool amy__metrics_hush(struct amy__metrics *metrics, bool hold);
/* The i-th listening socket, for the program after this one; -1: no more. */
int amy__metrics_fd(const struct amy__metrics *metrics, size_t i);
void amy__metrics_free(struct amy__metrics *metrics);

/* Writes its metrics into the text, each time that somebody asks. */
typedef void (*amy__metrics_fn)(struct amy__metrics_text *text, void *user);
int amy__metrics_add(struct amy__metrics *metrics, amy__metrics_fn fn,
                     void *user, struct amy_error *err);

/* Answer all who wait. */
void amy__metrics_ready(struct amy__metrics *metrics);

#endif
