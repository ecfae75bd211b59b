/* A test site's database anew: another site's backup is restored beside it,
 * made harmless there by a command of the test site's, and only then takes its
 * place. Whatever goes wrong before that leaves the old one as it is. */
/* Not for lending the backup (lend.c) nor for asking for it: scheduler/. */
#include "backup/alike.h"
#include "backup/copy.h"
#include "backup/interlock.h"
#include "backup/job.h"
#include "backup/pgurl.h"
#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* With what is put behind them, names fit PostgreSQL's 63 bytes. */
#define NAME_MAX_BYTES 54U
#define NAME_SIZE 64U
#define QUOTED_SIZE (2 * NAME_SIZE + 3)
#define SQL_SIZE 1024U
#define NEW AMY__ALIKE_SUFFIX
#define OLD "_amy_old"
#define MARK "made by amyctl refresh-test"
#define IS_OURS "IS '" MARK "'"
#define SWAP_TRIES 10
#define DROP_TRIES 5
#define SCRUB_WORDS 64U
#define SCRUB_MS 3600000

struct refresh {
    struct amy__job *job;
    struct amy__loan loan;
    struct amy__pg_target aside; /* another database of the same server */
    struct amy__pg *pg;          /* a session there: it makes and renames */
    char name[NAME_SIZE];        /* the test database */
    char fresh[NAME_SIZE];       /* what becomes it */
    char old[NAME_SIZE];         /* what it is called for a moment */
    bool made;                   /* fresh is there, and ours */
    bool noted; /* in DB_backups, that there is something to undo */
};

static void
clear(struct refresh *refresh)
{
    amy__pg_close(refresh->pg);
    amy__pg_target_clear(&refresh->aside);
    amy__loan_clear(&refresh->loan);
    refresh->job->loan = NULL;
}

/* ---- SQL ---- */

/* "name", with quotes doubled; names are checked to be short. */
static const char *
quote(const char *name, char buf[QUOTED_SIZE])
{
    char *at = buf;

    *at++ = '"';
    for (; *name != '\0'; name++) {
        if (*name == '"') {
            *at++ = '"';
        }
        *at++ = *name;
    }
    *at++ = '"';
    *at = '\0';
    return buf;
}

/* A statement with a database's name in it. */
static int
run(struct refresh *refresh, const char *before, const char *name,
    const char *after, struct amy_error *err)
{
    char quoted[QUOTED_SIZE];
    char sql[SQL_SIZE];
    int rc = 0;

    (void)snprintf(sql, sizeof(sql), "%s %s %s", before, quote(name, quoted),
                   after);
    rc = amy__pg_ask(refresh->pg, sql, NULL, NULL, 0, err);
    return rc < 0 ? rc : 0;
}

static int
ask(struct refresh *refresh, const char *sql, const char *name, char *buf,
    size_t size, struct amy_error *err)
{
    return amy__pg_ask(refresh->pg, sql, name, buf, size, err);
}

/* ---- where ---- */

/* The databases that every server has, and that are nobody's. */
static int
connect_aside(struct refresh *refresh, struct amy_error *err)
{
    static const char *const names[] = {"postgres", "template1"};
    int rc = amy__pg_target_read(refresh->job->spec.from, &refresh->aside, err);

    for (size_t i = 0; rc == 0 && refresh->pg == NULL && i < 2; i++) {
        struct amy_error why = AMY_ERROR_INIT;

        rc = amy__pg_target_set(&refresh->aside, "dbname", names[i], err);
        if (rc == 0 && amy__pg_open(&refresh->aside, &refresh->pg, &why) < 0 &&
            i == 1) {
            return amy__err(err, AMY_ECONN,
                            "a database is renamed from within another one, "
                            "and neither postgres nor template1 lets this "
                            "role in: %s",
                            why.msg);
        }
    }
    return rc;
}

/* Names of the three, and what is to be kept of the one that there is. */
static int
name_databases(struct refresh *refresh, const struct amy__pg *pg,
               struct amy_error *err)
{
    const char *name = amy__pg_database(pg);

