/* amyctl run: becomes the command, so that the terminal, its signals and the
 * exit status are the command's own. */
/* Not for how: amy_enter_exec() does. */
#include "ctl_enter.h"

#include <amy/enter.h>
#include <amy/error.h>

#include <stdio.h>
#include <string.h>

#define EXIT_NOT_ENTERED 125
#define EXIT_NOT_ALLOWED 126
#define EXIT_NO_SUCH 127

/* All of them but the first, which is in the error. */
struct problems {
    size_t count;
};

static void
show_problem(const struct amy_problem *problem, void *user)
{
    struct problems *problems = user;

    problems->count++;
    (void)fprintf(stderr, "amyctl: %s", problem->file);
    if (problem->line > 0) {
        (void)fprintf(stderr, ":%u:%u", problem->line, problem->column);
    }
    (void)fprintf(stderr, ": %s%s%s\n",
                  problem->key == NULL ? "" : problem->key,
                  problem->key == NULL ? "" : ": ", problem->message);
}

int
ctl_enter(const struct ctl *ctl, int argc, char **argv)
{
    struct amy_enter_options opts = AMY_ENTER_OPTIONS_INIT;
    struct amy_error err = AMY_ERROR_INIT;
    struct amy_enter *enter = NULL;
    struct problems problems = {.count = 0};
    int words = 1; /* before the command */
    int rc = 0;

    words += argc > 1 && strcmp(argv[1], "--") == 0 ? 1 : 0;
    if (words == 1 && argc > 1 && argv[1][0] == '-') {
        return ctl_usage("options of amyctl stand before the site, and -- "
                         "before the command; not ",
                         argv[1]);
    }
    opts.site = argv[0];
    opts.webapps = ctl->webapps;
    opts.on_problem = show_problem;
    opts.user = &problems;
    if (amy_enter_create(&opts, &enter, &err) < 0) {
        if (problems.count == 0) {
            (void)fprintf(stderr, "amyctl: %s\n", err.msg);
        }
        return EXIT_NOT_ENTERED;
    }
    /* argv ends with a NULL, as main's does. */
    rc = amy_enter_exec(
        enter, argc > words ? (const char *const *)argv + words : NULL, &err);
    (void)fprintf(stderr, "amyctl: %s\n", err.msg);
    amy_enter_free(enter);
    return rc == AMY_ENOTFOUND ? EXIT_NO_SUCH : EXIT_NOT_ALLOWED;
}
