/* The last accepted copy of each site.yaml, and falling back on it.
 * Not for judging a file: amy__site_load does. */
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "site/owner.h"
#include "site/report.h"
#include "site/schema.h"
#include "site/site.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_FILE "site.yaml"
#define COPY_MODE 0600
#define COPY_DIR_MODE 0700

AMY_DEFINE_CLEANUP(struct amy__site *, amy__site_unref)

/* Go down one step, making it when asked to; closes *fd unless it is the
 * first. */
static int
step_down(int from, bool make, const char *name, int *ret_fd,
          struct amy_error *err)
{
    if (make && mkdirat(from, name, COPY_DIR_MODE) < 0 && errno != EEXIST) {
        return amy__err_sys(err, errno, "making '%s'", name);
    }
    *ret_fd =
        openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*ret_fd < 0) {
        return amy__err_sys(err, errno, "opening '%s'", name);
    }
    return 0;
}

/* {state}/{daemon}/sites */
static int
open_sites(int state_fd, bool make, const char *daemon, int *ret_fd,
           struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int daemon_fd = -1;
    int rc = step_down(state_fd, make, daemon, &daemon_fd, err);

    if (rc == 0) {
        rc = step_down(daemon_fd, make, "sites", ret_fd, err);
    }
    return rc;
}

int
amy__site_state_dir(int state_fd, bool make, const char *daemon,
                    const char *domain, struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int sites_fd = -1;
    int fd = -1;
    int rc = amy__domain_check(amy__span_of(domain), err);

    if (rc == 0) {
        rc = open_sites(state_fd, make, daemon, &sites_fd, err);
    }
    if (rc == 0) {
        rc = step_down(sites_fd, make, domain, &fd, err);
    }
    return rc < 0 ? rc : fd;
}

int
amy__site_save_copy(int state_fd, const char *daemon, const char *domain,
                    struct amy__span yaml, struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int fd = -1;

    fd = amy__site_state_dir(state_fd, true, daemon, domain, err);
    return fd < 0 ? fd
                  : amy__write_file_at(fd, COPY_FILE, yaml.p, yaml.n, COPY_MODE,
                                       err);
}

int
amy__site_read_copy(int state_fd, const char *daemon, const char *domain,
                    struct amy__buf *ret_yaml, struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int fd = -1;

    fd = amy__site_state_dir(state_fd, false, daemon, domain, err);
    return fd < 0 ? fd
                  : amy__read_file_at(fd, COPY_FILE, AMY__YAML_MAX_BYTES,
                                      ret_yaml, NULL, err);
}

int
amy__site_drop_copy(int state_fd, const char *daemon, const char *domain,
                    struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int sites_fd = -1;
    AMY_CLEANUP(amy__close_p) int fd = -1;
    struct amy_error why = AMY_ERROR_INIT;

    fd = amy__site_state_dir(state_fd, false, daemon, domain, &why);
    if (fd < 0) {
        return fd == AMY_ENOTFOUND ? 0 : amy__err(err, fd, "%s", why.msg);
    }
    if (unlinkat(fd, COPY_FILE, 0) < 0 && errno != ENOENT) {
        return amy__err_sys(err, errno, "removing the copy of '%s'", domain);
    }
    /* An empty directory that stays is no copy: nothing depends on this. */
    if (open_sites(state_fd, false, daemon, &sites_fd, NULL) == 0) {
        (void)unlinkat(sites_fd, domain, AT_REMOVEDIR);
    }
    return 0;
}

/* --- accepting --- */

static void
warn(const struct amy__site_source *source, const char *domain,
     const char *text, const struct amy_error *why)
{
    char message[sizeof(why->msg) + 64];
    struct amy_problem problem = {.struct_size = sizeof(problem),
                                  .file = domain,
                                  .severity = AMY_SEVERITY_WARNING,
                                  .message = message};

    (void)snprintf(message, sizeof(message), "%s: %s", text, why->msg);
    if (source->on_problem != NULL) {
        source->on_problem(&problem, source->problem_user);
    }
}

