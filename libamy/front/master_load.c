/* Reading all sites into a new version of the configuration. */
/* Not for handing it to the processes: front/master_bundle.c. */
#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "front/master.h"
#include "front/names.h"
#include "gate/page.h"
#include "site/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One load under way. */
struct loading {
    struct amy_front *front;
    struct amy__front_version *version;
    struct amy__front_site *site; /* being read */
    const char *only;
    size_t places; /* of the bundle */
    struct amy_error *err;
    amy_problem_fn on_problem; /* besides status; or NULL */
    void *problem_user;
};

AMY_DEFINE_CLEANUP(struct amy__front_version *, amy__front_version_free)

void
amy__front_version_free(struct amy__front_version *version)
{
    if (version == NULL) {
        return;
    }
    for (size_t i = 0; version->bundle != NULL && version->sites != NULL &&
                       i < version->bundle->site_count;
         i++) {
        if (version->sites[i] != NULL) {
            amy__site_unref(version->sites[i]);
        }
    }
    amy__free(version->sites);
    amy__bundle_free(version->bundle);
    amy__free(version);
}

/* ---- problems ---- */

static void
on_problem(const struct amy_problem *problem, void *user)
{
    struct loading *loading = user;
    struct amy__json *json = amy__json_object();
    bool is_error = problem->severity == AMY_SEVERITY_ERROR;
    char line[1024] = "";

    if (loading->on_problem != NULL) {
        loading->on_problem(problem, loading->problem_user);
    }
    (void)amy__problem_format(problem, line, sizeof(line));
    amy__log(&loading->front->log, is_error ? AMY_LOG_ERROR : AMY_LOG_WARN,
             "%s", line);
    if (loading->site == NULL) {
        amy__json_free(json);
        return;
    }
    (void)amy__json_set(json, "file", amy__json_text(problem->file));
    (void)amy__json_set(json, "line", amy__json_int(problem->line));
    (void)amy__json_set(json, "column", amy__json_int(problem->column));
    (void)amy__json_set(
        json, "key", amy__json_text(problem->key == NULL ? "" : problem->key));
    (void)amy__json_set(json, "message", amy__json_text(problem->message));
    (void)amy__json_set(
        json, "allowed",
        amy__json_text(problem->allowed == NULL ? "" : problem->allowed));
    (void)amy__json_set(json, "severity",
                        amy__json_text(is_error ? "error" : "warning"));
    (void)amy__json_add(loading->site->problems, json);
}

static void
report_warning(struct loading *loading, const char *name, const char *message)
{
    char file[320] = "";
    struct amy_problem problem = {
        .struct_size = sizeof(problem),
        .file = file,
        .severity = AMY_SEVERITY_WARNING,
        .message = message,
    };

    (void)snprintf(file, sizeof(file), "%s/%s", loading->site->name, name);
    on_problem(&problem, loading);
}

/* ---- what stays ---- */

static uint32_t
free_index(const struct amy_front *front)
{
    bool taken[AMY__SITES_MAX] = {false};

    for (const struct amy__front_site *s = front->sites; s != NULL;
         s = s->next) {
        taken[s->index] = true;
    }
    for (uint32_t i = 0; i < AMY__SITES_MAX; i++) {
        if (!taken[i]) {
            return i;
        }
    }
    return AMY__SITES_MAX;
}

struct amy__front_site *
amy__front_site(struct amy_front *front, const char *name)
{
    struct amy__front_site *site = front->sites;

    while (site != NULL && strcmp(site->name, name) != 0) {
        site = site->next;
    }
    return site;
}

void
amy__front_site_free(struct amy__front_site *site)
{
    if (site == NULL) {
        return;
    }
    amy__front_logs_free(site);
    amy_gate_free(site->gate);
    amy__timer_free(site->page_timer);
    amy__close(&site->dir_fd);
    amy__close(&site->run_fd);
    amy__close(&site->page_fd);
    amy__json_free(site->problems);
    if (site->spec != NULL) {
        amy__site_unref(site->spec);
    }
    if (site->name != NULL) {
        amy__certs_forget(site->front->certs, site->name);
    }
    amy__free(site->name);
    amy__free(site);
}

struct amy__front_site *
amy__front_site_return(struct amy_front *front, const char *name,
                       uint32_t index)
{
    struct amy__front_site *site = amy__calloc(1, sizeof(*site));
    struct amy__front_site **at = &front->sites;

    if (site == NULL) {
        return NULL;
    }
    site->front = front;
    site->dir_fd = -1;
    site->run_fd = -1;
    site->page_fd = -1;
    for (size_t i = 0; i < AMY__FRONT_LOGS; i++) {
        site->logs[i].fd = -1;
    }
    site->index = index;
    site->name = amy__strdup(name);
    if (site->name == NULL || site->index >= AMY__SITES_MAX) {
        amy__front_site_free(site);
        return NULL;
    }
    while (*at != NULL && strcmp((*at)->name, name) < 0) {
        at = &(*at)->next;
    }
    site->next = *at;
    *at = site;
    return site;
}

