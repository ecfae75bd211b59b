/* One component's lines: which file comes next, and which line. */
/* Not for several components: reader.c. */
#include "logrotate/stream.h"

#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "logrotate/line.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Front processes write once a second, a busy machine's late. The lines of the
 * other files stand as they belong together: a worker's traceback is one piece
 * among those of others. */
#define ACCESS_SETTLES_MS 5000
#define FLAGS (O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

static const char *
file_name(const struct amy__stream *stream)
{
    return amy__log_component_file(stream->component);
}

static void
complain(const struct amy__stream *stream, const char *name, const char *why)
{
    amy__log(&stream->borrow_place->log, AMY_LOG_WARN,
             "a log is not read file=logs/%s error=\"%s\"", name, why);
}

/* A regular file of the directory, as the user whose it is. */
static int
open_file(const struct amy__stream *stream, const char *name,
          struct stat *ret_stat, struct amy_error *err)
{
    const struct amy__log_place *place = stream->borrow_place;
    AMY_CLEANUP(amy__close_p) int fd = -1;
    struct amy__as_user saved = {0};
    int failure = 0;
    int rc = amy__as_user_begin(place->uid, place->gid, &saved, err);

    if (rc < 0) {
        return rc;
    }
    fd = openat(place->dir_fd, name, FLAGS);
    failure = errno;
    amy__as_user_end(&saved);
    if (fd < 0) {
        return amy__err_sys(err, failure, "opening it");
    }
    if (fstat(fd, ret_stat) != 0 || !S_ISREG(ret_stat->st_mode)) {
        return amy__err(err, AMY_EINVAL, "it is not a regular file");
    }
    return amy__take_fd(&fd);
}

/* ---- which files there are ---- */

static const struct amy__logplan_file *
file_at(const struct amy__stream *stream, size_t i)
{
    return &stream->scan.files[stream->order[i]];
}

/* The name without what says how it is packed. */
static struct amy__span
stem_of(const struct amy__logplan_file *file)
{
    struct amy__span stem = amy__span_of(file->text);

    if (file->name.packing == AMY__LOGNAME_GZIP) {
        stem.n -= sizeof(".gz") - 1;
    } else if (file->name.packing == AMY__LOGNAME_ZSTD) {
        stem.n -= sizeof(".zst") - 1;
    }
    return stem;
}

static int
compare_stems(const void *a, const void *b)
{
    const struct amy__logplan_file *left = a;
    const struct amy__logplan_file *right = b;
    struct amy__span x = stem_of(left);
    struct amy__span y = stem_of(right);
    int order = memcmp(x.p, y.p, x.n < y.n ? x.n : y.n);

    if (order == 0 && x.n != y.n) {
        order = x.n < y.n ? -1 : 1;
    }
    return order != 0 ? order
                      : (int)left->name.packing - (int)right->name.packing;
}

static int
compare_times(const void *a, const void *b)
{
    const struct amy__logplan_file *left = a;
    const struct amy__logplan_file *right = b;

    if (left->wall_ms != right->wall_ms) {
        return left->wall_ms < right->wall_ms ? -1 : 1;
    }
    return (left->name.sequence > right->name.sequence) -
           (left->name.sequence < right->name.sequence);
}

/* Where a file is there plain and packed, the plain one counts: mark the other
 * as partial. */
static void
mark_twins(struct amy__logscan *scan)
{
    if (scan->count == 0) {
        return;
    }
    qsort(scan->files, scan->count, sizeof(*scan->files), compare_stems);
    for (size_t i = 1; i < scan->count; i++) {
        if (amy__span_eq(stem_of(&scan->files[i - 1]),
                         stem_of(&scan->files[i]))) {
            scan->files[i].name.partial = true;
        }
    }
    qsort(scan->files, scan->count, sizeof(*scan->files), compare_times);
}

/* Is it one that comes after those that were seen already? */
static bool
is_newer(const struct amy__stream *stream, const struct amy__logplan_file *file)
{
    return file->wall_ms > stream->newest_ms ||
           (file->wall_ms == stream->newest_ms &&
            file->name.sequence > stream->newest_sequence);
}

/* Choose what is to be read of the scan; before_inode: the file that was live
 * at the last look. It and what is older than it was read. */
