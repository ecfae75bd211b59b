/* Any bytes as what pg_dump says: whole and in pieces they mean the same. */
#include "backup/chatter.h"
#include "fuzz.h"

#include <string.h>

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct amy__chatter whole = {.verbose = true};
    struct amy__chatter pieces = {.verbose = true};
    struct amy__span text = {(const char *)data, size};

    amy__chatter_take(&whole, text);
    while (text.n > 0) {
        size_t n = 1 + (size_t)(unsigned char)text.p[0] % 7;

        n = n < text.n ? n : text.n;
        amy__chatter_take(&pieces, (struct amy__span){text.p, n});
        text.p += n;
        text.n -= n;
    }
    FUZZ_CHECK(whole.tables == pieces.tables);
    FUZZ_CHECK(whole.said_n < sizeof(whole.said));
    FUZZ_CHECK(strcmp(amy__chatter_complaint(&whole),
                      amy__chatter_complaint(&pieces)) == 0);
    return 0;
}
