/* What each step does. Those of several parts are in files of their own. */
/* Not for their order (plan.c), nor for what follows a failure (deploy.c). */
#include "core/alloc.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"
#include "deploy/internal.h"
#include "site/fields.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void
on_done(struct amy_deploy *deploy, int rc, struct amy_error *err)
{
    amy__deploy_done(deploy, rc, err);
}

/* ---- commands ---- */

static void
run_command(struct amy_deploy *deploy, const struct amy__deploy_step *step)
{
    const struct amy__deploy_command *command = step->borrow_command;
    const struct amy__deploy_program program = {
        .argv = (const char *const *)command->run,
        .who = command->who,
        .cwd_fd = deploy->release_fd,
        .bare = deploy->env == NULL};
    struct amy_error err = AMY_ERROR_INIT;
    int rc = amy__deploy_run(deploy, &program, on_done, &err);

    if (rc < 0) {
        amy__deploy_done(deploy, rc, &err);
    }
}

static void
collect_static(struct amy_deploy *deploy)
{
    static const char *const argv[] = {"python", "manage.py", "collectstatic",
                                       "--noinput", NULL};
    const struct amy__deploy_program program = {.argv = argv,
                                                .who = AMY__DEPLOY_AS_DEPLOYER,
                                                .cwd_fd = deploy->release_fd};
    struct amy_error err = AMY_ERROR_INIT;
    int rc = amy__deploy_directory_give(deploy, "static", &err);

    rc = rc < 0 ? rc : amy__deploy_run(deploy, &program, on_done, &err);
    if (rc < 0) {
        amy__deploy_done(deploy, rc, &err);
    }
}

static void
migrate(struct amy_deploy *deploy)
{
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 0;

    deploy->journal.migrating = true;
    rc = amy__deploy_journal_save(deploy, &err);
    if (rc < 0) {
        amy__deploy_done(deploy, rc, &err);
        return;
    }
    amy__deploy_migrate(deploy);
}

/* ---- the gate ---- */

static void
set_gate(struct amy_deploy *deploy, bool closed, amy__deploy_then_fn then)
{
    struct amy_error err = AMY_ERROR_INIT;
    char path[400];
    int rc = 0;

    (void)snprintf(path, sizeof(path), "/v1/sites/%s/gate", deploy->domain);
    rc = amy__deploy_ask(
        deploy, "front", "PUT", path,
        closed ? "{\"state\":\"closed\"}" : "{\"state\":\"open\"}", then, &err);
    if (rc < 0) {
        deploy->status = 0;
        then(deploy, rc, &err);
    }
}

/* Whoever refused has not closed it: there is nothing to open again. Without an
 * answer nobody knows. */
static void
on_closed(struct amy_deploy *deploy, int rc, struct amy_error *err)
{
    if (rc < 0 && deploy->status != 0) {
        deploy->journal.closed = false;
        (void)amy__deploy_journal_save(deploy, NULL);
    }
    amy__deploy_done(deploy, rc, err);
}

/* Asked just before it is set: building takes long, and somebody may have
 * closed it meanwhile. */
static void
on_gate(struct amy_deploy *deploy, int rc, struct amy_error *err)
{
    const struct amy__json *site = amy__deploy_site_of(deploy);
    const char *state =
        amy__json_get_text(amy__json_get(site, "gate"), "state", "");
    bool closed = strcmp(state, "closed") == 0;

    if (rc == 0 && (closed || state[0] == '\0')) {
        amy__deploy_tell(deploy, AMY_DEPLOY_NOTE, "%s",
                         closed ? "it was closed before, and stays so"
                                : "amy-front has no such site yet: nobody gets "
                                  "in");
        amy__deploy_done(deploy, 0, NULL);
        return;
    }
    if (rc == 0) {
        deploy->journal.closed = true;
        rc = amy__deploy_journal_save(deploy, err);
    }
    if (rc < 0) {
        amy__deploy_done(deploy, rc, err);
        return;
    }
    set_gate(deploy, true, on_closed);
}

