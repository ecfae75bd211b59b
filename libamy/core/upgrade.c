/* Exec in place: trial of the new program, and the jump into it. */
/* Not for what is handed over: each room writes its own down. */
#include "core/upgrade.h"

#include <amy/version.h>

#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/options.h"
#include "core/spawn.h"
#include "core/str.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOOK_MS 50
#define HUSH_MS 1000 /* for those who are being answered */
#define TRIAL_MS 15000
#define WAIT_MS 300000
#define HOLD_LOOKS 2  /* turns of the loop with signals held back */
#define SAID_MAX 4096 /* of what a trial prints; its last line is told */
#define STATE_FD 3    /* in the trial */
#define ARGV_MAX 64

struct amy__upgrade {
    const struct amy__upgrade_owner *borrow_owner;
    struct amy__upgrade **where; /* the owner's, set to NULL at the end */
    struct amy_upgrade_options opts;
    char *program;
    char *argv[ARGV_MAX];
    size_t argc;
    struct amy__timer *timer;
    int64_t waits_until_ms;
    bool tried;              /* the trial is over, and it was good */
    struct stat file;        /* what was tried; all zero: nothing there */
    bool again;              /* asked for meanwhile: another one is installed */
    int64_t hushed_until_ms; /* 0: not hushed */
    bool held;               /* signals are held back */
    uint32_t looks;          /* since then */
    struct amy__child child; /* the trial; pidfd -1: none runs */
    struct amy__io *ended;
    int64_t trial_until_ms;
    int said_fd; /* what it prints */
    char said[SAID_MAX + 1];
    size_t said_bytes;
};

static int64_t
now_of(const struct amy__upgrade *upgrade)
{
    return amy__mono_ms(upgrade->borrow_owner->borrow_clock);
}

static void
hold(struct amy__upgrade *upgrade, bool on)
{
    if (upgrade->held != on && upgrade->opts.hold != NULL) {
        upgrade->opts.hold(on, upgrade->opts.user);
    }
    upgrade->held = on;
    upgrade->looks = 0;
}

/* Something comes first: as if the jump had not been near. */
static void
put_off(struct amy__upgrade *upgrade)
{
    const struct amy__upgrade_owner *owner = upgrade->borrow_owner;

    hold(upgrade, false);
    if (upgrade->hushed_until_ms != 0) {
        (void)owner->hush(false, owner->user);
    }
    upgrade->hushed_until_ms = 0;
}

void
amy__upgrade_free(struct amy__upgrade *upgrade)
{
    if (upgrade == NULL) {
        return;
    }
    hold(upgrade, false);
    amy__io_free(upgrade->ended);
    amy__child_end(&upgrade->child, true);
    amy__close(&upgrade->child.pidfd);
    amy__close(&upgrade->said_fd);
    amy__timer_free(upgrade->timer);
    for (size_t i = 0; i < upgrade->argc; i++) {
        amy__free(upgrade->argv[i]);
    }
    amy__free(upgrade->program);
    amy__free(upgrade);
}

static void
refuse(struct amy__upgrade *upgrade, const struct amy_error *err)
{
    const struct amy__upgrade_owner *owner = upgrade->borrow_owner;
    struct amy_upgrade_options opts = upgrade->opts;

    amy__log(owner->borrow_log, AMY_LOG_ERROR,
             "upgrade refused, this release goes on: %s program=%s version=%s",
             err->msg, upgrade->program, amy_version());
    (void)snprintf(owner->borrow_past->refusal,
                   sizeof(owner->borrow_past->refusal), "%s", err->msg);
    owner->borrow_past->wall_ms = amy__wall_ms(owner->borrow_clock);
    put_off(upgrade);
    *upgrade->where = NULL;
    amy__upgrade_free(upgrade);
    if (opts.refused != NULL) {
        opts.refused(err, opts.user);
    }
}

/* ---- the state ---- */

