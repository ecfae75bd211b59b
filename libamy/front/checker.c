/* Compares a password with a hash of crypt(3), which takes its time on purpose:
 * in a process that does nothing else, so that nobody's request waits for it.
 * Not for what follows from it: door.c; nor for how many: checks.c. */
#include "core/alloc.h"
#include "core/digest.h"
#include "front/state.h"
#include "front/users.h"
#include "front/wire.h"
#include "http/basic.h"

#include <crypt.h>
#include <string.h>
#include <sys/resource.h>

/* Visitors come first. */
#define CHECKER_NICE 10

static const char *
compare(const char *password, const char *hash)
{
    struct crypt_data *data = amy__calloc(1, sizeof(*data));
    const char *made =
        data == NULL ? NULL : crypt_rn(password, hash, data, sizeof(*data));
    const char *verdict = "none"; /* no memory, or a hash it does not know */
    size_t n = strlen(hash);

    if (made != NULL) {
        verdict = strlen(made) == n && amy__equal_secret(made, hash, n)
                      ? "right"
                      : "wrong";
    }
    if (data != NULL) {
        amy__wipe(data, sizeof(*data));
    }
    amy__free(data);
    return verdict;
}

void
amy__checker_answer(struct amy__front *front, const struct amy__json *ask)
{
    struct amy__json *json = amy__json_object();
    const char *hash = amy__json_get_text(ask, "hash", "");
    const char *hex = amy__json_get_text(ask, "secret", "");
    char password[AMY__BASIC_PASSWORD_MAX + 1] = "";
    size_t n = strlen(hex) / 2;
    const char *verdict = "none";

    if (getpriority(PRIO_PROCESS, 0) < CHECKER_NICE) {
        (void)setpriority(PRIO_PROCESS, 0, CHECKER_NICE);
    }
    /* A front process that was taken over may ask for one that takes days. */
    if (front->server == NULL && amy__hash_fault(amy__span_of(hash)) == NULL &&
        n <= AMY__BASIC_PASSWORD_MAX &&
        amy__unhex(hex, n, (uint8_t *)password)) {
        password[n] = '\0'; /* no control character is in it, NUL neither */
        verdict = compare(password, hash);
    }
    amy__wipe(password, sizeof(password));
    (void)amy__json_set(json, "ask",
                        amy__json_int(amy__json_get_int(ask, "ask", 0)));
    (void)amy__json_set(json, "verdict", amy__json_text(verdict));
    amy__front_say(front, AMY__WIRE_CHECKED, json);
}
