/* Tell how a site is: whether it is open, and how many of its workers are
 * ready; exit 0 when it is open and all of them are.
 * Not for everything that is known: `amyctl status SITE --json` prints it.
 *
 *   cc status.c $(pkg-config --cflags --libs amy libevent_core jansson) -o
 * status
 *   ./status example.org
 */
#include <amy/control.h>

#include <event2/event.h>

#include <jansson.h>
#include <stdio.h>
#include <string.h>

struct program {
    const char *site;
    int trouble; /* anything at all that is not as it should be */
};

/* What a daemon has to say of our site; NULL: nothing. */
static const json_t *
find_site(const json_t *status, const char *name)
{
    const json_t *sites = json_object_get(status, "sites");

    for (size_t i = 0; i < json_array_size(sites); i++) {
        const json_t *site = json_array_get(sites, i);
        const char *its = json_string_value(json_object_get(site, "site"));

        if (its != NULL && strcmp(its, name) == 0) {
            return site;
        }
    }
    return NULL;
}

static void
tell_gate(struct program *program, const json_t *site)
{
    const json_t *gate = json_object_get(site, "gate");
    const char *state = json_string_value(json_object_get(gate, "state"));

    printf("%s\n", state == NULL ? "no gate" : state);
    program->trouble |= state == NULL || strcmp(state, "open") != 0;
}

static void
tell_pools(struct program *program, const json_t *site)
{
    const json_t *pools = json_object_get(site, "pools");

    for (size_t i = 0; i < json_array_size(pools); i++) {
        const json_t *pool = json_array_get(pools, i);
        const json_t *workers = json_object_get(pool, "workers");
        size_t count = json_array_size(workers);
        size_t ready = 0;

        for (size_t j = 0; j < count; j++) {
            const json_t *worker = json_array_get(workers, j);
            const char *state =
                json_string_value(json_object_get(worker, "state"));

            ready += state != NULL && strcmp(state, "ready") == 0;
        }
        printf("%s: %zu of %zu ready\n",
               json_string_value(json_object_get(pool, "name")), ready, count);
        program->trouble |= ready < count;
    }
    program->trouble |= json_array_size(pools) == 0;
}

/* The answer of one daemon; which of them shows by what it tells. */
static void
on_done(struct amy_control_request *request,
        const struct amy_control_answer *answer, void *user)
{
    struct program *program = user;
    json_t *status = NULL;
    const json_t *site = NULL;

    if (answer->code < 0) {
        printf("%s (%s)\n", answer->reason, amy_strerror(answer->code));
    } else {
        status = json_loads(answer->body, 0, NULL);
        site = find_site(status, program->site);
    }
    if (site == NULL) {
        program->trouble = 1;
    } else if (json_object_get(site, "gate") != NULL) {
        tell_gate(program, site);
    } else {
        tell_pools(program, site);
    }
    json_decref(status);
    amy_control_free(request);
}

static int
ask(struct event_base *base, const char *run, const char *daemon,
    struct program *program)
{
    struct amy_control_options opts = AMY_CONTROL_OPTIONS_INIT;
    struct amy_control_request *request = NULL;
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 0;

    opts.base = base;
    opts.run_directory = run;
    opts.daemon = daemon;
    opts.path = "/v1/status";
    opts.on_done = on_done;
    opts.user = program;
    rc = amy_control_start(&opts, &request, &err);
    if (rc < 0) {
        (void)fprintf(stderr, "status: %s (%s)\n", err.msg, amy_strerror(rc));
    }
    return rc;
}

int
main(int argc, char **argv)
{
    struct program program = {argc > 1 ? argv[1] : NULL, 0};
    const char *run = argc > 2 ? argv[2] : NULL; /* NULL: /run/amy */
    struct event_base *base = NULL;

    if (argc < 2 || argc > 3) {
        (void)fprintf(stderr, "usage: status SITE [RUN-DIRECTORY]\n");
        return 2;
    }
    base = event_base_new();
    if (base == NULL || ask(base, run, "front", &program) < 0 ||
        ask(base, run, "workers", &program) < 0) {
        program.trouble = 1;
    } else {
        /* Both at once; ends when neither has anything left to do. */
        (void)event_base_dispatch(base);
    }
    if (base != NULL) {
        event_base_free(base);
    }
    return program.trouble;
}
