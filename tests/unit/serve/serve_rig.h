/* A server with a scripted handler on a real event base, and raw clients. */
#ifndef SERVE_RIG_H
#define SERVE_RIG_H

#include "serve/server.h"

#include <stdbool.h>
#include <stddef.h>

struct event_base;

/* What the handler does with a request depends on its path: see serve_rig.c. */
struct rig {
    struct event_base *base;
    struct amy__server *server;
    char *unix_path;
    int listen_fd;
    int spool_fd;
    unsigned requests;
    unsigned bodies;
    unsigned gone;
    unsigned done;
    unsigned complete;
    unsigned refused;
    unsigned last_refused;
    unsigned last_status;
    bool drained;
    uint64_t last_body;
    bool last_body_in_file;
    struct amy__exchange *waiting;   /* of "/wait": answered by the test */
    struct amy__exchange *streaming; /* of "/stream/N" and "/chunks/N" */
    uint64_t stream_left;
    /* A request that asks for it is upgraded ("/wait": by the test), and what
     * comes is sent back. */
    struct amy__exchange *tunnel;
    uint64_t tunnel_bytes;
    unsigned tunnel_ends;
    bool tunnel_silent; /* nothing is sent back */
    bool tunnel_holds;  /* no more is read after the first bytes */
    bool tunnel_stays;  /* the client's end is not answered with ours */
};

void rig_start(struct rig *rig, const struct amy__server_limits *limits);
void rig_start_with_clock(struct rig *rig,
                          const struct amy__server_limits *limits,
                          const struct amy_clock *borrow_clock);
void rig_start_without_spool(struct rig *rig,
                             const struct amy__server_limits *limits);
void rig_stop(struct rig *rig);
/* One turn of the loop, at most 5 ms long. */
void rig_turn(struct rig *rig);
int64_t rig_now_ms(void);
/* Run the loop until condition holds; fails the test after 10 s. */
#define RIG_UNTIL(rig, condition)                                              \
    do {                                                                       \
        int64_t rig_end = rig_now_ms() + 10000;                                \
        while (!(condition)) {                                                 \
            assert_true(rig_now_ms() < rig_end);                               \
            rig_turn(rig);                                                     \
        }                                                                      \
    } while (0)

int rig_upgrade(struct rig *rig, struct amy__exchange *x);
void rig_reply(struct amy__exchange *x, unsigned status, const char *body);

/* A raw client: what it has received so far, and whether the server closed. */
struct rig_client {
    int fd;
    char *data;
    size_t n;
    size_t cap;
    bool closed;
    bool reset;
};
void rig_client_open(struct rig *rig, struct rig_client *client);
void rig_client_close(struct rig_client *client);
void rig_client_send(struct rig_client *client, const char *text);
void rig_client_poll(struct rig_client *client); /* read what is there */
bool rig_client_has(struct rig_client *client, const char *text);
size_t rig_client_count(struct rig_client *client, const char *text);
bool rig_client_closed(struct rig_client *client);

#endif
