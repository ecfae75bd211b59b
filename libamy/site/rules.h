/* What the files of rules share: where a problem is, and how its key is called.
 */
#ifndef AMY_SITE_RULES_H
#define AMY_SITE_RULES_H

#include "site/spec.h"

#include <stddef.h>

#define AMY__RULES_KEY_SIZE 64

/* What every rule needs; root is the file's tree, for the places. */
struct amy__rules {
    struct amy__site *site;
    const struct amy__node *workers; /* or NULL */
    const struct amy__node *routes;
    struct amy__report *report;
};

/* Where to point: at the value of `name` in map, or at the map itself. */
struct amy__place amy__rules_place(const struct amy__node *map,
                                   const char *name, const char *key);
/* "workers[2].name", or "workers[2]" when name is NULL. */
const char *amy__rules_key(char buf[AMY__RULES_KEY_SIZE], const char *list,
                           size_t index, const char *name);

void amy__rules_copies(const struct amy__rules *rules,
                       const struct amy__node *backup);
void amy__rules_refresh_copy(const struct amy__rules *rules,
                             const struct amy__node *refresh);
void amy__rules_log_files(const struct amy__rules *rules,
                          const struct amy__node *root);
void amy__rules_deploy(const struct amy__rules *rules,
                       const struct amy__node *root);

#endif
