/* The cache of open static files. Not for which path may be asked for: that is
 * static.c. */
#include "front/filecache.h"

#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/digest.h"
#include "core/error.h"
#include "core/files.h"
#include "core/str.h"
#include "http/date.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENTRIES_DEFAULT 512U
#define SMALL_BYTES 16384U
#define FRESH_MS 1000

struct entry {
    TAILQ_ENTRY(entry) age; /* the one used last is first */
    LIST_ENTRY(entry) chain;
    uint64_t hash;
    int64_t seen_ms; /* when it was last known to be what is on disk */
    struct amy__file *file;
    char path[];
};

LIST_HEAD(chain, entry);
TAILQ_HEAD(file_ages, entry);

struct amy__file_cache {
    struct file_ages ages;
    uint64_t seed;
    size_t count;
    size_t max;
    size_t mask;
    struct chain chains[];
};

int
amy__file_cache_create(size_t entries, struct amy__file_cache **ret_cache,
                       struct amy_error *err)
{
    struct amy__file_cache *cache = NULL;
    size_t max = entries == 0 ? ENTRIES_DEFAULT : entries;
    size_t size = 16;

    while (size < max) {
        size *= 2;
    }
    cache = amy__calloc(1, sizeof(*cache) + size * sizeof(cache->chains[0]));
    if (cache == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a file cache");
    }
    if (amy__random(&cache->seed, sizeof(cache->seed), err) < 0) {
        amy__free(cache);
        return AMY_EIO;
    }
    TAILQ_INIT(&cache->ages);
    cache->max = max;
    cache->mask = size - 1;
    *ret_cache = cache;
    return 0;
}

void
amy__file_unref(struct amy__file *file)
{
    if (file != NULL && --file->refs == 0) {
        amy__close(&file->fd);
        amy__free(file);
    }
}

static void
drop(struct amy__file_cache *cache, struct entry *entry)
{
    TAILQ_REMOVE(&cache->ages, entry, age);
    LIST_REMOVE(entry, chain);
    cache->count--;
    amy__file_unref(entry->file);
    amy__free(entry);
}

void
amy__file_cache_free(struct amy__file_cache *cache)
{
    if (cache == NULL) {
        return;
    }
    while (!TAILQ_EMPTY(&cache->ages)) {
        drop(cache, TAILQ_FIRST(&cache->ages));
    }
    amy__free(cache);
}

static void
describe(struct amy__file *file, const struct stat *st)
{
    int n =
        snprintf(file->etag, sizeof(file->etag), "\"%llx-%llx-%llx-%llx\"",
                 (unsigned long long)st->st_dev, (unsigned long long)st->st_ino,
                 (unsigned long long)st->st_size,
                 (unsigned long long)st->st_mtim.tv_sec * 1000000000U +
                     (unsigned long long)st->st_mtim.tv_nsec);

    file->etag_n = n > 0 && (size_t)n < sizeof(file->etag) ? (size_t)n : 0;
    file->size = (uint64_t)st->st_size;
    file->modified_ms = (int64_t)st->st_mtim.tv_sec * 1000;
    amy__date_format(file->modified_ms, file->modified);
}

/* Read into memory what is small; false: it changed under us. */
static bool
read_small(struct amy__file *file, int fd)
{
    size_t done = 0;

    while (done < file->size) {
        ssize_t n =
            pread(fd, file->bytes + done, file->size - done, (off_t)done);

        if (n <= 0) {
            return false;
        }
        done += (size_t)n;
    }
    return true;
}

static int
open_file(int dir_fd, const char *path, struct amy__file **ret_file,
          struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p)
    int fd = amy__open_beneath(dir_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY,
                               0, err);
    struct amy__file *file = NULL;
    struct stat st = {0};
    bool small = false;

    if (fd < 0) {
        return fd;
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return amy__err(err, AMY_ENOTFOUND, "'%s' is no regular file", path);
    }
    small = st.st_size <= (off_t)SMALL_BYTES;
    file = amy__calloc(1, sizeof(*file) + (small ? (size_t)st.st_size : 0));
    if (file == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a file");
    }
    file->refs = 1;
    file->fd = -1;
    describe(file, &st);
    if (!small) {
        file->fd = fd;
        fd = -1;
    } else if (!read_small(file, fd)) {
        amy__file_unref(file);
        return amy__err(err, AMY_EIO, "'%s' changed while it was read", path);
    }
    *ret_file = file;
    return 0;
}

/* Is it still what is on disk? Costs one look by name. */
static bool
is_same(int dir_fd, const char *path, const struct amy__file *file)
{
    struct amy__file now = {0};
    struct stat st = {0};
    int fd = amy__open_beneath(dir_fd, path, O_PATH, 0, NULL);
    bool same = false;

    if (fd < 0) {
        return false;
    }
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        describe(&now, &st);
        same = strcmp(now.etag, file->etag) == 0;
    }
    amy__close(&fd);
    return same;
}

static struct entry *
find(struct amy__file_cache *cache, const char *path, uint64_t hash)
{
    struct entry *entry = NULL;

    LIST_FOREACH(entry, &cache->chains[hash & cache->mask], chain)
    {
        if (entry->hash == hash && strcmp(entry->path, path) == 0) {
            return entry;
        }
    }
    return NULL;
}

static int
insert(struct amy__file_cache *cache, const char *path, uint64_t hash,
       int64_t now_ms, struct amy__file *file)
{
    size_t n = strlen(path) + 1;
    struct entry *entry = amy__calloc(1, sizeof(*entry) + n);

    if (entry == NULL) {
        return AMY_ENOMEM;
    }
    memcpy(entry->path, path, n);
    entry->hash = hash;
    entry->seen_ms = now_ms;
    entry->file = file;
    LIST_INSERT_HEAD(&cache->chains[hash & cache->mask], entry, chain);
    TAILQ_INSERT_HEAD(&cache->ages, entry, age);
    cache->count++;
    if (cache->count > cache->max) {
        drop(cache, TAILQ_LAST(&cache->ages, file_ages));
    }
    return 0;
}

int
amy__file_cache_get(struct amy__file_cache *cache, int dir_fd, const char *path,
                    int64_t now_ms, struct amy__file **ret_file,
                    struct amy_error *err)
{
    uint64_t hash = amy__hash(amy__span_of(path), cache->seed);
    struct entry *entry = find(cache, path, hash);
    struct amy__file *file = NULL;
    int rc = 0;

    if (entry != NULL && now_ms - entry->seen_ms >= FRESH_MS) {
        entry->seen_ms = now_ms;
        if (!is_same(dir_fd, path, entry->file)) {
            drop(cache, entry);
            entry = NULL;
        }
    }
    if (entry == NULL) {
        rc = open_file(dir_fd, path, &file, err);
        if (rc == 0 && insert(cache, path, hash, now_ms, file) < 0) {
            amy__file_unref(file);
            rc = amy__err(err, AMY_ENOMEM, "allocating a file");
        }
        if (rc < 0) {
            return rc;
        }
    } else {
        file = entry->file;
        TAILQ_REMOVE(&cache->ages, entry, age);
        TAILQ_INSERT_HEAD(&cache->ages, entry, age);
    }
    file->refs++;
    *ret_file = file;
    return 0;
}
