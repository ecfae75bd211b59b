/* What all daemons share, seen from outside: arguments, signals, sd_notify,
 * log lines, PID 1. */
/* Not for any daemon's own work: tests/system. */
#include "amy_test.h"

#include "core/files.h"
#include "core/spawn.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_MS 20000

struct run {
    struct amy__child child;
    int out; /* its stdout and stderr */
    char text[4096];
    size_t used;
};

/* Start argv with env ("A=b" entries); what it prints goes to ends[1], and is
 * read from ends[0]. */
static void
begin_with(struct run *run, const char *const *argv, const char *const *env,
           const int ends[2])
{
    struct amy__spawn_fd fds[2];
    struct amy__spawn_plan plan = {.argv = argv, .envp = env, .cwd_fd = -1};
    struct amy_error err = AMY_ERROR_INIT;

    fds[0] = (struct amy__spawn_fd){ends[1], 1};
    fds[1] = (struct amy__spawn_fd){ends[1], 2};
    plan.fds = fds;
    plan.fd_count = 2;
    if (amy__spawn(&plan, &run->child, &err) != 0) {
        fail_msg("%s", err.msg);
    }
    close(ends[1]);
    run->out = ends[0];
    run->used = 0;
    run->text[0] = '\0';
}

/* With everything it prints in a pipe. */
static void
begin(struct run *run, const char *const *argv, const char *const *env)
{
    int ends[2] = {-1, -1};

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    begin_with(run, argv, env, ends);
}

/* One read of what comes; false at its end. */
static bool
read_more(struct run *run)
{
    struct pollfd ready = {.fd = run->out, .events = POLLIN};
    ssize_t n = 0;

    if (poll(&ready, 1, PATIENCE_MS) != 1) {
        (void)amy__child_signal(&run->child, SIGKILL, NULL);
        fail_msg("nothing came after:\n%s", run->text);
    }
    n = read(run->out, run->text + run->used,
             sizeof(run->text) - 1 - run->used);
    run->used += n > 0 ? (size_t)n : 0;
    run->text[run->used] = '\0';
    return n > 0;
}

static void
await_text(struct run *run, const char *words)
{
    while (strstr(run->text, words) == NULL) {
        if (!read_more(run)) {
            fail_msg("no '%s' in:\n%s", words, run->text);
        }
    }
}

static int
end(struct run *run)
{
    struct amy__child_exit how = {0};
    struct pollfd ended = {.fd = run->child.pidfd, .events = POLLIN};

    while (read_more(run)) {
        continue;
    }
    assert_int_equal(poll(&ended, 1, PATIENCE_MS), 1);
    assert_int_equal(amy__child_reap(&run->child, &how, NULL), 1);
    assert_int_equal(how.signal, 0);
    amy__close(&run->child.pidfd);
    amy__close(&run->out);
    return how.code;
}

static void
tell(const struct run *run, int sig)
{
    assert_int_equal(amy__child_signal(&run->child, sig, NULL), 0);
}

static int
once(struct run *run, const char *option, const char *const *env)
{
    const char *argv[] = {SAMPLE, option, NULL};

    begin(run, argv, env);
    return end(run);
}

static const char *const NO_ENV[] = {NULL};

static void
test_arguments_that_end_at_once(void **state)
{
    struct run run;

    (void)state;
    assert_int_equal(once(&run, "--version", NO_ENV), 0);
    assert_string_equal(run.text, "sample 0.1.0\n");
    assert_int_equal(once(&run, "--help", NO_ENV), 0);
    assert_non_null(strstr(run.text, "usage: sample"));
    assert_non_null(strstr(run.text, "says what it is told"));
    assert_int_equal(once(&run, "--dance", NO_ENV), 2);
    assert_non_null(strstr(run.text, "try 'sample --help'"));
    assert_int_equal(once(&run, "dance", NO_ENV), 2);
    assert_non_null(strstr(run.text, "what is 'dance'?"));
    assert_int_equal(once(&run, "--run", NO_ENV), 2);
}

static void
test_check_gives_its_exit_code(void **state)
{
    static const char *const argv[] = {SAMPLE, "--config", "/x", "--check",
                                       NULL};
    struct run run;

    (void)state;
    begin(&run, argv, NO_ENV);
    assert_int_equal(end(&run), 1);
    assert_string_equal(run.text, "check /x\n");
}