static int
choose(struct amy__stream *stream, uint64_t before_inode, struct amy_error *err)
{
    const struct amy__logscan *scan = &stream->scan;
    size_t *order = amy__calloc(scan->count + 1, sizeof(*order));
    size_t count = 0;
    bool met = before_inode == 0;

    if (order == NULL) {
        return amy__err(err, AMY_ENOMEM, "listing logs");
    }
    for (size_t i = 0; i < scan->count; i++) {
        const struct amy__logplan_file *file = &scan->files[i];

        if (file->name.kind == AMY__LOGNAME_CURRENT || file->name.partial ||
            file->inode == stream->live_inode) {
            continue;
        }
        if (before_inode != 0 && file->inode == before_inode) {
            count = 0;
            met = true;
        } else if (is_newer(stream, file)) {
            order[count++] = i;
        }
    }
    amy__free(stream->order);
    stream->order = order;
    stream->count = count;
    /* The one that was live may be packed already, and has another inode. */
    stream->index =
        !met && count > 0 &&
                file_at(stream, 0)->name.packing != AMY__LOGNAME_PLAIN
            ? 1
            : 0;
    return 0;
}

static void
note_newest(struct amy__stream *stream)
{
    for (size_t i = 0; i < stream->scan.count; i++) {
        const struct amy__logplan_file *file = &stream->scan.files[i];

        /* One that was live a moment ago is met at the next look. */
        if (file->name.kind != AMY__LOGNAME_CURRENT &&
            file->inode != stream->live_inode && is_newer(stream, file)) {
            stream->newest_ms = file->wall_ms;
            stream->newest_sequence = file->name.sequence;
        }
    }
}

/* The live file first: if it is renamed meanwhile, it is known by its inode,
 * and no line is missed or read twice. */
static int
look(struct amy__stream *stream, struct amy_error *err)
{
    const struct amy__log_place *place = stream->borrow_place;
    struct amy__logscan_log log = {.base = amy__span_of(file_name(stream))};
    uint64_t before_inode = stream->live_inode;
    struct amy_error why = AMY_ERROR_INIT;
    struct amy__as_user saved = {0};
    struct stat st = {0};
    int rc = 0;

    amy__close(&stream->live_fd);
    stream->live_inode = 0;
    stream->live_fd = open_file(stream, file_name(stream), &st, &why);
    if (stream->live_fd >= 0) {
        stream->live_inode = st.st_ino;
    } else {
        stream->live_fd = -1;
        if (why.code != AMY_ENOTFOUND) {
            complain(stream, file_name(stream), why.msg);
        }
    }
    rc = amy__as_user_begin(place->uid, place->gid, &saved, err);
    if (rc < 0) {
        return rc;
    }
    rc = amy__logscan_read(&stream->scan, place->dir_fd, &log, 1, err);
    amy__as_user_end(&saved);
    if (rc < 0) {
        return rc;
    }
    mark_twins(&stream->scan);
    rc = choose(stream, before_inode, err);
    note_newest(stream);
    return rc;
}

/* ---- opening the next one ---- */

/* It may have been packed since it was listed. */
static int
open_packed_since(const struct amy__stream *stream,
                  const struct amy__logplan_file *file,
                  enum amy__logname_packing *ret_packing, struct amy_error *err)
{
    static const char *const suffixes[] = {"", ".gz", ".zst"};
    struct amy__span stem = stem_of(file);
    int fd = AMY_ENOTFOUND;

    for (size_t i = 0; i < 3 && fd == AMY_ENOTFOUND; i++) {
        char name[AMY__LOGNAME_SIZE + 8];
        size_t n = strlen(suffixes[i]);
        struct stat st = {0};

        if (!amy__span_copy(stem, name, sizeof(name) - n)) {
            return amy__err(err, AMY_EINVAL, "its name is too long");
        }
        memcpy(name + stem.n, suffixes[i], n + 1);
        *ret_packing = (enum amy__logname_packing)i;
        fd = open_file(stream, name, &st, err);
    }
    return fd;
}

/* The file at index; 0: there is none to read. */
static int
open_lines(struct amy__stream *stream, uint64_t offset, struct amy_error *err)
{
    enum amy__logname_packing packing = AMY__LOGNAME_PLAIN;
    int fd = -1;

    if (stream->index >= stream->count) {
        fd = stream->live_fd < 0 ? -1
                                 : fcntl(stream->live_fd, F_DUPFD_CLOEXEC, 0);
        return fd < 0
                   ? AMY_ENOTFOUND
                   : amy__lines_open(fd, packing, offset, &stream->lines, err);
    }
    fd = open_packed_since(stream, file_at(stream, stream->index), &packing,
                           err);
    return fd < 0 ? fd
                  : amy__lines_open(fd, packing,
                                    packing == AMY__LOGNAME_PLAIN ? offset : 0,
                                    &stream->lines, err);
}

