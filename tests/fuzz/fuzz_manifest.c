/* Any bytes as a manifest: what is taken is written as what means the same. */
#include "backup/manifest.h"
#include "fuzz.h"

#include <string.h>

#define NAME "20261123T204207Z"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct amy__manifest manifest;
    struct amy__manifest same;
    struct amy__buf out;

    amy__buf_init(&out, AMY__MANIFEST_MAX);
    if (amy__manifest_read((struct amy__span){(const char *)data, size}, NAME,
                           &manifest, NULL) == 0) {
        FUZZ_CHECK(amy__manifest_write(&manifest, &out, NULL) == 0);
        FUZZ_CHECK(amy__manifest_read(amy__buf_span(&out), NAME, &same, NULL) ==
                   0);
        FUZZ_CHECK(same.started_ms == manifest.started_ms);
        FUZZ_CHECK(same.verdict == manifest.verdict);
        FUZZ_CHECK(amy__manifest_rows(&same) == amy__manifest_rows(&manifest));
        amy__manifest_clear(&same);
    }
    amy__manifest_clear(&manifest);
    amy__buf_clear(&out);
    return 0;
}