static int
save(const struct amy__upgrade *upgrade, struct amy__handover **ret,
     int *ret_fd, struct amy_error *err)
{
    AMY_CLEANUP(amy__handover_free_p) struct amy__handover *handover = NULL;
    const struct amy__upgrade_owner *owner = upgrade->borrow_owner;
    int rc = amy__handover_create(owner->daemon, &handover, err);

    if (rc < 0) {
        return rc;
    }
    (void)amy__json_set(amy__handover_root(handover), "release",
                        amy__json_text(amy_version()));
    (void)amy__json_set(amy__handover_root(handover), "upgrades",
                        amy__json_int((int64_t)owner->borrow_past->count));
    rc = owner->save(handover, owner->user, err);
    if (rc == 0) {
        rc = amy__handover_seal(handover, ret_fd, err);
    }
    if (rc == 0) {
        *ret = AMY_TAKE(handover);
    }
    return rc;
}

/* ---- the trial ---- */

static int
spawn_trial(struct amy__upgrade *upgrade, int state_fd, struct amy_error *err)
{
    char number[16] = "";
    const char *argv[ARGV_MAX + 3] = {NULL};
    AMY_CLEANUP(amy__close_p) int write_fd = -1;
    int ends[2] = {-1, -1};
    struct amy__spawn_fd fds[3] = {{state_fd, STATE_FD}};
    struct amy__spawn_plan plan = {
        .argv = argv,
        .envp = (const char *const *)environ,
        .cwd_fd = -1,
        .fds = fds,
        .fd_count = 3,
        .new_session = true,
        .parent_death_signal = SIGKILL,
    };

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        return amy__err_sys(err, errno, "making a pipe");
    }
    upgrade->said_fd = ends[0];
    write_fd = ends[1];
    fds[1] = (struct amy__spawn_fd){write_fd, STDOUT_FILENO};
    fds[2] = (struct amy__spawn_fd){write_fd, STDERR_FILENO};
    for (size_t i = 0; i < upgrade->argc; i++) {
        argv[i] = upgrade->argv[i];
    }
    (void)snprintf(number, sizeof(number), "%d", STATE_FD);
    argv[0] = upgrade->program;
    argv[upgrade->argc] = "--check-state";
    argv[upgrade->argc + 1] = number;
    return amy__spawn(&plan, &upgrade->child, err);
}

static void
read_said(struct amy__upgrade *upgrade)
{
    ssize_t n = 0;

    do {
        char more[512];

        n = read(upgrade->said_fd, more, sizeof(more));
        if (n > 0) { /* the end of it counts */
            size_t keep = SAID_MAX - (size_t)n;

            if (upgrade->said_bytes > keep) {
                memmove(upgrade->said,
                        upgrade->said + upgrade->said_bytes - keep, keep);
                upgrade->said_bytes = keep;
            }
            memcpy(upgrade->said + upgrade->said_bytes, more, (size_t)n);
            upgrade->said_bytes += (size_t)n;
        }
    } while (n > 0 || (n < 0 && errno == EINTR));
}

/* The last line that says something. */
static const char *
last_line(struct amy__upgrade *upgrade)
{
    char *text = upgrade->said;
    size_t n = upgrade->said_bytes;
    char *line = NULL;

    while (n > 0 && (unsigned char)text[n - 1] <= ' ') {
        n--;
    }
    text[n] = '\0';
    line = n == 0 ? NULL : memrchr(text, '\n', n);
    return line == NULL ? text : line + 1;
}

static void arm(struct amy__upgrade *upgrade, int64_t after_ms);

static void
on_trial_ended(int fd, unsigned what, void *user)
{
    struct amy__upgrade *upgrade = user;
    struct amy__child_exit how = {0};
    struct amy_error err = AMY_ERROR_INIT;
    int rc = amy__child_reap(&upgrade->child, &how, &err);

    (void)fd;
    (void)what;
    if (rc == 0) {
        return;
    }
    read_said(upgrade);
    amy__io_free(upgrade->ended);
    upgrade->ended = NULL;
    amy__close(&upgrade->child.pidfd);
    amy__close(&upgrade->said_fd);
    upgrade->tried = rc > 0 && how.code == 0;
    if (upgrade->tried || upgrade->again) { /* the next one may be whole */
        arm(upgrade, 0);
        return;
    }
    if (rc > 0 && how.signal != 0) {
        (void)amy__err(&err, AMY_ESTATE,
                       "the new program was killed by signal %d", how.signal);
    } else if (rc > 0) {
        (void)amy__err(&err, AMY_ESTATE,
                       "the new program does not take over (exit %d): %.160s",
                       how.code, last_line(upgrade));
    }
    refuse(upgrade, &err);
}

