#include "scene.h"

#include "amy_test.h"

#include "core/clock.h"
#include "core/files.h"
#include "core/user.h"

#include <event2/event.h>

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LATE_MS 20000

void
scene_put(const struct scene *s, const char *name, const char *text,
          mode_t mode)
{
    char path[256];
    int fd = -1;

    (void)snprintf(path, sizeof(path), "%s/%s", s->path, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    assert_int_equal(amy__write_all(fd, text, strlen(text), NULL), 0);
    amy__close(&fd);
}

void
scene_make(const struct scene *s, const char *name)
{
    char path[256];

    (void)snprintf(path, sizeof(path), "%s/%s", s->path, name);
    assert_int_equal(amy__make_dirs(path, 0755, NULL), 0);
}

/* logs/ stays ours: without our old powers we could not tidy another's. */
void
scene_put_site(const struct scene *s, const char *activate, const char *more)
{
    char yaml[2048];

    scene_make(s, "webapps/" DOMAIN "/logs");
    scene_make(s, "webapps/" DOMAIN "/repo/.venv/bin");
    scene_put(s, "webapps/" DOMAIN "/repo/.venv/bin/python", "#!/bin/sh\n",
              0755);
    scene_put(s, "webapps/" DOMAIN "/repo/.venv/bin/activate", activate, 0644);
    (void)snprintf(yaml, sizeof(yaml), "site: " DOMAIN "\nuser: %s\n%s",
                   s->user, more);
    scene_put(s, "webapps/" DOMAIN "/site.yaml", yaml, 0644);
}

/* Shown with a test that fails. */
static void
on_log(enum amy_log_level level, const char *line, void *user)
{
    (void)level;
    (void)user;
    print_message("%s\n", line);
}

static void
create_supervisor(struct scene *s)
{
    struct amy_workers_options opts = AMY_WORKERS_OPTIONS_INIT;
    const struct amy_log log = {.struct_size = sizeof(log), .fn = on_log};

    opts.log = &log;
    opts.base = s->base;
    opts.config = s->config;
    opts.webapps = s->webapps;
    opts.run = s->run;
    opts.state = s->state;
    assert_int_equal(amy_workers_create(&opts, &s->workers, NULL), 0);
}

void
scene_renew_supervisor(struct scene *s)
{
    amy_workers_free(s->workers);
    create_supervisor(s);
}

int
scene_set_up(void **state)
{
    static struct scene s;

    s = (struct scene){.base = event_base_new()};
    (void)umask(022);
    (void)snprintf(s.path, sizeof(s.path), "/tmp/amy-workers-XXXXXX");
    assert_non_null(mkdtemp(s.path));
    assert_int_equal(chmod(s.path, 0755), 0);
    (void)snprintf(s.webapps, sizeof(s.webapps), "%s/webapps", s.path);
    (void)snprintf(s.run, sizeof(s.run), "%s/run", s.path);
    (void)snprintf(s.state, sizeof(s.state), "%s/state", s.path);
    (void)snprintf(s.config, sizeof(s.config), "%s/amy.yaml", s.path);
    if (geteuid() == 0) {
        (void)snprintf(s.user, sizeof(s.user), "nobody");
    } else {
        (void)amy__user_name(geteuid(), s.user, sizeof(s.user));
    }
    scene_put(&s, "amy.yaml", "front: {user: daemon}\n", 0644);
    scene_make(&s, "webapps");
    create_supervisor(&s);
    *state = &s;
    return 0;
}

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

int
scene_tear_down(void **state)
{
    struct scene *s = *state;

    amy_workers_free(s->workers);
    event_base_free(s->base);
    return nftw(s->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void
scene_on_reloaded(struct amy_workers *workers, void *user)
{
    (void)workers;
    ((struct scene *)user)->reloaded++;
}

void
scene_on_stopped(struct amy_workers *workers, void *user)
{
    (void)workers;
    ((struct scene *)user)->stopped++;
}

void
scene_run_until(struct scene *s, scene_holds_fn holds)
{
    int64_t late_ms = amy__mono_ms(NULL) + LATE_MS;

    while (!holds(s)) {
        struct timeval tick = {.tv_usec = 20000};

        assert_true(amy__mono_ms(NULL) < late_ms);
        assert_int_equal(event_base_loopexit(s->base, &tick), 0);
        assert_true(event_base_dispatch(s->base) >= 0);
    }
}

bool
scene_has_stopped(const struct scene *s)
{
    return s->stopped > 0;
}

bool
scene_has_reloaded(const struct scene *s)
{
    return s->reloaded > 0;
}

const struct amy__workers_pool *
scene_pool(const struct scene *s, uint64_t generation, const char *name)
{
    const struct amy__workers_site *site =
        amy__workers_site_find(s->workers, DOMAIN);
    const struct amy__workers_pool *pool = site == NULL ? NULL : site->pools;

    while (pool != NULL && (pool->generation != generation ||
                            strcmp(pool->spec->name, name) != 0)) {
        pool = pool->next;
    }
    return pool;
}

struct amy__workers_reload *
scene_reload(const struct scene *s)
{
    struct amy__workers_site *site = amy__workers_site_find(s->workers, DOMAIN);

    assert_non_null(site);
    return &site->reload;
}
