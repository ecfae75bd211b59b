/* Byte spans: comparing, cutting, escaping, numbers and checked sums. */
/* Not for units of size and duration: those are core/units.c. */
#include "core/str.h"

#include <string.h>

struct amy__span
amy__span_of(const char *text)
{
    return (struct amy__span){text, text == NULL ? 0 : strlen(text)};
}

bool
amy__span_eq(struct amy__span a, struct amy__span b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static unsigned char
lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

bool
amy__span_eq_nocase(struct amy__span a, struct amy__span b)
{
    if (a.n != b.n) {
        return false;
    }
    for (size_t i = 0; i < a.n; i++) {
        if (lower(a.p[i]) != lower(b.p[i])) {
            return false;
        }
    }
    return true;
}

bool
amy__span_starts(struct amy__span s, struct amy__span prefix)
{
    return s.n >= prefix.n &&
           amy__span_eq((struct amy__span){s.p, prefix.n}, prefix);
}

bool
amy__span_ends(struct amy__span s, struct amy__span suffix)
{
    return s.n >= suffix.n &&
           (suffix.n == 0 ||
            memcmp(s.p + (s.n - suffix.n), suffix.p, suffix.n) == 0);
}

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct amy__span
amy__span_trim(struct amy__span s)
{
    while (s.n > 0 && is_blank(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && is_blank(s.p[s.n - 1])) {
        s.n--;
    }
    return s;
}

bool
amy__span_split(struct amy__span *rest, char sep, struct amy__span *piece)
{
    const char *at = NULL;

    if (rest->p == NULL) {
        return false;
    }
    at = rest->n == 0 ? NULL : memchr(rest->p, sep, rest->n);
    if (at == NULL) {
        *piece = *rest;
        *rest = (struct amy__span){NULL, 0};
        return true;
    }
    *piece = (struct amy__span){rest->p, (size_t)(at - rest->p)};
    rest->n -= piece->n + 1;
    rest->p = at + 1;
    return true;
}

bool
amy__span_copy(struct amy__span s, char *dst, size_t size)
{
    if (s.n >= size) {
        if (size > 0) {
            dst[0] = '\0';
        }
        return false;
    }
    if (s.n > 0) {
        memcpy(dst, s.p, s.n);
    }
    dst[s.n] = '\0';
    return true;
}

bool
amy__parse_u64(struct amy__span s, uint64_t max, uint64_t *ret)
{
    uint64_t value = 0;

    if (s.n == 0) {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9' ||
            __builtin_mul_overflow(value, 10U, &value) ||
            __builtin_add_overflow(value, (uint64_t)(s.p[i] - '0'), &value)) {
            return false;
        }
    }
    if (value > max) {
        return false;
    }
    *ret = value;
    return true;
}

size_t
amy__escape(struct amy__span s, char *buf, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    size_t used = 0;

    if (size == 0) {
        return 0;
    }
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';

        /* Never half an escape: what does not fit whole is left out. */
        if (size - used <= (plain ? 1U : 4U)) {
            break;
        }
        if (plain) {
            buf[used++] = (char)c;
            continue;
        }
        buf[used++] = '\\';
        buf[used++] = 'x';
        buf[used++] = digits[c >> 4];
        buf[used++] = digits[c & 15];
    }
    buf[used] = '\0';
    return used;
}

bool
amy__add_size(size_t a, size_t b, size_t *ret)
{
    return !__builtin_add_overflow(a, b, ret);
}

bool
amy__mul_size(size_t a, size_t b, size_t *ret)
{
    return !__builtin_mul_overflow(a, b, ret);
}

uint64_t
amy__hash(struct amy__span s, uint64_t seed)
{
    uint64_t hash = 0xcbf29ce484222325U ^ seed;

    for (size_t i = 0; i < s.n; i++) {
        hash ^= (unsigned char)s.p[i];
        hash *= 0x100000001b3U;
    }
    return hash;
}

size_t
amy__utf8_length(const char *text, size_t n)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t want = 0;
    unsigned char low = 0x80;
    unsigned char high = 0xbf;

    if (p[0] < 0x80) {
        return p[0] != 0; /* NUL has no place in our texts */
    }
    if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        want = 2;
    } else if (p[0] >= 0xe0 && p[0] <= 0xef) {
        want = 3;
        low = p[0] == 0xe0 ? 0xa0 : low;   /* no overlong form */
        high = p[0] == 0xed ? 0x9f : high; /* no surrogate */
    } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        want = 4;
        low = p[0] == 0xf0 ? 0x90 : low;
        high = p[0] == 0xf4 ? 0x8f : high; /* up to U+10FFFF */
    }
    if (want == 0 || n < want || p[1] < low || p[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < want; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return want;
}

/* A letter begins there, and the text ends within it: with 0xa0, which may
 * stand second in nearly each, it would be one. */
static bool
is_cut_off(const char *text)
{
    size_t n = strlen(text);
    char whole[4] = {0};

    if (n == 0 || n >= sizeof(whole)) {
        return false;
    }
    for (size_t i = 0; i < sizeof(whole); i++) {
        whole[i] = i < n ? text[i] : '\xa0';
    }
    return amy__utf8_length(whole, sizeof(whole)) > n;
}

void
amy__utf8_mend(char *text)
{
    char *at = text;

    while (*at != '\0' && !is_cut_off(at)) {
        size_t n = amy__utf8_length(at, strlen(at));

        if (n == 0) {
            *at = '?';
        }
        at += n == 0 ? 1 : n;
    }
    *at = '\0';
}
