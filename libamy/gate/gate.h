/* What rooms above may do with a gate beyond amy/gate.h. */
#ifndef AMY_GATE_GATE_H
#define AMY_GATE_GATE_H

#include <amy/gate.h>

#include <stdint.h>

struct amy__watch;

/* A watch for any number of gates: a user may have 128 inotify instances, and
 * a host more sites. Freed with amy__watch_free(), after its gates. */
int amy__gate_watch_create(struct event_base *base,
                           struct amy__watch **ret_watch,
                           struct amy_error *err);
/* amy_gate_create() with such a watch; NULL: with one of the gate's own. */
int amy__gate_create(const struct amy_gate_options *opts,
                     struct amy__watch *borrow_watch,
                     struct amy_gate **ret_gate, struct amy_error *err);

/* After a restart: the state is what `state` was when since and by were
 * written down, so go on from there. Nothing when the state is another. */
void amy__gate_restore(struct amy_gate *gate, enum amy_gate_state state,
                       int64_t since_wall_ms, const char *by);

#endif
