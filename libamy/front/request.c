/* From a request's head to whoever answers it: site, gate, method, redirect,
 * route; and what is left when it is over. Not for the answers of workers and
 * files: proxy.c, static.c. */
#include "core/clock.h"
#include "front/access.h"
#include "front/state.h"
#include "front/users.h"
#include "net/tls.h"

#include <stdio.h>
#include <string.h>

#define CHALLENGES "/.well-known/acme-challenge/"
#define METHODS "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
#define MAINTENANCE "/maintenance/"
#define ROBOTS "User-agent: *\nDisallow: /\n"
#define REFUSED_PER_S 10U
/* When the application does not answer: come back soon. */
#define DOWN_RETRY_S 5

struct amy__arrival
amy__visit_arrival(const struct amy__visit *v)
{
    return (struct amy__arrival){
        .peer = amy__exchange_peer(v->x),
        .trusted = v->front->trusted,
        .trusted_count = v->front->trusted_count,
        .port = (uint16_t)amy__exchange_tag(v->x),
        .tls = amy__exchange_is_tls(v->x),
    };
}

/* ---- answers of our own ---- */

void
amy__visit_page(struct amy__visit *v, unsigned status, struct amy__page *page,
                int64_t retry_after_s)
{
    struct amy__answer_head *head = &v->front->answer;
    struct amy__page_text text;
    struct amy__span body = amy__page_head(
        head, status, page, amy__exchange_head(v->x), retry_after_s, &text);

    v->page = amy__page_ref(page);
    v->closed = true;
    amy__exchange_reply(v->x, head, body, body.p == page->bytes);
}

void
amy__visit_refuse_with(struct amy__visit *v, unsigned status,
                       struct amy__span name, struct amy__span value)
{
    struct amy__answer_head *head = &v->front->answer;
    char body[AMY__REFUSAL_SIZE];
    size_t n = amy__page_refusal(status, body);

    amy__answer_start(head, status);
    amy__answer_field(head, AMY_SPAN("Content-Type"),
                      AMY_SPAN("text/html; charset=utf-8"));
    if (name.n > 0) {
        amy__answer_field(head, name, value);
    }
    if (v->vhost != NULL && v->vhost->site->closed) {
        amy__answer_field(head, AMY_SPAN("Cache-Control"),
                          AMY_SPAN("no-store"));
    }
    v->closed = true;
    amy__exchange_reply(v->x, head, (struct amy__span){body, n}, false);
}

void
amy__visit_refuse(struct amy__visit *v, unsigned status, const char *allow)
{
    amy__visit_refuse_with(
        v, status, allow == NULL ? (struct amy__span){0} : AMY_SPAN("Allow"),
        amy__span_of(allow));
}

void
amy__visit_blame(struct amy__visit *v, unsigned status, const char *what)
{
    const struct amy__request_head *head = amy__exchange_head(v->x);
    char target[512];

    (void)amy__escape(head->target, target, sizeof(target));
    amy__error_log_add(v->vhost->domain->errors, amy__wall_ms(v->front->clock),
                       "status=%u client=%s id=%s worker=%s target=\"%s\" "
                       "error=\"%s\"%s",
                       status, v->client, v->request_id,
                       v->job.worker[0] == '\0' ? "-" : v->job.worker, target,
                       what, amy__site_tag(v->vhost->site));
}

void
amy__visit_fail(struct amy__visit *v, unsigned status, const char *what)
{
    amy__visit_blame(v, status, what);
    amy__visit_page(v, status, v->vhost->domain->down_page, DOWN_RETRY_S);
}

/* ---- which site ---- */

/* Load balancers ask for health by address. */
static struct amy__vhost *
find_by_health(const struct amy__front *front, struct amy__span path)
{
    for (size_t i = 0; i < front->vhost_count; i++) {
        const struct amy__site *site = front->vhosts[i]->site;

        if (site->health_any_host &&
            amy__span_eq(amy__span_of(site->health_path), path)) {
            return front->vhosts[i];
        }
    }
    return NULL;
}

static struct amy__vhost *
find_vhost(const struct amy__front *front, struct amy__exchange *x,
           const struct amy__request_head *head)
{
    struct amy__vhost *vhost = NULL;
    struct amy__span sni = amy__exchange_sni(x);

    vhost = amy__router_find(front->router, head->host);
    if (vhost == NULL) {
        return find_by_health(front, head->path);
    }
    /* A connection made for another certificate's site (RFC 9110 7.4). */
    if (sni.n > 0 && !amy__span_eq(sni, head->host) &&
        !amy__tls_same_cert(front->tls, sni, head->host)) {
        return NULL;
    }
    return vhost;
}

/* ---- the gate ---- */

static bool
is_listed(const char *const *paths, struct amy__span path)
{
    for (size_t i = 0; paths[i] != NULL; i++) {
        if (amy__span_eq(amy__span_of(paths[i]), path)) {
            return true;
        }
    }
    return false;
}

