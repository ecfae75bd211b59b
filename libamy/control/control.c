/* The control socket's server: who calls, which method, with what body. */
/* Not for methods: the rooms above register theirs. */
#include "control/control.h"

#include "control/call.h"
#include "control/route.h"
#include "core/alloc.h"
#include "core/check.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "core/user.h"
#include "net/unix.h"
#include "serve/server.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CONTROL_MAGIC 0x63746c21U
#define REQUEST_MAX 65536U
#define CONNECTIONS_MAX 256
/* Anybody may connect, so that nobody may take it all: each user's share, and
 * what is kept for those who administer (docs/decisions/0071). */
#define USER_CONNECTIONS_MAX 16
#define ADMIN_CONNECTIONS 64
#define SOCKET_MODE 0666 /* who may do what is asked of each caller */
#define BACKLOG 1024

struct method {
    struct method *next;
    char *method;
    char *pattern;
    amy__control_fn fn;
    void *user;
};

struct amy__control {
    uint32_t magic;
    struct amy__server *server;
    struct method *methods;
    int dir_fd;
    int borrow_fd; /* that the server listens on */
    char socket_name[64];
};

/* What the exchange's room holds. */
struct room {
    struct amy__control_call *call;
};

static struct amy__control_call *
call_of(struct amy__exchange *x)
{
    struct room *room = amy__exchange_room(x);

    return room->call;
}

/* The method for this path, or NULL with what is allowed there ("" when the
 * path is unknown). */
static const struct method *
find_method(const struct amy__control *control,
            const struct amy__request_head *head,
            struct amy__route_match *ret_match, char *allow, size_t allow_size)
{
    allow[0] = '\0';
    for (const struct method *m = control->methods; m != NULL; m = m->next) {
        size_t used = strlen(allow);

        if (!amy__route_matches(m->pattern, head->path, ret_match)) {
            continue;
        }
        if (amy__span_eq(head->method_text, amy__span_of(m->method))) {
            return m;
        }
        (void)snprintf(allow + used, allow_size - used, "%s%s",
                       used == 0 ? "" : ", ", m->method);
    }
    return NULL;
}

static struct amy__control_call *
make_call(struct amy__exchange *x, const struct method *method,
          const struct amy__route_match *match)
{
    struct amy__control_call *call = amy__calloc(1, sizeof(*call));
    struct room *room = amy__exchange_room(x);

    if (call == NULL) {
        return NULL;
    }
    call->magic = AMY__CONTROL_CALL_MAGIC;
    call->x = x;
    call->fn = method->fn;
    call->user = method->user;
    call->query = amy__exchange_head(x)->query;
    for (size_t i = 0; i < match->count; i++) {
        struct amy__control_param *param = &call->params[i];

        param->name = match->params[i].name;
        AMY_ASSERT(amy__span_copy(match->params[i].value, param->value,
                                  sizeof(param->value)));
    }
    call->param_count = match->count;
    room->call = call;
    return call;
}

static void
hand_over(struct amy__control_call *call)
{
    call->handed = true;
    call->fn(call, call->user); /* may end the call: nothing after this */
}

static void
begin_call(struct amy__exchange *x, const struct method *method,
           const struct amy__route_match *match)
{
    const struct amy__request_head *head = amy__exchange_head(x);
    struct amy__control_call *call = NULL;
    uid_t uid = 0;
    gid_t gid = 0;
    pid_t pid = 0;

    if (!amy__exchange_credentials(x, &uid, &gid, &pid)) {
        amy__control_refuse_exchange(x, 403, NULL, "nobody knows who asks");
        return;
    }
    call = make_call(x, method, match);
    if (call == NULL) {
        amy__control_refuse_exchange(x, 503, NULL, "no memory for the request");
        return;
    }
    call->uid = uid;
    call->gid = gid;
    (void)amy__user_name(uid, call->who, sizeof(call->who));
    if (head->body == AMY__BODY_NONE) {
        hand_over(call);
    } else if (amy__exchange_want_body(x, REQUEST_MAX) < 0) {
        amy__control_refuse(call, 413, "a request may have %u bytes",
                            REQUEST_MAX);
    }
}

static void
on_request(struct amy__exchange *x, const struct amy__request_head *head,
           void *user)
{
    struct amy__control *control = user;
    const struct method *method = NULL;
    struct amy__route_match match = {0};
    char allow[64] = "";

    AMY_CHECK(control, CONTROL_MAGIC);
    method = find_method(control, head, &match, allow, sizeof(allow));
    if (head->refuse == 417) {
        amy__control_refuse_exchange(x, 417, NULL, "unknown expectation");
    } else if (method == NULL && allow[0] != '\0') {
        amy__control_refuse_exchange(x, 405, allow, "not by this method");
    } else if (method == NULL) {
        amy__control_refuse_exchange(x, 404, NULL, "there is no such path");
    } else {
        begin_call(x, method, &match);
    }
}

static void
on_body(struct amy__exchange *x, void *user)
{
    struct amy__control_call *call = call_of(x);
    struct amy_error err = AMY_ERROR_INIT;
    struct amy__body body = {0};
    int rc = 0;

    (void)user;
    amy__exchange_body(x, &body);
    AMY_ASSERT(body.fd < 0); /* no spool: it was bounded to memory */
    if (body.n > 0) {
        rc = amy__json_parse((struct amy__span){body.p, (size_t)body.n},
                             &call->body, &err);
    }
    if (rc < 0) {
        amy__control_refuse(call, rc == AMY_ENOMEM ? 503 : 400,
                            "the body is no JSON: %s", err.msg);
        return;
    }
    hand_over(call);
}

