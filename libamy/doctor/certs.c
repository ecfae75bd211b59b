/* Reads a site's certificates and what certbot will do about them. */
/* Not for judging: judge_certs.c; nor for serving: front/certs.c. */
#include "core/clock.h"
#include "core/str.h"
#include "doctor/files.h"
#include "doctor/internal.h"
#include "doctor/judge.h"
#include "doctor/text.h"
#include "net/tls.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAMES_MAX 64U

/* One site's. */
struct look {
    struct amy__doctor *doctor;
    const struct amy__site *site;
    const char *name; /* of the certificate that is read now */
    size_t before;    /* findings, to tell missing from unreadable */
    bool told;        /* that something could not be read */
    size_t count;     /* read */
    size_t name_count;
    const char *names[NAMES_MAX]; /* of the site */
    bool covered[NAMES_MAX];
};

/* ---- the certificate ---- */

static void
tell_unusable(const struct look *look, const char *why)
{
    amy__finding_is(&look->doctor->findings, "certificate %s: %s", look->name,
                    why);
    amy__finding_tell(&look->doctor->findings, AMY_DOCTOR_ERROR, "cert-read",
                      "get another: certbot certonly --cert-name %s ...",
                      look->name);
}

static void
on_chain(const char *path, struct amy__span pem, void *user)
{
    struct look *look = user;
    struct amy__tls_cert *cert = NULL;
    struct amy__tls_cert_info info;
    struct amy_error err = AMY_ERROR_INIT;
    struct amy__cert_facts facts = {.name = look->name};

    (void)path;
    look->count++;
    if (amy__tls_cert_create(pem, &cert, &err) < 0) {
        tell_unusable(look, err.msg);
        return;
    }
    amy__tls_cert_info(cert, &info);
    facts.not_before_ms = info.not_before_ms;
    facts.not_after_ms = info.not_after_ms;
    facts.now_ms = amy__wall_ms(amy_clock_system());
    facts.chain_error = amy__tls_cert_verify(cert, &err) < 0 ? err.msg : NULL;
    amy__judge_cert(&facts, &look->doctor->findings);
    for (size_t i = 0; i < look->name_count; i++) {
        look->covered[i] |= amy__tls_cert_covers(cert, look->names[i]);
    }
    amy__tls_cert_unref(cert);
}

static void
judge_key(const struct look *look, const char *path)
{
    struct stat st;

    if (stat(path, &st) == 0 && (st.st_mode & (S_IROTH | S_IWOTH)) != 0) {
        amy__finding_is(&look->doctor->findings,
                        "%s has mode %04o: everybody on this host can pose as "
                        "the site",
                        path, (unsigned)st.st_mode & 07777U);
        amy__finding_tell(&look->doctor->findings, AMY_DOCTOR_ERROR, "cert-key",
                          "chmod 0600 %s", path);
    }
}

/* ---- who renews it ---- */

/* certbot's other directories lie beside live/. */
static void
path_beside(const struct amy__doctor *doctor, const char *directory,
            const char *name, const char *ending, char ret[PATH_MAX])
{
    const char *live = doctor->settings->certificates;
    const char *slash = strrchr(live, '/');

    (void)snprintf(ret, PATH_MAX, "%.*s/%s/%.255s%s",
                   slash == NULL ? 0 : (int)(slash - live), live, directory,
                   name, ending);
}

struct renewal {
    const struct look *look;
    bool found;
};

static void
on_renewal(const char *path, struct amy__span conf, void *user)
{
    struct renewal *renewal = user;
    const struct look *look = renewal->look;
    char webroot[PATH_MAX];
    const struct amy__renewal_facts facts = {
        .name = look->name,
        .path = path,
        .domain = look->site->domain,
        .webroot = webroot,
        .conf = conf,
    };

    renewal->found = true;
    look->doctor->has_renewals = true;
    (void)snprintf(webroot, sizeof(webroot), "%.3800s/%s/acme",
                   look->doctor->settings->webapps, look->site->domain);
    amy__judge_renewal(&facts, &look->doctor->findings);
}

static void
look_for_renewal(const struct look *look)
{
    struct renewal renewal = {.look = look};
    char path[PATH_MAX];

    path_beside(look->doctor, "renewal", look->name, ".conf", path);
    amy__files_each(AT_FDCWD, path, &look->doctor->findings, "renewal",
                    on_renewal, &renewal);
    if (!renewal.found) {
        amy__finding_is(&look->doctor->findings,
                        "nothing on this host says who renews certificate %s",
                        look->name);
        amy__finding_tell(&look->doctor->findings, AMY_DOCTOR_INFO,
                          "renewal-none",
                          "let certbot do it, unless it is brought from "
                          "elsewhere");
    }
}

/* ---- which there are ---- */

/* A name below {certificates}; false: there is none. */
static bool
read_named(struct look *look, const char *name)
{
    char path[PATH_MAX];
    size_t before = look->count;

    look->name = name;
    (void)snprintf(path, sizeof(path), "%.3000s/%s/fullchain.pem",
                   look->doctor->settings->certificates, name);
    look->told |= access(path, R_OK) < 0 && access(path, F_OK) < 0 &&
                  access(look->doctor->settings->certificates, X_OK) < 0;
    amy__files_each(AT_FDCWD, path, &look->doctor->findings, "cert", on_chain,
                    look);
    if (look->count == before) {
        return false;
    }
    (void)snprintf(path, sizeof(path), "%.3000s/%s/privkey.pem",
                   look->doctor->settings->certificates, name);
    judge_key(look, path);
    look_for_renewal(look);
    return true;
}

