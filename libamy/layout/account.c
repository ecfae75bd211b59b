/* Makes system users by useradd(8), as packages do: it knows of ranges of
 * numbers, shadow files and locks. */
/* Not for whom a site may run as: site/owner.c. */
#include "layout/account.h"

#include "backup/tool.h"
#include "core/error.h"

#include <unistd.h>

#define USERADD "/usr/sbin/useradd"
#define PATIENCE_MS 30000

int
amy__layout_account_make(const char *name, struct amy_error *err)
{
    static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
    static char locale[] = "LC_ALL=C";
    char *const environment[] = {path, locale, NULL};
    const char *const argv[] = {USERADD,        "--system",
                                "--user-group", "--no-create-home",
                                "--home-dir",   "/nonexistent",
                                "--shell",      "/usr/sbin/nologin",
                                name,           NULL};
    char said[256] = "";
    int rc = 0;

    if (access(USERADD, X_OK) != 0) {
        return amy__err(err, AMY_EUNSUPPORTED,
                        "there is no user '%s', and no " USERADD
                        " to make it with: make it yourself, and call again",
                        name);
    }
    rc = amy__tool_output(argv, environment, PATIENCE_MS, said, sizeof(said),
                          err);
    if (rc < 0) {
        amy__err_prefix(err, "making user '%s': ", name);
    }
    return rc;
}
