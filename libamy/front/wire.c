/* Messages with descriptors over a SOCK_SEQPACKET channel, queued when full. */
/* Not for what they mean: front/master*.c and front/process*.c know. */
#include "front/wire.h"

#include "core/alloc.h"
#include "core/buf.h"
#include "core/check.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "core/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WIRE_MAGIC 0x77697265U
#define PACKET_MAX (sizeof(struct amy__wire_header) + AMY__WIRE_JSON_MAX)
#define CONTROL_MAX CMSG_SPACE(AMY__WIRE_FDS_MAX * sizeof(int))

/* One packet that waits for room. */
struct packet {
    struct packet *next;
    struct amy__wire_header header;
    char *json;
    int *fds;
};

struct amy__wire {
    uint32_t magic;
    int fd; /* borrowed */
    struct amy__io *io;
    const struct amy__wire_handler *borrow_handler;
    void *user;
    bool *freed; /* while a handler runs: where to say that we are gone */
    struct packet *first;
    struct packet *last;
    size_t queued;
    int *fds; /* come by FDS packets, of the message that follows */
    size_t fd_count;
    char *scratch; /* PACKET_MAX */
};

/* ---- packets ---- */

static int
check_header(const struct amy__wire_header *header, size_t size, size_t fds,
             struct amy_error *err)
{
    if (header->magic != AMY__WIRE_MAGIC) {
        return amy__err(err, AMY_EPROTO, "channel: not libamy's");
    }
    if (header->version == 0 || header->version > AMY__WIRE_VERSION) {
        return amy__err(err, AMY_EPROTO, "channel: version %u is not known",
                        (unsigned)header->version);
    }
    if (header->type == 0) {
        return amy__err(err, AMY_EPROTO, "channel: a message of no type");
    }
    if (header->size != size || size > AMY__WIRE_JSON_MAX) {
        return amy__err(err, AMY_EPROTO, "channel: %zu bytes instead of %u",
                        size, (unsigned)header->size);
    }
    if (header->fds != fds) {
        return amy__err(err, AMY_EPROTO,
                        "channel: %zu descriptors instead of %u (is the limit "
                        "of open files reached?)",
                        fds, (unsigned)header->fds);
    }
    return 0;
}

int
amy__wire_decode(struct amy__span packet, size_t fds,
                 struct amy__wire_header *ret_header,
                 struct amy__json **ret_json, struct amy_error *err)
{
    struct amy__wire_header header = {0};
    struct amy__span text = {0};
    struct amy__json *json = NULL;
    int rc = 0;

    if (packet.n < sizeof(header)) {
        return amy__err(err, AMY_EPROTO, "channel: a packet of %zu bytes",
                        packet.n);
    }
    memcpy(&header, packet.p, sizeof(header));
    text.p = packet.p + sizeof(header);
    text.n = packet.n - sizeof(header);
    rc = check_header(&header, text.n, fds, err);
    if (rc < 0) {
        return rc;
    }
    if (header.type != AMY__WIRE_FDS) {
        rc = amy__json_parse(text, &json, err);
        if (rc == AMY_ENOMEM) {
            return rc;
        }
        if (rc < 0 || !amy__json_is_object(json)) {
            amy__json_free(json);
            return amy__err(err, AMY_EPROTO, "channel: no JSON object");
        }
    }
    *ret_header = header;
    *ret_json = json;
    return 0;
}

static void
close_all(int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        amy__close(&fds[i]);
    }
}

int
amy__wire_take_fd(struct amy__wire_message *message,
                  const struct amy__json *object, const char *key)
{
    int64_t place = amy__json_get_int(object, key, -1);
    int fd = -1;

    if (place < 0 || (uint64_t)place >= message->fd_count) {
        return -1;
    }
    fd = message->fds[place];
    message->fds[place] = -1;
    return fd;
}

/* ---- sending ---- */

