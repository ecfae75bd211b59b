/* State that outlives the program: written down, sealed, read again. */
/* Not for what stands in it, nor for execve: core/upgrade.c. */
#include "core/handover.h"

#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAGIC "amystate"
#define DAEMON_BYTES 16

struct header {
    char magic[8];
    uint32_t version; /* the oldest that serves */
    uint32_t bytes;   /* of this header; the JSON is behind it */
    uint64_t size;    /* of the JSON */
    char daemon[DAEMON_BYTES];
};
_Static_assert(sizeof(struct header) == 40, "no padding");

struct amy__handover {
    char daemon[DAEMON_BYTES];
    struct amy__json *root;
    struct amy__json *children; /* of root, while it is filled */
    bool coming;                /* opened: its descriptors are ours */
    bool failed;                /* a maker was out of memory */
    uint64_t lost_before;       /* amy__json_lost() then */
    int *fds;                   /* named; -1: taken */
    size_t fd_count;
    int *own; /* made by bytes and seal */
    size_t own_count;
};

static int
append(int **list, size_t *count, int fd)
{
    int *grown = NULL;

    if (*count >= AMY__HANDOVER_FDS) {
        return AMY_ELIMIT;
    }
    grown = amy__realloc(*list, (*count + 1) * sizeof(*grown));
    if (grown == NULL) {
        return AMY_ENOMEM;
    }
    *list = grown;
    grown[(*count)++] = fd;
    return 0;
}

/* ---- leaving ---- */

int
amy__handover_create(const char *daemon, struct amy__handover **ret,
                     struct amy_error *err)
{
    struct amy__handover *handover = amy__calloc(1, sizeof(*handover));

    if (handover != NULL) {
        (void)snprintf(handover->daemon, DAEMON_BYTES, "%s", daemon);
        handover->lost_before = amy__json_lost();
        handover->root = amy__json_object();
        handover->children = amy__json_array();
    }
    if (handover == NULL || handover->root == NULL ||
        handover->children == NULL) {
        amy__handover_free(handover);
        return amy__err(err, AMY_ENOMEM, "allocating a state");
    }
    *ret = handover;
    return 0;
}

struct amy__json *
amy__handover_root(const struct amy__handover *handover)
{
    return handover->root;
}

struct amy__json *
amy__handover_fd(struct amy__handover *handover, int fd)
{
    if (fd < 0) {
        return amy__json_null();
    }
    if (append(&handover->fds, &handover->fd_count, fd) < 0) {
        handover->failed = true;
        return NULL;
    }
    return amy__json_int(fd);
}

struct amy__json *
amy__handover_bytes(struct amy__handover *handover, const void *data, size_t n)
{
    int fd = amy__sealed_memfd("amy-state-bytes", data, n, NULL);

    if (fd < 0 || append(&handover->own, &handover->own_count, fd) < 0) {
        amy__close(&fd);
        handover->failed = true;
        return NULL;
    }
    return amy__handover_fd(handover, fd);
}

void
amy__handover_child(struct amy__handover *handover, pid_t pid)
{
    if (amy__json_add(handover->children, amy__json_int(pid)) < 0) {
        handover->failed = true;
    }
}

/* What is the reader's to find without knowing more. */
static int
write_lists(struct amy__handover *handover)
{
    struct amy__json *list = amy__json_array();
    struct amy__json *children = handover->children;
    bool lost = amy__json_lost() != handover->lost_before;
    int rc = handover->failed || lost ? AMY_ENOMEM : 0;

    for (size_t i = 0; rc == 0 && i < handover->fd_count; i++) {
        rc = amy__json_add(list, amy__json_int(handover->fds[i]));
    }
    if (rc < 0) {
        amy__json_free(list);
        return rc;
    }
    handover->children = NULL; /* taken over, also on failure */
    rc = amy__json_set(handover->root, "children", children);
    return amy__json_set(handover->root, "descriptors", list) < 0 ? AMY_ENOMEM
                                                                  : rc;
}