static void
close_gate(struct amy_deploy *deploy)
{
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 0;

    if (!amy__deploy_closes(deploy->site, deploy->facts.pending)) {
        amy__deploy_tell(deploy, AMY_DEPLOY_NOTE, "not needed");
        amy__deploy_done(deploy, 0, NULL);
        return;
    }
    rc = amy__deploy_ask(deploy, "front", "GET", "/v1/status", NULL, on_gate,
                         &err);
    if (rc < 0) {
        amy__deploy_done(deploy, rc, &err);
    }
}

static void
on_open(struct amy_deploy *deploy, int rc, struct amy_error *err)
{
    if (rc == 0) {
        deploy->journal.closed = false;
        rc = amy__deploy_journal_undone(deploy, err);
    }
    amy__deploy_done(deploy, rc, err);
}

static void
open_gate(struct amy_deploy *deploy)
{
    if (!deploy->journal.closed) {
        amy__deploy_done(deploy, 0, NULL);
        return;
    }
    set_gate(deploy, false, on_open);
}

/* ---- the switch, and the reload ---- */

static void
switch_to(struct amy_deploy *deploy, const char *link)
{
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 0;

    if (!deploy->mending) {
        deploy->journal.switched = true;
        rc = amy__deploy_journal_save(deploy, &err);
    }
    rc = rc < 0 ? rc : amy__deploy_link_write(deploy, link, &err);
    if (rc == 0 && deploy->mending) {
        deploy->journal.switched = false;
        rc = amy__deploy_journal_undone(deploy, &err);
    }
    amy__deploy_done(deploy, rc, &err);
}

/* It serves already: whether amy-backup has read site.yaml anew changes nothing
 * of that. */
static void
on_backup_told(struct amy_deploy *deploy, int rc, struct amy_error *err)
{
    if (rc < 0 && rc != AMY_ECONN) {
        amy__deploy_tell(deploy, AMY_DEPLOY_WARNING, "amy-backup: %s",
                         err->msg);
    }
    amy__deploy_done(deploy, 0, NULL);
}

static void
tell_backup(struct amy_deploy *deploy)
{
    struct amy_error err = AMY_ERROR_INIT;
    char path[400];
    int rc = 0;

    (void)snprintf(path, sizeof(path), "/v1/sites/%s/reload", deploy->domain);
    rc = amy__deploy_ask(deploy, "backup", "POST", path, NULL, on_backup_told,
                         &err);
    if (rc < 0) {
        on_backup_told(deploy, rc, &err);
    }
}

static void
on_reloaded(struct amy_deploy *deploy, int rc, struct amy_error *err)
{
    if (rc == AMY_ECONN &&
        (deploy->mending || deploy->site->worker_count == 0)) {
        amy__deploy_tell(deploy, AMY_DEPLOY_NOTE,
                         "amy-workers does not run; it begins with what repo "
                         "leads to");
        rc = 0;
    }
    if (rc == 0 && deploy->mending) {
        deploy->journal.reloading = false;
        rc = amy__deploy_journal_undone(deploy, err);
    } else if (rc == 0) {
        deploy->journal.served = true;
        rc = amy__deploy_journal_save(deploy, err);
    }
    if (rc == 0 && !deploy->mending) {
        tell_backup(deploy);
        return;
    }
    amy__deploy_done(deploy, rc, err);
}

/* One that served before is known to: nobody waits for its bake. */
static void
reload_workers(struct amy_deploy *deploy, int rc, struct amy_error *err)
{
    bool proven =
        deploy->mending || deploy->journal.kind == AMY__DEPLOY_ROLLBACK;
    char path[400];

    (void)snprintf(path, sizeof(path), "/v1/sites/%s/reload", deploy->domain);
    if (rc == AMY_ECONN) {
        rc = 0; /* amy-front reads everything when it starts */
    }
    rc = rc < 0 ? rc
                : amy__deploy_ask(deploy, "workers", "POST", path,
                                  proven ? "{\"proven\":true}" : NULL,
                                  on_reloaded, err);
    if (rc < 0) {
        on_reloaded(deploy, rc, err);
    }
}

