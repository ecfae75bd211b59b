/* Tells complaints from chatter. */
/* Not for reading it: tool.c does. */
#include "backup/chatter.h"

#include <string.h>

/* "pg_dump: reading schemas" only says how far it is; messages that matter have
 * a word for how much they do: "pg_dump: warning: ...". So it is since 12. What
 * begins otherwise is another's, or goes on with what was said. */
static bool
is_complaint(struct amy__span line)
{
    static const char *const words[] = {
        "error:", "warning:", "detail:", "hint:", "fatal:", "["};
    static const char name[] = "pg_dump: ";

    if (!amy__span_starts(line, AMY_SPAN(name))) {
        return line.n > 0;
    }
    line.p += sizeof(name) - 1;
    line.n -= sizeof(name) - 1;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (amy__span_starts(line, amy__span_of(words[i]))) {
            return true;
        }
    }
    return false;
}

/* Keep the beginning: the first complaint is the cause, the rest follows. */
static void
keep(struct amy__chatter *chatter, struct amy__span line)
{
    size_t room = sizeof(chatter->said) - 1 - chatter->said_n;
    size_t n = line.n;

    if (room < 2) {
        return;
    }
    if (n > room - 1) {
        n = room - 1;
    }
    memcpy(chatter->said + chatter->said_n, line.p, n);
    chatter->said_n += n;
    chatter->said[chatter->said_n++] = '\n';
    chatter->said[chatter->said_n] = '\0';
}

static void
end_line(struct amy__chatter *chatter)
{
    struct amy__span line = {chatter->line, chatter->line_n};

    chatter->line_n = 0;
    if (!chatter->verbose || is_complaint(line)) {
        keep(chatter, line);
    } else if (amy__span_starts(
                   line, AMY_SPAN("pg_dump: dumping contents of table "))) {
        chatter->tables++;
    }
}

void
amy__chatter_take(struct amy__chatter *chatter, struct amy__span bytes)
{
    while (bytes.n > 0) {
        const char *end = memchr(bytes.p, '\n', bytes.n);
        size_t n = end == NULL ? bytes.n : (size_t)(end - bytes.p);
        size_t room = sizeof(chatter->line) - chatter->line_n;
        size_t kept = n < room ? n : room;

        memcpy(chatter->line + chatter->line_n, bytes.p, kept);
        chatter->line_n += kept;
        if (end != NULL) {
            end_line(chatter);
            n++;
        }
        bytes.p += n;
        bytes.n -= n;
    }
}

const char *
amy__chatter_complaint(struct amy__chatter *chatter)
{
    const char *at = NULL;

    if (chatter->line_n > 0) {
        end_line(chatter);
    }
    at =
        strstr(chatter->said, "error:"); /* before it comes where it happened */
    while (at != NULL && at > chatter->said && at[-1] != '\n') {
        at--;
    }
    if (at != NULL) {
        memmove(chatter->said, at, strlen(at) + 1);
    }
    chatter->said_n = strcspn(chatter->said, "\n");
    chatter->said[chatter->said_n] = '\0';
    return chatter->said;
}
