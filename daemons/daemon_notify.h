/* sd_notify(3) in plain code: a datagram to the socket that systemd names. */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

#include <stdint.h>

struct event_base;
struct notify;

/* Reads NOTIFY_SOCKET and WATCHDOG_USEC and takes them out of the environment;
 * beats the watchdog from then on. NULL when nobody listens (or memory is out):
 * all calls take that. */
struct notify *notify_create(struct event_base *base);
/* For the program that takes our place: what notify_create() took out of the
 * environment is there again; and gone again, when it did not. */
void notify_leave(const struct notify *notify);
void notify_stay(const struct notify *notify);
void notify_free(struct notify *notify);

/* READY=1, RELOADING=1 (with MONOTONIC_USEC) or STOPPING=1, and a status. From
 * then on, beats ask for more time to stop instead: as long as the manager
 * would wait for a beat. */
void notify_ready(const struct notify *notify, const char *status);
void notify_reloading(const struct notify *notify);
void notify_stopping(struct notify *notify);
void notify_status(const struct notify *notify, const char *status);

#endif
