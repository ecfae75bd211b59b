/* What the files of the server share: its three structs and the calls between
 * them. Nothing outside serve/server*.c, connection.c, exchange*.c, tunnel.c,
 * output.c, linger.c, deadlines.c and listener.c includes it.
 *
 * The one rule that keeps this simple: the calls of a handler
 * (amy__exchange_...) only change state and encode bytes. Whatever calls back
 * or tears down runs from the loop: at the end of a read or write event, from
 * the tick, or from amy__server_turn() at the end of the loop's turn. */
#ifndef AMY_SERVE_INTERNAL_H
#define AMY_SERVE_INTERNAL_H

#include "core/buf.h"
#include "core/log.h"
#include "http/codec.h"
#include "http/date.h"
#include "serve/server.h"
#include "serve/slab.h"
#include "serve/spool.h"

#include <event2/event_struct.h>

#include <sys/queue.h>

struct amy__tls_conn;
struct amy__timer;
struct amy__defer;

#define AMY__READ_BYTES 65536U
/* Output is sent when this much is there: what fits one TLS record. */
#define AMY__SEND_BYTES 16384U
/* The rest of a body nobody wants is worth reading to keep the connection. */
#define AMY__SKIP_BYTES 65536U
#define AMY__ARENA_BYTES 2048U

/* One list of connections per kind of waiting: all of a list have the same
 * patience, so the oldest is first and a tick looks at heads only. */
enum amy__waiting {
    AMY__WAIT_HANDSHAKE,
    AMY__WAIT_FRESH, /* accepted, no byte yet */
    AMY__WAIT_HEAD,  /* a head began */
    AMY__WAIT_BODY,
    AMY__WAIT_SEND,
    AMY__WAIT_IDLE,
    AMY__WAIT_LINGER,
    AMY__WAIT_KINDS,
    AMY__WAIT_NOTHING = AMY__WAIT_KINDS, /* the handler works */
};

enum amy__phase {
    AMY__PHASE_HANDSHAKE,
    AMY__PHASE_OPEN,
    AMY__PHASE_LINGER,
    AMY__PHASE_CLOSED, /* no descriptor; kept while exchanges remain */
};

TAILQ_HEAD(amy__connections, amy__connection);
TAILQ_HEAD(amy__exchanges, amy__exchange);
LIST_HEAD(amy__listeners, amy__listener);

/* Bytes the kernel did not take yet, in the order they leave. */
struct amy__output {
    struct amy__block block; /* copied: block.p + off, len - off bytes */
    size_t off;
    size_t len;
    struct amy__span tail; /* borrowed, behind the block */
    int fd;                /* a file, behind the tail */
    uint64_t file_at;
    uint64_t file_left;
    bool armed; /* write_event is added */
};

struct amy__connection {
    TAILQ_ENTRY(amy__connection) waiting_link;
    TAILQ_ENTRY(amy__connection) ready_link;
    TAILQ_ENTRY(amy__connection) all_link;
    struct event read_event;
    struct event write_event;
    struct amy__server *server;
    struct amy__codec *codec; /* stays while this struct is on the free list */
    struct amy__tls_conn *tls;
    struct amy__address peer;
    uid_t uid; /* of a unix socket's peer, where the handler counts them */
    int fd;
    uint32_t tag;
    enum amy__phase phase;
    enum amy__waiting waiting;
    int64_t since_ms; /* of waiting */
    int64_t linger_ms;
    uint64_t lingered;      /* bytes thrown away while lingering */
    uint64_t body_max;      /* of the last request; 0: not told */
    uint64_t window_bytes;  /* of a body, since since_ms */
    int64_t first_byte_us;  /* of the head being read */
    struct amy__block held; /* bytes the codec has not consumed */
    size_t held_n;
    struct amy__output out;
    struct amy__exchanges active; /* not answered whole, or request not read */
    struct amy__exchanges finished; /* whole, output on its way: then on_done */
    uint32_t exchanges;             /* both lists and those set aside */
    uint16_t settled;               /* requests served */
    bool ready;                     /* on server->ready */
    bool reading;                   /* read_event is added */
    bool eof;                       /* the client closed its sending side */
    bool broken;                    /* tear down at the end of the turn */
    bool close_after;               /* no further request */
    bool must_linger;               /* unread bytes are or may be under way */
    bool stalled;                   /* held bytes wait for an answer's end */
    bool choked;                    /* too much of an unwanted body came */
    bool greeted;                   /* the first flight of TLS was answered */
    bool progressed;                /* output moved: patience begins anew */
    bool served_first;              /* a byte has come */
    bool held_back;                 /* the tunnel's other end is slow */
    bool unread;                    /* TLS has bytes that were not asked for */
};

