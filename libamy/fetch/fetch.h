/* Requests by HTTPS on the caller's loop, by libcurl, which is opened at first
 * use. The peer's certificate is verified, no redirect is followed, everything
 * that comes back has a bound. Plain HTTP is for what a machine asks of itself
 * (its cloud's metadata service), and must be asked for. */
#ifndef AMY_FETCH_FETCH_H
#define AMY_FETCH_FETCH_H

#include <amy/error.h>

#include "core/buf.h"
#include "core/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct amy__fetch;      /* a client: its connections outlive a request */
struct amy__fetch_call; /* one request under way */

struct amy__fetch_options {
    struct event_base *base; /* required */
    const char *ca_file;     /* PEM; NULL: whom this system trusts */
    bool use_proxy;          /* the one that https_proxy names */
    bool plain;              /* http:// alone, instead of https:// alone */
};

/* @return 0, AMY_EUNSUPPORTED (no libcurl, or one without TLS or too old; err
 *         names the package), AMY_ESTATE (SIGPIPE is not ignored), AMY_ENOMEM
 */
int amy__fetch_create(const struct amy__fetch_options *opts,
                      struct amy__fetch **ret_client, struct amy_error *err);
/* What is under way ends without a word. May be called inside a completion. */
void amy__fetch_free(struct amy__fetch *client);
static inline void
amy__fetch_free_p(struct amy__fetch **client)
{
    amy__fetch_free(*client);
}

#define AMY__FETCH_HEAD_MAX                                                    \
    ((size_t)64 * 1024) /* bytes of an answer's head                           \
                         */

/* A stretch of a file as a request's body: it is read as it is sent, and again
 * where it must be sent again. */
struct amy__fetch_file {
    int fd; /* the caller's, until the completion */
    uint64_t offset;
    uint64_t bytes;
};

/* Sign as Amazon's services want it (AWS4-HMAC-SHA256). The fields must have
 * x-amz-content-sha256; a query must be sorted and escaped, with a '=' after
 * each name. */
struct amy__fetch_signer {
    const char *region;
    const char *service; /* "s3" */
    const char *key;
    const char *secret; /* never in a message */
};

/* All of it is copied. */
struct amy__fetch_request {
    const char *method;        /* "GET", "POST" ... */
    const char *url;           /* https:// alone; may hold a secret */
    const char *const *fields; /* "Content-Type: text/plain"; NULL-terminated,
                                  or NULL: none */
    struct amy__span body;
    const struct amy__fetch_file *file;     /* instead of body; NULL: none */
    const struct amy__fetch_signer *signer; /* NULL: not signed */
    int64_t timeout_ms; /* for all of it, from now on; above 0 */
    int64_t silence_ms; /* without a byte either way; 0: as long as that */
    int least_rate;     /* bytes a second, either way: AMY_ETIMEOUT when it was
                           slower all through silence_ms; 0: any */
    size_t answer_max;  /* bytes of the answer's body */
};

struct amy__fetch_answer {
    unsigned status;
    struct amy__span body; /* valid during the callback */
    struct amy__span head; /* the same; see amy__fetch_field */
};

/* The value of the first field of that name; {NULL, 0}: there is none. Pure. */
struct amy__span amy__fetch_field(struct amy__span head, const char *name);

/* rc: 0: there is an answer, of whatever status; AMY_ECONN (also when a kept
 * connection ends just then: whether to ask again is the caller's), AMY_EAUTH
 * (the peer's certificate), AMY_ETIMEOUT, AMY_ELIMIT (too long), AMY_EPROTO,
 * AMY_EINVAL (the URL, the CA file), AMY_ENOMEM, AMY_ECANCELED, AMY_EIO; then
 * answer is NULL. err names the host, and no other part of the URL. */
typedef void (*amy__fetch_fn)(int rc, const struct amy__fetch_answer *answer,
                              const struct amy_error *err, void *user);

/* Completion exactly once, on the loop, never from inside this call; the call
 * is gone with it. @return 0, AMY_EINVAL, AMY_ENOMEM */
int amy__fetch_start(struct amy__fetch *client,
                     const struct amy__fetch_request *request, amy__fetch_fn fn,
                     void *user, struct amy__fetch_call **ret_call,
                     struct amy_error *err);
/* Its completion comes soon, with AMY_ECANCELED unless it has ended already. */
void amy__fetch_cancel(struct amy__fetch_call *call);

/* The same for a process that waits for nothing else, a job: runs the client's
 * loop until it is over. ret: what came, the caller's to clear, also on
 * failure. As amy__fetch_start and its completion. */
struct amy__fetch_got {
    unsigned status;
    struct amy__buf head;
    struct amy__buf body;
};
int amy__fetch_wait(struct amy__fetch *client,
                    const struct amy__fetch_request *request,
                    struct amy__fetch_got *ret, struct amy_error *err);
void amy__fetch_got_clear(struct amy__fetch_got *got);
static inline void
amy__fetch_got_clear_p(struct amy__fetch_got *got)
{
    amy__fetch_got_clear(got);
}

/* The host of an https (or http) URL as messages have it; "" when it is none.
 * Pure. */
void amy__fetch_host(const char *url, char *buf, size_t size);

#endif