    if (strlen(name) > NAME_MAX_BYTES) {
        return amy__err(err, AMY_ELIMIT,
                        "the database's name has more than %u bytes",
                        NAME_MAX_BYTES);
    }
    (void)snprintf(refresh->name, NAME_SIZE, "%s", name);
    (void)snprintf(refresh->fresh, NAME_SIZE, "%.54s" NEW, name);
    (void)snprintf(refresh->old, NAME_SIZE, "%.54s" OLD, name);
    return 0;
}

/* From the job of a site of this host, or from a place where another host puts
 * its backups. */
static int
borrow(struct refresh *refresh, struct amy_error *err)
{
    struct amy__job *job = refresh->job;
    int rc = 0;

    if (job->spec.lend_fd > 0) {
        return amy__loan_take(job->spec.lend_fd, job->spec.lender,
                              &refresh->loan, err);
    }
    rc = amy__copy_borrow(job, &refresh->loan, err);
    if (rc < 0) {
        amy__err_prefix(err, "%s: ", job->spec.lender);
    }
    return rc;
}

/* Who lends from afar cannot be asked: a name of its own is the one sign that
 * this is not the database that was dumped. */
static int
refuse_same_name(const struct refresh *refresh, const struct amy__pg *pg,
                 struct amy_error *err)
{
    const char *name = refresh->loan.manifest.database;

    return strcmp(name, amy__pg_database(pg)) != 0
               ? 0
               : amy__err(err, AMY_EDENIED,
                          "the database is called '%s', as that of %s is: give "
                          "the test database another name, or nobody can tell "
                          "that they are two",
                          name, refresh->job->spec.lender);
}

/* What is dumped from a standby is its primary's database. */
static int
refuse_primary(const struct refresh *refresh, struct amy__pg *pg,
               struct amy_error *err)
{
    char own[AMY__IDENTITY_SIZE];
    int rc = amy__loan_identity(pg, own, err);

    if (rc < 0) {
        return rc;
    }
    if (own[0] == '\0' || refresh->loan.identity[0] == '\0') {
        return refuse_same_name(refresh, pg, err);
    }
    return strcmp(own, refresh->loan.identity) != 0
               ? 0
               : amy__err(err, AMY_EDENIED,
                          "'%s' is the database of %s, which is dumped from a "
                          "standby of it (or a clone of that: then make "
                          "another one with createdb): nothing was done",
                          amy__pg_database(pg), refresh->job->spec.lender);
}

/* The lender's database has a lock that is nowhere else. */
static int
refuse_same(const struct refresh *refresh, struct amy__pg *pg,
            struct amy_error *err)
{
    static const char sql[] =
        "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted"
        " AND database = (SELECT oid FROM pg_database"
        " WHERE datname = current_database())"
        " AND (classid::bigint << 32) + objid::bigint = $1::bigint LIMIT 1";
    char got[8] = "";
    int rc = 0;

    if (refresh->job->spec.lend_fd <= 0) {
        return refuse_same_name(refresh, pg, err);
    }
    rc = amy__pg_ask(pg, sql, refresh->loan.key, got, sizeof(got), err);
    if (rc > 0) {
        return amy__err(err, AMY_EDENIED,
                        "both sites have the same database, '%s': nothing was "
                        "done",
                        amy__pg_database(pg));
    }
    return rc < 0 || !refresh->loan.standby ? rc
                                            : refuse_primary(refresh, pg, err);
}

