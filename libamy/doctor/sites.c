/* Loads the sites as the daemons do, and tells what they would refuse; and the
 * copies of sites, which are none. */
/* Not for what a good site.yaml leads to. */
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "core/user.h"
#include "doctor/internal.h"
#include "site/schema.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

AMY_DEFINE_CLEANUP(struct amy__site *, amy__site_unref)

static void
tell_problem(const struct amy_problem *problem, void *user)
{
    struct amy__findings *findings = user;
    char line[AMY__FINDING_SIZE];

    (void)amy__problem_format(problem, line, sizeof(line));
    amy__finding_is(findings, "%s", line);
    amy__finding_tell(
        findings,
        problem->severity == AMY_SEVERITY_ERROR ? AMY_DOCTOR_ERROR
                                                : AMY_DOCTOR_WARNING,
        "site", "mend it, then: amyctl reload %s", findings->borrow_site);
}

bool
amy__doctor_is_person(const struct amy__site *site)
{
    return geteuid() != 0 && site->uid == geteuid();
}

bool
amy__doctor_may_be(const struct amy__site *site)
{
    return geteuid() == 0 || site->uid == geteuid();
}

/* What the site.yaml of this directory says before anybody judges it: the
 * domain, and whether its user is who looks. False: nothing that can be read.
 */
static bool
read_plainly(const struct amy__doctor *doctor, const char *name,
             char ret_domain[256], bool *ret_is_ours)
{
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf yaml = {NULL, 0, 0, 0};
    AMY_CLEANUP(amy__site_unref_p) struct amy__site *site = NULL;
    AMY_CLEANUP(amy__user_clear) struct amy__user user = {0};
    AMY_CLEANUP(amy__close_p)
    int fd = openat(doctor->webapps_fd, name,
                    O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    amy__buf_init(&yaml, AMY__YAML_MAX_BYTES);
    if (fd < 0 ||
        amy__read_file_at(fd, "site.yaml", AMY__YAML_MAX_BYTES, &yaml, NULL,
                          NULL) < 0 ||
        amy__site_parse(amy__buf_span(&yaml), "site.yaml", NULL, NULL, NULL,
                        &site, NULL) < 0) {
        return false;
    }
    (void)snprintf(ret_domain, 256, "%s", site->domain);
    *ret_is_ours =
        amy__user_find(site->user, &user, NULL) == 0 && user.uid == geteuid();
    return true;
}

static void
tell_copy(struct amy__doctor *doctor, const char *name, const char *original)
{
    amy__finding_is(&doctor->findings,
                    "%s/%s is a copy of %s: its site.yaml names that site, so "
                    "it is none itself",
                    doctor->settings->webapps, name, original);
    amy__finding_tell(&doctor->findings, AMY_DOCTOR_WARNING, "copy",
                      "move it out of %s, or write `site: %s` into its "
                      "site.yaml",
                      doctor->settings->webapps, name);
}

static int
look_at(const char *name, void *user)
{
    struct amy__doctor *doctor = user;
    struct amy__findings *findings = &doctor->findings;
    bool wanted =
        doctor->opts.site == NULL || strcmp(doctor->opts.site, name) == 0;
    struct amy__site *site = NULL;
    struct amy_error err = AMY_ERROR_INIT;
    struct amy__site_rules rules = {.person = geteuid()};
    char domain[256] = "";
    bool is_ours = false;
    size_t before = findings->weight;

    doctor->found |= wanted;
    findings->borrow_site = name;
    if (read_plainly(doctor, name, domain, &is_ours) &&
        strcmp(domain, name) != 0) {
        if (wanted) {
            tell_copy(doctor, name, domain);
        }
        return 0;
    }
    /* As the daemons would that serve it: a person's, or root's. */
    rules.as_person = geteuid() != 0 && is_ours;
    rules.borrow_front_user = doctor->settings->front_user;
    if (amy__site_load(doctor->webapps_fd, doctor->settings->webapps, name,
                       &rules, wanted ? tell_problem : NULL, findings, NULL,
                       &site, &err) == 0) {
        if (doctor->site_count < AMY__DOCTOR_SITES_MAX) {
            doctor->sites[doctor->site_count++] = site;
        } else {
            amy__site_unref(site);
        }
    } else if (wanted && findings->weight == before) {
        amy__finding_is(findings, "%s", err.msg);
        amy__finding_tell(findings, AMY_DOCTOR_UNKNOWN, "site",
                          "run amyctl doctor as root");
    }
    return 0;
}

void
amy__doctor_sites(struct amy__doctor *doctor)
{
    struct amy_error err = AMY_ERROR_INIT;

    if (amy__site_each(doctor->webapps_fd, look_at, doctor, &err) < 0) {
        doctor->findings.borrow_site = "";
        amy__finding_is(&doctor->findings, "%s", err.msg);
        amy__finding_tell(&doctor->findings, AMY_DOCTOR_UNKNOWN, "site",
                          "run amyctl doctor as root");
    }
}