/* 0, AMY_EAGAIN (full), AMY_ECONN, AMY_EIO. */
static int
send_packet(int fd, const struct amy__wire_header *header, const char *json,
            const int *fds, struct amy_error *err)
{
    union {
        char space[CONTROL_MAX];
        struct cmsghdr align;
    } control = {{0}};
    struct amy__wire_header copy = *header;
    struct iovec parts[2] = {{&copy, sizeof(copy)}, {NULL, header->size}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t n = -1;

    /* sendmsg(2) reads only, but its struct is recvmsg(2)'s too. */
    memcpy(&parts[1].iov_base, &json, sizeof(json));
    if (header->fds > 0) {
        struct cmsghdr *rights = &control.align;

        message.msg_control = control.space;
        message.msg_controllen = CMSG_SPACE(header->fds * sizeof(int));
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(header->fds * sizeof(int));
        memcpy(CMSG_DATA(rights), fds, header->fds * sizeof(int));
    }
    do {
        n = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n >= 0) {
        return 0;
    }
    if (errno == EAGAIN) {
        return AMY_EAGAIN;
    }
    if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN) {
        return amy__err(err, AMY_ECONN, "channel: the other end is gone");
    }
    return amy__err_sys(err, errno, "channel: sendmsg");
}

static void
free_packet(struct packet *packet)
{
    if (packet->fds != NULL) {
        close_all(packet->fds, packet->header.fds);
    }
    amy__free(packet->fds);
    amy__free(packet->json);
    amy__free(packet);
}

