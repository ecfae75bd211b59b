/* Makes a deployment: who deploys what, and by which steps. */
/* Not for carrying them out: deploy.c. */
#include "deploy/create.h"

#include "core/alloc.h"
#include "core/check.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "core/maker.h"
#include "core/options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void
amy_deploy_free(struct amy_deploy *deploy)
{
    if (deploy == NULL) {
        return;
    }
    AMY_CHECK(deploy, AMY__DEPLOY_MAGIC);
    if (!amy__is_maker(deploy->maker)) {
        return;
    }
    amy__deploy_act_cancel(deploy);
    amy__buf_clear(&deploy->run.out);
    amy__buf_clear(&deploy->run.taken);
    amy__timer_free(deploy->deadline);
    amy__timer_free(deploy->pause);
    amy__defer_free(deploy->turn);
    amy__env_unref(deploy->env);
    amy__json_free(deploy->answer);
    amy__deploy_history_clear(&deploy->history);
    amy__deploy_journal_clear(&deploy->journal);
    amy__user_clear(&deploy->deployer);
    amy__user_clear(&deploy->account);
    amy__close(&deploy->state_fd);
    amy__close(&deploy->webapps_fd);
    amy__close(&deploy->site_fd);
    amy__close(&deploy->dir_fd);
    amy__close(&deploy->lock_fd);
    amy__close(&deploy->releases_fd);
    amy__close(&deploy->release_fd);
    amy__site_unref(deploy->site);
    amy__settings_free(deploy->settings);
    amy__free(deploy->ref);
    amy__free(deploy->from);
    amy__free(deploy->to);
    amy__free(deploy->domain);
    deploy->magic = 0;
    amy__free(deploy);
}
AMY_DEFINE_CLEANUP(struct amy_deploy *, amy_deploy_free)

/* ---- who deploys ---- */

/* Whom releases/ belongs to, or what repo leads to; root is nobody here. */
static int
find_owner(const struct amy_deploy *deploy, uid_t *ret_uid,
           struct amy_error *err)
{
    static const char *const names[] = {"releases", "repo"};
    struct stat st;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (fstatat(deploy->site_fd, names[i], &st, 0) == 0 && st.st_uid != 0) {
            *ret_uid = st.st_uid;
            return 0;
        }
    }
    return amy__err(err, AMY_EINVAL,
                    "site.yaml names no deploy.user, and neither releases/ nor "
                    "repo belongs to one: no release is built as root");
}

static int
find_people(struct amy_deploy *deploy, struct amy_error *err)
{
    uid_t uid = geteuid();
    int rc = amy__user_find_uid(deploy->site->uid, &deploy->account, err);

    if (rc == 0 && !deploy->as_person && deploy->site->deploy.user != NULL) {
        return amy__user_find(deploy->site->deploy.user, &deploy->deployer,
                              err);
    }
    if (rc == 0 && !deploy->as_person) {
        rc = find_owner(deploy, &uid, err);
    }
    return rc < 0 ? rc : amy__user_find_uid(uid, &deploy->deployer, err);
}

/* ---- what was there before ---- */