static void
test_failed_start_is_logged_and_cleared(void **state)
{
    static const char *const env[] = {"SAMPLE_FAILS=1", NULL};
    struct run run;

    (void)state;
    assert_int_equal(once(&run, NULL, env), 1);
    assert_non_null(strstr(run.text, "Z error  cannot start: no reason\n"));
    assert_non_null(strstr(run.text, "clear\n"));
}

static void
test_lines_go_to_stdout_as_json_where_that_is_wanted(void **state)
{
    static const char *const argv[] = {"/bin/sh", "-c",
                                       "exec " SAMPLE " 2>/dev/null", NULL};
    static const char *const env[] = {"SAMPLE_FAILS=1", "SAMPLE_JSON=1", NULL};
    struct run run;
    const char *line = NULL;

    (void)state;
    begin(&run, argv, env);
    assert_int_equal(end(&run), 1);
    line = strstr(run.text, "{\"time\":\"20");
    assert_non_null(line);
    assert_non_null(strstr(line,
                           "Z\",\"component\":\"sample\",\"level\":\"error\","
                           "\"message\":\"cannot start: no reason\"}\n"));
}

static void
test_lines_that_stdout_does_not_take_go_to_stderr(void **state)
{
    static const char *const argv[] = {"/bin/sh", "-c",
                                       "exec " SAMPLE " >/dev/full", NULL};
    static const char *const env[] = {"SAMPLE_FAILS=1", "SAMPLE_JSON=1", NULL};
    struct run run;

    (void)state;
    begin(&run, argv, env);
    assert_int_equal(end(&run), 1);
    assert_non_null(strstr(run.text, "Z error  cannot start: no reason\n"));
}

static void
test_daemon_may_finish_while_it_starts(void **state)
{
    static const char *const env[] = {"SAMPLE_BRIEF=1", NULL};
    struct run run;

    (void)state;
    assert_int_equal(once(&run, NULL, env), 9);
    assert_non_null(strstr(run.text, "clear\n"));
}

static void
test_signals_become_callbacks(void **state)
{
    static const char *const argv[] = {SAMPLE, "--webapps=/w", "--run",
                                       "/r",   "--state=/s",   NULL};
    struct run run;

    (void)state;
    begin(&run, argv, NO_ENV);
    await_text(&run, "start /w /r /s pid=2 notify=none\n");
    tell(&run, SIGPIPE); /* ignored */
    tell(&run, SIGHUP);
    await_text(&run, "reload\n");
    tell(&run, SIGHUP); /* while one is under way: one more, after it */
    tell(&run, SIGUSR1);
    await_text(&run, "reload\nreopen\nreload\n");
    tell(&run, SIGUSR1);
    await_text(&run, "reload\nreopen\nreload\nreopen\n");
    tell(&run, SIGTERM);
    assert_int_equal(end(&run), 7);
    assert_non_null(strstr(run.text, "reopen\nstop soon\nclear\n"));
}

static void
test_second_interrupt_stops_at_once(void **state)
{
    static const char *const argv[] = {SAMPLE, NULL};
    static const char *const env[] = {"SAMPLE_PATIENT=1", NULL};
    struct run run;

    (void)state;
    begin(&run, argv, env);
    await_text(&run, "start");
    tell(&run, SIGINT);
    await_text(&run, "stop soon\n");
    tell(&run, SIGTERM); /* once is enough */
    tell(&run, SIGHUP);  /* too late */
    tell(&run, SIGINT);
    assert_int_equal(end(&run), 7);
    assert_non_null(strstr(run.text, "stop soon\nstop now\nclear\n"));
    begin(&run, argv, env);
    await_text(&run, "start");
    tell(&run, SIGQUIT);
    assert_int_equal(end(&run), 7);
    assert_non_null(strstr(run.text, "stop now\nclear\n"));
    assert_null(strstr(run.text, "soon"));
}

