/* Runs bash over activate and postactivate as the site's user and takes the
 * environment it leaves. Not for what the variables mean to anybody. */
#include "site/env.h"

#include "core/alloc.h"
#include "core/buf.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "core/loop.h"
#include "core/spawn.h"
#include "core/user.h"
#include "site/env_files.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RESULT_MAX ((size_t)1024 * 1024)
#define CHATTER_MAX ((size_t)16 * 1024)
#define READ_SIZE 8192
#define DEFAULT_TIMEOUT_MS 5000
#define KILLED_WITHIN_MS 1000
#define MAX_FILES 2

/* Each file's name goes to descriptor 3 before it is read, so that a failure
 * has a name; the files themselves do not have that descriptor. No `||` after
 * source: it would switch off a `set -e` of theirs. activate names the path at
 * which the environment was made; where that leads through a link, or the whole
 * was copied, the real one takes its place, so that a worker started again
 * later has the same interpreter. */
static const char script[] =
    "amy_files=(\"$@\"); set --\n"
    "for amy_file in \"${amy_files[@]}\"; do\n"
    "  printf '%s\\0' \"$amy_file\" >&3\n"
    "  source \"$amy_file\" 3>&-\n"
    "  amy_status=$?\n"
    "  if [ \"$amy_status\" != 0 ]; then exit \"$amy_status\"; fi\n"
    "  amy_venv=${amy_file%/bin/*}\n"
    "  if [ \"${VIRTUAL_ENV:-$amy_venv}\" != \"$amy_venv\" ]; then\n"
    "    PATH=:$PATH:\n"
    "    PATH=${PATH//\":$VIRTUAL_ENV/bin:\"/\":$amy_venv/bin:\"}\n"
    "    PATH=${PATH#:}; PATH=${PATH%:}; VIRTUAL_ENV=$amy_venv\n"
    "  fi\n"
    "done\n"
    "unset amy_files amy_file amy_status amy_venv\n"
    "exec /usr/bin/env -0 >&3\n";

struct amy__env_job {
    amy__env_fn fn;
    void *user;
    struct amy__child child;
    struct amy__timer *deadline;
    struct amy__io *ended;
    struct amy__io *result_io;
    struct amy__io *chatter_io;
    int result_fd;
    int chatter_fd;
    struct amy__buf result;
    struct amy__buf chatter; /* the end of stdout and stderr */
    int64_t timeout_ms;
    int failed; /* AMY_E* of our own verdict: deadline, size */
    size_t file_count;
    bool as_person;
    uid_t uid;
    gid_t gid;
    char link_path[PATH_MAX]; /* as a person would write it */
    char repo_path[PATH_MAX];
    char venv_path[PATH_MAX];
};

/* What must live until the child is started, and no longer. */
struct start {
    struct amy__env_files files;
    char paths[MAX_FILES][PATH_MAX + 32];
    char home[PATH_MAX + 8];
    char user[80];
    char logname[80];
    struct amy__user account;
    int result_fd; /* the child's ends */
    int chatter_fd;
};

static void
free_job(struct amy__env_job *job)
{
    amy__timer_free(job->deadline);
    amy__io_free(job->ended);
    amy__io_free(job->result_io);
    amy__io_free(job->chatter_io);
    amy__close(&job->child.pidfd);
    amy__close(&job->result_fd);
    amy__close(&job->chatter_fd);
    if (job->result.data != NULL) {
        explicit_bzero(job->result.data, job->result.cap);
    }
    amy__buf_clear(&job->result);
    amy__buf_clear(&job->chatter);
    amy__free(job);
}

/* The whole group: what the files left in the background ends with them. The
 * leader is not reaped yet, so the number is still its own. */
static void
kill_group(const struct amy__env_job *job)
{
    (void)kill(-job->child.pid, SIGKILL); /* ESRCH: nobody is left */
}

/* --- what came out --- */

