/* Building the tables of a bundle beside those in use, and swapping them. Not
 * for talking to the master: that is process.c. */
#include "front/served.h"

#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "front/names.h"
#include "front/users.h"
#include "gate/page.h"
#include "net/tls.h"

#include <string.h>
#include <sys/mman.h>

#define YAML_MAX ((size_t)1024 * 1024)
#define PEM_MAX ((size_t)1024 * 1024)
#define ROUTE_TIMEOUT_MS 60000 /* nginx proxy_read_timeout */
/* Chatty protocols ping each other within a minute; a person who reads does not
 * lose the connection, and one whose machine slept does. */
#define TUNNEL_IDLE_MS (10 * 60000)

/* ---- domains ---- */

struct amy__domain *
amy__front_find_domain(const struct amy__front *front, const char *name)
{
    for (size_t i = 0; i < front->domain_count; i++) {
        if (strcmp(front->domains[i]->name, name) == 0) {
            return front->domains[i];
        }
    }
    return NULL;
}

static void
free_domain(struct amy__domain *domain)
{
    if (domain == NULL) {
        return;
    }
    amy__page_unref(domain->gate_page);
    amy__page_unref(domain->down_page);
    amy__access_log_free(domain->log);
    amy__error_log_free(domain->errors);
    amy__close(&domain->run_fd);
    amy__free(domain->pools);
    amy__free(domain->name);
    amy__free(domain);
}

static struct amy__domain *
make_domain(struct amy__front *front, const char *name, struct amy_error *err)
{
    struct amy__domain *domain = amy__calloc(1, sizeof(*domain));

    if (domain == NULL) {
        (void)amy__err(err, AMY_ENOMEM, "allocating a site");
        return NULL;
    }
    domain->front = front;
    domain->run_fd = -1;
    domain->name = amy__strdup(name);
    if (domain->name == NULL ||
        amy__page_read(-1, amy__page_maintenance(), &domain->gate_page, err) <
            0 ||
        amy__page_read(-1, amy__page_down(), &domain->down_page, err) < 0 ||
        amy__access_log_create(name, &front->log, &domain->log, err) < 0 ||
        amy__error_log_create(name, &front->log, &domain->errors, err) < 0) {
        free_domain(domain);
        return NULL;
    }
    return domain;
}

struct amy__domain *
amy__front_domain(struct amy__front *front, const char *name,
                  struct amy_error *err)
{
    struct amy__domain *domain = amy__front_find_domain(front, name);
    struct amy__domain **grown = NULL;

    if (domain != NULL) {
        return domain;
    }
    domain = make_domain(front, name, err);
    if (domain == NULL) {
        return NULL;
    }
    grown = amy__realloc(front->domains,
                         (front->domain_count + 1) * sizeof(*grown));
    if (grown == NULL) {
        free_domain(domain);
        (void)amy__err(err, AMY_ENOMEM, "allocating a site");
        return NULL;
    }
    front->domains = grown;
    front->domains[front->domain_count++] = domain;
    return domain;
}

struct amy__pool_lane *
amy__domain_pool(struct amy__domain *domain, const char *name)
{
    for (size_t i = 0; i < domain->pool_count; i++) {
        if (strcmp(amy__pool_lane_name(domain->pools[i]), name) == 0) {
            return domain->pools[i];
        }
    }
    return NULL;
}

int
amy__domain_need_pool(struct amy__domain *domain, const char *name,
                      struct amy__pool_lane **ret_pool, struct amy_error *err)
{
    struct amy__pool_lane **grown = NULL;
    int rc = 0;

    *ret_pool = amy__domain_pool(domain, name);
    if (*ret_pool != NULL) {
        return 0;
    }
    if (domain->pool_count == AMY__POOLS_PER_SITE) {
        return amy__err(err, AMY_ELIMIT, "more than %u pools",
                        AMY__POOLS_PER_SITE);
    }
    grown =
        amy__realloc(domain->pools, (domain->pool_count + 1) * sizeof(*grown));
    if (grown == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a pool");
    }
    domain->pools = grown;
    rc = amy__pool_lane_create(domain->front->dispatch, name, ret_pool, err);
    if (rc == 0) {
        domain->pools[domain->pool_count++] = *ret_pool;
    }
    return rc;
}

void
amy__domain_forget_pools(struct amy__domain *domain)
{
    size_t kept = 0;

    for (size_t i = 0; i < domain->pool_count; i++) {
        if (!amy__pool_lane_forget(domain->pools[i])) {
            domain->pools[kept++] = domain->pools[i];
        }
    }
    domain->pool_count = kept;
}

