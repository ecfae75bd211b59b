/* Any bytes as an entry of logrotate's are read to their end, to the same
 * verdict each time. */
#include "fuzz.h"
#include "logrotate/leftover.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct amy__span text = {(const char *)data, size};
    bool found = amy__logrotate_leftover(text, "/webapps/a/logs/access.log");

    FUZZ_CHECK(found ==
               amy__logrotate_leftover(text, "/webapps/a/logs/access.log"));
    return 0;
}
