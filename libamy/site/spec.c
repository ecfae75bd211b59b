/* The keys of site.yaml as one table, and the life of a struct amy__site.
 * Not for rules between keys (rules.c) or files and owners (site.c). */
#include "site/spec.h"

#include <amy/logrotate.h>

#include "backup/cron.h"
#include "backup/zone.h"
#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/digest.h"
#include "core/error.h"

#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>

#define KIB INT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

#define ROW(name, kind_, offset_)                                              \
    .key = (name), .kind = AMY__FIELD_##kind_, .offset = (offset_)
#define END                                                                    \
    {                                                                          \
        .key = NULL                                                            \
    }

#define SITE(member) offsetof(struct amy__site, member)
#define WORKER(member) offsetof(struct amy__site_worker, member)
#define ROUTE(member) offsetof(struct amy__route, member)
#define LOG_FILE(member) offsetof(struct amy__site_log_file, member)
#define CERT(member) offsetof(struct amy__site_cert, member)

static const struct amy__word stages[] = {
    {"production", 0}, {"test", 1}, {NULL, 0}};

static const struct amy__word http_modes[] = {{"redirect", AMY__HTTP_REDIRECT},
                                              {"serve", AMY__HTTP_SERVE},
                                              {"off", AMY__HTTP_OFF},
                                              {NULL, 0}};

static const struct amy__word replace_modes[] = {
    {"rolling", AMY__REPLACE_ROLLING},
    {"stop-first", AMY__REPLACE_STOP_FIRST},
    {NULL, 0}};

static const struct amy__word rotation_periods[] = {
    {"daily", AMY_LOGROTATE_DAILY},
    {"hourly", AMY_LOGROTATE_HOURLY},
    {"weekly", AMY_LOGROTATE_WEEKLY},
    {"never", AMY_LOGROTATE_NEVER},
    {NULL, 0}};

static const struct amy__word packings[] = {{"gzip", AMY_LOGROTATE_GZIP},
                                            {"zstd", AMY_LOGROTATE_ZSTD},
                                            {"none", AMY_LOGROTATE_PLAIN},
                                            {NULL, 0}};