static void
forget_pools(struct amy__front *front)
{
    for (size_t i = 0; i < front->domain_count; i++) {
        amy__domain_forget_pools(front->domains[i]);
    }
}

void
amy__domain_set_page(struct amy__domain *domain, struct amy__page *page,
                     uint64_t serial)
{
    amy__page_unref(domain->gate_page);
    domain->gate_page = page;
    domain->gate_serial = serial;
}

/* ---- sites ---- */

struct amy__vhost *
amy__vhost_ref(struct amy__vhost *vhost)
{
    vhost->refs++;
    return vhost;
}

void
amy__vhost_unref(struct amy__vhost *vhost)
{
    if (vhost == NULL || --vhost->refs > 0) {
        return;
    }
    for (size_t i = 0; vhost->routes != NULL && i < vhost->site->route_count;
         i++) {
        amy__pool_lane_unref(vhost->routes[i].pool);
    }
    amy__file_cache_free(vhost->files);
    amy__users_free(vhost->users);
    amy__free(vhost->routes);
    amy__close(&vhost->dir_fd);
    amy__site_unref(vhost->site);
    amy__free(vhost);
}

/* The bytes of a sealed memfd, as long as they are mapped. */
struct mapped {
    const void *data;
    size_t n;
};

static int
map_bytes(int fd, size_t max, struct mapped *ret, struct amy_error *err)
{
    return amy__map_sealed(fd, max, &ret->data, &ret->n, err);
}

static struct amy__span
span_of(const struct mapped *m)
{
    return (struct amy__span){m->data, m->n};
}

static void
unmap_p(struct mapped *m)
{
    if (m->n > 0) {
        (void)munmap((void *)(uintptr_t)m->data, m->n); /* mapped above */
    }
}

static int
read_site(const struct amy__bundle_site *from, struct amy__site **ret_site,
          struct amy_error *err)
{
    AMY_CLEANUP(unmap_p) struct mapped yaml = {0};
    int rc = map_bytes(from->yaml_fd, YAML_MAX, &yaml, err);

    if (rc < 0) {
        return rc;
    }
    return amy__site_parse(span_of(&yaml), "site.yaml", from->name, NULL, NULL,
                           ret_site, err);
}

/* A WSGI server kills its worker when time is up: we give up a second earlier,
 * so that the client is told and the slot still counts. A route that asks for
 * more has it: the server was told so, too (amy__site_kill_after_ms). */
static int64_t
timeout_of(const struct amy__site *site, const struct amy__route *route)
{
    const struct amy__site_worker *worker =
        route->kind == AMY__ROUTE_POOL
            ? amy__site_worker(site, amy__span_of(route->pool))
            : NULL;
    int64_t timeout_ms = ROUTE_TIMEOUT_MS;

    if (route->timeout_ms > 0) {
        return route->timeout_ms;
    }
    if (worker != NULL && worker->wsgi != NULL &&
        worker->timeout_ms - AMY__SITE_GIVE_UP_MS < timeout_ms) {
        timeout_ms = worker->timeout_ms - AMY__SITE_GIVE_UP_MS;
    }
    return timeout_ms < 1000 ? 1000 : timeout_ms;
}

/* Every pool that a route names can be waited for, before it has a worker. */
static int
find_routes(struct amy__vhost *vhost, struct amy_error *err)
{
    const struct amy__site *site = vhost->site;
    int rc = 0;

    vhost->routes = amy__calloc(site->route_count + 1, sizeof(*vhost->routes));
    if (vhost->routes == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a site");
    }
    for (size_t i = 0; rc == 0 && i < site->route_count; i++) {
        const struct amy__route *route = &site->routes[i];
        struct amy__vhost_route *plan = &vhost->routes[i];
        int64_t timeout_ms = timeout_of(site, route);

        if (route->kind == AMY__ROUTE_FILES) {
            continue;
        }
        plan->timeout_ms =
            timeout_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)timeout_ms;
        plan->tunnel_ms = route->tunnel_idle_ms > 0
                              ? (uint32_t)route->tunnel_idle_ms
                              : TUNNEL_IDLE_MS;
        rc =
            amy__domain_need_pool(vhost->domain, route->pool, &plan->pool, err);
        if (rc == 0) {
            (void)amy__pool_lane_ref(plan->pool);
        }
    }
    return rc;
}

/* The master has told what is wrong with them. */
static int
read_users(const struct amy__bundle_site *from, struct amy__vhost *vhost,
           struct amy_error *err)
{
    AMY_CLEANUP(unmap_p) struct mapped users = {0};
    int rc = from->users_fd < 0
                 ? 0
                 : map_bytes(from->users_fd, AMY__USERS_BYTES, &users, err);

