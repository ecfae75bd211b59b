/* What amyctl status shows of a site's Redis, and of rq in it. */
/* Not for asking it: amy-workers does. */
#include "ctl_json.h"
#include "ctl_show.h"
#include "ctl_text.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

static bool
is_false(const json_t *object, const char *key)
{
    return json_is_false(json_object_get(object, key));
}

static int64_t
jobs_waiting(const json_t *redis)
{
    const json_t *queue = NULL;
    int64_t sum = 0;
    size_t i = 0;

    json_array_foreach(json_object_get(redis, "queues"), i, queue)
    {
        sum += int_at(queue, "length");
    }
    return sum;
}

/* "1.2 MiB of 256 MiB, noeviction" */
static void
show_memory(const json_t *server)
{
    int64_t max = int_at(server, "memory_max_bytes");
    char text[32] = "";

    text_print(TEXT_PLAIN, ", %s",
               text_bytes(int_at(server, "memory_bytes"), text, sizeof(text)));
    if (max > 0) {
        text_print(TEXT_PLAIN, " of %s", text_bytes(max, text, sizeof(text)));
    }
    if (text_at(server, "memory_policy")[0] != '\0') {
        text_print(TEXT_PLAIN, ", %s", text_at(server, "memory_policy"));
    }
}

static void
show_persistence(const json_t *server)
{
    bool aof = json_is_true(json_object_get(server, "aof"));
    bool rdb = json_is_true(json_object_get(server, "rdb"));

    if (aof || rdb) {
        text_print(TEXT_PLAIN, ", saved by %s%s%s", aof ? "aof" : "",
                   aof && rdb ? " and " : "", rdb ? "rdb" : "");
    } else if (is_false(server, "rdb")) {
        text_print(TEXT_WARN, ", not saved");
    }
}

static void
show_server(const json_t *server)
{
    text_print(TEXT_FAINT, "  redis");
    text_print(TEXT_PLAIN, " %s", text_at(server, "version"));
    show_memory(server);
    show_persistence(server);
    text_print(TEXT_PLAIN, ", %s\n", text_at(server, "reach"));
}

static void
warn_of(const json_t *redis)
{
    const json_t *server = json_object_get(redis, "server");
    const char *policy = text_at(server, "memory_policy");

    if (strcmp(text_at(server, "reach"), "open") == 0) {
        text_print(TEXT_BAD, "  redis: anybody who reaches it by the network "
                             "may use it: it asks for no password\n");
    }
    if (is_false(server, "last_save_ok") || is_false(server, "aof_ok")) {
        text_print(TEXT_BAD, "  redis: the last save failed\n");
    }
    if (json_is_true(json_object_get(server, "loading"))) {
        text_print(TEXT_WARN, "  redis: it is loading its data\n");
    }
    if (strncmp(policy, "allkeys-", 8) == 0 &&
        json_array_size(json_object_get(redis, "queues")) > 0) {
        text_print(TEXT_WARN,
                   "  warning: %s throws jobs of rq away when memory is "
                   "short\n",
                   policy);
    }
}

static void
show_queues(const json_t *queues)
{
    static const char *const names[] = {"queue",   "waiting", "oldest",
                                        "started", "failed",  NULL};
    struct table *table = NULL;
    const json_t *queue = NULL;
    size_t i = 0;

    if (json_array_size(queues) == 0) {
        return;
    }
    table = table_create("lrrrr");
    table_row(table);
    for (i = 0; names[i] != NULL; i++) {
        table_cell(table, TEXT_FAINT, "%s", names[i]);
    }
    json_array_foreach(queues, i, queue)
    {
        const json_t *oldest = json_object_get(queue, "oldest_ms");
        int64_t failed = int_at(queue, "failed");
        char age[32] = "";

        table_row(table);
        table_cell(table, TEXT_PLAIN, "%s", text_at(queue, "name"));
        table_cell(table, TEXT_PLAIN, "%" PRId64, int_at(queue, "length"));
        table_cell(table, TEXT_PLAIN, "%s",
                   oldest == NULL ? "-"
                                  : text_duration(json_integer_value(oldest),
                                                  age, sizeof(age)));
        table_cell(table, TEXT_PLAIN, "%" PRId64, int_at(queue, "started"));
        table_cell(table, failed > 0 ? TEXT_WARN : TEXT_PLAIN, "%" PRId64,
                   failed);
    }
    table_finish(table, "  ");
}

static void
show_rq(const json_t *redis)
{
    int64_t alive = int_at(json_object_get(redis, "workers"), "alive");
    int64_t known = int_at(redis, "queues_known");
    int64_t waiting = jobs_waiting(redis);
    int64_t shown = (int64_t)json_array_size(json_object_get(redis, "queues"));

    if (known == 0 && alive == 0) {
        return; /* no rq */
    }
    text_print(TEXT_FAINT, "  rq");
    text_print(alive == 0 && waiting > 0 ? TEXT_BAD : TEXT_PLAIN,
               " %" PRId64 " workers alive", alive);
    if (known > shown) {
        text_print(TEXT_PLAIN, ", %" PRId64 " of %" PRId64 " queues", shown,
                   known);
    }
    text_print(TEXT_PLAIN, "\n");
    show_queues(json_object_get(redis, "queues"));
}

void
show_redis(const json_t *redis)
{
    const char *error = text_at(redis, "error");
    char age[32] = "";

    if (error[0] != '\0') {
        text_print(TEXT_BAD, "  redis: %s", error);
        if (json_object_get(redis, "age_ms") != NULL) {
            text_print(
                TEXT_PLAIN, "; what follows is %s old",
                text_duration(int_at(redis, "age_ms"), age, sizeof(age)));
        }
        text_print(TEXT_PLAIN, "\n");
    }
    if (json_is_object(json_object_get(redis, "server"))) {
        show_server(json_object_get(redis, "server"));
        warn_of(redis);
        show_rq(redis);
    }
}
