/* Finds PostgreSQL's programs. */
/* Not for running them: tool.c. */
#include "backup/program.h"

#include "backup/tool.h"
#include "core/error.h"
#include "core/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VERSION_MS 5000
#define NEWER 10 /* majors after the server's that are looked for */

int
amy__program_major(const char *version)
{
    static const char mark[] = "(PostgreSQL) ";
    const char *at = strstr(version, mark);
    struct amy__span digits = {NULL, 0};
    uint64_t major = 0;

    if (at == NULL) {
        return 0;
    }
    digits.p = at + sizeof(mark) - 1;
    digits.n = strspn(digits.p, "0123456789");
    return amy__parse_u64(digits, 999, &major) ? (int)major : 0;
}

/* Is it one, and new enough? */
static bool
try_path(struct amy__program *ret, char *const *environment, int major)
{
    const char *argv[] = {ret->path, "--version", NULL};

    if (access(ret->path, X_OK) != 0 ||
        amy__tool_output(argv, environment, VERSION_MS, ret->version,
                         sizeof(ret->version), NULL) < 0) {
        return false;
    }
    ret->version[strcspn(ret->version, "\n")] = '\0';
    ret->major = amy__program_major(ret->version);
    return ret->major >= major;
}

static bool
try_path_variable(const char *name, char *const *environment, int major,
                  struct amy__program *ret)
{
    struct amy__span rest = amy__span_of(getenv("PATH"));
    struct amy__span directory = {NULL, 0};

    while (amy__span_split(&rest, ':', &directory)) {
        if (directory.n == 0 || directory.p[0] != '/') {
            continue;
        }
        (void)snprintf(ret->path, sizeof(ret->path), AMY_SPAN_FMT "/%s",
                       AMY_SPAN_ARG(directory), name);
        if (try_path(ret, environment, major)) {
            return true;
        }
    }
    return false;
}

int
amy__program_find(const char *name, int server_number, char *const *environment,
                  struct amy__program *ret, struct amy_error *err)
{
    static const char *const places[] = {"/usr/lib/postgresql/", "/usr/pgsql-"};
    int major = server_number / 10000;

    for (int m = major; m <= major + NEWER; m++) {
        for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
            (void)snprintf(ret->path, sizeof(ret->path), "%s%d/bin/%s",
                           places[i], m, name);
            if (try_path(ret, environment, major)) {
                return 0;
            }
        }
    }
    if (try_path_variable(name, environment, major, ret)) {
        return 0;
    }
    return amy__err(err, AMY_EUNSUPPORTED,
                    "the server is PostgreSQL %d, and there is no %s of %d or "
                    "newer: install postgresql-client-%d",
                    major, name, major, major);
}
