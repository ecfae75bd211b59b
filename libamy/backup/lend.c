/* Lending a set: both ends of the socket. */
/* Not for what the borrower does with it: refresh.c. */
#include "backup/lend.h"

#include "backup/interlock.h"
#include "backup/job.h"
#include "backup/set.h"
#include "core/buf.h"
#include "core/cleanup.h"
#include "core/digest.h"
#include "core/error.h"
#include "core/files.h"
#include "core/json.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NOTE_MAX 1024U
#define TAKE_MS 90000
#define SEEN_MS 110000 /* its own limit is two minutes */

/* The manifest comes first, then its files. */
#define LOAN_FDS (AMY__LOAN_FILES + 1)

union rights {
    char space[CMSG_SPACE(LOAN_FDS * sizeof(int))];
    struct cmsghdr align;
};

void
amy__loan_init(struct amy__loan *loan)
{
    memset(loan, 0, sizeof(*loan));
    amy__manifest_init(&loan->manifest);
    loan->socket_fd = -1;
    for (size_t i = 0; i < AMY__LOAN_FILES; i++) {
        loan->fds[i] = -1;
    }
}

void
amy__loan_seen(struct amy__loan *loan)
{
    amy__close(&loan->socket_fd);
}

void
amy__loan_close_files(struct amy__loan *loan)
{
    for (size_t i = 0; i < AMY__LOAN_FILES; i++) {
        amy__close(&loan->fds[i]);
    }
}

void
amy__loan_clear(struct amy__loan *loan)
{
    amy__loan_seen(loan);
    amy__loan_close_files(loan);
    amy__manifest_clear(&loan->manifest);
}

void
amy__loan_leave_roles(struct amy__manifest *manifest)
{
    size_t kept = 0;

    for (size_t i = 0; i < manifest->file_count; i++) {
        if (strcmp(manifest->files[i].name, AMY__SET_ROLES) != 0) {
            manifest->files[kept++] = manifest->files[i];
        }
    }
    manifest->file_count = kept;
}

static int
await(int fd, int timeout_ms, struct amy_error *err)
{
    struct pollfd one = {.fd = fd, .events = POLLIN};
    int n = 0;

    do {
        n = poll(&one, 1, timeout_ms);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return amy__err_sys(err, errno, "waiting for the other site's job");
    }
    return n > 0 ? 0
                 : amy__err(err, AMY_ETIMEOUT,
                            "the other site's job says nothing");
}

int
amy__loan_identity(struct amy__pg *pg, char ret[AMY__IDENTITY_SIZE],
                   struct amy_error *err)
{
    static const char sql[] =
        "SELECT system_identifier::text || ' ' || (SELECT oid::text"
        " FROM pg_database WHERE datname = current_database())"
        " FROM pg_control_system()";
    int rc = 0;

    ret[0] = '\0';
    rc = amy__pg_ask(pg, sql, NULL, ret, AMY__IDENTITY_SIZE, err);
    return rc < 0 && rc != AMY_EDENIED ? rc : 0;
}

/* ---- the lender ---- */

static int
send_note(int socket_fd, struct amy__json *note, const int *fds, size_t count,
          struct amy_error *err)
{
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf text = {NULL, 0, 0, 0};
    union rights rights = {.space = {0}};
    struct iovec part = {NULL, 0};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    int rc = 0;

    amy__buf_init(&text, NOTE_MAX);
    rc = amy__json_write(note, 0, &text);
    if (rc < 0) {
        return amy__err(err, rc, "lending a backup");
    }
    part.iov_base = text.data;
    part.iov_len = text.len;
    if (count > 0) {
        message.msg_control = rights.space;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        rights.align.cmsg_level = SOL_SOCKET;
        rights.align.cmsg_type = SCM_RIGHTS;
        rights.align.cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(&rights.align), fds, count * sizeof(int));
    }
    return sendmsg(socket_fd, &message, MSG_NOSIGNAL) < 0
               ? amy__err_sys(err, errno, "lending a backup")
               : 0;
}

/* Its database holds a lock that only it has, so that the borrower can tell it
 * from its own. */
