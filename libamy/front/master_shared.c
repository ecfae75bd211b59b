/* What the master shares with all its processes: gate words, slot words, locks
 * of logs, eventfds to wake each other, and keys of session tickets. */
/* Not for what stands in them: master_gate.c, slots.c. */
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "front/master.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* A key is taken for new tickets for so long, and known twice as long again. */
#define TICKET_MS (INT64_C(12) * 3600 * 1000)
#define LOCKS_BYTES (AMY__SITES_MAX * sizeof(struct amy__site_locks))

/* Zeroed memory that its readers map writable, and cannot make smaller. */
static int
share(const char *name, size_t size, void **ret_memory, int *ret_fd,
      struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p)
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    void *memory = MAP_FAILED;

    if (fd >= 0 && ftruncate(fd, (off_t)size) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) ==
            0) {
        memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    if (memory == MAP_FAILED) {
        return amy__err_sys(err, errno, "%s", name);
    }
    *ret_memory = memory;
    *ret_fd = amy__take_fd(&fd);
    return 0;
}

static int
create_slots(struct amy_front *front, struct amy_error *err)
{
    void *memory = NULL;
    int rc = share("amy-slot-words", amy__slots_bytes(), &memory,
                   &front->slots_fd, err);

    if (rc == 0) {
        front->slots = amy__slots_over(memory);
    }
    return rc;
}

static int
create_locks(struct amy_front *front, struct amy_error *err)
{
    void *memory = NULL;
    int rc =
        share("amy-log-locks", LOCKS_BYTES, &memory, &front->locks_fd, err);

    if (rc == 0) {
        front->locks = memory;
    }
    return rc;
}

/* Each once, and touched by nobody here afterwards: what the processes may
 * write is nothing that we follow. A site that takes the place of another one
 * takes over its locks, which the processes may still hold. */
int
amy__front_lock_logs(struct amy_front *front, uint32_t index,
                     struct amy_error *err)
{
    int rc = 0;

    while (rc == 0 && front->locks_made <= index) {
        struct amy__site_locks *locks = &front->locks[front->locks_made];

        rc = amy_log_lock_init(&locks->access, err);
        rc = rc == 0 ? amy_log_lock_init(&locks->error, err) : rc;
        front->locks_made += rc == 0;
    }
    return rc;
}

static int
arm_tickets(struct amy_front *front, int64_t after_ms, struct amy_error *err)
{
    front->tickets_due_ms = amy__mono_ms(front->opts.borrow_clock) + after_ms;
    return amy__timer_arm(front->ticket_timer, after_ms, err);
}

/* A new key in front, the oldest one out. */
static int
rotate_tickets(struct amy_front *front, struct amy_error *err)
{
    int fd = -1;
    int rc = 0;

    memmove(front->ticket_keys + AMY__TICKET_BYTES, front->ticket_keys,
            sizeof(front->ticket_keys) - AMY__TICKET_BYTES);
    rc = amy__random(front->ticket_keys, AMY__TICKET_BYTES, err);
    if (rc < 0) {
        return rc;
    }
    front->ticket_count += front->ticket_count < AMY__TICKET_KEYS;
    fd = amy__sealed_memfd("amy-ticket-keys", front->ticket_keys,
                           front->ticket_count * AMY__TICKET_BYTES, err);
    if (fd < 0) {
        return fd;
    }
    amy__close(&front->tickets_fd);
    front->tickets_fd = fd;
    return arm_tickets(front, TICKET_MS, err);
}

static void
on_ticket_timer(void *user)
{
    struct amy_front *front = user;
    struct amy_error err = AMY_ERROR_INIT;
    struct amy__json *json = NULL;
    int fds[1] = {-1};

    if (rotate_tickets(front, &err) < 0) {
        amy__log(&front->log, AMY_LOG_WARN, "ticket keys stay as they are: %s",
                 err.msg);
        (void)arm_tickets(front, TICKET_MS, NULL);
        return;
    }
    /* Processes still booting find the new keys in their bundle. */
    fds[0] = front->tickets_fd;
    json = amy__json_object();
    (void)amy__json_set(json, "keys_fd", amy__json_int(0));
    for (uint32_t i = 0; i < AMY__PROCESSES_MAX && json != NULL; i++) {
        if (front->processes[i].told_pages) {
            amy__front_tell(&front->processes[i], AMY__WIRE_TICKETS, json, fds,
                            1);
        }
    }
    amy__json_free(json);
}

/* ---- of a program before this one ---- */

static int
map_again(int fd, size_t size, const char *what, void **ret_memory,
          struct amy_error *err)
{
    struct stat seen = {0};
    void *memory = MAP_FAILED;

    if (fd < 0 || fstat(fd, &seen) != 0 || (uint64_t)seen.st_size != size) {
        return amy__err(err, AMY_EPARSE, "state: no %s of this kind", what);
    }
    memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        return amy__err_sys(err, errno, "mapping the %s", what);
    }
    *ret_memory = memory;
    return 0;
}

/* Nobody can write to those there are any more: a copy, which all are told of.
 */
static int
copy_words(struct amy_front *front, int fd, struct amy_error *err)
{
    const struct amy__gate_words *old = NULL;
    int rc = amy__gate_words_map(fd, &old, err);

    if (rc == 0) {
        rc = amy__gate_words_create(&front->words, &front->words_fd, err);
    }
    for (uint32_t i = 0; rc == 0 && i < AMY__GATE_WORDS; i++) {
        amy__gate_word_set(front->words, i, amy__gate_word(old, i));
    }
    amy__gate_words_unmap(old);
    return rc;
}

