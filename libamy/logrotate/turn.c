/* A line of those who want to pack. Pure. */
/* Not for packing: that is logrotate/pack.c. */
#include "logrotate/turn.h"

#include <stddef.h>

static void
leave_line(struct amy__turn_place *place)
{
    struct amy__turn_place **link = &place->turn->first;

    while (*link != NULL && *link != place) {
        link = &(*link)->next;
    }
    if (*link != NULL) {
        *link = place->next;
    }
    place->next = NULL;
    place->waits = false;
}

static void
join_line(struct amy__turn_place *place)
{
    struct amy__turn_place **link = &place->turn->first;

    while (*link != NULL) {
        link = &(*link)->next;
    }
    *link = place;
    place->next = NULL;
    place->waits = true;
}

bool
amy__turn_take(struct amy__turn_place *place, int64_t now_ms)
{
    struct amy__turn *turn = place->turn;
    bool is_free =
        turn->holder == NULL || now_ms - turn->since_ms >= AMY__TURN_MS;

    if (turn->holder == place) {
        return true;
    }
    if (!place->waits) {
        join_line(place);
    }
    if (!is_free || turn->first != place) {
        return false;
    }
    leave_line(place);
    turn->holder = place;
    turn->since_ms = now_ms;
    return true;
}

void
amy__turn_leave(struct amy__turn_place *place)
{
    struct amy__turn *turn = place->turn;
    bool was_next = turn->holder == place || turn->first == place;

    if (place->waits) {
        leave_line(place);
    }
    if (turn->holder == place) {
        turn->holder = NULL;
    }
    if (was_next && turn->holder == NULL && turn->first != NULL) {
        turn->first->on_turn(turn->first->user);
    }
}
