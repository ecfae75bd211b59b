/* host[:port], as in Host and in an absolute-form target (RFC 3986 3.2,
 * without userinfo). */
#ifndef AMY_HTTP_AUTHORITY_H
#define AMY_HTTP_AUTHORITY_H

#include "core/str.h"

#include <stdbool.h>
#include <stdint.h>

#define AMY__HOST_MAX 255

struct amy__authority {
    size_t host_n;
    uint16_t port;            /* 0: none given */
    char host[AMY__HOST_MAX]; /* lower case, no trailing dot, IPv6 in [] */
};

/* False: not of that grammar, empty, or too long. */
bool amy__authority_parse(struct amy__span text, struct amy__authority *ret);

#endif
