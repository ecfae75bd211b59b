/* The seam between bytes and exchanges: one connection's codec, HTTP/1.1 or
 * HTTP/2, as server or as client. No I/O, no clock, no sockets: bytes are fed
 * in, events come out; commands go in, bytes come out into a buffer that the
 * caller sends. `serve` knows only this, so it is not shaped by either. */
#ifndef AMY_HTTP_CODEC_H
#define AMY_HTTP_CODEC_H

#include <amy/error.h>

#include "core/buf.h"
#include "http/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Names one exchange of a connection: h1 counts requests from 1; h2's own. */
typedef uint32_t amy__stream_id;

struct amy__codec_limits {
    uint32_t request_line_bytes; /* 0: 8 KiB; more: 414 */
    uint32_t head_bytes;         /* 0: 32 KiB (answers 64 KiB); more: 431 */
    uint32_t field_count;        /* 0: 100; more: 431 */
    uint32_t chunk_ext_bytes;    /* 0: 4 KiB per body */
    uint32_t streams;            /* 0: 100; h2 only */
};

/* Why a codec gave up: the answer to send, if any, and then to close. */
struct amy__codec_fault {
    unsigned status;    /* 400, 408, 413, 414, 431, 501, 505; 0: close only */
    const char *reason; /* static, for the log: "bare LF in a field line" */
};

/* Events, all from inside feed(). The callee may send on the stream from inside
 * them; it may not free the codec. */
struct amy__codec_events {
    /* Server side. The head is valid during the call. */
    void (*on_request)(amy__stream_id id, const struct amy__request_head *head,
                       void *user);
    /* Client side. 1xx other than 101 arrive here too, before the final one.
     * 101 comes only to a request that asked (upgrade_websocket). */
    void (*on_answer)(amy__stream_id id, const struct amy__answer_head *head,
                      void *user);
    void (*on_body)(amy__stream_id id, struct amy__span data, void *user);
    /* The message is whole. */
    void (*on_end)(amy__stream_id id, void *user);
    /* Once an exchange has changed protocols (answer 101), on_body brings what
     * the peer says, as it is, and on_end that it will say no more; the same
     * goes the other way with send_body and pass_body. It is the exchange that
     * becomes a tunnel, not the connection, though h1 has only the one. */
    /* h2: the peer cancelled this stream; h1 never. */
    void (*on_reset)(amy__stream_id id, uint32_t code, void *user);
};

struct amy__codec;

struct amy__codec_ops {
    /* Take bytes. Returns how many were consumed: fewer than n when the codec
     * must wait (h1: the next pipelined request stays in the caller's buffer
     * until the answer to this one was sent whole and `amy__codec_next()` says
     * so; or an incomplete head, which the caller keeps). Negative: the
     * connection is over; fault says what to answer. The caller grows its
     * buffer up to head_bytes + request_line_bytes; a head that does not fit is
     * the codec's 414 or 431. */
    int64_t (*feed)(struct amy__codec *codec, struct amy__span data,
                    struct amy__codec_fault *ret_fault);
    /* The peer's end of stream. 0: fine here (an until-close body ends with
     * on_end); AMY_EPROTO: in the middle of a message, or (client) before the
     * answer. */
    int (*eof)(struct amy__codec *codec);
    /* Commands; bytes are appended to out. `end`: no body follows. For h1 the
     * codec writes Content-Length or chunked framing by head->body, adds
     * Connection, and never both lengths; Host comes from head->authority.
     * Fields marked hop-by-hop are left out. A request with upgrade_websocket,
     * and status 101 as its answer, get the two fields that ask and agree; a
     * connection that asked is never used again. An answer to HEAD, and 204,
     * 205 and 304, have no body: what is sent for it is dropped; head->body
     * still says what it would have been. Server side, id 0 answers a message
     * that never became an exchange (a fault of feed(), a 408): always with
     * Connection: close.
     * 0; AMY_ELIMIT, AMY_ENOMEM; AMY_EINVAL: a byte in the head that would
     * split the message; AMY_ESTATE: not now, or more or less body than
     * announced (the connection can only be closed). On failure nothing was
     * appended. */
    int (*send_request)(struct amy__codec *codec,
                        const struct amy__request_head *head, bool end,
                        amy__stream_id *ret_id, struct amy__buf *out);
    int (*send_answer)(struct amy__codec *codec, amy__stream_id id,
                       const struct amy__answer_head *head, bool end,
                       struct amy__buf *out);
    int (*send_informational)(struct amy__codec *codec, amy__stream_id id,
                              unsigned status, struct amy__buf *out);
    int (*send_body)(struct amy__codec *codec, amy__stream_id id,
                     struct amy__span data, bool end, struct amy__buf *out);
    /* The caller sends the next n body bytes itself, as they are, behind what
     * is in out (writev, sendfile: no copy). 0 where the framing allows it (h1
     * with AMY__BODY_LENGTH or until close); AMY_EUNSUPPORTED: use send_body;
     * AMY_ELIMIT: more than Content-Length said. */
    int (*pass_body)(struct amy__codec *codec, amy__stream_id id, uint64_t n,
                     bool end);
    /* Give up one exchange: h2 RST_STREAM; h1 can only close: AMY_ESTATE. */
    int (*reset)(struct amy__codec *codec, amy__stream_id id, uint32_t code,
                 struct amy__buf *out);
    /* Bytes the codec itself wants to send (h2 SETTINGS, WINDOW_UPDATE), and
     * what was sent from inside of events: to be called after each feed(). */
    int (*flush)(struct amy__codec *codec, struct amy__buf *out);
    /* The exchange is answered whole: the next message may be taken. True when
     * the connection goes on, false when it must be closed (also when the
     * request's body was not read to its end). Not from inside on_request or
     * on_body. */
    bool (*next)(struct amy__codec *codec, amy__stream_id id);
    /* Is no message begun (idle connection)? */
    bool (*idle)(const struct amy__codec *codec);
    void (*free)(struct amy__codec *codec);
};

/* First member of every codec. */
struct amy__codec {
    const struct amy__codec_ops *ops;
    const struct amy__codec_events *borrow_events; /* outlive the codec */
    void *user;
};

int amy__h1_server_create(const struct amy__codec_limits *limits,
                          const struct amy__codec_events *borrow_events,
                          void *user, struct amy__codec **ret_codec,
                          struct amy_error *err);
int amy__h1_client_create(const struct amy__codec_limits *limits,
                          const struct amy__codec_events *borrow_events,
                          void *user, struct amy__codec **ret_codec,
                          struct amy_error *err);
/* HTTP/2 on nghttp2: no connection offers it yet; a unit test drives one
 * exchange through it. */
int amy__h2_server_create(const struct amy__codec_limits *limits,
                          const struct amy__codec_events *borrow_events,
                          void *user, struct amy__codec **ret_codec,
                          struct amy_error *err);

/* Back to the state after create, for reuse from a free list (no allocation
 * per connection in the steady state). */
void amy__h1_renew(struct amy__codec *codec, void *user);

#endif
