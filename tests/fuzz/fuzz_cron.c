/* Any bytes as a cron expression: what is taken has days and minutes that can
 * be asked for, and slots that follow each other. */
#include "backup/schedule.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct amy__schedule schedule = {.every_ms = 0};
    int64_t at_ms = INT64_C(1800000000000);
    int64_t before_ms = 0;

    if (amy__cron_parse((struct amy__span){(const char *)data, size},
                        &schedule.cron, NULL) < 0) {
        return 0;
    }
    for (int i = 0; i < 3; i++) {
        int64_t next_ms = 0;

        FUZZ_CHECK(amy__schedule_after(&schedule, at_ms, &next_ms));
        FUZZ_CHECK(next_ms > at_ms);
        FUZZ_CHECK(amy__schedule_before(&schedule, next_ms, &before_ms));
        FUZZ_CHECK(before_ms == next_ms);
        at_ms = next_ms;
    }
    return 0;
}