/* The name of the file being read when it ended: the last record that is one
 * of ours; the shell writes them in order. */
static const char *
current_file(const struct amy__env_job *job)
{
    static const char *const names[MAX_FILES] = {"repo/.venv/bin/activate",
                                                 "repo/.venv/bin/postactivate"};
    size_t n = 0;

    for (size_t i = 0; i < job->result.len && n < job->file_count; i++) {
        n += job->result.data[i] == '\0' ? 1 : 0;
    }
    return n == 0 ? "the shell" : names[n - 1];
}

/* What the shell said last, printable; "" when it said nothing. */
static void
last_line(const struct amy__buf *chatter, char *buf, size_t size)
{
    size_t end = chatter->len;
    size_t start = 0;

    while (end > 0 &&
           (chatter->data[end - 1] == '\n' || chatter->data[end - 1] == ' ')) {
        end--;
    }
    start = end;
    while (start > 0 && chatter->data[start - 1] != '\n') {
        start--;
    }
    buf[0] = '\0';
    if (end > start) {
        (void)amy__escape(
            (struct amy__span){chatter->data + start, end - start}, buf, size);
    }
}

/* The variables follow the names of all files. */
static bool
skip_names(const struct amy__env_job *job, struct amy__span *ret_rest)
{
    struct amy__span rest = amy__buf_span(&job->result);

    for (size_t i = 0; i < job->file_count; i++) {
        const char *end = rest.n == 0 ? NULL : memchr(rest.p, '\0', rest.n);

        if (end == NULL) {
            return false;
        }
        rest.n -= (size_t)(end - rest.p) + 1;
        rest.p = end + 1;
    }
    *ret_rest = rest;
    return rest.n > 0;
}

static int
explain_failure(const struct amy__env_job *job,
                const struct amy__child_exit *how, struct amy_error *err)
{
    char said[128];

    last_line(&job->chatter, said, sizeof(said));
    if (job->failed == AMY_ETIMEOUT) {
        return amy__err(err, AMY_ETIMEOUT, "%s took longer than %lld ms%s%s",
                        current_file(job), (long long)job->timeout_ms,
                        said[0] == '\0' ? "" : AMY__SAID, said);
    }
    if (job->failed < 0) {
        return amy__err(err, job->failed, "%s: the environment is too large",
                        current_file(job));
    }
    if (how->signal != 0) {
        return amy__err(err, AMY_EPARSE, "%s was ended by signal %d%s%s",
                        current_file(job), how->signal,
                        said[0] == '\0' ? "" : AMY__SAID, said);
    }
    if (how->code == 0) {
        return amy__err(err, AMY_EPARSE, "%s ended the shell: 'exit' in it?",
                        current_file(job));
    }
    return amy__err(err, AMY_EPARSE, "%s failed with status %d%s%s",
                    current_file(job), how->code,
                    said[0] == '\0' ? "" : AMY__SAID, said);
}

/* Does VIRTUAL_ENV, which activate has from the day it was made, lead to the
 * environment that we found? */
static bool
is_our_venv(const struct amy__env_job *job, const char *path)
{
    struct amy__as_user saved = {.changed = false};
    struct stat named = {0};
    struct stat ours = {0};
    bool same = false;

    if (!job->as_person &&
        amy__as_user_begin(job->uid, job->gid, &saved, NULL) < 0) {
        return false;
    }
    same = stat(path, &named) == 0 && stat(job->venv_path, &ours) == 0 &&
           named.st_dev == ours.st_dev && named.st_ino == ours.st_ino;
    if (!job->as_person) {
        amy__as_user_end(&saved);
    }
    return same;
}

