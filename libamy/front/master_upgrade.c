/* From program to program: what the master writes down, and how the next one
 * goes on from there. Not for how one becomes the other: core/upgrade.c. */
#include "core/alloc.h"
#include "core/check.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "core/maker.h"
#include "front/master.h"
#include "net/listen.h"
#include "pool/saved.h"

#include <stdio.h>
#include <string.h>

/* The shape of the slot words; another one is nothing to go on from. */
#define LAYOUT 1

/* ---- when ---- */

static uint32_t
free_numbers(const struct amy_front *front)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < AMY__PROCESSES_MAX; i++) {
        count += front->processes[i].crew == NULL;
    }
    return count;
}

static bool
channels_are_quiet(const struct amy_front *front)
{
    for (uint32_t i = 0; i < AMY__PROCESSES_MAX; i++) {
        if (front->processes[i].wire != NULL &&
            !amy__wire_is_quiet(front->processes[i].wire)) {
            return false;
        }
    }
    return true;
}

/* Pages and log files that not every process has taken yet. */
static bool
sites_are_settled(const struct amy_front *front)
{
    for (const struct amy__front_site *s = front->sites; s != NULL;
         s = s->next) {
        if (s->waiting != 0 || s->waiters != NULL || s->logs[0].waiting != 0 ||
            s->logs[1].waiting != 0) {
            return false;
        }
    }
    return true;
}

static const char *
busy(void *user)
{
    struct amy_front *front = user;

    if (!front->announced || !amy__front_is_complete(front)) {
        return "not all front processes serve yet";
    }
    if (front->round.phase != AMY__ROUND_IDLE || front->staged != NULL ||
        front->reload_again || front->reload_waiters != NULL ||
        front->next_waiters != NULL) {
        return "a reload is under way";
    }
    if (front->status_waiters != NULL || front->asked != 0) {
        return "a status is asked for";
    }
    if (!channels_are_quiet(front) || !sites_are_settled(front)) {
        return "a front process does not read its channel";
    }
    if (free_numbers(front) < front->process_count) {
        amy__front_hurry(front);
        return "processes of the programs before have not finished";
    }
    return NULL;
}

static bool
hush(bool on, void *user)
{
    struct amy_front *front = user;
    bool control = amy__control_hush(front->control, on);
    bool quiet = amy__metrics_hush(front->metrics, on) && control;

    /* Not waited for: strangers could see to it that it has no end. */
    if (on && quiet) {
        amy__front_checker_let_go(front);
    }
    return quiet;
}

/* ---- writing down ---- */

static struct amy__json *
listeners_json(const struct amy_front *front, struct amy__handover *handover)
{
    struct amy__json *list = amy__json_array();

    for (size_t i = 0; i < front->listeners.count; i++) {
        const struct amy__listener *l = &front->listeners.items[i];
        struct amy__json *one = amy__json_object();

        (void)amy__json_set(one, "socket_fd",
                            amy__handover_fd(handover, l->fd));
        (void)amy__json_set(one, "lane", amy__json_int(l->lane));
        (void)amy__json_set(one, "port", amy__json_int(l->port));
        (void)amy__json_set(one, "tls", amy__json_bool(l->tls));
        (void)amy__json_set(one, "server", amy__json_int(l->server));
        (void)amy__json_add(list, one);
    }
    return list;
}

static struct amy__json *
sites_json(const struct amy_front *front, struct amy__handover *handover)
{
    struct amy__json *list = amy__json_array();

    for (const struct amy__front_site *s = front->sites; s != NULL;
         s = s->next) {
        struct amy__json *one = amy__json_object();

        (void)amy__json_set(one, "name", amy__json_text(s->name));
        (void)amy__json_set(one, "index", amy__json_int(s->index));
        (void)amy__json_set(one, "serial", amy__json_int((int64_t)s->serial));
        (void)amy__json_set(one, "page_fd",
                            amy__handover_fd(handover, s->page_fd));
        (void)amy__json_add(list, one);
    }
    return list;
}

