/* Certificates in the master: kept, put into bundles, told of. */
/* Not for what is good enough to be served: front/lineage.c. */
#include "core/clock.h"
#include "core/error.h"
#include "core/log.h"
#include "front/master.h"

#include <string.h>

#define AGAIN_MS 10000

/* ---- what is told ---- */

static void
describe_served(struct amy__json *json, const struct amy__tls_cert *cert)
{
    struct amy__tls_cert_info info = {0};
    struct amy__json *names = amy__json_array();
    struct amy__span rest = {0};
    struct amy__span name = {0};
    char time[25] = "";

    amy__tls_cert_info(cert, &info);
    (void)amy__json_set(
        json, "not_after",
        amy__json_text(amy__format_time(info.not_after_ms, time)));
    rest = amy__span_of(info.names[0] == '\0' ? NULL : info.names);
    while (amy__span_split(&rest, ',', &name)) {
        (void)amy__json_add(names, amy__json_span(name));
    }
    (void)amy__json_set(json, "names", names);
    (void)amy__json_set(json, "self_signed", amy__json_bool(info.self_signed));
    (void)amy__json_set(json, "issuer", amy__json_text(info.issuer));
    (void)amy__json_set(json, "fingerprint", amy__json_text(info.fingerprint));
    (void)amy__json_set(json, "key_type", amy__json_text(info.key_type));
}

/* Memory that runs out here costs a line of status, no more. */
static struct amy__json *
describe(const struct amy__cert_view *view)
{
    struct amy__json *json = amy__json_object();
    char since[25] = "";

    (void)amy__json_set(json, "name", amy__json_text(view->name));
    if (view->borrow_cert != NULL) {
        describe_served(json, view->borrow_cert);
    }
    if (view->error[0] != '\0') {
        (void)amy__json_set(json, "error", amy__json_text(view->error));
        (void)amy__json_set(json, "error_file", amy__json_text(view->file));
        (void)amy__json_set(
            json, "error_since",
            amy__json_text(amy__format_time(view->error_wall_ms, since)));
    }
    return json;
}

struct amy__json *
amy__front_certs_json(const struct amy_front *front, const char *domain)
{
    struct amy__json *json = amy__json_array();
    struct amy__cert_view view;

    for (size_t i = 0; amy__certs_at(front->certs, domain, i, &view); i++) {
        (void)amy__json_add(json, describe(&view));
    }
    return json;
}

/* Names that HTTPS does not work for, though it does for others of the site. */
struct amy__json *
amy__front_uncovered_json(const struct amy_front *front, const char *domain)
{
    struct amy__json *json = amy__json_array();
    const char *name = NULL;
    size_t at = 0;

    while ((name = amy__certs_uncovered(front->certs, domain, &at)) != NULL) {
        (void)amy__json_add(json, amy__json_text(name));
    }
    return json;
}

/* What a look from outside has found; NULL: none was taken yet. */
struct amy__json *
amy__front_served_json(const struct amy_front *front, const char *domain)
{
    struct amy__prober_view view;
    struct amy__json *json = NULL;
    char time[25] = "";

    if (!amy__prober_site(front->prober, domain, &view)) {
        return amy__json_null();
    }
    json = amy__json_object();
    (void)amy__json_set(
        json, "checked",
        amy__json_text(view.checked_wall_ms == 0
                           ? NULL
                           : amy__format_time(view.checked_wall_ms, time)));
    (void)amy__json_set(
        json, "error",
        amy__json_text(view.error[0] == '\0' ? NULL : view.error));
    return json;
}

/* ---- bundles ---- */

int
amy__front_certs_fill(struct amy_front *front, const struct amy__site *spec,
                      struct amy__bundle_site *one, struct amy_error *err)
{
    int rc = 0;

    if (front->settings->https_count == 0) {
        return 0;
    }
    rc = amy__certs_read(front->certs, spec, err);
    return rc < 0 ? rc : amy__certs_fill(front->certs, spec->domain, one, err);
}

/* All sites as they are served now, but for their certificates. */
static int
fill_version(struct amy_front *front, struct amy__front_version *version,
             struct amy_error *err)
{
    const struct amy__front_version *current = front->current;
    struct amy__bundle *bundle = version->bundle;

    for (size_t i = 0; i < current->bundle->site_count; i++) {
        const struct amy__bundle_site *from = &current->bundle->sites[i];
        struct amy__bundle_site *to = &bundle->sites[i];
        struct amy__front_site *site = amy__front_site(front, from->name);
        int rc = amy__bundle_site_copy(from, to, err);

        version->sites[i] = amy__site_ref(current->sites[i]);
        bundle->site_count++;
        if (rc == 0) {
            rc = amy__certs_fill(front->certs, from->name, to, err);
        }
        if (rc < 0) {
            return rc;
        }
        if (site != NULL) {
            site->listed = true; /* a reload that came to nothing may have
                                    missed it */
        }
    }
    return 0;
}

int
amy__front_stage_certs(struct amy_front *front, struct amy_error *err)
{
    struct amy__front_version *version = NULL;
    int rc = amy__front_version_create(
        front, front->current->bundle->site_count, &version, err);

    if (rc < 0) {
        return rc;
    }
    version->certs_only = true;
    rc = fill_version(front, version, err);
    if (rc < 0) {
        amy__front_version_free(version);
        return rc;
    }
    front->staged = version;
    return 0;
}

void
amy__front_certs_again(struct amy_front *front)
{
    if (amy__timer_arm(front->certs_timer, AGAIN_MS, NULL) < 0) {
        amy__log(&front->log, AMY_LOG_ERROR,
                 "out of memory: certificates wait for the next change");
    }
}

static void
on_change(void *user)
{
    struct amy_front *front = user;

    front->certs_changed = true;
    amy__front_offer(front);
}

int
amy__front_certs_create(struct amy_front *front, struct amy_error *err)
{
    const struct amy__certs_options opts = {
        .base = front->opts.base,
        .live = front->settings->certificates,
        .borrow_clock = front->opts.borrow_clock,
        .log = &front->log,
        .on_change = on_change,
        .user = front,
    };
    int rc = 0;

    if (opts.base != NULL) { /* NULL: amy_front_check() */
        rc = amy__timer_create(opts.base, on_change, front, &front->certs_timer,
                               err);
    }
    return rc < 0 ? rc : amy__certs_create(&opts, &front->certs, err);
}
