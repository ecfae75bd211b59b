/* amyctl against control sockets that answer from a script. */
/* Not for what the daemons themselves say: tests/system. */
#include "amy_test.h"

#include "control/control.h"
#include "core/files.h"
#include "core/spawn.h"

#include <event2/event.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PATIENCE_S 30

static const char FRONT[] =
    "{\"daemon\":\"front\",\"version\":\"0.1.0\",\"pid\":100,"
    "\"since_ms\":11520000,\"as_person\":true,\"processes\":[{\"position\":0,"
    "\"pid\":101,\"state\":\"ready\",\"age_ms\":65000,\"restarts\":2,"
    "\"rss_bytes\":6501172,\"connections\":12,\"idle\":10,"
    "\"requests\":10422}],\"sites\":[{\"site\":\"example.org\",\"gate\":{"
    "\"state\":\"closed\",\"since\":\"2026-11-23T20:42:07.123Z\","
    "\"by\":\"ann\",\"warning\":\"the page is empty\\u001b[31m\"},"
    "\"slots\":{\"web\":{\"total\":3,\"busy\":3,\"queued\":2,"
    "\"oldest_ms\":1500,\"tunnels\":1}},\"certificates\":[{"
    "\"error\":\"a.pem: expired\",\"error_since\":\"2026-01-02T03:04:05Z\","
    "\"key_type\":\"EC P-256\",\"not_after\":\"2020-01-01T00:00:00Z\",\"names\":[\"example.org\","
    "\"www.example.org\"],\"issuer\":\"Demo CA\",\"self_signed\":false}],"
    "\"uncovered\":[\"old.example.org\"],"
    "\"problems\":[{\"file\":\"/webapps/example.org/site.yaml\",\"line\":6,"
    "\"column\":1,\"key\":\"limitz\",\"message\":\"unknown key\","
    "\"allowed\":\"limits\",\"severity\":\"error\"}]}]}";
static const char WORKERS[] =
    "{\"daemon\":\"workers\",\"version\":\"0.1.0\",\"pid\":200,"
    "\"since_ms\":400,\"sites\":[{\"site\":\"example.org\",\"user\":\"ex\","
    "\"pools\":[{\"name\":\"web\",\"generation\":1,\"workers\":[{"
    "\"position\":0,\"pid\":201,\"state\":\"ready\",\"age_ms\":1,"
    "\"since_ms\":90000000,\"restarts\":0,\"rss_bytes\":50436505,"
    "\"reason\":\"\"},{\"position\":1,\"pid\":-1,\"state\":\"backoff\","
    "\"age_ms\":-1,\"since_ms\":250,\"restarts\":7,\"rss_bytes\":0,"
    "\"reason\":\"exit 3 after 0.2 s\"}]},{\"name\":\"rq\","
    "\"generation\":1,\"workers\":[]}],"
    "\"error\":\"/webapps/example.org/site.yaml:6:1: limitz: unknown key\","
    "\"problems\":[{"
    "\"file\":\"/webapps/example.org/site.yaml\",\"line\":6,\"column\":1,"
    "\"key\":\"limitz\",\"message\":\"unknown key\",\"allowed\":\"limits\","
    "\"severity\":\"error\"}]},{\"site\":\"other.org\",\"error\":\"postactivate: exit 1\","
    "\"output_lost\":3,\"pools\":[{\"name\":\"web\",\"draining\":true,"
    "\"workers\":[{\"position\":0,\"pid\":9,\"state\":\"drain\","
    "\"since_ms\":1000,\"rss_bytes\":1024,\"restarts\":0,"
    "\"reason\":\"\"}]}]}]}";

struct place {
    char path[64];
    struct event_base *base;
    struct event *guard;
    struct amy__control *front;
    struct amy__control *workers;
    char heard[512];      /* changes that were asked for */
    const char *reloaded; /* what a reload answers; NULL: {} */
    char out[8192];
    char err[4096];
    int code;
};

static void
on_guard(evutil_socket_t fd, short what, void *user)
{
    (void)fd;
    (void)what;
    (void)user;
    fail_msg("amyctl did not end");
}

