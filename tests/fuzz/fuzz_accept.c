/* Any bytes as an Accept field: weights stay in their range, and a type that is
 * not liked at all is never preferred. */
#include "fuzz.h"
#include "http/accept.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct amy__field field = {.name = AMY_SPAN("Accept"),
                               .value = {(const char *)data, size},
                               .id = AMY__FIELD_ACCEPT};
    struct amy__liking json =
        amy__accept_liking(&field, 1, AMY_SPAN("application/json"));
    struct amy__liking problem =
        amy__accept_liking(&field, 1, AMY_SPAN("application/problem+json"));

    FUZZ_CHECK(json.weight <= 1000 && json.specificity <= 3);
    FUZZ_CHECK(!amy__accept_prefers_json(&field, 1) || json.weight > 0 ||
               problem.weight > 0);
    return 0;
}
