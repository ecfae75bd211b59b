/* A place where copies of sets lie: what any kind of it can do. Blocking.
 *
 * A set there is complete when it has a manifest under its name, which is put
 * last; whatever else there is of a set counts for nothing and is swept. What
 * has another name than a set is not ours: never touched. */
#ifndef AMY_BACKUP_STORE_H
#define AMY_BACKUP_STORE_H

#include <amy/error.h>

#include "backup/copyrecord.h"
#include "backup/job.h"
#include "backup/manifest.h"

#include <stdbool.h>
#include <stdint.h>

struct amy__store;

/* A piece of a file; what it returns below zero ends the reading. */
typedef int (*amy__store_sink_fn)(struct amy__span piece, void *user,
                                  struct amy_error *err);
/* A set; bytes: of its files there, but for the manifest, as far as a list or a
 * look at them says. */
typedef int (*amy__store_name_fn)(const char *name, uint64_t bytes, void *user,
                                  struct amy_error *err);

struct amy__store_ops {
    /* Remove what was left of a set on its way (`sending`, or ""), and what
     * others left a day ago. Called once, before anything is put there. */
    int (*sweep)(struct amy__store *store, const char *sending,
                 struct amy_error *err);
    /* Every complete set, in any order. */
    int (*list)(struct amy__store *store, amy__store_name_fn fn, void *user,
                struct amy_error *err);
    /* The manifest's bytes, appended. AMY_ENOTFOUND */
    int (*manifest)(struct amy__store *store, const char *name,
                    struct amy__buf *out, struct amy_error *err);
    /* All of a set, from its open directory here, manifest last. Nothing of it
     * is left where that fails, as far as the place can still be reached.
     * AMY_EPARSE: what lies here is not what the manifest says. */
    int (*put)(struct amy__store *store, const struct amy__manifest *manifest,
               int set_fd, struct amy_error *err);
    /* Another manifest for a set that is there. */
    int (*save)(struct amy__store *store, const struct amy__manifest *manifest,
                struct amy_error *err);
    /* A file's bytes from the place itself, not from a memory of ours. */
    int (*read)(struct amy__store *store, const char *name,
                const struct amy__manifest_file *file, amy__store_sink_fn fn,
                void *user, struct amy_error *err);
    /* Manifest first, then the rest. */
    int (*remove)(struct amy__store *store, const char *name,
                  struct amy_error *err);
    void (*close)(struct amy__store *store);
};

struct amy__store {
    const struct amy__store_ops *ops;
    struct amy__job *job; /* borrowed: whose spec says where, and who is told */
};

/* store_dir.c and store_s3.c. The former is also locked, against other hosts:
 * AMY_EBUSY. change: false when it will only be read. */
int amy__store_dir_open(struct amy__job *job, bool change,
                        struct amy__store **ret_store, struct amy_error *err);
int amy__store_s3_open(struct amy__job *job, struct amy__store **ret_store,
                       struct amy_error *err);
/* As the spec's copy says. */
int amy__store_open(struct amy__job *job, bool change,
                    struct amy__store **ret_store, struct amy_error *err);
void amy__store_close(struct amy__store *store); /* NULL is fine */
static inline void
amy__store_close_p(struct amy__store **store)
{
    amy__store_close(*store);
}

#endif
