/* Carries out the steps of a deployment, one after the other, and those that
 * undo them. */
/* Not for what a step does: act.c. */
#include "core/alloc.h"
#include "core/check.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/error.h"
#include "core/files.h"
#include "core/maker.h"
#include "deploy/create.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int64_t
now_of(const struct amy_deploy *deploy)
{
    return amy__mono_ms(deploy->borrow_clock);
}

static const struct amy__deploy_step *
step_of(const struct amy_deploy *deploy)
{
    return deploy->at < deploy->plan.count ? &deploy->plan.steps[deploy->at]
                                           : NULL;
}

bool
amy__deploy_only_mends(const struct amy_deploy *deploy)
{
    return deploy->kind == AMY_DEPLOY_RECOVER ||
           deploy->kind == AMY_DEPLOY_FORGET;
}

/* ---- telling ---- */

static const char *
log_word(uint32_t kind)
{
    static const char *const words[] = {
        "begun", "", "", "WARNING: ", "done in", "FAILED: ", ""};

    return words[kind];
}

static void
log_event(const struct amy_deploy *deploy, const struct amy_deploy_event *event)
{
    char text[4600];

    if (event->kind == AMY_DEPLOY_BEGUN) {
        (void)snprintf(text, sizeof(text), "begun");
    } else if (event->kind == AMY_DEPLOY_FINISHED) {
        (void)snprintf(text, sizeof(text), "done in %" PRId64 " ms",
                       event->took_ms);
    } else {
        (void)snprintf(text, sizeof(text), "%s%s", log_word(event->kind),
                       event->text);
    }
    amy__deploy_log(deploy, event->step, text);
}

static void
emit(struct amy_deploy *deploy, uint32_t kind, const char *text)
{
    const struct amy__deploy_step *step = step_of(deploy);
    struct amy_deploy_event event = {
        .struct_size = sizeof(event),
        .kind = kind,
        .mending = deploy->mending,
        .step = step == NULL ? "" : step->name,
        .text = text,
        .took_ms = now_of(deploy) - deploy->step_began_ms,
        .number = (uint32_t)deploy->at + 1,
        .of = (uint32_t)deploy->plan.count,
    };

    log_event(deploy, &event);
    if (deploy->on_event != NULL) {
        deploy->on_event(deploy, &event, deploy->event_user);
    }
}

void
amy__deploy_tell(struct amy_deploy *deploy, uint32_t kind, const char *fmt, ...)
{
    char text[4200];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    text[strcspn(text, "\n")] = '\0';
    amy__utf8_mend(text); /* it may be cut, and programs say what they like */
    emit(deploy, kind, text);
}

/* ---- waiting ---- */

void
amy__deploy_on_pause(void *user)
{
    struct amy_deploy *deploy = user;

    deploy->then(deploy, 0, &deploy->scratch);
}

int
amy__deploy_wait(struct amy_deploy *deploy, int64_t ms,
                 amy__deploy_then_fn then, struct amy_error *err)
{
    deploy->then = then;
    deploy->scratch = (struct amy_error)AMY_ERROR_INIT;
    return amy__timer_arm(deploy->pause, ms, err);
}

void
amy__deploy_on_deadline(void *user)
{
    struct amy_deploy *deploy = user;
    const struct amy__deploy_step *step = step_of(deploy);
    struct amy_error err = AMY_ERROR_INIT;
    char text[32];

    if (!deploy->in_step || step == NULL) {
        return;
    }
    (void)amy__format_duration(step->timeout_ms, text, sizeof(text));
    amy__deploy_act_cancel(deploy);
    amy__deploy_done(
        deploy, amy__err(&err, AMY_ETIMEOUT, "it took longer than %s", text),
        &err);
}

/* ---- the end ---- */

