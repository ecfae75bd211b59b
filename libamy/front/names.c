/* Names that more than one site claims. */
/* Not for finding a site by its name: front/router.c, by the same order. */
#include "front/names.h"

#include "core/alloc.h"
#include "core/error.h"

#include <stdlib.h>
#include <string.h>

struct claim {
    const char *name;
    size_t site;
    int claim; /* of amy__names_claim */
};

int
amy__names_claim(const struct amy__site *site, const char *name)
{
    struct amy__span whole = amy__span_of(name);
    struct amy__span domain = amy__span_of(site->domain);

    if (amy__span_eq(whole, domain)) {
        return 0;
    }
    if (whole.n > domain.n && whole.p[whole.n - domain.n - 1] == '.' &&
        strcmp(name + (whole.n - domain.n), site->domain) == 0) {
        return 1;
    }
    return 2;
}

static int
by_right(const void *a, const void *b)
{
    const struct claim *one = a;
    const struct claim *other = b;
    int order = strcmp(one->name, other->name);

    if (order == 0) {
        order = one->claim - other->claim;
    }
    if (order == 0) {
        order = (one->site > other->site) - (one->site < other->site);
    }
    return order;
}

static size_t
count_claims(struct amy__site *const *sites, size_t count)
{
    size_t claims = count;

    for (size_t i = 0; i < count; i++) {
        for (char **alias = sites[i]->aliases; *alias != NULL; alias++) {
            claims++;
        }
    }
    return claims;
}

static void
fill_claims(struct amy__site *const *sites, size_t count, struct claim *claims)
{
    for (size_t i = 0; i < count; i++) {
        *claims++ = (struct claim){sites[i]->domain, i, 0};
        for (char **alias = sites[i]->aliases; *alias != NULL; alias++) {
            *claims++ =
                (struct claim){*alias, i, amy__names_claim(sites[i], *alias)};
        }
    }
}

int
amy__names_judge(struct amy__site *const *sites, size_t count, amy__names_fn fn,
                 void *user, struct amy_error *err)
{
    size_t n = count_claims(sites, count);
    struct claim *claims = amy__calloc(n + 1, sizeof(*claims));
    const struct claim *owner = claims;

    if (claims == NULL) {
        return amy__err(err, AMY_ENOMEM, "comparing the names of sites");
    }
    fill_claims(sites, count, claims);
    qsort(claims, n, sizeof(*claims), by_right);
    for (size_t i = 1; i < n; i++) {
        if (strcmp(claims[i].name, owner->name) != 0) {
            owner = &claims[i];
        } else if (claims[i].site != owner->site) {
            fn(claims[i].site, owner->name, owner->site, user);
        }
    }
    amy__free(claims);
    return 0;
}
