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
#define PATH_BYTES 2560U /* more than a target has, and a suffix */

struct entry {
    TAILQ_ENTRY(entry) age; /* the one used last is first */
    LIST_ENTRY(entry) chain;
    uint64_t hash;
    int64_t seen_ms; /* when it was last known to be what is on disk */
    struct amy__file *file;
    size_t weight; /* files that it holds open */
    char path[];
};

LIST_HEAD(chain, entry);
TAILQ_HEAD(file_ages, entry);

struct amy__file_cache {
    struct file_ages ages;
    uint64_t seed;
    size_t count; /* of files, with those beside others */
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

struct amy__file *
amy__file_ref(struct amy__file *file)
{
    file->refs++;
    return file;
}

void
amy__file_unref(struct amy__file *file)
{
    if (file != NULL && --file->refs == 0) {
        for (size_t i = 0; i < AMY__CODINGS; i++) {
            amy__file_unref(file->packed[i]);
        }
        amy__close(&file->fd);
        amy__free(file);
    }
}

static void
drop(struct amy__file_cache *cache, struct entry *entry)
{
    TAILQ_REMOVE(&cache->ages, entry, age);
    LIST_REMOVE(entry, chain);
    cache->count -= entry->weight;
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

/* The directory that nothing may lead out of, and the name within. */
static int
open_root(const struct amy__file_name *name, const char **ret_within,
          struct amy_error *err)
{
    char root[PATH_BYTES];

    if (name->path[name->root_n] != '/' ||
        !amy__span_copy((struct amy__span){name->path, name->root_n}, root,
                        sizeof(root))) {
        return amy__err(err, AMY_ENOTFOUND, "'%s' has no root", name->path);
    }
    *ret_within = name->path + name->root_n + 1;
    return amy__open_beneath(name->dir_fd, root, O_PATH | O_DIRECTORY, 0, err);
}

static int
open_one(int root_fd, const char *within, struct amy__file **ret_file,
         struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p)
    int fd = amy__open_beneath(root_fd, within,
                               O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, err);
    struct amy__file *file = NULL;
    struct stat st = {0};
    bool small = false;

    if (fd < 0) {
        return fd;
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return amy__err(err, AMY_ENOTFOUND, "'%s' is no regular file", within);
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
        return amy__err(err, AMY_EIO, "'%s' changed while it was read", within);
    }
    *ret_file = file;
    return 0;
}

/* ---- what lies beside a file ---- */

static bool
name_beside(const char *within, size_t coding, char beside[PATH_BYTES])
{
    static const char *const suffixes[AMY__CODINGS] = {
        [AMY__CODING_BR] = ".br",
        [AMY__CODING_ZSTD] = ".zst",
        [AMY__CODING_GZIP] = ".gz",
    };
    int n = snprintf(beside, PATH_BYTES, "%s%s", within, suffixes[coding]);

    return n > 0 && (size_t)n < PATH_BYTES;
}

static bool
stands_for(const struct amy__file *beside, const struct amy__file *file)
{
    return beside->size > 0 && beside->modified_ms >= file->modified_ms;
}

static int
open_beside(int root_fd, const char *within, struct amy__file *file)
{
    char beside[PATH_BYTES];

    for (size_t i = 0; i < AMY__CODINGS; i++) {
        struct amy__file *packed = NULL;
        int rc = name_beside(within, i, beside)
                     ? open_one(root_fd, beside, &packed, NULL)
                     : AMY_ENOTFOUND;

        if (rc == AMY_ENOMEM) {
            return rc;
        }
        if (rc == 0 && !stands_for(packed, file)) {
            amy__file_unref(packed);
            packed = NULL;
        }
        file->packed[i] = packed;
    }
    return 0;
}

static int
open_file(const struct amy__file_name *name, struct amy__file **ret_file,
          struct amy_error *err)
{
    const char *within = NULL;
    AMY_CLEANUP(amy__close_p) int root_fd = open_root(name, &within, err);
    struct amy__file *file = NULL;
    int rc = root_fd < 0 ? root_fd : open_one(root_fd, within, &file, err);

    if (rc < 0) {
        return rc;
    }
    if (!name->alone && open_beside(root_fd, within, file) < 0) {
        amy__file_unref(file);
        return amy__err(err, AMY_ENOMEM, "allocating a file");
    }
    *ret_file = file;
    return 0;
}

/* ---- is it still what is on disk? ---- */

/* What is to be known of a regular file without opening it. */
static bool
look(int root_fd, const char *within, struct amy__file *ret)
{
    AMY_CLEANUP(amy__close_p)
    int fd = amy__open_beneath(root_fd, within, O_PATH, 0, NULL);
    struct stat st = {0};

    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return false;
    }
    describe(ret, &st);
    return true;
}

static bool
is_same_beside(int root_fd, const char *within, const struct amy__file *file)
{
    char beside[PATH_BYTES];

    for (size_t i = 0; i < AMY__CODINGS; i++) {
        const struct amy__file *packed = file->packed[i];
        struct amy__file now = {0};
        bool there = name_beside(within, i, beside) &&
                     look(root_fd, beside, &now) && stands_for(&now, file);

        if (there != (packed != NULL) ||
            (there && strcmp(now.etag, packed->etag) != 0)) {
            return false;
        }
    }
    return true;
}

/* Costs a look by each name. */
static bool
is_same(const struct amy__file_name *name, const struct amy__file *file)
{
    const char *within = NULL;
    AMY_CLEANUP(amy__close_p) int root_fd = open_root(name, &within, NULL);
    struct amy__file now = {0};

    return root_fd >= 0 && look(root_fd, within, &now) &&
           strcmp(now.etag, file->etag) == 0 &&
           (name->alone || is_same_beside(root_fd, within, file));
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
    entry->weight = 1;
    for (size_t i = 0; i < AMY__CODINGS; i++) {
        entry->weight += file->packed[i] != NULL;
    }
    LIST_INSERT_HEAD(&cache->chains[hash & cache->mask], entry, chain);
    TAILQ_INSERT_HEAD(&cache->ages, entry, age);
    cache->count += entry->weight;
    while (cache->count > cache->max &&
           TAILQ_LAST(&cache->ages, file_ages) != entry) {
        drop(cache, TAILQ_LAST(&cache->ages, file_ages));
    }
    return 0;
}

int
amy__file_cache_get(struct amy__file_cache *cache,
                    const struct amy__file_name *name, int64_t now_ms,
                    struct amy__file **ret_file, struct amy_error *err)
{
    uint64_t hash = amy__hash(amy__span_of(name->path), cache->seed);
    struct entry *entry = find(cache, name->path, hash);
    struct amy__file *file = NULL;
    int rc = 0;

    if (entry != NULL && now_ms - entry->seen_ms >= FRESH_MS) {
        entry->seen_ms = now_ms;
        if (!is_same(name, entry->file)) {
            drop(cache, entry);
            entry = NULL;
        }
    }
    if (entry == NULL) {
        rc = open_file(name, &file, err);
        if (rc == 0 && insert(cache, name->path, hash, now_ms, file) < 0) {
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
    *ret_file = amy__file_ref(file);
    return 0;
}