static int
refuse_rights(struct refresh *refresh, struct amy_error *err)
{
    static const char creates[] =
        "SELECT current_user FROM pg_roles WHERE rolname = current_user"
        " AND NOT rolcreatedb AND NOT rolsuper";
    static const char owns[] =
        "SELECT current_user FROM pg_database WHERE datname = $1"
        " AND NOT pg_has_role(datdba, 'USAGE')";
    char role[NAME_SIZE] = "";
    int rc = ask(refresh, creates, NULL, role, sizeof(role), err);

    if (rc > 0) {
        return amy__err(err, AMY_EDENIED,
                        "the role '%s' may not make databases; as a superuser: "
                        "ALTER ROLE \"%s\" CREATEDB",
                        role, role);
    }
    rc = rc < 0 ? rc
                : ask(refresh, owns, refresh->name, role, sizeof(role), err);
    if (rc > 0) {
        return amy__err(err, AMY_EDENIED,
                        "the role '%s' may not rename '%s'; as a superuser: "
                        "ALTER DATABASE \"%s\" OWNER TO \"%s\"",
                        role, refresh->name, refresh->name, role);
    }
    return rc;
}

/* Whoever is in one of them holds up what is done with it: a server may not
 * notice for long that whom it works for was killed. */
static int
end_sessions(struct refresh *refresh, const char *name, struct amy_error *err)
{
    int rc = ask(refresh,
                 "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                 " WHERE datname = $1 AND pid <> pg_backend_pid()"
                 " AND pg_has_role(usesysid, 'USAGE')",
                 name, NULL, 0, err);

    return rc < 0 ? rc : 0;
}

/* ---- the new database ---- */

/* Of a refresh that was killed; what another has made stays. */
static int
drop_leftover(struct refresh *refresh, const char *name, struct amy_error *err)
{
    static const char sql[] =
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database"
        " WHERE datname = $1";
    static const char there[] = "SELECT 1 FROM pg_database WHERE datname = $1";
    char mark[64] = "";
    int rc = ask(refresh, there, name, NULL, 0, err);

    if (rc <= 0) {
        return rc;
    }
    rc = ask(refresh, sql, name, mark, sizeof(mark), err);
    if (rc >= 0 && strcmp(mark, MARK) != 0) {
        return amy__err(err, AMY_EEXIST,
                        "there is a database '%s' that is not ours: drop or "
                        "rename it",
                        name);
    }
    rc = rc < 0 ? rc : end_sessions(refresh, name, err);
    return rc < 0 ? rc : run(refresh, "DROP DATABASE", name, "", err);
}

/* Who is killed cannot clean up: amy-backup sees the file, and sweeps. */
static int
note_it(const struct amy__job *job, struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p)
    int fd = openat(job->sets_fd, AMY__SETS_REFRESHING,
                    O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

    return fd < 0 || fsync(fd) != 0 || fsync(job->sets_fd) != 0
               ? amy__err_sys(err, errno, "making " AMY__SETS_REFRESHING)
               : 0;
}

static int
drop_leftovers(struct refresh *refresh, struct amy_error *err)
{
    int rc = drop_leftover(refresh, refresh->fresh, err);

    return rc < 0 ? rc : drop_leftover(refresh, refresh->old, err);
}

static int
make_fresh(struct refresh *refresh, struct amy_error *err)
{
    char like[AMY__ALIKE_WORDS] = "";
    char sql[SQL_SIZE];
    char name[QUOTED_SIZE];
    int rc = amy__alike_words(refresh->pg, refresh->name, like, err);

    if (rc >= 0) {
        (void)snprintf(sql, sizeof(sql),
                       "CREATE DATABASE %s TEMPLATE template0 %s",
                       quote(refresh->fresh, name), like);
        rc = ask(refresh, sql, NULL, NULL, 0, err);
    }
    refresh->made = rc >= 0;
    /* Nobody but its owner looks in before it is harmless. */
    rc = rc < 0 ? rc
                : run(refresh, "REVOKE ALL ON DATABASE", refresh->fresh,
                      "FROM PUBLIC", err);
    return rc < 0 ? rc
                  : run(refresh, "COMMENT ON DATABASE", refresh->fresh, IS_OURS,
                        err);
}

