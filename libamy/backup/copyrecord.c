/* Remembers what lies at a copy. */
/* Not for looking there: copy.c does, and corrects it. */
#include "backup/copyrecord.h"

#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"
#include "core/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORMAT 1
#define RECORD_MAX ((size_t)4 * 1024 * 1024)

/* --- the list --- */

void
amy__copy_record_clear(struct amy__copy_record *record)
{
    amy__free(record->items);
    *record = (struct amy__copy_record){.items = NULL};
}

struct amy__copy_entry *
amy__copy_record_find(const struct amy__copy_record *record, const char *name)
{
    for (size_t i = 0; i < record->count; i++) {
        if (strcmp(record->items[i].name, name) == 0) {
            return &record->items[i];
        }
    }
    return NULL;
}

static bool
is_full(size_t count)
{
    return (count & (count - 1)) == 0; /* a power of two: time to double */
}

int
amy__copy_record_put(struct amy__copy_record *record,
                     const struct amy__copy_entry *entry, struct amy_error *err)
{
    struct amy__copy_entry *items = amy__copy_record_find(record, entry->name);
    size_t n = record->count;
    size_t at = 0;

    if (items != NULL) {
        *items = *entry;
        return 0;
    }
    if (n == AMY__SETS_MAX) {
        return amy__err(err, AMY_ELIMIT, "more than %d sets at a copy",
                        AMY__SETS_MAX);
    }
    if (is_full(n)) {
        items =
            amy__realloc(record->items, (n == 0 ? 1 : n * 2) * sizeof(*items));
        if (items == NULL) {
            return amy__err(err, AMY_ENOMEM, "reading about a copy");
        }
        record->items = items;
    }
    items = record->items;
    while (at < n && amy__stamp_compare(items[at].name, entry->name) > 0) {
        at++;
    }
    memmove(&items[at + 1], &items[at], (n - at) * sizeof(*items));
    items[at] = *entry;
    record->count++;
    return 0;
}

void
amy__copy_record_drop(struct amy__copy_record *record, const char *name)
{
    struct amy__copy_entry *entry = amy__copy_record_find(record, name);

    if (entry != NULL) {
        size_t at = (size_t)(entry - record->items);

        record->count--;
        memmove(entry, entry + 1, (record->count - at) * sizeof(*entry));
    }
}

/* --- JSON --- */

static bool
copy_text(const struct amy__json *json, const char *key, char *ret, size_t size)
{
    const char *text = amy__json_get_text(json, key, NULL);

    return text != NULL && amy__span_copy(amy__span_of(text), ret, size);
}

static bool
is_stamp(const char *name)
{
    int64_t wall_ms = 0;
    unsigned sequence = 0;

    return amy__stamp_parse(amy__span_of(name), &wall_ms, &sequence);
}

static bool
read_entry(const struct amy__json *json, struct amy__copy_entry *ret)
{
    const char *proven = amy__json_get_text(json, "proven", NULL);
    int64_t bytes = amy__json_get_int(json, "bytes", -1);

    *ret = (struct amy__copy_entry){
        .pinned = amy__json_get_bool(json, "pinned", false),
        .deploy = amy__json_get_bool(json, "deploy", false),
        .bad = amy__json_get_bool(json, "bad", false),
        .bytes = (uint64_t)bytes,
        .proven_ms = AMY__MANIFEST_NO_TIME};
    ret->proven = proven != NULL;
    return bytes >= 0 &&
           (proven == NULL ||
            amy__civil_parse(amy__span_of(proven), &ret->proven_ms)) &&
           copy_text(json, "name", ret->name, sizeof(ret->name)) &&
           is_stamp(ret->name) &&
           copy_text(json, "data", ret->data, sizeof(ret->data)) &&
           copy_text(json, "manifest", ret->manifest, sizeof(ret->manifest));
}

int
amy__copy_record_read(struct amy__span text, struct amy__copy_record *ret,
                      struct amy_error *err)
{
    AMY_CLEANUP(amy__json_free_p) struct amy__json *json = NULL;
    const struct amy__json *sets = NULL;
    struct amy__copy_entry entry;
    int rc = 0;

    *ret = (struct amy__copy_record){.items = NULL};
    rc = amy__json_parse(text, &json, err);
    if (rc < 0) {
        return rc;
    }
    sets = amy__json_get(json, "sets");
    if (amy__json_get_int(json, "format", 0) != FORMAT ||
        !amy__json_is_array(sets) ||
        !copy_text(json, "sending", ret->sending, sizeof(ret->sending)) ||
        (amy__json_get(json, "place") != NULL &&
         !copy_text(json, "place", ret->place, sizeof(ret->place))) ||
        (ret->sending[0] != '\0' && !is_stamp(ret->sending))) {
        return amy__err(err, AMY_EPARSE, "not a record of a copy");
    }
    for (size_t i = 0; i < amy__json_count(sets) && rc == 0; i++) {
        rc = read_entry(amy__json_at(sets, i), &entry)
                 ? amy__copy_record_put(ret, &entry, err)
                 : amy__err(err, AMY_EPARSE, "not a record of a copy");
    }
    return rc;
}

