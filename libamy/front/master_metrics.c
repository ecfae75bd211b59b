/* What Prometheus is told: processes, sites, pools, certificates. */
/* Not for people: master_status.c. */
#include "core/files.h"
#include "front/master.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

#define GAUGE(name, help)                                                      \
    {                                                                          \
        "amy_" name, AMY__METRIC_GAUGE, help                                   \
    }
#define COUNTER(name, help)                                                    \
    {                                                                          \
        "amy_" name "_total", AMY__METRIC_COUNTER, help                        \
    }

/* ---- the front itself ---- */

static void
tell_front(struct amy__metrics_text *text, void *user)
{
    static const struct amy__metric up =
        GAUGE("front_processes", "Front processes that serve.");
    static const struct amy__metric reloads =
        COUNTER("front_reloads", "Reloads of the configuration.");
    static const struct amy__label good[] = {{"result", "served"},
                                             {NULL, NULL}};
    static const struct amy__label bad[] = {{"result", "refused"},
                                            {NULL, NULL}};
    const struct amy_front *front = user;
    int64_t serving = 0;

    for (uint32_t i = 0; i < AMY__PROCESSES_MAX; i++) {
        serving += front->processes[i].bundle != 0;
    }
    amy__metrics_value(text, &up, NULL, serving);
    amy__metrics_value(text, &reloads, good, (int64_t)front->reloads);
    amy__metrics_value(text, &reloads, bad, (int64_t)front->reloads_refused);
}

/* ---- each process ---- */

/* Counters begin anew with each process: a label of its own for each keeps
 * their sums right (a reset is seen where it happens). */
struct process_metric {
    struct amy__metric metric;
    const char *key; /* of its figures */
};

static const struct process_metric process_metrics[] = {
    {GAUGE("front_connections", "Connections that are open."), "connections"},
    {GAUGE("front_connections_idle", "Of these: between two requests."),
     "idle"},
    {COUNTER("front_connections_shed", "Idle ones closed to make room."),
     "shed"},
    {COUNTER("front_requests_refused", "Requests that were no HTTP."),
     "refused"},
    {COUNTER("front_requests_misdirected", "Requests for a name of nobody."),
     "misdirected"},
    {COUNTER("front_handshakes", "TLS handshakes."), "handshakes"},
    {COUNTER("front_handshake_failures", "TLS handshakes that failed."),
     "handshake_failures"},
    {COUNTER("front_received_bytes", "Bytes received."), "bytes_in"},
    {COUNTER("front_sent_bytes", "Bytes sent."), "bytes_out"},
};

static const char *
number(uint32_t i, char buf[12])
{
    (void)snprintf(buf, 12, "%" PRIu32, i);
    return buf;
}

static void
tell_view(struct amy__metrics_text *text, const struct amy_front *front,
          const struct amy__metric *metric, bool memory)
{
    for (uint32_t i = 0; i < AMY__PROCESSES_MAX; i++) {
        struct amy_worker_view view = {.struct_size = sizeof(view)};
        char buf[12];
        const struct amy__label labels[] = {{"process", number(i, buf)},
                                            {NULL, NULL}};

        const struct amy__front_process *process = &front->processes[i];

        if (process->crew != NULL &&
            amy_pool_worker(process->crew->pool, process->position, &view) ==
                0) {
            amy__metrics_value(
                text, metric, labels,
                (int64_t)(memory ? view.rss_bytes : view.restarts));
        }
    }
}

static void
tell_processes(struct amy__metrics_text *text, void *user)
{
    static const struct amy__metric restarts =
        COUNTER("front_process_restarts", "Front processes started anew.");
    static const struct amy__metric memory =
        GAUGE("front_process_memory_bytes", "Memory of a front process.");
    const struct amy_front *front = user;

    for (size_t m = 0; m < sizeof(process_metrics) / sizeof(process_metrics[0]);
         m++) {
        for (uint32_t i = 0; i < AMY__PROCESSES_MAX; i++) {
            const struct amy__json *figures = front->processes[i].figures;
            char buf[12];
            const struct amy__label labels[] = {{"process", number(i, buf)},
                                                {NULL, NULL}};

            if (figures != NULL) {
                amy__metrics_value(
                    text, &process_metrics[m].metric, labels,
                    amy__json_get_int(figures, process_metrics[m].key, 0));
            }
        }
    }
    tell_view(text, front, &restarts, false);
    tell_view(text, front, &memory, true);
}

/* ---- each site ---- */

static void
tell_gates(struct amy__metrics_text *text, void *user)
{
    static const struct amy__metric closed =
        GAUGE("site_closed", "1: the maintenance page is shown.");
    const struct amy_front *front = user;

    for (const struct amy__front_site *s = front->sites; s != NULL;
         s = s->next) {
        const struct amy__label labels[] = {{"site", s->name}, {NULL, NULL}};
        struct amy_gate_view view = {.struct_size = sizeof(view)};

        if (s->gate != NULL) {
            amy_gate_read(s->gate, &view);
            amy__metrics_value(text, &closed, labels,
                               view.state == AMY_GATE_CLOSED);
        }
    }
}

