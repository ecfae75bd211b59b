/* Rewriting heads on their way to a worker and back, and finding the client
 * behind trusted proxies. Not for choosing where they go. */
#include "front/forwarded.h"

#include <stdio.h>
#include <string.h>

static bool
is_trusted(const struct amy__arrival *arrival, const struct amy__address *a)
{
    for (size_t i = 0; i < arrival->trusted_count; i++) {
        if (amy__cidr_contains(&arrival->trusted[i], a)) {
            return true;
        }
    }
    return false;
}

bool
amy__arrival_trusted(const struct amy__arrival *arrival)
{
    return is_trusted(arrival, arrival->peer);
}

static bool
is_named(const struct amy__field *field, const char *name)
{
    return amy__span_eq_nocase(field->name, amy__span_of(name));
}

/* Cut the last element of a comma-separated list off *rest. */
static bool
cut_last(struct amy__span *rest, struct amy__span *ret)
{
    size_t at = rest->n;

    if (rest->n == 0) {
        return false;
    }
    while (at > 0 && rest->p[at - 1] != ',') {
        at--;
    }
    *ret = amy__span_trim((struct amy__span){rest->p + at, rest->n - at});
    rest->n = at == 0 ? 0 : at - 1;
    return true;
}

/* "192.0.2.7", "192.0.2.7:1234", "2001:db8::1", "[2001:db8::1]:1234". */
static bool
parse_hop(struct amy__span text, struct amy__address *ret)
{
    char bare[AMY__CLIENT_MAX + 2];
    size_t colons = 0;

    for (size_t i = 0; i < text.n; i++) {
        colons += text.p[i] == ':' ? 1 : 0;
    }
    if (colons > 1 && text.p[0] != '[') {
        int n = snprintf(bare, sizeof(bare), "[%.*s]", AMY_SPAN_ARG(text));

        if (n < 0 || (size_t)n >= sizeof(bare)) {
            return false;
        }
        text = (struct amy__span){bare, (size_t)n};
    }
    return text.n > 0 && text.p[0] != ':' && text.p[0] != '*' &&
           text.p[0] != 'u' && amy__address_parse(text, 1, ret, NULL) == 0;
}

void
amy__client_resolve(const struct amy__arrival *arrival,
                    const struct amy__request_head *head,
                    char client[AMY__CLIENT_MAX], struct amy__address *ret)
{
    bool trusted = amy__arrival_trusted(arrival);

    *ret = *arrival->peer;
    for (size_t i = head->field_count; trusted && i > 0; i--) {
        const struct amy__field *field = &head->fields[i - 1];
        struct amy__span rest = field->value;
        struct amy__span hop = {0};

        if (field->id != AMY__FIELD_X_FORWARDED ||
            !is_named(field, "X-Forwarded-For")) {
            continue;
        }
        while (trusted && cut_last(&rest, &hop)) {
            struct amy__address address = {0};

            /* What no address is ends the walk at the last known hop. */
            trusted = parse_hop(hop, &address);
            if (trusted) {
                *ret = address;
                trusted = is_trusted(arrival, &address);
            }
        }
    }
    if (amy__address_host(ret, client, AMY__CLIENT_MAX) >= AMY__CLIENT_MAX) {
        client[0] = '\0';
    }
}

static bool
is_plain_id(struct amy__span id)
{
    if (id.n == 0 || id.n >= AMY__REQUEST_ID_MAX) {
        return false;
    }
    for (size_t i = 0; i < id.n; i++) {
        char c = id.p[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
              (c >= 'A' && c <= 'Z') || c == '-' || c == '_' || c == '.' ||
              c == '=' || c == '+' || c == '/')) {
            return false;
        }
    }
    return true;
}

static char *
put_hex(char *at, uint64_t value)
{
    static const char digits[] = "0123456789abcdef";

    for (int shift = 60; shift >= 0; shift -= 4) {
        *at++ = digits[(value >> shift) & 15];
    }
    return at;
}

void
amy__request_id(struct amy__id_maker *maker, const struct amy__arrival *arrival,
                const struct amy__request_head *head,
                char id[AMY__REQUEST_ID_MAX])
{
    const struct amy__field *given = amy__field_find(
        head->fields, head->field_count, AMY__FIELD_X_REQUEST_ID);

    if (given != NULL && amy__arrival_trusted(arrival) &&
        is_plain_id(given->value)) {
        (void)amy__span_copy(given->value, id, AMY__REQUEST_ID_MAX);
        return;
    }
    *put_hex(put_hex(id, maker->start), maker->next++) = '\0';
}

/* ---- the head for the worker ---- */