/* Open what comes next, passing over what cannot be read; false: nothing is
 * left. */
static bool
open_next(struct amy__stream *stream, uint64_t offset)
{
    for (; stream->index <= stream->count; stream->index++, offset = 0) {
        struct amy_error why = AMY_ERROR_INIT;
        int rc = open_lines(stream, offset, &why);

        if (rc == 0) {
            return true;
        }
        if (stream->index == stream->count) {
            break; /* the live one: it was told when it was looked for */
        }
        if (rc != AMY_ENOTFOUND) {
            complain(stream, file_at(stream, stream->index)->text, why.msg);
        }
    }
    return false;
}

static void
drop_lines(struct amy__stream *stream)
{
    amy__lines_free(stream->lines);
    stream->lines = NULL;
}

/* ---- where to begin ---- */

/* Files that end before `since` are not opened, and of the first plain one
 * only its end is read. */
static void
start_since(struct amy__stream *stream)
{
    int64_t since_ms = stream->borrow_place->since_ms;
    struct stat st = {0};

    if (since_ms == INT64_MIN) {
        return;
    }
    since_ms -= AMY__STREAM_SLACK_MS;
    while (stream->index < stream->count &&
           file_at(stream, stream->index)->wall_ms < since_ms) {
        stream->index++;
    }
    stream->start = stream->index;
    if (stream->index == stream->count && stream->live_fd >= 0 &&
        fstat(stream->live_fd, &st) == 0) {
        stream->start_offset = amy__lines_find_time(
            stream->live_fd, (uint64_t)st.st_size, since_ms);
    } else if (open_next(stream, 0)) {
        int fd = amy__lines_fd(stream->lines);

        if (stream->index == stream->start &&
            file_at(stream, stream->index)->name.packing ==
                AMY__LOGNAME_PLAIN &&
            fstat(fd, &st) == 0) {
            stream->start_offset =
                amy__lines_find_time(fd, (uint64_t)st.st_size, since_ms);
        }
        drop_lines(stream);
    }
    stream->index = stream->start;
}

int
amy__stream_open(struct amy__stream *stream, const struct amy__log_place *place,
                 uint32_t component, struct amy_error *err)
{
    int rc = 0;

    *stream = (struct amy__stream){
        .borrow_place = place,
        .component = component,
        .live_fd = -1,
        .newest_ms = INT64_MIN,
        .last_ms = AMY_LOG_NO_TIME,
        .settle = {.window_ms = component == AMY_LOG_COMPONENT_ACCESS
                                    ? ACCESS_SETTLES_MS
                                    : 0},
    };
    rc = look(stream, err);
    if (rc == 0) {
        start_since(stream);
    }
    return rc;
}

void
amy__stream_close(struct amy__stream *stream)
{
    for (size_t i = 0; i < stream->old_count; i++) {
        amy__lines_free(stream->olds[i].lines);
    }
    stream->old_count = 0;
    drop_lines(stream);
    amy__settle_clear(&stream->settle);
    amy__close(&stream->live_fd);
    amy__free(stream->order);
    stream->order = NULL;
    amy__logscan_clear(&stream->scan);
}

/* How many lines a packed file has, which only reading tells. */
static uint64_t
count_packed(struct amy__stream *stream)
{
    struct amy__span line = {0};
    uint64_t lines = 0;
    bool cut = false;

    while (amy__lines_next(stream->lines, true, &line, &cut, NULL) > 0) {
        lines++;
    }
    return lines;
}

void
amy__stream_from_last(struct amy__stream *stream, uint64_t n)
{
    size_t first = stream->start;
    uint64_t first_offset = stream->start_offset;

    for (size_t i = stream->count + 1; i-- > first && n > 0;) {
        enum amy__logname_packing packing = AMY__LOGNAME_PLAIN;
        uint64_t offset = 0;
        uint64_t lines = 0;
        struct stat st = {0};

        stream->index = i;
        if (open_lines(stream, 0, NULL) < 0) {
            continue;
        }
        packing =
            i == stream->count ? packing : file_at(stream, i)->name.packing;
        if (packing != AMY__LOGNAME_PLAIN) {
            lines = count_packed(stream);
        } else if (fstat(amy__lines_fd(stream->lines), &st) == 0) {
            offset = amy__lines_find_last(amy__lines_fd(stream->lines),
                                          (uint64_t)st.st_size, n, &lines);
        }
        drop_lines(stream);
        stream->start = i;
        stream->start_offset =
            i == first && offset < first_offset ? first_offset : offset;
        n = lines < n ? n - lines : 0;
    }
    stream->index = stream->start;
}

