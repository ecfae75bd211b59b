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
    int root_fd;
    int webapps_fd;
    struct amy__findings findings;
    /* All that could be loaded, also those that are not asked about: what two
     * of them share is of both. */
    struct amy__site *sites[AMY__DOCTOR_SITES_MAX];
    size_t site_count;
    bool has_renewals; /* certbot keeps some site's certificate */
    bool front_runs;
    bool found; /* the one that is asked about */
};

/* Can we become this site's user, or are we? Anybody else only looks. */
bool amy__doctor_may_be(const struct amy__site *site);
/* Is it a person's own site, and the person looks? Then all is that person's.
 */
bool amy__doctor_is_person(const struct amy__site *site);

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
void amy__doctor_certs(struct amy__doctor *doctor,
                       const struct amy__site *site);
void amy__doctor_renewals(struct amy__doctor *doctor); /* after those */
void amy__doctor_names(struct amy__doctor *doctor,
                       const struct amy__site *site);
void amy__doctor_disks_of_site(struct amy__doctor *doctor,
                               const struct amy__site *site);
void amy__doctor_disk(struct amy__doctor *doctor, const char *path);
void amy__doctor_front_user(struct amy__doctor *doctor);
void amy__doctor_clock(struct amy__doctor *doctor);
void amy__doctor_limits(struct amy__doctor *doctor);
void amy__doctor_daemons(struct amy__doctor *doctor);
void amy__doctor_ports(struct amy__doctor *doctor); /* after those */

#endif
