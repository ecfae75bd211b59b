/* Exchanges over accepted connections: what the web front and the control
 * socket share. The unit is the exchange (one request and its answer), never
 * the connection. One thread, one event base; nothing blocks. */
#ifndef AMY_SERVE_SERVER_H
#define AMY_SERVE_SERVER_H

#include <amy/clock.h>
#include <amy/error.h>
#include <amy/log.h>

#include "http/message.h"
#include "net/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct event_base;
struct amy__server;
struct amy__exchange;
struct amy__tls; /* net/tls.h: contexts by SNI name */

/* Zero means the default in brackets. */
struct amy__server_limits {
    uint64_t body_bytes;        /* [20 MiB] unless set per exchange; 413 */
    uint32_t body_memory_bytes; /* [64 KiB] then an unlinked file */
    uint32_t head_timeout_ms;   /* [10 s] 408 */
    uint32_t keepalive_ms;      /* [75 s] idle between requests */
    uint32_t handshake_ms;      /* [10 s] */
    uint32_t send_timeout_ms;   /* [60 s] without any progress */
    uint32_t body_rate;         /* [500 B/s] after 5 s of grace; 408 */
    uint32_t connections;       /* [descriptor limit less a reserve]; idle ones
                                   are shed first */
    uint32_t linger_ms;         /* [30 s] whole lingering close; 5 s silence */
    uint32_t handshakes_per_turn; /* [8] full TLS handshakes */
};

/* What happened to an exchange, for the access log. Times: monotonic us. */
struct amy__exchange_times {
    int64_t start_us; /* first byte of the head seen */
    int64_t head_us;  /* head complete */
    int64_t body_us;  /* body complete, or 0 */
    int64_t first_us; /* first byte of the answer handed to the kernel, or 0 */
    int64_t end_us;   /* last one */
};

/* Who connects to a unix socket. */
struct amy__server_peer {
    uid_t uid;
    gid_t gid;
    uint32_t open;         /* connections, of everybody */
    uint32_t open_of_user; /* those of the same uid */
};

struct amy__server_handler {
    /* May this peer have one more connection? Who may not reads 503 and the
     * end. Never called for TCP. NULL: all may, up to limits.connections. */
    bool (*on_peer)(const struct amy__server_peer *peer, void *user);
    /* The head is complete; spans of head live until on_done (the exchange
     * keeps a copy in its arena). Called on the loop. The handler must, now or
     * later, call exactly one of amy__exchange_reply / _begin ... _end /
     * _abort. If it wants the body it calls amy__exchange_want_body() from
     * here; else what arrives is discarded (lingering close where the rest is
     * too long).
     */
    void (*on_request)(struct amy__exchange *x,
                       const struct amy__request_head *head, void *user);
    /* The wanted body is whole (spooled). */
    void (*on_body)(struct amy__exchange *x, void *user);
    /* Room again after amy__exchange_send() said AMY_EAGAIN, or nobody is
     * there any more to make some: the rest goes nowhere. */
    void (*on_room)(struct amy__exchange *x, void *user);
    /* The client left (or broke a limit: a status was sent for us) before the
     * answer was whole; at most once. The handler still ends the exchange with
     * _reply, _end or _abort, now or later, and on_done follows: a client that
     * only closed its sending side still gets an answer, else its bytes go
     * nowhere. Whoever only waits in a queue calls _abort from here. */
    void (*on_gone)(struct amy__exchange *x, void *user);
    /* After amy__exchange_upgrade(): what the client says, and that it will say
     * no more. May be NULL for a handler that never upgrades. */
    void (*on_tunnel)(struct amy__exchange *x, struct amy__span data,
                      void *user);
    void (*on_tunnel_end)(struct amy__exchange *x, void *user);
    /* An answer's head, also one of the server's own, is about to be written:
     * fields may still change. What they point at lives until this returns, and
     * once more into the handler. May be NULL. */
    void (*on_answer)(struct amy__exchange *x, struct amy__answer_head *head,
                      void *user);
    /* Exactly once per on_request; last touch; log here. */
    void (*on_done)(struct amy__exchange *x, void *user);
    /* A request refused before there was an exchange to hand out (400, 408,
     * 414, 431, 501, 505): for the error log and counters. May be NULL. */
    void (*on_refused)(const struct amy__address *peer, unsigned status,
                       const char *reason, void *user);
};