static const struct amy__word signals[] = {
    {"TERM", SIGTERM}, {"INT", SIGINT},   {"QUIT", SIGQUIT}, {"HUP", SIGHUP},
    {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {NULL, 0}};

/* "immutable", or how long an answer may be kept. */
static bool
set_cache(void *record, struct amy__span text)
{
    struct amy__route *route = record;
    int64_t ms = 0;

    if (text.p == NULL) {
        route->max_age_s = -1;
        return true;
    }
    if (amy__span_eq(text, AMY_SPAN("immutable"))) {
        route->immutable = true;
        return true;
    }
    if (!amy__parse_duration(text, &ms) || ms % SECOND != 0 || ms > 366 * DAY) {
        return false;
    }
    route->max_age_s = ms / SECOND;
    return true;
}

static int
check_absolute(struct amy__span path, struct amy_error *err)
{
    if (!amy__span_starts(path, AMY_SPAN("/"))) {
        return amy__err(err, AMY_EINVAL, "does not begin with '/'");
    }
    return 0;
}

/* A file, or certbot's name of a certificate: what `certbot certificates`
 * prints, and a directory's name below {certificates}. */
static int
check_certificate(struct amy__span text, struct amy_error *err)
{
    if (amy__span_starts(text, AMY_SPAN("/"))) {
        return 0;
    }
    if (text.n == 0 || text.n > NAME_MAX || text.p[0] == '.' ||
        memchr(text.p, '/', text.n) != NULL) {
        return amy__err(err, AMY_EINVAL,
                        "is neither a path from '/' on nor a plain name");
    }
    return 0;
}

static const struct amy__field cert_fields[] = {
    {ROW("certificate", TEXT, CERT(certificate)), .flags = AMY__FIELD_REQUIRED,
     .allowed = "a name below {certificates}, or the path of a PEM file with "
                "the whole chain",
     .check = check_certificate},
    {ROW("key", TEXT, CERT(key)), .allowed = "the path of a PEM file",
     .check = check_absolute},
    END};

static const struct amy__field tls_fields[] = {
    {ROW("certificate", TEXT, SITE(tls_certificate)), .standard = "auto",
     .allowed = "auto, a name below {certificates}, or the path of a PEM file "
                "with the whole chain",
     .check = check_certificate},
    {ROW("key", TEXT, SITE(tls_key)), .allowed = "the path of a PEM file",
     .check = check_absolute},
    {ROW("certificates", MAPS, SITE(certs)), .count_offset = SITE(cert_count),
     .item_size = sizeof(struct amy__site_cert), .max = AMY__SITE_CERTS_MAX,
     .fields = cert_fields},
    END};

static const struct amy__field http_fields[] = {
    {ROW("mode", WORD, SITE(http)), .standard = "redirect",
     .words = http_modes},
    {ROW("except", TEXTS, SITE(http_except)), .flags = AMY__FIELD_NEVER_NULL,
     .allowed = "paths such as /healthz", .max = 256,
     .check = amy__site_check_url_path},
    {ROW("peers", CIDRS, SITE(http_peers)),
     .count_offset = SITE(http_peer_count), .max = 256},
    END};

static const struct amy__field health_fields[] = {
    {ROW("path", TEXT, SITE(health_path)), .standard = "/",
     .allowed = "a path such as /healthz", .check = amy__site_check_url_path},
    {ROW("any_host", BOOL, SITE(health_any_host)), .standard = "false"},
    {ROW("probes", COUNT, SITE(health_probes)), .standard = "3", .min = 1,
     .max = 100},
    {ROW("timeout", DURATION, SITE(health_timeout_ms)), .standard = "10s",
     .min = SECOND, .max = HOUR},
    {ROW("bake", DURATION, SITE(health_bake_ms)), .standard = "5s", .min = 0,
     .max = HOUR},
    END};

static const struct amy__field stop_fields[] = {
    {ROW("signal", WORD, WORKER(stop_signal)), .standard = "TERM",
     .words = signals},
    {ROW("patience", DURATION, WORKER(stop_patience_ms)), .standard = "30s",
     .min = 0, .max = DAY},
    END};

static const struct amy__field socket_fields[] = {
    {ROW("path", TEXT, WORKER(socket)), .flags = AMY__FIELD_REQUIRED,
     .allowed = "an absolute path such as /run/example/web.sock",
     .check = amy__site_check_socket},
    {ROW("group", TEXT, WORKER(socket_group)),
     .allowed = "a system group such as www-data",
     .check = amy__site_check_user},
    END};

static const struct amy__field worker_fields[] = {
    {ROW("name", TEXT, WORKER(name)), .flags = AMY__FIELD_REQUIRED,
     .allowed = "a-z, 0-9, '-' and '_', at most 32 characters",
     .check = amy__site_check_pool},
    {ROW("wsgi", TEXT, WORKER(wsgi)),
     .allowed = "module:callable such as config.wsgi:application",
     .check = amy__site_check_wsgi},
    {ROW("command", TEXTS, WORKER(command)), .flags = AMY__FIELD_SOME,
     .allowed = "the program and its arguments, as a list", .max = 256},
    {ROW("count", COUNT, WORKER(count)), .standard = "1", .min = 1,
     .max = 1000},
    {ROW("slots", COUNT, WORKER(slots)), .standard = "1", .min = 1,
     .max = 10000},
    {ROW("timeout", DURATION, WORKER(timeout_ms)), .standard = "30s",
     .min = 2 * SECOND, .max = DAY},
    {ROW("boot_timeout", DURATION, WORKER(boot_timeout_ms)), .standard = "60s",
     .min = SECOND, .max = HOUR},
    {ROW("replace", WORD, WORKER(replace)), .standard = "rolling",
     .words = replace_modes},
    {.key = "stop", .kind = AMY__FIELD_MAP, .fields = stop_fields},
    {ROW("after", TEXTS, WORKER(after)), .allowed = "names of other workers",
     .max = 64, .check = amy__site_check_pool},
    {.key = "socket",
     .kind = AMY__FIELD_MAP,
     .fields = socket_fields,
     .short_for = "path"},
    END};

static const struct amy__field route_fields[] = {
    {ROW("path", TEXT, ROUTE(path)), .flags = AMY__FIELD_REQUIRED,
     .allowed = "a path such as /reports/", .check = amy__site_check_url_path},
    {ROW("pool", TEXT, ROUTE(pool)), .allowed = "the name of workers",
     .check = amy__site_check_pool},
    {ROW("upstream", TEXTS, ROUTE(upstream)), .flags = AMY__FIELD_SOME,
     .allowed = "addresses such as 127.0.0.1:9000, \"[::1]:9000\" or "
                "unix:/run/app.sock",
     .max = 64, .check = amy__site_check_upstream},
    {ROW("slots", COUNT, ROUTE(slots)), .standard = "1000", .min = 1,
     .max = 10000},
    {ROW("files", TEXT, ROUTE(files)),
     .allowed = "a directory beneath the site's, such as repo/staticfiles",
     .check = amy__site_check_files},
    {ROW("cache", CUSTOM, ROUTE(max_age_s)),
     .allowed = "immutable, or a duration such as 1h or 30d", .set = set_cache},
    {ROW("internal", BOOL, ROUTE(internal)), .standard = "false"},
    {ROW("timeout", DURATION, ROUTE(timeout_ms)), .min = SECOND, .max = DAY},
    {ROW("tunnel_idle", DURATION, ROUTE(tunnel_idle_ms)), .min = SECOND,
     .max = 7 * DAY},
    END};

static const struct amy__field limits_fields[] = {
    {ROW("body", SIZE, SITE(body_bytes)), .standard = "20MiB", .min = 0,
     .max = 1024 * GIB},
    {ROW("queue", COUNT, SITE(queue_length)), .standard = "1000", .min = 0,
     .max = 100000},
    {ROW("queue_time", DURATION, SITE(queue_ms)), .standard = "30s", .min = 0,
     .max = HOUR},
    END};

static const struct amy__field gate_fields[] = {
    {ROW("retry_after", SECONDS, SITE(retry_after_s)), .standard = "2m",
     .min = SECOND, .max = 7 * DAY},
    {ROW("allow", CIDRS, SITE(gate_allow)),
     .count_offset = SITE(gate_allow_count), .max = 256},
    {ROW("except", TEXTS, SITE(gate_except)), .flags = AMY__FIELD_NEVER_NULL,
     .allowed = "paths such as /healthz", .max = 256,
     .check = amy__site_check_url_path},
    END};

static const struct amy__field access_fields[] = {
    {ROW("users", TEXT, SITE(access_users)),
     .allowed = "a file such as /etc/amy/users, or a name in the site's "
                "directory",
     .check = amy__site_check_users},
    {ROW("allow", CIDRS, SITE(access_allow)),
     .count_offset = SITE(access_allow_count), .max = 256},
    {ROW("except", TEXTS, SITE(access_except)), .flags = AMY__FIELD_NEVER_NULL,
     .allowed = "paths such as /healthz, or /hooks/ with what is beneath",
     .max = 256, .check = amy__site_check_url_path},
    {ROW("realm", TEXT, SITE(access_realm)),
     .allowed = "1 to 100 printable ASCII characters without \" and \\",
     .check = amy__site_check_realm},
    END};

static int
check_zone(struct amy__span text, struct amy_error *err)
{
    return amy__zone_check_name(text, err);
}

static int
check_cron(struct amy__span text, struct amy_error *err)
{
    struct amy__cron cron;

    return amy__cron_parse(text, &cron, err);
}

static int
check_time_of_day(struct amy__span text, struct amy_error *err)
{
    struct amy__cron cron = {.any_day = false};

    return amy__cron_add_time(text, &cron, err);
}

static bool
is_in_variable(char c, bool first)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
           (!first && c >= '0' && c <= '9');
}

