/* The door of a site that is closed to strangers: who may in, who is asked for
 * a password (RFC 7617) and who waits until his has been checked. */
/* Not for the rules (access.c) nor for checking passwords: checks.c knows the
 * answer, or checker.c finds it. */
#include "core/clock.h"
#include "core/digest.h"
#include "core/error.h"
#include "front/access.h"
#include "front/checks.h"
#include "front/state.h"
#include "front/users.h"
#include "http/basic.h"

#include <stdio.h>
#include <string.h>

#define BUSY_RETRY_S 2

/* ---- answers ---- */

static void
keep_out(struct amy__visit *v, unsigned status, struct amy__span name,
         struct amy__span value)
{
    v->screened = true;
    v->as = NULL; /* a name without its password is nobody's */
    amy__visit_refuse_with(v, status, name, value);
}

static void
ask_password(struct amy__visit *v)
{
    const struct amy__site *site = v->vhost->site;
    struct amy__forward_text *text = &v->front->text;
    int n = snprintf(
        text->text, sizeof(text->text), "Basic realm=\"%s\", charset=\"UTF-8\"",
        site->access_realm == NULL ? site->domain : site->access_realm);

    keep_out(v, 401, AMY_SPAN("WWW-Authenticate"),
             (struct amy__span){text->text, n > 0 ? (size_t)n : 0});
}

static void
send_later(struct amy__visit *v, unsigned status, int64_t retry_s)
{
    struct amy__forward_text *text = &v->front->text;
    int n =
        snprintf(text->text, sizeof(text->text), "%lld", (long long)retry_s);

    keep_out(v, status, AMY_SPAN("Retry-After"),
             (struct amy__span){text->text, n > 0 ? (size_t)n : 0});
}

/* ---- those who wait ---- */

static void
forget(struct amy__visit *v)
{
    if (v->check != 0) {
        v->check = 0;
        LIST_REMOVE(v, at_door);
    }
}

/* A body is taken in meanwhile: later it could not be asked for any more. */
static void
wait_for(struct amy__visit *v, uint64_t check)
{
    v->way = AMY__WAY_DOOR;
    if (amy__exchange_head(v->x)->body == AMY__BODY_NONE) {
        v->body_here = true;
    } else if (amy__exchange_want_body(v->x, v->vhost->site->body_bytes) < 0) {
        amy__visit_refuse(v, 413, NULL);
        return;
    }
    v->check = check;
    LIST_INSERT_HEAD(&v->front->door, v, at_door);
}

static void
go_on(struct amy__visit *v)
{
    if (v->check == 0 && v->body_here && !v->closed) {
        v->way = AMY__WAY_OWN;
        amy__visit_admit(v);
    }
}

void
amy__door_on_body(struct amy__visit *v)
{
    v->body_here = true;
    go_on(v);
}

void
amy__door_leave(struct amy__visit *v)
{
    forget(v);
    if (!v->closed) {
        v->closed = true;
        amy__exchange_abort(v->x);
    }
}

static void
tell(struct amy__visit *v, enum amy__verdict verdict)
{
    forget(v);
    if (v->closed) {
        return;
    }
    if (verdict == AMY__VERDICT_RIGHT && v->as != NULL) {
        go_on(v);
    } else if (verdict == AMY__VERDICT_BUSY) {
        send_later(v, 503, BUSY_RETRY_S);
    } else {
        ask_password(v);
    }
}

/* Those of this check; an answer may end others, too. */
static void
tell_all(struct amy__front *front, uint64_t number, enum amy__verdict verdict)
{
    struct amy__visit *v = LIST_FIRST(&front->door);

    while (v != NULL) {
        if (v->check == number) {
            tell(v, verdict);
            v = LIST_FIRST(&front->door);
        } else {
            v = LIST_NEXT(v, at_door);
        }
    }
}

void
amy__door_checked(struct amy__front *front, const struct amy__json *json)
{
    uint64_t number = (uint64_t)amy__json_get_int(json, "ask", 0);
    const char *said = amy__json_get_text(json, "verdict", "");
    enum amy__verdict verdict = strcmp(said, "right") == 0 ? AMY__VERDICT_RIGHT
                                : strcmp(said, "wrong") == 0
                                    ? AMY__VERDICT_WRONG
                                    : AMY__VERDICT_BUSY;

    if (front->checks != NULL &&
        amy__checks_settle(front->checks, number, verdict,
                           amy__mono_ms(front->clock))) {
        tell_all(front, number, verdict);
    }
}

void
amy__door_tick(struct amy__front *front)
{
    uint64_t number = 0;

    while (front->checks != NULL &&
           (number = amy__checks_late(front->checks,
                                      amy__mono_ms(front->clock))) != 0) {
        tell_all(front, number, AMY__VERDICT_BUSY);
    }
}

/* ---- passwords ---- */

