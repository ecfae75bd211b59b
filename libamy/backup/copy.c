/* Copies off the host: brought up to date, and read back. */
/* Not for how a place is reached (store_*.c), what belongs there (copyplan.c),
 * or bringing one home (copyfetch.c). */
#include "backup/copy.h"

#include "backup/copyplan.h"
#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/error.h"
#include "core/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

AMY_DEFINE_CLEANUP(struct amy__sha256 *, amy__sha256_free)

struct work {
    struct amy__job *job;
    int copies_fd;
    int lock_fd;
    struct amy__copy_record record;
    struct amy__store *store;
    struct amy_error failed; /* the first set that could not be copied */
    struct amy__json *copied;
    struct amy__json *removed;
};

static void
work_clear(struct work *work)
{
    amy__store_close(work->store);
    amy__copy_record_clear(&work->record);
    amy__close(&work->lock_fd);
    amy__close(&work->copies_fd);
    amy__json_free(work->copied);
    amy__json_free(work->removed);
}

static int
pass(struct amy_error *err, const struct amy_error *why)
{
    if (err != NULL) {
        *err = *why;
    }
    return why->code;
}

static int
save_record(struct work *work, struct amy_error *err)
{
    return amy__copies_save(work->copies_fd, work->job->spec.copy.name,
                            &work->record, err);
}

/* --- a manifest there --- */

static int
hash_of(struct amy__span text, char ret_hex[65], struct amy_error *err)
{
    uint8_t digest[32];
    int rc = amy__sha256(text.p, text.n, digest, err);

    if (rc == 0) {
        amy__hex(digest, sizeof(digest), ret_hex);
    }
    return rc;
}

/* As we write it: what lies there is the same, or older. */
static int
hash_manifest(const struct amy__manifest *manifest, char ret_hex[65],
              struct amy_error *err)
{
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf text = {NULL, 0, 0, 0};
    int rc = 0;

    amy__buf_init(&text, AMY__MANIFEST_MAX);
    rc = amy__manifest_write(manifest, &text, err);
    return rc < 0 ? rc : hash_of(amy__buf_span(&text), ret_hex, err);
}

int
amy__copy_manifest(struct amy__store *store, const char *name,
                   struct amy__manifest *ret, char ret_hex[65],
                   struct amy_error *err)
{
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf text = {NULL, 0, 0, 0};
    int rc = 0;

    amy__buf_init(&text, AMY__MANIFEST_MAX);
    rc = store->ops->manifest(store, name, &text, err);
    rc = rc < 0 ? rc : hash_of(amy__buf_span(&text), ret_hex, err);
    return rc < 0 ? rc
                  : amy__manifest_read(amy__buf_span(&text), name, ret, err);
}

static void
describe(const struct amy__manifest *m, struct amy__copy_entry *ret)
{
    const struct amy__manifest_file *data =
        amy__manifest_file(m, AMY__SET_DATA);

    *ret = (struct amy__copy_entry){.pinned = m->pinned,
                                    .deploy = strcmp(m->why, "deploy") == 0,
                                    .bytes = amy__manifest_bytes(m),
                                    .proven_ms = AMY__MANIFEST_NO_TIME};
    memcpy(ret->name, m->name, sizeof(ret->name));
    if (data != NULL) {
        memcpy(ret->data, data->sha256, sizeof(ret->data));
    }
}

/* --- what lies there --- */

/* Another's, or one that says nothing. */
static bool
is_none_of_ours(int rc)
{
    return rc == AMY_EPARSE || rc == AMY_ENOTFOUND || rc == AMY_ELIMIT ||
           rc == AMY_EDENIED;
}

/* One that nobody here remembers, and nobody here has read back. */
static int
adopt(struct work *work, const char *name, struct amy__copy_record *fresh,
      struct amy_error *err)
{
    AMY_CLEANUP(amy__manifest_clear_p) struct amy__manifest manifest;
    struct amy__copy_entry entry;
    char hex[65] = "";
    int rc = 0;

