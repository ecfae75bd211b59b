/* The system's clocks, and reading whichever clock an object was given. */
/* Not for waiting: that is core/loop.c. */
#include "core/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t
read_ms(clockid_t id)
{
    struct timespec now = {0};

    /* Cannot fail for the two clocks below: both exist on every Linux. */
    (void)clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t
system_mono_ms(void *user)
{
    (void)user;
    return read_ms(CLOCK_MONOTONIC);
}

static int64_t
system_wall_ms(void *user)
{
    (void)user;
    return read_ms(CLOCK_REALTIME);
}

const struct amy_clock *
amy_clock_system(void)
{
    static const struct amy_clock system_clock = {
        .struct_size = sizeof(system_clock),
        .mono_ms = system_mono_ms,
        .wall_ms = system_wall_ms,
    };

    return &system_clock;
}

int64_t
amy__mono_ms(const struct amy_clock *clock)
{
    return clock == NULL ? read_ms(CLOCK_MONOTONIC)
                         : clock->mono_ms(clock->user);
}

int64_t
amy__mono_us(const struct amy_clock *clock)
{
    struct timespec now = {0};

    if (clock != NULL) {
        return clock->mono_ms(clock->user) * 1000;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t
amy__wall_ms(const struct amy_clock *clock)
{
    return clock == NULL ? read_ms(CLOCK_REALTIME)
                         : clock->wall_ms(clock->user);
}

char *
amy__format_time(int64_t wall_ms, char buf[25])
{
    int64_t ms = wall_ms % 1000;
    time_t seconds = 0;
    struct tm utc = {0};
    int year = 0;

    if (ms < 0) {
        ms += 1000; /* before 1970 the remainder has the wrong sign */
    }
    seconds = (time_t)((wall_ms - ms) / 1000);
    if (gmtime_r(&seconds, &utc) == NULL || utc.tm_year < -1900 ||
        utc.tm_year > 9999 - 1900) {
        /* RFC 3339 has four digits for a year. */
        (void)snprintf(buf, 25, "0000-01-01T00:00:00.000Z");
        return buf;
    }
    year = utc.tm_year + 1900;
    buf[0] = (char)('0' + year / 1000); /* %Y has less than four digits, too */
    buf[1] = (char)('0' + year / 100 % 10);
    buf[2] = (char)('0' + year / 10 % 10);
    buf[3] = (char)('0' + year % 10);
    (void)strftime(buf + 4, 21, "-%m-%dT%H:%M:%S", &utc);
    buf[19] = '.';
    buf[20] = (char)('0' + ms / 100);
    buf[21] = (char)('0' + ms / 10 % 10);
    buf[22] = (char)('0' + ms % 10);
    buf[23] = 'Z';
    buf[24] = '\0';
    return buf;
}
