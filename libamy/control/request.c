/* One request to a daemon's control socket, for amyctl and other programs. */
/* Not for understanding the answer: it is handed on as text. */
#include <amy/control.h>

#include "core/alloc.h"
#include "core/buf.h"
#include "core/check.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "core/loop.h"
#include "core/maker.h"
#include "core/options.h"
#include "serve/client.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define REQUEST_MAGIC 0x61736b21U
#define BODY_MAX 65536U
#define ANSWER_MAX ((size_t)4 * 1024 * 1024)
#define TIMEOUT_MS 10000U
#define AGAIN_MS 5 /* the daemon's backlog was full */

struct amy_control_request {
    uint32_t magic;
    pid_t maker;
    int dir_fd;
    char socket_name[64];
    char *method;
    char *path;
    char *body;
    uint32_t timeout_ms;
    struct amy__client *client;
    struct amy__call *call; /* NULL: over */
    struct amy__timer *deadline;
    struct amy__timer *again;
    unsigned status;
    int failure; /* AMY_ELIMIT, AMY_ENOMEM while reading; or 0 */
    struct amy__buf answer;
    amy_control_done_fn on_done;
    void *user;
};

static void
finish(struct amy_control_request *request, int code, const char *reason)
{
    struct amy_control_answer answer = {
        .struct_size = sizeof(answer),
        .code = code,
        .status = code == 0 ? request->status : 0,
        .body =
            code == 0 && request->answer.len > 0 ? request->answer.data : "",
        .body_bytes = code == 0 ? request->answer.len : 0,
        .reason = reason,
    };

    request->call = NULL;
    amy__timer_cancel(request->deadline);
    amy__timer_cancel(request->again);
    request->on_done(request, &answer, request->user); /* may free it */
}

static void
on_answer(struct amy__call *call, const struct amy__answer_head *head,
          void *user)
{
    struct amy_control_request *request = user;

    (void)call;
    request->status = head->status;
}

static void
on_data(struct amy__call *call, struct amy__span data, void *user)
{
    struct amy_control_request *request = user;

    (void)call;
    if (request->failure == 0) {
        request->failure = amy__buf_append_span(&request->answer, data);
    }
}

static void
on_end(struct amy__call *call, void *user)
{
    struct amy_control_request *request = user;

    (void)call;
    finish(request, request->failure,
           request->failure == 0 ? "" : "the answer is too long");
}

static void
on_fail(struct amy__call *call, enum amy__call_failure failure,
        const char *reason, void *user)
{
    struct amy_control_request *request = user;
    int code = AMY_EPROTO;

    (void)call;
    switch (failure) {
    case AMY__CALL_BUSY:
        request->call = NULL;
        if (amy__timer_arm(request->again, AGAIN_MS, NULL) == 0) {
            return;
        }
        code = AMY_ENOMEM;
        break;
    case AMY__CALL_CONNECT:
        code = AMY_ECONN;
        break;
    case AMY__CALL_CLOSED:
    case AMY__CALL_CUT:
        /* It ran, and may have begun what it was asked for. */
        code = AMY_EIO;
        break;
    case AMY__CALL_TIMEOUT:
        code = AMY_ETIMEOUT;
        break;
    case AMY__CALL_BAD:
        break;
    }
    finish(request, code, reason);
}

static const struct amy__call_handler handler = {
    .on_answer = on_answer,
    .on_data = on_data,
    .on_end = on_end,
    .on_fail = on_fail,
};

static void
on_deadline(void *user)
{
    struct amy_control_request *request = user;

    if (request->call != NULL) {
        amy__call_cancel(request->call);
    }
    finish(request, AMY_ETIMEOUT, "no answer in time");
}

static struct amy__field
field(const char *name, const char *value)
{
    struct amy__span n = amy__span_of(name);

    return (struct amy__field){.name = n,
                               .value = amy__span_of(value),
                               .id = (uint16_t)amy__field_id_of(n)};
}

static int
send_request(struct amy_control_request *request, struct amy_error *err)
{
    struct amy__request_head head = {
        .method_text = amy__span_of(request->method),
        .target = amy__span_of(request->path),
        .authority = AMY_SPAN("localhost"),
        .version_major = 1,
        .version_minor = 1,
    };
    struct amy__body body = {.fd = -1};

    head.fields[head.field_count++] = field("Accept", "application/json");
    if (request->body != NULL) {
        head.fields[head.field_count++] =
            field("Content-Type", "application/json");
        body.p = request->body;
        body.n = strlen(request->body);
        head.body = AMY__BODY_LENGTH;
        head.content_length = body.n;
    }
    return amy__call_start(
        request->client, &head, request->body == NULL ? NULL : &body,
        request->timeout_ms, &handler, request, &request->call, err);
}

