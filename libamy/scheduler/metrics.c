/* What Prometheus is told of backups. */
/* Not for people: methods.c. */
#include "core/clock.h"
#include "core/files.h"
#include "scheduler/internal.h"

typedef void (*tell_fn)(struct amy__metrics_text *text,
                        const struct amy__scheduler_site *site,
                        const struct amy__label *labels);

static void
tell_age(struct amy__metrics_text *text, const struct amy__scheduler_site *site,
         const struct amy__label *labels)
{
    static const struct amy__metric age = {
        "amy_backup_age_seconds", AMY__METRIC_GAUGE,
        "How old the newest verified backup is."};
    int64_t now_ms = amy__wall_ms(site->borrow_scheduler->borrow_clock);

    /* None at all is a series that is not there: absent() tells. */
    if (site->facts.good_ms != AMY__MANIFEST_NO_TIME) {
        amy__metrics_seconds(text, &age, labels, now_ms - site->facts.good_ms);
    }
}

static void
tell_sets(struct amy__metrics_text *text,
          const struct amy__scheduler_site *site,
          const struct amy__label *labels)
{
    static const struct amy__metric sets = {
        "amy_backup_sets", AMY__METRIC_GAUGE, "Backups, of any verdict."};

    amy__metrics_value(text, &sets, labels, (int64_t)site->facts.sets);
}

static void
tell_bytes(struct amy__metrics_text *text,
           const struct amy__scheduler_site *site,
           const struct amy__label *labels)
{
    static const struct amy__metric bytes = {
        "amy_backup_bytes", AMY__METRIC_GAUGE, "What they take on the disk."};

    amy__metrics_value(text, &bytes, labels, (int64_t)site->facts.bytes);
}

static void
tell_alarms(struct amy__metrics_text *text,
            const struct amy__scheduler_site *site,
            const struct amy__label *labels)
{
    static const struct amy__metric alarm = {
        "amy_backup_alarm", AMY__METRIC_GAUGE,
        "1 while something is wrong with the backups."};

    for (int i = 0; i < AMY__ALARM_COUNT; i++) {
        const struct amy__label more[] = {
            labels[0],
            {"state", amy__alarm_name((enum amy__alarm_kind)i)},
            {NULL, NULL}};

        amy__metrics_value(text, &alarm, more, site->alarms[i].on);
    }
}

static void
tell_copies(struct amy__metrics_text *text,
            const struct amy__scheduler_site *site,
            const struct amy__label *labels)
{
    static const struct amy__metric missing = {
        "amy_backup_copy_missing", AMY__METRIC_GAUGE,
        "Backups that a copy off the host is to have, and has not."};

    for (size_t i = 0; i < site->copy_count; i++) {
        const struct amy__label more[] = {
            labels[0], {"copy", site->copies[i].name}, {NULL, NULL}};

        if (site->copies[i].known) {
            amy__metrics_value(text, &missing, more,
                               (int64_t)site->copies[i].missing);
        }
    }
}

static void
tell_copy_ages(struct amy__metrics_text *text,
               const struct amy__scheduler_site *site,
               const struct amy__label *labels)
{
    static const struct amy__metric age = {
        "amy_backup_copy_age_seconds", AMY__METRIC_GAUGE,
        "How old the newest backup is that was read back at a copy."};
    int64_t now_ms = amy__wall_ms(site->borrow_scheduler->borrow_clock);

    for (size_t i = 0; i < site->copy_count; i++) {
        const struct amy__label more[] = {
            labels[0], {"copy", site->copies[i].name}, {NULL, NULL}};

        if (site->copies[i].newest_ms != AMY__MANIFEST_NO_TIME) {
            amy__metrics_seconds(text, &age, more,
                                 now_ms - site->copies[i].newest_ms);
        }
    }
}

/* Said in any case: that somebody looks after backups at all. */
static void
tell_sites(struct amy__metrics_text *text,
           const struct amy_scheduler *scheduler)
{
    static const struct amy__metric sites = {
        "amy_backup_sites", AMY__METRIC_GAUGE, "Sites that have a database."};
    int64_t count = 0;

    for (const struct amy__scheduler_site *site = scheduler->sites;
         site != NULL; site = site->next) {
        count += site->site != NULL && site->site->database_from != NULL;
    }
    amy__metrics_value(text, &sites, NULL, count);
}

static void
tell_all(struct amy__metrics_text *text, void *user)
{
    static const tell_fn each[] = {tell_age,    tell_sets,   tell_bytes,
                                   tell_alarms, tell_copies, tell_copy_ages};
    const struct amy_scheduler *scheduler = user;

    tell_sites(text, scheduler);
    for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
        for (const struct amy__scheduler_site *site = scheduler->sites;
             site != NULL; site = site->next) {
            const struct amy__label labels[] = {{"site", site->domain},
                                                {NULL, NULL}};

            if (site->facts.known) {
                each[i](text, site, labels);
            }
        }
    }
}

int
amy__scheduler_metrics_create(struct amy_scheduler *scheduler,
                              struct amy_error *err)
{
    int inherited[AMY__METRICS_FDS] = {-1};
    struct amy__metrics_options opts = {
        .base = scheduler->base,
        .run_path = scheduler->settings->run,
        .name = "backup",
        .borrow_addresses = scheduler->settings->backup_metrics,
        .address_count = scheduler->settings->backup_metrics_count,
        .borrow_clock = scheduler->borrow_clock,
        .log = &scheduler->log,
        .inherited = inherited,
        .inherited_count = amy__sockets_metrics(
            scheduler->handover, scheduler->settings->run, inherited),
    };
    int rc = amy__metrics_create(&opts, &scheduler->metrics, err);

    for (size_t i = 0; i < opts.inherited_count; i++) {
        amy__close(&inherited[i]);
    }

    return rc < 0
               ? rc
               : amy__metrics_add(scheduler->metrics, tell_all, scheduler, err);
}
