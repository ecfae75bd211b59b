/* Exchanges toward one HTTP/1.1 server on a unix or TCP socket: a worker, a
 * probe, the control socket. Keeps idle connections; retries as RFC 9112 9.3.1
 * allows and the caller cannot (a kept connection that died unused). */
#ifndef AMY_SERVE_CLIENT_H
#define AMY_SERVE_CLIENT_H

#include <amy/clock.h>
#include <amy/error.h>

#include "http/message.h"
#include "serve/server.h"

#include <stdint.h>

struct event_base;
struct amy__client; /* one address, many calls */
struct amy__call;   /* one exchange toward it */

enum amy__call_failure {
    AMY__CALL_CONNECT = 1, /* nobody listens, socket gone; or it died before it
                              read anything: any method may go elsewhere */
    AMY__CALL_BUSY,        /* the listener's backlog is full (EAGAIN) */
    AMY__CALL_TIMEOUT,     /* no answer in time */
    AMY__CALL_CLOSED,      /* ended before a whole head came: 502 */
    AMY__CALL_BAD,         /* malformed answer: 502 */
    AMY__CALL_CUT,         /* the body ended early: cut the client too */
};

struct amy__call_handler {
    /* Final answer (1xx are swallowed, but 101 to one who asked); spans valid
     * during the call. */
    void (*on_answer)(struct amy__call *call,
                      const struct amy__answer_head *head, void *user);
    void (*on_data)(struct amy__call *call, struct amy__span data, void *user);
    /* After 101 only (else may be NULL): the server says no more; and room
     * again after amy__call_send() said AMY_EAGAIN. */
    void (*on_half)(struct amy__call *call, void *user);
    void (*on_room)(struct amy__call *call, void *user);
    /* Exactly one of these two, last; the call is gone afterwards. A tunnel
     * ends when both sides have said all, or the server has and is not there
     * any more to hear us. */
    void (*on_end)(struct amy__call *call, void *user);
    void (*on_fail)(struct amy__call *call, enum amy__call_failure failure,
                    const char *reason, void *user);
};

struct amy__client_options {
    struct event_base *base;
    /* A unix socket beneath a directory descriptor (connected through
     * /proc/self/fd, so long names fit), or, with unix_name NULL, address. */
    int borrow_dir_fd;
    const char *unix_name;
    struct amy__address address;
    uint32_t idle_max;         /* kept connections [64] */
    uint32_t idle_ms;          /* [30 s] */
    uint32_t answer_bytes_max; /* head [64 KiB] */
    const struct amy_clock *borrow_clock;
};

int amy__client_create(const struct amy__client_options *opts,
                       struct amy__client **ret_client, struct amy_error *err);
/* Calls under way go on and end as usual; idle connections close now. */
void amy__client_free(struct amy__client *client);

/* Send a request with a spooled body (NULL: none); head is read during the call
 * and borrowed spans of body live until the call ends. Callbacks come from the
 * loop, never from inside start. timeout_ms: silence of the server while we
 * wait for it (from the last progress), 0: 60 s. */
int amy__call_start(struct amy__client *client,
                    const struct amy__request_head *head,
                    const struct amy__body *body, uint32_t timeout_ms,
                    const struct amy__call_handler *borrow_handler, void *user,
                    struct amy__call **ret_call, struct amy_error *err);
/* After 101: on to the server, as it is. All of it is taken; AMY_EAGAIN: give
 * no more until on_room. What a server does not take that has gone away is
 * lost: that it has is told by on_end or on_fail. */
int amy__call_send(struct amy__call *call, struct amy__span data);
/* After 101: we say no more, once what was taken is sent. */
void amy__call_finish(struct amy__call *call);
/* Back-pressure: stop and go on reading the answer. */
void amy__call_pause(struct amy__call *call);
void amy__call_resume(struct amy__call *call);
/* A server has the connection; one that is far away may take its time. */
bool amy__call_connected(const struct amy__call *call);
/* The kernel has all of the request: its body is not needed any more, unless
 * the call is tried again; a detached one never is. */
bool amy__call_sent(const struct amy__call *call);
/* Nobody wants the answer any more. detach: keep reading and discarding,
 * without a timeout, until the server is done with it, then on_end or on_fail
 * (the slot stays taken till then); hang_up: the same, but a server that goes
 * on writing is told that nobody reads (an answer may have no end);
 * cancel: the connection closes now, no callback comes.
 */
void amy__call_detach(struct amy__call *call);
void amy__call_hang_up(struct amy__call *call);
void amy__call_cancel(struct amy__call *call);

#endif
