/* The credentials of Basic authentication, from a field of a stranger's. */
/* Not for whether they are right: that is front/door.c. */
#include "http/basic.h"

#include <stdint.h>
#include <string.h>

static int
sextet(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* RFC 4648 4, without padding: how many bytes, or -1. */
static int64_t
decode(struct amy__span text, char *buf, size_t size)
{
    uint32_t bits = 0;
    unsigned held = 0;
    size_t n = 0;

    if (text.n % 4 == 1 || text.n / 4 * 3 + 2 > size) {
        return -1;
    }
    for (size_t i = 0; i < text.n; i++) {
        int value = sextet(text.p[i]);

        if (value < 0) {
            return -1;
        }
        bits = (bits << 6 | (uint32_t)value) & 0xffffU;
        held += 6;
        if (held >= 8) {
            held -= 8;
            buf[n++] = (char)(bits >> held & 0xffU);
        }
    }
    return (int64_t)n;
}

/* Padding is all of it, or none. */
static bool
cut_padding(struct amy__span *text)
{
    size_t whole = text->n;

    while (text->n > 0 && text->p[text->n - 1] == '=') {
        text->n--;
    }
    return whole == text->n || (whole % 4 == 0 && whole - text->n <= 2);
}

static bool
has_control(struct amy__span text)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];

        if (c < 0x20 || c == 0x7f) {
            return true;
        }
    }
    return false;
}

bool
amy__basic_parse(struct amy__span value, char buf[AMY__BASIC_MAX],
                 struct amy__span *ret_name, struct amy__span *ret_password)
{
    static const struct amy__span scheme = {"Basic ", 6};
    struct amy__span text = value;
    const char *colon = NULL;
    int64_t n = 0;

    if (value.n < scheme.n ||
        !amy__span_eq_nocase((struct amy__span){value.p, scheme.n}, scheme)) {
        return false;
    }
    text.p += scheme.n;
    text.n -= scheme.n;
    text = amy__span_trim(text);
    if (!cut_padding(&text)) {
        return false;
    }
    n = decode(text, buf, AMY__BASIC_MAX);
    colon = n <= 0 ? NULL : memchr(buf, ':', (size_t)n);
    if (colon == NULL || has_control((struct amy__span){buf, (size_t)n})) {
        return false;
    }
    *ret_name = (struct amy__span){buf, (size_t)(colon - buf)};
    *ret_password = (struct amy__span){colon + 1, (size_t)n - ret_name->n - 1};
    return ret_name->n > 0 && ret_name->n <= AMY__BASIC_NAME_MAX &&
           ret_password->n <= AMY__BASIC_PASSWORD_MAX;
}