static void
on_gone(struct amy__exchange *x, void *user)
{
    const struct amy__control_call *call = call_of(x);

    (void)user;
    /* Who has been handed the call answers it, into the void; a body that will
     * not come has nobody. */
    if (call != NULL && !call->handed && !call->answered) {
        amy__exchange_abort(x);
    }
}

static void
on_done(struct amy__exchange *x, void *user)
{
    struct amy__control_call *call = call_of(x);

    (void)user;
    if (call != NULL) {
        amy__json_free(call->body);
        call->magic = 0;
        amy__free(call);
    }
}

/* The system's lists of users are asked last: they may be far away. */
static bool
on_peer(const struct amy__server_peer *peer, void *user)
{
    (void)user;
    if (peer->uid == 0 || peer->uid == geteuid()) {
        return true;
    }
    if (peer->open_of_user >= USER_CONNECTIONS_MAX) {
        return false;
    }
    return peer->open < CONNECTIONS_MAX - ADMIN_CONNECTIONS ||
           amy__control_is_admin_id(peer->uid, peer->gid);
}

static const struct amy__server_handler handler = {
    .on_peer = on_peer,
    .on_request = on_request,
    .on_body = on_body,
    .on_gone = on_gone,
    .on_done = on_done,
};

static int
start(struct amy__control *control, const struct amy__control_options *opts,
      struct amy_error *err)
{
    struct amy__server_options server = {
        .base = opts->base,
        .borrow_handler = &handler,
        .user = control,
        .limits = {.body_bytes = REQUEST_MAX,
                   .body_memory_bytes = REQUEST_MAX,
                   .connections = CONNECTIONS_MAX},
        .borrow_spool_dir_fd = -1,
        .borrow_clock = opts->borrow_clock,
        .log = opts->log,
    };
    AMY_CLEANUP(amy__close_p) int fd = -1;
    int rc = amy__server_create(&server, &control->server, err);

    if (rc < 0) {
        return rc;
    }
    fd = opts->inherited != NULL && *opts->inherited >= 0
             ? amy__take_fd(opts->inherited)
             : amy__unix_replace_at(control->dir_fd, control->socket_name,
                                    SOCKET_MODE, BACKLOG, err);
    if (fd == AMY_EBUSY) {
        return amy__err(err, fd, "another amy-%s runs here already",
                        opts->name);
    }
    if (fd < 0) {
        return fd;
    }
    rc = amy__server_listen(control->server, fd, NULL, 0, err);
    if (rc == 0) {
        control->borrow_fd = amy__take_fd(&fd); /* the server's */
    }
    return rc;
}

AMY_DEFINE_CLEANUP(struct amy__control *, amy__control_free)

int
amy__control_create(const struct amy__control_options *opts,
                    struct amy__control **ret_control, struct amy_error *err)
{
    AMY_CLEANUP(amy__control_free_p)
    struct amy__control *control = amy__calloc(1, sizeof(*control));
    int rc = 0;

    if (control == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a control server");
    }
    control->magic = CONTROL_MAGIC;
    control->dir_fd = amy__open_dir(opts->run_path, err);
    if (control->dir_fd < 0) {
        return control->dir_fd;
    }
    (void)snprintf(control->socket_name, sizeof(control->socket_name),
                   "%.40s.sock", opts->name);
    rc = start(control, opts, err);
    if (rc < 0) {
        amy__err_prefix(err, "'%s': ", opts->run_path);
        return rc;
    }
    *ret_control = AMY_TAKE(control);
    return 0;
}

bool
amy__control_hush(struct amy__control *control, bool hold)
{
    AMY_CHECK(control, CONTROL_MAGIC);
    return amy__server_hush(control->server, hold);
}

int
amy__control_fd(const struct amy__control *control)
{
    AMY_CHECK(control, CONTROL_MAGIC);
    return control->borrow_fd;
}

void
amy__control_free(struct amy__control *control)
{
    if (control == NULL) {
        return;
    }
    AMY_CHECK(control, CONTROL_MAGIC);
    amy__server_free(control->server);
    /* The socket's file stays: dead, it says ECONNREFUSED like none says
     * ENOENT, and to remove it could hit our successor's. */
    while (control->methods != NULL) {
        struct method *method = control->methods;

        control->methods = method->next;
        amy__free(method->method);
        amy__free(method->pattern);
        amy__free(method);
    }
    amy__close(&control->dir_fd);
    control->magic = 0;
    amy__free(control);
}

int
amy__control_add(struct amy__control *control, const char *method,
                 const char *path, amy__control_fn fn, void *user,
                 struct amy_error *err)
{
    struct method *added = NULL;
    int rc = 0;

    AMY_CHECK(control, CONTROL_MAGIC);
    rc = amy__route_check(path, err);
    if (rc < 0) {
        return rc;
    }
    added = amy__calloc(1, sizeof(*added));
    if (added == NULL) {
        return amy__err(err, AMY_ENOMEM, "adding a control method");
    }
    *added = (struct method){
        .next = control->methods,
        .method = amy__strdup(method),
        .pattern = amy__strdup(path),
        .fn = fn,
        .user = user,
    };
    if (added->method == NULL || added->pattern == NULL) {
        amy__free(added->method);
        amy__free(added->pattern);
        amy__free(added);
        return amy__err(err, AMY_ENOMEM, "adding a control method");
    }
    control->methods = added;
    return 0;
}
