/* A front process' life: what the master says on the channel becomes what is
 * served. Not for requests: that is request.c and what it calls. */
#include "front/process.h"

#include "core/alloc.h"
#include "core/check.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/error.h"
#include "core/files.h"
#include "core/json.h"
#include "core/loop.h"
#include "front/checks.h"
#include "front/leave.h"
#include "front/served.h"
#include "front/state.h"
#include "front/wire.h"
#include "gate/page.h"
#include "net/tls.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAGIC 0x66726f6eU /* "fron" */
#define TICK_MS 1000

/* ---- what it works with ---- */

#define LOCKS_BYTES (AMY__SITES_MAX * sizeof(struct amy__site_locks))

static int
map_shared(int fd, size_t n, const char *what, void **ret_memory,
           struct amy_error *err)
{
    void *memory = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (memory == MAP_FAILED) {
        return amy__err_sys(err, errno, "mapping the %s", what);
    }
    *ret_memory = memory;
    return 0;
}

/* A master of the release before has none. */
static int
map_locks(struct amy__front *front, int fd, struct amy_error *err)
{
    void *memory = NULL;
    int rc =
        fd < 0 ? 0 : map_shared(fd, LOCKS_BYTES, "locks of logs", &memory, err);

    front->locks = memory;
    return rc;
}

static void
on_rung(int fd, unsigned what, void *user)
{
    struct amy__front *front = user;
    uint64_t count = 0;

    (void)what;
    /* Only the bell's being rung matters; EAGAIN: somebody read it. */
    (void)!read(fd, &count, sizeof(count));
    amy__dispatch_rung(front->dispatch);
}

static int
start_dispatch(struct amy__front *front, struct amy__bundle *bundle,
               uint32_t index, struct amy_error *err)
{
    struct amy__dispatch_options opts = {
        .base = front->base,
        .process = (uint16_t)index,
        .events = bundle->events,
        .event_count = bundle->event_count,
        .borrow_clock = front->clock,
    };
    int rc = 0;

    if (index >= bundle->event_count || index >= AMY__PROCESSES_MAX) {
        return amy__err(err, AMY_EPROTO, "process %u has no event", index);
    }
    opts.borrow_slots = amy__slots_over(front->slots_memory);
    rc = amy__dispatch_create(&opts, &front->dispatch, err);
    if (rc == 0) {
        rc = amy__io_create(front->base, bundle->events[index], AMY__IO_READ,
                            on_rung, front, &front->bell, err);
    }
    if (rc == 0) {
        front->events = bundle->events;
        front->event_count = bundle->event_count;
        bundle->events = NULL;
        bundle->event_count = 0;
    }
    return rc;
}

static int
start_server(struct amy__front *front, struct amy__bundle *bundle,
             struct amy_error *err)
{
    struct amy__server_options opts = {
        .base = front->base,
        .borrow_handler = &amy__front_handler,
        .user = front,
        .limits = {.connections = bundle->connections},
        .borrow_spool_dir_fd = bundle->spool_fd,
        .borrow_clock = front->clock,
        .log = &front->log,
    };

    front->spool_fd = bundle->spool_fd;
    bundle->spool_fd = -1;
    return amy__server_create(&opts, &front->server, err);
}

/* The first bundle brings what is kept for life. What fails is freed with the
 * process: a process without its first bundle is of no use. */
static int
start_parts(struct amy__front *front, struct amy__bundle *bundle,
            uint32_t index, struct amy_error *err)
{
    int rc = amy__gate_words_map(bundle->words_fd, &front->words, err);

    if (rc == 0) {
        rc = map_shared(bundle->slots_fd, amy__slots_bytes(), "slot words",
                        &front->slots_memory, err);
    }
    if (rc == 0) {
        rc = map_locks(front, bundle->locks_fd, err);
    }
    if (rc == 0) {
        rc = start_dispatch(front, bundle, index, err);
    }
    if (rc == 0) {
        rc = start_server(front, bundle, err);
    }
    return rc;
}