/* Joined with what else has the label "site". */
static void
tell_info(struct amy__metrics_text *text, void *user)
{
    static const struct amy__metric info =
        GAUGE("site_info", "1, with the stage of the site.");
    const struct amy_front *front = user;

    for (const struct amy__front_site *s = front->sites; s != NULL;
         s = s->next) {
        if (s->spec != NULL) {
            const struct amy__label labels[] = {
                {"site", s->name},
                {"stage", amy__site_stage(s->spec)},
                {NULL, NULL}};

            amy__metrics_value(text, &info, labels, 1);
        }
    }
}

static void
tell_answers(struct amy__metrics_text *text, void *user)
{
    static const struct amy__metric answers =
        COUNTER("site_answers", "Answers, by the class of their status.");
    static const char *const classes[] = {"2xx", "3xx", "4xx", "5xx"};
    const struct amy_front *front = user;

    for (uint32_t p = 0; p < AMY__PROCESSES_MAX; p++) {
        const struct amy__json *sites =
            amy__json_get(front->processes[p].figures, "sites");

        for (size_t i = 0; i < amy__json_count(sites); i++) {
            const struct amy__json *site = amy__json_at(sites, i);
            char buf[12];
            struct amy__label labels[] = {
                {"site", amy__json_get_text(site, "name", "")},
                {"process", number(p, buf)},
                {"class", NULL},
                {NULL, NULL}};

            for (size_t c = 0; c < sizeof(classes) / sizeof(classes[0]); c++) {
                char key[8] = "";

                (void)snprintf(key, sizeof(key), "s%s", classes[c]);
                labels[2].value = classes[c];
                amy__metrics_value(text, &answers, labels,
                                   amy__json_get_int(site, key, 0));
            }
        }
    }
}

enum pool_figure {
    SLOTS,
    BUSY,
    QUEUED,
    TUNNELS,
    OLDEST,
    POOL_FIGURES
};

static const struct amy__metric pool_metrics[POOL_FIGURES] = {
    [SLOTS] = GAUGE("pool_slots", "Requests that workers can take at once."),
    [BUSY] = GAUGE("pool_slots_busy", "Of these: taken."),
    [QUEUED] = GAUGE("pool_queue_length", "Requests that wait for a slot."),
    [TUNNELS] = GAUGE("pool_tunnels", "Upgraded connections (WebSockets)."),
    [OLDEST] = GAUGE("pool_queue_oldest_seconds",
                     "How long the oldest of them has waited."),
};

static int64_t
figure_of(const struct amy__front_load *load, int figure)
{
    switch (figure) {
    case SLOTS:
        return load->total;
    case BUSY:
        return load->busy;
    case QUEUED:
        return load->queued;
    case TUNNELS:
        return load->tunnels;
    default:
        return load->oldest_ms;
    }
}

static void
tell_pools(struct amy__metrics_text *text, void *user)
{
    const struct amy_front *front = user;

    for (int m = 0; m < POOL_FIGURES; m++) {
        struct amy__registry_pool pool = {0};

        for (size_t i = 0; amy__registry_at(front->registry, i, &pool); i++) {
            const struct amy__label labels[] = {
                {"site", pool.site}, {"pool", pool.pool}, {NULL, NULL}};
            struct amy__front_load load = {0};

            amy__front_pool_load(front, &pool, &load);
            (m == OLDEST ? amy__metrics_seconds : amy__metrics_value)(
                text, &pool_metrics[m], labels, figure_of(&load, m));
        }
    }
}

/* ---- logs ---- */

enum log_figure {
    LOG_BYTES,
    LOG_ROTATIONS,
    LOG_TROUBLE,
    LOG_LOST,
    LOG_FIGURES
};

static const struct amy__metric log_metrics[LOG_FIGURES] = {
    [LOG_BYTES] = GAUGE("logs_bytes", "Of all logs in logs/, old ones too."),
    [LOG_ROTATIONS] =
        COUNTER("logs_rotations", "Rotations of access.log and error.log."),
    [LOG_TROUBLE] = GAUGE("logs_trouble", "1: status says what is wrong."),
    [LOG_LOST] = COUNTER("logs_lines_lost",
                         "Lines of access.log that the disk did not take."),
};

static void
tell_rotation(struct amy__metrics_text *text, enum log_figure figure,
              const struct amy_front *front)
{
    for (const struct amy__front_site *s = front->sites; s != NULL;
         s = s->next) {
        struct amy_logrotate_view view = {.struct_size = sizeof(view)};
        const struct amy__label labels[] = {{"site", s->name}, {NULL, NULL}};
        int64_t value = 0;

        if (s->rotator == NULL) {
            continue;
        }
        amy_logrotate_read(s->rotator, &view);
        value = figure == LOG_BYTES       ? (int64_t)view.bytes
                : figure == LOG_ROTATIONS ? (int64_t)view.rotations
                                          : view.problem[0] != '\0';
        amy__metrics_value(text, &log_metrics[figure], labels, value);
    }
}

