/* The release that served last, for a supervisor that starts anew: the link
 * that `repo` is may lead to one by now that never did. */
/* Not for what a generation is: see pool.c. */
#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "site/env_files.h"
#include "workers/internal.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FILE_NAME "served"
#define TEXT_MAX ((size_t)2 * PATH_MAX + 2)

void
amy__workers_served_write(const struct amy__workers_pool *pool)
{
    const struct amy_workers *workers = pool->borrow_site->borrow_workers;
    struct amy_error err = AMY_ERROR_INIT;
    char text[TEXT_MAX];
    AMY_CLEANUP(amy__close_p)
    int dir_fd = amy__workers_state_dir(workers, pool->site->domain, &err);
    int n = snprintf(text, sizeof(text), "%s\n%s\n", pool->env->repo_path,
                     pool->env->venv_path);

    /* A path with a newline in it is nobody's release. */
    if (strchr(pool->env->repo_path, '\n') != NULL ||
        strchr(pool->env->venv_path, '\n') != NULL ||
        (size_t)n >= sizeof(text)) {
        return;
    }
    if (dir_fd < 0 || amy__write_file_at(dir_fd, FILE_NAME, text, (size_t)n,
                                         0600, &err) < 0) {
        amy__log(&workers->log, AMY_LOG_WARN,
                 "the release that serves cannot be noted site=%s "
                 "reason=\"%s\"",
                 pool->site->domain, err.msg);
    }
}

static bool
read_line(struct amy__span *rest, char ret_path[PATH_MAX])
{
    struct amy__span line = {NULL, 0};

    return amy__span_split(rest, '\n', &line) && line.n > 0 &&
           line.p[0] == '/' && amy__span_copy(line, ret_path, PATH_MAX);
}

static bool
read_release(const struct amy__workers_site *site,
             struct amy__env_release *ret_release)
{
    const struct amy_workers *workers = site->borrow_workers;
    AMY_CLEANUP(amy__close_p)
    int dir_fd = amy__workers_state_dir(workers, site->domain, NULL);
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf text = {NULL, 0, 0, 0};
    struct amy__span rest = {NULL, 0};

    amy__buf_init(&text, TEXT_MAX);
    if (dir_fd < 0 ||
        amy__read_file_at(dir_fd, FILE_NAME, TEXT_MAX, &text, NULL, NULL) < 0) {
        return false;
    }
    rest = amy__buf_span(&text);
    return read_line(&rest, ret_release->repo_path) &&
           read_line(&rest, ret_release->venv_path);
}

bool
amy__workers_served_read(const struct amy__workers_site *site,
                         struct amy__env_release *ret_release)
{
    const struct amy_workers *workers = site->borrow_workers;
    struct amy__env_files now = {.repo_fd = -1};
    bool same = false;

    if (!read_release(site, ret_release)) {
        return false;
    }
    if (amy__env_files_find(site->site, workers->settings->webapps, NULL,
                            workers->as_person, &now, NULL) == 0) {
        same = strcmp(now.repo_path, ret_release->repo_path) == 0 &&
               strcmp(now.venv_path, ret_release->venv_path) == 0;
        amy__close(&now.repo_fd);
    }
    return !same;
}