struct amy__exchange {
    TAILQ_ENTRY(amy__exchange) link;
    struct amy__connection *conn; /* lives at least as long */
    amy__stream_id id;
    unsigned status;
    uint64_t sent;
    uint64_t body_max;
    uint64_t body_seen;
    struct amy__exchange_times times;
    struct amy__spool body;
    struct amy__block big; /* the head's bytes, when the arena is too small */
    bool request_whole;
    bool deciding; /* inside on_request */
    bool wants_body;
    bool continue_sent;
    bool begun;     /* the answer's head is encoded */
    bool answered;  /* the handler has said its last word */
    bool silenced;  /* nothing the handler says is sent any more */
    bool flushed;   /* the kernel has all of it */
    bool cut;       /* the answer will not be whole */
    bool complete;  /* all of it was taken by the kernel */
    bool no_body;   /* HEAD, 204, 304 */
    bool told_gone; /* on_gone was called */
    bool wants_room;
    bool tunnel;   /* 101 was sent: bytes go both ways */
    bool in_over;  /* the client says no more */
    bool out_over; /* the handler says no more */
    bool shut;     /* and the client was told */
    _Alignas(max_align_t) char room[AMY__EXCHANGE_ROOM];
    struct amy__request_head head;
    char arena[AMY__ARENA_BYTES];
};

struct amy__listener {
    LIST_ENTRY(amy__listener) link;
    struct event event;
    struct amy__server *server;
    struct amy__tls *tls;
    int fd;
    uint32_t tag;
};

struct amy__server {
    struct event_base *base;
    struct amy__server_handler handler;
    void *user;
    struct amy__server_limits limits;
    struct amy__spool_place spool;
    const struct amy_clock *clock;
    struct amy_log log;
    struct amy__log_limit log_limit;
    struct amy__timer *tick;
    struct amy__defer *turn;
    struct amy__listeners listeners;
    struct amy__connections waiting[AMY__WAIT_KINDS];
    struct amy__connections ready;
    struct amy__connections all;
    struct amy__slab connections;
    struct amy__connections spare; /* free list: each keeps its codec */
    uint32_t spares;
    struct amy__slab exchanges;
    struct amy__blocks blocks;
    struct amy__buf out; /* encoded, unsent bytes of `speaker` only */
    struct amy__connection *speaker;
    char *scratch; /* AMY__READ_BYTES; what was just read */
    int64_t now_us;
    int64_t date_s; /* of the cached Date */
    char date[AMY__DATE_SIZE];
    uint32_t handshakes_left;
    struct amy__server_figures figures;
    struct amy__connection *current; /* its read event runs: settled after */
    bool paused;                     /* not accepting: no descriptors */
    bool held;                       /* the same, because we are asked to */
    bool draining;
    bool unhurried; /* draining, and who is idle may ask once more */
    bool drained_told;
    void (*on_drained)(void *user);
    void *drained_user;
};

/* server.c */
int64_t amy__server_now(struct amy__server *server); /* reads the clock: us */
static inline int64_t
amy__server_now_ms(const struct amy__server *server)
{
    return server->now_us / 1000;
}
void amy__server_check_drained(struct amy__server *server);

