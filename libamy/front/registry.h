/* The directory of workers' sockets, {run}/{site}/{pool}/, as the registry of
 * who can be asked. Whoever comes first makes the directories, so either daemon
 * may start, crash or be upgraded without the other. */
#ifndef AMY_FRONT_REGISTRY_H
#define AMY_FRONT_REGISTRY_H

#include <amy/clock.h>
#include <amy/error.h>
#include <amy/log.h>

#include "core/json.h"
#include "front/roster.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct event_base;
struct amy__registry;

/* A pool as it is named. */
struct amy__registry_pool {
    const char *site;
    const char *pool;
    const struct amy__roster_pool *roster;
    bool servers; /* of somebody else's; their names are addresses */
};

/* A worker came (is_new) or went. */
typedef void (*amy__registry_fn)(const struct amy__registry_pool *pool,
                                 const struct amy__roster_worker *worker,
                                 bool is_new, void *user);

struct amy__registry_options {
    struct event_base *base;
    int borrow_run_fd;
    gid_t group; /* of the directories made; AMY__GID_OURS: leave it */
    amy__registry_fn fn;
    void *user;
    const struct amy_log *log;
};
#define AMY__GID_OURS ((gid_t)-1)

int amy__registry_create(const struct amy__registry_options *opts,
                         struct amy__registry **ret_registry,
                         struct amy_error *err);
void amy__registry_free(struct amy__registry *registry); /* tells nobody */

/* Which pools there are: begin, keep each, end. New ones are looked at once in
 * keep; those that were not kept go in end. Another number of slots counts for
 * workers that come later. */
void amy__registry_begin(struct amy__registry *registry);
int amy__registry_keep(struct amy__registry *registry, const char *site,
                       const char *pool, uint32_t slots, struct amy_error *err);
/* The same for servers that are listed (NULL-terminated) and not looked for. */
int amy__registry_keep_servers(struct amy__registry *registry, const char *site,
                               const char *pool, uint32_t slots,
                               char *const *addresses, struct amy_error *err);
void amy__registry_end(struct amy__registry *registry);

/* fn (is_new) for each worker that lives. */
void amy__registry_each(struct amy__registry *registry, amy__registry_fn fn,
                        void *user);
/* The i-th pool; false past the end. */
bool amy__registry_at(const struct amy__registry *registry, size_t i,
                      struct amy__registry_pool *ret_pool);

/* All of it for the program after this one; NULL: out of memory. There, into a
 * registry without pools, before the first look: what is still there keeps its
 * slots, what is gone goes as it would have. AMY_EPARSE. */
struct amy__json *amy__registry_save(const struct amy__registry *registry);
int amy__registry_restore(struct amy__registry *registry,
                          const struct amy__json *saved, struct amy_error *err);

/* Make, where it is missing, and open a directory as this one does: 0750, of
 * group. The descriptor is for names beneath it (O_PATH). */
int amy__registry_directory(int dir_fd, const char *name, gid_t group,
                            struct amy_error *err);

#endif
