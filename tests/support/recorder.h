/* Writes down what a codec says, as text to compare: the same for HTTP/1.1 and
 * HTTP/2, so that one script of events fits both. */
#ifndef RECORDER_H
#define RECORDER_H

#include "core/buf.h"
#include "http/codec.h"

struct recorder {
    struct amy__buf text; /* one event per line; adjoining body bytes joined */
    struct amy__buf body; /* not written down yet */
    amy__stream_id last_id;
    unsigned requests;
    unsigned answers;
    unsigned ends;
    uint64_t body_bytes;
    struct amy__codec_fault fault; /* of the last recorder_feed() */
};

extern const struct amy__codec_events recorder_events; /* user: the recorder */

void recorder_init(struct recorder *r);
void recorder_clear(struct recorder *r);
/* Everything so far, NUL-terminated. */
const char *recorder_text(struct recorder *r);

/* Feed data as a connection would: `step` bytes at a time (0: all at once),
 * keeping what was not consumed. Returns bytes consumed, or the codec's error,
 * and then writes down "fault STATUS reason". */
int64_t recorder_feed(struct recorder *r, struct amy__codec *codec,
                      struct amy__span data, size_t step);
/* The same in two pieces, cut at `cut`. */
int64_t recorder_feed_split(struct recorder *r, struct amy__codec *codec,
                            struct amy__span data, size_t cut);

#endif
