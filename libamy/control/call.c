/* What a control method asks of its call, and how it answers. */
/* Not for finding the method: that is control.c. */
#include "control/call.h"

#include "core/check.h"
#include "core/cleanup.h"
#include "core/user.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_MAX ((size_t)4 * 1024 * 1024)
#define ADMIN_GROUP "amy-admin"

const char *
amy__control_param(const struct amy__control_call *call, const char *name)
{
    AMY_CHECK(call, AMY__CONTROL_CALL_MAGIC);
    for (size_t i = 0; i < call->param_count; i++) {
        if (amy__span_eq(call->params[i].name, amy__span_of(name))) {
            return call->params[i].value;
        }
    }
    return "";
}

struct amy__span
amy__control_query(const struct amy__control_call *call)
{
    AMY_CHECK(call, AMY__CONTROL_CALL_MAGIC);
    return call->query;
}

const struct amy__json *
amy__control_body(const struct amy__control_call *call)
{
    AMY_CHECK(call, AMY__CONTROL_CALL_MAGIC);
    return call->body;
}

uid_t
amy__control_uid(const struct amy__control_call *call)
{
    AMY_CHECK(call, AMY__CONTROL_CALL_MAGIC);
    return call->uid;
}

const char *
amy__control_who(const struct amy__control_call *call)
{
    AMY_CHECK(call, AMY__CONTROL_CALL_MAGIC);
    return call->who;
}

/* Looked up anew each time: who left the group has left. */
bool
amy__control_is_admin_id(uid_t uid, gid_t gid)
{
    AMY_CLEANUP(amy__user_clear) struct amy__user user = {0};
    gid_t admin = 0;

    if (uid == 0 || uid == geteuid()) {
        return true;
    }
    if (amy__group_find(ADMIN_GROUP, &admin, NULL) < 0) {
        return false;
    }
    return gid == admin || (amy__user_find_uid(uid, &user, NULL) == 0 &&
                            amy__user_in_group(&user, admin));
}

bool
amy__control_is_admin(const struct amy__control_call *call)
{
    AMY_CHECK(call, AMY__CONTROL_CALL_MAGIC);
    return amy__control_is_admin_id(call->uid, call->gid);
}

bool
amy__control_require(struct amy__control_call *call, uid_t site_uid)
{
    char name[64] = "";

    AMY_CHECK(call, AMY__CONTROL_CALL_MAGIC);
    if ((call->uid == site_uid && site_uid != AMY__CONTROL_ADMINS) ||
        amy__control_is_admin(call)) {
        return true;
    }
    if (site_uid == AMY__CONTROL_ADMINS) {
        amy__control_refuse(
            call, 403, "%s may not do that: root and group " ADMIN_GROUP " may",
            call->who);
        return false;
    }
    amy__control_refuse(call, 403,
                        "%s may not do that: root, group " ADMIN_GROUP
                        " and the site's user (%s) may",
                        call->who,
                        amy__user_name(site_uid, name, sizeof(name)));
    return false;
}

static void
answer(struct amy__exchange *x, unsigned status, struct amy__span type,
       const char *allow, struct amy__span body)
{
    struct amy__answer_head head = {.status = status, .keep_alive = true};

    head.fields[head.field_count++] =
        (struct amy__field){.name = AMY_SPAN("Content-Type"), .value = type};
    head.fields[head.field_count++] = (struct amy__field){
        .name = AMY_SPAN("Cache-Control"), .value = AMY_SPAN("no-store")};
    if (allow != NULL) {
        head.fields[head.field_count++] = (struct amy__field){
            .name = AMY_SPAN("Allow"), .value = amy__span_of(allow)};
    }
    amy__exchange_reply(x, &head, body, false);
}

/* Takes json over. */
static void
send_json(struct amy__exchange *x, unsigned status, struct amy__span type,
          const char *allow, struct amy__json *json)
{
    AMY_CLEANUP(amy__buf_clear) struct amy__buf body = {0};

    amy__buf_init(&body, ANSWER_MAX);
    if (amy__json_write(json, 0, &body) < 0 ||
        amy__buf_append_text(&body, "\n") < 0) {
        answer(x, 500, AMY_SPAN("application/problem+json"), NULL,
               AMY_SPAN("{\"type\":\"about:blank\",\"status\":500,"
                        "\"title\":\"Internal Server Error\","
                        "\"detail\":\"no memory for the answer\"}\n"));
    } else {
        answer(x, status, type, allow, amy__buf_span(&body));
    }
    amy__json_free(json);
}

void
amy__control_refuse_exchange(struct amy__exchange *x, unsigned status,
                             const char *allow, const char *detail)
{
    struct amy__json *problem = amy__json_object();

    /* What memory does not suffice for is missing; send_json sees the rest. */
    (void)amy__json_set(problem, "type", amy__json_text("about:blank"));
    (void)amy__json_set(problem, "title",
                        amy__json_text(amy__status_reason(status)));
    (void)amy__json_set(problem, "status", amy__json_int(status));
    (void)amy__json_set(problem, "detail", amy__json_text(detail));
    send_json(x, status, AMY_SPAN("application/problem+json"), allow, problem);
}

void
amy__control_reply(struct amy__control_call *call, unsigned status,
                   struct amy__json *json)
{
    AMY_CHECK(call, AMY__CONTROL_CALL_MAGIC);
    AMY_ASSERT(!call->answered);
    call->answered = true;
    send_json(call->x, status, AMY_SPAN("application/json"), NULL, json);
}

void
amy__control_refuse(struct amy__control_call *call, unsigned status,
                    const char *fmt, ...)
{
    char detail[512] = "";
    va_list args;

    AMY_CHECK(call, AMY__CONTROL_CALL_MAGIC);
    AMY_ASSERT(!call->answered);
    call->answered = true;
    va_start(args, fmt);
    (void)vsnprintf(detail, sizeof(detail), fmt, args);
    va_end(args);
    amy__control_refuse_exchange(call->x, status, NULL, detail);
}
