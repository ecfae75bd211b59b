/* Any bytes as a Range field, behind a byte that chooses how long the file is:
 * what is followed lies within the file, is not empty and does not overlap. */
#include "fuzz.h"
#include "http/range.h"

#include <string.h>

static const uint64_t sizes[] = {0, 1, 10, 1000, 5368709120U, UINT64_MAX};

static void
check_range(const struct amy__ranges *ranges, size_t i, uint64_t size)
{
    const struct amy__range *one = &ranges->at[i];
    char text[AMY__RANGE_TEXT];
    char head[256];
    size_t n = 0;

    FUZZ_CHECK(one->n > 0 && one->n <= size && one->first <= size - one->n);
    for (size_t k = 0; k < i; k++) {
        FUZZ_CHECK(ranges->at[k].first + ranges->at[k].n <= one->first ||
                   one->first + one->n <= ranges->at[k].first);
    }
    n = amy__range_text(one, size, text);
    FUZZ_CHECK(n == strlen(text));
    n = amy__range_part_head("b", AMY_SPAN("a/b"), one, size, head,
                             sizeof(head));
    FUZZ_CHECK(n == strlen(head) && strstr(head, text) != NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct amy__request_head head = {.method = AMY__METHOD_GET,
                                     .field_count = 1};
    struct amy__ranges ranges = {0};
    uint64_t file_size = 0;

    if (size == 0) {
        return 0;
    }
    file_size = sizes[data[0] % (sizeof(sizes) / sizeof(sizes[0]))];
    head.fields[0].id = AMY__FIELD_RANGE;
    head.fields[0].value = (struct amy__span){(const char *)data + 1, size - 1};
    if (amy__range_read(&head, file_size, &ranges) != AMY__RANGE_PARTS) {
        return 0;
    }
    FUZZ_CHECK(ranges.count > 0 && ranges.count <= AMY__RANGES_MAX);
    for (size_t i = 0; i < ranges.count; i++) {
        check_range(&ranges, i, file_size);
    }
    return 0;
}
