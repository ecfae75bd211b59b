/* Copies in a bucket of S3, or of what is like it. */
/* Not for knowing which sets belong there: copy.c. */
#include "backup/awskeys.h"
#include "backup/s3upload.h"
#include "backup/s3xml.h"
#include "backup/store.h"
#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RANGE (UINT64_C(4) * 1024 * 1024)
#define ANSWER_MAX ((size_t)64 * 1024)
#define LIST_MAX ((size_t)4 * 1024 * 1024) /* a page of 1000 */
#define PAGES_MAX 1000
#define TOKEN_SIZE 2049
#define QUERY_SIZE (6 * TOKEN_SIZE + 3 * AMY__S3_KEY_SIZE + 128)
#define STRANGERS_MS INT64_C(86400000)

/* What there is of a set. */
struct found {
    char name[AMY__STAMP_SIZE];
    bool complete;      /* it has a manifest */
    uint64_t bytes;     /* of all but that */
    int64_t changed_ms; /* when the newest of it was put there */
};

struct s3_store {
    struct amy__store store;
    struct amy__s3 *s3;
    char place[256]; /* "prefix/", or "" */
    struct found *found;
    size_t count;
    bool looked;
};

static const char *const files_of_a_set[] = {AMY__MANIFEST_NAME, AMY__SET_DATA,
                                             AMY__SET_ROLES};
#define FILE_COUNT (sizeof(files_of_a_set) / sizeof(files_of_a_set[0]))

static struct s3_store *
self_of(struct amy__store *store)
{
    return (struct s3_store *)store;
}

static void
make_key(const struct s3_store *self, const char *name, const char *file,
         char buf[AMY__S3_KEY_SIZE])
{
    (void)snprintf(buf, AMY__S3_KEY_SIZE, "%s%s/%s", self->place, name, file);
}

/* The set and the file of a key; false: it is none of ours. */
static bool
split_key(const struct s3_store *self, const char *key,
          char name[AMY__STAMP_SIZE], const char **ret_file)
{
    struct amy__span rest = amy__span_of(key);
    struct amy__span stamp = {NULL, 0};
    size_t n = strlen(self->place);
    int64_t wall_ms = 0;
    unsigned sequence = 0;

    if (!amy__span_starts(rest, amy__span_of(self->place))) {
        return false;
    }
    rest.p += n;
    rest.n -= n;
    if (!amy__span_split(&rest, '/', &stamp) || rest.p == NULL ||
        !amy__stamp_parse(stamp, &wall_ms, &sequence) ||
        !amy__span_copy(stamp, name, AMY__STAMP_SIZE)) {
        return false;
    }
    for (size_t i = 0; i < FILE_COUNT; i++) {
        if (amy__span_eq(rest, amy__span_of(files_of_a_set[i]))) {
            *ret_file = files_of_a_set[i];
            return true;
        }
    }
    return false;
}

/* --- lists, page by page --- */

/* An object, or an upload. */
struct entry {
    char key[1025];
    char upload[AMY__S3_UPLOAD_SIZE];
    int64_t time_ms; /* INT64_MAX: it does not say */
    uint64_t bytes;
};

struct page {
    struct s3_store *self;
    int (*take)(struct s3_store *self, const struct entry *entry, void *user,
                struct amy_error *err);
    void *user;
    struct entry entry;
    bool more;
    char next[TOKEN_SIZE];        /* a token, or a key */
    char next_upload[TOKEN_SIZE]; /* of uploads */
};

static const char *
last_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

static bool
is(const char *path, const char *name)
{
    return strcmp(last_of(path), name) == 0;
}

static void
keep(const char *text, char *buf, size_t size)
{
    (void)amy__span_copy(amy__span_of(text), buf, size);
}

/* The names differ enough for both kinds of list to share this. */
static int
take_element(const char *path, const char *text, void *user,
             struct amy_error *err)
{
    struct page *page = user;
    struct entry *entry = &page->entry;
    int rc = 0;

