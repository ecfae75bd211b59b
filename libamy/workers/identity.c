/* Tells whether a directory of code has been changed. */
/* Not for what has been changed in it, nor for other files than code. */
#include "workers/identity.h"

#include "core/cleanup.h"
#include "core/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD_MAX 4096
#define PACKED_MAX ((size_t)1024 * 1024)
/* So deep is looked, as long as there are no more Python files and directories
 * than these, nor more entries of any kind than those. */
#define DEPTH_MAX 4
#define LOOKS_MAX 2000
#define ENTRIES_MAX 20000
#define FNV_START UINT64_C(14695981039346656037)

/* ---- git ---- */

static bool
read_text(int dir_fd, const char *path, size_t max, struct amy__buf *text)
{
    AMY_CLEANUP(amy__close_p)
    int fd = amy__open_beneath(dir_fd, path, O_RDONLY | O_NONBLOCK, 0, NULL);
    struct stat st = {0};
    ssize_t n = 0;

    amy__buf_init(text, max);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ||
        (size_t)st.st_size > max ||
        amy__buf_reserve(text, (size_t)st.st_size) < 0) {
        return false;
    }
    n = read(fd, text->data, (size_t)st.st_size);
    text->len = n > 0 ? (size_t)n : 0;
    return n > 0;
}

static struct amy__span
first_line(const struct amy__buf *text)
{
    struct amy__span rest = amy__buf_span(text);
    struct amy__span line = {NULL, 0};

    (void)amy__span_split(&rest, '\n', &line);
    return line;
}

/* "id name" of a reference that has no file of its own. */
static bool
find_packed(int git_fd, struct amy__span name,
            char ret_identity[AMY__IDENTITY_BYTES])
{
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf text = {NULL, 0, 0, 0};
    struct amy__span rest = {NULL, 0};
    struct amy__span line = {NULL, 0};

    if (!read_text(git_fd, "packed-refs", PACKED_MAX, &text)) {
        return false;
    }
    rest = amy__buf_span(&text);
    while (amy__span_split(&rest, '\n', &line)) {
        struct amy__span id = {NULL, 0};

        if (amy__span_split(&line, ' ', &id) && amy__span_eq(line, name)) {
            return amy__span_copy(id, ret_identity, AMY__IDENTITY_BYTES);
        }
    }
    return false;
}

static bool
read_commit(int repo_fd, char ret_identity[AMY__IDENTITY_BYTES])
{
    AMY_CLEANUP(amy__close_p)
    int git_fd = amy__open_beneath(
        repo_fd, ".git", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, NULL);
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf head = {NULL, 0, 0, 0};
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf ref = {NULL, 0, 0, 0};
    struct amy__span name = {NULL, 0};
    char path[HEAD_MAX];

    if (git_fd < 0 || !read_text(git_fd, "HEAD", HEAD_MAX, &head)) {
        return false;
    }
    name = first_line(&head);
    if (!amy__span_starts(name, AMY_SPAN("ref: "))) {
        return amy__span_copy(name, ret_identity, AMY__IDENTITY_BYTES);
    }
    name.p += 5;
    name.n -= 5;
    if (!amy__span_copy(name, path, sizeof(path))) {
        return false;
    }
    return read_text(git_fd, path, HEAD_MAX, &ref)
               ? amy__span_copy(first_line(&ref), ret_identity,
                                AMY__IDENTITY_BYTES)
               : find_packed(git_fd, name, ret_identity);
}

/* ---- files ---- */

/* Of all together; independent of the order in which they are listed. */
struct sum {
    uint64_t value;
    unsigned looks;
    unsigned entries;
};

static bool
fits(const struct sum *sum)
{
    return sum->looks <= LOOKS_MAX && sum->entries <= ENTRIES_MAX;
}

static void
add_file(struct sum *sum, const char *name, const struct stat *st)
{
    char text[512];
    int n = snprintf(text, sizeof(text), "%.255s %ju %jd %jd.%09ld", name,
                     (uintmax_t)st->st_ino, (intmax_t)st->st_size,
                     (intmax_t)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);

    sum->value += amy__hash((struct amy__span){text, (size_t)n}, FNV_START);
}

/* Uploads are passed over without a look at them. */
static bool
may_tell(const struct dirent *entry)
{
    return entry->d_name[0] != '.' &&
           (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN ||
            amy__span_ends(amy__span_of(entry->d_name), AMY_SPAN(".py")));
}

static void
add_directory(struct sum *sum, int fd, unsigned depth)
{
    DIR *dir = fdopendir(fd);
    const struct dirent *entry = NULL;

    if (dir == NULL) {
        amy__close(&fd);
        return;
    }
    for (entry = readdir(dir); entry != NULL && fits(sum);
         entry = readdir(dir)) {
        struct stat st = {0};
        int below = -1;

        sum->entries++;
        if (!may_tell(entry) ||
            fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
            continue;
        }
        sum->looks++;
        if (S_ISREG(st.st_mode) &&
            amy__span_ends(amy__span_of(entry->d_name), AMY_SPAN(".py"))) {
            add_file(sum, entry->d_name, &st);
        } else if (S_ISDIR(st.st_mode) && depth > 0) {
            below = openat(dirfd(dir), entry->d_name,
                           O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        }
        if (below >= 0) {
            add_directory(sum, below, depth - 1);
        }
    }
    (void)closedir(dir);
}

/* Rather all of the upper levels than a part of each, which would depend on
 * the order of the entries. */
static void
sum_files(int repo_fd, char ret_identity[AMY__IDENTITY_BYTES])
{
    for (unsigned levels = DEPTH_MAX + 1; levels > 0; levels--) {
        int fd = openat(repo_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct sum sum = {0};

        if (fd < 0) {
            return;
        }
        add_directory(&sum, fd, levels - 1);
        if (fits(&sum)) {
            (void)snprintf(ret_identity, AMY__IDENTITY_BYTES,
                           "files %016" PRIx64, sum.value);
            return;
        }
    }
}

void
amy__identity_read(const char *path, const struct amy__identity_eyes *eyes,
                   char ret_identity[AMY__IDENTITY_BYTES])
{
    struct amy__as_user saved = {.changed = false};
    AMY_CLEANUP(amy__close_p) int repo_fd = -1;

    ret_identity[0] = '\0';
    if (!eyes->as_person &&
        amy__as_user_begin(eyes->uid, eyes->gid, &saved, NULL) < 0) {
        return;
    }
    repo_fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (repo_fd >= 0 && !read_commit(repo_fd, ret_identity)) {
        sum_files(repo_fd, ret_identity);
    }
    if (!eyes->as_person) {
        amy__as_user_end(&saved);
    }
}