/* Never a URL, which would be a secret in a file that everybody may read. */
static int
check_variable(struct amy__span text, struct amy_error *err)
{
    for (size_t i = 0; i < text.n; i++) {
        if (!is_in_variable(text.p[i], i == 0)) {
            return amy__err(err, AMY_EINVAL, "is no such name");
        }
    }
    return text.n > 0 && text.n <= 100
               ? 0
               : amy__err(err, AMY_EINVAL, "names nothing");
}

/* A name of a variable, "PG", or "service=NAME"; never a URL, which would be a
 * secret in a file that everybody may read. */
static int
check_database(struct amy__span text, struct amy_error *err)
{
    struct amy__span name = text;
    bool service = amy__span_starts(text, AMY_SPAN("service="));

    if (service) {
        name.p += 8;
        name.n -= 8;
    }
    if (name.n == 0 || name.n > 100) {
        return amy__err(err, AMY_EINVAL, "names nothing");
    }
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool good =
            is_in_variable(c, i == 0) || (service && (c == '-' || c == '.'));

        if (!good) {
            return amy__err(err, AMY_EINVAL, "is no such name");
        }
    }
    return 0;
}

static const struct amy__field database_fields[] = {
    {ROW("from", TEXT, SITE(database_from)), .flags = AMY__FIELD_REQUIRED,
     .allowed = "the name of a variable, PG, or service=NAME",
     .check = check_database},
    END};