/* What a person should do now; "" for nothing. */
static void
advise(struct amy_deploy *deploy)
{
    const struct amy__deploy_journal *journal = &deploy->journal;
    char *next = deploy->next;
    size_t size = sizeof(deploy->next);

    if (deploy->code == 0 && !deploy->unmended) {
        return;
    }
    if (deploy->kind == AMY_DEPLOY_FORGET) {
        (void)snprintf(next, size,
                       "what is left undone is yours to be put right; then: "
                       "amyctl deploy %s",
                       deploy->domain);
    } else if (deploy->unmended) {
        (void)snprintf(next, size,
                       "see what failed above, then: amyctl deploy %s "
                       "--recover (or --forget, where that can never be done)",
                       deploy->domain);
    } else if (journal->served) {
        (void)snprintf(next, size,
                       "%s serves; see what failed above, or go back: amyctl "
                       "rollback %s",
                       journal->target, deploy->domain);
    } else if (journal->migrating && journal->migrations != NULL) {
        (void)snprintf(next, size,
                       "%s goes on, with tables that may have been migrated "
                       "(they are not put back by themselves)%s%s",
                       journal->previous[0] == '\0' ? "nothing"
                                                    : journal->previous,
                       journal->backup[0] == '\0' ? ""
                                                  : "; the backup before "
                                                    "it is ",
                       journal->backup);
    } else if (journal->previous[0] != '\0') {
        (void)snprintf(next, size,
                       "%s goes on as before; mend it and deploy again",
                       journal->previous);
    } else {
        (void)snprintf(next, size, "mend it and deploy again");
    }
}

/* One that was only undone has brought back the one before. */
static const char *
what_serves(const struct amy_deploy *deploy)
{
    bool undone = deploy->kind == AMY_DEPLOY_RECOVER && deploy->code == 0 &&
                  !deploy->journal.served;

    return undone ? deploy->journal.previous : deploy->journal.target;
}

static void
finish(struct amy_deploy *deploy)
{
    const char *serves = what_serves(deploy);
    struct amy_deploy_result result = {
        .struct_size = sizeof(result),
        .code = deploy->code,
        .mended = !deploy->unmended,
        .served = deploy->journal.served || deploy->unchanged,
        .unchanged = deploy->unchanged,
        .step = deploy->failed_step,
        .reason = deploy->reason,
        .next = deploy->next,
        .release = serves,
        .previous = deploy->journal.previous,
        .commit = deploy->journal.commit,
        .backup = deploy->journal.backup,
        .took_ms = now_of(deploy) - deploy->began_ms,
    };
    char text[1100];

    advise(deploy);
    if (deploy->code == 0) {
        (void)snprintf(text, sizeof(text), "%s serves",
                       serves[0] == '\0' ? "what repo leads to" : serves);
    } else {
        (void)snprintf(text, sizeof(text), "FAILED at %s: %s",
                       deploy->failed_step, deploy->reason);
    }
    amy__deploy_log(deploy, "deployment", text);
    if (deploy->next[0] != '\0') {
        amy__deploy_log(deploy, "deployment", deploy->next);
    }
    deploy->over = true;
    amy__close(&deploy->lock_fd);
    deploy->on_done(deploy, &result, deploy->done_user);
}

/* ---- from step to step ---- */

static void
begin_mending(struct amy_deploy *deploy)
{
    const struct amy__deploy_plan *plan = &deploy->plan;
    bool looks = false;

    amy__deploy_plan_mend(&deploy->journal, deploy->recovering, &deploy->plan);
    for (size_t i = 0; i < plan->count; i++) {
        looks = looks || plan->steps[i].act == AMY__ACT_LOOK;
    }
    deploy->mending = true;
    deploy->at = 0;
    emit(deploy, AMY_DEPLOY_MENDING,
         deploy->journal.served ? "it serves: what is left is done"
         : looks                ? "it ended in its reload"
                                : "what was begun is undone");
}

static void
note_failure(struct amy_deploy *deploy, int rc, const struct amy_error *err)
{
    const struct amy__deploy_step *step = step_of(deploy);
    char why[sizeof(deploy->reason)];

    (void)snprintf(why, sizeof(why), "%s", err == NULL ? "" : err->msg);
    amy__utf8_mend(why);
    emit(deploy, AMY_DEPLOY_FAILED, why);
    if (deploy->code == 0) { /* the first one counts */
        deploy->code = rc;
        (void)snprintf(deploy->failed_step, sizeof(deploy->failed_step), "%s",
                       step == NULL ? "" : step->name);
        memcpy(deploy->reason, why, sizeof(why));
    }
}

