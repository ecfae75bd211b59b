/* Makes the files of a set: pg_dump's archive through zstd, and the roles. */
/* Not for when, nor for what happens to the set afterwards: job.c. */
#include "backup/interlock.h"
#include "backup/job.h"
#include "backup/zstream.h"
#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/error.h"
#include "core/files.h"
#include "core/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LOOK_MS 500
#define END_MS 60000
#define PIECE ((size_t)256 * 1024)
#define ROLES_MAX ((size_t)8 * 1024 * 1024)
#define WORDS_SIZE 2048

/* One dump under way. */
struct dump {
    struct amy__job *job;
    struct amy__manifest *manifest;
    int set_fd;
    struct amy__pg *pg; /* holds the lock, and looks */
    struct amy__interlock_watch watch;
    struct amy__tool tool;
    struct amy__zwriter *writer;
    uint64_t expected; /* raw bytes that the last one had; 0: none */
    int64_t looked_ms;
    int64_t heard_ms;       /* pg_dump's last bytes */
    char session[48];       /* how the server calls ours */
    char words[WORDS_SIZE]; /* for its programs, what no variable can say */
};

static int
create_file(const struct dump *dump, const char *name, struct amy_error *err)
{
    int fd = openat(dump->set_fd, name,
                    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    return fd < 0 ? amy__err_sys(err, errno, "creating '%s'", name) : fd;
}

static int
sync_file(int fd, const char *name, struct amy_error *err)
{
    return fsync(fd) == 0 ? 0 : amy__err_sys(err, errno, "fsync of %s", name);
}

static struct amy__manifest_file *
add_file(struct amy__manifest *manifest, const char *name)
{
    struct amy__manifest_file *file = &manifest->files[manifest->file_count++];

    *file = (struct amy__manifest_file){.bytes = 0};
    (void)snprintf(file->name, sizeof(file->name), "%s", name);
    return file;
}

/* --- the data --- */

/* Now and then: how far it is, and whom it holds up. */
static int
look(struct dump *dump, struct amy_error *err)
{
    int64_t now_ms = amy__mono_ms(dump->job->borrow_clock);

    dump->job->tables = dump->tool.chatter.tables;
    amy__job_progress(dump->job, "dump", amy__zwriter_raw_bytes(dump->writer),
                      dump->expected);
    if (now_ms - dump->looked_ms < LOOK_MS) {
        return 0;
    }
    dump->looked_ms = now_ms;
    return amy__interlock_look(&dump->watch, dump->pg, now_ms, err);
}

static int
take_piece(struct dump *dump, struct amy_error *err)
{
    static char bytes[PIECE]; /* one process, one thread, one job */
    ssize_t n = read(dump->tool.out_fd, bytes, sizeof(bytes));
    int rc = 0;

    dump->heard_ms = amy__mono_ms(dump->job->borrow_clock);
    if (n == 0) {
        amy__close(&dump->tool.out_fd);
        return 0;
    }
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR
                   ? 0
                   : amy__err_sys(err, errno, "reading from pg_dump");
    }
    rc = amy__zwriter_write(dump->writer, (struct amy__span){bytes, (size_t)n},
                            err);
    if (rc < 0) {
        amy__err_prefix(err, "writing " AMY__SET_DATA ": ");
    }
    return rc;
}

static int
pump(struct dump *dump, struct amy_error *err)
{
    int rc = 0;

    dump->heard_ms = amy__mono_ms(dump->job->borrow_clock);
    while (rc == 0 && dump->tool.out_fd >= 0) {
        int so = amy__tool_wait(&dump->tool, false, LOOK_MS, err);

        rc = so < 0 ? so : 0;
        if (rc == 0 && ((unsigned)so & AMY__TOOL_OUT) != 0) {
            rc = take_piece(dump, err);
        }
        rc = rc < 0 ? rc : look(dump, err);
        rc = rc < 0 ? rc
                    : amy__job_heard(dump->job, "pg_dump", dump->heard_ms, err);
    }
    return rc == 0 ? amy__tool_finish(&dump->tool, END_MS, err) : rc;
}

static int
start_dump(struct dump *dump, struct amy_error *err)
{
    struct amy__manifest *manifest = dump->manifest;
    struct amy__program program;
    const char *argv[] = {program.path,
                          "-Fc",
                          "-Z0",
                          "--verbose", /* which table it is at */
                          "--no-password",
                          "--lock-wait-timeout=30s",
                          "-d",
                          dump->words,
                          NULL};
    int rc = amy__program_find("pg_dump", (int)manifest->server_number,
                               dump->job->environment, &program, err);

    if (rc < 0) {
        return rc;
    }
    (void)snprintf(manifest->dump, sizeof(manifest->dump), "%s",
                   program.version);
    rc = amy__tool_start(&dump->tool, argv, dump->job->environment,
                         AMY__TOOL_OUT, err);
    dump->tool.chatter.verbose = true;
    return rc;
}

/* Its session's name, so that it is found among all; no other process may have
 * it. Goes with what no variable can say. */