static void
reload(struct amy_deploy *deploy)
{
    struct amy_error err = AMY_ERROR_INIT;
    char path[400];
    int rc = 0;

    if (!deploy->mending) {
        deploy->journal.reloading = true;
        rc = amy__deploy_journal_save(deploy, &err);
    }
    if (rc < 0) {
        amy__deploy_done(deploy, rc, &err);
        return;
    }
    (void)snprintf(path, sizeof(path), "/v1/sites/%s/reload", deploy->domain);
    rc = amy__deploy_ask(deploy, "front", "POST", path, NULL, reload_workers,
                         &err);
    if (rc < 0) {
        reload_workers(deploy, rc, &err);
    }
}

/* ---- has a reload gone on without whoever asked for it? ---- */

/* Forwards instead of backwards; "kill" is done. */
static void
turn_forwards(struct amy_deploy *deploy)
{
    deploy->journal.served = true;
    (void)amy__deploy_journal_undone(deploy, NULL);
    amy__deploy_plan_mend(&deploy->journal, false, &deploy->plan);
    deploy->at = 0;
    amy__deploy_tell(deploy, AMY_DEPLOY_MENDING,
                     "it serves: what is left is done");
}

static void
on_looked(struct amy_deploy *deploy, int rc, struct amy_error *err)
{
    const struct amy__json *reload =
        amy__json_get(amy__deploy_site_of(deploy), "reload");
    const char *state = amy__json_get_text(reload, "state", "");
    bool over = strcmp(state, "idle") == 0 || strcmp(state, "failed") == 0;

    (void)err;
    if (rc == 0 && over &&
        strcmp(amy__json_get_text(reload, "release", ""),
               deploy->release_path) == 0) {
        turn_forwards(deploy);
    } else {
        amy__deploy_tell(deploy, AMY_DEPLOY_MENDING,
                         "what was begun is undone");
    }
    amy__deploy_done(deploy, 0, NULL);
}

/* Who cannot be asked does not say so: then it is undone. */
static void
look(struct amy_deploy *deploy)
{
    struct amy_error err = AMY_ERROR_INIT;
    int rc = amy__deploy_release_open(deploy, deploy->journal.target, &err);

    amy__close(&deploy->release_fd);
    rc = rc < 0 ? rc
                : amy__deploy_ask(deploy, "workers", "GET", "/v1/status", NULL,
                                  on_looked, &err);
    if (rc < 0) {
        on_looked(deploy, rc, &err);
    }
}

/* ---- what is kept of it ---- */

static void
fill_entry(const struct amy_deploy *deploy, struct amy__deploy_entry *entry)
{
    const struct amy__deploy_journal *journal = &deploy->journal;

    entry->ours = true;
    (void)snprintf(entry->ref, sizeof(entry->ref), "%s", journal->ref);
    (void)snprintf(entry->commit, sizeof(entry->commit), "%s", journal->commit);
    (void)snprintf(entry->backup, sizeof(entry->backup), "%s", journal->backup);
    for (size_t i = 0;
         journal->migrations != NULL && journal->migrations[i] != NULL; i++) {
        /* A warning at a rollback is all that it is for. */
        (void)amy__texts_add(&entry->migrations, journal->migrations[i]);
    }
}

static void
record(struct amy_deploy *deploy)
{
    struct amy__deploy_history *history = &deploy->history;
    const struct amy__deploy_journal *journal = &deploy->journal;
    int64_t now_ms = amy__wall_ms(deploy->borrow_clock);
    struct amy_error err = AMY_ERROR_INIT;
    struct amy__deploy_entry *entry = NULL;
    int rc = 0;