    if (rc == 0 && from->users_fd >= 0) {
        rc = amy__users_parse(span_of(&users), NULL, NULL, &vhost->users, err);
    }
    return rc;
}

static int
make_vhost(struct amy__front *front, struct amy__bundle_site *from,
           struct amy__vhost **ret_vhost, struct amy_error *err)
{
    struct amy__vhost *vhost = amy__calloc(1, sizeof(*vhost));
    int rc = 0;

    if (vhost == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a site");
    }
    vhost->refs = 1;
    vhost->word = from->index;
    vhost->dir_fd = from->dir_fd;
    from->dir_fd = -1;
    vhost->domain = amy__front_domain(front, from->name, err);
    rc =
        vhost->domain == NULL ? AMY_ENOMEM : read_site(from, &vhost->site, err);
    if (rc == 0) {
        rc = find_routes(vhost, err);
    }
    if (rc == 0) {
        rc = read_users(from, vhost, err);
    }
    if (rc == 0) {
        rc = amy__file_cache_create(0, &vhost->files, err);
    }
    if (rc < 0) {
        amy__vhost_unref(vhost);
        return rc;
    }
    *ret_vhost = vhost;
    return 0;
}

/* ---- certificates ---- */

static int
read_cert(const struct amy__bundle_cert *from, struct amy__tls_cert **ret_cert,
          struct amy_error *err)
{
    AMY_CLEANUP(unmap_p) struct mapped chain = {0};
    AMY_CLEANUP(unmap_p) struct mapped key = {0};
    int rc = map_bytes(from->chain_fd, PEM_MAX, &chain, err);

    if (rc == 0) {
        rc = map_bytes(from->key_fd, PEM_MAX, &key, err);
    }
    /* Names and dates were judged by the master, who can still say so. */
    if (rc == 0) {
        rc = amy__tls_cert_create(span_of(&chain), ret_cert, err);
    }
    return rc < 0 ? rc : amy__tls_cert_add_key(*ret_cert, span_of(&key), err);
}

/* The certificates of one site. */
struct certs {
    struct amy__tls_cert *list[AMY__SITE_CERTS_MAX];
    size_t count;
};

static void
drop_certs_p(struct certs *certs)
{
    for (size_t i = 0; i < certs->count; i++) {
        amy__tls_cert_unref(certs->list[i]);
    }
}

/* For who has a name, not for all who claim it. */
static int
stage_name(struct amy__front *front, const struct amy__router *router,
           const struct amy__vhost *vhost, const char *name,
           const struct certs *certs, struct amy_error *err)
{
    struct amy__tls_choice choice;

    if (amy__router_find(router, amy__span_of(name)) != vhost ||
        !amy__tls_choose(certs->list, certs->count, name, &choice)) {
        return 0;
    }
    return amy__tls_add(front->tls, name, &choice, err);
}

static int
stage_names(struct amy__front *front, const struct amy__router *router,
            const struct amy__vhost *vhost, const struct certs *certs,
            struct amy_error *err)
{
    const struct amy__site *site = vhost->site;
    int rc = stage_name(front, router, vhost, site->domain, certs, err);

    for (size_t i = 0; rc == 0 && site->aliases[i] != NULL; i++) {
        rc = stage_name(front, router, vhost, site->aliases[i], certs, err);
    }
    return rc;
}

/* One site's; who names nobody is told 421 over those of the first site. */
static int
stage_site(struct amy__front *front, const struct amy__router *router,
           const struct amy__vhost *vhost, const struct amy__bundle_site *from,
           bool first, struct amy_error *err)
{
    AMY_CLEANUP(drop_certs_p) struct certs certs = {.count = 0};
    struct amy__tls_choice choice;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < from->cert_count; i++) {
        rc = read_cert(&from->certs[i], &certs.list[i], err);
        certs.count += certs.list[i] != NULL;
    }
    if (rc == 0) {
        rc = stage_names(front, router, vhost, &certs, err);
    }
    if (rc == 0 && first &&
        amy__tls_choose(certs.list, certs.count, from->name, &choice)) {
        rc = amy__tls_set_default(front->tls, &choice, err);
    }
    return rc;
}