    if (is(path, "Key")) {
        keep(text, entry->key, sizeof(entry->key));
    } else if (is(path, "UploadId")) {
        keep(text, entry->upload, sizeof(entry->upload));
    } else if (is(path, "LastModified") || is(path, "Initiated")) {
        if (!amy__aws_time(text, &entry->time_ms)) {
            entry->time_ms = INT64_MAX;
        }
    } else if (is(path, "Size")) {
        (void)amy__parse_u64(amy__span_of(text), INT64_MAX, &entry->bytes);
    } else if (is(path, "IsTruncated")) {
        page->more = strcmp(text, "true") == 0;
    } else if (is(path, "NextContinuationToken") || is(path, "NextKeyMarker")) {
        keep(text, page->next, sizeof(page->next));
    } else if (is(path, "NextUploadIdMarker")) {
        keep(text, page->next_upload, sizeof(page->next_upload));
    } else if (is(path, "Contents") || is(path, "Upload")) {
        rc = page->take(page->self, entry, page->user, err);
        *entry = (struct entry){.time_ms = INT64_MAX};
    }
    return rc;
}

static int
read_page(struct page *page, const char *query, struct amy_error *err)
{
    AMY_CLEANUP(amy__fetch_got_clear_p)
    struct amy__fetch_got got = {.status = 0};
    const struct amy__s3_request request = {
        .method = "GET", .query = query, .answer_max = LIST_MAX};
    int rc = amy__s3_ask(page->self->s3, &request, &got, err);

    page->more = false;
    page->entry = (struct entry){.time_ms = INT64_MAX};
    return rc < 0 ? rc
                  : amy__s3xml_read(amy__buf_span(&got.body), take_element,
                                    page, err);
}

/* Escaped, and sorted as a signature wants it. */
static bool
write_query(const struct page *page, const char *prefix, bool uploads,
            char buf[QUERY_SIZE])
{
    char next[3 * TOKEN_SIZE];
    char next_upload[3 * TOKEN_SIZE];
    char escaped[3 * AMY__S3_KEY_SIZE];
    bool first = page->next[0] == '\0';

    if (!amy__s3_escape(page->next, next, sizeof(next)) ||
        !amy__s3_escape(page->next_upload, next_upload, sizeof(next_upload)) ||
        !amy__s3_escape(prefix, escaped, sizeof(escaped))) {
        return false;
    }
    if (uploads) {
        (void)snprintf(
            buf, QUERY_SIZE,
            "%s%s%sprefix=%s%s%s&uploads=", first ? "" : "key-marker=", next,
            first ? "" : "&", escaped,
            first ? "" : "&upload-id-marker=", first ? "" : next_upload);
    } else {
        (void)snprintf(buf, QUERY_SIZE, "%s%s%slist-type=2&prefix=%s",
                       first ? "" : "continuation-token=", next,
                       first ? "" : "&", escaped);
    }
    return true;
}

/* Every object, or upload, whose key begins with prefix. */
static int
each_entry(struct page *page, const char *prefix, bool uploads,
           struct amy_error *err)
{
    char *query = amy__calloc(1, QUERY_SIZE);
    int rc = query == NULL ? amy__err(err, AMY_ENOMEM, "listing a bucket") : 0;

    page->more = true;
    for (unsigned i = 0; rc == 0 && page->more; i++) {
        if (i == PAGES_MAX || !write_query(page, prefix, uploads, query)) {
            rc = amy__err(err, AMY_ELIMIT,
                          "there is too much beside the copy to list");
        }
        page->next[0] = '\0'; /* this page says where the next one begins */
        page->next_upload[0] = '\0';
        rc = rc < 0 ? rc : read_page(page, query, err);
        if (rc == 0 && page->more && page->next[0] == '\0') {
            rc = amy__err(err, AMY_EPROTO, "a list that goes on nowhere");
        }
    }
    amy__free(query);
    return rc;
}

/* --- sets --- */

/* Nearly always the last: most servers sort. Not all of them. */
static struct found *
seen(const struct s3_store *self, const char *name)
{
    for (size_t i = self->count; i-- > 0;) {
        if (strcmp(self->found[i].name, name) == 0) {
            return &self->found[i];
        }
    }
    return NULL;
}

