/* redis://, rediss:// and unix://, part by part. */
/* Not for asking whether the host exists. */
#include "redis/url.h"

#include "core/alloc.h"
#include "core/digest.h"
#include "core/error.h"
#include "core/str.h"

#include <stdio.h>
#include <string.h>

#define URL_MAX 4096U
#define DEFAULT_PORT 6379U
#define DB_MAX 1000000U

/* --- decoding --- */

static int
digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte of "%xx"; -1: it is none, or NUL. */
static int
escaped(struct amy__span rest)
{
    int high = rest.n < 3 ? -1 : digit(rest.p[1]);
    int low = rest.n < 3 ? -1 : digit(rest.p[2]);

    return high < 0 || low < 0 || high + low == 0 ? -1 : high * 16 + low;
}

static void
wipe(char **text)
{
    if (*text != NULL) {
        amy__wipe(*text, strlen(*text));
        amy__free(*text);
        *text = NULL;
    }
}

/* A part by its name, percent-decoded into memory of its own. */
static int
decode(struct amy__span part, const char *name, char **ret,
       struct amy_error *err)
{
    char *text = amy__calloc(part.n + 1, 1);
    size_t n = 0;

    if (text == NULL) {
        return amy__err(err, AMY_ENOMEM, "reading a Redis URL");
    }
    while (part.n > 0) {
        int c = (unsigned char)part.p[0];
        size_t used = 1;

        if (c == '%') {
            c = escaped(part);
            used = 3;
        }
        if (c < 0) {
            wipe(&text);
            return amy__err(err, AMY_EINVAL,
                            "Redis URL: %s: %% stands before two hexadecimal "
                            "digits, not 00",
                            name);
        }
        text[n++] = (char)c;
        part.p += used;
        part.n -= used;
    }
    wipe(ret);
    *ret = text;
    return 0;
}

/* --- parts --- */

static int
take_db(struct amy__span text, struct amy__redis_url *ret,
        struct amy_error *err)
{
    uint64_t db = 0;

    if (!amy__parse_u64(text, DB_MAX, &db)) {
        return amy__err(err, AMY_EINVAL,
                        "Redis URL: the database is a number, as in "
                        "redis://localhost/0");
    }
    ret->db = (uint32_t)db;
    return 0;
}

static int
take_verification(struct amy__span value, struct amy_error *err)
{
    if (amy__span_eq(value, AMY_SPAN("required"))) {
        return 0;
    }
    return amy__err(err, AMY_EINVAL,
                    "Redis URL: ssl_cert_reqs may only be required: name the "
                    "CA with ssl_ca_certs instead");
}

static int
take_option(struct amy__span name, struct amy__span value,
            struct amy__redis_url *ret, struct amy_error *err)
{
    const struct {
        const char *name;
        char **at;
    } known[] = {
        {"username", &ret->user},        {"password", &ret->password},
        {"ssl_ca_certs", &ret->ca_file}, {"ssl_certfile", &ret->cert_file},
        {"ssl_keyfile", &ret->key_file},
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (amy__span_eq(name, amy__span_of(known[i].name))) {
            return decode(value, known[i].name, known[i].at, err);
        }
    }
    if (amy__span_eq(name, AMY_SPAN("db"))) {
        return take_db(value, ret, err);
    }
    if (amy__span_eq(name, AMY_SPAN("ssl_cert_reqs"))) {
        return take_verification(value, err);
    }
    return 0; /* what a Python client does with its sockets */
}

static int
take_query(struct amy__span query, struct amy__redis_url *ret,
           struct amy_error *err)
{
    struct amy__span piece = {NULL, 0};

