#include "amy_test.h"

#include "core/watch.h"
#include "fail_alloc.h"
#include "fake_loop.h"
#include "gate/gate.h"
#include "gate/page.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ON "maintenance_on.html"
#define OFF "maintenance_off.html"
#define SAVED "maintenance_off.html.saved"

struct room {
    char path[64];
    int dir;
    struct amy_gate *gate;
    int changes;
    enum amy_gate_state state;
    bool free_it; /* in on_change */
};

static struct room room;
static char fake_base; /* the fake loop looks at no base */

static void
on_change(struct amy_gate *gate, enum amy_gate_state state, void *user)
{
    struct room *r = user;

    r->changes++;
    r->state = state;
    if (r->free_it) {
        amy_gate_free(gate);
        r->gate = NULL;
    }
}

static struct amy_gate_options
options(void)
{
    struct amy_gate_options opts = AMY_GATE_OPTIONS_INIT;

    opts.base = (struct event_base *)(void *)&fake_base;
    opts.directory = room.path;
    opts.borrow_clock = fake_loop_clock();
    opts.on_change = on_change;
    opts.user = &room;
    return opts;
}

/* Put a file there whose last write is long ago (on the fake clock, files of
 * today are from the future, and so count as fresh). */
static void
put(const char *name, const char *text, bool is_old)
{
    int fd =
        openat(room.dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    if (is_old) {
        struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};

        assert_int_equal(futimens(fd, times), 0);
    }
    close(fd);
}

/* Root reads and writes everything; for a while be somebody who does not. */
static void
become_nobody(void)
{
    assert_int_equal(chmod(room.path, 0555), 0);
    if (getuid() == 0) {
        assert_int_equal(seteuid(65534), 0);
    }
}

static void
become_ourselves(void)
{
    assert_int_equal(seteuid(getuid()), 0);
    assert_int_equal(chmod(room.path, 0755), 0);
}