static int
write_state(struct amy__handover *handover, struct amy__buf *out,
            struct amy_error *err)
{
    struct header header = {.magic = MAGIC,
                            .version = AMY__HANDOVER_VERSION,
                            .bytes = sizeof(header)};
    struct amy__buf text = {0};
    int rc = write_lists(handover);

    amy__buf_init(&text, AMY__HANDOVER_MAX);
    rc = rc == 0 ? amy__json_write(handover->root, 0, &text) : rc;
    memcpy(header.daemon, handover->daemon, DAEMON_BYTES);
    header.size = text.len;
    rc = rc == 0 ? amy__buf_append(out, &header, sizeof(header)) : rc;
    rc = rc == 0 ? amy__buf_append(out, text.data, text.len) : rc;
    amy__buf_clear(&text);
    return rc == 0 ? 0 : amy__err(err, rc, "writing the state down");
}

int
amy__handover_seal(struct amy__handover *handover, int *ret_fd,
                   struct amy_error *err)
{
    struct amy__buf out = {0};
    int fd = -1;
    int rc = 0;

    amy__buf_init(&out, AMY__HANDOVER_MAX + sizeof(struct header));
    rc = write_state(handover, &out, err);
    if (rc == 0) {
        fd = amy__sealed_memfd("amy-state", out.data, out.len, err);
        rc = fd < 0 ? fd : 0;
    }
    amy__buf_clear(&out);
    if (rc == 0 && append(&handover->own, &handover->own_count, fd) < 0) {
        amy__close(&fd);
        rc = amy__err(err, AMY_ENOMEM, "writing the state down");
    }
    if (rc == 0) {
        *ret_fd = fd;
    }
    return rc;
}

static void
set_flags(const int *fds, size_t count, int flags)
{
    for (size_t i = 0; i < count; i++) {
        (void)fcntl(fds[i], F_SETFD, flags); /* -1 was taken */
    }
}

void
amy__handover_keep(const struct amy__handover *handover, bool keep)
{
    int flags = keep ? 0 : FD_CLOEXEC;

    set_flags(handover->fds, handover->fd_count, flags);
    set_flags(handover->own, handover->own_count, flags);
}

/* ---- taking over ---- */

int
amy__handover_parse(struct amy__span bytes, const char *daemon,
                    struct amy__json **ret_root, struct amy_error *err)
{
    struct header header = {.version = 0};
    struct amy__json *root = NULL;
    struct amy__span text = {0};
    int rc = 0;

    if (bytes.n < sizeof(header)) {
        return amy__err(err, AMY_EPARSE, "state: %zu bytes are none", bytes.n);
    }
    memcpy(&header, bytes.p, sizeof(header));
    if (memcmp(header.magic, MAGIC, sizeof(header.magic)) != 0) {
        return amy__err(err, AMY_EPARSE, "state: not libamy's");
    }
    if (header.version == 0 || header.version > AMY__HANDOVER_VERSION) {
        return amy__err(err, AMY_EUNSUPPORTED,
                        "state: of version %u, this release reads up to %u",
                        (unsigned)header.version, AMY__HANDOVER_VERSION);
    }
    if (header.bytes < sizeof(header) || header.bytes > bytes.n ||
        header.size != bytes.n - header.bytes ||
        header.size > AMY__HANDOVER_MAX) {
        return amy__err(err, AMY_EPARSE, "state: cut, or too long");
    }
    header.daemon[DAEMON_BYTES - 1] = '\0';
    if (strcmp(header.daemon, daemon) != 0) {
        return amy__err(err, AMY_EINVAL, "state: another daemon's");
    }
    text.p = bytes.p + header.bytes;
    text.n = bytes.n - header.bytes;
    rc = amy__json_parse(text, &root, err);
    if (rc == 0 && !amy__json_is_object(root)) {
        amy__json_free(root);
        rc = amy__err(err, AMY_EPARSE, "state: no object");
    }
    if (rc == 0) {
        *ret_root = root;
    }
    return rc;
}