/* `repo` is often a link that the next release moves. */
static int
pin(const struct amy__env_job *job, struct amy__env *env, struct amy_error *err)
{
    const char *named = amy__env_get(env, "VIRTUAL_ENV");
    char venv[PATH_MAX] = "";
    int rc = 0;

    if (named != NULL && strlen(named) < sizeof(venv) &&
        is_our_venv(job, named)) {
        (void)snprintf(venv, sizeof(venv), "%s", named);
        rc = amy__env_pin(env, venv, job->venv_path, err);
    }
    if (rc == 0) {
        (void)snprintf(venv, sizeof(venv), "%.4000s/.venv", job->link_path);
        rc = amy__env_pin(env, venv, job->venv_path, err);
    }
    if (rc == 0) {
        rc = amy__env_pin(env, job->link_path, job->repo_path, err);
    }
    return rc;
}

static int
judge(const struct amy__env_job *job, const struct amy__child_exit *how,
      struct amy__env **ret_env, struct amy_error *err)
{
    struct amy__span records = {NULL, 0};
    struct amy__env *env = NULL;
    int rc = 0;

    if (job->failed < 0 || how->code != 0 || !skip_names(job, &records)) {
        return explain_failure(job, how, err);
    }
    rc = amy__env_from_records(records, job->repo_path, job->venv_path, &env,
                               err);
    if (rc == 0) {
        rc = pin(job, env, err);
    }
    if (rc < 0) {
        amy__env_unref(env);
        return rc;
    }
    *ret_env = env;
    return 0;
}

/* --- while it runs --- */

static void
stop_early(struct amy__env_job *job, int code)
{
    if (job->failed == 0) {
        job->failed = code;
        kill_group(job);
    }
}

/* One read; false when there is nothing more now, or ever. */
static bool
read_some(int fd, struct amy__buf *buf, int *ret_rc)
{
    char bytes[READ_SIZE];
    ssize_t n = read(fd, bytes, sizeof(bytes));

    if (n <= 0) {
        return false;
    }
    *ret_rc = amy__buf_append(buf, bytes, (size_t)n);
    explicit_bzero(bytes, (size_t)n);
    return true;
}

static void
read_result(struct amy__env_job *job)
{
    int rc = 0;

    while (rc == 0 && read_some(job->result_fd, &job->result, &rc)) {
    }
    if (rc < 0) {
        stop_early(job, rc);
    }
}

/* Only the end matters. At most so much per turn: it may talk for ever. */
static void
read_chatter(struct amy__env_job *job)
{
    int rc = 0;

    for (unsigned i = 0; i < 8; i++) {
        if (job->chatter.len + READ_SIZE > CHATTER_MAX) {
            amy__buf_consume(&job->chatter, READ_SIZE);
        }
        if (!read_some(job->chatter_fd, &job->chatter, &rc) || rc < 0) {
            return;
        }
    }
}

/* At the end of a pipe the descriptor stays readable: look no more. */
static void
pause_at_end(int fd, struct amy__io *io)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    if (poll(&p, 1, 0) == 1 && (p.revents & POLLIN) == 0) {
        (void)amy__io_want(io, 0, NULL); /* the deadline ends it all anyhow */
    }
}

static void
on_result(int fd, unsigned what, void *user)
{
    struct amy__env_job *job = user;

    (void)what;
    read_result(job);
    pause_at_end(fd, job->result_io);
}

static void
on_chatter(int fd, unsigned what, void *user)
{
    struct amy__env_job *job = user;

    (void)what;
    read_chatter(job);
    pause_at_end(fd, job->chatter_io);
}

static void
on_deadline(void *user)
{
    stop_early(user, AMY_ETIMEOUT);
}