static bool
exists(const char *name)
{
    struct stat st = {0};

    return fstatat(room.dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void
expect_file(const char *name, const char *text)
{
    char got[64] = "";
    int fd = openat(room.dir, name, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(read(fd, got, sizeof(got) - 1), strlen(text));
    assert_string_equal(got, text);
    close(fd);
}

static struct amy_gate_view
view(void)
{
    struct amy_gate_view v = {.struct_size = sizeof(v)};

    amy_gate_read(room.gate, &v);
    return v;
}

static void
expect_page(const char *text)
{
    struct amy_gate_view v = view();

    assert_int_equal(v.state, AMY_GATE_CLOSED);
    assert_int_equal(v.page_bytes, strlen(text));
    assert_memory_equal(v.page, text, v.page_bytes);
}

static void
expect_builtin(const char *warning)
{
    struct amy_gate_view v = view();

    assert_int_equal(v.state, AMY_GATE_CLOSED);
    assert_ptr_equal(v.page, amy__page_maintenance().p);
    if (warning == NULL) {
        assert_string_equal(v.warning, "");
    } else {
        assert_non_null(strstr(v.warning, warning));
    }
}

static void
create(void)
{
    struct amy_gate_options opts = options();

    assert_int_equal(amy_gate_create(&opts, &room.gate, NULL), 0);
}

static int
set_up(void **state)
{
    (void)state;
    room = (struct room){.path = "/tmp/amy-test-XXXXXX"};
    if (mkdtemp(room.path) == NULL) {
        return -1;
    }
    room.dir = open(room.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return room.dir < 0;
}

static int
tear_down(void **state)
{
    (void)state;
    amy_gate_free(room.gate);
    (void)unlinkat(room.dir, ON, 0);
    (void)unlinkat(room.dir, ON, AT_REMOVEDIR);
    (void)unlinkat(room.dir, OFF, 0);
    (void)unlinkat(room.dir, SAVED, 0);
    (void)unlinkat(room.dir, "other", 0);
    close(room.dir);
    if (rmdir(room.path) != 0) {
        return -1; /* something was left behind */
    }
    return fake_loop_left() != 0 || fail_alloc_live() != 0;
}

/* ---- names ---- */

static void
test_create_without_page_is_open(void **state)
{
    struct amy_gate_view v;

    (void)state;
    create();
    v = view();
    assert_int_equal(v.state, AMY_GATE_OPEN);
    assert_null(v.page);
    assert_int_equal(v.retry_after_s, 120);
    assert_string_equal(v.by, "");
    assert_int_equal(room.changes, 0);
}

static void
test_create_with_page_is_closed_without_a_call(void **state)
{
    (void)state;
    put(ON, "<p>later</p>", true);
    create();
    expect_page("<p>later</p>");
    assert_int_equal(room.changes, 0);
}

static void
test_rename_is_seen_at_once(void **state)
{
    (void)state;
    put(OFF, "page", true);
    create();
    assert_int_equal(renameat(room.dir, OFF, room.dir, ON), 0);
    (void)fake_loop_poll();
    assert_int_equal(room.changes, 1);
    assert_int_equal(room.state, AMY_GATE_CLOSED);
    expect_page("page");
    assert_string_equal(view().by, "");
    assert_int_equal(renameat(room.dir, ON, room.dir, OFF), 0);
    (void)fake_loop_poll();
    assert_int_equal(room.changes, 2);
    assert_int_equal(view().state, AMY_GATE_OPEN);
}

static void
test_lost_event_is_made_good_by_the_slow_look(void **state)
{
    (void)state;
    put(OFF, "page", true);
    create();
    assert_int_equal(renameat(room.dir, OFF, room.dir, ON), 0);
    fake_loop_advance(999);
    assert_int_equal(room.changes, 0);
    fake_loop_advance(1);
    assert_int_equal(room.changes, 1);
    expect_page("page");
}

static void
test_both_names_mean_closed(void **state)
{
    (void)state;
    put(ON, "on", true);
    put(OFF, "off", true);
    create();
    expect_page("on");
}

static void
test_since_is_when_the_state_began(void **state)
{
    int64_t since = 0;

    (void)state;
    put(OFF, "page", true);
    create();
    since = view().since_wall_ms;
    fake_loop_advance(5000);
    assert_true(view().since_wall_ms == since);
    assert_int_equal(amy_gate_close(room.gate, "ada", NULL), 0);
    assert_true(view().since_wall_ms == since + 5000);
    assert_string_equal(view().by, "ada");
    fake_loop_advance(5000);
    assert_int_equal(amy_gate_close(room.gate, "eve", NULL), 0);
    assert_true(view().since_wall_ms == since + 5000); /* closed already */
    assert_string_equal(view().by, "ada");
}

static void
test_restore_goes_on_from_what_was_written_down(void **state)
{
    (void)state;
    put(ON, "page", true);
    create();
    amy__gate_restore(room.gate, AMY_GATE_OPEN, 1, "eve");
    assert_string_equal(view().by, "");
    amy__gate_restore(room.gate, AMY_GATE_CLOSED, 77, "ada");
    assert_string_equal(view().by, "ada");
    assert_int_equal(view().since_wall_ms, 77);
}

/* ---- pages ---- */

static void
test_empty_page_closes_with_the_builtin_one(void **state)
{
    (void)state;
    put(ON, "", true);
    create();
    expect_builtin("empty");
}

static void
test_huge_page_closes_with_the_builtin_one(void **state)
{
    int fd = -1;

    (void)state;
    fd = openat(room.dir, ON, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(ftruncate(fd, 50000000), 0);
    close(fd);
    put("other", "x", false);
    assert_int_equal(renameat(room.dir, ON, room.dir, OFF), 0);
    assert_int_equal(renameat(room.dir, OFF, room.dir, ON), 0);
    create();
    fake_loop_advance(200);
    expect_builtin("1048576");
}

static void
test_page_of_exactly_the_limit_is_shown(void **state)
{
    int fd = openat(room.dir, ON, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};

    (void)state;
    assert_int_equal(ftruncate(fd, AMY__PAGE_MAX), 0);
    assert_int_equal(futimens(fd, times), 0);
    create();
    assert_int_equal(view().page_bytes, AMY__PAGE_MAX);
    assert_int_equal(ftruncate(fd, AMY__PAGE_MAX + 1), 0);
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
    (void)fake_loop_poll();
    expect_builtin("1048576");
}

static void
test_unreadable_page_closes_with_the_builtin_one(void **state)
{
    (void)state;
    put(ON, "page", true);
    assert_int_equal(fchmodat(room.dir, ON, 0, 0), 0);
    become_nobody();
    create();
    expect_builtin("ermission");
    become_ourselves();
    assert_int_equal(fchmodat(room.dir, ON, 0644, 0), 0);
    (void)fake_loop_poll();
    expect_page("page");
}

static void
test_link_directory_and_fifo_close_with_the_builtin_one(void **state)
{
    (void)state;
    put("other", "secret", true);
    assert_int_equal(symlinkat("other", room.dir, ON), 0);
    create();
    expect_builtin("symbolic link");
    assert_int_equal(unlinkat(room.dir, ON, 0), 0);
    assert_int_equal(mkdirat(room.dir, ON, 0755), 0);
    (void)fake_loop_poll();
    expect_builtin("directory");
    assert_int_equal(unlinkat(room.dir, ON, AT_REMOVEDIR), 0);
    assert_int_equal(mkfifoat(room.dir, ON, 0644), 0);
    (void)fake_loop_poll();
    expect_builtin("fifo");
}

static void
test_mended_page_takes_the_warning_away(void **state)
{
    (void)state;
    put(ON, "", true);
    create();
    expect_builtin("empty");
    put(ON, "page", true);
    (void)fake_loop_poll();
    expect_page("page");
    assert_string_equal(view().warning, "");
    assert_int_equal(room.changes, 1);
}

static void
test_half_written_page_never_shows(void **state)
{
    int fd = -1;

    (void)state;
    create();
    fd = openat(room.dir, ON, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(write(fd, "half", 4), 4);
    (void)fake_loop_poll();
    assert_int_equal(room.changes, 1); /* closed from the first moment on */
    expect_builtin(NULL);
    fake_loop_advance(60);
    assert_int_equal(write(fd, " whole", 6), 6);
    fake_loop_advance(60);
    expect_builtin(NULL);
    close(fd);
    (void)fake_loop_poll();
    fake_loop_advance(200);
    expect_page("half whole");
    assert_int_equal(room.changes, 2);
}

static void
test_page_is_replaced_only_by_a_whole_one(void **state)
{
    (void)state;
    put(ON, "old", true);
    create();
    put(ON, "ne", false);
    (void)fake_loop_poll();
    expect_page("old");
    put(ON, "new", false);
    fake_loop_advance(99);
    expect_page("old");
    fake_loop_advance(300);
    expect_page("new");
    assert_int_equal(room.changes, 1);
}

static void
test_renamed_fresh_page_shows_at_once(void **state)
{
    struct stat st = {0};

    (void)state;
    create();
    /* Until the kernel's coarse clock has moved between write and rename. */
    do {
        put("other", "fresh", false);
        for (int i = 0; i < 100000; i++) {
            (void)fstatat(room.dir, "other", &st, 0);
        }
        assert_int_equal(renameat(room.dir, "other", room.dir, ON), 0);
        assert_int_equal(fstatat(room.dir, ON, &st, 0), 0);
    } while (st.st_ctim.tv_nsec == st.st_mtim.tv_nsec);
    (void)fake_loop_poll();
    expect_page("fresh");
}

static void
test_same_bytes_again_are_no_change(void **state)
{
    (void)state;
    put(ON, "page", true);
    create();
    put("other", "page", true);
    assert_int_equal(renameat(room.dir, "other", room.dir, ON), 0);
    (void)fake_loop_poll();
    fake_loop_advance(1000);
    assert_int_equal(room.changes, 0);
}

/* ---- by us ---- */

static void
test_close_renames_and_open_renames_back(void **state)
{
    (void)state;
    put(OFF, "page", false);
    create();
    assert_int_equal(amy_gate_close(room.gate, "ada", NULL), 0);
    assert_int_equal(room.changes, 1);
    expect_page("page"); /* fresh, but finished: we renamed it */
    assert_false(exists(OFF));
    assert_int_equal(amy_gate_open(room.gate, "eve", NULL), 0);
    assert_int_equal(room.changes, 2);
    assert_int_equal(view().state, AMY_GATE_OPEN);
    assert_string_equal(view().by, "eve");
    assert_false(exists(ON));
    expect_file(OFF, "page");
    (void)fake_loop_poll();
    assert_int_equal(room.changes, 2);
}

static void
test_close_without_page_writes_the_builtin_one(void **state)
{
    struct stat st = {0};

    (void)state;
    create();
    assert_int_equal(amy_gate_close(room.gate, NULL, NULL), 0);
    assert_int_equal(fstatat(room.dir, ON, &st, 0), 0);
    assert_int_equal(st.st_size, amy__page_maintenance().n);
    assert_int_equal(st.st_mode & 0777, 0644);
    assert_int_equal(view().state, AMY_GATE_CLOSED);
    assert_string_equal(view().warning, "");
}

static void
test_close_and_open_twice_are_no_errors(void **state)
{
    (void)state;
    put(OFF, "page", true);
    create();
    assert_int_equal(amy_gate_close(room.gate, "a", NULL), 0);
    put(OFF, "another", true);
    assert_int_equal(amy_gate_close(room.gate, "b", NULL), 0);
    expect_page("page");
    expect_file(OFF, "another");
    assert_int_equal(amy_gate_open(room.gate, "a", NULL), 0);
    expect_file(OFF, "page");
    expect_file(SAVED, "another"); /* kept */
    assert_int_equal(amy_gate_open(room.gate, "b", NULL), 0);
    assert_int_equal(room.changes, 2);
}

static void
test_close_of_a_directory_that_is_gone_fails(void **state)
{
    (void)state;
    create();
    assert_int_equal(rmdir(room.path), 0);
    assert_int_equal(amy_gate_close(room.gate, "a", NULL), AMY_ENOTFOUND);
    assert_int_equal(amy_gate_open(room.gate, "a", NULL), AMY_ENOTFOUND);
    assert_int_equal(amy_gate_poll(room.gate, NULL), AMY_ENOTFOUND);
    assert_int_equal(room.changes, 0);
    assert_int_equal(mkdir(room.path, 0755), 0);
    close(room.dir);
    room.dir = open(room.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void
test_directory_that_comes_again_is_entered(void **state)
{
    (void)state;
    put(ON, "page", true);
    create();
    assert_int_equal(unlinkat(room.dir, ON, 0), 0);
    assert_int_equal(rmdir(room.path), 0);
    assert_int_equal(amy_gate_poll(room.gate, NULL), AMY_ENOTFOUND);
    assert_int_equal(view().state, AMY_GATE_CLOSED); /* as before */
    assert_int_equal(mkdir(room.path, 0755), 0);
    close(room.dir);
    room.dir = open(room.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    fake_loop_advance(1000);
    assert_int_equal(view().state, AMY_GATE_OPEN);
    put(ON, "again", true);
    (void)fake_loop_poll();
    expect_page("again");
}

static void
test_close_refused_by_the_system_is_denied(void **state)
{
    (void)state;
    create();
    assert_int_equal(fchmod(room.dir, 0555), 0);
    become_nobody();
    assert_int_equal(amy_gate_close(room.gate, "a", NULL), AMY_EDENIED);
    assert_int_equal(view().state, AMY_GATE_OPEN);
    become_ourselves();
    assert_int_equal(fchmod(room.dir, 0700), 0);
}

/* ---- calls ---- */

static void
test_callback_may_free_the_gate(void **state)
{
    (void)state;
    put(OFF, "page", true);
    create();
    room.free_it = true;
    assert_int_equal(amy_gate_close(room.gate, "a", NULL), 0);
    assert_null(room.gate);
    assert_int_equal(room.changes, 1);
    create();
    assert_int_equal(unlinkat(room.dir, ON, 0), 0);
    (void)fake_loop_poll();
    assert_null(room.gate);
}

static unsigned
count_inotify(void)
{
    unsigned found = 0;

    for (int fd = 0; fd < 256; fd++) {
        char path[32] = "";
        char target[64] = "";

        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        if (readlink(path, target, sizeof(target) - 1) > 0) {
            found += strcmp(target, "anon_inode:inotify") == 0;
        }
    }
    return found;
}

static void
count_change(struct amy_gate *gate, enum amy_gate_state state, void *user)
{
    unsigned *changes = user;

    (void)gate;
    (void)state;
    *changes += 1;
}

static int
make_directory(const char *name)
{
    int fd = -1;

    assert_int_equal(mkdirat(room.dir, name, 0755), 0);
    fd = openat(room.dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

/* inotify(7): a user may have 128 instances, and a host has more sites. */
static void
test_gates_share_a_watch_and_each_hears_its_own(void **state)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    enum {
        GATES = sizeof(names) / sizeof(names[0])
    };
    int dirs[GATES] = {0};
    unsigned changes[GATES] = {0};
    struct amy_gate *gates[GATES] = {NULL};
    struct amy__watch *watch = NULL;

    (void)state;
    assert_int_equal(amy__gate_watch_create(options().base, &watch, NULL), 0);
    for (size_t i = 0; i < GATES; i++) {
        struct amy_gate_options opts = options();

        dirs[i] = make_directory(names[i]);
        opts.directory = NULL;
        opts.dir_fd_plus_one = dirs[i] + 1;
        opts.on_change = count_change;
        opts.user = &changes[i];
        assert_int_equal(amy__gate_create(&opts, watch, &gates[i], NULL), 0);
    }
    assert_int_equal(count_inotify(), 1);
    for (size_t i = 0; i < GATES; i++) {
        assert_int_equal(mkdirat(dirs[i], ON, 0755), 0); /* any kind closes */
        (void)fake_loop_poll();
        for (size_t k = 0; k < GATES; k++) {
            assert_int_equal(changes[k], k <= i ? 1 : 0);
        }
    }
    /* Who is gone hears nothing, and takes nobody along. */
    amy_gate_free(gates[0]);
    for (size_t i = 0; i < GATES; i++) {
        assert_int_equal(unlinkat(dirs[i], ON, AT_REMOVEDIR), 0);
        (void)fake_loop_poll();
        assert_int_equal(changes[i], i == 0 ? 1 : 2);
        assert_int_equal(unlinkat(room.dir, names[i], AT_REMOVEDIR), 0);
        close(dirs[i]);
    }
    for (size_t i = 1; i < GATES; i++) {
        amy_gate_free(gates[i]);
    }
    amy__watch_free(watch);
    assert_int_equal(count_inotify(), 0);
}

static void
test_create_with_wrong_options_is_refused(void **state)
{
    struct amy_gate_options opts = options();

    (void)state;
    opts.base = NULL;
    assert_int_equal(amy_gate_create(&opts, &room.gate, NULL), AMY_EINVAL);
    opts = options();
    opts.directory = NULL;
    assert_int_equal(amy_gate_create(&opts, &room.gate, NULL), AMY_EINVAL);
    opts.directory = "/nowhere/at/all";
    assert_int_equal(amy_gate_create(&opts, &room.gate, NULL), AMY_ENOTFOUND);
    assert_int_equal(amy_gate_create(NULL, &room.gate, NULL), AMY_EINVAL);
    assert_null(room.gate);
    opts = options();
    opts.directory = NULL;
    opts.dir_fd_plus_one = room.dir + 1;
    assert_int_equal(amy_gate_create(&opts, &room.gate, NULL), 0);
}

static void
test_create_without_memory_leaves_nothing(void **state)
{
    (void)state;
    put(ON, "page", true);
    for (int n = 1;; n++) {
        struct amy_gate_options opts = options();
        int rc = 0;

        fail_alloc_nth(n);
        rc = amy_gate_create(&opts, &room.gate, NULL);
        if (!fail_alloc_hit()) {
            break;
        }
        if (rc == 0) { /* no page without memory, but the state is right */
            expect_builtin("buffer");
            amy_gate_free(room.gate);
            room.gate = NULL;
        } else {
            assert_int_equal(rc, AMY_ENOMEM);
        }
        assert_int_equal(fail_alloc_live(), 0);
    }
    fail_alloc_nth(0);
    expect_page("page");
}

#define IN_ROOM(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        IN_ROOM(test_create_without_page_is_open),
        IN_ROOM(test_create_with_page_is_closed_without_a_call),
        IN_ROOM(test_rename_is_seen_at_once),
        IN_ROOM(test_lost_event_is_made_good_by_the_slow_look),
        IN_ROOM(test_both_names_mean_closed),
        IN_ROOM(test_since_is_when_the_state_began),
        IN_ROOM(test_restore_goes_on_from_what_was_written_down),
        IN_ROOM(test_empty_page_closes_with_the_builtin_one),
        IN_ROOM(test_huge_page_closes_with_the_builtin_one),
        IN_ROOM(test_page_of_exactly_the_limit_is_shown),
        IN_ROOM(test_unreadable_page_closes_with_the_builtin_one),
        IN_ROOM(test_link_directory_and_fifo_close_with_the_builtin_one),
        IN_ROOM(test_mended_page_takes_the_warning_away),
        IN_ROOM(test_half_written_page_never_shows),
        IN_ROOM(test_page_is_replaced_only_by_a_whole_one),
        IN_ROOM(test_renamed_fresh_page_shows_at_once),
        IN_ROOM(test_same_bytes_again_are_no_change),
        IN_ROOM(test_close_renames_and_open_renames_back),
        IN_ROOM(test_close_without_page_writes_the_builtin_one),
        IN_ROOM(test_close_and_open_twice_are_no_errors),
        IN_ROOM(test_close_of_a_directory_that_is_gone_fails),
        IN_ROOM(test_directory_that_comes_again_is_entered),
        IN_ROOM(test_close_refused_by_the_system_is_denied),
        IN_ROOM(test_callback_may_free_the_gate),
        IN_ROOM(test_gates_share_a_watch_and_each_hears_its_own),
        IN_ROOM(test_create_with_wrong_options_is_refused),
        IN_ROOM(test_create_without_memory_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
