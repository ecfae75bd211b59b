/* What a front process tells its master of itself. */
/* Not for adding up what all of them say: master_status.c. */
#include "core/json.h"
#include "front/served.h"
#include "front/state.h"

static void
set_number(struct amy__json *json, const char *key, uint64_t value)
{
    (void)amy__json_set(json, key, amy__json_int((int64_t)value));
}

/* Who does not take connections, as this process sees it. */
static struct amy__json *
servers_json(const struct amy__pool_lane *pool)
{
    struct amy__json *servers = amy__json_object();
    struct amy__pool_lane_server server;

    for (size_t i = 0; amy__pool_lane_server(pool, i, &server); i++) {
        set_number(servers, server.name, server.refusals);
    }
    return servers;
}

static struct amy__json *
pools_json(const struct amy__domain *domain)
{
    struct amy__json *pools = amy__json_array();

    for (size_t i = 0; i < domain->pool_count; i++) {
        struct amy__json *pool = amy__json_object();
        struct amy__pool_lane_figures figures;

        amy__pool_lane_figures(domain->pools[i], &figures);
        (void)amy__json_set(
            pool, "name",
            amy__json_text(amy__pool_lane_name(domain->pools[i])));
        set_number(pool, "waiting", figures.waiting);
        set_number(pool, "oldest_ms", (uint64_t)figures.oldest_ms);
        set_number(pool, "workers", figures.workers);
        set_number(pool, "tunnels", figures.tunnels);
        (void)amy__json_set(pool, "refusals", servers_json(domain->pools[i]));
        (void)amy__json_add(pools, pool);
    }
    return pools;
}

static struct amy__json *
sites_json(const struct amy__front *front)
{
    struct amy__json *sites = amy__json_array();

    for (size_t i = 0; i < front->domain_count; i++) {
        const struct amy__domain *domain = front->domains[i];
        struct amy__json *site = amy__json_object();

        (void)amy__json_set(site, "name", amy__json_text(domain->name));
        set_number(site, "requests", domain->requests);
        set_number(site, "s2xx", domain->by_class[2]);
        set_number(site, "s3xx", domain->by_class[3]);
        set_number(site, "s4xx", domain->by_class[4]);
        set_number(site, "s5xx", domain->by_class[5]);
        set_number(site, "lines_lost", amy__access_log_lost(domain->log));
        (void)amy__json_set(site, "pools", pools_json(domain));
        (void)amy__json_add(sites, site);
    }
    return sites;
}

struct amy__json *
amy__front_figures_json(const struct amy__front *front, int64_t ask)
{
    struct amy__json *json = amy__json_object();
    struct amy__server_figures figures = {0};

    if (front->server != NULL) {
        amy__server_figures(front->server, &figures);
    }
    (void)amy__json_set(json, "ask", amy__json_int(ask));
    set_number(json, "connections", figures.open);
    set_number(json, "idle", figures.idle);
    set_number(json, "tunnels", figures.tunnels);
    set_number(json, "requests", figures.requests);
    set_number(json, "refused", figures.refused);
    set_number(json, "shed", figures.shed);
    set_number(json, "handshakes", figures.handshakes);
    set_number(json, "handshake_failures", figures.handshake_failures);
    set_number(json, "bytes_in", figures.bytes_in);
    set_number(json, "bytes_out", figures.bytes_out);
    set_number(json, "misdirected", front->figures.misdirected);
    set_number(json, "gated", front->figures.gated);
    (void)amy__json_set(json, "sites", sites_json(front));
    return json;
}