static struct stat
file_of(const struct amy__upgrade *upgrade)
{
    struct stat file = {0};

    (void)stat(upgrade->program, &file);
    return file;
}

/* A package may be unpacked between the trial and the jump. */
static bool
is_tried(const struct amy__upgrade *upgrade)
{
    const struct stat *then = &upgrade->file;
    struct stat now = file_of(upgrade);

    return upgrade->tried && !upgrade->again && now.st_dev == then->st_dev &&
           now.st_ino == then->st_ino && now.st_size == then->st_size &&
           now.st_mtim.tv_sec == then->st_mtim.tv_sec &&
           now.st_mtim.tv_nsec == then->st_mtim.tv_nsec;
}

static int
try_program(struct amy__upgrade *upgrade, struct amy_error *err)
{
    AMY_CLEANUP(amy__handover_free_p) struct amy__handover *handover = NULL;
    int state_fd = -1;
    int rc = 0;

    upgrade->tried = false;
    upgrade->again = false;
    upgrade->said_bytes = 0;
    upgrade->file = file_of(upgrade);
    rc = save(upgrade, &handover, &state_fd, err);
    if (rc == 0) {
        rc = spawn_trial(upgrade, state_fd, err);
    }
    if (rc < 0) {
        return rc;
    }
    upgrade->trial_until_ms = now_of(upgrade) + upgrade->opts.trial_ms;
    return amy__io_create(upgrade->borrow_owner->base, upgrade->child.pidfd,
                          AMY__IO_READ, on_trial_ended, upgrade,
                          &upgrade->ended, err);
}

/* ---- the jump ---- */

static char **
environment_with(const char *entry)
{
    char **envp = NULL;
    size_t n = 0;
    size_t used = 0;

    while (environ[n] != NULL) {
        n++;
    }
    envp = amy__calloc(n + 2, sizeof(*envp));
    for (size_t i = 0; envp != NULL && i < n; i++) {
        if (strncmp(environ[i], AMY__HANDOVER_VARIABLE "=",
                    sizeof(AMY__HANDOVER_VARIABLE)) != 0) {
            envp[used++] = environ[i];
        }
    }
    if (envp != NULL) {
        memcpy(&envp[used], &entry, sizeof(entry));
    }
    return envp;
}

/* Returns only when it failed. */
static int
jump(struct amy__upgrade *upgrade, struct amy_error *err)
{
    AMY_CLEANUP(amy__handover_free_p) struct amy__handover *handover = NULL;
    char entry[64] = "";
    char **envp = NULL;
    int state_fd = -1;
    int rc = save(upgrade, &handover, &state_fd, err);

    if (rc < 0) {
        return rc;
    }
    if (upgrade->opts.before != NULL) {
        upgrade->opts.before(upgrade->opts.user);
    }
    (void)snprintf(entry, sizeof(entry), AMY__HANDOVER_VARIABLE "=%d",
                   state_fd);
    envp = environment_with(entry);
    if (envp == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating an environment");
    }
    upgrade->argv[upgrade->argc] = NULL;
    amy__handover_keep(handover, true);
    (void)execve(upgrade->program, upgrade->argv, envp);
    rc = amy__err_sys(err, errno, "execve '%s'", upgrade->program);
    amy__handover_keep(handover, false);
    amy__free(envp);
    return rc;
}

/* ---- waiting ---- */

/* Nobody is being answered, and no signal is on its way from its handler to the
 * loop: one that was caught before they were held back has had a turn. */
static bool
is_quiet(struct amy__upgrade *upgrade, int64_t now_ms)
{
    const struct amy__upgrade_owner *owner = upgrade->borrow_owner;

    if (upgrade->hushed_until_ms == 0) {
        upgrade->hushed_until_ms = now_ms + HUSH_MS;
    }
    if (!owner->hush(true, owner->user) && now_ms < upgrade->hushed_until_ms) {
        return false;
    }
    if (!upgrade->held) {
        hold(upgrade, true);
    }
    return upgrade->looks++ >= HOLD_LOOKS;
}