static int
name_session(struct dump *dump, struct amy_error *err)
{
    uint8_t salt[8] = {0};
    char hex[2 * sizeof(salt) + 1] = "";
    int rc = amy__random(salt, sizeof(salt), err);

    if (rc < 0) {
        return rc;
    }
    amy__hex(salt, sizeof(salt), hex);
    (void)snprintf(dump->session, sizeof(dump->session), "amy-backup dump %s",
                   hex);
    dump->watch.application = dump->session;
    rc = amy__pg_target_set(&dump->job->target, "application_name",
                            dump->session, err);
    if (rc == 0 &&
        !amy__pg_target_words(&dump->job->target, dump->words, WORDS_SIZE)) {
        rc = amy__err(err, AMY_ELIMIT,
                      "the connection's parameters are too "
                      "long");
    }
    return rc;
}

static int
dump_data(struct dump *dump, struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int fd = create_file(dump, AMY__SET_DATA, err);
    struct amy__manifest_file *file = NULL;
    int rc = fd < 0 ? fd : name_session(dump, err);

    if (rc == 0) {
        rc = amy__zwriter_create(fd, &dump->writer, err);
    }
    if (rc == 0) {
        rc = start_dump(dump, err);
    }
    if (rc == 0) {
        rc = pump(dump, err);
    }
    if (rc < 0) {
        return rc;
    }
    file = add_file(dump->manifest, AMY__SET_DATA);
    rc = amy__zwriter_finish(dump->writer, file->sha256, err);
    if (rc < 0) {
        amy__err_prefix(err, "writing " AMY__SET_DATA ": ");
    }
    file->bytes = amy__zwriter_bytes(dump->writer);
    file->raw_bytes = amy__zwriter_raw_bytes(dump->writer);
    (void)snprintf(dump->manifest->warning, sizeof(dump->manifest->warning),
                   "%s", amy__tool_complaint(&dump->tool));
    return rc == 0 ? sync_file(fd, AMY__SET_DATA, err) : rc;
}

/* --- the roles --- */

/* All that it writes, or why not. */
static int
read_roles(struct dump *dump, const struct amy__program *program,
           bool passwords, struct amy__buf *out, struct amy_error *err)
{
    AMY_CLEANUP(amy__tool_stop_p) struct amy__tool tool = AMY__TOOL_NONE;
    const char *argv[] = {program->path,
                          "--roles-only",
                          "--no-password",
                          "-d",
                          dump->words,
                          "-l",
                          dump->manifest->database,
                          passwords ? NULL : "--no-role-passwords",
                          NULL};
    int rc = amy__tool_start(&tool, argv, dump->job->environment, AMY__TOOL_OUT,
                             err);

    out->len = 0;
    while (rc == 0 && tool.out_fd >= 0) {
        char bytes[8192];
        int so = amy__tool_wait(&tool, false, END_MS, err);
        ssize_t n = so <= 0 ? 0 : read(tool.out_fd, bytes, sizeof(bytes));

        if (n > 0) {
            rc = amy__buf_append(out, bytes, (size_t)n);
        } else if (n == 0 || errno != EAGAIN) {
            amy__close(&tool.out_fd);
        }
    }
    return rc < 0 ? amy__err(err, rc, "reading the roles")
                  : amy__tool_finish(&tool, END_MS, err);
}

static int
write_roles(struct dump *dump, struct amy__span text, struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int fd = create_file(dump, AMY__SET_ROLES, err);
    struct amy__manifest_file *file = NULL;
    uint8_t digest[32] = {0};
    int rc = fd < 0 ? fd : amy__sha256(text.p, text.n, digest, err);

    if (rc == 0) {
        rc = amy__write_all(fd, text.p, text.n, err);
        if (rc < 0) {
            amy__err_prefix(err, "writing " AMY__SET_ROLES ": ");
        }
    }
    if (rc == 0) {
        rc = sync_file(fd, AMY__SET_ROLES, err);
    }
    if (rc < 0) {
        return rc;
    }
    file = add_file(dump->manifest, AMY__SET_ROLES);
    file->bytes = text.n;
    amy__hex(digest, sizeof(digest), file->sha256);
    return 0;
}

/* Beside what pg_dump said, of which half has room. */
static void
add_warning(struct amy__manifest *manifest, const char *why)
{
    char first[sizeof(manifest->warning)];

    memcpy(first, manifest->warning, sizeof(first));
    (void)snprintf(manifest->warning, sizeof(manifest->warning),
                   "%.120s%sno roles: %s", first, first[0] == '\0' ? "" : "; ",
                   why);
}

/* A set without roles is worth having: what the server denies (passwords, as
 * RDS does, or all of it) is a warning. What the disk denies is a failure. */
static int
dump_roles(struct dump *dump, struct amy_error *err)
{
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf text = {NULL, 0, 0, 0};
    struct amy__program program;
    struct amy_error why = AMY_ERROR_INIT;
    int rc = amy__program_find("pg_dumpall", (int)dump->manifest->server_number,
                               dump->job->environment, &program, &why);

    amy__buf_init(&text, ROLES_MAX);
    if (rc == 0) {
        rc = read_roles(dump, &program, true, &text, &why);
    }
    if (rc == AMY_EIO) {
        rc = read_roles(dump, &program, false, &text, &why);
    }
    if (rc < 0) {
        add_warning(dump->manifest, why.msg);
        return 0;
    }
    return write_roles(dump, amy__buf_span(&text), err);
}

