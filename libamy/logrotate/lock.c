/* A robust mutex in memory that processes share, and what they leave there. */
/* Not for the files themselves: that is logrotate/writer.c. */
#include "logrotate/lock.h"

#include "core/clock.h"
#include "core/error.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#define LOCK_MADE UINT64_C(0x31306b636f6c676f) /* "oglock01" */

struct inside {
    uint64_t made;
    pthread_mutex_t mutex;
    struct amy__log_cuts cuts;
};

_Static_assert(sizeof(struct inside) <= sizeof(struct amy_log_lock),
               "struct amy_log_lock has room for what is in it");
_Static_assert(_Alignof(struct inside) <= _Alignof(struct amy_log_lock),
               "struct amy_log_lock is aligned as what is in it");

static struct inside *
inside(struct amy_log_lock *lock)
{
    return (struct inside *)lock->words;
}

/* ---- whose turn it is ---- */

int
amy_log_lock_init(struct amy_log_lock *lock, struct amy_error *err)
{
    struct inside *own = inside(lock);
    pthread_mutexattr_t how;
    int failure = pthread_mutexattr_init(&how);

    memset(lock, 0, sizeof(*lock));
    if (failure == 0) {
        failure = pthread_mutexattr_setpshared(&how, PTHREAD_PROCESS_SHARED);
        if (failure == 0) {
            failure = pthread_mutexattr_setrobust(&how, PTHREAD_MUTEX_ROBUST);
        }
        if (failure == 0) {
            failure = pthread_mutex_init(&own->mutex, &how);
        }
        (void)pthread_mutexattr_destroy(&how);
    }
    if (failure != 0) {
        return amy__err_sys(err, failure, "making a log's lock");
    }
    own->made = LOCK_MADE;
    return 0;
}

bool
amy__log_lock_is_made(const struct amy_log_lock *lock)
{
    return lock->words[0] == LOCK_MADE;
}

/* Until a moment of the monotonic clock: another one may be set back. */
static int
wait_for(pthread_mutex_t *mutex, int64_t wait_ms)
{
    int64_t until_ms = amy__mono_ms(NULL) + wait_ms;
    struct timespec until = {.tv_sec = until_ms / 1000,
                             .tv_nsec = until_ms % 1000 * 1000000};

    return pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &until);
}

int
amy__log_lock_take(struct amy_log_lock *lock, int64_t wait_ms)
{
    pthread_mutex_t *mutex = &inside(lock)->mutex;
    int failure = pthread_mutex_trylock(mutex);

    if (failure == EBUSY && wait_ms > 0) {
        failure = wait_for(mutex, wait_ms);
    }
    if (failure == EOWNERDEAD) {
        /* What it was at stands among the cuts. */
        failure = pthread_mutex_consistent(mutex);
    }
    if (failure == EBUSY || failure == ETIMEDOUT) {
        return 0;
    }
    return failure == 0 ? 1 : -1;
}

void
amy__log_lock_give(struct amy_log_lock *lock)
{
    (void)pthread_mutex_unlock(&inside(lock)->mutex); /* it is ours */
}

struct amy__log_cuts *
amy__log_lock_cuts(struct amy_log_lock *lock)
{
    return &inside(lock)->cuts;
}

/* ---- where somebody stopped ---- */

/* Boundaries of larger pages are among those of small ones. */
#define PAGE 4096U

static bool
is_of(const struct amy__log_cut *cut, const struct stat *st)
{
    return cut->inode == st->st_ino && cut->device == st->st_dev;
}

static struct amy__log_cut *
find(struct amy__log_cuts *cuts, const struct stat *st)
{
    for (size_t i = 0; i < AMY__LOG_CUTS; i++) {
        if (is_of(&cuts->cut[i], st)) {
            return &cuts->cut[i];
        }
    }
    return NULL;
}

/* Where nothing stands that counts, or else what is of another file: what is
 * known of this one stays until there is something better. */
