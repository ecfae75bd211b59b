/** @file amy/backup.h
 *  @brief Verified backups of a site's PostgreSQL database.
 *
 *  A backup is a directory in DB_backups with pg_dump's archive compressed by
 *  zstd (restorable by `zstd -dc data.dump.zst | pg_restore`), the roles, and a
 *  manifest that says what is known of it. What has a manifest under its final
 *  name is complete; its verdict says how far it was proven: written, hashed,
 *  parsed (pg_restore read it through and the rows were counted), restored.
 *
 *  All work on a site's backups is done by jobs. A job is a process of its own
 *  that runs as the site's user in the site's environment; it may take its time
 *  and may be killed at any moment without leaving a set that looks complete
 *  and is not. Who starts jobs, and when, is amy/scheduler.h.
 */
#ifndef AMY_BACKUP_H
#define AMY_BACKUP_H

#include <amy/clock.h>
#include <amy/error.h>
#include <amy/export.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Options; descriptors stay the caller's. */
struct amy_backup_job_options {
    size_t struct_size; /**< set by AMY_BACKUP_JOB_OPTIONS_INIT */
    int directory_fd;   /**< the site's directory */
    int spec_fd;        /**< read to its end: what to do, as JSON */
    int event_fd;       /**< told what happens, one JSON object a line */
    int reserved;       /**< 0 */
    const struct amy_clock *borrow_clock; /**< NULL: the system's */
};

#define AMY_BACKUP_JOB_OPTIONS_INIT                                            \
    {                                                                          \
        .struct_size = sizeof(struct amy_backup_job_options)                   \
    }

/**
 * Do one job, from reading its spec to its last event.
 *
 * The spec is an object with `action` (dump, verify, drill, restore, list,
 * show, pin, unpin, accept, prune, notify, copy, verify-copy, fetch), `site`,
 * `from` (the database: the name of a variable of our environment, PG, or
 * service=NAME), and, where they belong, `set`, `why`, `to`, `slot_ms`,
 * `silence_ms`, `dry_run` and the rules of retention (`count`, `age_ms`,
 * `hourly`, `daily`, `weekly`, `monthly`, `deploy_age_ms`). `notify` posts
 * `body` to the https address `url`, and needs neither directory nor database.
 *
 * `copy` brings a place off the host up to date, `verify-copy` reads a set back
 * there, `fetch` brings one home; none of them needs a database. The place is
 * the object `copy`: its `name` (up to 31 of a-z, 0-9 and '-'), `directory` (it
 * must hold a file .amy-copies) or `s3` ("bucket/prefix", with `region`,
 * `endpoint`, `style`, `credentials`, `profile` and `ca_file` as
 * docs/site-yaml.md has them), and rules of retention of its own. `copies` is
 * an array of such objects, of which a list, and whatever removes sets, needs
 * the names and the rules: what a copy is still to get is not removed.
 *
 * Events are `progress` (`stage`, `bytes` and `tables`, `of` and `of_tables` as
 * far as is known, else 0) and at last `done` or `failed`.
 *
 * @param opts  options; zero borrow_clock is the system's
 * @param err   may be NULL
 * @return 0; AMY_EINVAL, AMY_ESTATE (SIGPIPE is not ignored); else why the job
 *         failed, as its last event says: AMY_ECONN (the database), AMY_EBUSY
 *         (another job, or host, is at it), AMY_EAGAIN (it gave way to others'
 *         locks), AMY_EUNSUPPORTED (a program is missing), AMY_EIO, AMY_ELIMIT
 *         (no room), AMY_EPARSE (a damaged set), AMY_ENOTFOUND, AMY_EDENIED
 *
 * Blocks: for as long as it takes; not for a loop's thread.  Since: 0.1
 */
AMY_API AMY_MUST_USE int
amy_backup_job(const struct amy_backup_job_options *opts,
               struct amy_error *err);

#ifdef __cplusplus
}
#endif
#endif
