/* Lines of the access log: their form, whole lines per write, a full disk. */
#include "amy_test.h"

#include "front/accesslog.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

struct fixture {
    struct amy__access_log *log;
    int fd; /* ours, to read back */
    struct amy__access_line line;
    char told[512];
    char text[200000];
};

static void
note(enum amy_log_level level, const char *line, void *user)
{
    struct fixture *f = user;

    (void)level;
    (void)snprintf(f->told + strlen(f->told), sizeof(f->told) - strlen(f->told),
                   "%s\n", line);
}

static int
set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    const struct amy_log log = {sizeof(log), note, f, 0, 0};

    (void)setenv("TZ", "UTC", 1);
    assert_int_equal(amy__access_log_create("example.org", &log, &f->log, NULL),
                     0);
    f->fd = memfd_create("log", MFD_CLOEXEC);
    amy__access_log_set_fd(f->log, fcntl(f->fd, F_DUPFD_CLOEXEC, 0));
    f->line = (struct amy__access_line){
        .client = "192.0.2.1",
        .wall_ms = 1795469430123,
        .method = AMY_SPAN("GET"),
        .target = AMY_SPAN("/a?b"),
        .version_major = 1,
        .version_minor = 1,
        .status = 200,
        .sent = 1234,
        .agent = AMY_SPAN("curl/8"),
        .total_us = 1234567,
        .queued_us = 499,
        .request_id = "abc",
        .worker = "web/1.0",
    };
    *state = f;
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *f = *state;

    amy__access_log_free(f->log);
    (void)close(f->fd);
    free(f);
    return 0;
}

static const char *
read_back(struct fixture *f)
{
    ssize_t n = pread(f->fd, f->text, sizeof(f->text) - 1, 0);

    f->text[n > 0 ? n : 0] = '\0';
    return f->text;
}

static void
test_line_is_combined_and_more(void **state)
{
    struct fixture *f = *state;

    amy__access_log_add(f->log, &f->line);
    assert_string_equal(read_back(f), "");
    amy__access_log_flush(f->log);
    assert_string_equal(
        read_back(f), "192.0.2.1 - - [23/Nov/2026:21:30:30 +0000] \"GET /a?b "
                      "HTTP/1.1\" 200 1234 \"-\" \"curl/8\" rt=1.235 qt=0.000 "
                      "id=abc w=web/1.0\n");
}

static void
test_request_without_a_worker_has_dashes(void **state)
{
    struct fixture *f = *state;

    f->line.queued_us = -1;
    f->line.worker = "";
    f->line.total_us = -5; /* a clock that went astray */
    f->line.sent = 0;
    amy__access_log_add(f->log, &f->line);
    amy__access_log_flush(f->log);
    assert_non_null(strstr(read_back(f), " 200 0 "));
    assert_non_null(strstr(f->text, " rt=0.000 qt=- id=abc w=-\n"));
}

static void
test_bytes_of_the_peer_are_escaped(void **state)
{
    struct fixture *f = *state;

    f->line.target = AMY_SPAN("/\"\n\\\xff");
    f->line.referer = AMY_SPAN("\x1b[31m");
    amy__access_log_add(f->log, &f->line);
    amy__access_log_flush(f->log);
    assert_non_null(strstr(read_back(f), "GET /\\x22\\x0a\\x5c\\xff HTTP"));
    assert_non_null(strstr(f->text, "\"\\x1b[31m\""));
}

static void
test_long_pieces_are_cut_and_lines_stay_whole(void **state)
{
    struct fixture *f = *state;
    static char huge[100000];
    size_t lines = 0;

    memset(huge, '"', sizeof(huge));
    f->line.target = (struct amy__span){huge, sizeof(huge)};
    f->line.agent = f->line.target;
    f->line.referer = f->line.target;
    for (int i = 0; i < 7; i++) {
        amy__access_log_add(f->log, &f->line);
    }
    amy__access_log_flush(f->log);
    for (const char *at = read_back(f); *at != '\0'; at++) {
        lines += *at == '\n' ? 1 : 0;
    }
    assert_int_equal(lines, 7);
    assert_int_equal(amy__access_log_lost(f->log), 0);
}

