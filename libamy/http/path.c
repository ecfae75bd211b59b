/* From a target's path to a name beneath a directory. It does not look at the
 * file system, and routing does not use it: routes see the raw path. */
#include "http/path.h"

#include <amy/error.h>

#include "http/chars.h"

#include <string.h>

struct writer {
    char *buf;
    size_t n;
    size_t size;  /* room before the NUL */
    bool decoded; /* the input: taken literally, and never upwards */
};

/* The byte at in[*i], decoded; *i moves behind it. -1: malformed, or NUL. */
static int
take_byte(struct amy__span in, size_t *i)
{
    int high = 0;
    int low = 0;
    int byte = (uint8_t)in.p[*i];

    if (byte != '%') {
        (*i)++;
        return byte == 0 ? -1 : byte;
    }
    if (in.n - *i < 3) {
        return -1;
    }
    high = amy__hex_value(in.p[*i + 1]);
    low = amy__hex_value(in.p[*i + 2]);
    *i += 3;
    byte = high * 16 + low;
    return high < 0 || low < 0 || byte == 0 ? -1 : byte;
}

/* The next byte of a segment. An encoded slash would mean something else than
 * the name it stands in. */
static int
take_name_byte(const struct writer *w, struct amy__span path, size_t *i)
{
    int byte = 0;

    if (w->decoded) {
        byte = (uint8_t)path.p[(*i)++];
        return byte == 0 ? -1 : byte;
    }
    byte = take_byte(path, i);
    return byte == '/' ? -1 : byte;
}

/* What the segment that begins behind the last '/' at `start` means. */
static int
end_segment(struct writer *w, size_t start)
{
    size_t n = w->n - start;

    if (n == 1 && w->buf[start] == '.') {
        w->n = start;
    } else if (n == 2 && w->buf[start] == '.' && w->buf[start + 1] == '.') {
        if (start == 1 || w->decoded) {
            return AMY_EPARSE;
        }
        w->n = start - 1;
        while (w->buf[w->n - 1] != '/') {
            w->n--;
        }
    }
    return 0;
}

/* Take one segment, which begins at path[*i], and the slash behind it. */
static int
take_segment(struct writer *w, struct amy__span path, size_t *i)
{
    size_t start = w->n;
    int rc = 0;

    while (*i < path.n && path.p[*i] != '/') {
        int byte = take_name_byte(w, path, i);

        if (byte < 0) {
            return AMY_EPARSE;
        }
        if (w->n == w->size) {
            return AMY_ELIMIT;
        }
        w->buf[w->n++] = (char)byte;
    }
    rc = end_segment(w, start);
    if (rc < 0 || *i == path.n) {
        return rc;
    }
    (*i)++;
    if (w->buf[w->n - 1] != '/') {
        if (w->n == w->size) {
            return AMY_ELIMIT;
        }
        w->buf[w->n++] = '/';
    }
    return 0;
}

static int64_t
take_path(struct writer *w, struct amy__span path, size_t size)
{
    size_t i = 1;

    if (path.n == 0 || path.p[0] != '/') {
        return AMY_EPARSE;
    }
    if (size < 2) {
        return AMY_ELIMIT;
    }
    w->size = size - 1;
    w->buf[w->n++] = '/';
    while (i < path.n) {
        int rc = take_segment(w, path, &i);

        if (rc < 0) {
            return rc;
        }
    }
    w->buf[w->n] = '\0';
    return (int64_t)w->n;
}

int64_t
amy__path_normalise(struct amy__span path, char *buf, size_t size)
{
    struct writer w = {.buf = buf};

    return take_path(&w, path, size);
}

int64_t
amy__path_resolve(struct amy__span path, char *buf, size_t size)
{
    struct writer w = {.buf = buf, .decoded = true};

    return take_path(&w, path, size);
}

int64_t
amy__percent_decode(struct amy__span s, char *buf, size_t size)
{
    size_t n = 0;
    size_t i = 0;

    while (i < s.n) {
        int byte = take_byte(s, &i);

        if (byte < 0) {
            return AMY_EPARSE;
        }
        if (n + 1 >= size) {
            return AMY_ELIMIT;
        }
        buf[n++] = (char)byte;
    }
    if (size == 0) {
        return AMY_ELIMIT;
    }
    buf[n] = '\0';
    return (int64_t)n;
}

bool
amy__path_is_within(const char *path, const char *directory)
{
    size_t n = strlen(directory);

    while (n > 0 && directory[n - 1] == '/') {
        n--;
    }
    return strncmp(path, directory, n) == 0 &&
           (path[n] == '/' || path[n] == '\0');
}

bool
amy__path_has_nul(struct amy__span path)
{
    const char *end = path.p + path.n;
    const char *p = path.p;

    for (;;) {
        p = memchr(p, '%', (size_t)(end - p));
        if (p == NULL || end - p < 3) {
            return false;
        }
        if (p[1] == '0' && p[2] == '0') {
            return true;
        }
        p++;
    }
}

static bool
is_plain(char c, bool keep_slash)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
           c == '~' || (c == '/' && keep_slash);
}

size_t
amy__percent_encode(struct amy__span s, bool keep_slash, char *buf, size_t size)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t n = 0;
    size_t written = 0;

    for (size_t i = 0; i < s.n; i++) {
        uint8_t byte = (uint8_t)s.p[i];
        char code[3] = {s.p[i], 0, 0};
        size_t more = 1;

        if (!is_plain(s.p[i], keep_slash)) {
            more = 3;
            code[0] = '%';
            code[1] = digits[byte >> 4];
            code[2] = digits[byte & 0xf];
        }
        /* Never half a code, and nothing behind one that did not fit. */
        if (written == n && n + more < size) {
            memcpy(buf + n, code, more);
            written += more;
        }
        n += more;
    }
    if (size > 0) {
        buf[written] = '\0';
    }
    return n;
}