    while (amy__span_split(&query, '&', &piece)) {
        struct amy__span name = {NULL, 0};
        int rc = 0;

        if (piece.n == 0) {
            continue;
        }
        if (!amy__span_split(&piece, '=', &name) || piece.p == NULL) {
            return amy__err(err, AMY_EINVAL,
                            "Redis URL: a part of the query has no value");
        }
        rc = take_option(name, piece, ret, err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* "user:password" or "user"; both may be empty, and are none then. */
static int
take_login(struct amy__span login, struct amy__redis_url *ret,
           struct amy_error *err)
{
    struct amy__span user = {NULL, 0};
    int rc = 0;

    (void)amy__span_split(&login, ':', &user);
    if (user.n > 0) {
        rc = decode(user, "the user", &ret->user, err);
    }
    if (rc == 0 && login.n > 0) {
        rc = decode(login, "the password", &ret->password, err);
    }
    return rc;
}

static int
take_port(struct amy__span text, struct amy__redis_url *ret,
          struct amy_error *err)
{
    uint64_t port = DEFAULT_PORT;

    if (text.n > 0 && (!amy__parse_u64(text, UINT16_MAX, &port) || port == 0)) {
        return amy__err(err, AMY_EINVAL,
                        "Redis URL: the port is a number from 1 to 65535");
    }
    ret->port = (uint16_t)port;
    return 0;
}

/* "host:port", "[v6]:port"; an empty host is localhost. */
static int
take_place(struct amy__span place, struct amy__redis_url *ret,
           struct amy_error *err)
{
    struct amy__span host = place;
    struct amy__span port = {NULL, 0};
    bool v6 = place.n > 0 && place.p[0] == '[';
    const char *end =
        place.n == 0 ? NULL : memchr(place.p, v6 ? ']' : ':', place.n);
    int rc = 0;

    if (v6) {
        if (end == NULL) {
            return amy__err(err, AMY_EINVAL, "Redis URL: the host has no ]");
        }
        host = (struct amy__span){place.p + 1, (size_t)(end - place.p) - 1};
        port =
            (struct amy__span){end + 1, place.n - (size_t)(end - place.p) - 1};
        if (port.n > 0 && port.p[0] != ':') {
            return amy__err(err, AMY_EINVAL,
                            "Redis URL: after ] comes a port or the database");
        }
    } else if (end != NULL) {
        host.n = (size_t)(end - place.p);
        port = (struct amy__span){end, place.n - host.n};
    }
    if (port.n > 0) { /* without its colon */
        port.p++;
        port.n--;
    }
    rc = take_port(port, ret, err);
    return rc < 0 ? rc
                  : decode(host.n == 0 ? AMY_SPAN("localhost") : host,
                           "the host", &ret->host, err);
}

/* --- the whole --- */

/* Cut what stands before the first `sep` off *rest. false: there is none. */
static bool
cut_at(struct amy__span *rest, char sep, struct amy__span *ret_before)
{
    const char *at = rest->n == 0 ? NULL : memchr(rest->p, sep, rest->n);

    if (at == NULL) {
        return false;
    }
    *ret_before = (struct amy__span){rest->p, (size_t)(at - rest->p)};
    rest->n -= ret_before->n + 1;
    rest->p = at + 1;
    return true;
}

/* What comes before the last '@': a password may hold one that was not
 * encoded. */
static struct amy__span
cut_login(struct amy__span *authority)
{
    struct amy__span login = {NULL, 0};
    const char *at =
        authority->n == 0 ? NULL : memrchr(authority->p, '@', authority->n);

    if (at != NULL) {
        login = (struct amy__span){authority->p, (size_t)(at - authority->p)};
        authority->n -= login.n + 1;
        authority->p = at + 1;
    }
    return login;
}

static int
take_unix(struct amy__span rest, struct amy__redis_url *ret,
          struct amy_error *err)
{
    struct amy__span authority = rest;
    struct amy__span login = {NULL, 0};
    const char *slash = rest.n == 0 ? NULL : memchr(rest.p, '/', rest.n);
    int rc = 0;

    if (slash == NULL) {
        return amy__err(err, AMY_EINVAL,
                        "Redis URL: unix:// is followed by an absolute path");
    }
    authority.n = (size_t)(slash - rest.p);
    rest.n -= authority.n;
    rest.p = slash;
    login = cut_login(&authority);
    if (authority.n > 0) {
        return amy__err(err, AMY_EINVAL,
                        "Redis URL: unix:// has no host: a third slash begins "
                        "the path");
    }
    rc = take_login(login, ret, err);
    return rc < 0 ? rc : decode(rest, "the path", &ret->path, err);
}

static int
take_network(struct amy__span rest, struct amy__redis_url *ret,
             struct amy_error *err)
{
    struct amy__span authority = rest;
    struct amy__span login = {NULL, 0};
    int rc = 0;

    if (!cut_at(&rest, '/', &authority)) {
        rest = (struct amy__span){NULL, 0};
    }
    login = cut_login(&authority);
    rc = take_login(login, ret, err);
    rc = rc < 0 ? rc : take_place(authority, ret, err);
    return rc < 0 || rest.n == 0 ? rc : take_db(rest, ret, err);
}

static int
take_all(struct amy__span rest, struct amy__redis_url *ret,
         struct amy_error *err)
{
    struct amy__span before = {NULL, 0};
    struct amy__span query = {NULL, 0};
    bool network = true;
    int rc = 0;

    if (amy__span_starts(rest, AMY_SPAN("rediss://"))) {
        ret->tls = true;
    } else if (amy__span_starts(rest, AMY_SPAN("unix://"))) {
        network = false;
    } else if (!amy__span_starts(rest, AMY_SPAN("redis://"))) {
        return amy__err(err, AMY_EINVAL,
                        "Redis URL: it begins with redis://, rediss:// or "
                        "unix://");
    }
    (void)cut_at(&rest, ':', &before);
    rest.p += 2;
    rest.n -= 2;
    query = rest;
    if (cut_at(&query, '?', &before)) {
        rest = before;
    } else {
        query = (struct amy__span){NULL, 0};
    }
    rc = network ? take_network(rest, ret, err) : take_unix(rest, ret, err);
    return rc < 0 ? rc : take_query(query, ret, err);
}

/* Bytes that no URL has: they would turn up in messages and files. */
static bool
is_plain(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text <= ' ' || *text == 0x7F) {
            return false;
        }
    }
    return true;
}

int
amy__redis_url_parse(const char *text, struct amy__redis_url *ret,
                     struct amy_error *err)
{
    struct amy__redis_url url = {0};
    int rc = 0;

