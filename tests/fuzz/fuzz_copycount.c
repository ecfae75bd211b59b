/* Any bytes as what pg_restore writes: the same tables and rows, or the same
 * refusal, in one piece and byte by byte. */
#include "backup/copycount.h"
#include "fuzz.h"

static int
count_in(const uint8_t *data, size_t size, size_t piece,
         struct amy__manifest *into)
{
    struct amy__copycount count;
    int rc = 0;

    amy__manifest_init(into);
    amy__copycount_init(&count, into);
    for (size_t at = 0; at < size && rc == 0; at += piece) {
        size_t n = size - at < piece ? size - at : piece;

        rc = amy__copycount_feed(
            &count, (struct amy__span){(const char *)data + at, n}, NULL);
    }
    rc = rc < 0 ? rc : amy__copycount_end(&count, NULL);
    amy__copycount_clear(&count);
    return rc;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct amy__manifest whole;
    struct amy__manifest bytes;

    FUZZ_CHECK(count_in(data, size, size + 1, &whole) ==
               count_in(data, size, 1, &bytes));
    FUZZ_CHECK(whole.table_count == bytes.table_count);
    FUZZ_CHECK(amy__manifest_rows(&whole) == amy__manifest_rows(&bytes));
    amy__manifest_clear(&whole);
    amy__manifest_clear(&bytes);
    return 0;
}