static struct amy__json *
crew_json(const struct amy__front_crew *crew, struct amy__handover *handover)
{
    struct amy__json *json = amy__json_object();
    struct amy__json *processes = amy__json_array();

    for (uint32_t i = 0; i < crew->count; i++) {
        uint32_t number = crew->numbers[i];
        const struct amy__front_process *process =
            &crew->front->processes[number];
        struct amy__json *one = amy__json_object();

        (void)amy__json_set(one, "number", amy__json_int(number));
        (void)amy__json_set(one, "bundle",
                            amy__json_int((int64_t)process->bundle));
        (void)amy__json_set(one, "incarnation",
                            amy__json_int((int64_t)process->incarnation));
        (void)amy__json_add(processes, one);
    }
    (void)amy__json_set(json, "leaving", amy__json_bool(crew->leaving));
    (void)amy__json_set(json, "processes", processes);
    (void)amy__json_set(json, "pool", amy__pool_save(crew->pool, handover));
    return json;
}

static void
save_counts(const struct amy_front *front, struct amy__json *root)
{
    (void)amy__json_set(root, "layout", amy__json_int(LAYOUT));
    (void)amy__json_set(root, "since_ms", amy__json_int(front->since_ms));
    (void)amy__json_set(root, "last_serial",
                        amy__json_int((int64_t)front->last_serial));
    (void)amy__json_set(root, "last_log_serial",
                        amy__json_int((int64_t)front->last_log_serial));
    (void)amy__json_set(root, "last_bundle",
                        amy__json_int((int64_t)front->last_bundle));
    (void)amy__json_set(root, "ask", amy__json_int((int64_t)front->ask));
    (void)amy__json_set(root, "reloads",
                        amy__json_int((int64_t)front->reloads));
    (void)amy__json_set(root, "reloads_refused",
                        amy__json_int((int64_t)front->reloads_refused));
}

static int
save(struct amy__handover *handover, void *user, struct amy_error *err)
{
    struct amy_front *front = user;
    struct amy__json *root = amy__handover_root(handover);
    struct amy__json *crews = amy__json_array();

    (void)err; /* what could not be had shows when it is sealed */
    save_counts(front, root);
    amy__front_shared_save(front, handover);
    amy__sockets_save(front->settings->run, front->control, front->metrics,
                      handover);
    (void)amy__json_set(root, "listeners", listeners_json(front, handover));
    (void)amy__json_set(root, "sites", sites_json(front, handover));
    (void)amy__json_set(root, "registry", amy__registry_save(front->registry));
    for (const struct amy__front_crew *crew = front->crews; crew != NULL;
         crew = crew->next) {
        (void)amy__json_add(crews, crew_json(crew, handover));
    }
    (void)amy__json_set(root, "crews", crews);
    return 0;
}

/* ---- going on ---- */

void
amy__front_own(struct amy_front *front)
{
    front->owner = (struct amy__upgrade_owner){
        .base = front->opts.base,
        .daemon = "front",
        .borrow_clock = front->opts.borrow_clock,
        .borrow_log = &front->log,
        .borrow_past = &front->past,
        .busy = busy,
        .hush = hush,
        .save = save,
        .user = front,
    };
}

static int
check_root(const struct amy__json *root, struct amy_error *err)
{
    if (amy__json_get_int(root, "layout", 0) != LAYOUT) {
        return amy__err(err, AMY_EUNSUPPORTED,
                        "state: slot words of another layout");
    }
    if (amy__json_count(amy__json_get(root, "crews")) == 0) {
        return amy__err(err, AMY_EPARSE, "state: no front processes");
    }
    return 0;
}

