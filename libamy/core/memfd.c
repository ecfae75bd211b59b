/* Sealed anonymous files: how processes hand each other bytes that no longer
 * change. */
/* Not for shared words that do change: those are their rooms' own memfds. */
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

int
amy__sealed_memfd(const char *name, const void *data, size_t n,
                  struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int fd = -1;
    int rc = 0;

    fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) {
        return amy__err_sys(err, errno, "memfd '%s'", name);
    }
    rc = amy__write_all(fd, data, n, err);
    if (rc < 0) {
        amy__err_prefix(err, "memfd '%s': ", name);
        return rc;
    }
    if (fcntl(fd, F_ADD_SEALS,
              F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0) {
        return amy__err_sys(err, errno, "sealing memfd '%s'", name);
    }
    return amy__take_fd(&fd);
}

int
amy__map_sealed(int fd, size_t max, const void **ret_data, size_t *ret_n,
                struct amy_error *err)
{
    int seals = fcntl(fd, F_GET_SEALS);
    struct stat seen = {0};
    void *data = NULL;

    if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) {
        return amy__err(err, AMY_EINVAL,
                        "descriptor %d is no memfd sealed against shrinking",
                        fd);
    }
    if (fstat(fd, &seen) != 0) {
        return amy__err_sys(err, errno, "looking at memfd %d", fd);
    }
    if ((uint64_t)seen.st_size > max) {
        return amy__err(err, AMY_ELIMIT, "memfd %d has more than %zu bytes", fd,
                        max);
    }
    if (seen.st_size > 0) {
        data = mmap(NULL, (size_t)seen.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (data == MAP_FAILED) {
            return amy__err_sys(err, errno, "mapping memfd %d", fd);
        }
    }
    *ret_data = data;
    *ret_n = (size_t)seen.st_size;
    return 0;
}
