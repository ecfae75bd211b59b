/* Judges certificates and who renews them. */
/* Not for reading either: certs.c. */
#include "doctor/judge.h"
#include "doctor/text.h"

#include <stdio.h>

#define DAY_MS INT64_C(86400000)

/* A renewer begins when a third of the time is left. */
void
amy__judge_cert(const struct amy__cert_facts *facts,
                struct amy__findings *findings)
{
    int64_t lifetime = facts->not_after_ms - facts->not_before_ms;
    int64_t left = facts->not_after_ms - facts->now_ms;

    if (left <= 0) {
        amy__finding_is(findings, "certificate %s has expired", facts->name);
    } else {
        amy__finding_is(findings,
                        "certificate %s expires in %lld days, and should have "
                        "been renewed by now",
                        facts->name, (long long)(left / DAY_MS));
    }
    if (left < lifetime / 4) {
        amy__finding_tell(
            findings,
            left < lifetime / 10 ? AMY_DOCTOR_ERROR : AMY_DOCTOR_WARNING,
            "cert-expiry", "certbot renew --cert-name %s", facts->name);
    }
    if (facts->chain_error != NULL) {
        amy__finding_is(findings,
                        "certificate %s is believed by no client that trusts "
                        "whom this host trusts: %s",
                        facts->name, facts->chain_error);
        amy__finding_tell(findings, AMY_DOCTOR_WARNING, "cert-chain",
                          "put the whole chain into it (fullchain.pem, not "
                          "cert.pem)");
    }
}

/* ---- who renews ---- */

bool
amy__hook_is_leftover(struct amy__span hook)
{
    return amy__text_holds(hook, "nginx") || amy__text_holds(hook, "apache") ||
           amy__text_holds(hook, "httpd");
}

static bool
is_server(struct amy__span plugin)
{
    return amy__span_eq(plugin, AMY_SPAN("nginx")) ||
           amy__span_eq(plugin, AMY_SPAN("apache"));
}

static void
advise(const struct amy__renewal_facts *facts, struct amy__findings *findings,
       enum amy_doctor_severity severity, const char *check)
{
    amy__finding_tell(findings, severity, check,
                      "certbot certonly --force-renewal --cert-name %s "
                      "--webroot -w %s -d %s (and its other names)",
                      facts->name, facts->webroot, facts->domain);
}

/* "[[webroot_map]]" has a line for each name; before that it is a list. */
static void
judge_webroot(const struct amy__renewal_facts *facts,
              struct amy__findings *findings)
{
    struct amy__span path = amy__text_value(facts->conf, facts->domain);

    if (path.p == NULL) {
        path = amy__text_value(facts->conf, "webroot_path");
        while (path.n > 0 && path.p[path.n - 1] == ',') {
            path.n--;
        }
    }
    while (path.n > 1 && path.p[path.n - 1] == '/') {
        path.n--;
    }
    if (!amy__span_eq(path, amy__span_of(facts->webroot))) {
        amy__finding_is(findings,
                        "%s: certbot puts challenges into " AMY_SPAN_FMT
                        ", and they are served from %s",
                        facts->path, AMY_SPAN_ARG(path), facts->webroot);
        advise(facts, findings, AMY_DOCTOR_ERROR, "renewal-webroot");
    }
}

static void
judge_authenticator(const struct amy__renewal_facts *facts,
                    struct amy__findings *findings)
{
    struct amy__span by = amy__text_value(facts->conf, "authenticator");

    if (is_server(by)) {
        amy__finding_is(findings,
                        "%s: certbot renews through " AMY_SPAN_FMT
                        ", and fails when that is gone",
                        facts->path, AMY_SPAN_ARG(by));
        advise(facts, findings, AMY_DOCTOR_ERROR, "renewal-authenticator");
    } else if (amy__span_eq(by, AMY_SPAN("standalone"))) {
        amy__finding_is(findings,
                        "%s: certbot wants port 80 for itself, which amy-front "
                        "has",
                        facts->path);
        advise(facts, findings, AMY_DOCTOR_ERROR, "renewal-authenticator");
    } else if (amy__span_eq(by, AMY_SPAN("webroot"))) {
        judge_webroot(facts, findings);
    } else if (amy__span_eq(by, AMY_SPAN("manual")) &&
               amy__text_value(facts->conf, "manual_auth_hook").n == 0) {
        amy__finding_is(findings, "%s: it is renewed by hand", facts->path);
        advise(facts, findings, AMY_DOCTOR_WARNING, "renewal-manual");
    }
}

void
amy__judge_renewal(const struct amy__renewal_facts *facts,
                   struct amy__findings *findings)
{
    static const char *const hooks[] = {"pre_hook", "post_hook", "renew_hook"};
    struct amy__span installer = amy__text_value(facts->conf, "installer");

    judge_authenticator(facts, findings);
    if (is_server(installer)) {
        amy__finding_is(findings,
                        "%s: certbot writes what it renewed into "
                        "the configuration of " AMY_SPAN_FMT,
                        facts->path, AMY_SPAN_ARG(installer));
        amy__finding_tell(findings, AMY_DOCTOR_ERROR, "renewal-installer",
                          "take the line `installer = " AMY_SPAN_FMT
                          "` out of it",
                          AMY_SPAN_ARG(installer));
    }
    for (size_t i = 0; i < sizeof(hooks) / sizeof(hooks[0]); i++) {
        struct amy__span hook = amy__text_value(facts->conf, hooks[i]);

        if (amy__hook_is_leftover(hook)) {
            amy__finding_is(findings, "%s: %s = " AMY_SPAN_FMT, facts->path,
                            hooks[i], AMY_SPAN_ARG(hook));
            amy__finding_tell(findings, AMY_DOCTOR_WARNING, "renewal-hook",
                              "take the line out: amy-front serves a renewed "
                              "certificate by itself");
        }
    }
}