static int
read_keys(struct amy_front *front, struct amy_error *err)
{
    const void *keys = NULL;
    size_t n = 0;
    int rc = amy__map_sealed(front->tickets_fd, sizeof(front->ticket_keys),
                             &keys, &n, err);

    if (rc < 0) {
        return rc;
    }
    memcpy(front->ticket_keys, keys, n);
    front->ticket_count = n / AMY__TICKET_BYTES;
    (void)munmap((void *)(uintptr_t)keys, n);
    return 0;
}

static int
take_memory(struct amy_front *front, struct amy__handover *handover,
            struct amy_error *err)
{
    const struct amy__json *root = amy__handover_root(handover);
    AMY_CLEANUP(amy__close_p)
    int words_fd = amy__handover_take(handover, root, "words_fd");
    void *memory = NULL;
    int rc = copy_words(front, words_fd, err);

    front->slots_fd = amy__handover_take(handover, root, "slots_fd");
    front->locks_fd = amy__handover_take(handover, root, "locks_fd");
    front->locks_made = (uint32_t)amy__json_get_int(root, "locks_made", 0);
    if (rc == 0) {
        rc = map_again(front->slots_fd, amy__slots_bytes(), "slot words",
                       &memory, err);
    }
    if (rc == 0) {
        front->slots = amy__slots_over(memory);
        rc = map_again(front->locks_fd, LOCKS_BYTES, "locks of logs", &memory,
                       err);
    }
    if (rc == 0) {
        front->locks = memory;
    }
    return rc;
}

static int
take_shared(struct amy_front *front, struct amy__handover *handover,
            struct amy_error *err)
{
    const struct amy__json *root = amy__handover_root(handover);
    int64_t now_ms = amy__mono_ms(front->opts.borrow_clock);
    int rc = take_memory(front, handover, err);

    for (uint32_t i = 0; rc == 0 && i < AMY__PROCESSES_MAX; i++) {
        char key[32] = "";

        (void)snprintf(key, sizeof(key), "event%u_fd", (unsigned)i);
        front->events[i] = amy__handover_take(handover, root, key);
        if (front->events[i] < 0) {
            rc = amy__err(err, AMY_EPARSE, "state: no '%s'", key);
        }
    }
    front->tickets_fd = amy__handover_take(handover, root, "tickets_fd");
    if (rc == 0) {
        rc = read_keys(front, err);
    }
    return rc < 0 ? rc
                  : arm_tickets(front,
                                amy__json_get_int(root, "tickets_due_ms", 0) -
                                    now_ms,
                                err);
}

void
amy__front_shared_save(const struct amy_front *front,
                       struct amy__handover *handover)
{
    struct amy__json *root = amy__handover_root(handover);

    (void)amy__json_set(root, "words_fd",
                        amy__handover_fd(handover, front->words_fd));
    (void)amy__json_set(root, "slots_fd",
                        amy__handover_fd(handover, front->slots_fd));
    (void)amy__json_set(root, "locks_fd",
                        amy__handover_fd(handover, front->locks_fd));
    (void)amy__json_set(root, "locks_made", amy__json_int(front->locks_made));
    (void)amy__json_set(root, "tickets_fd",
                        amy__handover_fd(handover, front->tickets_fd));
    (void)amy__json_set(root, "tickets_due_ms",
                        amy__json_int(front->tickets_due_ms));
    for (uint32_t i = 0; i < AMY__PROCESSES_MAX; i++) {
        char key[32] = "";

        (void)snprintf(key, sizeof(key), "event%u_fd", (unsigned)i);
        (void)amy__json_set(root, key,
                            amy__handover_fd(handover, front->events[i]));
    }
}

/* ---- life ---- */

static int
make_shared(struct amy_front *front, struct amy_error *err)
{
    int rc = amy__gate_words_create(&front->words, &front->words_fd, err);

    if (rc == 0) {
        rc = create_slots(front, err);
    }
    if (rc == 0) {
        rc = create_locks(front, err);
    }
    for (uint32_t i = 0; rc == 0 && i < AMY__PROCESSES_MAX; i++) {
        front->events[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (front->events[i] < 0) {
            rc = amy__err_sys(err, errno, "eventfd");
        }
    }
    return rc < 0 ? rc : rotate_tickets(front, err);
}

int
amy__front_shared_create(struct amy_front *front, struct amy_error *err)
{
    int rc = amy__timer_create(front->opts.base, on_ticket_timer, front,
                               &front->ticket_timer, err);

    if (rc < 0) {
        return rc;
    }
    return front->handover != NULL ? take_shared(front, front->handover, err)
                                   : make_shared(front, err);
}

void
amy__front_shared_clear(struct amy_front *front)
{
    amy__timer_free(front->ticket_timer);
    amy__wipe(front->ticket_keys, sizeof(front->ticket_keys));
    amy__close(&front->tickets_fd);
    for (uint32_t i = 0; i < AMY__PROCESSES_MAX; i++) {
        amy__close(&front->events[i]);
    }
    if (front->slots != NULL) {
        (void)munmap((void *)front->slots, amy__slots_bytes());
    }
    amy__close(&front->slots_fd);
    if (front->locks != NULL) {
        (void)munmap(front->locks, LOCKS_BYTES);
    }
    amy__close(&front->locks_fd);
    amy__gate_words_unmap(front->words);
    amy__close(&front->words_fd);
}

void
amy__front_ring_all(struct amy_front *front)
{
    uint64_t one = 1;

    for (uint32_t i = 0; i < AMY__PROCESSES_MAX; i++) {
        /* EAGAIN: it has been rung so often that once more says nothing. */
        ssize_t n = write(front->events[i], &one, sizeof(one));

        (void)n;
    }
}