int
amy__handover_read(int fd, const char *daemon, struct amy__json **ret_root,
                   struct amy_error *err)
{
    const void *data = NULL;
    size_t n = 0;
    int rc = amy__map_sealed(fd, AMY__HANDOVER_MAX + sizeof(struct header),
                             &data, &n, err);

    if (rc < 0) {
        return rc;
    }
    rc =
        amy__handover_parse((struct amy__span){data, n}, daemon, ret_root, err);
    if (n > 0) {
        void *mapped = NULL;

        memcpy(&mapped, &data, sizeof(data)); /* ours to unmap */
        (void)munmap(mapped, n);
    }
    return rc;
}

/* Every number once, above stdio, and open. */
static int
adopt(struct amy__handover *handover, struct amy_error *err)
{
    const struct amy__json *list = amy__json_get(handover->root, "descriptors");

    for (size_t i = 0; i < amy__json_count(list); i++) {
        int64_t n = amy__json_as_int(amy__json_at(list, i), -1);
        int rc = 0;

        if (n <= STDERR_FILENO || n > INT32_MAX ||
            (fcntl((int)n, F_GETFD) & FD_CLOEXEC) != 0 || /* -1 has it, too */
            fcntl((int)n, F_SETFD, FD_CLOEXEC) != 0) {
            return amy__err(err, AMY_EPARSE,
                            "state: descriptor %lld is not there",
                            (long long)n);
        }
        rc = append(&handover->fds, &handover->fd_count, (int)n);
        if (rc < 0) {
            return amy__err(err, rc, "state: too many descriptors");
        }
    }
    return 0;
}

int
amy__handover_open(int fd, const char *daemon, struct amy__handover **ret,
                   struct amy_error *err)
{
    AMY_CLEANUP(amy__handover_free_p)
    struct amy__handover *handover = amy__calloc(1, sizeof(*handover));
    int rc = 0;

    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (handover == NULL) {
        amy__close(&fd);
        return amy__err(err, AMY_ENOMEM, "allocating a state");
    }
    handover->coming = true;
    rc = amy__handover_read(fd, daemon, &handover->root, err);
    amy__close(&fd);
    rc = rc < 0 ? rc : adopt(handover, err);
    if (rc == 0) {
        *ret = AMY_TAKE(handover);
    }
    return rc;
}

int
amy__handover_take(struct amy__handover *handover,
                   const struct amy__json *object, const char *key)
{
    int64_t number = amy__json_get_int(object, key, -1);

    for (size_t i = 0; number >= 0 && i < handover->fd_count; i++) {
        if (handover->fds[i] == number) {
            return amy__take_fd(&handover->fds[i]);
        }
    }
    return -1;
}

int
amy__handover_take_bytes(struct amy__handover *handover,
                         const struct amy__json *object, const char *key,
                         size_t max, struct amy__buf *out,
                         struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p)
    int fd = amy__handover_take(handover, object, key);
    const void *data = NULL;
    size_t n = 0;
    int rc = fd < 0 ? amy__err(err, AMY_ENOTFOUND, "state: no '%s'", key)
                    : amy__map_sealed(fd, max, &data, &n, err);

    if (rc == 0 && n > 0) {
        void *mapped = NULL;

        rc = amy__buf_append(out, data, n);
        memcpy(&mapped, &data, sizeof(data));
        (void)munmap(mapped, n);
    }
    return rc;
}

void
amy__handover_free(struct amy__handover *handover)
{
    if (handover == NULL) {
        return;
    }
    for (size_t i = 0; handover->coming && i < handover->fd_count; i++) {
        amy__close(&handover->fds[i]);
    }
    for (size_t i = 0; i < handover->own_count; i++) {
        amy__close(&handover->own[i]);
    }
    amy__free(handover->fds);
    amy__free(handover->own);
    amy__json_free(handover->children);
    amy__json_free(handover->root);
    amy__free(handover);
}