static int
go_on(struct amy__upgrade *upgrade, struct amy_error *err)
{
    const struct amy__upgrade_owner *owner = upgrade->borrow_owner;
    const char *busy = NULL;
    int64_t now_ms = now_of(upgrade);

    if (upgrade->child.pidfd >= 0) {
        read_said(upgrade); /* else it waits for room in the pipe */
        return now_ms < upgrade->trial_until_ms
                   ? 0
                   : amy__err(err, AMY_ETIMEOUT,
                              "the new program says nothing in %u ms",
                              upgrade->opts.trial_ms);
    }
    busy = owner->busy(owner->user);
    if (busy != NULL && now_ms >= upgrade->waits_until_ms) {
        return amy__err(err, AMY_EBUSY, "waited too long: %s", busy);
    }
    if (busy != NULL) {
        put_off(upgrade);
        upgrade->tried = false; /* a library may be another one by then */
        return 0;
    }
    if (!is_tried(upgrade)) {
        put_off(upgrade);
        return try_program(upgrade, err);
    }
    return is_quiet(upgrade, now_ms) ? jump(upgrade, err) : 0;
}

static void
on_timer(void *user)
{
    struct amy__upgrade *upgrade = user;
    struct amy_error err = AMY_ERROR_INIT;

    if (go_on(upgrade, &err) < 0) {
        refuse(upgrade, &err);
        return;
    }
    arm(upgrade, upgrade->held ? 0 : LOOK_MS);
}

static void
arm(struct amy__upgrade *upgrade, int64_t after_ms)
{
    struct amy_error err = AMY_ERROR_INIT;

    if (amy__timer_arm(upgrade->timer, after_ms, &err) < 0) {
        refuse(upgrade, &err);
    }
}

/* ---- beginning ---- */

static int
copy_arguments(struct amy__upgrade *upgrade, struct amy_error *err)
{
    const struct amy_upgrade_options *opts = &upgrade->opts;

    for (size_t i = 0; opts->argv[i] != NULL; i++) {
        if (i + 3 >= ARGV_MAX) {
            return amy__err(err, AMY_EINVAL, "upgrade: too many arguments");
        }
        upgrade->argv[i] = amy__strdup(opts->argv[i]);
        if (upgrade->argv[i] == NULL) {
            return amy__err(err, AMY_ENOMEM, "allocating an upgrade");
        }
        upgrade->argc++;
    }
    upgrade->program = amy__strdup(opts->program);
    return upgrade->program == NULL
               ? amy__err(err, AMY_ENOMEM, "allocating an upgrade")
               : 0;
}

static int
read_options(struct amy__upgrade *upgrade,
             const struct amy_upgrade_options *opts, struct amy_error *err)
{
    int rc = amy__options_read(&upgrade->opts, sizeof(upgrade->opts), opts,
                               sizeof(size_t), err);

    if (rc < 0) {
        return rc;
    }
    if (upgrade->opts.program == NULL || upgrade->opts.argv == NULL ||
        upgrade->opts.argv[0] == NULL) {
        return amy__err(err, AMY_EINVAL,
                        "upgrade: a program and its arguments are needed");
    }
    upgrade->opts.trial_ms =
        upgrade->opts.trial_ms == 0 ? TRIAL_MS : upgrade->opts.trial_ms;
    upgrade->opts.wait_ms =
        upgrade->opts.wait_ms == 0 ? WAIT_MS : upgrade->opts.wait_ms;
    rc = copy_arguments(upgrade, err);
    upgrade->opts.program = NULL; /* the caller's */
    upgrade->opts.argv = NULL;
    return rc;
}

AMY_DEFINE_CLEANUP(struct amy__upgrade *, amy__upgrade_free)

int
amy__upgrade_start(const struct amy__upgrade_owner *borrow_owner,
                   const struct amy_upgrade_options *opts,
                   struct amy__upgrade **upgrade, struct amy_error *err)
{
    AMY_CLEANUP(amy__upgrade_free_p) struct amy__upgrade *made = NULL;
    int rc = 0;

