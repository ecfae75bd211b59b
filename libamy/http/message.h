/* Heads of requests and answers, as spans into the bytes they were read from.
 * What every codec produces and takes; not how any of them writes it. */
#ifndef AMY_HTTP_MESSAGE_H
#define AMY_HTTP_MESSAGE_H

#include "core/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AMY__FIELDS_MAX 100 /* of a message that is read; more: 431 */
/* Of one that is passed on: what is added on the way takes no place away. */
#define AMY__FIELDS_ROOM (AMY__FIELDS_MAX + 8)

enum amy__method {
    AMY__METHOD_OTHER = 0, /* a token we have no name for: see method_text */
    AMY__METHOD_GET,
    AMY__METHOD_HEAD,
    AMY__METHOD_POST,
    AMY__METHOD_PUT,
    AMY__METHOD_DELETE,
    AMY__METHOD_OPTIONS,
    AMY__METHOD_PATCH,
    AMY__METHOD_TRACE,
    AMY__METHOD_CONNECT,
};

/* Fields that somebody in libamy asks for by name: found while parsing, so that
 * nobody compares names again. 0: any other. */
enum amy__field_id {
    AMY__FIELD_OTHER = 0,
    AMY__FIELD_ACCEPT,
    AMY__FIELD_ACCEPT_ENCODING,
    AMY__FIELD_AUTHORIZATION,
    AMY__FIELD_CACHE_CONTROL,
    AMY__FIELD_CONNECTION,
    AMY__FIELD_CONTENT_LENGTH,
    AMY__FIELD_CONTENT_TYPE,
    AMY__FIELD_DATE,
    AMY__FIELD_EXPECT,
    AMY__FIELD_FORWARDED,
    AMY__FIELD_HOST,
    AMY__FIELD_IF_MATCH,
    AMY__FIELD_IF_MODIFIED_SINCE,
    AMY__FIELD_IF_NONE_MATCH,
    AMY__FIELD_IF_RANGE,
    AMY__FIELD_IF_UNMODIFIED_SINCE,
    AMY__FIELD_KEEP_ALIVE,
    AMY__FIELD_LOCATION,
    AMY__FIELD_PROXY_AUTHENTICATE,
    AMY__FIELD_PROXY_AUTHORIZATION,
    AMY__FIELD_PROXY_CONNECTION,
    AMY__FIELD_RANGE,
    AMY__FIELD_REFERER,
    AMY__FIELD_SERVER,
    AMY__FIELD_TE,
    AMY__FIELD_TRAILER,
    AMY__FIELD_TRANSFER_ENCODING,
    AMY__FIELD_UPGRADE,
    AMY__FIELD_USER_AGENT,
    AMY__FIELD_VIA,
    AMY__FIELD_X_ACCEL, /* X-Accel-* without a name of its own here */
    AMY__FIELD_X_ACCEL_BUFFERING,
    AMY__FIELD_X_ACCEL_REDIRECT,
    AMY__FIELD_X_FORWARDED, /* X-Forwarded-* and X-Real-IP, any of them */
    AMY__FIELD_X_REQUEST_ID,
};

struct amy__field {
    struct amy__span name;  /* as sent; compare without case */
    struct amy__span value; /* without surrounding SP and HTAB */
    uint16_t id;            /* enum amy__field_id */
    uint16_t flags;
};
/* Set by the parser: hop-by-hop (RFC 9110 7.6.1: the fixed list, and fields
 * named by Connection that may be named there), never forwarded. Codecs do not
 * write such fields, nor any that frames a message. */
#define AMY__FIELD_HOP 1U

enum amy__body_kind {
    AMY__BODY_NONE = 0,
    AMY__BODY_LENGTH,      /* content_length bytes, maybe 0 */
    AMY__BODY_CHUNKED,     /* until the codec says end (also h2 DATA) */
    AMY__BODY_UNTIL_CLOSE, /* answers only */
};

/* A request's head. Every span lives as long as the bytes given to the codec:
 * during on_request only, unless the receiver copies them. */
struct amy__request_head {
    enum amy__method method;
    struct amy__span method_text;
    struct amy__span target;    /* as it goes upstream: origin-form or "*" */
    struct amy__span path;      /* target up to '?', raw */
    struct amy__span query;     /* behind '?', raw; empty when none */
    struct amy__span authority; /* host[:port] as sent (Host, or absolute-form)
                                 */
    struct amy__span host;      /* lower-cased by the codec, no port, no
                                   trailing dot, IPv6 with brackets */
    uint16_t port;              /* from authority; 0 when none */
    uint8_t version_major;      /* 1 or 2 */
    uint8_t version_minor;
    enum amy__body_kind body;
    uint64_t content_length; /* with AMY__BODY_LENGTH */
    bool keep_alive;         /* the client would send another request */
    bool expect_continue;
    bool upgrade_websocket; /* RFC 6455 4: GET, 1.1, no body, both fields */
    uint16_t refuse; /* 0, or what the handler must answer unless its gate
                        answers first: 405 (CONNECT, TRACE), 417 (Expect) */
    size_t field_count;
    struct amy__field fields[AMY__FIELDS_ROOM];
};

/* An answer's head, both as read from an upstream and as given to a codec. */
struct amy__answer_head {
    unsigned status;
    struct amy__span reason; /* may be empty */
    enum amy__body_kind body;
    uint64_t content_length;
    bool keep_alive; /* read: the upstream connection may be used again.
                        written: false asks the codec to close after it */
    uint8_t version_minor;
    size_t field_count;
    struct amy__field fields[AMY__FIELDS_ROOM];
};

enum amy__method amy__method_of(struct amy__span text); /* case counts */
/* First field of that id, or NULL. */
const struct amy__field *amy__field_find(const struct amy__field *fields,
                                         size_t count, enum amy__field_id id);
enum amy__field_id amy__field_id_of(struct amy__span name);
/* Of the fixed list of hop-by-hop fields, RFC 9110 7.6.1; also Expect: we
 * answer 100 Continue ourselves, for workers get whole bodies. */
bool amy__field_is_hop(enum amy__field_id id);
const char *amy__status_reason(unsigned status); /* never NULL */

#endif