static int
open_site(struct amy_deploy *deploy, struct amy_error *err)
{
    struct amy_error why = AMY_ERROR_INIT;

    deploy->webapps_fd = amy__open_dir(deploy->settings->webapps, err);
    if (deploy->webapps_fd < 0) {
        return deploy->webapps_fd;
    }
    deploy->site_fd = openat(deploy->webapps_fd, deploy->domain,
                             O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (deploy->site_fd < 0) {
        return errno == ENOENT
                   ? amy__err(err, AMY_ENOTFOUND, "there is no site '%s'",
                              deploy->domain)
                   : amy__err_sys(err, errno, "opening '%s'", deploy->domain);
    }
    /* Nothing is made before it begins: who only wants to see the plan may not
     * be allowed to. */
    deploy->state_fd = amy__open_dir(deploy->settings->state, &why);
    deploy->dir_fd = deploy->state_fd < 0
                         ? deploy->state_fd
                         : amy__site_state_dir(deploy->state_fd, false,
                                               "deploy", deploy->domain, &why);
    if (deploy->dir_fd < 0 && deploy->dir_fd != AMY_ENOTFOUND) {
        return amy__err(err, deploy->dir_fd, "%s", why.msg);
    }
    return 0;
}

static int
load_site(struct amy_deploy *deploy, amy_problem_fn on_problem, void *user,
          struct amy_error *err)
{
    const struct amy__site_rules rules = {.as_person = deploy->as_person,
                                          .person = geteuid(),
                                          .borrow_front_user =
                                              deploy->settings->front_user};
    int rc = amy__domain_check(amy__span_of(deploy->domain), err);

    if (rc < 0) {
        return amy__err(err, AMY_ENOTFOUND, "there is no site '%.200s'",
                        deploy->domain);
    }
    rc = open_site(deploy, err);
    rc = rc < 0 ? rc
                : amy__site_load(deploy->webapps_fd, deploy->settings->webapps,
                                 deploy->domain, &rules, on_problem, user, NULL,
                                 &deploy->site, err);
    return rc < 0 ? rc : find_people(deploy, err);
}

/* ---- what is to be done ---- */

/* The commit of a release in place: by its first digits, as git has it. */
static const struct amy__deploy_entry *
find_commit(const struct amy__deploy_history *history, const char *digits)
{
    for (size_t i = history->count; i > 0 && strlen(digits) >= 4; i--) {
        const struct amy__deploy_entry *entry = &history->entries[i - 1];

        if (strncmp(entry->link, "repo@", 5) == 0 &&
            strncmp(entry->link + 5, digits, strlen(digits)) == 0) {
            return entry;
        }
    }
    return NULL;
}

static int
find_target_in_place(struct amy_deploy *deploy, struct amy_error *err)
{
    struct amy__deploy_journal *journal = &deploy->journal;
    const struct amy__deploy_history *history = &deploy->history;
    const char *now =
        history->count == 0 ? "" : history->entries[history->count - 1].link;
    const struct amy__deploy_entry *entry =
        deploy->to != NULL ? find_commit(history, deploy->to)
                           : amy__deploy_history_before(history, now);

    if (entry == NULL || strncmp(entry->link, "repo@", 5) != 0 ||
        strlen(entry->link + 5) >= sizeof(journal->commit)) {
        return amy__err(err, AMY_ENOTFOUND,
                        "no commit%s%.80s of '%s' is known to have served "
                        "before",
                        deploy->to == NULL ? "" : " ",
                        deploy->to == NULL ? "" : deploy->to, deploy->domain);
    }
    (void)snprintf(journal->target, sizeof(journal->target), "%s", entry->link);
    (void)snprintf(journal->commit, sizeof(journal->commit), "%.64s",
                   entry->link + 5);
    (void)snprintf(journal->previous, sizeof(journal->previous), "%s", now);
    return 0;
}

static int
find_target(struct amy_deploy *deploy, struct amy_error *err)
{
    struct amy__deploy_journal *journal = &deploy->journal;
    const struct amy__deploy_entry *entry = NULL;

    if (deploy->to != NULL) {
        const char *name = strncmp(deploy->to, "releases/", 9) == 0
                               ? deploy->to + 9
                               : deploy->to;

        if (!amy__deploy_is_name(name)) {
            return amy__err(err, AMY_EINVAL, "'%.100s' is no release",
                            deploy->to);
        }
        (void)snprintf(journal->target, sizeof(journal->target), "releases/%s",
                       name);
    } else {
        entry = amy__deploy_history_before(&deploy->history, journal->previous);
        if (entry == NULL) {
            return amy__err(err, AMY_ENOTFOUND,
                            "no release of '%s' is known to have served before "
                            "%s",
                            deploy->domain,
                            journal->previous[0] == '\0' ? "now"
                                                         : journal->previous);
        }
        (void)snprintf(journal->target, sizeof(journal->target), "%s",
                       entry->link);
    }
    entry = amy__deploy_history_find(&deploy->history, journal->target);
    if (entry != NULL) {
        (void)snprintf(journal->commit, sizeof(journal->commit), "%s",
                       entry->commit);
    }
    return 0;
}

int
amy__deploy_prepare(struct amy_deploy *deploy, struct amy_error *err)
{
    struct amy__deploy_journal *journal = &deploy->journal;
    int rc = 0;

    amy__deploy_journal_clear(journal);
    deploy->facts = (struct amy__deploy_facts){.pending = -1};
    journal->kind = deploy->kind == AMY_DEPLOY_ROLLBACK ? AMY__DEPLOY_ROLLBACK
                                                        : AMY__DEPLOY_RELEASE;
    rc = amy__deploy_link_read(deploy, journal->previous, err);
    if (rc == AMY_ESTATE && amy__deploy_is_checkout(deploy)) {
        journal->in_place = true;
        rc = deploy->from == NULL
                 ? 0
                 : amy__err(err, AMY_EINVAL,
                            "repo is a checkout of git: --from needs "
                            "releases");
    } else if (rc == AMY_ESTATE) {
        return amy__err(err, AMY_ESTATE,
                        "repo is a directory, neither a link to a release nor "
                        "a checkout of git: move it to releases/first and make "
                        "repo a link to that");
    }
    if (rc == 0 && journal->kind == AMY__DEPLOY_ROLLBACK) {
        rc = journal->in_place ? find_target_in_place(deploy, err)
                               : find_target(deploy, err);
    } else if (rc == 0 && deploy->from == NULL) {
        (void)snprintf(journal->ref, sizeof(journal->ref), "%s",
                       deploy->ref != NULL ? deploy->ref
                                           : deploy->site->deploy.ref);
    }
    if (rc == 0) {
        amy__deploy_plan_make(deploy->site, journal->kind, journal->in_place,
                              &deploy->plan);
    }
    return rc;
}

static int
copy_text(const char *from, char **ret, struct amy_error *err)
{
    if (from == NULL) {
        return 0;
    }
    *ret = amy__strdup(from);
    return *ret == NULL ? amy__err(err, AMY_ENOMEM, "making a deployment") : 0;
}

static int
take_options(struct amy_deploy *deploy, const struct amy_deploy_options *o,
             struct amy_error *err)
{
    struct amy__settings_args args = {.config = o->config,
                                      .webapps = o->webapps,
                                      .run = o->run,
                                      .state = o->state};
    int rc = copy_text(o->site, &deploy->domain, err);

    rc = rc < 0 ? rc : copy_text(o->ref, &deploy->ref, err);
    rc = rc < 0 ? rc : copy_text(o->from, &deploy->from, err);
    rc = rc < 0 ? rc : copy_text(o->to, &deploy->to, err);
    if (rc == 0) {
        rc = amy__settings_load(&args, NULL, NULL, &deploy->settings, err);
    }
    return rc;
}

static int
make_parts(struct amy_deploy *deploy, struct amy_error *err)
{
    int rc = amy__timer_create(deploy->base, amy__deploy_on_deadline, deploy,
                               &deploy->deadline, err);

    if (rc == 0) {
        rc = amy__timer_create(deploy->base, amy__deploy_on_pause, deploy,
                               &deploy->pause, err);
    }
    if (rc == 0) {
        rc = amy__defer_create(deploy->base, amy__deploy_turn, deploy,
                               &deploy->turn, err);
    }
    return rc;
}

/* It goes to git, and into the journal. */
static bool
is_ref(const char *ref)
{
    for (size_t i = 0; ref[i] != '\0'; i++) {
        if ((unsigned char)ref[i] <= ' ' || ref[i] == '\x7f') {
            return false;
        }
    }
    return ref[0] != '-' && strlen(ref) < AMY__DEPLOY_REF_SIZE &&
           ref[strcspn(ref, "~^:?*[\\")] == '\0';
}

static int
check_options(const struct amy_deploy_options *o, struct amy_error *err)
{
    if (o->base == NULL || o->site == NULL) {
        return amy__err(err, AMY_EINVAL, "base and site are required");
    }
    if (o->kind > AMY_DEPLOY_FORGET) {
        return amy__err(err, AMY_EINVAL, "there is no such kind");
    }
    if (o->from != NULL && (o->from[0] != '/' || strlen(o->from) > 3000)) {
        return amy__err(err, AMY_EINVAL, "from is no absolute path");
    }
    if (o->ref != NULL && !is_ref(o->ref)) {
        return amy__err(err, AMY_EINVAL, "'%.100s' is no branch, tag or commit",
                        o->ref);
    }
    return 0;
}

static struct amy_deploy *
allocate(const struct amy_deploy_options *o)
{
    struct amy_deploy *deploy = amy__calloc(1, sizeof(*deploy));

    if (deploy == NULL) {
        return NULL;
    }
    deploy->magic = AMY__DEPLOY_MAGIC;
    deploy->maker = getpid();
    deploy->base = o->base;
    deploy->borrow_clock = o->borrow_clock;
    deploy->on_event = o->on_event;
    deploy->event_user = o->user;
    deploy->kind = o->kind;
    deploy->if_changed = o->if_changed != 0;
    deploy->as_person = geteuid() != 0;
    deploy->state_fd = -1;
    deploy->webapps_fd = -1;
    deploy->site_fd = -1;
    deploy->dir_fd = -1;
    deploy->lock_fd = -1;
    deploy->releases_fd = -1;
    deploy->release_fd = -1;
    amy__deploy_run_init(&deploy->run);
    return deploy;
}

int
amy_deploy_create(const struct amy_deploy_options *opts,
                  amy_problem_fn on_problem, void *user,
                  struct amy_deploy **ret_deploy, struct amy_error *err)
{
    AMY_CLEANUP(amy_deploy_free_p) struct amy_deploy *deploy = NULL;
    struct amy_deploy_options o;
    int rc = amy__options_read(&o, sizeof(o), opts, sizeof(size_t), err);

    rc = rc < 0 ? rc : check_options(&o, err);
    if (rc < 0) {
        return rc;
    }
    deploy = allocate(&o);
    if (deploy == NULL) {
        return amy__err(err, AMY_ENOMEM, "making a deployment");
    }
    rc = take_options(deploy, &o, err);
    rc = rc < 0 ? rc : load_site(deploy, on_problem, user, err);
    rc = rc < 0 ? rc : make_parts(deploy, err);
    rc = rc < 0 ? rc : amy__deploy_history_load(deploy, err);
    if (rc == 0) {
        (void)amy__deploy_link_read(deploy, deploy->now, NULL); /* or "" */
    }
    if (rc == 0 && !amy__deploy_only_mends(deploy)) {
        rc = amy__deploy_prepare(deploy, err);
    }
    if (rc < 0) {
        return rc;
    }
    *ret_deploy = AMY_TAKE(deploy);
    return 0;
}

size_t
amy_deploy_count(const struct amy_deploy *deploy)
{
    AMY_CHECK(deploy, AMY__DEPLOY_MAGIC);
    return deploy->plan.count;
}

static const char *
user_of(const struct amy_deploy *deploy, const struct amy__deploy_step *step)
{
    const char *who = amy__deploy_step_who(step);

    if (strcmp(who, "site") == 0) {
        return deploy->account.name;
    }
    return strcmp(who, "deployer") == 0 || deploy->as_person
               ? deploy->deployer.name
               : "root";
}

int
amy_deploy_at(const struct amy_deploy *deploy, size_t index,
              struct amy_deploy_step *ret_step)
{
    const struct amy__deploy_step *step = NULL;

    AMY_CHECK(deploy, AMY__DEPLOY_MAGIC);
    if (index >= deploy->plan.count) {
        return AMY_ENOTFOUND;
    }
    step = &deploy->plan.steps[index];
    ret_step->name = step->name;
    ret_step->says = amy__deploy_step_says(step);
    ret_step->undo = amy__deploy_step_undo(step);
    ret_step->user = user_of(deploy, step);
    ret_step->timeout_ms = step->timeout_ms;
    return 0;
}

int
amy_deploy_served(const struct amy_deploy *deploy, size_t index,
                  struct amy_deploy_release *ret_release)
{
    const struct amy__deploy_history *history = &deploy->history;
    const struct amy__deploy_entry *entry = NULL;

    AMY_CHECK(deploy, AMY__DEPLOY_MAGIC);
    if (index >= history->count) {
        return AMY_ENOTFOUND;
    }
    entry = &history->entries[history->count - 1 - index];
    ret_release->link = entry->link;
    ret_release->ref = entry->ref;
    ret_release->commit = entry->commit;
    ret_release->backup = entry->backup;
    ret_release->served_wall_ms = entry->served_wall_ms;
    ret_release->left = entry->left;
    /* In place the last one that we know of is. */
    ret_release->serves = deploy->now[0] == '\0'
                              ? index == 0
                              : strcmp(entry->link, deploy->now) == 0;
    return 0;
}

const char *
amy_deploy_release(const struct amy_deploy *deploy)
{
    AMY_CHECK(deploy, AMY__DEPLOY_MAGIC);
    return deploy->journal.target;
}