static struct amy__front_site *
add_site(struct amy_front *front, const char *name)
{
    return amy__front_site_return(front, name, free_index(front));
}

/* The site's directory as it is now; another one than before has a gate of its
 * own. */
static int
enter_directory(struct amy_front *front, struct amy__front_site *site,
                struct amy_error *err)
{
    struct stat before = {0};
    struct stat now = {0};
    int fd = openat(front->webapps_fd, site->name,
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0) {
        return amy__err_sys(err, errno, "opening '%s/%s'",
                            front->settings->webapps, site->name);
    }
    if (site->dir_fd >= 0 && fstat(site->dir_fd, &before) == 0 &&
        fstat(fd, &now) == 0 && before.st_ino == now.st_ino &&
        before.st_dev == now.st_dev) {
        amy__close(&fd);
        return 0;
    }
    amy__close(&site->dir_fd);
    site->dir_fd = fd;
    amy_gate_free(site->gate);
    site->gate = NULL;
    return 0;
}

static int
enter_site(struct amy_front *front, struct amy__front_site *site,
           struct amy_error *err)
{
    gid_t group = front->as_person ? AMY__GID_OURS : front->user.gid;
    int rc = enter_directory(front, site, err);

    if (rc == 0 && site->run_fd < 0) {
        site->run_fd =
            amy__registry_directory(front->run_fd, site->name, group, err);
        rc = site->run_fd < 0 ? site->run_fd : 0;
    }
    if (rc == 0 && site->gate == NULL) {
        rc = amy__front_gate_create(front, site, err);
    }
    return rc;
}

/* ---- one site's part of the bundle ---- */

