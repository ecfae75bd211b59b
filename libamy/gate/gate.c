/* The maintenance gate: which name the page has decides, its bytes are shown.
 */
/* Not for answering requests: who holds a gate does. */
#include "gate/gate.h"

#include "core/alloc.h"
#include "core/buf.h"
#include "core/check.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/maker.h"
#include "core/options.h"
#include "core/watch.h"
#include "gate/page.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GATE_MAGIC 0x67617465U
#define PAGE_ON "maintenance_on.html"
#define PAGE_OFF "maintenance_off.html"
#define PAGE_SAVED "maintenance_off.html.saved"
/* A page written in place counts as whole when nothing moved for so long. */
#define SETTLE_MS 100
#define OLD_MS 2000

struct amy_gate {
    uint32_t magic;
    pid_t maker;
    struct amy_gate_options opts;
    struct amy_log log;
    char *directory; /* NULL: given by descriptor */
    int dir_fd;
    struct amy__watch *watch; /* NULL: the slow look alone must do */
    bool watch_is_ours;       /* else shared with other gates */
    struct amy__timer *timer;
    enum amy_gate_state state;
    int64_t since_wall_ms;
    char by[64];
    char warning[256];
    struct amy__buf page; /* the site's own; empty: the built-in one */
    struct stat shown;    /* of what page was read from */
    struct stat seen;     /* at the last look that found it unsettled */
    int64_t seen_ms;      /* monotonic; 0: nothing unsettled */
};

AMY_DEFINE_CLEANUP(struct amy_gate *, amy_gate_free)

/* ---- the page ---- */

static int64_t
mtime_ns(const struct stat *st)
{
    return st->st_mtim.tv_sec * INT64_C(1000000000) + st->st_mtim.tv_nsec;
}

/* A file that is being written has the time of the last write in both its
 * times. Renamed, chmodded or given its old date afterwards, they differ, and
 * whoever did that had finished. Otherwise: when it rests. */
static bool
is_settled(struct amy_gate *gate, const struct stat *st)
{
    int64_t now_ms = amy__mono_ms(gate->opts.borrow_clock);
    int64_t age_ms =
        amy__wall_ms(gate->opts.borrow_clock) - mtime_ns(st) / INT64_C(1000000);
    bool moved_since = st->st_ctim.tv_sec != st->st_mtim.tv_sec ||
                       st->st_ctim.tv_nsec != st->st_mtim.tv_nsec;

    if (moved_since || age_ms > OLD_MS) {
        return true;
    }
    if (gate->seen_ms == 0 || !amy__stat_is_same(&gate->seen, st)) {
        gate->seen = *st;
        gate->seen_ms = now_ms;
        return false;
    }
    return now_ms - gate->seen_ms >= SETTLE_MS;
}

static void
warn(struct amy_gate *gate, const char *why)
{
    char text[sizeof(gate->warning)] = "";

    (void)snprintf(text, sizeof(text), "%s: the built-in page is shown", why);
    if (strcmp(text, gate->warning) != 0) {
        amy__log(&gate->log, AMY_LOG_WARN, "gate: %s", text);
    }
    memcpy(gate->warning, text, sizeof(text));
}

/* Read PAGE_ON into `page`. 0: it is as good as it gets (page empty: built-in,
 * with a warning); AMY_EAGAIN: it was written to meanwhile. */
static int
read_page(struct amy_gate *gate, const struct stat *st, struct amy__buf *page)
{
    struct amy_error err = AMY_ERROR_INIT;
    struct stat before = {0};
    struct stat after = {0};
    int rc = amy__read_file_at(gate->dir_fd, PAGE_ON, AMY__PAGE_MAX, page,
                               &before, &err);

    if (rc < 0) {
        warn(gate, err.msg);
        return 0;
    }
    if (fstatat(gate->dir_fd, PAGE_ON, &after, AT_SYMLINK_NOFOLLOW) != 0 ||
        !amy__stat_is_same(&before, &after) || !amy__stat_is_same(st, &after)) {
        return AMY_EAGAIN;
    }
    if (page->len == 0) {
        warn(gate, "'" PAGE_ON "' is empty");
    } else {
        gate->warning[0] = '\0';
    }
    return 0;
}

