/* Four processes write one log while it is rotated every 50 ms, and are killed
 * again and again: every line that was written is there once, whole, and behind
 * the one that its writer wrote before. AMY_TORTURE_LINES: how many, in all.
 * promises/logs.md 1. */
#include "amy_test.h"

#include <amy/logrotate.h>

#include "logrotate/scan.h"

#include <event2/event.h>

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAME "access.log"
#define WRITERS 4
#define LIVES 14 /* of a writer; all but the last one end by SIGKILL */
/* Lines of 40 bytes that fill the buffer: nothing is lost where a writer waits
 * for a slow disk of the others. */
#define BURST 1500U
#define DOOMED UINT64_MAX /* instead of a serial: kill me */
#define PADDING "abcdefghijklmnopqrstuvwxyz"
#define PATIENCE_MS 60000

/* One life of one writer. */
struct life {
    pid_t pid;
    int channel;     /* ours; -1: over */
    uint64_t serial; /* that it was given and has not acknowledged; 0: none */
    _Atomic uint64_t *flushed; /* lines that write(2) took, for sure */
    uint64_t seen;             /* in the files */
    struct event *wake;        /* it said something */
};

struct scene {
    char directory[64];
    struct event_base *base;
    struct amy_logrotate *rotator;
    uint64_t lines; /* of each life, at least */
    struct life lives[WRITERS][LIVES];
    unsigned born[WRITERS];
    int fd;
    uint64_t serial;
    struct shared {
        struct amy_log_lock lock;
        _Atomic uint64_t flushed[WRITERS][LIVES];
    } * shared;
};
static struct scene scene;

/* ---- a writer ---- */

static int
receive(int channel, int flags, uint64_t *ret_serial)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec part = {ret_serial, sizeof(*ret_serial)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    int fd = -1;

    if (recvmsg(channel, &message, flags) != sizeof(*ret_serial) ||
        CMSG_FIRSTHDR(&message) == NULL) {
        return -1;
    }
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
    return fd;
}

/* Take a new file if there is one, and say so. */
static void
change_file(struct amy_log_writer *writer, int channel, int flags)
{
    uint64_t serial = 0;
    int fd = receive(channel, flags, &serial);

    if (fd >= 0) {
        amy_log_writer_set_fd(writer, fd);
        (void)!write(channel, &serial, sizeof(serial));
    }
}

static void
flush(struct amy_log_writer *writer, int channel)
{
    while (amy_log_writer_flush(writer) < 0) {
        (void)sched_yield();
    }
    change_file(writer, channel, MSG_DONTWAIT);
}

/* All but a writer's last life go on until they are killed. */
static _Noreturn void
write_lines(unsigned writer_number, unsigned life, int channel,
            _Atomic uint64_t *flushed)
{
    struct amy_log_writer_options opts = AMY_LOG_WRITER_OPTIONS_INIT;
    struct amy_log_writer *writer = NULL;
    uint64_t doomed = DOOMED;
    char line[128] = "";

    opts.name = "torture";
    opts.buffer_bytes = AMY_LOG_WRITER_BUFFER_MAX;
    if (amy_log_writer_create(&opts, &writer, NULL) < 0 ||
        amy_log_writer_set_lock(writer, &scene.shared->lock, NULL) < 0) {
        _exit(1);
    }
    change_file(writer, channel, 0);
    for (uint64_t n = 0; life < LIVES - 1 || n < scene.lines; n++) {
        int size = snprintf(line, sizeof(line), "%u %u %llu " PADDING "\n",
                            writer_number, life, (unsigned long long)n);

        amy_log_writer_write(writer, line, (size_t)size);
        if (n % BURST == BURST - 1) {
            flush(writer, channel);
            *flushed = n + 1;
        }
        if (n == scene.lines) {
            (void)!write(channel, &doomed, sizeof(doomed));
        }
    }
    flush(writer, channel);
    *flushed = scene.lines - amy_log_writer_lost(writer);
    _exit(0);
}

/* ---- who rotates ---- */

static void
send_file(struct life *life)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {.bytes = {0}};
    struct iovec part = {&scene.serial, sizeof(scene.serial)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);

    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &scene.fd, sizeof(int));
    if (sendmsg(life->channel, &message, MSG_NOSIGNAL) > 0) {
        life->serial = scene.serial;
    }
}

static void
on_word(evutil_socket_t fd, short what, void *user)
{
    (void)fd;
    (void)what;
    (void)user; /* the loop turns */
}

