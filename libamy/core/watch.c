/* Directory watches on one inotify descriptor. */
/* Not for reading what changed: the owner looks again. */
#include "core/watch.h"

#include "core/alloc.h"
#include "core/check.h"
#include "core/error.h"
#include "core/files.h"
#include "core/loop.h"

#include <errno.h>
#include <limits.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define WATCH_MAGIC 0x77617463U
#define MASK                                                                   \
    (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE |    \
     IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
#define WHOLE                                                                  \
    (IN_Q_OVERFLOW | IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT)

/* Two tags may stand on one directory, and then share a wd. */
struct entry {
    int wd; /* -1: removed while events are told */
    uint64_t tag;
};

struct amy__watch {
    uint32_t magic;
    int fd;
    struct amy__io *io;
    amy__watch_fn fn;
    void *user;
    struct entry *entries;
    size_t count;
    size_t cap;
    bool *freed; /* while events are told: where to say that we are gone */
};

/* Tell everybody concerned; false when the watch was freed meanwhile. Entries
 * that appear while telling are behind, removed ones stay as gaps: nobody is
 * left out. */
static bool
tell(struct amy__watch *watch, const struct inotify_event *event)
{
    bool whole = (event->mask & WHOLE) != 0 || event->len == 0;
    bool everyone = (event->mask & IN_Q_OVERFLOW) != 0;
    size_t count = watch->count;
    const bool *freed = watch->freed;

    for (size_t i = 0; i < count; i++) {
        struct entry *entry = &watch->entries[i];

        if (entry->wd < 0 || (!everyone && entry->wd != event->wd)) {
            continue;
        }
        watch->fn(entry->tag, whole ? NULL : event->name, watch->user);
        if (*freed) {
            return false;
        }
    }
    return true;
}

static void
forget_removed(struct amy__watch *watch)
{
    size_t kept = 0;

    for (size_t i = 0; i < watch->count; i++) {
        if (watch->entries[i].wd >= 0) {
            watch->entries[kept++] = watch->entries[i];
        }
    }
    watch->count = kept;
}

static void
on_readable(int fd, unsigned what, void *user)
{
    struct amy__watch *watch = user;
    alignas(struct inotify_event) char events[4096 + NAME_MAX];
    ssize_t n = read(fd, events, sizeof(events));
    bool freed = false;

    (void)what;
    if (n <= 0) {
        return; /* EAGAIN, EINTR: the loop comes back */
    }
    watch->freed = &freed;
    for (size_t at = 0; at < (size_t)n;) {
        struct inotify_event event;

        memcpy(&event, events + at, sizeof(event));
        if (!tell(watch, (const void *)(events + at))) {
            return;
        }
        at += sizeof(event) + event.len;
    }
    watch->freed = NULL;
    forget_removed(watch);
}

int
amy__watch_create(struct event_base *base, amy__watch_fn fn, void *user,
                  struct amy__watch **ret_watch, struct amy_error *err)
{
    struct amy__watch *watch = amy__calloc(1, sizeof(*watch));
    int rc = 0;

    if (watch == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a directory watch");
    }
    *watch = (struct amy__watch){.magic = WATCH_MAGIC, .fn = fn, .user = user};
    watch->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (watch->fd < 0) {
        rc = amy__err_sys(err, errno, "inotify_init1");
    } else {
        rc = amy__io_create(base, watch->fd, AMY__IO_READ, on_readable, watch,
                            &watch->io, err);
    }
    if (rc < 0) {
        amy__watch_free(watch);
        return rc;
    }
    *ret_watch = watch;
    return 0;
}

static int
make_room(struct amy__watch *watch, struct amy_error *err)
{
    size_t cap = watch->cap == 0 ? 8 : watch->cap * 2;
    struct entry *grown = NULL;

    if (watch->count < watch->cap) {
        return 0;
    }
    grown = amy__realloc(watch->entries, cap * sizeof(*grown));
    if (grown == NULL) {
        return amy__err(err, AMY_ENOMEM, "growing a directory watch");
    }
    watch->entries = grown;
    watch->cap = cap;
    return 0;
}

int
amy__watch_add(struct amy__watch *watch, int dir_fd, uint64_t tag,
               struct amy_error *err)
{
    char path[32] = "";
    int wd = -1;
    int rc = 0;

    AMY_CHECK(watch, WATCH_MAGIC);
    rc = make_room(watch, err);
    if (rc < 0) {
        return rc;
    }
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", dir_fd);
    wd = inotify_add_watch(watch->fd, path, MASK);
    if (wd < 0 && errno == ENOSPC) {
        /* inotify(7) says so where it means its own limit. */
        return amy__err(err, AMY_ELIMIT,
                        "watching a directory: fs.inotify.max_user_watches");
    }
    if (wd < 0) {
        return amy__err_sys(err, errno, "watching directory %d", dir_fd);
    }
    watch->entries[watch->count++] = (struct entry){wd, tag};
    return 0;
}

static bool
is_watched(const struct amy__watch *watch, int wd)
{
    for (size_t i = 0; i < watch->count; i++) {
        if (watch->entries[i].wd == wd) {
            return true;
        }
    }
    return false;
}

void
amy__watch_remove(struct amy__watch *watch, uint64_t tag)
{
    AMY_CHECK(watch, WATCH_MAGIC);
    for (size_t i = 0; i < watch->count; i++) {
        int wd = watch->entries[i].wd;

        if (wd < 0 || watch->entries[i].tag != tag) {
            continue;
        }
        watch->entries[i].wd = -1;
        if (!is_watched(watch, wd)) {
            /* EINVAL: the directory is gone, and the kernel's watch with it. */
            (void)inotify_rm_watch(watch->fd, wd);
        }
    }
    if (watch->freed == NULL) {
        forget_removed(watch);
    }
}

void
amy__watch_free(struct amy__watch *watch)
{
    if (watch == NULL) {
        return;
    }
    AMY_CHECK(watch, WATCH_MAGIC);
    if (watch->freed != NULL) {
        *watch->freed = true;
    }
    amy__io_free(watch->io);
    amy__close(&watch->fd);
    amy__free(watch->entries);
    watch->magic = 0;
    amy__free(watch);
}