    amy__manifest_init(&manifest);
    rc = amy__copy_manifest(work->store, name, &manifest, hex, err);
    if (is_none_of_ours(rc) ||
        (rc == 0 && strcmp(manifest.site, work->job->spec.site) != 0)) {
        return 0;
    }
    if (rc < 0) {
        return rc;
    }
    describe(&manifest, &entry);
    memcpy(entry.manifest, hex, sizeof(hex));
    return amy__copy_record_put(fresh, &entry, err);
}

struct looking {
    struct work *work;
    struct amy__copy_record fresh;
};

/* One that has lost a file, or a piece of one, is no longer what was read. */
static int
see(const char *name, uint64_t bytes, void *user, struct amy_error *err)
{
    struct looking *looking = user;
    struct amy__copy_entry *known =
        amy__copy_record_find(&looking->work->record, name);

    if (known == NULL) {
        return adopt(looking->work, name, &looking->fresh, err);
    }
    if (known->proven && bytes != known->bytes) {
        known->proven = false;
        known->proven_ms = AMY__MANIFEST_NO_TIME;
    }
    return amy__copy_record_put(&looking->fresh, known, err);
}

/* The record as it is there now. */
static int
look(struct work *work, struct amy_error *err)
{
    struct looking looking = {.work = work};
    int rc = work->store->ops->list(work->store, see, &looking, err);

    if (rc < 0) {
        amy__copy_record_clear(&looking.fresh);
        return rc;
    }
    memcpy(looking.fresh.place, work->record.place,
           sizeof(looking.fresh.place));
    amy__copy_record_clear(&work->record);
    work->record = looking.fresh;
    return save_record(work, err);
}

/* --- reading back --- */

struct proving {
    struct amy__job *job;
    const struct amy__manifest_file *file;
    struct amy__sha256 *hash;
    uint64_t bytes;
    int out_fd; /* -1: only read */
};

static int
take_piece(struct amy__span piece, void *user, struct amy_error *err)
{
    struct proving *proving = user;
    int rc = amy__sha256_update(proving->hash, piece.p, piece.n, err);

    if (rc == 0 && proving->out_fd >= 0) {
        rc = amy__write_all(proving->out_fd, piece.p, piece.n, err);
    }
    proving->bytes += piece.n;
    amy__job_progress(proving->job, proving->out_fd < 0 ? "read back" : "fetch",
                      proving->bytes, proving->file->bytes);
    return rc;
}

int
amy__copy_prove_file(struct amy__job *job, struct amy__store *store,
                     const char *name, const struct amy__manifest_file *file,
                     int out_fd, struct amy_error *err)
{
    AMY_CLEANUP(amy__sha256_free_p) struct amy__sha256 *hash = NULL;
    struct proving proving = {.job = job, .file = file, .out_fd = out_fd};
    char sha256[65] = "";
    int rc = amy__sha256_create(&hash, err);

    proving.hash = hash;
    if (rc == 0) {
        rc = store->ops->read(store, name, file, take_piece, &proving, err);
        if (rc == AMY_ENOTFOUND) {
            return amy__err(err, AMY_EPARSE, "%s is missing", file->name);
        }
    }
    rc = rc < 0 ? rc : amy__sha256_finish(hash, sha256, err);
    return rc < 0 ? rc : amy__feed_compare(file, proving.bytes, sha256, err);
}

/* Every byte there, against a manifest; then it counts, if its verdict does.
 * AMY_EPARSE: it is not what it should be, and the record says so. */
static int
prove(struct work *work, const struct amy__manifest *manifest,
      struct amy_error *err)
{
    AMY_CLEANUP(amy__manifest_clear_p) struct amy__manifest there;
    struct amy_error why = AMY_ERROR_INIT;
    struct amy__copy_entry entry;
    int rc = 0;

    amy__manifest_init(&there);
    describe(manifest, &entry);
    rc = amy__copy_manifest(work->store, manifest->name, &there, entry.manifest,
                            &why);
    for (size_t i = 0; i < manifest->file_count && rc == 0; i++) {
        rc = amy__copy_prove_file(work->job, work->store, manifest->name,
                                  &manifest->files[i], -1, &why);
    }
    entry.proven = rc == 0 && amy__verdict_is_verified(manifest->verdict);
    entry.bad = !entry.proven;
    if (entry.proven) {
        entry.proven_ms = amy__wall_ms(work->job->borrow_clock);
    }
    if (rc == 0 || rc == AMY_EPARSE) {
        int kept = amy__copy_record_put(&work->record, &entry, err);

        kept = kept < 0 ? kept : save_record(work, err);
        rc = kept < 0 ? kept : rc;
    }
    if (rc < 0 && why.code < 0) {
        return amy__err(err, rc, "%s: %s", manifest->name, why.msg);
    }
    return rc;
}