static int
stage_certs(struct amy__front *front, const struct amy__served *served,
            const struct amy__bundle *bundle, struct amy_error *err)
{
    bool first = true;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < served->vhost_count; i++) {
        const struct amy__bundle_site *from = &bundle->sites[i];

        rc = stage_site(front, served->router, served->vhosts[i], from, first,
                        err);
        first = first && from->cert_count == 0;
        if (rc < 0) {
            amy__err_prefix(err, "site '%s': ", from->name);
        }
    }
    return rc;
}

int
amy__front_set_tickets(struct amy__front *front, int fd, struct amy_error *err)
{
    AMY_CLEANUP(unmap_p) struct mapped keys = {0};
    int rc = map_bytes(fd, (size_t)48 * 64, &keys, err);

    return rc < 0 ? rc
                  : amy__tls_set_ticket_keys(front->tls, keys.data, keys.n / 48,
                                             err);
}

/* ---- a bundle ---- */

/* The claims of one kind; one that is taken already comes to nothing, and the
 * master has told so. */
static int
add_claims(const struct amy__served *served, int claim, struct amy_error *err)
{
    for (size_t i = 0; i < served->vhost_count; i++) {
        struct amy__vhost *vhost = served->vhosts[i];
        char *own[] = {vhost->site->domain, NULL};
        char **names = claim == 0 ? own : vhost->site->aliases;

        for (; *names != NULL; names++) {
            int rc = amy__names_claim(vhost->site, *names) != claim
                         ? 0
                         : amy__router_add(served->router, *names, vhost, err);

            if (rc < 0 && rc != AMY_EEXIST) {
                return rc;
            }
        }
    }
    return 0;
}

static int
add_names(const struct amy__served *served, struct amy_error *err)
{
    int rc = 0;

    for (int claim = 0; rc == 0 && claim < AMY__NAMES_CLAIMS; claim++) {
        rc = add_claims(served, claim, err);
    }
    return rc;
}

static size_t
count_names(const struct amy__served *served)
{
    size_t names = served->vhost_count;

    for (size_t i = 0; i < served->vhost_count; i++) {
        char **aliases = served->vhosts[i]->site->aliases;

        while (*aliases != NULL) {
            names++;
            aliases++;
        }
    }
    return names;
}

static int
build_vhosts(struct amy__front *front, struct amy__served *served,
             struct amy__bundle *bundle, struct amy_error *err)
{
    served->vhosts =
        amy__calloc(bundle->site_count + 1, sizeof(*served->vhosts));
    if (served->vhosts == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating sites");
    }
    for (size_t i = 0; i < bundle->site_count; i++) {
        struct amy__bundle_site *from = &bundle->sites[i];
        struct amy__vhost **vhost = &served->vhosts[served->vhost_count];
        int rc = make_vhost(front, from, vhost, err);

        if (rc < 0) {
            amy__err_prefix(err, "site '%s': ", from->name);
            return rc;
        }
        served->vhost_count++;
    }
    return 0;
}

static int
build(struct amy__front *front, struct amy__served *served,
      struct amy__bundle *bundle, struct amy_error *err)
{
    int rc = build_vhosts(front, served, bundle, err);

    if (rc == 0) {
        rc = amy__router_create(count_names(served), &served->router, err);
    }
    if (rc == 0) {
        rc = add_names(served, err);
    }
    return rc == 0 ? stage_certs(front, served, bundle, err) : rc;
}

static void
free_served(struct amy__served *served)
{
    amy__router_free(served->router);
    for (size_t i = 0; i < served->vhost_count; i++) {
        amy__vhost_unref(served->vhosts[i]);
    }
    amy__free(served->vhosts);
    amy__bundle_free(served->bundle);
    amy__free(served);
}

int
amy__served_create(struct amy__front *front, struct amy__bundle *bundle,
                   struct amy__served **ret_served, struct amy_error *err)
{
    struct amy__served *served = amy__calloc(1, sizeof(*served));
    int rc = 0;

    if (served == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a bundle");
    }
    rc = amy__tls_stage(front->tls, err);
    if (rc == 0) {
        rc = build(front, served, bundle, err);
        if (rc < 0) {
            amy__tls_abandon(front->tls);
        }
    }
    if (rc < 0) {
        free_served(served);
        forget_pools(front);
        return rc;
    }
    served->number = bundle->number;
    served->bundle = bundle;
    *ret_served = served;
    return 0;
}

void
amy__served_abandon(struct amy__front *front, struct amy__served *served)
{
    if (served != NULL) {
        amy__tls_abandon(front->tls);
        free_served(served);
        forget_pools(front);
    }
}

