/* Any bytes as a zone file: what is taken can be asked about any time, and
 * local times lead back to their instants. */
#include "backup/zone.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct amy__zone *zone = NULL;

    if (size > AMY__ZONE_BYTES_MAX ||
        amy__zone_parse((struct amy__span){(const char *)data, size}, &zone,
                        NULL) < 0) {
        return 0;
    }
    for (int64_t s = INT64_C(-4000000000); s < INT64_C(6000000000);
         s += 98765432) {
        int64_t local_s = s + amy__zone_offset(zone, s);
        int64_t back[2] = {0, 0};
        unsigned n = amy__zone_instants(zone, local_s, back);

        FUZZ_CHECK(n <= 2);
        FUZZ_CHECK(n < 2 || back[0] < back[1]);
        for (unsigned i = 0; i < n; i++) {
            FUZZ_CHECK(back[i] + amy__zone_offset(zone, back[i]) == local_s);
        }
    }
    amy__zone_free(zone);
    return 0;
}
