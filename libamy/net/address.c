/* Socket addresses as text and back, and matching them against networks.
 * Not for resolving names: nothing here asks anybody. */
#include "net/address.h"

#include "core/error.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

/* RFC 4291 section 2.5.5.2: ::ffff:a.b.c.d */
static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
#define V4_PREFIX_BITS 96

static int
refuse(struct amy__span text, struct amy_error *err)
{
    char shown[80];

    (void)amy__escape(text, shown, sizeof(shown));
    return amy__err(err, AMY_EINVAL, "'%s' is no address", shown);
}

static int
parse_unix(struct amy__span text, struct amy__address *ret,
           struct amy_error *err)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct amy__span path = {text.p + 5, text.n - 5};

    if (path.n == 0 || path.p[0] != '/' ||
        !amy__span_copy(path, un.sun_path, sizeof(un.sun_path))) {
        return amy__err(err, AMY_EINVAL,
                        "'" AMY_SPAN_FMT "' is no absolute path of at most "
                        "%zu characters",
                        AMY_SPAN_ARG(text), sizeof(un.sun_path) - 1);
    }
    *ret = (struct amy__address){
        .len =
            (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.n + 1)};
    memcpy(&ret->sa, &un, sizeof(un));
    return 0;
}

/* Cut "host:port", "[v6]:port", "host" or "[v6]"; false when it is none. */
static bool
split_port(struct amy__span text, struct amy__span *host,
           struct amy__span *port, bool *v6)
{
    const char *end = NULL;

    *port = (struct amy__span){NULL, 0};
    *v6 = text.n > 0 && text.p[0] == '[';
    if (*v6) {
        end = memchr(text.p, ']', text.n);
        if (end == NULL) {
            return false;
        }
        *host = (struct amy__span){text.p + 1, (size_t)(end - text.p) - 1};
        end++;
    } else {
        end = text.n == 0 ? NULL : memchr(text.p, ':', text.n);
        if (end == NULL) {
            end = text.p + text.n;
        }
        *host = (struct amy__span){text.p, (size_t)(end - text.p)};
    }
    if (end == text.p + text.n) {
        return host->n > 0;
    }
    *port = (struct amy__span){end + 1, text.n - (size_t)(end - text.p) - 1};
    return *end == ':';
}

static bool
set_v6(struct amy__span host, uint16_t port, struct amy__address *ret)
{
    char text[INET6_ADDRSTRLEN];
    struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6,
                                .sin6_port = htons(port)};

    if (!amy__span_copy(host, text, sizeof(text)) ||
        inet_pton(AF_INET6, text, &sin6.sin6_addr) != 1) {
        return false;
    }
    *ret = (struct amy__address){.len = sizeof(sin6)};
    memcpy(&ret->sa, &sin6, sizeof(sin6));
    return true;
}

static bool
set_v4(struct amy__span host, uint16_t port, struct amy__address *ret)
{
    char text[INET_ADDRSTRLEN];
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(port)};

    if (!amy__span_copy(host, text, sizeof(text)) ||
        inet_pton(AF_INET, text, &sin.sin_addr) != 1) {
        return false;
    }
    *ret = (struct amy__address){.len = sizeof(sin)};
    memcpy(&ret->sa, &sin, sizeof(sin));
    return true;
}

int
amy__address_parse(struct amy__span text, uint16_t default_port,
                   struct amy__address *ret, struct amy_error *err)
{
    struct amy__span host = {NULL, 0};
    struct amy__span port = {NULL, 0};
    uint64_t number = default_port;
    bool v6 = false;

    if (amy__span_starts(text, AMY_SPAN("unix:"))) {
        return parse_unix(text, ret, err);
    }
    if (!split_port(text, &host, &port, &v6) ||
        (port.p != NULL && !amy__parse_u64(port, UINT16_MAX, &number))) {
        return refuse(text, err);
    }
    if (!v6 && (host.n == 0 || amy__span_eq(host, AMY_SPAN("*")))) {
        /* "::" serves IPv4 too, where the socket is not made IPv6-only. */
        host = AMY_SPAN("::");
        v6 = true;
    }
    if (v6 ? !set_v6(host, (uint16_t)number, ret)
           : !set_v4(host, (uint16_t)number, ret)) {
        return refuse(text, err);
    }
    return 0;
}

