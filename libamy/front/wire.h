/* What passes between amy-front's master and its front processes, over the
 * pool's SOCK_SEQPACKET channel. Each packet: a header, then JSON (at most
 * 64 KiB; larger things go as sealed memfds), descriptors by SCM_RIGHTS. What
 * has more descriptors than a packet may carry is preceded by FDS packets; the
 * receiver sees one message with all of them.
 *
 * Both ends may be of releases N and N-1. The version in a header is the oldest
 * one whose reader serves; a member that is not known is passed over, and so is
 * a message of a type that is not known: whoever sends a new one does not rely
 * on it, and a question of a new type counts as not answered. */
#ifndef AMY_FRONT_WIRE_H
#define AMY_FRONT_WIRE_H

#include <amy/error.h>

#include "core/json.h"
#include "core/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;

#define AMY__WIRE_MAGIC 0x796d6131U /* "1amy" */
#define AMY__WIRE_VERSION 1
#define AMY__WIRE_FDS_MAX 250    /* of one packet; the kernel's limit is 253 */
#define AMY__WIRE_FDS_TOTAL 8192 /* of one message */
#define AMY__WIRE_JSON_MAX ((size_t)64 * 1024)
#define AMY__WIRE_QUEUE_MAX 1024 /* packets that wait for a slow receiver */

/* A key whose name ends in "_fd" holds the place of a descriptor among those of
 * its message, from 0; -1 or missing: none.
 *
 * Order on the channel is order of meaning. A process' life: PREPARE, ACK,
 * COMMIT, ACK; then one WORKER_ADD for each worker that lives, and LISTENERS:
 * its sockets come last. */
enum amy__wire_type {
    /* ---- master -> process ---- */

    AMY__WIRE_FDS = 1, /* never seen by a handler */
    /* {bundle, index, processes, body_fd}: get everything ready that
     * amy__bundle_receive() unpacks from it; touch nothing that is served.
     * index is the process' own number in slot words and events. ACK {bundle,
     * phase: "prepared"} or REFUSE {bundle, reason} within 5 s. */
    AMY__WIRE_PREPARE = 2,
    /* {bundle}: serve it from now on. ACK {bundle, phase: "committed"}. */
    AMY__WIRE_COMMIT = 3,
    AMY__WIRE_ABANDON = 4, /* {bundle}: forget it; no answer */
    /* {site, serial, page_fd}: show this while the site's word is serial. ACK
     * {site, page: serial}; only then is the word flipped. Pages belong to the
     * process and not to a bundle: one may come between PREPARE and COMMIT. A
     * word that a process has no page for means the built-in page. */
    AMY__WIRE_PAGE = 5,
    /* {site: "example.org", pool: "web", pool_index, slot, slots, generation,
     *  position, incarnation, name: "web/1.0"}
     *  name: the socket, beneath the site's run_fd; slot: first word of slots;
     *  pool_index: of the waiting words; incarnation: unique in the master's
     *  life, 48 bits. After the COMMIT of a process' first bundle once for each
     *  living worker, never again because of a later bundle. */
    AMY__WIRE_WORKER_ADD = 6,
    AMY__WIRE_WORKER_DEL = 7, /* {site, pool, incarnation} */
    /* {patience_ms}: finish and exit, as SIGTERM; with a patience others serve
     * already, and requests and tunnels may take so long. Without one it
     * shortens what an earlier one gave. */
    AMY__WIRE_DRAIN = 8,
    AMY__WIRE_STATUS = 9, /* {ask}: answered by FIGURES */
    /* {add: [{id, socket_fd, tls, port}], drop: [id]}: accept on these too, and
     * no longer on those (another process does). port: what it is known by
     * (X-Forwarded-Port). */
    AMY__WIRE_LISTENERS = 10,
    AMY__WIRE_TICKETS = 11, /* {keys_fd}: 48 bytes each, newest first */
    /* {ask, targets: [{name, type, fingerprint}]}: connect to what the process
     * listens on, as a client would, and compare the certificate that is shown.
     * type: enum amy__tls_type. Answered by PROBED. */
    AMY__WIRE_PROBE = 12,
    /* {site, log: "access.log", serial, log_fd}: write there from now on. ACK
     * {site, log, serial}, when nothing more goes to the file before it. As
     * with pages: one may come between PREPARE and COMMIT, and then the bundle
     * has an older one. */
    AMY__WIRE_LOG = 13,
    /* {ask, verdict: "right", "wrong" or "none"}: of a CHECK; none: it could
     * not be checked. Also what a checker answers to the master. */
    AMY__WIRE_CHECKED = 14,

