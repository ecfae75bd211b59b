/* What is known here of a copy: DB_backups/.copies/NAME.json, of the site's
 * user. Losing it costs reading everything at the copy once more; it never
 * makes a set look copied that is not. */
#ifndef AMY_BACKUP_COPYRECORD_H
#define AMY_BACKUP_COPYRECORD_H

#include <amy/error.h>

#include "backup/set.h"
#include "core/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AMY__COPY_NAME_SIZE 32
#define AMY__COPY_PLACE_SIZE 17

/* A set at the copy. */
struct amy__copy_entry {
    char name[AMY__STAMP_SIZE];
    bool proven; /* every byte was read back, and was right */
    bool bad;    /* it was read, and does not count; neither: not read yet */
    bool pinned;
    bool deploy;
    int64_t proven_ms; /* wall; AMY__MANIFEST_NO_TIME */
    uint64_t bytes;
    char data[65];     /* SHA-256 of its data: a name can come twice */
    char manifest[65]; /* and of its manifest there */
};

struct amy__copy_record {
    struct amy__copy_entry *items; /* newest first */
    size_t count;
    char sending[AMY__STAMP_SIZE];    /* a set on its way; "": none */
    char place[AMY__COPY_PLACE_SIZE]; /* where: see amy__copy_place */
};

void amy__copy_record_clear(struct amy__copy_record *record);
static inline void
amy__copy_record_clear_p(struct amy__copy_record *record)
{
    amy__copy_record_clear(record);
}
struct amy__copy_entry *
amy__copy_record_find(const struct amy__copy_record *record, const char *name);
/* In its place by age; one of that name is replaced. AMY_ENOMEM, AMY_ELIMIT */
int amy__copy_record_put(struct amy__copy_record *record,
                         const struct amy__copy_entry *entry,
                         struct amy_error *err);
void amy__copy_record_drop(struct amy__copy_record *record, const char *name);

/* From and to JSON. ret: cleared by the caller, also on failure. Pure but for
 * memory. AMY_EPARSE, AMY_ENOMEM */
int amy__copy_record_read(struct amy__span text, struct amy__copy_record *ret,
                          struct amy_error *err);
int amy__copy_record_write(const struct amy__copy_record *record,
                           struct amy__buf *out, struct amy_error *err);

/* The directory of records, made when it is not there. Returns it. */
int amy__copies_open(int sets_fd, struct amy_error *err);
/* Be the only one on this host that works at that copy until the descriptor,
 * which is returned, is closed. AMY_EBUSY: another is. */
int amy__copies_lock(int copies_fd, const char *copy, struct amy_error *err);
/* None, or one that makes no sense (kept as NAME.json.bad), is an empty one:
 * then nothing counts as copied. So is one about another place than this ("":
 * any), or that does not say. Any other failure is one: AMY_EIO ... */
int amy__copies_load(int sets_fd, const char *copy, const char *place,
                     struct amy__copy_record *ret, struct amy_error *err);
int amy__copies_save(int copies_fd, const char *copy,
                     const struct amy__copy_record *record,
                     struct amy_error *err);

#endif
