/* Any bytes as a file of credentials, and as a role's keys: what is taken can
 * go into a field of a request. */
#include "backup/awskeys.h"
#include "fuzz.h"

#include <string.h>

static void
check(const char *text, bool needed)
{
    FUZZ_CHECK(!needed || text[0] != '\0');
    for (; *text != '\0'; text++) {
        FUZZ_CHECK(*text > ' ' && *text <= '~');
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct amy__span text = {(const char *)data, size};
    struct amy__awskeys keys;

    if (amy__awskeys_read_file(text, "default", &keys, NULL) == 0) {
        check(keys.key, true);
        check(keys.secret, true);
        check(keys.token, false);
    }
    if (amy__awskeys_read_role(text, &keys, NULL) == 0) {
        check(keys.key, true);
        check(keys.secret, true);
        check(keys.token, true);
    }
    return 0;
}