void
amy__deploy_done(struct amy_deploy *deploy, int rc, const struct amy_error *err)
{
    amy__timer_cancel(deploy->deadline);
    deploy->in_step = false;
    if (rc == 0) {
        emit(deploy, AMY_DEPLOY_FINISHED, "");
        deploy->at++;
    } else {
        note_failure(deploy, rc, err);
        deploy->unmended = deploy->unmended || deploy->mending;
        if (deploy->mending || deploy->journal.served) {
            deploy->at++; /* the others are no worse for it */
        } else {
            begin_mending(deploy);
        }
    }
    amy__defer_ask(deploy->turn);
}

static void
begin_step(struct amy_deploy *deploy)
{
    const struct amy__deploy_step *step = step_of(deploy);
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 0;

    (void)snprintf(deploy->journal.step, sizeof(deploy->journal.step), "%s",
                   step->name);
    deploy->step_began_ms = now_of(deploy);
    deploy->in_step = true;
    rc = amy__deploy_journal_save(deploy, &err);
    emit(deploy, AMY_DEPLOY_BEGUN, amy__deploy_step_says(step));
    rc = rc < 0 && !deploy->mending
             ? rc
             : amy__timer_arm(deploy->deadline, step->timeout_ms, &err);
    if (rc < 0) {
        amy__deploy_done(deploy, rc, &err);
        return;
    }
    amy__deploy_act(deploy, step);
}

/* A new journal, of the deployment that was asked for. */
static int
begin_own(struct amy_deploy *deploy, struct amy_error *err)
{
    uint8_t random[8];
    int rc = amy__random(random, sizeof(random), err);

    if (rc < 0) {
        return rc;
    }
    deploy->mending = false;
    deploy->recovering = false;
    deploy->at = 0;
    amy__close(&deploy->release_fd);
    rc = amy__deploy_prepare(deploy, err);
    if (rc < 0) {
        return rc;
    }
    amy__hex(random, sizeof(random), deploy->journal.id);
    deploy->journal.pid = getpid();
    deploy->journal.began_wall_ms = amy__wall_ms(deploy->borrow_clock);
    return amy__deploy_journal_save(deploy, err);
}

bool
amy__deploy_is_unchanged(struct amy_deploy *deploy)
{
    struct amy__deploy_journal *journal = &deploy->journal;
    const struct amy__deploy_entry *entry =
        amy__deploy_history_find(&deploy->history, journal->previous);
    const char *serves = journal->in_place ? journal->before
                         : entry == NULL   ? ""
                                           : entry->commit;

    deploy->unchanged = deploy->if_changed && serves[0] != '\0' &&
                        strcmp(serves, journal->commit) == 0;
    if (deploy->unchanged) {
        (void)snprintf(journal->target, sizeof(journal->target), "%s",
                       journal->previous);
        amy__deploy_tell(deploy, AMY_DEPLOY_NOTE, "it serves already");
        deploy->plan.count = deploy->at + 1;
    }
    return deploy->unchanged;
}

static void
fail_early(struct amy_deploy *deploy, int rc, const struct amy_error *err)
{
    deploy->plan.count = 0;
    note_failure(deploy, rc, err);
    finish(deploy);
}

/* The plan under way has come to its end. */
static void
end_plan(struct amy_deploy *deploy)
{
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 0;

    if (!deploy->mending || !deploy->unmended ||
        deploy->kind == AMY_DEPLOY_FORGET) {
        amy__deploy_journal_drop(deploy);
    }
    if (!deploy->recovering || deploy->unmended ||
        amy__deploy_only_mends(deploy)) {
        finish(deploy);
        return;
    }
    rc = begin_own(deploy, &err);
    if (rc < 0) {
        fail_early(deploy, rc, &err);
        return;
    }
    amy__defer_ask(deploy->turn);
}

/* Only what asks nobody is done: everything else has failed before, and is a
 * person's now. */
