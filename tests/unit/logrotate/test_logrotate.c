#include "amy_test.h"

#include "logrotate/lock.h"
#include "logrotate/logrotate.h"

#include <event2/event.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* A rotator on a real loop, in a directory of its own; the wall clock is the
 * test's. */
#define NAME "access.log"
#define BEGIN_MS INT64_C(1795726799000) /* 2026-11-26T20:59:59Z */
#define STAMP "-20261126T205959Z"
#define DAY_MS INT64_C(86400000)
#define DEADLINE_MS 20000

struct scene {
    char top[64];
    char logs[80];
    struct event_base *base;
    struct amy_logrotate *rotator;
    struct amy_logrotate_options opts;
    int fd; /* that was given out last: ours */
    uint64_t serial;
    unsigned given;
    unsigned told;  /* of a log that its writers open */
    bool keep_back; /* do not release */
    bool refuse;    /* no descriptor left */
    unsigned warnings;
    int64_t skip_ms; /* that the rotator believes to have passed */
    int64_t wall_ms;
};
static struct scene scene;

static int64_t
mono_ms(void *user)
{
    (void)user;
    return amy_clock_system()->mono_ms(NULL);
}

static int64_t
skipped_ms(void *user)
{
    return mono_ms(user) + scene.skip_ms;
}

static int64_t
wall_ms(void *user)
{
    (void)user;
    return scene.wall_ms;
}

static const struct amy_clock test_clock = {sizeof(test_clock), skipped_ms,
                                            wall_ms, NULL};

static void
on_file(struct amy_logrotate *rotator, const struct amy_logrotate_file *file,
        void *user)
{
    struct scene *s = user;

    if (file->fd < 0) {
        s->told++;
        return;
    }
    assert_string_equal(file->name, NAME);
    if (s->refuse) {
        amy__logrotate_give_again(rotator, NAME);
        return;
    }
    assert_true(file->serial > s->serial);
    if (s->fd >= 0) {
        close(s->fd);
    }
    s->fd = dup(file->fd);
    s->serial = file->serial;
    s->given++;
    if (!s->keep_back) {
        amy_logrotate_release(rotator, NAME, file->serial);
    }
}

static void
start(void)
{
    assert_int_equal(amy_logrotate_create(&scene.opts, &scene.rotator, NULL),
                     0);
}

static void
start_given(void)
{
    start();
    assert_int_equal(
        amy_logrotate_add(scene.rotator, NAME, AMY_LOGROTATE_GIVEN, NULL), 0);
}

static void
stop(void)
{
    amy_logrotate_free(scene.rotator);
    scene.rotator = NULL;
    if (scene.fd >= 0) {
        close(scene.fd);
    }
    scene.fd = -1;
    scene.serial = 0;
    scene.given = 0;
}

static int
set_up(void **state)
{
    (void)state;
    scene = (struct scene){.fd = -1, .wall_ms = BEGIN_MS};
    (void)snprintf(scene.top, sizeof(scene.top), "/tmp/amy-logs-XXXXXX");
    assert_non_null(mkdtemp(scene.top));
    (void)snprintf(scene.logs, sizeof(scene.logs), "%s/logs", scene.top);
    scene.base = event_base_new();
    assert_non_null(scene.base);
    scene.opts = (struct amy_logrotate_options)AMY_LOGROTATE_OPTIONS_INIT;
    scene.opts.base = scene.base;
    scene.opts.directory = scene.logs;
    scene.opts.look_ms = 5;
    scene.opts.borrow_clock = &test_clock;
    scene.opts.on_file = on_file;
    scene.opts.user = &scene;
    return 0;
}

static int
tear_down(void **state)
{
    char command[128] = "";

    (void)state;
    stop();
    event_base_free(scene.base);
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", scene.top);
    return system(command);
}

/* ---- the loop ---- */

