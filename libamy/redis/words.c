/* RESP2 arrays of strings, and which commands are not for users. */
/* Not for what commands mean to the server. */
#include "redis/words.h"

#include "core/error.h"
#include "core/str.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define ARGC_MAX 1048576U /* Redis' own */

/* Each changes the connection that all calls share. */
static const struct {
    const char *name;
    const char *second; /* NULL: whatever comes next */
    const char *instead;
} refused[] = {
    {"AUTH", NULL, "it is part of the URL"},
    {"SELECT", NULL, "it is part of the URL"},
    {"HELLO", NULL, "it is part of the URL"},
    {"RESET", NULL, "free the client"},
    {"QUIT", NULL, "free the client"},
    {"MULTI", NULL, "make an atomic batch"},
    {"EXEC", NULL, "make an atomic batch"},
    {"DISCARD", NULL, "make an atomic batch"},
    {"WATCH", NULL, "use EVAL"},
    {"UNWATCH", NULL, "use EVAL"},
    {"MONITOR", NULL, "its answers never end"},
    {"SUBSCRIBE", NULL, "its answers never end"},
    {"PSUBSCRIBE", NULL, "its answers never end"},
    {"SSUBSCRIBE", NULL, "its answers never end"},
    {"UNSUBSCRIBE", NULL, "its answers never end"},
    {"PUNSUBSCRIBE", NULL, "its answers never end"},
    {"SUNSUBSCRIBE", NULL, "its answers never end"},
    {"SYNC", NULL, "its answers never end"},
    {"PSYNC", NULL, "its answers never end"},
    {"CLIENT", "REPLY", "answers are needed"},
    {"CLIENT", "TRACKING", "its answers never end"},
};

static struct amy__span
word_at(const struct amy_redis_command *command, size_t i)
{
    if (command->lengths == NULL) {
        return amy__span_of(command->argv[i]);
    }
    return (struct amy__span){command->argv[i], command->lengths[i]};
}

static int
check_name(const struct amy_redis_command *command, struct amy_error *err)
{
    struct amy__span name = word_at(command, 0);

    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        if (!amy__span_eq_nocase(name, amy__span_of(refused[i].name))) {
            continue;
        }
        if (refused[i].second == NULL ||
            (command->argc > 1 &&
             amy__span_eq_nocase(word_at(command, 1),
                                 amy__span_of(refused[i].second)))) {
            return amy__err(err, AMY_EINVAL, "%s%s%s is not for calls: %s",
                            refused[i].name,
                            refused[i].second == NULL ? "" : " ",
                            refused[i].second == NULL ? "" : refused[i].second,
                            refused[i].instead);
        }
    }
    return name.n > 0 ? 0 : amy__err(err, AMY_EINVAL, "a command has no name");
}

static size_t
digits_of(size_t n)
{
    size_t digits = 1;

    for (; n > 9; n /= 10) {
        digits++;
    }
    return digits;
}

int
amy__redis_words_check(const struct amy_redis_command *command, size_t *ret_n,
                       struct amy_error *err)
{
    size_t n = 3 + digits_of(command->argc);
    int rc = 0;

    if (command->argc == 0 || command->argc > ARGC_MAX ||
        command->argv == NULL) {
        return amy__err(err, AMY_EINVAL, "a command has 1 to %u words",
                        ARGC_MAX);
    }
    for (size_t i = 0; i < command->argc; i++) {
        struct amy__span word = {NULL, 0};

        if (command->argv[i] == NULL) {
            return amy__err(err, AMY_EINVAL, "word %zu of a command is NULL",
                            i);
        }
        word = word_at(command, i);
        if (!amy__add_size(n, word.n, &n) ||
            !amy__add_size(n, digits_of(word.n) + 5, &n)) {
            return amy__err(err, AMY_ELIMIT, "a command is too long");
        }
    }
    rc = check_name(command, err);
    if (rc == 0) {
        *ret_n = n;
    }
    return rc;
}

size_t
amy__redis_words_size(const struct amy_redis_command *command)
{
    size_t n = 3 + digits_of(command->argc);

    for (size_t i = 0; i < command->argc; i++) {
        struct amy__span word = word_at(command, i);

        n += word.n + digits_of(word.n) + 5;
    }
    return n;
}

/* "*3\r\n", "$11\r\n"; snprintf() would take most of the time of a call. */
static size_t
write_head(char type, size_t number, char *buf)
{
    size_t digits = digits_of(number);

    buf[0] = type;
    for (size_t i = digits; i > 0; i--) {
        buf[i] = (char)('0' + number % 10);
        number /= 10;
    }
    memcpy(buf + digits + 1, "\r\n", 2);
    return digits + 3;
}

size_t
amy__redis_words_write(const struct amy_redis_command *command, char *buf)
{
    size_t n = write_head('*', command->argc, buf);

    for (size_t i = 0; i < command->argc; i++) {
        struct amy__span word = word_at(command, i);

        n += write_head('$', word.n, buf + n);
        if (word.n > 0) {
            memcpy(buf + n, word.p, word.n);
        }
        memcpy(buf + n + word.n, "\r\n", 2);
        n += word.n + 2;
    }
    return n;
}
