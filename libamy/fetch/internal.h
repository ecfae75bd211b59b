/* What the files of this room share: the client and its calls. */
#ifndef AMY_FETCH_INTERNAL_H
#define AMY_FETCH_INTERNAL_H

#include "core/buf.h"
#include "core/loop.h"
#include "fetch/curl.h"
#include "fetch/fetch.h"

/* A socket of libcurl's that is watched. */
struct amy__fetch_watch {
    struct amy__fetch_watch *next;
    struct amy__fetch *borrow_client;
    struct amy__io *io;
};

struct amy__fetch {
    struct amy__curl curl;
    struct event_base *base;
    char *ca_file;
    bool use_proxy;
    bool plain;
    bool initialised; /* libcurl's own global state */
    CURLM *multi;
    struct amy__timer *timer; /* libcurl's */
    struct amy__defer *ends;  /* tells what has ended */
    struct amy__fetch_watch *watches;
    struct amy__fetch_call *calls; /* all of them */
    bool telling;                  /* a completion is being called */
    bool doomed;                   /* and it has freed us */
};

struct amy__fetch_call {
    struct amy__fetch_call *next;
    struct amy__fetch *borrow_client;
    amy__fetch_fn fn;
    void *user;
    char host[256];
    CURL *easy;
    struct curl_slist *fields;
    struct amy__timer *deadline;
    int64_t timeout_ms;
    struct amy__timer *silence;
    int64_t silence_ms; /* 0: as long as it takes */
    unsigned quiet;     /* looks at which nothing had moved */
    bool moved;
    struct amy__buf sent;     /* the request's body */
    struct amy__buf received; /* the answer's */
    struct amy__buf head;     /* of the last answer */
    struct amy__fetch_file file;
    uint64_t read_bytes; /* of the file */
    bool too_long;
    bool added; /* to the multi handle */
    bool over;
    int rc;
    struct amy_error err;
};

/* call.c */
int amy__fetch_call_create(struct amy__fetch *client,
                           const struct amy__fetch_request *request,
                           struct amy__fetch_call **ret_call,
                           struct amy_error *err);
void amy__fetch_call_free(struct amy__fetch_call *call);
static inline void
amy__fetch_call_free_p(struct amy__fetch_call **call)
{
    amy__fetch_call_free(*call);
}
/* Its time begins now. */
int amy__fetch_call_arm(struct amy__fetch_call *call, struct amy_error *err);
/* libcurl is done with it: what does that mean? */
void amy__fetch_call_judge(struct amy__fetch_call *call, CURLcode code);
/* It is over, and that will be told. */
void amy__fetch_call_end(struct amy__fetch_call *call);
void amy__fetch_call_tell(const struct amy__fetch_call *call);

#endif
