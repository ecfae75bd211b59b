/* Calls for the tests of this room, and what became of them. */
#ifndef ASKING_H
#define ASKING_H

#include <amy/redis.h>

struct event_base;

/* How a call ended. */
struct asked {
    unsigned times; /* it was told so: 1 is right */
    int code;
    uint32_t fate;
    uint32_t type;
    int64_t integer;
    size_t count;
    char text[64]; /* of the reply, or of its first item */
    char why[256];
};

/* The words are separated by blanks. */
int ask(struct amy_redis *client, const char *words, uint32_t timeout_ms,
        struct asked *asked, uint64_t *ret_id, struct amy_error *err);
/* The same, which has to begin. */
void ask_well(struct amy_redis *client, const char *words, uint32_t timeout_ms,
              struct asked *asked);
int add(struct amy_redis_batch *batch, const char *words);
/* To the end of a blocking call, with a client of its own loop. */
int run(struct amy_redis *client, const char *words, uint32_t timeout_ms,
        struct asked *asked);
/* Note a result; an amy_redis_fn. */
void note(struct amy_redis *client, const struct amy_redis_result *result,
          void *user);
/* Run the loop until it was told; a minute at most. */
void wait_for(struct event_base *base, const struct asked *asked);
void expect(const struct asked *asked, int code, uint32_t fate);

#endif
