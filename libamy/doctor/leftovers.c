/* Looks for what served, started, rotated and dumped a site before, and would
 * do so beside us. */
/* Not for whether such a program is right for anything else. */
#include "doctor/files.h"
#include "doctor/internal.h"
#include "doctor/text.h"
#include "logrotate/leftover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* One site, as other programs' files would name it. */
struct search {
    struct amy__doctor *doctor;
    const struct amy__site *site;
    char path[4352];  /* /webapps/example.org */
    bool nginx_stays; /* it is in front of our workers, as site.yaml says */
};

static bool
names_site(const struct search *search, struct amy__span text)
{
    return amy__text_names(text, search->site->domain) ||
           amy__text_names(text, search->path);
}

static void
on_nginx(const char *path, struct amy__span text, void *user)
{
    const struct search *search = user;
    struct amy__findings *findings = &search->doctor->findings;

    if (!amy__text_names(text, search->site->domain)) {
        return;
    }
    amy__finding_is(findings, "/%s: nginx still serves %s", path,
                    search->site->domain);
    if (search->nginx_stays) {
        amy__finding_tell(findings, AMY_DOCTOR_INFO, "nginx-site",
                          "nothing, while it is to stand before `socket:` of "
                          "site.yaml");
    } else {
        amy__finding_tell(findings, AMY_DOCTOR_WARNING, "nginx-site",
                          "rm /%s; systemctl reload nginx, or disable it",
                          path);
    }
}

static void
on_unit(const char *path, struct amy__span text, void *user)
{
    const struct search *search = user;
    struct amy__findings *findings = &search->doctor->findings;
    const char *unit = strrchr(path, '/') + 1;

    if (amy__text_holds(text, "gunicorn") && names_site(search, text)) {
        amy__finding_is(findings,
                        "/%s starts gunicorn for %s, beside "
                        "amy-workers",
                        path, search->site->domain);
        amy__finding_tell(findings, AMY_DOCTOR_WARNING, "gunicorn-unit",
                          "systemctl disable --now %s; rm /%s", unit, path);
    }
}

static void
on_supervisor(const char *path, struct amy__span text, void *user)
{
    const struct search *search = user;
    struct amy__findings *findings = &search->doctor->findings;

    if (names_site(search, text)) {
        amy__finding_is(findings,
                        "/%s: supervisor starts a program of %s, "
                        "beside amy-workers",
                        path, search->site->domain);
        amy__finding_tell(findings, AMY_DOCTOR_WARNING, "supervisor-program",
                          "make it a worker of site.yaml, then: rm /%s; "
                          "supervisorctl update",
                          path);
    }
}

static void
on_logrotate(const char *path, struct amy__span text, void *user)
{
    static const char *const logs[] = {"access.log", "error.log",
                                       "gunicorn_supervisor.log"};
    const struct search *search = user;
    struct amy__findings *findings = &search->doctor->findings;
    char log[4400];

    for (size_t i = 0; i < sizeof(logs) / sizeof(logs[0]); i++) {
        (void)snprintf(log, sizeof(log), "%s/logs/%s", search->path, logs[i]);
        if (amy__logrotate_leftover(text, log)) {
            amy__finding_is(findings, "/%s rotates %s, and so do the daemons",
                            path, log);
            amy__finding_tell(findings, AMY_DOCTOR_WARNING, "logrotate-site",
                              "take %s/logs out of it; `logs:` of site.yaml "
                              "has the limits",
                              search->path);
            return;
        }
    }
}

static void
tell_cron(const struct search *search, const char *path, const char *program,
          const char *todo)
{
    amy__finding_is(&search->doctor->findings, "/%s runs %s for %s", path,
                    program, search->site->domain);
    amy__finding_tell(&search->doctor->findings, AMY_DOCTOR_WARNING, "cron-job",
                      "%s, then take the line out", todo);
}

static void
on_crontab(const char *path, struct amy__span text, void *user)
{
    const struct search *search = user;
    struct amy__span line = {NULL, 0};

    while (amy__text_line(&text, &line)) {
        if (!names_site(search, line)) {
            continue;
        }
        if (amy__text_holds(line, "pg_dump")) {
            tell_cron(search, path, "pg_dump",
                      "let amy-backup make backups (`backup:` of site.yaml)");
        } else if (amy__text_holds(line, "logrotate")) {
            tell_cron(search, path, "logrotate",
                      "the daemons rotate (`logs:` of site.yaml)");
        } else if (amy__text_holds(line, "gunicorn")) {
            tell_cron(search, path, "gunicorn",
                      "amy-workers starts the workers of site.yaml");
        }
    }
}

static bool
has_socket(const struct amy__site *site)
{
    for (size_t i = 0; i < site->worker_count; i++) {
        if (site->workers[i].socket != NULL) {
            return true;
        }
    }
    return false;
}

void
amy__doctor_leftovers(struct amy__doctor *doctor, const struct amy__site *site)
{
    static const struct {
        const char *path;
        const char *check;
        amy__file_fn fn;
    } places[] = {
        {"etc/nginx/sites-enabled", "nginx", on_nginx},
        {"etc/nginx/conf.d", "nginx", on_nginx},
        {"etc/systemd/system", "gunicorn", on_unit},
        {"etc/supervisor/conf.d", "supervisor", on_supervisor},
        {"etc/logrotate.d", "logrotate", on_logrotate},
        {"etc/crontab", "cron", on_crontab},
        {"etc/cron.d", "cron", on_crontab},
        {"var/spool/cron/crontabs", "cron", on_crontab},
    };
    struct search search = {
        .doctor = doctor, .site = site, .nginx_stays = has_socket(site)};

    (void)snprintf(search.path, sizeof(search.path), "%.3800s/%s",
                   doctor->settings->webapps, site->domain);
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (!amy__finding_is_skipped(&doctor->findings, places[i].check)) {
            amy__files_each(doctor->root_fd, places[i].path, &doctor->findings,
                            places[i].check, places[i].fn, &search);
        }
    }
}

/* ---- of the host ---- */

static bool
is_enabled(const struct amy__doctor *doctor, const char *unit)
{
    char path[256];
    struct stat st;

    (void)snprintf(path, sizeof(path),
                   "etc/systemd/system/multi-user.target.wants/%s", unit);
    return fstatat(doctor->root_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

void
amy__doctor_leftovers_of_host(struct amy__doctor *doctor)
{
    static const char *const servers[] = {"nginx.service", "apache2.service"};
    const struct amy__settings *settings = doctor->settings;

    for (size_t i = 0; i < doctor->site_count; i++) {
        if (has_socket(doctor->sites[i])) {
            return; /* another server stands before the workers */
        }
    }
    if (settings->https_count + settings->http_count == 0) {
        return;
    }
    for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++) {
        if (is_enabled(doctor, servers[i])) {
            amy__finding_is(&doctor->findings,
                            "%s is enabled: it wants the ports of amy-front "
                            "when the host boots",
                            servers[i]);
            amy__finding_tell(&doctor->findings, AMY_DOCTOR_WARNING,
                              "nginx-enabled", "systemctl disable --now %s",
                              servers[i]);
        }
    }
}
