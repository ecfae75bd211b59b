/* Looks at owners and modes in a site's directory, as the site's user where
 * that user could have put a link. */
/* Not for site.yaml and what is above it: whoever loads it judges that. */
#include "core/cleanup.h"
#include "core/files.h"
#include "core/user.h"
#include "doctor/internal.h"
#include "doctor/judge.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct look {
    struct amy__doctor *doctor;
    const struct amy__site *site;
    int dir_fd;
    char path[4352];
    char owner[64];
};

/* False: it is not there, or could not be looked at, which is told. */
static bool
look(struct look *look, const char *name, int flags,
     struct amy__piece_facts *ret_facts)
{
    struct amy__findings *findings = &look->doctor->findings;
    struct amy__as_user saved = {.changed = false};
    bool as_user = geteuid() == 0;
    struct stat st;
    int failed = 0;

    if (as_user && amy__as_user_begin(look->site->uid, look->site->gid, &saved,
                                      NULL) < 0) {
        return false;
    }
    failed = fstatat(look->dir_fd, name, &st, flags) < 0 ? errno : 0;
    if (as_user) {
        amy__as_user_end(&saved);
    }
    (void)snprintf(look->path, sizeof(look->path), "%.3800s/%s/%s",
                   look->doctor->settings->webapps, look->site->domain, name);
    if (failed == EACCES) {
        amy__finding_is(findings, "%s could not be looked at: %s", look->path,
                        strerror(failed));
        amy__finding_tell(findings, AMY_DOCTOR_UNKNOWN, "mode",
                          "run amyctl doctor as root");
    }
    if (failed != 0) {
        return false;
    }
    *ret_facts = (struct amy__piece_facts){
        .path = look->path,
        .owner = amy__user_name(st.st_uid, look->owner, sizeof(look->owner)),
        .user = look->site->user,
        .is_users = st.st_uid == look->site->uid,
        .mode = (unsigned)st.st_mode,
    };
    return true;
}

/* The file that says who gets into a closed site, as the front judges it. */
static void
look_at_users(struct look *look)
{
    struct amy__findings *findings = &look->doctor->findings;
    const char *users = look->site->access_users;
    bool whole = users != NULL && users[0] == '/';
    struct stat st;

    if (users == NULL) {
        return;
    }
    (void)snprintf(look->path, sizeof(look->path), "%.3800s%s%s%s%s",
                   whole ? "" : look->doctor->settings->webapps,
                   whole ? "" : "/", whole ? "" : look->site->domain,
                   whole ? "" : "/", users);
    if (fstatat(whole ? look->doctor->root_fd : look->dir_fd,
                whole ? users + 1 : users, &st, 0) < 0) {
        if (errno == ENOENT) {
            amy__finding_is(findings,
                            "%s is not there: nobody gets in by a password",
                            look->path);
            amy__finding_tell(findings, AMY_DOCTOR_ERROR, "access-users",
                              "htpasswd -B -C 10 -c %s NAME", look->path);
        }
        return;
    }
    if ((st.st_uid != 0 && st.st_uid != geteuid()) ||
        (st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        amy__finding_is(findings,
                        "others than root can write %s: it is not read, and "
                        "nobody gets in by a password",
                        look->path);
        amy__finding_tell(findings, AMY_DOCTOR_ERROR, "access-users",
                          "chown root: %s; chmod 0600 %s", look->path,
                          look->path);
    } else if ((st.st_mode & S_IROTH) != 0) {
        amy__finding_is(findings, "everybody on this host can read %s",
                        look->path);
        amy__finding_tell(findings, AMY_DOCTOR_WARNING, "access-users",
                          "chmod 0600 %s", look->path);
    }
}

void
amy__doctor_modes(struct amy__doctor *doctor, const struct amy__site *site)
{
    static const char *const secrets[] = {
        "postactivate", "repo/.venv/bin/postactivate", "repo/.env"};
    static const char *const code[] = {"repo", "static", "media"};
    struct look at = {.doctor = doctor, .site = site};
    AMY_CLEANUP(amy__close_p)
    int fd = openat(doctor->webapps_fd, site->domain,
                    O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct amy__piece_facts facts;

    at.dir_fd = fd;
    if (fd < 0) {
        return; /* it was there a moment ago */
    }
    if (look(&at, "logs", AT_SYMLINK_NOFOLLOW, &facts)) {
        amy__judge_own_directory(&facts, 0750, &doctor->findings);
    }
    if (look(&at, "DB_backups", AT_SYMLINK_NOFOLLOW, &facts)) {
        amy__judge_own_directory(&facts, 0700, &doctor->findings);
    }
    for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
        if (look(&at, secrets[i], 0, &facts)) {
            amy__judge_secret(&facts, &doctor->findings);
        }
    }
    for (size_t i = 0; i < sizeof(code) / sizeof(code[0]); i++) {
        if (look(&at, code[i], 0, &facts)) {
            amy__judge_code(&facts, i == 0 && !amy__doctor_is_person(site),
                            &doctor->findings);
        }
    }
    look_at_users(&at);
}