/* Save, unless the same bytes are there: a reload of 200 sites is then 200
 * reads instead of 400 fsyncs. */
static void
keep_copy(const struct amy__site_source *source, const char *domain,
          struct amy__span yaml)
{
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf old = {NULL, 0, 0, 0};
    struct amy_error why = AMY_ERROR_INIT;

    if (source->state_fd < 0) {
        return;
    }
    amy__buf_init(&old, AMY__YAML_MAX_BYTES);
    if (amy__site_read_copy(source->state_fd, source->daemon, domain, &old,
                            NULL) == 0 &&
        amy__span_eq(amy__buf_span(&old), yaml)) {
        return;
    }
    if (amy__site_save_copy(source->state_fd, source->daemon, domain, yaml,
                            &why) < 0) {
        warn(source, domain, "its last accepted copy could not be kept", &why);
    }
}

/* The copy, judged anew: its user may be gone since. */
static int
load_copy(const struct amy__site_source *source, const char *domain,
          struct amy__buf *yaml, struct amy__site **ret_site)
{
    AMY_CLEANUP(amy__report_clear_p) struct amy__report report = {.count = 0};
    AMY_CLEANUP(amy__site_unref_p) struct amy__site *site = NULL;
    int rc = source->state_fd < 0 ? AMY_ENOTFOUND : 0;

    if (rc == 0) {
        rc = amy__site_read_copy(source->state_fd, source->daemon, domain, yaml,
                                 NULL);
    }
    if (rc == 0) {
        rc = amy__site_parse(amy__buf_span(yaml), domain, domain, NULL, NULL,
                             &site, NULL);
    }
    if (rc == 0) {
        amy__report_init(&report, domain);
        amy__owner_resolve_user(&source->rules, site, &report);
        rc = amy__report_finish(&report, AMY_EPARSE, NULL, NULL, NULL);
    }
    if (rc == 0) {
        *ret_site = AMY_TAKE(site);
    }
    return rc;
}

static int
forget_site(const struct amy__site_source *source, const char *domain)
{
    struct amy_error why = AMY_ERROR_INIT;

    if (source->state_fd >= 0 &&
        amy__site_drop_copy(source->state_fd, source->daemon, domain, &why) <
            0) {
        warn(source, domain, "its last accepted copy could not be removed",
             &why);
    }
    return AMY_ENOTFOUND;
}

int
amy__site_accept(const struct amy__site_source *source, const char *domain,
                 struct amy__buf *ret_yaml, struct amy__site **ret_site,
                 struct amy_error *err)
{
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf yaml = {NULL, 0, 0, 0};
    AMY_CLEANUP(amy__site_unref_p) struct amy__site *site = NULL;
    bool from_copy = false;
    int rc = 0;

    amy__buf_init(&yaml, AMY__YAML_MAX_BYTES);
    rc = amy__site_load(source->webapps_fd, source->webapps_path, domain,
                        &source->rules, source->on_problem,
                        source->problem_user, &yaml, &site, err);
    if (rc == AMY_ENOTFOUND) {
        return forget_site(source, domain);
    }
    if (rc == 0) {
        keep_copy(source, domain, amy__buf_span(&yaml));
    } else if (load_copy(source, domain, &yaml, &site) == 0) {
        from_copy = true; /* err keeps the cause */
    } else {
        return rc;
    }
    if (ret_yaml != NULL) {
        rc = amy__buf_append(ret_yaml, yaml.data, yaml.len);
        if (rc < 0) {
            return amy__err(err, rc, "keeping the text of '%s'", domain);
        }
    }
    *ret_site = AMY_TAKE(site);
    return from_copy ? AMY__SITE_FROM_COPY : AMY__SITE_ACCEPTED;
}
