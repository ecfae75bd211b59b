/* One request, from its options to what its end means. */
/* Not for sockets and timers: fetch.c. */
#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "fetch/internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#define UPLOAD_BUFFER ((long)256 * 1024)
#define LOOKS 8 /* at whether anything moves, within the longest silence */

static bool
has_scheme(const char *url, const char *scheme)
{
    struct amy__span begin = {url, strlen(scheme)};

    return strlen(url) >= begin.n &&
           amy__span_eq_nocase(begin, amy__span_of(scheme));
}

void
amy__fetch_host(const char *url, char *buf, size_t size)
{
    struct amy__span host = {url, 0};
    size_t n = 0;

    buf[0] = '\0';
    if (has_scheme(url, "https://")) {
        host.p += sizeof("https://") - 1;
    } else if (has_scheme(url, "http://")) {
        host.p += sizeof("http://") - 1;
    } else {
        return;
    }
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

    call->moved = true;
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

    call->moved = true;
    if (amy__span_starts((struct amy__span){bytes, n}, AMY_SPAN("HTTP/"))) {
        call->head.len = 0; /* what came before was "100 Continue" */
    }
    if (amy__buf_append(&call->head, bytes, n) < 0) {
        call->too_long = true;
        return 0;
    }
    return n;
}

static size_t
give_file(char *bytes, size_t size, size_t count, void *user)
{
    struct amy__fetch_call *call = user;
    uint64_t left = call->file.bytes - call->read_bytes;
    uint64_t wanted = (uint64_t)size * count;
    ssize_t n = pread(call->file.fd, bytes, wanted < left ? wanted : left,
                      (off_t)(call->file.offset + call->read_bytes));

    if (n < 0 || (n == 0 && left > 0)) {
        return CURL_READFUNC_ABORT; /* it is shorter than it was */
    }
    call->moved = true;
    call->read_bytes += (uint64_t)n;
    return (size_t)n;
}