static void
on_ended(int fd, unsigned what, void *user)
{
    struct amy__env_job *job = user;
    struct amy__child_exit how = {.code = -1};
    struct amy__env *env = NULL;
    struct amy_error err = AMY_ERROR_INIT;
    amy__env_fn fn = job->fn;
    void *fn_user = job->user;
    int rc = 0;

    (void)fd;
    (void)what;
    kill_group(job);
    /* Before it is reaped: what is too much to read kills the group again, and
     * after that its number may be another's. */
    read_result(job);
    read_chatter(job);
    rc = amy__child_reap(&job->child, &how, &err);
    if (rc == 0) {
        return; /* not yet: the descriptor will say so again */
    }
    if (rc > 0) {
        rc = judge(job, &how, &env, &err);
    }
    free_job(job);
    fn(rc, env, rc < 0 ? &err : NULL, fn_user);
    if (env != NULL) {
        amy__env_unref(env);
    }
}

/* --- starting --- */

static int
look_up_user(const struct amy__site *site, struct start *start,
             struct amy_error *err)
{
    int rc = amy__user_find(site->user, &start->account, err);

    if (rc < 0) {
        return rc;
    }
    (void)snprintf(start->home, sizeof(start->home), "HOME=%s",
                   start->account.home);
    (void)snprintf(start->user, sizeof(start->user), "USER=%s", site->user);
    (void)snprintf(start->logname, sizeof(start->logname), "LOGNAME=%s",
                   site->user);
    return 0;
}

static int
make_pipe(int *ret_ours, int *ret_theirs, struct amy_error *err)
{
    int ends[2] = {-1, -1};

    if (pipe2(ends, O_CLOEXEC) < 0) {
        return amy__err_sys(err, errno, "making a pipe");
    }
    *ret_ours = ends[0];
    *ret_theirs = ends[1];
    /* Ours alone: a shell must not meet EAGAIN on its output. */
    if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0) {
        return amy__err_sys(err, errno, "preparing a pipe");
    }
    return 0;
}

static int
spawn_shell(const struct amy__env_options *opts, struct start *start,
            struct amy__env_job *job, struct amy_error *err)
{
    const char *argv[] = {
        "/bin/bash", "--noprofile",   "--norc",        "-c", script,
        "amy-env",   start->paths[0], start->paths[1], NULL};
    const char *const envp[] = {start->home,
                                start->user,
                                start->logname,
                                "SHELL=/bin/bash",
                                "PATH=/usr/local/bin:/usr/bin:/bin",
                                "LANG=C.UTF-8",
                                NULL};
    const struct amy__spawn_fd fds[] = {
        {start->chatter_fd, 1}, {start->chatter_fd, 2}, {start->result_fd, 3}};
    struct amy__spawn_plan plan = {
        .argv = argv,
        .envp = envp,
        .cwd_fd = start->files.repo_fd,
        .fds = fds,
        .fd_count = sizeof(fds) / sizeof(fds[0]),
        .set_ids = !opts->as_person,
        .uid = opts->site->uid,
        .gid = opts->site->gid,
        .groups = start->account.groups,
        .group_count = start->account.group_count,
        .drop_capabilities = !opts->as_person,
        .no_new_privs = true,
        .new_session = true,
        .parent_death_signal = SIGKILL,
        .umask_plus_one = 022 + 1,
        .no_core = true,
    };

    if (!start->files.has_postactivate) {
        argv[7] = NULL;
    }
    return amy__spawn(&plan, &job->child, err);
}

static int
watch_shell(const struct amy__env_options *opts, struct amy__env_job *job,
            struct amy_error *err)
{
    int rc =
        amy__timer_create(opts->base, on_deadline, job, &job->deadline, err);

    if (rc == 0) {
        rc = amy__timer_arm(job->deadline, job->timeout_ms, err);
    }
    if (rc == 0) {
        rc = amy__io_create(opts->base, job->child.pidfd, AMY__IO_READ,
                            on_ended, job, &job->ended, err);
    }
    if (rc == 0) {
        rc = amy__io_create(opts->base, job->result_fd, AMY__IO_READ, on_result,
                            job, &job->result_io, err);
    }
    if (rc == 0) {
        rc = amy__io_create(opts->base, job->chatter_fd, AMY__IO_READ,
                            on_chatter, job, &job->chatter_io, err);
    }
    return rc;
}

