/* What the files of this room share: the client. */
#ifndef AMY_REDIS_INTERNAL_H
#define AMY_REDIS_INTERNAL_H

#include <amy/redis.h>

#include "core/buf.h"
#include "core/check.h"
#include "core/loop.h"
#include "redis/codec.h"
#include "redis/link.h"
#include "redis/pace.h"
#include "redis/queue.h"
#include "redis/url.h"

#define AMY__REDIS_MAGIC 0x72656469U

enum amy__redis_phase {
    AMY__REDIS_DOWN = 0,
    AMY__REDIS_OPENING,  /* until bytes may be sent */
    AMY__REDIS_GREETING, /* until the server takes commands from us */
    AMY__REDIS_UP,
};

/* May commands run as one? */
enum amy__redis_multi {
    AMY__REDIS_UNASKED = 0,
    AMY__REDIS_MAY,
    AMY__REDIS_MAY_NOT,
};

/* What is said first on each connection: AUTH, SELECT, CLIENT SETNAME, PING;
 * and before its first atomic batch: MULTI, EXEC. */
#define AMY__REDIS_GREETINGS 6U
struct amy__redis_greeting {
    unsigned count;
    unsigned answered;
    const char *names[AMY__REDIS_GREETINGS];
};

struct amy_redis {
    unsigned magic;
    unsigned busy; /* callbacks of the loop that are under way */
    bool doomed;   /* freed while busy */
    bool own_base;
    struct event_base *base;
    unsigned char *alive; /* a page that is zero in a child after fork() */

    struct amy__redis_url url;
    char *name;
    char *files[4]; /* CA, certificate, key, server's name: what is used */
    char shown[160];
    uint32_t timeout_ms;
    uint32_t connect_ms;
    size_t calls_max;
    size_t bytes_max;
    const struct amy_clock *borrow_clock;
    struct amy_log log;

    enum amy__redis_phase phase;
    struct amy__redis_link_options link_opts;
    struct amy__redis_link *link;
    struct amy__redis_pace pace;
    struct amy__redis_greeting greeting;
    enum amy__redis_multi multi; /* of this connection */
    struct amy_error no_multi;   /* why not */
    int64_t give_up_ms;          /* the attempt's end */
    uint64_t connections;        /* made in all */
    int64_t heard_ms;            /* the last byte */
    bool silent;  /* it owes an answer that is late: it gets nothing more */
    bool blocked; /* the kernel took not all; ready to write comes */
    bool broken;  /* as was logged */

    struct amy__redis_codec *codec;
    struct amy__buf in;
    struct amy__buf out;
    size_t out_at;    /* bytes of out that were written */
    uint64_t handed;  /* bytes of calls that out had since it is connected */
    uint64_t written; /* and those that the kernel took */

    struct amy__redis_queue queue;
    struct amy__timer *timer;
    int64_t timer_ms;    /* when it fires; INT64_MAX: it is not armed */
    int64_t deadline_ms; /* of the calls, at most */
    struct amy__defer *pump;
    char stage[400]; /* what kept the calls that are late */
    struct amy_error last;
    bool keep; /* the reply outlives its callback */
    struct amy_redis_reply *kept;
};

/* client.c: around everything that comes from the loop. false: in a child after
 * fork(), which has nothing to do here. leave() may free. */
bool amy__redis_enter(struct amy_redis *client);
void amy__redis_leave(struct amy_redis *client);
int64_t amy__redis_now(const struct amy_redis *client);
/* Never later than that. */
void amy__redis_wake(struct amy_redis *client, int64_t at_ms);
/* AMY_ESTATE: it must not be used here. */
int amy__redis_usable(const struct amy_redis *client, struct amy_error *err);

/* connect.c: one connection after the other. */
void amy__redis_connect(struct amy_redis *client);
/* It is lost. refused: trying again is no use. */
void amy__redis_down(struct amy_redis *client, const struct amy_error *why,
                     bool refused);
/* The same, where somebody's patience has ended. */
void amy__redis_hang_up(struct amy_redis *client);
/* Somebody waited in vain for the attempt that is under way. */
void amy__redis_late(struct amy_redis *client);
/* What is waited for, in words. */
const char *amy__redis_stage(const struct amy_redis *client);
/* Write what waits. */
void amy__redis_write(struct amy_redis *client);
/* What is an end of the connection for its calls. */
int amy__redis_loss(const struct amy_redis *client);

/* greet.c */
int amy__redis_greet(struct amy_redis *client, struct amy_error *err);
/* Of a server that refuses MULTI, the commands behind it would run one by one:
 * ask with none. To be called when nothing else is under way. */
int amy__redis_ask_multi(struct amy_redis *client, struct amy_error *err);
/* 1: all is said; 0: more is to come; AMY_E*, with *ret_refused. */
int amy__redis_greeted(struct amy_redis *client,
                       const struct amy_redis_reply *reply, bool *ret_refused,
                       struct amy_error *err);

/* tell.c */
/* What an error reply is as a code; 0: it is none. */
int amy__redis_code_of(const struct amy_redis_reply *reply);
/* A reply for the first call. */
void amy__redis_answer(struct amy_redis *client, struct amy_redis_reply *reply);
/* Tell all that have ended. */
void amy__redis_tell(struct amy_redis *client);

/* call.c */
struct amy__redis_want {
    size_t n; /* bytes */
    amy_redis_fn fn;
    void *user;
    uint32_t replies;
    uint32_t timeout_ms; /* 0: the client's */
    bool batch;
    bool atomic;
};
int amy__redis_call_create(struct amy_redis *client,
                           const struct amy__redis_want *want,
                           struct amy__redis_call **ret_call,
                           struct amy_error *err);
/* Its bytes are written: begin. Returns its id. */
uint64_t amy__redis_call_begin(struct amy_redis *client,
                               struct amy__redis_call *call);
/* As the public ones, whosever loop it is. */
int amy__redis_begin(struct amy_redis *client,
                     const struct amy_redis_command *command, amy_redis_fn fn,
                     void *user, uint64_t *ret_id, struct amy_error *err);
int amy__redis_begin_batch(struct amy_redis *client,
                           const struct amy_redis_batch *batch, amy_redis_fn fn,
                           void *user, uint64_t *ret_id, struct amy_error *err);
/* AMY_ESTATE: its loop is not ours, or not the caller's. */
int amy__redis_own_loop(const struct amy_redis *client, bool wanted,
                        struct amy_error *err);

#endif