/* --- bringing it up to date --- */

static int
open_set(const struct amy__job *job, const char *name, struct amy_error *err)
{
    int fd = openat(job->sets_fd, name,
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    return fd < 0 ? amy__err_sys(err, errno, "opening '%s'", name) : fd;
}

/* Written down before anything of it is there: whatever ends us, the next one
 * knows what to sweep. */
static int
send(struct work *work, const struct amy__manifest *manifest, int set_fd,
     struct amy_error *err)
{
    int rc = 0;

    memcpy(work->record.sending, manifest->name, sizeof(manifest->name));
    rc = save_record(work, err);
    rc =
        rc < 0 ? rc : work->store->ops->put(work->store, manifest, set_fd, err);
    if (rc == 0) {
        work->record.sending[0] = '\0'; /* the proof is saved with it */
    }
    return rc;
}

/* One that lies there unproven may be sound; else it makes room. */
static int
replace(struct work *work, const struct amy__manifest *manifest,
        bool *ret_proven, struct amy_error *err)
{
    int rc = prove(work, manifest, err);

    *ret_proven = rc == 0;
    if (rc != AMY_EPARSE) {
        return rc;
    }
    rc = work->store->ops->remove(work->store, manifest->name, err);
    if (rc == 0) {
        amy__copy_record_drop(&work->record, manifest->name);
    }
    return rc;
}

static int
copy_set(struct work *work, const struct amy__copy_item *item,
         struct amy_error *err)
{
    AMY_CLEANUP(amy__manifest_clear_p) struct amy__manifest manifest;
    AMY_CLEANUP(amy__close_p) int set_fd = -1;
    int64_t began_ms = amy__mono_ms(work->job->borrow_clock);
    bool proven = false;
    int rc = 0;

    amy__manifest_init(&manifest);
    set_fd = open_set(work->job, item->name, err);
    rc = set_fd < 0
             ? set_fd
             : amy__set_read(work->job->sets_fd, item->name, &manifest, err);
    if (rc == AMY_ENOTFOUND) {
        return 0; /* gone since: nothing to copy any more */
    }
    if (rc == 0 && item->there) {
        rc = replace(work, &manifest, &proven, err);
    }
    if (rc < 0 || proven) {
        return rc;
    }
    rc = send(work, &manifest, set_fd, err);
    rc = rc < 0 ? rc : prove(work, &manifest, err);
    if (rc == 0) {
        amy__job_log(
            work->job, "%s copied to %s and read back, in %lld ms", item->name,
            work->job->spec.copy.name,
            (long long)(amy__mono_ms(work->job->borrow_clock) - began_ms));
        (void)amy__json_add(work->copied, amy__json_text(item->name));
    }
    return rc;
}

/* What was said of a set here since it was copied: a pin, a drill. Not that it
 * is damaged: the one there is not. */
static int
renew(struct work *work, const struct amy__set *set, struct amy_error *err)
{
    struct amy__copy_entry *entry =
        amy__copy_record_find(&work->record, set->manifest.name);
    char hex[65] = "";
    int rc = 0;

    if (entry == NULL || !entry->proven || !amy__set_is_good(set) ||
        !amy__copy_is_of(entry, &set->manifest)) {
        return 0;
    }
    rc = hash_manifest(&set->manifest, hex, err);
    if (rc < 0 || strcmp(hex, entry->manifest) == 0) {
        return rc;
    }
    rc = work->store->ops->save(work->store, &set->manifest, err);
    if (rc == 0) {
        memcpy(entry->manifest, hex, sizeof(hex));
        entry->pinned = set->manifest.pinned;
        rc = save_record(work, err);
    }
    return rc;
}

static int
remove_there(struct work *work, const char *name, struct amy_error *err)
{
    int rc = work->store->ops->remove(work->store, name, err);

    if (rc == AMY_EEXIST || rc == AMY_ENOTFOUND) { /* no set any more */
        rc = 0;
    }
    if (rc < 0) {
        return rc;
    }
    amy__job_log(work->job, "%s removed at %s: no rule keeps it", name,
                 work->job->spec.copy.name);
    (void)amy__json_add(work->removed, amy__json_text(name));
    amy__copy_record_drop(&work->record, name);
    return save_record(work, err);
}

/* It concerns one set, and not the place. A name that somebody else has there,
 * or a file that is damaged on either side. */
static bool
is_of_one_set(const struct amy_error *why)
{
    return why->code == AMY_EPARSE || why->code == AMY_EEXIST ||
           why->sys_errno == EIO;
}

/* What fails one set is told at the end and does not keep others from going. */
static int
try_set(struct work *work, const struct amy__copy_item *item,
        struct amy_error *err)
{
    struct amy_error why = AMY_ERROR_INIT;
    int rc = copy_set(work, item, &why);

    if (rc == 0 || !is_of_one_set(&why)) {
        return rc == 0 ? 0 : pass(err, &why);
    }
    amy__job_log(work->job, "%s was not copied to %s: %s", item->name,
                 work->job->spec.copy.name, why.msg);
    if (work->failed.code == 0) {
        work->failed = why;
    }
    return 0;
}

/* The newest first: after a long time without, it is worth most. */
static int
copy_wanted(struct work *work, const struct amy__copy_item *items, size_t n,
            struct amy_error *err)
{
    int rc = 0;

    for (size_t i = 0; i < n && rc == 0; i++) {
        if (items[i].wanted) {
            rc = try_set(work, &items[i], err);
        }
    }
    for (size_t i = 0; i < work->job->sets.count && rc == 0; i++) {
        rc = renew(work, &work->job->sets.items[i], err);
    }
    return rc;
}

/* One that another host sent, or that we have forgotten, by its own manifest.
 * What is wrong with it is not ours to mend: it is told, and does not count. */
static int
read_one(struct work *work, const char *name, struct amy_error *err)
{
    AMY_CLEANUP(amy__manifest_clear_p) struct amy__manifest manifest;
    struct amy_error why = AMY_ERROR_INIT;
    char hex[65] = "";
    int rc = 0;

    amy__manifest_init(&manifest);
    rc = amy__copy_manifest(work->store, name, &manifest, hex, &why);
    rc = rc < 0 ? rc : prove(work, &manifest, &why);
    if (rc == AMY_ENOTFOUND || rc == AMY_EPARSE) {
        amy__job_log(work->job, "at %s: %s", work->job->spec.copy.name,
                     why.msg);
        return 0;
    }
    if (rc < 0) {
        return pass(err, &why);
    }
    amy__job_log(work->job, "%s read back at %s", name,
                 work->job->spec.copy.name);
    return 0;
}

/* Before what is new lets others go: all that is there may count. What nobody
 * has read is not removed. */
static int
read_unread(struct work *work, const struct amy__copy_item *items, size_t n,
            struct amy_error *err)
{
    int rc = 0;

    for (size_t i = 0; i < n && rc == 0; i++) {
        const struct amy__copy_entry *entry =
            amy__copy_record_find(&work->record, items[i].name);

        if (entry != NULL && !entry->proven && !entry->bad) {
            rc = read_one(work, items[i].name, err);
        }
    }
    return rc;
}

static int
remove_old(struct work *work, const struct amy__copy_item *items, size_t n,
           struct amy_error *err)
{
    int rc = 0;

    while (rc == 0 && n-- > 0) { /* oldest first */
        if (items[n].there && items[n].keep == NULL) {
            rc = remove_there(work, items[n].name, err);
        }
    }
    return rc;
}

typedef int (*step_fn)(struct work *work, const struct amy__copy_item *items,
                       size_t n, struct amy_error *err);

/* Planned anew: what has just been read back counts. */
static int
take_step(struct work *work, step_fn step, struct amy_error *err)
{
    struct amy__copy_item *items = NULL;
    size_t n = 0;
    int rc = amy__copy_items(
        &work->job->sets, &work->record, &work->job->spec.copy.rules,
        amy__wall_ms(work->job->borrow_clock), &items, &n, err);

    rc = rc < 0 ? rc : step(work, items, n, err);
    amy__free(items);
    return rc;
}

static int
update(struct work *work, struct amy_error *err)
{
    /* What no rule keeps makes room first, so that who lowers them on a full
     * disk is helped; what is new makes more superfluous. */
    static const step_fn steps[] = {remove_old, copy_wanted, read_unread,
                                    remove_old};
    int rc = 0;

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && rc == 0; i++) {
        rc = take_step(work, steps[i], err);
    }
    return rc == 0 && work->failed.code < 0 ? pass(err, &work->failed) : rc;
}