static struct found *
find(struct s3_store *self, const char *name, struct amy_error *err)
{
    struct found *more = NULL;
    size_t n = self->count;

    more = seen(self, name);
    if (more != NULL) {
        return more;
    }
    if (n == AMY__SETS_MAX) {
        (void)amy__err(err, AMY_ELIMIT, "more than %d sets at a copy",
                       AMY__SETS_MAX);
        return NULL;
    }
    if ((n & (n - 1)) == 0) {
        more = amy__realloc(self->found, (n == 0 ? 1 : n * 2) * sizeof(*more));
        if (more == NULL) {
            (void)amy__err(err, AMY_ENOMEM, "listing a bucket");
            return NULL;
        }
        self->found = more;
    }
    more = &self->found[self->count++];
    *more = (struct found){.changed_ms = INT64_MIN};
    (void)snprintf(more->name, sizeof(more->name), "%s", name);
    return more;
}

static int
take_object(struct s3_store *self, const struct entry *entry, void *user,
            struct amy_error *err)
{
    char name[AMY__STAMP_SIZE];
    const char *file = NULL;
    struct found *found = NULL;

    (void)user;
    if (!split_key(self, entry->key, name, &file)) {
        return 0;
    }
    found = find(self, name, err);
    if (found == NULL) {
        return err == NULL || err->code == 0 ? AMY_ENOMEM : err->code;
    }
    if (strcmp(file, AMY__MANIFEST_NAME) == 0) {
        found->complete = true;
    } else {
        found->bytes += entry->bytes;
    }
    if (entry->time_ms > found->changed_ms) {
        found->changed_ms = entry->time_ms;
    }
    return 0;
}

/* Once for each job: what it changes itself it knows. */
static int
look(struct s3_store *self, struct amy_error *err)
{
    struct page *page = NULL;
    int rc = 0;

    if (self->looked) {
        return 0;
    }
    page = amy__calloc(1, sizeof(*page));
    if (page == NULL) {
        return amy__err(err, AMY_ENOMEM, "listing a bucket");
    }
    page->self = self;
    page->take = take_object;
    rc = each_entry(page, self->place, false, err);
    amy__free(page);
    self->looked = rc == 0;
    return rc;
}

static int
list(struct amy__store *store, amy__store_name_fn fn, void *user,
     struct amy_error *err)
{
    struct s3_store *self = self_of(store);
    int rc = look(self, err);

    for (size_t i = 0; i < self->count && rc == 0; i++) {
        if (self->found[i].complete) {
            rc = fn(self->found[i].name, self->found[i].bytes, user, err);
        }
    }
    return rc;
}

/* --- what a place can do --- */

static int
manifest(struct amy__store *store, const char *name, struct amy__buf *out,
         struct amy_error *err)
{
    AMY_CLEANUP(amy__fetch_got_clear_p)
    struct amy__fetch_got got = {.status = 0};
    char key[AMY__S3_KEY_SIZE];
    const struct amy__s3_request request = {
        .method = "GET", .key = key, .answer_max = AMY__MANIFEST_MAX};
    int rc = 0;

    make_key(self_of(store), name, AMY__MANIFEST_NAME, key);
    rc = amy__s3_ask(self_of(store)->s3, &request, &got, err);
    if (rc == 0 && amy__buf_append_span(out, amy__buf_span(&got.body)) < 0) {
        return amy__err(err, AMY_ENOMEM, "reading a manifest");
    }
    return rc;
}

static int
save(struct amy__store *store, const struct amy__manifest *m,
     struct amy_error *err)
{
    AMY_CLEANUP(amy__fetch_got_clear_p)
    struct amy__fetch_got got = {.status = 0};
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf text = {NULL, 0, 0, 0};
    char key[AMY__S3_KEY_SIZE];
    struct amy__s3_request request = {
        .method = "PUT",
        .key = key,
        .fields = {"Content-Type: application/json"},
        .answer_max = ANSWER_MAX};
    int rc = 0;

    amy__buf_init(&text, AMY__MANIFEST_MAX);
    rc = amy__manifest_write(m, &text, err);
    make_key(self_of(store), m->name, AMY__MANIFEST_NAME, key);
    request.body = amy__buf_span(&text);
    return rc < 0 ? rc : amy__s3_ask(self_of(store)->s3, &request, &got, err);
}

static int
remove_file(struct s3_store *self, const char *name, const char *file,
            struct amy_error *err)
{
    AMY_CLEANUP(amy__fetch_got_clear_p)
    struct amy__fetch_got got = {.status = 0};
    char key[AMY__S3_KEY_SIZE];
    const struct amy__s3_request request = {
        .method = "DELETE", .key = key, .answer_max = ANSWER_MAX};
    int rc = 0;

