/* Restores a set into a cluster that is made for it and thrown away. */
/* Not for a database that anybody uses: restore.c. */
#include "backup/job.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define START_MS 60000
#define LOOK_MS 100
#define PATH_SIZE 4096
#define DATABASE "restored"
/* No role of a site's: roles.sql would give that one's preferences to us. */
#define USER "amy-drill"
#define SOCKETS "/tmp"
#define SOCKET_PREFIX "amy-drill-"

struct scratch {
    struct amy__job *job;
    struct amy__manifest *manifest;
    char data[PATH_SIZE]; /* its directory */
    char socket[32];      /* that of its socket; "" while there is none */
    int socket_fd;        /* locked for as long as we live */
    bool restoring;       /* the cluster works: now it is about the set */
    struct amy__pg_target target;
    char **environment;
    struct amy__tool server;
};

/* Its path must be short. Others of this user sweep what nobody holds. */
static int
make_socket_directory(struct scratch *scratch, struct amy_error *err)
{
    (void)snprintf(scratch->socket, sizeof(scratch->socket),
                   SOCKETS "/" SOCKET_PREFIX "XXXXXX");
    if (mkdtemp(scratch->socket) == NULL) {
        scratch->socket[0] = '\0';
        return amy__err_sys(err, errno, "making a directory for a socket");
    }
    scratch->socket_fd =
        open(scratch->socket, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (scratch->socket_fd < 0 || flock(scratch->socket_fd, LOCK_EX) != 0) {
        return amy__err_sys(err, errno, "locking a directory for a socket");
    }
    return 0;
}

/* What a drill that was killed has left, if it is ours: of our user, of that
 * name, and locked by nobody. */
static void
sweep_socket(int dir_fd, const char *name)
{
    static const char *const left[] = {".s.PGSQL.5432", ".s.PGSQL.5432.lock"};
    AMY_CLEANUP(amy__close_p)
    int fd =
        openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st = {0};

    if (fd < 0 || fstat(fd, &st) != 0 || st.st_uid != geteuid() ||
        flock(fd, LOCK_EX | LOCK_NB) != 0) {
        return;
    }
    for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++) {
        (void)unlinkat(fd, left[i], 0);
    }
    (void)unlinkat(dir_fd, name, AT_REMOVEDIR);
}

