/* Arguments, environment and program of one worker. */
/* Not for running them: pool/launch.c does. */
#include "core/alloc.h"
#include "core/buf.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "pool/internal.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define PLACE "{position}"
#define DEFAULT_PATH                                                           \
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define ARGUMENT_MAX 131072U

static void
list_free_p(char ***list)
{
    amy__list_free(*list);
}

void
amy__list_free(char **list)
{
    for (size_t i = 0; list != NULL && list[i] != NULL; i++) {
        amy__free(list[i]);
    }
    amy__free(list);
}

static size_t
list_length(const char *const *list)
{
    size_t n = 0;

    while (list != NULL && list[n] != NULL) {
        n++;
    }
    return n;
}

char **
amy__list_copy(const char *const *list)
{
    AMY_CLEANUP(list_free_p)
    char **copy = amy__calloc(list_length(list) + 1, sizeof(*copy));

    for (size_t i = 0; copy != NULL && list != NULL && list[i] != NULL; i++) {
        copy[i] = amy__strdup(list[i]);
        if (copy[i] == NULL) {
            return NULL;
        }
    }
    return AMY_TAKE(copy);
}

static char *
replace_place(const char *text, uint32_t position)
{
    struct amy__buf out;
    char *result = NULL;
    int rc = 0;

    amy__buf_init(&out, ARGUMENT_MAX);
    while (rc == 0) {
        const char *place = strstr(text, PLACE);

        if (place == NULL) {
            rc = amy__buf_append(&out, text, strlen(text) + 1);
            break;
        }
        rc = amy__buf_append(&out, text, (size_t)(place - text));
        if (rc == 0) {
            rc = amy__buf_appendf(&out, "%" PRIu32, position);
        }
        text = place + sizeof(PLACE) - 1;
    }
    if (rc == 0) {
        result = amy__strdup(out.data);
    }
    amy__buf_clear(&out);
    return result;
}

char **
amy__command_argv(const char *const *argv, uint32_t position,
                  struct amy_error *err)
{
    AMY_CLEANUP(list_free_p)
    char **copy = amy__calloc(list_length(argv) + 1, sizeof(*copy));

    for (size_t i = 0; copy != NULL && argv[i] != NULL; i++) {
        copy[i] = replace_place(argv[i], position);
        if (copy[i] == NULL) {
            (void)amy__err(err, AMY_ENOMEM, "copying the arguments");
            return NULL;
        }
    }
    if (copy == NULL) {
        (void)amy__err(err, AMY_ENOMEM, "copying the arguments");
    }
    return AMY_TAKE(copy);
}

static bool
same_name(const char *a, const char *b)
{
    size_t n = strcspn(a, "=");

    return strncmp(a, b, n) == 0 && b[n] == '=';
}

static bool
is_replaced(const char *var, char *const *more, size_t more_count)
{
    for (size_t i = 0; i < more_count; i++) {
        if (same_name(more[i], var)) {
            return true;
        }
    }
    return false;
}

char **
amy__command_envp(const char *const *base, char *const *more, size_t more_count,
                  struct amy_error *err)
{
    static const char *const path_alone[] = {DEFAULT_PATH, NULL};
    const char *const *from = base == NULL ? path_alone : base;
    AMY_CLEANUP(list_free_p)
    char **envp =
        amy__calloc(list_length(from) + more_count + 1, sizeof(*envp));
    size_t n = 0;
    bool whole = envp != NULL;

    for (size_t i = 0; whole && from[i] != NULL; i++) {
        if (!is_replaced(from[i], more, more_count)) {
            envp[n] = amy__strdup(from[i]);
            whole = envp[n++] != NULL;
        }
    }
    for (size_t i = 0; whole && i < more_count; i++) {
        /* The last of one name wins. */
        if (!is_replaced(more[i], more + i + 1, more_count - i - 1)) {
            envp[n] = amy__strdup(more[i]);
            whole = envp[n++] != NULL;
        }
    }
    if (!whole) {
        (void)amy__err(err, AMY_ENOMEM, "copying the environment");
        return NULL;
    }
    return AMY_TAKE(envp);
}

static bool
is_program(const char *path)
{
    AMY_CLEANUP(amy__close_p)
    int fd = open(path, O_PATH | O_CLOEXEC);
    struct stat found = {0};

    /* Whether this user may execute it, execve says. */
    return fd >= 0 && fstat(fd, &found) == 0 && S_ISREG(found.st_mode) &&
           (found.st_mode & 0111) != 0;
}

static const char *
variable(char *const *envp, const char *name)
{
    for (size_t i = 0; envp[i] != NULL; i++) {
        if (same_name(name, envp[i])) {
            return envp[i] + strlen(name) + 1;
        }
    }
    return NULL;
}

/* In one directory of PATH: 1 found and put in argv[0]'s place, 0 not there. */
static int
find_in(struct amy__span dir, char **argv, struct amy_error *err)
{
    char path[PATH_MAX] = "";
    int n = snprintf(path, sizeof(path), AMY_SPAN_FMT "/%s", AMY_SPAN_ARG(dir),
                     argv[0]);
    char *program = NULL;

    /* An empty piece is the working directory for a shell. Not here: it is a
     * well-known trap. */
    if (dir.n == 0 || (size_t)n >= sizeof(path) || !is_program(path)) {
        return 0;
    }
    program = amy__strdup(path);
    if (program == NULL) {
        return amy__err(err, AMY_ENOMEM, "copying a path");
    }
    amy__free(argv[0]);
    argv[0] = program;
    return 1;
}

int
amy__command_find(char **argv, char *const *envp, struct amy_error *err)
{
    const char *path = variable(envp, "PATH");
    struct amy__span rest =
        amy__span_of(path == NULL ? strchr(DEFAULT_PATH, '/') : path);
    struct amy__span dir = {0};

    if (strchr(argv[0], '/') != NULL) {
        return 0;
    }
    while (amy__span_split(&rest, ':', &dir)) {
        int rc = find_in(dir, argv, err);

        if (rc != 0) {
            return rc < 0 ? rc : 0;
        }
    }
    return amy__err(err, AMY_ENOTFOUND, "'%s' is nowhere in PATH", argv[0]);
}
