/* Reads configurations of logrotate, as far as which files they name. */
/* Not for reading them from the disk. */
#include "logrotate/leftover.h"

#include <fnmatch.h>
#include <limits.h>
#include <string.h>

struct reader {
    struct amy__span rest;
    bool inside; /* braces */
};

static void
skip(struct reader *reader, size_t n)
{
    reader->rest.p += n;
    reader->rest.n -= n;
}

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static size_t
find_end(struct amy__span s, const char *ends)
{
    size_t i = 0;

    while (i < s.n && (s.p[i] == '\0' || strchr(ends, s.p[i]) == NULL)) {
        i++;
    }
    return i;
}

/* The next word outside of braces; false: none is left. */
static bool
next_word(struct reader *reader, struct amy__span *ret_word)
{
    while (reader->rest.n > 0) {
        char c = reader->rest.p[0];
        size_t n = 1;

        if (c == '#') {
            n = find_end(reader->rest, "\n");
        } else if (c == '{' || c == '}') {
            reader->inside = c == '{';
        } else if (reader->inside) {
            n = find_end(reader->rest, "\n}#");
            n = n == 0 ? 1 : n;
        } else if (c == '"' || c == '\'') {
            const char quote[2] = {c, '\0'};

            skip(reader, 1);
            n = find_end(reader->rest, quote);
            *ret_word = (struct amy__span){reader->rest.p, n};
            skip(reader, n < reader->rest.n ? n + 1 : n);
            return true;
        } else if (!is_blank(c)) {
            n = find_end(reader->rest, " \t\r\n{}");
            *ret_word = (struct amy__span){reader->rest.p, n};
            skip(reader, n);
            return true;
        }
        skip(reader, n);
    }
    return false;
}

bool
amy__logrotate_leftover(struct amy__span text, const char *path)
{
    struct reader reader = {.rest = text};
    struct amy__span word = {0};
    char pattern[PATH_MAX];

    while (next_word(&reader, &word)) {
        if (word.n > 0 && word.p[0] == '/' &&
            amy__span_copy(word, pattern, sizeof(pattern)) &&
            fnmatch(pattern, path, FNM_PATHNAME) == 0) {
            return true;
        }
    }
    return false;
}