/* From here on the job's target is the new one. */
static int
aim(struct refresh *refresh, struct amy_error *err)
{
    struct amy__job *job = refresh->job;
    int rc = amy__pg_target_set(&job->target, "dbname", refresh->fresh, err);

    amy__pg_environment_free(job->environment);
    job->environment = amy__pg_environment(&job->target);
    if (rc == 0 && job->environment == NULL) {
        rc = amy__err(err, AMY_ENOMEM, "preparing an environment");
    }
    return rc;
}

/* ---- the command ---- */

struct scrub {
    struct amy__json *words;
    const char *argv[SCRUB_WORDS + 1];
    char path[PATH_MAX];
    char **environment;
    struct amy__buf variable;
};

static int
read_words(struct refresh *refresh, struct scrub *scrub, struct amy_error *err)
{
    int rc = amy__json_parse(amy__span_of(refresh->job->spec.scrub),
                             &scrub->words, err);
    size_t n = rc < 0 ? 0 : amy__json_count(scrub->words);

    if (n == 0 || n > SCRUB_WORDS) {
        return amy__err(err, AMY_EINVAL,
                        "there is no command that makes the data harmless: "
                        "'refresh: {scrub: [...]}' in site.yaml");
    }
    for (size_t i = 0; i < n; i++) {
        scrub->argv[i] = amy__json_as_text(amy__json_at(scrub->words, i), "");
    }
    return 0;
}

/* As a shell would: in the PATH of the site's environment. */
static int
find_command(struct scrub *scrub, struct amy_error *err)
{
    struct amy__span rest = amy__span_of(getenv("PATH"));
    struct amy__span directory = {NULL, 0};

    if (strchr(scrub->argv[0], '/') != NULL) {
        return 0;
    }
    while (amy__span_split(&rest, ':', &directory)) {
        int n = snprintf(scrub->path, sizeof(scrub->path), AMY_SPAN_FMT "/%s",
                         AMY_SPAN_ARG(directory), scrub->argv[0]);

        if (directory.n > 0 && n > 0 && (size_t)n < sizeof(scrub->path) &&
            access(scrub->path, X_OK) == 0) {
            scrub->argv[0] = scrub->path;
            return 0;
        }
    }
    return amy__err(err, AMY_ENOTFOUND,
                    "there is no '%s' in the PATH of the site's environment",
                    scrub->argv[0]);
}

/* The variable by which the site finds its database, naming the new one. */
static int
make_variable(struct refresh *refresh, struct scrub *scrub,
              struct amy_error *err)
{
    const char *from = refresh->job->spec.from;
    const char *url = getenv(from);
    int rc = 0;

    amy__buf_init(&scrub->variable, 8192);
    if (strcmp(from, "PG") == 0) {
        rc = amy__buf_append_text(&scrub->variable, "PGDATABASE=");
        rc = rc < 0 ? rc
                    : amy__buf_append_text(&scrub->variable, refresh->fresh);
        return rc < 0 ? amy__err(err, rc, "naming the new database") : 0;
    }
    rc = amy__buf_appendf(&scrub->variable, "%s=", from);
    return rc < 0 || url == NULL
               ? amy__err(err, AMY_ENOTFOUND, "there is no %s", from)
               : amy__pgurl_replace(url, refresh->fresh, &scrub->variable, err);
}

extern char **environ;

static int
make_environment(struct scrub *scrub, struct amy_error *err)
{
    size_t name_n = strcspn(scrub->variable.data, "=") + 1;
    size_t count = 0;
    size_t n = 0;

    while (environ[count] != NULL) {
        count++;
    }
    scrub->environment = amy__calloc(count + 2, sizeof(*scrub->environment));
    if (scrub->environment == NULL) {
        return amy__err(err, AMY_ENOMEM, "preparing an environment");
    }
    scrub->environment[n++] = scrub->variable.data;
    for (size_t i = 0; i < count; i++) {
        if (strncmp(environ[i], scrub->variable.data, name_n) != 0) {
            scrub->environment[n++] = environ[i];
        }
    }
    return 0;
}