/* ---- answers to the master ---- */

void
amy__front_say(struct amy__front *front, enum amy__wire_type type,
               struct amy__json *json)
{
    struct amy_error err = AMY_ERROR_INIT;

    if (amy__wire_send(front->wire, type, json, NULL, 0, &err) < 0) {
        /* A master that is gone shows as that too. */
        amy__log(&front->log, AMY_LOG_WARN, "channel: send failed error=\"%s\"",
                 err.msg);
    }
    amy__json_free(json);
}

static void
acknowledge(struct amy__front *front, uint64_t bundle, const char *phase)
{
    struct amy__json *json = amy__json_object();

    (void)amy__json_set(json, "bundle", amy__json_int((int64_t)bundle));
    (void)amy__json_set(json, "phase", amy__json_text(phase));
    amy__front_say(front, AMY__WIRE_ACK, json);
}

static void
refuse(struct amy__front *front, int64_t bundle, const char *reason)
{
    struct amy__json *json = amy__json_object();

    amy__log(&front->log, AMY_LOG_ERROR, "bundle refused reason=\"%s\"",
             reason);
    (void)amy__json_set(json, "bundle", amy__json_int(bundle));
    (void)amy__json_set(json, "reason", amy__json_text(reason));
    amy__front_say(front, AMY__WIRE_REFUSE, json);
}

/* ---- bundles ---- */

static int
take_bundle(struct amy__front *front, struct amy__wire_message *message,
            struct amy_error *err)
{
    struct amy__bundle *bundle = NULL;
    uint32_t index = 0;
    uint32_t processes = 0;
    int rc = amy__bundle_receive(message, &index, &processes, &bundle, err);

    if (rc < 0) {
        return rc;
    }
    if (front->server == NULL) {
        rc = start_parts(front, bundle, index, err);
    }
    if (rc == 0 && bundle->tickets_fd >= 0) {
        rc = amy__front_set_tickets(front, bundle->tickets_fd, err);
    }
    if (rc == 0) {
        rc = amy__served_create(front, bundle, &front->prepared, err);
    }
    if (rc < 0) {
        amy__bundle_free(bundle);
    }
    return rc;
}

static void
on_prepare(struct amy__front *front, struct amy__wire_message *message)
{
    struct amy_error err = AMY_ERROR_INIT;
    int64_t number = amy__json_get_int(message->json, "bundle", 0);

    amy__served_abandon(front, front->prepared);
    front->prepared = NULL;
    if (take_bundle(front, message, &err) < 0) {
        refuse(front, number, err.msg);
        return;
    }
    acknowledge(front, front->prepared->number, "prepared");
}

static void
on_commit(struct amy__front *front, uint64_t number)
{
    if (front->prepared == NULL || front->prepared->number != number) {
        refuse(front, (int64_t)number, "nothing of that number is prepared");
        return;
    }
    amy__served_commit(front, front->prepared);
    front->prepared = NULL;
    acknowledge(front, number, "committed");
}

static void
on_abandon(struct amy__front *front, uint64_t number)
{
    if (front->prepared != NULL && front->prepared->number == number) {
        amy__served_abandon(front, front->prepared);
        front->prepared = NULL;
    }
}

static void
on_page(struct amy__front *front, struct amy__wire_message *message)
{
    struct amy_error err = AMY_ERROR_INIT;
    const char *name = amy__json_get_text(message->json, "site", "");
    int64_t serial = amy__json_get_int(message->json, "serial", 0);
    AMY_CLEANUP(amy__close_p)
    int fd = amy__wire_take_fd(message, message->json, "page_fd");
    struct amy__domain *domain = amy__front_domain(front, name, &err);
    struct amy__page *page = NULL;
    struct amy__json *json = NULL;

    if (domain == NULL ||
        amy__page_read(fd, amy__page_maintenance(), &page, &err) < 0) {
        amy__log(&front->log, AMY_LOG_WARN,
                 "the built-in page is shown site=%s error=\"%s\"", name,
                 err.msg);
    } else {
        amy__domain_set_page(domain, page, (uint64_t)serial);
    }
    json = amy__json_object();
    (void)amy__json_set(json, "site", amy__json_text(name));
    (void)amy__json_set(json, "page", amy__json_int(serial));
    amy__front_say(front, AMY__WIRE_ACK, json);
}

