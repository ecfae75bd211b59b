/* Starts a process of the site's user for one answer, and waits so long and no
 * longer. */
/* Not for what is asked there: answer.c. */
#include "doctor/ask.h"

#include "core/buf.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"
#include "core/loop.h"
#include "core/spawn.h"
#include "core/user.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define LINE_MAX_BYTES ((size_t)64 * 1024)
#define DEFAULT_MS 5000

AMY_DEFINE_CLEANUP(struct event_base *, amy__loop_free)

/* ---- the environment ---- */

struct wait {
    bool over;
    struct amy__env *env;
    struct amy_error err;
};

static void
on_env(int rc, struct amy__env *env, const struct amy_error *err, void *user)
{
    struct wait *wait = user;

    wait->over = true;
    if (rc == 0) {
        wait->env = amy__env_ref(env);
    } else {
        wait->err = *err;
    }
}

struct amy__env *
amy__doctor_env(const struct amy__doctor *doctor, const struct amy__site *site,
                struct amy_error *err)
{
    AMY_CLEANUP(amy__loop_free_p) struct event_base *base = NULL;
    struct wait wait = {.over = false};
    struct amy__env_job *job = NULL;
    struct amy__env_options opts = {
        .site = site,
        .webapps_path = doctor->settings->webapps,
        .as_person = geteuid() != 0,
    };

    if (amy__loop_create(&base, err) < 0) {
        return NULL;
    }
    opts.base = base;
    if (amy__env_start(&opts, on_env, &wait, &job, err) < 0) {
        return NULL;
    }
    if (amy__loop_run(base, &wait.over, err) < 0 && !wait.over) {
        amy__env_cancel(job);
        return NULL;
    }
    if (wait.env == NULL) {
        (void)amy__err(err, wait.err.code, "%s", wait.err.msg);
    }
    return wait.env;
}

/* ---- the answer ---- */

static int
start(const struct amy__site *site, const struct amy__env *env,
      const char *const *argv, int out_fd, struct amy__child *ret_child,
      struct amy_error *err)
{
    AMY_CLEANUP(amy__user_clear) struct amy__user account = {0};
    const struct amy__spawn_fd fds[] = {{out_fd, 1}};
    struct amy__spawn_plan plan = {
        .argv = argv,
        .envp = (const char *const *)env->vars,
        .cwd_fd = -1,
        .fds = fds,
        .fd_count = 1,
        .set_ids = geteuid() == 0,
        .uid = site->uid,
        .gid = site->gid,
        .drop_capabilities = geteuid() == 0,
        .no_new_privs = true,
        .new_session = true,
        .parent_death_signal = SIGKILL,
        .no_core = true,
    };
    int rc = amy__user_find(site->user, &account, err);

    if (rc < 0) {
        return rc;
    }
    plan.groups = account.groups;
    plan.group_count = account.group_count;
    return amy__spawn(&plan, ret_child, err);
}

/* Until its end, the deadline, or more than any answer has. */
static int
read_line(int fd, int64_t until_ms, struct amy__buf *line,
          struct amy_error *err)
{
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left = until_ms - amy__mono_ms(amy_clock_system());
        char bytes[4096];
        ssize_t n = 0;

        if (left <= 0 || poll(&p, 1, (int)left) <= 0) {
            return amy__err(err, AMY_ETIMEOUT, "no answer in time");
        }
        n = read(fd, bytes, sizeof(bytes));
        if (n <= 0) {
            return 0;
        }
        if (amy__buf_append(line, bytes, (size_t)n) < 0) {
            return amy__err(err, AMY_ELIMIT, "a longer answer than there is");
        }
    }
}

static int
ask(const struct amy__doctor *doctor, const struct amy__site *site,
    const struct amy__env *env, const char *const *argv, struct amy__buf *line,
    struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int ours = -1;
    AMY_CLEANUP(amy__close_p) int theirs = -1;
    struct amy__child child = {.pidfd = -1};
    uint32_t given = doctor->opts.timeout_ms;
    int64_t until_ms = amy__mono_ms(amy_clock_system()) +
                       (given == 0 ? DEFAULT_MS : (int64_t)given);
    int ends[2] = {-1, -1};
    int rc = 0;

    if (pipe2(ends, O_CLOEXEC) < 0) {
        return amy__err_sys(err, errno, "making a pipe");
    }
    ours = ends[0];
    theirs = ends[1];
    rc = start(site, env, argv, theirs, &child, err);
    if (rc == 0) {
        amy__close(&theirs);
        rc = read_line(ours, until_ms, line, err);
        amy__child_end(&child, true);
        amy__close(&child.pidfd);
    }
    return rc;
}

static struct amy__json *
failure(const char *why)
{
    struct amy__json *json = amy__json_object();

    (void)amy__json_set(json, "error", amy__json_text(why));
    return json;
}

struct amy__json *
amy__doctor_ask(const struct amy__doctor *doctor, const struct amy__site *site,
                const struct amy__env *env, const char *word, const char *name)
{
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf line = {NULL, 0, 0, 0};
    struct amy__json *json = NULL;
    struct amy_error err = AMY_ERROR_INIT;
    char self[PATH_MAX] = "";
    const char *argv[] = {doctor->opts.program, "--doctor", word, name, NULL};

    if (argv[0] == NULL && realpath("/proc/self/exe", self) != NULL) {
        argv[0] = self;
    }
    amy__buf_init(&line, LINE_MAX_BYTES);
    if (ask(doctor, site, env, argv, &line, &err) < 0) {
        return failure(err.msg);
    }
    /* The site's user may have made it write anything. */
    if (amy__json_parse(amy__buf_span(&line), &json, NULL) < 0 ||
        !amy__json_is_object(json)) {
        amy__json_free(json);
        return failure("the process that asks failed");
    }
    return json;
}