/* Others wait as well; we wait until the deadline for our place among them. */
static void
on_again(void *user)
{
    struct amy_control_request *request = user;

    if (send_request(request, NULL) < 0) {
        finish(request, AMY_ENOMEM, "no memory for the request");
    }
}

static int
copy_texts(struct amy_control_request *request,
           const struct amy_control_options *opts, struct amy_error *err)
{
    request->method = amy__strdup(opts->method == NULL ? "GET" : opts->method);
    request->path = amy__strdup(opts->path);
    if (opts->body != NULL) {
        request->body = amy__strdup(opts->body);
    }
    if (request->method == NULL || request->path == NULL ||
        (opts->body != NULL && request->body == NULL)) {
        return amy__err(err, AMY_ENOMEM, "copying a request");
    }
    return 0;
}

static int
start(struct amy_control_request *request,
      const struct amy_control_options *opts, struct amy_error *err)
{
    struct amy__client_options client = {.base = opts->base};
    int rc = copy_texts(request, opts, err);

    if (rc < 0) {
        return rc;
    }
    request->timeout_ms = opts->timeout_ms == 0 ? TIMEOUT_MS : opts->timeout_ms;
    request->dir_fd = amy__open_dir(
        opts->run_directory == NULL ? "/run/amy" : opts->run_directory, err);
    if (request->dir_fd < 0) {
        return request->dir_fd;
    }
    (void)snprintf(request->socket_name, sizeof(request->socket_name),
                   "%.40s.sock", opts->daemon);
    client.borrow_dir_fd = request->dir_fd;
    client.unix_name = request->socket_name;
    rc = amy__client_create(&client, &request->client, err);
    if (rc == 0) {
        rc = amy__timer_create(opts->base, on_deadline, request,
                               &request->deadline, err);
    }
    if (rc == 0) {
        rc = amy__timer_create(opts->base, on_again, request, &request->again,
                               err);
    }
    if (rc == 0) {
        rc = amy__timer_arm(request->deadline, request->timeout_ms, err);
    }
    return rc < 0 ? rc : send_request(request, err);
}

AMY_DEFINE_CLEANUP(struct amy_control_request *, amy_control_free)

int
amy_control_start(const struct amy_control_options *opts,
                  struct amy_control_request **ret_request,
                  struct amy_error *err)
{
    AMY_CLEANUP(amy_control_free_p) struct amy_control_request *request = NULL;
    struct amy_control_options own = {0};
    int rc = amy__options_read(
        &own, sizeof(own), opts,
        offsetof(struct amy_control_options, user) + sizeof(own.user), err);

    if (rc < 0) {
        return rc;
    }
    if (own.base == NULL || own.daemon == NULL || own.path == NULL ||
        own.on_done == NULL) {
        return amy__err(err, AMY_EINVAL,
                        "base, daemon, path and on_done are required");
    }
    if (own.body != NULL && strlen(own.body) > BODY_MAX) {
        return amy__err(err, AMY_EINVAL, "a request may have %u bytes",
                        BODY_MAX);
    }
    request = amy__calloc(1, sizeof(*request));
    if (request == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a control request");
    }
    request->magic = REQUEST_MAGIC;
    request->maker = getpid();
    request->dir_fd = -1;
    request->on_done = own.on_done;
    request->user = own.user;
    amy__buf_init(&request->answer, ANSWER_MAX);
    rc = start(request, &own, err);
    if (rc < 0) {
        return rc;
    }
    *ret_request = AMY_TAKE(request);
    return 0;
}

void
amy_control_free(struct amy_control_request *request)
{
    if (request == NULL) {
        return;
    }
    AMY_CHECK(request, REQUEST_MAGIC);
    if (!amy__is_maker(request->maker)) {
        return;
    }
    if (request->call != NULL) {
        amy__call_cancel(request->call);
    }
    amy__timer_free(request->deadline);
    amy__timer_free(request->again);
    amy__client_free(request->client);
    amy__buf_clear(&request->answer);
    amy__close(&request->dir_fd);
    amy__free(request->method);
    amy__free(request->path);
    amy__free(request->body);
    request->magic = 0;
    amy__free(request);
}