/* --- beginning --- */

/* Alone at the copy, which has been looked at. */
static int
begin(struct work *work, struct amy__job *job, struct amy_error *err)
{
    const char *name = job->spec.copy.name;
    char place[AMY__COPY_PLACE_SIZE] = "";
    int rc = 0;

    *work = (struct work){.job = job,
                          .copies_fd = -1,
                          .lock_fd = -1,
                          .copied = amy__json_array(),
                          .removed = amy__json_array()};
    work->copies_fd = amy__copies_open(job->sets_fd, err);
    if (work->copies_fd < 0) {
        return work->copies_fd;
    }
    work->lock_fd = amy__copies_lock(work->copies_fd, name, err);
    if (work->lock_fd < 0) {
        return work->lock_fd;
    }
    amy__copy_place(&job->spec.copy, place);
    rc = amy__copies_load(job->sets_fd, name, place, &work->record, err);
    memcpy(work->record.place, place, sizeof(place));
    rc = rc < 0 ? rc : amy__store_open(job, true, &work->store, err);
    if (rc == 0) {
        rc = work->store->ops->sweep(work->store, work->record.sending, err);
    }
    return rc < 0 ? rc : look(work, err);
}

static int
run_copy(struct amy__job *job, struct amy_error *err)
{
    AMY_CLEANUP(work_clear) struct work work;
    int rc = begin(&work, job, err);

    rc = rc < 0 ? rc : update(&work, err);
    (void)amy__json_set(job->result, "copied", AMY_TAKE(work.copied));
    (void)amy__json_set(job->result, "removed", AMY_TAKE(work.removed));
    return rc;
}

