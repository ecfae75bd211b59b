/* Which bytes may stand where in an HTTP/1.1 head, and fast scans for the first
 * that may not. Not the grammar of any line: see h1_parse.c. */
#include "http/chars.h"

#include <endian.h>
#include <string.h>

/* clang-format off */
const uint8_t amy__chars[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, /* 00 */
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* 10 */
    2, 47, 6, 35, 47, 39, 47, 47, 14, 14, 47, 47, 6, 47, 47, 6, /* 20 */
    63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 6, 14, 6, 14, 6, 6, /* 30 */
    6, 63, 63, 63, 63, 63, 63, 47, 47, 47, 47, 47, 47, 47, 47, 47, /* 40 */
    47, 47, 47, 47, 47, 47, 47, 47, 47, 47, 47, 6, 6, 6, 39, 15, /* 50 */
    39, 63, 63, 63, 63, 63, 63, 47, 47, 47, 47, 47, 47, 47, 47, 47, /* 60 */
    47, 47, 47, 47, 47, 47, 47, 47, 47, 47, 47, 6, 39, 6, 47, 0, /* 70 */
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, /* 80 */
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, /* 90 */
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, /* a0 */
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, /* b0 */
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, /* c0 */
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, /* d0 */
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, /* e0 */
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, /* f0 */
};
/* clang-format on */

#define EACH(byte) (0x0101010101010101ULL * (byte))
#define HIGH_BITS EACH(0x80ULL)

/* Eight bytes at a time. Each test sets the high bit of the bytes that it
 * means; a borrow may also set one further up, so only the lowest byte that is
 * marked is believed. */
static uint64_t
below(uint64_t word, uint64_t byte)
{
    return (word - EACH(byte)) & ~word & HIGH_BITS;
}

static uint64_t
equal(uint64_t word, uint64_t byte)
{
    return below(word ^ EACH(byte), 1);
}

/* The byte at p ends up lowest on every machine. */
static uint64_t
load(const char *p)
{
    uint64_t word = 0;

    memcpy(&word, p, sizeof(word));
    return le64toh(word);
}

static const char *
scan_bytes(const char *p, const char *end, uint8_t class)
{
    while (p < end && (amy__chars[(uint8_t)*p] & class) != 0) {
        p++;
    }
    return p;
}

const char *
amy__scan_token(const char *p, const char *end)
{
    return scan_bytes(p, end, AMY__CHAR_TOKEN);
}

const char *
amy__scan_name(const char *p, const char *end, bool *ret_underscore)
{
    const char *stop = scan_bytes(p, end, AMY__CHAR_NAME);

    *ret_underscore = stop < end && *stop == '_';
    return *ret_underscore ? amy__scan_token(stop, end) : stop;
}

const char *
amy__scan_value(const char *p, const char *end)
{
    while (end - p >= 8) {
        uint64_t word = load(p);
        uint64_t odd = below(word, 0x20) | equal(word, 0x7f);

        if (odd == 0) {
            p += 8;
            continue;
        }
        p += __builtin_ctzll(odd) / 8;
        if (*p != '\t') {
            return p;
        }
        p++;
    }
    return scan_bytes(p, end, AMY__CHAR_VALUE);
}

const char *
amy__scan_target(const char *p, const char *end, const char **ret_question)
{
    const char *question = NULL;

    while (p < end) {
        if (end - p >= 8) {
            uint64_t word = load(p);

            if ((below(word, 0x21) | (word & HIGH_BITS) | equal(word, 0x7f) |
                 equal(word, '#') | equal(word, '?')) == 0) {
                p += 8;
                continue;
            }
        }
        if ((amy__chars[(uint8_t)*p] & AMY__CHAR_TARGET) == 0) {
            break;
        }
        if (*p == '?' && question == NULL) {
            question = p;
        }
        p++;
    }
    *ret_question = question;
    return p;
}

void
amy__lower(char *dst, const char *src, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char c = src[i];

        dst[i] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
}

int
amy__hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}
