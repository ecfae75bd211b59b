/* Commands as the bytes that are sent. Pure. */
#ifndef AMY_REDIS_WORDS_H
#define AMY_REDIS_WORDS_H

#include <amy/error.h>
#include <amy/redis.h>

#include <stddef.h>

/* How many bytes it has, if a user may send it. AMY_EINVAL, AMY_ELIMIT. */
int amy__redis_words_check(const struct amy_redis_command *command,
                           size_t *ret_n, struct amy_error *err);
/* The same of a command that is right. */
size_t amy__redis_words_size(const struct amy_redis_command *command);
/* Write them; returns how many. buf has the room for it. */
size_t amy__redis_words_write(const struct amy_redis_command *command,
                              char *buf);

#endif
