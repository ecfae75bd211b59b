/* Tells a webhook, once. */
/* Not for when, what, and how often again: the scheduler decides. */
#include "backup/job.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/loop.h"
#include "fetch/fetch.h"

#include <stdlib.h>

#define TIMEOUT_MS 20000
#define ANSWER_MAX ((size_t)64 * 1024)

AMY_DEFINE_CLEANUP(struct event_base *, amy__loop_free)

int
amy__notify(const struct amy__job *job, struct amy_error *err)
{
    AMY_CLEANUP(amy__loop_free_p) struct event_base *base = NULL;
    AMY_CLEANUP(amy__fetch_free_p) struct amy__fetch *client = NULL;
    static const char *const fields[] = {"Content-Type: application/json",
                                         NULL};
    const struct amy__fetch_request request = {
        .method = "POST",
        .url = job->spec.url,
        .fields = fields,
        .body = amy__span_of(job->spec.body),
        .timeout_ms = TIMEOUT_MS,
        .answer_max = ANSWER_MAX,
    };
    struct amy__fetch_options opts = {.ca_file = getenv("SSL_CERT_FILE")};
    AMY_CLEANUP(amy__fetch_got_clear_p)
    struct amy__fetch_got got = {.status = 0};
    char host[256];
    int rc = amy__loop_create(&base, err);

    opts.base = base;
    rc = rc < 0 ? rc : amy__fetch_create(&opts, &client, err);
    rc = rc < 0 ? rc : amy__fetch_wait(client, &request, &got, err);
    if (rc == 0 && got.status / 100 != 2) {
        amy__fetch_host(job->spec.url, host, sizeof(host));
        return amy__err(err, AMY_EIO, "%s answered %u", host, got.status);
    }
    return rc;
}