static void
test_full_disk_loses_lines_and_tells_twice(void **state)
{
    struct fixture *f = *state;

    amy__access_log_set_fd(f->log, open("/dev/full", O_WRONLY | O_CLOEXEC));
    for (int i = 0; i < 3; i++) {
        amy__access_log_add(f->log, &f->line);
        amy__access_log_flush(f->log);
    }
    assert_int_equal(amy__access_log_lost(f->log), 3);
    assert_non_null(strstr(f->told, "they are lost site=example.org"));
    amy__access_log_set_fd(f->log, fcntl(f->fd, F_DUPFD_CLOEXEC, 0));
    amy__access_log_add(f->log, &f->line);
    amy__access_log_flush(f->log);
    assert_non_null(
        strstr(f->told, "written again site=example.org file=logs/access.log "
                        "lost=3\n"));
    assert_null(strstr(strstr(f->told, "are lost") + 1, "are lost"));
}

static void
test_torn_line_is_ended_before_the_next(void **state)
{
    struct fixture *f = *state;
    int ends[2];
    static char drop[65536];
    int small = 4608;

    /* A socket takes a part of what is written, as a disk that fills up. */
    assert_int_equal(socketpair(AF_UNIX,
                                SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                                ends),
                     0);
    (void)setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    amy__access_log_set_fd(f->log, ends[0]);
    for (int i = 0; i < 300; i++) {
        amy__access_log_add(f->log, &f->line);
    }
    amy__access_log_flush(f->log);
    assert_true(amy__access_log_lost(f->log) > 0);
    while (read(ends[1], drop, sizeof(drop)) > 0) {
    }
    amy__access_log_add(f->log, &f->line);
    amy__access_log_flush(f->log);
    assert_true(read(ends[1], drop, sizeof(drop)) > 0);
    assert_true(drop[0] == '\n' || drop[0] == '1');
    (void)close(ends[1]);
}

static void
test_without_a_file_nothing_is_kept(void **state)
{
    struct fixture *f = *state;

    amy__access_log_set_fd(f->log, -1);
    amy__access_log_add(f->log, &f->line);
    amy__access_log_set_fd(f->log, fcntl(f->fd, F_DUPFD_CLOEXEC, 0));
    amy__access_log_flush(f->log);
    assert_string_equal(read_back(f), "");
}

static void
test_errors_are_limited_and_counted(void **state)
{
    struct fixture *f = *state;
    struct amy__error_log *errors = NULL;
    size_t lines = 0;

    assert_int_equal(amy__error_log_create("example.org", NULL, &errors, NULL),
                     0);
    amy__error_log_set_fd(errors, fcntl(f->fd, F_DUPFD_CLOEXEC, 0));
    for (int i = 0; i < 30; i++) {
        amy__error_log_add(errors, 1795469430123, "status=%d", 502);
    }
    amy__error_log_add(errors, 1795469432123, "status=%d", 504);
    for (const char *at = read_back(f); *at != '\0'; at++) {
        lines += *at == '\n' ? 1 : 0;
    }
    assert_int_equal(lines, 11);
    assert_non_null(strstr(f->text, "2026-11-23T21:30:30.123Z status=502\n"));
    assert_non_null(strstr(f->text, "status=504 left_out=20\n"));
    amy__error_log_free(errors);
}

static void
test_line_has_the_user_and_the_stage(void **state)
{
    struct fixture *f = *state;

    f->line.user = "an\xc3\xa4";
    f->line.stage_test = true;
    amy__access_log_add(f->log, &f->line);
    amy__access_log_flush(f->log);
    assert_non_null(strstr(read_back(f), "192.0.2.1 - an\\xc3\\xa4 ["));
    assert_non_null(strstr(f->text, " w=web/1.0 stage=test\n"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_line_is_combined_and_more),
        TEST(test_line_has_the_user_and_the_stage),
        TEST(test_request_without_a_worker_has_dashes),
        TEST(test_bytes_of_the_peer_are_escaped),
        TEST(test_long_pieces_are_cut_and_lines_stay_whole),
        TEST(test_full_disk_loses_lines_and_tells_twice),
        TEST(test_torn_line_is_ended_before_the_next),
        TEST(test_without_a_file_nothing_is_kept),
        TEST(test_errors_are_limited_and_counted),
    };

    return cmocka_run_group_tests_name("front/accesslog", tests, NULL, NULL);
}
