/* Copy standard input to a log, line by line, and rotate it: what rotatelogs
 * does, with packing and limits. Not for more than one log.
 *
 *   cc logrotate.c $(pkg-config --cflags --libs amy libevent_core) -o logrotate
 *   producer | ./logrotate /var/log/mine access.log
 */
#define _GNU_SOURCE /* memrchr, F_DUPFD_CLOEXEC */
#include <amy/logrotate.h>

#include <event2/event.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES 65536

struct program {
    struct event_base *base;
    struct amy_log_writer *writer;
    size_t used;
    char buffer[LINE_BYTES];
};

static void
on_log(enum amy_log_level level, const char *line, void *user)
{
    (void)level;
    (void)user;
    fprintf(stderr, "%s\n", line);
}

/* The next file: write there, and say that the one before is free. */
static void
on_file(struct amy_logrotate *rotator, const struct amy_logrotate_file *file,
        void *user)
{
    struct program *program = user;
    int fd = fcntl(file->fd, F_DUPFD_CLOEXEC, 0);

    if (fd >= 0) {
        amy_log_writer_set_fd(program->writer, fd);
        amy_logrotate_release(rotator, file->name, file->serial);
    }
}

static void
on_input(evutil_socket_t fd, short what, void *user)
{
    struct program *program = user;
    ssize_t n = read((int)fd, program->buffer + program->used,
                     LINE_BYTES - program->used);
    const char *end = NULL;
    size_t whole = 0;

    (void)what;
    if (n <= 0) {
        event_base_loopbreak(program->base);
        return;
    }
    program->used += (size_t)n;
    end = memrchr(program->buffer, '\n', program->used);
    whole = end == NULL ? 0 : (size_t)(end - program->buffer) + 1;
    if (whole == 0 && program->used == LINE_BYTES) {
        program->buffer[LINE_BYTES - 1] = '\n'; /* too long for a line */
        whole = LINE_BYTES;
    }
    if (whole > 0) {
        amy_log_writer_write(program->writer, program->buffer, whole);
        program->used -= whole;
        memmove(program->buffer, program->buffer + whole, program->used);
    }
}

static int
run(struct program *program, const char *directory, const char *name)
{
    const struct amy_log log = {.struct_size = sizeof(log), .fn = on_log};
    struct amy_log_writer_options writing = AMY_LOG_WRITER_OPTIONS_INIT;
    struct amy_logrotate_options opts = AMY_LOGROTATE_OPTIONS_INIT;
    struct amy_error err = AMY_ERROR_INIT;
    struct amy_logrotate *rotator = NULL;
    struct event *input =
        event_new(program->base, 0, EV_READ | EV_PERSIST, on_input, program);
    int rc = 0;

    writing.name = name;
    writing.log = &log;
    opts.base = program->base;
    opts.directory = directory;
    opts.size_bytes = 10U << 20;
    opts.every = AMY_LOGROTATE_DAILY;
    opts.total_bytes = 1U << 30;
    opts.packing = AMY_LOGROTATE_ZSTD;
    opts.log = &log;
    opts.on_file = on_file;
    opts.user = program;
    rc = amy_log_writer_create(&writing, &program->writer, &err);
    rc = rc == 0 ? amy_logrotate_create(&opts, &rotator, &err) : rc;
    rc = rc == 0 ? amy_logrotate_add(rotator, name, AMY_LOGROTATE_GIVEN, &err)
                 : rc;
    if (rc == 0 && input != NULL && event_add(input, NULL) == 0) {
        (void)event_base_dispatch(program->base);
    } else {
        fprintf(stderr, "logrotate: %s\n", err.msg);
    }
    if (input != NULL) {
        event_free(input);
    }
    amy_logrotate_free(rotator);
    amy_log_writer_free(program->writer);
    return rc == 0 ? 0 : 1;
}

int
main(int argc, char **argv)
{
    static struct program program;
    int rc = 2;

    if (argc != 3) {
        fprintf(stderr, "usage: logrotate DIRECTORY NAME < lines\n");
        return 2;
    }
    program.base = event_base_new();
    if (program.base != NULL) {
        rc = run(&program, argv[1], argv[2]);
        event_base_free(program.base);
    }
    return rc;
}