static void
tell_lost(struct amy__metrics_text *text, const struct amy_front *front)
{
    for (uint32_t p = 0; p < AMY__PROCESSES_MAX; p++) {
        const struct amy__json *sites =
            amy__json_get(front->processes[p].figures, "sites");

        for (size_t i = 0; i < amy__json_count(sites); i++) {
            const struct amy__json *site = amy__json_at(sites, i);
            char buf[12];
            const struct amy__label labels[] = {
                {"site", amy__json_get_text(site, "name", "")},
                {"process", number(p, buf)},
                {NULL, NULL}};

            amy__metrics_value(text, &log_metrics[LOG_LOST], labels,
                               amy__json_get_int(site, "lines_lost", 0));
        }
    }
}

static void
tell_logs(struct amy__metrics_text *text, void *user)
{
    tell_rotation(text, LOG_BYTES, user);
    tell_rotation(text, LOG_ROTATIONS, user);
    tell_rotation(text, LOG_TROUBLE, user);
    tell_lost(text, user);
}

/* ---- certificates ---- */

enum cert_figure {
    UNTIL,
    REFUSED,
    REFUSALS,
    CERT_FIGURES
};

static const struct amy__metric cert_metrics[CERT_FIGURES] = {
    [UNTIL] = GAUGE("certificate_not_after_timestamp_seconds",
                    "Until when the certificate that is served is valid."),
    [REFUSED] = GAUGE("certificate_refused",
                      "1: what lies on disk is not good, status says why."),
    [REFUSALS] = COUNTER("certificate_refusals", "How often it came to that."),
};

static void
tell_cert(struct amy__metrics_text *text, enum cert_figure figure,
          const char *site, const struct amy__cert_view *view)
{
    const struct amy__metric *metric = &cert_metrics[figure];
    struct amy__tls_cert_info info = {0};
    struct amy__label labels[] = {
        {"site", site}, {"name", view->name}, {NULL, NULL}, {NULL, NULL}};

    if (figure == REFUSED) {
        amy__metrics_value(text, metric, labels, view->error[0] != '\0');
    } else if (figure == REFUSALS) {
        amy__metrics_value(text, metric, labels, (int64_t)view->refused);
    } else if (view->borrow_cert != NULL) {
        amy__tls_cert_info(view->borrow_cert, &info);
        labels[2] = (struct amy__label){"key_type", info.key_type};
        amy__metrics_value(text, metric, labels, info.not_after_ms / 1000);
    }
}

static void
tell_certs(struct amy__metrics_text *text, void *user)
{
    const struct amy_front *front = user;

    for (int m = 0; m < CERT_FIGURES; m++) {
        for (const struct amy__front_site *s = front->sites; s != NULL;
             s = s->next) {
            struct amy__cert_view view;

            for (size_t i = 0; amy__certs_at(front->certs, s->name, i, &view);
                 i++) {
                tell_cert(text, (enum cert_figure)m, s->name, &view);
            }
        }
    }
}

static void
tell_served(struct amy__metrics_text *text, void *user)
{
    static const struct amy__metric matches =
        GAUGE("certificate_served_matches",
              "1: a client is shown the certificates that are held.");
    static const struct amy__metric checked =
        GAUGE("certificate_checked_timestamp_seconds",
              "When a client's look was last taken.");
    const struct amy_front *front = user;

    for (int turn = 0; turn < 2; turn++) {
        for (const struct amy__front_site *s = front->sites; s != NULL;
             s = s->next) {
            const struct amy__label labels[] = {{"site", s->name},
                                                {NULL, NULL}};
            struct amy__prober_view view;

            if (amy__prober_site(front->prober, s->name, &view) &&
                (turn == 0 || view.checked_wall_ms != 0)) {
                amy__metrics_value(text, turn == 0 ? &matches : &checked,
                                   labels,
                                   turn == 0 ? view.error[0] == '\0'
                                             : view.checked_wall_ms / 1000);
            }
        }
    }
}

int
amy__front_metrics_create(struct amy_front *front, struct amy_error *err)
{
    int inherited[AMY__METRICS_FDS] = {-1};
    const struct amy__metrics_options opts = {
        .base = front->opts.base,
        .run_path = front->settings->run,
        .name = "front",
        .borrow_addresses = front->settings->front_metrics,
        .address_count = front->settings->front_metrics_count,
        .on_ask = amy__front_ask,
        .user = front,
        .borrow_clock = front->opts.borrow_clock,
        .log = &front->log,
        .inherited = inherited,
        .inherited_count = amy__sockets_metrics(
            front->handover, front->settings->run, inherited),
    };
    static const amy__metrics_fn collectors[] = {
        tell_front, tell_processes, tell_info,   tell_gates, tell_answers,
        tell_pools, tell_certs,     tell_served, tell_logs,
    };
    int rc = amy__metrics_create(&opts, &front->metrics, err);

    for (size_t i = 0;
         rc == 0 && i < sizeof(collectors) / sizeof(collectors[0]); i++) {
        rc = amy__metrics_add(front->metrics, collectors[i], front, err);
    }
    for (size_t i = 0; i < opts.inherited_count; i++) {
        amy__close(&inherited[i]);
    }
    return rc;
}
