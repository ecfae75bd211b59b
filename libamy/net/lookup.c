/* Names by libevent's evdns. */
/* Not for numeric addresses: net/address.h. */
#include "net/lookup.h"

#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/library.h"
#include "core/loop.h"

#include <event2/dns.h>
#include <event2/util.h>

#include <stdio.h>
#include <string.h>

/* What reading resolv.conf gives, where the hosts file is known all the same.
 */
#define NO_FILE 1
#define NO_NAMESERVERS 6

/* Names on loops: of libevent, but not in its core. */
struct api {
    struct evdns_base *(*create)(struct event_base *base, int flags);
    void (*destroy)(struct evdns_base *dns, int fail_requests);
    int (*read_file)(struct evdns_base *dns, int what, const char *path);
    struct evdns_getaddrinfo_request *(*ask)(
        struct evdns_base *dns, const char *name, const char *service,
        const struct evutil_addrinfo *hints, evdns_getaddrinfo_cb fn,
        void *user);
    void (*cancel)(struct evdns_getaddrinfo_request *request);
};

struct amy__lookup {
    struct api api;
    struct evdns_base *dns;
    struct evdns_getaddrinfo_request *request; /* NULL: answered */
    struct amy__defer *end;
    amy__lookup_fn fn; /* NULL: nobody wants to know any more */
    void *user;
    char name[256];
    size_t count;
    struct amy__address addresses[AMY__LOOKUP_MAX];
    struct amy_error err;
};

static int
load(struct api *ret, struct amy_error *err)
{
    const struct amy__library_symbol wanted[] = {
        {"evdns_base_new", &ret->create},
        {"evdns_base_free", &ret->destroy},
        {"evdns_base_resolv_conf_parse", &ret->read_file},
        {"evdns_getaddrinfo", &ret->ask},
        {"evdns_getaddrinfo_cancel", &ret->cancel},
    };

    return amy__library_load("libevent_extra-2.1.so.7", "libevent-extra-2.1-7",
                             wanted, sizeof(wanted) / sizeof(wanted[0]), err);
}

static void
free_lookup(struct amy__lookup *lookup)
{
    if (lookup == NULL) {
        return;
    }
    if (lookup->dns != NULL) {
        lookup->api.destroy(lookup->dns, 0);
    }
    amy__defer_free(lookup->end);
    amy__free(lookup);
}

AMY_DEFINE_CLEANUP(struct amy__lookup *, free_lookup)

static void
take(struct amy__lookup *lookup, const struct evutil_addrinfo *found)
{
    for (; found != NULL && lookup->count < AMY__LOOKUP_MAX;
         found = found->ai_next) {
        struct amy__address *to = &lookup->addresses[lookup->count];

        if (found->ai_addrlen > sizeof(to->sa)) {
            continue;
        }
        memcpy(&to->sa, found->ai_addr, found->ai_addrlen);
        to->len = (socklen_t)found->ai_addrlen;
        lookup->count++;
    }
}

/* Its own structures are still in use here: so the end comes later. */
static void
on_answer(int result, struct evutil_addrinfo *found, void *user)
{
    struct amy__lookup *lookup = user;

    lookup->request = NULL;
    take(lookup, found);
    if (found != NULL) {
        evutil_freeaddrinfo(found);
    }
    if (lookup->count == 0) {
        (void)amy__err(&lookup->err,
                       result == EVUTIL_EAI_AGAIN ? AMY_ECONN : AMY_ENOTFOUND,
                       "name '%s': %s", lookup->name,
                       result == 0 ? "it has no address"
                                   : evutil_gai_strerror(result));
    }
    amy__defer_ask(lookup->end);
}

static void
on_end(void *user)
{
    struct amy__lookup *lookup = user;

    if (lookup->fn != NULL) {
        lookup->fn(lookup->addresses, lookup->count, &lookup->err,
                   lookup->user);
    }
    free_lookup(lookup);
}

static int
prepare(struct amy__lookup *lookup, struct event_base *base,
        const char *resolv_conf, struct amy_error *err)
{
    const char *path = resolv_conf == NULL ? "/etc/resolv.conf" : resolv_conf;
    int rc = load(&lookup->api, err);

    rc = rc < 0 ? rc
                : amy__defer_create(base, on_end, lookup, &lookup->end, err);
    if (rc < 0) {
        return rc;
    }
    lookup->dns =
        lookup->api.create(base, (int)EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    if (lookup->dns == NULL) {
        return amy__err(err, AMY_EIO, "preparing to look up names");
    }
    rc = lookup->api.read_file(lookup->dns, DNS_OPTIONS_ALL, path);
    if (rc != 0 && rc != NO_FILE && rc != NO_NAMESERVERS) {
        return amy__err(err, AMY_EIO, "reading %s", path);
    }
    return 0;
}

int
amy__lookup_start(const struct amy__lookup_options *opts, amy__lookup_fn fn,
                  void *user, struct amy__lookup **ret_lookup,
                  struct amy_error *err)
{
    AMY_CLEANUP(free_lookup_p)
    struct amy__lookup *lookup = amy__calloc(1, sizeof(*lookup));
    struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC,
                                    .ai_socktype = SOCK_STREAM,
                                    .ai_protocol = IPPROTO_TCP,
                                    .ai_flags = EVUTIL_AI_ADDRCONFIG};
    char service[8] = "";
    int rc = 0;

    if (lookup == NULL) {
        return amy__err(err, AMY_ENOMEM, "looking up a name");
    }
    lookup->fn = fn;
    lookup->user = user;
    (void)amy__escape(amy__span_of(opts->name), lookup->name,
                      sizeof(lookup->name));
    rc = prepare(lookup, opts->base, opts->resolv_conf, err);
    if (rc < 0) {
        return rc;
    }
    (void)snprintf(service, sizeof(service), "%u", (unsigned)opts->port);
    /* What it knows already, it answers from inside. */
    lookup->request = lookup->api.ask(lookup->dns, opts->name, service, &hints,
                                      on_answer, lookup);
    *ret_lookup = AMY_TAKE(lookup);
    return 0;
}

void
amy__lookup_cancel(struct amy__lookup *lookup)
{
    if (lookup == NULL) {
        return;
    }
    lookup->fn = NULL;
    if (lookup->request != NULL) {
        lookup->api.cancel(lookup->request); /* on_answer() comes, later */
    }
}