static int
mark_database(struct amy__job *job, char key[24], struct amy__pg **ret_pg,
              struct amy_error *err)
{
    uint64_t number = 0;
    int rc = amy__random(&number, sizeof(number), err);

    (void)snprintf(key, 24, "%" PRIu64, number >> 2);
    rc = rc < 0 ? rc : amy__job_connect(job, ret_pg, err);
    rc = rc < 0 ? rc : amy__interlock_refuse_pooler(*ret_pg, err);
    rc = rc < 0 ? rc
                : amy__pg_ask(*ret_pg, "SELECT pg_advisory_lock($1::bigint)",
                              key, NULL, 0, err);
    return rc < 0 ? rc : 0;
}

/* Locks of a standby are not seen on its primary: what else tells whether the
 * borrower has this database. */
static int
describe(struct amy__pg *pg, struct amy__json *note, struct amy_error *err)
{
    static const char sql[] = "SELECT 1 WHERE pg_is_in_recovery()";
    char identity[AMY__IDENTITY_SIZE] = "";
    int rc = amy__pg_ask(pg, sql, NULL, NULL, 0, err);

    (void)amy__json_set(note, "standby", amy__json_bool(rc > 0));
    rc = rc < 0 ? rc : amy__loan_identity(pg, identity, err);
    (void)amy__json_set(note, "identity", amy__json_text(identity));
    return rc;
}

static int
open_files(const struct amy__job *job, const struct amy__manifest *manifest,
           int fds[LOAN_FDS], size_t *ret_count, struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p)
    int set_fd = openat(job->sets_fd, manifest->name,
                        O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (set_fd < 0) {
        return amy__err_sys(err, errno, "opening '%s'", manifest->name);
    }
    for (size_t i = 0; i <= manifest->file_count; i++) {
        const char *name =
            i == 0 ? AMY__MANIFEST_NAME : manifest->files[i - 1].name;

        fds[i] = openat(set_fd, name,
                        O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fds[i] < 0) {
            return amy__err_sys(err, errno, "opening '%s/%s'", manifest->name,
                                name);
        }
        (*ret_count)++;
    }
    return 0;
}

static int
lend(struct amy__job *job, struct amy__manifest *manifest,
     struct amy__json *note, struct amy_error *err)
{
    AMY_CLEANUP(amy__pg_close_p) struct amy__pg *pg = NULL;
    int fds[LOAN_FDS];
    size_t count = 0;
    char key[24] = "";
    int rc = 0;

    if (!amy__verdict_is_verified(manifest->verdict)) {
        return amy__err(err, AMY_ESTATE, "'%s' is not verified but %s",
                        manifest->name, amy__verdict_name(manifest->verdict));
    }
    rc = mark_database(job, key, &pg, err);
    rc = rc < 0 ? rc : describe(pg, note, err);
    amy__loan_leave_roles(manifest);
    rc = rc < 0 ? rc : open_files(job, manifest, fds, &count, err);
    if (rc == 0) {
        (void)amy__json_set(note, "key", amy__json_text(key));
        (void)amy__json_set(note, "set", amy__json_text(manifest->name));
        rc = send_note(job->spec.lend_fd, note, fds, count, err);
    }
    for (size_t i = 0; i < count; i++) {
        amy__close(&fds[i]);
    }
    /* The lock is held until the borrower has looked: it closes its end. */
    return rc < 0 ? rc : await(job->spec.lend_fd, SEEN_MS, err);
}

int
amy__lend(struct amy__job *job, struct amy__manifest *manifest, int rc,
          struct amy_error *err)
{
    AMY_CLEANUP(amy__json_free_p) struct amy__json *note = amy__json_object();

    if (job->spec.lend_fd <= 0) {
        return amy__err(err, AMY_EINVAL, "nobody borrows");
    }
    rc = rc < 0 ? rc : lend(job, manifest, note, err);
    if (rc < 0) {
        (void)amy__json_set(note, "code", amy__json_int(rc));
        (void)amy__json_set(note, "message",
                            amy__json_text(err == NULL ? "" : err->msg));
        (void)send_note(job->spec.lend_fd, note, NULL, 0, NULL);
        return rc;
    }
    amy__job_log(job, "%s lent to a test site", manifest->name);
    return 0;
}

