/* Asks S3. */
/* Not for what is asked: store_s3.c. */
#include "backup/s3.h"

#include "backup/awskeys.h"
#include "backup/s3xml.h"
#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/error.h"
#include "core/loop.h"
#include "http/date.h"

#include <stdio.h>
#include <string.h>

#define MIB (UINT64_C(1024) * 1024)
#define PART_MIN (8 * MIB)
#define PARTS_MAX 10000
#define PAUSE_FIRST_MS 100
#define PAUSE_MAX_MS 30000
#define ALL_MS (INT64_C(24) * 3600000) /* silence ends it long before */
/* An upload's end may take minutes, with a blank from time to time. */
#define ANSWER_MS INT64_C(3600000)
/* A connection that went silent may only be one that was forgotten on its way:
 * there is time for a second one. */
#define TRIES_OF_SILENCE 2
#define URL_SIZE (16 * 1024) /* a list's markers are long, when escaped */
#define LEAST_RATE 1024      /* bytes a second: less is as good as silence */

struct amy__s3 {
    struct amy__job *job; /* borrowed */
    struct event_base *base;
    struct amy__fetch *client;
    struct amy__timer *timer;
    bool rested;
    char host[256];     /* with the bucket, where it belongs there */
    char prefix[80];    /* "/bucket", or "" */
    char url[URL_SIZE]; /* of the request that is being made */
    struct amy__awskeys keys;
    int64_t asked_ms; /* wall: for them, last; 0: never */
    char token[sizeof(((struct amy__awskeys *)0)->token) + 32];
};

/* What S3 says of an error. */
struct complaint {
    char code[64];
    char message[160];
    char server_time[32];
};

/* --- pure --- */

bool
amy__s3_escape(const char *text, char *buf, size_t size)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t n = 0;

    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                     (c >= '0' && c <= '9') || strchr("-._~", c) != NULL;

        if (n + 4 > size) {
            buf[0] = '\0';
            return false;
        }
        if (plain) {
            buf[n++] = (char)c;
            continue;
        }
        buf[n++] = '%';
        buf[n++] = digits[c >> 4];
        buf[n++] = digits[c & 15];
    }
    buf[n] = '\0';
    return true;
}

void
amy__s3_checksum(const char hex[65], char ret[AMY__S3_CHECKSUM_SIZE])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "abcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned bits = 0;
    unsigned count = 0; /* of the bits, those that are still to be written */
    size_t n = 0;

    for (; *hex != '\0'; hex++) {
        unsigned char c = (unsigned char)*hex;

        bits = (bits & 15) << 4 | (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
        count += 4;
        if (count >= 6) {
            count -= 6;
            ret[n++] = digits[bits >> count & 63];
        }
    }
    ret[n++] = digits[bits << 2 & 63]; /* 256 = 42 * 6 + 4 */
    ret[n++] = '=';
    ret[n] = '\0';
}

void
amy__s3_host(const char *region, char *buf, size_t size)
{
    bool in_china = amy__span_starts(amy__span_of(region), AMY_SPAN("cn-"));

    (void)snprintf(buf, size, "s3.%s.amazonaws.com%s", region,
                   in_china ? ".cn" : "");
}

uint64_t
amy__s3_part_bytes(uint64_t bytes)
{
    uint64_t part = bytes / PARTS_MAX + (bytes % PARTS_MAX != 0);

    part = (part + MIB - 1) / MIB * MIB;
    return part < PART_MIN ? PART_MIN : part;
}

