/* Lays out a site's directory, piece by piece; site.yaml, which makes it a
 * site, comes last. */
/* Not for how a piece is made: piece.c. */
#include <amy/layout.h>

#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "core/options.h"
#include "core/user.h"
#include "gate/page.h"
#include "layout/account.h"
#include "layout/internal.h"
#include "layout/piece.h"
#include "site/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIN_OPTIONS offsetof(struct amy_layout_options, on_item)
#define NOBODY ((uid_t)-1)

/* ---- telling ---- */

static void
tell(struct amy__layout *layout, int result, const char *name,
     const char *message)
{
    struct amy_layout_item item = {.struct_size = sizeof(item),
                                   .result = (uint32_t)result,
                                   .name = name,
                                   .message = message};

    layout->added += result == AMY_LAYOUT_ADDED ? 1 : 0;
    layout->differing += result == AMY_LAYOUT_DIFFERS ? 1 : 0;
    if (layout->opts.on_item != NULL) {
        layout->opts.on_item(&item, layout->opts.user);
    }
}

static void
tell_of(struct amy__layout *layout, int result, const char *name,
        const char *message)
{
    char path[PATH_MAX];

    (void)snprintf(path, sizeof(path), "%.3800s/%.255s", layout->path, name);
    tell(layout, result, path, message);
}

/* ---- whose it is ---- */

struct owners {
    struct amy__user site; /* uid NOBODY: in a dry run, still to be made */
    struct amy__user deployer;
    gid_t media_gid; /* who may read what the application stores */
};

static void
clear_owners(struct owners *owners)
{
    amy__user_clear(&owners->site);
    amy__user_clear(&owners->deployer);
}

/* As the daemons do: never root, never the front processes' user. */
static int
judge_user(struct amy__layout *layout, struct amy_error *err)
{
    AMY_CLEANUP(amy__report_clear_p) struct amy__report report = {.count = 0};

    amy__report_init(&report, "the site's user");
    amy__owner_resolve_user(&layout->rules, layout->site, &report);
    return amy__report_finish(&report, AMY_EINVAL, NULL, NULL, err);
}

static int
make_user(struct amy__layout *layout, struct owners *owners,
          struct amy_error *err)
{
    const char *name = layout->site->user;
    char shown[AMY__LAYOUT_NAME_SIZE + 8];
    bool there = amy__user_find(name, &owners->site, NULL) == 0;
    int rc = 0;

    (void)snprintf(shown, sizeof(shown), "user %s", name);
    owners->site.uid = there ? owners->site.uid : NOBODY;
    if (there || layout->rules.as_person) {
        rc = judge_user(layout, err);
    } else if (!layout->opts.dry_run) {
        rc = amy__layout_account_make(name, err);
        if (rc == 0) {
            rc = amy__user_find(name, &owners->site, err);
        }
    }
    if (rc == 0) {
        tell(layout, there ? AMY_LAYOUT_KEPT : AMY_LAYOUT_ADDED, shown,
             there ? "" : "a system user without a login");
    }
    return rc;
}

static int
find_others(struct amy__layout *layout, struct owners *owners,
            struct amy_error *err)
{
    AMY_CLEANUP(amy__user_clear) struct amy__user front = {0};
    const char *deployer = layout->opts.deployer;
    const char *name =
        layout->opts.front_user == NULL ? "amy" : layout->opts.front_user;
    int rc = deployer == NULL
                 ? amy__user_find_uid(geteuid(), &owners->deployer, err)
                 : amy__user_find(deployer, &owners->deployer, err);

    if (rc < 0) {
        return rc;
    }
    if (layout->rules.as_person &&
        owners->deployer.uid != layout->rules.person) {
        return amy__err(err, AMY_EDENIED, "only root can give files to '%s'",
                        deployer);
    }
    /* A host whose front is somebody else's has no such user. */
    owners->media_gid =
        !layout->rules.as_person && amy__user_find(name, &front, NULL) == 0
            ? front.gid
            : (gid_t)-1;
    return 0;
}

/* ---- the pieces ---- */

static int
make_directories(struct amy__layout *layout, const struct owners *owners,
                 struct amy_error *err)
{
    const struct amy__user *site = &owners->site;
    const struct amy__user *deployer = &owners->deployer;
    gid_t media =
        owners->media_gid == (gid_t)-1 ? site->gid : owners->media_gid;
    const struct amy__layout_piece pieces[] = {
        {"logs", 0750, site->uid, site->gid, true},
        {"DB_backups", 0700, site->uid, site->gid, true},
        {"static", 0755, deployer->uid, deployer->gid, false},
        {"media", 02750, site->uid, media, false},
        {"repo", 0755, deployer->uid, deployer->gid, false},
        {"acme", 0755, geteuid(), getegid(), false},
    };

    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        char message[AMY__LAYOUT_MESSAGE_SIZE] = "";
        int rc = amy__layout_directory(layout->dir_fd, &pieces[i],
                                       layout->opts.dry_run, message, err);