    if (*upgrade != NULL) {
        (*upgrade)->again = true;
        (*upgrade)->waits_until_ms =
            now_of(*upgrade) + (*upgrade)->opts.wait_ms;
        return 0;
    }
    made = amy__calloc(1, sizeof(*made));
    if (made == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating an upgrade");
    }
    made->borrow_owner = borrow_owner;
    made->where = upgrade;
    made->child.pidfd = -1;
    made->said_fd = -1;
    rc = read_options(made, opts, err);
    if (rc == 0) {
        rc = amy__timer_create(borrow_owner->base, on_timer, made, &made->timer,
                               err);
    }
    if (rc < 0) {
        return rc;
    }
    amy__log(borrow_owner->borrow_log, AMY_LOG_NOTICE,
             "upgrade begins program=%s version=%s", made->program,
             amy_version());
    made->waits_until_ms = now_of(made) + made->opts.wait_ms;
    rc = amy__timer_arm(made->timer, 0, err);
    if (rc == 0) {
        *upgrade = AMY_TAKE(made);
    }
    return rc;
}

/* ---- in the new program ---- */

static bool
is_kept(const struct amy__json *kept, int64_t pid)
{
    for (size_t i = 0; i < amy__json_count(kept); i++) {
        if (amy__json_as_int(amy__json_at(kept, i), -1) == pid) {
            return true;
        }
    }
    return false;
}

/* A helper whose answer nobody waits for any more; its work is begun again. */
static void
end_child(pid_t pid)
{
    struct amy__child child = {.pid = pid,
                               .pidfd = (int)syscall(SYS_pidfd_open, pid, 0U)};

    amy__child_end(&child, true);
    amy__close(&child.pidfd);
}

static void
end_strangers(const struct amy__json *kept)
{
    char path[64] = "";
    char text[8192] = "";
    AMY_CLEANUP(amy__close_p) int fd = -1;
    struct amy__span rest = {text, 0};
    struct amy__span word = {0};
    uint64_t pid = 0;
    ssize_t n = 0;

    (void)snprintf(path, sizeof(path), "/proc/self/task/%d/children",
                   (int)getpid());
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? 0 : read(fd, text, sizeof(text));
    rest.n = n < 0 ? 0 : (size_t)n;
    /* Behind each stands a blank: the last one may be cut. */
    while (amy__span_split(&rest, ' ', &word) && rest.p != NULL) {
        if (amy__parse_u64(word, INT32_MAX, &pid) &&
            !is_kept(kept, (int64_t)pid)) {
            end_child((pid_t)pid);
        }
    }
}

int
amy__upgrade_take(int fd, const struct amy__upgrade_owner *owner,
                  struct amy__handover **ret, struct amy_error *err)
{
    struct amy__upgrade_past *past = owner->borrow_past;
    const struct amy__json *root = NULL;
    int rc = amy__handover_open(fd, owner->daemon, ret, err);

    if (rc < 0) {
        return rc;
    }
    root = amy__handover_root(*ret);
    past->count = (uint64_t)amy__json_get_int(root, "upgrades", 0) + 1;
    past->wall_ms = amy__wall_ms(owner->borrow_clock);
    (void)snprintf(past->from, sizeof(past->from), "%s",
                   amy__json_get_text(root, "release", "?"));
    end_strangers(amy__json_get(root, "children"));
    amy__log(owner->borrow_log, AMY_LOG_NOTICE, "upgraded from=%s version=%s",
             past->from, amy_version());
    return 0;
}

/* ---- status ---- */

struct amy__json *
amy__upgrade_json(const struct amy__upgrade_past *past,
                  const struct amy__upgrade *upgrade)
{
    struct amy__json *json = amy__json_object();

    (void)amy__json_set(json, "count", amy__json_int((int64_t)past->count));
    (void)amy__json_set(json, "at_ms", amy__json_int(past->wall_ms));
    (void)amy__json_set(json, "from", amy__json_text(past->from));
    (void)amy__json_set(json, "refusal", amy__json_text(past->refusal));
    (void)amy__json_set(json, "under_way", amy__json_bool(upgrade != NULL));
    return json;
}