static void
answer_text(struct amy__control_call *call, const char *text)
{
    struct amy__json *json = NULL;

    assert_int_equal(amy__json_parse(amy__span_of(text), &json, NULL), 0);
    amy__control_reply(call, 200, json);
}

static void
front_status(struct amy__control_call *call, void *user)
{
    (void)user;
    answer_text(call, FRONT);
}

static void
workers_status(struct amy__control_call *call, void *user)
{
    (void)user;
    answer_text(call, WORKERS);
}

static void
note(struct place *place, const char *what,
     const struct amy__control_call *call)
{
    size_t used = strlen(place->heard);

    (void)snprintf(place->heard + used, sizeof(place->heard) - used,
                   "%s %s %s%s;", what, amy__control_param(call, "site"),
                   amy__control_param(call, "pool"),
                   amy__json_get_text(amy__control_body(call), "state", ""));
}

static void
put_gate(struct amy__control_call *call, void *user)
{
    note(user, "gate", call);
    if (strcmp(amy__control_param(call, "site"), "example.org") == 0) {
        amy__control_reply(call, 200, amy__json_object());
    } else {
        amy__control_refuse(call, 404, "there is no such site");
    }
}

static void
reload(struct amy__control_call *call, void *user)
{
    const struct place *place = user;

    note(user, "reload", call);
    answer_text(call, place->reloaded == NULL ? "{}" : place->reloaded);
}

static void
restart(struct amy__control_call *call, void *user)
{
    note(user, "restart", call);
    amy__control_reply(call, 202, amy__json_object());
}

static struct amy__control *
serve(struct place *place, const char *name, amy__control_fn status)
{
    struct amy__control_options opts = {
        .base = place->base, .run_path = place->path, .name = name};
    struct amy__control *control = NULL;

    assert_int_equal(amy__control_create(&opts, &control, NULL), 0);
    assert_int_equal(
        amy__control_add(control, "GET", "/v1/status", status, place, NULL), 0);
    assert_int_equal(amy__control_add(control, "PUT", "/v1/sites/{site}/gate",
                                      put_gate, place, NULL),
                     0);
    assert_int_equal(
        amy__control_add(control, "POST", "/v1/reload", reload, place, NULL),
        0);
    assert_int_equal(amy__control_add(control, "POST",
                                      "/v1/sites/{site}/reload", reload, place,
                                      NULL),
                     0);
    assert_int_equal(amy__control_add(control, "POST",
                                      "/v1/sites/{site}/pools/{pool}/restart",
                                      restart, place, NULL),
                     0);
    return control;
}

static int
set_up(void **state)
{
    static struct place place;
    struct timeval patience = {PATIENCE_S, 0};

    place = (struct place){.path = "/tmp/amy-test-XXXXXX"};
    if (mkdtemp(place.path) == NULL) {
        return -1;
    }
    place.base = event_base_new();
    place.guard = event_new(place.base, -1, 0, on_guard, NULL);
    (void)event_add(place.guard, &patience);
    place.front = serve(&place, "front", front_status);
    place.workers = serve(&place, "workers", workers_status);
    *state = &place;
    return 0;
}

static int
tear_down(void **state)
{
    struct place *place = *state;
    char path[128] = "";

    amy__control_free(place->front);
    amy__control_free(place->workers);
    event_free(place->guard);
    event_base_free(place->base);
    (void)snprintf(path, sizeof(path), "%s/front.sock", place->path);
    (void)unlink(path);
    (void)snprintf(path, sizeof(path), "%s/workers.sock", place->path);
    (void)unlink(path);
    return rmdir(place->path);
}

static void
on_end(evutil_socket_t fd, short what, void *user)
{
    struct place *place = user;

    (void)fd;
    (void)what;
    (void)event_base_loopbreak(place->base);
}

static void
take_text(int fd, char *text, size_t size)
{
    ssize_t n = pread(fd, text, size - 1, 0);

    assert_true(n >= 0);
    text[n] = '\0';
    close(fd);
}

