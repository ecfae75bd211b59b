/* Open files of a site's static directories, looked at again at most once a
 * second, with what lies compressed beside them. Small ones are held in memory.
 */
#ifndef AMY_FRONT_FILECACHE_H
#define AMY_FRONT_FILECACHE_H

#include <amy/error.h>

#include "http/accept.h"

#include <stdbool.h>
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
    /* The same compressed: app.css.br beside app.css; NULL: none. Held as long
     * as this one. One that is older than its original is none: it was made of
     * other bytes (a deployment that changed a file and did not compress it
     * again), and would be shown to nearly everybody. Times count in whole
     * seconds, as brotli(1), tar and others hand them on. */
    struct amy__file *packed[AMY__CODINGS];
    char bytes[]; /* size of them when fd is -1 */
};

/* Which file. */
struct amy__file_name {
    int dir_fd;
    const char *path; /* beneath it: a root, '/', and what lies in that */
    size_t root_n;    /* bytes of the root: no link leads out of it */
    bool alone;       /* nothing beside it is looked for */
};

/* Up to `entries` files [0: 512]. */
int amy__file_cache_create(size_t entries, struct amy__file_cache **ret_cache,
                           struct amy_error *err);
void amy__file_cache_free(struct amy__file_cache *cache);

/* The regular file of that name; a reference, to be given back.
 * AMY_ENOTFOUND (also: no regular file, or it lies outside), AMY_EDENIED,
 * AMY_ENOMEM, AMY_EIO. */
int amy__file_cache_get(struct amy__file_cache *cache,
                        const struct amy__file_name *name, int64_t now_ms,
                        struct amy__file **ret_file, struct amy_error *err);
struct amy__file *amy__file_ref(struct amy__file *file);
void amy__file_unref(struct amy__file *file);

#endif
