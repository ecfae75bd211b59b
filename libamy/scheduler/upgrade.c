/* From program to program: when the scheduler may go, and with what. */
/* Not for execve: core/upgrade.c. */
#include "core/check.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/maker.h"
#include "core/options.h"
#include "scheduler/internal.h"

#define HEARD_MS 5000
#define WAIT_MS ((uint32_t)24 * 3600 * 1000) /* a drill of a large database */

/* Who asked for it asks again and again what became of it. */
static bool
ended_just_now(const struct amy__scheduler_site *site, int64_t now_ms)
{
    for (const struct amy__run *run = site->runs; run != NULL;
         run = run->next) {
        if (run->over && !run->internal && now_ms - run->heard_ms < HEARD_MS) {
            return true;
        }
    }
    return false;
}

static const char *
busy(void *user)
{
    const struct amy_scheduler *scheduler = user;
    int64_t now_ms = amy__mono_ms(scheduler->borrow_clock);

    for (const struct amy__scheduler_site *site = scheduler->sites;
         site != NULL; site = site->next) {
        if (ended_just_now(site, now_ms)) {
            return "a job has ended a moment ago";
        }
    }
    return amy__scheduler_is_idle(scheduler) ? NULL : "a job is under way";
}

static bool
hush(bool on, void *user)
{
    struct amy_scheduler *scheduler = user;
    bool control = amy__control_hush(scheduler->control, on);

    return amy__metrics_hush(scheduler->metrics, on) && control;
}

/* What must outlive a crash is on disk at all times, so it does this, too. */
static int
save(struct amy__handover *handover, void *user, struct amy_error *err)
{
    const struct amy_scheduler *scheduler = user;

    (void)err;
    (void)amy__json_set(amy__handover_root(handover), "started_wall_ms",
                        amy__json_int(scheduler->started_wall_ms));
    amy__sockets_save(scheduler->settings->run, scheduler->control,
                      scheduler->metrics, handover);
    return 0;
}

void
amy__scheduler_own(struct amy_scheduler *scheduler)
{
    scheduler->owner = (struct amy__upgrade_owner){
        .base = scheduler->base,
        .daemon = "backup",
        .borrow_clock = scheduler->borrow_clock,
        .borrow_log = &scheduler->log,
        .borrow_past = &scheduler->past,
        .busy = busy,
        .hush = hush,
        .save = save,
        .user = scheduler,
    };
}

int
amy__scheduler_take_over(struct amy_scheduler *scheduler, uint32_t fd_plus_one,
                         struct amy_error *err)
{
    int rc = fd_plus_one == 0
                 ? 0
                 : amy__upgrade_take((int)(fd_plus_one - 1), &scheduler->owner,
                                     &scheduler->handover, err);

    if (rc == 0 && scheduler->handover != NULL) {
        scheduler->started_wall_ms =
            amy__json_get_int(amy__handover_root(scheduler->handover),
                              "started_wall_ms", scheduler->started_wall_ms);
    }
    return rc;
}

int
amy_scheduler_upgrade(struct amy_scheduler *scheduler,
                      const struct amy_upgrade_options *opts,
                      struct amy_error *err)
{
    struct amy_upgrade_options own = {0};
    int rc = 0;

    AMY_CHECK(scheduler, AMY__SCHEDULER_MAGIC);
    rc = amy__check_maker(scheduler->maker, err);
    if (rc == 0 && scheduler->stopping) {
        rc = amy__err(err, AMY_ESTATE, "stopping");
    }
    if (rc == 0) {
        rc = amy__options_read(&own, sizeof(own), opts, sizeof(size_t), err);
    }
    if (rc < 0) {
        return rc;
    }
    own.struct_size = sizeof(own);
    own.wait_ms = own.wait_ms == 0 ? WAIT_MS : own.wait_ms;
    return amy__upgrade_start(&scheduler->owner, &own, &scheduler->upgrade,
                              err);
}

int
amy_scheduler_check_state(const struct amy_scheduler_options *opts,
                          struct amy_error *err)
{
    AMY_CLEANUP(amy__json_free_p) struct amy__json *root = NULL;
    struct amy__settings *settings = NULL;
    struct amy_scheduler_options own;
    struct amy__settings_args args;
    int rc = amy__scheduler_read_options(opts, &own, err);

    if (rc == 0 && own.handover_fd_plus_one == 0) {
        rc = amy__err(err, AMY_EINVAL, "no state is given");
    }
    if (rc < 0) {
        return rc;
    }
    args = amy__scheduler_args(&own);
    rc = amy__settings_load(&args, NULL, NULL, &settings, err);
    amy__settings_free(settings);
    return rc < 0 ? rc
                  : amy__handover_read((int)(own.handover_fd_plus_one - 1),
                                       "backup", &root, err);
}