bool
amy__domain_set_log(struct amy__domain *domain, const char *log,
                    uint64_t serial, int fd)
{
    bool is_access = strcmp(log, "access.log") == 0;
    uint64_t *now = is_access ? &domain->log_serial : &domain->errors_serial;

    if (fd < 0 || serial < *now) {
        return false; /* a later one has come already */
    }
    *now = serial;
    if (is_access) {
        amy__access_log_set_fd(domain->log, fd);
    } else {
        amy__error_log_set_fd(domain->errors, fd);
    }
    return true;
}

/* A site that was away may have got another index meanwhile. */
static void
set_locks(const struct amy__front *front, struct amy__domain *domain,
          uint32_t index)
{
    struct amy__site_locks *locks =
        front->locks == NULL ? NULL : &front->locks[index % AMY__SITES_MAX];
    struct amy_error err = AMY_ERROR_INIT;

    if (locks != NULL &&
        (amy__access_log_set_lock(domain->log, &locks->access, &err) < 0 ||
         amy__error_log_set_lock(domain->errors, &locks->error, &err) < 0)) {
        amy__log(&front->log, AMY_LOG_ERROR,
                 "logs are written without a lock: %s site=%s", err.msg,
                 domain->name);
    }
}

/* What of a site stays over bundles gets its new values. */
static void
refresh_domain(struct amy__front *front, struct amy__vhost *vhost,
               struct amy__bundle_site *from, bool logs_stdout)
{
    struct amy__domain *domain = vhost->domain;
    struct amy__page *page = NULL;
    struct amy_error err = AMY_ERROR_INIT;

    if (logs_stdout &&
        (amy__access_log_set_json(domain->log, domain->name, &err) < 0 ||
         amy__error_log_set_json(domain->errors, domain->name, &err) < 0)) {
        amy__log(&front->log, AMY_LOG_ERROR, "logs: %s site=%s", err.msg,
                 domain->name);
    }
    set_locks(front, domain, from->index);
    if (amy__domain_set_log(domain, "access.log", from->access_serial,
                            from->access_fd)) {
        from->access_fd = -1;
    }
    if (amy__domain_set_log(domain, "error.log", from->error_serial,
                            from->error_fd)) {
        from->error_fd = -1;
    }
    if (from->run_fd >= 0) {
        amy__close(&domain->run_fd);
        domain->run_fd = from->run_fd;
        from->run_fd = -1;
    }
    if (from->serial > domain->gate_serial &&
        amy__page_read(from->page_fd, amy__page_maintenance(), &page, &err) ==
            0) {
        amy__domain_set_page(domain, page, from->serial);
    }
    if (amy__page_read(from->down_fd, amy__page_down(), &page, &err) == 0) {
        amy__page_unref(domain->down_page);
        domain->down_page = page;
    }
    if (err.code != 0) {
        amy__log(&front->log, AMY_LOG_WARN,
                 "a page could not be read, the former one stays site=%s "
                 "error=\"%s\"",
                 domain->name, err.msg);
    }
    for (size_t i = 0; i < domain->pool_count; i++) {
        amy__pool_lane_set_limits(domain->pools[i], vhost->site->queue_length,
                                  vhost->site->queue_ms);
    }
}

void
amy__served_commit(struct amy__front *front, struct amy__served *served)
{
    struct amy__router *router = front->router;
    struct amy__vhost **vhosts = front->vhosts;
    size_t count = front->vhost_count;
    struct amy__bundle *bundle = served->bundle;

    amy__tls_commit(front->tls);
    front->router = served->router;
    front->vhosts = served->vhosts;
    front->vhost_count = served->vhost_count;
    front->https_port = bundle->https_port;
    amy__free(front->trusted);
    front->trusted = bundle->trusted;
    front->trusted_count = bundle->trusted_count;
    bundle->trusted = NULL;
    bundle->trusted_count = 0;
    for (size_t i = 0; i < front->vhost_count; i++) {
        refresh_domain(front, front->vhosts[i], &bundle->sites[i],
                       bundle->logs_stdout);
    }
    /* The former tables; exchanges under way keep their site. */
    *served = (struct amy__served){.router = router,
                                   .vhosts = vhosts,
                                   .vhost_count = count,
                                   .bundle = bundle};
    free_served(served);
    forget_pools(front);
}

void
amy__front_forget_all(struct amy__front *front)
{
    amy__router_free(front->router);
    for (size_t i = 0; i < front->vhost_count; i++) {
        amy__vhost_unref(front->vhosts[i]);
    }
    amy__free(front->vhosts);
    for (size_t i = 0; i < front->domain_count; i++) {
        free_domain(front->domains[i]);
    }
    amy__free(front->domains);
    amy__free(front->trusted);
}
