/* amy.yaml, systemd's variables and the command line, as one struct.
 * Not for anything of one site: spec.c. */
#include "site/settings.h"

#include "core/alloc.h"
#include "core/buf.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "site/fields.h"
#include "site/owner.h"
#include "site/report.h"
#include "site/schema.h"
#include "site/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_CONFIG "/etc/amy/amy.yaml"
#define DEFAULT_WEBAPPS "/webapps"
#define DEFAULT_RUN "/run/amy"
#define DEFAULT_STATE "/var/lib/amy"
#define HTTPS_PORT 443
#define HTTP_PORT 80
#define FRONT_METRICS_PORT 9480
#define WORKERS_METRICS_PORT 9481
#define BACKUP_METRICS_PORT 9482
#define MAX_PROCESSES 256

AMY_DEFINE_CLEANUP(struct amy__settings *, amy__settings_free)

#define AT(member) offsetof(struct amy__settings, member)

static int
check_absolute(struct amy__span path, struct amy_error *err)
{
    if (!amy__span_starts(path, AMY_SPAN("/"))) {
        return amy__err(err, AMY_EINVAL, "does not begin with '/'");
    }
    return 0;
}

/* Figures of all sites are told to whoever asks. */
static int
check_loopback(struct amy__span text, struct amy_error *err)
{
    struct amy__address address;

    if (amy__address_parse(text, 0, &address, err) == 0 &&
        !amy__address_is_loopback(&address)) {
        return amy__err(err, AMY_EINVAL,
                        "'" AMY_SPAN_FMT "' can be reached from elsewhere",
                        AMY_SPAN_ARG(text));
    }
    return 0;
}

