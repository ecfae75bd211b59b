/* Sites as directories: which there are, and reading one as the masters must.
 * Not for what a site.yaml may say: spec.c and rules.c. */
#include "site/site.h"

#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "site/fields.h"
#include "site/owner.h"
#include "site/report.h"
#include "site/schema.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SITE_FILE "site.yaml"

AMY_DEFINE_CLEANUP(struct amy__site *, amy__site_unref)
AMY_DEFINE_CLEANUP(char **, amy__texts_free)

/* What one load carries from step to step. */
struct load {
    const struct amy__site_rules *rules;
    amy_problem_fn on_problem;
    void *user;
    char dir_path[PATH_MAX];
    char file_path[PATH_MAX];
};

/* One problem of a whole file or directory, as an error too. */
static int
refuse_whole(const struct load *load, const char *path, int code,
             const char *message, struct amy_error *err)
{
    struct amy_problem problem = {
        .struct_size = sizeof(problem), .file = path, .message = message};

    if (load->on_problem != NULL) {
        load->on_problem(&problem, load->user);
    }
    return amy__err(err, code, "%s: %s", path, message);
}

static int
open_site(const struct load *load, int webapps_fd, const char *domain,
          int *ret_fd, struct amy_error *err)
{
    struct amy_error why = AMY_ERROR_INIT;

    if (amy__domain_check(amy__span_of(domain), &why) < 0) {
        return refuse_whole(load, load->dir_path, AMY_EINVAL, why.msg, err);
    }
    *ret_fd = openat(webapps_fd, domain,
                     O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*ret_fd >= 0) {
        return 0;
    }
    if (errno == ENOTDIR || errno == ELOOP) {
        return refuse_whole(load, load->dir_path, AMY_EINVAL,
                            "is no directory of its own (a link or a file)",
                            err);
    }
    return amy__err_sys(err, errno, "opening '%s'", load->dir_path);
}

/* The bytes, whoever wrote them: whether to believe them comes after. */
static int
read_yaml(const struct load *load, int dir_fd, struct amy__buf *yaml,
          struct stat *ret_stat, struct amy_error *err)
{
    struct amy_error why = AMY_ERROR_INIT;
    int rc = amy__read_file_at(dir_fd, SITE_FILE, AMY__YAML_MAX_BYTES, yaml,
                               ret_stat, &why);

    if (rc < 0 && rc != AMY_ENOTFOUND && rc != AMY_ENOMEM) {
        return refuse_whole(load, load->file_path, rc, why.msg, err);
    }
    if (rc < 0) {
        return amy__err(err, rc, "%s: %s", load->file_path, why.msg);
    }
    return 0;
}

static int
check_owners(const struct load *load, int dir_fd, const struct stat *st,
             struct amy_error *err)
{
    AMY_CLEANUP(amy__report_clear_p) struct amy__report report = {.count = 0};

    amy__report_init(&report, load->file_path);
    amy__owner_check_file(load->rules, st, load->file_path, &report);
    amy__owner_check_chain(load->rules, dir_fd, &report);
    return amy__report_finish(&report, AMY_EDENIED, load->on_problem,
                              load->user, err);
}

static int
parse_and_resolve(const struct load *load, struct amy__span yaml,
                  const char *domain, struct amy__site **ret_site,
                  struct amy_error *err)
{
    AMY_CLEANUP(amy__report_clear_p) struct amy__report report = {.count = 0};
    AMY_CLEANUP(amy__site_unref_p) struct amy__site *site = NULL;
    int rc = amy__site_parse(yaml, load->file_path, domain, load->on_problem,
                             load->user, &site, err);

    if (rc < 0) {
        return rc;
    }
    amy__report_init(&report, load->file_path);
    amy__owner_resolve_user(load->rules, site, &report);
    rc = amy__report_finish(&report, AMY_EPARSE, load->on_problem, load->user,
                            err);
    if (rc < 0) {
        return rc;
    }
    *ret_site = AMY_TAKE(site);
    return 0;
}

static void
start_load(struct load *load, const char *webapps_path, const char *domain,
           const struct amy__site_rules *rules)
{
    load->rules = rules;
    (void)snprintf(load->dir_path, sizeof(load->dir_path), "%s/%s",
                   webapps_path, domain);
    (void)snprintf(load->file_path, sizeof(load->file_path), "%s/%s/%s",
                   webapps_path, domain, SITE_FILE);
}

