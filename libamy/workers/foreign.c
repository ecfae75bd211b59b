/* Logs of other programs: after the rename of one, a signal to who writes it,
 * or a command that tells it. Not for renaming and packing: that is the room
 * logrotate. */
#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/spawn.h"
#include "workers/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PID_MAX_VALUE 4194304U /* of a 64-bit kernel: proc(5) */
#define COMMAND_MS 60000

/* A command that was started. */
struct amy__workers_hook {
    struct amy__workers_hook *next;
    struct amy__workers_site *borrow_site;
    char *name; /* of the log */
    struct amy__child child;
    struct amy__io *io;
    struct amy__timer *timer;
    bool late;
    bool again; /* the log was rotated meanwhile */
};

/* The number in the file, read with the rights of the site's user, who may have
 * written anything into it. */
static int
read_pid(const struct amy__workers_site *site, const char *path, uint64_t *ret,
         struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int dir = -1;
    AMY_CLEANUP(amy__close_p) int fd = -1;
    struct amy__as_user saved;
    char text[32] = "";
    ssize_t n = -1;
    int rc = 0;

    dir = amy__open_beneath(site->borrow_workers->webapps_fd, site->domain,
                            O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, err);
    rc = dir < 0 ? dir
                 : amy__as_user_begin(site->site->uid, site->site->gid, &saved,
                                      err);
    if (rc < 0) {
        return rc;
    }
    fd = amy__open_beneath(dir, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, err);
    n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    amy__as_user_end(&saved);
    if (fd < 0) {
        return fd;
    }
    if (n <= 0 ||
        !amy__parse_u64((struct amy__span){text, strcspn(text, " \r\n")},
                        PID_MAX_VALUE, ret) ||
        *ret < 2) {
        return amy__err(err, AMY_EPARSE, "'%s' has no process number", path);
    }
    return 0;
}

/* Only to the site's own: root's right to signal anybody is not lent. First the
 * descriptor, then whose it is, so that it is that process and no later one of
 * the same number. */
static int
send_to(const struct amy__workers_site *site, uint64_t pid, int sig,
        struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p)
    int fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0U);
    char path[32] = "";
    struct stat st = {0};

    (void)snprintf(path, sizeof(path), "/proc/%u", (unsigned)pid);
    if (fd < 0 || stat(path, &st) != 0) {
        return amy__err_sys(err, errno, "process %u", (unsigned)pid);
    }
    if (st.st_uid != site->site->uid) {
        return amy__err(err, AMY_EDENIED,
                        "process %u is not of the site's user", (unsigned)pid);
    }
    if (syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0U) != 0) {
        return amy__err_sys(err, errno, "process %u", (unsigned)pid);
    }
    return 0;
}

/* ---- a command ---- */

static void
free_hook(struct amy__workers_hook *hook)
{
    struct amy__workers_hook **at = &hook->borrow_site->hooks;

    while (*at != NULL && *at != hook) {
        at = &(*at)->next;
    }
    if (*at == hook) {
        *at = hook->next;
    }
    amy__io_free(hook->io);
    amy__timer_free(hook->timer);
    amy__close(&hook->child.pidfd);
    amy__free(hook->name);
    amy__free(hook);
}

static void
on_late(void *user)
{
    struct amy__workers_hook *hook = user;

    hook->late = true;
    (void)amy__child_signal_group(&hook->child, SIGKILL, NULL);
}

static void
on_ended(int fd, unsigned what, void *user)
{
    struct amy__workers_hook *hook = user;
    struct amy__workers_site *site = hook->borrow_site;
    struct amy__child_exit end = {0};
    char *name = NULL;

    (void)fd;
    (void)what;
    if (amy__child_reap(&hook->child, &end, NULL) == 0) {
        return; /* not yet */
    }
    if (end.code != 0) {
        amy__log(&site->borrow_workers->log, AMY_LOG_WARN,
                 "the command after a log was rotated %s site=%s file=%s "
                 "code=%d signal=%d",
                 hook->late ? "took too long and was killed" : "failed",
                 site->domain, hook->name, end.code, end.signal);
    }
    if (hook->again) {
        name = hook->name;
        hook->name = NULL;
    }
    free_hook(hook);
    if (name != NULL) {
        amy__workers_foreign_rotated(site, name);
        amy__free(name);
    }
}

