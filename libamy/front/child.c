/* A front process as the public header has it, for the program that is one. */
/* Not for serving: front/process.c does. */
#include <amy/front.h>

#include "core/alloc.h"
#include "core/check.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/maker.h"
#include "core/options.h"
#include "core/str.h"
#include "front/process.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHILD_MAGIC 0x66726368U

struct amy_front_process {
    uint32_t magic;
    pid_t maker;
    struct amy_front_process_options opts;
    struct amy__front *front;
};

AMY_DEFINE_CLEANUP(struct amy_front_process *, amy_front_process_free)

/* The descriptor that amy/pool.h has named in the environment; -1: none. */
static int
find_channel(void)
{
    uint64_t number = 0;

    if (!amy__parse_u64(amy__span_of(getenv("AMY_CHANNEL_FD")), INT_MAX,
                        &number)) {
        return -1;
    }
    return (int)number;
}

static void
on_finished(struct amy__front *front, int rc, void *user)
{
    struct amy_front_process *process = user;

    (void)front;
    process->opts.on_done(process, rc, process->opts.user);
}

int
amy_front_process_create(const struct amy_front_process_options *opts,
                         struct amy_front_process **ret_process,
                         struct amy_error *err)
{
    AMY_CLEANUP(amy_front_process_free_p)
    struct amy_front_process *process = amy__calloc(1, sizeof(*process));
    struct amy__front_options inner = {0};
    int rc = 0;

    if (process == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a front process");
    }
    process->magic = CHILD_MAGIC;
    process->maker = getpid();
    rc = amy__options_read(&process->opts, sizeof(process->opts), opts,
                           offsetof(struct amy_front_process_options, user),
                           err);
    if (rc < 0) {
        return rc;
    }
    inner.base = process->opts.base;
    inner.channel_fd = process->opts.channel_fd == 0 ? find_channel()
                                                     : process->opts.channel_fd;
    inner.borrow_clock = process->opts.borrow_clock;
    inner.log = process->opts.log;
    inner.on_finished = on_finished;
    inner.user = process;
    if (inner.base == NULL || inner.channel_fd < 0 ||
        process->opts.on_done == NULL || process->opts.reserved != 0) {
        return amy__err(err, AMY_EINVAL,
                        "front process: a base, a channel and on_done are "
                        "needed (amy-front starts such processes itself)");
    }
    rc = amy__front_process_create(&inner, &process->front, err);
    if (rc < 0) {
        return rc;
    }
    process->opts.log = NULL; /* the caller's */
    *ret_process = AMY_TAKE(process);
    return 0;
}

void
amy_front_process_drain(struct amy_front_process *process, bool now)
{
    AMY_CHECK(process, CHILD_MAGIC);
    if (amy__is_maker(process->maker)) {
        amy__front_process_drain(process->front, now);
    }
}

void
amy_front_process_free(struct amy_front_process *process)
{
    if (process == NULL) {
        return;
    }
    AMY_CHECK(process, CHILD_MAGIC);
    if (!amy__is_maker(process->maker)) {
        return;
    }
    amy__front_process_free(process->front);
    process->magic = 0;
    amy__free(process);
}
