/* The front processes as the master sees them: started, spoken to, buried. */
/* Not for supervising (amy/pool.h) nor for what a round decides. */
#include "core/clock.h"
#include "core/error.h"
#include "core/log.h"
#include "front/master.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#define DRAIN_MS 30000
#define BOOT_MS 15000

/* ---- speaking ---- */

void
amy__front_kill(struct amy__front_process *process, const char *why)
{
    struct amy_worker_view view = {.struct_size = sizeof(view)};
    struct amy_front *front = process->front;

    if (amy_pool_worker(front->pool, process->index, &view) < 0 ||
        view.pid <= 0 || view.incarnation != process->incarnation) {
        return;
    }
    amy__log(&front->log, AMY_LOG_ERROR,
             "front process is killed: %s process=%u pid=%lld", why,
             (unsigned)process->index, (long long)view.pid);
    /* Its number is its own until the pool reaps it, on this same loop. */
    (void)kill((pid_t)view.pid, SIGKILL);
}

void
amy__front_tell(struct amy__front_process *process, enum amy__wire_type type,
                const struct amy__json *json, const int *fds, size_t count)
{
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 0;

    if (process->wire == NULL) {
        return;
    }
    rc = amy__wire_send(process->wire, type, json, fds, count, &err);
    if (rc < 0 && rc != AMY_ECONN) { /* ECONN: its death is told elsewhere */
        amy__front_kill(process, err.msg);
    }
}

/* ---- listening ---- */

static void
on_ack(struct amy__front_process *process, const struct amy__json *json)
{
    struct amy_front *front = process->front;
    int64_t page = amy__json_get_int(json, "page", -1);
    int64_t bundle = amy__json_get_int(json, "bundle", -1);
    const char *phase = amy__json_get_text(json, "phase", "");
    const char *log = amy__json_get_text(json, "log", "");

    if (log[0] != '\0') {
        struct amy__front_site *site =
            amy__front_site(front, amy__json_get_text(json, "site", ""));

        if (site != NULL) {
            amy__front_log_acked(
                site, process->index, log,
                (uint64_t)amy__json_get_int(json, "serial", 0));
        }
        return;
    }
    if (page >= 0) {
        struct amy__front_site *site =
            amy__front_site(front, amy__json_get_text(json, "site", ""));

        if (site != NULL) {
            amy__front_gate_acked(site, process->index, (uint64_t)page);
        }
        return;
    }
    amy__front_take_step(front,
                         amy__round_ack(&front->round, process->index,
                                        (uint64_t)bundle,
                                        strcmp(phase, "committed") == 0,
                                        amy__mono_ms(front->opts.borrow_clock)),
                         "nobody lived to take it");
}

static void
on_refuse(struct amy__front_process *process, const struct amy__json *json)
{
    struct amy_front *front = process->front;

    amy__front_take_step(
        front,
        amy__round_refuse(&front->round, process->index,
                          (uint64_t)amy__json_get_int(json, "bundle", 0)),
        amy__json_get_text(json, "reason", "no reason given"));
}

static void
on_message(struct amy__wire *wire, struct amy__wire_message *message,
           void *user)
{
    struct amy__front_process *process = user;

    (void)wire;
    switch ((int)message->type) {
    case AMY__WIRE_ACK:
        on_ack(process, message->json);
        break;
    case AMY__WIRE_REFUSE:
        on_refuse(process, message->json);
        break;
    case AMY__WIRE_FIGURES:
        amy__front_figures_came(process, message);
        break;
    case AMY__WIRE_PROBED:
        amy__front_probed(process, message->json);
        break;
    case AMY__WIRE_CHECK:
        amy__front_check(process, message->json);
        break;
    case AMY__WIRE_LOG_FULL:
        amy__front_log_full(process->front,
                            amy__json_get_text(message->json, "site", ""));
        break;
    default:
        amy__front_kill(process, "speaks out of turn");
        break;
    }
}

/* It serves nothing any more: whoever waits for it goes on. */
static void
forget(struct amy__front_process *process)
{
    struct amy_front *front = process->front;
    uint32_t index = process->index;

    amy__wire_free(process->wire);
    process->wire = NULL;
    process->bundle = 0;
    process->told_pages = false;
    amy__json_free(process->figures);
    process->figures = NULL;
    for (size_t i = 0; i < front->listeners.count; i++) {
        if (front->listeners.items[i].server == index) {
            front->listeners.items[i].server = AMY__NOBODY;
        }
    }
    amy__front_adopt(front);
    amy__front_gate_lost(front, index);
    amy__front_logs_lost(front, index);
    amy__front_figures_lost(front, index);
    amy__front_probe_lost(front, index);
    amy__front_take_step(
        front,
        amy__round_lose(&front->round, index,
                        amy__mono_ms(front->opts.borrow_clock)),
        "nobody lived to take it");
}

