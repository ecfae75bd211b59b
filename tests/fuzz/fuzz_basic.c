/* Any bytes as an Authorization field: what is taken has a name without a
 * colon, no control character, and fits. */
#include "fuzz.h"
#include "http/basic.h"

#include <string.h>

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct amy__span value = {(const char *)data, size};
    struct amy__span name = {0};
    struct amy__span password = {0};
    char buf[AMY__BASIC_MAX];

    if (!amy__basic_parse(value, buf, &name, &password)) {
        return 0;
    }
    FUZZ_CHECK(name.n > 0 && name.n <= AMY__BASIC_NAME_MAX);
    FUZZ_CHECK(password.n <= AMY__BASIC_PASSWORD_MAX);
    FUZZ_CHECK(name.p == buf && password.p == buf + name.n + 1);
    FUZZ_CHECK(memchr(name.p, ':', name.n) == NULL);
    FUZZ_CHECK(memchr(buf, '\0', name.n + 1 + password.n) == NULL);
    FUZZ_CHECK(memchr(buf, '\n', name.n + 1 + password.n) == NULL);
    return 0;
}
