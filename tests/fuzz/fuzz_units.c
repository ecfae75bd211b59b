/* Any bytes as a size and as a duration: what is taken is formatted to a text
 * that means the same. */
#include "core/str.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct amy__span text = {(const char *)data, size};
    uint64_t bytes = 0;
    uint64_t same_bytes = 0;
    int64_t ms = 0;
    int64_t same_ms = 0;
    char written[64] = "";

    if (amy__parse_size(text, &bytes)) {
        (void)amy__format_size(bytes, written, sizeof(written));
        FUZZ_CHECK(amy__parse_size(amy__span_of(written), &same_bytes));
        FUZZ_CHECK(bytes == same_bytes);
    }
    if (amy__parse_duration(text, &ms)) {
        (void)amy__format_duration(ms, written, sizeof(written));
        FUZZ_CHECK(amy__parse_duration(amy__span_of(written), &same_ms));
        FUZZ_CHECK(ms == same_ms && ms >= 0);
    }
    return 0;
}
