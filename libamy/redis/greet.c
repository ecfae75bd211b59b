/* Who we are and where we want to be, said first on each connection. */
/* Not for users' commands. */
#include "core/digest.h"
#include "core/error.h"
#include "redis/internal.h"
#include "redis/words.h"

#include <stdio.h>
#include <string.h>

static int
say(struct amy_redis *client, const char *const *argv, size_t argc,
    struct amy_error *err)
{
    const struct amy_redis_command command = {
        .struct_size = sizeof(command), .argc = argc, .argv = argv};
    struct amy__redis_greeting *greeting = &client->greeting;
    size_t n = amy__redis_words_size(&command);
    int rc = amy__buf_reserve(&client->out, n);

    if (rc < 0) {
        return amy__err(err, rc, "greeting Redis");
    }
    client->out.len +=
        amy__redis_words_write(&command, client->out.data + client->out.len);
    greeting->names[greeting->count++] = argv[0];
    return 0;
}

static int
say_login(struct amy_redis *client, struct amy_error *err)
{
    const struct amy__redis_url *url = &client->url;
    const char *password = url->password == NULL ? "" : url->password;
    const char *both[] = {"AUTH", url->user, password};
    const char *alone[] = {"AUTH", password};

    if (url->user != NULL) {
        return say(client, both, 3, err);
    }
    return url->password == NULL ? 0 : say(client, alone, 2, err);
}

/* PING last: what answers it takes commands, and is not loading its data. */
int
amy__redis_greet(struct amy_redis *client, struct amy_error *err)
{
    char db[16] = "";
    const char *const select[] = {"SELECT", db};
    const char *const name[] = {"CLIENT", "SETNAME", client->name};
    const char *const ping[] = {"PING"};
    int rc = 0;

    client->greeting = (struct amy__redis_greeting){0};
    rc = say_login(client, err);
    (void)snprintf(db, sizeof(db), "%u", (unsigned)client->url.db);
    if (rc == 0 && client->url.db != 0) {
        rc = say(client, select, 2, err);
    }
    if (rc == 0 && client->name != NULL) {
        rc = say(client, name, 3, err);
    }
    return rc < 0 ? rc : say(client, ping, 1, err);
}

int
amy__redis_ask_multi(struct amy_redis *client, struct amy_error *err)
{
    const char *const multi[] = {"MULTI"};
    const char *const exec[] = {"EXEC"};
    int rc = say(client, multi, 1, err);

    rc = rc < 0 ? rc : say(client, exec, 1, err);
    if (rc == 0) {
        client->no_multi = (struct amy_error)AMY_ERROR_INIT;
        client->phase = AMY__REDIS_GREETING;
        client->give_up_ms = amy__redis_now(client) + client->connect_ms;
        amy__redis_wake(client, client->give_up_ms);
    }
    return rc;
}

/* MULTI refused: then EXEC is, too, and all is as before. EXEC alone: then this
 * connection is of no more use. As amy__redis_greeted(). */
static int
take_multi(struct amy_redis *client, const struct amy_redis_reply *reply,
           bool is_exec, struct amy_error *err)
{
    int code = amy__redis_code_of(reply);
    const char *text = code == 0 ? "" : amy_redis_reply_text(reply, NULL);

    if (!is_exec) {
        if (code < 0) {
            (void)amy__err(&client->no_multi, code,
                           "Redis refuses MULTI" AMY__SAID "%s", text);
        }
        return 0;
    }
    client->multi =
        client->no_multi.code < 0 ? AMY__REDIS_MAY_NOT : AMY__REDIS_MAY;
    if (client->multi == AMY__REDIS_MAY_NOT || code == 0) {
        return 1;
    }
    if (client->queue.waiting != NULL && client->queue.waiting->atomic) {
        amy__redis_queue_end(&client->queue, client->queue.waiting, code);
    }
    return amy__err(err, AMY_ECONN, "Redis refuses EXEC" AMY__SAID "%s", text);
}

/* "ERR max number of clients reached" may be the answer to AUTH, too, and says
 * nothing of the password. Before Redis 6 a wrong one was "ERR invalid
 * password". */
static bool
is_about_login(const char *text)
{
    return strstr(text, "password") != NULL || strstr(text, "AUTH") != NULL;
}

/* What may be told of an answer. A server that knows no AUTH repeats what it
 * was given, cut anywhere: of its words to that, only those that we know. */
static const char *
tellable(const struct amy_redis *client, const char *name, const char *text)
{
    static const char *const known[] = {
        "WRONGPASS",
        "LOADING",
        "DENIED Redis is running in protected mode",
        "ERR max number of clients reached",
        "ERR invalid password",
        "ERR unknown command",
        "ERR AUTH <password> called without any password configured",
        "ERR Client sent AUTH, but no password is set",
    };
    const char *password = client->url.password;

    if (strcmp(name, "AUTH") != 0) {
        return password == NULL || strstr(text, password) == NULL ? text : "";
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strncmp(text, known[i], strlen(known[i])) == 0) {
            return known[i];
        }
    }
    return "";
}

/* A server that cannot save, has no memory or no replicas refuses PING as if it
 * wrote, and a user may lack it; what they ask for is answered all the same. */
static bool
is_refusal_of_ping_alone(int code)
{
    return code == AMY_EDENIED || code == AMY_ESTATE || code == AMY_ELIMIT;
}

int
amy__redis_greeted(struct amy_redis *client,
                   const struct amy_redis_reply *reply, bool *ret_refused,
                   struct amy_error *err)
{
    struct amy__redis_greeting *greeting = &client->greeting;
    const char *name = greeting->names[greeting->answered++];
    int code = amy__redis_code_of(reply);
    const char *text = code == 0 ? "" : amy_redis_reply_text(reply, NULL);
    bool done = greeting->answered == greeting->count;

    if (strcmp(name, "MULTI") == 0 || strcmp(name, "EXEC") == 0) {
        return take_multi(client, reply, done, err);
    }
    if (code == 0 || strcmp(name, "CLIENT") == 0 ||
        (strcmp(name, "PING") == 0 && is_refusal_of_ping_alone(code))) {
        return done ? 1 : 0;
    }
    if (code == AMY_EDENIED || (strcmp(name, "AUTH") == 0 &&
                                code == AMY_EINVAL && is_about_login(text))) {
        code = AMY_EAUTH;
    }
    *ret_refused = code == AMY_EAUTH ||
                   (code == AMY_EINVAL && strcmp(name, "SELECT") == 0);
    if (!*ret_refused) {
        code = AMY_ECONN;
    }
    text = tellable(client, name, text);
    return amy__err(err, code, "it refuses %s%s%s", name,
                    text[0] == '\0' ? "" : AMY__SAID, text);
}
