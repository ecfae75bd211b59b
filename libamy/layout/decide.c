/* Decides whom a site runs as and what its site.yaml says, before anything is
 * made. */
/* Not for making it: layout.c. */
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "core/user.h"
#include "layout/internal.h"
#include "layout/text.h"
#include "site/schema.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define AMY_USER "amy"
#define ADMIN_GROUP "amy-admin"

AMY_DEFINE_CLEANUP(struct amy__site *, amy__site_unref)

/* ---- a name nobody has ---- */

struct search {
    const struct amy__layout *layout;
    const char *name;
    bool found;
};

static int
look_at_site(const char *domain, void *user)
{
    struct search *search = user;
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf yaml = {NULL, 0, 0, 0};
    AMY_CLEANUP(amy__site_unref_p) struct amy__site *site = NULL;
    AMY_CLEANUP(amy__close_p) int fd = -1;

    if (strcmp(domain, search->layout->opts.domain) == 0) {
        return 0;
    }
    amy__buf_init(&yaml, AMY__YAML_MAX_BYTES);
    fd = amy__open_beneath(search->layout->webapps_fd, domain,
                           O_PATH | O_DIRECTORY, 0, NULL);
    if (fd >= 0 &&
        amy__read_file_at(fd, "site.yaml", AMY__YAML_MAX_BYTES, &yaml, NULL,
                          NULL) == 0 &&
        amy__site_parse(amy__buf_span(&yaml), "site.yaml", NULL, NULL, NULL,
                        &site, NULL) == 0 &&
        strcmp(site->user, search->name) == 0) {
        search->found = true;
    }
    return 0; /* a site that cannot be read has no user */
}

/* Has another site this user, or another program this group? A group alone is
 * not for us to join: amy-admin may switch every site. */
static bool
is_taken(const struct amy__layout *layout, const char *name)
{
    struct search search = {.layout = layout, .name = name};
    AMY_CLEANUP(amy__user_clear) struct amy__user account = {0};
    gid_t gid = 0;

    if (strcmp(name, AMY_USER) == 0 || strcmp(name, ADMIN_GROUP) == 0) {
        return true;
    }
    if (layout->webapps_fd >= 0) {
        (void)amy__site_each(layout->webapps_fd, look_at_site, &search, NULL);
    }
    return search.found || (amy__user_find(name, &account, NULL) < 0 &&
                            amy__group_find(name, &gid, NULL) == 0);
}

static int
choose_user(const struct amy__layout *layout, char ret[AMY__LAYOUT_NAME_SIZE],
            struct amy_error *err)
{
    AMY_CLEANUP(amy__user_clear) struct amy__user person = {0};
    const char *given = layout->opts.site_user;
    struct amy__span domain = amy__span_of(layout->opts.domain);
    int rc = 0;

    if (given == NULL && layout->rules.as_person) {
        rc = amy__user_find_uid(layout->rules.person, &person, err);
        given = person.name;
    }
    if (rc < 0) {
        return rc;
    }
    if (given != NULL) {
        return snprintf(ret, AMY__LAYOUT_NAME_SIZE, "%s", given) <
                       AMY__LAYOUT_NAME_SIZE
                   ? 0
                   : amy__err(err, AMY_EINVAL,
                              "'%s' is no user name: more than 32 characters",
                              given);
    }
    amy__layout_short_name(domain, ret);
    if (!is_taken(layout, ret)) {
        return 0;
    }
    amy__layout_long_name(domain, ret);
    return is_taken(layout, ret)
               ? amy__err(err, AMY_EEXIST,
                          "user '%s' is somebody else's: name one for this "
                          "site",
                          ret)
               : 0;
}

/* ---- site.yaml ---- */

struct first_problem {
    char text[sizeof(((struct amy_error *)NULL)->msg)];
};

static void
keep_first(const struct amy_problem *problem, void *user)
{
    struct first_problem *first = user;

    if (first->text[0] == '\0' && problem->severity == AMY_SEVERITY_ERROR) {
        (void)amy__problem_format(problem, first->text, sizeof(first->text));
    }
}

static int
parse(struct amy__layout *layout, const char *file, struct amy_error *err)
{
    struct first_problem first = {.text = ""};
    int rc =
        amy__site_parse(amy__buf_span(&layout->yaml), file, layout->opts.domain,
                        keep_first, &first, &layout->site, err);

    return rc < 0 && first.text[0] != '\0' ? amy__err(err, rc, "%s", first.text)
                                           : rc;
}

static int
write_new(struct amy__layout *layout, struct amy_error *err)
{
    char name[AMY__LAYOUT_NAME_SIZE];
    struct amy__layout_text text = {
        .domain = layout->opts.domain,
        .user = name,
        .wsgi = layout->opts.wsgi == NULL ? "config.wsgi:application"
                                          : layout->opts.wsgi,
        .aliases = layout->opts.aliases,
        .stage_test = layout->opts.stage_test,
    };
    int rc = choose_user(layout, name, err);

    if (rc == 0 && amy__layout_text(&text, &layout->yaml) < 0) {
        rc = amy__err(err, AMY_ENOMEM, "writing site.yaml");
    }
    /* What it says is judged by whoever reads it, so that no word of an option
     * gets in that a site.yaml may not have. */
    return rc < 0 ? rc : parse(layout, "the new site.yaml", err);
}

static int
take_old(struct amy__layout *layout, struct amy_error *err)
{
    char file[PATH_MAX];
    const char *given = layout->opts.site_user;
    int rc = 0;

    (void)snprintf(file, sizeof(file), "%.4000s/site.yaml", layout->path);
    rc = parse(layout, file, err);
    if (rc == 0 && given != NULL && strcmp(given, layout->site->user) != 0) {
        return amy__err(
            err, AMY_EEXIST,
            "%s: names the user '%s', and not '%s': change it there", file,
            layout->site->user, given);
    }
    return rc;
}

int
amy__layout_decide(struct amy__layout *layout, struct amy_error *err)
{
    int rc = AMY_ENOTFOUND;

    amy__buf_init(&layout->yaml, AMY__YAML_MAX_BYTES);
    if (layout->dir_fd >= 0) {
        rc = amy__read_file_at(layout->dir_fd, "site.yaml", AMY__YAML_MAX_BYTES,
                               &layout->yaml, NULL, err);
    }
    if (rc < 0 && rc != AMY_ENOTFOUND) {
        amy__err_prefix(err, "%s/site.yaml: ", layout->path);
        return rc;
    }
    layout->has_yaml = rc == 0;
    return layout->has_yaml ? take_old(layout, err) : write_new(layout, err);
}