enum amy__s3_fate
amy__s3_fate_of(unsigned status, const char *code)
{
    static const struct {
        const char *code;
        enum amy__s3_fate fate;
    } known[] = {
        {"RequestTimeTooSkewed", AMY__S3_CLOCK},
        {"ExpiredToken", AMY__S3_NEW_KEYS},
        {"TokenRefreshRequired", AMY__S3_NEW_KEYS},
        {"InvalidToken", AMY__S3_NEW_KEYS},
        {"InvalidAccessKeyId", AMY__S3_NEW_KEYS},
        {"InternalError", AMY__S3_AGAIN},
        {"SlowDown", AMY__S3_AGAIN},
        {"ServiceUnavailable", AMY__S3_AGAIN},
        {"RequestTimeout", AMY__S3_AGAIN},
        {"OperationAborted", AMY__S3_AGAIN},
        {"IncompleteBody", AMY__S3_AGAIN},
        {"BadDigest", AMY__S3_AGAIN},
        {"XAmzContentSHA256Mismatch", AMY__S3_AGAIN},
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(code, known[i].code) == 0) {
            return known[i].fate;
        }
    }
    if (status == 429 || (status >= 500 && status != 501)) {
        return AMY__S3_AGAIN;
    }
    /* An answer to HEAD has no body to say why. */
    return code[0] == '\0' && (status == 400 || status == 403)
               ? AMY__S3_NEW_KEYS
               : AMY__S3_REFUSED;
}

/* --- what an answer says --- */

static int
take_complaint(const char *path, const char *text, void *user,
               struct amy_error *err)
{
    struct complaint *complaint = user;

    (void)err;
    if (strcmp(path, "Error/Code") == 0) {
        (void)snprintf(complaint->code, sizeof(complaint->code), "%s", text);
    } else if (strcmp(path, "Error/Message") == 0) {
        (void)snprintf(complaint->message, sizeof(complaint->message), "%s",
                       text);
    } else if (strcmp(path, "Error/ServerTime") == 0) {
        (void)snprintf(complaint->server_time, sizeof(complaint->server_time),
                       "%s", text);
    }
    return 0;
}

/* What is no error of S3's (a proxy's page, say) says nothing to us. */
static bool
has_complaint(const struct amy__fetch_got *got, struct complaint *ret)
{
    *ret = (struct complaint){.code = ""};
    if (got->body.len == 0 || amy__s3xml_read(amy__buf_span(&got->body),
                                              take_complaint, ret, NULL) < 0) {
        *ret = (struct complaint){.code = ""};
    }
    return ret->code[0] != '\0';
}

/* Its clock against ours. */
static int
blame_clock(const struct amy__s3 *s3, const struct amy__fetch_got *got,
            const struct complaint *complaint, struct amy_error *err)
{
    struct amy__span date = amy__fetch_field(amy__buf_span(&got->head), "date");
    int64_t now_ms = amy__wall_ms(s3->job->borrow_clock);
    int64_t theirs_ms = 0;
    char apart[64] = "";

    if (!amy__aws_time(complaint->server_time, &theirs_ms) &&
        !amy__date_parse(date, now_ms, &theirs_ms)) {
        return amy__err(err, AMY_ESTATE,
                        "%s refuses this host's clock as wrong", s3->host);
    }
    (void)amy__format_duration(
        (now_ms > theirs_ms ? now_ms - theirs_ms : theirs_ms - now_ms) / 1000 *
            1000,
        apart, sizeof(apart));
    return amy__err(err, AMY_ESTATE,
                    "this host's clock is wrong: it is %s %s that of %s", apart,
                    now_ms > theirs_ms ? "ahead of" : "behind", s3->host);
}

static int
blame(const struct amy__s3 *s3, unsigned status,
      const struct complaint *complaint, struct amy_error *err)
{
    int code = status == 404                    ? AMY_ENOTFOUND
               : status == 401 || status == 403 ? AMY_EAUTH
                                                : AMY_EIO;
    char words[160];

    (void)amy__escape(amy__span_of(complaint->message), words, sizeof(words));
    (void)amy__err(err, code, "%s answered %u %s%s%s", s3->host, status,
                   complaint->code, words[0] == '\0' ? "" : AMY__SAID, words);
    if (err != NULL) {
        err->source = AMY_SOURCE_HTTP;
        err->detail = status;
    }
    return code;
}

/* --- keys --- */

