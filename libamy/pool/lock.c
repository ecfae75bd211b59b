/* flock(2) on a file per position, inherited by its worker. */
/* Not for keeping two supervisors apart: a daemon's control socket does. */
#include "pool/lock.h"

#include "core/check.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#define NOTE_BYTES 96

int
amy__lock_name(const char *pool, uint32_t position, char *buf, size_t size)
{
    return snprintf(buf, size, "%s.%" PRIu32 ".lock", pool, position);
}

/* The next two numbers of a note, a process that may live; pid 0: it does not.
 */
static struct amy__process
read_process(struct amy__span *rest)
{
    struct amy__process now = {0};
    struct amy__span word = {0};
    uint64_t pid = 0;
    uint64_t start = 0;

    if (amy__span_split(rest, ' ', &word) &&
        amy__parse_u64(word, INT32_MAX, &pid) &&
        amy__span_split(rest, ' ', &word) &&
        amy__parse_u64(word, UINT64_MAX, &start) && pid > 0 &&
        amy__process_read((pid_t)pid, &now) && now.start == start) {
        return now;
    }
    return (struct amy__process){0};
}

/* "PID START PID START\n": the worker that was noted last, and its supervisor.
 */
static struct amy__holder
read_note(int fd)
{
    char text[NOTE_BYTES];
    ssize_t n = pread(fd, text, sizeof(text), 0);
    struct amy__span rest = {text, n > 0 ? (size_t)n : 0};
    struct amy__span line = {0};
    struct amy__holder holder = {.orphaned = false};

    if (amy__span_split(&rest, '\n', &line)) {
        holder.worker = read_process(&line);
        if (holder.worker.pid <= 1) {
            return (struct amy__holder){.orphaned = false};
        }
        holder.orphaned = read_process(&line).pid == 0;
    }
    return holder;
}

int
amy__lock_take(int dir_fd, const char *name, int *ret_fd,
               struct amy__holder *ret_holder, struct amy_error *err)
{
    /* Read-only, so that the worker, which gets this descriptor, cannot name
     * somebody else as the one to be killed. */
    AMY_CLEANUP(amy__close_p)
    int fd =
        openat(dir_fd, name, O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0) {
        return amy__err_sys(err, errno, "opening lock '%s'", name);
    }
    *ret_holder = read_note(fd);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) {
            return 0;
        }
        return amy__err_sys(err, errno, "taking lock '%s'", name);
    }
    if (ret_holder->worker.pid != 0) {
        return 0; /* it closed what it inherited, and lives */
    }
    *ret_fd = fd;
    fd = -1;
    return 1;
}

int
amy__lock_note(int dir_fd, const char *name, pid_t leader,
               struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p)
    int fd = openat(dir_fd, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    struct amy__process worker = {0};
    struct amy__process us = {0};
    char text[NOTE_BYTES] = "";
    int n = 0;

    if (fd < 0) {
        return amy__err_sys(err, errno, "opening lock '%s'", name);
    }
    if (!amy__process_read(leader, &worker) ||
        !amy__process_read(getpid(), &us)) {
        return 0; /* ended already */
    }
    n = snprintf(text, sizeof(text), "%d %" PRIu64 " %d %" PRIu64 "\n",
                 (int)leader, worker.start, (int)us.pid, us.start);
    if (ftruncate(fd, 0) != 0) {
        return amy__err_sys(err, errno, "writing lock '%s'", name);
    }
    return amy__write_all(fd, text, (size_t)n, err);
}

void
amy__holder_kill(const struct amy__holder *holder)
{
    pid_t leader = holder->worker.pid;
    struct amy__strays strays = {.count = 0};
    struct amy__process now = {0};

    AMY_ASSERT(leader > 1); /* kill(-1) means everybody */
    (void)amy__strays_look(&strays, leader);
    if (amy__process_read(leader, &now) && now.start == holder->worker.start) {
        (void)kill(-leader, SIGKILL); /* its group: it called setsid */
    }
    amy__process_kill(&holder->worker);
    amy__strays_kill(&strays, leader);
}
