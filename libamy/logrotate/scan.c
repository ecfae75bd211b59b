/* Reads a directory into the facts that logrotate/plan.c judges. */
/* Not for opening any of the files. */
#include "logrotate/scan.h"

#include "core/alloc.h"
#include "core/error.h"
#include "core/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

void
amy__logscan_clear(struct amy__logscan *scan)
{
    for (size_t i = 0; i < scan->count; i++) {
        amy__free(scan->files[i].text);
    }
    amy__free(scan->files);
    *scan = (struct amy__logscan){.files = NULL};
}

static int
make_room(struct amy__logscan *scan, struct amy_error *err)
{
    size_t room = scan->room == 0 ? 32 : scan->room * 2;
    struct amy__logplan_file *grown = NULL;

    if (scan->count < scan->room) {
        return 0;
    }
    grown = amy__realloc(scan->files, room * sizeof(*grown));
    if (grown == NULL) {
        return amy__err(err, AMY_ENOMEM, "listing logs");
    }
    scan->files = grown;
    scan->room = room;
    return 0;
}

static int
add_file(struct amy__logscan *scan, int dir_fd, const char *text,
         struct amy__logplan_file *file, struct amy_error *err)
{
    struct stat st = {0};
    int rc = 0;

    if (fstatat(dir_fd, text, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISREG(st.st_mode)) {
        return 0;
    }
    rc = make_room(scan, err);
    if (rc < 0) {
        return rc;
    }
    file->text = amy__strdup(text);
    if (file->text == NULL) {
        return amy__err(err, AMY_ENOMEM, "listing logs");
    }
    file->bytes = (uint64_t)st.st_size;
    file->inode = st.st_ino;
    file->wall_ms = file->name.kind == AMY__LOGNAME_ROTATED
                        ? file->name.wall_ms
                        : (int64_t)st.st_mtim.tv_sec * 1000;
    scan->files[scan->count++] = *file;
    return 0;
}

static int
add_entry(struct amy__logscan *scan, int dir_fd, const char *text,
          const struct amy__logscan_log *logs, size_t log_count,
          struct amy_error *err)
{
    for (size_t i = 0; i < log_count; i++) {
        struct amy__logplan_file file = {.log = (uint32_t)i,
                                         .others = logs[i].others};

        if (amy__logname_parse(amy__span_of(text), logs[i].base, &file.name)) {
            return add_file(scan, dir_fd, text, &file, err);
        }
    }
    return 0;
}

int
amy__logscan_read(struct amy__logscan *scan, int dir_fd,
                  const struct amy__logscan_log *logs, size_t log_count,
                  struct amy_error *err)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry = NULL;
    size_t entries = 0;
    int rc = 0;

    if (dir == NULL) {
        rc = amy__err_sys(err, errno, "listing logs");
        amy__close(&fd);
        return rc;
    }
    amy__logscan_clear(scan);
    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        if (++entries > AMY__LOGSCAN_ENTRIES_MAX) {
            scan->cut = true;
            break;
        }
        rc = add_entry(scan, dir_fd, entry->d_name, logs, log_count, err);
    }
    (void)closedir(dir);
    return rc;
}