/* Nothing to wait for: the built-in page stays whatever comes of it now, and
 * the warning should not come late. */
static bool
is_hopeless(const struct amy_gate *gate, const struct stat *st)
{
    bool has_no_page =
        st->st_size == 0 || (uint64_t)st->st_size > AMY__PAGE_MAX;

    if (!S_ISREG(st->st_mode)) {
        return true;
    }
    if (gate->page.len > 0) {
        return false;
    }
    return has_no_page ||
           faccessat(gate->dir_fd, PAGE_ON, R_OK, AT_EACCESS) != 0;
}

/* Take over what PAGE_ON holds, once it rests. True when that is another page
 * than before. */
static bool
renew_page(struct amy_gate *gate, const struct stat *st, bool settled)
{
    struct amy__buf page = {0};
    bool changed = false;

    if (gate->state == AMY_GATE_CLOSED && amy__stat_is_same(&gate->shown, st)) {
        gate->seen_ms = 0;
        return false;
    }
    if (!settled && !is_hopeless(gate, st) && !is_settled(gate, st)) {
        return false;
    }
    amy__buf_init(&page, AMY__PAGE_MAX);
    if (read_page(gate, st, &page) == AMY_EAGAIN) {
        gate->seen_ms = 0;
        (void)is_settled(gate, st); /* count from here */
        amy__buf_clear(&page);
        return false;
    }
    changed =
        page.len != gate->page.len ||
        (page.len > 0 && memcmp(page.data, gate->page.data, page.len) != 0);
    amy__buf_clear(&gate->page);
    gate->page = page;
    gate->shown = *st;
    gate->seen_ms = 0;
    return changed;
}

/* ---- the state ---- */

static void
enter_state(struct amy_gate *gate, enum amy_gate_state state, const char *by)
{
    gate->state = state;
    gate->since_wall_ms = amy__wall_ms(gate->opts.borrow_clock);
    (void)snprintf(gate->by, sizeof(gate->by), "%s", by == NULL ? "" : by);
    amy__buf_clear(&gate->page);
    gate->warning[0] = '\0';
    gate->seen_ms = 0;
    gate->shown = (struct stat){0};
}

/* By which a watch that is shared knows us. */
static uint64_t
tag_of(const struct amy_gate *gate)
{
    return (uint64_t)(uintptr_t)gate;
}

/* The directory that stands at the path now, when ours was removed. */
static int
enter_directory(struct amy_gate *gate, struct amy_error *err)
{
    struct stat st = {0};
    int fd = -1;

    if (fstat(gate->dir_fd, &st) == 0 && st.st_nlink > 0) {
        return 0;
    }
    if (gate->directory == NULL) {
        return amy__err(err, AMY_ENOTFOUND, "gate: its directory is gone");
    }
    fd = amy__open_dir(gate->directory, err);
    if (fd < 0) {
        return fd;
    }
    amy__close(&gate->dir_fd);
    gate->dir_fd = fd;
    if (gate->watch != NULL) {
        amy__watch_remove(gate->watch, tag_of(gate));
        /* Without it the slow look does the work. */
        (void)amy__watch_add(gate->watch, fd, tag_of(gate), NULL);
    }
    return 0;
}

/* Look once. 1: state or page changed, 0: as before, negative: cannot look, and
 * all is as before. settled: whoever wrote the page has finished. */