void
amy__drill_sweep(void)
{
    DIR *dir = opendir(SOCKETS);
    const struct dirent *entry = dir == NULL ? NULL : readdir(dir);

    for (; entry != NULL; entry = readdir(dir)) {
        if (strncmp(entry->d_name, SOCKET_PREFIX, strlen(SOCKET_PREFIX)) == 0) {
            sweep_socket(dirfd(dir), entry->d_name);
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
}

/* The programs know paths, not descriptors. */
static int
find_paths(struct scratch *scratch, struct amy_error *err)
{
    char link[64];
    char sets[PATH_SIZE - 64] = "";
    ssize_t n = 0;

    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d",
                   scratch->job->sets_fd);
    n = readlink(link, sets, sizeof(sets) - 1);
    if (n <= 0) {
        return amy__err_sys(err, errno, "finding " AMY__SETS_DIRECTORY);
    }
    (void)snprintf(scratch->data, sizeof(scratch->data),
                   "%s/" AMY__SETS_SCRATCH, sets);
    return make_socket_directory(scratch, err);
}

/* What leads to the site's server (PGSERVICE, PGHOSTADDR ...) wins over what
 * leads to ours, for libpq in here and in the programs. A drill is the last
 * thing that a job does with a database. */
static void
forget_variables(void)
{
    char **entry = environ;

    while (*entry != NULL) {
        char name[64] = "";
        size_t n = strcspn(*entry, "=");

        if (strncmp(*entry, "PG", 2) == 0 && (*entry)[n] == '=' &&
            n < sizeof(name)) {
            memcpy(name, *entry, n);
        }
        if (name[0] == '\0' || unsetenv(name) != 0) {
            entry++; /* else the next one has moved here */
        }
    }
}

static int
aim(struct scratch *scratch, const char *database, struct amy_error *err)
{
    int rc = amy__pg_target_set(&scratch->target, "host", scratch->socket, err);

    rc =
        rc < 0 ? rc : amy__pg_target_set(&scratch->target, "port", "5432", err);
    rc = rc < 0 ? rc : amy__pg_target_set(&scratch->target, "user", USER, err);
    rc = rc < 0 ? rc
                : amy__pg_target_set(&scratch->target, "dbname", database, err);
    amy__pg_environment_free(scratch->environment);
    scratch->environment = amy__pg_environment(&scratch->target);
    if (rc == 0 && scratch->environment == NULL) {
        rc = amy__err(err, AMY_ENOMEM, "preparing a cluster");
    }
    return rc;
}

static int
find(const struct scratch *scratch, const char *name, struct amy__program *ret,
     struct amy_error *err)
{
    int number = amy__feed_server_number(scratch->manifest);
    int rc = amy__program_find(name, number, scratch->environment, ret, err);

    if (rc == AMY_EUNSUPPORTED) {
        int major = number / 10000;

        return amy__err(err, rc,
                        "trying a restore takes PostgreSQL's server: install "
                        "postgresql-%d",
                        major);
    }
    return rc;
}

static int
make_cluster(struct scratch *scratch, struct amy_error *err)
{
    struct amy__program program;
    char said[256] = "";
    const char *argv[] = {program.path,
                          "--no-sync",
                          "-D",
                          scratch->data,
                          "-A",
                          "trust",
                          "-U",
                          USER,
                          "-E",
                          "UTF8",
                          "--locale=C.UTF-8",
                          NULL};
    int rc = find(scratch, "initdb", &program, err);

    return rc < 0 ? rc
                  : amy__tool_output(argv, scratch->environment, START_MS, said,
                                     sizeof(said), err);
}

/* Nothing of it is meant to last. */
static int
start_server(struct scratch *scratch, struct amy_error *err)
{
    struct amy__program program;
    const char *argv[] = {program.path,
                          "-D",
                          scratch->data,
                          "-k",
                          scratch->socket,
                          "-c",
                          "listen_addresses=",
                          "-c",
                          "fsync=off",
                          "-c",
                          "full_page_writes=off",
                          "-c",
                          "synchronous_commit=off",
                          "-c",
                          "wal_level=minimal",
                          "-c",
                          "max_wal_senders=0",
                          "-c",
                          "autovacuum=off",
                          "-c",
                          "shared_buffers=64MB",
                          NULL};
    int rc = find(scratch, "postgres", &program, err);

    return rc < 0 ? rc
                  : amy__tool_start(&scratch->server, argv,
                                    scratch->environment, 0, err);
}

static int
await_server(struct scratch *scratch, struct amy__pg **ret_pg,
             struct amy_error *err)
{
    const struct amy_clock *clock = scratch->job->borrow_clock;
    int64_t until_ms = amy__mono_ms(clock) + START_MS;

    for (;;) {
        struct amy_error why = AMY_ERROR_INIT;
        int so = 0;

        if (amy__pg_open(&scratch->target, ret_pg, &why) == 0) {
            return 0;
        }
        so = amy__tool_wait(&scratch->server, false, LOOK_MS, err);
        if (so != 0 || amy__mono_ms(clock) > until_ms) {
            return amy__err(err, AMY_ETIMEOUT,
                            "the throw-away cluster does not start" AMY__SAID
                            "%s",
                            amy__tool_complaint(&scratch->server));
        }
    }
}

/* Their grants are left out, but policies name them. What fails is there
 * already. */
static void
restore_roles(struct scratch *scratch)
{
    struct amy__program program;
    char file[PATH_SIZE + 64];
    char said[256] = "";
    const char *argv[] = {program.path, "-X", "-q", "-f", file, NULL};
    char *end = NULL;

    if (amy__manifest_file(scratch->manifest, AMY__SET_ROLES) == NULL ||
        find(scratch, "psql", &program, NULL) < 0) {
        return;
    }
    (void)snprintf(file, sizeof(file), "%s", scratch->data);
    end = strrchr(file, '/');
    (void)snprintf(end, sizeof(file) - (size_t)(end - file), "/%s/%s",
                   scratch->manifest->name, AMY__SET_ROLES);
    (void)amy__tool_output(argv, scratch->environment, START_MS, said,
                           sizeof(said), NULL);
}

static int
restore_data(struct scratch *scratch, struct amy_error *err)
{
    AMY_CLEANUP(amy__tool_stop_p) struct amy__tool tool = AMY__TOOL_NONE;
    struct amy__program program;
    const char *argv[] = {
        program.path, "--exit-on-error", "--no-owner", "--no-privileges",
        "-d",         DATABASE,          NULL};
    struct amy__feed feed = {.job = scratch->job,
                             .manifest = scratch->manifest,
                             .stage = "drill",
                             .tool = &tool};
    int rc = find(scratch, "pg_restore", &program, err);

    if (rc == 0) {
        rc = amy__tool_start(&tool, argv, scratch->environment, AMY__TOOL_IN,
                             err);
    }
    return rc < 0 ? rc : amy__feed(&feed, err);
}

static int
compare(struct scratch *scratch, struct amy_error *err)
{
    AMY_CLEANUP(amy__pg_close_p) struct amy__pg *pg = NULL;
    int rc = amy__pg_open(&scratch->target, &pg, err);

    return rc < 0 ? rc : amy__restore_compare(pg, scratch->manifest, err);
}

/* In the encoding of the one that was dumped: SQL_ASCII fits no other. */
static int
make_database(const struct scratch *scratch, struct amy__pg *pg,
              struct amy_error *err)
{
    static const char word[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
    const char *encoding = scratch->manifest->encoding;
    char sql[160] = "CREATE DATABASE " DATABASE " TEMPLATE template0";
    int rc = 0;

    if (encoding[strspn(encoding, word)] != '\0') {
        return amy__err(err, AMY_EPARSE, "'%s' is no encoding", encoding);
    }
    if (encoding[0] != '\0' && strcmp(encoding, "UTF8") != 0) {
        (void)snprintf(sql, sizeof(sql),
                       "CREATE DATABASE " DATABASE " TEMPLATE template0 "
                       "ENCODING '%s' LC_COLLATE 'C' LC_CTYPE 'C'",
                       encoding);
    }
    rc = amy__pg_ask(pg, sql, NULL, NULL, 0, err);
    return rc < 0 ? rc : 0;
}

static int
try_restore(struct scratch *scratch, struct amy_error *err)
{
    AMY_CLEANUP(amy__pg_close_p) struct amy__pg *pg = NULL;
    int rc = await_server(scratch, &pg, err);

    if (rc == 0) {
        restore_roles(scratch);
        rc = make_database(scratch, pg, err);
    }
    rc = rc < 0 ? rc : aim(scratch, DATABASE, err);
    scratch->restoring = rc == 0;
    rc = rc < 0 ? rc : restore_data(scratch, err);
    return rc < 0 ? rc : compare(scratch, err);
}

static void
clear(struct scratch *scratch)
{
    if (scratch->server.child.pidfd >= 0 && !scratch->server.ended) {
        /* At once, without a checkpoint. */
        (void)amy__child_signal(&scratch->server.child, SIGQUIT, NULL);
    }
    amy__tool_stop(&scratch->server);
    (void)amy__sets_remove_scratch(scratch->job->sets_fd, NULL);
    if (scratch->socket[0] != '\0') {
        (void)rmdir(scratch->socket);
    }
    amy__close(&scratch->socket_fd);
    amy__pg_environment_free(scratch->environment);
    amy__pg_target_clear(&scratch->target);
}

/* Of a connection, of resources, of an operator, of the system: by class. */
static bool
state_blames_host(const char *sqlstate)
{
    static const char *const classes[] = {"08", "53", "57", "58"};

    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        if (strncmp(sqlstate, classes[i], 2) == 0) {
            return true;
        }
    }
    return false;
}

bool
amy__drill_blames_host(const struct amy_error *why)
{
    static const char *const words[] = {
        "No space left on device", "Disk quota exceeded",
        "could not extend file",   "could not write",
        "could not fsync",         "Input/output error",
        "Too many open files",     "out of memory",
        "out of shared memory",    "Cannot allocate memory",
        "extension control file",  "is not available",
        "could not access file",   "could not load library",
        "could not create locale", "server closed the connection",
        "terminating connection",  "connection to server"};

    if (why->source == AMY_SOURCE_SQL) {
        return state_blames_host(why->sqlstate);
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strstr(why->msg, words[i]) != NULL) {
            return true;
        }
    }
    return false;
}

