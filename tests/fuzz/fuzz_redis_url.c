/* Any bytes as a Redis URL: what is taken has a place, and what is refused says
 * why without showing what came before an '@'. */
#include "core/alloc.h"
#include "fuzz.h"
#include "redis/url.h"

#include <string.h>

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = amy__strndup((const char *)data, size);
    struct amy__redis_url url = {0};
    struct amy_error err = AMY_ERROR_INIT;
    char shown[64] = "";

    FUZZ_CHECK(text != NULL);
    if (amy__redis_url_parse(text, &url, &err) == 0) {
        FUZZ_CHECK((url.host == NULL) != (url.path == NULL));
        FUZZ_CHECK(url.path != NULL ? url.path[0] == '/' : url.port > 0);
        amy__redis_url_show(&url, shown, sizeof(shown));
        FUZZ_CHECK(strlen(shown) < sizeof(shown));
        amy__redis_url_clear(&url);
    } else {
        FUZZ_CHECK(err.msg[0] != '\0');
        FUZZ_CHECK(url.password == NULL);
    }
    amy__free(text);
    return 0;
}
