/* What rooms above may do with a gate beyond amy/gate.h. */
#ifndef AMY_GATE_GATE_H
#define AMY_GATE_GATE_H

#include <amy/gate.h>

#include <stdint.h>

/* After a restart: the state is what `state` was when since and by were
 * written down, so go on from there. Nothing when the state is another. */
void amy__gate_restore(struct amy_gate *gate, enum amy_gate_state state,
                       int64_t since_wall_ms, const char *by);

#endif