static int
look(struct amy_gate *gate, const char *by, bool settled, struct amy_error *err)
{
    struct stat st = {0};
    bool changed = false;
    int rc = enter_directory(gate, err);

    if (rc < 0) {
        return rc;
    }
    if (fstatat(gate->dir_fd, PAGE_ON, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno != ENOENT) {
            return amy__err_sys(err, errno, "gate: looking for '" PAGE_ON "'");
        }
        if (gate->state == AMY_GATE_OPEN) {
            return 0;
        }
        enter_state(gate, AMY_GATE_OPEN, by);
        return 1;
    }
    if (gate->state != AMY_GATE_CLOSED) {
        enter_state(gate, AMY_GATE_CLOSED, by);
        changed = true;
    }
    return renew_page(gate, &st, settled) || changed ? 1 : 0;
}

static void
arm(struct amy_gate *gate)
{
    int64_t ms = gate->opts.poll_ms;

    if (gate->seen_ms != 0 && ms > SETTLE_MS) {
        ms = SETTLE_MS;
    }
    if (amy__timer_arm(gate->timer, ms, NULL) < 0) {
        amy__log(&gate->log, AMY_LOG_ERROR,
                 "gate: out of memory; changes are seen by inotify alone");
    }
}

/* Tell what a look found. The last touch: on_change may free the gate. */
static void
tell(struct amy_gate *gate, int found)
{
    arm(gate);
    if (found > 0 && gate->opts.on_change != NULL) {
        gate->opts.on_change(gate, gate->state, gate->opts.user);
    }
}

static void
on_timer(void *user)
{
    struct amy_gate *gate = user;

    if (amy__is_maker(gate->maker)) {
        tell(gate, look(gate, NULL, false, NULL));
    }
}

static void
on_watch(uint64_t tag, const char *name, void *user)
{
    struct amy_gate *gate = (struct amy_gate *)(uintptr_t)tag;

    (void)user;
    AMY_CHECK(gate, GATE_MAGIC);
    if (amy__is_maker(gate->maker) &&
        (name == NULL || strcmp(name, PAGE_ON) == 0)) {
        tell(gate, look(gate, NULL, false, NULL));
    }
}

/* ---- life ---- */

static int
open_directory(struct amy_gate *gate, struct amy_error *err)
{
    if (gate->opts.directory != NULL) {
        gate->directory = amy__strdup(gate->opts.directory);
        if (gate->directory == NULL) {
            return amy__err(err, AMY_ENOMEM, "allocating a gate");
        }
        gate->dir_fd = amy__open_dir(gate->directory, err);
        return gate->dir_fd < 0 ? gate->dir_fd : 0;
    }
    if (gate->opts.dir_fd_plus_one > 0) {
        gate->dir_fd =
            fcntl(gate->opts.dir_fd_plus_one - 1, F_DUPFD_CLOEXEC, 0);
        return gate->dir_fd < 0
                   ? amy__err_sys(err, errno, "gate: its directory")
                   : 0;
    }
    return amy__err(err, AMY_EINVAL, "gate: no directory given");
}

int
amy__gate_watch_create(struct event_base *base, struct amy__watch **ret_watch,
                       struct amy_error *err)
{
    return amy__watch_create(base, on_watch, NULL, ret_watch, err);
}

static void
end_watching(struct amy_gate *gate)
{
    if (gate->watch_is_ours) {
        amy__watch_free(gate->watch);
    } else if (gate->watch != NULL) {
        amy__watch_remove(gate->watch, tag_of(gate));
    }
    gate->watch = NULL;
}

static int
begin_watching(struct amy_gate *gate, struct amy__watch *borrow_watch,
               struct amy_error *err)
{
    int rc =
        amy__timer_create(gate->opts.base, on_timer, gate, &gate->timer, err);

    if (rc < 0) {
        return rc;
    }
    gate->watch = borrow_watch;
    if (borrow_watch == NULL) {
        rc = amy__gate_watch_create(gate->opts.base, &gate->watch, err);
        gate->watch_is_ours = rc == 0;
    }
    if (rc == 0) {
        rc = amy__watch_add(gate->watch, gate->dir_fd, tag_of(gate), err);
    }
    if (rc < 0 && rc != AMY_ENOMEM) {
        amy__log(&gate->log, AMY_LOG_WARN,
                 "gate: no inotify, changes are seen after %u ms",
                 (unsigned)gate->opts.poll_ms);
        end_watching(gate);
        return 0;
    }
    return rc;
}

