/* The order of an examination. */
/* Not for what is looked at: each kind has its own file. */
#include <amy/doctor.h>

#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "core/options.h"
#include "doctor/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

static void
free_doctor(struct amy__doctor *doctor)
{
    if (doctor == NULL) {
        return;
    }
    for (size_t i = 0; i < doctor->site_count; i++) {
        amy__site_unref(doctor->sites[i]);
    }
    amy__settings_free(doctor->settings);
    amy__close(&doctor->root_fd);
    amy__close(&doctor->webapps_fd);
    amy__free(doctor);
}
AMY_DEFINE_CLEANUP(struct amy__doctor *, free_doctor)

static int
open_all(struct amy__doctor *doctor, struct amy_error *err)
{
    const struct amy__settings_args args = {.config = doctor->opts.config,
                                            .webapps = doctor->opts.webapps,
                                            .run = doctor->opts.run,
                                            .state = doctor->opts.state};
    const char *root =
        doctor->opts.root_dir == NULL ? "/" : doctor->opts.root_dir;
    int rc = amy__settings_load(&args, NULL, NULL, &doctor->settings, err);

    if (rc < 0) {
        return rc;
    }
    doctor->root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (doctor->root_fd < 0) {
        return amy__err_sys(err, errno, "opening '%s'", root);
    }
    doctor->webapps_fd = amy__open_dir(doctor->settings->webapps, err);
    return doctor->webapps_fd < 0 ? doctor->webapps_fd : 0;
}

static void
examine_site(struct amy__doctor *doctor, const struct amy__site *site)
{
    doctor->findings.borrow_site = site->domain;
    amy__doctor_modes(doctor, site);
    amy__doctor_users(doctor, site);
    amy__doctor_services(doctor, site);
    amy__doctor_certs(doctor, site);
    amy__doctor_names(doctor, site);
    amy__doctor_disks_of_site(doctor, site);
    amy__doctor_leftovers(doctor, site);
}

static void
examine_host(struct amy__doctor *doctor)
{
    doctor->findings.borrow_site = "";
    amy__doctor_front_user(doctor);
    amy__doctor_daemons(doctor);
    amy__doctor_ports(doctor);
    amy__doctor_renewals(doctor);
    amy__doctor_leftovers_of_host(doctor);
    amy__doctor_clock(doctor);
    amy__doctor_limits(doctor);
    amy__doctor_disk(doctor, doctor->settings->state);
    amy__doctor_disk(doctor, doctor->settings->spool);
}

static int
examine(struct amy__doctor *doctor, struct amy_error *err)
{
    const char *only = doctor->opts.site;
    int rc = open_all(doctor, err);

    if (rc < 0) {
        return rc;
    }
    amy__doctor_sites(doctor);
    if (only != NULL && !doctor->found) {
        return amy__err(err, AMY_ENOTFOUND, "there is no site '%s' in %s", only,
                        doctor->settings->webapps);
    }
    for (size_t i = 0; i < doctor->site_count; i++) {
        if (only == NULL || strcmp(doctor->sites[i]->domain, only) == 0) {
            examine_site(doctor, doctor->sites[i]);
        }
    }
    examine_host(doctor);
    return (int)doctor->findings.weight;
}

int
amy_doctor_examine(const struct amy_doctor_options *opts, struct amy_error *err)
{
    AMY_CLEANUP(free_doctor_p)
    struct amy__doctor *doctor = amy__calloc(1, sizeof(*doctor));
    int rc = 0;

    if (doctor == NULL) {
        return amy__err(err, AMY_ENOMEM, "examining a host");
    }
    doctor->root_fd = -1;
    doctor->webapps_fd = -1;
    rc = amy__options_read(&doctor->opts, sizeof(doctor->opts), opts,
                           offsetof(struct amy_doctor_options, program), err);
    if (rc < 0) {
        return rc;
    }
    if (doctor->opts.on_finding == NULL) {
        return amy__err(err, AMY_EINVAL, "whom to tell what is found?");
    }
    doctor->findings = (struct amy__findings){
        .fn = doctor->opts.on_finding,
        .user = doctor->opts.user,
        .borrow_site = "",
        .borrow_skip = doctor->opts.skip,
    };
    return examine(doctor, err);
}