/* Run amyctl with up to four words while the servers answer. */
static int
amyctl(struct place *place, const char *a, const char *b, const char *c,
       const char *d)
{
    static const char *const env[] = {"TZ=UTC", NULL};
    const char *argv[] = {AMYCTL, "--run", place->path, a, b, c, d, NULL};
    struct amy__spawn_fd fds[] = {{memfd_create("out", MFD_CLOEXEC), 1},
                                  {memfd_create("err", MFD_CLOEXEC), 2}};
    struct amy__spawn_plan plan = {
        .argv = argv, .envp = env, .cwd_fd = -1, .fds = fds, .fd_count = 2};
    struct amy__child child = {0};
    struct amy__child_exit how = {0};
    struct event *ended = NULL;

    place->heard[0] = '\0';
    assert_int_equal(amy__spawn(&plan, &child, NULL), 0);
    ended = event_new(place->base, child.pidfd, EV_READ, on_end, place);
    (void)event_add(ended, NULL);
    (void)event_base_dispatch(place->base);
    event_free(ended);
    assert_int_equal(amy__child_reap(&child, &how, NULL), 1);
    close(child.pidfd);
    take_text(fds[0].from, place->out, sizeof(place->out));
    take_text(fds[1].from, place->err, sizeof(place->err));
    return how.code;
}

static void
has(const char *text, const char *words)
{
    if (strstr(text, words) == NULL) {
        fail_msg("no '%s' in:\n%s", words, text);
    }
}

static void
test_status_for_people(void **state)
{
    struct place *place = *state;

    assert_int_equal(amyctl(place, "status", NULL, NULL, NULL), 0);
    assert_string_equal(place->err, "");
    assert_string_equal(
        place->out,
        "amy-front    up 3h12m  0.1.0, pid 100, all as the person who started "
        "it\n"
        "amy-workers  up 400ms  0.1.0, pid 200\n"
        "\n"
        "  process  pid  state   age   memory  connections  idle  requests  "
        "restarts\n"
        "  front 0  101  ready  1m5s  6.2 MiB           12    10     10422  "
        "       2\n"
        "\n"
        "example.org  closed since 2026-11-23 20:42 UTC by ann\n"
        "  warning: the page is empty?[31m\n"
        "  certificate: a.pem: expired, since 2026-01-02 03:04 UTC\n"
        "  certificate example.org, www.example.org, EC P-256, until "
        "2020-01-01 00:00 UTC (over), by Demo CA\n"
        "  warning: no certificate covers old.example.org\n"
        "  /webapps/example.org/site.yaml:6:1: error: limitz: unknown key "
        "(allowed: limits)\n"
        "  worker  pid  state      for    memory  restarts\n"
        "  web 0   201  ready     1d1h  48.1 MiB         0\n"
        "  web 1     -  backoff  250ms         -         7  exit 3 after 0.2 "
        "s\n"
        "  slots  total  busy  tunnels  queued  oldest\n"
        "  web        3     3        1       2      1s\n"
        "\n"
        "other.org\n"
        "  error: postactivate: exit 1\n"
        "  warning: 3 lines of output could not be written\n"
        "  worker       pid  state  for   memory  restarts\n"
        "  web 0 (old)    9  drain   1s  1.0 KiB         0\n");
}

static void
test_status_for_programs_is_one_object(void **state)
{
    struct place *place = *state;
    struct amy__json *json = NULL;
    const struct amy__json *sites = NULL;
    const struct amy__json *site = NULL;

    assert_int_equal(amyctl(place, "status", "--json", NULL, NULL), 0);
    assert_int_equal(amy__json_parse(amy__span_of(place->out), &json, NULL), 0);
    sites = amy__json_get(json, "sites");
    assert_int_equal(amy__json_count(sites), 2);
    site = amy__json_at(sites, 0);
    assert_string_equal(amy__json_get_text(site, "user", ""), "ex");
    assert_non_null(amy__json_get(site, "gate"));
    assert_int_equal(amy__json_count(amy__json_get(site, "pools")), 2);
    /* Both daemons told the same fault. */
    assert_int_equal(amy__json_count(amy__json_get(site, "problems")), 1);
    assert_int_equal(
        amy__json_count(amy__json_get(amy__json_at(sites, 1), "problems")), 0);
    assert_true(amy__json_get_int(amy__json_get(json, "front"), "pid", 0) ==
                100);
    assert_null(amy__json_get(amy__json_get(json, "front"), "sites"));
    assert_int_equal(amy__json_count(amy__json_get(amy__json_get(json, "front"),
                                                   "processes")),
                     1);
    amy__json_free(json);
}

