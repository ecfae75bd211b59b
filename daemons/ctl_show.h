/* amyctl status: what both daemons say, as one picture. */
#ifndef CTL_SHOW_H
#define CTL_SHOW_H

#include <jansson.h>

/* One object of both answers (NULL: that daemon does not answer, and why is in
 * the reason): {"front":{...},"workers":{...},"sites":[...]}, each site with
 * what both know of it. site: only that one, or NULL. New reference, or NULL
 * when memory is out. */
json_t *show_merge(json_t *front, const char *front_reason, json_t *workers,
                   const char *workers_reason, const char *site);
/* A further daemon's answer, one that not every host has. */
void show_add(json_t *merged, const char *daemon, json_t *answer,
              const char *site);
/* For people. */
void show_status(const json_t *merged);
/* A site's Redis, as amy-workers tells; NULL: nothing. */
void show_redis(const json_t *redis);
/* One line about a site's gate. */
void show_gate(const json_t *site);

#endif
