/* RESP2 arrays of strings, and which commands are not for users. */
/* Not for what commands mean to the server. */
#include "redis/words.h"

#include "core/error.h"
#include "core/str.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define ARGC_MAX 1048576U /* Redis' own */

#define WORD(literal)                                                          \
    {                                                                          \
        (literal), sizeof(literal) - 1                                         \
    }

/* Each changes the connection that all calls share. */
static const struct {
    struct amy__span name;
    struct amy__span second; /* {NULL, 0}: whatever comes next */
    const char *instead;
} refused[] = {
    {WORD("AUTH"), {NULL, 0}, "it is part of the URL"},
    {WORD("SELECT"), {NULL, 0}, "it is part of the URL"},
    {WORD("HELLO"), {NULL, 0}, "it is part of the URL"},
    {WORD("RESET"), {NULL, 0}, "free the client"},
    {WORD("QUIT"), {NULL, 0}, "free the client"},
    {WORD("MULTI"), {NULL, 0}, "make an atomic batch"},
    {WORD("EXEC"), {NULL, 0}, "make an atomic batch"},
    {WORD("DISCARD"), {NULL, 0}, "make an atomic batch"},
    {WORD("WATCH"), {NULL, 0}, "use EVAL"},
    {WORD("UNWATCH"), {NULL, 0}, "use EVAL"},
    {WORD("MONITOR"), {NULL, 0}, "its answers never end"},
    {WORD("SUBSCRIBE"), {NULL, 0}, "its answers never end"},
    {WORD("PSUBSCRIBE"), {NULL, 0}, "its answers never end"},
    {WORD("SSUBSCRIBE"), {NULL, 0}, "its answers never end"},
    {WORD("UNSUBSCRIBE"), {NULL, 0}, "its answers never end"},
    {WORD("PUNSUBSCRIBE"), {NULL, 0}, "its answers never end"},
    {WORD("SUNSUBSCRIBE"), {NULL, 0}, "its answers never end"},
    {WORD("SYNC"), {NULL, 0}, "its answers never end"},
    {WORD("PSYNC"), {NULL, 0}, "its answers never end"},
    {WORD("CLIENT"), WORD("REPLY"), "answers are needed"},
    {WORD("CLIENT"), WORD("TRACKING"), "its answers never end"},
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
        struct amy__span second = refused[i].second;

        if (!amy__span_eq_nocase(name, refused[i].name)) {
            continue;
        }
        if (second.n == 0 ||
            (command->argc > 1 &&
             amy__span_eq_nocase(word_at(command, 1), second))) {
            return amy__err(err, AMY_EINVAL, "%s%s%s is not for calls: %s",
                            refused[i].name.p, second.n == 0 ? "" : " ",
                            second.n == 0 ? "" : second.p, refused[i].instead);
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

static size_t
write_end(char *buf)
{
    buf[0] = '\r';
    buf[1] = '\n';
    return 2;
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
    return digits + 1 + write_end(buf + digits + 1);
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
        n += word.n;
        n += write_end(buf + n);
    }
    return n;
}