static void
test_status_of_one_site(void **state)
{
    struct place *place = *state;

    assert_int_equal(amyctl(place, "status", "other.org", NULL, NULL), 0);
    has(place->out, "other.org\n");
    assert_null(strstr(place->out, "example.org"));
    assert_int_equal(amyctl(place, "status", "none.org", NULL, NULL), 1);
    assert_string_equal(place->err, "amyctl: there is no site 'none.org'\n");
}

static void
test_status_without_one_daemon_says_so(void **state)
{
    struct place *place = *state;

    amy__control_free(place->workers);
    place->workers = NULL;
    assert_int_equal(amyctl(place, "status", NULL, NULL, NULL), 0);
    has(place->out, "amy-workers  down      does not run: ");
    has(place->out, "example.org  closed");
    assert_int_equal(amyctl(place, "status", "--json", NULL, NULL), 0);
    has(place->out, "\"error\": \"does not run: ");
    amy__control_free(place->front);
    place->front = NULL;
    assert_int_equal(amyctl(place, "status", NULL, NULL, NULL), 1);
    assert_string_equal(place->out, "");
    has(place->err, "amyctl: amy-front does not run (");
    has(place->err, place->path);
    has(place->err, "amyctl: amy-workers does not run (");
}

static void
test_maintenance_closes_opens_and_shows(void **state)
{
    struct place *place = *state;

    assert_int_equal(amyctl(place, "maintenance", "on", "example.org", NULL),
                     0);
    assert_string_equal(place->heard, "gate example.org closed;");
    assert_string_equal(place->out, "example.org  is closed for maintenance\n");
    assert_int_equal(amyctl(place, "maintenance", "off", "example.org", NULL),
                     0);
    assert_string_equal(place->heard, "gate example.org open;");
    assert_string_equal(place->out, "example.org  is open\n");
    assert_int_equal(
        amyctl(place, "maintenance", "status", "example.org", NULL), 0);
    has(place->out, "example.org  closed since 2026-11-23 20:42 UTC by ann\n");
    assert_int_equal(amyctl(place, "maintenance", "on", "none.org", NULL), 1);
    assert_string_equal(place->err,
                        "amyctl: none.org: amy-front: there is no such site\n");
    assert_int_equal(amyctl(place, "maintenance", "on", "../x", NULL), 1);
    assert_int_equal(amyctl(place, "maintenance", "up", "example.org", NULL),
                     2);
    assert_int_equal(amyctl(place, "maintenance", "on", NULL, NULL), 2);
}

static void
test_reload_asks_both(void **state)
{
    struct place *place = *state;

    assert_int_equal(amyctl(place, "reload", "example.org", NULL, NULL), 0);
    assert_string_equal(place->heard,
                        "reload example.org ;reload example.org ;");
    assert_int_equal(amyctl(place, "reload", NULL, NULL, NULL), 0);
    assert_string_equal(place->heard, "reload  ;reload  ;");
    assert_string_equal(place->out, "all sites  reloaded\n");
    amy__control_free(place->front);
    place->front = NULL;
    assert_int_equal(amyctl(place, "reload", NULL, NULL, NULL), 0);
    has(place->err, "amy-front does not run");
}

/* As ExecReload= of each unit has it. */
static void
test_reload_only_asks_one(void **state)
{
    struct place *place = *state;

    assert_int_equal(amyctl(place, "reload", "--only", "front", NULL), 0);
    assert_string_equal(place->heard, "reload  ;");
    assert_string_equal(place->out, "all sites  reloaded by amy-front\n");
    assert_int_equal(
        amyctl(place, "reload", "--only", "workers", "example.org"), 0);
    assert_string_equal(place->heard, "reload example.org ;");
    assert_int_equal(amyctl(place, "reload", "--only", "nginx", NULL), 2);
    has(place->err, "not nginx");
    amy__control_free(place->front);
    place->front = NULL;
    assert_int_equal(amyctl(place, "reload", "--only", "workers", NULL), 0);
    assert_int_equal(amyctl(place, "reload", "--only", "front", NULL), 1);
    has(place->err, "amy-front does not run");
}