static const struct amy__field redis_fields[] = {
    {ROW("from", TEXT, SITE(redis_from)), .flags = AMY__FIELD_REQUIRED,
     .allowed = "the name of a variable", .check = check_variable},
    END};

static const struct amy__field thin_fields[] = {
    {ROW("hourly", COUNT, SITE(backup_hourly)), .min = 1, .max = 100000},
    {ROW("daily", COUNT, SITE(backup_daily)), .min = 1, .max = 100000},
    {ROW("weekly", COUNT, SITE(backup_weekly)), .min = 1, .max = 100000},
    {ROW("monthly", COUNT, SITE(backup_monthly)), .min = 1, .max = 100000},
    END};

/* Its path may be all the secret that it has: never in a message of ours. */
static int
check_webhook(struct amy__span text, struct amy_error *err)
{
    struct amy__span host = text;

    if (!amy__span_starts(text, AMY_SPAN("https://"))) {
        return amy__err(err, AMY_EINVAL, "is no address by https");
    }
    host.p += 8;
    host.n -= 8;
    if (text.n > 1000 || host.n == 0 || host.p[0] == '/') {
        return amy__err(err, AMY_EINVAL,
                        host.n == 0 || host.p[0] == '/' ? "names no host"
                                                        : "is too long");
    }
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] <= ' ' || text.p[i] > '~' || text.p[i] == '@') {
            return amy__err(err, AMY_EINVAL,
                            "has what must be written as %%xx");
        }
    }
    return 0;
}

static const struct amy__field alarm_fields[] = {
    {ROW("command", TEXTS, SITE(backup_alarm_command)),
     .flags = AMY__FIELD_SOME,
     .allowed = "a program with a slash and its arguments, as a list",
     .max = 64},
    {ROW("webhook", TEXT, SITE(backup_alarm_webhook)),
     .flags = AMY__FIELD_SECRET,
     .allowed = "an address such as https://example.org/hook",
     .check = check_webhook},
    {ROW("timeout", DURATION, SITE(backup_alarm_timeout_ms)), .standard = "60s",
     .min = SECOND, .max = HOUR},
    {ROW("age", DURATION, SITE(backup_alarm_age_ms)), .min = MINUTE,
     .max = 366 * DAY},
    END};

static const struct amy__field backup_fields[] = {
    {ROW("every", DURATION, SITE(backup_every_ms)), .min = MINUTE,
     .max = 31 * DAY},
    {ROW("at", TEXTS, SITE(backup_at)), .flags = AMY__FIELD_SOME,
     .allowed = "times of day such as 02:30, as a list", .max = 96,
     .check = check_time_of_day},
    {ROW("cron", TEXT, SITE(backup_cron)),
     .allowed = "five fields such as '30 2 * * mon-fri'", .check = check_cron},
    {ROW("zone", TEXT, SITE(backup_zone)), .standard = "UTC",
     .allowed = "a time zone such as Europe/Zurich", .check = check_zone},
    {ROW("keep", COUNT, SITE(backup_keep)), .standard = "48",
     .test_standard = "8", .min = 1, .max = 100000},
    {ROW("keep_for", DURATION, SITE(backup_keep_for_ms)), .min = HOUR,
     .max = 3660 * DAY},
    {.key = "thin", .kind = AMY__FIELD_MAP, .fields = thin_fields},
    {ROW("drill", DURATION, SITE(backup_drill_ms)), .min = HOUR,
     .max = 366 * DAY},
    {ROW("silence", DURATION, SITE(backup_silence_ms)), .standard = "10m",
     .min = SECOND, .max = DAY},
    {ROW("retry", DURATION, SITE(backup_retry_ms)), .standard = "1m",
     .min = SECOND, .max = HOUR},
    {.key = "alarm", .kind = AMY__FIELD_MAP, .fields = alarm_fields},
    {ROW("copies", MAPS, SITE(copies)), .count_offset = SITE(copy_count),
     .item_size = sizeof(struct amy__site_copy), .max = AMY__SITE_COPIES_MAX,
     .fields = amy__site_copy_fields},
    {ROW("before_deploy", BOOL, SITE(backup_before_deploy)),
     .standard = "true"},
    END};