static void
on_words(struct amy__front *front, struct amy__wire_message *message)
{
    struct amy_error err = AMY_ERROR_INIT;
    AMY_CLEANUP(amy__close_p)
    int fd = amy__wire_take_fd(message, message->json, "words_fd");
    const struct amy__gate_words *words = NULL;

    if (amy__gate_words_map(fd, &words, &err) < 0) {
        amy__log(&front->log, AMY_LOG_ERROR,
                 "gates stay as they were error=\"%s\"", err.msg);
        return;
    }
    amy__gate_words_unmap(front->words);
    front->words = words;
}

static void
on_log(struct amy__front *front, struct amy__wire_message *message)
{
    struct amy_error err = AMY_ERROR_INIT;
    const char *name = amy__json_get_text(message->json, "site", "");
    const char *log = amy__json_get_text(message->json, "log", "");
    int64_t serial = amy__json_get_int(message->json, "serial", 0);
    AMY_CLEANUP(amy__close_p)
    int fd = amy__wire_take_fd(message, message->json, "log_fd");
    struct amy__domain *domain = amy__front_domain(front, name, &err);
    struct amy__json *json = amy__json_object();

    if (domain != NULL &&
        amy__domain_set_log(domain, log, (uint64_t)serial, fd)) {
        fd = -1;
    }
    (void)amy__json_set(json, "site", amy__json_text(name));
    (void)amy__json_set(json, "log", amy__json_text(log));
    (void)amy__json_set(json, "serial", amy__json_int(serial));
    amy__front_say(front, AMY__WIRE_ACK, json);
}

/* ---- workers and listeners ---- */

/* Where it is: beneath the site's directory, or an address. */
static int
locate_worker(const struct amy__domain *domain, const struct amy__json *json,
              struct amy__worker_spec *spec, struct amy__address *address,
              struct amy_error *err)
{
    const char *text = amy__json_get_text(json, "address", "");

    if (text[0] == '\0') {
        spec->name = amy__json_get_text(json, "name", "");
        spec->dir_fd = domain->run_fd;
        return domain->run_fd < 0
                   ? amy__err(err, AMY_ENOTFOUND, "no directory of workers")
                   : 0;
    }
    spec->name = text;
    spec->address = address;
    return amy__address_parse(amy__span_of(text), 0, address, err);
}

static void
on_worker_add(struct amy__front *front, const struct amy__json *json)
{
    struct amy_error err = AMY_ERROR_INIT;
    struct amy__domain *domain =
        amy__front_find_domain(front, amy__json_get_text(json, "site", ""));
    struct amy__pool_lane *pool = NULL;
    struct amy__address address = {0};
    struct amy__worker_spec spec = {
        .pool_index = (uint32_t)amy__json_get_int(json, "pool_index", -1),
        .slot = (uint32_t)amy__json_get_int(json, "slot", -1),
        .slots = (uint32_t)amy__json_get_int(json, "slots", 0),
        .incarnation = (uint64_t)amy__json_get_int(json, "incarnation", 0),
        .name = "",
    };
    int rc = domain == NULL
                 ? AMY_ENOTFOUND
                 : locate_worker(domain, json, &spec, &address, &err);

    if (rc == 0) {
        rc = amy__domain_need_pool(domain, amy__json_get_text(json, "pool", ""),
                                   &pool, &err);
    }
    if (rc == 0) {
        rc = amy__pool_lane_add(pool, &spec, &err);
    }
    if (rc < 0) {
        amy__log(&front->log, AMY_LOG_ERROR,
                 "a worker is not used name=%s error=\"%s\"", spec.name,
                 err.code == 0 ? "no such site" : err.msg);
    }
}

