/* The sockets of a pool's workers: made hidden, probed, published, withdrawn.
 */
/* Not for what answers behind them. */
#include "core/alloc.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "net/unix.h"
#include "workers/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One request at a time is what a worker gets; more may stand here only while
 * strangers use the socket, or a slot's word was wrong. */
#define BACKLOG 64
/* Past its own timeout a worker is killed by its server; a moment for that. */
#define LATE_MS 2000
/* Connections refused in a row until a published worker counts as gone. */
#define MISSED_MAX 3

void
amy__workers_socket_init(struct amy__workers_socket *socket,
                         struct amy__workers_pool *pool, uint32_t position)
{
    *socket = (struct amy__workers_socket){
        .listen_fd = -1, .borrow_pool = pool, .position = position};
}

static void
end_probe(struct amy__workers_socket *socket)
{
    if (socket->call != NULL) {
        amy__call_cancel(socket->call);
        socket->call = NULL;
    }
    amy__client_free(socket->client);
    socket->client = NULL;
    amy__timer_free(socket->giving_up);
    socket->giving_up = NULL;
}

void
amy__workers_socket_withdraw(struct amy__workers_socket *socket)
{
    int dir_fd = socket->borrow_pool->dir_fd;

    end_probe(socket);
    amy__close(&socket->listen_fd);
    /* Gone already is as good. */
    if (socket->published[0] != '\0') {
        (void)unlinkat(dir_fd, socket->published, 0);
    }
    if (socket->hidden[0] != '\0') {
        (void)unlinkat(dir_fd, socket->hidden, 0);
    }
    socket->published[0] = '\0';
    socket->hidden[0] = '\0';
}

void
amy__workers_socket_clear(struct amy__workers_socket *socket)
{
    amy__workers_socket_withdraw(socket);
}

int
amy__workers_socket_open(struct amy__workers_socket *socket,
                         uint64_t incarnation, struct amy_error *err)
{
    struct amy__workers_pool *pool = socket->borrow_pool;
    const struct amy_workers *workers = pool->borrow_site->borrow_workers;
    int rc = 0;

    amy__workers_socket_withdraw(socket);
    socket->incarnation = incarnation;
    socket->healthy = 0;
    socket->missed = 0;
    socket->spoke = false;
    socket->trouble[0] = '\0';
    (void)snprintf(socket->hidden, sizeof(socket->hidden),
                   ".%" PRIu64 ".%" PRIu32 ".%" PRIu64, pool->generation,
                   socket->position, incarnation);
    socket->listen_fd =
        amy__unix_listen_at(pool->dir_fd, socket->hidden, BACKLOG, err);
    if (socket->listen_fd < 0) {
        rc = socket->listen_fd;
        socket->listen_fd = -1;
        socket->hidden[0] = '\0';
        return rc;
    }
    if (fchmodat(pool->dir_fd, socket->hidden, 0660, 0) != 0 ||
        (!workers->as_person &&
         fchownat(pool->dir_fd, socket->hidden, (uid_t)-1, workers->front_gid,
                  AT_SYMLINK_NOFOLLOW) != 0)) {
        rc = amy__err_sys(err, errno, "setting the mode of a worker's socket");
        amy__workers_socket_withdraw(socket);
        return rc;
    }
    return 0;
}

static void
publish(struct amy__workers_socket *socket)
{
    struct amy__workers_pool *pool = socket->borrow_pool;
    struct amy__workers_site *site = pool->borrow_site;
    char name[sizeof(socket->published)];

    (void)snprintf(name, sizeof(name), "%" PRIu64 ".%" PRIu32, pool->generation,
                   socket->position);
    if (renameat(pool->dir_fd, socket->hidden, pool->dir_fd, name) != 0) {
        amy__log(&site->borrow_workers->log, AMY_LOG_ERROR,
                 "a worker's socket cannot be published site=%s pool=%s "
                 "name=%s reason=\"%s\"",
                 site->domain, pool->spec->name, name, strerror(errno));
        return;
    }
    memcpy(socket->published, name, sizeof(name));
    socket->hidden[0] = '\0';
    amy_pool_set_ready(pool->pool, socket->position, socket->incarnation);
}

/* ---- is it healthy? ---- */

/* 2xx. Many a front page sends visitors on, which is as good. */
static bool
is_healthy(const struct amy__workers_socket *socket)
{
    const struct amy__site *site = socket->borrow_pool->site;
    unsigned kind = socket->status / 100;

    return kind == 2 || (kind == 3 && strcmp(site->health_path, "/") == 0);
}

static void
fail(struct amy__workers_socket *socket)
{
    struct amy__workers_pool *pool = socket->borrow_pool;
    char reason[AMY__TROUBLE_BYTES + 300];

    (void)snprintf(reason, sizeof(reason), "the health check %.255s %s",
                   pool->site->health_path, socket->trouble);
    amy__timer_cancel(socket->giving_up);
    amy__workers_reload_failed(pool, socket->position, reason);
}