static void
run_until(bool (*is_so)(const char *what), const char *what)
{
    int64_t until = mono_ms(NULL) + DEADLINE_MS;

    while (!is_so(what)) {
        if (mono_ms(NULL) > until) {
            fail_msg("'%s' in vain", what);
        }
        (void)event_base_loop(scene.base, EVLOOP_ONCE);
    }
}

static struct amy_logrotate_view
view(void)
{
    struct amy_logrotate_view v = {.struct_size = sizeof(v)};

    amy_logrotate_read(scene.rotator, &v);
    return v;
}

static const char *
path_of(const char *name)
{
    static char path[256];

    (void)snprintf(path, sizeof(path), "%s/%s", scene.logs, name);
    return path;
}

static bool
exists(const char *name)
{
    struct stat st = {0};

    return lstat(path_of(name), &st) == 0;
}

static bool
is_gone(const char *name)
{
    return !exists(name);
}

static bool
is_given(const char *times)
{
    return scene.given >= (unsigned)strtoul(times, NULL, 10);
}

static bool
has_problem(const char *text)
{
    return text[0] == '\0' ? view().problem[0] == '\0'
                           : strstr(view().problem, text) != NULL;
}

static bool
looked_again(const char *unused)
{
    static int64_t since;

    (void)unused;
    if (since == 0) {
        since = mono_ms(NULL);
    }
    if (mono_ms(NULL) - since < 60) {
        return false;
    }
    since = 0;
    return true;
}

/* A dozen looks. */
static void
let_it_look(void)
{
    run_until(looked_again, "time");
}

/* ---- files ---- */

static void
say(const char *text)
{
    assert_int_equal(write(scene.fd, text, strlen(text)), strlen(text));
}

static void
put(const char *name, const char *text)
{
    int fd =
        open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);

    (void)mkdir(scene.logs, 0755);
    if (fd < 0) {
        fd =
            open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    }
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

/* The same, last written so long before the clock of the test. */
static void
put_aged(const char *name, int64_t age_s)
{
    struct timespec times[2] = {{.tv_sec = BEGIN_MS / 1000 - age_s},
                                {.tv_sec = BEGIN_MS / 1000 - age_s}};

    put(name, "adopted\n");
    assert_int_equal(utimensat(AT_FDCWD, path_of(name), times, 0), 0);
}

/* What it holds, unpacked by the system's own program. */
static void
expect(const char *name, const char *text)
{
    char command[400] = "";
    char got[256] = "";
    const char *dot = strrchr(name, '.');
    const char *program = "cat";
    FILE *pipe = NULL;
    size_t n = 0;

    program = strcmp(dot, ".gz") == 0 ? "zcat" : program;
    program = strcmp(dot, ".zst") == 0 ? "zstd -dc" : program;
    (void)snprintf(command, sizeof(command), "%s '%s'", program, path_of(name));
    pipe = popen(command, "r");
    assert_non_null(pipe);
    n = fread(got, 1, sizeof(got) - 1, pipe);
    assert_int_equal(pclose(pipe), 0);
    assert_int_equal(n, strlen(text));
    assert_string_equal(got, text);
}

static unsigned
count_files(void)
{
    DIR *dir = opendir(scene.logs);
    unsigned n = 0;

    assert_non_null(dir);
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        n += e->d_name[0] != '.' ? 1 : 0;
    }
    closedir(dir);
    return n;
}

/* ---- rotation ---- */

static void
test_a_file_is_rotated_at_its_size_and_packed_once_released(void **state)
{
    (void)state;
    scene.opts.size_bytes = 10;
    scene.keep_back = true;
    start_given();
    assert_int_equal(scene.given, 1);
    say("12345678\n");
    let_it_look();
    assert_int_equal(scene.given, 1);
    say("0");
    run_until(is_given, "2");
    assert_true(exists(NAME STAMP));
    say("next\n");
    let_it_look();
    expect(NAME STAMP, "12345678\n0");
    amy_logrotate_release(scene.rotator, NAME, 1); /* of the old one */
    let_it_look();
    assert_true(exists(NAME STAMP));
    amy_logrotate_release(scene.rotator, NAME, scene.serial);
    run_until(is_gone, NAME STAMP);
    expect(NAME STAMP ".gz", "12345678\n0");
    expect(NAME, "next\n");
    assert_int_equal(count_files(), 2);
    let_it_look();
    assert_int_equal(view().rotations, 1);
    assert_int_equal(view().packed, 1);
    assert_int_equal(view().old_files, 1);
    assert_string_equal(view().problem, "");
}