static void
on_worker_del(struct amy__front *front, const struct amy__json *json)
{
    struct amy__domain *domain =
        amy__front_find_domain(front, amy__json_get_text(json, "site", ""));
    struct amy__pool_lane *pool =
        domain == NULL
            ? NULL
            : amy__domain_pool(domain, amy__json_get_text(json, "pool", ""));

    if (pool != NULL) {
        amy__pool_lane_remove(
            pool, (uint64_t)amy__json_get_int(json, "incarnation", 0));
        amy__domain_forget_pools(domain);
    }
}

static int
add_listener(struct amy__front *front, int64_t id, int fd, bool tls,
             uint32_t port, struct amy_error *err)
{
    struct amy__front_listener *grown = NULL;
    int rc = 0;

    grown = amy__realloc(front->listeners,
                         (front->listener_count + 1) * sizeof(*grown));
    if (grown == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a listener");
    }
    front->listeners = grown;
    rc = amy__server_listen(front->server, fd, tls ? front->tls : NULL, port,
                            err);
    if (rc == 0) {
        grown[front->listener_count++] =
            (struct amy__front_listener){.id = id, .fd = fd, .tls = tls};
    }
    return rc;
}

static void
drop_listener(struct amy__front *front, int64_t id)
{
    for (size_t i = 0; i < front->listener_count; i++) {
        if (front->listeners[i].id == id) {
            amy__server_unlisten(front->server, front->listeners[i].fd);
            front->listeners[i] = front->listeners[--front->listener_count];
            return;
        }
    }
}

static void
on_listeners(struct amy__front *front, struct amy__wire_message *message)
{
    const struct amy__json *add = amy__json_get(message->json, "add");
    const struct amy__json *drop = amy__json_get(message->json, "drop");

    for (size_t i = 0; i < amy__json_count(drop); i++) {
        drop_listener(front, amy__json_as_int(amy__json_at(drop, i), -1));
    }
    for (size_t i = 0; i < amy__json_count(add) && !front->draining; i++) {
        const struct amy__json *one = amy__json_at(add, i);
        struct amy_error err = AMY_ERROR_INIT;
        int fd = amy__wire_take_fd(message, one, "socket_fd");

        if (fd < 0 || add_listener(front, amy__json_get_int(one, "id", -1), fd,
                                   amy__json_get_bool(one, "tls", false),
                                   (uint32_t)amy__json_get_int(one, "port", 0),
                                   &err) < 0) {
            amy__close(&fd);
            amy__log(&front->log, AMY_LOG_ERROR,
                     "a listener is not served error=\"%s\"", err.msg);
        }
    }
}

static void
on_tickets(struct amy__front *front, struct amy__wire_message *message)
{
    struct amy_error err = AMY_ERROR_INIT;
    AMY_CLEANUP(amy__close_p)
    int fd = amy__wire_take_fd(message, message->json, "keys_fd");

    if (amy__front_set_tickets(front, fd, &err) < 0) {
        amy__log(&front->log, AMY_LOG_WARN,
                 "ticket keys stay as they were error=\"%s\"", err.msg);
    }
}

/* ---- looking at ourselves ---- */

static void
on_peeked(struct amy__json *wrong, void *user)
{
    struct amy__front *front = user;
    struct amy__json *json = amy__json_object();

    front->peeks = NULL;
    (void)amy__json_set(json, "ask", amy__json_int(front->peeks_ask));
    (void)amy__json_set(json, "wrong", wrong);
    amy__front_say(front, AMY__WIRE_PROBED, json);
}

/* Each address once: several sockets share it. */
static size_t
tls_addresses(const struct amy__front *front, struct amy__address *ret,
              size_t max)
{
    size_t count = 0;

    for (size_t i = 0;
         !front->draining && i < front->listener_count && count < max; i++) {
        struct amy__address *address = &ret[count];
        bool known = false;

        if (!front->listeners[i].tls ||
            !amy__peeks_address(front->listeners[i].fd, address)) {
            continue;
        }
        for (size_t k = 0; k < count; k++) {
            known =
                known || (ret[k].len == address->len &&
                          memcmp(&ret[k].sa, &address->sa, address->len) == 0);
        }
        count += !known;
    }
    return count;
}