int
amy__front_take_over(struct amy_front *front, struct amy_error *err)
{
    const struct amy__json *root = NULL;
    int rc = 0;

    if (front->opts.handover_fd_plus_one == 0) {
        return 0;
    }
    rc = amy__upgrade_take((int)(front->opts.handover_fd_plus_one - 1),
                           &front->owner, &front->handover, err);
    if (rc < 0) {
        return rc;
    }
    root = amy__handover_root(front->handover);
    front->since_ms = amy__json_get_int(root, "since_ms", front->since_ms);
    front->last_serial = (uint64_t)amy__json_get_int(root, "last_serial", 0);
    front->last_log_serial =
        (uint64_t)amy__json_get_int(root, "last_log_serial", 0);
    front->last_bundle = (uint64_t)amy__json_get_int(root, "last_bundle", 0);
    front->ask = (uint64_t)amy__json_get_int(root, "ask", 0);
    front->reloads = (uint64_t)amy__json_get_int(root, "reloads", 0);
    front->reloads_refused =
        (uint64_t)amy__json_get_int(root, "reloads_refused", 0);
    return check_root(root, err);
}

int
amy__front_take_sites(struct amy_front *front, struct amy_error *err)
{
    const struct amy__json *list = NULL;

    if (front->handover == NULL) {
        return 0;
    }
    list = amy__json_get(amy__handover_root(front->handover), "sites");
    for (size_t i = 0; i < amy__json_count(list); i++) {
        const struct amy__json *one = amy__json_at(list, i);
        struct amy__front_site *site = amy__front_site_return(
            front, amy__json_get_text(one, "name", ""),
            (uint32_t)amy__json_get_int(one, "index", -1));

        if (site == NULL) {
            return amy__err(err, AMY_EPARSE, "state: a site without a place");
        }
        site->serial = (uint64_t)amy__json_get_int(one, "serial", 0);
        site->page_fd = amy__handover_take(front->handover, one, "page_fd");
    }
    return 0;
}

/* ---- listeners ---- */

/* A place for it among those of this address; what is not of an address that
 * the settings still have is closed with the handover. */
static int
take_listeners(struct amy_front *front, const struct amy__address *address,
               bool tls, uint32_t *ret_lanes, struct amy_error *err)
{
    const struct amy__json *list =
        amy__json_get(amy__handover_root(front->handover), "listeners");

    for (size_t i = 0; i < amy__json_count(list); i++) {
        const struct amy__json *one = amy__json_at(list, i);
        struct amy__listener l = {
            .fd = (int)amy__json_get_int(one, "socket_fd", -1),
            .lane = *ret_lanes,
            .port = amy__address_port(address),
            .tls = tls,
            .server = (uint32_t)amy__json_get_int(one, "server", AMY__NOBODY),
        };
        int rc = 0;

        if (amy__json_get_bool(one, "tls", !tls) != tls || l.fd < 0 ||
            !amy__listens_on(l.fd, address)) {
            continue;
        }
        l.fd = amy__handover_take(front->handover, one, "socket_fd");
        rc = l.fd < 0 ? AMY_EPARSE
                      : amy__listeners_add(&front->listeners, &l, err);
        if (rc < 0) {
            amy__close(&l.fd);
            return amy__err(err, rc, "state: listeners");
        }
        (*ret_lanes)++;
    }
    return 0;
}

static int
open_address(struct amy_front *front, const struct amy__address *address,
             bool tls, struct amy_error *err)
{
    uint32_t lanes = 0;
    int rc = 0;

    if (front->handover == NULL) {
        return amy__listeners_open(&front->listeners, address, tls, err);
    }
    rc = take_listeners(front, address, tls, &lanes, err);
    if (rc == 0 && lanes < front->process_count) {
        rc = amy__listeners_open_more(&front->listeners, address, tls, lanes,
                                      err);
        if (rc < 0) { /* the others serve: no reason to stop */
            amy__log(&front->log, AMY_LOG_ERROR, "an address is not served: %s",
                     err->msg);
        }
        rc = 0;
    }
    return rc;
}

int
amy__front_open_listeners(struct amy_front *front, struct amy_error *err)
{
    const struct amy__settings *settings = front->settings;
    int rc = 0;

    front->listeners.processes = front->process_count;
    for (size_t i = 0; rc == 0 && i < settings->https_count; i++) {
        rc = open_address(front, &settings->https[i], true, err);
    }
    for (size_t i = 0; rc == 0 && i < settings->http_count; i++) {
        rc = open_address(front, &settings->http[i], false, err);
    }
    return rc;
}

