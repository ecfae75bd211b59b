/* Log lines on stderr, for the journal or for a person; or on stdout, for who
 * collects those of a container. */
/* Not for access logs or workers' output: those are files of the sites. */
#include "daemon_log.h"

#include <amy/clock.h>
#include <amy/logrotate.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A line for people; its length, at most size. */
static size_t
format_for_person(enum amy_log_level level, const char *line, int64_t wall_ms,
                  char *text, size_t size)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc = {0};
    char when[32] = "";
    int n = 0;

    if (gmtime_r(&seconds, &utc) != NULL) {
        (void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &utc);
    }
    n = snprintf(text, size, "%s.%03" PRId64 "Z %-6s %s\n", when,
                 wall_ms % 1000, amy_log_level_name(level), line);
    return n < (int)size ? (size_t)n : size;
}

/* Whole or not at all, and without waiting for whoever reads it. Where stderr
 * could not be opened anew, poll(2) knows of the room; only somebody else who
 * writes there at the same moment can take it from us. */
static bool
write_stderr(const struct log_sink *sink, const char *text, size_t n)
{
    struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};
    ssize_t done = 0;

    if (sink->is_patient) {
        return write(STDERR_FILENO, text, n) == (ssize_t)n;
    }
    done = send(STDERR_FILENO, text, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (done < 0 && errno == ENOTSOCK && poll(&room, 1, 0) == 1) {
        done = write(STDERR_FILENO, text, n);
    }
    return done == (ssize_t)n;
}

static bool
write_text(const struct log_sink *sink, enum amy_log_level level,
           const char *line, int64_t wall_ms)
{
    char text[PIPE_BUF]; /* more may be torn */
    size_t n = 0;

    if (sink->is_journal) {
        int length = snprintf(text, sizeof(text), "<%d>%s\n", (int)level, line);

        n = length < (int)sizeof(text) ? (size_t)length : sizeof(text);
    } else {
        n = format_for_person(level, line, wall_ms, text, sizeof(text));
    }
    text[n - 1] = '\n'; /* also where the line was cut */
    return write_stderr(sink, text, n);
}

/* Whole or not at all, where several processes share a pipe. Half a line on a
 * disk that is full is ended at once, or before the next. */
static bool
write_json(struct log_sink *sink, enum amy_log_level level, const char *line,
           int64_t wall_ms)
{
    char json[PIPE_BUF];
    size_t n = amy_log_message_json(level, sink->program, wall_ms, line, json,
                                    sizeof(json));
    ssize_t done = 0;

    if (sink->torn && write(STDOUT_FILENO, "\n", 1) != 1) {
        return false;
    }
    done = write(STDOUT_FILENO, json, n);
    sink->torn =
        done > 0 && done < (ssize_t)n && write(STDOUT_FILENO, "\n", 1) != 1;
    return done == (ssize_t)n;
}

static bool
write_anywhere(struct log_sink *sink, enum amy_log_level level,
               const char *line, int64_t wall_ms)
{
    return (sink->to_stdout && write_json(sink, level, line, wall_ms)) ||
           write_text(sink, level, line, wall_ms);
}

static bool
tell_lost(struct log_sink *sink, int64_t wall_ms)
{
    char line[80] = "";

    (void)snprintf(line, sizeof(line),
                   "nobody read this log, lines of it are lost lost=%" PRIu64,
                   sink->lost);
    return write_anywhere(sink, AMY_LOG_WARN, line, wall_ms);
}

static void
write_line(enum amy_log_level level, const char *line, void *user)
{
    const struct amy_clock *clock = amy_clock_system();
    struct log_sink *sink = user;
    int64_t wall_ms = clock->wall_ms(clock->user);

    if (sink->lost > 0 && tell_lost(sink, wall_ms)) {
        sink->lost = 0;
    }
    if (sink->lost > 0 || !write_anywhere(sink, level, line, wall_ms)) {
        sink->lost++;
    }
}

/* So that no write waits. Of a pipe or a terminal we make a description of our
 * own: who shares the one we were given does not notice. Files never wait, and
 * sockets cannot be opened again. */
static void
reopen_stderr(void)
{
    struct stat seen = {0};
    int fd = -1;

    if (fstat(STDERR_FILENO, &seen) != 0 ||
        (!S_ISFIFO(seen.st_mode) && !S_ISCHR(seen.st_mode))) {
        return;
    }
    fd = open("/proc/self/fd/2",
              O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd > STDERR_FILENO) {
        (void)dup2(fd, STDERR_FILENO);
        (void)close(fd);
    }
}

/* JOURNAL_STREAM is "device:inode" of the stream that was stderr when systemd
 * started us (systemd.exec(5)); it may have been redirected since. */
static bool
is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat seen = {0};
    char own[64] = "";

    if (stream == NULL || fstat(STDERR_FILENO, &seen) != 0) {
        return false;
    }
    (void)snprintf(own, sizeof(own), "%ju:%ju", (uintmax_t)seen.st_dev,
                   (uintmax_t)seen.st_ino);
    for (size_t i = 0; i < sizeof(own); i++) {
        if (stream[i] != own[i]) {
            return false;
        }
        if (own[i] == '\0') {
            return true;
        }
    }
    return false;
}

struct amy_log
log_begin(struct log_sink *sink, const char *program, bool is_patient)
{
    *sink = (struct log_sink){.program = program,
                              .is_journal = is_journal(),
                              .is_patient = is_patient};
    if (!is_patient) {
        reopen_stderr();
    }
    return (struct amy_log){
        .struct_size = sizeof(struct amy_log), .fn = write_line, .user = sink};
}

/* A process that may not open it anew, being another user, has it from its
 * master, who did so. */
static bool
is_ready(void)
{
    int flags = fcntl(STDOUT_FILENO, F_GETFL);

    return flags >= 0 && (flags & O_NONBLOCK) != 0;
}

void
log_to_stdout(struct log_sink *sink)
{
    int fd = is_ready() ? STDOUT_FILENO : amy_log_open_stdout(NULL);

    sink->to_stdout = fd >= 0 && dup2(fd, STDOUT_FILENO) == STDOUT_FILENO;
    if (!sink->to_stdout) {
        write_line(AMY_LOG_WARN, "log lines stay on standard error", sink);
    }
    if (fd > STDERR_FILENO) {
        (void)close(fd);
    }
}
