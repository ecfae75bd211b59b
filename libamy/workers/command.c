/* What a worker executes and the environment it does so in. */
/* Not for reading the environment: that is site/env.c. */
#include "core/alloc.h"
#include "workers/internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define GUNICORN_WORDS 24
#define WORD_MAX 8192

/* A NULL-terminated list under construction; one failed allocation spoils it.
 */
struct list {
    char **words;
    size_t count;
    size_t room;
    bool broken;
};

void
amy__workers_list_free(char **list)
{
    if (list == NULL) {
        return;
    }
    for (size_t i = 0; list[i] != NULL; i++) {
        amy__free(list[i]);
    }
    amy__free(list);
}

static struct list
list_of(size_t room)
{
    struct list list = {.room = room};

    list.words = amy__calloc(room + 1, sizeof(*list.words));
    list.broken = list.words == NULL;
    return list;
}

static void __attribute__((format(printf, 2, 3)))
add(struct list *list, const char *fmt, ...)
{
    char word[WORD_MAX];
    va_list args;
    int n = 0;

    va_start(args, fmt);
    n = vsnprintf(word, sizeof(word), fmt, args);
    va_end(args);
    if (list->broken || n < 0 || (size_t)n >= sizeof(word) ||
        list->count == list->room) {
        list->broken = true;
        return;
    }
    list->words[list->count] = amy__strdup(word);
    list->broken = list->words[list->count] == NULL;
    list->count++;
}

/* A word of any length, as it is. */
static void
copy(struct list *list, const char *word)
{
    if (list->broken || list->count == list->room) {
        list->broken = true;
        return;
    }
    list->words[list->count] = amy__strdup(word);
    list->broken = list->words[list->count] == NULL;
    list->count++;
}

static char **
finish(struct list *list)
{
    if (list->broken) {
        amy__workers_list_free(list->words);
        return NULL;
    }
    return list->words;
}

static size_t
length_of(char *const *words)
{
    size_t n = 0;

    while (words[n] != NULL) {
        n++;
    }
    return n;
}

/* gunicorn, as its own script starts it. Versions that have a control socket
 * put it into the user's home, where the arbiters of one pool would fight over
 * it; older ones do not know the option that turns it off. */
static const char run_gunicorn[] =
    "import sys\n"
    "from gunicorn.app.wsgiapp import run\n"
    "from gunicorn.config import KNOWN_SETTINGS\n"
    "sys.argv[0] = 'gunicorn'\n"
    "if any(s.name == 'control_socket_disable' for s in KNOWN_SETTINGS):\n"
    "    sys.argv.insert(1, '--no-control-socket')\n"
    "sys.exit(run())\n";

/* One gunicorn per position, with one worker: its arbiter keeps the socket when
 * the worker dies, and we see each on its own. The peer is our own front, over
 * a socket that only it may connect to, so its forwarded fields are trusted.
 */
static char **
gunicorn(const struct amy__site *site, const struct amy__site_worker *spec,
         const struct amy__env *env)
{
    struct list list = list_of(GUNICORN_WORDS);

    add(&list, "%s/bin/python", env->venv_path);
    copy(&list, "-c");
    copy(&list, run_gunicorn);
    copy(&list, "--workers=1");
    if (spec->slots > 1) {
        add(&list, "--threads=%u", (unsigned)spec->slots);
    }
    add(&list, "--timeout=%" PRId64,
        (amy__site_kill_after_ms(site, spec) + 999) / 1000);
    /* A second before our patience ends: its arbiter should be the one that
     * kills a worker, and tell so. */
    add(&list, "--graceful-timeout=%" PRId64,
        spec->stop_patience_ms > 2000 ? spec->stop_patience_ms / 1000 - 1 : 1);
    add(&list, "--name=%s:%s", site->domain, spec->name);
    copy(&list, "--forwarded-allow-ips=*");
    copy(&list, "--worker-tmp-dir=/dev/shm");
    copy(&list, spec->wsgi);
    return finish(&list);
}

char **
amy__workers_command(const struct amy__site *site,
                     const struct amy__site_worker *spec,
                     const struct amy__env *env)
{
    struct list list;

    if (spec->wsgi != NULL) {
        return gunicorn(site, spec, env);
    }
    list = list_of(length_of(spec->command));
    for (size_t i = 0; spec->command[i] != NULL; i++) {
        copy(&list, spec->command[i]);
    }
    return finish(&list);
}

char **
amy__workers_environment(const struct amy__site *site,
                         const struct amy__site_worker *spec,
                         const struct amy__env *env, uint64_t generation)
{
    struct list list = list_of(length_of(env->vars) + 4);

    for (size_t i = 0; env->vars[i] != NULL; i++) {
        copy(&list, env->vars[i]);
    }
    add(&list, "AMY_SITE=%s", site->domain);
    add(&list, "AMY_POOL=%s", spec->name);
    add(&list, "AMY_GENERATION=%" PRIu64, generation);
    if (amy__env_get(env, "PYTHONUNBUFFERED") == NULL) {
        /* Lines reach the log when they are written, not when 8 KiB are. */
        copy(&list, "PYTHONUNBUFFERED=1");
    }
    return finish(&list);
}
