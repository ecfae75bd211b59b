/* Any bytes as a file of users: whoever is in it is found by name, with a hash
 * of crypt(3) and nothing else. */
#include "front/users.h"
#include "fuzz.h"

#include <string.h>

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct amy__users *users = NULL;
    const struct amy__users_entry *any = NULL;

    if (size > AMY__USERS_BYTES ||
        amy__users_parse((struct amy__span){(const char *)data, size}, NULL,
                         NULL, &users, NULL) < 0) {
        return 0;
    }
    any = amy__users_any(users, AMY_SPAN("nobody"));
    FUZZ_CHECK((any == NULL) == (amy__users_count(users) == 0));
    if (any != NULL) {
        FUZZ_CHECK(any->hash[0] == '$' && strlen(any->hash) < AMY__HASH_MAX);
        FUZZ_CHECK(strpbrk(any->hash, ":*! \n") == NULL);
        FUZZ_CHECK(amy__users_find(users, amy__span_of(any->name)) == any);
    }
    amy__users_free(users);
    return 0;
}
