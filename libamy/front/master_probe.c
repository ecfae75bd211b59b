/* What should be served, and who of the processes looks. */
/* Not for when (prober.c), nor for looking (peeks.c). */
#include "core/alloc.h"
#include "front/master.h"
#include "front/names.h"

#include <string.h>

/* ---- which names are whose ---- */

struct lost_names {
    const struct amy__front_version *version;
    bool *lost; /* of each site and alias, in order */
    size_t *first;
};

/* The place of a site's alias; its own name is first. */
static size_t
place_of(const struct lost_names *names, size_t site, const char *name)
{
    char **aliases = names->version->sites[site]->aliases;
    size_t place = names->first[site];

    if (strcmp(names->version->sites[site]->domain, name) == 0) {
        return place;
    }
    while (*aliases != NULL && strcmp(*aliases, name) != 0) {
        aliases++;
        place++;
    }
    return place + 1;
}

static void
on_claim(size_t loser, const char *name, size_t owner, void *user)
{
    struct lost_names *names = user;

    (void)owner;
    names->lost[place_of(names, loser, name)] = true;
}

/* ---- what should be seen ---- */

static void
want_name(struct amy_front *front, const char *site, const char *name)
{
    struct amy__tls_cert *certs[AMY__SITE_CERTS_MAX];
    size_t count = amy__certs_served(front->certs, site, certs);
    struct amy__tls_choice choice;

    if (!amy__tls_choose(certs, count, name, &choice)) {
        return;
    }
    for (int type = 0; type < AMY__TLS_TYPES; type++) {
        struct amy__tls_cert_info info;

        if (choice.borrow_certs[type] != NULL) {
            amy__tls_cert_info(choice.borrow_certs[type], &info);
            amy__prober_want(front->prober, site, name,
                             (enum amy__tls_type)type, info.fingerprint);
        }
    }
}

static void
want_site(struct amy_front *front, const struct lost_names *names, size_t i)
{
    const struct amy__site *site = names->version->sites[i];
    size_t place = names->first[i];

    if (!names->lost[place++]) {
        want_name(front, site->domain, site->domain);
    }
    for (char **alias = site->aliases; *alias != NULL; alias++) {
        if (!names->lost[place++]) {
            want_name(front, site->domain, *alias);
        }
    }
}

static void
on_list(struct amy__prober *prober, void *user)
{
    struct amy_front *front = user;
    struct lost_names names = {.version = front->current};
    size_t sites =
        front->current == NULL ? 0 : front->current->bundle->site_count;
    size_t total = 0;

    (void)prober;
    names.first = amy__calloc(sites + 1, sizeof(*names.first));
    for (size_t i = 0; i < sites && names.first != NULL; i++) {
        char **aliases = front->current->sites[i]->aliases;

        names.first[i] = total++;
        while (*aliases != NULL) {
            aliases++;
            total++;
        }
    }
    names.lost = amy__calloc(total + 1, sizeof(*names.lost));
    if (names.first != NULL && names.lost != NULL && sites > 0 &&
        amy__names_judge(front->current->sites, sites, on_claim, &names,
                         NULL) == 0) {
        for (size_t i = 0; i < sites; i++) {
            want_site(front, &names, i);
        }
    }
    amy__free(names.first);
    amy__free(names.lost);
}

/* ---- who looks ---- */

/* Another one each time, of those that serve. */
static struct amy__front_process *
next_process(struct amy_front *front)
{
    for (uint32_t i = 0; i < AMY__PROCESSES_MAX; i++) {
        front->probe_process = (front->probe_process + 1) % AMY__PROCESSES_MAX;
        if (front->processes[front->probe_process].bundle != 0 &&
            front->processes[front->probe_process].crew == front->crews) {
            return &front->processes[front->probe_process];
        }
    }
    return NULL;
}

static int
on_ask(uint64_t ask, const struct amy__json *targets, void *user)
{
    struct amy_front *front = user;
    struct amy__front_process *process = next_process(front);
    struct amy__json *json = NULL;

    if (process == NULL || front->stopping ||
        front->round.phase != AMY__ROUND_IDLE) {
        return AMY_EAGAIN;
    }
    json = amy__json_object();
    (void)amy__json_set(json, "ask", amy__json_int((int64_t)ask));
    (void)amy__json_set(json, "targets", amy__json_copy(targets));
    amy__front_tell(process, AMY__WIRE_PROBE, json, NULL, 0);
    amy__json_free(json);
    return 0;
}

void
amy__front_probed(struct amy__front_process *process,
                  const struct amy__json *json)
{
    amy__prober_answer(process->front->prober,
                       (uint64_t)amy__json_get_int(json, "ask", 0),
                       amy__json_get(json, "wrong"));
}

void
amy__front_probe_lost(struct amy_front *front, uint32_t process)
{
    if (front->probe_process == process) {
        amy__prober_lost(front->prober);
    }
}

int
amy__front_prober_create(struct amy_front *front, struct amy_error *err)
{
    const struct amy__prober_options opts = {
        .base = front->opts.base,
        .borrow_clock = front->opts.borrow_clock,
        .log = &front->log,
        .on_list = on_list,
        .on_ask = on_ask,
        .user = front,
    };

    return amy__prober_create(&opts, &front->prober, err);
}
