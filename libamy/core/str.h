/* Byte spans, units, escaping and checked arithmetic. Pure: no I/O, no
 * allocation. Not for growing text: that is core/buf.h. */
#ifndef AMY_CORE_STR_H
#define AMY_CORE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes somebody else owns; not NUL-terminated. */
struct amy__span {
    const char *p;
    size_t n;
};

#define AMY_SPAN(literal) ((struct amy__span){(literal), sizeof(literal) - 1})
#define AMY_SPAN_FMT "%.*s"
#define AMY_SPAN_ARG(s) (int)(s).n, (s).p

struct amy__span amy__span_of(const char *text); /* NULL gives {NULL, 0} */
bool amy__span_eq(struct amy__span a, struct amy__span b);
/* ASCII case only; never the locale's. */
bool amy__span_eq_nocase(struct amy__span a, struct amy__span b);
bool amy__span_starts(struct amy__span s, struct amy__span prefix);
bool amy__span_ends(struct amy__span s, struct amy__span suffix);
struct amy__span amy__span_trim(struct amy__span s); /* SP and HTAB */
/* Cut the next piece before sep off *rest; false when nothing is left. "a,"
 * has two pieces, the second empty; "" has one; {NULL, 0} has none. */
bool amy__span_split(struct amy__span *rest, char sep, struct amy__span *piece);
/* Copy with a NUL; false (and "" in dst) when it does not fit. */
bool amy__span_copy(struct amy__span s, char *dst, size_t size);

/* Digits only, the whole span, no sign, at most max. */
bool amy__parse_u64(struct amy__span s, uint64_t max, uint64_t *ret);
/* "10MiB", "64KiB", "512B", "2GiB", plain digits are bytes. Powers of 1024 for
 * KiB MiB GiB TiB, of 1000 for kB MB GB TB. */
bool amy__parse_size(struct amy__span s, uint64_t *ret_bytes);
/* "250ms", "30s", "2m", "1h", "7d", and sums of them in falling order
 * ("1h30m"). A bare number is refused: a unit is part of a duration. */
bool amy__parse_duration(struct amy__span s, int64_t *ret_ms);
/* Exact text of the same grammars, as snprintf: falling units without the empty
 * ones ("1h30m", "1s500ms", "0s"; below zero counts as zero), the largest
 * binary unit that fits evenly ("10MiB", "1500B"). */
int amy__format_duration(int64_t ms, char *buf, size_t size);
int amy__format_size(uint64_t bytes, char *buf, size_t size);

/* Printable ASCII but backslash and quote; everything else as \xNN. Returns
 * the length written, never more than size - 1; always NUL-terminated. */
size_t amy__escape(struct amy__span s, char *buf, size_t size);

/* Length of the UTF-8 sequence at text (RFC 3629), 0 when there is none. */
size_t amy__utf8_length(const char *text, size_t n);
/* What is no UTF-8 becomes '?'; a letter that was cut off at the end goes. */
void amy__utf8_mend(char *text);

bool amy__add_size(size_t a, size_t b, size_t *ret); /* false: overflow */
bool amy__mul_size(size_t a, size_t b, size_t *ret);

/* FNV-1a from a start of the caller's: take a random one (core/digest.h) for
 * tables that peers feed. */
uint64_t amy__hash(struct amy__span s, uint64_t seed);

#endif
