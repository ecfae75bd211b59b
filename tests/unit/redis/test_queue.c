/* What a lost connection leaves of its calls. */
#include "amy_test.h"

#include "core/alloc.h"
#include "redis/queue.h"

#define WORDS 10U

static struct amy__redis_call *
add_sent(struct amy__redis_queue *queue, uint64_t begin)
{
    struct amy__redis_call *call = amy__calloc(1, sizeof(*call) + WORDS);

    assert_non_null(call);
    call->n = WORDS;
    amy__redis_queue_add(queue, call);
    amy__redis_queue_send(queue, begin, 0);
    return call;
}

static void
drop_all(struct amy__redis_queue *queue)
{
    struct amy__redis_call *call = NULL;

    while ((call = amy__redis_queue_next_ended(queue)) != NULL) {
        call->told = true;
        amy__redis_call_drop(call);
    }
    while (queue->head != NULL) {
        amy__redis_call_drop(amy__redis_queue_take(queue));
    }
}

static void
test_lose_what_was_not_written_begins_anew(void **state)
{
    struct amy__redis_queue queue = {0};
    struct amy__redis_call *first = add_sent(&queue, 0);
    struct amy__redis_call *second = add_sent(&queue, WORDS);

    (void)state;
    second->expected = true; /* a server that answered unasked */
    amy__redis_queue_lose(&queue, WORDS, AMY_ECONN);
    assert_true(first->ended);
    assert_int_equal(first->fate, AMY_REDIS_UNKNOWN);
    assert_ptr_equal(queue.waiting, second);
    assert_false(second->sent);
    assert_false(second->expected);
    drop_all(&queue);
}

static void
test_lose_a_byte_of_it_is_unknown(void **state)
{
    struct amy__redis_queue queue = {0};
    struct amy__redis_call *first = add_sent(&queue, 0);
    struct amy__redis_call *second = add_sent(&queue, WORDS);

    (void)state;
    amy__redis_queue_lose(&queue, WORDS + 1, AMY_ECONN);
    assert_int_equal(first->fate, AMY_REDIS_UNKNOWN);
    assert_int_equal(second->fate, AMY_REDIS_UNKNOWN);
    assert_null(queue.waiting);
    drop_all(&queue);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lose_what_was_not_written_begins_anew),
        cmocka_unit_test(test_lose_a_byte_of_it_is_unknown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