/* As the site's user and with nothing of ours, in the site's directory. */
static int
spawn_hook(struct amy__workers_hook *hook, char *const *command,
           struct amy_error *err)
{
    static const char *const environment[] = {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        NULL};
    const struct amy__workers_site *site = hook->borrow_site;
    AMY_CLEANUP(amy__close_p)
    int dir = amy__open_beneath(site->borrow_workers->webapps_fd, site->domain,
                                O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, err);
    struct amy__spawn_plan plan = {
        .argv = (const char *const *)command,
        .envp = environment,
        .cwd_fd = dir,
        .set_ids = geteuid() != site->site->uid,
        .uid = site->site->uid,
        .gid = site->site->gid,
        .drop_capabilities = true,
        .no_new_privs = true,
        .new_session = true,
        .parent_death_signal = SIGKILL,
        .no_core = true,
    };

    return dir < 0 ? dir : amy__spawn(&plan, &hook->child, err);
}

static int
watch_hook(struct amy__workers_hook *hook, struct amy_error *err)
{
    struct event_base *base = hook->borrow_site->borrow_workers->base;
    int rc = amy__io_create(base, hook->child.pidfd, AMY__IO_READ, on_ended,
                            hook, &hook->io, err);

    if (rc == 0) {
        rc = amy__timer_create(base, on_late, hook, &hook->timer, err);
    }
    return rc == 0 ? amy__timer_arm(hook->timer, COMMAND_MS, err) : rc;
}

static int
run_command(struct amy__workers_site *site, const char *name,
            char *const *command, struct amy_error *err)
{
    struct amy__workers_hook *hook = site->hooks;
    int rc = 0;

    while (hook != NULL && strcmp(hook->name, name) != 0) {
        hook = hook->next;
    }
    if (hook != NULL) {
        hook->again = true; /* at its end: it may have been too early */
        return 0;
    }
    hook = amy__calloc(1, sizeof(*hook));
    if (hook == NULL) {
        return amy__err(err, AMY_ENOMEM, "running a command");
    }
    hook->borrow_site = site;
    hook->child.pidfd = -1;
    hook->name = amy__strdup(name);
    rc = hook->name == NULL ? amy__err(err, AMY_ENOMEM, "running a command")
                            : spawn_hook(hook, command, err);
    if (rc == 0) {
        rc = watch_hook(hook, err);
        if (rc < 0) {
            amy__child_end(&hook->child, true);
        }
    }
    if (rc < 0) {
        free_hook(hook);
        return rc;
    }
    hook->next = site->hooks;
    site->hooks = hook;
    return 0;
}

void
amy__workers_foreign_end(struct amy__workers_site *site)
{
    while (site->hooks != NULL) {
        amy__child_end(&site->hooks->child, true);
        free_hook(site->hooks);
    }
}

/* Not waited for: a site's user could see to it that one always runs. */
struct amy__json *
amy__workers_foreign_save(const struct amy__workers_site *site)
{
    struct amy__json *names = amy__json_array();

    for (const struct amy__workers_hook *hook = site->hooks; hook != NULL;
         hook = hook->next) {
        (void)amy__json_add(names, amy__json_text(hook->name));
    }
    return names;
}

/* ---- who is told ---- */

static int
tell_writer(struct amy__workers_site *site,
            const struct amy__site_log_file *file, struct amy_error *err)
{
    uint64_t pid = 0;
    int rc = 0;

    if (file->command != NULL) {
        return run_command(site, file->path, file->command, err);
    }
    if (file->signal == 0) {
        return 0; /* it notices by itself */
    }
    rc = read_pid(site, file->pid_file, &pid, err);
    return rc == 0 ? send_to(site, pid, file->signal, err) : rc;
}

void
amy__workers_foreign_rotated(struct amy__workers_site *site, const char *name)
{
    struct amy_error err = AMY_ERROR_INIT;

    for (size_t i = 0; i < site->site->log_file_count; i++) {
        const struct amy__site_log_file *file = &site->site->log_files[i];

        if (strcmp(file->path, name) == 0 &&
            tell_writer(site, file, &err) < 0) {
            amy__log(&site->borrow_workers->log, AMY_LOG_WARN,
                     "nobody was told that a log was rotated: %s site=%s "
                     "file=%s",
                     err.msg, site->domain, name);
        }
    }
}

void
amy__workers_foreign_restore(struct amy__workers_site *site,
                             const struct amy__json *names)
{
    for (size_t i = 0; site->site != NULL && i < amy__json_count(names); i++) {
        amy__workers_foreign_rotated(
            site, amy__json_as_text(amy__json_at(names, i), ""));
    }
}
