/* Whose turn it is to pack: all logs of a host end at the same midnight, and a
 * compressing child for each site would be too many. One line for all rotators
 * of a daemon; a rotator alone has one of its own. */
#ifndef AMY_LOGROTATE_TURN_H
#define AMY_LOGROTATE_TURN_H

#include <stdbool.h>
#include <stdint.h>

/* A child may be stopped by the user whose it is: after so long the others do
 * not wait for it any more. */
#define AMY__TURN_MS INT64_C(60000)

struct amy__turn;

/* Embedded in who takes turns. */
struct amy__turn_place {
    struct amy__turn *turn;
    struct amy__turn_place *next; /* in the line */
    bool waits;                   /* is in it */
    void (*on_turn)(void *user);  /* it may be yours: take it */
    void *user;
};

/* Zeroed: nobody's. */
struct amy__turn {
    struct amy__turn_place *holder;
    int64_t since_ms;
    struct amy__turn_place *first;
};

/* Mine? If not, the place is in the line until it takes or leaves. */
bool amy__turn_take(struct amy__turn_place *place, int64_t now_ms);
/* No more, or not now: the next one's. Nothing, where it had none. */
void amy__turn_leave(struct amy__turn_place *place);

#endif
