/* The sites' gates: a page goes to every process before the word is flipped. */
/* Not for noticing that a gate moved: gate/gate.c does. */
#include "core/alloc.h"
#include "core/buf.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "front/master.h"
#include "gate/gate.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

/* A process that does not acknowledge in time shows the built-in page. Long
 * enough for one that a busy machine does not let run. */
#define ACK_MS 3000
#define MEMORY "gates.json"
#define MEMORY_MAX ((size_t)1024 * 1024)

/* ---- what is remembered over a restart ---- */

static int
open_memory(const struct amy_front *front)
{
    return openat(front->state_fd, "front",
                  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static void
remember_all(struct amy_front *front)
{
    AMY_CLEANUP(amy__close_p) int dir = open_memory(front);
    struct amy__json *all = amy__json_object();
    struct amy_error err = AMY_ERROR_INIT;
    struct amy__buf text = {0};

    for (struct amy__front_site *s = front->sites; s != NULL; s = s->next) {
        struct amy_gate_view view = {.struct_size = sizeof(view)};
        struct amy__json *one = amy__json_object();

        if (s->gate == NULL) {
            amy__json_free(one);
            continue;
        }
        amy_gate_read(s->gate, &view);
        (void)amy__json_set(one, "state", amy__json_int(view.state));
        (void)amy__json_set(one, "since_ms", amy__json_int(view.since_wall_ms));
        (void)amy__json_set(one, "by", amy__json_text(view.by));
        (void)amy__json_set(all, s->name, one);
    }
    amy__buf_init(&text, MEMORY_MAX);
    if (amy__json_write(all, 1, &text) < 0 ||
        amy__write_file_at(dir, MEMORY, text.data, text.len, 0600, &err) < 0) {
        amy__log(&front->log, AMY_LOG_WARN,
                 "since when gates are closed will be forgotten: %s", err.msg);
    }
    amy__buf_clear(&text);
    amy__json_free(all);
}

static void
recall(struct amy_front *front, struct amy__front_site *site)
{
    AMY_CLEANUP(amy__json_free_p) struct amy__json *all = NULL;
    AMY_CLEANUP(amy__close_p) int dir = open_memory(front);
    const struct amy__json *one = NULL;
    struct amy__buf text = {0};

    amy__buf_init(&text, MEMORY_MAX);
    if (dir >= 0 &&
        amy__read_file_at(dir, MEMORY, MEMORY_MAX, &text, NULL, NULL) == 0) {
        (void)amy__json_parse(amy__buf_span(&text), &all, NULL);
    }
    amy__buf_clear(&text);
    one = all == NULL ? NULL : amy__json_get(all, site->name);
    if (one != NULL) {
        amy__gate_restore(site->gate,
                          amy__json_get_int(one, "state", 0) == AMY_GATE_CLOSED
                              ? AMY_GATE_CLOSED
                              : AMY_GATE_OPEN,
                          amy__json_get_int(one, "since_ms", 0),
                          amy__json_get_text(one, "by", ""));
    }
}

/* ---- pages and words ---- */

/* All have the page (or had their time): the word says so to all at once. */
static void
flip(struct amy__front_site *site)
{
    struct amy__control_call *call = NULL;

    site->waiting = 0;
    amy__timer_cancel(site->page_timer);
    amy__gate_word_set(site->front->words, site->index, site->serial);
    while ((call = amy__front_waited(&site->waiters)) != NULL) {
        struct amy__json *json = amy__json_object();

        (void)amy__json_set(
            json, "state",
            amy__json_text(site->serial == 0 ? "open" : "closed"));
        amy__control_reply(call, 200, json);
    }
}

static void
on_page_timer(void *user)
{
    struct amy__front_site *site = user;

    amy__log(&site->front->log, AMY_LOG_WARN,
             "a process did not take the maintenance page in time site=%s",
             site->name);
    flip(site);
}

static void
send_page(struct amy__front_site *site)
{
    struct amy_front *front = site->front;
    struct amy__json *json = amy__json_object();
    int fds[1] = {site->page_fd};
    bool has_page = site->page_fd >= 0;

    (void)amy__json_set(json, "site", amy__json_text(site->name));
    (void)amy__json_set(json, "serial", amy__json_int((int64_t)site->serial));
    (void)amy__json_set(json, "page_fd", amy__json_int(has_page ? 0 : -1));
    site->waiting = amy__front_serving(front);
    for (uint32_t i = 0; i < AMY__PROCESSES_MAX && json != NULL; i++) {
        if (front->processes[i].told_pages) {
            amy__front_tell(&front->processes[i], AMY__WIRE_PAGE, json, fds,
                            has_page ? 1 : 0);
        }
    }
    amy__json_free(json);
}

/* Make what the gate shows now the site's page; built-in: no descriptor. */
static void
take_page(struct amy__front_site *site)
{
    struct amy_gate_view view = {.struct_size = sizeof(view)};
    struct amy_error err = AMY_ERROR_INIT;

    amy_gate_read(site->gate, &view);
    amy__close(&site->page_fd);
    site->serial = 0;
    if (view.state == AMY_GATE_OPEN) {
        return;
    }
    site->serial = ++site->front->last_serial;
    site->page_fd =
        amy__sealed_memfd("amy-page", view.page, view.page_bytes, &err);
    if (site->page_fd < 0) {
        amy__log(&site->front->log, AMY_LOG_WARN,
                 "the built-in page is shown: %s site=%s", err.msg, site->name);
    }
}

static void
on_change(struct amy_gate *gate, enum amy_gate_state state, void *user)
{
    struct amy__front_site *site = user;
    struct amy_gate_view view = {.struct_size = sizeof(view)};

    amy_gate_read(gate, &view);
    take_page(site);
    remember_all(site->front);
    amy__log(&site->front->log, AMY_LOG_NOTICE, "gate %s site=%s by=%s",
             state == AMY_GATE_CLOSED ? "closed" : "open", site->name,
             view.by[0] == '\0' ? "-" : view.by);
    site->waiting = 0;
    if (state == AMY_GATE_CLOSED) {
        send_page(site);
    }
    if (site->waiting == 0) {
        flip(site);
    } else if (amy__timer_arm(site->page_timer, ACK_MS, NULL) < 0) {
        flip(site); /* rather early than never */
    }
}

int
amy__front_gates_watch(struct amy_front *front, struct amy_error *err)
{
    int rc = amy__gate_watch_create(front->opts.base, &front->gate_watch, err);

    return rc == AMY_ENOMEM ? rc : 0; /* each gate says what is missing */
}

/* A program before this one gave its processes that very page. */
static bool
shows_it_already(const struct amy__front_site *site)
{
    struct amy_gate_view view = {.struct_size = sizeof(view)};
    const void *page = NULL;
    size_t n = 0;
    bool same = false;

    amy_gate_read(site->gate, &view);
    if (site->serial == 0 || view.state == AMY_GATE_OPEN ||
        amy__map_sealed(site->page_fd, view.page_bytes, &page, &n, NULL) < 0) {
        return false;
    }
    same = n == view.page_bytes && (n == 0 || memcmp(page, view.page, n) == 0);
    if (n > 0) {
        (void)munmap((void *)(uintptr_t)page, n);
    }
    return same;
}

int
amy__front_gate_create(struct amy_front *front, struct amy__front_site *site,
                       struct amy_error *err)
{
    struct amy_gate_options opts = AMY_GATE_OPTIONS_INIT;
    int rc = 0;

    if (site->page_timer == NULL) {
        rc = amy__timer_create(front->opts.base, on_page_timer, site,
                               &site->page_timer, err);
    }
    if (rc < 0) {
        return rc;
    }
    opts.base = front->opts.base;
    opts.dir_fd_plus_one = site->dir_fd + 1;
    opts.borrow_clock = front->opts.borrow_clock;
    opts.log = &front->log;
    opts.on_change = on_change;
    opts.user = site;
    rc = amy__gate_create(&opts, front->gate_watch, &site->gate, err);
    if (rc < 0) {
        return rc;
    }
    recall(front, site);
    if (!shows_it_already(site)) {
        take_page(site);
    }
    /* Nobody serves it yet; the page comes with the bundle. Where the directory
     * was replaced, those who do show the built-in page until then. */
    amy__gate_word_set(front->words, site->index, site->serial);
    return 0;
}

void
amy__front_gate_acked(struct amy__front_site *site, uint32_t process,
                      uint64_t serial)
{
    if (serial != site->serial ||
        (site->waiting & amy__front_bit(process)) == 0) {
        return; /* of a page that is not shown any more */
    }
    site->waiting &= ~amy__front_bit(process);
    if (site->waiting == 0) {
        flip(site);
    }
}

void
amy__front_gate_lost(struct amy_front *front, uint32_t process)
{
    for (struct amy__front_site *s = front->sites; s != NULL; s = s->next) {
        amy__front_gate_acked(s, process, s->serial);
    }
}
