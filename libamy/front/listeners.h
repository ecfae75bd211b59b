/* The master's listening sockets: a fixed number per address, opened once and
 * kept for its life, so that what the kernel has queued on one outlives the
 * process that served it. */
#ifndef AMY_FRONT_LISTENERS_H
#define AMY_FRONT_LISTENERS_H

#include <amy/error.h>

#include "net/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AMY__NOBODY UINT32_MAX

struct amy__listener {
    int fd;
    uint32_t lane; /* 0 ... processes - 1: process i serves lane i */
    uint32_t port;
    bool tls;
    uint32_t server; /* the process that serves it now, or AMY__NOBODY */
};

struct amy__listeners {
    struct amy__listener *items; /* ids are places here */
    size_t count;
    uint32_t processes;
};

/* Add one socket per process for this address. AMY_EBUSY: the port is another
 * program's, or another amy-front's: sockets that share a port would let two
 * hosts answer by turns. Nothing is added on failure. */
int amy__listeners_open(struct amy__listeners *listeners,
                        const struct amy__address *address, bool tls,
                        struct amy_error *err);
/* Only as many as bring the lanes of an address, of which there are some, up to
 * the number of processes. */
int amy__listeners_open_more(struct amy__listeners *listeners,
                             const struct amy__address *address, bool tls,
                             uint32_t lanes, struct amy_error *err);
/* One that is open; taken over on success. */
int amy__listeners_add(struct amy__listeners *listeners,
                       const struct amy__listener *listener,
                       struct amy_error *err);
void amy__listeners_close(struct amy__listeners *listeners);

/* Pure: who should serve a lane while these processes live (a bit each): its
 * own process, else the next living one, so that neighbours share the load of
 * the dead; AMY__NOBODY when none lives. */
uint32_t amy__listeners_server(uint32_t lane, uint64_t living,
                               uint32_t processes);

#endif
