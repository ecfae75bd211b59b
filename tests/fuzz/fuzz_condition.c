/* Any bytes as the four precondition fields, one to a line: a GET is never
 * refused for what only makes it conditional, and a strong match is also a weak
 * one. */
#include "fuzz.h"
#include "http/condition.h"

static const uint16_t ids[] = {
    AMY__FIELD_IF_NONE_MATCH, AMY__FIELD_IF_MODIFIED_SINCE,
    AMY__FIELD_IF_MATCH,      AMY__FIELD_IF_UNMODIFIED_SINCE,
    AMY__FIELD_IF_RANGE,
};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct amy__validators v = {AMY_SPAN("\"a,b\""),
                                      INT64_C(784111777000)};
    const int64_t now_ms = INT64_C(1795468800000);
    struct amy__request_head head = {.method = AMY__METHOD_GET};
    struct amy__span rest = {(const char *)data, size};
    struct amy__span line = {NULL, 0};
    enum amy__condition outcome = AMY__CONDITION_PROCEED;

    while (head.field_count < sizeof(ids) / sizeof(ids[0]) &&
           amy__span_split(&rest, '\n', &line)) {
        head.fields[head.field_count].id = ids[head.field_count];
        head.fields[head.field_count].value = line;
        head.field_count++;
    }
    outcome = amy__condition_evaluate(&head, &v, now_ms);
    FUZZ_CHECK(outcome != AMY__CONDITION_FAILED || head.field_count > 2);
    (void)amy__condition_range(&head, &v, now_ms);
    for (size_t i = 0; i < head.field_count; i++) {
        FUZZ_CHECK(!amy__etag_equal_strong(head.fields[i].value, v.etag) ||
                   amy__etag_equal_weak(head.fields[i].value, v.etag));
    }
    return 0;
}
