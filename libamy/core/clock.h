/* Reading the given clock; NULL is the system's. The only file that reads time.
 */
#ifndef AMY_CORE_CLOCK_H
#define AMY_CORE_CLOCK_H

#include <amy/clock.h>

int64_t amy__mono_ms(const struct amy_clock *clock);
/* The same clock in microseconds: for measuring, not for deadlines. */
int64_t amy__mono_us(const struct amy_clock *clock);
int64_t amy__wall_ms(const struct amy_clock *clock);
/* "2026-11-23T20:42:07.123Z" into buf[25]; returns buf. RFC 3339. */
char *amy__format_time(int64_t wall_ms, char buf[25]);

#endif
