/* The host and port that a request is for. Not a resolver, and it does not know
 * which hosts are served. */
#include "http/authority.h"

#include "http/chars.h"

#include <string.h>

/* Length of "[...]" at the start of text, 0 when it is none. The address itself
 * is only compared with names that we serve, so its characters are checked and
 * not its meaning. */
static size_t
literal_length(struct amy__span text)
{
    for (size_t i = 1; i < text.n; i++) {
        if (text.p[i] == ']') {
            return i > 1 ? i + 1 : 0;
        }
        if (amy__hex_value(text.p[i]) < 0 && text.p[i] != ':' &&
            text.p[i] != '.') {
            return 0;
        }
    }
    return 0;
}

/* Length of the reg-name at the start of text. */
static size_t
name_length(struct amy__span text)
{
    size_t i = 0;

    while (i < text.n) {
        if ((amy__chars[(uint8_t)text.p[i]] & AMY__CHAR_HOST) != 0) {
            i++;
        } else if (text.p[i] == '%' && text.n - i > 2 &&
                   amy__hex_value(text.p[i + 1]) >= 0 &&
                   amy__hex_value(text.p[i + 2]) >= 0) {
            i += 3;
        } else {
            break;
        }
    }
    return i;
}

bool
amy__authority_parse(struct amy__span text, struct amy__authority *ret)
{
    bool literal = text.n > 0 && text.p[0] == '[';
    size_t n = literal ? literal_length(text) : name_length(text);
    uint64_t port = 0;

    if (n < text.n) {
        struct amy__span rest = {text.p + n + 1, text.n - n - 1};

        /* RFC 3986 3.2.3 allows an empty port. */
        if (text.p[n] != ':' ||
            (rest.n > 0 && !amy__parse_u64(rest, UINT16_MAX, &port))) {
            return false;
        }
    }
    if (!literal && n > 0 && text.p[n - 1] == '.') {
        n--;
    }
    if (n == 0 || n > AMY__HOST_MAX) {
        return false;
    }
    amy__lower(ret->host, text.p, n);
    ret->host_n = n;
    ret->port = (uint16_t)port;
    return true;
}