static const struct amy__field refresh_fields[] = {
    {ROW("from", TEXT, SITE(refresh_from)),
     .allowed = "the domain of another site", .check = amy__domain_check},
    {.key = "copy", .kind = AMY__FIELD_MAP, .fields = amy__site_place_fields},
    {ROW("scrub", TEXTS, SITE(refresh_scrub)), .flags = AMY__FIELD_SOME,
     .allowed = "a program and its arguments, as a list", .max = 64},
    {ROW("timeout", DURATION, SITE(refresh_timeout_ms)), .standard = "1h",
     .min = SECOND, .max = 7 * DAY},
    END};

static const struct amy__field log_file_fields[] = {
    {ROW("path", TEXT, LOG_FILE(path)), .flags = AMY__FIELD_REQUIRED,
     .allowed = "the name of a log in logs/, such as django.log",
     .check = amy__site_check_log},
    {ROW("signal", WORD, LOG_FILE(signal)), .words = signals},
    {ROW("pid_file", TEXT, LOG_FILE(pid_file)),
     .allowed = "a file beneath the site's directory, such as run/app.pid",
     .check = amy__site_check_files},
    {ROW("command", TEXTS, LOG_FILE(command)), .flags = AMY__FIELD_SOME,
     .allowed = "a program with a slash and its arguments, as a list",
     .max = 64},
    END};

static const struct amy__field logs_fields[] = {
    {ROW("size", SIZE, SITE(logs_size_bytes)), .standard = "50MiB",
     .min = 64 * KIB, .max = 1024 * GIB},
    {ROW("every", WORD, SITE(logs_every)), .standard = "daily",
     .words = rotation_periods},
    {ROW("keep", COUNT, SITE(logs_keep)), .standard = "1000", .min = 1,
     .max = 100000},
    {ROW("max_age", DURATION, SITE(logs_max_age_ms)), .standard = "30d",
     .test_standard = "7d", .min = HOUR, .max = 3660 * DAY},
    {ROW("total", SIZE, SITE(logs_total_bytes)), .standard = "2GiB",
     .test_standard = "256MiB", .min = MIB, .max = 1024 * GIB},
    {ROW("compress", WORD, SITE(logs_packing)), .standard = "gzip",
     .words = packings},
    {ROW("files", MAPS, SITE(log_files)), .count_offset = SITE(log_file_count),
     .item_size = sizeof(struct amy__site_log_file),
     .max = AMY__SITE_LOG_FILES_MAX, .fields = log_file_fields},
    END};

const struct amy__field amy__site_fields[] = {
    {ROW("site", TEXT, SITE(domain)), .flags = AMY__FIELD_REQUIRED,
     .allowed = "the name of this directory, a domain",
     .check = amy__domain_check},
    {ROW("aliases", TEXTS, SITE(aliases)), .flags = AMY__FIELD_NEVER_NULL,
     .allowed = "domains such as www.example.org", .max = 1000,
     .check = amy__domain_check},
    {ROW("stage", BOOL, SITE(stage_test)), .standard = "production",
     .words = stages},
    {ROW("user", TEXT, SITE(user)), .flags = AMY__FIELD_REQUIRED,
     .allowed = "the system user of this site, not root",
     .check = amy__site_check_user},
    {.key = "tls", .kind = AMY__FIELD_MAP, .fields = tls_fields},
    {.key = "http",
     .kind = AMY__FIELD_MAP,
     .fields = http_fields,
     .short_for = "mode"},
    {.key = "health", .kind = AMY__FIELD_MAP, .fields = health_fields},
    {ROW("workers", MAPS, SITE(workers)), .count_offset = SITE(worker_count),
     .item_size = sizeof(struct amy__site_worker), .max = 64,
     .fields = worker_fields},
    {ROW("routes", MAPS, SITE(routes)), .count_offset = SITE(route_count),
     .item_size = sizeof(struct amy__route), .max = 500,
     .fields = route_fields},
    {.key = "limits", .kind = AMY__FIELD_MAP, .fields = limits_fields},
    {.key = "gate", .kind = AMY__FIELD_MAP, .fields = gate_fields},
    {.key = "access", .kind = AMY__FIELD_MAP, .fields = access_fields},
    {.key = "database", .kind = AMY__FIELD_MAP, .fields = database_fields},
    {.key = "redis", .kind = AMY__FIELD_MAP, .fields = redis_fields},
    {.key = "backup", .kind = AMY__FIELD_MAP, .fields = backup_fields},
    {.key = "refresh", .kind = AMY__FIELD_MAP, .fields = refresh_fields},
    {.key = "logs", .kind = AMY__FIELD_MAP, .fields = logs_fields},
    {.key = "deploy",
     .kind = AMY__FIELD_MAP,
     .fields = amy__site_deploy_fields},
    END};

