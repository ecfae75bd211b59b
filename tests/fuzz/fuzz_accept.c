/* Any bytes as an Accept or Accept-Encoding field: weights stay in their range,
 * a type that is not liked at all is never preferred, and no coding is chosen
 * that is not there. */
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

    struct amy__field encoding = {.value = field.value,
                                  .id = AMY__FIELD_ACCEPT_ENCODING};

    for (unsigned available = 0; available < 1U << AMY__CODINGS; available++) {
        enum amy__coding coding = amy__accept_coding(&encoding, 1, available);

        FUZZ_CHECK(coding == AMY__CODING_IDENTITY ||
                   (available & (1U << coding)) != 0);
    }
    FUZZ_CHECK(json.weight <= 1000 && json.specificity <= 3);
    FUZZ_CHECK(!amy__accept_prefers_json(&field, 1) || json.weight > 0 ||
               problem.weight > 0);
    return 0;
}