struct amy__server_options {
    struct event_base *base;
    const struct amy__server_handler *borrow_handler;
    void *user;
    struct amy__server_limits limits;
    int borrow_spool_dir_fd; /* O_TMPFILE there; -1: memory only, 413 past it */
    const struct amy_clock *borrow_clock;
    const struct amy_log *log;
};

int amy__server_create(const struct amy__server_options *opts,
                       struct amy__server **ret_server, struct amy_error *err);
/* Closes everything and ends every exchange (on_gone, on_done). Not from inside
 * a handler's callback, but from on_drained. */
void amy__server_free(struct amy__server *server);

/* Accept from a listening socket (taken over; closed at free or
 * unlisten). tls NULL: plain. tag comes back from amy__exchange_tag(). */
int amy__server_listen(struct amy__server *server, int listen_fd,
                       struct amy__tls *tls, uint32_t tag,
                       struct amy_error *err);
void amy__server_unlisten(struct amy__server *server, int listen_fd);
/* hold: take no new connections, who comes waits in the kernel's queue; until
 * it is called without. True when nobody is being answered, nor about to ask.
 */
bool amy__server_hush(struct amy__server *server, bool hold);
/* A reload: limits for exchanges that begin from now on. */
void amy__server_set_limits(struct amy__server *server,
                            const struct amy__server_limits *limits);
/* Stop accepting, close idle connections, answer what is under way with
 * Connection: close; on_drained once nothing is left. */
void amy__server_drain(struct amy__server *server,
                       void (*on_drained)(void *user), void *user);

/* The same, but others accept in our place already: an idle connection stays
 * until its client has asked once more, or was silent for as long as it may be,
 * so that no request meets a connection that is being closed. A drain after it
 * hurries. */
void amy__server_leave(struct amy__server *server,
                       void (*on_drained)(void *user), void *user);

struct amy__server_figures {
    uint64_t accepted;
    uint64_t requests;
    uint64_t refused; /* 4xx before an exchange */
    uint64_t shed;    /* idle connections closed for want of descriptors */
    uint64_t handshakes;
    uint64_t handshake_failures;
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint32_t open; /* connections */
    uint32_t idle;
    uint32_t exchanges; /* under way */
    uint32_t tunnels;   /* of these, those that changed protocols */
};
void amy__server_figures(const struct amy__server *server,
                         struct amy__server_figures *ret);

/* ---- one exchange ---- */

/* Free for the handler; NULL at first. A room for per-request state that is
 * zeroed and lives in the exchange (no allocation): at least 512 bytes. */
void *amy__exchange_room(struct amy__exchange *x);
#define AMY__EXCHANGE_ROOM 512
const struct amy__request_head *
amy__exchange_head(const struct amy__exchange *x);
uint32_t amy__exchange_tag(const struct amy__exchange *x);
const struct amy__address *amy__exchange_peer(const struct amy__exchange *x);
/* Peer of a unix socket (SO_PEERCRED); false for TCP. */
bool amy__exchange_credentials(const struct amy__exchange *x, uid_t *ret_uid,
                               gid_t *ret_gid, pid_t *ret_pid);
