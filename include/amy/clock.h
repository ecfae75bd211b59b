/** @file amy/clock.h
 *  @brief The two clocks everything in libamy reads, replaceable as a pair.
 */
#ifndef AMY_CLOCK_H
#define AMY_CLOCK_H

#include <amy/export.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Deadlines are on the monotonic clock, dates on the wall clock. A NULL
 *  `struct amy_clock *` in any options means the system's clocks. */
struct amy_clock {
    size_t struct_size;
    int64_t (*mono_ms)(void *user); /**< never goes back; origin unspecified */
    int64_t (*wall_ms)(void *user); /**< since 1970-01-01T00:00:00Z */
    void *user;
};

/** The system's clocks; static. Thread-safe. Since: 0.1
 *  Source: clock_gettime(2), CLOCK_MONOTONIC and CLOCK_REALTIME */
AMY_API const struct amy_clock *amy_clock_system(void);

#ifdef __cplusplus
}
#endif
#endif
