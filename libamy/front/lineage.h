/* One certificate of a site as the master keeps it: two files on disk, what was
 * good of them last, and what is wrong with them now. */
#ifndef AMY_FRONT_LINEAGE_H
#define AMY_FRONT_LINEAGE_H

#include <amy/clock.h>
#include <amy/error.h>
#include <amy/log.h>

#include "front/pair.h"
#include "site/site.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

/* A client that replaces four links one behind the other is given so long to
 * finish; only then is a pair that does not fit an alarm. */
#define AMY__LINEAGE_SETTLE_MS 2000

struct amy__lineage {
    uint64_t tag; /* of the watch on its chain's directory; then its key's */
    char *name;   /* below {certificates}, or the chain's path */
    char *chain_path;
    char *key_path;
    struct amy__pair pair;  /* good, or the best there is */
    struct stat chain_dir;  /* as watched; st_ino 0: not watched */
    struct stat key_dir;    /* the same, where it is another one */
    struct stat chain_seen; /* as it was read */
    struct stat key_seen;
    int64_t unsettled_ms; /* since when it does not fit (monotonic); 0: fits */
    char error[sizeof(((struct amy_error *)NULL)->msg)]; /* "": all is well */
    const char *file; /* at fault: one of the paths */
    int64_t error_wall_ms;
    uint64_t refused; /* how often something came to be wrong */
};

/* A site's, in the order in which they are preferred. */
struct amy__lineages {
    char **names; /* what they are for: domain, aliases; NULL-terminated */
    struct amy__lineage *list[AMY__SITE_CERTS_MAX];
    size_t count;
    bool changed; /* what is served: set by a look */
    const struct amy_clock *borrow_clock;
    const struct amy_log *borrow_log;
};

/* key NULL: certificate is a name below live. NULL: memory. */
struct amy__lineage *
amy__lineage_create(const char *live, const char *certificate, const char *key);
void amy__lineage_free(struct amy__lineage *l);
/* The directory that path names something in. */
void amy__lineage_directory(const char *path, char *buf, size_t size);

/* Look at one of the site's. final: whoever asks says that the files are as
 * they should be, so nothing is waited for. */
void amy__lineage_look(struct amy__lineages *site, struct amy__lineage *l,
                       bool final);
/* Does one that is served, other than self (may be NULL), cover that name? */
bool amy__lineages_cover(const struct amy__lineages *site,
                         const struct amy__lineage *self, const char *name);

#endif
