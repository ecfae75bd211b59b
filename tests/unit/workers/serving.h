/* A site that really serves: one small program behind each socket of its pool
 * `web` of two, that does what a file tells it. */
#ifndef SERVING_H
#define SERVING_H

#include "scene.h"

#define REPO "webapps/" DOMAIN "/repo/"

/* Each line begins with "GENERATION.POSITION ": what that worker does at its
 * start, and with each request: a status, exit, slow, hang, crash, silent, cut.
 */
void put_mode(const struct scene *s, const char *mode);
void put_serving(const struct scene *s, const char *health, const char *mode);
/* `repo` leads to that release from now on. */
void link_repo(const struct scene *s, const char *release);

/* Put it, start the supervisor, wait for the first generation. */
void serve_first(struct scene *s, const char *health, const char *mode);
void ask_reload(struct scene *s);

/* How many workers of `web` are ready. */
uint32_t ready_of(const struct scene *s, uint64_t generation);
bool first_serves(const struct scene *s);
/* Its worker 0 says so itself. */
bool runs_in(const struct scene *s, uint64_t generation, const char *release);
void assert_reason(const struct scene *s, const char *text);

/* Ask for a reload at the control socket, and wait for the answer. */
void ask_and_hear(struct scene *s);
void assert_told(const char *text);

/* Of a reload from the first generation to the second. */
bool published(const struct scene *s, const char *name);
bool only_first(const struct scene *s);
bool only_second(const struct scene *s);
bool bakes(const struct scene *s);
uint64_t restarts_of(const struct scene *s, uint64_t generation,
                     uint32_t position);
void kill_worker(const struct scene *s, uint64_t generation, uint32_t position);
/* Ready ones of both, the fewest ever while we watched. */
extern uint32_t fewest;
int serving_set_up(void **state);
bool only_first_watched(const struct scene *s);
bool only_second_watched(const struct scene *s);

#endif
