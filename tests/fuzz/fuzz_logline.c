/* A log's line of any bytes: its time, its fields, and JSON that is always
 * valid and never longer than it may be. */
#include "core/json.h"
#include "fuzz.h"
#include "logrotate/line.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char buf[4096];
    struct amy_log_line line = {.struct_size = sizeof(line),
                                .text = (const char *)data,
                                .text_bytes = size,
                                .wall_ms = AMY_LOG_NO_TIME};
    int64_t wall_ms = 0;

    if (amy__log_line_time((struct amy__span){line.text, size}, &wall_ms)) {
        line.wall_ms = wall_ms;
    }
    for (uint32_t i = 0; i <= AMY_LOG_COMPONENT_COUNT; i++) {
        struct amy__json *json = NULL;
        size_t room = i % 2 == 0 ? sizeof(buf) : 512;
        size_t n = 0;

        line.component = i;
        n = amy_log_line_json(&line, buf, room);
        FUZZ_CHECK(n <= room && buf[n - 1] == '\n');
        FUZZ_CHECK(
            amy__json_parse((struct amy__span){buf, n - 1}, &json, NULL) == 0);
        amy__json_free(json);
    }
    return 0;
}