static void
on_giving_up(void *user)
{
    struct amy__workers_socket *socket = user;

    if (socket->trouble[0] == '\0') {
        const struct amy__site *site = socket->borrow_pool->site;

        (void)snprintf(socket->trouble, sizeof(socket->trouble),
                       "was not answered %" PRIu32 " times in a row within "
                       "%" PRId64 " ms",
                       site->health_probes, site->health_timeout_ms);
    }
    fail(socket);
}

/* The worker speaks: from now on it has so long to say that all is well. */
static void
note_first(struct amy__workers_socket *socket)
{
    const struct amy__workers_pool *pool = socket->borrow_pool;
    struct amy_workers *workers = pool->borrow_site->borrow_workers;

    if (socket->spoke) {
        return;
    }
    socket->spoke = true;
    if (amy__timer_create(workers->base, on_giving_up, socket,
                          &socket->giving_up, NULL) < 0 ||
        amy__timer_arm(socket->giving_up, pool->site->health_timeout_ms, NULL) <
            0) {
        (void)snprintf(socket->trouble, sizeof(socket->trouble),
                       "found no memory");
        fail(socket);
    }
}

/* Of a worker that must be healthy before it is used, and stay so. */
static void
judge(struct amy__workers_socket *socket)
{
    const struct amy__workers_pool *pool = socket->borrow_pool;
    bool published = socket->published[0] != '\0';

    if (!is_healthy(socket)) {
        socket->healthy = 0;
        (void)snprintf(socket->trouble, sizeof(socket->trouble),
                       "was answered with status %u", socket->status);
        if (published) {
            fail(socket);
        }
        return;
    }
    socket->healthy++;
    socket->trouble[0] = '\0';
    if (!published && socket->healthy >= pool->site->health_probes) {
        amy__timer_cancel(socket->giving_up);
        publish(socket);
    }
}

static void
on_answer(struct amy__call *call, const struct amy__answer_head *head,
          void *user)
{
    (void)call;
    ((struct amy__workers_socket *)user)->status = head->status;
}

static void
on_data(struct amy__call *call, struct amy__span data, void *user)
{
    (void)call;
    (void)data;
    (void)user;
}

/* A connection kept open would hold a worker that serves one at a time. */
static void
end_call(struct amy__workers_socket *socket)
{
    socket->call = NULL;
    amy__client_free(socket->client);
    socket->client = NULL;
    /* A bake may have waited for it. */
    amy__workers_ask_sweep(socket->borrow_pool->borrow_site->borrow_workers);
}

static void
on_end(struct amy__call *call, void *user)
{
    struct amy__workers_socket *socket = user;

    (void)call;
    end_call(socket);
    socket->missed = 0;
    if (socket->borrow_pool->strict) {
        note_first(socket);
        judge(socket);
    } else if (socket->published[0] == '\0') {
        /* Any answer counts for a first generation or a replacement: a page
         * that reports a broken database is better than none. */
        publish(socket);
    }
}

/* Before it first spoke: not yet. The pool asks again, and gives up when its
 * boot timeout is over. Afterwards: what ends in mid-answer has crashed. One
 * that only cannot be reached may be busy; or dead, and then the pool is about
 * to say so, with a better reason. */
static void
on_fail(struct amy__call *call, enum amy__call_failure failure,
        const char *reason, void *user)
{
    struct amy__workers_socket *socket = user;
    bool crashed = failure != AMY__CALL_CONNECT && failure != AMY__CALL_BUSY;

    (void)call;
    end_call(socket);
    if (!socket->spoke) {
        return;
    }
    socket->healthy = 0;
    socket->missed += failure == AMY__CALL_CONNECT ? 1U : 0U;
    (void)snprintf(socket->trouble, sizeof(socket->trouble),
                   "got no answer: %s", reason);
    if (crashed ||
        (socket->published[0] != '\0' && socket->missed >= MISSED_MAX)) {
        fail(socket);
    }
}

static const struct amy__call_handler probe_handler = {
    .on_answer = on_answer,
    .on_data = on_data,
    .on_end = on_end,
    .on_fail = on_fail,
};

static void
set_field(struct amy__request_head *head, enum amy__field_id id,
          const char *name, const char *value)
{
    struct amy__field *field = &head->fields[head->field_count++];

    field->name = amy__span_of(name);
    field->value = amy__span_of(value);
    field->id = (uint16_t)id;
}

/* As the front would ask: Django redirects what does not look like HTTPS, and
 * refuses a host it does not know. */
