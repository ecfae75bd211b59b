/* Any bytes as a target's path, and as one of the application's: a name never
 * leaves its root, holds no NUL and no empty or dot segment, and is its own
 * normal form once encoded again. */
#include "fuzz.h"
#include "http/path.h"

#include <string.h>

static void
check_name(const char *name, int64_t n)
{
    FUZZ_CHECK(name[0] == '/' && strlen(name) == (size_t)n);
    FUZZ_CHECK(strstr(name, "//") == NULL);
    FUZZ_CHECK(strstr(name, "/../") == NULL && strstr(name, "/./") == NULL);
    FUZZ_CHECK(
        !amy__span_ends((struct amy__span){name, (size_t)n}, AMY_SPAN("/..")));
}

/* As accel.c reads X-Accel-Redirect. */
static void
check_redirect(struct amy__span value)
{
    char decoded[2048];
    char name[sizeof(decoded)];
    char again[sizeof(decoded)];
    int64_t n = amy__percent_decode(value, decoded, sizeof(decoded));

    if (n > 0) {
        n = amy__path_resolve((struct amy__span){decoded, (size_t)n}, name,
                              sizeof(name));
    }
    if (n > 0) {
        check_name(name, n);
        FUZZ_CHECK(amy__path_resolve((struct amy__span){name, (size_t)n}, again,
                                     sizeof(again)) == n);
        FUZZ_CHECK(strcmp(name, again) == 0);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct amy__span path = {(const char *)data, size};
    char name[2048];
    char encoded[3 * sizeof(name)];
    char again[sizeof(name)];
    int64_t n = amy__path_normalise(path, name, sizeof(name));
    size_t m = 0;

    check_redirect(path);
    if (n < 0) {
        return 0;
    }
    check_name(name, n);
    m = amy__percent_encode((struct amy__span){name, (size_t)n}, true, encoded,
                            sizeof(encoded));
    FUZZ_CHECK(m < sizeof(encoded) && strlen(encoded) == m);
    FUZZ_CHECK(amy__path_normalise((struct amy__span){encoded, m}, again,
                                   sizeof(again)) == n);
    FUZZ_CHECK(strcmp(name, again) == 0);
    return 0;
}