static void
begin_forgetting(struct amy_deploy *deploy)
{
    struct amy__deploy_plan *plan = &deploy->plan;
    struct amy_error err = AMY_ERROR_INIT;
    size_t done = deploy->journal.served ? 2 : 1; /* kill, record */

    begin_mending(deploy);
    for (deploy->at = done; deploy->at < plan->count; deploy->at++) {
        int rc = amy__err(&err, AMY_ESTATE, "left undone: %s",
                          amy__deploy_step_says(step_of(deploy)));

        deploy->step_began_ms = now_of(deploy);
        note_failure(deploy, rc, &err);
    }
    deploy->unmended = plan->count > done;
    deploy->at = 0;
    plan->count = done;
}

/* One that nobody can read bars all others as well. */
static void
forget_unread(struct amy_deploy *deploy, int rc, struct amy_error *err)
{
    amy__deploy_journal_drop(deploy);
    fail_early(deploy, rc, err);
}

/* What a killed one left comes first. */
static void
begin(struct amy_deploy *deploy)
{
    struct amy_error err = AMY_ERROR_INIT;
    int rc = amy__deploy_journal_load(deploy, &deploy->journal, &err);

    deploy->begun = true;
    if (rc == 0) {
        deploy->recovering = deploy->kind != AMY_DEPLOY_FORGET;
        if (deploy->kind == AMY_DEPLOY_FORGET) {
            begin_forgetting(deploy);
        } else {
            begin_mending(deploy);
        }
    } else if (rc != AMY_ENOTFOUND && deploy->kind == AMY_DEPLOY_FORGET) {
        forget_unread(deploy, rc, &err);
        return;
    } else if (rc != AMY_ENOTFOUND) {
        fail_early(deploy, rc, &err);
        return;
    } else if (amy__deploy_only_mends(deploy)) {
        deploy->plan.count = 0;
    } else {
        rc = begin_own(deploy, &err);
        if (rc < 0) {
            fail_early(deploy, rc, &err);
            return;
        }
    }
    amy__defer_ask(deploy->turn);
}

/* There is a point from which it only goes on, forwards or backwards. */
static bool
gives_up(const struct amy_deploy *deploy)
{
    return deploy->canceled && !deploy->mending && !deploy->journal.served &&
           deploy->code == 0;
}

void
amy__deploy_turn(void *user)
{
    struct amy_deploy *deploy = user;
    struct amy_error err = AMY_ERROR_INIT;

    if (deploy->over || (deploy->in_step && !gives_up(deploy))) {
        return;
    }
    if (deploy->in_step) {
        amy__deploy_act_cancel(deploy);
        amy__deploy_done(deploy, amy__err(&err, AMY_ECANCELED, "canceled"),
                         &err);
    } else if (!deploy->begun) {
        begin(deploy);
    } else if (deploy->at == deploy->plan.count) {
        end_plan(deploy);
    } else if (gives_up(deploy)) {
        amy__deploy_done(deploy, amy__err(&err, AMY_ECANCELED, "canceled"),
                         &err);
    } else {
        begin_step(deploy);
    }
}

int
amy_deploy_start(struct amy_deploy *deploy, amy_deploy_done_fn on_done,
                 void *user, struct amy_error *err)
{
    int rc = 0;

    AMY_CHECK(deploy, AMY__DEPLOY_MAGIC);
    rc = amy__check_maker(deploy->maker, err);
    if (rc < 0) {
        return rc;
    }
    if (deploy->started || on_done == NULL) {
        return amy__err(err, deploy->started ? AMY_ESTATE : AMY_EINVAL,
                        deploy->started ? "it was started before"
                                        : "on_done is required");
    }
    rc = amy__deploy_lock(deploy, err);
    rc = rc < 0 ? rc : amy__deploy_history_load(deploy, err);
    if (rc < 0) {
        amy__close(&deploy->lock_fd);
        return rc;
    }
    deploy->on_done = on_done;
    deploy->done_user = user;
    deploy->started = true;
    deploy->began_ms = now_of(deploy);
    deploy->step_began_ms = deploy->began_ms;
    amy__defer_ask(deploy->turn);
    return 0;
}

void
amy_deploy_cancel(struct amy_deploy *deploy)
{
    AMY_CHECK(deploy, AMY__DEPLOY_MAGIC);
    if (!amy__is_maker(deploy->maker) || !deploy->started || deploy->over) {
        return;
    }
    /* Not at once: we may be called from an event of the step. */
    deploy->canceled = true;
    amy__defer_ask(deploy->turn);
}