static bool
passes_gate(const struct amy__visit *v, const struct amy__request_head *head,
            const struct amy__address *client)
{
    const struct amy__site *site = v->vhost->site;

    if (amy__span_starts(head->path, AMY_SPAN(CHALLENGES)) ||
        is_listed((const char *const *)site->gate_except, head->path)) {
        return true;
    }
    for (size_t i = 0; i < site->gate_allow_count; i++) {
        if (amy__cidr_contains(&site->gate_allow[i], client)) {
            return true;
        }
    }
    return false;
}

/* True: the gate has answered. */
static bool
gate(struct amy__visit *v, const struct amy__request_head *head,
     const struct amy__address *client)
{
    uint64_t word = amy__gate_word(v->front->words, v->vhost->word);
    struct amy__domain *domain = v->vhost->domain;

    if (word == 0 || passes_gate(v, head, client)) {
        return false;
    }
    v->front->figures.gated++;
    if (amy__span_starts(head->path, AMY_SPAN(MAINTENANCE))) {
        size_t skip = sizeof(MAINTENANCE) - 1;

        amy__static_serve(
            v, v->vhost->dir_fd, "maintenance",
            (struct amy__span){head->path.p + skip, head->path.n - skip});
        return true;
    }
    /* A page that is newer than the word is about to be the one. */
    amy__visit_page(v, 503,
                    domain->gate_serial >= word ? domain->gate_page
                                                : v->front->built_in_gate,
                    v->vhost->site->retry_after_s);
    return true;
}

/* ---- plain HTTP ---- */

/* A trusted proxy in front of us may have ended TLS. */
static bool
is_secure(const struct amy__visit *v, const struct amy__request_head *head)
{
    struct amy__arrival arrival = amy__visit_arrival(v);

    if (arrival.tls) {
        return true;
    }
    for (size_t i = 0; i < head->field_count; i++) {
        const struct amy__field *field = &head->fields[i];

        if (field->id == AMY__FIELD_X_FORWARDED &&
            amy__span_eq_nocase(field->name, AMY_SPAN("X-Forwarded-Proto"))) {
            /* The first, as it is passed on. */
            return amy__span_eq_nocase(field->value, AMY_SPAN("https")) &&
                   amy__arrival_trusted(&arrival);
        }
    }
    return false;
}

static void
redirect(struct amy__visit *v, const struct amy__request_head *head)
{
    struct amy__answer_head *answer = &v->front->answer;
    bool safe =
        head->method == AMY__METHOD_GET || head->method == AMY__METHOD_HEAD;
    struct amy__forward_text *text = &v->front->text;
    char port[8] = "";
    int n = 0;

    if (v->front->https_port != 443) {
        (void)snprintf(port, sizeof(port), ":%u", v->front->https_port);
    }
    n = snprintf(text->text, sizeof(text->text), "https://%.*s%s%.*s",
                 AMY_SPAN_ARG(head->host), port, AMY_SPAN_ARG(head->target));
    if (n < 0 || (size_t)n >= sizeof(text->text)) {
        amy__visit_refuse(v, 414, NULL);
        return;
    }
    /* 308 keeps the method where it is more than a look. */
    amy__answer_start(answer, safe ? 301 : 308);
    amy__answer_field(answer, AMY_SPAN("Location"),
                      (struct amy__span){text->text, (size_t)n});
    v->closed = true;
    amy__exchange_reply(v->x, answer, (struct amy__span){0}, false);
}

/* Is a password asked for? */
static bool
is_asked(const struct amy__site *site, const struct amy__request_head *head,
         const struct amy__address *client)
{
    return site->access_users != NULL &&
           !amy__access_excepts(site, head->method, head->path) &&
           !amy__access_allows(site, client);
}

/* Some paths, and some who connect, are served over plain HTTP nonetheless. Who
 * connects, and not whom they speak for: what a field says decides nothing. A
 * path where a password is asked for is none of them. */
static bool
may_be_plain(const struct amy__visit *v, const struct amy__request_head *head,
             const struct amy__address *client)
{
    const struct amy__site *site = v->vhost->site;
    const struct amy__address *peer = amy__exchange_peer(v->x);

    for (size_t i = 0; i < site->http_peer_count; i++) {
        if (amy__cidr_contains(&site->http_peers[i], peer)) {
            return true;
        }
    }
    return !is_asked(site, head, client) &&
           (is_listed((const char *const *)site->http_except, head->path) ||
            (site->health_any_host &&
             amy__span_eq(amy__span_of(site->health_path), head->path)));
}

