/* Numbers of generations: they only grow, also over restarts, so that a socket
 * name tells old from new. */
/* Not for what a generation is: see pool.c. */
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "core/str.h"
#include "workers/internal.h"

#include <inttypes.h>
#include <stdio.h>

#define NUMBER_MAX 24

int
amy__workers_state_dir(const struct amy_workers *workers, const char *domain,
                       struct amy_error *err)
{
    return amy__site_state_dir(workers->state_fd, true, "workers", domain, err);
}

int
amy__workers_generation_next(struct amy_workers *workers, const char *domain,
                             uint64_t *ret_generation, struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p)
    int dir_fd = amy__workers_state_dir(workers, domain, err);
    struct amy__buf text;
    char number[NUMBER_MAX];
    uint64_t last = 0;
    int n = 0;

    if (dir_fd < 0) {
        return dir_fd;
    }
    amy__buf_init(&text, NUMBER_MAX);
    if (amy__read_file_at(dir_fd, "generation", NUMBER_MAX, &text, NULL, NULL) <
            0 ||
        !amy__parse_u64(amy__buf_span(&text), UINT64_MAX - 1, &last)) {
        last = 0; /* none yet, or not ours: the count begins anew */
    }
    amy__buf_clear(&text);
    n = snprintf(number, sizeof(number), "%" PRIu64, last + 1);
    *ret_generation = last + 1;
    return amy__write_file_at(dir_fd, "generation", number, (size_t)n, 0600,
                              err);
}