/* Its writer was killed when all others had the next file: nobody but the
 * rotator can complete its last line. */
static void
test_half_line_of_a_file_that_all_have_left_is_completed(void **state)
{
    static struct amy_log_lock lock;
    static const struct amy__span text = {"half a line\n", 12};
    struct stat st = {0};

    (void)state;
    assert_int_equal(amy_log_lock_init(&lock, NULL), 0);
    scene.opts.size_bytes = 10;
    scene.keep_back = true;
    start_given();
    assert_int_equal(amy_logrotate_set_lock(scene.rotator, NAME, &lock, NULL),
                     0);
    say("12345678\nhalf");
    assert_int_equal(fstat(scene.fd, &st), 0);
    amy__log_cuts_begin(amy__log_lock_cuts(&lock), &st,
                        (struct amy__span){text.p + 4, text.n - 4}, true);
    run_until(is_given, "2");
    amy_logrotate_release(scene.rotator, NAME, scene.serial);
    run_until(is_gone, NAME STAMP);
    expect(NAME STAMP ".gz", "12345678\nhalf a line\n");
}

/* Packing may be tried again: what is completed stays so. */
static void
test_line_that_was_completed_is_not_completed_again(void **state)
{
    static struct amy_log_lock lock;
    static const char rest[] = " a line\nand what else was to come\n";
    struct stat st = {0};

    (void)state;
    assert_int_equal(amy_log_lock_init(&lock, NULL), 0);
    scene.opts.size_bytes = 10;
    start_given();
    assert_int_equal(amy_logrotate_set_lock(scene.rotator, NAME, &lock, NULL),
                     0);
    say("half");
    assert_int_equal(fstat(scene.fd, &st), 0);
    amy__log_cuts_begin(amy__log_lock_cuts(&lock), &st, amy__span_of(rest),
                        true);
    say(" a line\n");
    run_until(exists, NAME STAMP ".gz");
    run_until(is_gone, NAME STAMP);
    expect(NAME STAMP ".gz", "half a line\n");
}