    if (journal->previous[0] != '\0' &&
        amy__deploy_history_find(history, journal->previous) == NULL) {
        /* Somebody else deployed it. */
        (void)amy__deploy_history_serve(history, journal->previous, 0);
    }
    entry = amy__deploy_history_find(history, journal->previous);
    if (entry != NULL && journal->kind == AMY__DEPLOY_ROLLBACK) {
        entry->left = true;
    }
    entry = amy__deploy_history_serve(history, journal->target, now_ms);
    if (entry != NULL && journal->kind == AMY__DEPLOY_RELEASE && !entry->ours) {
        fill_entry(deploy, entry);
    }
    rc = entry == NULL ? amy__err(&err, AMY_ENOMEM, "noting the release")
                       : amy__deploy_history_save(deploy, &err);
    amy__deploy_done(deploy, rc, &err);
}

/* ---- files that go ---- */

static int
remove_release(struct amy_deploy *deploy, const char *name,
               amy__deploy_then_fn then, struct amy_error *err)
{
    const char *argv[] = {"rm", "-rf", "--one-file-system", "--", name, NULL};
    const struct amy__deploy_program program = {.argv = argv,
                                                .who = AMY__DEPLOY_AS_DEPLOYER,
                                                .cwd_fd = deploy->releases_fd,
                                                .bare = true};

    return amy__deploy_run(deploy, &program, then, err);
}

static void
on_removed(struct amy_deploy *deploy, int rc, struct amy_error *err)
{
    if (rc == 0) {
        deploy->journal.made = false;
        rc = amy__deploy_journal_undone(deploy, err);
    }
    amy__deploy_done(deploy, rc, err);
}

static void
remove_new(struct amy_deploy *deploy)
{
    struct amy_error err = AMY_ERROR_INIT;
    int rc = amy__deploy_releases_open(deploy, &err);

    rc = rc < 0 ? rc
                : remove_release(deploy, deploy->journal.release, on_removed,
                                 &err);
    if (rc < 0) {
        amy__deploy_done(deploy, rc, &err);
    }
}

static void clean_next(struct amy_deploy *deploy, int rc,
                       struct amy_error *err);

static void
on_cleaned(struct amy_deploy *deploy, int rc, struct amy_error *err)
{
    if (rc == 0) {
        amy__deploy_history_drop(&deploy->history, deploy->cleaned);
        rc = amy__deploy_history_save(deploy, err);
    }
    clean_next(deploy, rc, err);
}

/* Only what lies beneath releases/, and what a deployment of ours has made. */
static const char *
name_beneath(const char *link)
{
    return strncmp(link, "releases/", 9) == 0 && amy__deploy_is_name(link + 9)
               ? link + 9
               : NULL;
}

static void
clean_next(struct amy_deploy *deploy, int rc, struct amy_error *err)
{
    const struct amy__deploy_entry *entry =
        rc < 0 ? NULL
               : amy__deploy_history_surplus(&deploy->history,
                                             deploy->journal.target,
                                             deploy->site->deploy.keep);
    const char *name = entry == NULL ? NULL : name_beneath(entry->link);

    while (entry != NULL && name == NULL) {
        /* From the days when repo was a checkout: nothing is left to go. */
        (void)snprintf(deploy->cleaned, sizeof(deploy->cleaned), "%s",
                       entry->link);
        amy__deploy_history_drop(&deploy->history, deploy->cleaned);
        entry = amy__deploy_history_surplus(&deploy->history,
                                            deploy->journal.target,
                                            deploy->site->deploy.keep);
        name = entry == NULL ? NULL : name_beneath(entry->link);
    }
    if (name == NULL) {
        amy__deploy_done(deploy, rc, err);
        return;
    }
    (void)snprintf(deploy->cleaned, sizeof(deploy->cleaned), "%s", entry->link);
    amy__deploy_tell(deploy, AMY_DEPLOY_NOTE, "%s goes", name);
    rc = remove_release(deploy, name, on_cleaned, err);
    if (rc < 0) {
        amy__deploy_done(deploy, rc, err);
    }
}

static void
clean(struct amy_deploy *deploy)
{
    struct amy_error err = AMY_ERROR_INIT;

    clean_next(deploy, amy__deploy_releases_open(deploy, &err), &err);
}