const char *
amy__site_stage(const struct amy__site *site)
{
    return stages[site->stage_test ? 1 : 0].word;
}

const char *
amy__site_tag(const struct amy__site *site)
{
    return site != NULL && site->stage_test ? " stage=test" : "";
}

struct amy__site *
amy__site_ref(struct amy__site *site)
{
    site->refs++;
    return site;
}

void
amy__site_unref(struct amy__site *site)
{
    if (site == NULL || --site->refs > 0) {
        return;
    }
    amy__fields_clear(amy__site_fields, site);
    amy__free(site->text);
    amy__free(site);
}

AMY_DEFINE_CLEANUP(struct amy__site *, amy__site_unref)

/* Known before the rest is read: defaults hang on it. */
static bool
is_test(const struct amy__node *stage)
{
    return stage != NULL && stage->text != NULL &&
           strcmp(stage->text, "test") == 0;
}

/* The tree into the site: keys, then rules. */
static void
fill(struct amy__site *site, const struct amy__document *doc,
     const char *expect_domain, struct amy__report *report)
{
    struct amy__fields_reader reader = {.report = report};
    struct amy__place place = {
        .line = 1, .column = 1, .allowed = "keys and values, see site-yaml.md"};

    if (doc->root == NULL) {
        return; /* the reader of the document said why */
    }
    if (doc->root->kind != AMY__NODE_MAP) {
        amy__report_error(report, &place, "%s where a map belongs",
                          amy__node_kind_name(doc->root));
        return;
    }
    reader.test = is_test(amy__node_get(doc->root, "stage"));
    amy__fields_read(&reader, amy__site_fields, doc->root, site);
    if (!report->out_of_memory) {
        amy__site_apply_rules(site, doc->root, expect_domain, report);
    }
}

int
amy__site_parse(struct amy__span yaml, const char *file,
                const char *expect_domain, amy_problem_fn on_problem,
                void *user, struct amy__site **ret_site, struct amy_error *err)
{
    AMY_CLEANUP(amy__report_clear_p) struct amy__report report = {.count = 0};
    AMY_CLEANUP(amy__document_clear_p) struct amy__document doc = {NULL, NULL};
    AMY_CLEANUP(amy__site_unref_p)
    struct amy__site *site = amy__calloc(1, sizeof(*site));
    int rc = 0;

    if (site == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a site");
    }
    site->refs = 1;
    site->uid = AMY__UID_UNKNOWN;
    site->gid = AMY__GID_UNKNOWN;
    rc = amy__sha256(yaml.p, yaml.n, site->hash, err);
    if (rc < 0) {
        return rc;
    }
    site->text = amy__strndup(yaml.n == 0 ? "" : yaml.p, yaml.n);
    if (site->text == NULL) {
        return amy__err(err, AMY_ENOMEM, "keeping a site");
    }
    amy__report_init(&report, file);
    amy__document_read(&doc, yaml, &report);
    fill(site, &doc, expect_domain, &report);
    rc = amy__report_finish(&report, AMY_EPARSE, on_problem, user, err);
    if (rc < 0) {
        return rc;
    }
    *ret_site = AMY_TAKE(site);
    return 0;
}

const struct amy__site_worker *
amy__site_worker(const struct amy__site *site, struct amy__span name)
{
    for (size_t i = 0; i < site->worker_count; i++) {
        if (site->workers[i].name != NULL &&
            amy__span_eq(amy__span_of(site->workers[i].name), name)) {
            return &site->workers[i];
        }
    }
    return NULL;
}

int64_t
amy__site_kill_after_ms(const struct amy__site *site,
                        const struct amy__site_worker *worker)
{
    int64_t longest_ms = worker->timeout_ms;

    for (size_t i = 0; i < site->route_count; i++) {
        const struct amy__route *route = &site->routes[i];

        if (route->kind == AMY__ROUTE_POOL && route->pool != NULL &&
            strcmp(route->pool, worker->name) == 0 &&
            route->timeout_ms + AMY__SITE_GIVE_UP_MS > longest_ms) {
            longest_ms = route->timeout_ms + AMY__SITE_GIVE_UP_MS;
        }
    }
    return longest_ms;
}
