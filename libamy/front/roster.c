/* From names in a pool's directory to workers that came and went. */
/* Not for reading directories nor for telling processes. */
#include "front/roster.h"

#include <amy/error.h>

#include "core/alloc.h"
#include "core/str.h"

#include <stdio.h>
#include <string.h>

#define POSITION_MAX 1023U /* amy/pool.h: at most 1024 workers */

/* "{generation}.{position}", digits without a leading zero. */
static bool
parse_name(const char *name, uint64_t *ret_generation, uint32_t *ret_position)
{
    struct amy__span rest = amy__span_of(name);
    struct amy__span generation = {0};
    uint64_t position = 0;

    if (rest.n >= AMY__ROSTER_NAME ||
        !amy__span_split(&rest, '.', &generation) ||
        (generation.n > 1 && generation.p[0] == '0') ||
        (rest.n > 1 && rest.p[0] == '0') ||
        !amy__parse_u64(generation, UINT64_MAX, ret_generation) ||
        !amy__parse_u64(rest, POSITION_MAX, &position)) {
        return false;
    }
    *ret_position = (uint32_t)position;
    return true;
}

/* First fit. AMY__SLOTS_MAX: none. */
static uint32_t
take_slots(struct amy__roster *roster, uint32_t count)
{
    uint32_t free_run = 0;

    for (uint32_t i = 0; i < AMY__SLOTS_MAX; i++) {
        free_run = roster->slot_taken[i] != 0 ? 0 : free_run + 1;
        if (free_run == count) {
            uint32_t first = i + 1 - count;

            memset(&roster->slot_taken[first], 1, count);
            return first;
        }
    }
    return AMY__SLOTS_MAX;
}

int
amy__roster_open(struct amy__roster *roster, uint32_t slots,
                 struct amy__roster_pool *ret_pool)
{
    for (uint32_t i = 0; i < AMY__POOLS_MAX; i++) {
        if (roster->pool_taken[i] == 0) {
            roster->pool_taken[i] = 1;
            *ret_pool = (struct amy__roster_pool){.index = i, .slots = slots};
            return 0;
        }
    }
    return AMY_ELIMIT;
}

int
amy__roster_reopen(struct amy__roster *roster, uint32_t index, uint32_t slots,
                   struct amy__roster_pool *ret_pool)
{
    if (index >= AMY__POOLS_MAX || roster->pool_taken[index] != 0) {
        return AMY_EINVAL;
    }
    roster->pool_taken[index] = 1;
    *ret_pool = (struct amy__roster_pool){.index = index, .slots = slots};
    return 0;
}

int
amy__roster_return(struct amy__roster *roster, struct amy__roster_pool *pool,
                   const struct amy__roster_worker *like)
{
    struct amy__roster_worker *worker = NULL;

    if (like->slots == 0 || like->slots > AMY__SLOTS_MAX ||
        like->slot > AMY__SLOTS_MAX - like->slots ||
        memchr(&roster->slot_taken[like->slot], 1, like->slots) != NULL) {
        return AMY_EINVAL;
    }
    worker = amy__calloc(1, sizeof(*worker));
    if (worker == NULL) {
        return AMY_ENOMEM;
    }
    memset(&roster->slot_taken[like->slot], 1, like->slots);
    *worker = *like;
    worker->seen = false;
    worker->next = pool->workers;
    pool->workers = worker;
    return 0;
}

static void
remove_worker(struct amy__roster *roster, struct amy__roster_pool *pool,
              struct amy__roster_worker **at, amy__roster_fn fn, void *user)
{
    struct amy__roster_worker *worker = *at;

    *at = worker->next;
    fn(pool, worker, false, user);
    memset(&roster->slot_taken[worker->slot], 0, worker->slots);
    amy__free(worker);
}

void
amy__roster_close(struct amy__roster *roster, struct amy__roster_pool *pool,
                  amy__roster_fn fn, void *user)
{
    while (pool->workers != NULL) {
        remove_worker(roster, pool, &pool->workers, fn, user);
    }
    roster->pool_taken[pool->index] = 0;
}

void
amy__roster_begin(struct amy__roster_pool *pool)
{
    for (struct amy__roster_worker *w = pool->workers; w != NULL; w = w->next) {
        w->seen = false;
    }
}

static int
add_worker(struct amy__roster *roster, struct amy__roster_pool *pool,
           const struct amy__roster_worker *like, amy__roster_fn fn, void *user)
{
    struct amy__roster_worker *worker = amy__calloc(1, sizeof(*worker));
    uint32_t slot = 0;

    if (worker == NULL) {
        return AMY_ENOMEM;
    }
    slot = take_slots(roster, pool->slots);
    if (slot == AMY__SLOTS_MAX) {
        amy__free(worker);
        return AMY_ELIMIT;
    }
    *worker = *like;
    worker->slot = slot;
    worker->slots = pool->slots;
    worker->incarnation = ++roster->incarnation;
    worker->seen = true;
    worker->next = pool->workers;
    pool->workers = worker;
    fn(pool, worker, true, user);
    return 0;
}

int
amy__roster_see(struct amy__roster *roster, struct amy__roster_pool *pool,
                const char *name, uint64_t inode, int64_t born_ns,
                amy__roster_fn fn, void *user)
{
    struct amy__roster_worker like = {.inode = inode, .born_ns = born_ns};

    if (!parse_name(name, &like.generation, &like.position)) {
        return 0;
    }
    (void)snprintf(like.name, sizeof(like.name), "%s", name);
    for (struct amy__roster_worker **at = &pool->workers; *at != NULL;
         at = &(*at)->next) {
        struct amy__roster_worker *worker = *at;

        if (worker->generation != like.generation ||
            worker->position != like.position) {
            continue;
        }
        if (worker->inode == inode && worker->born_ns == born_ns) {
            worker->seen = true;
            return 0;
        }
        remove_worker(roster, pool, at, fn, user);
        break;
    }
    return add_worker(roster, pool, &like, fn, user);
}

int
amy__roster_list(struct amy__roster *roster, struct amy__roster_pool *pool,
                 const char *address, amy__roster_fn fn, void *user)
{
    struct amy__roster_worker like = {.generation = 0};

    if (amy__span_of(address).n >= sizeof(like.name)) {
        return AMY_EINVAL;
    }
    (void)snprintf(like.name, sizeof(like.name), "%s", address);
    for (struct amy__roster_worker **at = &pool->workers; *at != NULL;
         at = &(*at)->next) {
        struct amy__roster_worker *worker = *at;

        if (strcmp(worker->name, address) != 0) {
            continue;
        }
        if (worker->slots == pool->slots) {
            worker->seen = true;
            return 0;
        }
        remove_worker(roster, pool, at, fn, user);
        break;
    }
    return add_worker(roster, pool, &like, fn, user);
}

void
amy__roster_end(struct amy__roster *roster, struct amy__roster_pool *pool,
                amy__roster_fn fn, void *user)
{
    struct amy__roster_worker **at = &pool->workers;

    while (*at != NULL) {
        if ((*at)->seen) {
            at = &(*at)->next;
        } else {
            remove_worker(roster, pool, at, fn, user);
        }
    }
}
