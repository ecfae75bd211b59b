/* A supervisor with one real site and tiny processes, on a real loop. */
#ifndef SCENE_H
#define SCENE_H

#include "workers/internal.h"

#define DOMAIN "example.org"

struct scene {
    char path[40];
    char webapps[64];
    char run[64];
    char state[64];
    char config[64];
    char user[64];
    struct event_base *base;
    struct amy_workers *workers;
    unsigned reloaded;
    unsigned stopped;
};

/* Of cmocka: a scene with no site yet. */
int scene_set_up(void **state);
int scene_tear_down(void **state);

/* Its supervisor dies, and another one is made. */
void scene_renew_supervisor(struct scene *s);

/* Below the scene's directory. */
void scene_put(const struct scene *s, const char *name, const char *text,
               mode_t mode);
void scene_make(const struct scene *s, const char *name);
/* The site, with what activate does and what comes after `user` in its YAML. */
void scene_put_site(const struct scene *s, const char *activate,
                    const char *yaml);

/* Count in the scene what they are told. */
void scene_on_reloaded(struct amy_workers *workers, void *user);
void scene_on_stopped(struct amy_workers *workers, void *user);

typedef bool (*scene_holds_fn)(const struct scene *s);
/* Run the loop until that holds, or fail the test. */
void scene_run_until(struct scene *s, scene_holds_fn holds);
bool scene_has_stopped(const struct scene *s);
bool scene_has_reloaded(const struct scene *s);

/* The pool of that name and generation, or NULL. */
const struct amy__workers_pool *
scene_pool(const struct scene *s, uint64_t generation, const char *name);
struct amy__workers_reload *scene_reload(const struct scene *s);

#endif
