/* Reading INFO, CONFIG GET and ACL GETUSER. */
/* Not for asking: report.c. */
#include "redis/figures.h"

#include "core/civil.h"

#include <stdio.h>
#include <string.h>

/* What stands behind "name:"; {NULL, 0}: another line. */
static struct amy__span
value_in(struct amy__span line, struct amy__span name)
{
    if (line.n <= name.n || !amy__span_starts(line, name) ||
        line.p[name.n] != ':') {
        return (struct amy__span){NULL, 0};
    }
    line.p += name.n + 1;
    line.n -= name.n + 1;
    if (line.n > 0 && line.p[line.n - 1] == '\r') {
        line.n--;
    }
    return line;
}

struct amy__span
amy__redis_info(struct amy__span text, const char *name)
{
    struct amy__span value = {NULL, 0};
    struct amy__span line = {NULL, 0};

    while (value.p == NULL && amy__span_split(&text, '\n', &line)) {
        value = value_in(line, amy__span_of(name));
    }
    return value;
}

const char *
amy__redis_setting(const struct amy_redis_reply *answer)
{
    return amy_redis_reply_text(amy_redis_reply_at(answer, 1), NULL);
}

/* --- the server --- */

static void
tell_number(struct amy__json *json, const char *key, struct amy__span info,
            const char *name)
{
    uint64_t value = 0;

    if (amy__parse_u64(amy__redis_info(info, name), INT64_MAX, &value)) {
        (void)amy__json_set(json, key, amy__json_int((int64_t)value));
    }
}

static void
tell_text(struct amy__json *json, const char *key, struct amy__span info,
          const char *name)
{
    struct amy__span value = amy__redis_info(info, name);

    if (value.n > 0) {
        (void)amy__json_set(json, key, amy__json_span(value));
    }
}

static void
tell_ok(struct amy__json *json, const char *key, struct amy__span info,
        const char *name)
{
    struct amy__span value = amy__redis_info(info, name);

    if (value.n > 0) {
        (void)amy__json_set(
            json, key, amy__json_bool(amy__span_eq(value, AMY_SPAN("ok"))));
    }
}

static bool
is_one(struct amy__span info, const char *name)
{
    return amy__span_eq(amy__redis_info(info, name), AMY_SPAN("1"));
}

void
amy__redis_tell_server(struct amy__json *server, struct amy__span info)
{
    uint64_t saved_s = 0;

    tell_text(server, "version", info, "redis_version");
    tell_text(server, "role", info, "role");
    tell_number(server, "memory_bytes", info, "used_memory");
    tell_number(server, "memory_max_bytes", info, "maxmemory");
    tell_text(server, "memory_policy", info, "maxmemory_policy");
    tell_number(server, "evicted_keys", info, "evicted_keys");
    tell_number(server, "clients", info, "connected_clients");
    tell_number(server, "unsaved_changes", info, "rdb_changes_since_last_save");
    tell_ok(server, "last_save_ok", info, "rdb_last_bgsave_status");
    if (is_one(info, "aof_enabled")) {
        tell_ok(server, "aof_ok", info, "aof_last_write_status");
    }
    (void)amy__json_set(server, "loading",
                        amy__json_bool(is_one(info, "loading")));
    (void)amy__json_set(server, "aof",
                        amy__json_bool(is_one(info, "aof_enabled")));
    if (amy__parse_u64(amy__redis_info(info, "rdb_last_save_time"),
                       INT64_MAX / 1000, &saved_s)) {
        (void)amy__json_set(server, "last_save_wall_ms",
                            amy__json_int((int64_t)saved_s * 1000));
    }
}

/* --- who may reach it --- */

/* "127.0.0.1 -::1": a minus says that it need not exist. */
static bool
is_loopback(struct amy__span address)
{
    if (amy__span_starts(address, AMY_SPAN("-"))) {
        address.p++;
        address.n--;
    }
    return amy__span_starts(address, AMY_SPAN("127.")) ||
           amy__span_eq(address, AMY_SPAN("::1")) ||
           amy__span_eq(address, AMY_SPAN("localhost"));
}

static bool
is_local(const struct amy__redis_settings *settings)
{
    struct amy__span bind = amy__span_trim(amy__span_of(settings->bind));
    struct amy__span address = {NULL, 0};

    if (settings->port != NULL && strcmp(settings->port, "0") == 0 &&
        (settings->tls_port == NULL || strcmp(settings->tls_port, "0") == 0)) {
        return true;
    }
    if (bind.n == 0) {
        return false; /* all of this machine's */
    }
    while (amy__span_split(&bind, ' ', &address)) {
        if (address.n > 0 && !is_loopback(address)) {
            return false;
        }
    }
    return true;
}

/* 1: the default user needs no password; 0: it does, or is off; -1: unseen. */
static int
needs_none(const struct amy_redis_reply *user)
{
    const struct amy_redis_reply *flags = amy_redis_reply_at(user, 1);
    bool on = false;
    bool free = false;

    if (amy_redis_reply_type(user) != AMY_REDIS_ARRAY) {
        return -1;
    }
    for (size_t i = 0; i < amy_redis_reply_count(flags); i++) {
        const char *flag =
            amy_redis_reply_text(amy_redis_reply_at(flags, i), NULL);

        on |= flag != NULL && strcmp(flag, "on") == 0;
        free |= flag != NULL && strcmp(flag, "nopass") == 0;
    }
    return on && free ? 1 : 0;
}

enum amy__redis_reach
amy__redis_reach_of(const struct amy__redis_settings *settings,
                    const struct amy_redis_reply *user)
{
    int none = needs_none(user);

    if (settings->bind == NULL) {
        return AMY__REDIS_UNSEEN;
    }
    if (is_local(settings)) {
        return AMY__REDIS_LOCAL;
    }
    /* Without a password, protected mode serves this machine alone. */
    if (none == 0 || (settings->protected_mode != NULL &&
                      strcmp(settings->protected_mode, "yes") == 0)) {
        return AMY__REDIS_GUARDED;
    }
    return none == 1 ? AMY__REDIS_OPEN : AMY__REDIS_UNSEEN;
}

const char *
amy__redis_reach_name(enum amy__redis_reach reach)
{
    static const char *const names[] = {
        [AMY__REDIS_UNSEEN] = "unknown",
        [AMY__REDIS_LOCAL] = "local",
        [AMY__REDIS_GUARDED] = "guarded",
        [AMY__REDIS_OPEN] = "open",
    };

    return names[reach];
}

/* --- rq --- */

bool
amy__redis_time(const char *text, int64_t *ret_wall_ms)
{
    char whole[32] = "";

    if (text == NULL || strlen(text) < 20) {
        return false;
    }
    (void)snprintf(whole, sizeof(whole), "%.19s.000Z", text);
    return amy__civil_parse(amy__span_of(whole), ret_wall_ms);
}
