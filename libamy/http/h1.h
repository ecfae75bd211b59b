/* What the two HTTP/1.1 codecs share. */
#ifndef AMY_HTTP_H1_H
#define AMY_HTTP_H1_H

#include "http/codec.h"
#include "http/h1_body.h"
#include "http/h1_write.h"

/* One exchange at a time, so one state of each kind. */
struct amy__h1 {
    struct amy__codec codec; /* first: what the caller holds */
    unsigned magic;
    struct amy__codec_limits limits;
    uint32_t id;     /* exchanges begun */
    uint32_t out_id; /* whose head was sent last; 0 after a fault */
    size_t seen;     /* bytes of an incomplete head that were looked at */
    size_t enough;   /* so many bytes of it bring a verdict for sure */
    uint8_t step;    /* enum amy__h1_step */
    uint8_t blanks;  /* server: empty lines before the request line */
    uint8_t interim; /* client: 1xx answers to this request */
    bool client;
    bool to_head;    /* this exchange is about HEAD */
    bool old;        /* server: the request is HTTP/1.0 */
    bool keep_alive; /* so far nothing speaks against another message */
    bool head_sent;  /* server: the final one; client: the request's */
    bool upgrade;    /* this exchange asks for another protocol */
    bool switched;   /* server: 101 was sent */
    struct amy__h1_sender sender;
    struct amy__h1_body body;
    struct amy__buf folds; /* client: values of folded lines */
};

/* Where the reading of a message stands. */
enum amy__h1_step {
    AMY__H1_STEP_HEAD = 0,
    AMY__H1_STEP_BODY,
    AMY__H1_STEP_DONE,   /* whole; the next one waits for next() */
    AMY__H1_STEP_TUNNEL, /* what comes is no HTTP any more */
    AMY__H1_STEP_BROKEN,
};

#define AMY__H1_MAGIC 0x6831c0deU

int amy__h1_create(const struct amy__codec_ops *ops, bool client,
                   const struct amy__codec_limits *limits,
                   const struct amy__codec_events *borrow_events, void *user,
                   struct amy__codec **ret_codec, struct amy_error *err);
struct amy__h1 *amy__h1_of(struct amy__codec *codec);

/* Is it worth parsing an incomplete head again, now that it has more bytes?
 * Only when a line was completed or the limit is reached: a head that drips in
 * is parsed once for each line (of which there are few), not for each byte. */
bool amy__h1_worth_parsing(struct amy__h1 *h1, struct amy__span data);
/* Feed body bytes to the events, up to the end of the message. Returns bytes
 * consumed or AMY_EPROTO. */
int64_t amy__h1_feed_body(struct amy__h1 *h1, struct amy__span data,
                          struct amy__codec_fault *ret_fault);

/* After 101: all bytes are passed on. */
int64_t amy__h1_feed_tunnel(struct amy__h1 *h1, struct amy__span data);
void amy__h1_end_tunnel(struct amy__h1 *h1); /* the peer says no more */

/* The head just appended to out was all: end the body. When that fails, out and
 * the codec are as before the head, whose length before was len. */
int amy__h1_end_head(struct amy__h1 *h1, struct amy__buf *out, size_t len);

/* Operations that are the same on both sides. */
int amy__h1_send_body(struct amy__codec *codec, amy__stream_id id,
                      struct amy__span data, bool end, struct amy__buf *out);
int amy__h1_pass_body(struct amy__codec *codec, amy__stream_id id, uint64_t n,
                      bool end);
int amy__h1_reset(struct amy__codec *codec, amy__stream_id id, uint32_t code,
                  struct amy__buf *out);
int amy__h1_flush(struct amy__codec *codec, struct amy__buf *out);
void amy__h1_free(struct amy__codec *codec);

#endif