void
amy__stream_rewind(struct amy__stream *stream)
{
    drop_lines(stream);
    amy__settle_clear(&stream->settle);
    stream->index = stream->start;
    stream->has_head = false;
    stream->last_ms = AMY_LOG_NO_TIME;
}

/* ---- lines ---- */

/* It waits until its turn; what there is no memory for is told. */
static void
add_line(struct amy__stream *stream, struct amy__span line, bool cut)
{
    struct amy_error why = AMY_ERROR_INIT;
    int64_t wall_ms = 0;
    bool timed = amy__log_line_time(line, &wall_ms);
    struct amy_log_line added = {
        .struct_size = sizeof(added),
        .component = stream->component,
        .continues = timed ? 0 : 1,
        .text = line.p,
        .text_bytes = line.n,
        .cut = cut ? 1 : 0,
    };

    if (timed) {
        stream->last_ms = wall_ms;
    }
    added.wall_ms = stream->last_ms;
    if (amy__settle_add(&stream->settle, &added, &why) < 0) {
        complain(stream, file_name(stream), why.msg);
    }
}

/* What writers that had not changed over yet put into renamed files. */
static bool
pull_old(struct amy__stream *stream)
{
    int64_t now_ms = amy__mono_ms(stream->borrow_place->borrow_clock);
    size_t i = 0;

    while (i < stream->old_count) {
        struct amy__stream_old *old = &stream->olds[i];
        bool over = old->until_ms <= now_ms;
        struct amy__span line = {0};
        bool cut = false;

        if (amy__lines_next(old->lines, over, &line, &cut, NULL) > 0) {
            add_line(stream, line, cut);
            return true;
        }
        if (!over) {
            i++;
            continue;
        }
        amy__lines_free(old->lines);
        stream->old_count--;
        memmove(old, old + 1, (stream->old_count - i) * sizeof(*old));
    }
    return false;
}

/* The file was read: keep it a while if it was live a moment ago. */
static void
leave_live(struct amy__stream *stream)
{
    if (stream->lines == NULL) {
        return;
    }
    if (stream->old_count == AMY__STREAM_OLD_MAX) {
        amy__lines_free(stream->olds[0].lines);
        stream->old_count--;
        memmove(stream->olds, stream->olds + 1,
                stream->old_count * sizeof(stream->olds[0]));
    }
    stream->olds[stream->old_count++] = (struct amy__stream_old){
        .lines = stream->lines,
        .until_ms = amy__mono_ms(stream->borrow_place->borrow_clock) +
                    AMY__STREAM_OLD_MS,
    };
    stream->lines = NULL;
}

/* One more line of the files; false: there is none, or none yet. */
static bool
read_line(struct amy__stream *stream)
{
    if (stream->old_count > 0 && pull_old(stream)) {
        return true;
    }
    while (stream->lines != NULL ||
           open_next(stream, stream->index == stream->start
                                 ? stream->start_offset
                                 : 0)) {
        bool live = stream->index >= stream->count;
        struct amy_error why = AMY_ERROR_INIT;
        struct amy__span line = {0};
        bool cut = false;
        int rc = amy__lines_next(stream->lines,
                                 !live || !stream->borrow_place->follow, &line,
                                 &cut, &why);

        if (rc > 0) {
            add_line(stream, line, cut);
            return true;
        }
        if (rc < 0) {
            complain(stream,
                     live ? file_name(stream)
                          : file_at(stream, stream->index)->text,
                     why.msg);
        }
        if (live) {
            return false;
        }
        drop_lines(stream);
        stream->index++;
    }
    return false;
}

bool
amy__stream_pull(struct amy__stream *stream)
{
    while (!amy__settle_is_due(&stream->settle) && read_line(stream)) {
    }
    stream->has_head = amy__settle_take(&stream->settle, &stream->head);
    return stream->has_head;
}

bool
amy__stream_turn(struct amy__stream *stream)
{
    const struct amy__log_place *place = stream->borrow_place;
    struct amy__as_user saved = {0};
    struct stat st = {0};
    bool other = false;

    if (amy__as_user_begin(place->uid, place->gid, &saved, NULL) < 0) {
        return false;
    }
    other = fstatat(place->dir_fd, file_name(stream), &st,
                    AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(st.st_mode) && st.st_ino != stream->live_inode;
    amy__as_user_end(&saved);
    if (!other) {
        return false;
    }
    leave_live(stream);
    stream->start = SIZE_MAX; /* no second reading begins here */
    return look(stream, NULL) == 0;
}
