/* Reading a worker's pipe and joining its lines. */
/* Not for where they go: that is the pool's owner's. */
#include "pool/output.h"

#include "core/alloc.h"
#include "core/check.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "core/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

/* As deep as a pipe can be made (1 MiB), and once for its end. */
#define FINISH_READS (1048576 / AMY__OUTPUT_LINE_MAX + 1)

struct amy__output {
    int fd;
    struct amy__io *io;
    struct amy__output_user to;
    size_t used; /* of buf: the line that is not whole yet */
    char buf[AMY__OUTPUT_LINE_MAX];
};

/* Hand over the whole lines; false when the owner wants no more. `fresh` is
 * where bytes not yet searched for a newline begin. */
static bool
cut_lines(struct amy__output *output, size_t fresh)
{
    size_t begin = 0;
    bool go_on = true;

    while (go_on) {
        size_t from = begin > fresh ? begin : fresh;
        const char *end = memchr(output->buf + from, '\n', output->used - from);

        if (end == NULL) {
            break;
        }
        go_on = output->to.line(output->buf + begin,
                                (size_t)(end - output->buf) - begin,
                                output->to.user);
        begin = (size_t)(end - output->buf) + 1;
    }
    output->used -= begin;
    memmove(output->buf, output->buf + begin, output->used);
    if (go_on && output->used == sizeof(output->buf)) {
        go_on = output->to.line(output->buf, output->used, output->to.user);
        output->used = 0;
    }
    return go_on;
}

/* One read; false when there is nothing more to come now. */
static bool
read_some(struct amy__output *output)
{
    size_t fresh = output->used;
    ssize_t n = 0;

    do {
        n = read(output->fd, output->buf + fresh, sizeof(output->buf) - fresh);
    } while (n < 0 && errno == EINTR);
    if (n <= 0) {
        if (n == 0 || errno != EAGAIN) {
            /* Everybody has closed it: nothing to watch any more. */
            amy__io_free(output->io);
            output->io = NULL;
        }
        return false;
    }
    output->used += (size_t)n;
    return cut_lines(output, fresh);
}

static void
on_readable(int fd, unsigned what, void *user)
{
    struct amy__output *output = user;
    struct amy__output_user to = output->to;

    (void)fd;
    (void)what;
    to.enter(to.user);
    /* One read a turn, so that a loud worker leaves time for the others. */
    (void)read_some(output);
    to.leave(to.user); /* may free it: nothing after this */
}

int
amy__output_create(struct event_base *base, int fd,
                   const struct amy__output_user *user,
                   struct amy__output **ret_output, struct amy_error *err)
{
    struct amy__output *output = NULL;
    int rc = 0;

    /* Ours alone: the worker's end keeps blocking, as programs expect. */
    if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0) {
        return amy__err_sys(err, errno, "making a pipe non-blocking");
    }
    output = amy__calloc(1, sizeof(*output));
    if (output == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a worker's output");
    }
    output->to = *user;
    rc = amy__io_create(base, fd, AMY__IO_READ, on_readable, output,
                        &output->io, err);
    if (rc < 0) {
        amy__free(output);
        return rc;
    }
    output->fd = fd;
    *ret_output = output;
    return 0;
}

void
amy__output_finish(struct amy__output *output)
{
    /* A process that left the group may go on writing: no longer than the
     * pipe was deep. */
    bool more = true;

    for (size_t i = 0; more && i < FINISH_READS; i++) {
        more = read_some(output);
    }
    if (output->used > 0) {
        (void)output->to.line(output->buf, output->used, output->to.user);
        output->used = 0;
    }
}

int
amy__output_fd(const struct amy__output *output)
{
    return output->fd;
}

struct amy__span
amy__output_begun(const struct amy__output *output)
{
    return (struct amy__span){output->buf, output->used};
}

void
amy__output_begin(struct amy__output *output, struct amy__span begun)
{
    AMY_ASSERT(begun.n < sizeof(output->buf) && output->used == 0);
    if (begun.n > 0) {
        memcpy(output->buf, begun.p, begun.n);
        output->used = begun.n;
    }
}

void
amy__output_free(struct amy__output *output)
{
    if (output == NULL) {
        return;
    }
    amy__io_free(output->io);
    amy__close(&output->fd);
    amy__free(output);
}