/* In repo/, as workers are. */
static int
enter_repo(const struct amy__job *job, struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p)
    int fd = openat(job->site_fd, "repo", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 || fchdir(fd) != 0
               ? amy__err_sys(err, errno, "entering repo/")
               : 0;
}

static int
run_command(struct refresh *refresh, const struct scrub *scrub,
            struct amy_error *err)
{
    AMY_CLEANUP(amy__tool_stop_p) struct amy__tool tool = AMY__TOOL_NONE;
    struct amy__job *job = refresh->job;
    int64_t limit_ms = job->spec.scrub_ms > 0 ? job->spec.scrub_ms : SCRUB_MS;
    int64_t until_ms = amy__mono_ms(job->borrow_clock) + limit_ms;
    int rc = amy__tool_start(&tool, scrub->argv, scrub->environment,
                             AMY__TOOL_GROUP, err);

    while (rc == 0 && !tool.ended) {
        int so = amy__tool_wait(&tool, false, 250, err);

        rc = so < 0 ? so : 0;
        amy__job_progress(job, "scrub", 0, 0);
        if (rc == 0 && amy__mono_ms(job->borrow_clock) > until_ms) {
            return amy__err(err, AMY_ETIMEOUT,
                            "the scrub command took longer than %" PRId64 " s",
                            limit_ms / 1000);
        }
    }
    rc = rc < 0 ? rc : amy__tool_finish(&tool, 1000, err);
    if (rc < 0) {
        amy__err_prefix(err, "scrub: ");
    }
    return rc;
}

/* Sessions that anybody ever had in the new database; "" where the server does
 * not count them (before PostgreSQL 14). */
static int
count_sessions(struct refresh *refresh, int64_t *ret, struct amy_error *err)
{
    char count[32] = "";
    int rc = 0;

    *ret = -1;
    if (amy__pg_server_number(refresh->pg) < 140000) {
        return 0;
    }
    rc =
        ask(refresh, "SELECT sessions FROM pg_stat_database WHERE datname = $1",
            refresh->fresh, count, sizeof(count), err);
    if (rc > 0) {
        *ret = strtoll(count, NULL, 10);
    }
    return rc < 0 ? rc : 0;
}

/* A command that goes to a database of its own choice has scrubbed that one. */
static int
scrub_it(struct refresh *refresh, const struct scrub *scrub,
         struct amy_error *err)
{
    int64_t before = 0;
    int64_t after = 0;
    int rc = count_sessions(refresh, &before, err);

    rc = rc < 0 ? rc : run_command(refresh, scrub, err);
    rc = rc < 0 ? rc : count_sessions(refresh, &after, err);
    if (rc == 0 && before >= 0 && after <= before) {
        return amy__err(err, AMY_ESTATE,
                        "the scrub command did not connect to '%s': it must "
                        "find its database by %s of its environment",
                        refresh->fresh, refresh->job->spec.from);
    }
    return rc;
}

static int
prepare_scrub(struct refresh *refresh, struct scrub *scrub,
              struct amy_error *err)
{
    int rc = read_words(refresh, scrub, err);

    rc = rc < 0 ? rc : enter_repo(refresh->job, err);
    rc = rc < 0 ? rc : find_command(scrub, err);
    rc = rc < 0 ? rc : make_variable(refresh, scrub, err);
    return rc < 0 ? rc : make_environment(scrub, err);
}

static void
scrub_clear(struct scrub *scrub)
{
    amy__json_free(scrub->words);
    amy__free(scrub->environment);
    amy__buf_clear(&scrub->variable);
}

/* ---- the swap ---- */

static int
rename_one(struct refresh *refresh, const char *from, const char *to,
           struct amy_error *err)
{
    char quoted[QUOTED_SIZE];
    char after[QUOTED_SIZE + 16];

    (void)snprintf(after, sizeof(after), "RENAME TO %s", quote(to, quoted));
    return run(refresh, "ALTER DATABASE", from, after, err);
}

/* Both names change at once, or neither: who connects meanwhile waits for the
 * lock that the first renaming takes. */
