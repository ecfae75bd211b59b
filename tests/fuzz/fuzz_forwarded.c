/* Any bytes as the X-Forwarded-For of a trusted proxy: the client is always an
 * address, and what is written for the worker fits. */
#include "front/forwarded.h"
#include "fuzz.h"

#include <string.h>

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct amy__request_head src;
    static struct amy__request_head dst;
    static struct amy__forward_text text;
    struct amy__address peer = {0};
    struct amy__address client = {0};
    struct amy__cidr trusted = {0};
    struct amy__arrival arrival = {&peer, &trusted, 1, 443, true};
    char name[AMY__CLIENT_MAX] = "";

    FUZZ_CHECK(amy__address_parse(AMY_SPAN("10.0.0.1"), 1, &peer, NULL) == 0);
    FUZZ_CHECK(amy__cidr_parse(AMY_SPAN("10.0.0.0/8"), &trusted, NULL) == 0);
    src.field_count = 1;
    src.fields[0] = (struct amy__field){
        .name = AMY_SPAN("X-Forwarded-For"),
        .value = {(const char *)data, size},
        .id = AMY__FIELD_X_FORWARDED,
    };
    amy__client_resolve(&arrival, &src, name, &client);
    FUZZ_CHECK(name[0] != '\0' && strlen(name) < sizeof(name));
    FUZZ_CHECK(client.sa.ss_family == AF_INET ||
               client.sa.ss_family == AF_INET6);
    amy__forward_head(&dst, &src, &arrival, name, "id", false, 0, &text);
    FUZZ_CHECK(text.used <= sizeof(text.text));
    return 0;
}
