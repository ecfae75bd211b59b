#include "amy_test.h"

#include "core/buf.h"
#include "core/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct place {
    char path[64];
    int fd;
};

static int
set_up(void **state)
{
    static struct place place;

    (void)snprintf(place.path, sizeof(place.path), "/tmp/amy-test-XXXXXX");
    if (mkdtemp(place.path) == NULL) {
        return -1;
    }
    place.fd = open(place.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = &place;
    return place.fd < 0;
}

static void
remove_all(int dir_fd)
{
    DIR *dir = fdopendir(dup(dir_fd));
    const struct dirent *entry = NULL;

    rewinddir(dir);
    while ((void)(entry = readdir(dir)), entry != NULL) {
        int sub = -1;

        if (strcmp(entry->d_name, ".") == 0 ||
            strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        if (unlinkat(dir_fd, entry->d_name, 0) == 0) {
            continue;
        }
        sub = openat(dir_fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        remove_all(sub);
        close(sub);
        (void)unlinkat(dir_fd, entry->d_name, AT_REMOVEDIR);
    }
    closedir(dir);
}

static int
tear_down(void **state)
{
    struct place *place = *state;

    remove_all(place->fd);
    close(place->fd);
    return rmdir(place->path);
}

static void
put(const struct place *place, const char *name, const char *text)
{
    struct amy_error err = AMY_ERROR_INIT;

    if (amy__write_file_at(place->fd, name, text, strlen(text), 0644, &err)) {
        fail_msg("%s", err.msg);
    }
}

static void
test_write_file_replaces_whole_with_mode(void **state)
{
    const struct place *place = *state;
    struct amy__buf buf = {0};
    struct stat seen = {0};
    mode_t mask = umask(077);
    int entries = 0;
    DIR *dir = NULL;

    amy__buf_init(&buf, 100);
    put(place, "f", "old");
    put(place, "f", "new");
    (void)umask(mask);
    assert_int_equal(amy__read_file_at(place->fd, "f", 3, &buf, &seen, NULL),
                     0);
    assert_string_equal(buf.data, "new");
    assert_int_equal(seen.st_mode & 07777, 0644);
    dir = fdopendir(dup(place->fd));
    while (readdir(dir) != NULL) {
        entries++;
    }
    closedir(dir);
    assert_int_equal(entries, 3); /* no temporary file is left */
    amy__buf_clear(&buf);
}

static void
test_write_file_refuses_paths_and_leaves_nothing(void **state)
{
    const struct place *place = *state;
    struct amy_error err = AMY_ERROR_INIT;

    assert_int_equal(amy__write_file_at(place->fd, "a/b", "", 0, 0600, &err),
                     AMY_EINVAL);
    assert_int_equal(amy__write_file_at(place->fd, "", "", 0, 0600, &err),
                     AMY_EINVAL);
    assert_int_equal(mkdirat(place->fd, "d", 0700), 0);
    assert_int_equal(amy__write_file_at(place->fd, "d", "", 0, 0600, &err),
                     AMY_EINVAL);
    assert_non_null(strstr(err.msg, "writing 'd': renaming"));
    assert_int_equal(amy__write_file_at(-1, "x", "", 0, 0600, &err), AMY_EIO);
}

static void
refuses(const struct place *place, const char *name, int code,
        const char *words)
{
    struct amy_error err = AMY_ERROR_INIT;
    struct amy__buf buf = {0};

    amy__buf_init(&buf, 100);
    assert_int_equal(amy__read_file_at(place->fd, name, 5, &buf, NULL, &err),
                     code);
    if (strstr(err.msg, words) == NULL) {
        fail_msg("'%s' lacks '%s'", err.msg, words);
    }
    assert_int_equal(buf.len, 0);
    amy__buf_clear(&buf);
}

static void
test_read_file_says_what_stands_there(void **state)
{
    const struct place *place = *state;

    put(place, "five", "12345");
    put(place, "six", "123456");
    assert_int_equal(mkdirat(place->fd, "dir", 0700), 0);
    assert_int_equal(symlinkat("five", place->fd, "link"), 0);
    assert_int_equal(mkfifoat(place->fd, "fifo", 0600), 0);
    assert_int_equal(mknodat(place->fd, "socket", S_IFSOCK | 0600, 0), 0);
    refuses(place, "six", AMY_ELIMIT, "more than 5 bytes");
    refuses(place, "dir", AMY_EINVAL, "'dir' is a directory");
    refuses(place, "link", AMY_EINVAL, "'link' is a symbolic link");
    refuses(place, "fifo", AMY_EINVAL, "'fifo' is a fifo");
    refuses(place, "socket", AMY_EINVAL, "'socket' is a socket");
    refuses(place, "none", AMY_ENOTFOUND, "No such file");
    /* A size of zero does not mean that nothing comes. */
    refuses(place, "/proc/self/status", AMY_ELIMIT, "more than 5 bytes");
}

static void
test_read_file_appends_within_the_buffer(void **state)
{
    const struct place *place = *state;
    struct amy__buf buf = {0};

    put(place, "f", "123");
    amy__buf_init(&buf, 5);
    assert_int_equal(amy__read_file_at(place->fd, "f", 9, &buf, NULL, NULL), 0);
    assert_int_equal(amy__read_file_at(place->fd, "f", 9, &buf, NULL, NULL),
                     AMY_ELIMIT);
    assert_string_equal(buf.data, "123");
    amy__buf_clear(&buf);
}

static void
test_open_beneath_stays_beneath(void **state)
{
    const struct place *place = *state;
    struct amy_error err = AMY_ERROR_INIT;
    int fd = -1;

    put(place, "f", "x");
    assert_int_equal(mkdirat(place->fd, "d", 0700), 0);
    assert_int_equal(symlinkat("f", place->fd, "in"), 0);
    assert_int_equal(symlinkat("/etc/passwd", place->fd, "out"), 0);
    fd = amy__open_beneath(place->fd, "in", O_RDONLY, 0, &err);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    amy__close(&fd);
    assert_int_equal(fd, -1);
    fd = amy__open_beneath(place->fd, "d/../f", O_RDONLY, 0, &err);
    assert_true(fd >= 0);
    amy__close(&fd);
    amy__close(&fd);
    assert_int_equal(amy__open_beneath(place->fd, "../x", O_RDONLY, 0, &err),
                     AMY_EINVAL);
    assert_non_null(strstr(err.msg, "leaves its directory"));
    assert_int_equal(err.code, AMY_EINVAL);
    assert_int_equal(amy__open_beneath(place->fd, "out", O_RDONLY, 0, &err),
                     AMY_EINVAL);
    assert_int_equal(
        amy__open_beneath(place->fd, "/etc/passwd", O_RDONLY, 0, &err),
        AMY_EINVAL);
    assert_int_equal(
        amy__open_beneath(place->fd, "in", O_RDONLY | O_NOFOLLOW, 0, &err),
        AMY_EINVAL);
    assert_int_equal(amy__open_beneath(place->fd, "none", O_RDONLY, 0, &err),
                     AMY_ENOTFOUND);
    fd = amy__open_beneath(place->fd, "new", O_WRONLY | O_CREAT, 0600, &err);
    assert_true(fd >= 0);
    amy__close(&fd);
}

static void
test_make_dirs_sets_the_last_ones_mode(void **state)
{
    const struct place *place = *state;
    char path[128] = "";
    struct stat seen = {0};
    mode_t mask = umask(077);
    int fd = -1;

    (void)snprintf(path, sizeof(path), "%s/a//b/c/", place->path);
    assert_int_equal(amy__make_dirs(path, 0750, NULL), 0);
    (void)umask(mask);
    assert_int_equal(fstatat(place->fd, "a/b", &seen, 0), 0);
    assert_int_equal(seen.st_mode & 07777, 0755);
    assert_int_equal(fstatat(place->fd, "a/b/c", &seen, 0), 0);
    assert_int_equal(seen.st_mode & 07777, 0750);
    assert_int_equal(amy__make_dirs(path, 0700, NULL), 0);
    assert_int_equal(fstatat(place->fd, "a/b/c", &seen, 0), 0);
    assert_int_equal(seen.st_mode & 07777, 0750);
    fd = amy__open_dir(path, NULL);
    assert_true(fd >= 0);
    amy__close(&fd);
    put(place, "file", "");
    (void)snprintf(path, sizeof(path), "%s/file/x", place->path);
    assert_int_equal(amy__make_dirs(path, 0750, NULL), AMY_ENOTFOUND);
    assert_int_equal(amy__open_dir(path, NULL), AMY_ENOTFOUND);
}

static void
test_sealed_memfd_cannot_be_changed(void **state)
{
    const void *data = NULL;
    size_t n = 0;
    int fd = amy__sealed_memfd("page", "hello", 5, NULL);
    int loose = memfd_create("loose", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int empty = amy__sealed_memfd("empty", NULL, 0, NULL);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "x", 1, 0), -1);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_int_equal(amy__map_sealed(fd, 5, &data, &n, NULL), 0);
    assert_int_equal(n, 5);
    assert_memory_equal(data, "hello", 5);
    assert_int_equal(amy__map_sealed(fd, 4, &data, &n, NULL), AMY_ELIMIT);
    assert_int_equal(amy__map_sealed(loose, 9, &data, &n, NULL), AMY_EINVAL);
    assert_int_equal(amy__map_sealed(0, 9, &data, &n, NULL), AMY_EINVAL);
    assert_int_equal(n, 5);
    assert_int_equal(munmap((void *)(uintptr_t)data, n), 0);
    assert_int_equal(amy__map_sealed(empty, 9, &data, &n, NULL), 0);
    assert_int_equal(n, 0);
    amy__close(&fd);
    amy__close(&loose);
    amy__close(&empty);
}

static void
test_as_user_touches_files_with_that_users_rights(void **state)
{
    const struct place *place = *state;
    struct amy__as_user saved = {0};
    struct stat seen = {0};
    int fd = -1;

    assert_int_equal(amy__as_user_begin(geteuid(), getegid(), &saved, NULL), 0);
    assert_false(saved.changed);
    amy__as_user_end(&saved);
    if (geteuid() != 0) {
        assert_int_equal(amy__as_user_begin(geteuid() + 1, 0, &saved, NULL),
                         AMY_EDENIED);
        return;
    }
    put(place, "secret", "x");
    assert_int_equal(fchmodat(place->fd, "secret", 0600, 0), 0);
    assert_int_equal(fchmod(place->fd, 0777), 0);
    assert_int_equal(amy__as_user_begin(65534, 65533, &saved, NULL), 0);
    assert_true(saved.changed);
    assert_int_equal(openat(place->fd, "secret", O_RDONLY | O_CLOEXEC), -1);
    fd = openat(place->fd, "own", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    amy__as_user_end(&saved);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &seen), 0);
    assert_int_equal(seen.st_uid, 65534);
    assert_int_equal(seen.st_gid, 65533);
    amy__close(&fd);
    fd = openat(place->fd, "secret", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    amy__close(&fd);
}

static void
test_as_user_leaves_our_groups_and_takes_them_back(void **state)
{
    const struct place *place = *state;
    const gid_t ours[] = {61234};
    struct amy__as_user saved = {0};
    gid_t before[AMY__AS_USER_GROUPS] = {0};
    gid_t after[AMY__AS_USER_GROUPS] = {0};
    int count = getgroups(AMY__AS_USER_GROUPS, before);

    if (geteuid() != 0 || count < 0) {
        skip();
    }
    put(place, "shared", "x");
    assert_int_equal(fchownat(place->fd, "shared", 0, ours[0], 0), 0);
    assert_int_equal(fchmodat(place->fd, "shared", 0640, 0), 0);
    assert_int_equal(fchmod(place->fd, 0755), 0);
    assert_int_equal(setgroups(1, ours), 0);
    assert_int_equal(amy__as_user_begin(65534, 65533, &saved, NULL), 0);
    assert_int_equal(openat(place->fd, "shared", O_RDONLY | O_CLOEXEC), -1);
    amy__as_user_end(&saved);
    assert_int_equal(getgroups(AMY__AS_USER_GROUPS, after), 1);
    assert_int_equal(after[0], ours[0]);
    assert_int_equal(setgroups((size_t)count, before), 0);
}

static struct stat
look(const struct place *place)
{
    struct stat st = {0};

    assert_int_equal(fstatat(place->fd, "page", &st, AT_SYMLINK_NOFOLLOW), 0);
    return st;
}

static void
test_stat_is_same_until_anything_was_done_to_the_file(void **state)
{
    const struct place *place = *state;
    struct stat first = {0};
    struct stat now = {0};
    struct timespec old[2] = {{0}};

    assert_int_equal(
        amy__write_file_at(place->fd, "page", "one", 3, 0644, NULL), 0);
    first = look(place);
    now = look(place);
    assert_true(amy__stat_is_same(&first, &now));
    /* As long as before, and dated as before: its change has a time, too. */
    assert_int_equal(
        amy__write_file_at(place->fd, "page", "two", 3, 0644, NULL), 0);
    old[0] = first.st_atim;
    old[1] = first.st_mtim;
    assert_int_equal(utimensat(place->fd, "page", old, 0), 0);
    now = look(place);
    now.st_ino = first.st_ino; /* a file system may use it again */
    assert_false(amy__stat_is_same(&first, &now));
    first = now = look(place);
    now.st_mode ^= 0111;
    assert_false(amy__stat_is_same(&first, &now));
    now = first;
    now.st_size++;
    assert_false(amy__stat_is_same(&first, &now));
    now = first;
    now.st_ino++;
    assert_false(amy__stat_is_same(&first, &now));
    now = first;
    now.st_dev++;
    assert_false(amy__stat_is_same(&first, &now));
    now = first;
    now.st_mtim.tv_nsec ^= 1;
    assert_false(amy__stat_is_same(&first, &now));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_write_file_replaces_whole_with_mode, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_write_file_refuses_paths_and_leaves_nothing, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(test_read_file_says_what_stands_there,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_read_file_appends_within_the_buffer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_open_beneath_stays_beneath, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_make_dirs_sets_the_last_ones_mode,
                                        set_up, tear_down),
        cmocka_unit_test(test_sealed_memfd_cannot_be_changed),
        cmocka_unit_test_setup_teardown(
            test_stat_is_same_until_anything_was_done_to_the_file, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(
            test_as_user_touches_files_with_that_users_rights, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(
            test_as_user_leaves_our_groups_and_takes_them_back, set_up,
            tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