#define METRICS(name, member, port)                                            \
    {                                                                          \
        .key = (name), .kind = AMY__FIELD_ADDRESSES, .offset = AT(member),     \
        .count_offset = AT(member##_count), .standard = "[]",                  \
        .allowed = "addresses of loopback such as 127.0.0.1:9480",             \
        .min = (port), .max = 8, .check = check_loopback                       \
    }
static const struct amy__field metrics_fields[] = {
    METRICS("front", front_metrics, FRONT_METRICS_PORT),
    METRICS("workers", workers_metrics, WORKERS_METRICS_PORT),
    METRICS("backup", backup_metrics, BACKUP_METRICS_PORT),
    {.key = NULL}};

static const struct amy__field front_fields[] = {
    {.key = "https",
     .kind = AMY__FIELD_ADDRESSES,
     .offset = AT(https),
     .count_offset = AT(https_count),
     .standard = "[\"*:443\"]",
     .min = HTTPS_PORT,
     .max = 32},
    {.key = "http",
     .kind = AMY__FIELD_ADDRESSES,
     .offset = AT(http),
     .count_offset = AT(http_count),
     .standard = "[\"*:80\"]",
     .min = HTTP_PORT,
     .max = 32},
    {.key = "processes",
     .kind = AMY__FIELD_COUNT,
     .offset = AT(processes),
     .min = 1,
     .max = MAX_PROCESSES},
    {.key = "connections",
     .kind = AMY__FIELD_COUNT,
     .offset = AT(connections),
     .min = 16,
     .max = 1000000},
    {.key = "user",
     .kind = AMY__FIELD_TEXT,
     .offset = AT(front_user),
     .standard = "amy",
     .allowed = "a system user, not root",
     .check = amy__site_check_user},
    {.key = "trusted",
     .kind = AMY__FIELD_CIDRS,
     .offset = AT(trusted),
     .count_offset = AT(trusted_count),
     .max = 1000},
    {.key = NULL}};

static const struct amy__word places_of_logs[] = {
    {"files", 0}, {"stdout", 1}, {NULL, 0}};

const struct amy__field amy__settings_fields[] = {
    {.key = "certificates",
     .kind = AMY__FIELD_TEXT,
     .offset = AT(certificates),
     .standard = "/etc/letsencrypt/live",
     .allowed = "an absolute path",
     .check = check_absolute},
    {.key = "spool",
     .kind = AMY__FIELD_TEXT,
     .offset = AT(spool),
     .allowed = "an absolute path",
     .check = check_absolute},
    {.key = "logs",
     .kind = AMY__FIELD_BOOL,
     .offset = AT(logs_stdout),
     .standard = "files",
     .words = places_of_logs},
    {.key = "front", .kind = AMY__FIELD_MAP, .fields = front_fields},
    {.key = "metrics", .kind = AMY__FIELD_MAP, .fields = metrics_fields},
    {.key = NULL}};

static int
open_made(const char *path, struct amy_error *err)
{
    int rc = amy__make_dirs(path, 0755, err);

    return rc < 0 ? rc : amy__open_dir(path, err);
}

int
amy__settings_open(const struct amy__settings *settings, int *ret_run_fd,
                   int *ret_state_fd, int *ret_webapps_fd,
                   struct amy_error *err)
{
    *ret_run_fd = open_made(settings->run, err);
    if (*ret_run_fd < 0) {
        return *ret_run_fd;
    }
    *ret_state_fd = open_made(settings->state, err);
    if (*ret_state_fd < 0) {
        return *ret_state_fd;
    }
    *ret_webapps_fd = amy__open_dir(settings->webapps, err);
    return *ret_webapps_fd < 0 ? *ret_webapps_fd : 0;
}

void
amy__settings_free(struct amy__settings *settings)
{
    if (settings == NULL) {
        return;
    }
    amy__fields_clear(amy__settings_fields, settings);
    amy__free(settings->config);
    amy__free(settings->webapps);
    amy__free(settings->run);
    amy__free(settings->state);
    amy__free(settings);
}

/* One address on all interfaces, unless the key was given, even as []. */
static bool
default_listener(const struct amy__node *front, const char *key, uint16_t port,
                 struct amy__address **list, size_t *count)
{
    if (amy__node_get(front, key) != NULL) {
        return true;
    }
    *list = amy__calloc(1, sizeof(**list));
    if (*list == NULL) {
        return false;
    }
    *count = 1;
    return amy__address_parse(AMY_SPAN("*"), port, *list, NULL) == 0;
}

static uint32_t
cpu_count(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    if (n < 1) {
        return 1;
    }
    return n > MAX_PROCESSES ? MAX_PROCESSES : (uint32_t)n;
}

static void
fill_defaults(struct amy__settings *settings, const struct amy__node *root,
              struct amy__report *report)
{
    const struct amy__node *front = amy__node_get(root, "front");

    if (!default_listener(front, "https", HTTPS_PORT, &settings->https,
                          &settings->https_count) ||
        !default_listener(front, "http", HTTP_PORT, &settings->http,
                          &settings->http_count)) {
        report->out_of_memory = true;
    }
    if (settings->processes == 0) {
        settings->processes = cpu_count();
    }
}

static void
fill(struct amy__settings *settings, struct amy__span yaml,
     struct amy__report *report)
{
    AMY_CLEANUP(amy__document_clear_p) struct amy__document doc = {NULL, NULL};
    struct amy__fields_reader reader = {.report = report};
    struct amy__place place = {
        .line = 1, .column = 1, .allowed = "keys and values"};

    if (yaml.n > 0) {
        amy__document_read(&doc, yaml, report);
    }
    if (doc.root != NULL && doc.root->kind != AMY__NODE_MAP) {
        amy__report_error(report, &place, "%s where a map belongs",
                          amy__node_kind_name(doc.root));
        return;
    }
    amy__fields_read(&reader, amy__settings_fields, doc.root, settings);
    fill_defaults(settings, doc.root, report);
}

int
amy__settings_parse(struct amy__span yaml, const char *file,
                    amy_problem_fn on_problem, void *user,
                    struct amy__settings **ret_settings, struct amy_error *err)
{
    AMY_CLEANUP(amy__report_clear_p) struct amy__report report = {.count = 0};
    AMY_CLEANUP(amy__settings_free_p)
    struct amy__settings *settings = amy__calloc(1, sizeof(*settings));
    int rc = 0;

    if (settings == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating settings");
    }
    amy__report_init(&report, file);
    fill(settings, yaml, &report);
    rc = amy__report_finish(&report, AMY_EPARSE, on_problem, user, err);
    if (rc < 0) {
        return rc;
    }
    *ret_settings = AMY_TAKE(settings);
    return 0;
}

/* --- the file --- */

/* The directory that holds path, and path's name in it. */
static int
open_above(const char *path, int *ret_fd, const char **ret_name,
           struct amy_error *err)
{
    const char *slash = strrchr(path, '/');
    struct amy__span above = slash == NULL ? AMY_SPAN(".") : AMY_SPAN("/");
    char dir[PATH_MAX];

    if (slash != NULL && slash > path) {
        above = (struct amy__span){path, (size_t)(slash - path)};
    }
    if (!amy__span_copy(above, dir, sizeof(dir))) {
        return amy__err_sys(err, ENAMETOOLONG, "opening it");
    }
    *ret_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*ret_fd < 0) {
        return amy__err_sys(err, errno, "opening '%s'", dir);
    }
    *ret_name = slash == NULL ? path : slash + 1;
    return 0;
}

/* As with a site.yaml: who may write to a directory above the file may put
 * another one in its place. */
static int
check_owner(int dir_fd, const struct stat *st, const char *path,
            amy_problem_fn on_problem, void *user, struct amy_error *err)
{
    AMY_CLEANUP(amy__report_clear_p) struct amy__report report = {.count = 0};
    struct amy__site_rules rules = {.as_person = geteuid() != 0,
                                    .person = geteuid()};

    amy__report_init(&report, path);
    amy__owner_check_file(&rules, st, path, &report);
    amy__owner_check_chain(&rules, dir_fd, &report);
    return amy__report_finish(&report, AMY_EDENIED, on_problem, user, err);
}

