/* amy-front's master: what it is made of, and its life. */
/* Not for any single duty: those have a master_*.c each. */
#include "front/master.h"

#include "core/alloc.h"
#include "core/caps.h"
#include "core/check.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"
#include "core/host_calls.h"
#include "core/log.h"
#include "core/maker.h"
#include "core/options.h"
#include "core/watch.h"
#include "logrotate/logrotate.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

AMY_DEFINE_CLEANUP(struct amy_front *, amy_front_free)

uint64_t
amy__front_bit(uint32_t process)
{
    return UINT64_C(1) << (process % 64);
}

uint64_t
amy__front_serving(const struct amy_front *front)
{
    uint64_t set = 0;

    for (uint32_t i = 0; i < AMY__PROCESSES_MAX; i++) {
        if (front->processes[i].bundle != 0) {
            set |= amy__front_bit(i);
        }
    }
    return set;
}

uint64_t
amy__front_crew_serving(const struct amy__front_crew *crew)
{
    uint64_t set = 0;

    for (uint32_t i = 0; i < crew->count; i++) {
        set |= amy__front_bit(crew->numbers[i]);
    }
    return set & amy__front_serving(crew->front);
}

bool
amy__front_is_complete(const struct amy_front *front)
{
    return front->crews != NULL &&
           (uint32_t)__builtin_popcountll(
               amy__front_crew_serving(front->crews)) == front->crews->count;
}

/* ---- create ---- */

int
amy__front_read_settings(const struct amy_front_options *opts,
                         amy_problem_fn on_problem, void *user,
                         struct amy__settings **ret_settings,
                         struct amy_error *err)
{
    const struct amy__settings_args args = {opts->config, opts->webapps,
                                            opts->run, opts->state};

    return amy__settings_load(&args, on_problem, user, ret_settings, err);
}

static void
log_problem(const struct amy_problem *problem, void *user)
{
    struct amy_front *front = user;
    char line[1024] = "";

    (void)amy__problem_format(problem, line, sizeof(line));
    amy__log(&front->log,
             problem->severity == AMY_SEVERITY_ERROR ? AMY_LOG_ERROR
                                                     : AMY_LOG_WARN,
             "%s", line);
}

/* As this version has them, whichever the caller was built against. */
int
amy__front_read_options(struct amy_front_options *ret,
                        const struct amy_front_options *opts,
                        struct amy_error *err)
{
    return amy__options_read(ret, sizeof(*ret), opts,
                             offsetof(struct amy_front_options, borrow_clock),
                             err);
}

static int
read_options(struct amy_front *front, const struct amy_front_options *opts,
             struct amy_error *err)
{
    int rc = amy__front_read_options(&front->opts, opts, err);

    if (rc < 0) {
        return rc;
    }
    if (front->opts.base == NULL) {
        return amy__err(err, AMY_EINVAL, "front: no event base given");
    }
    front->log = amy__log_copy(front->opts.log);
    front->opts.log = NULL;
    if (front->opts.program != NULL) {
        front->program = amy__strdup(front->opts.program);
        if (front->program == NULL) {
            return amy__err(err, AMY_ENOMEM, "allocating a front");
        }
        front->opts.program = front->program;
    }
    return 0;
}

static void
clear_fds(struct amy_front *front)
{
    front->webapps_fd = -1;
    front->run_fd = -1;
    front->state_fd = -1;
    front->spool_fd = -1;
    front->words_fd = -1;
    front->slots_fd = -1;
    front->locks_fd = -1;
    front->tickets_fd = -1;
    for (uint32_t i = 0; i < AMY__PROCESSES_MAX; i++) {
        front->events[i] = -1;
        front->processes[i].front = front;
        front->processes[i].index = i;
    }
}

int
amy_front_create(const struct amy_front_options *opts,
                 struct amy_front **ret_front, struct amy_error *err)
{
    AMY_CLEANUP(amy_front_free_p)
    struct amy_front *front = amy__calloc(1, sizeof(*front));
    int rc = 0;

