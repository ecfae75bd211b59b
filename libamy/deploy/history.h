/* The releases of a site that served, oldest first, as a file. Pure: who was
 * there before, which may go. */
#ifndef AMY_DEPLOY_HISTORY_H
#define AMY_DEPLOY_HISTORY_H

#include <amy/error.h>

#include "core/buf.h"
#include "deploy/journal.h"

#define AMY__DEPLOY_HISTORY_MAX 200U
#define AMY__DEPLOY_HISTORY_BYTES ((size_t)1024 * 1024)

struct amy__deploy_entry {
    char link[AMY__DEPLOY_LINK_SIZE]; /* what repo led to: releases/NAME */
    char ref[AMY__DEPLOY_REF_SIZE];
    char commit[AMY__DEPLOY_COMMIT_SIZE];
    char backup[AMY__DEPLOY_NAME_SIZE]; /* the set made before it */
    int64_t served_wall_ms;             /* when it began to; 0: unknown */
    bool ours;         /* a deployment of ours made it, and may remove it */
    bool left;         /* somebody went back from it */
    char **migrations; /* that came with it; or NULL */
};

struct amy__deploy_history {
    size_t count;
    struct amy__deploy_entry *entries;
};

void amy__deploy_history_clear(struct amy__deploy_history *history);
/* 0, AMY_ELIMIT, AMY_ENOMEM */
int amy__deploy_history_write(const struct amy__deploy_history *history,
                              struct amy__buf *out);
/* 0, AMY_EPARSE, AMY_ENOMEM; cleared by the caller on success. */
int amy__deploy_history_read(struct amy__span text,
                             struct amy__deploy_history *ret_history,
                             struct amy_error *err);

/* The entry of that link, or NULL. */
struct amy__deploy_entry *
amy__deploy_history_find(const struct amy__deploy_history *history,
                         const char *link);
/* That one serves now: its entry is the last from here on, new or not. The
 * oldest goes when there are too many. Returns it; NULL: no memory. */
struct amy__deploy_entry *
amy__deploy_history_serve(struct amy__deploy_history *history, const char *link,
                          int64_t wall_ms);
/* Which one to go back to from `now`: the one that served before it and from
 * which nobody went back; NULL: none. */
const struct amy__deploy_entry *
amy__deploy_history_before(const struct amy__deploy_history *history,
                           const char *now);
/* Was `entry` made after `link`, so that `link` does not know its migrations?
 * Names of ours begin with the time, but for commits (repo@...), of which the
 * order tells; what somebody else made was there before. */
bool amy__deploy_history_is_newer(const struct amy__deploy_history *history,
                                  const struct amy__deploy_entry *entry,
                                  const char *link);
/* Forget one. */
void amy__deploy_history_drop(struct amy__deploy_history *history,
                              const char *link);
/* One of ours that may go when `keep` releases are to stay; never `now`, never
 * the one before it. NULL: none. */
const struct amy__deploy_entry *
amy__deploy_history_surplus(const struct amy__deploy_history *history,
                            const char *now, size_t keep);

#endif