    make_key(self, name, file, key);
    rc = amy__s3_ask(self->s3, &request, &got, err);
    return rc == AMY_ENOTFOUND ? 0 : rc;
}

static int
remove_set(struct amy__store *store, const char *name, struct amy_error *err)
{
    struct found *there = seen(self_of(store), name);
    int rc = 0;

    for (size_t i = 0; i < FILE_COUNT && rc == 0; i++) { /* manifest first */
        rc = remove_file(self_of(store), name, files_of_a_set[i], err);
    }
    if (rc == 0 && there != NULL) {
        there->complete = false;
    }
    return rc;
}

static int
put_file(struct s3_store *self, const char *name,
         const struct amy__manifest_file *file, int set_fd,
         struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p)
    int fd = openat(set_fd, file->name,
                    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    char key[AMY__S3_KEY_SIZE];

    if (fd < 0) {
        return amy__err_sys(err, errno, "opening '%s'", file->name);
    }
    make_key(self, name, file->name, key);
    return amy__s3_upload(self->s3, self->store.job, key, file, fd, err);
}

static int
put(struct amy__store *store, const struct amy__manifest *m, int set_fd,
    struct amy_error *err)
{
    struct s3_store *self = self_of(store);
    const struct found *there = seen(self, m->name);
    int rc = 0;

    if (there != NULL && there->complete) {
        return amy__err(err, AMY_EEXIST, "'%s' is somebody else's there",
                        m->name);
    }
    for (size_t i = 0; i < m->file_count && rc == 0; i++) {
        rc = put_file(self, m->name, &m->files[i], set_fd, err);
    }
    rc = rc < 0 ? rc : save(store, m, err);
    if (rc < 0 && amy__s3_answers(rc)) {
        (void)remove_set(store, m->name, NULL);
    }
    return rc;
}

/* --- reading --- */

/* "bytes 0-4194303/10485760": of a file that has so many. */
static bool
is_range_of(const struct amy__fetch_got *got, uint64_t bytes)
{
    struct amy__span rest =
        amy__fetch_field(amy__buf_span(&got->head), "content-range");
    struct amy__span first = {NULL, 0};
    uint64_t all = 0;

    return amy__span_split(&rest, '/', &first) &&
           amy__parse_u64(rest, UINT64_MAX, &all) && all == bytes;
}

static int
read_range(struct s3_store *self, const char *key,
           const struct amy__manifest_file *file, uint64_t offset, uint64_t n,
           struct amy__fetch_got *ret, struct amy_error *err)
{
    char range[96];
    const struct amy__s3_request request = {
        .method = "GET", .key = key, .fields = {range}, .answer_max = RANGE};
    int rc = 0;

    (void)snprintf(range, sizeof(range), "Range: bytes=%" PRIu64 "-%" PRIu64,
                   offset, offset + n - 1);
    rc = amy__s3_ask(self->s3, &request, ret, err);
    if (rc == AMY_ELIMIT || ret->status == 416 ||
        (rc == 0 && (ret->status != 206 || ret->body.len != n ||
                     !is_range_of(ret, file->bytes)))) {
        return amy__err(err, AMY_EPARSE, "%s has not %" PRIu64 " bytes",
                        file->name, file->bytes);
    }
    return rc;
}

static int
read_file(struct amy__store *store, const char *name,
          const struct amy__manifest_file *file, amy__store_sink_fn fn,
          void *user, struct amy_error *err)
{
    char key[AMY__S3_KEY_SIZE];
    int rc = 0;

    make_key(self_of(store), name, file->name, key);
    for (uint64_t at = 0; at < file->bytes && rc == 0; at += RANGE) {
        AMY_CLEANUP(amy__fetch_got_clear_p)
        struct amy__fetch_got got = {.status = 0};
        uint64_t left = file->bytes - at;

        rc = read_range(self_of(store), key, file, at,
                        left < RANGE ? left : RANGE, &got, err);
        rc = rc < 0 ? rc : fn(amy__buf_span(&got.body), user, err);
    }
    return rc;
}

/* --- sweeping --- */