/* ---- processes ---- */

static int
adopt_process(struct amy__front_crew *crew, uint32_t position,
              const struct amy__json *json, struct amy_error *err)
{
    struct amy_front *front = crew->front;
    struct amy__front_process *process =
        &front->processes[crew->numbers[position]];
    struct amy__json *words = amy__json_object();
    int fd = amy__pool_channel(crew->pool, position);
    int rc = 0;

    if (fd >= 0) {
        rc = amy__front_process_adopt(process, fd, err);
        process->told_pages = true;
        process->bundle = (uint64_t)amy__json_get_int(json, "bundle", 0);
        process->incarnation =
            (uint64_t)amy__json_get_int(json, "incarnation", 0);
        (void)amy__json_set(words, "words_fd", amy__json_int(0));
    } else { /* none lives: those of now take its place */
        (void)!amy_pool_stop_position(crew->pool, position, 0, NULL);
    }
    if (rc == 0 && fd >= 0) {
        amy__front_tell(process, AMY__WIRE_WORDS, words, &front->words_fd, 1);
    }
    amy__json_free(words);
    return rc;
}

static int
take_crew(struct amy_front *front, const struct amy__json *json,
          struct amy_error *err)
{
    const struct amy__json *processes = amy__json_get(json, "processes");
    const struct amy__json *pool = amy__json_get(json, "pool");
    struct amy__front_crew **end = &front->crews;
    struct amy__front_crew *crew = NULL;
    uint32_t numbers[AMY__PROCESSES_MAX] = {0};
    uint32_t count = amy__pool_saved_count(pool);
    int rc = 0;

    if (count == 0 || count > AMY__PROCESSES_MAX ||
        count != amy__json_count(processes)) {
        return amy__err(err, AMY_EPARSE, "state: front processes");
    }
    for (uint32_t i = 0; i < count; i++) {
        numbers[i] = (uint32_t)amy__json_get_int(amy__json_at(processes, i),
                                                 "number", -1);
    }
    rc = amy__front_crew_create(front, count, numbers, &crew, err);
    if (rc < 0) {
        return rc;
    }
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = crew;
    crew->leaving = amy__json_get_bool(json, "leaving", false);
    rc = amy__front_crew_open(crew, true, err);
    if (rc == 0) {
        rc = amy__pool_restore(crew->pool, front->handover, pool, NULL, NULL,
                               err);
    }
    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        rc = adopt_process(crew, i, amy__json_at(processes, i), err);
    }
    return rc;
}

int
amy__front_take_crews(struct amy_front *front, struct amy_error *err)
{
    const struct amy__json *list = NULL;
    int rc = 0;

    if (front->handover == NULL) {
        return 0;
    }
    list = amy__json_get(amy__handover_root(front->handover), "crews");
    for (size_t i = 0; rc == 0 && i < amy__json_count(list); i++) {
        rc = take_crew(front, amy__json_at(list, i), err);
    }
    return rc;
}

/* ---- the calls ---- */

int
amy_front_upgrade(struct amy_front *front,
                  const struct amy_upgrade_options *opts, struct amy_error *err)
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
    return amy__upgrade_start(&front->owner, opts, &front->upgrade, err);
}

int
amy_front_check_state(const struct amy_front_options *opts,
                      struct amy_error *err)
{
    AMY_CLEANUP(amy__json_free_p) struct amy__json *root = NULL;
    struct amy__settings *settings = NULL;
    struct amy_front_options own = {0};
    int rc = amy__front_read_options(&own, opts, err);

    if (rc == 0) {
        rc = amy__front_read_settings(&own, NULL, NULL, &settings, err);
    }
    amy__settings_free(settings);
    if (rc == 0 && own.handover_fd_plus_one == 0) {
        rc = amy__err(err, AMY_EINVAL, "front: no state is given");
    }
    if (rc == 0) {
        rc = amy__handover_read((int)(own.handover_fd_plus_one - 1), "front",
                                &root, err);
    }
    return rc < 0 ? rc : check_root(root, err);
}
