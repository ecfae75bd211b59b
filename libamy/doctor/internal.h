/* What one examination carries, and its parts. */
#ifndef AMY_DOCTOR_INTERNAL_H
#define AMY_DOCTOR_INTERNAL_H

#include <amy/doctor.h>

#include "doctor/finding.h"
#include "site/settings.h"
#include "site/site.h"

#include <stdbool.h>

#define AMY__DOCTOR_SITES_MAX 256U

struct amy__doctor {
    struct amy_doctor_options opts;
    struct amy__settings *settings;
    struct amy__site_rules rules;
    int root_fd;
    int webapps_fd;
    struct amy__findings findings;
    /* All that could be loaded, also those that are not asked about: what two
     * of them share is of both. */
    struct amy__site *sites[AMY__DOCTOR_SITES_MAX];
    size_t site_count;
    bool found; /* the one that is asked about */
};

/* Each looks at one kind of things and tells what it finds. */
void amy__doctor_sites(struct amy__doctor *doctor); /* loads them, too */
void amy__doctor_modes(struct amy__doctor *doctor,
                       const struct amy__site *site);
void amy__doctor_users(struct amy__doctor *doctor,
                       const struct amy__site *site);
void amy__doctor_services(struct amy__doctor *doctor,
                          const struct amy__site *site);
void amy__doctor_leftovers(struct amy__doctor *doctor,
                           const struct amy__site *site);
void amy__doctor_leftovers_of_host(struct amy__doctor *doctor);

#endif