static void
test_a_file_that_somebody_writes_to_is_not_packed(void **state)
{
    int other = -1;

    (void)state;
    scene.opts.packing = AMY_LOGROTATE_ZSTD;
    start_given();
    say("one\n");
    other = open(path_of(NAME), O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_true(other >= 0);
    assert_int_equal(amy_logrotate_now(scene.rotator, NAME, NULL), 0);
    let_it_look();
    assert_true(exists(NAME STAMP));
    assert_int_equal(write(other, "two\n", 4), 4);
    close(other);
    run_until(is_gone, NAME STAMP);
    expect(NAME STAMP ".zst", "one\ntwo\n");
}

static void
test_no_name_is_given_twice(void **state)
{
    (void)state;
    put(NAME STAMP ".gz", "kept");
    put(NAME STAMP "-2", "kept, too");
    scene.opts.packing = AMY_LOGROTATE_PLAIN;
    start_given();
    for (int i = 0; i < 3; i++) {
        say("line\n");
        assert_int_equal(amy_logrotate_now(scene.rotator, NAME, NULL), 0);
        scene.wall_ms += i == 0 ? 3 * DAY_MS : -3 * DAY_MS;
        scene.wall_ms = i == 1 ? BEGIN_MS : scene.wall_ms;
    }
    assert_true(exists(NAME STAMP "-3"));
    assert_true(exists("access.log-20261129T205959Z"));
    assert_true(exists(NAME STAMP "-4"));
    expect(NAME STAMP "-2", "kept, too");
    assert_int_equal(count_files(), 6);
}

static void
test_nothing_is_rotated_that_is_empty(void **state)
{
    (void)state;
    start_given();
    assert_int_equal(amy_logrotate_now(scene.rotator, NAME, NULL), 0);
    scene.wall_ms += 2 * DAY_MS;
    let_it_look();
    say("of the new day\n");
    let_it_look();
    assert_int_equal(view().rotations, 0);
    assert_int_equal(amy_logrotate_now(scene.rotator, "other.log", NULL),
                     AMY_ENOTFOUND);
}

static void
test_a_day_ends_a_file_once_though_the_clock_jumps(void **state)
{
    (void)state;
    scene.opts.packing = AMY_LOGROTATE_PLAIN;
    start_given();
    let_it_look();
    say("today\n");
    scene.wall_ms += DAY_MS;
    run_until(is_given, "2");
    say("tomorrow\n");
    scene.wall_ms -= 30 * DAY_MS;
    let_it_look();
    scene.wall_ms += 30 * DAY_MS;
    let_it_look();
    /* It was seen a month ago, and is due for that; not more than once. */
    assert_true(view().rotations <= 2);
    expect("access.log-20261127T205959Z", "today\n");
}

/* The name of the last one says since when the file is written, over a
 * restart, and over a clock that was wrong. */
static void
test_a_restart_knows_since_when_a_file_is_written(void **state)
{
    (void)state;
    scene.opts.packing = AMY_LOGROTATE_PLAIN;
    put(NAME, "of yesterday\n");
    put("access.log-20261125T120000Z", "old\n");
    put("access.log-20991231T120000Z", "of the future\n");
    start_given();
    run_until(is_given, "2");
    expect(NAME STAMP, "of yesterday\n");
    stop();
    put(NAME, "of today\n");
    scene.wall_ms += 60000;
    start_given();
    let_it_look();
    assert_int_equal(view().rotations, 0);
}

/* ---- what others do to it ---- */

static void
test_a_file_that_was_moved_or_removed_is_made_again(void **state)
{
    char old[256] = "";

    (void)state;
    start_given();
    say("before\n");
    (void)snprintf(old, sizeof(old), "%s", path_of(NAME));
    assert_int_equal(rename(old, path_of("access.log.saved")), 0);
    run_until(is_given, "2");
    say("after\n");
    expect("access.log.saved", "before\n");
    expect(NAME, "after\n");
    assert_int_equal(unlink(path_of(NAME)), 0);
    run_until(is_given, "3");
    say("again\n");
    expect(NAME, "again\n");
}

static void
test_a_directory_that_was_moved_or_removed_is_made_again(void **state)
{
    char moved[128] = "";
    char command[128] = "";

    (void)state;
    start_given();
    (void)snprintf(moved, sizeof(moved), "%s/moved", scene.top);
    assert_int_equal(rename(scene.logs, moved), 0);
    run_until(is_given, "2");
    say("here\n");
    expect(NAME, "here\n");
    (void)snprintf(command, sizeof(command), "rm -r '%s'", scene.logs);
    assert_int_equal(system(command), 0);
    run_until(is_given, "3");
    say("there\n");
    expect(NAME, "there\n");
    assert_string_equal(view().problem, "");
}

static void
test_what_is_no_file_of_its_own_is_not_written(void **state)
{
    char victim[128] = "";

    (void)state;
    put("unused", "");
    (void)snprintf(victim, sizeof(victim), "%s/victim", scene.top);
    close(open(victim, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    assert_int_equal(symlink(victim, path_of(NAME)), 0);
    start_given();
    run_until(has_problem, "not a regular file");
    assert_int_equal(unlink(path_of(NAME)), 0);
    assert_int_equal(link(victim, path_of(NAME)), 0);
    run_until(has_problem, "second name");
    assert_int_equal(unlink(path_of(NAME)), 0);
    assert_int_equal(mkfifo(path_of(NAME), 0600), 0);
    run_until(has_problem, "regular file");
    assert_int_equal(unlink(path_of(NAME)), 0);
    if (getuid() == 0) {
        put(NAME, "");
        assert_int_equal(chown(path_of(NAME), 65534, 65534), 0);
        run_until(has_problem, "belongs to user 65534");
        assert_int_equal(unlink(path_of(NAME)), 0);
    }
    assert_int_equal(scene.given, 0);
    run_until(has_problem, "");
    assert_int_equal(scene.given, 1);
}

static void
test_a_link_is_no_directory_for_logs(void **state)
{
    (void)state;
    assert_int_equal(symlink("/tmp", scene.logs), 0);
    start_given();
    run_until(has_problem, "symbolic link");
    assert_int_equal(scene.given, 0);
    assert_int_equal(unlink(scene.logs), 0);
    run_until(is_given, "1");
    assert_string_equal(view().problem, "");
}

/* ---- old files ---- */

static void
test_what_a_crash_left_is_finished(void **state)
{
    (void)state;
    put("access.log-20261120T000000Z", "plain\n");
    put("access.log-20261121T000000Z", "source\n");
    put("access.log-20261121T000000Z.gz.partial", "half");
    put("access.log-20261122T000000Z", "whole\n");
    put("access.log-20261122T000000Z.gz", "not to be trusted");
    put("access.log-20261123T000000Z.gz.partial", "its source is gone");
    put("access.log-20261124", "logrotate's\n");
    start_given();
    run_until(is_gone, "access.log-20261120T000000Z");
    run_until(is_gone, "access.log-20261121T000000Z");
    run_until(is_gone, "access.log-20261122T000000Z");
    run_until(is_gone, "access.log-20261123T000000Z.gz.partial");
    expect("access.log-20261120T000000Z.gz", "plain\n");
    expect("access.log-20261121T000000Z.gz", "source\n");
    expect("access.log-20261122T000000Z.gz", "whole\n");
    expect("access.log-20261124", "logrotate's\n");
    assert_int_equal(count_files(), 5);
}

static void
test_limits_hold_and_foreign_files_stay(void **state)
{
    (void)state;
    put_aged("access.log.1", 100);
    put_aged("access.log.2", 200);
    put("access.log-20261126T205958Z.gz", "newest");
    put_aged("error.log.1", 300);
    put("access.log.bak", "foreign\n");
    put("customer-20261126T205958Z.gz", "foreign\n");
    scene.opts.keep = 2;
    start_given();
    assert_int_equal(amy_logrotate_add(scene.rotator, "error.log",
                                       AMY_LOGROTATE_OTHERS, NULL),
                     0);
    let_it_look();
    assert_int_equal(view().removed, 1);
    assert_true(is_gone("access.log.2"));
    assert_true(exists("access.log-20261126T205958Z.gz"));
    assert_true(exists("error.log.1"));
    scene.opts.total_bytes = 1;
    assert_int_equal(amy_logrotate_set(scene.rotator, &scene.opts, NULL), 0);
    run_until(is_gone, "error.log.1");
    run_until(is_gone, "access.log.1");
    run_until(is_gone, "access.log-20261126T205958Z.gz");
    assert_int_equal(count_files(), 3);
    assert_true(exists(NAME));
    assert_true(exists("access.log.bak"));
    assert_true(exists("customer-20261126T205958Z.gz"));
}

static void
test_a_log_opened_by_its_name_is_renamed_and_packed(void **state)
{
    (void)state;
    scene.opts.size_bytes = 4;
    put("backup.log", "123\n");
    start();
    assert_int_equal(amy_logrotate_add(scene.rotator, "backup.log",
                                       AMY_LOGROTATE_NAMED, NULL),
                     0);
    run_until(exists, "backup.log" STAMP ".gz");
    run_until(is_gone, "backup.log" STAMP);
    expect("backup.log" STAMP ".gz", "123\n");
    assert_true(is_gone("backup.log"));
    assert_int_equal(scene.told, 1);
    put("backup.log", "1\n");
    let_it_look();
    assert_int_equal(view().rotations, 1);
    assert_int_equal(scene.given, 0);
}

/* As a quota would be: the file system itself has room. */
static void
test_a_full_disk_takes_old_packed_files_but_the_newest(void **state)
{
    (void)state;
    put("access.log-20261120T000000Z.gz", "oldest");
    put("access.log-20261121T000000Z.gz", "older");
    put("access.log-20261122T000000Z.gz", "newest");
    put("customer.gz", "foreign");
    start_given();
    say("line\n");
    let_it_look();
    assert_int_equal(view().removed, 0);
    amy_logrotate_disk_full(scene.rotator);
    run_until(is_gone, "access.log-20261120T000000Z.gz");
    run_until(is_gone, "access.log-20261121T000000Z.gz");
    amy_logrotate_disk_full(scene.rotator);
    let_it_look();
    assert_true(exists("access.log-20261122T000000Z.gz"));
    assert_true(exists("customer.gz"));
    expect(NAME, "line\n");
}

/* Though limits ask for it: what is written after it would be lost. Others do
 * not go in its place. */
static void
test_no_limit_removes_what_is_still_written(void **state)
{
    int other = -1;

    (void)state;
    put("access.log-20261120T000000Z.gz", "packed");
    start_given();
    say("one\n");
    other = open(path_of(NAME), O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_true(other >= 0);
    scene.opts.total_bytes = 8;
    assert_int_equal(amy_logrotate_now(scene.rotator, NAME, NULL), 0);
    let_it_look();
    assert_int_equal(amy_logrotate_set(scene.rotator, &scene.opts, NULL), 0);
    run_until(has_problem, STAMP "' is still written to");
    assert_true(exists(NAME STAMP));
    assert_true(exists("access.log-20261120T000000Z.gz"));
    assert_int_equal(write(other, "two\n", 4), 4);
    close(other);
    scene.opts.total_bytes = 1024;
    assert_int_equal(amy_logrotate_set(scene.rotator, &scene.opts, NULL), 0);
    run_until(is_gone, NAME STAMP);
    expect(NAME STAMP ".gz", "one\ntwo\n");
    run_until(has_problem, "");
}

/* Nothing waits where nothing is packed: who writes is asked all the same. */
static void
test_what_is_written_stays_where_nothing_is_packed(void **state)
{
    int other = -1;

    (void)state;
    put("access.log-20261120T000000Z", "written");
    put("access.log-20261121T000000Z", "old");
    other = open(path_of("access.log-20261120T000000Z"), O_WRONLY | O_CLOEXEC);
    assert_true(other >= 0);
    scene.opts.packing = AMY_LOGROTATE_PLAIN;
    scene.opts.max_age_ms = DAY_MS;
    start_given();
    run_until(is_gone, "access.log-20261121T000000Z");
    run_until(has_problem, "20261120T000000Z' is still written to");
    assert_true(exists("access.log-20261120T000000Z"));
    close(other);
    amy_logrotate_poll(scene.rotator);
    assert_int_equal(amy_logrotate_set(scene.rotator, &scene.opts, NULL), 0);
    run_until(is_gone, "access.log-20261120T000000Z");
    run_until(has_problem, "");
}

static void
set_append_only(const char *name, bool on)
{
    char command[400] = "";

    (void)snprintf(command, sizeof(command), "chattr %ca '%s'", on ? '+' : '-',
                   path_of(name));
    if (system(command) != 0) {
        skip(); /* not root, or no such file system */
    }
}

static void
test_a_file_that_cannot_be_removed_stops_no_rotation(void **state)
{
    (void)state;
    put("access.log-20261020T000000Z.gz", "stuck");
    set_append_only("access.log-20261020T000000Z.gz", true);
    scene.opts.size_bytes = 10;
    scene.opts.max_age_ms = DAY_MS;
    start_given();
    run_until(has_problem, "cannot be removed");
    say("0123456789\n");
    run_until(is_given, "2");
    set_append_only("access.log-20261020T000000Z.gz", false);
    assert_int_equal(amy_logrotate_set(scene.rotator, &scene.opts, NULL), 0);
    run_until(is_gone, "access.log-20261020T000000Z.gz");
    run_until(has_problem, "");
}

static void
count_warnings(enum amy_log_level level, const char *line, void *user)
{
    (void)line;
    (void)user;
    scene.warnings += level == AMY_LOG_WARN ? 1 : 0;
}

/* As with a quota: renamed it is, but there is no room for a new one. */
static void
test_a_new_file_that_cannot_be_made_is_told_once(void **state)
{
    const struct amy_log log = {.struct_size = sizeof(log),
                                .fn = count_warnings};
    struct rlimit before = {0};
    struct rlimit none = {0};

    (void)state;
    scene.opts.size_bytes = 10;
    scene.opts.log = &log;
    start_given();
    let_it_look();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none.rlim_max = before.rlim_max;
    say("0123456789\n");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    run_until(has_problem, "not written");
    let_it_look();
    assert_true(has_problem("not written"));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(scene.warnings <= 3); /* this, its listing and its packing */
    assert_int_equal(view().rotations, 1);
    run_until(is_given, "2");
    run_until(has_problem, "");
    say("next\n");
    expect(NAME, "next\n");
}

static void
test_a_file_that_could_not_be_taken_is_given_again(void **state)
{
    (void)state;
    scene.refuse = true;
    start_given();
    let_it_look();
    assert_int_equal(scene.given, 0);
    scene.refuse = false;
    run_until(is_given, "1");
    let_it_look();
    assert_int_equal(scene.given, 1);
}

static bool
was_told(const char *times)
{
    return scene.told >= (unsigned)strtoul(times, NULL, 10);
}

/* It may have been starting when it was told first. */
static void
test_who_goes_on_with_the_old_file_is_told_again(void **state)
{
    int other = -1;

    (void)state;
    scene.opts.size_bytes = 4;
    put("backup.log", "123\n");
    other = open(path_of("backup.log"), O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_true(other >= 0);
    start();
    assert_int_equal(amy_logrotate_add(scene.rotator, "backup.log",
                                       AMY_LOGROTATE_NAMED, NULL),
                     0);
    run_until(was_told, "1");
    let_it_look();
    assert_int_equal(scene.told, 1);
    scene.skip_ms += 11000;
    run_until(was_told, "2");
    scene.skip_ms += 11000;
    let_it_look();
    assert_int_equal(scene.told, 2);
    scene.skip_ms += 600000;
    run_until(was_told, "3");
    close(other);
    scene.skip_ms += 600000;
    run_until(is_gone, "backup.log" STAMP);
    assert_int_equal(scene.told, 3);
}

/* Events alone, of which the logs' user can make any number. */
static void
test_events_do_not_make_it_scan_without_pause(void **state)
{
    (void)state;
    scene.opts.look_ms = 60000;
    scene.opts.max_age_ms = DAY_MS;
    start_given();
    (void)event_base_loop(scene.base, EVLOOP_NONBLOCK);
    (void)event_base_loop(scene.base, EVLOOP_NONBLOCK);
    put("access.log-20261020T000000Z.gz", "old");
    assert_int_equal(unlink(path_of(NAME)), 0);
    run_until(is_given, "2");
    assert_true(exists("access.log-20261020T000000Z.gz"));
    amy_logrotate_poll(scene.rotator);
    assert_true(is_gone("access.log-20261020T000000Z.gz"));
}

/* Nobody reads them, and one look at all of them is short. */
static void
test_ten_thousand_files_and_a_hundred_gigabytes_hold_nobody_up(void **state)
{
    char name[64] = "";
    int64_t begun_ms = 0;

    (void)state;
    put(NAME, "");
    for (int i = 0; i < 10000; i++) {
        (void)snprintf(name, sizeof(name), "access.log.%d%s", i + 1,
                       i % 2 == 0 ? ".gz" : "");
        put(name, "");
    }
    assert_int_equal(truncate(path_of("access.log.1.gz"), INT64_C(100) << 30),
                     0);
    scene.opts.keep = UINT32_MAX;
    scene.opts.total_bytes = UINT64_MAX;
    start_given();
    let_it_look();
    assert_int_equal(view().old_files, 10000);
    begun_ms = mono_ms(NULL);
    amy_logrotate_poll(scene.rotator);
    assert_true(mono_ms(NULL) - begun_ms < 1000); /* some 20 in quiet */
}

static void
test_faulty_calls_are_refused(void **state)
{
    static struct amy_log_lock never_made;
    struct amy_logrotate_options none = AMY_LOGROTATE_OPTIONS_INIT;
    struct amy_logrotate *made = NULL;
    char name[16] = "";

    (void)state;
    assert_int_equal(amy_logrotate_create(&none, &made, NULL), AMY_EINVAL);
    none = scene.opts;
    none.packing = 9;
    assert_int_equal(amy_logrotate_create(&none, &made, NULL), AMY_EINVAL);
    start();
    assert_int_equal(amy_logrotate_add(scene.rotator, "../x.log", 0, NULL),
                     AMY_EINVAL);
    assert_int_equal(amy_logrotate_add(scene.rotator, "x.log", 9, NULL),
                     AMY_EINVAL);
    for (int i = 0; i < 64; i++) {
        (void)snprintf(name, sizeof(name), "x%d.log", i);
        assert_int_equal(
            amy_logrotate_add(scene.rotator, name, AMY_LOGROTATE_OTHERS, NULL),
            0);
    }
    assert_int_equal(amy_logrotate_add(scene.rotator, "x1.log", 2, NULL),
                     AMY_EEXIST);
    assert_int_equal(amy_logrotate_add(scene.rotator, "y.log", 2, NULL),
                     AMY_ELIMIT);
    assert_int_equal(amy_logrotate_set_lock(scene.rotator, "y.log", NULL, NULL),
                     AMY_ENOTFOUND);
    assert_int_equal(
        amy_logrotate_set_lock(scene.rotator, "x1.log", &never_made, NULL),
        AMY_EINVAL);
    assert_null(made);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_file_is_rotated_at_its_size_and_packed_once_released),
        TEST(test_half_line_of_a_file_that_all_have_left_is_completed),
        TEST(test_line_that_was_completed_is_not_completed_again),
        TEST(test_a_file_that_somebody_writes_to_is_not_packed),
        TEST(test_no_name_is_given_twice),
        TEST(test_nothing_is_rotated_that_is_empty),
        TEST(test_a_day_ends_a_file_once_though_the_clock_jumps),
        TEST(test_a_restart_knows_since_when_a_file_is_written),
        TEST(test_a_file_that_was_moved_or_removed_is_made_again),
        TEST(test_a_directory_that_was_moved_or_removed_is_made_again),
        TEST(test_what_is_no_file_of_its_own_is_not_written),
        TEST(test_a_link_is_no_directory_for_logs),
        TEST(test_what_a_crash_left_is_finished),
        TEST(test_limits_hold_and_foreign_files_stay),
        TEST(test_a_log_opened_by_its_name_is_renamed_and_packed),
        TEST(test_a_full_disk_takes_old_packed_files_but_the_newest),
        TEST(test_no_limit_removes_what_is_still_written),
        TEST(test_what_is_written_stays_where_nothing_is_packed),
        TEST(test_a_file_that_cannot_be_removed_stops_no_rotation),
        TEST(test_a_new_file_that_cannot_be_made_is_told_once),
        TEST(test_a_file_that_could_not_be_taken_is_given_again),
        TEST(test_who_goes_on_with_the_old_file_is_told_again),
        TEST(test_events_do_not_make_it_scan_without_pause),
        TEST(test_ten_thousand_files_and_a_hundred_gigabytes_hold_nobody_up),
        TEST(test_faulty_calls_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