/* True: answered, since plain HTTP is not for this site. */
static bool
secure(struct amy__visit *v, const struct amy__request_head *head,
       const struct amy__address *client)
{
    const struct amy__site *site = v->vhost->site;

    if (site->http == AMY__HTTP_SERVE || v->front->https_port == 0 ||
        is_secure(v, head) || may_be_plain(v, head, client)) {
        return false;
    }
    if (site->http == AMY__HTTP_OFF) {
        amy__visit_refuse(v, 421, NULL);
    } else {
        redirect(v, head);
    }
    return true;
}

/* ---- closed sites ---- */

/* Of a test site nothing is to be found by searching. The application is not
 * asked: its own file is production's. */
static bool
tell_robots(struct amy__visit *v, const struct amy__request_head *head)
{
    struct amy__answer_head *answer = &v->front->answer;

    if (!v->vhost->site->stage_test ||
        (head->method != AMY__METHOD_GET && head->method != AMY__METHOD_HEAD) ||
        !amy__span_eq(head->path, AMY_SPAN("/robots.txt"))) {
        return false;
    }
    amy__answer_start(answer, 200);
    amy__answer_field(answer, AMY_SPAN("Content-Type"), AMY_SPAN("text/plain"));
    v->closed = true;
    amy__exchange_reply(v->x, answer, AMY_SPAN(ROBOTS), true);
    return true;
}

/* Before the gate: strangers are not even told that the site is being worked
 * on. After the redirect: nobody is asked for a password in the clear where
 * HTTPS is to be had. True: it goes no further now. */
static bool
keep_out(struct amy__visit *v, const struct amy__request_head *head,
         const struct amy__address *client)
{
    return v->vhost->site->closed &&
           !amy__span_starts(head->path, AMY_SPAN(CHALLENGES)) &&
           (tell_robots(v, head) || secure(v, head, client) ||
            amy__door_keeps(v, head, client));
}

/* ---- the way of a request ---- */

/* OPTIONS * asks about the server and not about a path (RFC 9110 9.3.7). */
static void
tell_methods(struct amy__visit *v)
{
    struct amy__answer_head *answer = &v->front->answer;

    amy__answer_start(answer, 204);
    amy__answer_field(answer, AMY_SPAN("Allow"), AMY_SPAN(METHODS));
    v->closed = true;
    if (amy__exchange_begin(v->x, answer) < 0) {
        amy__exchange_abort(v->x);
        return;
    }
    amy__exchange_end(v->x);
}

static void
go_route(struct amy__visit *v, const struct amy__request_head *head)
{
    if (amy__span_eq(head->target, AMY_SPAN("*"))) {
        tell_methods(v);
        return;
    }
    v->route = amy__route_find(v->vhost->site, head->path);
    if (v->route == NULL || v->route->internal) {
        amy__visit_refuse(v, 404, NULL);
    } else if (v->route->kind == AMY__ROUTE_FILES) {
        amy__static_serve(v, v->vhost->dir_fd, v->route->files,
                          amy__route_rest(v->route, head->path));
    } else {
        amy__proxy_start(v);
    }
}

static void
go_site(struct amy__visit *v, const struct amy__request_head *head,
        const struct amy__address *client)
{
    if (gate(v, head, client)) {
        return;
    }
    if (head->refuse == 405) {
        amy__visit_refuse(v, 405, METHODS);
    } else if (head->refuse != 0) {
        amy__visit_refuse(v, head->refuse, NULL);
    } else if (amy__span_starts(head->path, AMY_SPAN(CHALLENGES))) {
        /* docs/decisions: acme/ beneath the site, laid out as a webroot. */
        amy__static_serve(
            v, v->vhost->dir_fd, "acme",
            (struct amy__span){head->path.p + 1, head->path.n - 1});
    } else if (!secure(v, head, client)) {
        go_route(v, head);
    }
}

void
amy__visit_admit(struct amy__visit *v)
{
    const struct amy__request_head *head = amy__exchange_head(v->x);
    struct amy__arrival arrival = amy__visit_arrival(v);
    struct amy__address client;

    amy__client_resolve(&arrival, head, v->client, &client);
    go_site(v, head, &client);
}

static void
on_request(struct amy__exchange *x, const struct amy__request_head *head,
           void *user)
{
    struct amy__front *front = user;
    struct amy__visit *v = amy__visit_of(x);
    struct amy__vhost *vhost = find_vhost(front, x, head);
    struct amy__arrival arrival;
    struct amy__address client;

    v->front = front;
    v->x = x;
    arrival = amy__visit_arrival(v);
    amy__client_resolve(&arrival, head, v->client, &client);
    amy__request_id(&front->ids, &arrival, head, v->request_id);
    if (vhost == NULL && head->method == AMY__METHOD_CONNECT) {
        /* Its target is no site of ours, and need not be (RFC 9110 9.3.6). */
        amy__visit_refuse(v, 405, METHODS);
        return;
    }
    if (vhost == NULL) {
        front->figures.misdirected++;
        amy__visit_refuse(v, 421, NULL);
        return;
    }
    v->vhost = amy__vhost_ref(vhost);
    vhost->domain->requests++;
    amy__exchange_limit_body(x, vhost->site->body_bytes);
    if (!keep_out(v, head, &client)) {
        go_site(v, head, &client);
    }
}