    if (front == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a front");
    }
    front->magic = AMY__FRONT_MAGIC;
    front->maker = getpid();
    clear_fds(front);
    rc = read_options(front, opts, err);
    if (rc == 0) {
        rc = amy__front_read_settings(&front->opts, log_problem, front,
                                      &front->settings, err);
    }
    if (rc < 0) {
        return rc;
    }
    /* Strings of the caller; the settings have their own. */
    front->opts.config = NULL;
    front->opts.webapps = NULL;
    front->opts.run = NULL;
    front->opts.state = NULL;
    front->as_person = geteuid() != 0;
    front->process_count = front->settings->processes;
    /* Those of the program before this one have numbers, too, for a while. */
    if (front->process_count > AMY__PROCESSES_MAX / 2) {
        front->process_count = AMY__PROCESSES_MAX / 2;
    }
    front->webapps_fd = amy__open_dir(front->settings->webapps, err);
    if (front->webapps_fd < 0) {
        return front->webapps_fd;
    }
    *ret_front = AMY_TAKE(front);
    return 0;
}

/* ---- start ---- */

static int
find_user(struct amy_front *front, struct amy_error *err)
{
    char name[64] = "";

    if (front->as_person) {
        amy__log(&front->log, AMY_LOG_NOTICE,
                 "not started by root: everything runs as %s",
                 amy__user_name(geteuid(), name, sizeof(name)));
        return 0;
    }
    return amy__settings_front_user(front->settings, NULL, NULL, &front->user,
                                    err);
}

static int
make_and_open(const char *path, mode_t mode, struct amy_error *err)
{
    int rc = amy__make_dirs(path, mode, err);

    return rc < 0 ? rc : amy__open_dir(path, err);
}

static int
make_directories(struct amy_front *front, struct amy_error *err)
{
    const struct amy__settings *settings = front->settings;

    front->run_fd = make_and_open(settings->run, 0755, err);
    if (front->run_fd < 0) {
        return front->run_fd;
    }
    front->state_fd = make_and_open(settings->state, 0755, err);
    if (front->state_fd < 0) {
        return front->state_fd;
    }
    if (mkdirat(front->state_fd, "front", 0700) != 0 && errno != EEXIST) {
        return amy__err_sys(err, errno, "making '%s/front'", settings->state);
    }
    front->spool_fd = make_and_open(settings->spool, 0700, err);
    if (front->spool_fd < 0) {
        return front->spool_fd;
    }
    /* Its processes make (unlinked) files there. */
    if (!front->as_person &&
        fchown(front->spool_fd, front->user.uid, front->user.gid) != 0) {
        return amy__err_sys(err, errno, "handing '%s' to '%s'", settings->spool,
                            front->user.name);
    }
    return 0;
}

static int
create_registry(struct amy_front *front, struct amy_error *err)
{
    const struct amy__registry_options opts = {
        .base = front->opts.base,
        .borrow_run_fd = front->run_fd,
        .group = front->as_person ? AMY__GID_OURS : front->user.gid,
        .fn = amy__front_on_worker,
        .user = front,
        .log = &front->log,
    };
    int rc = amy__registry_create(&opts, &front->registry, err);

    if (rc == 0 && front->handover != NULL) {
        rc = amy__registry_restore(
            front->registry,
            amy__json_get(amy__handover_root(front->handover), "registry"),
            err);
    }
    return rc;
}

static int
create_timers(struct amy_front *front, struct amy_error *err)
{
    int rc = amy__timer_create(front->opts.base, amy__front_on_round_timer,
                               front, &front->round_timer, err);

    return rc < 0 ? rc
                  : amy__timer_create(front->opts.base, amy__front_on_ask_timer,
                                      front, &front->ask_timer, err);
}

/* What a front needs of root's power, and no more; SETPCAP only takes more away
 * from its children (docs/decisions/0070). */
static int
give_up_power(struct amy_front *front, struct amy_error *err)
{
    static const int needed[] = {
        CAP_NET_BIND_SERVICE, CAP_SETUID, CAP_SETGID, CAP_KILL,
        CAP_DAC_READ_SEARCH,  CAP_CHOWN,  CAP_SETPCAP};
    struct rlimit files = {0};

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files); /* what is there must do */
    }
    if (front->as_person) {
        return 0;
    }
    amy__host_calls_refuse(false, &front->log);
    return amy__caps_keep(needed, sizeof(needed) / sizeof(needed[0]), err);
}

