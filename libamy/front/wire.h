/* What passes between amy-front's master and its front processes, over the
 * pool's SOCK_SEQPACKET channel. Each message: this header, then JSON (UTF-8,
 * at most 64 KiB; larger things go as sealed memfds), descriptors by
 * SCM_RIGHTS. Both ends know version N and N-1. */
#ifndef AMY_FRONT_WIRE_H
#define AMY_FRONT_WIRE_H

#include <amy/error.h>

#include "core/json.h"

#include <stdint.h>

#define AMY__WIRE_MAGIC 0x796d6131U /* "1amy" */
#define AMY__WIRE_VERSION 1
#define AMY__WIRE_FDS_MAX 250

enum amy__wire_type {
    /* master -> process */
    AMY__WIRE_FDS = 1, /* descriptors for the message that follows */
    /* {bundle, index, processes,
     *  settings: {trusted: ["10.0.0.0/8"...], connections, https_port,
     *             spool_fd},
     *  listeners: [{fd, tls, tag}], words_fd, slots_fd, events: [fd...],
     *  ticket_keys_fd,
     *  sites: [{name, index, yaml_fd, chain_fd, key_fd, dir_fd, run_fd,
     *           access_fd, error_fd, page_fd, serial, down_fd}]}
     * "fd" numbers count the descriptors received since the last message other
     * than FDS; a key that is missing or -1: none. Answered by ACK or REFUSE
     * within 5 s.
     *  index (of the process): its number in slot words and its place in
     *      events, which are the processes' eventfds in order.
     *  words_fd: memfd of 64-bit words, one per site by its index: 0 open, else
     *      the serial of the page to show; mapped read-only, kept for life.
     *  slots_fd: memfd of amy__slots_bytes(), mapped writable.
     *  https_port: where redirects go; 0: 443.
     *  tag (of a listener): the port it is known by (X-Forwarded-Port).
     *  page_fd, serial: what PAGE would say, for a new process.
     * words_fd, slots_fd, events and listeners come once, in the first bundle
     * of a process' life. */
    AMY__WIRE_PREPARE = 2,
    AMY__WIRE_COMMIT = 3,  /* {bundle} */
    AMY__WIRE_ABANDON = 4, /* {bundle} */
    /* {site: "example.org", page_fd, serial}: the page to show while its word
     * is serial. Answered by ACK; only then is the word flipped. */
    AMY__WIRE_PAGE = 5,
    /* {site: "example.org", pool: "web", pool_index, slot, slots, generation,
     *  position, incarnation, name: "web/1.0"}
     *  name: the socket, beneath the site's run_fd; slot: first word of slots;
     *  pool_index: of the waiting words; incarnation: unique in the master's
     *  life, 48 bits. Sites stay the same: sent after COMMIT to a new process,
     *  never again because of a later bundle. */
    AMY__WIRE_WORKER_ADD = 6,
    AMY__WIRE_WORKER_DEL = 7, /* {site, pool, incarnation} */
    AMY__WIRE_DRAIN = 8,      /* finish and exit */
    AMY__WIRE_STATUS = 9,     /* {ask}: answered by FIGURES */
    AMY__WIRE_LISTENERS = 10, /* {listeners:[...]}: serve these too (adopted
                                 from a dead process) */
    /* process -> master */
    AMY__WIRE_ACK = 32,    /* {bundle} or {site, page: serial} */
    AMY__WIRE_REFUSE = 33, /* {bundle, reason} */
    /* {ask, connections, idle, requests, refused, shed, bytes_in, bytes_out,
     *  sites: [{name, requests, s2xx, s3xx, s4xx, s5xx, lines_lost,
     *           pools: [{name, waiting, oldest_ms}]}]} */
    AMY__WIRE_FIGURES = 34,
};

struct amy__wire_header {
    uint32_t magic;
    uint16_t version;
    uint16_t type;
    uint32_t size; /* of the JSON behind it */
    uint32_t fds;  /* sent with this packet */
};

struct amy__wire_message {
    enum amy__wire_type type;
    struct amy__json *json; /* owned by whoever received it */
    int fds[AMY__WIRE_FDS_MAX];
    size_t fd_count;
};

/* Send without blocking; the master queues on AMY_EAGAIN. json is borrowed. */
int amy__wire_send(int fd, enum amy__wire_type type,
                   const struct amy__json *json, const int *fds, size_t count,
                   struct amy_error *err);
/* 1 one message, 0 nothing there, AMY_ECONN the other end is gone, AMY_EPROTO
 * (magic, version, size). Received descriptors are close-on-exec. */
int amy__wire_receive(int fd, struct amy__wire_message *ret,
                      struct amy_error *err);
void amy__wire_clear(struct amy__wire_message *message);

#endif