static void
kill_left(struct amy_deploy *deploy)
{
    unsigned count = amy__deploy_run_sweep(deploy, deploy->journal.id);

    if (count > 0) {
        amy__deploy_tell(deploy, AMY_DEPLOY_NOTE, "%u ended", count);
    }
    amy__deploy_done(deploy, 0, NULL);
}

/* ---- */

/* Migrations stay when one goes back: which of them does that release not know?
 */
static void
warn_of_migrations(struct amy_deploy *deploy)
{
    const struct amy__deploy_history *history = &deploy->history;

    for (size_t i = 0; i < history->count; i++) {
        const struct amy__deploy_entry *entry = &history->entries[i];

        if (!amy__deploy_history_is_newer(history, entry,
                                          deploy->journal.target)) {
            continue;
        }
        for (size_t j = 0;
             entry->migrations != NULL && entry->migrations[j] != NULL; j++) {
            amy__deploy_tell(deploy, AMY_DEPLOY_WARNING,
                             "migration %s of %s stays, and %s does not know "
                             "it",
                             entry->migrations[j], entry->link,
                             deploy->journal.target);
        }
    }
}

static void
check(struct amy_deploy *deploy)
{
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 0;

    if (deploy->journal.in_place) {
        rc = amy__deploy_release_open(deploy, "repo", &err);
    } else if (deploy->journal.kind == AMY__DEPLOY_ROLLBACK) {
        rc = amy__deploy_release_open(deploy, deploy->journal.target, &err);
    }
    if (rc == 0 && deploy->journal.kind == AMY__DEPLOY_ROLLBACK) {
        warn_of_migrations(deploy);
    }
    if (rc < 0) {
        amy__deploy_done(deploy, rc, &err);
        return;
    }
    amy__deploy_check(deploy);
}

void
amy__deploy_act(struct amy_deploy *deploy, const struct amy__deploy_step *step)
{
    static void (*const acts[AMY__ACT_COUNT])(struct amy_deploy *) = {
        [AMY__ACT_CHECK] = check,
        [AMY__ACT_FETCH] = amy__deploy_fetch,
        [AMY__ACT_ENVIRONMENT] = amy__deploy_environment,
        [AMY__ACT_VARIABLES] = amy__deploy_read_variables,
        [AMY__ACT_PENDING] = amy__deploy_pending,
        [AMY__ACT_BACKUP] = amy__deploy_backup,
        [AMY__ACT_CLOSE] = close_gate,
        [AMY__ACT_SUSPEND] = amy__deploy_suspend,
        [AMY__ACT_MIGRATE] = migrate,
        [AMY__ACT_STATIC] = collect_static,
        [AMY__ACT_CHECKOUT] = amy__deploy_checkout,
        [AMY__ACT_CHECKOUT_BACK] = amy__deploy_checkout_back,
        [AMY__ACT_ENVIRONMENT_BACK] = amy__deploy_environment_back,
        [AMY__ACT_RELOAD] = reload,
        [AMY__ACT_RESUME] = amy__deploy_resume,
        [AMY__ACT_OPEN] = open_gate,
        [AMY__ACT_RECORD] = record,
        [AMY__ACT_CLEAN] = clean,
        [AMY__ACT_KILL] = kill_left,
        [AMY__ACT_LOOK] = look,
        [AMY__ACT_RELOAD_BACK] = reload,
        [AMY__ACT_REMOVE] = remove_new,
    };

    if (step->act == AMY__ACT_COMMAND) {
        run_command(deploy, step);
    } else if (step->act == AMY__ACT_SWITCH) {
        switch_to(deploy, deploy->journal.target);
    } else if (step->act == AMY__ACT_SWITCH_BACK) {
        switch_to(deploy, deploy->journal.previous);
    } else {
        acts[step->act](deploy);
    }
}

void
amy__deploy_act_cancel(struct amy_deploy *deploy)
{
    if (deploy->pause != NULL) { /* NULL: half made */
        amy__timer_cancel(deploy->pause);
    }
    amy__deploy_run_kill(deploy);
    amy__env_cancel(deploy->env_job);
    deploy->env_job = NULL;
    amy_control_free(deploy->request);
    deploy->request = NULL;
}