int
amy__site_load(int webapps_fd, const char *webapps_path, const char *domain,
               const struct amy__site_rules *rules, amy_problem_fn on_problem,
               void *user, struct amy__buf *ret_yaml,
               struct amy__site **ret_site, struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int dir_fd = -1;
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf yaml = {NULL, 0, 0, 0};
    AMY_CLEANUP(amy__site_unref_p) struct amy__site *site = NULL;
    struct load load = {.on_problem = on_problem, .user = user};
    struct amy_error parse_err = AMY_ERROR_INIT;
    struct stat st;
    int rc = 0;
    int parse_rc = 0;

    start_load(&load, webapps_path, domain, rules);
    amy__buf_init(&yaml, AMY__YAML_MAX_BYTES);
    rc = open_site(&load, webapps_fd, domain, &dir_fd, err);
    if (rc == 0) {
        rc = read_yaml(&load, dir_fd, &yaml, &st, err);
    }
    if (rc < 0) {
        return rc;
    }
    /* Both are looked at, so that all faults are told at once. */
    rc = check_owners(&load, dir_fd, &st, err);
    parse_rc = parse_and_resolve(&load, amy__buf_span(&yaml), domain, &site,
                                 rc < 0 ? &parse_err : err);
    if (rc < 0 || parse_rc < 0) {
        return rc < 0 ? rc : parse_rc;
    }
    if (ret_yaml != NULL) {
        rc = amy__buf_append(ret_yaml, yaml.data, yaml.len);
        if (rc < 0) {
            return amy__err(err, rc, "keeping '%s'", load.file_path);
        }
    }
    *ret_site = AMY_TAKE(site);
    return 0;
}

/* --- which there are --- */

static int
by_name(const void *a, const void *b)
{
    const char *const *x = a;
    const char *const *y = b;

    return strcmp(*x, *y);
}

static bool
has_site_file(int webapps_fd, const char *name)
{
    char path[NAME_MAX + sizeof("/" SITE_FILE)];
    struct stat st;

    (void)snprintf(path, sizeof(path), "%s/%s", name, SITE_FILE);
    return name[0] != '.' &&
           fstatat(webapps_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int
collect_names(int webapps_fd, DIR *dir, char ***ret_names,
              struct amy_error *err)
{
    const struct dirent *entry = NULL;
    size_t count = 0;
    size_t room = 0;
    char **names = NULL;

    while ((void)(errno = 0), (void)(entry = readdir(dir)), entry != NULL) {
        if (!has_site_file(webapps_fd, entry->d_name)) {
            continue;
        }
        if (count + 1 >= room) {
            char **more = NULL;

            room = room == 0 ? 64 : room * 2;
            more = amy__realloc(names, room * sizeof(*more));
            if (more == NULL) {
                amy__texts_free(names);
                return amy__err(err, AMY_ENOMEM, "listing sites");
            }
            names = more;
        }
        names[count] = amy__strdup(entry->d_name);
        names[count + 1] = NULL;
        if (names[count++] == NULL) {
            amy__texts_free(names);
            return amy__err(err, AMY_ENOMEM, "listing sites");
        }
    }
    if (errno != 0) {
        amy__texts_free(names);
        return amy__err_sys(err, errno, "reading the directory of sites");
    }
    *ret_names = names;
    return 0;
}

static int
list_names(int webapps_fd, char ***ret_names, struct amy_error *err)
{
    /* A descriptor of its own: the position in a directory is shared. */
    int fd = openat(webapps_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    int rc = 0;

    if (dir == NULL) {
        rc = amy__err_sys(err, errno, "opening the directory of sites");
        amy__close(&fd);
        return rc;
    }
    rc = collect_names(webapps_fd, dir, ret_names, err);
    (void)closedir(dir); /* it was read only: nothing can be lost */
    return rc;
}

int
amy__site_each(int webapps_fd, amy__site_name_fn fn, void *user,
               struct amy_error *err)
{
    AMY_CLEANUP(amy__texts_free_p) char **names = NULL;
    int rc = list_names(webapps_fd, &names, err);
    size_t count = amy__texts_count(names);

    if (rc == 0 && count > 1) {
        qsort(names, count, sizeof(names[0]), by_name);
    }
    for (size_t i = 0; rc == 0 && i < count; i++) {
        rc = fn(names[i], user);
    }
    return rc;
}

int
amy__site_expect_some(int webapps_fd, const char *webapps,
                      amy_problem_fn on_problem, void *user,
                      struct amy_error *err)
{
    AMY_CLEANUP(amy__texts_free_p) char **names = NULL;
    struct amy_problem none = {
        .struct_size = sizeof(none),
        .severity = AMY_SEVERITY_WARNING,
        .file = webapps,
        .message = "no site here: none of its directories has a site.yaml"};
    int rc = list_names(webapps_fd, &names, err);

    if (rc == 0 && amy__texts_count(names) == 0 && on_problem != NULL) {
        on_problem(&none, user);
    }
    return rc;
}
