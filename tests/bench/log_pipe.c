/* Lines from a pipe to a file by amy_log_writer: what rotatelogs does, so that
 * both can be given the same. */
#include <amy/logrotate.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PIECE 65536 /* as much as rotatelogs reads, and a pipe holds */

/* The front of a line that has no end yet, and a piece. */
static char buf[2 * PIECE];

/* As processes share one that write the same file. */
static bool
lock(struct amy_log_writer *writer)
{
    struct amy_log_lock *made =
        mmap(NULL, sizeof(*made), PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return made != MAP_FAILED && amy_log_lock_init(made, NULL) == 0 &&
           amy_log_writer_set_lock(writer, made, NULL) == 0;
}

int
main(int argc, char **argv)
{
    struct amy_log_writer_options opts = AMY_LOG_WRITER_OPTIONS_INIT;
    struct amy_log_writer *writer = NULL;
    size_t used = 0;
    ssize_t got = 0;

    opts.name = "bench";
    if (argc < 2 || amy_log_writer_create(&opts, &writer, NULL) < 0 ||
        (argc > 2 && !lock(writer))) {
        (void)fprintf(stderr, "usage: bench_log_pipe FILE [shared]\n");
        return 2;
    }
    amy_log_writer_set_fd(
        writer, open(argv[1], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644));
    while ((got = read(STDIN_FILENO, buf + used, PIECE)) > 0) {
        const char *end = NULL;
        size_t whole = 0;

        used += (size_t)got;
        end = memrchr(buf, '\n', used);
        whole = end == NULL ? 0 : (size_t)(end - buf) + 1;
        if (whole > 0) {
            amy_log_writer_write(writer, buf, whole);
            used -= whole;
            memmove(buf, buf + whole, used);
        } else if (used >= PIECE) {
            used = 0; /* no line of a log is that long */
        }
    }
    if (amy_log_writer_lost(writer) > 0) {
        (void)fprintf(stderr, "lines were lost\n");
        return 1;
    }
    amy_log_writer_free(writer);
    return 0;
}
