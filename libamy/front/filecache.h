/* Open files of a site's static directories, looked at again at most once a
 * second. Small ones are held in memory. */
#ifndef AMY_FRONT_FILECACHE_H
#define AMY_FRONT_FILECACHE_H

#include <amy/error.h>

#include <stddef.h>
#include <stdint.h>

struct amy__file_cache;

/* What is known of one file; shared by those who send it. */
struct amy__file {
    unsigned refs;
    int fd; /* -1: the bytes are here */
    uint64_t size;
    int64_t modified_ms; /* wall clock */
    char etag[64];       /* with quotes; strong: device, inode, size, time */
    char modified[32];   /* for Last-Modified */
    size_t etag_n;
    char bytes[]; /* size of them when fd is -1 */
};

/* Up to `entries` files [0: 512]. */
int amy__file_cache_create(size_t entries, struct amy__file_cache **ret_cache,
                           struct amy_error *err);
void amy__file_cache_free(struct amy__file_cache *cache);

/* The regular file at `path` beneath dir_fd; a reference, to be given back.
 * AMY_ENOTFOUND (also: no regular file, or it lies outside), AMY_EDENIED,
 * AMY_ENOMEM, AMY_EIO. */
int amy__file_cache_get(struct amy__file_cache *cache, int dir_fd,
                        const char *path, int64_t now_ms,
                        struct amy__file **ret_file, struct amy_error *err);
void amy__file_unref(struct amy__file *file);

#endif