static struct amy__log_cut *
place(struct amy__log_cuts *cuts, const struct stat *st)
{
    for (size_t i = 0; i < AMY__LOG_CUTS; i++) {
        if (cuts->cut[i].inode == 0) {
            return &cuts->cut[i];
        }
    }
    for (size_t i = 0; i < AMY__LOG_CUTS; i++) {
        struct amy__log_cut *cut = &cuts->cut[cuts->next++ % AMY__LOG_CUTS];

        if (!is_of(cut, st)) {
            return cut;
        }
    }
    return &cuts->cut[0]; /* somebody wrote nonsense */
}

/* What was known of this file before counts no more. */
static void
forget_others(struct amy__log_cuts *cuts, const struct stat *st,
              const struct amy__log_cut *but)
{
    for (size_t i = 0; i < AMY__LOG_CUTS; i++) {
        if (&cuts->cut[i] != but && is_of(&cuts->cut[i], st)) {
            cuts->cut[i].inode = 0;
        }
    }
}

static char *
text_of(struct amy__log_cuts *cuts, const struct amy__log_cut *cut)
{
    return cuts->text[(size_t)(cut - cuts->cut) % AMY__LOG_CUTS];
}

/* What is missing where the write is cut there; left out if there is no room.
 */
static size_t
leave_rest(struct amy__log_cut *cut, char *room, size_t used,
           struct amy__span text, size_t at)
{
    const char *from = text.p + at;
    const char *newline = memchr(from, '\n', text.n - at);
    size_t n = newline == NULL ? text.n - at : (size_t)(newline - from) + 1;

    if (at > 0 && from[-1] == '\n') {
        n = 0; /* a boundary between two lines */
    }
    if (cut->rest_count < AMY__LOG_RESTS && n <= AMY__LOG_REST_BYTES - used) {
        cut->rests[cut->rest_count++] =
            (struct amy__log_rest){(uint32_t)at, (uint16_t)used, (uint16_t)n};
        memcpy(room + used, from, n);
        used += n;
    }
    return used;
}

void
amy__log_cuts_begin(struct amy__log_cuts *cuts, const struct stat *st,
                    struct amy__span text, bool within_line)
{
    struct amy__log_cut *cut = place(cuts, st);
    char *room = text_of(cuts, cut);
    size_t used = 0;

    /* Should we be killed in here, nothing is written yet: what was known of
     * the file is as true as what is put beside it. */
    *(volatile uint64_t *)&cut->inode = 0;
    cut->device = st->st_dev;
    cut->size = (uint64_t)st->st_size;
    cut->bytes = text.n;
    cut->rest_count = 0;
    if (within_line) {
        used = leave_rest(cut, room, used, text, 0);
    }
    for (size_t at = PAGE - (size_t)st->st_size % PAGE; at < text.n;
         at += PAGE) {
        used = leave_rest(cut, room, used, text, at);
    }
    *(volatile uint64_t *)&cut->inode = st->st_ino;
    forget_others(cuts, st, cut);
}

void
amy__log_cuts_end(struct amy__log_cuts *cuts, const struct stat *st)
{
    forget_others(cuts, st, NULL);
}

size_t
amy__log_cuts_missing(struct amy__log_cuts *cuts, const struct stat *st,
                      char *buf)
{
    const struct amy__log_cut *found = find(cuts, st);
    struct amy__log_cut cut;
    uint64_t done = 0;

    if (found == NULL) {
        return 0;
    }
    /* A copy: others may write there after it was judged. */
    cut = *(const volatile struct amy__log_cut *)found;
    done = (uint64_t)st->st_size - cut.size;
    for (size_t i = 0; i < cut.rest_count && i < AMY__LOG_RESTS; i++) {
        const struct amy__log_rest *rest = &cut.rests[i];

        if (rest->at == done && rest->from <= AMY__LOG_REST_BYTES &&
            rest->n <= AMY__LOG_REST_BYTES - rest->from) {
            memcpy(buf, text_of(cuts, found) + rest->from, rest->n);
            return rest->n;
        }
    }
    if (done == 0 || done >= cut.bytes) {
        return 0; /* none of it was written, or all, or others wrote as well */
    }
    buf[0] = '\n';
    return 1;
}
