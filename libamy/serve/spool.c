/* Collects a body: up to a bound in memory, beyond it in an O_TMPFILE file. */
/* Not for sending it on: the client does that from memory or by sendfile(2). */
#include "serve/spool.h"

#include "core/error.h"
#include "core/files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

void
amy__spool_init(struct amy__spool *spool)
{
    *spool = (struct amy__spool){.fd = -1};
}

void
amy__spool_clear(struct amy__spool *spool, struct amy__blocks *blocks)
{
    amy__close(&spool->fd);
    amy__blocks_give(blocks, &spool->memory);
    spool->n = 0;
}

int
amy__spool_expect(struct amy__spool *spool,
                  const struct amy__spool_place *place, uint64_t n)
{
    if (n == 0 || n > place->memory_bytes) {
        return 0;
    }
    return amy__blocks_grow(place->blocks, &spool->memory, 0, (size_t)n);
}

/* A plain file: the kernel takes all, or says why not. */
static int
write_file(int fd, struct amy__span data, struct amy_error *err)
{
    while (data.n > 0) {
        ssize_t n = write(fd, data.p, data.n);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return amy__err_sys(err, n < 0 ? errno : ENOSPC,
                                "writing a request body to the spool");
        }
        data.p += n;
        data.n -= (size_t)n;
    }
    return 0;
}

static int
move_to_file(struct amy__spool *spool, const struct amy__spool_place *place,
             struct amy_error *err)
{
    struct amy__span held = {spool->memory.p, (size_t)spool->n};
    int rc = 0;

    if (place->dir_fd < 0) {
        return amy__err(err, AMY_ELIMIT, "a body of more than %u bytes",
                        place->memory_bytes);
    }
    spool->fd = openat(place->dir_fd, ".",
                       O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
    if (spool->fd < 0) {
        return amy__err_sys(err, errno, "making a spool file");
    }
    rc = write_file(spool->fd, held, err);
    if (rc < 0) {
        amy__close(&spool->fd); /* what is in memory is still whole */
    } else {
        amy__blocks_give(place->blocks, &spool->memory);
    }
    return rc;
}

int
amy__spool_write(struct amy__spool *spool, const struct amy__spool_place *place,
                 struct amy__span data, struct amy_error *err)
{
    int rc = 0;

    if (spool->fd < 0 && spool->n + data.n <= place->memory_bytes) {
        rc = amy__blocks_grow(place->blocks, &spool->memory, (size_t)spool->n,
                              (size_t)spool->n + data.n);
        if (rc < 0) {
            return amy__err(err, rc, "holding a request body");
        }
        memcpy(spool->memory.p + spool->n, data.p, data.n);
        spool->n += data.n;
        return 0;
    }
    if (spool->fd < 0) {
        rc = move_to_file(spool, place, err);
    }
    if (rc == 0) {
        rc = write_file(spool->fd, data, err);
    }
    if (rc == 0) {
        spool->n += data.n;
    }
    return rc;
}
