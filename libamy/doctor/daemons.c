/* Looks which daemons run, by their sockets, and what they may. */
/* Not for asking them anything: amyctl status does. */
#include "core/buf.h"
#include "core/cleanup.h"
#include "core/files.h"
#include "doctor/internal.h"
#include "doctor/judge.h"
#include "doctor/proc.h"
#include "net/unix.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIMITS_MAX ((size_t)8 * 1024)

/* Whose socket it is, as the kernel knows; 0: nobody's. */
static pid_t
connect_to(int run_fd, const char *name, int *ret_errno)
{
    struct amy_error err = AMY_ERROR_INIT;
    AMY_CLEANUP(amy__close_p) int fd = amy__unix_connect_at(run_fd, name, &err);
    struct ucred peer = {.pid = 0};
    socklen_t n = sizeof(peer);

    *ret_errno = fd < 0 ? err.sys_errno : 0;
    if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0) {
        return 0;
    }
    return peer.pid;
}

static void
look_at_limits(struct amy__doctor *doctor, const char *daemon, pid_t pid)
{
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf text = {NULL, 0, 0, 0};
    uint64_t files = 0;
    char path[48];

    (void)snprintf(path, sizeof(path), "/proc/%d/limits", (int)pid);
    amy__buf_init(&text, LIMITS_MAX);
    if (amy__read_file_at(AT_FDCWD, path, LIMITS_MAX, &text, NULL, NULL) == 0 &&
        amy__limits_files(amy__buf_span(&text), &files)) {
        amy__judge_files(daemon, files, &doctor->findings);
    }
}

/* A package was installed, and it did not become the new program. */
static bool
is_replaced(pid_t pid)
{
    static const char deleted[] = " (deleted)";
    char path[48];
    char program[PATH_MAX] = "";
    ssize_t n = 0;

    (void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
    n = readlink(path, program, sizeof(program) - 1);
    return n >= (ssize_t)sizeof(deleted) &&
           strcmp(program + n - (sizeof(deleted) - 1), deleted) == 0;
}

static bool
is_wanted(const struct amy__doctor *doctor, const char *daemon)
{
    for (size_t i = 0; i < doctor->site_count; i++) {
        const struct amy__site *site = doctor->sites[i];

        if ((strcmp(daemon, "workers") == 0 && site->worker_count > 0) ||
            (strcmp(daemon, "backup") == 0 && site->database_from != NULL)) {
            return true;
        }
    }
    return strcmp(daemon, "front") == 0 && doctor->site_count > 0 &&
           doctor->settings->https_count + doctor->settings->http_count > 0;
}

static bool
look_at(struct amy__doctor *doctor, int run_fd, const char *daemon)
{
    char name[32];
    char file[32];
    char path[PATH_MAX];
    int sys_errno = 0;
    pid_t pid = 0;
    struct stat st = {.st_mode = 0};
    struct amy__daemon_facts facts = {.name = name, .path = path};

    (void)snprintf(name, sizeof(name), "amy-%s", daemon);
    (void)snprintf(file, sizeof(file), "%s.sock", daemon);
    (void)snprintf(path, sizeof(path), "%.4000s/%s", doctor->settings->run,
                   file);
    if (run_fd >= 0) {
        pid = connect_to(run_fd, file, &sys_errno);
        (void)fstatat(run_fd, file, &st, AT_SYMLINK_NOFOLLOW);
    }
    facts.is_wanted = is_wanted(doctor, daemon);
    facts.runs = pid > 0;
    facts.is_replaced = facts.runs && is_replaced(pid);
    facts.mode = facts.runs ? (unsigned)st.st_mode & 07777U : 0;
    facts.error = sys_errno == EACCES ? strerror(sys_errno) : NULL;
    amy__judge_daemon(&facts, &doctor->findings);
    if (facts.runs && strcmp(daemon, "front") == 0) {
        look_at_limits(doctor, name, pid);
    }
    return facts.runs;
}

void
amy__doctor_daemons(struct amy__doctor *doctor)
{
    AMY_CLEANUP(amy__close_p)
    int run_fd = open(doctor->settings->run, O_PATH | O_DIRECTORY | O_CLOEXEC);

    doctor->front_runs = look_at(doctor, run_fd, "front");
    (void)look_at(doctor, run_fd, "workers");
    (void)look_at(doctor, run_fd, "backup");
}