static void
read_auto(struct look *look, const char *name)
{
    static const char *const kinds[] = {"", "-ecdsa", "-rsa"};
    char full[300];

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        (void)snprintf(full, sizeof(full), "%s%s", name, kinds[i]);
        (void)read_named(look, full);
    }
}

/* `auto`: of the domain, and of each alias that none of those covers. */
static void
read_found(struct look *look)
{
    for (size_t i = 0; i < look->name_count; i++) {
        if (i == 0 || !look->covered[i]) {
            read_auto(look, look->names[i]);
        }
    }
}

static void
read_listed(struct look *look)
{
    for (size_t i = 0; i < look->site->cert_count; i++) {
        const struct amy__site_cert *cert = &look->site->certs[i];

        if (cert->certificate[0] != '/') {
            (void)read_named(look, cert->certificate);
            continue;
        }
        look->name = cert->certificate;
        amy__files_each(AT_FDCWD, cert->certificate, &look->doctor->findings,
                        "cert", on_chain, look);
        if (cert->key != NULL) {
            judge_key(look, cert->key);
        }
    }
}

static void
tell_uncovered(const struct look *look)
{
    const char *domain = look->site->domain;

    for (size_t i = 0; i < look->name_count; i++) {
        if (look->covered[i] || (i > 0 && look->count == 0)) {
            continue;
        }
        amy__finding_is(&look->doctor->findings,
                        look->count == 0 ? "%s has no certificate"
                                         : "no certificate covers %s",
                        look->names[i]);
        amy__finding_tell(&look->doctor->findings, AMY_DOCTOR_ERROR,
                          look->count == 0 ? "cert-missing" : "cert-name",
                          "certbot certonly --webroot -w %s/%s/acme -d %s (and "
                          "each alias)",
                          look->doctor->settings->webapps, domain, domain);
    }
}

void
amy__doctor_certs(struct amy__doctor *doctor, const struct amy__site *site)
{
    struct look look = {.doctor = doctor, .site = site, .name_count = 1};

    if (doctor->settings->https_count == 0) {
        return;
    }
    look.names[0] = site->domain;
    for (size_t i = 0; site->aliases[i] != NULL && i + 1 < NAMES_MAX; i++) {
        look.names[look.name_count++] = site->aliases[i];
    }
    if (site->cert_count > 0) {
        read_listed(&look);
    } else {
        read_found(&look);
    }
    if (look.count > 0 || !look.told) {
        tell_uncovered(&look);
    }
}

/* ---- of the host ---- */

static void
on_hook(const char *path, struct amy__span text, void *user)
{
    struct amy__doctor *doctor = user;

    if (amy__hook_is_leftover(text)) {
        amy__finding_is(&doctor->findings,
                        "%s meddles with nginx or apache when a certificate is "
                        "renewed",
                        path);
        amy__finding_tell(&doctor->findings, AMY_DOCTOR_WARNING, "renewal-hook",
                          "rm %s: amy-front serves a renewed certificate by "
                          "itself",
                          path);
    }
}

static void
on_crontab(const char *path, struct amy__span text, void *user)
{
    struct amy__span line = {NULL, 0};
    bool *found = user;

    (void)path;
    while (amy__text_line(&text, &line)) {
        /* Debian's own line does nothing where there is systemd. */
        *found |= amy__text_holds(line, "certbot") &&
                  amy__text_holds(line, "renew") &&
                  !amy__text_holds(line, "/run/systemd/system");
    }
}

static bool
has_timer(struct amy__doctor *doctor)
{
    static const char *const timers[] = {"certbot.timer",
                                         "snap.certbot.renew.timer"};
    static const char *const crontabs[] = {"etc/crontab", "etc/cron.d",
                                           "var/spool/cron/crontabs"};
    bool found = false;
    struct stat st;
    char path[128];

    for (size_t i = 0; i < sizeof(timers) / sizeof(timers[0]); i++) {
        (void)snprintf(path, sizeof(path),
                       "etc/systemd/system/timers.target.wants/%s", timers[i]);
        found |= fstatat(doctor->root_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
    }
    for (size_t i = 0; i < sizeof(crontabs) / sizeof(crontabs[0]); i++) {
        amy__files_each(doctor->root_fd, crontabs[i], &doctor->findings,
                        "renewal", on_crontab, &found);
    }
    return found;
}

void
amy__doctor_renewals(struct amy__doctor *doctor)
{
    static const char *const kinds[] = {"pre", "deploy", "post"};
    char path[PATH_MAX];

    if (!doctor->has_renewals ||
        amy__finding_is_skipped(&doctor->findings, "renewal")) {
        return;
    }
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        path_beside(doctor, "renewal-hooks", kinds[i], "", path);
        amy__files_each(AT_FDCWD, path, &doctor->findings, "renewal", on_hook,
                        doctor);
    }
    if (!has_timer(doctor)) {
        amy__finding_is(
            &doctor->findings,
            "nothing starts certbot: no timer, and no line of cron");
        amy__finding_tell(&doctor->findings, AMY_DOCTOR_ERROR, "renewal-timer",
                          "systemctl enable --now certbot.timer");
    }
}
