#include "amy_test.h"

#include "doctor/proc.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static const char tcp[] =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when "
    "retrnsmt   uid  timeout inode\n"
    "   0: 0100007F:0050 0100007F:D2F0 01 00000000:00000000 00:00000000 "
    "00000000  1000        0 11111 1 0000 20 4 30 10 -1\n"
    "   1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 "
    "00000000     0        0 22222 1 0000 100 0 0 10 0\n"
    "  12: 00000000:01BB 00000000:0000 0A 00000000:00000000 00:00000000 "
    "00000000     0        0 33333 1 0000 100 0 0 10 0\n";

static void
test_listener_of_a_port(void **state)
{
    struct amy__span text = amy__span_of(tcp);

    (void)state;
    assert_int_equal(amy__tcp_listener(text, 80), 22222);
    assert_int_equal(amy__tcp_listener(text, 443), 33333);
    assert_int_equal(amy__tcp_listener(text, 8080), 0);
    assert_int_equal(amy__tcp_listener(text, 0xD2F0), 0);
    assert_int_equal(amy__tcp_listener(AMY_SPAN("  0: x\n garbage"), 80), 0);
}

static void
test_files_a_process_may_open(void **state)
{
    uint64_t files = 0;

    (void)state;
    assert_true(amy__limits_files(
        AMY_SPAN("Limit                     Soft Limit           Hard Limit\n"
                 "Max processes             63431                63431\n"
                 "Max open files            1024                 524288\n"),
        &files));
    assert_int_equal(files, 1024);
    assert_true(amy__limits_files(
        AMY_SPAN("Max open files            unlimited            unlimited\n"),
        &files));
    assert_true(files == UINT64_MAX);
    assert_false(amy__limits_files(AMY_SPAN("Max open files"), &files));
    assert_false(amy__limits_files(AMY_SPAN("Max processes 1 1\n"), &files));
}

static void
test_owner_of_a_socket_of_ours(void **state)
{
    char name[32] = "";
    struct stat st;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    assert_int_equal(fstat(fd, &st), 0);
    assert_true(amy__proc_owner(st.st_ino, name));
    assert_string_equal(name, "test_doctor_pro"); /* the kernel cuts it */
    (void)close(fd);
    assert_false(amy__proc_owner(st.st_ino, name));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listener_of_a_port),
        cmocka_unit_test(test_files_a_process_may_open),
        cmocka_unit_test(test_owner_of_a_socket_of_ours),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
