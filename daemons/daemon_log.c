/* Log lines on stderr, for the journal or for a person. */
/* Not for access logs or workers' output: those are files of the sites. */
#include "daemon_log.h"

#include <amy/clock.h>

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void
write_to_journal(enum amy_log_level level, const char *line, void *user)
{
    (void)user;
    (void)dprintf(STDERR_FILENO, "<%d>%s\n", (int)level, line);
}

static const char *
name_of(enum amy_log_level level)
{
    switch (level) {
    case AMY_LOG_ERROR:
        return "error";
    case AMY_LOG_WARN:
        return "warn";
    case AMY_LOG_NOTICE:
        return "notice";
    case AMY_LOG_INFO:
        return "info";
    case AMY_LOG_DEBUG:
        return "debug";
    default:
        return "?";
    }
}

static void
write_to_person(enum amy_log_level level, const char *line, void *user)
{
    const struct amy_clock *clock = amy_clock_system();
    int64_t wall_ms = clock->wall_ms(clock->user);
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc = {0};
    char when[32] = "";

    (void)user;
    if (gmtime_r(&seconds, &utc) != NULL) {
        (void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &utc);
    }
    (void)dprintf(STDERR_FILENO, "%s.%03" PRId64 "Z %-6s %s\n", when,
                  wall_ms % 1000, name_of(level), line);
}

/* JOURNAL_STREAM is "device:inode" of the stream that was stderr when systemd
 * started us (systemd.exec(5)); it may have been redirected since. */
static int
is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat seen = {0};
    char own[64] = "";

    if (stream == NULL || fstat(STDERR_FILENO, &seen) != 0) {
        return 0;
    }
    (void)snprintf(own, sizeof(own), "%ju:%ju", (uintmax_t)seen.st_dev,
                   (uintmax_t)seen.st_ino);
    for (size_t i = 0; i < sizeof(own); i++) {
        if (stream[i] != own[i]) {
            return 0;
        }
        if (own[i] == '\0') {
            return 1;
        }
    }
    return 0;
}

struct amy_log
daemon_log_to_stderr(void)
{
    return (struct amy_log){
        .struct_size = sizeof(struct amy_log),
        .fn = is_journal() ? write_to_journal : write_to_person,
    };
}
