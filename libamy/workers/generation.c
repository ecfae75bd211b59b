/* Numbers of generations: they only grow, also over restarts, so that a socket
 * name tells old from new. */
/* Not for what a generation is: see pool.c. */
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "core/str.h"
#include "workers/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#define NUMBER_MAX 24

int
amy__workers_state_dir(const struct amy_workers *workers, const char *domain,
                       struct amy_error *err)
{
    const char *const steps[] = {"workers", "sites", domain};
    AMY_CLEANUP(amy__close_p) int fd = -1;

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        int above = fd < 0 ? workers->state_fd : fd;
        int next = -1;

        if (mkdirat(above, steps[i], 0700) != 0 && errno != EEXIST) {
            return amy__err_sys(err, errno, "making state directory '%s'",
                                steps[i]);
        }
        next = amy__open_beneath(above, steps[i],
                                 O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, err);
        if (next < 0) {
            return next;
        }
        amy__close(&fd);
        fd = next;
    }
    return amy__take_fd(&fd);
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
