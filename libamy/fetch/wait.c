/* One request, waited for. */
/* Not for a program with a loop of its own: amy__fetch_start. */
#include "core/error.h"
#include "core/loop.h"
#include "fetch/internal.h"

struct waiting {
    struct amy__fetch_got *got;
    bool over;
    int rc;
    struct amy_error err;
};

static void
on_answer(int rc, const struct amy__fetch_answer *answer,
          const struct amy_error *err, void *user)
{
    struct waiting *waiting = user;
    struct amy__fetch_got *got = waiting->got;

    waiting->over = true;
    waiting->rc = rc;
    waiting->err = *err;
    if (rc < 0) {
        return;
    }
    got->status = answer->status;
    if (amy__buf_append_span(&got->head, answer->head) < 0 ||
        amy__buf_append_span(&got->body, answer->body) < 0) {
        waiting->rc = amy__err(&waiting->err, AMY_ENOMEM, "keeping an answer");
    }
}

int
amy__fetch_wait(struct amy__fetch *client,
                const struct amy__fetch_request *request,
                struct amy__fetch_got *ret, struct amy_error *err)
{
    struct waiting waiting = {.got = ret};
    struct amy__fetch_call *call = NULL;
    int rc = 0;

    *ret = (struct amy__fetch_got){.status = 0};
    amy__buf_init(&ret->head, AMY__FETCH_HEAD_MAX);
    amy__buf_init(&ret->body, request->answer_max);
    rc = amy__fetch_start(client, request, on_answer, &waiting, &call, err);
    rc = rc < 0 ? rc : amy__loop_run(client->base, &waiting.over, err);
    if (rc == 0 && waiting.rc < 0 && err != NULL) {
        *err = waiting.err;
    }
    return rc < 0 ? rc : waiting.rc;
}

void
amy__fetch_got_clear(struct amy__fetch_got *got)
{
    amy__buf_clear(&got->head);
    amy__buf_clear(&got->body);
}