static int
start_shell(const struct amy__env_options *opts, struct start *start,
            struct amy__env_job *job, struct amy_error *err)
{
    int rc = look_up_user(opts->site, start, err);

    (void)snprintf(start->paths[0], sizeof(start->paths[0]), "%s/bin/activate",
                   start->files.venv_path);
    (void)snprintf(start->paths[1], sizeof(start->paths[1]),
                   "%s/bin/postactivate", start->files.venv_path);
    if (rc == 0) {
        rc = make_pipe(&job->result_fd, &start->result_fd, err);
    }
    if (rc == 0) {
        rc = make_pipe(&job->chatter_fd, &start->chatter_fd, err);
    }
    if (rc == 0) {
        rc = spawn_shell(opts, start, job, err);
    }
    if (rc == 0) {
        rc = watch_shell(opts, job, err);
        if (rc < 0) {
            amy__env_cancel(job);
        }
        return rc;
    }
    free_job(job);
    return rc;
}

static struct amy__env_job *
new_job(const struct amy__env_options *opts, const struct start *start,
        amy__env_fn fn, void *user)
{
    struct amy__env_job *job = amy__calloc(1, sizeof(*job));

    if (job == NULL) {
        return NULL;
    }
    job->fn = fn;
    job->user = user;
    job->child.pidfd = -1;
    job->result_fd = -1;
    job->chatter_fd = -1;
    job->timeout_ms =
        opts->timeout_ms > 0 ? opts->timeout_ms : DEFAULT_TIMEOUT_MS;
    job->file_count = start->files.has_postactivate ? 2 : 1;
    amy__buf_init(&job->result, RESULT_MAX);
    amy__buf_init(&job->chatter, CHATTER_MAX);
    job->as_person = opts->as_person;
    job->uid = opts->site->uid;
    job->gid = opts->site->gid;
    (void)snprintf(job->link_path, sizeof(job->link_path), "%s/%s/repo",
                   opts->webapps_path, opts->site->domain);
    memcpy(job->repo_path, start->files.repo_path, sizeof(job->repo_path));
    memcpy(job->venv_path, start->files.venv_path, sizeof(job->venv_path));
    return job;
}

int
amy__env_start(const struct amy__env_options *opts, amy__env_fn fn, void *user,
               struct amy__env_job **ret_job, struct amy_error *err)
{
    struct start *start = amy__calloc(1, sizeof(*start));
    struct amy__env_job *job = NULL;
    int rc = 0;

    if (start == NULL) {
        return amy__err(err, AMY_ENOMEM, "starting a shell");
    }
    start->files.repo_fd = -1;
    start->result_fd = -1;
    start->chatter_fd = -1;
    rc = amy__env_files_find(opts->site, opts->webapps_path, opts->release,
                             opts->as_person, &start->files, err);
    if (rc == 0) {
        job = new_job(opts, start, fn, user);
        rc = job == NULL ? amy__err(err, AMY_ENOMEM, "starting a shell")
                         : start_shell(opts, start, job, err);
    }
    amy__user_clear(&start->account);
    amy__close(&start->files.repo_fd);
    amy__close(&start->result_fd);
    amy__close(&start->chatter_fd);
    amy__free(start);
    if (rc == 0) {
        *ret_job = job;
    }
    return rc;
}

void
amy__env_cancel(struct amy__env_job *job)
{
    struct pollfd ended = {.events = POLLIN};
    struct amy__child_exit how;

    if (job == NULL) {
        return;
    }
    kill_group(job);
    ended.fd = job->child.pidfd;
    /* A killed process ends at once unless the kernel holds it; then it is
     * left to whoever reaps strangers. */
    (void)poll(&ended, 1, KILLED_WITHIN_MS);
    (void)amy__child_reap(&job->child, &how, NULL);
    free_job(job);
}