static void
start_life(unsigned writer)
{
    unsigned number = scene.born[writer]++;
    struct life *life = &scene.lives[writer][number];
    int ends[2] = {-1, -1};

    assert_int_equal(
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    life->flushed = &scene.shared->flushed[writer][number];
    life->pid = fork();
    assert_true(life->pid >= 0);
    if (life->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ends[0]);
        close(scene.fd); /* or it would hold the old file for ever */
        write_lines(writer, number, ends[1], life->flushed);
    }
    close(ends[1]);
    life->channel = ends[0];
    life->wake = event_new(scene.base, ends[0], EV_READ, on_word, NULL);
    assert_int_equal(event_add(life->wake, NULL), 0);
    send_file(life);
}

static void
end_life(struct life *life, int wanted)
{
    int status = 0;

    event_free(life->wake);
    close(life->channel);
    life->channel = -1;
    assert_int_equal(waitpid(life->pid, &status, 0), life->pid);
    assert_int_equal(status, wanted);
}

static void
release_when_all_have_it(void)
{
    for (unsigned w = 0; w < WRITERS; w++) {
        for (unsigned i = 0; i < scene.born[w]; i++) {
            if (scene.lives[w][i].channel >= 0 &&
                scene.lives[w][i].serial != 0) {
                return;
            }
        }
    }
    amy_logrotate_release(scene.rotator, NAME, scene.serial);
}

static void
on_file(struct amy_logrotate *rotator, const struct amy_logrotate_file *file,
        void *user)
{
    (void)rotator;
    (void)user;
    scene.fd = file->fd;
    scene.serial = file->serial;
    for (unsigned w = 0; w < WRITERS; w++) {
        for (unsigned i = 0; i < scene.born[w]; i++) {
            if (scene.lives[w][i].channel >= 0) {
                send_file(&scene.lives[w][i]);
            }
        }
    }
}

/* What it says: that it has taken a file, or that its time has come. */
static void
hear_life(unsigned writer, struct life *life)
{
    uint64_t word = 0;
    ssize_t n = 1;

    while (life->channel >= 0 && n > 0) {
        n = recv(life->channel, &word, sizeof(word), MSG_DONTWAIT);
        if (n > 0 && word == DOOMED) {
            assert_int_equal(kill(life->pid, SIGKILL), 0);
            end_life(life, SIGKILL);
            start_life(writer);
        } else if (n > 0 && word == life->serial) {
            life->serial = 0;
        } else if (n == 0) {
            end_life(life, 0);
        }
    }
}

/* Returns how many live. */
static unsigned
hear(void)
{
    unsigned living = 0;

    for (unsigned w = 0; w < WRITERS; w++) {
        for (unsigned i = 0; i < scene.born[w]; i++) {
            hear_life(w, &scene.lives[w][i]);
        }
        living += scene.lives[w][scene.born[w] - 1].channel >= 0 ? 1 : 0;
    }
    release_when_all_have_it();
    return living;
}

static void
run(void)
{
    struct timespec now = {0};
    int64_t deadline = 0;
    unsigned living = WRITERS;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    deadline = now.tv_sec + PATIENCE_MS / 1000 +
               (int64_t)scene.lines * LIVES * WRITERS / 10000;
    while (living > 0) {
        (void)event_base_loop(scene.base, EVLOOP_ONCE);
        living = hear();
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        assert_true(now.tv_sec < deadline);
    }
}

/* Until every old file is packed. */
static void
pack_all(void)
{
    struct amy_logrotate_view view = {.struct_size = sizeof(view)};
    struct timespec now = {0};
    int64_t deadline = 0;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    deadline = now.tv_sec + PATIENCE_MS / 1000;
    while (view.packed == 0 || view.packed < view.rotations) {
        (void)event_base_loop(scene.base, EVLOOP_ONCE);
        (void)hear(); /* nobody is left, so the last one is free as well */
        amy_logrotate_read(scene.rotator, &view);
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        assert_true(now.tv_sec < deadline);
    }
}

/* ---- what is there ---- */

static void
read_line(const char *line)
{
    unsigned w = 0;
    unsigned i = 0;
    unsigned long long n = 0;
    int end = 0;

    if (sscanf(line, "%u %u %llu " PADDING "\n%n", &w, &i, &n, &end) != 3 ||
        end == 0 || line[end] != '\0' || w >= WRITERS || i >= LIVES) {
        fail_msg("torn: '%s'", line);
    }
    if (n != scene.lives[w][i].seen) {
        fail_msg("writer %u, life %u: %llu where %llu was to be", w, i, n,
                 (unsigned long long)scene.lives[w][i].seen);
    }
    scene.lives[w][i].seen++;
}