static void
test_journal_gets_level_prefixes(void **state)
{
    static const char *const argv[] = {SAMPLE, NULL};
    const char *env[] = {"SAMPLE_FAILS=1", NULL, NULL};
    char path[] = "/tmp/amy-test-XXXXXX";
    int file = mkstemp(path);
    struct stat seen = {0};
    char stream[64] = "";
    char text[256] = "";
    struct amy__spawn_fd fd = {file, 2};
    struct amy__spawn_plan plan = {
        .argv = argv, .envp = env, .cwd_fd = -1, .fds = &fd, .fd_count = 1};
    struct amy__child child = {0};
    struct amy__child_exit how = {0};
    struct pollfd ended = {.events = POLLIN};

    (void)state;
    assert_int_equal(fstat(file, &seen), 0);
    (void)snprintf(stream, sizeof(stream), "JOURNAL_STREAM=%ju:%ju",
                   (uintmax_t)seen.st_dev, (uintmax_t)seen.st_ino);
    env[1] = stream;
    assert_int_equal(amy__spawn(&plan, &child, NULL), 0);
    ended.fd = child.pidfd;
    assert_int_equal(poll(&ended, 1, PATIENCE_MS), 1);
    assert_int_equal(amy__child_reap(&child, &how, NULL), 1);
    assert_true(pread(file, text, sizeof(text) - 1, 0) > 0);
    assert_string_equal(text, "<3>cannot start: no reason\n");
    close(child.pidfd);
    close(file);
    unlink(path);
}

/* A socket in the abstract namespace, and the variable that names it. */
static int
listen_for_notes(char variable[80])
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int n = snprintf(variable, 80, "NOTIFY_SOCKET=@amy-test-%d", (int)getpid());
    const char *name = strchr(variable, '@');

    assert_true(n > 0);
    memcpy(address.sun_path + 1, name + 1, strlen(name + 1));
    assert_int_equal(bind(fd, (struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
                                      strlen(name))),
                     0);
    return fd;
}

/* The next note but for watchdog beats, which are counted. */
static void
next_note(int fd, char note[512], int *beats)
{
    do {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        ssize_t n = 0;

        assert_int_equal(poll(&ready, 1, PATIENCE_MS), 1);
        n = recv(fd, note, 511, 0);
        assert_true(n > 0);
        note[n] = '\0';
        *beats += strcmp(note, "WATCHDOG=1") == 0;
    } while (strcmp(note, "WATCHDOG=1") == 0);
}

static void
test_service_manager_is_told(void **state)
{
    static const char *const argv[] = {SAMPLE, NULL};
    char variable[80] = "";
    char note[512] = "";
    int fd = listen_for_notes(variable);
    const char *env[] = {variable, "WATCHDOG_USEC=20000", NULL};
    struct run run;
    int beats = 0;

    (void)state;
    begin(&run, argv, env);
    await_text(&run, "notify=none\n"); /* its children shall not inherit it */
    next_note(fd, note, &beats);
    assert_string_equal(note, "READY=1\nSTATUS=all well");
    tell(&run, SIGHUP);
    next_note(fd, note, &beats);
    assert_memory_equal(note, "RELOADING=1\nMONOTONIC_USEC=", 27);
    tell(&run, SIGUSR1);
    next_note(fd, note, &beats);
    assert_string_equal(note, "READY=1\nSTATUS=reloaded");
    while (beats < 2) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};

        assert_int_equal(poll(&ready, 1, PATIENCE_MS), 1);
        assert_true(recv(fd, note, sizeof(note), 0) > 0);
        beats++;
    }
    tell(&run, SIGTERM);
    next_note(fd, note, &beats);
    assert_string_equal(note, "STOPPING=1\nSTATUS=Stopping");
    assert_int_equal(end(&run), 7);
    close(fd);
}

/* However long it takes: for who waits for a job of hours nobody has to guess
 * how long that is. */
static void
test_service_manager_is_asked_for_more_time_to_stop(void **state)
{
    static const char *const argv[] = {SAMPLE, NULL};
    char variable[80] = "";
    char note[512] = "";
    int fd = listen_for_notes(variable);
    const char *env[] = {variable, "WATCHDOG_USEC=20000", "SAMPLE_PATIENT=1",
                         NULL};
    struct run run;
    int beats = 0;

    (void)state;
    begin(&run, argv, env);
    await_text(&run, "notify=none\n");
    tell(&run, SIGTERM);
    do {
        next_note(fd, note, &beats);
    } while (strncmp(note, "STOPPING=1", 10) != 0);
    for (int i = 0; i < 3; i++) {
        beats = 0;
        next_note(fd, note, &beats);
        assert_string_equal(note, "EXTEND_TIMEOUT_USEC=20000");
        assert_int_equal(beats, 0);
    }
    tell(&run, SIGQUIT);
    assert_int_equal(end(&run), 7);
    close(fd);
}

