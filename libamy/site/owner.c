/* Decides whether a file, the directories above it and a site's user can be
 * trusted. Not for opening anything: it judges what was opened. */
#include "site/owner.h"

#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "core/user.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* More than PATH_MAX can name; a chain this long is no directory tree. */
#define MAX_PARENTS (PATH_MAX / 2)
/* One passwd entry, or a group entry with all its members. */
#define ENTRY_SIZE 4096
#define USER_SIZE 64
#define AMY_USER "amy"

static bool
is_trusted_owner(const struct amy__site_rules *rules, uid_t uid)
{
    return uid == 0 || (rules->as_person && uid == rules->person);
}

static const char *
trusted_owners(const struct amy__site_rules *rules)
{
    return rules->as_person ? "you, or root" : "root";
}

/* A group that only the person is in: what `useradd` makes by default, and why
 * a umask of 002 is common. */
static bool
is_private_group(const struct amy__site_rules *rules, gid_t gid)
{
    char pw_entry[ENTRY_SIZE];
    char gr_entry[ENTRY_SIZE];
    struct passwd pw;
    struct group gr;
    struct passwd *person = NULL;
    struct group *group = NULL;

    if (!rules->as_person ||
        getpwuid_r(rules->person, &pw, pw_entry, sizeof(pw_entry), &person) !=
            0 ||
        person == NULL || pw.pw_gid != gid ||
        getgrgid_r(gid, &gr, gr_entry, sizeof(gr_entry), &group) != 0 ||
        group == NULL) {
        return false;
    }
    for (size_t i = 0; gr.gr_mem[i] != NULL; i++) {
        if (strcmp(gr.gr_mem[i], pw.pw_name) != 0) {
            return false;
        }
    }
    return strcmp(gr.gr_name, pw.pw_name) == 0;
}

/* An access list shows in the group bits as its mask, so these two bits tell
 * of it as well (acl(5)). */
static void
check_one(const struct amy__site_rules *rules, const struct stat *st,
          const char *path, struct amy__report *report)
{
    struct amy__place place = {.file = path};
    bool sticky = S_ISDIR(st->st_mode) && (st->st_mode & S_ISVTX) != 0;
    unsigned mode = (unsigned)st->st_mode & 07777U;
    char name[USER_SIZE];

    if (!is_trusted_owner(rules, st->st_uid)) {
        place.allowed = trusted_owners(rules);
        amy__report_error(report, &place, "belongs to '%s'",
                          amy__user_name(st->st_uid, name, sizeof(name)));
    }
    if (sticky) {
        return; /* as /tmp: what is in it can be renamed by its owner only */
    }
    place.allowed = "mode 0755 for directories, 0644 for files, or less";
    if ((mode & S_IWOTH) != 0) {
        amy__report_error(report, &place,
                          "can be written by anybody (mode %04o)", mode);
    } else if ((mode & S_IWGRP) != 0 && !is_private_group(rules, st->st_gid)) {
        amy__report_error(report, &place,
                          "can be written by its group (mode %04o)", mode);
    }
}

void
amy__owner_check_file(const struct amy__site_rules *rules,
                      const struct stat *st, const char *path,
                      struct amy__report *report)
{
    check_one(rules, st, path, report);
}

/* The path the kernel knows for a descriptor; "a directory above" if none. */
static const char *
path_of(int fd, char buf[PATH_MAX])
{
    char link[32];
    ssize_t n = 0;

    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, buf, PATH_MAX - 1);
    if (n < 0) {
        return "a directory above";
    }
    buf[n] = '\0';
    return buf;
}

static void
report_unreadable(struct amy__report *report, const char *path, int sys_errno)
{
    struct amy__place place = {.file = path};

    amy__report_error(report, &place, "cannot be looked at: %s",
                      strerror(sys_errno));
}

/* Judge fd and give its parent in *ret_parent; false at the root or when it
 * cannot be told. */
static bool
check_and_climb(const struct amy__site_rules *rules, int fd, int *ret_parent,
                struct amy__report *report)
{
    char path[PATH_MAX];
    struct stat here;
    struct stat above;
    int parent = -1;

    if (fstat(fd, &here) < 0) {
        report_unreadable(report, path_of(fd, path), errno);
        return false;
    }
    check_one(rules, &here, path_of(fd, path), report);
    parent = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0 || fstat(parent, &above) < 0) {
        report_unreadable(report, path_of(fd, path), errno);
        amy__close(&parent);
        return false;
    }
    if (above.st_dev == here.st_dev && above.st_ino == here.st_ino) {
        amy__close(&parent);
        return false;
    }
    *ret_parent = parent;
    return true;
}

void
amy__owner_check_chain(const struct amy__site_rules *rules, int dir_fd,
                       struct amy__report *report)
{
    int fd = dir_fd;
    int parent = -1;

    for (unsigned n = 0;
         n < MAX_PARENTS && check_and_climb(rules, fd, &parent, report); n++) {
        if (fd != dir_fd) {
            amy__close(&fd);
        }
        fd = parent;
    }
    if (fd != dir_fd) {
        amy__close(&fd);
    }
}

/* --- the site's user --- */

static bool
is_front_user(const struct amy__site_rules *rules, const char *name, uid_t uid)
{
    const char *front =
        rules->borrow_front_user == NULL ? AMY_USER : rules->borrow_front_user;
    AMY_CLEANUP(amy__user_clear) struct amy__user account = {0};

    return strcmp(name, front) == 0 ||
           (amy__user_find(front, &account, NULL) == 0 && account.uid == uid);
}

static void
judge_user(const struct amy__site_rules *rules, struct amy__site *site,
           const struct amy__place *place, struct amy__report *report)
{
    char name[USER_SIZE];

    if (site->uid == 0) {
        amy__report_error(report, place, "'%s' is root by another name",
                          site->user);
    } else if (rules->as_person && site->uid != rules->person) {
        amy__report_error(report, place,
                          "'%s' is not who runs this (%s), and only root can "
                          "become another user",
                          site->user,
                          amy__user_name(rules->person, name, sizeof(name)));
    } else if (!rules->as_person &&
               is_front_user(rules, site->user, site->uid)) {
        amy__report_error(report, place,
                          "'%s' is the user of the front processes",
                          site->user);
    }
}

void
amy__owner_resolve_user(const struct amy__site_rules *rules,
                        struct amy__site *site, struct amy__report *report)
{
    struct amy__place place = {.line = site->user_line,
                               .column = site->user_column,
                               .key = "user",
                               .allowed = "a system user of this site's own"};
    AMY_CLEANUP(amy__user_clear) struct amy__user account = {0};
    struct amy_error why = AMY_ERROR_INIT;

    if (amy__user_find(site->user, &account, &why) < 0) {
        amy__report_error(report, &place, "%s", why.msg);
        return;
    }
    site->uid = account.uid;
    site->gid = account.gid;
    judge_user(rules, site, &place, report);
}
