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
amy__listeners_add(struct amy__listeners *listeners,
                   const struct amy__listener *listener, struct amy_error *err)
{
    struct amy__listener *grown =
        amy__realloc(listeners->items, (listeners->count + 1) * sizeof(*grown));

    if (grown == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating listeners");
    }
    listeners->items = grown;
    grown[listeners->count++] = *listener;
    return 0;
}

int
amy__listeners_open_more(struct amy__listeners *listeners,
                         const struct amy__address *address, bool tls,
                         uint32_t lanes, struct amy_error *err)
{
    size_t first = listeners->count;
    /* Where there are some it is ours. */
    int rc = lanes == 0 ? check_free(address, err) : 0;

    for (; rc == 0 && lanes < listeners->processes; lanes++) {
        struct amy__listener listener = {
            .fd = amy__listen_tcp(address, true, 0, err),
            .lane = lanes,
            .port = amy__address_port(address),
            .tls = tls,
            .server = AMY__NOBODY,
        };

        rc = listener.fd < 0 ? listener.fd
                             : amy__listeners_add(listeners, &listener, err);
        if (rc < 0) {
            amy__close(&listener.fd);
        }
    }
    while (rc < 0 && listeners->count > first) {
        amy__close(&listeners->items[--listeners->count].fd);
    }
    return rc;
}

int
amy__listeners_open(struct amy__listeners *listeners,
                    const struct amy__address *address, bool tls,
                    struct amy_error *err)
{
    return amy__listeners_open_more(listeners, address, tls, 0, err);
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
