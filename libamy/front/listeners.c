/* Listening sockets shared out among front processes. */
/* Not for accepting: front processes do; the master never reads from one. */
#include "front/listeners.h"

#include "core/alloc.h"
#include "core/error.h"
#include "core/files.h"
#include "net/listen.h"

uint32_t
amy__listeners_server(uint32_t lane, uint64_t living, uint32_t processes)
{
    for (uint32_t i = 0; i < processes; i++) {
        uint32_t process = (lane + i) % processes;

        if ((living >> (process % 64) & 1) != 0) {
            return process;
        }
    }
    return AMY__NOBODY;
}

/* SO_REUSEPORT lets any program of our user join; without it bind(2) says
 * whether somebody is there. */
static int
check_free(const struct amy__address *address, struct amy_error *err)
{
    int fd = amy__listen_tcp(address, false, 1, err);

    if (fd < 0) {
        return fd;
    }
    amy__close(&fd);
    return 0;
}

int
amy__listeners_open(struct amy__listeners *listeners,
                    const struct amy__address *address, bool tls,
                    struct amy_error *err)
{
    size_t first = listeners->count;
    struct amy__listener *grown = NULL;
    int rc = check_free(address, err);

    if (rc < 0) {
        return rc;
    }
    grown = amy__realloc(listeners->items,
                         (first + listeners->processes) * sizeof(*grown));
    if (grown == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating listeners");
    }
    listeners->items = grown;
    for (uint32_t lane = 0; lane < listeners->processes; lane++) {
        int fd = amy__listen_tcp(address, true, 0, err);

        if (fd < 0) {
            while (listeners->count > first) {
                amy__close(&listeners->items[--listeners->count].fd);
            }
            return fd;
        }
        listeners->items[listeners->count++] = (struct amy__listener){
            .fd = fd,
            .lane = lane,
            .port = amy__address_port(address),
            .tls = tls,
            .server = AMY__NOBODY,
        };
    }
    return 0;
}

void
amy__listeners_close(struct amy__listeners *listeners)
{
    for (size_t i = 0; i < listeners->count; i++) {
        amy__close(&listeners->items[i].fd);
    }
    amy__free(listeners->items);
    listeners->items = NULL;
    listeners->count = 0;
}
