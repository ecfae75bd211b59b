#include "amy_test.h"

#include "doctor/judge.h"
#include "recorded.h"

#define DAY INT64_C(86400000)

static void
judge(int64_t lifetime_days, int64_t left_days, const char *chain_error)
{
    const struct amy__cert_facts facts = {
        .name = "example.org",
        .not_before_ms = 1000 * DAY,
        .not_after_ms = (1000 + lifetime_days) * DAY,
        .now_ms = (1000 + lifetime_days - left_days) * DAY,
        .chain_error = chain_error,
    };

    amy__judge_cert(&facts, recorded_begin());
}

static void
test_certificate_is_to_be_renewed_in_time(void **state)
{
    (void)state;
    judge(90, 89, NULL);
    expect_nothing();
    judge(90, 25, NULL);
    expect_nothing();
    judge(90, 20, NULL);
    expect_finding("warning cert-expiry", "expires in 20 days");
    judge(90, 5, NULL);
    expect_finding("error cert-expiry",
                   "certbot renew --cert-name example.org");
    judge(90, 0, NULL);
    expect_finding("error cert-expiry", "has expired");
    judge(6, 3, NULL); /* short ones are right until their own last quarter */
    expect_nothing();
    judge(6, 1, NULL);
    expect_finding("warning cert-expiry", "1 days");
}

static void
test_chain_that_ends_nowhere_is_told(void **state)
{
    (void)state;
    judge(90, 80, "unable to get local issuer certificate");
    expect_finding("warning cert-chain", "fullchain.pem, not cert.pem");
}

static void
renewal(const char *conf)
{
    const struct amy__renewal_facts facts = {
        .name = "example.org",
        .path = "/etc/letsencrypt/renewal/example.org.conf",
        .domain = "example.org",
        .webroot = "/webapps/example.org/acme",
        .conf = amy__span_of(conf),
    };

    amy__judge_renewal(&facts, recorded_begin());
}

static void
test_renewal_that_goes_on_without_nginx(void **state)
{
    (void)state;
    renewal("[renewalparams]\nauthenticator = webroot\n"
            "webroot_path = /webapps/example.org/acme,\n"
            "[[webroot_map]]\nexample.org = /webapps/example.org/acme\n");
    expect_nothing();
    renewal("authenticator = webroot\n"
            "webroot_path = /webapps/example.org/acme/,\n");
    expect_nothing();
    renewal("authenticator = dns-route53\ninstaller = None\n");
    expect_nothing();
    renewal("authenticator = manual\nmanual_auth_hook = /usr/local/bin/dns\n");
    expect_nothing();
}

static void
test_authenticator_that_dies_with_nginx(void **state)
{
    (void)state;
    renewal("authenticator = nginx\n");
    expect_finding("error renewal-authenticator",
                   "--webroot -w /webapps/example.org/acme -d example.org");
    renewal("authenticator = standalone\n");
    expect_finding("error renewal-authenticator", "wants port 80 for itself");
    renewal("authenticator = apache\n");
    expect_finding("error renewal-authenticator", "through apache");
}

static void
test_webroot_of_somebody_else(void **state)
{
    (void)state;
    renewal("authenticator = webroot\n[[webroot_map]]\n"
            "example.org = /var/www/html\n");
    expect_finding("error renewal-webroot", "into /var/www/html, and they are");
    renewal("authenticator = webroot\n");
    expect_finding("error renewal-webroot", "served from /webapps");
}

static void
test_what_else_a_renewal_leads_to(void **state)
{
    (void)state;
    renewal("authenticator = manual\n");
    expect_finding("warning renewal-manual", "by hand");
    renewal("authenticator = dns-route53\ninstaller = nginx\n");
    expect_finding("error renewal-installer", "`installer = nginx`");
    renewal("authenticator = dns-route53\n"
            "renew_hook = systemctl reload nginx\n");
    expect_finding("warning renewal-hook", "systemctl reload nginx");
    renewal("authenticator = dns-route53\npre_hook = service apache2 stop\n");
    expect_finding("warning renewal-hook", "pre_hook");
    renewal("authenticator = dns-route53\nrenew_hook = /usr/bin/tell-me\n");
    expect_nothing();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_certificate_is_to_be_renewed_in_time),
        cmocka_unit_test(test_chain_that_ends_nowhere_is_told),
        cmocka_unit_test(test_renewal_that_goes_on_without_nginx),
        cmocka_unit_test(test_authenticator_that_dies_with_nginx),
        cmocka_unit_test(test_webroot_of_somebody_else),
        cmocka_unit_test(test_what_else_a_renewal_leads_to),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
