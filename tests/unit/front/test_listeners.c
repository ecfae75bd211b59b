#include "amy_test.h"

#include "front/listeners.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void
test_process_serves_its_own_lane(void **state)
{
    (void)state;
    for (uint32_t lane = 0; lane < 4; lane++) {
        assert_int_equal(amy__listeners_server(lane, 0xf, 4), lane);
    }
}

static void
test_lane_of_a_dead_process_goes_to_the_next_living(void **state)
{
    (void)state;
    assert_int_equal(amy__listeners_server(1, 0xd, 4), 2);
    assert_int_equal(amy__listeners_server(3, 0x7, 4), 0);
    assert_int_equal(amy__listeners_server(1, 0x9, 4), 3);
    assert_int_equal(amy__listeners_server(2, 0x2, 4), 1);
    assert_int_equal(amy__listeners_server(63, 0x1, 64), 0);
}

static void
test_nobody_serves_when_nobody_lives(void **state)
{
    (void)state;
    assert_int_equal(amy__listeners_server(0, 0, 4), AMY__NOBODY);
    /* A bit that is no process of ours counts nothing. */
    assert_int_equal(amy__listeners_server(0, 0x10, 4), AMY__NOBODY);
}

static void
test_address_has_a_socket_per_process(void **state)
{
    struct amy__listeners first = {.processes = 3};
    struct amy__listeners second = {.processes = 3};
    struct sockaddr_in bound = {0};
    socklen_t len = sizeof(bound);
    struct amy__address address = {0};

    (void)state;
    assert_int_equal(
        amy__address_parse(AMY_SPAN("127.0.0.1:0"), 0, &address, NULL), 0);
    first.processes = 1; /* port 0 is another one each time */
    assert_int_equal(amy__listeners_open(&first, &address, true, NULL), 0);
    assert_int_equal(getsockname(first.items[0].fd, (void *)&bound, &len), 0);
    amy__listeners_close(&first);
    memcpy(&address.sa, &bound, sizeof(bound));
    first.processes = 3;
    assert_int_equal(amy__listeners_open(&first, &address, true, NULL), 0);
    assert_int_equal(first.count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(first.items[i].fd >= 0);
        assert_int_equal(first.items[i].lane, i);
        assert_true(first.items[i].tls);
        assert_int_equal(first.items[i].port, ntohs(bound.sin_port));
        assert_int_equal(first.items[i].server, AMY__NOBODY);
    }
    /* Another front on the same port must not share its visitors. */
    assert_int_equal(amy__listeners_open(&second, &address, true, NULL),
                     AMY_EBUSY);
    assert_int_equal(second.count, 0);
    amy__listeners_close(&second);
    amy__listeners_close(&first);
    assert_int_equal(first.count, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_process_serves_its_own_lane),
        cmocka_unit_test(test_lane_of_a_dead_process_goes_to_the_next_living),
        cmocka_unit_test(test_nobody_serves_when_nobody_lives),
        cmocka_unit_test(test_address_has_a_socket_per_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
