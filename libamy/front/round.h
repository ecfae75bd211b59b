/* One round of a bundle: prepare, all acknowledge, commit. Who takes part, who
 * has answered, what comes next. Pure: the master sends and receives. */
#ifndef AMY_FRONT_ROUND_H
#define AMY_FRONT_ROUND_H

#include <stdbool.h>
#include <stdint.h>

#define AMY__ROUND_MS 5000 /* for each of the two halves */

enum amy__round_phase {
    AMY__ROUND_IDLE = 0,
    AMY__ROUND_PREPARING,
    AMY__ROUND_COMMITTING,
};

/* What the master does next. */
enum amy__round_step {
    AMY__ROUND_WAIT = 0,
    AMY__ROUND_COMMIT,  /* all are prepared: tell `members` to commit */
    AMY__ROUND_ABANDON, /* tell `members` to forget it; the round is over */
    AMY__ROUND_DONE,    /* `members` serve it; the round is over */
};

/* Sets of processes, one bit each. */
struct amy__round {
    enum amy__round_phase phase;
    uint64_t bundle;
    uint64_t members; /* take part and live */
    uint64_t waiting; /* have not answered the half that is under way */
    uint64_t late;    /* committed not in time: not members any more */
    int64_t deadline_ms;
};

/* members must not be empty. */
void amy__round_begin(struct amy__round *round, uint64_t bundle,
                      uint64_t members, int64_t now_ms);
/* An ACK; committed says of which half. One that is not waited for (an older
 * bundle's, a second one) changes nothing. */
enum amy__round_step amy__round_ack(struct amy__round *round, uint32_t process,
                                    uint64_t bundle, bool committed,
                                    int64_t now_ms);
enum amy__round_step amy__round_refuse(struct amy__round *round,
                                       uint32_t process, uint64_t bundle);
/* A process died. The others go on without it; where nobody is left before the
 * commit, the bundle may well be what killed them: ABANDON. */
enum amy__round_step amy__round_lose(struct amy__round *round, uint32_t process,
                                     int64_t now_ms);
/* Preparing takes too long: ABANDON. Committing: DONE without those in late,
 * whose state nobody knows. */
enum amy__round_step amy__round_tick(struct amy__round *round, int64_t now_ms);

#endif
