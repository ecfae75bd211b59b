/* Directory watches by inotify: tells that something in a directory may have
 * changed, and nothing more. The owner looks again; a lost event (queue
 * overflow, network file system) is covered by the owner's slow timer. */
#ifndef AMY_CORE_WATCH_H
#define AMY_CORE_WATCH_H

#include <amy/error.h>

#include <stdint.h>

struct event_base;
struct amy__watch;

/* `tag` is what was given at add; name is the entry concerned, or NULL when
 * everything must be looked at again (overflow, directory gone). May free the
 * watch. */
typedef void (*amy__watch_fn)(uint64_t tag, const char *name, void *user);

int amy__watch_create(struct event_base *base, amy__watch_fn fn, void *user,
                      struct amy__watch **ret_watch, struct amy_error *err);
/* Watches create, delete, rename, close-after-write, attribute changes and the
 * directory's own end, by descriptor (through /proc/self/fd). The descriptor
 * may be closed afterwards. */
int amy__watch_add(struct amy__watch *watch, int dir_fd, uint64_t tag,
                   struct amy_error *err);
void amy__watch_remove(struct amy__watch *watch, uint64_t tag);
void amy__watch_free(struct amy__watch *watch);

#endif