        if (rc < 0) {
            amy__err_prefix(err, "%s: ", layout->path);
            return rc;
        }
        tell_of(layout, rc, pieces[i].name, message);
    }
    return 0;
}

static int
make_file(struct amy__layout *layout, const char *name, struct amy__span bytes,
          struct amy_error *err)
{
    int rc = amy__layout_file(layout->dir_fd, name, bytes, layout->opts.dry_run,
                              err);

    if (rc < 0) {
        amy__err_prefix(err, "%s: ", layout->path);
        return rc;
    }
    tell_of(layout, rc, name, "");
    return 0;
}

static int
make_page(struct amy__layout *layout, struct amy_error *err)
{
    struct stat st;

    if (layout->dir_fd >= 0 && fstatat(layout->dir_fd, "maintenance_on.html",
                                       &st, AT_SYMLINK_NOFOLLOW) == 0) {
        tell_of(layout, AMY_LAYOUT_KEPT, "maintenance_on.html",
                "the site is closed");
        return 0;
    }
    return make_file(layout, "maintenance_off.html", amy__page_maintenance(),
                     err);
}

/* One that is there is good but for who may write it. */
static int
make_yaml(struct amy__layout *layout, struct amy_error *err)
{
    AMY_CLEANUP(amy__report_clear_p) struct amy__report report = {.count = 0};
    struct amy_error why = AMY_ERROR_INIT;
    struct stat st;

    if (!layout->has_yaml) {
        return make_file(layout, "site.yaml", amy__buf_span(&layout->yaml),
                         err);
    }
    if (fstatat(layout->dir_fd, "site.yaml", &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return amy__err_sys(err, errno, "looking at '%s/site.yaml'",
                            layout->path);
    }
    amy__report_init(&report, "site.yaml");
    amy__owner_check_file(&layout->rules, &st, "site.yaml", &report);
    if (amy__report_finish(&report, AMY_EDENIED, NULL, NULL, &why) < 0) {
        tell_of(layout, AMY_LAYOUT_DIFFERS, "site.yaml", why.msg);
    } else {
        tell_of(layout, AMY_LAYOUT_KEPT, "site.yaml", "");
    }
    return 0;
}

/* ---- the directory itself ---- */

static const char *
webapps_of(const struct amy__layout *layout)
{
    return layout->opts.webapps == NULL ? "/webapps" : layout->opts.webapps;
}

static int
check_chain(const struct amy__layout *layout, int fd, struct amy_error *err)
{
    AMY_CLEANUP(amy__report_clear_p) struct amy__report report = {.count = 0};

    amy__report_init(&report, layout->path);
    amy__owner_check_chain(&layout->rules, fd, &report);
    return amy__report_finish(&report, AMY_EDENIED, NULL, NULL, err);
}

/* The directory that it would be made in, or one above that. */
static int
check_above(const struct amy__layout *layout, const char *webapps,
            struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int fd = -1;
    char above[PATH_MAX] = "";
    char *slash = NULL;

    if (!amy__span_copy(amy__span_of(webapps), above, sizeof(above))) {
        return amy__err_sys(err, ENAMETOOLONG, "opening '%s'", webapps);
    }
    do {
        slash = strrchr(above, '/');
        if (slash == NULL || slash == above) {
            (void)snprintf(above, sizeof(above), slash == NULL ? "." : "/");
            slash = NULL;
        } else {
            *slash = '\0';
        }
        fd = open(above, O_PATH | O_DIRECTORY | O_CLOEXEC);
    } while (fd < 0 && errno == ENOENT && slash != NULL);
    return fd < 0 ? amy__err_sys(err, errno, "opening '%s'", above)
                  : check_chain(layout, fd, err);
}

/* Where it is not there yet it is made later, when nothing is refused. */
static int
open_webapps(struct amy__layout *layout, const char *webapps,
             struct amy_error *err)
{
    layout->webapps_fd = open(webapps, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (layout->webapps_fd < 0 && errno == ENOENT) {
        return check_above(layout, webapps, err);
    }
    if (layout->webapps_fd < 0) {
        return amy__err_sys(err, errno, "opening '%s'", webapps);
    }
    return check_chain(layout, layout->webapps_fd, err);
}

static int
make_webapps(struct amy__layout *layout, struct amy_error *err)
{
    const char *webapps = webapps_of(layout);
    int rc = 0;

    if (layout->webapps_fd >= 0) {
        return 0;
    }
    if (!layout->opts.dry_run) {
        rc = amy__make_dirs(webapps, 0755, err);
    }
    if (rc == 0) {
        tell(layout, AMY_LAYOUT_ADDED, webapps, "");
    }
    return rc < 0 || layout->opts.dry_run ? rc
                                          : open_webapps(layout, webapps, err);
}

/* It may be there, and is ours then, as all above it. */
static int
open_directory(struct amy__layout *layout, struct amy_error *err)
{
    if (layout->webapps_fd < 0) {
        return 0;
    }
    layout->dir_fd = openat(layout->webapps_fd, layout->opts.domain,
                            O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (layout->dir_fd < 0 && errno == ENOENT) {
        return 0;
    }
    if (layout->dir_fd < 0 && (errno == ENOTDIR || errno == ELOOP)) {
        return amy__err(err, AMY_EINVAL,
                        "'%s' is no directory of its own (a link or a file)",
                        layout->path);
    }
    if (layout->dir_fd < 0) {
        return amy__err_sys(err, errno, "opening '%s'", layout->path);
    }
    return check_chain(layout, layout->dir_fd, err);
}

static int
make_directory(struct amy__layout *layout, struct amy_error *err)
{
    bool there = layout->dir_fd >= 0;

    if (!there && !layout->opts.dry_run) {
        if (mkdirat(layout->webapps_fd, layout->opts.domain, 0755) < 0) {
            return amy__err_sys(err, errno, "making '%s'", layout->path);
        }
        layout->dir_fd =
            openat(layout->webapps_fd, layout->opts.domain,
                   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (layout->dir_fd < 0 || fchmod(layout->dir_fd, 0755) < 0) {
            return amy__err_sys(err, errno, "making '%s'", layout->path);
        }
    }
    tell(layout, there ? AMY_LAYOUT_KEPT : AMY_LAYOUT_ADDED, layout->path, "");
    /* Two at once would give each other's half-made pieces away. */
    return layout->dir_fd >= 0 && flock(layout->dir_fd, LOCK_EX | LOCK_NB) < 0
               ? amy__err(err, AMY_EBUSY, "'%s' is being laid out by another",
                          layout->path)
               : 0;
}

/* ---- the whole ---- */

static int
make_all(struct amy__layout *layout, struct owners *owners,
         struct amy_error *err)
{
    int rc = find_others(layout, owners, err);

    if (rc == 0) {
        rc = make_user(layout, owners, err);
    }
    if (rc == 0) {
        rc = make_webapps(layout, err);
    }
    if (rc == 0) {
        rc = make_directory(layout, err);
    }
    if (rc == 0) {
        rc = make_directories(layout, owners, err);
    }
    if (rc == 0) {
        rc = make_page(layout, err);
    }
    return rc < 0 ? rc : make_yaml(layout, err);
}

static int
lay_out(struct amy__layout *layout, struct amy_error *err)
{
    AMY_CLEANUP(clear_owners) struct owners owners = {.media_gid = 0};
    const char *webapps = webapps_of(layout);
    int rc = 0;

    layout->rules = (struct amy__site_rules){
        .as_person = geteuid() != 0,
        .person = geteuid(),
        .borrow_front_user = layout->opts.front_user,
    };
    (void)snprintf(layout->path, sizeof(layout->path), "%s/%s", webapps,
                   layout->opts.domain);
    rc = open_webapps(layout, webapps, err);
    if (rc == 0) {
        rc = open_directory(layout, err);
    }
    if (rc == 0) {
        rc = amy__layout_decide(layout, err);
    }
    return rc < 0 ? rc : make_all(layout, &owners, err);
}

static void
fill_view(const struct amy__layout *layout, struct amy_layout_view *ret_view)
{
    struct amy_layout_view view = {.struct_size = ret_view->struct_size,
                                   .added = layout->added,
                                   .differing = layout->differing};

    (void)snprintf(view.site_user, sizeof(view.site_user), "%s",
                   layout->site->user);
    memcpy(ret_view, &view,
           view.struct_size < sizeof(view) ? view.struct_size : sizeof(view));
}

int
amy_layout_make(const struct amy_layout_options *opts,
                struct amy_layout_view *ret_view, struct amy_error *err)
{
    struct amy__layout layout = {.webapps_fd = -1, .dir_fd = -1};
    struct amy_error why = AMY_ERROR_INIT;
    int rc = amy__options_read(&layout.opts, sizeof(layout.opts), opts,
                               MIN_OPTIONS, err);

    if (rc < 0) {
        return rc;
    }
    if (layout.opts.domain == NULL) {
        return amy__err(err, AMY_EINVAL, "a layout needs a domain");
    }
    if (amy__domain_check(amy__span_of(layout.opts.domain), &why) < 0) {
        return amy__err(err, AMY_EINVAL, "'%s' %s", layout.opts.domain,
                        why.msg);
    }
    rc = lay_out(&layout, err);
    if (rc == 0 && ret_view != NULL) {
        fill_view(&layout, ret_view);
    }
    amy__site_unref(layout.site);
    amy__buf_clear(&layout.yaml);
    amy__close(&layout.dir_fd);
    amy__close(&layout.webapps_fd);
    return rc;
}