static int
renew_keys(struct amy__s3 *s3, struct amy_error *err)
{
    const struct amy__copy_spec *copy = &s3->job->spec.copy;
    int rc = amy__awskeys_get(copy->credentials, copy->profile, s3->base,
                              &s3->keys, err);

    if (rc == 0) {
        (void)snprintf(s3->token, sizeof(s3->token), "x-amz-security-token: %s",
                       s3->keys.token);
    }
    return rc;
}

/* Before they end; where no new ones can be had they serve to their end. */
static int
have_keys(struct amy__s3 *s3, struct amy_error *err)
{
    int64_t now_ms = amy__wall_ms(s3->job->borrow_clock);
    int rc = 0;

    if (amy__awskeys_are_due(&s3->keys, s3->asked_ms, now_ms)) {
        s3->asked_ms = now_ms;
        rc = renew_keys(s3, err);
    }
    return rc < 0 && s3->keys.key[0] != '\0' && s3->keys.ends_ms > now_ms ? 0
                                                                          : rc;
}

/* They were refused. True: there are others now. */
static bool
changed_keys(struct amy__s3 *s3)
{
    struct amy__awskeys old = s3->keys;
    bool changed =
        renew_keys(s3, NULL) == 0 && (strcmp(old.key, s3->keys.key) != 0 ||
                                      strcmp(old.token, s3->keys.token) != 0);

    amy__awskeys_clear(&old);
    return changed;
}

/* --- one try --- */

static int64_t
patience_ms(const struct amy__s3 *s3)
{
    return amy__job_silence_ms(s3->job);
}

static int
hash_body(const struct amy__s3_request *request, char ret_hex[65],
          struct amy_error *err)
{
    uint8_t digest[32];
    int rc = amy__sha256(request->body.p == NULL ? "" : request->body.p,
                         request->body.n, digest, err);

    if (rc == 0) {
        amy__hex(digest, sizeof(digest), ret_hex);
    }
    return rc;
}

/* The signature has the same hash; but where objects are locked nothing is
 * taken without a checksum of its own. */
static void
write_checksum(const char *hex, char *buf, size_t size)
{
    char checksum[AMY__S3_CHECKSUM_SIZE];

    amy__s3_checksum(hex, checksum);
    (void)snprintf(buf, size, "x-amz-checksum-sha256: %s", checksum);
}

/* Never a part of it: that would ask for something else. */
static int
write_url(struct amy__s3 *s3, const struct amy__s3_request *asked,
          struct amy_error *err)
{
    int n = snprintf(s3->url, sizeof(s3->url), "https://%s%s/%s%s%s", s3->host,
                     s3->prefix, asked->key == NULL ? "" : asked->key,
                     asked->query == NULL ? "" : "?",
                     asked->query == NULL ? "" : asked->query);

    return n < URL_SIZE
               ? 0
               : amy__err(err, AMY_ELIMIT, "what %s is asked for is too long",
                          s3->host);
}

static int
try_once(struct amy__s3 *s3, const struct amy__s3_request *asked,
         struct amy__fetch_got *ret, struct amy_error *err)
{
    struct amy__fetch_signer signer = {.region = s3->job->spec.copy.region,
                                       .service = "s3",
                                       .key = s3->keys.key,
                                       .secret = s3->keys.secret};
    const char *fields[AMY__S3_FIELDS + 4] = {NULL};
    bool is_post = strcmp(asked->method, "POST") == 0;
    char hash[96];
    char checksum[96];
    char hex[65] = "";
    size_t n = 0;
    struct amy__fetch_request request = {
        .method = asked->method,
        .url = s3->url,
        .fields = fields,
        .body = asked->body,
        .file = asked->file,
        .signer = &signer,
        .timeout_ms = is_post ? ANSWER_MS : ALL_MS,
        .silence_ms = patience_ms(s3) / TRIES_OF_SILENCE,
        .least_rate = is_post ? 0 : LEAST_RATE,
        .answer_max = asked->answer_max,
    };
    const char *sha256 = asked->file == NULL ? hex : asked->sha256;
    int rc = write_url(s3, asked, err);

