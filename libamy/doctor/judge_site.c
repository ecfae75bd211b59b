/* Judges what lies in a site's directory, and its user. */
/* Not for looking: modes.c, users.c. */
#include "doctor/judge.h"

#include <string.h>
#include <sys/stat.h>

void
amy__judge_own_directory(const struct amy__piece_facts *facts, unsigned most,
                         struct amy__findings *findings)
{
    if (!facts->is_users) {
        amy__finding_is(findings, "%s belongs to '%s', and not to '%s'",
                        facts->path, facts->owner, facts->user);
        amy__finding_tell(findings, AMY_DOCTOR_ERROR, "mode-owner",
                          "chown -R %s: %s", facts->user, facts->path);
    }
    if ((facts->mode & 07777U & ~most) != 0) {
        amy__finding_is(findings,
                        "%s has mode %04o: others than '%s' may more "
                        "than they need",
                        facts->path, facts->mode & 07777U, facts->user);
        amy__finding_tell(findings, AMY_DOCTOR_WARNING, "mode-wide",
                          "chmod %04o %s", most, facts->path);
    }
}

void
amy__judge_secret(const struct amy__piece_facts *facts,
                  struct amy__findings *findings)
{
    if ((facts->mode & (S_IROTH | S_IWOTH)) == 0) {
        return;
    }
    amy__finding_is(findings,
                    "%s has mode %04o: everybody on this host can "
                    "%s the secrets in it",
                    facts->path, facts->mode & 07777U,
                    (facts->mode & S_IWOTH) != 0 ? "change" : "read");
    amy__finding_tell(findings, AMY_DOCTOR_WARNING, "mode-secret",
                      "chgrp %s %s; chmod 0640 %s", facts->user, facts->path,
                      facts->path);
}

void
amy__judge_code(const struct amy__piece_facts *facts, bool is_code,
                struct amy__findings *findings)
{
    if ((facts->mode & S_IWOTH) != 0 && (facts->mode & S_ISVTX) == 0) {
        amy__finding_is(findings,
                        "%s has mode %04o: everybody on this host "
                        "can change what is in it",
                        facts->path, facts->mode & 07777U);
        amy__finding_tell(findings, AMY_DOCTOR_ERROR, "mode-world",
                          "chmod o-w %s", facts->path);
    } else if (is_code && facts->is_users) {
        amy__finding_is(findings,
                        "%s belongs to '%s': who breaks into the "
                        "application can change its code",
                        facts->path, facts->user);
        amy__finding_tell(findings, AMY_DOCTOR_INFO, "mode-code",
                          "let another user deploy: chown -R root: %s",
                          facts->path);
    }
}

void
amy__judge_front_user(const char *name, const char *shell,
                      struct amy__findings *findings)
{
    const char *slash = strrchr(shell, '/');
    const char *last = slash == NULL ? shell : slash + 1;

    if (strcmp(last, "nologin") != 0 && strcmp(last, "false") != 0) {
        amy__finding_is(findings,
                        "somebody can log in as '%s', the user of the front "
                        "processes (shell '%s')",
                        name, shell);
        amy__finding_tell(findings, AMY_DOCTOR_ERROR, "user-person",
                          "name another one (`front.user` of amy.yaml), or "
                          "usermod --shell /usr/sbin/nologin %s",
                          name);
    }
}

void
amy__judge_user(const struct amy__user_facts *facts,
                struct amy__findings *findings)
{
    if (facts->is_admin) {
        amy__finding_is(findings,
                        "the site's user '%s' is in group amy-admin: "
                        "its code may close and reload every site",
                        facts->user);
        amy__finding_tell(findings, AMY_DOCTOR_ERROR, "user-admin",
                          "gpasswd --delete %s amy-admin", facts->user);
    }
    if (facts->is_in_front) {
        amy__finding_is(findings,
                        "the site's user '%s' is in the group of the "
                        "front processes: its code reaches the workers of all "
                        "sites",
                        facts->user);
        amy__finding_tell(findings, AMY_DOCTOR_WARNING, "user-front",
                          "gpasswd --delete %s %s", facts->user,
                          facts->front_user);
    }
    if (facts->shares != NULL) {
        amy__finding_is(findings,
                        "'%s' is the user of site '%s', too: each "
                        "can read the other's secrets",
                        facts->user, facts->shares);
        amy__finding_tell(findings, AMY_DOCTOR_WARNING, "user-shared",
                          "a system user for each site: useradd --system "
                          "--user-group --shell /usr/sbin/nologin NAME");
    }
}
