/* Who gets into a closed site by a password: a file as htpasswd makes it, one
 * `name:hash` a line, `#` for comments. Hashes are those of crypt(3) that take
 * their time; nothing else is a hash here. Pure. */
#ifndef AMY_FRONT_USERS_H
#define AMY_FRONT_USERS_H

#include <amy/error.h>

#include "core/str.h"

#include <stddef.h>
#include <stdint.h>

#define AMY__USERS_BYTES ((size_t)256 * 1024)
#define AMY__USERS_MAX 1000U
#define AMY__HASH_MAX 256U

struct amy__users;

/* NULL: a hash of a kind, and of a cost, that is good here. Said behind "has".
 */
const char *amy__hash_fault(struct amy__span hash);

/* A line that is no user's; fault names nothing of it. */
typedef void (*amy__users_fn)(uint32_t line, const char *fault, void *user);

/* Those of the good lines; each of the others is told. AMY_ENOMEM. */
int amy__users_parse(struct amy__span text, amy__users_fn on_fault, void *user,
                     struct amy__users **ret_users, struct amy_error *err);
void amy__users_free(struct amy__users *users);
size_t amy__users_count(const struct amy__users *users);

/* What is known of somebody. */
struct amy__users_entry {
    const char *name;
    const char *hash;
};
/* NULL: there is no such user. */
const struct amy__users_entry *amy__users_find(const struct amy__users *users,
                                               struct amy__span name);
/* Somebody, whose hash an unknown user's password is compared with as well: so
 * that it takes as long as somebody's, and for one name always as long. Who
 * does not know the file cannot tell whose. NULL: there is nobody at all. */
const struct amy__users_entry *amy__users_any(const struct amy__users *users,
                                              struct amy__span name);

#endif