static int
copy_fd(int fd)
{
    return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

static int
fill_logs(struct loading *loading, const struct amy__site *spec,
          struct amy__bundle_site *one)
{
    char problem[AMY__FRONT_PROBLEM] = "";
    char entry[NAME_MAX + 1] = "";
    int rc =
        amy__front_logs_fill(loading->site, spec, one, problem, loading->err);

    if (rc == 0 && problem[0] != '\0') {
        report_warning(loading, "logs", problem);
    }
    if (rc == 0 && amy__site_logs_leftover(loading->front->settings->webapps,
                                           spec->domain, entry)) {
        (void)snprintf(problem, sizeof(problem),
                       "/etc/logrotate.d/%.200s rotates these files as well: "
                       "remove them there",
                       entry);
        report_warning(loading, "logs", problem);
    }
    return rc;
}

static int
open_down_page(struct loading *loading)
{
    struct amy_error err = AMY_ERROR_INIT;
    struct amy__buf page = {0};
    int fd = -1;
    int rc = 0;

    amy__buf_init(&page, AMY__PAGE_MAX);
    rc = amy__read_file_at(loading->site->dir_fd, "down.html", AMY__PAGE_MAX,
                           &page, NULL, &err);
    if (rc == 0 && page.len > 0) {
        fd = amy__sealed_memfd("amy-down", page.data, page.len, &err);
    } else if (rc < 0 && rc != AMY_ENOTFOUND) {
        report_warning(loading, "down.html", err.msg);
    }
    amy__buf_clear(&page);
    return fd;
}

static const struct amy__bundle_site *
served_now(const struct amy_front *front, const char *name,
           struct amy__site **ret_site)
{
    const struct amy__front_version *current = front->current;

    for (size_t i = 0; current != NULL && i < current->bundle->site_count;
         i++) {
        if (strcmp(current->bundle->sites[i].name, name) == 0) {
            *ret_site = current->sites[i];
            return &current->bundle->sites[i];
        }
    }
    return NULL;
}

static int
fill_users(struct loading *loading, const struct amy__site *spec,
           struct amy__bundle_site *one)
{
    struct amy__front_site *site = loading->site;
    struct amy_error err = AMY_ERROR_INIT;
    int rc =
        amy__front_users_read(loading->front, site, spec, on_problem, loading,
                              &one->users_fd, &site->users, loading->err);

    if (rc == 0 && site->users > 0 &&
        amy__front_checker_start(loading->front, &err) < 0) {
        report_warning(loading, "site.yaml", err.msg); /* 503 to passwords */
    }
    return rc;
}

static int
fill_place(struct loading *loading, const struct amy__site *spec,
           struct amy__span yaml, struct amy__bundle_site *one)
{
    struct amy_front *front = loading->front;
    struct amy__front_site *site = loading->site;
    int rc = 0;

    one->name = amy__strdup(site->name);
    if (one->name == NULL) {
        return amy__err(loading->err, AMY_ENOMEM, "reading a site");
    }
    one->index = site->index;
    one->yaml_fd = amy__sealed_memfd("amy-site", yaml.p, yaml.n, loading->err);
    one->dir_fd = copy_fd(site->dir_fd);
    one->run_fd = copy_fd(site->run_fd);
    if (one->yaml_fd < 0 || one->dir_fd < 0 || one->run_fd < 0) {
        return amy__err(loading->err, AMY_EIO, "site '%s': no descriptors left",
                        site->name);
    }
    rc = amy__front_certs_fill(front, spec, one, loading->err);
    if (rc < 0) {
        return rc;
    }
    rc = fill_users(loading, spec, one);
    if (rc < 0) {
        return rc;
    }
    rc = fill_logs(loading, spec, one);
    one->down_fd = open_down_page(loading);
    return rc;
}

/* For status; what the daemon's log tells of a closed site. */
static void
keep_spec(struct amy__front_site *site, struct amy__site *spec)
{
    struct amy_front *front = site->front;

    if (site->spec != NULL) {
        amy__site_unref(site->spec);
    }
    site->spec = amy__site_ref(spec);
    if (spec->closed) {
        amy__log(&front->log, AMY_LOG_NOTICE,
                 "site is closed to strangers site=%s stage=%s users=%zu "
                 "networks=%zu",
                 site->name, amy__site_stage(spec), site->users,
                 spec->access_allow_count);
    }
}

/* Read one site anew. 0 also when it cannot be served: status says why. */
static int
read_site(struct loading *loading, struct amy__bundle_site *one,
          struct amy__site **ret_spec)
{
    struct amy_front *front = loading->front;
    struct amy__site_source source = {
        .webapps_fd = front->webapps_fd,
        .webapps_path = front->settings->webapps,
        .state_fd = front->state_fd,
        .daemon = "front",
        .rules = {front->as_person, geteuid(), front->settings->front_user},
        .on_problem = on_problem,
        .problem_user = loading,
    };
    struct amy_error err = AMY_ERROR_INIT;
    struct amy__site *spec = NULL;
    struct amy__buf yaml = {0};
    int rc = 0;

    amy__json_free(loading->site->problems);
    loading->site->problems = amy__json_array();
    amy__buf_init(&yaml, (size_t)64 * 1024);
    rc = amy__site_accept(&source, loading->site->name, &yaml, &spec, &err);
    if (rc >= 0) {
        rc = enter_site(front, loading->site, &err);
    }
    if (rc < 0) {
        amy__log(&front->log, AMY_LOG_ERROR, "site is not served: %s site=%s",
                 err.msg, loading->site->name);
        rc = rc == AMY_ENOMEM ? rc : 0;
    } else {
        rc = fill_place(loading, spec, amy__buf_span(&yaml), one);
        keep_spec(loading->site, spec);
        *ret_spec = rc == 0 ? amy__site_ref(spec) : NULL;
    }
    if (spec != NULL) {
        amy__site_unref(spec);
    }
    amy__buf_clear(&yaml);
    return rc;
}

static int
load_one(const char *name, void *user)
{
    struct loading *loading = user;
    struct amy_front *front = loading->front;
    struct amy__bundle *bundle = loading->version->bundle;
    struct amy__bundle_site *one = &bundle->sites[bundle->site_count];
    struct amy__site *spec = NULL;
    const struct amy__bundle_site *old = served_now(front, name, &spec);
    int rc = 0;

    if (bundle->site_count == loading->places) {
        return amy__err(loading->err, AMY_ELIMIT, "more than %zu sites",
                        loading->places);
    }
    loading->site = amy__front_site(front, name);
    if (loading->site == NULL) {
        loading->site = add_site(front, name);
    }
    if (loading->site == NULL) {
        return amy__err(loading->err, AMY_ENOMEM, "reading a site");
    }
    loading->site->listed = true;
    if (old != NULL && loading->only != NULL &&
        strcmp(loading->only, name) != 0) {
        rc = amy__bundle_site_copy(old, one, loading->err);
        spec = amy__site_ref(spec);
    } else {
        spec = NULL;
        rc = read_site(loading, one, &spec);
    }
    if (rc == 0 && spec != NULL) {
        loading->version->sites[bundle->site_count++] = spec;
        return 0;
    }
    if (spec != NULL) {
        amy__site_unref(spec);
    }
    amy__bundle_site_clear(one);
    return rc;
}

/* ---- names of two ---- */

static void
describe_claim(const char *loser, const char *name, const char *owner,
               amy_problem_fn fn, void *user)
{
    struct amy_problem problem = {.struct_size = sizeof(problem),
                                  .severity = AMY_SEVERITY_ERROR,
                                  .key = "aliases"};
    char file[300] = "";
    char message[600] = "";

    (void)snprintf(file, sizeof(file), "%s/site.yaml", loser);
    (void)snprintf(message, sizeof(message), "'%s' is served as site '%s'",
                   name, owner);
    problem.file = file;
    problem.message = message;
    fn(&problem, user);
}

/* Only sites that were read now: the others have been told. */
static void
on_claim(size_t loser, const char *name, size_t owner, void *user)
{
    struct loading *loading = user;
    struct amy__site *const *sites = loading->version->sites;
    const char *domain = sites[loser]->domain;

    if (loading->only != NULL && strcmp(loading->only, domain) != 0) {
        return;
    }
    loading->site = amy__front_site(loading->front, domain);
    describe_claim(domain, name, sites[owner]->domain, on_problem, loading);
}

/* ---- the whole ---- */

static int
count_one(const char *name, void *user)
{
    size_t *count = user;

    (void)name;
    (*count)++;
    return 0;
}

static uint32_t
port_of(const struct amy__address *addresses, size_t count)
{
    return count == 0 ? 0 : amy__address_port(&addresses[0]);
}

/* What is not of one site. */
static int
fill_bundle(struct amy_front *front, struct amy__bundle *bundle,
            struct amy_error *err)
{
    const struct amy__settings *settings = front->settings;

    bundle->number = ++front->last_bundle;
    bundle->connections = settings->connections;
    bundle->logs_stdout = settings->logs_stdout;
    bundle->https_port = port_of(settings->https, settings->https_count);
    for (size_t i = 0; i < settings->trusted_count; i++) {
        bundle->trusted[i] = settings->trusted[i];
    }
    for (size_t i = 0; i < bundle->event_count; i++) {
        bundle->events[i] = copy_fd(front->events[i]);
        if (bundle->events[i] < 0) {
            return amy__err_sys(err, errno, "copying an eventfd");
        }
    }
    bundle->spool_fd = copy_fd(front->spool_fd);
    bundle->words_fd = copy_fd(front->words_fd);
    bundle->slots_fd = copy_fd(front->slots_fd);
    bundle->locks_fd = copy_fd(front->locks_fd);
    return bundle->words_fd < 0 || bundle->slots_fd < 0 || bundle->locks_fd < 0
               ? amy__err_sys(err, errno, "copying descriptors")
               : 0;
}

int
amy__front_version_create(struct amy_front *front, size_t places,
                          struct amy__front_version **ret_version,
                          struct amy_error *err)
{
    AMY_CLEANUP(amy__front_version_free_p)
    struct amy__front_version *version = amy__calloc(1, sizeof(*version));
    int rc = 0;

    if (version == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a version");
    }
    rc = amy__bundle_create(places, front->settings->trusted_count,
                            AMY__PROCESSES_MAX, &version->bundle, err);
    if (rc < 0) {
        return rc;
    }
    version->bundle->site_count = 0; /* grows, up to places */
    version->sites = amy__calloc(places + 1, sizeof(struct amy__site *));
    if (version->sites == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a version");
    }
    rc = fill_bundle(front, version->bundle, err);
    if (rc == 0) {
        *ret_version = AMY_TAKE(version);
    }
    return rc;
}

int
amy__front_load(struct amy_front *front, const char *only,
                struct amy__front_version **ret_version, struct amy_error *err)
{
    AMY_CLEANUP(amy__front_version_free_p)
    struct amy__front_version *version = NULL;
    struct loading loading = {.front = front, .only = only, .err = err};
    int rc = 0;

    for (struct amy__front_site *s = front->sites; s != NULL; s = s->next) {
        s->listed = false;
    }
    rc = amy__site_each(front->webapps_fd, count_one, &loading.places, err);
    loading.places += 8; /* that appear between the two looks */
    if (rc == 0) {
        rc = amy__front_version_create(front, loading.places, &version, err);
    }
    if (rc < 0) {
        return rc;
    }
    loading.version = version;
    rc = amy__site_each(front->webapps_fd, load_one, &loading, err);
    if (rc == 0) {
        rc = amy__names_judge(version->sites, version->bundle->site_count,
                              on_claim, &loading, err);
    }
    if (rc < 0) {
        return rc;
    }
    *ret_version = AMY_TAKE(version);
    return 0;
}

/* ---- --check ---- */

struct check {
    amy_problem_fn fn;
    void *user;
    bool bad;
};

static void
on_checked(const struct amy_problem *problem, void *user)
{
    struct check *check = user;

    check->bad = check->bad || problem->severity == AMY_SEVERITY_ERROR;
    if (check->fn != NULL) {
        check->fn(problem, check->user);
    }
}

struct check_site {
    struct amy_front *front;
    struct check *check;
    struct amy__site **sites; /* that could be read */
    size_t count;
    size_t room;
};

/* Takes the reference over. */
static int
keep_site(struct check_site *what, struct amy__site *spec)
{
    if (what->count == what->room) {
        size_t room = what->room == 0 ? 64 : what->room * 2;
        struct amy__site **more =
            amy__realloc(what->sites, room * sizeof(*more));

        if (more == NULL) {
            amy__site_unref(spec);
            return AMY_ENOMEM;
        }
        what->sites = more;
        what->room = room;
    }
    what->sites[what->count++] = spec;
    return 0;
}

static void
on_checked_claim(size_t loser, const char *name, size_t owner, void *user)
{
    const struct check_site *what = user;

    describe_claim(what->sites[loser]->domain, name, what->sites[owner]->domain,
                   on_checked, what->check);
}

static int
check_certs(struct check_site *what, const struct amy__site *spec)
{
    struct amy_front *front = what->front;
    struct amy__cert_view view;
    int rc = 0;

    if (front->settings->https_count == 0) {
        return 0;
    }
    rc = amy__certs_read(front->certs, spec, NULL);
    for (size_t i = 0;
         rc == 0 && amy__certs_at(front->certs, spec->domain, i, &view); i++) {
        struct amy_problem problem = {
            .struct_size = sizeof(problem),
            .file = spec->domain,
            .severity = AMY_SEVERITY_ERROR,
            .key = "tls.certificate",
            .message = view.error,
        };

        if (view.error[0] != '\0') {
            on_checked(&problem, what->check);
        }
    }
    return rc;
}

/* As they would be read, in a site that is not served yet. */
static int
check_users(struct check_site *what, const struct amy__site *spec)
{
    struct amy_error err = AMY_ERROR_INIT;
    struct amy__front_site site = {.dir_fd = -1};
    size_t count = 0;
    int fd = -1;
    int rc = 0;

    site.dir_fd = openat(what->front->webapps_fd, spec->domain,
                         O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (site.dir_fd < 0) {
        return 0; /* it is told by who reads site.yaml */
    }
    rc = amy__front_users_read(what->front, &site, spec, on_checked,
                               what->check, &fd, &count, &err);
    amy__close(&fd);
    amy__close(&site.dir_fd);
    return rc;
}

static int
check_one(const char *name, void *user)
{
    struct check_site *what = user;
    struct amy_front *front = what->front;
    const struct amy__site_rules rules = {front->as_person, geteuid(),
                                          front->settings->front_user};
    struct amy_error err = AMY_ERROR_INIT;
    struct amy__site *spec = NULL;
    int rc = 0;

    if (amy__site_load(front->webapps_fd, front->settings->webapps, name,
                       &rules, on_checked, what->check, NULL, &spec,
                       &err) < 0) {
        what->check->bad = true; /* it has been told */
        return 0;
    }
    rc = check_certs(what, spec);
    if (rc == 0) {
        rc = check_users(what, spec);
    }
    if (rc < 0) {
        amy__site_unref(spec);
        return rc;
    }
    return keep_site(what, spec);
}

int
amy__front_load_check(struct amy_front *front, amy_problem_fn fn, void *user,
                      struct amy_error *err)
{
    struct check check = {.fn = fn, .user = user};
    struct check_site what = {.front = front, .check = &check};
    int rc = amy__front_certs_create(front, err);

    if (rc == 0) {
        rc = amy__site_each(front->webapps_fd, check_one, &what, err);
    }
    if (rc == 0) {
        rc = amy__site_expect_some(front->webapps_fd, front->settings->webapps,
                                   on_checked, &check, err);
    }
    if (rc == 0) {
        rc = amy__names_judge(what.sites, what.count, on_checked_claim, &what,
                              err);
    }
    for (size_t i = 0; i < what.count; i++) {
        amy__site_unref(what.sites[i]);
    }
    amy__free(what.sites);
    if (rc < 0) {
        return rc;
    }
    return check.bad ? AMY_EPARSE : 0; /* it has been told */
}