static void
on_gone(struct amy__wire *wire, const struct amy_error *why, void *user)
{
    struct amy__front_process *process = user;

    (void)wire;
    if (why->code != AMY_ECONN) {
        amy__front_kill(process, why->msg);
    }
    forget(process);
}

static const struct amy__wire_handler handler = {on_message, on_gone};

/* ---- their lives ---- */

static void
on_started(struct amy__front_process *process,
           const struct amy_pool_event *event)
{
    struct amy_front *front = process->front;
    struct amy_error err = AMY_ERROR_INIT;

    process->incarnation = event->incarnation;
    if (amy__wire_create(front->opts.base, event->channel_fd, &handler, process,
                         &process->wire, &err) < 0) {
        amy__front_kill(process, err.msg);
        return;
    }
    amy__front_offer(front);
}

static void
on_exited(struct amy__front_process *process,
          const struct amy_pool_event *event)
{
    struct amy_front *front = process->front;
    size_t freed = amy__slots_bury(front->slots, (uint16_t)process->index);

    amy__log(&front->log, event->exit_code == 0 ? AMY_LOG_INFO : AMY_LOG_WARN,
             "front process ended: %s process=%u pid=%lld slots=%zu",
             event->reason, (unsigned)process->index, (long long)event->pid,
             freed);
    /* What it held may be what the others wait for. */
    amy__front_ring_all(front);
    if (process->wire != NULL) {
        forget(process);
    }
}

static void
on_event(struct amy_pool *pool, const struct amy_pool_event *event, void *user)
{
    struct amy_front *front = user;
    struct amy__front_process *process = NULL;

    (void)pool;
    if (event->position >= front->process_count) {
        return;
    }
    process = &front->processes[event->position];
    if (event->type == AMY_POOL_STARTED) {
        on_started(process, event);
    } else if (event->type == AMY_POOL_EXITED) {
        on_exited(process, event);
    }
}

/* Ready is who has committed its first bundle: master_bundle.c says so. */
static void
probe_nothing(struct amy_pool *pool, uint32_t position, uint64_t incarnation,
              void *user)
{
    (void)pool;
    (void)position;
    (void)incarnation;
    (void)user;
}

/* Of our environment, what says how to run, not what for. */
static size_t
pick_environment(const char **ret_envp, size_t size)
{
    static const char *const names[] = {
        "PATH=",          "TZ=",           "LD_LIBRARY_PATH=", "ASAN_OPTIONS=",
        "UBSAN_OPTIONS=", "LSAN_OPTIONS=", "TSAN_OPTIONS="};
    size_t count = 0;

    for (char **at = environ; *at != NULL; at++) {
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
            if (strncmp(*at, names[i], strlen(names[i])) == 0 &&
                count + 1 < size) {
                ret_envp[count++] = *at;
            }
        }
    }
    ret_envp[count] = NULL;
    return count;
}

int
amy__front_child_pool(struct amy_front *front, const char *name, uint32_t count,
                      struct amy_pool **ret_pool, amy_pool_probe_fn probe,
                      amy_pool_event_fn fn, void *user, struct amy_error *err)
{
    struct amy_pool_options opts = AMY_POOL_OPTIONS_INIT;
    const char *const argv[] = {front->program, "--front-process", NULL};
    const char *envp[16] = {NULL};
    size_t vars = pick_environment(envp, sizeof(envp) / sizeof(envp[0]) - 1);

    if (front->settings->logs_stdout) {
        envp[vars] = "AMY_LOG=json";
    }
    opts.base = front->opts.base;
    opts.name = name;
    opts.argv = argv;
    opts.envp = envp;
    opts.directory = "/";
    opts.user = front->as_person ? NULL : front->settings->front_user;
    opts.count = count;
    opts.stop_patience_ms = DRAIN_MS;
    opts.boot_timeout_ms = BOOT_MS;
    opts.probe_every_ms = 1000;
    opts.min_uptime_ms = 1000;
    opts.backoff_max_ms = 5000;
    opts.channel = 1;
    opts.probe = probe;
    opts.on_event = fn;
    opts.callback_user = user;
    opts.borrow_clock = front->opts.borrow_clock;
    opts.log = &front->log;
    return amy_pool_create(&opts, ret_pool, err);
}

int
amy__front_pool_create(struct amy_front *front, struct amy_error *err)
{
    return amy__front_child_pool(front, "front", front->process_count,
                                 &front->pool, probe_nothing, on_event, front,
                                 err);
}
