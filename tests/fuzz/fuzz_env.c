/* Any bytes as what a site's own shell may write to us, who are root: each
 * variable that is kept has a plain name, and is found by it. */
#include "fuzz.h"
#include "site/env.h"

#include <string.h>

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct amy__span records = {(const char *)data, size};
    struct amy__env *env = NULL;
    int rc = amy__env_from_records(records, "/repo", "/venv", &env, NULL);

    FUZZ_CHECK(rc == 0 || rc == AMY_EPARSE);
    for (size_t i = 0; env != NULL && env->vars[i] != NULL; i++) {
        const char *equals = strchr(env->vars[i], '=');
        char name[64] = "";

        FUZZ_CHECK(equals != NULL && equals > env->vars[i]);
        if (amy__span_copy((struct amy__span){env->vars[i],
                                              (size_t)(equals - env->vars[i])},
                           name, sizeof(name))) {
            FUZZ_CHECK(strspn(name,
                              "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789"
                              "abcdefghijklmnopqrstuvwxyz") == strlen(name));
            FUZZ_CHECK(amy__env_get(env, name) != NULL);
        }
    }
    amy__env_unref(env);
    return 0;
}
