/* One piece of work in a site's DB_backups, done by a process of its own that
 * runs as the site's user: what is asked for, and what all kinds of it share.
 * It may block, use the CPU and be killed at any time. */
#ifndef AMY_BACKUP_JOB_H
#define AMY_BACKUP_JOB_H

#include <amy/clock.h>
#include <amy/error.h>

#include "backup/copyrecord.h"
#include "backup/lend.h"
#include "backup/pg.h"
#include "backup/program.h"
#include "backup/retain.h"
#include "backup/set.h"
#include "backup/tool.h"
#include "core/buf.h"
#include "core/json.h"

#include <stdbool.h>
#include <stdint.h>

#define AMY__NOTIFY_URL_MAX 1000

enum amy__job_action {
    AMY__JOB_DUMP = 0, /* make a set, read it through, then prune */
    AMY__JOB_VERIFY,   /* read one through again */
    AMY__JOB_DRILL,    /* restore it into a throw-away cluster */
    AMY__JOB_RESTORE,  /* restore it into an empty database */
    AMY__JOB_LIST,
    AMY__JOB_SHOW,
    AMY__JOB_PIN,
    AMY__JOB_UNPIN,
    AMY__JOB_ACCEPT, /* a suspect set is right as it is */
    AMY__JOB_PRUNE,
    AMY__JOB_NOTIFY,      /* tell a webhook; asked for by the scheduler alone */
    AMY__JOB_COPY,        /* bring a copy off the host up to date */
    AMY__JOB_VERIFY_COPY, /* read a set at a copy back */
    AMY__JOB_FETCH,       /* bring one back into DB_backups */
    AMY__JOB_LEND,    /* hand one to a test site's job: the scheduler asks */
    AMY__JOB_REFRESH, /* another site's into the test database, scrubbed */
    AMY__JOB_SWEEP,   /* what a refresh that was killed has left */
};

/* Where copies go; a directory, or a bucket. "": not said. */
struct amy__copy_spec {
    char name[AMY__COPY_NAME_SIZE]; /* "": the job is about none */
    char directory[256];
    char s3[320]; /* bucket, or bucket/prefix */
    char region[48];
    char endpoint[256]; /* https://host; "": Amazon's */
    char style[8];      /* path, host, or "" */
    char credentials[16];
    char profile[64];
    char ca_file[256];
    struct amy__retain_rules rules;
};

/* Which place that is, whoever may go there, as 16 digits: what a record is
 * about. */
void amy__copy_place(const struct amy__copy_spec *copy,
                     char ret[AMY__COPY_PLACE_SIZE]);

#define AMY__COPIES_MAX 4

/* What a look at the sets needs to know of each copy. */
struct amy__copy_rules {
    char name[AMY__COPY_NAME_SIZE];
    char place[AMY__COPY_PLACE_SIZE]; /* "": any */
    struct amy__retain_rules rules;
};

struct amy__job_spec {
    enum amy__job_action action;
    char site[256];
    char from[128];            /* which database: see amy__pg_target_read */
    char set[AMY__STAMP_SIZE]; /* "": the newest that fits */
    char why[16];
    char to[128];       /* database to restore into; "": the site's own */
    int64_t slot_ms;    /* AMY__MANIFEST_NO_TIME */
    int64_t silence_ms; /* how long anybody may say nothing; 0: ten minutes */
    char lender[256];   /* whose set is restored: a site */
    char scrub[1024];   /* the command that makes it harmless: a JSON list */
    int64_t scrub_ms;   /* how long it may take */
    int lend_fd;        /* the socket to the other job; 0: none */
    char url[AMY__NOTIFY_URL_MAX + 1]; /* of a webhook: a secret */
    char body[2048];                   /* what it is told, as JSON */
    bool dry_run;
    bool tell_log; /* lines of the log are events, and in no file */
    struct amy__retain_rules rules;
    struct amy__copy_spec copy;
    struct amy__copy_rules copies[AMY__COPIES_MAX];
    size_t copy_count;
};

/* The spec as one line of JSON, and back. AMY_EPARSE, AMY_ENOMEM. */
int amy__job_spec_write(const struct amy__job_spec *spec, struct amy__buf *out);
int amy__job_spec_read(struct amy__span text, struct amy__job_spec *ret,
                       struct amy_error *err);
const char *amy__job_action_name(enum amy__job_action action);

struct amy__job {
    struct amy__job_spec spec;
    const struct amy_clock *borrow_clock;
    int site_fd;
    int event_fd; /* events, one JSON object a line */
    int sets_fd;
    const struct amy__loan *loan; /* where a set's files are; NULL: sets_fd */
    struct amy__sets sets;        /* as they were at the beginning */
    const struct amy__set *good;  /* the newest of them that is, or NULL */
    struct amy__pg_target target;
    char **environment;       /* for programs; made with the target */
    size_t tables;            /* begun, for progress */
    size_t of_tables;         /* as far as anybody knows; 0: nobody */
    int64_t told_ms;          /* when progress was told last */
    struct amy__json *result; /* what the last event says besides */
};

/* Tell how far it is; now and then at most. of: 0 when nobody knows. */
void amy__job_progress(struct amy__job *job, const char *stage, uint64_t done,
                       uint64_t of);
