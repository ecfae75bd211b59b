/* Classes of bytes in HTTP heads (RFC 9110 5.6.2 and 5.5, RFC 3986 3.2.2). */
#ifndef AMY_HTTP_CHARS_H
#define AMY_HTTP_CHARS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AMY__CHAR_TOKEN 1U
#define AMY__CHAR_VALUE 2U  /* HTAB, SP, VCHAR, obs-text */
#define AMY__CHAR_TARGET 4U /* VCHAR but '#' */
#define AMY__CHAR_HOST 8U   /* unreserved and sub-delims but ',' */
#define AMY__CHAR_HEX 16U
#define AMY__CHAR_NAME 32U /* a token's, but '_' */

extern const uint8_t amy__chars[256];

/* The first byte from p on that is no such character, or end. */
const char *amy__scan_token(const char *p, const char *end);
/* A token that names a field: is there a '_' in it? */
const char *amy__scan_name(const char *p, const char *end,
                           bool *ret_underscore);
const char *amy__scan_value(const char *p, const char *end);
/* ret_question: the first '?' before it, or NULL. */
const char *amy__scan_target(const char *p, const char *end,
                             const char **ret_question);

/* ASCII only; dst may be src. */
void amy__lower(char *dst, const char *src, size_t n);
int amy__hex_value(char c); /* -1: no hexadecimal digit */

#endif
