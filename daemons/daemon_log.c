/* Log lines on stderr, for the journal or for a person; or on stdout, for who
 * collects those of a container. */
/* Not for access logs or workers' output: those are files of the sites. */
#include "daemon_log.h"

#include <amy/clock.h>
#include <amy/logrotate.h>

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void
write_to_person(enum amy_log_level level, const char *line, int64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc = {0};
    char when[32] = "";

    if (gmtime_r(&seconds, &utc) != NULL) {
        (void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &utc);
    }
    (void)dprintf(STDERR_FILENO, "%s.%03" PRId64 "Z %-6s %s\n", when,
                  wall_ms % 1000, amy_log_level_name(level), line);
}

/* Whole or not at all, where several processes share a pipe. */
static bool
write_json(const struct log_sink *sink, enum amy_log_level level,
           const char *line, int64_t wall_ms)
{
    char json[PIPE_BUF];
    size_t n = amy_log_message_json(level, sink->program, wall_ms, line, json,
                                    sizeof(json));

    return write(STDOUT_FILENO, json, n) == (ssize_t)n;
}

static void
write_line(enum amy_log_level level, const char *line, void *user)
{
    const struct amy_clock *clock = amy_clock_system();
    const struct log_sink *sink = user;
    int64_t wall_ms = clock->wall_ms(clock->user);

    if (sink->to_stdout && write_json(sink, level, line, wall_ms)) {
        return;
    }
    if (sink->is_journal) {
        (void)dprintf(STDERR_FILENO, "<%d>%s\n", (int)level, line);
    } else {
        write_to_person(level, line, wall_ms);
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
log_begin(struct log_sink *sink, const char *program)
{
    *sink = (struct log_sink){program, is_journal(), false};
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
