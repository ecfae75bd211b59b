/* A program of a deployment: its start, its lines, its end. */
/* Not for which one: that is the acts'. */
#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "deploy/internal.h"
#include "site/fields.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LINE_MAX_BYTES ((size_t)4096)
#define LINES_MAX                                                              \
    20000U /* of one program: who says more is not listened to                 \
            */
#define TAKEN_MAX ((size_t)1024 * 1024)
#define ROUNDS 64U
#define SWEEPS 20U
#define ENVIRON_MAX ((size_t)2 * 1024 * 1024)

void
amy__deploy_run_init(struct amy__deploy_run *run)
{
    *run = (struct amy__deploy_run){
        .child = {.pidfd = -1}, .out_fd = -1, .taken_fd = -1};
    amy__buf_init(&run->out, LINE_MAX_BYTES);
    amy__buf_init(&run->taken, TAKEN_MAX);
}

static void
close_run(struct amy__deploy_run *run)
{
    amy__io_free(run->ended_io);
    amy__io_free(run->out_io);
    amy__io_free(run->taken_io);
    run->ended_io = NULL;
    run->out_io = NULL;
    run->taken_io = NULL;
    amy__close(&run->out_fd);
    amy__close(&run->taken_fd);
    amy__close(&run->child.pidfd);
}

void
amy__deploy_run_kill(struct amy_deploy *deploy)
{
    struct amy__deploy_run *run = &deploy->run;

    amy__child_end(&run->child, true);
    close_run(run);
}

/* ---- what it says ---- */

/* Colours and the like are for terminals, and names of files for nobody. */
static void
make_plain(char *text)
{
    char *to = text;

    for (const char *from = text; *from != '\0'; from++) {
        if (from[0] == '\x1b' && from[1] == '[') {
            from += 2 + strspn(from + 2, "0123456789;?");
            if (*from == '\0') {
                break;
            }
            continue;
        }
        *to++ =
            (char)((unsigned char)*from < ' ' || *from == '\x7f' ? ' ' : *from);
    }
    *to = '\0';
}

static void
take_line(struct amy_deploy *deploy, struct amy__span line)
{
    struct amy__deploy_run *run = &deploy->run;
    char text[LINE_MAX_BYTES + 1];

    if (!amy__span_copy(line, text, sizeof(text))) {
        return;
    }
    make_plain(text);
    if (text[strspn(text, " ")] == '\0') {
        return;
    }
    /* git says what is wrong first, and then what might be done about it. */
    if (strncmp(run->last, "fatal: ", 7) != 0) {
        (void)snprintf(run->last, sizeof(run->last), "%.500s", text);
    }
    run->waits = run->waits || strstr(text, "LockNotAvailable") != NULL ||
                 strstr(text, "lock timeout") != NULL;
    run->lines++;
    if (run->lines <= LINES_MAX) {
        amy__deploy_tell(deploy, AMY_DEPLOY_OUTPUT, "%s", text);
    } else if (run->lines == LINES_MAX + 1) {
        amy__deploy_tell(deploy, AMY_DEPLOY_OUTPUT,
                         "more lines than %u: the others are left out",
                         LINES_MAX);
    }
}

static void
take_lines(struct amy_deploy *deploy, bool all)
{
    struct amy__buf *out = &deploy->run.out;

    for (;;) {
        const char *end =
            out->len == 0 ? NULL : memchr(out->data, '\n', out->len);
        size_t n = end == NULL ? out->len : (size_t)(end - out->data);

        if (out->len == 0 ||
            (end == NULL && !all && out->len < LINE_MAX_BYTES)) {
            return;
        }
        take_line(deploy, (struct amy__span){out->data, n});
        amy__buf_consume(out, end == NULL ? n : n + 1);
    }
}

/* What there is now, and not without an end. */
static void
read_lines(struct amy_deploy *deploy)
{
    struct amy__deploy_run *run = &deploy->run;
    char bytes[LINE_MAX_BYTES];

    for (unsigned i = 0; i < ROUNDS && run->out_fd >= 0; i++) {
        ssize_t n = read(run->out_fd, bytes, LINE_MAX_BYTES - run->out.len);

        if (n < 0) {
            return;
        }
        if (n == 0) {
            amy__io_free(run->out_io);
            run->out_io = NULL;
            amy__close(&run->out_fd);
            return;
        }
        (void)amy__buf_append(&run->out, bytes, (size_t)n); /* it fits */
        take_lines(deploy, false);
    }
}

