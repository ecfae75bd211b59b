/* Finding our own program again, and what the one before us left. */
/* Not for becoming it: amy/upgrade.h. */
#include "daemon_program.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DELETED " (deleted)"

/* As it was called, where that says where it is: a link to another release is
 * followed anew. */
static char *
from_argument(const char *argv0)
{
    char *directory = NULL;
    char *path = NULL;
    int n = 0;

    if (argv0[0] == '/') {
        return strdup(argv0);
    }
    if (strchr(argv0, '/') == NULL) {
        return NULL;
    }
    directory = getcwd(NULL, 0);
    n = directory == NULL ? -1 : asprintf(&path, "%s/%s", directory, argv0);
    free(directory);
    return n < 0 ? NULL : path;
}

char *
program_find(const char *argv0)
{
    char path[PATH_MAX] = "";
    char *found = argv0 == NULL ? NULL : from_argument(argv0);
    size_t n = 0;

    if (found != NULL) {
        return found;
    }
    if (readlink("/proc/self/exe", path, sizeof(path) - 1) <= 0) {
        return NULL;
    }
    n = strlen(path);
    if (n > sizeof(DELETED) &&
        strcmp(path + n - (sizeof(DELETED) - 1), DELETED) == 0) {
        path[n - (sizeof(DELETED) - 1)] = '\0';
    }
    return strdup(path);
}

uint32_t
program_number(const char *text)
{
    char *end = NULL;
    unsigned long number = strtoul(text, &end, 10);

    return end == text || *end != '\0' || number > INT_MAX - 1
               ? 0
               : (uint32_t)number + 1;
}

uint32_t
program_handover(void)
{
    const char *text = getenv("AMY_STATE_FD");
    uint32_t number = text == NULL ? 0 : program_number(text);

    (void)unsetenv("AMY_STATE_FD");
    return number;
}