static void
fill_request(const struct amy__site *site, struct amy__request_head *head)
{
    const char *path = site->health_path != NULL ? site->health_path : "/";

    head->method = AMY__METHOD_GET;
    head->method_text = AMY_SPAN("GET");
    head->target = amy__span_of(path);
    head->path = head->target;
    head->authority = amy__span_of(site->domain);
    head->host = head->authority;
    head->version_major = 1;
    head->version_minor = 1;
    set_field(head, AMY__FIELD_HOST, "Host", site->domain);
    set_field(head, AMY__FIELD_USER_AGENT, "User-Agent", "amy-workers");
    set_field(head, AMY__FIELD_X_FORWARDED, "X-Forwarded-Proto", "https");
}

static void
ask(struct amy__workers_socket *socket, const char *name, int64_t timeout_ms)
{
    struct amy__workers_pool *pool = socket->borrow_pool;
    struct amy_workers *workers = pool->borrow_site->borrow_workers;
    struct amy__client_options opts = {.base = workers->base,
                                       .borrow_dir_fd = pool->dir_fd,
                                       .unix_name = name,
                                       .borrow_clock = workers->borrow_clock};
    struct amy__request_head head = {0};

    if (socket->call != NULL ||
        amy__client_create(&opts, &socket->client, NULL) < 0) {
        return; /* under way; or asked again soon */
    }
    socket->status = 0;
    fill_request(pool->site, &head);
    if (amy__call_start(socket->client, &head, NULL, (uint32_t)timeout_ms,
                        &probe_handler, socket, &socket->call, NULL) < 0) {
        socket->call = NULL;
        amy__client_free(socket->client);
        socket->client = NULL;
    }
}

void
amy__workers_socket_probe(struct amy__workers_socket *socket)
{
    const struct amy__workers_pool *pool = socket->borrow_pool;

    if (socket->hidden[0] != '\0') {
        ask(socket, socket->hidden, pool->spec->boot_timeout_ms);
    }
}

/* A worker that is busy answers when it is done: as late as it may be with any
 * request. */
void
amy__workers_socket_check(struct amy__workers_socket *socket)
{
    const struct amy__workers_pool *pool = socket->borrow_pool;

    if (socket->published[0] != '\0') {
        ask(socket, socket->published,
            amy__site_kill_after_ms(pool->site, pool->spec) + LATE_MS);
    }
}

static int
open_made(int above_fd, const char *name, const struct amy_workers *workers,
          struct amy_error *err)
{
    bool made = mkdirat(above_fd, name, 0750) == 0;
    int fd = -1;

    if (!made && errno != EEXIST) {
        return amy__err_sys(err, errno, "making directory '%s'", name);
    }
    fd = amy__open_beneath(above_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW,
                           0, err);
    /* The umask may have taken the group's bits away. */
    if (fd >= 0 && made &&
        (fchmod(fd, 0750) != 0 ||
         (!workers->as_person &&
          fchown(fd, (uid_t)-1, workers->front_gid) != 0))) {
        int rc = amy__err_sys(err, errno, "setting the mode of '%s'", name);

        amy__close(&fd);
        return rc;
    }
    return fd;
}

int
amy__workers_socket_dir(struct amy_workers *workers, const char *domain,
                        const char *pool, struct amy_error *err)
{
    int site_fd = open_made(workers->run_fd, domain, workers, err);
    int fd = site_fd;

    if (site_fd >= 0) {
        fd = open_made(site_fd, pool, workers, err);
        amy__close(&site_fd);
    }
    return fd;
}

/* The generation in "7.0" and ".7.0.12"; false for a stranger's name. */
static bool
generation_of(const char *name, uint64_t *ret_generation)
{
    struct amy__span rest = amy__span_of(name[0] == '.' ? name + 1 : name);
    struct amy__span number = {NULL, 0};

    return amy__span_split(&rest, '.', &number) && rest.n > 0 &&
           amy__parse_u64(number, UINT64_MAX, ret_generation);
}

/* Nobody listens there any more. Where somebody does it is a worker of a former
 * supervisor that still drains: it goes with a later sweep. */
static bool
dead(int dir_fd, const char *name)
{
    struct amy_error err = AMY_ERROR_INIT;
    int fd = amy__unix_connect_at(dir_fd, name, &err);

    if (fd >= 0) {
        amy__close(&fd);
        return false;
    }
    return fd == AMY_ECONN;
}

void
amy__workers_socket_sweep(int dir_fd, uint64_t before)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry = NULL;

    if (dir == NULL) {
        amy__close(&fd);
        return;
    }
    for (entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        uint64_t generation = 0;

        if (generation_of(entry->d_name, &generation) && generation < before &&
            dead(dir_fd, entry->d_name)) {
            (void)unlinkat(dir_fd, entry->d_name, 0);
        }
    }
    (void)closedir(dir);
}
