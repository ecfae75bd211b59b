/* Puts the lines of a file into the order of their times: processes that write
 * once a second each leave them a second out of it, and a busy machine more.
 * Lines wait here until one comes that is younger by the window. A clock that
 * was set back is no matter of seconds: from there on lines leave as they come.
 */
#ifndef AMY_LOGROTATE_SETTLE_H
#define AMY_LOGROTATE_SETTLE_H

#include <amy/logrotate.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Text and entries together. Beyond it the oldest leave early. */
#define AMY__SETTLE_BYTES ((size_t)8 * 1024 * 1024)

struct amy__settle_entry;

struct amy__settle {
    int64_t window_ms;              /* the caller's; 0: nothing waits */
    struct amy__settle_entry *heap; /* the oldest first */
    size_t count;
    size_t capacity;
    size_t bytes;
    uint64_t added;
    int64_t newest_ms;
    char *given; /* the text that was taken last */
};

/* Copies the line's text. */
int amy__settle_add(struct amy__settle *settle, const struct amy_log_line *line,
                    struct amy_error *err);
/* Has the oldest waited long enough? */
bool amy__settle_is_due(const struct amy__settle *settle);
/* The oldest, due or not; its text is valid until the next take or clear.
 * False: there is none. */
bool amy__settle_take(struct amy__settle *settle,
                      struct amy_log_line *ret_line);
/* Empty again, with the same window. */
void amy__settle_clear(struct amy__settle *settle);

#endif