/* The bytes of amy.yaml; a default one that is missing has none. */
static int
read_config(const struct amy__settings_args *args, const char *path,
            struct amy__buf *yaml, amy_problem_fn on_problem, void *user,
            struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int dir_fd = -1;
    struct amy_error why = AMY_ERROR_INIT;
    struct amy_problem problem = {
        .struct_size = sizeof(problem), .file = path, .message = why.msg};
    const char *name = NULL;
    struct stat st;
    int rc = open_above(path, &dir_fd, &name, &why);

    if (rc == 0) {
        rc = amy__read_file_at(dir_fd, name, AMY__YAML_MAX_BYTES, yaml, &st,
                               &why);
    }
    if (rc == AMY_ENOTFOUND && args->config == NULL) {
        return 0;
    }
    if (rc < 0) {
        if (on_problem != NULL) {
            on_problem(&problem, user);
        }
        return amy__err(err, rc, "%s: %s", path, why.msg);
    }
    return check_owner(dir_fd, &st, path, on_problem, user, err);
}

/* --- directories --- */

/* systemd gives a list when a unit has several; the first is ours. */
static bool
first_directory(const char *variable, char *buf, size_t size)
{
    struct amy__span rest = amy__span_of(secure_getenv(variable));
    struct amy__span first = {NULL, 0};

    return amy__span_split(&rest, ':', &first) && first.n > 0 &&
           amy__span_copy(first, buf, size);
}

static int
set_absolute(const char *path, char **target, struct amy_error *err)
{
    char here[PATH_MAX];
    char whole[2 * PATH_MAX];

    if (path[0] == '/') {
        *target = amy__strdup(path);
    } else if (getcwd(here, sizeof(here)) == NULL) {
        return amy__err_sys(err, errno, "looking for this directory's name");
    } else {
        (void)snprintf(whole, sizeof(whole), "%s/%s", here, path);
        *target = amy__strdup(whole);
    }
    return *target == NULL ? amy__err(err, AMY_ENOMEM, "keeping '%s'", path)
                           : 0;
}

/* The argument, else the variable, else the standard. */
static int
set_directory(const char *arg, const char *variable, const char *standard,
              char **target, struct amy_error *err)
{
    char buf[PATH_MAX];

    if (arg != NULL) {
        return set_absolute(arg, target, err);
    }
    if (variable != NULL && first_directory(variable, buf, sizeof(buf))) {
        return set_absolute(buf, target, err);
    }
    return set_absolute(standard, target, err);
}

static int
set_spool(struct amy__settings *settings, struct amy_error *err)
{
    char path[PATH_MAX];

    if (settings->spool != NULL) {
        return 0;
    }
    (void)snprintf(path, sizeof(path), "%s/spool", settings->state);
    return set_absolute(path, &settings->spool, err);
}

int
amy__settings_load(const struct amy__settings_args *args,
                   amy_problem_fn on_problem, void *user,
                   struct amy__settings **ret_settings, struct amy_error *err)
{
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf yaml = {NULL, 0, 0, 0};
    AMY_CLEANUP(amy__settings_free_p) struct amy__settings *settings = NULL;
    const char *path = args->config == NULL ? DEFAULT_CONFIG : args->config;
    int rc = 0;

    amy__buf_init(&yaml, AMY__YAML_MAX_BYTES);
    rc = read_config(args, path, &yaml, on_problem, user, err);
    if (rc == 0) {
        rc = amy__settings_parse(amy__buf_span(&yaml), path, on_problem, user,
                                 &settings, err);
    }
    if (rc == 0) {
        rc = set_absolute(path, &settings->config, err);
    }
    if (rc == 0) {
        rc = set_directory(args->webapps, NULL, DEFAULT_WEBAPPS,
                           &settings->webapps, err);
    }
    if (rc == 0) {
        rc = set_directory(args->run, "RUNTIME_DIRECTORY", DEFAULT_RUN,
                           &settings->run, err);
    }
    if (rc == 0) {
        rc = set_directory(args->state, "STATE_DIRECTORY", DEFAULT_STATE,
                           &settings->state, err);
    }
    if (rc == 0) {
        rc = set_spool(settings, err);
    }
    if (rc < 0) {
        return rc;
    }
    *ret_settings = AMY_TAKE(settings);
    return 0;
}

/* --- the front's user --- */

int
amy__settings_front_user(const struct amy__settings *settings,
                         amy_problem_fn on_problem, void *user,
                         struct amy__user *ret_user, struct amy_error *err)
{
    const char *name = settings->front_user;
    struct amy_error why = AMY_ERROR_INIT;
    struct amy_problem problem = {.struct_size = sizeof(problem),
                                  .file = settings->config,
                                  .key = "front.user",
                                  .message = why.msg};
    struct amy__user found = {0};
    int rc = amy__user_find(name, &found, &why);

    if (rc == AMY_ENOTFOUND) {
        rc = amy__err(&why, rc,
                      "there is no user '%s' for the front processes: "
                      "adduser --system --group %s",
                      name, name);
    }
    if (rc < 0) {
        if (on_problem != NULL) {
            on_problem(&problem, user);
        }
        return amy__err(err, rc, "%s", why.msg);
    }
    if (ret_user == NULL) {
        amy__user_clear(&found);
    } else {
        *ret_user = found;
    }
    return 0;
}