/* The bytes are what was written, and pg_restore has read them: verify came
 * first. What fails now is the set's fault only if the cluster was well. */
static bool
is_fault_of_the_set(const struct scratch *scratch, int rc,
                    const struct amy_error *why)
{
    if (rc != AMY_EPARSE && rc != AMY_EIO) {
        return false;
    }
    return rc == AMY_EPARSE ||
           (scratch->restoring && !amy__drill_blames_host(why));
}

static int
not_tried(int rc, const struct amy_error *why, struct amy_error *err)
{
    return amy__err(err, rc == AMY_EIO ? AMY_ESTATE : rc,
                    "could not be tried: %s", why->msg);
}

/* The verdict, unless it is not the set's fault. */
static int
judge(struct scratch *scratch, int rc, int64_t took_ms,
      const struct amy_error *why, struct amy_error *err)
{
    struct amy__manifest *manifest = scratch->manifest;

    if (rc < 0 && !is_fault_of_the_set(scratch, rc, why)) {
        return not_tried(rc, why, err);
    }
    manifest->verified_ms = amy__wall_ms(scratch->job->borrow_clock);
    if (rc < 0) {
        manifest->verdict = AMY__VERDICT_DAMAGED;
        (void)snprintf(manifest->reason, sizeof(manifest->reason),
                       "restoring it failed: %s", why->msg);
    } else {
        manifest->restore_ms = took_ms > 0 ? took_ms : 1;
        if (manifest->verdict == AMY__VERDICT_PARSED) {
            manifest->verdict = AMY__VERDICT_RESTORED;
        }
    }
    return amy__set_save(scratch->job->sets_fd, manifest, err);
}

int
amy__drill(struct amy__job *job, struct amy__manifest *manifest,
           struct amy_error *err)
{
    struct scratch scratch = {.job = job,
                              .manifest = manifest,
                              .server = AMY__TOOL_NONE,
                              .socket_fd = -1};
    struct amy_error why = AMY_ERROR_INIT;
    int64_t began_ms = 0;
    int rc = find_paths(&scratch, &why);

    forget_variables();
    rc = rc < 0 ? rc : aim(&scratch, "postgres", &why);
    if (rc == 0) {
        rc = make_cluster(&scratch, &why);
    }
    if (rc == 0) {
        rc = start_server(&scratch, &why);
    }
    if (rc < 0) { /* the host's fault, whatever it was */
        clear(&scratch);
        return not_tried(rc, &why, err);
    }
    began_ms = amy__mono_ms(job->borrow_clock);
    rc = try_restore(&scratch, &why);
    (void)amy__tool_wait(&scratch.server, false, 0, NULL);
    scratch.restoring = scratch.restoring && !scratch.server.ended;
    clear(&scratch);
    return judge(&scratch, rc, amy__mono_ms(job->borrow_clock) - began_ms, &why,
                 err);
}
