/* A stage for a front process: a made-up master at the other end of its
 * channel, one site's directory, and workers that are scripted. All in one
 * loop. */
#ifndef STAGE_H
#define STAGE_H

#include "front/accesslog.h"
#include "front/process.h"
#include "front/slots.h"
#include "front/wire.h"
#include "gate/word.h"
#include "serve/server.h"

#include <event2/event.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct amy__wire;
struct stage;

#define STAGE_SITE "example.org"

/* A worker: answers by the request's path (stage.c, "what a worker does"). */
struct stage_worker {
    struct stage *stage;
    struct amy__server *server;
    int listen_fd;
    char name[32];
    uint64_t incarnation;
    struct amy__exchange *held; /* of /hold */
    unsigned requests;
    char head[16384]; /* of the last request, "name: value\n" each */
    size_t body_n;
};

struct stage {
    struct event_base *base;
    int64_t turned_ms; /* of the real clock, at the last turn */
    struct amy__front *process;
    struct amy__wire *wire;
    char dir[64];
    int dir_fd;
    int run_fd;
    int channel[2];
    int words_fd;
    struct amy__gate_words *words;
    int slots_fd;
    int locks_fd;
    struct amy__site_locks *locks; /* made for the sites that there are */
    struct amy__slots *slots;
    void *slots_memory;
    int event_fd;
    uint16_t port;
    /* Set before stage_bundle(): PEM of the site's certificates, and a second
     * site, "other.org", with its own. */
    const char *chain;
    const char *key;
    const char *second_chain;
    const char *second_key;
    const char *other_chain;
    const char *other_key;
    bool finished;
    int finished_rc;
    unsigned acks;
    char refusal[256]; /* reason of the last REFUSE */
    char ack[2048];    /* the last ACK or FIGURES, JSON */
    uint64_t bundles;
    uint64_t incarnations;
    uint64_t serials;
};

void stage_open(struct stage *s);
void stage_close(struct stage *s);
/* Run the loop until *flag; fails the test after 10 s. */
/* One turn of the loop; link with `loop`, the fake one. */
void stage_turn(struct stage *s);
/* So much time passes at once. */
void stage_skip(struct stage *s, int64_t ms);
void stage_until(struct stage *s, const bool *flag);
/* Run the loop until fn says so. */
void stage_wait(struct stage *s, bool (*fn)(struct stage *s));
/* Put a file beneath the site's directory. */
void stage_file(struct stage *s, const char *path, const char *text);
/* Read one whole file of it; "" when it is not there. */
void stage_read(struct stage *s, const char *path, char *buf, size_t size);
/* PREPARE, and COMMIT when it was not refused; true: in use. yaml: lines after
 * "site:" and "user:". */
bool stage_bundle(struct stage *s, const char *yaml);
void stage_serve(struct stage *s); /* LISTENERS; over TLS when chain is set */
void stage_worker_open(struct stage *s, struct stage_worker *w, uint32_t slot,
                       uint32_t slots);
void stage_worker_announce(struct stage *s, struct stage_worker *w,
                           uint32_t slot, uint32_t slots);
int stage_listen(struct stage *s, const struct stage_worker *w);
void stage_worker_close(struct stage_worker *w); /* dies, unannounced */
void stage_worker_gone(struct stage *s, struct stage_worker *w); /* DEL */
void stage_gate(struct stage *s, const char *page); /* NULL: open */
/* LOG: access.log is this file beneath the site's directory from now on. */
void stage_log(struct stage *s, const char *path, int64_t serial);
/* So much time passes, and then it says something: into s->ack. */
void stage_hear(struct stage *s, int64_t ms);
/* Its answer comes into s->ack. */
void stage_question(struct stage *s, enum amy__wire_type type,
                    const struct amy__json *json);
void stage_figures(struct stage *s); /* into s->ack */

/* A client's connection. */
struct stage_client {
    struct stage *stage;
    int fd;
    char got[1 << 20];
    size_t n;
    bool eof;
    bool stopped; /* does not read */
};
void stage_connect(struct stage *s, struct stage_client *c);
void stage_disconnect(struct stage_client *c);
void stage_send(struct stage_client *c, const char *text);
void stage_send_bytes(struct stage_client *c, const void *p, size_t n);
/* Read until one whole answer is there; takes it off what was got. Returns its
 * status; text (may be NULL) gets head and body. */
unsigned stage_answer(struct stage_client *c, bool head_only, char *text,
                      size_t size);
/* Read until the other end closes. */
void stage_eof(struct stage_client *c);
/* Connect, send, answer, disconnect. */
unsigned stage_ask(struct stage *s, const char *request, char *text,
                   size_t size);

#endif
