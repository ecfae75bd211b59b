/* Restores a set into a database that is there, and empty. */
/* Not for trying one out: scratch.c. */
#include "backup/job.h"
#include "core/cleanup.h"
#include "core/error.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define WORDS_SIZE 2048

/* Something in it that a person or a migration made; what an extension brought
 * does not count. */
static int
refuse_full(struct amy__pg *pg, struct amy_error *err)
{
    static const char first[] =
        "WITH made (kind, oid, space, name) AS ("
        " SELECT 'pg_class'::regclass, oid, relnamespace, relname"
        " FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c')"
        " UNION ALL SELECT 'pg_proc'::regclass, oid, pronamespace, proname"
        " FROM pg_proc"
        " UNION ALL SELECT 'pg_type'::regclass, oid, typnamespace, typname"
        " FROM pg_type WHERE typtype IN ('d', 'e', 'r'))"
        " SELECT n.nspname || '.' || m.name FROM made m"
        " JOIN pg_namespace n ON n.oid = m.space"
        " WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'"
        " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = m.kind"
        " AND d.objid = m.oid AND d.deptype = 'e')"
        " UNION ALL SELECT 'large object ' || oid FROM pg_largeobject_metadata"
        " ORDER BY 1 LIMIT 1";
    char name[160] = "";
    int rc = amy__pg_ask(pg, first, NULL, name, sizeof(name), err);

    if (rc > 0) {
        return amy__err(err, AMY_ESTATE,
                        "the database '%s' is not empty (it has %s): restore "
                        "into a new one",
                        amy__pg_database(pg), name);
    }
    return rc;
}

static int
compare_table(struct amy__pg *pg, const struct amy__manifest_table *table,
              struct amy_error *err)
{
    char sql[512];
    char count[32] = "";
    uint64_t rows = 0;
    int rc = 0;

    (void)snprintf(sql, sizeof(sql), "SELECT count(*) FROM ONLY %s",
                   table->name);
    rc = amy__pg_ask(pg, sql, NULL, count, sizeof(count), err);
    if (rc < 0) {
        amy__err_prefix(err, "%s: ", table->name);
        return rc;
    }
    if (!amy__parse_u64(amy__span_of(count), UINT64_MAX, &rows) ||
        rows != table->rows) {
        return amy__err(err, AMY_EPARSE,
                        "%s has %s rows, and %" PRIu64 " in the backup",
                        table->name, count, table->rows);
    }
    return 0;
}

int
amy__restore_compare(struct amy__pg *pg, const struct amy__manifest *manifest,
                     struct amy_error *err)
{
    uint64_t raw_bytes = amy__manifest_raw_bytes(manifest);
    /* Names are in the encoding of the database that was dumped. */
    int rc = amy__pg_ask(pg, "SELECT set_config('client_encoding', $1, false)",
                         manifest->encoding, NULL, 0, err);

    /* A count may take as long as an index. */
    amy__pg_set_patience(pg, amy__feed_patience_ms(raw_bytes));
    for (size_t i = 0; i < manifest->table_count && rc >= 0; i++) {
        rc = compare_table(pg, &manifest->tables[i], err);
    }
    return rc < 0 ? rc : 0;
}

static int
run(struct amy__job *job, const struct amy__manifest *manifest,
    int server_number, struct amy_error *err)
{
    AMY_CLEANUP(amy__tool_stop_p) struct amy__tool tool = AMY__TOOL_NONE;
    struct amy__program program;
    char words[WORDS_SIZE];
    /* Roles and rights of another site are not this one's. */
    bool foreign = job->loan != NULL;
    const char *argv[] = {program.path,
                          "--exit-on-error",
                          "--single-transaction",
                          "--no-password",
                          "-d",
                          words,
                          foreign ? "--no-owner" : NULL,
                          "--no-privileges",
                          NULL};
    struct amy__feed feed = {
        .job = job, .manifest = manifest, .stage = "restore", .tool = &tool};
    int rc = 0;

    if (!amy__pg_target_words(&job->target, words, sizeof(words))) {
        return amy__err(err, AMY_ELIMIT,
                        "the connection's parameters are too long");
    }
    rc = amy__program_find("pg_restore", server_number, job->environment,
                           &program, err);
    if (rc == 0) {
        rc = amy__tool_start(&tool, argv, job->environment, AMY__TOOL_IN, err);
    }
    return rc < 0 ? rc : amy__feed(&feed, err);
}

int
amy__restore(struct amy__job *job, const struct amy__manifest *manifest,
             struct amy_error *err)
{
    AMY_CLEANUP(amy__pg_close_p) struct amy__pg *pg = NULL;
    int number = 0;
    int rc = amy__feed_check(job, manifest, err);

    if (rc == 0) {
        rc = amy__job_connect(job, &pg, err);
    }
    if (rc == 0) {
        rc = refuse_full(pg, err);
    }
    if (rc < 0) {
        return rc;
    }
    number = amy__pg_server_number(pg);
    if (amy__feed_server_number(manifest) > number) { /* newer, not older */
        number = amy__feed_server_number(manifest);
    }
    rc = run(job, manifest, number, err);
    return rc < 0 ? rc : amy__restore_compare(pg, manifest, err);
}
