/* Any bytes as a worker's facts and as /proc's text: what is taken means the
 * same when it is written again. */
#include "fuzz.h"
#include "pool/step.h"
#include "pool/tree.h"

#include <string.h>

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct amy__span text = {(const char *)data, size};
    struct amy__pool_facts facts = {0};
    struct amy__pool_facts same = {0};
    struct amy__process process = {0};
    char line[256] = "";

    if (amy__pool_facts_read(text, &facts, NULL) == 0) {
        int n = amy__pool_facts_write(&facts, line, sizeof(line));

        FUZZ_CHECK(n > 0 && (size_t)n < sizeof(line));
        FUZZ_CHECK(amy__pool_facts_read(amy__span_of(line), &same, NULL) == 0);
        FUZZ_CHECK(memcmp(&facts, &same, sizeof(facts)) == 0);
        FUZZ_CHECK(facts.state < AMY__WORKER_STATES);
    }
    if (amy__process_parse(text, &process)) {
        FUZZ_CHECK(process.pid >= 0);
    }
    return 0;
}
