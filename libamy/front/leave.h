/* How a front process finishes: at once, within 30 s, or with patience because
 * others serve in its place. */
#ifndef AMY_FRONT_LEAVE_H
#define AMY_FRONT_LEAVE_H

#include "core/json.h"

#include <stdbool.h>

struct amy__front;

/* SIGTERM, or now: SIGQUIT. */
void amy__front_leave(struct amy__front *front, bool now);
/* Finish what is under way as if nobody served in our place, whatever patience
 * there was. */
void amy__front_hurry_out(struct amy__front *front);
/* AMY__WIRE_DRAIN. */
void amy__front_leave_asked(struct amy__front *front,
                            const struct amy__json *json);
/* The timer front->deadline. */
void amy__front_leave_deadline(void *user);

#endif
