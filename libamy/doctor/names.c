/* Looks where a site's names lead, all at once, for so long and no longer. */
/* Not for judging: judge_host.c. */
#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/loop.h"
#include "doctor/internal.h"
#include "doctor/judge.h"
#include "net/lookup.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>

#define NAMES_MAX 64U
#define DEFAULT_MS 5000

AMY_DEFINE_CLEANUP(struct event_base *, amy__loop_free)

struct name {
    struct asking *asking;
    const char *name;
    struct amy__lookup *lookup; /* NULL: it is over, or never began */
    size_t count;
    char first[64];
    bool is_here;
    bool is_final;
    struct amy_error err;
};

struct asking {
    size_t left;
    bool over;
    struct ifaddrs *ours;
    size_t count;
    struct name names[NAMES_MAX];
};

static void
free_asking(struct asking *asking)
{
    if (asking != NULL) {
        freeifaddrs(asking->ours);
        amy__free(asking);
    }
}
AMY_DEFINE_CLEANUP(struct asking *, free_asking)

static bool
is_same(const struct sockaddr *a, const struct amy__address *b)
{
    const struct sockaddr *other = (const struct sockaddr *)&b->sa;

    if (a == NULL || a->sa_family != other->sa_family) {
        return false;
    }
    if (a->sa_family == AF_INET) {
        return ((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr ==
               ((const struct sockaddr_in *)(const void *)other)
                   ->sin_addr.s_addr;
    }
    return a->sa_family == AF_INET6 &&
           memcmp(
               &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr,
               &((const struct sockaddr_in6 *)(const void *)other)->sin6_addr,
               sizeof(struct in6_addr)) == 0;
}

static bool
is_ours(const struct asking *asking, const struct amy__address *address)
{
    if (amy__address_is_loopback(address)) {
        return true;
    }
    for (const struct ifaddrs *one = asking->ours; one != NULL;
         one = one->ifa_next) {
        if (is_same(one->ifa_addr, address)) {
            return true;
        }
    }
    return false;
}

static void
on_addresses(const struct amy__address *addresses, size_t count,
             const struct amy_error *err, void *user)
{
    struct name *name = user;

    name->lookup = NULL;
    name->count = count;
    for (size_t i = 0; i < count; i++) {
        name->is_here |= is_ours(name->asking, &addresses[i]);
    }
    if (count > 0) {
        (void)amy__address_host(&addresses[0], name->first,
                                sizeof(name->first));
    } else {
        name->err = *err;
        name->is_final = err->code == AMY_ENOTFOUND;
    }
    name->asking->left--;
    name->asking->over = name->asking->left == 0;
}

static void
on_deadline(void *user)
{
    ((struct asking *)user)->over = true;
}

static void
ask(struct amy__doctor *doctor, struct asking *asking, struct event_base *base)
{
    struct amy__timer *deadline = NULL;
    int64_t ms = doctor->opts.timeout_ms == 0
                     ? DEFAULT_MS
                     : (int64_t)doctor->opts.timeout_ms;

    for (size_t i = 0; i < asking->count; i++) {
        struct name *name = &asking->names[i];
        const struct amy__lookup_options opts = {.base = base,
                                                 .name = name->name};

        if (amy__lookup_start(&opts, on_addresses, name, &name->lookup,
                              &name->err) == 0) {
            asking->left++;
        }
    }
    if (asking->left > 0 &&
        amy__timer_create(base, on_deadline, asking, &deadline, NULL) == 0 &&
        amy__timer_arm(deadline, ms, NULL) == 0) {
        (void)!amy__loop_run(base, &asking->over, NULL);
    }
    amy__timer_free(deadline);
    for (size_t i = 0; i < asking->count; i++) {
        amy__lookup_cancel(asking->names[i].lookup);
    }
    amy__loop_turn(base); /* for the last of those to be freed */
}

static void
add(struct asking *asking, const char *name)
{
    if (asking->count < NAMES_MAX) {
        asking->names[asking->count] =
            (struct name){.asking = asking, .name = name};
        asking->count++;
    }
}

void
amy__doctor_names(struct amy__doctor *doctor, const struct amy__site *site)
{
    AMY_CLEANUP(amy__loop_free_p) struct event_base *base = NULL;
    AMY_CLEANUP(free_asking_p)
    struct asking *asking = amy__calloc(1, sizeof(*asking));

    if (amy__finding_is_skipped(&doctor->findings, "dns") || asking == NULL ||
        amy__loop_create(&base, NULL) < 0) {
        return;
    }
    add(asking, site->domain);
    for (size_t i = 0; site->aliases[i] != NULL; i++) {
        add(asking, site->aliases[i]);
    }
    if (getifaddrs(&asking->ours) < 0) {
        asking->ours = NULL;
    }
    ask(doctor, asking, base);
    for (size_t i = 0; i < asking->count; i++) {
        const struct name *name = &asking->names[i];
        const struct amy__name_facts facts = {
            .name = name->name,
            .count = name->count,
            .first = name->first,
            .is_here = name->is_here,
            .is_final = name->is_final,
            .error = name->err.msg[0] == '\0' ? NULL : name->err.msg,
        };

        amy__judge_name(&facts, &doctor->findings);
    }
}
