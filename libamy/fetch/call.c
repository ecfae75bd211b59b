/* One request, from its options to what its end means. */
/* Not for sockets and timers: fetch.c. */
#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "fetch/internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char scheme[] = "https://";

void
amy__fetch_host(const char *url, char *buf, size_t size)
{
    struct amy__span host = amy__span_of(url);
    size_t n = 0;

    buf[0] = '\0';
    if (host.n < sizeof(scheme) - 1 ||
        !amy__span_eq_nocase((struct amy__span){host.p, sizeof(scheme) - 1},
                             AMY_SPAN(scheme))) {
        return;
    }
    host.p += sizeof(scheme) - 1;
    n = strcspn(host.p, "/?#\\");
    for (size_t i = 0; i < n; i++) { /* a name and a password come before it */
        if (host.p[i] == '@') {
            host.p += i + 1;
            n -= i + 1;
            i = (size_t)-1;
        }
    }
    (void)amy__escape((struct amy__span){host.p, n}, buf, size);
}

/* --- what libcurl calls --- */

static size_t
take_body(char *bytes, size_t size, size_t count, void *user)
{
    struct amy__fetch_call *call = user;
    size_t n = size * count; /* size is 1, as its manual has it */

    if (amy__buf_append(&call->received, bytes, n) < 0) {
        call->too_long = true; /* or memory is out: too long for it */
        return 0;
    }
    return n;
}

static size_t
take_head(char *bytes, size_t size, size_t count, void *user)
{
    struct amy__fetch_call *call = user;
    size_t n = size * count;

    (void)bytes;
    if (n > AMY__FETCH_HEAD_MAX - call->head_bytes) {
        call->too_long = true;
        return 0;
    }
    call->head_bytes += n;
    return n;
}

static curl_socket_t
open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)user;
    (void)purpose;
    return socket(address->family, address->socktype | SOCK_CLOEXEC,
                  address->protocol);
}

/* --- its options --- */

static bool
set_fields(struct amy__fetch_call *call, const char *const *fields)
{
    const struct amy__curl *curl = &call->borrow_client->curl;
    /* Without this it waits a second for "100 Continue". */
    struct curl_slist *list = curl->list_append(NULL, "Expect:");

    while (list != NULL) {
        call->fields = list;
        if (fields == NULL || *fields == NULL) {
            return curl->easy_setopt(call->easy, CURLOPT_HTTPHEADER, list) ==
                   CURLE_OK;
        }
        list = curl->list_append(list, *fields++);
    }
    return false;
}

/* Whom to believe, and whom to go through. */
static unsigned
set_trust(struct amy__fetch_call *call)
{
    const struct amy__fetch *client = call->borrow_client;
    const struct amy__curl *curl = &client->curl;
    CURL *easy = call->easy;
    unsigned bad = 0;

    bad |= curl->easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
    bad |= curl->easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    bad |= curl->easy_setopt(easy, CURLOPT_SSLVERSION,
                             (long)CURL_SSLVERSION_TLSv1_2);
    bad |= curl->easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    bad |= curl->easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    if (client->ca_file != NULL) {
        bad |= curl->easy_setopt(easy, CURLOPT_CAINFO, client->ca_file);
    }
    if (!client->use_proxy) {
        bad |= curl->easy_setopt(easy, CURLOPT_PROXY, "");
    }
    return bad;
}

static unsigned
set_callbacks(struct amy__fetch_call *call)
{
    const struct amy__curl *curl = &call->borrow_client->curl;
    CURL *easy = call->easy;
    unsigned bad = 0;

    bad |= curl->easy_setopt(easy, CURLOPT_PRIVATE, call);
    bad |= curl->easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    bad |= curl->easy_setopt(easy, CURLOPT_WRITEDATA, call);
    bad |= curl->easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_head);
    bad |= curl->easy_setopt(easy, CURLOPT_HEADERDATA, call);
    bad |= curl->easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    /* No signals, and no waiting for a resolver's thread when it is freed. */
    bad |= curl->easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    bad |= curl->easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    return bad;
}

static unsigned
set_request(struct amy__fetch_call *call,
            const struct amy__fetch_request *request)
{
    const struct amy__curl *curl = &call->borrow_client->curl;
    CURL *easy = call->easy;
    unsigned bad = 0;

    bad |= curl->easy_setopt(easy, CURLOPT_URL, request->url);
    bad |= curl->easy_setopt(easy, CURLOPT_USERAGENT, "libamy");
    if (call->sent.len > 0) {
        bad |= curl->easy_setopt(easy, CURLOPT_POSTFIELDS, call->sent.data);
        bad |= curl->easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                                 (curl_off_t)call->sent.len);
    }
    bad |= curl->easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    if (strcmp(request->method, "HEAD") == 0) {
        bad |= curl->easy_setopt(easy, CURLOPT_NOBODY, 1L);
    }
    return bad;
}

static int
check_request(const struct amy__fetch_request *request, struct amy_error *err)
{
    char host[256];

    amy__fetch_host(request->url, host, sizeof(host));
    if (host[0] == '\0') {
        return amy__err(err, AMY_EINVAL, "a URL that is not https");
    }
    if (request->timeout_ms <= 0) {
        return amy__err(err, AMY_EINVAL, "a request without a deadline");
    }
    return 0;
}

static void
on_deadline(void *user)
{
    struct amy__fetch_call *call = user;
    char time[32] = "";

    (void)amy__format_duration(call->timeout_ms, time, sizeof(time));
    call->rc = amy__err(&call->err, AMY_ETIMEOUT, "%s: no answer within %s",
                        call->host, time);
    amy__fetch_call_end(call);
}