static void
read_taken(struct amy_deploy *deploy)
{
    struct amy__deploy_run *run = &deploy->run;
    char bytes[8192];

    for (unsigned i = 0; i < ROUNDS && run->taken_fd >= 0; i++) {
        ssize_t n = read(run->taken_fd, bytes, sizeof(bytes));

        if (n < 0) {
            return;
        }
        if (n == 0 || amy__buf_append(&run->taken, bytes, (size_t)n) < 0) {
            amy__io_free(run->taken_io);
            run->taken_io = NULL;
            amy__close(&run->taken_fd);
            return;
        }
    }
}

static void
on_out(int fd, unsigned what, void *user)
{
    (void)fd;
    (void)what;
    read_lines(user);
}

static void
on_taken(int fd, unsigned what, void *user)
{
    (void)fd;
    (void)what;
    read_taken(user);
}

/* ---- its end ---- */

static int
judge(const struct amy__deploy_run *run, const struct amy__child_exit *how,
      struct amy_error *err)
{
    const char *says = run->last[0] == '\0' ? "" : AMY__SAID;

    if (how->signal != 0) {
        return amy__err(err, AMY_EIO, "ended by signal %d%s%.150s", how->signal,
                        says, run->last);
    }
    if (how->code == 127 && run->last[0] != '\0') {
        return amy__err(err, AMY_ENOTFOUND, "%.200s", run->last);
    }
    return how->code == 0
               ? 0
               : amy__err(err, AMY_EIO, "failed with status %d%s%.150s",
                          how->code, says, run->last);
}

static void
on_ended(int fd, unsigned what, void *user)
{
    struct amy_deploy *deploy = user;
    struct amy__deploy_run *run = &deploy->run;
    struct amy__child_exit how = {.code = -1};
    struct amy_error err = AMY_ERROR_INIT;
    amy__deploy_then_fn then = deploy->then;
    int rc = 0;

    (void)fd;
    (void)what;
    /* What it left in the background ends with it; the leader is not reaped
     * yet, so the group's number is still its own. */
    (void)amy__child_signal_group(&run->child, SIGKILL, NULL);
    read_lines(deploy);
    read_taken(deploy);
    take_lines(deploy, true);
    rc = amy__child_reap(&run->child, &how, &err);
    if (rc == 0) {
        return; /* not yet: the descriptor will say so again */
    }
    close_run(run);
    if (rc > 0) {
        rc = judge(run, &how, &err);
    }
    then(deploy, rc, &err);
}

/* ---- its start ---- */

static void
free_variables(char **list)
{
    for (size_t i = 0; list != NULL && list[i] != NULL; i++) {
        explicit_bzero(list[i], strlen(list[i])); /* passwords among them */
    }
    amy__texts_free(list);
}

/* Replaces one of that name. */
static bool
set_variable(char ***list, const char *name, const char *value)
{
    char *text = NULL;
    size_t n = strlen(name);
    int size = asprintf(&text, "%s=%s", name, value);
    bool done = false;

    if (size < 0) {
        return false;
    }
    for (size_t i = 0; *list != NULL && (*list)[i] != NULL; i++) {
        if (strncmp((*list)[i], name, n) == 0 && (*list)[i][n] == '=') {
            char *copy = amy__strdup(text);

            if (copy != NULL) {
                explicit_bzero((*list)[i], strlen((*list)[i]));
                amy__free((*list)[i]);
                (*list)[i] = copy;
            }
            done = copy != NULL;
            n = 0;
            break;
        }
    }
    if (n > 0) {
        done = amy__texts_add(list, text);
    }
    explicit_bzero(text, strlen(text));
    free(text); /* asprintf's */
    return done;
}

static bool
set_base(const struct amy_deploy *deploy, int who, char ***list)
{
    const struct amy__user *user =
        who == AMY__DEPLOY_AS_SITE ? &deploy->account : &deploy->deployer;

    return set_variable(list, "HOME", user->home) &&
           set_variable(list, "USER", user->name) &&
           set_variable(list, "LOGNAME", user->name);
}