static void
put_field(struct amy__request_head *dst, const char *name,
          struct amy__span value)
{
    if (value.p == NULL || dst->field_count == AMY__FIELDS_ROOM) {
        return;
    }
    dst->fields[dst->field_count++] =
        (struct amy__field){.name = amy__span_of(name), .value = value};
}

static void
put_bytes(struct amy__forward_text *text, struct amy__span s)
{
    size_t room = sizeof(text->text) - text->used;
    size_t n = s.n < room ? s.n : room;

    if (n > 0) {
        memcpy(text->text + text->used, s.p, n);
        text->used += n;
    }
}

static struct amy__span
text_since(const struct amy__forward_text *text, size_t start)
{
    return (struct amy__span){text->text + start, text->used - start};
}

/* All values of the fields of that name, in order, one list; then `own`. */
static struct amy__span
join(struct amy__forward_text *text, const struct amy__request_head *src,
     bool keep, const char *name, struct amy__span own)
{
    size_t start = text->used;

    for (size_t i = 0; keep && i < src->field_count; i++) {
        const struct amy__field *field = &src->fields[i];

        if ((field->id == AMY__FIELD_X_FORWARDED ||
             field->id == AMY__FIELD_FORWARDED) &&
            field->value.n > 0 && is_named(field, name)) {
            put_bytes(text, field->value);
            put_bytes(text, AMY_SPAN(", "));
        }
    }
    put_bytes(text, own);
    return text_since(text, start);
}

/* What a trusted peer said, or our own view. */
static struct amy__span
said_or(const struct amy__request_head *src, bool trusted, const char *name,
        struct amy__span own)
{
    for (size_t i = 0; trusted && i < src->field_count; i++) {
        if (src->fields[i].id == AMY__FIELD_X_FORWARDED &&
            is_named(&src->fields[i], name)) {
            return src->fields[i].value;
        }
    }
    return own;
}

/* RFC 7239 4: for=peer;host="authority";proto=scheme. */
static struct amy__span
forwarded_element(struct amy__forward_text *text, const char *peer,
                  struct amy__span authority, const char *scheme)
{
    size_t start = text->used;
    bool ipv6 = strchr(peer, ':') != NULL;

    put_bytes(text, AMY_SPAN("for="));
    put_bytes(text, amy__span_of(ipv6 ? "\"[" : ""));
    put_bytes(text, amy__span_of(peer));
    put_bytes(text, amy__span_of(ipv6 ? "]\"" : ""));
    if (authority.n > 0) {
        put_bytes(text, AMY_SPAN(";host=\""));
        put_bytes(text, authority);
        put_bytes(text, AMY_SPAN("\""));
    }
    put_bytes(text, AMY_SPAN(";proto="));
    put_bytes(text, amy__span_of(scheme));
    return text_since(text, start);
}

/* WSGI maps both '-' and '_' to '_': such a name would pass for another. */
static bool
has_underscore(struct amy__span name)
{
    return memchr(name.p, '_', name.n) != NULL;
}

static bool
goes_upstream(const struct amy__field *field)
{
    if ((field->flags & AMY__FIELD_HOP) != 0) {
        return false;
    }
    switch (field->id) {
    case AMY__FIELD_CONNECTION:
    case AMY__FIELD_CONTENT_LENGTH:
    case AMY__FIELD_EXPECT: /* answered by us: the body is here */
    case AMY__FIELD_FORWARDED:
    case AMY__FIELD_HOST: /* the codec writes it from authority */
    case AMY__FIELD_KEEP_ALIVE:
    case AMY__FIELD_PROXY_AUTHENTICATE:
    case AMY__FIELD_PROXY_AUTHORIZATION:
    case AMY__FIELD_PROXY_CONNECTION:
    case AMY__FIELD_TE:
    case AMY__FIELD_TRAILER:
    case AMY__FIELD_TRANSFER_ENCODING:
    case AMY__FIELD_UPGRADE:
    case AMY__FIELD_X_ACCEL: /* between application and front: no client's */
    case AMY__FIELD_X_ACCEL_BUFFERING:
    case AMY__FIELD_X_ACCEL_REDIRECT:
    case AMY__FIELD_X_FORWARDED:
    case AMY__FIELD_X_REQUEST_ID:
        return false;
    default:
        return !has_underscore(field->name);
    }
}

static void
copy_fields(struct amy__request_head *dst, const struct amy__request_head *src)
{
    dst->field_count = 0;
    for (size_t i = 0; i < src->field_count; i++) {
        if (goes_upstream(&src->fields[i])) {
            dst->fields[dst->field_count++] = src->fields[i];
        }
    }
}

