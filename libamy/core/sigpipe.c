/* Is SIGPIPE ignored? */
/* Not for ignoring it: dispositions are the host's. */
#include "core/sigpipe.h"

#include "core/error.h"

#include <signal.h>

int
amy__check_sigpipe(struct amy_error *err)
{
    struct sigaction now;

    if (sigaction(SIGPIPE, NULL, &now) != 0 || now.sa_handler != SIG_IGN) {
        return amy__err(err, AMY_ESTATE, "SIGPIPE must be ignored");
    }
    return 0;
}
