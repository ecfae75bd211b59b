/* Any bytes as what is remembered of a copy: what is taken is written as what
 * means the same. */
#include "backup/copyrecord.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct amy__copy_record record;
    struct amy__copy_record same;
    struct amy__buf out;

    amy__buf_init(&out, (size_t)8 * 1024 * 1024);
    if (amy__copy_record_read((struct amy__span){(const char *)data, size},
                              &record, NULL) == 0) {
        FUZZ_CHECK(amy__copy_record_write(&record, &out, NULL) == 0);
        FUZZ_CHECK(amy__copy_record_read(amy__buf_span(&out), &same, NULL) ==
                   0);
        FUZZ_CHECK(same.count == record.count);
        amy__copy_record_clear(&same);
    }
    amy__copy_record_clear(&record);
    amy__buf_clear(&out);
    return 0;
}
