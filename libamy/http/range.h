/* Ranges of bytes (RFC 9110 14): which of a file a request asks for, and how
 * several of them stand in one answer. Pure. */
#ifndef AMY_HTTP_RANGE_H
#define AMY_HTTP_RANGE_H

#include "http/message.h"

#include <stddef.h>
#include <stdint.h>

/* More than that in one request is nobody's wish (14.2 allows to say so). */
#define AMY__RANGES_MAX 16U

struct amy__range {
    uint64_t first;
    uint64_t n; /* above 0 */
};

struct amy__ranges {
    size_t count;
    struct amy__range at[AMY__RANGES_MAX]; /* in the order asked for */
};

enum amy__range_wish {
    AMY__RANGE_WHOLE = 0, /* 200: nothing asked, or nothing to be followed */
    AMY__RANGE_PARTS,     /* 206: one range, or several that do not overlap */
    AMY__RANGE_NONE,      /* 416: all of them lie beyond the end */
};

/* What is asked of a thing of `size` bytes; If-Range was looked at before.
 * Other methods than GET know no ranges (14.2). Filled for PARTS only. */
enum amy__range_wish amy__range_read(const struct amy__request_head *head,
                                     uint64_t size, struct amy__ranges *ret);

#define AMY__RANGE_TEXT 72U /* "bytes ", three numbers and NUL */
/* The value of Content-Range; range NULL: there is none, as 416 says. Returns
 * the length. */
size_t amy__range_text(const struct amy__range *range, uint64_t size,
                       char text[AMY__RANGE_TEXT]);

/* multipart/byteranges (14.6). What stands before each part, and behind the
 * last: as snprintf, the length needed. */
size_t amy__range_part_head(const char *boundary, struct amy__span type,
                            const struct amy__range *range, uint64_t size,
                            char *buf, size_t buf_n);
size_t amy__range_parts_end(const char *boundary, char *buf, size_t buf_n);

#endif
