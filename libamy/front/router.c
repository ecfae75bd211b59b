/* The table of host names, and the longest path. Not for what a site does with
 * the request: that is request.c. */
#include "front/router.h"

#include "core/alloc.h"
#include "core/digest.h"
#include "core/error.h"

struct name {
    char *text; /* NULL: empty place */
    struct amy__vhost *vhost;
};

struct amy__router {
    uint64_t seed; /* random: peers choose what is looked up */
    size_t mask;
    size_t room; /* names that may still come */
    struct name names[];
};

int
amy__router_create(size_t names, struct amy__router **ret_router,
                   struct amy_error *err)
{
    struct amy__router *router = NULL;
    size_t size = 8;

    while (size < names * 2) {
        size *= 2;
    }
    router = amy__calloc(1, sizeof(*router) + size * sizeof(router->names[0]));
    if (router == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating the table of names");
    }
    if (amy__random(&router->seed, sizeof(router->seed), err) < 0) {
        amy__free(router);
        return AMY_EIO;
    }
    router->mask = size - 1;
    router->room = names;
    *ret_router = router;
    return 0;
}

void
amy__router_free(struct amy__router *router)
{
    if (router == NULL) {
        return;
    }
    for (size_t i = 0; i <= router->mask; i++) {
        amy__free(router->names[i].text);
    }
    amy__free(router);
}

/* The place of that name, or the empty one where it would stand. */
static size_t
place_of(const struct amy__router *router, struct amy__span host)
{
    size_t at = (size_t)amy__hash(host, router->seed) & router->mask;

    while (router->names[at].text != NULL &&
           !amy__span_eq(amy__span_of(router->names[at].text), host)) {
        at = (at + 1) & router->mask;
    }
    return at;
}

int
amy__router_add(struct amy__router *router, const char *name,
                struct amy__vhost *vhost, struct amy_error *err)
{
    struct name *place = &router->names[place_of(router, amy__span_of(name))];

    if (place->text != NULL) {
        return place->vhost == vhost
                   ? 0
                   : amy__err(err, AMY_EEXIST, "two sites are named '%s'",
                              name);
    }
    if (router->room == 0) {
        return amy__err(err, AMY_ELIMIT, "more names than announced");
    }
    place->text = amy__strdup(name);
    if (place->text == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a name");
    }
    place->vhost = vhost;
    router->room--;
    return 0;
}

struct amy__vhost *
amy__router_find(const struct amy__router *router, struct amy__span host)
{
    return router->names[place_of(router, host)].vhost;
}

static bool
fits(const struct amy__route *route, struct amy__span path)
{
    struct amy__span prefix = amy__span_of(route->path);

    if (amy__span_starts(path, prefix)) {
        /* "/a" is a prefix of "/a", "/a/b" and "/a?", not of "/ab". */
        return prefix.p[prefix.n - 1] == '/' || path.n == prefix.n ||
               path.p[prefix.n] == '/';
    }
    return prefix.n > 1 && prefix.p[prefix.n - 1] == '/' &&
           path.n == prefix.n - 1 && amy__span_starts(prefix, path);
}

const struct amy__route *
amy__route_find(const struct amy__site *site, struct amy__span path)
{
    for (size_t i = 0; i < site->route_count; i++) {
        const struct amy__route *route = &site->routes[i];

        if (fits(route, path)) {
            return route;
        }
    }
    return NULL;
}

struct amy__span
amy__route_rest(const struct amy__route *route, struct amy__span path)
{
    size_t skip = amy__span_of(route->path).n;

    skip = skip < path.n ? skip : path.n;
    while (skip < path.n && path.p[skip] == '/') {
        skip++;
    }
    return (struct amy__span){path.p + skip, path.n - skip};
}