static void
on_probe(struct amy__front *front, const struct amy__json *json)
{
    struct amy__address addresses[AMY__PEEKS_ADDRESSES];
    size_t count = tls_addresses(front, addresses, AMY__PEEKS_ADDRESSES);

    amy__peeks_cancel(front->peeks); /* the newest question counts */
    front->peeks_ask = amy__json_get_int(json, "ask", 0);
    front->peeks =
        amy__peeks_begin(front->base, addresses, count,
                         amy__json_get(json, "targets"), on_peeked, front);
    if (front->peeks == NULL) { /* the master waits in vain, and asks again */
        amy__log(&front->log, AMY_LOG_ERROR, "out of memory: no look is taken");
    }
}

/* ---- the channel ---- */

static void
on_status(struct amy__front *front, const struct amy__json *json)
{
    amy__front_say(
        front, AMY__WIRE_FIGURES,
        amy__front_figures_json(front, amy__json_get_int(json, "ask", 0)));
}

/* What needs the first bundle, and came before it, is a master's fault. */
static bool
is_ready(const struct amy__front *front)
{
    return front->router != NULL;
}

static void
on_message(struct amy__wire *wire, struct amy__wire_message *message,
           void *user)
{
    struct amy__front *front = user;
    uint64_t number = (uint64_t)amy__json_get_int(message->json, "bundle", 0);

    (void)wire;
    switch ((int)message->type) {
    case AMY__WIRE_PREPARE:
        on_prepare(front, message);
        break;
    case AMY__WIRE_COMMIT:
        on_commit(front, number);
        break;
    case AMY__WIRE_ABANDON:
        on_abandon(front, number);
        break;
    case AMY__WIRE_PAGE:
        on_page(front, message);
        break;
    case AMY__WIRE_LOG:
        on_log(front, message);
        break;
    case AMY__WIRE_WORKER_ADD:
        if (is_ready(front)) {
            on_worker_add(front, message->json);
        }
        break;
    case AMY__WIRE_WORKER_DEL:
        on_worker_del(front, message->json);
        break;
    case AMY__WIRE_LISTENERS:
        if (is_ready(front)) {
            on_listeners(front, message);
        }
        break;
    case AMY__WIRE_TICKETS:
        on_tickets(front, message);
        break;
    case AMY__WIRE_PROBE:
        on_probe(front, message->json);
        break;
    case AMY__WIRE_STATUS:
        on_status(front, message->json);
        break;
    case AMY__WIRE_DRAIN:
        amy__front_leave_asked(front, message->json);
        break;
    case AMY__WIRE_WORDS:
        on_words(front, message);
        break;
    case AMY__WIRE_CHECKED:
        amy__door_checked(front, message->json);
        break;
    case AMY__WIRE_CHECK:
        amy__checker_answer(front, message->json);
        break;
    default: /* of a later version */
        break;
    }
}

static void
on_channel_gone(struct amy__wire *wire, const struct amy_error *why, void *user)
{
    struct amy__front *front = user;

    (void)wire;
    amy__log(&front->log, AMY_LOG_NOTICE,
             "the master is gone, finishing error=\"%s\"",
             why == NULL ? "" : why->msg);
    front->masterless = true;
    amy__front_hurry_out(
        front); /* who comes in its place knows nothing of our slots */
}

static const struct amy__wire_handler wire_handler = {
    .on_message = on_message,
    .on_gone = on_channel_gone,
};

/* ---- the whole ---- */

void
amy__front_process_drain(struct amy__front *front, bool now)
{
    AMY_CHECK(front, MAGIC);
    amy__front_leave(front, now);
}