    rc = rc < 0 || asked->file != NULL ? rc : hash_body(asked, hex, err);
    (void)snprintf(hash, sizeof(hash), "x-amz-content-sha256: %s", sha256);
    fields[n++] = hash;
    if (strcmp(asked->method, "PUT") == 0) {
        write_checksum(sha256, checksum, sizeof(checksum));
        fields[n++] = checksum;
    }
    for (size_t i = 0; i < AMY__S3_FIELDS && asked->fields[i] != NULL; i++) {
        fields[n++] = asked->fields[i];
    }
    if (s3->keys.token[0] != '\0') {
        fields[n++] = s3->token;
    }
    amy__fetch_got_clear(ret);
    return rc < 0 ? rc : amy__fetch_wait(s3->client, &request, ret, err);
}

/* --- and again --- */

static void
on_timer(void *user)
{
    struct amy__s3 *s3 = user;

    s3->rested = true;
}

/* Ever longer, and not all at the same time. */
static int
pause_before(struct amy__s3 *s3, unsigned tries, struct amy_error *err)
{
    int64_t wait_ms = PAUSE_FIRST_MS;
    uint8_t dice = 0;
    int rc = amy__random(&dice, 1, err);

    for (unsigned i = 0; i < tries && wait_ms < PAUSE_MAX_MS; i++) {
        wait_ms *= 4;
    }
    wait_ms = wait_ms < PAUSE_MAX_MS ? wait_ms : PAUSE_MAX_MS;
    wait_ms -= wait_ms / 2 * dice / 255;
    s3->rested = false;
    rc = rc < 0 ? rc : amy__timer_arm(s3->timer, wait_ms, err);
    return rc < 0 ? rc : amy__loop_run(s3->base, &s3->rested, err);
}

/* The fate of a try, and err. An upload may end with 200 and an error. */
static enum amy__s3_fate
judge(const struct amy__s3 *s3, const struct amy__s3_request *request, int *rc,
      const struct amy__fetch_got *got, struct amy_error *err)
{
    struct complaint complaint = {.code = ""};
    bool may_complain =
        got->status / 100 != 2 || strcmp(request->method, "POST") == 0;
    bool complains = *rc == 0 && may_complain && has_complaint(got, &complaint);
    enum amy__s3_fate fate = AMY__S3_REFUSED;

    if (*rc < 0) {
        return *rc == AMY_ECONN || *rc == AMY_ETIMEOUT || *rc == AMY_EPROTO
                   ? AMY__S3_AGAIN
                   : AMY__S3_REFUSED;
    }
    if (got->status / 100 == 2 && !complains) {
        return AMY__S3_REFUSED; /* it is none: rc says so */
    }
    fate = amy__s3_fate_of(got->status, complaint.code);
    *rc = fate == AMY__S3_CLOCK ? blame_clock(s3, got, &complaint, err)
                                : blame(s3, got->status, &complaint, err);
    return fate;
}

int
amy__s3_ask(struct amy__s3 *s3, const struct amy__s3_request *request,
            struct amy__fetch_got *ret, struct amy_error *err)
{
    int64_t failed_ms = 0; /* since when it fails */
    bool renewed = false;

    for (unsigned tries = 0;; tries++) {
        struct amy_error why = AMY_ERROR_INIT;
        enum amy__s3_fate fate = AMY__S3_REFUSED;
        int64_t now_ms = 0;
        int rc = have_keys(s3, err);

        if (rc < 0) {
            return rc;
        }
        rc = try_once(s3, request, ret, &why);
        fate = judge(s3, request, &rc, ret, &why);
        now_ms = amy__mono_ms(s3->job->borrow_clock);
        if (tries == 0) {
            failed_ms =
                now_ms -
                (rc == AMY_ETIMEOUT ? patience_ms(s3) / TRIES_OF_SILENCE : 0);
        }
        if (rc < 0 && fate == AMY__S3_NEW_KEYS && !renewed) {
            renewed = true;
            if (changed_keys(s3)) {
                continue;
            }
        }
        if (rc == 0 || fate != AMY__S3_AGAIN ||
            now_ms - failed_ms >= patience_ms(s3)) {
            if (rc < 0 && err != NULL) {
                *err = why;
            }
            return rc;
        }
        rc = pause_before(s3, tries, err);
        if (rc < 0) {
            return rc;
        }
    }
}