static bool
have_checked(struct amy__front *front, uint64_t number,
             const struct amy__check *check)
{
    struct amy__json *json = amy__json_object();
    char hex[2 * AMY__BASIC_PASSWORD_MAX + 1];
    int rc = 0;

    amy__hex((const uint8_t *)check->password.p, check->password.n, hex);
    rc = amy__json_set(json, "ask", amy__json_int((int64_t)number));
    if (rc == 0) {
        rc = amy__json_set(json, "hash", amy__json_text(check->hash));
    }
    if (rc == 0) {
        rc = amy__json_set(json, "secret", amy__json_text(hex));
    }
    amy__wipe(hex, sizeof(hex));
    if (rc < 0) {
        amy__json_free(json);
        return false;
    }
    amy__front_say(front, AMY__WIRE_CHECK, json);
    return true;
}

/* The same with a password that is nobody's: as slow, and wrong. */
static const struct amy__users_entry *
entry_of(struct amy__visit *v, struct amy__span name)
{
    v->as = amy__users_find(v->vhost->users, name);
    return v->as != NULL ? v->as : amy__users_any(v->vhost->users, name);
}

static enum amy__verdict
judge(struct amy__visit *v, const struct amy__check *check,
      uint64_t *ret_number, int64_t *ret_retry_s)
{
    struct amy__front *front = v->front;
    int64_t now_ms = amy__mono_ms(front->clock);
    enum amy__verdict verdict = AMY__VERDICT_BUSY;

    if (front->checks == NULL && amy__checks_create(&front->checks, NULL) < 0) {
        return AMY__VERDICT_BUSY;
    }
    verdict = amy__checks_judge(front->checks, check, now_ms, ret_number,
                                ret_retry_s);
    if (verdict == AMY__VERDICT_ASK &&
        !have_checked(front, *ret_number, check)) {
        (void)amy__checks_settle(front->checks, *ret_number, AMY__VERDICT_BUSY,
                                 now_ms);
        return AMY__VERDICT_BUSY;
    }
    return verdict;
}

/* The one field that there is, or NULL. */
static const struct amy__field *
credentials(const struct amy__request_head *head)
{
    const struct amy__field *found = NULL;

    for (size_t i = 0; i < head->field_count; i++) {
        if (head->fields[i].id != AMY__FIELD_AUTHORIZATION) {
            continue;
        }
        if (found != NULL) {
            return NULL;
        }
        found = &head->fields[i];
    }
    return found;
}

/* True: it goes on at once. */
static bool
knows(struct amy__visit *v, const struct amy__check *check)
{
    uint64_t number = 0;
    int64_t retry_s = 0;

    switch (judge(v, check, &number, &retry_s)) {
    case AMY__VERDICT_RIGHT:
        if (v->as != NULL) {
            return true;
        }
        ask_password(v);
        break;
    case AMY__VERDICT_ASK:
    case AMY__VERDICT_PENDING:
        wait_for(v, number);
        break;
    case AMY__VERDICT_OFTEN:
        send_later(v, 429, retry_s);
        break;
    case AMY__VERDICT_BUSY:
        send_later(v, 503, BUSY_RETRY_S);
        break;
    case AMY__VERDICT_WRONG:
    default:
        ask_password(v);
        break;
    }
    return false;
}

static bool
has_password(struct amy__visit *v, const struct amy__request_head *head,
             const struct amy__address *client)
{
    const struct amy__field *field = credentials(head);
    struct amy__check check = {.client = client};
    const struct amy__users_entry *entry = NULL;
    char text[AMY__BASIC_MAX];
    bool good = field != NULL && amy__basic_parse(field->value, text,
                                                  &check.name, &check.password);

    if (good) {
        entry = entry_of(v, check.name);
    }
    if (entry == NULL) {
        ask_password(v);
    } else {
        check.hash = entry->hash;
        good = knows(v, &check);
    }
    amy__wipe(text, sizeof(text));
    return entry != NULL && good;
}

/* ---- the door ---- */

bool
amy__door_keeps(struct amy__visit *v, const struct amy__request_head *head,
                const struct amy__address *client)
{
    const struct amy__site *site = v->vhost->site;

    if (amy__access_excepts(site, head->method, head->path)) {
        return false;
    }
    v->screened = true;
    if (amy__access_allows(site, client)) {
        return false;
    }
    if (site->access_users == NULL) {
        keep_out(v, 403, (struct amy__span){0}, (struct amy__span){0});
        return true;
    }
    return !has_password(v, head, client);
}

void
amy__door_dress(struct amy__visit *v, struct amy__answer_head *head)
{
    if (head->status < 200) {
        return;
    }
    if (v->vhost->site->stage_test) {
        amy__answer_field(head, AMY_SPAN("X-Robots-Tag"),
                          AMY_SPAN("noindex, nofollow"));
    }
    if (v->screened) {
        amy__access_make_private(head, v->front->cache_text);
    }
}
