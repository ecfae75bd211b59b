/* The stage: see stage.h. */
#include "stage.h"

#include "amy_test.h"

#include "core/files.h"
#include "core/json.h"
#include "fake_loop.h"
#include "front/bundle.h"
#include "front/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define FIRST_INDEX 3
#define SECOND_INDEX 4
#define LOCKS_BYTES (AMY__SITES_MAX * sizeof(struct amy__site_locks))
#define PATIENCE_MS 10000

/* ---- the loop ---- */

static int64_t
now_ms(void)
{
    struct timespec t = {0};

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The connections' events are the base's; timers, other descriptors and
 * deferred calls are the fake loop's, whose clock goes as fast as the real one
 * unless it is told to skip. */
void
stage_turn(struct stage *s)
{
    int64_t now = now_ms();

    fake_loop_advance(now - s->turned_ms);
    s->turned_ms = now;
    (void)fake_loop_poll();
    (void)event_base_loop(s->base, EVLOOP_NONBLOCK);
    fake_loop_turn();
}

void
stage_skip(struct stage *s, int64_t ms)
{
    stage_turn(s);
    fake_loop_advance(ms);
    stage_turn(s);
}

void
stage_until(struct stage *s, const bool *flag)
{
    int64_t end = now_ms() + PATIENCE_MS;

    while (!*flag) {
        assert_true(now_ms() < end);
        stage_turn(s);
    }
}

void
stage_wait(struct stage *s, bool (*fn)(struct stage *s))
{
    int64_t end = now_ms() + PATIENCE_MS;

    while (!fn(s)) {
        assert_true(now_ms() < end);
        stage_turn(s);
    }
}

/* ---- the master's end ---- */

static void
on_message(struct amy__wire *wire, struct amy__wire_message *message,
           void *user)
{
    struct stage *s = user;
    struct amy__buf text;

    (void)wire;
    amy__buf_init(&text, sizeof(s->ack) * 16);
    assert_int_equal(amy__json_write(message->json, 0, &text), 0);
    (void)snprintf(s->ack, sizeof(s->ack), "%.*s", (int)text.len, text.data);
    amy__buf_clear(&text);
    if (message->type == AMY__WIRE_REFUSE) {
        (void)snprintf(s->refusal, sizeof(s->refusal), "%s",
                       amy__json_get_text(message->json, "reason", "?"));
    }
    s->acks++;
}

static void
on_gone(struct amy__wire *wire, const struct amy_error *why, void *user)
{
    (void)wire;
    (void)why;
    (void)user;
}

static const struct amy__wire_handler handler = {
    .on_message = on_message,
    .on_gone = on_gone,
};

static void
on_finished(struct amy__front *front, int rc, void *user)
{
    struct stage *s = user;

    (void)front;
    s->finished = true;
    s->finished_rc = rc;
}

static void
await_ack(struct stage *s, unsigned acks)
{
    int64_t end = now_ms() + PATIENCE_MS;

    while (s->acks <= acks) {
        assert_true(now_ms() < end);
        stage_turn(s);
    }
}

static void
print_log(enum amy_log_level level, const char *line, void *user)
{
    (void)user;
    if (getenv("AMY_TEST_VERBOSE") != NULL) {
        (void)fprintf(stderr, "<%d> %s\n", (int)level, line);
    }
}

void
stage_open(struct stage *s)
{
    struct amy__front_options opts = {0};
    const struct amy_log log = {sizeof(log), print_log, NULL, 0, 0};

    memset(s, 0, sizeof(*s));
    (void)signal(SIGPIPE, SIG_IGN); /* as the daemons do */
    (void)snprintf(s->dir, sizeof(s->dir), "/tmp/amy-stage-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    s->dir_fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(s->dir_fd, "run", 0755), 0);
    assert_int_equal(mkdirat(s->dir_fd, "run/web", 0755), 0);
    assert_int_equal(mkdirat(s->dir_fd, "logs", 0755), 0);
    s->run_fd = openat(s->dir_fd, "run", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    s->base = event_base_new();
    s->turned_ms = now_ms();
    assert_int_equal(amy__gate_words_create(&s->words, &s->words_fd, NULL), 0);
    s->slots_fd = memfd_create("slots", MFD_CLOEXEC);
    assert_int_equal(ftruncate(s->slots_fd, (off_t)amy__slots_bytes()), 0);
    s->slots_memory = mmap(NULL, amy__slots_bytes(), PROT_READ | PROT_WRITE,
                           MAP_SHARED, s->slots_fd, 0);
    s->slots = amy__slots_over(s->slots_memory);
    s->locks_fd = memfd_create("locks", MFD_CLOEXEC);
    assert_int_equal(ftruncate(s->locks_fd, LOCKS_BYTES), 0);
    s->locks = mmap(NULL, LOCKS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
                    s->locks_fd, 0);
    for (size_t i = FIRST_INDEX; i <= SECOND_INDEX; i++) {
        assert_int_equal(amy_log_lock_init(&s->locks[i].access, NULL), 0);
        assert_int_equal(amy_log_lock_init(&s->locks[i].error, NULL), 0);
    }
    s->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert_int_equal(socketpair(AF_UNIX,
                                SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC,
                                0, s->channel),
                     0);
    assert_int_equal(
        amy__wire_create(s->base, s->channel[0], &handler, s, &s->wire, NULL),
        0);
    opts.base = s->base;
    opts.channel_fd = s->channel[1];
    opts.borrow_clock = fake_loop_clock();
    opts.log = &log;
    opts.on_finished = on_finished;
    opts.user = s;
    assert_int_equal(amy__front_process_create(&opts, &s->process, NULL), 0);
}

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

void
stage_close(struct stage *s)
{
    amy__front_process_free(s->process);
    amy__wire_free(s->wire);
    (void)close(s->channel[0]);
    (void)close(s->event_fd);
    (void)close(s->slots_fd);
    (void)munmap(s->slots_memory, amy__slots_bytes());
    (void)close(s->locks_fd);
    (void)munmap(s->locks, LOCKS_BYTES);
    amy__gate_words_unmap(s->words);
    (void)close(s->words_fd);
    (void)close(s->run_fd);
    (void)close(s->dir_fd);
    event_base_free(s->base);
    (void)nftw(s->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- the site ---- */

void
stage_file(struct stage *s, const char *path, const char *text)
{
    char part[256];
    int fd = -1;

    for (const char *at = strchr(path, '/'); at != NULL;
         at = strchr(at + 1, '/')) {
        (void)snprintf(part, sizeof(part), "%.*s", (int)(at - path), path);
        (void)mkdirat(s->dir_fd, part, 0755);
    }
    fd =
        openat(s->dir_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(fd);
}

void
stage_read(struct stage *s, const char *path, char *buf, size_t size)
{
    int fd = openat(s->dir_fd, path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, buf, size - 1);

    buf[n > 0 ? n : 0] = '\0';
    if (fd >= 0) {
        (void)close(fd);
    }
}

static int
sealed(const char *text)
{
    int fd = amy__sealed_memfd("stage", text, strlen(text), NULL);

    assert_true(fd >= 0);
    return fd;
}

static int
again(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

static void
add_cert(struct amy__bundle_site *site, const char *chain, const char *key)
{
    struct amy__bundle_cert *cert = &site->certs[site->cert_count++];

    cert->chain_fd = sealed(chain);
    cert->key_fd = sealed(key);
}

static void
fill_other_site(struct stage *s, struct amy__bundle_site *site)
{
    site->name = strdup("other.org");
    site->index = SECOND_INDEX;
    site->yaml_fd = sealed("site: other.org\nuser: nobody\n");
    site->dir_fd = again(s->dir_fd);
    add_cert(site, s->other_chain, s->other_key);
}

bool
stage_bundle(struct stage *s, const char *yaml)
{
    struct amy__bundle *bundle = NULL;
    struct amy__bundle_site *site = NULL;
    struct amy__json *json = amy__json_object();
    struct amy_error err = AMY_ERROR_INIT;
    char text[4096];
    unsigned acks = s->acks;
    bool good = false;

    assert_int_equal(
        amy__bundle_create(s->other_chain == NULL ? 1 : 2, 1, 1, &bundle, NULL),
        0);
    bundle->number = ++s->bundles;
    bundle->https_port = strstr(yaml, "http: redirect") == NULL ? 0 : 8443;
    assert_int_equal(
        amy__cidr_parse(AMY_SPAN("127.0.0.2/32"), &bundle->trusted[0], NULL),
        0);
    bundle->events[0] = again(s->event_fd);
    bundle->spool_fd = again(s->dir_fd);
    bundle->words_fd = again(s->words_fd);
    bundle->slots_fd = again(s->slots_fd);
    bundle->locks_fd = again(s->locks_fd);
    site = &bundle->sites[0];
    site->name = strdup(STAGE_SITE);
    site->index = FIRST_INDEX;
    (void)snprintf(text, sizeof(text), "site: %s\nuser: nobody\n%s\n",
                   STAGE_SITE, yaml);
    site->yaml_fd = sealed(text);
    site->dir_fd = again(s->dir_fd);
    site->run_fd = again(s->run_fd);
    site->access_fd = openat(s->dir_fd, "logs/access.log",
                             O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    site->error_fd = openat(s->dir_fd, "logs/error.log",
                            O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    site->down_fd = sealed("<title>One moment</title>");
    if (s->chain != NULL) {
        add_cert(site, s->chain, s->key);
    }
    if (s->second_chain != NULL) {
        add_cert(site, s->second_chain, s->second_key);
    }
    if (s->other_chain != NULL) {
        fill_other_site(s, &bundle->sites[1]);
    }
    s->refusal[0] = '\0';
    if (amy__bundle_send(bundle, s->wire, 0, 1, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    await_ack(s, acks);
    good = s->refusal[0] == '\0';
    acks = s->acks;
    (void)amy__json_set(json, "bundle", amy__json_int((int64_t)bundle->number));
    assert_int_equal(amy__wire_send(s->wire,
                                    good ? AMY__WIRE_COMMIT : AMY__WIRE_ABANDON,
                                    json, NULL, 0, NULL),
                     0);
    if (good) {
        await_ack(s, acks);
    }
    amy__json_free(json);
    amy__bundle_free(bundle);
    return good;
}

void
stage_serve(struct stage *s)
{
    struct amy__json *json = amy__json_object();
    struct amy__json *add = amy__json_array();
    struct amy__json *one = amy__json_object();
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&sa, n), 0);
    assert_int_equal(listen(fd, 128), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
    s->port = ntohs(sa.sin_port);
    (void)amy__json_set(one, "id", amy__json_int(1));
    (void)amy__json_set(one, "socket_fd", amy__json_int(0));
    (void)amy__json_set(one, "tls", amy__json_bool(s->chain != NULL));
    (void)amy__json_set(one, "port", amy__json_int(80));
    (void)amy__json_add(add, one);
    (void)amy__json_set(json, "add", add);
    assert_int_equal(
        amy__wire_send(s->wire, AMY__WIRE_LISTENERS, json, &fd, 1, NULL), 0);
    amy__json_free(json);
    (void)close(fd);
}

void
stage_gate(struct stage *s, const char *page)
{
    struct amy__json *json = NULL;
    unsigned acks = s->acks;
    int fd = -1;

    if (page == NULL) {
        amy__gate_word_set(s->words, 3, 0);
        return;
    }
    fd = sealed(page);
    json = amy__json_object();
    (void)amy__json_set(json, "site", amy__json_text(STAGE_SITE));
    (void)amy__json_set(json, "serial", amy__json_int((int64_t)++s->serials));
    (void)amy__json_set(json, "page_fd", amy__json_int(0));
    assert_int_equal(
        amy__wire_send(s->wire, AMY__WIRE_PAGE, json, &fd, 1, NULL), 0);
    amy__json_free(json);
    (void)close(fd);
    await_ack(s, acks);
    amy__gate_word_set(s->words, 3, s->serials);
}

void
stage_log(struct stage *s, const char *path, int64_t serial)
{
    struct amy__json *json = amy__json_object();
    unsigned acks = s->acks;
    int fd = openat(s->dir_fd, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
                    0644);

    assert_true(fd >= 0);
    (void)amy__json_set(json, "site", amy__json_text(STAGE_SITE));
    (void)amy__json_set(json, "log", amy__json_text("access.log"));
    (void)amy__json_set(json, "serial", amy__json_int(serial));
    (void)amy__json_set(json, "log_fd", amy__json_int(0));
    assert_int_equal(amy__wire_send(s->wire, AMY__WIRE_LOG, json, &fd, 1, NULL),
                     0);
    await_ack(s, acks);
    amy__json_free(json);
    close(fd);
}

void
stage_hear(struct stage *s, int64_t ms)
{
    unsigned acks = s->acks;

    stage_skip(s, ms);
    await_ack(s, acks);
}

void
stage_question(struct stage *s, enum amy__wire_type type,
               const struct amy__json *json)
{
    unsigned acks = s->acks;

    assert_int_equal(amy__wire_send(s->wire, type, json, NULL, 0, NULL), 0);
    await_ack(s, acks);
}

void
stage_figures(struct stage *s)
{
    struct amy__json *json = amy__json_object();

    (void)amy__json_set(json, "ask", amy__json_int(1));
    stage_question(s, AMY__WIRE_STATUS, json);
    amy__json_free(json);
}

/* ---- what a worker does ---- */

static void
note_request(struct stage_worker *w, const struct amy__request_head *head)
{
    size_t used = 0;

    w->requests++;
    used = (size_t)snprintf(w->head, sizeof(w->head), "%.*s %.*s\nHost: %.*s\n",
                            AMY_SPAN_ARG(head->method_text),
                            AMY_SPAN_ARG(head->target),
                            AMY_SPAN_ARG(head->authority));
    for (size_t i = 0; i < head->field_count; i++) {
        used +=
            (size_t)snprintf(w->head + used, sizeof(w->head) - used,
                             "%.*s: %.*s\n", AMY_SPAN_ARG(head->fields[i].name),
                             AMY_SPAN_ARG(head->fields[i].value));
    }
}

static void
add_field(struct amy__answer_head *head, const char *name, const char *value)
{
    head->fields[head->field_count++] = (struct amy__field){
        .name = amy__span_of(name),
        .value = amy__span_of(value),
        .id = (uint16_t)amy__field_id_of(amy__span_of(name))};
}

static void
reply(struct amy__exchange *x, unsigned status, const char *text)
{
    struct amy__answer_head head = {.status = status};

    add_field(&head, "Content-Type", "text/plain");
    add_field(&head, "X-Accel-Buffering", "yes");
    amy__exchange_reply(x, &head, amy__span_of(text), false);
}

/* 4 MiB of known bytes, with its length or without. */
static void
reply_large(struct amy__exchange *x, bool chunked)
{
    struct amy__answer_head head = {.status = 200};
    static char piece[65536];

    memset(piece, 'y', sizeof(piece));
    head.body = chunked ? AMY__BODY_CHUNKED : AMY__BODY_LENGTH;
    head.content_length = 64 * sizeof(piece);
    assert_int_equal(amy__exchange_begin(x, &head), 0);
    for (int i = 0; i < 64; i++) {
        (void)amy__exchange_send(x, (struct amy__span){piece, sizeof(piece)});
    }
    amy__exchange_end(x);
}

static void
cut_short(struct amy__exchange *x)
{
    struct amy__answer_head head = {.status = 200};

    head.body = AMY__BODY_LENGTH;
    head.content_length = 100;
    assert_int_equal(amy__exchange_begin(x, &head), 0);
    (void)amy__exchange_send(x, AMY_SPAN("only this"));
    amy__exchange_abort(x);
}

/* As the request asks: "Say-NAME: value" is a field of the answer, "Say-Status"
 * its status. */
static void
say(struct amy__exchange *x, const struct amy__request_head *head)
{
    struct amy__answer_head answer = {.status = 200};

    for (size_t i = 0; i < head->field_count; i++) {
        struct amy__field field = head->fields[i];

        if (amy__span_eq(field.name, AMY_SPAN("Say-Status"))) {
            uint64_t status = 0;

            assert_true(amy__parse_u64(field.value, 999, &status));
            answer.status = (unsigned)status;
        } else if (amy__span_starts(field.name, AMY_SPAN("Say-"))) {
            field.name.p += 4;
            field.name.n -= 4;
            field.id = (uint16_t)amy__field_id_of(field.name);
            answer.fields[answer.field_count++] = field;
        }
    }
    amy__exchange_reply(x, &answer, AMY_SPAN("what nobody sees"), true);
}

static void
on_request(struct amy__exchange *x, const struct amy__request_head *head,
           void *user)
{
    struct stage_worker *w = user;

    note_request(w, head);
    if (amy__span_eq(head->path, AMY_SPAN("/hold"))) {
        w->held = x;
    } else if (amy__span_eq(head->path, AMY_SPAN("/drop"))) {
        amy__exchange_abort(x);
    } else if (amy__span_eq(head->path, AMY_SPAN("/cut"))) {
        cut_short(x);
    } else if (amy__span_eq(head->path, AMY_SPAN("/large"))) {
        reply_large(x, false);
    } else if (amy__span_eq(head->path, AMY_SPAN("/chunks"))) {
        reply_large(x, true);
    } else if (amy__span_eq(head->path, AMY_SPAN("/503"))) {
        reply(x, 503, "the application's own words");
    } else if (amy__span_eq(head->path, AMY_SPAN("/say"))) {
        say(x, head);
    } else if (head->body != AMY__BODY_NONE) {
        assert_int_equal(amy__exchange_want_body(x, 1 << 30), 0);
    } else {
        reply(x, 200, "hello");
    }
}

static void
on_body(struct amy__exchange *x, void *user)
{
    struct stage_worker *w = user;
    struct amy__body body;

    amy__exchange_body(x, &body);
    w->body_n = body.n;
    reply(x, 200, "got it");
}

static void
on_room(struct amy__exchange *x, void *user)
{
    (void)x;
    (void)user;
}

static void
on_client_gone(struct amy__exchange *x, void *user)
{
    struct stage_worker *w = user;

    if (w->held == x) {
        w->held = NULL;
        amy__exchange_abort(x);
    }
}

static const struct amy__server_handler worker_handler = {
    .on_request = on_request,
    .on_body = on_body,
    .on_room = on_room,
    .on_gone = on_client_gone,
    .on_done = on_room,
};

static void
say_worker(struct stage *s, enum amy__wire_type type, struct stage_worker *w,
           uint32_t slot, uint32_t slots)
{
    struct amy__json *json = amy__json_object();

    (void)amy__json_set(json, "site", amy__json_text(STAGE_SITE));
    (void)amy__json_set(json, "pool", amy__json_text("web"));
    (void)amy__json_set(json, "pool_index", amy__json_int(5));
    (void)amy__json_set(json, "slot", amy__json_int(slot));
    (void)amy__json_set(json, "slots", amy__json_int(slots));
    (void)amy__json_set(json, "incarnation",
                        amy__json_int((int64_t)w->incarnation));
    (void)amy__json_set(json, "name", amy__json_text(w->name));
    assert_int_equal(amy__wire_send(s->wire, type, json, NULL, 0, NULL), 0);
    amy__json_free(json);
}

void
stage_worker_announce(struct stage *s, struct stage_worker *w, uint32_t slot,
                      uint32_t slots)
{
    memset(w, 0, sizeof(*w));
    w->stage = s;
    w->listen_fd = -1;
    w->incarnation = ++s->incarnations;
    (void)snprintf(w->name, sizeof(w->name), "web/1.%u", slot);
    say_worker(s, AMY__WIRE_WORKER_ADD, w, slot, slots);
}

int
stage_listen(struct stage *s, const struct stage_worker *w)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    (void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/run/%s", s->dir,
                   w->name);
    (void)unlink(sa.sun_path);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(listen(fd, 128), 0);
    return fd;
}

static void
listen_worker(struct stage *s, struct stage_worker *w)
{
    struct amy__server_options opts = {
        .base = s->base,
        .borrow_handler = &worker_handler,
        .user = w,
        .borrow_spool_dir_fd = s->dir_fd,
        .limits = {.body_bytes = 1 << 30},
        .borrow_clock = fake_loop_clock(),
    };

    w->listen_fd = stage_listen(s, w);
    assert_int_equal(amy__server_create(&opts, &w->server, NULL), 0);
    assert_int_equal(amy__server_listen(w->server, w->listen_fd, NULL, 0, NULL),
                     0);
}

void
stage_worker_open(struct stage *s, struct stage_worker *w, uint32_t slot,
                  uint32_t slots)
{
    stage_worker_announce(s, w, slot, slots);
    listen_worker(s, w);
}

void
stage_worker_close(struct stage_worker *w)
{
    amy__server_free(w->server);
    w->server = NULL;
}

void
stage_worker_gone(struct stage *s, struct stage_worker *w)
{
    say_worker(s, AMY__WIRE_WORKER_DEL, w, 0, 1);
}

/* ---- clients ---- */

void
stage_connect(struct stage *s, struct stage_client *c)
{
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons(s->port)};

    c->stage = s;
    c->n = 0;
    c->eof = false;
    c->stopped = false;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(c->fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(fcntl(c->fd, F_SETFL, O_NONBLOCK), 0);
}

void
stage_disconnect(struct stage_client *c)
{
    (void)close(c->fd);
    c->fd = -1;
}

void
stage_send_bytes(struct stage_client *c, const void *p, size_t n)
{
    const char *at = p;
    int64_t end = now_ms() + PATIENCE_MS;

    while (n > 0) {
        ssize_t sent = send(c->fd, at, n, MSG_NOSIGNAL);

        assert_true(now_ms() < end);
        if (sent < 0) {
            assert_int_equal(errno, EAGAIN);
            stage_turn(c->stage);
            continue;
        }
        at += sent;
        n -= (size_t)sent;
    }
}

void
stage_send(struct stage_client *c, const char *text)
{
    stage_send_bytes(c, text, strlen(text));
}

static void
receive(struct stage_client *c)
{
    ssize_t n = recv(c->fd, c->got + c->n, sizeof(c->got) - 1 - c->n, 0);

    if (n > 0) {
        c->n += (size_t)n;
    } else if (n == 0 || errno != EAGAIN) {
        c->eof = true;
    }
    c->got[c->n] = '\0';
}

/* Bytes of the first whole answer in what was got, or 0. */
static size_t
whole_answer(const struct stage_client *c, bool head_only)
{
    const char *end = strstr(c->got, "\r\n\r\n");
    const char *length = strcasestr(c->got, "\r\ncontent-length:");
    const char *chunked = strcasestr(c->got, "\r\ntransfer-encoding: chunked");
    size_t head_n = 0;
    size_t need = 0;

    if (c->n == 0 || end == NULL) {
        return 0;
    }
    head_n = (size_t)(end - c->got) + 4;
    if (head_only) {
        return head_n;
    }
    if (chunked != NULL && chunked < end) {
        const char *last = strstr(end, "\r\n0\r\n\r\n");

        return last == NULL ? 0 : (size_t)(last - c->got) + 7;
    }
    need = head_n + (length != NULL && length < end
                         ? (size_t)strtoul(length + 17, NULL, 10)
                         : 0);
    return c->n >= need ? need : 0;
}

unsigned
stage_answer(struct stage_client *c, bool head_only, char *text, size_t size)
{
    int64_t end = now_ms() + PATIENCE_MS;
    size_t n = 0;
    unsigned status = 0;

    for (;;) {
        receive(c);
        n = whole_answer(c, head_only);
        if (n > 0) {
            break;
        }
        if (c->eof) {
            fail_msg("closed within an answer: %s", c->got);
        }
        assert_true(now_ms() < end);
        stage_turn(c->stage);
    }
    assert_int_equal(sscanf(c->got, "HTTP/1.1 %3u", &status), 1);
    if (text != NULL) {
        (void)snprintf(text, size, "%.*s", (int)n, c->got);
    }
    c->n -= n;
    memmove(c->got, c->got + n, c->n + 1);
    return status;
}

void
stage_eof(struct stage_client *c)
{
    int64_t end = now_ms() + PATIENCE_MS;

    while (!c->eof) {
        receive(c);
        assert_true(now_ms() < end);
        stage_turn(c->stage);
    }
}

unsigned
stage_ask(struct stage *s, const char *request, char *text, size_t size)
{
    struct stage_client *c = calloc(1, sizeof(*c));
    unsigned status = 0;

    stage_connect(s, c);
    stage_send(c, request);
    status = stage_answer(c, strncmp(request, "HEAD", 4) == 0, text, size);
    stage_disconnect(c);
    free(c);
    return status;
}
