/* Reads amy.yaml and every site.yaml for what is wrong with them. */
/* Not for using any of it. */
#include "site/check.h"

#include "core/cleanup.h"
#include "core/files.h"
#include "site/told.h"

#include <unistd.h>

struct check {
    const struct amy__check_asks *asks;
    const struct amy__settings *settings;
    int webapps_fd;
    amy_problem_fn on_problem;
    void *user;
    int errors;
};

static void
count_problem(const struct amy_problem *problem, void *user)
{
    struct check *check = user;

    check->errors += problem->severity == AMY_SEVERITY_ERROR ? 1 : 0;
    if (check->on_problem != NULL) {
        check->on_problem(problem, check->user);
    }
}

static int
check_site(const char *domain, void *user)
{
    struct check *check = user;
    struct amy__site_rules rules =
        amy__told_rules(check->settings, geteuid() != 0);
    struct amy_error err = AMY_ERROR_INIT;
    struct amy__site *site = NULL;
    int before = check->errors;
    int rc = amy__site_load(check->webapps_fd, check->settings->webapps, domain,
                            &rules, count_problem, check, NULL, &site, &err);

    if (rc >= 0 && check->asks->of_site != NULL) {
        rc = check->asks->of_site(site, &err);
    }
    if (rc < 0 && check->errors == before) {
        struct amy_problem problem = {
            .struct_size = sizeof(problem), .file = domain, .message = err.msg};

        count_problem(&problem, check);
    }
    amy__site_unref(site);
    return 0;
}

static int
check_sites(struct check *check, struct amy_error *err)
{
    const char *webapps = check->settings->webapps;
    AMY_CLEANUP(amy__close_p) int fd = amy__open_dir(webapps, err);
    int rc = fd;

    check->webapps_fd = fd;
    if (rc >= 0) {
        rc = amy__site_each(fd, check_site, check, err);
    }
    if (rc == 0) {
        rc = amy__site_expect_some(fd, webapps, count_problem, check, err);
    }
    return rc < 0 ? rc : check->errors;
}

int
amy__check_all(const struct amy__settings_args *args,
               const struct amy__check_asks *asks, amy_problem_fn on_problem,
               void *user, struct amy_error *err)
{
    struct check check = {.asks = asks, .on_problem = on_problem, .user = user};
    struct amy__settings *settings = NULL;
    int rc = amy__settings_load(args, count_problem, &check, &settings, err);

    if (rc < 0) {
        return check.errors > 0 ? check.errors : rc;
    }
    check.settings = settings;
    if (asks->of_settings != NULL) {
        asks->of_settings(settings, count_problem, &check);
    }
    rc = check_sites(&check, err);
    amy__settings_free(settings);
    return rc;
}