int
amy__gate_create(const struct amy_gate_options *opts,
                 struct amy__watch *borrow_watch, struct amy_gate **ret_gate,
                 struct amy_error *err)
{
    AMY_CLEANUP(amy_gate_free_p)
    struct amy_gate *gate = amy__calloc(1, sizeof(*gate));
    int rc = 0;

    if (gate == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a gate");
    }
    gate->magic = GATE_MAGIC;
    gate->maker = getpid();
    gate->dir_fd = -1;
    amy__buf_init(&gate->page, AMY__PAGE_MAX);
    rc = amy__options_read(&gate->opts, sizeof(gate->opts), opts,
                           offsetof(struct amy_gate_options, retry_after_s),
                           err);
    if (rc < 0) {
        return rc;
    }
    if (gate->opts.base == NULL) {
        return amy__err(err, AMY_EINVAL, "gate: no event base given");
    }
    if (gate->opts.reserved != 0) {
        return amy__err(err, AMY_EINVAL, "gate: 'reserved' must be 0");
    }
    gate->log = amy__log_copy(gate->opts.log);
    gate->opts.log = NULL;
    gate->opts.retry_after_s =
        gate->opts.retry_after_s == 0 ? 120 : gate->opts.retry_after_s;
    gate->opts.poll_ms = gate->opts.poll_ms == 0 ? 1000 : gate->opts.poll_ms;
    rc = open_directory(gate, err);
    rc = rc < 0 ? rc : begin_watching(gate, borrow_watch, err);
    if (rc < 0) {
        return rc;
    }
    gate->opts.directory = NULL; /* the caller's */
    gate->since_wall_ms = amy__wall_ms(gate->opts.borrow_clock);
    rc = look(gate, NULL, false, err);
    if (rc < 0) {
        return rc;
    }
    arm(gate);
    *ret_gate = AMY_TAKE(gate);
    return 0;
}

int
amy_gate_create(const struct amy_gate_options *opts, struct amy_gate **ret_gate,
                struct amy_error *err)
{
    return amy__gate_create(opts, NULL, ret_gate, err);
}

void
amy_gate_free(struct amy_gate *gate)
{
    if (gate == NULL) {
        return;
    }
    AMY_CHECK(gate, GATE_MAGIC);
    if (!amy__is_maker(gate->maker)) {
        return;
    }
    end_watching(gate);
    amy__timer_free(gate->timer);
    amy__close(&gate->dir_fd);
    amy__buf_clear(&gate->page);
    amy__free(gate->directory);
    gate->magic = 0;
    amy__free(gate);
}

void
amy_gate_read(const struct amy_gate *gate, struct amy_gate_view *ret_view)
{
    struct amy__span builtin = amy__page_maintenance();
    struct amy_gate_view view = {0};

    AMY_CHECK(gate, GATE_MAGIC);
    view.struct_size = ret_view->struct_size;
    view.state = gate->state;
    view.retry_after_s = gate->opts.retry_after_s;
    view.since_wall_ms = gate->since_wall_ms;
    view.by = gate->by;
    view.warning = gate->warning;
    if (gate->state == AMY_GATE_CLOSED) {
        view.page = gate->page.len > 0 ? gate->page.data : builtin.p;
        view.page_bytes = gate->page.len > 0 ? gate->page.len : builtin.n;
    }
    memcpy(ret_view, &view,
           view.struct_size < sizeof(view) ? view.struct_size : sizeof(view));
}

int
amy_gate_poll(struct amy_gate *gate, struct amy_error *err)
{
    int rc = 0;

    AMY_CHECK(gate, GATE_MAGIC);
    rc = amy__check_maker(gate->maker, err);
    if (rc < 0) {
        return rc;
    }
    rc = look(gate, NULL, false, err);
    tell(gate, rc);
    return rc < 0 ? rc : 0;
}

