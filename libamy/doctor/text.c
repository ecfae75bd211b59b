/* Finds words in configuration files of many kinds, by what all of them have in
 * common: lines, blanks, comments. */
/* Not for understanding any of them. */
#include "doctor/text.h"

#include <string.h>

/* What may stand in a name beside its own letters. */
static bool
is_inside(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

/* The line up to a '#' at its beginning or behind a blank. */
static struct amy__span
without_comment(struct amy__span line)
{
    for (size_t i = 0; i < line.n; i++) {
        if (line.p[i] == '#' &&
            (i == 0 || line.p[i - 1] == ' ' || line.p[i - 1] == '\t')) {
            return (struct amy__span){line.p, i};
        }
    }
    return line;
}

bool
amy__text_line(struct amy__span *rest, struct amy__span *ret_line)
{
    struct amy__span line = {NULL, 0};

    while (amy__span_split(rest, '\n', &line)) {
        line = amy__span_trim(without_comment(amy__span_trim(line)));
        if (line.n > 0 && line.p[0] != ';') {
            *ret_line = line;
            return true;
        }
    }
    return false;
}

static bool
line_names(struct amy__span line, const char *word, size_t n)
{
    for (size_t i = 0; i + n <= line.n; i++) {
        bool begins = i == 0 || !is_inside(line.p[i - 1]) || word[0] == '/';
        bool ends = i + n == line.n || !is_inside(line.p[i + n]);

        if (begins && ends && memcmp(line.p + i, word, n) == 0) {
            return true;
        }
    }
    return false;
}

bool
amy__text_names(struct amy__span text, const char *word)
{
    struct amy__span line = {NULL, 0};
    size_t n = strlen(word);

    while (amy__text_line(&text, &line)) {
        if (line_names(line, word, n)) {
            return true;
        }
    }
    return false;
}

struct amy__span
amy__text_value(struct amy__span text, const char *key)
{
    struct amy__span line = {NULL, 0};

    while (amy__text_line(&text, &line)) {
        struct amy__span rest = line;
        struct amy__span name = {NULL, 0};

        if (amy__span_split(&rest, '=', &name) && rest.p != NULL &&
            amy__span_eq(amy__span_trim(name), amy__span_of(key))) {
            return amy__span_trim(rest);
        }
    }
    return (struct amy__span){NULL, 0};
}

bool
amy__text_holds(struct amy__span text, const char *part)
{
    size_t n = strlen(part);

    for (size_t i = 0; i + n <= text.n; i++) {
        if (memcmp(text.p + i, part, n) == 0) {
            return true;
        }
    }
    return false;
}