static int
duplicate(const int *fds, size_t count, int **ret_fds, struct amy_error *err)
{
    int *copies = amy__calloc(count == 0 ? 1 : count, sizeof(*copies));

    if (copies == NULL) {
        return amy__err(err, AMY_ENOMEM, "queueing descriptors");
    }
    for (size_t i = 0; i < count; i++) {
        copies[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
        if (copies[i] < 0) {
            int failure = errno;

            close_all(copies, i);
            amy__free(copies);
            return amy__err_sys(err, failure, "queueing descriptors");
        }
    }
    *ret_fds = copies;
    return 0;
}

static int
queue_packet(struct amy__wire *wire, const struct amy__wire_header *header,
             const char *json, const int *fds, struct amy_error *err)
{
    struct packet *packet = NULL;
    int rc = 0;

    if (wire->queued >= AMY__WIRE_QUEUE_MAX) {
        return amy__err(err, AMY_ELIMIT,
                        "channel: the other end reads nothing");
    }
    packet = amy__calloc(1, sizeof(*packet));
    if (packet == NULL) {
        return amy__err(err, AMY_ENOMEM, "queueing a message");
    }
    packet->json = amy__strndup(json, header->size);
    if (packet->json == NULL) {
        amy__free(packet);
        return amy__err(err, AMY_ENOMEM, "queueing a message");
    }
    rc = duplicate(fds, header->fds, &packet->fds, err);
    if (rc == 0) {
        rc = amy__io_want(wire->io, AMY__IO_READ | AMY__IO_WRITE, err);
    }
    if (rc < 0) {
        packet->header.fds = header->fds;
        free_packet(packet);
        return rc;
    }
    packet->header = *header;
    *(wire->last == NULL ? &wire->first : &wire->last->next) = packet;
    wire->last = packet;
    wire->queued++;
    return 0;
}

static int
send_or_queue(struct amy__wire *wire, const struct amy__wire_header *header,
              const char *json, const int *fds, struct amy_error *err)
{
    if (wire->first == NULL) {
        int rc = send_packet(wire->fd, header, json, fds, err);

        if (rc != AMY_EAGAIN) {
            return rc;
        }
    }
    return queue_packet(wire, header, json, fds, err);
}

static void
send_queued(struct amy__wire *wire)
{
    while (wire->first != NULL) {
        struct packet *packet = wire->first;

        /* A dead end shows by reading, too; there it is told once. */
        if (send_packet(wire->fd, &packet->header, packet->json, packet->fds,
                        NULL) == AMY_EAGAIN) {
            return;
        }
        wire->first = packet->next;
        wire->last = wire->first == NULL ? NULL : wire->last;
        wire->queued--;
        free_packet(packet);
    }
    (void)amy__io_want(wire->io, AMY__IO_READ, NULL); /* less never fails */
}

int
amy__wire_send(struct amy__wire *wire, enum amy__wire_type type,
               const struct amy__json *json, const int *fds, size_t count,
               struct amy_error *err)
{
    struct amy__buf text = {0};
    struct amy__wire_header header = {
        .magic = AMY__WIRE_MAGIC,
        .version = AMY__WIRE_VERSION,
    };
    int rc = 0;

    AMY_CHECK(wire, WIRE_MAGIC);
    if (count > AMY__WIRE_FDS_TOTAL) {
        return amy__err(err, AMY_ELIMIT, "channel: %zu descriptors", count);
    }
    amy__buf_init(&text, AMY__WIRE_JSON_MAX);
    rc = amy__json_write(json, 0, &text);
    if (rc < 0) {
        amy__buf_clear(&text);
        return amy__err(err, rc, "channel: writing a message");
    }
    header.type = AMY__WIRE_FDS;
    header.fds = AMY__WIRE_FDS_MAX;
    while (rc == 0 && count > AMY__WIRE_FDS_MAX) {
        rc = send_or_queue(wire, &header, "", fds, err);
        fds += AMY__WIRE_FDS_MAX;
        count -= AMY__WIRE_FDS_MAX;
    }
    header.type = (uint16_t)type;
    header.size = (uint32_t)text.len;
    header.fds = (uint32_t)count;
    if (rc == 0) {
        rc = send_or_queue(wire, &header, text.data, fds, err);
    }
    amy__buf_clear(&text);
    return rc;
}

/* ---- receiving ---- */

/* Put the descriptors of one packet behind those that wait. All are ours to
 * close, whatever comes. */
static int
keep_fds(struct amy__wire *wire, const struct msghdr *message,
         size_t *ret_count, struct amy_error *err)
{
    struct cmsghdr *rights = CMSG_FIRSTHDR(message);
    int *grown = NULL;
    size_t count = 0;

    /* Nothing but SCM_RIGHTS can come: no option asks for more. */
    if (rights != NULL && rights->cmsg_level == SOL_SOCKET &&
        rights->cmsg_type == SCM_RIGHTS) {
        count = (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    }
    *ret_count = count;
    if (count == 0) {
        return 0;
    }
    if (wire->fd_count + count <= AMY__WIRE_FDS_TOTAL) {
        grown =
            amy__realloc(wire->fds, (wire->fd_count + count) * sizeof(*grown));
    }
    if (grown == NULL) {
        int fds[AMY__WIRE_FDS_MAX + 8];

        memcpy(fds, CMSG_DATA(rights), count * sizeof(int));
        close_all(fds, count);
        return amy__err(err, AMY_ELIMIT, "channel: too many descriptors");
    }
    memcpy(grown + wire->fd_count, CMSG_DATA(rights), count * sizeof(int));
    wire->fds = grown;
    wire->fd_count += count;
    return 0;
}

/* 1: a packet, 0: nothing there; AMY_ECONN, AMY_EPROTO, AMY_ELIMIT, AMY_EIO. */
static int
receive_packet(struct amy__wire *wire, struct amy__span *ret_packet,
               size_t *ret_fds, struct amy_error *err)
{
    union {
        char space[CONTROL_MAX];
        struct cmsghdr align;
    } control = {{0}};
    struct iovec part = {wire->scratch, PACKET_MAX};
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control.space,
        .msg_controllen = sizeof(control.space),
    };
    ssize_t n = recvmsg(wire->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    int rc = 0;

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }
    if (n == 0 || (n < 0 && errno == ECONNRESET)) {
        return amy__err(err, AMY_ECONN, "channel: the other end is gone");
    }
    if (n < 0) {
        return amy__err_sys(err, errno, "channel: recvmsg");
    }
    rc = keep_fds(wire, &message, ret_fds, err);
    if (rc < 0) {
        return rc;
    }
    if ((message.msg_flags & MSG_TRUNC) != 0) {
        return amy__err(err, AMY_EPROTO, "channel: a packet is too large");
    }
    *ret_packet = (struct amy__span){wire->scratch, (size_t)n};
    return 1;
}

/* Hand one message over; false when the wire was freed by that. */
static bool
deliver(struct amy__wire *wire, enum amy__wire_type type,
        struct amy__json *json)
{
    struct amy__wire_message message = {
        .type = type,
        .json = json,
        .fds = wire->fds,
        .fd_count = wire->fd_count,
    };
    bool freed = false;

    wire->fds = NULL;
    wire->fd_count = 0;
    wire->freed = &freed;
    wire->borrow_handler->on_message(wire, &message, wire->user);
    close_all(message.fds, message.fd_count);
    amy__free(message.fds);
    amy__json_free(message.json);
    if (!freed) {
        wire->freed = NULL;
    }
    return !freed;
}

/* 1: go on, 0: nothing there any more (or freed), negative: the end. */
static int
read_one(struct amy__wire *wire, struct amy_error *err)
{
    struct amy__wire_header header = {0};
    struct amy__json *json = NULL;
    struct amy__span packet = {0};
    size_t fds = 0;
    int rc = receive_packet(wire, &packet, &fds, err);

    if (rc <= 0) {
        return rc;
    }
    rc = amy__wire_decode(packet, fds, &header, &json, err);
    if (rc < 0) {
        return rc;
    }
    if (header.type == AMY__WIRE_FDS) {
        return 1;
    }
    return deliver(wire, (enum amy__wire_type)header.type, json) ? 1 : 0;
}

static void
on_ready(int fd, unsigned what, void *user)
{
    struct amy__wire *wire = user;
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 1;

    (void)fd;
    if ((what & AMY__IO_WRITE) != 0) {
        send_queued(wire);
    }
    if ((what & AMY__IO_READ) == 0) {
        return;
    }
    /* A few at a time: others wait for the loop, too. */
    for (int i = 0; i < 16 && rc > 0; i++) {
        rc = read_one(wire, &err);
    }
    if (rc < 0) {
        (void)amy__io_want(wire->io, 0, NULL);
        wire->borrow_handler->on_gone(wire, &err, wire->user);
    }
}

bool
amy__wire_is_quiet(const struct amy__wire *wire)
{
    AMY_CHECK(wire, WIRE_MAGIC);
    return wire->first == NULL && wire->fd_count == 0;
}

/* ---- life ---- */

int
amy__wire_create(struct event_base *base, int borrow_fd,
                 const struct amy__wire_handler *borrow_handler, void *user,
                 struct amy__wire **ret_wire, struct amy_error *err)
{
    struct amy__wire *wire = amy__calloc(1, sizeof(*wire));
    int rc = 0;

    if (wire == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a channel");
    }
    *wire = (struct amy__wire){
        .magic = WIRE_MAGIC,
        .fd = borrow_fd,
        .borrow_handler = borrow_handler,
        .user = user,
        .scratch = amy__calloc(1, PACKET_MAX),
    };
    rc = wire->scratch == NULL
             ? amy__err(err, AMY_ENOMEM, "allocating a channel")
             : amy__io_create(base, borrow_fd, AMY__IO_READ, on_ready, wire,
                              &wire->io, err);
    if (rc < 0) {
        amy__wire_free(wire);
        return rc;
    }
    *ret_wire = wire;
    return 0;
}

void
amy__wire_free(struct amy__wire *wire)
{
    if (wire == NULL) {
        return;
    }
    AMY_CHECK(wire, WIRE_MAGIC);
    if (wire->freed != NULL) {
        *wire->freed = true;
    }
    amy__io_free(wire->io);
    while (wire->first != NULL) {
        struct packet *packet = wire->first;

        wire->first = packet->next;
        free_packet(packet);
    }
    close_all(wire->fds, wire->fd_count);
    amy__free(wire->fds);
    amy__free(wire->scratch);
    wire->magic = 0;
    amy__free(wire);
}