/* What every program of a deployment may know. */
static bool
set_ours(const struct amy_deploy *deploy, char ***list)
{
    const struct amy__deploy_journal *journal = &deploy->journal;
    char path[PATH_MAX + 300];

    (void)snprintf(path, sizeof(path), "%s/%s", deploy->settings->webapps,
                   deploy->domain);
    return set_variable(list, "AMY_DEPLOY", journal->id) &&
           set_variable(list, "AMY_SITE", deploy->domain) &&
           set_variable(list, "AMY_SITE_DIRECTORY", path) &&
           set_variable(list, "AMY_RELEASE", journal->target) &&
           set_variable(list, "AMY_RELEASE_DIRECTORY", deploy->release_path) &&
           set_variable(list, "AMY_PREVIOUS", journal->previous) &&
           set_variable(list, "AMY_REF", journal->ref) &&
           set_variable(list, "AMY_COMMIT", journal->commit);
}

static bool
set_site(const struct amy_deploy *deploy, char ***list)
{
    for (size_t i = 0; deploy->env->vars[i] != NULL; i++) {
        if (!amy__texts_add(list, deploy->env->vars[i])) {
            return false;
        }
    }
    return true;
}

static bool
set_more(const struct amy__deploy_program *program, char ***list)
{
    for (size_t i = 0; program->more[i] != NULL; i++) {
        const char *equals = strchr(program->more[i], '=');
        char name[64];

        if (equals == NULL ||
            !amy__span_copy(
                (struct amy__span){program->more[i],
                                   (size_t)(equals - program->more[i])},
                name, sizeof(name)) ||
            !set_variable(list, name, equals + 1)) {
            return false;
        }
    }
    return true;
}

char **
amy__deploy_variables(const struct amy_deploy *deploy,
                      const struct amy__deploy_program *program)
{
    char **list = NULL;
    bool bare = program->bare || deploy->env == NULL;
    bool done =
        bare ? set_variable(&list, "PATH", "/usr/local/bin:/usr/bin:/bin") &&
                   set_variable(&list, "SHELL", "/bin/bash") &&
                   set_variable(&list, "LANG", "C.UTF-8")
             : set_site(deploy, &list);

    done = done && set_base(deploy, program->who, &list) &&
           set_ours(deploy, &list) && set_more(program, &list);
    if (!done) {
        free_variables(list);
        return NULL;
    }
    return list;
}

static int
make_pipe(int *ret_ours, int *ret_theirs, struct amy_error *err)
{
    int ends[2] = {-1, -1};

    if (pipe2(ends, O_CLOEXEC) < 0) {
        return amy__err_sys(err, errno, "making a pipe");
    }
    *ret_ours = ends[0];
    *ret_theirs = ends[1];
    return fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0
               ? amy__err_sys(err, errno, "preparing a pipe")
               : 0;
}

/* A name without a slash is looked for by env(1), with the child's rights and
 * in the child's PATH. */
static int
pack_argv(const char *const *given, const char *ret[AMY__DEPLOY_ARGS],
          struct amy_error *err)
{
    size_t n = 0;

    if (strchr(given[0], '/') == NULL) {
        ret[n++] = "/usr/bin/env";
    }
    for (size_t i = 0; given[i] != NULL; i++) {
        if (n + 1 >= AMY__DEPLOY_ARGS) {
            return amy__err(err, AMY_ELIMIT, "too many arguments");
        }
        ret[n++] = given[i];
    }
    ret[n] = NULL;
    return 0;
}

static int
spawn(struct amy_deploy *deploy, const struct amy__deploy_program *program,
      char *const *variables, const int theirs[2], struct amy_error *err)
{
    const struct amy__user *user = program->who == AMY__DEPLOY_AS_SITE
                                       ? &deploy->account
                                       : &deploy->deployer;
    const char *argv[AMY__DEPLOY_ARGS];
    const struct amy__spawn_fd fds[] = {
        {program->take ? theirs[1] : theirs[0], 1}, {theirs[0], 2}};
    struct amy__spawn_plan plan = {
        .argv = argv,
        .envp = (const char *const *)variables,
        .cwd_fd = program->cwd_fd,
        .fds = fds,
        .fd_count = 2,
        .set_ids = !deploy->as_person,
        .uid = user->uid,
        .gid = user->gid,
        .groups = user->groups,
        .group_count = user->group_count,
        .drop_capabilities = !deploy->as_person,
        .no_new_privs = true,
        .new_session = true,
        .parent_death_signal = SIGKILL,
        .umask_plus_one = 022 + 1,
        .no_core = true,
    };
    int rc = pack_argv(program->argv, argv, err);

    return rc < 0 ? rc : amy__spawn(&plan, &deploy->run.child, err);
}

