/* The front processes as the master sees them: started, spoken to, buried. */
/* Not for supervising (amy/pool.h) nor for what a round decides. */
#include "core/alloc.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/log.h"
#include "front/master.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#define BOOT_MS 15000
/* After an upgrade: others serve already, so who has a WebSocket may keep it.
 */
#define LEAVE_MS 3600000
/* A process that does not even read its channel in this time is told as by
 * SIGTERM. */
#define LEAVE_HINT_MS 10000

/* ---- speaking ---- */

void
amy__front_kill(const struct amy__front_process *process, const char *why)
{
    struct amy_worker_view view = {.struct_size = sizeof(view)};
    struct amy_front *front = process->front;

    if (process->crew == NULL ||
        amy_pool_worker(process->crew->pool, process->position, &view) < 0 ||
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
amy__front_tell(const struct amy__front_process *process,
                enum amy__wire_type type, const struct amy__json *json,
                const int *fds, size_t count)
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
        if (process->crew == process->front->crews) { /* else asked by another
                                                         program */
            amy__front_probed(process, message->json);
        }
        break;
    case AMY__WIRE_CHECK:
        amy__front_check(process, message->json);
        break;
    case AMY__WIRE_LOG_FULL:
        amy__front_log_full(process->front,
                            amy__json_get_text(message->json, "site", ""));
        break;
    default:
        if ((int)message->type < AMY__WIRE_ACK) {
            amy__front_kill(process, "speaks out of turn");
        }
        break; /* of a later version */
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

int
amy__front_process_adopt(struct amy__front_process *process,
                         int borrow_channel_fd, struct amy_error *err)
{
    return amy__wire_create(process->front->opts.base, borrow_channel_fd,
                            &handler, process, &process->wire, err);
}

static void
on_started(struct amy__front_process *process,
           const struct amy_pool_event *event)
{
    struct amy_error err = AMY_ERROR_INIT;

    process->incarnation = event->incarnation;
    if (amy__front_process_adopt(process, event->channel_fd, &err) < 0) {
        amy__front_kill(process, err.msg);
        return;
    }
    amy__front_offer(process->front);
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

/* The channel is the pool's, and whoever has it may leave. */
static void
on_draining(const struct amy__front_process *process)
{
    struct amy__json *json = amy__json_object();

    (void)amy__json_set(json, "patience_ms", amy__json_int(LEAVE_MS));
    amy__front_tell(process, AMY__WIRE_DRAIN, json, NULL, 0);
    amy__json_free(json);
}

static void
on_event(struct amy_pool *pool, const struct amy_pool_event *event, void *user)
{
    struct amy__front_crew *crew = user;
    struct amy_front *front = crew->front;
    struct amy__front_process *process = NULL;

    (void)pool;
    if (event->position >= crew->count) {
        return;
    }
    process = &crew->front->processes[crew->numbers[event->position]];
    if (event->type == AMY_POOL_STARTED) {
        on_started(process, event);
    } else if (event->type == AMY_POOL_DRAINING && crew->leaving) {
        on_draining(process);
    } else if (event->type == AMY_POOL_EXITED) {
        on_exited(process, event);
    }
    if (event->type == AMY_POOL_EXITED && crew != front->crews) {
        /* Nobody takes its place: those of now do. */
        (void)!amy_pool_stop_position(crew->pool, event->position, 0, NULL);
    }
    amy__front_relieve(front);
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
amy__front_child_pool(struct amy_front *front,
                      const struct amy__front_children *what,
                      struct amy_pool **ret_pool, struct amy_error *err)
{
    struct amy_pool_options opts = AMY_POOL_OPTIONS_INIT;
    const char *const argv[] = {front->program, "--front-process", NULL};
    const char *envp[16] = {NULL};
    size_t vars = pick_environment(envp, sizeof(envp) / sizeof(envp[0]) - 1);

    if (front->settings->logs_stdout) {
        envp[vars] = "AMY_LOG=json";
    }
    opts.base = front->opts.base;
    opts.name = what->name;
    opts.argv = argv;
    opts.envp = envp;
    opts.directory = "/";
    opts.user = front->as_person ? NULL : front->settings->front_user;
    opts.count = what->count;
    opts.stop_patience_ms =
        what->patience_ms == 0 ? AMY__FRONT_DRAIN_MS : what->patience_ms;
    opts.withdraw_ms = what->withdraw_ms;
    opts.boot_timeout_ms = BOOT_MS;
    opts.probe_every_ms = 1000;
    opts.min_uptime_ms = 1000;
    opts.backoff_max_ms = 5000;
    opts.channel = 1;
    opts.probe = what->probe;
    opts.on_event = what->on_event;
    opts.callback_user = what->user;
    opts.borrow_clock = front->opts.borrow_clock;
    opts.log = &front->log;
    return amy_pool_create(&opts, ret_pool, err);
}

/* ---- crews ---- */

static uint32_t
free_number(const struct amy_front *front)
{
    uint32_t i = 0;

    while (i < AMY__PROCESSES_MAX && front->processes[i].crew != NULL) {
        i++;
    }
    return i;
}

void
amy__front_crew_free(struct amy__front_crew *crew)
{
    struct amy__front_crew **at = &crew->front->crews;

    amy_pool_free(crew->pool);
    for (uint32_t i = 0; i < AMY__PROCESSES_MAX; i++) {
        struct amy__front_process *process = &crew->front->processes[i];

        if (process->crew == crew) {
            amy__wire_free(process->wire);
            amy__json_free(process->figures);
            process->wire = NULL;
            process->figures = NULL;
            process->bundle = 0;
            process->crew = NULL;
        }
    }
    while (*at != NULL && *at != crew) {
        at = &(*at)->next;
    }
    if (*at == crew) {
        *at = crew->next;
    }
    amy__free(crew);
}

int
amy__front_crew_create(struct amy_front *front, uint32_t count,
                       const uint32_t *numbers,
                       struct amy__front_crew **ret_crew, struct amy_error *err)
{
    struct amy__front_crew *crew = amy__calloc(1, sizeof(*crew));

    if (crew == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating processes");
    }
    crew->front = front;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = numbers == NULL ? free_number(front) : numbers[i];

        if (number >= AMY__PROCESSES_MAX ||
            front->processes[number].crew != NULL) {
            amy__front_crew_free(crew);
            return amy__err(err, AMY_ELIMIT,
                            "more than %u front processes, old ones included",
                            AMY__PROCESSES_MAX);
        }
        front->processes[number].crew = crew;
        front->processes[number].position = i;
        crew->numbers[crew->count++] = number;
    }
    *ret_crew = crew;
    return 0;
}

int
amy__front_crew_open(struct amy__front_crew *crew, bool leaving,
                     struct amy_error *err)
{
    struct amy__front_children what = {
        .name = leaving ? "front-leaving" : "front",
        .count = crew->count,
        .patience_ms = leaving ? LEAVE_MS + AMY__FRONT_DRAIN_MS : 0,
        .withdraw_ms = leaving ? LEAVE_HINT_MS : 0,
        .probe = probe_nothing,
        .on_event = on_event,
        .user = crew,
    };

    return amy__front_child_pool(crew->front, &what, &crew->pool, err);
}

int
amy__front_pool_create(struct amy_front *front, struct amy_error *err)
{
    struct amy__front_crew *crew = NULL;
    int rc =
        amy__front_crew_create(front, front->process_count, NULL, &crew, err);

    if (rc == 0) {
        crew->next = front->crews;
        front->crews = crew;
        rc = amy__front_crew_open(crew, false, err);
    }
    return rc;
}

/* ---- those who leave ---- */

/* Is there nothing to be waited for: all serve, or who does not keeps failing?
 */
static bool
may_relieve(const struct amy__front_crew *crew)
{
    uint64_t serving = amy__front_crew_serving(crew);

    for (uint32_t i = 0; i < crew->count; i++) {
        struct amy_worker_view view = {.struct_size = sizeof(view)};

        if ((serving & amy__front_bit(crew->numbers[i])) == 0 &&
            amy_pool_worker(crew->pool, i, &view) == 0 &&
            view.state != AMY_WORKER_BACKOFF &&
            view.state != AMY_WORKER_FAILED) {
            return false;
        }
    }
    return serving != 0;
}

static void
let_go(struct amy__front_crew *crew)
{
    crew->leaving = true;
    amy__log(&crew->front->log, AMY_LOG_NOTICE,
             "processes of the program before finish what they have "
             "processes=%u",
             (unsigned)crew->count);
    for (uint32_t i = 0; i < crew->count; i++) {
        /* One by one: a stop of it all can then still come. */
        (void)!amy_pool_stop_position(crew->pool, i, 0, NULL);
    }
}

static bool
has_left(const struct amy__front_crew *crew)
{
    for (uint32_t i = 0; i < crew->count; i++) {
        struct amy_worker_view view = {.struct_size = sizeof(view)};

        if (amy_pool_worker(crew->pool, i, &view) == 0 && view.pid > 0) {
            return false;
        }
    }
    return true;
}

void
amy__front_relieve(struct amy_front *front)
{
    bool relieved = false;
    struct amy__front_crew *crew = front->crews;

    if (front->stopping || crew == NULL) {
        return;
    }
    relieved = may_relieve(crew);
    crew = crew->next;
    while (crew != NULL) {
        struct amy__front_crew *next = crew->next;

        if (relieved && !crew->leaving) {
            let_go(crew);
        }
        if (has_left(crew)) {
            amy__front_crew_free(crew);
        }
        crew = next;
    }
}

void
amy__front_hurry(struct amy_front *front)
{
    struct amy__json *json = amy__json_object();

    for (uint32_t i = 0; i < AMY__PROCESSES_MAX && json != NULL; i++) {
        const struct amy__front_process *process = &front->processes[i];

        if (process->crew != NULL && process->crew != front->crews) {
            amy__front_tell(process, AMY__WIRE_DRAIN, json, NULL, 0);
        }
    }
    amy__json_free(json);
}
