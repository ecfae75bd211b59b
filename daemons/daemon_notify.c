/* sd_notify(3) without libsystemd. */
/* Not for workers' notifications to us: that is the pool's. */
#include "daemon_notify.h"

#include <amy/clock.h>

#include <event2/event.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct notify {
    int fd;
    struct sockaddr_un address;
    socklen_t address_len;
    struct event *beat; /* NULL: no watchdog */
    uint64_t watchdog_usec;
    bool stopping;
    char *path; /* as NOTIFY_SOCKET has it */
};

static void
notify_send(const struct notify *notify, const char *message)
{
    if (notify != NULL) {
        /* By address each time: systemd may have been reexecuted. Nothing can
         * be done about a failure, and the service manager sees the lack. */
        (void)sendto(notify->fd, message, strlen(message), MSG_NOSIGNAL,
                     (const struct sockaddr *)&notify->address,
                     notify->address_len);
    }
}

/* A beat comes from the loop, so only while that turns. Who waits for the last
 * request, or for a job of hours, says so for as long as it lives, and needs no
 * limit that somebody guessed. */
static void
on_beat(evutil_socket_t fd, short what, void *user)
{
    const struct notify *notify = user;
    char message[64] = "WATCHDOG=1";

    (void)fd;
    (void)what;
    if (notify->stopping) {
        (void)snprintf(message, sizeof(message), "EXTEND_TIMEOUT_USEC=%" PRIu64,
                       notify->watchdog_usec);
    }
    notify_send(notify, message);
}

/* Half the time the manager waits, as sd_watchdog_enabled(3) advises. */
static void
start_watchdog(struct notify *notify, struct event_base *base)
{
    const char *usec = getenv("WATCHDOG_USEC");
    const char *pid = getenv("WATCHDOG_PID");
    uint64_t wait = usec == NULL ? 0 : strtoull(usec, NULL, 10);
    uint64_t every = wait / 2;
    struct timeval tv = {.tv_sec = (time_t)(every / 1000000),
                         .tv_usec = (suseconds_t)(every % 1000000)};

    if (every == 0 || (pid != NULL && strtol(pid, NULL, 10) != getpid())) {
        return;
    }
    notify->watchdog_usec = wait;
    notify->beat = event_new(base, -1, EV_PERSIST, on_beat, notify);
    if (notify->beat != NULL) {
        (void)event_add(notify->beat, &tv);
    }
}

static int
read_address(struct notify *notify, const char *path)
{
    size_t n = strlen(path);

    if (n < 2 || n >= sizeof(notify->address.sun_path) ||
        (path[0] != '/' && path[0] != '@')) {
        return -1;
    }
    notify->address.sun_family = AF_UNIX;
    memcpy(notify->address.sun_path, path, n);
    if (path[0] == '@') {
        notify->address.sun_path[0] = '\0'; /* the abstract namespace */
    }
    notify->address_len =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    return 0;
}

struct notify *
notify_create(struct event_base *base)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct notify *notify = path == NULL ? NULL : calloc(1, sizeof(*notify));

    if (notify == NULL) {
        return NULL;
    }
    notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (notify->fd < 0 || read_address(notify, path) != 0) {
        notify_free(notify);
        notify = NULL;
    } else {
        start_watchdog(notify, base);
        notify->path = strdup(path);
    }
    notify_stay(notify);
    return notify;
}

void
notify_leave(const struct notify *notify)
{
    char usec[32] = "";

    if (notify == NULL || notify->path == NULL) {
        return;
    }
    (void)setenv("NOTIFY_SOCKET", notify->path, 1);
    if (notify->watchdog_usec > 0) {
        (void)snprintf(usec, sizeof(usec), "%" PRIu64, notify->watchdog_usec);
        (void)setenv("WATCHDOG_USEC", usec, 1);
        notify_send(notify, "WATCHDOG=1"); /* the next one is another's */
    }
}

/* Whoever we start shall not speak in our name. */
void
notify_stay(const struct notify *notify)
{
    (void)notify;
    (void)unsetenv("NOTIFY_SOCKET");
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
}

void
notify_free(struct notify *notify)
{
    if (notify == NULL) {
        return;
    }
    if (notify->beat != NULL) {
        event_free(notify->beat);
    }
    if (notify->fd >= 0) {
        (void)close(notify->fd);
    }
    free(notify->path);
    free(notify);
}

void
notify_ready(const struct notify *notify, const char *status)
{
    char message[320] = "";

    (void)snprintf(message, sizeof(message), "READY=1\nSTATUS=%s", status);
    notify_send(notify, message);
}

void
notify_reloading(const struct notify *notify)
{
    const struct amy_clock *clock = amy_clock_system();
    char message[96] = "";

    (void)snprintf(message, sizeof(message),
                   "RELOADING=1\nMONOTONIC_USEC=%" PRId64 "\nSTATUS=Reloading",
                   clock->mono_ms(clock->user) * 1000);
    notify_send(notify, message);
}

void
notify_stopping(struct notify *notify)
{
    notify_send(notify, "STOPPING=1\nSTATUS=Stopping");
    if (notify != NULL && notify->beat != NULL) {
        notify->stopping = true;
        on_beat(-1, 0, notify);
    }
}

void
notify_status(const struct notify *notify, const char *status)
{
    char message[320] = "";

    (void)snprintf(message, sizeof(message), "STATUS=%s", status);
    notify_send(notify, message);
}