static int
watch(struct amy_deploy *deploy, struct amy_error *err)
{
    struct amy__deploy_run *run = &deploy->run;
    int rc = amy__io_create(deploy->base, run->child.pidfd, AMY__IO_READ,
                            on_ended, deploy, &run->ended_io, err);

    if (rc == 0) {
        rc = amy__io_create(deploy->base, run->out_fd, AMY__IO_READ, on_out,
                            deploy, &run->out_io, err);
    }
    if (rc == 0 && run->taken_fd >= 0) {
        rc = amy__io_create(deploy->base, run->taken_fd, AMY__IO_READ, on_taken,
                            deploy, &run->taken_io, err);
    }
    return rc;
}

int
amy__deploy_run(struct amy_deploy *deploy,
                const struct amy__deploy_program *program,
                amy__deploy_then_fn then, struct amy_error *err)
{
    struct amy__deploy_run *run = &deploy->run;
    char **variables = amy__deploy_variables(deploy, program);
    int theirs[2] = {-1, -1};
    int rc = variables == NULL ? amy__err(err, AMY_ENOMEM, "starting a program")
                               : make_pipe(&run->out_fd, &theirs[0], err);

    run->out.len = 0;
    run->taken.len = 0;
    run->last[0] = '\0';
    run->lines = 0;
    run->waits = false;
    if (rc == 0 && program->take) {
        rc = make_pipe(&run->taken_fd, &theirs[1], err);
    }
    if (rc == 0) {
        rc = spawn(deploy, program, variables, theirs, err);
    }
    amy__close(&theirs[0]);
    amy__close(&theirs[1]);
    free_variables(variables);
    rc = rc < 0 ? rc : watch(deploy, err);
    if (rc < 0) {
        amy__deploy_run_kill(deploy);
        return rc;
    }
    deploy->then = then;
    return 0;
}

/* ---- what a killed deployment left ---- */

/* Has it AMY_DEPLOY=id among its first variables? */
static bool
is_of(int proc_fd, const char *pid, const char *id)
{
    AMY_CLEANUP(amy__close_p) int fd = -1;
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf text = {NULL, 0, 0, 0};
    char path[300];
    char wanted[64];
    ssize_t n = 1;

    amy__buf_init(&text, ENVIRON_MAX);
    (void)snprintf(path, sizeof(path), "%s/environ", pid);
    (void)snprintf(wanted, sizeof(wanted), "AMY_DEPLOY=%s", id);
    fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && n > 0 && amy__buf_reserve(&text, 4096) == 0) {
        n = read(fd, text.data + text.len, 4096);
        text.len += n > 0 ? (size_t)n : 0;
    }
    /* With its NUL: an id has no longer one that begins like it. */
    return text.len > 0 &&
           memmem(text.data, text.len, wanted, strlen(wanted) + 1) != NULL;
}

static bool
end_one(int proc_fd, const char *name, const char *id)
{
    AMY_CLEANUP(amy__close_p) int pidfd = -1;
    struct pollfd ended = {.events = POLLIN};
    pid_t pid = (pid_t)strtol(name, NULL, 10);

    if (pid <= 1 || pid == getpid() || !is_of(proc_fd, name, id)) {
        return false;
    }
    pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    /* Once more: the number may be another's by now. */
    if (pidfd < 0 || !is_of(proc_fd, name, id) ||
        syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) != 0) {
        return false;
    }
    ended.fd = pidfd;
    (void)poll(&ended, 1, 1000);
    return true;
}

static unsigned
sweep_once(int proc_fd, const char *id)
{
    int copy = openat(proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    const struct dirent *entry = NULL;
    unsigned count = 0;

    if (dir == NULL) {
        amy__close(&copy);
        return 0;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9') {
            count += end_one(proc_fd, entry->d_name, id);
        }
    }
    (void)closedir(dir);
    return count;
}

unsigned
amy__deploy_run_sweep(const struct amy_deploy *deploy, const char *id)
{
    AMY_CLEANUP(amy__close_p)
    int proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    unsigned count = 0;

    (void)deploy;
    /* They may be starting others meanwhile. */
    for (unsigned i = 0; proc_fd >= 0 && i < SWEEPS; i++) {
        unsigned more = sweep_once(proc_fd, id);

        count += more;
        if (more == 0) {
            break;
        }
    }
    return count;
}
