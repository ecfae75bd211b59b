/* Any bytes as a date: what is accepted can be written, and is then read as the
 * same instant. */
#include "fuzz.h"
#include "http/date.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const int64_t now_ms = INT64_C(1795468800000);
    struct amy__span text = {(const char *)data, size};
    char again[AMY__DATE_SIZE];
    int64_t first_ms = 0;
    int64_t second_ms = 0;

    if (!amy__date_parse(text, now_ms, &first_ms)) {
        return 0;
    }
    /* 9999-12-31T23:59:60 is clamped. */
    if (first_ms >= INT64_C(253402300800000)) {
        return 0;
    }
    amy__date_format(first_ms, again);
    FUZZ_CHECK(amy__date_parse(amy__span_of(again), now_ms, &second_ms));
    FUZZ_CHECK(first_ms == second_ms);
    return 0;
}