static struct amy__span
port_text(struct amy__forward_text *text, uint16_t port)
{
    char digits[8];
    size_t n = 0;
    size_t start = text->used;

    do {
        digits[sizeof(digits) - ++n] = (char)('0' + port % 10);
        port /= 10;
    } while (port > 0);
    put_bytes(text, (struct amy__span){digits + sizeof(digits) - n, n});
    return text_since(text, start);
}

static void
put_forwarding(struct amy__request_head *dst,
               const struct amy__request_head *src,
               const struct amy__arrival *arrival, const char *client,
               struct amy__forward_text *text)
{
    bool trusted = amy__arrival_trusted(arrival);
    const char *scheme = arrival->tls ? "https" : "http";
    char other[AMY__CLIENT_MAX] = "";
    const char *peer = client;
    struct amy__span own = {0};

    if (trusted) {
        (void)amy__address_host(arrival->peer, other, sizeof(other));
        peer = other;
    }
    own = forwarded_element(text, peer, src->authority, scheme);
    put_field(dst, "X-Forwarded-For",
              join(text, src, trusted, "X-Forwarded-For", amy__span_of(peer)));
    put_field(dst, "X-Forwarded-Proto",
              said_or(src, trusted, "X-Forwarded-Proto", amy__span_of(scheme)));
    put_field(dst, "X-Forwarded-Host",
              said_or(src, trusted, "X-Forwarded-Host", src->authority));
    put_field(dst, "X-Forwarded-Port",
              said_or(src, trusted, "X-Forwarded-Port",
                      port_text(text, arrival->port)));
    put_field(dst, "Forwarded", join(text, src, trusted, "Forwarded", own));
    put_field(dst, "X-Real-IP", amy__span_of(client));
}

void
amy__forward_head(struct amy__request_head *dst,
                  const struct amy__request_head *src,
                  const struct amy__arrival *arrival, const char *client,
                  const char *id, bool has_body, uint64_t body_n,
                  struct amy__forward_text *text)
{
    text->used = 0;
    memcpy(dst, src, offsetof(struct amy__request_head, field_count));
    dst->body = has_body ? AMY__BODY_LENGTH : AMY__BODY_NONE;
    dst->content_length = body_n;
    dst->keep_alive = true;
    dst->expect_continue = false;
    copy_fields(dst, src);
    put_forwarding(dst, src, arrival, client, text);
    put_field(dst, "X-Request-ID", amy__span_of(id));
    put_field(dst, "Via",
              src->version_major == 2   ? AMY_SPAN("2 amy")
              : src->version_minor == 0 ? AMY_SPAN("1.0 amy")
                                        : AMY_SPAN("1.1 amy"));
}

void
amy__forward_drop(struct amy__request_head *dst, enum amy__field_id id)
{
    size_t kept = 0;

    for (size_t i = 0; i < dst->field_count; i++) {
        if (dst->fields[i].id != (uint16_t)id) {
            dst->fields[kept++] = dst->fields[i];
        }
    }
    dst->field_count = kept;
}

/* ---- the answer's way back ---- */

bool
amy__field_goes_back(const struct amy__field *field)
{
    if ((field->flags & AMY__FIELD_HOP) != 0) {
        return false;
    }
    switch (field->id) {
    case AMY__FIELD_CONNECTION:
    case AMY__FIELD_CONTENT_LENGTH:
    case AMY__FIELD_KEEP_ALIVE:
    case AMY__FIELD_PROXY_AUTHENTICATE:
    case AMY__FIELD_PROXY_CONNECTION:
    case AMY__FIELD_TRAILER:
    case AMY__FIELD_TRANSFER_ENCODING:
    case AMY__FIELD_UPGRADE:
    case AMY__FIELD_X_ACCEL:
    case AMY__FIELD_X_ACCEL_BUFFERING:
    case AMY__FIELD_X_ACCEL_REDIRECT:
        return false;
    default:
        return true;
    }
}

bool
amy__backward_head(struct amy__answer_head *dst,
                   const struct amy__answer_head *src)
{
    bool streams = false;

    memcpy(dst, src, offsetof(struct amy__answer_head, field_count));
    dst->field_count = 0;
    for (size_t i = 0; i < src->field_count; i++) {
        const struct amy__field *field = &src->fields[i];

        if (field->id == AMY__FIELD_X_ACCEL_BUFFERING) {
            streams =
                streams || amy__span_eq_nocase(field->value, AMY_SPAN("no"));
        } else if (field->id == AMY__FIELD_CONTENT_TYPE) {
            streams =
                streams ||
                amy__span_starts(field->value, AMY_SPAN("text/event-stream"));
        }
        if (amy__field_goes_back(field)) {
            dst->fields[dst->field_count++] = *field;
        }
    }
    return streams;
}
