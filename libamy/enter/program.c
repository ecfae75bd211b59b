/* Finds a program along the site's PATH: execvpe(3) would take ours, and run a
 * file without a first line by a shell. */
/* Not for running it: become.c. */
#include "enter/program.h"

#include "core/error.h"
#include "core/str.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STANDARD_PATH "/usr/bin:/bin"

/* 0, or AMY_ENOTFOUND, AMY_EDENIED. */
static int
judge(const char *file)
{
    struct stat st;

    if (stat(file, &st) < 0) {
        return errno == EACCES ? AMY_EDENIED : AMY_ENOTFOUND;
    }
    return S_ISREG(st.st_mode) && access(file, X_OK) == 0 ? 0 : AMY_EDENIED;
}

static int
refuse(int code, const char *name, struct amy_error *err)
{
    return amy__err(err, code,
                    code == AMY_EDENIED ? "'%s' may not be run by this user"
                                        : "there is no command '%s'",
                    name);
}

int
amy__enter_find(const char *name, const char *path, char ret[PATH_MAX],
                struct amy_error *err)
{
    struct amy__span rest = amy__span_of(path == NULL ? STANDARD_PATH : path);
    struct amy__span dir = {NULL, 0};
    int code = AMY_ENOTFOUND;

    if (strchr(name, '/') != NULL) {
        size_t n = strlen(name);
        int rc = n < PATH_MAX ? judge(name) : AMY_ENOTFOUND;

        if (rc != 0) {
            return refuse(rc, name, err);
        }
        memcpy(ret, name, n + 1);
        return 0;
    }
    while (name[0] != '\0' && amy__span_split(&rest, ':', &dir)) {
        int n = snprintf(ret, PATH_MAX, AMY_SPAN_FMT "%s%s", AMY_SPAN_ARG(dir),
                         dir.n == 0 ? "./" : "/", name);
        int rc = n < PATH_MAX ? judge(ret) : AMY_ENOTFOUND;

        if (rc == 0) {
            return 0;
        }
        code = rc == AMY_EDENIED ? rc : code;
    }
    return refuse(code, name, err);
}