/* Ours, or so old that nobody is at it any more. */
static int
take_upload(struct s3_store *self, const struct entry *entry, void *user,
            struct amy_error *err)
{
    const char *sending = user;
    int64_t now_ms = amy__wall_ms(self->store.job->borrow_clock);
    char name[AMY__STAMP_SIZE];
    const char *file = NULL;
    bool old =
        entry->time_ms != INT64_MAX && now_ms - entry->time_ms > STRANGERS_MS;
    int rc = 0;

    if (!split_key(self, entry->key, name, &file) ||
        (!old && strcmp(name, sending) != 0)) {
        return 0;
    }
    rc = amy__s3_abort(self->s3, entry->key, entry->upload, err);
    if (rc == 0) {
        amy__job_log(self->store.job, "an upload of %s to %s was left over",
                     name, self->store.job->spec.copy.name);
    }
    return rc == AMY_ENOTFOUND ? 0 : rc;
}

static int
sweep_uploads(struct s3_store *self, const char *prefix, const char *sending,
              struct amy_error *err)
{
    char name[AMY__STAMP_SIZE];
    struct page *page = amy__calloc(1, sizeof(*page));
    int rc = 0;

    if (page == NULL) {
        return amy__err(err, AMY_ENOMEM, "listing a bucket");
    }
    (void)snprintf(name, sizeof(name), "%s", sending);
    page->self = self;
    page->take = take_upload;
    page->user = name;
    rc = each_entry(page, prefix, true, err);
    amy__free(page);
    return rc;
}

/* Without a manifest it is no set. */
static int
sweep_objects(struct s3_store *self, const char *sending, struct amy_error *err)
{
    int64_t now_ms = amy__wall_ms(self->store.job->borrow_clock);
    int rc = 0;

    for (size_t i = 0; i < self->count && rc == 0; i++) {
        const struct found *found = &self->found[i];

        if (!found->complete && (strcmp(found->name, sending) == 0 ||
                                 (found->changed_ms != INT64_MAX &&
                                  now_ms - found->changed_ms > STRANGERS_MS))) {
            rc = remove_set(&self->store, found->name, err);
        }
    }
    return rc;
}

/* By the whole key first: some servers list no uploads by less of it. */
static int
sweep(struct amy__store *store, const char *sending, struct amy_error *err)
{
    struct s3_store *self = self_of(store);
    int rc = look(self, err);

    for (size_t i = 1; i < FILE_COUNT && rc == 0 && sending[0] != '\0'; i++) {
        char key[AMY__S3_KEY_SIZE];

        make_key(self, sending, files_of_a_set[i], key);
        rc = sweep_uploads(self, key, sending, err);
    }
    rc = rc < 0 ? rc : sweep_uploads(self, self->place, sending, err);
    return rc < 0 ? rc : sweep_objects(self, sending, err);
}

/* --- opening --- */

static void
close_store(struct amy__store *store)
{
    struct s3_store *self = self_of(store);

    amy__s3_free(self->s3);
    amy__free(self->found);
    amy__free(self);
}

int
amy__store_s3_open(struct amy__job *job, struct amy__store **ret_store,
                   struct amy_error *err)
{
    static const struct amy__store_ops ops = {
        .sweep = sweep,
        .list = list,
        .manifest = manifest,
        .put = put,
        .save = save,
        .read = read_file,
        .remove = remove_set,
        .close = close_store,
    };
    AMY_CLEANUP(amy__store_close_p) struct amy__store *store = NULL;
    struct s3_store *self = amy__calloc(1, sizeof(*self));
    const char *slash = strchr(job->spec.copy.s3, '/');
    int rc = 0;

    if (self == NULL) {
        return amy__err(err, AMY_ENOMEM, "opening a copy");
    }
    store = &self->store;
    *store = (struct amy__store){.ops = &ops, .job = job};
    if (slash != NULL && snprintf(self->place, sizeof(self->place), "%s/",
                                  slash + 1) >= (int)sizeof(self->place)) {
        return amy__err(err, AMY_EINVAL, "the copy's prefix is too long");
    }
    rc = amy__s3_create(job, &self->s3, err);
    if (rc < 0) {
        return rc;
    }
    *ret_store = AMY_TAKE(store);
    return 0;
}
