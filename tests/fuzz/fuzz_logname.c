/* Any bytes as a file's name: what is taken as ours is written again as it
 * was, and no log may be called like one of its own old files. */
#include "fuzz.h"
#include "logrotate/name.h"

#include <string.h>

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct amy__span name = {(const char *)data, size};
    struct amy__span base = AMY_SPAN("access.log");
    struct amy__logname got = {.kind = AMY__LOGNAME_CURRENT};
    char buf[AMY__LOGNAME_SIZE] = "";

    if (amy__logname_is_base(name)) {
        FUZZ_CHECK(size <= AMY__LOGNAME_BASE_MAX);
        FUZZ_CHECK(memchr(data, '/', size) == NULL);
        FUZZ_CHECK(amy__logname_parse(name, name, &got));
        FUZZ_CHECK(got.kind == AMY__LOGNAME_CURRENT);
    }
    if (!amy__logname_parse(name, base, &got)) {
        return 0;
    }
    FUZZ_CHECK(amy__logname_is_base(name) ==
               (got.kind == AMY__LOGNAME_CURRENT));
    if (got.kind != AMY__LOGNAME_ADOPTED) {
        (void)amy__logname_write(base, &got, buf);
        FUZZ_CHECK(amy__span_eq(amy__span_of(buf), name));
    }
    return 0;
}