static int
rename_both(struct refresh *refresh, struct amy_error *err)
{
    int rc = ask(refresh, "BEGIN", NULL, NULL, 0, err);

    rc = rc < 0 ? rc : amy__alike_rights(refresh->pg, refresh->name, err);
    rc = rc < 0
             ? rc
             : run(refresh, "COMMENT ON DATABASE", refresh->name, IS_OURS, err);
    rc = rc < 0 ? rc : rename_one(refresh, refresh->name, refresh->old, err);
    rc = rc < 0 ? rc : rename_one(refresh, refresh->fresh, refresh->name, err);
    rc = rc < 0 ? rc
                : run(refresh, "COMMENT ON DATABASE", refresh->name, "IS NULL",
                      err);
    rc = rc < 0 ? rc : ask(refresh, "COMMIT", NULL, NULL, 0, err);
    if (rc < 0) {
        (void)ask(refresh, "ROLLBACK", NULL, NULL, 0, NULL);
    }
    return rc < 0 ? rc : 0;
}

#define IN_USE "55006"

static int
swap(struct refresh *refresh, struct amy_error *err)
{
    struct amy_error why = AMY_ERROR_INIT;
    int rc = 0;

    for (int i = 0; i < SWAP_TRIES; i++) {
        rc = end_sessions(refresh, refresh->fresh, err);
        rc = rc < 0 ? rc : end_sessions(refresh, refresh->name, err);
        if (rc < 0) {
            return rc;
        }
        rc = rename_both(refresh, &why);
        if (rc == 0 || strcmp(why.sqlstate, IN_USE) != 0) {
            break; /* done, or for another reason */
        }
    }
    if (rc < 0) {
        return amy__err(err, rc, "putting the new database in place: %s",
                        why.msg);
    }
    refresh->made = false; /* it is the site's now */
    return 0;
}

/* ---- the whole ---- */

/* What was restored is not harmless: it goes, whatever became of the session
 * that made it. */
static int
drop_fresh(struct refresh *refresh, struct amy_error *err)
{
    struct amy_error why = AMY_ERROR_INIT;
    int rc = -1;

    for (int i = 0; rc < 0 && i < DROP_TRIES; i++) {
        amy__pg_close(refresh->pg);
        refresh->pg = NULL;
        rc = amy__pg_open(&refresh->aside, &refresh->pg, &why);
        rc = rc < 0 ? rc : end_sessions(refresh, refresh->fresh, &why);
        rc = rc < 0 ? rc
                    : run(refresh, "DROP DATABASE IF EXISTS", refresh->fresh,
                          "", &why);
    }
    if (rc < 0) {
        amy__err_prefix(
            err, "'%s' is left, with data of %s as it was: drop it (%.60s); ",
            refresh->fresh, refresh->job->spec.lender, why.msg);
    }
    return rc;
}

static int
look(struct refresh *refresh, struct amy_error *err)
{
    struct amy__job *job = refresh->job;
    AMY_CLEANUP(amy__pg_close_p) struct amy__pg *pg = NULL;
    int rc = 0;

    if (strncmp(job->spec.from, "service=", 8) == 0) {
        return amy__err(err, AMY_EINVAL,
                        "a database that a service file names cannot be "
                        "changed for the scrub command: 'database: {from: "
                        "DATABASE_URL}' in site.yaml");
    }
    rc = borrow(refresh, err);
    rc = rc < 0 ? rc : amy__job_connect(job, &pg, err);
    rc = rc < 0 ? rc : amy__interlock_refuse_pooler(pg, err);
    rc = rc < 0 ? rc : refuse_same(refresh, pg, err);
    amy__loan_seen(&refresh->loan);
    rc = rc < 0 ? rc : name_databases(refresh, pg, err);
    rc = rc < 0 ? rc : connect_aside(refresh, err);
    rc = rc < 0 ? rc : amy__pg_lift_limits(refresh->pg, err);
    return rc < 0 ? rc : refuse_rights(refresh, err);
}

