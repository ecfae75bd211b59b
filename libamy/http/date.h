/* Dates in fields, RFC 9110 5.6.7. Pure; no locale, no time zone tables. */
#ifndef AMY_HTTP_DATE_H
#define AMY_HTTP_DATE_H

#include "core/str.h"

#include <stdbool.h>
#include <stdint.h>

#define AMY__DATE_SIZE 30 /* "Sun, 06 Nov 1994 08:49:37 GMT" and a NUL */

/* IMF-fixdate of a wall clock in ms; years 1 to 9999, others are clamped. */
void amy__date_format(int64_t wall_ms, char buf[AMY__DATE_SIZE]);

/* IMF-fixdate, RFC 850 (two digits of the year: within fifty years of now) and
 * asctime. False: none of them, or no such day. */
bool amy__date_parse(struct amy__span text, int64_t wall_now_ms,
                     int64_t *ret_wall_ms);

#endif
