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

int
ctl_enter(const struct ctl *ctl, int argc, char **argv)
{
    struct amy_enter_options opts = AMY_ENTER_OPTIONS_INIT;
    struct amy_error err = AMY_ERROR_INIT;
    struct amy_enter *enter = NULL;
    unsigned errors = 0; /* that were told */
    int words = 1;       /* before the command */
    int rc = 0;

    words += argc > 1 && strcmp(argv[1], "--") == 0 ? 1 : 0;
    if (words == 1 && argc > 1 && argv[1][0] == '-') {
        return ctl_usage("options of amyctl stand before the site, and -- "
                         "before the command; not ",
                         argv[1]);
    }
    opts.site = argv[0];
    opts.webapps = ctl->webapps;
    opts.on_problem = ctl_show_problem;
    opts.user = &errors;
    if (amy_enter_create(&opts, &enter, &err) < 0) {
        if (errors == 0) {
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