/* --- all of it --- */

static void
ask_text(const struct dump *dump, const char *sql, char *buf, size_t size)
{
    if (amy__pg_ask(dump->pg, sql, NULL, buf, size, NULL) < 0) {
        buf[0] = '\0';
    }
}

/* What a server must have so that the set can be restored there. */
static void
ask_what_it_takes(struct dump *dump)
{
    struct amy__manifest *manifest = dump->manifest;
    char count[24] = "";
    uint64_t large_objects = 0;

    /* Servers before 15 keep no version of the collation. */
    ask_text(dump,
             "SELECT datcollate || coalesce(' ' ||"
             " (to_jsonb(d) ->> 'datcollversion'), '')"
             " FROM pg_database d WHERE datname = current_database()",
             manifest->collation, sizeof(manifest->collation));
    ask_text(dump,
             "SELECT string_agg(extname || ' ' || extversion, ', '"
             " ORDER BY extname) FROM pg_extension WHERE extname <> 'plpgsql'",
             manifest->extensions, sizeof(manifest->extensions));
    ask_text(dump, "SELECT count(*) FROM pg_largeobject_metadata", count,
             sizeof(count));
    if (amy__parse_u64(amy__span_of(count), INT64_MAX, &large_objects)) {
        manifest->large_objects = (int64_t)large_objects;
    }
}

/* What can be known before; the log's position is that just before the
 * snapshot, and a standby has none of its own. */
static void
ask_about(struct dump *dump)
{
    struct amy__manifest *manifest = dump->manifest;

    manifest->server_number = amy__pg_server_number(dump->pg);
    (void)snprintf(manifest->server, sizeof(manifest->server), "%s",
                   amy__pg_server_name(dump->pg));
    (void)snprintf(manifest->encoding, sizeof(manifest->encoding), "%s",
                   amy__pg_encoding(dump->pg));
    (void)snprintf(manifest->database, sizeof(manifest->database), "%s",
                   amy__pg_database(dump->pg));
    ask_what_it_takes(dump);
    ask_text(dump,
             "SELECT CASE WHEN pg_is_in_recovery() THEN"
             " pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END",
             manifest->lsn, sizeof(manifest->lsn));
}

/* UINT64_MAX where nobody can tell. */
static uint64_t
free_bytes(int fd)
{
    struct statvfs fs = {0};

    return fstatvfs(fd, &fs) == 0 ? (uint64_t)fs.f_bavail * fs.f_frsize
                                  : UINT64_MAX;
}

/* What no rule keeps goes first when there is no room. The rules keep the
 * newest that is good, whatever else they say. */
static uint64_t
make_room(struct amy__job *job, int fd)
{
    struct amy__json *gone = amy__json_array();
    struct amy_error why = AMY_ERROR_INIT;

    if (amy__prune(job, false, gone, &why) < 0) {
        amy__job_log(job, "not pruned: %s", why.msg);
    }
    (void)amy__json_set(job->result, "made_room", gone);
    return free_bytes(fd);
}

/* As much as the last one and a fifth must fit. */
static int
check_space(const struct dump *dump, struct amy_error *err)
{
    const struct amy__set *last = dump->job->good;
    uint64_t wanted =
        last == NULL ? 0 : amy__manifest_bytes(&last->manifest) / 5 * 6;
    uint64_t there = free_bytes(dump->set_fd);

    if (there < wanted) {
        there = make_room(dump->job, dump->set_fd);
    }
    if (there < wanted) {
        return amy__err(err, AMY_ELIMIT,
                        AMY__SETS_DIRECTORY " has room for %llu bytes; the "
                                            "last backup suggests %llu",
                        (unsigned long long)there, (unsigned long long)wanted);
    }
    return 0;
}

int
amy__dump(struct amy__job *job, struct amy__manifest *manifest, int set_fd,
          struct amy_error *err)
{
    AMY_CLEANUP(amy__pg_close_p) struct amy__pg *pg = NULL;
    const struct amy__set *last = job->good;
    struct dump dump = {.job = job,
                        .manifest = manifest,
                        .set_fd = set_fd,
                        .tool = AMY__TOOL_NONE};
    int rc = check_space(&dump, err);

    if (last != NULL) {
        dump.expected = amy__manifest_raw_bytes(&last->manifest);
        job->of_tables = last->manifest.table_count;
    }
    if (rc == 0) {
        rc = amy__job_connect(job, &pg, err);
    }
    if (rc == 0) {
        rc = amy__interlock_take(pg, err);
    }
    if (rc == AMY_EBUSY) {
        (void)amy__json_set(job->result, "elsewhere", amy__json_bool(true));
    }
    if (rc == 0) {
        dump.pg = pg;
        ask_about(&dump);
        rc = dump_data(&dump, err);
    }
    amy__tool_stop(&dump.tool);
    amy__zwriter_free(dump.writer);
    return rc < 0 ? rc : dump_roles(&dump, err);
}