void
amy__gate_restore(struct amy_gate *gate, enum amy_gate_state state,
                  int64_t since_wall_ms, const char *by)
{
    AMY_CHECK(gate, GATE_MAGIC);
    if (gate->state == state) {
        gate->since_wall_ms = since_wall_ms;
        (void)snprintf(gate->by, sizeof(gate->by), "%s", by);
    }
}

/* ---- closing and opening ---- */

/* rename(2) that never replaces: 0, or an errno. */
static int
rename_new(int dir_fd, const char *from, const char *to)
{
    struct stat st = {0};

    if (renameat2(dir_fd, from, dir_fd, to, RENAME_NOREPLACE) == 0) {
        return 0;
    }
    if (errno != EINVAL) { /* EINVAL: a file system that cannot */
        return errno;
    }
    if (fstatat(dir_fd, to, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        return EEXIST;
    }
    return renameat(dir_fd, from, dir_fd, to) == 0 ? 0 : errno;
}

/* The name is the state: it shall outlive a power cut. */
static int
keep_names(struct amy_gate *gate, struct amy_error *err)
{
    if (fsync(gate->dir_fd) != 0 && errno != EINVAL && errno != EROFS) {
        return amy__err_sys(err, errno, "gate: fsync of the directory");
    }
    return 0;
}

/* See that there is a PAGE_ON. */
static int
put_page(struct amy_gate *gate, struct amy_error *err)
{
    struct amy__span builtin = amy__page_maintenance();
    struct stat st = {0};
    int failure = rename_new(gate->dir_fd, PAGE_OFF, PAGE_ON);

    if (failure == 0) {
        return keep_names(gate, err);
    }
    if (failure != EEXIST && failure != ENOENT) {
        return amy__err_sys(err, failure, "gate: renaming '" PAGE_OFF "'");
    }
    if (fstatat(gate->dir_fd, PAGE_ON, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        return 0; /* closed already */
    }
    return amy__write_file_at(gate->dir_fd, PAGE_ON, builtin.p, builtin.n, 0644,
                              err);
}

int
amy_gate_close(struct amy_gate *gate, const char *by, struct amy_error *err)
{
    int rc = 0;

    AMY_CHECK(gate, GATE_MAGIC);
    rc = amy__check_maker(gate->maker, err);
    if (rc == 0) {
        rc = enter_directory(gate, err);
    }
    if (rc == 0) {
        rc = put_page(gate, err);
    }
    if (rc < 0) {
        return rc;
    }
    rc = look(gate, by, true, err);
    tell(gate, rc);
    return rc < 0 ? rc : 0;
}

int
amy_gate_open(struct amy_gate *gate, const char *by, struct amy_error *err)
{
    int failure = 0;
    int rc = 0;

    AMY_CHECK(gate, GATE_MAGIC);
    rc = amy__check_maker(gate->maker, err);
    if (rc == 0) {
        rc = enter_directory(gate, err);
    }
    if (rc < 0) {
        return rc;
    }
    failure = rename_new(gate->dir_fd, PAGE_ON, PAGE_OFF);
    if (failure == EEXIST) {
        /* Nobody's page is lost; closed until the second rename. */
        if (renameat(gate->dir_fd, PAGE_OFF, gate->dir_fd, PAGE_SAVED) != 0) {
            return amy__err_sys(err, errno, "gate: keeping '" PAGE_OFF "'");
        }
        failure = rename_new(gate->dir_fd, PAGE_ON, PAGE_OFF);
    }
    if (failure != 0 && failure != ENOENT) { /* ENOENT: open already */
        return amy__err_sys(err, failure, "gate: renaming '" PAGE_ON "'");
    }
    rc = failure == 0 ? keep_names(gate, err) : 0;
    if (rc < 0) {
        return rc;
    }
    rc = look(gate, by, true, err);
    tell(gate, rc);
    return rc < 0 ? rc : 0;
}
