/* Verdicts by reading a set through. */
/* Not for restoring it: scratch.c. */
#include "backup/copycount.h"
#include "backup/job.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/error.h"

#include <stdio.h>
#include <string.h>

struct parsing {
    struct amy__job *job;
    struct amy__manifest *fresh; /* gets the tables */
    struct amy__copycount count;
};

static int
count_text(struct amy__span text, void *user, struct amy_error *err)
{
    struct parsing *parsing = user;

    parsing->job->tables = parsing->fresh->table_count;
    return amy__copycount_feed(&parsing->count, text, err);
}

/* How many tables there will be: as the dump just made had, or as is known. */
static void
expect_tables(struct amy__job *job, const struct amy__manifest *manifest)
{
    job->of_tables = job->tables > 0 ? job->tables : manifest->table_count;
    job->tables = 0;
}

/* pg_restore writes all of it as text; its rows are counted. `fresh` gets the
 * tables. */
static int
parse(struct amy__job *job, const struct amy__manifest *manifest,
      struct amy__manifest *fresh, struct amy_error *err)
{
    AMY_CLEANUP(amy__tool_stop_p) struct amy__tool tool = AMY__TOOL_NONE;
    struct amy__program program;
    struct parsing parsing = {.job = job, .fresh = fresh};
    struct amy__feed feed = {.job = job,
                             .manifest = manifest,
                             .stage = "verify",
                             .tool = &tool,
                             .out = count_text,
                             .user = &parsing};
    const char *argv[] = {program.path, "--data-only", "-f", "-", NULL};
    int rc = amy__program_find("pg_restore", amy__feed_server_number(manifest),
                               job->environment, &program, err);

    if (rc == 0) {
        rc = amy__tool_start(&tool, argv, job->environment,
                             AMY__TOOL_IN | AMY__TOOL_OUT, err);
    }
    if (rc < 0) { /* whatever the host lacks, it is no fault of the set */
        return rc == AMY_EIO ? AMY_ESTATE : rc;
    }
    expect_tables(job, manifest);
    amy__copycount_init(&parsing.count, fresh);
    rc = amy__feed(&feed, err);
    if (rc == 0) {
        rc = amy__copycount_end(&parsing.count, err);
    }
    amy__copycount_clear(&parsing.count);
    return rc;
}

/* Hand the tables over. */
static void
take_tables(struct amy__manifest *manifest, struct amy__manifest *fresh)
{
    amy__manifest_drop_tables(manifest);
    manifest->tables = fresh->tables;
    manifest->table_count = fresh->table_count;
    fresh->tables = NULL;
    fresh->table_count = 0;
}

/* The newest one that counts of those before this one. */
static const struct amy__manifest *
last_good(const struct amy__job *job, const struct amy__manifest *manifest)
{
    for (size_t i = 0; i < job->sets.count; i++) {
        const struct amy__set *set = &job->sets.items[i];

        if (amy__set_is_good(set) &&
            amy__stamp_compare(set->manifest.name, manifest->name) < 0) {
            return &set->manifest;
        }
    }
    return NULL;
}

static bool
is_fault_of_the_set(int rc)
{
    return rc == AMY_EPARSE || rc == AMY_EIO;
}

int
amy__verify(struct amy__job *job, struct amy__manifest *manifest,
            struct amy_error *err)
{
    AMY_CLEANUP(amy__manifest_clear_p) struct amy__manifest fresh;
    struct amy_error why = AMY_ERROR_INIT;
    bool was_accepted = amy__verdict_is_verified(manifest->verdict);
    int rc = amy__feed_check(job, manifest, &why);

    amy__manifest_init(&fresh);
    if (rc == 0) {
        if (manifest->verdict == AMY__VERDICT_WRITTEN) {
            manifest->verdict = AMY__VERDICT_HASHED; /* saved below, or not */
        }
        rc = parse(job, manifest, &fresh, &why);
    }
    if (rc < 0 && !is_fault_of_the_set(rc)) {
        return amy__err(err, rc, "%s", why.msg);
    }
    manifest->reason[0] = '\0';
    if (rc < 0 || manifest->verdict != AMY__VERDICT_RESTORED) {
        manifest->verified_ms = amy__wall_ms(job->borrow_clock);
    } /* else its verdict stays, and the time of it: no drill was made now */
    if (rc < 0) {
        manifest->verdict = AMY__VERDICT_DAMAGED;
        (void)snprintf(manifest->reason, sizeof(manifest->reason), "%s",
                       why.msg);
    } else {
        take_tables(manifest, &fresh);
        /* One that was believed before stays so: it was accepted. */
        if (!was_accepted && amy__manifest_is_suspect(
                                 manifest, last_good(job, manifest),
                                 manifest->reason, sizeof(manifest->reason))) {
            manifest->verdict = AMY__VERDICT_SUSPECT;
        } else if (manifest->verdict != AMY__VERDICT_RESTORED) {
            manifest->verdict = AMY__VERDICT_PARSED;
        }
    }
    return amy__set_save(job->sets_fd, manifest, err);
}
