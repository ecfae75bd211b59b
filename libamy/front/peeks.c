/* Looking at our own listeners, one handshake behind the other. */
/* Not for what should be seen there, nor for when to look: front/prober.c. */
#include "front/peeks.h"

#include "core/alloc.h"
#include "core/loop.h"
#include "net/tls_peek.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

struct amy__peeks {
    struct event_base *base;
    struct amy__timer *timer;
    struct amy__tls_peek *peek; /* under way, or NULL */
    struct amy__address addresses[AMY__PEEKS_ADDRESSES];
    size_t address_count;
    struct amy__json *targets;
    size_t target_count;
    size_t at; /* which handshake: addresses of one target come first */
    struct amy__json *wrong;
    amy__peeks_fn fn;
    void *user;
};

void
amy__peeks_cancel(struct amy__peeks *peeks)
{
    if (peeks == NULL) {
        return;
    }
    amy__tls_peek_cancel(peeks->peek);
    amy__timer_free(peeks->timer);
    amy__json_free(peeks->targets);
    amy__json_free(peeks->wrong);
    amy__free(peeks);
}

static const struct amy__json *
target_of(const struct amy__peeks *peeks)
{
    return amy__json_at(peeks->targets, peeks->at / peeks->address_count);
}

static void
blame(struct amy__peeks *peeks, const char *why, const char *detail)
{
    static const char *const types[AMY__TLS_TYPES] = {[AMY__TLS_EC] = "EC",
                                                      [AMY__TLS_RSA] = "RSA",
                                                      [AMY__TLS_OTHER] =
                                                          "other"};
    const struct amy__address *address =
        &peeks->addresses[peeks->at % peeks->address_count];
    int64_t type = amy__json_get_int(target_of(peeks), "type", 0);
    struct amy__json *one = amy__json_object();
    char host[64] = "";
    char text[512] = "";

    (void)amy__address_host(address, host, sizeof(host));
    (void)snprintf(text, sizeof(text), "'%s' (%s) at %s port %u: %s%s%s",
                   amy__json_get_text(target_of(peeks), "name", ""),
                   type >= 0 && type < AMY__TLS_TYPES ? types[type] : "?", host,
                   (unsigned)amy__address_port(address), why,
                   detail[0] == '\0' ? "" : " ", detail);
    (void)amy__json_set(
        one, "target",
        amy__json_int((int64_t)(peeks->at / peeks->address_count)));
    (void)amy__json_set(one, "why", amy__json_text(text));
    (void)amy__json_add(peeks->wrong, one);
}

static void
go_on(struct amy__peeks *peeks)
{
    peeks->at++;
    if (amy__timer_arm(peeks->timer, AMY__PEEKS_GAP_MS, NULL) < 0) {
        peeks->at = peeks->target_count * peeks->address_count;
        (void)amy__timer_arm(peeks->timer, 0, NULL);
    }
}

static void
on_seen(const char *fingerprint, const struct amy_error *err, void *user)
{
    struct amy__peeks *peeks = user;
    const char *wanted =
        amy__json_get_text(target_of(peeks), "fingerprint", "");

    peeks->peek = NULL;
    if (fingerprint == NULL) {
        blame(peeks, err->msg, "");
    } else if (strcmp(fingerprint, wanted) != 0) {
        blame(peeks, "another certificate is shown, SHA-256", fingerprint);
    }
    go_on(peeks);
}

/* The next handshake, or the end: no loop of ours ever waits for it. */
static void
on_timer(void *user)
{
    struct amy__peeks *peeks = user;
    struct amy_error err = AMY_ERROR_INIT;
    int64_t type = 0;

    if (peeks->at >= peeks->target_count * peeks->address_count) {
        struct amy__json *wrong = peeks->wrong;
        amy__peeks_fn fn = peeks->fn;
        void *fn_user = peeks->user;

        peeks->wrong = NULL;
        amy__peeks_cancel(peeks);
        fn(wrong, fn_user);
        return;
    }
    type = amy__json_get_int(target_of(peeks), "type", 0);
    if (type < 0 || type >= AMY__TLS_TYPES ||
        amy__tls_peek_start(peeks->base,
                            &peeks->addresses[peeks->at % peeks->address_count],
                            amy__json_get_text(target_of(peeks), "name", ""),
                            (enum amy__tls_type)type, AMY__PEEKS_TIMEOUT_MS,
                            on_seen, peeks, &peeks->peek, &err) < 0) {
        blame(peeks, err.msg, "");
        go_on(peeks);
    }
}

struct amy__peeks *
amy__peeks_begin(struct event_base *base, const struct amy__address *addresses,
                 size_t count, const struct amy__json *targets,
                 amy__peeks_fn fn, void *user)
{
    struct amy__peeks *peeks = amy__calloc(1, sizeof(*peeks));

    if (peeks == NULL) {
        return NULL;
    }
    peeks->base = base;
    peeks->fn = fn;
    peeks->user = user;
    peeks->address_count =
        count > AMY__PEEKS_ADDRESSES ? AMY__PEEKS_ADDRESSES : count;
    if (count > 0) {
        memcpy(peeks->addresses, addresses,
               peeks->address_count * sizeof(*addresses));
    }
    peeks->targets = amy__json_copy(targets);
    peeks->target_count = amy__json_count(targets);
    if (peeks->target_count > AMY__PEEKS_MAX) {
        peeks->target_count = AMY__PEEKS_MAX;
    }
    peeks->wrong = amy__json_array();
    if (peeks->targets == NULL || peeks->wrong == NULL ||
        amy__timer_create(base, on_timer, peeks, &peeks->timer, NULL) < 0 ||
        amy__timer_arm(peeks->timer, 0, NULL) < 0) {
        amy__peeks_cancel(peeks);
        return NULL;
    }
    return peeks;
}

bool
amy__peeks_address(int fd, struct amy__address *ret)
{
    struct sockaddr_in loopback = {.sin_family = AF_INET};
    const struct sockaddr_in6 *v6 = (const void *)&ret->sa;
    const struct sockaddr_in *v4 = (const void *)&ret->sa;

    ret->len = sizeof(ret->sa);
    if (getsockname(fd, (struct sockaddr *)&ret->sa, &ret->len) != 0) {
        return false;
    }
    loopback.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (ret->sa.ss_family == AF_INET6 &&
        IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr)) {
        loopback.sin_port = v6->sin6_port; /* [::] takes IPv4 too */
    } else if (ret->sa.ss_family == AF_INET &&
               v4->sin_addr.s_addr == htonl(INADDR_ANY)) {
        loopback.sin_port = v4->sin_port;
    } else {
        return ret->sa.ss_family == AF_INET || ret->sa.ss_family == AF_INET6;
    }
    memset(&ret->sa, 0, sizeof(ret->sa));
    memcpy(&ret->sa, &loopback, sizeof(loopback));
    ret->len = sizeof(loopback);
    return true;
}
