/* Which process made an object. */
/* Not for pthread_atfork(3): a library may not have handlers for good. */
#include "core/maker.h"

#include "core/error.h"

#include <unistd.h>

bool
amy__is_maker(pid_t maker)
{
    return getpid() == maker;
}

int
amy__check_maker(pid_t maker, struct amy_error *err)
{
    if (!amy__is_maker(maker)) {
        return amy__err(err, AMY_ESTATE,
                        "made by process %ld, which this one was forked from",
                        (long)maker);
    }
    return 0;
}
