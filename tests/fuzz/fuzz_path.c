/* Any bytes as a target's path: a name never leaves its root, holds no NUL and
 * no empty or dot segment, and is its own normal form once encoded again. */
#include "fuzz.h"
#include "http/path.h"

#include <string.h>

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct amy__span path = {(const char *)data, size};
    char name[2048];
    char encoded[3 * sizeof(name)];
    char again[sizeof(name)];
    int64_t n = amy__path_normalise(path, name, sizeof(name));
    size_t m = 0;

    if (n < 0) {
        return 0;
    }
    FUZZ_CHECK(name[0] == '/' && strlen(name) == (size_t)n);
    FUZZ_CHECK(strstr(name, "//") == NULL);
    FUZZ_CHECK(strstr(name, "/../") == NULL && strstr(name, "/./") == NULL);
    FUZZ_CHECK(
        !amy__span_ends((struct amy__span){name, (size_t)n}, AMY_SPAN("/..")));
    m = amy__percent_encode((struct amy__span){name, (size_t)n}, true, encoded,
                            sizeof(encoded));
    FUZZ_CHECK(m < sizeof(encoded) && strlen(encoded) == m);
    FUZZ_CHECK(amy__path_normalise((struct amy__span){encoded, m}, again,
                                   sizeof(again)) == n);
    FUZZ_CHECK(strcmp(name, again) == 0);
    return 0;
}