/* What was collected goes out; the master makes room where there was none. */
static void
flush_logs(struct amy__front *front, struct amy__domain *domain)
{
    bool access_full = false;
    bool errors_full = false;

    amy__access_log_flush(domain->log);
    amy__error_log_flush(domain->errors);
    access_full = amy__access_log_was_full(domain->log);
    errors_full = amy__error_log_was_full(domain->errors);
    if (access_full || errors_full) {
        struct amy__json *json = amy__json_object();

        (void)amy__json_set(json, "site", amy__json_text(domain->name));
        amy__front_say(front, AMY__WIRE_LOG_FULL, json);
    }
}

static void
on_tick(void *user)
{
    struct amy__front *front = user;

    for (size_t i = 0; i < front->domain_count; i++) {
        flush_logs(front, front->domains[i]);
    }
    amy__door_tick(front);
    (void)amy__timer_arm(front->tick, TICK_MS, NULL);
}

static int
open_parts(struct amy__front *front, struct amy_error *err)
{
    int rc = amy__tls_create(&front->tls, err);

    if (rc == 0) {
        rc = amy__random(&front->ids.start, sizeof(front->ids.start), err);
    }
    if (rc == 0) {
        rc = amy__page_read(-1, amy__page_maintenance(), &front->built_in_gate,
                            err);
    }
    if (rc == 0) {
        rc = amy__timer_create(front->base, amy__front_leave_deadline, front,
                               &front->deadline, err);
    }
    if (rc == 0) {
        rc = amy__timer_create(front->base, on_tick, front, &front->tick, err);
    }
    if (rc == 0) {
        rc = amy__timer_arm(front->tick, TICK_MS, err);
    }
    if (rc == 0) {
        rc = amy__wire_create(front->base, front->channel_fd, &wire_handler,
                              front, &front->wire, err);
    }
    return rc;
}

int
amy__front_process_create(const struct amy__front_options *opts,
                          struct amy__front **ret_front, struct amy_error *err)
{
    struct amy__front *front = amy__calloc(1, sizeof(*front));
    int rc = 0;

    if (front == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a front process");
    }
    front->magic = MAGIC;
    front->base = opts->base;
    front->clock = opts->borrow_clock;
    front->log = amy__log_copy(opts->log);
    front->on_finished = opts->on_finished;
    front->user = opts->user;
    front->channel_fd = -1;
    front->spool_fd = -1;
    amy__blocks_init(&front->blocks);
    front->channel_fd = opts->channel_fd;
    rc = open_parts(front, err);
    if (rc < 0) {
        front->channel_fd = -1; /* stays the caller's */
        amy__front_process_free(front);
        return rc;
    }
    *ret_front = front;
    return 0;
}

static void
close_all(struct amy__front *front)
{
    for (size_t i = 0; i < front->event_count; i++) {
        amy__close(&front->events[i]);
    }
    amy__free(front->events);
    amy__free(front->listeners);
    amy__close(&front->spool_fd);
    amy__close(&front->channel_fd);
    amy__gate_words_unmap(front->words);
    if (front->slots_memory != NULL) {
        (void)munmap(front->slots_memory, amy__slots_bytes());
    }
    if (front->locks != NULL) {
        (void)munmap(front->locks, LOCKS_BYTES);
    }
}

void
amy__front_process_free(struct amy__front *front)
{
    if (front == NULL) {
        return;
    }
    AMY_CHECK(front, MAGIC);
    amy__wire_free(front->wire);
    amy__peeks_cancel(front->peeks);
    amy__server_free(front->server); /* exchanges end here */
    amy__served_abandon(front, front->prepared);
    amy__io_free(front->bell);
    amy__front_forget_all(front);
    amy__dispatch_free(front->dispatch);
    amy__timer_free(front->deadline);
    amy__timer_free(front->tick);
    amy__page_unref(front->built_in_gate);
    amy__checks_free(front->checks);
    amy__tls_free(front->tls);
    amy__blocks_clear(&front->blocks);
    close_all(front);
    front->magic = 0;
    amy__free(front);
}