static struct amy__json *
entry_json(const struct amy__copy_entry *entry)
{
    struct amy__json *json = amy__json_object();
    char time[25];

    (void)amy__json_set(json, "name", amy__json_text(entry->name));
    (void)amy__json_set(
        json, "proven",
        entry->proven ? amy__json_text(amy__format_time(entry->proven_ms, time))
                      : amy__json_null());
    (void)amy__json_set(json, "bad", amy__json_bool(entry->bad));
    (void)amy__json_set(json, "bytes", amy__json_int((int64_t)entry->bytes));
    (void)amy__json_set(json, "pinned", amy__json_bool(entry->pinned));
    (void)amy__json_set(json, "deploy", amy__json_bool(entry->deploy));
    (void)amy__json_set(json, "data", amy__json_text(entry->data));
    if (amy__json_set(json, "manifest", amy__json_text(entry->manifest)) < 0) {
        amy__json_free(json);
        return NULL;
    }
    return json;
}

int
amy__copy_record_write(const struct amy__copy_record *record,
                       struct amy__buf *out, struct amy_error *err)
{
    AMY_CLEANUP(amy__json_free_p) struct amy__json *json = amy__json_object();
    struct amy__json *sets = amy__json_array();
    int rc = amy__json_set(json, "format", amy__json_int(FORMAT));

    rc |= amy__json_set(json, "place", amy__json_text(record->place));
    rc |= amy__json_set(json, "sending", amy__json_text(record->sending));
    for (size_t i = 0; i < record->count; i++) {
        rc |= amy__json_add(sets, entry_json(&record->items[i]));
    }
    rc |= amy__json_set(json, "sets", sets);
    rc = rc == 0 ? amy__json_write(json, 1, out) : AMY_ENOMEM;
    return rc == 0 ? 0 : amy__err(err, rc, "writing about a copy");
}

/* --- files --- */

int
amy__copies_open(int sets_fd, struct amy_error *err)
{
    int fd = -1;

    if (mkdirat(sets_fd, AMY__SETS_COPIES, 0700) != 0 && errno != EEXIST) {
        return amy__err_sys(err, errno, "making " AMY__SETS_COPIES);
    }
    fd = openat(sets_fd, AMY__SETS_COPIES,
                O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? amy__err_sys(err, errno, "opening " AMY__SETS_COPIES) : fd;
}

int
amy__copies_lock(int copies_fd, const char *copy, struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int fd = -1;
    char name[AMY__COPY_NAME_SIZE + 8];

    (void)snprintf(name, sizeof(name), "%s.lock", copy);
    fd = openat(copies_fd, name,
                O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    if (fd < 0) {
        return amy__err_sys(err, errno, "opening '%s'", name);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK
                   ? amy__err(err, AMY_EBUSY, "another job works at the copy")
                   : amy__err_sys(err, errno, "locking '%s'", name);
    }
    return amy__take_fd(&fd);
}

static void
file_name(const char *copy, char buf[], size_t size)
{
    (void)snprintf(buf, size, "%s.json", copy);
}

/* Under a second name, for whoever wants to know. */
static void
set_aside(int copies_fd, const char *name)
{
    char bad[AMY__COPY_NAME_SIZE + 16];
    int linked = 0;

    (void)snprintf(bad, sizeof(bad), "%s.bad", name);
    if (unlinkat(copies_fd, bad, 0) != 0 && errno != ENOENT) {
        return;
    }
    linked = linkat(copies_fd, name, copies_fd, bad, 0);
    (void)linked; /* not every file system can */
}

int
amy__copies_load(int sets_fd, const char *copy, const char *place,
                 struct amy__copy_record *ret, struct amy_error *err)
{
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf text = {NULL, 0, 0, 0};
    AMY_CLEANUP(amy__close_p)
    int fd = openat(sets_fd, AMY__SETS_COPIES,
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    char name[AMY__COPY_NAME_SIZE + 8];
    int rc = 0;

    *ret = (struct amy__copy_record){.items = NULL};
    if (fd < 0) {
        return errno == ENOENT
                   ? 0
                   : amy__err_sys(err, errno, "opening " AMY__SETS_COPIES);
    }
    file_name(copy, name, sizeof(name));
    amy__buf_init(&text, RECORD_MAX);
    rc = amy__read_file_at(fd, name, RECORD_MAX, &text, NULL, err);
    if (rc < 0) {
        return rc == AMY_ENOTFOUND ? 0 : rc;
    }
    rc = amy__copy_record_read(amy__buf_span(&text), ret, err);
    if (rc < 0 || (place[0] != '\0' && strcmp(ret->place, place) != 0)) {
        amy__copy_record_clear(ret);
    }
    if (rc == AMY_EPARSE) {
        set_aside(fd, name);
        return 0;
    }
    return rc;
}

int
amy__copies_save(int copies_fd, const char *copy,
                 const struct amy__copy_record *record, struct amy_error *err)
{
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf text = {NULL, 0, 0, 0};
    char name[AMY__COPY_NAME_SIZE + 8];
    int rc = 0;

    amy__buf_init(&text, RECORD_MAX);
    rc = amy__copy_record_write(record, &text, err);
    file_name(copy, name, sizeof(name));
    return rc < 0 ? rc
                  : amy__write_file_at(copies_fd, name, text.data, text.len,
                                       0600, err);
}