/* --- create, free --- */

static bool
is_path_style(const struct amy__copy_spec *copy, struct amy__span bucket)
{
    if (copy->style[0] != '\0') {
        return strcmp(copy->style, "path") == 0;
    }
    /* Amazon's certificate is good for one name in front of its own. */
    return copy->endpoint[0] != '\0' || memchr(bucket.p, '.', bucket.n) != NULL;
}

static int
set_place(struct amy__s3 *s3, struct amy_error *err)
{
    static const char scheme[] = "https://";
    const struct amy__copy_spec *copy = &s3->job->spec.copy;
    struct amy__span rest = amy__span_of(copy->s3);
    struct amy__span bucket = {NULL, 0};
    char host[sizeof(s3->host)] = "";
    bool path_style = false;
    int n = 0;

    if (!amy__span_split(&rest, '/', &bucket) || bucket.n == 0 ||
        bucket.n > 63 ||
        (copy->endpoint[0] != '\0' &&
         !amy__span_starts(amy__span_of(copy->endpoint), AMY_SPAN(scheme)))) {
        return amy__err(err, AMY_EINVAL, "the copy names no bucket");
    }
    if (copy->endpoint[0] != '\0') {
        (void)snprintf(host, sizeof(host), "%s",
                       copy->endpoint + sizeof(scheme) - 1);
    } else {
        amy__s3_host(copy->region, host, sizeof(host));
    }
    path_style = is_path_style(copy, bucket);
    n = snprintf(s3->host, sizeof(s3->host), "%.*s%s%s",
                 path_style ? 0 : (int)bucket.n, bucket.p,
                 path_style ? "" : ".", host);
    if (path_style) {
        (void)snprintf(s3->prefix, sizeof(s3->prefix), "/" AMY_SPAN_FMT,
                       AMY_SPAN_ARG(bucket));
    }
    return n < (int)sizeof(s3->host)
               ? 0
               : amy__err(err, AMY_EINVAL, "the copy's host is too long");
}

int
amy__s3_create(struct amy__job *job, struct amy__s3 **ret_s3,
               struct amy_error *err)
{
    AMY_CLEANUP(amy__s3_free_p) struct amy__s3 *s3 = NULL;
    const char *ca_file = job->spec.copy.ca_file;
    struct amy__fetch_options opts = {.ca_file =
                                          ca_file[0] == '\0' ? NULL : ca_file};
    int rc = 0;

    s3 = amy__calloc(1, sizeof(*s3));
    if (s3 == NULL) {
        return amy__err(err, AMY_ENOMEM, "preparing for S3");
    }
    s3->job = job;
    rc = set_place(s3, err);
    rc = rc < 0 ? rc : amy__loop_create(&s3->base, err);
    opts.base = s3->base;
    rc = rc < 0 ? rc : amy__fetch_create(&opts, &s3->client, err);
    rc = rc < 0 ? rc
                : amy__timer_create(s3->base, on_timer, s3, &s3->timer, err);
    if (rc < 0) {
        return rc;
    }
    *ret_s3 = AMY_TAKE(s3);
    return 0;
}

void
amy__s3_free(struct amy__s3 *s3)
{
    if (s3 == NULL) {
        return;
    }
    amy__awskeys_clear(&s3->keys);
    amy__wipe(s3->token, sizeof(s3->token));
    amy__timer_free(s3->timer);
    amy__fetch_free(s3->client);
    amy__loop_free(s3->base);
    amy__free(s3);
}