static void
test_reload_misses_workers_where_there_are_some(void **state)
{
    struct place *place = *state;

    amy__control_free(place->workers);
    place->workers = NULL;
    place->reloaded = "{\"bundle\":2,\"pools\":1}";
    assert_int_equal(amyctl(place, "reload", "example.org", NULL, NULL), 1);
    assert_string_equal(place->heard, "reload example.org ;");
    assert_string_equal(place->out, "");
    has(place->err, "amy-workers does not run");
    assert_int_equal(amyctl(place, "reload", NULL, NULL, NULL), 1);
    assert_string_equal(place->out, "");
    has(place->err, "amy-workers does not run");
}

static void
test_reload_of_static_sites_needs_no_workers(void **state)
{
    struct place *place = *state;

    amy__control_free(place->workers);
    place->workers = NULL;
    place->reloaded = "{\"bundle\":2,\"pools\":0}";
    assert_int_equal(amyctl(place, "reload", "example.org", NULL, NULL), 0);
    assert_string_equal(place->out, "example.org  reloaded\n");
    assert_string_equal(place->err, "");
    assert_int_equal(amyctl(place, "reload", NULL, NULL, NULL), 0);
    assert_string_equal(place->out, "all sites  reloaded\n");
}

static void
test_reload_that_nobody_hears_fails(void **state)
{
    struct place *place = *state;

    amy__control_free(place->front);
    amy__control_free(place->workers);
    place->front = NULL;
    place->workers = NULL;
    assert_int_equal(amyctl(place, "reload", "example.org", NULL, NULL), 1);
    assert_string_equal(place->out, "");
}

static void
test_restart_of_one_pool_or_all(void **state)
{
    struct place *place = *state;

    assert_int_equal(amyctl(place, "restart", "example.org", "web", NULL), 0);
    assert_string_equal(place->heard, "restart example.org web;");
    assert_int_equal(amyctl(place, "restart", "example.org", NULL, NULL), 0);
    assert_string_equal(place->heard,
                        "restart example.org web;restart example.org rq;");
    assert_int_equal(amyctl(place, "restart", "other.org", NULL, NULL), 1);
    has(place->err, "site 'other.org' has no workers");
}

static void
test_usage(void **state)
{
    struct place *place = *state;

    assert_int_equal(amyctl(place, NULL, NULL, NULL, NULL), 2);
    assert_int_equal(amyctl(place, "dance", NULL, NULL, NULL), 2);
    assert_string_equal(place->err, "amyctl: there is no command dance\n"
                                    "try 'amyctl --help'\n");
    assert_int_equal(amyctl(place, "--dance", NULL, NULL, NULL), 2);
    assert_int_equal(amyctl(place, "--help", NULL, NULL, NULL), 0);
    has(place->out, "maintenance on|off|status SITE");
    assert_int_equal(amyctl(place, "--version", NULL, NULL, NULL), 0);
    assert_string_equal(place->out, "amyctl 0.1.0\n");
    assert_int_equal(
        amyctl(place, "--config=/x", "--state=/y", "--webapps=/z", "status"),
        0);
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        IN_PLACE(test_status_for_people),
        IN_PLACE(test_status_for_programs_is_one_object),
        IN_PLACE(test_status_of_one_site),
        IN_PLACE(test_status_without_one_daemon_says_so),
        IN_PLACE(test_maintenance_closes_opens_and_shows),
        IN_PLACE(test_reload_asks_both),
        IN_PLACE(test_reload_only_asks_one),
        IN_PLACE(test_reload_misses_workers_where_there_are_some),
        IN_PLACE(test_reload_of_static_sites_needs_no_workers),
        IN_PLACE(test_reload_that_nobody_hears_fails),
        IN_PLACE(test_restart_of_one_pool_or_all),
        IN_PLACE(test_usage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