/* listener.c */
void amy__listeners_pause(struct amy__server *server);
void amy__listeners_resume(struct amy__server *server);

/* connection.c */
void amy__connection_accept(struct amy__listener *listener, int fd,
                            const struct amy__address *peer, uid_t uid);
/* Have it looked at before the turn ends. */
void amy__connection_ready(struct amy__connection *conn);
/* Everything that follows from what changed: send, finish, go on reading, wait
 * or close. From the loop only; conn may be gone afterwards. */
void amy__connection_settle(struct amy__connection *conn);
/* Pass on from exchanges that are answered; true: the codec may go on. */
bool amy__connection_advance(struct amy__connection *conn);
/* How much of a body that nobody wants is thrown away. */
uint64_t amy__connection_skip_bytes(const struct amy__connection *conn);
void amy__connection_close(struct amy__connection *conn);
void amy__connection_on_readable(int fd, short what, void *user);

/* requests.c */
extern const struct amy__codec_events amy__server_events;
/* Feed bytes; what is not consumed is held. */
void amy__requests_feed(struct amy__connection *conn, struct amy__span data);
/* Answer a message that is no exchange (yet), then close. */
void amy__requests_refuse(struct amy__connection *conn, unsigned status,
                          const char *reason);

/* exchange.c */
struct amy__exchange *amy__exchange_start(struct amy__connection *conn,
                                          amy__stream_id id,
                                          const struct amy__request_head *head);
void amy__exchange_finish(struct amy__exchange *x); /* on_done, and back */
/* The head and body of a refusal of ours: plain text, for nobody chose it. */
#define AMY__REFUSAL_TEXT 128
struct amy__span amy__refusal(unsigned status, struct amy__answer_head *head,
                              char text[AMY__REFUSAL_TEXT]);
/* Answer with a status of ours (unless the answer began) and tell the handler
 * that the client is lost to it. */
void amy__exchange_refuse(struct amy__exchange *x, unsigned status,
                          const char *reason);
void amy__exchange_tell_gone(struct amy__exchange *x);
/* The handler's last word: it ends when the kernel has all. */
void amy__exchange_answered(struct amy__exchange *x);
int amy__exchange_encode_head(struct amy__exchange *x,
                              struct amy__answer_head *head, bool end);
/* The answer's head gets Date and a verdict on keeping the connection. */
void amy__exchange_dress(struct amy__server *server,
                         struct amy__answer_head *head, bool keep_alive);

/* tunnel.c */
void amy__tunnel_take(struct amy__exchange *x, struct amy__span data);
void amy__tunnel_over(struct amy__exchange *x); /* the client says no more */
void amy__tunnel_end(struct amy__exchange *x);  /* we say no more */
/* When the output is out: the client is told that no more comes. */
void amy__tunnel_settle(struct amy__exchange *x);

/* output.c */
/* The buffer to encode into for this connection. */
struct amy__buf *amy__output_open(struct amy__connection *conn);
/* Send what is encoded, and `more` behind it; keep what the kernel leaves
 * (shared: by reference). */
void amy__output_push(struct amy__connection *conn, struct amy__span more,
                      bool shared);
void amy__output_push_file(struct amy__connection *conn, int fd,
                           uint64_t offset, uint64_t n);
bool amy__output_pending(const struct amy__connection *conn);
void amy__output_clear(struct amy__connection *conn);
void amy__output_on_writable(int fd, short what, void *user);

/* linger.c */
void amy__linger_start(struct amy__connection *conn);
void amy__linger_read(struct amy__connection *conn);

/* deadlines.c */
void amy__waiting_set(struct amy__connection *conn, enum amy__waiting kind,
                      bool anew);
void amy__waiting_on_tick(void *user);
int64_t amy__waiting_period_ms(const struct amy__server_limits *limits);
/* Close the oldest idle connection; false: there is none. */
bool amy__waiting_shed(struct amy__server *server);

#endif