/* How many lines of the flood one stands for. */
static int
count_line(const char *line)
{
    const char *lost = strstr(line, "lost=");

    if (lost != NULL) {
        return (int)strtol(lost + strlen("lost="), NULL, 10);
    }
    return strstr(line, "flood ") != NULL && strstr(line, "is over") == NULL;
}

/* Count the lines that are whole; what is behind stays for the next time. */
static int
count_lines(struct run *run)
{
    char *line = run->text;
    char *newline = NULL;
    int count = 0;

    while ((void)(newline = strchr(line, '\n')), newline != NULL) {
        *newline = '\0';
        count += count_line(line);
        line = newline + 1;
    }
    run->used -= (size_t)(line - run->text);
    memmove(run->text, line, run->used + 1);
    return count;
}

/* All there is to be read now, or until the other side is closed. */
static int
count_flood(struct run *run, int wait_ms)
{
    struct pollfd ready = {.fd = run->out, .events = POLLIN};
    int count = 0;

    while (poll(&ready, 1, wait_ms) == 1 && read_more(run)) {
        count += count_lines(run);
    }
    return count;
}

/* Stdout and stderr are one, and nobody reads. */
static void
check_flood(const int ends[2], const char *json)
{
    static const char *const argv[] = {SAMPLE, NULL};
    char variable[80] = "";
    char note[512] = "";
    int notes = listen_for_notes(variable);
    const char *env[] = {variable, "SAMPLE_FLOODS=1", json, NULL};
    struct run run;
    int beats = 0;
    int seen = 0;

    begin_with(&run, argv, env, ends);
    await_text(&run, "start");
    next_note(notes, note, &beats);
    assert_string_equal(note, "READY=1\nSTATUS=all well");
    run.used = 0;
    tell(&run, SIGHUP);
    next_note(notes, note, &beats);
    next_note(notes, note, &beats);
    assert_string_equal(note, "READY=1\nSTATUS=flooded");
    seen = count_flood(&run, 0);
    assert_in_range(seen, 1, SAMPLE_FLOOD_LINES - 1);
    tell(&run, SIGTERM);
    seen += count_flood(&run, PATIENCE_MS);
    assert_int_equal(seen, SAMPLE_FLOOD_LINES);
    assert_int_equal(end(&run), 7);
    close(notes);
}

static void
test_log_that_nobody_reads_holds_nobody_up(void **state)
{
    static const char *const jsons[] = {NULL, "SAMPLE_JSON=1"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        int ends[2] = {-1, -1};

        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        check_flood(ends, jsons[i]);
        assert_int_equal(
            socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        check_flood(ends, jsons[i]);
    }
}

/* The flags of a daemon's standard error, as fcntl(2) has them. */
static unsigned
stderr_flags(pid_t pid)
{
    char path[64] = "";
    char text[256] = "";
    const char *flags = NULL;
    int fd = -1;

    (void)snprintf(path, sizeof(path), "/proc/%d/fdinfo/2", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
    close(fd);
    flags = strstr(text, "flags:");
    assert_non_null(flags);
    return (unsigned)strtoul(flags + strlen("flags:"), NULL, 8);
}

static void
test_only_our_own_description_of_stderr_does_not_wait(void **state)
{
    static const char *const argv[] = {SAMPLE, NULL};
    struct run run;
    int ends[2] = {-1, -1};
    int shared = -1;

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    shared = fcntl(ends[1], F_DUPFD_CLOEXEC, 0);
    begin_with(&run, argv, NO_ENV, ends);
    await_text(&run, "start");
    assert_int_equal(stderr_flags(run.child.pid) & O_NONBLOCK, O_NONBLOCK);
    assert_int_equal(fcntl(shared, F_GETFL) & O_NONBLOCK, 0);
    close(shared);
    tell(&run, SIGTERM);
    assert_int_equal(end(&run), 7);
}

/* Of the lines that begin with a brace; each other one is half of one. */
static void
check_lines(const char *text, int torn)
{
    const char *end = NULL;

    for (; (void)(end = strchr(text, '\n')), end != NULL; text = end + 1) {
        if (text[0] == '{') {
            torn -= end[-1] != '}';
        }
    }
    assert_int_equal(torn, 0);
    assert_string_equal(text, "");
}

/* Here a limit of the file's size does it. */
static void
test_half_a_line_on_a_full_disk_is_ended(void **state)
{
    static const char script[] =
        "trap '' XFSZ; ulimit -S -f 1; exec " SAMPLE " >>\"$FILE\"";
    static const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    struct rlimit own = {0};
    char variable[80] = "";
    char file[] = "FILE=/tmp/amy-test-XXXXXX";
    int fd = mkstemp(file + 5);
    int notes = listen_for_notes(variable);
    const char *env[] = {variable, file, "SAMPLE_FLOODS=1", "SAMPLE_JSON=1",
                         NULL};
    char text[8192] = "";
    char note[512] = "";
    struct run run;
    int beats = 0;

    (void)state;
    begin(&run, argv, env);
    next_note(notes, note, &beats);
    tell(&run, SIGHUP);
    next_note(notes, note, &beats);
    next_note(notes, note, &beats);
    assert_string_equal(note, "READY=1\nSTATUS=flooded");
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &own), 0);
    assert_int_equal(prlimit(run.child.pid, RLIMIT_FSIZE, &own, NULL), 0);
    tell(&run, SIGTERM);
    (void)count_flood(&run, PATIENCE_MS);
    assert_int_equal(end(&run), 7);
    assert_true(pread(fd, text, sizeof(text) - 1, 0) > 0);
    check_lines(text, 1);
    assert_non_null(strstr(text, "\"message\":\"the flood is over\"}\n"));
    close(notes);
    close(fd);
    unlink(file + 5);
}

