/* Control and metrics sockets for the program after this one. */
#ifndef AMY_CONTROL_SOCKETS_H
#define AMY_CONTROL_SOCKETS_H

#include "control/control.h"
#include "control/metrics.h"
#include "core/handover.h"

#include <stddef.h>

/* Into the root of what is handed over. */
void amy__sockets_save(const char *run, const struct amy__control *control,
                       const struct amy__metrics *metrics,
                       struct amy__handover *handover);
/* From there, for the options of their create calls: -1, and none, where
 * handover is NULL or the run directory is another one now, in which nobody
 * would find them. What is returned is the caller's. */
int amy__sockets_control(struct amy__handover *handover, const char *run);
size_t amy__sockets_metrics(struct amy__handover *handover, const char *run,
                            int fds[AMY__METRICS_FDS]);

#endif