    if (text == NULL || text[0] == '\0') {
        return amy__err(err, AMY_EINVAL, "Redis URL: it is empty");
    }
    if (strlen(text) > URL_MAX || !is_plain(text)) {
        return amy__err(err, AMY_EINVAL,
                        "Redis URL: it has blanks or control characters, or "
                        "more than %u bytes",
                        URL_MAX);
    }
    rc = take_all(amy__span_of(text), &url, err);
    if (rc < 0) {
        amy__redis_url_clear(&url);
        return rc;
    }
    *ret = url;
    return 0;
}

void
amy__redis_url_clear(struct amy__redis_url *url)
{
    wipe(&url->host);
    wipe(&url->path);
    wipe(&url->user);
    wipe(&url->password);
    wipe(&url->ca_file);
    wipe(&url->cert_file);
    wipe(&url->key_file);
    *url = (struct amy__redis_url){0};
}

void
amy__redis_url_show(const struct amy__redis_url *url, char *buf, size_t size)
{
    char name[128] = "";

    (void)amy__escape(amy__span_of(url->path != NULL ? url->path : url->host),
                      name, sizeof(name));
    if (url->path != NULL) {
        (void)snprintf(buf, size, "%s", name);
    } else {
        (void)snprintf(buf, size,
                       strchr(name, ':') == NULL ? "%s:%u" : "[%s]:%u", name,
                       (unsigned)url->port);
    }
}