    /* {words_fd}: look at the gates' words there from now on. A master that
     * took over cannot write to those of the one before. */
    AMY__WIRE_WORDS = 15,

    /* ---- process -> master ---- */

    AMY__WIRE_ACK = 32,
    AMY__WIRE_REFUSE = 33, /* {bundle, reason} */
    /* {ask, connections, idle, requests, refused, shed, bytes_in, bytes_out,
     *  sites: [{name, requests, s2xx, s3xx, s4xx, s5xx, lines_lost,
     *           pools: [{name, waiting, oldest_ms}]}]} */
    AMY__WIRE_FIGURES = 34,
    /* {ask, wrong: [{target, why}]}: target counts from 0 */
    AMY__WIRE_PROBED = 35,
    /* {site}: in the last second its logs found no room (ENOSPC, EDQUOT) */
    AMY__WIRE_LOG_FULL = 36,
    /* {ask, hash, secret: its bytes as digits}: is this the password of that
     * hash? Passed on to the checker, which is a process that was sent no
     * bundle. Answered by CHECKED. */
    AMY__WIRE_CHECK = 37,
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
    struct amy__json *json; /* an object */
    int *fds;               /* close-on-exec */
    size_t fd_count;
};

/* The descriptor that json's key (…_fd) names, or -1. Taken: the caller's to
 * close from now on, and not had twice. Those nobody took are closed when the
 * handler returns. */
int amy__wire_take_fd(struct amy__wire_message *message,
                      const struct amy__json *object, const char *key);

struct amy__wire;
struct amy__wire_handler {
    /* One whole message. May free the wire. */
    void (*on_message)(struct amy__wire *wire,
                       struct amy__wire_message *message, void *user);
    /* The other end is gone (AMY_ECONN), or what came is not ours (AMY_EPROTO):
     * the last call. May free the wire. */
    void (*on_gone)(struct amy__wire *wire, const struct amy_error *why,
                    void *user);
};

/* One end of a channel. The descriptor stays the caller's and must outlive the
 * wire. */
int amy__wire_create(struct event_base *base, int borrow_fd,
                     const struct amy__wire_handler *borrow_handler, void *user,
                     struct amy__wire **ret_wire, struct amy_error *err);
void amy__wire_free(struct amy__wire *wire);

/* Send, or queue behind what is queued already (descriptors are duplicated
 * then). json and fds stay the caller's.
 * @return 0, AMY_ELIMIT (too large, or the receiver does not read: give it up),
 *         AMY_ECONN, AMY_ENOMEM, AMY_EIO */
int amy__wire_send(struct amy__wire *wire, enum amy__wire_type type,
                   const struct amy__json *json, const int *fds, size_t count,
                   struct amy_error *err);

/* Nothing waits to be sent, and nothing has come by half. */
bool amy__wire_is_quiet(const struct amy__wire *wire);

/* Pure: look at one packet. fds: how many descriptors came with it. AMY_EPROTO
 * when it is not ours. */
int amy__wire_decode(struct amy__span packet, size_t fds,
                     struct amy__wire_header *ret_header,
                     struct amy__json **ret_json, struct amy_error *err);

#endif
