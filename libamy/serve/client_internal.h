/* What the files of the client share: client.c (the pool of links and the
 * tick), link.c (one connection: its socket), call.c (one exchange). */
#ifndef AMY_SERVE_CLIENT_INTERNAL_H
#define AMY_SERVE_CLIENT_INTERNAL_H

#include "core/buf.h"
#include "http/codec.h"
#include "serve/client.h"
#include "serve/slab.h"

#include <event2/event_struct.h>

#include <sys/queue.h>

struct amy__timer;
struct amy__defer;

#define AMY__CLIENT_READ_BYTES 65536U
#define AMY__CALL_ARENA_BYTES 2048U

TAILQ_HEAD(amy__links, amy__link);
TAILQ_HEAD(amy__calls, amy__call);

/* One connection to the server: idle, or at work for one call. */
struct amy__link {
    TAILQ_ENTRY(amy__link) link; /* in client->idle, or client->spare */
    struct event read_event;
    struct event write_event;
    struct amy__client *client;
    struct amy__codec *codec;
    struct amy__call *call; /* NULL: idle */
    amy__stream_id id;
    int fd;
    struct amy__block held; /* bytes the codec has not consumed */
    size_t held_n;
    int64_t idle_since_ms;
    bool connecting;
    bool reused;  /* it has served a call before */
    bool reading; /* read_event is added */
    bool writing; /* write_event is added */
    bool heard;   /* bytes of this call's answer came */
    bool keep;    /* the answer allows another request */
    bool ended;   /* the answer is whole */
    bool doomed;  /* close when the running event is over */
    bool in_event;
    bool write_over; /* the server takes no more; its answer may still come */
};

struct amy__call {
    TAILQ_ENTRY(amy__call) link; /* in client->calls */
    struct amy__client *client;
    struct amy__link *on;
    const struct amy__call_handler *handler;
    void *user;
    struct amy__body body;
    uint64_t body_at;       /* sent of it */
    struct amy__block rest; /* of the encoded head, what was not sent */
    size_t rest_at;
    size_t rest_n;
    uint64_t sent; /* bytes of this attempt */
    int64_t progress_ms;
    uint32_t timeout_ms;
    enum amy__call_failure failure; /* to be told at the end of the turn */
    const char *reason;
    bool retried;
    bool answered;
    bool detached;
    bool hung_up; /* the next bytes are not waited for, but cut off */
    bool paused;
    bool tunnel;           /* 101 came: bytes go both ways */
    bool in_over;          /* the server says no more */
    bool out_over;         /* we say no more */
    bool whole;            /* both: to be told at the end of the turn */
    struct amy__block big; /* the head's bytes, when the arena is too small */
    struct amy__request_head head;
    char arena[AMY__CALL_ARENA_BYTES];
};

struct amy__client {
    struct amy__client_options opts;
    char *unix_name;
    struct amy__links idle; /* latest first */
    struct amy__links spare;
    struct amy__calls calls;
    uint32_t idle_count;
    uint32_t spare_count;
    struct amy__slab links;
    struct amy__slab call_slab;
    struct amy__blocks blocks;
    struct amy__buf out; /* used within one call of ours only */
    char *scratch;
    struct amy__timer *tick;
    int64_t tick_ms; /* 0: not armed */
    struct amy__defer *turn;
    unsigned depth; /* events and callbacks on the stack */
    bool freed;
};

/* client.c */
void amy__client_enter(struct amy__client *client);
void amy__client_leave(struct amy__client *client); /* may free it */
void amy__client_tick_within(struct amy__client *client, int64_t ms);

/* link.c */
/* A connected, or connecting, link; NULL: *ret_failure says why. */
struct amy__link *amy__link_open(struct amy__client *client,
                                 enum amy__call_failure *ret_failure);
struct amy__link *amy__link_take_idle(struct amy__client *client);
void amy__link_close(struct amy__link *link);
/* The call is over: keep the link when that is possible. */
void amy__link_done(struct amy__link *link);
/* Encode and send the call's request. -1: a kept link was dead, nothing was
 * sent; else what happens comes as events. */
int amy__link_begin(struct amy__link *link, struct amy__call *call);
void amy__link_read(struct amy__link *link, bool want);
/* Send in a tunnel: 0, or AMY_EAGAIN: what the socket did not take is kept. */
int amy__link_send(struct amy__link *link, struct amy__span data);
/* The call says no more: tell the server when all is sent. */
void amy__link_finish(struct amy__link *link);
void amy__link_hang_up(struct amy__link *link);
/* The server says no more: will it still hear us? */
void amy__link_look(struct amy__link *link);

/* call.c */
extern const struct amy__codec_events amy__client_events;
void amy__call_over(struct amy__call *call); /* unlink and give back */
void amy__call_fail(struct amy__call *call, enum amy__call_failure failure,
                    const char *reason);
/* The link died under it: try again, or fail. */
void amy__call_lost(struct amy__call *call, const char *reason);
/* At the end of the turn. */
void amy__calls_tell_ends(struct amy__client *client);

#endif
