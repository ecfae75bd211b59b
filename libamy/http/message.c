/* Names of fields and statuses: found once while parsing, so that nobody
 * compares names again. Not the parser: see h1_parse.c. */
#include "http/message.h"

#include "http/chars.h"

#include <string.h>

struct named_field {
    const char *name; /* lower case */
    enum amy__field_id id;
};

/* By length of the name, ended by NULL: few fields share a length, so that a
 * name is compared with one or two candidates at most. */
#define LONGEST_NAME 19
static const struct named_field by_length[LONGEST_NAME + 1][4] = {
    [2] = {{"te", AMY__FIELD_TE}},
    [3] = {{"via", AMY__FIELD_VIA}},
    [4] = {{"host", AMY__FIELD_HOST}, {"date", AMY__FIELD_DATE}},
    [5] = {{"range", AMY__FIELD_RANGE}},
    [6] = {{"accept", AMY__FIELD_ACCEPT},
           {"server", AMY__FIELD_SERVER},
           {"expect", AMY__FIELD_EXPECT}},
    [7] = {{"referer", AMY__FIELD_REFERER},
           {"upgrade", AMY__FIELD_UPGRADE},
           {"trailer", AMY__FIELD_TRAILER}},
    [8] = {{"if-match", AMY__FIELD_IF_MATCH},
           {"if-range", AMY__FIELD_IF_RANGE},
           {"location", AMY__FIELD_LOCATION}},
    [9] = {{"forwarded", AMY__FIELD_FORWARDED},
           {"x-real-ip", AMY__FIELD_X_FORWARDED}},
    [10] = {{"connection", AMY__FIELD_CONNECTION},
            {"user-agent", AMY__FIELD_USER_AGENT},
            {"keep-alive", AMY__FIELD_KEEP_ALIVE}},
    [12] = {{"content-type", AMY__FIELD_CONTENT_TYPE},
            {"x-request-id", AMY__FIELD_X_REQUEST_ID}},
    [13] = {{"authorization", AMY__FIELD_AUTHORIZATION},
            {"cache-control", AMY__FIELD_CACHE_CONTROL},
            {"if-none-match", AMY__FIELD_IF_NONE_MATCH}},
    [14] = {{"content-length", AMY__FIELD_CONTENT_LENGTH}},
    [15] = {{"accept-encoding", AMY__FIELD_ACCEPT_ENCODING}},
    [16] = {{"proxy-connection", AMY__FIELD_PROXY_CONNECTION},
            {"x-accel-redirect", AMY__FIELD_X_ACCEL_REDIRECT}},
    [17] = {{"transfer-encoding", AMY__FIELD_TRANSFER_ENCODING},
            {"if-modified-since", AMY__FIELD_IF_MODIFIED_SINCE},
            {"x-accel-buffering", AMY__FIELD_X_ACCEL_BUFFERING}},
    [18] = {{"proxy-authenticate", AMY__FIELD_PROXY_AUTHENTICATE}},
    [19] = {{"if-unmodified-since", AMY__FIELD_IF_UNMODIFIED_SINCE},
            {"proxy-authorization", AMY__FIELD_PROXY_AUTHORIZATION}},
};

static bool
is_name(const char *p, const char *lower, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char c = p[i];

        if ((c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c) != lower[i]) {
            return false;
        }
    }
    return true;
}

static bool
begins(struct amy__span name, const char *lower, size_t n)
{
    return name.n > n && is_name(name.p, lower, n);
}

enum amy__field_id
amy__field_id_of(struct amy__span name)
{
    static const char forwarded[] = "x-forwarded-";
    static const char accel[] = "x-accel-";

    if (begins(name, forwarded, sizeof(forwarded) - 1)) {
        return AMY__FIELD_X_FORWARDED;
    }
    if (name.n > 0 && name.n <= LONGEST_NAME) {
        for (const struct named_field *f = by_length[name.n]; f->name != NULL;
             f++) {
            if (is_name(name.p, f->name, name.n)) {
                return f->id;
            }
        }
    }
    return begins(name, accel, sizeof(accel) - 1) ? AMY__FIELD_X_ACCEL
                                                  : AMY__FIELD_OTHER;
}

enum amy__method
amy__method_of(struct amy__span text)
{
    static const struct {
        struct amy__span text;
        enum amy__method method;
    } known[] = {
        {{"GET", 3}, AMY__METHOD_GET},
        {{"HEAD", 4}, AMY__METHOD_HEAD},
        {{"POST", 4}, AMY__METHOD_POST},
        {{"PUT", 3}, AMY__METHOD_PUT},
        {{"DELETE", 6}, AMY__METHOD_DELETE},
        {{"OPTIONS", 7}, AMY__METHOD_OPTIONS},
        {{"PATCH", 5}, AMY__METHOD_PATCH},
        {{"TRACE", 5}, AMY__METHOD_TRACE},
        {{"CONNECT", 7}, AMY__METHOD_CONNECT},
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (known[i].text.n == text.n &&
            memcmp(known[i].text.p, text.p, text.n) == 0) {
            return known[i].method;
        }
    }
    return AMY__METHOD_OTHER;
}

const struct amy__field *
amy__field_find(const struct amy__field *fields, size_t count,
                enum amy__field_id id)
{
    for (size_t i = 0; i < count; i++) {
        if (fields[i].id == (uint16_t)id) {
            return &fields[i];
        }
    }
    return NULL;
}

bool
amy__field_is_hop(enum amy__field_id id)
{
    static const bool hop[AMY__FIELD_X_REQUEST_ID + 1] = {
        [AMY__FIELD_CONNECTION] = true,
        [AMY__FIELD_EXPECT] = true,
        [AMY__FIELD_KEEP_ALIVE] = true,
        [AMY__FIELD_PROXY_AUTHENTICATE] = true,
        [AMY__FIELD_PROXY_AUTHORIZATION] = true,
        [AMY__FIELD_PROXY_CONNECTION] = true,
        [AMY__FIELD_TE] = true,
        [AMY__FIELD_TRAILER] = true,
        [AMY__FIELD_TRANSFER_ENCODING] = true,
        [AMY__FIELD_UPGRADE] = true,
    };

    return hop[id];
}

struct named_status {
    unsigned status;
    const char *reason;
};

static const struct named_status statuses[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {103, "Early Hints"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {423, "Locked"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

const char *
amy__status_reason(unsigned status)
{
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        if (statuses[i].status == status) {
            return statuses[i].reason;
        }
    }
    return "Unknown";
}
