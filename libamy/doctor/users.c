/* Looks at what a site's user may besides. */
/* Not for whether it may be one at all: site/owner.c. */
#include "core/cleanup.h"
#include "core/user.h"
#include "doctor/internal.h"
#include "doctor/judge.h"

#include <unistd.h>

#define ADMIN_GROUP "amy-admin"

static const char *
find_other(const struct amy__doctor *doctor, const struct amy__site *site)
{
    for (size_t i = 0; i < doctor->site_count; i++) {
        const struct amy__site *other = doctor->sites[i];

        if (other != site && other->uid == site->uid) {
            return other->domain;
        }
    }
    return NULL;
}

void
amy__doctor_users(struct amy__doctor *doctor, const struct amy__site *site)
{
    AMY_CLEANUP(amy__user_clear) struct amy__user user = {0};
    AMY_CLEANUP(amy__user_clear) struct amy__user front = {0};
    const char *front_user = doctor->settings->front_user;
    struct amy__user_facts facts = {.user = site->user,
                                    .front_user = front_user};
    gid_t admin = 0;

    /* A person's own sites are all that person's. */
    if (amy__doctor_is_person(site) ||
        amy__user_find(site->user, &user, NULL) < 0) {
        return;
    }
    facts.is_admin = amy__group_find(ADMIN_GROUP, &admin, NULL) == 0 &&
                     amy__user_in_group(&user, admin);
    facts.is_in_front = amy__user_find(front_user, &front, NULL) == 0 &&
                        amy__user_in_group(&user, front.gid);
    facts.shares = find_other(doctor, site);
    amy__judge_user(&facts, &doctor->findings);
}

void
amy__doctor_front_user(struct amy__doctor *doctor)
{
    AMY_CLEANUP(amy__user_clear) struct amy__user user = {0};
    struct amy_error err = AMY_ERROR_INIT;

    if (geteuid() != 0) {
        return; /* started by a person, everything runs as that person */
    }
    if (amy__settings_front_user(doctor->settings, NULL, NULL, &user, &err) <
        0) {
        amy__finding_is(&doctor->findings, "%s", err.msg);
        amy__finding_tell(&doctor->findings, AMY_DOCTOR_ERROR, "user-missing",
                          "make it, or name another one (`front.user` of "
                          "amy.yaml)");
        return;
    }
    amy__judge_front_user(user.name, user.shell, &doctor->findings);
}