/* The children of a process, as the kernel lists them. */
static int
children_of(pid_t pid, pid_t *ret_first)
{
    char path[64] = "";
    char text[256] = "";
    char *rest = text;
    int count = 0;
    int fd = -1;

    (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid,
                   (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0) {
        return -1;
    }
    close(fd);
    *ret_first = (pid_t)strtol(text, &rest, 10);
    while (*rest != '\0') {
        count += *rest == ' ';
        rest++;
    }
    return count;
}

static void
test_pid_1_reaps_and_forwards(void **state)
{
    static const char *const argv[] = {"/usr/bin/unshare", "--pid", "--fork",
                                       "--mount-proc",     SAMPLE,  NULL};
    static const char *const env[] = {"SAMPLE_ORPHAN=1", NULL};
    struct run run;
    pid_t init = 0;
    pid_t daemon = 0;
    int looks = 0;

    (void)state;
    if (geteuid() != 0 || access(argv[0], X_OK) != 0) {
        skip();
    }
    begin(&run, argv, env);
    await_text(&run, "\n");
    if (strstr(run.text, "start") == NULL) {
        skip(); /* no right to make a namespace here */
    }
    assert_non_null(strstr(run.text, "pid=2"));
    assert_int_equal(children_of(run.child.pid, &init), 1);
    /* The orphan ends by itself; then its init has but the daemon. */
    while (children_of(init, &daemon) != 1 && looks < PATIENCE_MS) {
        (void)poll(NULL, 0, 1);
        looks++;
    }
    assert_int_equal(children_of(init, &daemon), 1);
    assert_int_equal(kill(init, SIGHUP), 0);
    await_text(&run, "reload\n");
    assert_int_equal(kill(init, SIGTERM), 0);
    assert_int_equal(end(&run), 7);
    assert_non_null(strstr(run.text, "stop soon\nclear\n"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arguments_that_end_at_once),
        cmocka_unit_test(test_check_gives_its_exit_code),
        cmocka_unit_test(test_failed_start_is_logged_and_cleared),
        cmocka_unit_test(test_lines_go_to_stdout_as_json_where_that_is_wanted),
        cmocka_unit_test(test_lines_that_stdout_does_not_take_go_to_stderr),
        cmocka_unit_test(test_daemon_may_finish_while_it_starts),
        cmocka_unit_test(test_signals_become_callbacks),
        cmocka_unit_test(test_second_interrupt_stops_at_once),
        cmocka_unit_test(test_journal_gets_level_prefixes),
        cmocka_unit_test(test_service_manager_is_told),
        cmocka_unit_test(test_service_manager_is_asked_for_more_time_to_stop),
        cmocka_unit_test(test_log_that_nobody_reads_holds_nobody_up),
        cmocka_unit_test(test_only_our_own_description_of_stderr_does_not_wait),
        cmocka_unit_test(test_half_a_line_on_a_full_disk_is_ended),
        cmocka_unit_test(test_pid_1_reaps_and_forwards),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