static int
run_verify(struct amy__job *job, struct amy_error *err)
{
    AMY_CLEANUP(work_clear) struct work work;
    AMY_CLEANUP(amy__manifest_clear_p) struct amy__manifest manifest;
    const struct amy__copy_entry *entry = NULL;
    char hex[65] = "";
    int rc = begin(&work, job, err);

    amy__manifest_init(&manifest);
    if (rc < 0) {
        return rc;
    }
    entry = job->spec.set[0] == '\0'
                ? work.record.items
                : amy__copy_record_find(&work.record, job->spec.set);
    if (work.record.count == 0 || entry == NULL) {
        return amy__err(err, AMY_ENOTFOUND, "it has no such backup");
    }
    rc = amy__copy_manifest(work.store, entry->name, &manifest, hex, err);
    rc = rc < 0 ? rc : prove(&work, &manifest, err);
    if (rc == 0) {
        amy__job_log(job, "%s read back at %s", manifest.name,
                     job->spec.copy.name);
        amy__job_tell_set(job, &manifest);
    }
    return rc;
}

int
amy__copy_run(struct amy__job *job, struct amy_error *err)
{
    int rc = 0;

    if (job->spec.action == AMY__JOB_FETCH) {
        rc = amy__copy_fetch(job, err);
    } else if (job->spec.action == AMY__JOB_VERIFY_COPY) {
        rc = run_verify(job, err);
    } else {
        rc = run_copy(job, err);
    }
    if (rc < 0) {
        amy__err_prefix(err, "copy '%s': ", job->spec.copy.name);
        amy__job_log(job, "%s", err == NULL ? "" : err->msg);
    }
    return rc;
}
