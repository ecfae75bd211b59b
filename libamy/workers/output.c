/* Writes logs/gunicorn_supervisor.log of one site. */
/* Not for rotation: whoever rotates gives the file. */
#include "workers/output.h"

#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "core/loop.h"
#include "logrotate/writer.h"
#include "workers/pieces.h"

#include <inttypes.h>
#include <stdio.h>

#define LOG_NAME "gunicorn_supervisor.log"
#define PREFIX_MAX 160

struct amy__workers_output {
    const struct amy_clock *borrow_clock;
    struct amy_log log;
    void (*on_full)(void *user);
    void *user;
    char *domain;
    struct amy_log_writer *writer;
    struct amy__pieces pieces;
    struct amy__defer *turn; /* asked: lines came */
    struct amy__timer *wait; /* for the end of a traceback */
};

void
amy__workers_output_free(struct amy__workers_output *output)
{
    if (output == NULL) {
        return;
    }
    amy__defer_free(output->turn);
    amy__timer_free(output->wait);
    amy__pieces_clear(&output->pieces);
    amy_log_writer_free(output->writer);
    amy__free(output->domain);
    amy__free(output);
}
AMY_DEFINE_CLEANUP(struct amy__workers_output *, amy__workers_output_free)

static size_t
mark_loss(uint64_t lost, char *buf, size_t size, void *user)
{
    const struct amy__workers_output *output = user;
    char when[25];
    int n = 0;

    (void)amy__format_time(amy__wall_ms(output->borrow_clock), when);
    n = snprintf(buf, size,
                 "%s [amy-workers] %" PRIu64 " lines were lost here\n", when,
                 lost);
    return n < 0 ? 0 : (size_t)n;
}

static void
write_piece(struct amy__span text, void *user)
{
    struct amy__workers_output *output = user;

    amy_log_writer_write(output->writer, text.p, text.n);
}

/* At the end of a turn in which lines came, and when a traceback has been
 * waited for. */
static void
write_due(void *user)
{
    struct amy__workers_output *output = user;
    int64_t now_ms = amy__mono_ms(output->borrow_clock);
    int64_t next_ms = amy__pieces_flush(&output->pieces, now_ms);

    if (next_ms != INT64_MAX &&
        amy__timer_arm(output->wait, next_ms - now_ms, NULL) < 0) {
        (void)amy__pieces_flush(&output->pieces, INT64_MAX);
    }
}

static void
on_full(struct amy_log_writer *writer, void *user)
{
    const struct amy__workers_output *output = user;

    (void)writer;
    if (output->on_full != NULL) {
        output->on_full(output->user);
    }
}

static int
create_parts(struct amy__workers_output *output, struct event_base *base,
             struct amy_error *err)
{
    struct amy_log_writer_options opts = AMY_LOG_WRITER_OPTIONS_INIT;
    char name[320];
    int rc = 0;

    (void)snprintf(name, sizeof(name), "site=%s file=logs/" LOG_NAME,
                   output->domain);
    opts.name = name;
    opts.log = &output->log;
    opts.mark = mark_loss;
    opts.on_full = on_full;
    opts.user = output;
    rc = amy_log_writer_create(&opts, &output->writer, err);
    if (rc == 0) {
        rc = amy__defer_create(base, write_due, output, &output->turn, err);
    }
    if (rc == 0) {
        rc = amy__timer_create(base, write_due, output, &output->wait, err);
    }
    return rc;
}

int
amy__workers_output_create(const struct amy__workers_output_options *opts,
                           struct amy__workers_output **ret_output,
                           struct amy_error *err)
{
    AMY_CLEANUP(amy__workers_output_free_p)
    struct amy__workers_output *output = amy__calloc(1, sizeof(*output));
    int rc = 0;

    if (output == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a worker log");
    }
    output->borrow_clock = opts->borrow_clock;
    output->log = amy__log_copy(opts->log);
    output->on_full = opts->on_full;
    output->user = opts->user;
    output->domain = amy__strdup(opts->domain);
    if (output->domain == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a worker log");
    }
    output->pieces = (struct amy__pieces){.fn = write_piece, .user = output};
    rc = create_parts(output, opts->base, err);
    if (rc < 0) {
        return rc;
    }
    *ret_output = AMY_TAKE(output);
    return 0;
}

void
amy__workers_output_line(struct amy__workers_output *output, const char *pool,
                         uint32_t position, int64_t pid, const char *line,
                         size_t n)
{
    char prefix[PREFIX_MAX];
    char when[25];

    (void)amy__format_time(amy__wall_ms(output->borrow_clock), when);
    (void)snprintf(prefix, sizeof(prefix),
                   "%s [%.63s:%" PRIu32 " %" PRId64 "] ", when, pool, position,
                   pid);
    if (!amy__pieces_add(&output->pieces, pid,
                         amy__mono_ms(output->borrow_clock),
                         amy__span_of(prefix), (struct amy__span){line, n})) {
        amy__log_writer_lose(output->writer, 1, "out of memory");
    }
    amy__defer_ask(output->turn);
}

void
amy__workers_output_flush(struct amy__workers_output *output)
{
    (void)amy__pieces_flush(&output->pieces, INT64_MAX);
    (void)amy_log_writer_flush(output->writer); /* it counts what it loses */
}

int
amy__workers_output_to_stdout(struct amy__workers_output *output,
                              struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int fd = amy_log_open_stdout(err);
    int rc = fd < 0 ? fd
                    : amy_log_writer_set_json(output->writer,
                                              AMY_LOG_COMPONENT_WORKERS,
                                              output->domain, err);

    if (rc == 0) {
        amy_log_writer_set_fd(output->writer, amy__take_fd(&fd));
    }
    return rc;
}

void
amy__workers_output_set_file(struct amy__workers_output *output, int fd)
{
    /* A traceback that is not whole goes to the next file whole. */
    amy_log_writer_set_fd(output->writer, fd);
}

uint64_t
amy__workers_output_lost(const struct amy__workers_output *output)
{
    return amy_log_writer_lost(output->writer);
}
