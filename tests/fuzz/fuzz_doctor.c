/* Any bytes as another program's file, certbot's conf, or a table of the
 * kernel's: read to their end, to the same findings each time. */
#include "doctor/judge.h"
#include "doctor/proc.h"
#include "doctor/text.h"
#include "fuzz.h"

static void
count(const struct amy_doctor_finding *finding, void *user)
{
    size_t *told = user;

    FUZZ_CHECK(finding->what[0] != '\0' && finding->check[0] != '\0');
    *told += 1;
}

static size_t
judge(struct amy__span text)
{
    size_t told = 0;
    struct amy__findings findings = {
        .fn = count, .user = &told, .borrow_site = "example.org"};
    const struct amy__renewal_facts facts = {
        .name = "example.org",
        .path = "/etc/letsencrypt/renewal/example.org.conf",
        .domain = "example.org",
        .webroot = "/webapps/example.org/acme",
        .conf = text,
    };

    amy__judge_renewal(&facts, &findings);
    return told;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct amy__span text = {(const char *)data, size};
    struct amy__span rest = text;
    struct amy__span line = {NULL, 0};
    uint64_t files = 0;

    FUZZ_CHECK(judge(text) == judge(text));
    while (amy__text_line(&rest, &line)) {
        FUZZ_CHECK(line.n > 0 && line.p >= text.p &&
                   line.p + line.n <= text.p + text.n);
    }
    if (amy__text_names(text, "example.org")) {
        FUZZ_CHECK(amy__text_holds(text, "example.org"));
    }
    (void)amy__tcp_listener(text, 443);
    (void)amy__limits_files(text, &files);
    return 0;
}