/* Sixteen bytes of an IP address, IPv4 mapped; false for unix. */
static bool
bytes_of(const struct amy__address *a, uint8_t ret[16])
{
    if (a->sa.ss_family == AF_INET) {
        struct sockaddr_in sin;

        memcpy(&sin, &a->sa, sizeof(sin));
        memcpy(ret, v4_prefix, sizeof(v4_prefix));
        memcpy(ret + sizeof(v4_prefix), &sin.sin_addr, 4);
        return true;
    }
    if (a->sa.ss_family == AF_INET6) {
        struct sockaddr_in6 sin6;

        memcpy(&sin6, &a->sa, sizeof(sin6));
        memcpy(ret, &sin6.sin6_addr, 16);
        return true;
    }
    return false;
}

size_t
amy__address_host(const struct amy__address *a, char *buf, size_t size)
{
    char text[INET6_ADDRSTRLEN] = "unix:";
    uint8_t bytes[16];
    int n = 0;

    if (bytes_of(a, bytes)) {
        bool v4 = memcmp(bytes, v4_prefix, sizeof(v4_prefix)) == 0;

        /* Cannot fail: the family is known and the buffer fits. */
        (void)inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? bytes + 12 : bytes, text,
                        sizeof(text));
    }
    n = snprintf(buf, size, "%s", text);
    return n < 0 ? 0 : (size_t)n;
}

bool
amy__address_is_loopback(const struct amy__address *a)
{
    char host[64] = "";

    (void)amy__address_host(a, host, sizeof(host));
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0;
}

uint16_t
amy__address_port(const struct amy__address *a)
{
    if (a->sa.ss_family == AF_INET) {
        struct sockaddr_in sin;

        memcpy(&sin, &a->sa, sizeof(sin));
        return ntohs(sin.sin_port);
    }
    if (a->sa.ss_family == AF_INET6) {
        struct sockaddr_in6 sin6;

        memcpy(&sin6, &a->sa, sizeof(sin6));
        return ntohs(sin6.sin6_port);
    }
    return 0;
}

/* True when bits after the first `bits` of 16 bytes are set. */
static bool
has_host_bits(const uint8_t bytes[16], unsigned bits)
{
    for (unsigned i = bits; i < 128; i++) {
        if ((bytes[i / 8] & (0x80U >> (i % 8))) != 0) {
            return true;
        }
    }
    return false;
}

int
amy__cidr_parse(struct amy__span text, struct amy__cidr *ret,
                struct amy_error *err)
{
    const char *slash = text.n == 0 ? NULL : memchr(text.p, '/', text.n);
    struct amy__span host = text;
    struct amy__address address;
    struct amy__cidr cidr = {.bits = 128};
    uint64_t bits = 0;
    bool v4 = false;

    if (slash != NULL) {
        host.n = (size_t)(slash - text.p);
    }
    v4 = set_v4(host, 0, &address);
    if ((!v4 && !set_v6(host, 0, &address)) ||
        !bytes_of(&address, cidr.bytes)) {
        return refuse(text, err);
    }
    if (slash != NULL) {
        struct amy__span length = {slash + 1, text.n - host.n - 1};

        if (!amy__parse_u64(length, v4 ? 32 : 128, &bits)) {
            return refuse(text, err);
        }
        cidr.bits = (uint8_t)(bits + (v4 ? V4_PREFIX_BITS : 0));
    }
    if (has_host_bits(cidr.bytes, cidr.bits)) {
        /* 10.0.0.1/8 is a slip of the pen for one of two things. */
        return amy__err(err, AMY_EINVAL,
                        "'" AMY_SPAN_FMT "' has bits set after its length",
                        AMY_SPAN_ARG(text));
    }
    *ret = cidr;
    return 0;
}

bool
amy__cidr_contains(const struct amy__cidr *cidr, const struct amy__address *a)
{
    uint8_t bytes[16];
    unsigned whole = cidr->bits / 8U;
    unsigned rest = cidr->bits % 8U;
    uint8_t mask = (uint8_t)(0xFFU << (8U - rest));

    if (!bytes_of(a, bytes) || memcmp(bytes, cidr->bytes, whole) != 0) {
        return false;
    }
    return rest == 0 || ((bytes[whole] ^ cidr->bytes[whole]) & mask) == 0;
}