/* ---- the borrower ---- */

static int
receive(int socket_fd, char note[NOTE_MAX], int fds[LOAN_FDS],
        size_t *ret_count, size_t *ret_n, struct amy_error *err)
{
    union rights rights = {.space = {0}};
    struct iovec part = {note, NOTE_MAX};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = rights.space,
                             .msg_controllen = sizeof(rights.space)};
    ssize_t n = recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC);
    const struct cmsghdr *header = n < 0 ? NULL : CMSG_FIRSTHDR(&message);

    if (n < 0) {
        return amy__err_sys(err, errno, "borrowing a backup");
    }
    if (header != NULL && header->cmsg_type == SCM_RIGHTS) {
        *ret_count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(header), *ret_count * sizeof(int));
    }
    *ret_n = (size_t)n;
    return n == 0 ? amy__err(err, AMY_ECONN,
                             "the other site's job ended and lent nothing")
                  : 0;
}

static int
read_manifest(int fd, const char *name, struct amy__manifest *ret,
              struct amy_error *err)
{
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf text = {NULL, 0, 0, 0};
    char bytes[4096];
    ssize_t n = 1;
    int rc = 0;

    amy__buf_init(&text, AMY__MANIFEST_MAX);
    while (rc == 0 && n > 0) {
        n = read(fd, bytes, sizeof(bytes));
        rc = n < 0 ? amy__err_sys(err, errno, "reading the manifest")
                   : amy__buf_append(&text, bytes, (size_t)n);
    }
    return rc < 0 ? rc
                  : amy__manifest_read(amy__buf_span(&text), name, ret, err);
}

static bool
take_text(const struct amy__json *note, const char *name, char *buf,
          size_t size)
{
    return amy__span_copy(amy__span_of(amy__json_get_text(note, name, "")), buf,
                          size);
}

static int
take(struct amy__loan *loan, const struct amy__json *note, int *fds,
     size_t count, const char *site, struct amy_error *err)
{
    int64_t code = amy__json_get_int(note, "code", 0);
    int rc = 0;

    if (code < 0) {
        return amy__err(err, (int)code, "%s: %s", site,
                        amy__json_get_text(note, "message", ""));
    }
    loan->standby = amy__json_get_bool(note, "standby", false);
    if (count == 0 || !take_text(note, "key", loan->key, sizeof(loan->key)) ||
        !take_text(note, "identity", loan->identity, sizeof(loan->identity))) {
        return amy__err(err, AMY_EPROTO, "what is lent is no backup");
    }
    rc = read_manifest(fds[0], amy__json_get_text(note, "set", ""),
                       &loan->manifest, err);
    amy__loan_leave_roles(&loan->manifest);
    if (rc == 0 && (strcmp(loan->manifest.site, site) != 0 ||
                    loan->manifest.file_count != count - 1)) {
        return amy__err(err, AMY_EPROTO, "what is lent is no backup of '%s'",
                        site);
    }
    for (size_t i = 1; rc == 0 && i < count; i++) {
        loan->fds[loan->count++] = amy__take_fd(&fds[i]);
    }
    return rc;
}

int
amy__loan_take(int socket_fd, const char *site, struct amy__loan *ret,
               struct amy_error *err)
{
    AMY_CLEANUP(amy__json_free_p) struct amy__json *note = NULL;
    char text[NOTE_MAX];
    int fds[LOAN_FDS];
    size_t count = 0;
    size_t n = 0;
    int rc = 0;

    ret->socket_fd = socket_fd;
    rc = await(socket_fd, TAKE_MS, err);
    rc = rc < 0 ? rc : receive(socket_fd, text, fds, &count, &n, err);
    rc = rc < 0 ? rc : amy__json_parse((struct amy__span){text, n}, &note, err);
    rc = rc < 0 ? rc : take(ret, note, fds, count, site, err);
    for (size_t i = 0; i < count; i++) {
        amy__close(&fds[i]);
    }
    return rc;
}