/* Sent again from there, on another connection. */
static int
seek_file(void *user, curl_off_t offset, int origin)
{
    struct amy__fetch_call *call = user;

    if (origin != SEEK_SET || offset < 0 ||
        (uint64_t)offset > call->file.bytes) {
        return CURL_SEEKFUNC_FAIL;
    }
    call->read_bytes = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
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

/* libcurl says no length where there is no body; some servers and proxies
 * answer 411 to that. */
static bool
says_no_length(const struct amy__fetch_request *request)
{
    return request->body.n == 0 && request->file == NULL &&
           (strcmp(request->method, "POST") == 0 ||
            strcmp(request->method, "PUT") == 0);
}

static bool
set_fields(struct amy__fetch_call *call,
           const struct amy__fetch_request *request)
{
    const struct amy__curl *curl = &call->borrow_client->curl;
    /* Without this it waits a second for "100 Continue". Amazon's servers do
     * say so, and libcurl 7.88 would sign the field that is left out. */
    struct curl_slist *list = curl->list_append(
        NULL, request->signer == NULL ? "Expect:" : request->fields[0]);
    const char *const *fields = request->fields;

    if (request->signer != NULL) {
        fields++;
    }
    if (list != NULL && says_no_length(request)) {
        call->fields = list;
        list = curl->list_append(list, "Content-Length: 0");
    }
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

    bad |= curl->easy_setopt(easy, CURLOPT_PROTOCOLS_STR,
                             client->plain ? "http" : "https");
    bad |= curl->easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    bad |= curl->easy_setopt(easy, CURLOPT_SSLVERSION,
                             (long)CURL_SSLVERSION_TLSv1_2);
    bad |= curl->easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    bad |= curl->easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    if (client->ca_file != NULL) { /* and nobody of a directory's beside it */
        bad |= curl->easy_setopt(easy, CURLOPT_CAINFO, client->ca_file);
        bad |= curl->easy_setopt(easy, CURLOPT_CAPATH, NULL);
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

static unsigned
set_rate(struct amy__fetch_call *call, const struct amy__fetch_request *request)
{
    const struct amy__curl *curl = &call->borrow_client->curl;
    unsigned bad = 0;

    if (request->least_rate <= 0) {
        return 0;
    }
    bad |= curl->easy_setopt(call->easy, CURLOPT_LOW_SPEED_LIMIT,
                             (long)request->least_rate);
    bad |= curl->easy_setopt(call->easy, CURLOPT_LOW_SPEED_TIME,
                             (long)(request->silence_ms / 1000 + 1));
    return bad;
}

static unsigned
set_file(struct amy__fetch_call *call, const struct amy__fetch_file *file)
{
    const struct amy__curl *curl = &call->borrow_client->curl;
    CURL *easy = call->easy;
    unsigned bad = 0;

    if (file == NULL) {
        return 0;
    }
    call->file = *file;
    bad |= curl->easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    bad |= curl->easy_setopt(easy, CURLOPT_INFILESIZE_LARGE,
                             (curl_off_t)file->bytes);
    bad |= curl->easy_setopt(easy, CURLOPT_READFUNCTION, give_file);
    bad |= curl->easy_setopt(easy, CURLOPT_READDATA, call);
    bad |= curl->easy_setopt(easy, CURLOPT_SEEKFUNCTION, seek_file);
    bad |= curl->easy_setopt(easy, CURLOPT_SEEKDATA, call);
    bad |= curl->easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, UPLOAD_BUFFER);
    return bad;
}

static unsigned
set_signer(struct amy__fetch_call *call, const struct amy__fetch_signer *signer)
{
    const struct amy__curl *curl = &call->borrow_client->curl;
    char how[128] = "";
    unsigned bad = 0;

    if (signer == NULL) {
        return 0;
    }
    (void)snprintf(how, sizeof(how), "aws:amz:%s:%s", signer->region,
                   signer->service);
    bad |= curl->easy_setopt(call->easy, CURLOPT_AWS_SIGV4, how);
    bad |= curl->easy_setopt(call->easy, CURLOPT_USERNAME, signer->key);
    bad |= curl->easy_setopt(call->easy, CURLOPT_PASSWORD, signer->secret);
    return bad;
}

static int
check_request(const struct amy__fetch *client,
              const struct amy__fetch_request *request, struct amy_error *err)
{
    const char *scheme = client->plain ? "http://" : "https://";
    char host[256];

    amy__fetch_host(request->url, host, sizeof(host));
    if (host[0] == '\0' || !has_scheme(request->url, scheme)) {
        return amy__err(err, AMY_EINVAL, "a URL that is not %s",
                        client->plain ? "http" : "https");
    }
    if (request->timeout_ms <= 0) {
        return amy__err(err, AMY_EINVAL, "a request without a deadline");
    }
    if (request->least_rate > 0 && request->silence_ms <= 0) {
        return amy__err(err, AMY_EINVAL, "a least rate without its time");
    }
    if (request->signer != NULL &&
        (request->fields == NULL || request->fields[0] == NULL)) {
        return amy__err(err, AMY_EINVAL, "a signature without its hash");
    }
    return request->signer == NULL ? 0 : amy__curl_can_sign(&client->curl, err);
}

static void
time_out(struct amy__fetch_call *call, const char *what, int64_t ms)
{
    char time[32] = "";

    (void)amy__format_duration(ms, time, sizeof(time));
    call->rc =
        amy__err(&call->err, AMY_ETIMEOUT, "%s: %s %s", call->host, what, time);
    amy__fetch_call_end(call);
}

static void
on_deadline(void *user)
{
    struct amy__fetch_call *call = user;

    time_out(call, "no answer within", call->timeout_ms);
}

/* A few looks make up the time, so that nobody has to ask a clock for each
 * piece. */
static void
on_silence(void *user)
{
    struct amy__fetch_call *call = user;

    call->quiet = call->moved ? 0 : call->quiet + 1;
    call->moved = false;
    if (call->quiet == LOOKS ||
        amy__timer_arm(call->silence, call->silence_ms / LOOKS + 1, NULL) < 0) {
        time_out(call, "not a byte for", call->silence_ms);
    }
}

int
amy__fetch_call_arm(struct amy__fetch_call *call, struct amy_error *err)
{
    int rc = amy__timer_arm(call->deadline, call->timeout_ms, err);

    return rc < 0 || call->silence_ms <= 0
               ? rc
               : amy__timer_arm(call->silence, call->silence_ms / LOOKS + 1,
                                err);
}

int
amy__fetch_call_create(struct amy__fetch *client,
                       const struct amy__fetch_request *request,
                       struct amy__fetch_call **ret_call, struct amy_error *err)
{
    AMY_CLEANUP(amy__fetch_call_free_p) struct amy__fetch_call *call = NULL;
    int rc = check_request(client, request, err);

    if (rc < 0) {
        return rc;
    }
    call = amy__calloc(1, sizeof(*call));
    if (call == NULL) {
        return amy__err(err, AMY_ENOMEM, "beginning a request");
    }
    call->borrow_client = client;
    call->timeout_ms = request->timeout_ms;
    call->silence_ms = request->silence_ms;
    amy__fetch_host(request->url, call->host, sizeof(call->host));
    amy__buf_init(&call->sent, request->body.n);
    amy__buf_init(&call->received, request->answer_max);
    amy__buf_init(&call->head, AMY__FETCH_HEAD_MAX);
    rc = amy__timer_create(client->base, on_deadline, call, &call->deadline,
                           err);
    rc = rc < 0 ? rc
                : amy__timer_create(client->base, on_silence, call,
                                    &call->silence, err);
    if (rc < 0) {
        return rc;
    }
    call->easy = client->curl.easy_init();
    if (call->easy == NULL ||
        amy__buf_append_span(&call->sent, request->body) < 0 ||
        !set_fields(call, request) ||
        (set_trust(call) | set_callbacks(call) | set_request(call, request) |
         set_rate(call, request) | set_file(call, request->file) |
         set_signer(call, request->signer)) != CURLE_OK) {
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
    amy__timer_free(call->silence);
    amy__buf_clear(&call->sent);
    amy__buf_clear(&call->received);
    amy__buf_clear(&call->head);
    amy__free(call);
}

/* --- its end --- */

void
amy__fetch_call_end(struct amy__fetch_call *call)
{
    struct amy__fetch *client = call->borrow_client;

    call->over = true;
    amy__timer_cancel(call->deadline);
    amy__timer_cancel(call->silence);
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
    answer.head = amy__buf_span(&call->head);
    call->fn(0, &answer, &call->err, call->user);
}

struct amy__span
amy__fetch_field(struct amy__span head, const char *name)
{
    struct amy__span rest = head;
    struct amy__span line = {NULL, 0};
    size_t n = strlen(name);

    while (amy__span_split(&rest, '\n', &line)) {
        if (line.n <= n || line.p[n] != ':' ||
            !amy__span_eq_nocase((struct amy__span){line.p, n},
                                 amy__span_of(name))) {
            continue;
        }
        line.p += n + 1;
        line.n -= n + 1;
        if (line.n > 0 && line.p[line.n - 1] == '\r') {
            line.n--;
        }
        return amy__span_trim(line);
    }
    return (struct amy__span){NULL, 0};
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
