/* Any bytes as an address, a network and an authority: what is taken is written
 * as a text that means the same. */
#include "fuzz.h"
#include "http/authority.h"
#include "net/address.h"

#include <stdio.h>
#include <string.h>

static void
try_address(struct amy__span text)
{
    struct amy__address first;
    struct amy__address again;
    char host[64] = "";
    char whole[80] = "";
    int rc = amy__address_parse(text, 443, &first, NULL);

    FUZZ_CHECK(rc == 0 || rc == AMY_EINVAL);
    if (rc < 0 || first.sa.ss_family == AF_UNIX) {
        return;
    }
    FUZZ_CHECK(amy__address_host(&first, host, sizeof(host)) < sizeof(host));
    (void)snprintf(whole, sizeof(whole),
                   strchr(host, ':') == NULL ? "%s:%u" : "[%s]:%u", host,
                   (unsigned)amy__address_port(&first));
    FUZZ_CHECK(amy__address_parse(amy__span_of(whole), 1, &again, NULL) == 0);
    FUZZ_CHECK(amy__address_port(&first) == amy__address_port(&again));
    (void)amy__address_host(&again, whole, sizeof(whole));
    FUZZ_CHECK(strcmp(host, whole) == 0);
}

static void
try_network(struct amy__span text)
{
    struct amy__cidr cidr;
    struct amy__address base;
    char host[64] = "";
    char whole[80] = "";

    if (amy__cidr_parse(text, &cidr, NULL) < 0 ||
        !amy__span_copy(text, host, sizeof(host))) {
        return;
    }
    FUZZ_CHECK(cidr.bits <= 128);
    host[strcspn(host, "/")] = '\0';
    (void)snprintf(whole, sizeof(whole),
                   strchr(host, ':') == NULL ? "%s" : "[%s]", host);
    FUZZ_CHECK(amy__address_parse(amy__span_of(whole), 1, &base, NULL) == 0);
    FUZZ_CHECK(amy__cidr_contains(&cidr, &base));
}

static void
try_authority(struct amy__span text)
{
    struct amy__authority first;
    struct amy__authority again;
    struct amy__span host = {first.host, 0};

    if (!amy__authority_parse(text, &first)) {
        return;
    }
    host.n = first.host_n;
    FUZZ_CHECK(host.n > 0 && host.n <= 255);
    for (size_t i = 0; i < host.n; i++) {
        FUZZ_CHECK(strchr("/@\\,# ?\r\n", host.p[i]) == NULL);
        FUZZ_CHECK(host.p[i] < 'A' || host.p[i] > 'Z');
    }
    if (host.p[host.n - 1] != '.') { /* one dot is taken off, not two */
        FUZZ_CHECK(amy__authority_parse(host, &again));
        FUZZ_CHECK(again.host_n == host.n && again.port == 0);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct amy__span text = {(const char *)data, size};

    try_address(text);
    try_network(text);
    try_authority(text);
    return 0;
}