static int
fill(struct refresh *refresh, struct amy_error *err)
{
    struct amy__job *job = refresh->job;
    int rc = drop_leftovers(refresh, err);

    rc = rc < 0 ? rc : note_it(job, err);
    refresh->noted = rc == 0;
    rc = rc < 0 ? rc : make_fresh(refresh, err);
    rc = rc < 0 ? rc : aim(refresh, err);
    job->loan = &refresh->loan;
    rc = rc < 0 ? rc : amy__restore(job, &refresh->loan.manifest, err);
    amy__loan_close_files(&refresh->loan);
    return rc < 0 ? rc
                  : amy__alike_settings(job, refresh->pg, refresh->name, err);
}

static int
go(struct refresh *refresh, struct amy_error *err)
{
    AMY_CLEANUP(scrub_clear) struct scrub scrub = {.words = NULL};
    int rc = look(refresh, err);

    rc = rc < 0 ? rc : prepare_scrub(refresh, &scrub, err);
    rc = rc < 0 ? rc : fill(refresh, err);
    rc = rc < 0 ? rc : scrub_it(refresh, &scrub, err);
    return rc < 0 ? rc : swap(refresh, err);
}

/* What a command, or the server, says quotes rows: that is for who asked, and
 * stays nowhere. */
static void
log_failure(const struct amy__job *job, const char *why)
{
    struct amy__span own = amy__own_words(why);

    amy__job_log(job, "not refreshed from %s: " AMY_SPAN_FMT "%s",
                 job->spec.lender, AMY_SPAN_ARG(own),
                 why[own.n] == '\0' ? ""
                                    : "; what it said may quote data, and "
                                      "is told to who asks alone");
}

int
amy__refresh(struct amy__job *job, struct amy_error *err)
{
    struct refresh refresh = {.job = job};
    int rc = 0;
    int left = 0;

    amy__loan_init(&refresh.loan);
    amy__tool_heed_sigterm();
    /* What we hold is not for other processes of this user, who are the test
     * site's workers. */
    (void)prctl(PR_SET_DUMPABLE, 0);
    rc = go(&refresh, err);
    if (rc < 0 && refresh.made) {
        left = drop_fresh(&refresh, err);
    }
    if (rc < 0) {
        log_failure(job, err == NULL ? "" : err->msg);
    } else {
        amy__job_log(job, "refreshed from %s, backup %s", job->spec.lender,
                     refresh.loan.manifest.name);
        (void)amy__json_set(job->result, "database",
                            amy__json_text(refresh.name));
        amy__job_tell_set(job, &refresh.loan.manifest);
        left = run(&refresh, "DROP DATABASE", refresh.old, "", NULL);
    }
    if (refresh.noted && left == 0) {
        (void)unlinkat(job->sets_fd, AMY__SETS_REFRESHING, 0);
    }
    clear(&refresh);
    return rc;
}

int
amy__refresh_sweep(struct amy__job *job, struct amy_error *err)
{
    struct refresh refresh = {.job = job};
    AMY_CLEANUP(amy__pg_close_p) struct amy__pg *pg = NULL;
    int rc = amy__job_connect(job, &pg, err);

    amy__loan_init(&refresh.loan);
    rc = rc < 0 ? rc : name_databases(&refresh, pg, err);
    rc = rc < 0 ? rc : connect_aside(&refresh, err);
    rc = rc < 0 ? rc : amy__pg_lift_limits(refresh.pg, err);
    rc = rc < 0 ? rc : drop_leftovers(&refresh, err);
    if (rc == 0) {
        (void)unlinkat(job->sets_fd, AMY__SETS_REFRESHING, 0);
        amy__job_log(job, "a refresh was killed: what it left is dropped");
    } else {
        amy__job_log(job, "a refresh was killed: what it left stays: %s",
                     err == NULL ? "" : err->msg);
    }
    clear(&refresh);
    return rc;
}