static void
on_body(struct amy__exchange *x, void *user)
{
    struct amy__visit *v = amy__visit_of(x);

    (void)user;
    if (v->way == AMY__WAY_PROXY) {
        amy__proxy_on_body(v);
    } else if (v->way == AMY__WAY_DOOR) {
        amy__door_on_body(v);
    }
}

static void
on_room(struct amy__exchange *x, void *user)
{
    struct amy__visit *v = amy__visit_of(x);

    (void)user;
    if (v->way == AMY__WAY_PROXY) {
        amy__proxy_on_room(v);
    } else if (v->parts != NULL) {
        amy__parts_on_room(v);
    }
}

static void
on_gone(struct amy__exchange *x, void *user)
{
    struct amy__visit *v = amy__visit_of(x);

    (void)user;
    if (v->way == AMY__WAY_PROXY) {
        amy__proxy_on_gone(v);
    } else if (v->way == AMY__WAY_DOOR) {
        amy__door_leave(v);
    } else if (!v->closed) {
        v->closed = true;
        amy__exchange_abort(x);
    }
}

static void
on_answer(struct amy__exchange *x, struct amy__answer_head *head, void *user)
{
    struct amy__visit *v = amy__visit_of(x);

    (void)user;
    if (v->vhost != NULL && v->vhost->site->closed) {
        amy__door_dress(v, head);
    }
}

/* ---- when it is over ---- */

static struct amy__span
value_of(const struct amy__request_head *head, enum amy__field_id id)
{
    const struct amy__field *field =
        amy__field_find(head->fields, head->field_count, id);

    return field == NULL ? (struct amy__span){0} : field->value;
}

/* What a client that left without an answer is logged with, as nginx does. */
#define STATUS_GONE 499U

static void
log_line(struct amy__visit *v)
{
    const struct amy__request_head *head = amy__exchange_head(v->x);
    const struct amy__exchange_times *times = amy__exchange_times(v->x);
    unsigned status = amy__exchange_status(v->x);
    struct amy__access_line line = {
        .client = v->client,
        .user = v->as == NULL || v->way == AMY__WAY_DOOR ? "" : v->as->name,
        .wall_ms = amy__wall_ms(v->front->clock),
        .method = head->method_text,
        .target = head->target,
        .version_major = head->version_major,
        .version_minor = head->version_minor,
        .status = status == 0 ? STATUS_GONE : status,
        .sent = amy__exchange_sent(v->x),
        .referer = value_of(head, AMY__FIELD_REFERER),
        .agent = value_of(head, AMY__FIELD_USER_AGENT),
        .total_us = times->end_us - times->start_us,
        .queued_us =
            v->job.seated_us > 0 ? v->job.seated_us - v->job.entered_us : -1,
        .request_id = v->request_id,
        .worker = v->job.worker,
        .stage_test = v->vhost->site->stage_test,
    };

    amy__access_log_add(v->vhost->domain->log, &line);
    v->vhost->domain->by_class[status / 100 < 6 ? status / 100 : 0]++;
}

static void
on_done(struct amy__exchange *x, void *user)
{
    struct amy__visit *v = amy__visit_of(x);

    (void)user;
    if (v->vhost == NULL) {
        return;
    }
    log_line(v);
    if (v->way == AMY__WAY_PROXY) {
        amy__proxy_clear(v);
    }
    amy__page_unref(v->page);
    amy__parts_free(v->parts);
    amy__file_unref(v->file);
    amy__vhost_unref(v->vhost);
}

static void
on_refused(const struct amy__address *peer, unsigned status, const char *reason,
           void *user)
{
    struct amy__front *front = user;
    char host[AMY__CLIENT_MAX] = "";
    uint32_t swallowed = 0;

    if (!amy__log_allow(&front->refused_limit, REFUSED_PER_S, 1000,
                        amy__mono_ms(front->clock), &swallowed)) {
        return;
    }
    (void)amy__address_host(peer, host, sizeof(host));
    amy__log(&front->log, AMY_LOG_INFO,
             "refused client=%s status=%u reason=\"%s\" left_out=%u", host,
             status, reason, swallowed);
}

const struct amy__server_handler amy__front_handler = {
    .on_request = on_request,
    .on_body = on_body,
    .on_room = on_room,
    .on_gone = on_gone,
    .on_tunnel = amy__tunnel_from_client,
    .on_tunnel_end = amy__tunnel_client_over,
    .on_answer = on_answer,
    .on_done = on_done,
    .on_refused = on_refused,
};
