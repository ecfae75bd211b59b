/* backup.log is rotated while jobs write to it: no line is lost. */
#include "amy_test.h"

#include <amy/logrotate.h>

#include "backup/job.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/files.h"

#include <event2/event.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define WRITERS 4
#define LINES_MAX 1000000
#define FILE_BYTES 32768
#define ROTATIONS 20
#define HOLD_MS 50

struct scene {
    char top[64];
    int top_fd;
    struct event_base *base;
    struct amy_logrotate *rotator;
    pid_t writers[WRITERS];
};
static struct scene scene;
static unsigned char seen[WRITERS][LINES_MAX];

/* What this process and the writers both have. */
struct shared {
    atomic_bool enough;
    int wrote[WRITERS];
};
static struct shared *shared;

static int
set_up(void **state)
{
    (void)state;
    scene = (struct scene){.top_fd = -1};
    (void)snprintf(scene.top, sizeof(scene.top), "/tmp/amy-joblog-XXXXXX");
    assert_non_null(mkdtemp(scene.top));
    scene.top_fd = open(scene.top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scene.base = event_base_new();
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(shared, MAP_FAILED);
    return scene.top_fd < 0 || scene.base == NULL ||
           mkdirat(scene.top_fd, "logs", 0750) != 0;
}

static int
tear_down(void **state)
{
    int fd = openat(scene.top_fd, "logs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fdopendir(fd);
    struct dirent *entry = NULL;

    (void)state;
    for (int i = 0; i < WRITERS; i++) {
        if (scene.writers[i] > 0) {
            (void)kill(scene.writers[i], SIGKILL);
            (void)waitpid(scene.writers[i], NULL, 0);
        }
    }
    (void)munmap(shared, sizeof(*shared));
    amy_logrotate_free(scene.rotator);
    event_base_free(scene.base);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        (void)unlinkat(fd, entry->d_name, 0);
    }
    (void)closedir(dir);
    (void)unlinkat(scene.top_fd, "logs", AT_REMOVEDIR);
    amy__close(&scene.top_fd);
    return rmdir(scene.top);
}

static void
start_rotator(void)
{
    struct amy_logrotate_options opts = AMY_LOGROTATE_OPTIONS_INIT;

    opts.base = scene.base;
    opts.directory = "logs";
    opts.dir_fd_plus_one = scene.top_fd + 1;
    opts.size_bytes = FILE_BYTES;
    opts.look_ms = 5;
    assert_int_equal(amy_logrotate_create(&opts, &scene.rotator, NULL), 0);
    assert_int_equal(amy_logrotate_add(scene.rotator, "backup.log",
                                       AMY_LOGROTATE_NAMED, NULL),
                     0);
}

/* As jobs do, in a process of its own. */
static void
write_lines(int writer)
{
    struct amy__job job = {.site_fd = scene.top_fd, .event_fd = -1};

    while (!atomic_load(&shared->enough) && shared->wrote[writer] < LINES_MAX) {
        amy__job_log(&job, "writer %d line %d", writer,
                     shared->wrote[writer]++);
    }
    _exit(0);
}

static int
living(void)
{
    int count = 0;

    for (int i = 0; i < WRITERS; i++) {
        if (scene.writers[i] > 0 &&
            waitpid(scene.writers[i], NULL, WNOHANG) == scene.writers[i]) {
            scene.writers[i] = 0;
        }
        count += scene.writers[i] > 0;
    }
    return count;
}

static struct amy_logrotate_view
look(void)
{
    struct amy_logrotate_view view = {.struct_size = sizeof(view)};

    amy_logrotate_read(scene.rotator, &view);
    return view;
}

static void
turn(void)
{
    assert_int_equal(event_base_loop(scene.base, EVLOOP_ONCE), 0);
}

static void
signal_all(int sig)
{
    for (int i = 0; i < WRITERS; i++) {
        assert_true(scene.writers[i] == 0 || kill(scene.writers[i], sig) == 0);
    }
}

/* After each rename they stand still, some of them with the old file open, for
 * as long as it takes to pack what nobody has open. */
static void
hold_all(void)
{
    static uint64_t rotations;
    int64_t until_ms = amy__mono_ms(NULL) + HOLD_MS;

    if (look().rotations == rotations) {
        return;
    }
    rotations = look().rotations;
    signal_all(SIGSTOP);
    while (look().waiting > 0 && amy__mono_ms(NULL) < until_ms) {
        turn();
    }
    signal_all(SIGCONT);
}

/* "2026-11-27T00:52:52.487Z writer 3 line 17" */
static void
read_numbers(const struct amy_log_line *line, unsigned *ret_writer,
             unsigned *ret_i)
{
    static const char word[] = "writer ";
    char text[128] = "";
    char *at = NULL;

    (void)snprintf(text, sizeof(text), "%.*s", (int)line->text_bytes,
                   line->text);
    at = strstr(text, word);
    assert_non_null(at);
    *ret_writer = (unsigned)strtoul(at + strlen(word), &at, 10);
    assert_true(*ret_writer < WRITERS);
    assert_int_equal(strncmp(at, " line ", 6), 0);
    *ret_i = (unsigned)strtoul(at + 6, &at, 10);
    assert_int_equal(*at, '\0');
    assert_true(*ret_i < (unsigned)shared->wrote[*ret_writer]);
}

static unsigned
read_lines(void)
{
    struct amy_log_reader_options opts = AMY_LOG_READER_OPTIONS_INIT;
    struct amy_log_line line = {.struct_size = sizeof(line)};
    struct amy_log_reader *reader = NULL;
    unsigned lines = 0;

    opts.directory = scene.top;
    opts.components = 1U << AMY_LOG_COMPONENT_BACKUP;
    assert_int_equal(amy_log_reader_open(&opts, &reader, NULL), 0);
    while (amy_log_reader_next(reader, &line) > 0) {
        unsigned writer = 0;
        unsigned i = 0;

        read_numbers(&line, &writer, &i);
        assert_int_equal(seen[writer][i]++, 0);
        lines++;
    }
    amy_log_reader_free(reader);
    return lines;
}

static void
test_lines_of_jobs_survive_rotations(void **state)
{
    unsigned wrote = 0;

    (void)state;
    start_rotator();
    for (int i = 0; i < WRITERS; i++) {
        scene.writers[i] = fork();
        assert_true(scene.writers[i] >= 0);
        if (scene.writers[i] == 0) {
            write_lines(i);
        }
    }
    while (look().rotations < ROTATIONS) {
        hold_all();
        turn();
    }
    atomic_store(&shared->enough, true);
    while (living() > 0 || look().packed < look().rotations) {
        turn();
    }
    for (int i = 0; i < WRITERS; i++) {
        wrote += (unsigned)shared->wrote[i];
    }
    assert_int_equal(read_lines(), wrote);
}

/* What a job left that was killed while it wrote. */
static void
test_half_a_line_is_ended_by_the_next_job(void **state)
{
    struct amy__job job = {.site_fd = scene.top_fd, .event_fd = -1};
    char text[256] = "";
    int fd = openat(scene.top_fd, "logs/backup.log",
                    O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0640);

    (void)state;
    assert_int_equal(write(fd, "half a li", 9), 9);
    for (int i = 0; i < 2; i++) {
        amy__job_log_begin(&job);
        amy__job_log(&job, "job %d", i);
    }
    assert_true(pread(fd, text, sizeof(text) - 1, 0) > 0);
    assert_memory_equal(text, "half a li\n", 10);
    assert_memory_equal(strchr(text + 10, ' '), " job 0\n", 7);
    assert_non_null(strstr(text, " job 1\n"));
    assert_null(strstr(text, "\n\n"));
    amy__close(&fd);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lines_of_jobs_survive_rotations,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_half_a_line_is_ended_by_the_next_job, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
