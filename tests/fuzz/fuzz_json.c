/* Any bytes as JSON: what is taken can be written, and read again as the same
 * text; what is refused says in which line. */
#include "core/json.h"
#include "fuzz.h"

#include <string.h>

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct amy_error err = AMY_ERROR_INIT;
    struct amy__json *json = NULL;
    struct amy__json *again = NULL;
    struct amy__buf first = {0};
    struct amy__buf second = {0};
    int rc = amy__json_parse((struct amy__span){(const char *)data, size},
                             &json, &err);

    if (rc < 0) {
        FUZZ_CHECK(rc == AMY_EPARSE && strncmp(err.msg, "line ", 5) == 0);
        return 0;
    }
    amy__buf_init(&first, 16 * size + 64);
    amy__buf_init(&second, 16 * size + 64);
    FUZZ_CHECK(amy__json_write(json, 0, &first) == 0);
    FUZZ_CHECK(amy__json_parse(amy__buf_span(&first), &again, NULL) == 0);
    FUZZ_CHECK(amy__json_write(again, 0, &second) == 0);
    FUZZ_CHECK(amy__span_eq(amy__buf_span(&first), amy__buf_span(&second)));
    amy__json_free(json);
    amy__json_free(again);
    amy__buf_clear(&first);
    amy__buf_clear(&second);
    return 0;
}
