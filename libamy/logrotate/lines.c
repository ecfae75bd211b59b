/* Cuts a file into lines, and finds places in plain ones. */
/* Not for which file comes next: stream.c. */
#include "logrotate/lines.h"

#include "core/alloc.h"
#include "core/error.h"
#include "logrotate/expand.h"
#include "logrotate/line.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define BUFFER ((size_t)2 * AMY_LOG_LINE_MAX)
#define BLOCK ((size_t)64 * 1024)

struct amy__lines {
    struct amy__expand *source;
    size_t begin;    /* of the line that comes next */
    size_t searched; /* there is no newline before */
    size_t used;
    bool skipping; /* the rest of a line that was cut */
    char buf[BUFFER];
};

int
amy__lines_open(int fd, enum amy__logname_packing packing, uint64_t offset,
                struct amy__lines **ret_lines, struct amy_error *err)
{
    struct amy__expand *source = NULL;
    struct amy__lines *lines = NULL;
    int rc = amy__expand_create(fd, packing, &source, err);

    if (rc < 0) {
        return rc;
    }
    lines = amy__calloc(1, sizeof(*lines));
    if (lines == NULL) {
        amy__expand_free(source);
        return amy__err(err, AMY_ENOMEM, "reading a log");
    }
    lines->source = source;
    amy__expand_seek(source, offset);
    *ret_lines = lines;
    return 0;
}

void
amy__lines_free(struct amy__lines *lines)
{
    if (lines != NULL) {
        amy__expand_free(lines->source);
        amy__free(lines);
    }
}

int
amy__lines_fd(const struct amy__lines *lines)
{
    return amy__expand_fd(lines->source);
}

/* What is in the buffer up to there is a line; the next begins at `next`. */
static struct amy__span
cut_line(struct amy__lines *lines, size_t end, size_t next, bool *ret_cut)
{
    struct amy__span line = {lines->buf + lines->begin, end - lines->begin};

    *ret_cut = line.n > AMY_LOG_LINE_MAX;
    line.n = *ret_cut ? AMY_LOG_LINE_MAX : line.n;
    lines->begin = next;
    lines->searched = next;
    return line;
}

/* The line that ends there; false: it is the rest of one that was cut. */
static bool
take_line(struct amy__lines *lines, const char *newline,
          struct amy__span *ret_line, bool *ret_cut)
{
    size_t end = (size_t)(newline - lines->buf);
    bool skipped = lines->skipping;

    *ret_line = cut_line(lines, end, end + 1, ret_cut);
    lines->skipping = false;
    return !skipped;
}

/* More bytes behind those that are there; *ret_n == 0: there are none. */
static int
read_more(struct amy__lines *lines, size_t *ret_n, struct amy_error *err)
{
    int rc = 0;

    if (lines->begin > 0) {
        memmove(lines->buf, lines->buf + lines->begin,
                lines->used - lines->begin);
        lines->used -= lines->begin;
        lines->searched -= lines->begin;
        lines->begin = 0;
    }
    rc = amy__expand_read(lines->source, lines->buf + lines->used,
                          BUFFER - lines->used, ret_n, err);
    lines->used += rc < 0 ? 0 : *ret_n;
    return rc;
}

int
amy__lines_next(struct amy__lines *lines, bool last, struct amy__span *ret_line,
                bool *ret_cut, struct amy_error *err)
{
    for (;;) {
        const char *newline = memchr(lines->buf + lines->searched, '\n',
                                     lines->used - lines->searched);
        size_t n = 0;
        int rc = 0;

        if (newline != NULL && take_line(lines, newline, ret_line, ret_cut)) {
            return 1;
        }
        if (newline != NULL) {
            continue;
        }
        lines->searched = lines->used;
        if (lines->skipping) {
            lines->begin = lines->used;
        } else if (lines->used - lines->begin > AMY_LOG_LINE_MAX) {
            *ret_line = cut_line(lines, lines->used, lines->used, ret_cut);
            lines->skipping = true;
            return 1;
        }
        rc = read_more(lines, &n, err);
        if (rc < 0) {
            return rc;
        }
        if (n == 0 && last && lines->used > lines->begin) {
            *ret_line = cut_line(lines, lines->used, lines->used, ret_cut);
            return 1;
        }
        if (n == 0) {
            return 0;
        }
    }
}

/* ---- places in plain files ---- */

static size_t
read_at(int fd, char *buf, size_t n, uint64_t offset)
{
    ssize_t got = 0;

    do {
        got = pread(fd, buf, n, (off_t)offset);
    } while (got < 0 && errno == EINTR);
    return got < 0 ? 0 : (size_t)got;
}

/* The first line with a time that begins in this block; false: there is none.
 */
static bool
first_time(const char *block, size_t n, size_t *ret_at, int64_t *ret_wall_ms)
{
    const char *newline = n == 0 ? NULL : memchr(block, '\n', n);

    while (newline != NULL) {
        const char *line = newline + 1;
        size_t left = n - (size_t)(line - block);

        newline = left == 0 ? NULL : memchr(line, '\n', left);
        if (newline != NULL &&
            amy__log_line_time(
                (struct amy__span){line, (size_t)(newline - line)},
                ret_wall_ms)) {
            *ret_at = (size_t)(line - block);
            return true;
        }
    }
    return false;
}

uint64_t
amy__lines_find_time(int fd, uint64_t size, int64_t wall_ms)
{
    char *block = amy__calloc(1, BLOCK);
    uint64_t low = 0; /* a line begins there, and is not later */
    uint64_t high = size;

    while (block != NULL && high - low > 2 * BLOCK) {
        uint64_t middle = low + (high - low) / 2;
        size_t n = read_at(fd, block, BLOCK, middle);
        int64_t found_ms = 0;
        size_t at = 0;

        /* Where nothing tells the time it is looked for earlier. */
        if (first_time(block, n, &at, &found_ms) && found_ms < wall_ms) {
            low = middle + at;
        } else {
            high = middle;
        }
    }
    amy__free(block);
    return low;
}

uint64_t
amy__lines_find_last(int fd, uint64_t size, uint64_t n, uint64_t *ret_lines)
{
    char *block = amy__calloc(1, BLOCK);
    uint64_t before = size; /* of the block that was looked at */
    uint64_t lines = 0;

    while (block != NULL && before > 0) {
        size_t want = before < BLOCK ? (size_t)before : BLOCK;
        size_t got = read_at(fd, block, want, before - want);

        if (got < want) {
            break; /* it was made shorter: read it from the beginning */
        }
        before -= want;
        for (size_t i = want; i-- > 0;) {
            bool begins = block[i] == '\n' && before + i + 1 < size;

            lines += begins ? 1 : 0; /* the one behind it, unless at the end */
            if (begins && lines == n) {
                amy__free(block);
                *ret_lines = n;
                return before + i + 1;
            }
        }
    }
    amy__free(block);
    *ret_lines = lines + (size > 0 ? 1 : 0); /* the first one */
    return 0;
}