int
amy__fetch_call_create(struct amy__fetch *client,
                       const struct amy__fetch_request *request,
                       struct amy__fetch_call **ret_call, struct amy_error *err)
{
    AMY_CLEANUP(amy__fetch_call_free_p) struct amy__fetch_call *call = NULL;
    int rc = check_request(request, err);

    if (rc < 0) {
        return rc;
    }
    call = amy__calloc(1, sizeof(*call));
    if (call == NULL) {
        return amy__err(err, AMY_ENOMEM, "beginning a request");
    }
    call->borrow_client = client;
    call->timeout_ms = request->timeout_ms;
    amy__fetch_host(request->url, call->host, sizeof(call->host));
    amy__buf_init(&call->sent, request->body.n);
    amy__buf_init(&call->received, request->answer_max);
    rc = amy__timer_create(client->base, on_deadline, call, &call->deadline,
                           err);
    if (rc < 0) {
        return rc;
    }
    call->easy = client->curl.easy_init();
    if (call->easy == NULL ||
        amy__buf_append_span(&call->sent, request->body) < 0 ||
        !set_fields(call, request->fields) ||
        (set_trust(call) | set_callbacks(call) | set_request(call, request)) !=
            CURLE_OK) {
        return amy__err(err, AMY_ENOMEM, "beginning a request");
    }
    *ret_call = AMY_TAKE(call);
    return 0;
}

void
amy__fetch_call_free(struct amy__fetch_call *call)
{
    const struct amy__curl *curl = NULL;

    if (call == NULL) {
        return;
    }
    curl = &call->borrow_client->curl;
    if (call->added) {
        (void)curl->multi_remove(call->borrow_client->multi, call->easy);
    }
    if (call->easy != NULL) {
        curl->easy_cleanup(call->easy);
    }
    curl->list_free(call->fields);
    amy__timer_free(call->deadline);
    amy__buf_clear(&call->sent);
    amy__buf_clear(&call->received);
    amy__free(call);
}

/* --- its end --- */

void
amy__fetch_call_end(struct amy__fetch_call *call)
{
    struct amy__fetch *client = call->borrow_client;

    call->over = true;
    amy__timer_cancel(call->deadline);
    if (call->added) {
        (void)client->curl.multi_remove(client->multi, call->easy);
        call->added = false;
    }
    amy__defer_ask(client->ends);
}

static int
meaning_of(const struct amy__fetch_call *call, CURLcode code)
{
    static const struct {
        CURLcode code;
        int means;
    } known[] = {
        {CURLE_OK, 0},
        {CURLE_COULDNT_RESOLVE_HOST, AMY_ECONN},
        {CURLE_COULDNT_RESOLVE_PROXY, AMY_ECONN},
        {CURLE_COULDNT_CONNECT, AMY_ECONN},
        {CURLE_SEND_ERROR, AMY_ECONN},
        {CURLE_RECV_ERROR, AMY_ECONN},
        {CURLE_GOT_NOTHING, AMY_ECONN},
        {CURLE_PARTIAL_FILE, AMY_ECONN},
        {CURLE_SSL_CONNECT_ERROR, AMY_ECONN},
        {CURLE_PEER_FAILED_VERIFICATION, AMY_EAUTH},
        {CURLE_SSL_ISSUER_ERROR, AMY_EAUTH},
        {CURLE_SSL_CACERT_BADFILE, AMY_EINVAL},
        {CURLE_URL_MALFORMAT, AMY_EINVAL},
        {CURLE_UNSUPPORTED_PROTOCOL, AMY_EINVAL},
        {CURLE_OPERATION_TIMEDOUT, AMY_ETIMEOUT},
        {CURLE_OUT_OF_MEMORY, AMY_ENOMEM},
        {CURLE_WEIRD_SERVER_REPLY, AMY_EPROTO},
        {CURLE_BAD_CONTENT_ENCODING, AMY_EPROTO},
        {CURLE_HTTP2, AMY_EPROTO},
        {CURLE_HTTP2_STREAM, AMY_EPROTO},
    };

    if (code != CURLE_OK && call->too_long) {
        return AMY_ELIMIT;
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (known[i].code == code) {
            return known[i].means;
        }
    }
    return AMY_EIO;
}

/* libcurl's longer messages may quote the URL; these texts are constant. */
void
amy__fetch_call_judge(struct amy__fetch_call *call, CURLcode code)
{
    const char *words = call->too_long
                            ? "its answer is too long"
                            : call->borrow_client->curl.easy_strerror(code);

    call->rc = meaning_of(call, code);
    if (call->rc < 0) {
        (void)amy__err(&call->err, call->rc, "%s: %s", call->host, words);
        call->err.source = AMY_SOURCE_CURL;
        call->err.detail = code;
    }
    amy__fetch_call_end(call);
}

void
amy__fetch_call_tell(const struct amy__fetch_call *call)
{
    struct amy__fetch_answer answer = {.status = 0};
    long status = 0;

    if (call->rc < 0) {
        call->fn(call->rc, NULL, &call->err, call->user);
        return;
    }
    (void)call->borrow_client->curl.easy_getinfo(
        call->easy, CURLINFO_RESPONSE_CODE, &status);
    answer.status = (unsigned)status;
    answer.body = amy__buf_span(&call->received);
    call->fn(0, &answer, &call->err, call->user);
}

void
amy__fetch_cancel(struct amy__fetch_call *call)
{
    if (!call->over) {
        call->rc =
            amy__err(&call->err, AMY_ECANCELED, "%s: canceled", call->host);
        amy__fetch_call_end(call);
    }
}