/* The last event says what became of this set. */
void amy__job_tell_set(struct amy__job *job,
                       const struct amy__manifest *manifest);
/* A job that was killed while it wrote may have left half a line: the first one
 * of this job is not to stand behind it. */
void amy__job_log_begin(const struct amy__job *job);
/* A line in the site's logs/backup.log; failures are left at that. */
void amy__job_log(const struct amy__job *job, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* How long to wait for a word of the server or a program. */
int amy__job_silence_ms(const struct amy__job *job);
/* Has `who` been silent for longer since then? 0, AMY_ETIMEOUT. */
int amy__job_heard(const struct amy__job *job, const char *who,
                   int64_t heard_ms, struct amy_error *err);
/* Read where the database is, once. */
int amy__job_target(struct amy__job *job, struct amy_error *err);
/* A session named after this host. */
int amy__job_connect(struct amy__job *job, struct amy__pg **ret_pg,
                     struct amy_error *err);

/* dump.c: fill a set that was begun. */
int amy__dump(struct amy__job *job, struct amy__manifest *manifest, int set_fd,
              struct amy_error *err);
/* feed.c: decompress a set's data into a program. out: called with what it
 * writes (NULL: it has no output pipe). The hash of the file is compared with
 * the manifest: AMY_EPARSE when the file is not what was written, AMY_EIO when
 * the program failed. */
typedef int (*amy__feed_fn)(struct amy__span text, void *user,
                            struct amy_error *err);
struct amy__feed {
    struct amy__job *job;
    const struct amy__manifest *manifest;
    const char *stage; /* for progress */
    struct amy__tool *tool;
    amy__feed_fn out;
    void *user;
};
int amy__feed(const struct amy__feed *feed, struct amy_error *err);
/* Whose pg_restore is needed: that of the server, or of the pg_dump that wrote
 * the file where it is newer, because no older one can read it. */
int amy__feed_server_number(const struct amy__manifest *manifest);
/* How long pg_restore may take after its input's end, where it builds indexes
 * without a word: ten minutes, and a second more for each megabyte. */
int amy__feed_patience_ms(uint64_t raw_bytes);
/* Is a file with so many bytes and that hash the one meant? 0, AMY_EPARSE */
int amy__feed_compare(const struct amy__manifest_file *file, uint64_t bytes,
                      const char *sha256, struct amy_error *err);
/* Compare every file with the manifest. 0, AMY_EPARSE (which one), AMY_EIO */
int amy__feed_check(struct amy__job *job, const struct amy__manifest *manifest,
                    struct amy_error *err);
/* verify.c: read a set through and give its verdict, which is saved. What
 * cannot be told (a missing program) is an error, a damaged set is not. */
int amy__verify(struct amy__job *job, struct amy__manifest *manifest,
                struct amy_error *err);
/* scratch.c: the same by restoring it into a throw-away cluster. */
int amy__drill(struct amy__job *job, struct amy__manifest *manifest,
               struct amy_error *err);
/* Remove the directories for sockets that drills which were killed left. */
void amy__drill_sweep(void);
/* Did a restore fail for what its host lacks (room, memory, an extension)? By
 * the SQLSTATE where there is one; of pg_restore by its words, which are
 * English whatever the site's language. Pure. */
bool amy__drill_blames_host(const struct amy_error *why);
/* restore.c: into a database that is there, and empty. */
int amy__restore(struct amy__job *job, const struct amy__manifest *manifest,
                 struct amy_error *err);
/* Compare the rows of every table. 0, AMY_EPARSE (the first that differs) */
int amy__restore_compare(struct amy__pg *pg,
                         const struct amy__manifest *manifest,
                         struct amy_error *err);
/* lend.c: hand a set over, all but its roles; rc: or that there is none, as err
 * has it. */
int amy__lend(struct amy__job *job, struct amy__manifest *manifest, int rc,
              struct amy_error *err);
/* refresh.c: what was lent, scrubbed, in the place of the site's database. */
int amy__refresh(struct amy__job *job, struct amy_error *err);
/* Drop what one that was killed left beside the database. */
int amy__refresh_sweep(struct amy__job *job, struct amy_error *err);
/* notify.c: post the body to the URL, in which nothing of DB_backups or the
 * database has a part. AMY_EIO: it answered, and not with 2xx. */
int amy__notify(const struct amy__job *job, struct amy_error *err);
/* copy.c: what the actions copy, verify-copy and fetch do. */
int amy__copy_run(struct amy__job *job, struct amy_error *err);
/* Add to the result what is known of each copy. */
int amy__copy_tell(struct amy__job *job, struct amy_error *err);
/* At which copies that set was read back, as far as is known: their names. */
int amy__copy_places(struct amy__job *job, const char *name,
                     struct amy__json *ret_list, struct amy_error *err);
/* Which of these sets a copy is still to get, by its rules and what is known
 * of it: ret_waits, one for each. */
int amy__copy_waits(struct amy__job *job, const struct amy__sets *sets,
                    bool *ret_waits, struct amy_error *err);
/* prune.c: remove what the rules do not keep. ret_gone: how many. */
int amy__prune(struct amy__job *job, bool dry_run, struct amy__json *ret_list,
               struct amy_error *err);

#endif
