/* Sockets on which a program before this one listened. */
/* Not for what is answered there. */
#include "control/sockets.h"

#include <stdbool.h>
#include <string.h>

void
amy__sockets_save(const char *run, const struct amy__control *control,
                  const struct amy__metrics *metrics,
                  struct amy__handover *handover)
{
    struct amy__json *root = amy__handover_root(handover);
    struct amy__json *list = amy__json_array();
    int fd = -1;

    for (size_t i = 0; (void)(fd = amy__metrics_fd(metrics, i)), fd >= 0; i++) {
        struct amy__json *one = amy__json_object();

        (void)amy__json_set(one, "socket_fd", amy__handover_fd(handover, fd));
        (void)amy__json_add(list, one);
    }
    (void)amy__json_set(root, "run", amy__json_text(run));
    (void)amy__json_set(root, "control_fd",
                        amy__handover_fd(handover, amy__control_fd(control)));
    (void)amy__json_set(root, "metrics", list);
}

static bool
is_here(const struct amy__handover *handover, const char *run)
{
    return handover != NULL &&
           strcmp(amy__json_get_text(amy__handover_root(handover), "run", ""),
                  run) == 0;
}

int
amy__sockets_control(struct amy__handover *handover, const char *run)
{
    return is_here(handover, run)
               ? amy__handover_take(handover, amy__handover_root(handover),
                                    "control_fd")
               : -1;
}

size_t
amy__sockets_metrics(struct amy__handover *handover, const char *run,
                     int fds[AMY__METRICS_FDS])
{
    const struct amy__json *list = NULL;
    size_t count = 0;

    if (!is_here(handover, run)) {
        return 0;
    }
    list = amy__json_get(amy__handover_root(handover), "metrics");
    while (count < amy__json_count(list) && count < AMY__METRICS_FDS) {
        fds[count] = amy__handover_take(handover, amy__json_at(list, count),
                                        "socket_fd");
        count++;
    }
    return count;
}