int
amy_front_start(struct amy_front *front, struct amy_error *err)
{
    static int (*const steps[])(struct amy_front *, struct amy_error *) = {
        give_up_power,
        find_user,
        make_directories,
        amy__front_take_over,
        /* Tells a second amy-front that it is one, before a port that is taken
         * can. */
        amy__front_control_create,
        create_timers,
        create_registry,
        amy__front_gates_watch,
        amy__front_logs_begin,
        amy__front_shared_create,
        amy__front_certs_create,
        amy__front_prober_create,
        amy__front_take_sites,
        amy__front_open_listeners,
        amy__front_metrics_create,
        amy__front_take_crews,
        amy__front_pool_create,
    };
    int rc = 0;

    AMY_CHECK(front, AMY__FRONT_MAGIC);
    rc = amy__check_maker(front->maker, err);
    if (rc < 0) {
        return rc;
    }
    if (front->started || front->program == NULL) {
        return amy__err(err, AMY_ESTATE,
                        front->started ? "front: started already"
                                       : "front: no program given");
    }
    front->started = true;
    front->since_ms = amy__mono_ms(front->opts.borrow_clock);
    amy__front_own(front);
    for (size_t i = 0; rc >= 0 && i < sizeof(steps) / sizeof(steps[0]); i++) {
        rc = steps[i](front, err);
    }
    if (rc >= 0) {
        rc = amy__front_stage(front, NULL, err);
    }
    /* With it goes what nobody took. */
    amy__handover_free(front->handover);
    front->handover = NULL;
    if (rc < 0) {
        return rc;
    }
    amy__front_offer(front); /* nobody to ask yet: it is the current one */
    return amy_pool_start(front->crews->pool, err);
}

/* ---- reload, stop ---- */

int
amy_front_reload(struct amy_front *front, struct amy_error *err)
{
    int rc = 0;

    AMY_CHECK(front, AMY__FRONT_MAGIC);
    rc = amy__check_maker(front->maker, err);
    if (rc < 0) {
        return rc;
    }
    if (!front->started || front->stopping) {
        return amy__err(err, AMY_ESTATE, "front: not running");
    }
    if (front->staged != NULL || front->round.phase != AMY__ROUND_IDLE) {
        front->reload_again = true;
        return 0;
    }
    rc = amy__front_stage(front, NULL, err);
    if (rc == 0) {
        amy__front_offer(front);
    }
    return rc;
}

bool
amy_front_logs_to_stdout(const struct amy_front *front)
{
    AMY_CHECK(front, AMY__FRONT_MAGIC);
    return front->settings->logs_stdout;
}

int
amy_front_reopen(struct amy_front *front, struct amy_error *err)
{
    return amy_front_reload(front, err); /* every version has new descriptors */
}

/* The last one says so. */
static void
on_crew_stopped(struct amy_pool *pool, void *user)
{
    struct amy__front_crew *crew = user;
    struct amy_front *front = crew->front;

    (void)pool;
    amy__front_crew_free(crew);
    if (front->crews == NULL) {
        front->on_done(front, front->done_user);
    }
}

static void
stop_crews(struct amy_front *front, bool now)
{
    amy__upgrade_free(front->upgrade);
    front->upgrade = NULL;
    amy__front_hurry(front);
    for (struct amy__front_crew *crew = front->crews; crew != NULL;
         crew = crew->next) {
        /* Refused only while a stop is under way, and this is the first. */
        (void)!amy_pool_stop(crew->pool, now ? 1 : AMY__FRONT_DRAIN_MS,
                             on_crew_stopped, crew, NULL);
    }
}

int
amy_front_stop(struct amy_front *front, bool now, amy_front_done_fn on_done,
               void *user, struct amy_error *err)
{
    bool again = false;
    int rc = 0;

    AMY_CHECK(front, AMY__FRONT_MAGIC);
    rc = amy__check_maker(front->maker, err);
    if (rc < 0) {
        return rc;
    }
    if (!front->started || front->crews == NULL) {
        return amy__err(err, AMY_ESTATE, "front: not running");
    }
    again = front->stopping;
    front->stopping = true;
    front->on_done = on_done;
    front->done_user = user;
    /* New connections are refused from here on, not left waiting. */
    amy__listeners_close(&front->listeners);
    for (struct amy__front_crew *crew = front->crews;
         now && again && crew != NULL; crew = crew->next) {
        amy_pool_kill(crew->pool);
    }
    if (!again) {
        stop_crews(front, now);
    }
    return 0;
}

