/* What a set says of itself: manifest.json, written last and read strictly.
 * Pure but for memory. */
#ifndef AMY_BACKUP_MANIFEST_H
#define AMY_BACKUP_MANIFEST_H

#include <amy/error.h>

#include "core/buf.h"
#include "core/civil.h"
#include "core/json.h"
#include "core/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AMY__MANIFEST_NAME "manifest.json"
#define AMY__MANIFEST_MAX ((size_t)8 * 1024 * 1024) /* bytes of JSON */
#define AMY__MANIFEST_TABLES_MAX 100000
#define AMY__MANIFEST_FILES_MAX 4

/* How much is known of a set; what counts for retention is `parsed` and up. */
enum amy__verdict {
    AMY__VERDICT_WRITTEN = 0, /* it is on the disk, as far as that can tell */
    AMY__VERDICT_HASHED,      /* it was read again and is what was written */
    AMY__VERDICT_PARSED,      /* pg_restore read it through; rows counted */
    AMY__VERDICT_RESTORED,    /* it was restored, and the rows are the same */
    AMY__VERDICT_SUSPECT,     /* sound, and much smaller than the last one */
    AMY__VERDICT_DAMAGED,     /* not what was written */
};

struct amy__manifest_file {
    char name[32];
    uint64_t bytes;
    uint64_t raw_bytes; /* before compression; 0: not compressed */
    char sha256[65];
};

struct amy__manifest_table {
    char *name; /* "public.auth_user", quoted as SQL has it; not all is UTF-8 */
    uint64_t rows;
};

struct amy__manifest {
    char name[AMY__STAMP_SIZE];
    char site[256];
    char why[16]; /* "schedule", "manual", "deploy" */
    char host[256];
    char database[256];
    char server[64];      /* "15.18 (Debian 15.18-0+deb12u1)" */
    char dump[128];       /* "pg_dump (PostgreSQL) 15.18" */
    char amy[32];         /* version of libamy */
    char lsn[32];         /* of the snapshot; "": the server would not tell */
    char encoding[32];    /* of the database, and of the names below */
    char collation[128];  /* and its version, where the server has one */
    char extensions[512]; /* "citext 1.6, ..."; as many as have room */
    int64_t large_objects;
    int64_t server_number; /* 150018 */
    int64_t started_ms;
    int64_t duration_ms;
    int64_t slot_ms; /* of the schedule; AMY__MANIFEST_NO_TIME */
    struct amy__manifest_file files[AMY__MANIFEST_FILES_MAX];
    size_t file_count;
    struct amy__manifest_table *tables; /* known from `parsed` on */
    size_t table_count;
    enum amy__verdict verdict;
    char reason[256];    /* of `suspect` and `damaged`; else "" */
    int64_t verified_ms; /* when the verdict was given, or NO_TIME */
    int64_t restore_ms;  /* how long the last restore took; 0: never */
    bool pinned;
    char warning[256]; /* the first that pg_dump gave, or "" */
};
#define AMY__MANIFEST_NO_TIME INT64_MIN

void amy__manifest_init(struct amy__manifest *manifest);
void amy__manifest_clear(struct amy__manifest *manifest);
static inline void
amy__manifest_clear_p(struct amy__manifest *manifest)
{
    amy__manifest_clear(manifest);
}

/* Append as JSON for people. 0, AMY_ENOMEM, AMY_ELIMIT. */
int amy__manifest_write(const struct amy__manifest *manifest,
                        struct amy__buf *out, struct amy_error *err);
/* `name`: the directory it lies in, which it must name. Every key must be
 * there, of its type and within its bounds, and no other: AMY_EPARSE with the
 * first that is not. ret is cleared by the caller, also on failure. */
int amy__manifest_read(struct amy__span text, const char *name,
                       struct amy__manifest *ret, struct amy_error *err);

/* Take a table over into a manifest. 0, AMY_ENOMEM, AMY_ELIMIT. */
int amy__manifest_add_table(struct amy__manifest *manifest,
                            struct amy__span name, uint64_t rows,
                            struct amy_error *err);
void amy__manifest_drop_tables(struct amy__manifest *manifest);
uint64_t amy__manifest_rows(const struct amy__manifest *manifest);
uint64_t amy__manifest_bytes(const struct amy__manifest *manifest);
uint64_t amy__manifest_raw_bytes(const struct amy__manifest *manifest);
/* The file of that name, or NULL. */
const struct amy__manifest_file *
amy__manifest_file(const struct amy__manifest *manifest, const char *name);

/* As manifests and answers have a time; NO_TIME is null. NULL: no memory. */
struct amy__json *amy__manifest_time(int64_t ms);

const char *amy__verdict_name(enum amy__verdict verdict);
/* Does it count for retention, alarms and deployments? */
bool amy__verdict_is_verified(enum amy__verdict verdict);

/* Is a set that was just read through too small to be believed? `good` is the
 * last verified one, or NULL. Nothing in it, or less than half of the bytes or
 * rows: true, and why (as a verdict's reason) into buf. */
bool amy__manifest_is_suspect(const struct amy__manifest *manifest,
                              const struct amy__manifest *good, char *buf,
                              size_t size);

#endif