static void
read_file(const struct amy__logplan_file *file)
{
    char command[300] = "";
    char line[256] = "";
    FILE *pipe = NULL;

    (void)snprintf(command, sizeof(command), "%s '%s/%s'",
                   file->name.packing == AMY__LOGNAME_ZSTD ? "zstd -qdc"
                                                           : "cat",
                   scene.directory, file->text);
    pipe = popen(command, "r");
    assert_non_null(pipe);
    while (fgets(line, sizeof(line), pipe) != NULL) {
        read_line(line);
    }
    assert_int_equal(pclose(pipe), 0);
}

static void
read_files(void)
{
    static const struct amy__logplan_limits all = {
        .size_bytes = UINT64_MAX,
        .keep = UINT32_MAX,
        .max_age_ms = INT64_MAX,
        .total_bytes = UINT64_MAX,
    };
    const struct amy__logscan_log logs[] = {{AMY_SPAN(NAME), false}};
    struct amy__logscan scan = {.files = NULL};
    int dir = open(scene.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    size_t old = 0;

    assert_int_equal(amy__logscan_read(&scan, dir, logs, 1, NULL), 0);
    amy__logplan_sweep(&all, scan.files, scan.count, 0); /* sorts */
    for (size_t i = 0; i < scan.count; i++) {
        assert_false(scan.files[i].name.partial);
        assert_true(scan.files[i].name.packing == AMY__LOGNAME_ZSTD ||
                    scan.files[i].name.kind == AMY__LOGNAME_CURRENT);
        if (scan.files[i].name.kind == AMY__LOGNAME_ROTATED) {
            read_file(&scan.files[i]);
            old++;
        }
    }
    for (size_t i = 0; i < scan.count; i++) {
        if (scan.files[i].name.kind == AMY__LOGNAME_CURRENT) {
            read_file(&scan.files[i]);
        }
    }
    print_message("%zu old files\n", old);
    assert_true(old >= 3);
    amy__logscan_clear(&scan);
    close(dir);
}

static void
check_counts(void)
{
    uint64_t seen = 0;

    for (unsigned w = 0; w < WRITERS; w++) {
        assert_int_equal(scene.born[w], LIVES);
        for (unsigned i = 0; i < LIVES; i++) {
            assert_true(scene.lives[w][i].seen >= *scene.lives[w][i].flushed);
            seen += scene.lives[w][i].seen;
        }
        assert_int_equal(scene.lives[w][LIVES - 1].seen, scene.lines);
    }
    print_message("%llu lines, %d killed\n", (unsigned long long)seen,
                  WRITERS * (LIVES - 1));
}

static void
test_no_line_is_lost_torn_or_out_of_order(void **state)
{
    struct amy_logrotate_options opts = AMY_LOGROTATE_OPTIONS_INIT;
    struct amy_logrotate_view view = {.struct_size = sizeof(view)};
    const char *wanted = getenv("AMY_TORTURE_LINES");

    (void)state;
    scene.lines = (wanted == NULL ? 1000000 : strtoull(wanted, NULL, 10)) /
                  (WRITERS * LIVES);
    opts.base = scene.base;
    opts.directory = scene.directory;
    opts.size_bytes = 1;
    opts.look_ms = 50;
    opts.packing = AMY_LOGROTATE_ZSTD;
    opts.keep = UINT32_MAX;
    opts.total_bytes = UINT64_MAX;
    opts.on_file = on_file;
    assert_int_equal(amy_logrotate_create(&opts, &scene.rotator, NULL), 0);
    assert_int_equal(
        amy_logrotate_add(scene.rotator, NAME, AMY_LOGROTATE_GIVEN, NULL), 0);
    assert_int_equal(
        amy_logrotate_set_lock(scene.rotator, NAME, &scene.shared->lock, NULL),
        0);
    for (unsigned w = 0; w < WRITERS; w++) {
        start_life(w);
    }
    run();
    amy_logrotate_read(scene.rotator, &view);
    print_message("%llu rotations, %llu packed meanwhile\n",
                  (unsigned long long)view.rotations,
                  (unsigned long long)view.packed);
    pack_all();
    amy_logrotate_free(scene.rotator);
    read_files();
    check_counts();
}

static int
set_up(void **state)
{
    (void)state;
    (void)snprintf(scene.directory, sizeof(scene.directory),
                   "/tmp/amy-torture-XXXXXX");
    assert_non_null(mkdtemp(scene.directory));
    scene.shared = mmap(NULL, sizeof(*scene.shared), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(scene.shared != MAP_FAILED);
    assert_int_equal(amy_log_lock_init(&scene.shared->lock, NULL), 0);
    scene.base = event_base_new();
    return scene.base == NULL;
}

static int
tear_down(void **state)
{
    char command[128] = "";

    (void)state;
    event_base_free(scene.base);
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", scene.directory);
    return system(command);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_no_line_is_lost_torn_or_out_of_order, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
