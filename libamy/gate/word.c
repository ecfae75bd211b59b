/* The memory of the gate words: a memfd that only its maker can write. */
/* Not for deciding what stands in a word: front/ does. */
#include "gate/word.h"

#include "core/error.h"
#include "core/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef F_SEAL_FUTURE_WRITE /* Linux 5.1; not in every libc's headers */
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

int
amy__gate_words_create(struct amy__gate_words **ret_words, int *ret_fd,
                       struct amy_error *err)
{
    size_t size = sizeof(struct amy__gate_words);
    int fd = memfd_create("amy-gate-words", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    void *memory = MAP_FAILED;

    if (fd < 0) {
        return amy__err_sys(err, errno, "gate words: memfd_create");
    }
    if (ftruncate(fd, (off_t)size) == 0) {
        memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    /* Our mapping stays writable; nobody gets another one. */
    if (memory == MAP_FAILED || fcntl(fd, F_ADD_SEALS, SEALS) != 0) {
        int failure = errno;

        if (memory != MAP_FAILED) {
            (void)munmap(memory, size);
        }
        amy__close(&fd);
        return amy__err_sys(err, failure, "gate words");
    }
    *ret_words = memory;
    *ret_fd = fd;
    return 0;
}

int
amy__gate_words_map(int fd, const struct amy__gate_words **ret_words,
                    struct amy_error *err)
{
    size_t size = sizeof(struct amy__gate_words);
    struct stat seen = {0};
    void *memory = NULL;
    int seals = fcntl(fd, F_GET_SEALS);

    if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &seen) != 0 ||
        (uint64_t)seen.st_size != size) {
        return amy__err(err, AMY_EPROTO, "gate words: of another kind");
    }
    memory = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        return amy__err_sys(err, errno, "gate words: mmap");
    }
    *ret_words = memory;
    return 0;
}

void
amy__gate_words_unmap(const struct amy__gate_words *words)
{
    if (words != NULL) {
        /* munmap(2) wants no const; it changes nothing that is ours. */
        (void)munmap((void *)(uintptr_t)words, sizeof(*words));
    }
}