/* ---- check, free ---- */

struct check {
    amy_problem_fn fn;
    void *user;
    int errors;
};

static void
on_checked(const struct amy_problem *problem, void *user)
{
    struct check *check = user;

    check->errors += problem->severity == AMY_SEVERITY_ERROR;
    if (check->fn != NULL) {
        check->fn(problem, check->user);
    }
}

int
amy_front_check(const struct amy_front_options *opts, amy_problem_fn on_problem,
                void *user, struct amy_error *err)
{
    AMY_CLEANUP(amy_front_free_p)
    struct amy_front *front = amy__calloc(1, sizeof(*front));
    struct amy_front_options own = {0};
    struct check check = {.fn = on_problem, .user = user};
    int rc = 0;

    if (front == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a front");
    }
    front->magic = AMY__FRONT_MAGIC;
    front->maker = getpid();
    front->log = amy__log_copy(NULL); /* on_problem tells */
    clear_fds(front);
    rc = amy__front_read_options(&own, opts, err);
    if (rc < 0) {
        return rc;
    }
    rc = amy__front_read_settings(&own, on_checked, &check, &front->settings,
                                  err);
    if (rc == AMY_EPARSE || rc == AMY_EDENIED) {
        return check.errors > 0 ? check.errors : rc;
    }
    if (rc < 0) {
        return rc;
    }
    front->as_person = geteuid() != 0;
    if (!front->as_person) {
        (void)amy__settings_front_user(front->settings, on_checked, &check,
                                       &front->user, NULL);
    }
    front->webapps_fd = amy__open_dir(front->settings->webapps, err);
    if (front->webapps_fd < 0) {
        return front->webapps_fd;
    }
    rc = amy__front_load_check(front, on_checked, &check, err);
    return rc < 0 && rc != AMY_EPARSE ? rc : check.errors;
}

static void
drop_waiters(struct amy__waiter **list)
{
    struct amy__control_call *call = NULL;

    while ((call = amy__front_waited(list)) != NULL) {
        amy__control_refuse(call, 503, "amy-front is stopping");
    }
}

static void
free_sites(struct amy_front *front)
{
    while (front->sites != NULL) {
        struct amy__front_site *site = front->sites;

        front->sites = site->next;
        drop_waiters(&site->waiters);
        amy__front_site_free(site);
    }
}

void
amy_front_free(struct amy_front *front)
{
    if (front == NULL) {
        return;
    }
    AMY_CHECK(front, AMY__FRONT_MAGIC);
    if (!amy__is_maker(front->maker)) {
        return;
    }
    front->stopping = true;
    amy__front_checker_free(front);
    amy__upgrade_free(front->upgrade);
    amy__handover_free(front->handover);
    while (front->crews != NULL) {
        amy__front_crew_free(front->crews);
    }
    for (uint32_t i = 0; i < AMY__PROCESSES_MAX; i++) {
        amy__wire_free(front->processes[i].wire);
        amy__json_free(front->processes[i].figures);
    }
    drop_waiters(&front->status_waiters);
    drop_waiters(&front->reload_waiters);
    drop_waiters(&front->next_waiters);
    free_sites(front);
    amy__watch_free(front->gate_watch);
    amy__logrotate_peers_free(front->log_peers);
    amy__control_free(front->control);
    amy__metrics_free(front->metrics);
    amy__listeners_close(&front->listeners);
    amy__registry_free(front->registry);
    amy__front_version_free(front->staged);
    amy__front_version_free(front->current);
    amy__front_shared_clear(front);
    amy__timer_free(front->round_timer);
    amy__timer_free(front->ask_timer);
    amy__timer_free(front->certs_timer);
    amy__certs_free(front->certs);
    amy__prober_free(front->prober);
    amy__settings_free(front->settings);
    amy__user_clear(&front->user);
    amy__close(&front->webapps_fd);
    amy__close(&front->run_fd);
    amy__close(&front->state_fd);
    amy__close(&front->spool_fd);
    amy__free(front->program);
    front->magic = 0;
    amy__free(front);
}