bool amy__exchange_is_tls(const struct amy__exchange *x);
/* SNI name, lower-cased; "" when none. */
struct amy__span amy__exchange_sni(const struct amy__exchange *x);
const struct amy__exchange_times *
amy__exchange_times(const struct amy__exchange *x);
unsigned amy__exchange_status(const struct amy__exchange *x); /* 0: none sent */
uint64_t amy__exchange_sent(const struct amy__exchange *x);   /* body bytes */
/* false: the answer was cut (client gone, abort, upstream ended early). */
bool amy__exchange_complete(const struct amy__exchange *x);

/* From on_request: a body of this size would be all right here. It is read to
 * its end then also when nobody wants it, so that the answer arrives. */
void amy__exchange_limit_body(struct amy__exchange *x, uint64_t max_bytes);
/* From on_request: spool the body, then on_body. max_bytes 0: the server's.
 * A Content-Length past it is answered 413 before any 100 Continue: returns
 * AMY_ELIMIT and the 413 is the caller's to send. Sends 100 Continue when the
 * client waits for it. */
int amy__exchange_want_body(struct amy__exchange *x, uint64_t max_bytes);
/* The spooled body: n bytes in memory at p (fd -1), or in the unlinked file fd
 * from offset 0. Valid until on_done. */
struct amy__body {
    const char *p;
    uint64_t n;
    int fd;
};
void amy__exchange_body(const struct amy__exchange *x, struct amy__body *ret);

/* Whole answer at once: head and body in one write. Date is added unless it is
 * there; the codec writes Connection and the framing; head->body and
 * content_length are set from n. A HEAD request gets no body. Body bytes are
 * copied where they cannot be sent at once, unless shared_body (they outlive
 * the server: constants, mapped pages the caller keeps until on_done). */
void amy__exchange_reply(struct amy__exchange *x, struct amy__answer_head *head,
                         struct amy__span body, bool shared_body);
/* Streamed: begin with head->body saying how, then send, then end. send takes
 * all the bytes it is given and returns 0, AMY_EAGAIN when the client is
 * slower than us (hold more until on_room), or AMY_ECONN when nobody is there
 * any more: the bytes went nowhere. Written bytes leave at the end of the
 * loop's turn, or when 16 KiB are there. */
int amy__exchange_begin(struct amy__exchange *x, struct amy__answer_head *head);
int amy__exchange_send(struct amy__exchange *x, struct amy__span data);
/* n bytes of a file from offset on (sendfile(2) where plain), as
 * amy__exchange_send: after AMY_EAGAIN nothing may follow until on_room. fd is
 * taken over. A file that shrank cuts the connection. */
int amy__exchange_pass_file(struct amy__exchange *x, int fd, uint64_t offset,
                            uint64_t n);
/* The same, and the end of the answer. */
void amy__exchange_send_file(struct amy__exchange *x, int fd, uint64_t offset,
                             uint64_t n);
/* In a tunnel: we say no more; it is over when the client says no more either.
 */
void amy__exchange_end(struct amy__exchange *x);
/* The answer cannot be finished: close (h1) or reset (h2), never a clean end.
 */
void amy__exchange_abort(struct amy__exchange *x);
/* Answer 101 to a request that asked for it (head->upgrade_websocket): from now
 * on the exchange is a tunnel. What the client sent too early was held until
 * now. Goes on with on_tunnel, send, on_room, end; on_gone and abort are as
 * ever. Nobody watches that something is said at all: that is the caller's.
 * 0, AMY_ECONN (the client says or reads no more: abort), or as begin. */
int amy__exchange_upgrade(struct amy__exchange *x,
                          struct amy__answer_head *head);
/* In a tunnel: we neither say nor hear any more. What was sent still leaves,
 * and the client is not made to see a reset for what it says meanwhile. Ends
 * the exchange. */
void amy__exchange_part(struct amy__exchange *x);
/* Back-pressure: no on_tunnel until false. What was read already still comes,
 * at most 64 KiB. */
void amy__exchange_hold(struct amy__exchange *x, bool hold);
/* Forbid further requests on this connection after the answer. */
void amy__exchange_close_after(struct amy__exchange *x);

#endif
