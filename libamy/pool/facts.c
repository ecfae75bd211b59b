/* A position's facts as a line of text, for a program that takes over. */
/* Not for judging them: pool/step.c does. */
#include "core/error.h"
#include "pool/step.h"

#include <inttypes.h>
#include <stdio.h>

/* The magic word carries the version; words are only ever appended. */
#define MAGIC "amy-worker-1"

int
amy__pool_facts_write(const struct amy__pool_facts *facts, char *buf,
                      size_t size)
{
    return snprintf(buf, size,
                    MAGIC " %" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu32
                          " %" PRIu32 " %" PRIu64 " %" PRId64 " %" PRId64
                          " %" PRId64 " %" PRIu32,
                    facts->state, facts->wanted, facts->failures, facts->blamed,
                    facts->blocked, facts->lives, facts->since_ms,
                    facts->started_ms, facts->due_ms, facts->patience_ms);
}

static bool
read_u32(struct amy__span *rest, uint64_t max, uint32_t *ret)
{
    struct amy__span word = {0};
    uint64_t value = 0;

    if (!amy__span_split(rest, ' ', &word) ||
        !amy__parse_u64(word, max, &value)) {
        return false;
    }
    *ret = (uint32_t)value;
    return true;
}

/* Monotonic milliseconds; -1 is "never". */
static bool
read_ms(struct amy__span *rest, int64_t *ret)
{
    struct amy__span word = {0};
    uint64_t value = 0;

    if (!amy__span_split(rest, ' ', &word)) {
        return false;
    }
    if (amy__span_eq(word, AMY_SPAN("-1"))) {
        *ret = -1;
        return true;
    }
    if (!amy__parse_u64(word, INT64_MAX, &value)) {
        return false;
    }
    *ret = (int64_t)value;
    return true;
}

int
amy__pool_facts_read(struct amy__span line, struct amy__pool_facts *ret_facts,
                     struct amy_error *err)
{
    struct amy__pool_facts facts = {0};
    struct amy__span rest = line;
    struct amy__span word = {0};

    if (!amy__span_split(&rest, ' ', &word) ||
        !amy__span_eq(word, AMY_SPAN(MAGIC))) {
        return amy__err(err, AMY_EPARSE, "not a worker's facts");
    }
    if (!read_u32(&rest, AMY__WORKER_STATES - 1, &facts.state) ||
        !read_u32(&rest, 1, &facts.wanted) ||
        !read_u32(&rest, UINT32_MAX, &facts.failures) ||
        !read_u32(&rest, 1, &facts.blamed) ||
        !read_u32(&rest, UINT32_MAX, &facts.blocked) ||
        !amy__span_split(&rest, ' ', &word) ||
        !amy__parse_u64(word, UINT64_MAX, &facts.lives) ||
        !read_ms(&rest, &facts.since_ms) ||
        !read_ms(&rest, &facts.started_ms) || !read_ms(&rest, &facts.due_ms)) {
        return amy__err(err, AMY_EPARSE, "a worker's facts are cut or broken");
    }
    /* Older lines end here. */
    if (rest.n > 0 && !read_u32(&rest, UINT32_MAX, &facts.patience_ms)) {
        return amy__err(err, AMY_EPARSE, "a worker's facts are cut or broken");
    }
    *ret_facts = facts;
    return 0;
}
