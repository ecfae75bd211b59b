/* What holds between the keys of a site.yaml, and what follows from them.
 * Not for the shape of single values: that is the table in spec.c. */
#include "site/rules.h"

#include "core/alloc.h"
#include "http/path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct amy__place
amy__rules_place(const struct amy__node *map, const char *name, const char *key)
{
    const struct amy__node *node =
        name == NULL ? NULL : amy__node_get(map, name);

    if (node == NULL) {
        node = map;
    }
    return (struct amy__place){
        .line = node->line, .column = node->column, .key = key};
}

const char *
amy__rules_key(char buf[AMY__RULES_KEY_SIZE], const char *list, size_t index,
               const char *name)
{
    (void)snprintf(buf, AMY__RULES_KEY_SIZE, "%s[%zu]%s%s", list, index,
                   name == NULL ? "" : ".", name == NULL ? "" : name);
    return buf;
}

/* --- names --- */

static void
check_domain(const struct amy__rules *rules, const struct amy__node *root,
             const char *expect)
{
    const char *domain = rules->site->domain;
    struct amy__place place = amy__rules_place(root, "site", "site");

    if (expect == NULL || domain == NULL || strcmp(domain, expect) == 0) {
        return;
    }
    place.allowed = expect;
    amy__report_error(rules->report, &place,
                      "names '%.253s', and the directory is another site's or "
                      "a copy",
                      domain);
}

static void
check_aliases(const struct amy__rules *rules, const struct amy__node *root)
{
    const struct amy__node *list = amy__node_get(root, "aliases");
    const struct amy__node *node = list == NULL ? NULL : list->first;
    const char *domain = rules->site->domain;
    char key[AMY__RULES_KEY_SIZE];

    for (size_t i = 0; node != NULL; i++, node = node->next) {
        struct amy__place place = {
            .line = node->line,
            .column = node->column,
            .key = amy__rules_key(key, "aliases", i, NULL),
        };

        if (node->text == NULL || node->spoilt) {
            continue;
        }
        if (domain != NULL && strcmp(node->text, domain) == 0) {
            amy__report_error(rules->report, &place,
                              "'%.253s' is the site's own name", domain);
        }
        for (const struct amy__node *earlier = list->first; earlier != node;
             earlier = earlier->next) {
            if (earlier->text != NULL &&
                strcmp(earlier->text, node->text) == 0) {
                amy__report_error(rules->report, &place,
                                  "'%.253s' is given twice, first in line %u",
                                  node->text, earlier->line);
                break;
            }
        }
    }
}

/* A file has a key file beside it, a name below {certificates} has its own. */
static void
check_cert_key(const struct amy__rules *rules, const struct amy__node *map,
               const char *certificate, const char *key)
{
    bool is_file = certificate != NULL && certificate[0] == '/';
    bool has_key = amy__node_get(map, "key") != NULL;
    struct amy__place place = {.key = key};

    if (map == NULL || map->kind != AMY__NODE_MAP || has_key == is_file) {
        return;
    }
    place = amy__rules_place(map, has_key ? "key" : "certificate", key);
    amy__report_error(rules->report, &place,
                      has_key ? "goes only with a certificate that is a file"
                              : "is required with a certificate that is a "
                                "file");
}

/* One certificate, written without a list. */
static void
keep_certificate(const struct amy__rules *rules)
{
    struct amy__site *site = rules->site;

    site->certs = amy__calloc(1, sizeof(*site->certs));
    if (site->certs == NULL) {
        rules->report->out_of_memory = true;
        return;
    }
    site->cert_count = 1;
    site->certs->certificate = site->tls_certificate;
    site->certs->key = site->tls_key;
    site->tls_certificate = NULL;
    site->tls_key = NULL;
}

static void
check_tls(const struct amy__rules *rules, const struct amy__node *root)
{
    struct amy__site *site = rules->site;
    const struct amy__node *tls = amy__node_get(root, "tls");
    const struct amy__node *list = amy__node_get(tls, "certificates");
    const struct amy__node *node = list == NULL ? NULL : list->first;
    struct amy__place place = {.key = "tls.certificates"};
    char key[AMY__RULES_KEY_SIZE];

    if (site->tls_certificate != NULL &&
        strcmp(site->tls_certificate, "auto") == 0) {
        amy__free(site->tls_certificate);
        site->tls_certificate = NULL;
    }
    check_cert_key(rules, tls, site->tls_certificate, "tls.key");
    for (size_t i = 0; node != NULL && i < site->cert_count;
         i++, node = node->next) {
        if (site->certs[i].certificate != NULL) { /* else it was told */
            check_cert_key(rules, node, site->certs[i].certificate,
                           amy__rules_key(key, "tls.certificates", i, "key"));
        }
    }
    if (list != NULL && amy__node_get(tls, "certificate") != NULL) {
        place = amy__rules_place(tls, "certificates", "tls.certificates");
        amy__report_error(rules->report, &place,
                          "goes not with tls.certificate: it takes its place");
    } else if (site->tls_certificate != NULL && site->cert_count == 0) {
        keep_certificate(rules);
    }
}

static void
check_http(const struct amy__rules *rules, const struct amy__node *root)
{
    static const char *const names[] = {"except", "peers"};
    const struct amy__node *http = amy__node_get(root, "http");

    for (size_t i = 0; i < 2 && rules->site->http == AMY__HTTP_SERVE; i++) {
        if (amy__node_get(http, names[i]) != NULL) {
            struct amy__place place = amy__rules_place(
                http, names[i], i == 0 ? "http.except" : "http.peers");

            amy__report_error(rules->report, &place,
                              "everything is served over plain HTTP with "
                              "mode serve");
        }
    }
}

/* Whom a closed site lets in. */
static void
check_access(const struct amy__rules *rules, const struct amy__node *root)
{
    struct amy__site *site = rules->site;
    const struct amy__node *access = amy__node_get(root, "access");
    bool lets_in = amy__node_get(access, "users") != NULL ||
                   amy__node_get(access, "allow") != NULL;
    struct amy__place place =
        amy__rules_place(root, access != NULL ? "access" : "stage",
                         access != NULL ? "access" : "stage");

    site->closed = site->stage_test || access != NULL;
    place.allowed = "access with users, allow or both";
    if (site->closed && !lets_in) {
        (site->stage_test ? amy__report_warning : amy__report_error)(
            rules->report, &place,
            "lets nobody in: the site would be closed to everybody but for "
            "access.except");
    }
    if (site->closed && site->health_any_host &&
        strcmp(site->health_path, "/") == 0) {
        place = amy__rules_place(root, "health", "health.any_host");
        place.allowed = "with a health.path that is not /";
        amy__report_warning(rules->report, &place,
                            "does not open the home page of a closed site");
    }
    if (site->access_users != NULL && site->http == AMY__HTTP_SERVE) {
        place = amy__rules_place(root, "http", "http.mode");
        place.allowed = "redirect or off";
        amy__report_warning(rules->report, &place,
                            "has passwords of access.users pass in the clear");
    }
}

/* Another site's data goes into a test site alone. */
static void
check_refresh(const struct amy__rules *rules, const struct amy__node *root)
{
    struct amy__place place = amy__rules_place(root, "refresh", "refresh");
    const struct amy__node *refresh = amy__node_get(root, "refresh");

    if (refresh == NULL) {
        return;
    }
    amy__rules_refresh_copy(rules, refresh);
    if (!rules->site->stage_test) {
        place.allowed = "with 'stage: test'";
        amy__report_error(rules->report, &place,
                          "a production site's database is never refreshed");
    } else if (amy__node_get(root, "database") == NULL) {
        place.allowed = "with 'database: {from: DATABASE_URL}'";
        amy__report_error(rules->report, &place, "needs a database");
    }
}

/* --- backup --- */

static void
check_backup_times(const struct amy__rules *rules,
                   const struct amy__node *backup)
{
    static const char *const kinds[] = {"every", "at", "cron"};
    const char *first = NULL;

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        char key[AMY__RULES_KEY_SIZE];
        struct amy__place place = {.line = 0};

        if (amy__node_get(backup, kinds[i]) == NULL) {
            continue;
        }
        (void)snprintf(key, sizeof(key), "backup.%s", kinds[i]);
        place = amy__rules_place(backup, kinds[i], key);
        place.allowed = "one of every, at and cron";
        if (first != NULL) {
            amy__report_error(rules->report, &place, "goes not with %s", first);
        }
        first = kinds[i];
    }
}

static void
check_backup(const struct amy__rules *rules, const struct amy__node *root)
{
    const struct amy__node *backup = amy__node_get(root, "backup");
    struct amy__place place = amy__rules_place(root, "backup", "backup");
    char *const *command = rules->site->backup_alarm_command;

    if (backup == NULL || backup->kind != AMY__NODE_MAP) {
        return;
    }
    check_backup_times(rules, backup);
    amy__rules_copies(rules, backup);
    if (amy__node_get(root, "database") == NULL) {
        place.allowed = "with 'database: {from: DATABASE_URL}'";
        amy__report_error(rules->report, &place, "needs a database");
    }
    if (command != NULL && strchr(command[0], '/') == NULL) {
        place = amy__rules_place(amy__node_get(backup, "alarm"), "command",
                                 "backup.alarm.command");
        place.allowed = "a path such as /usr/local/bin/page-me";
        amy__report_error(rules->report, &place, "'%.64s' is no path",
                          command[0]);
    }
}

/* --- workers --- */

static void
check_worker_name(const struct amy__rules *rules, size_t index,
                  const struct amy__node *node)
{
    const struct amy__site_worker *workers = rules->site->workers;
    char key[AMY__RULES_KEY_SIZE];
    struct amy__place place = amy__rules_place(
        node, "name", amy__rules_key(key, "workers", index, "name"));

    for (size_t i = 0; workers[index].name != NULL && i < index; i++) {
        if (workers[i].name != NULL &&
            strcmp(workers[i].name, workers[index].name) == 0) {
            amy__report_error(rules->report, &place,
                              "'%s' is given twice, first in line %u",
                              workers[index].name, workers[i].line);
            return;
        }
    }
}

static void
check_worker_command(const struct amy__rules *rules, size_t index,
                     const struct amy__node *node)
{
    const struct amy__site_worker *worker = &rules->site->workers[index];
    bool wsgi = amy__node_get(node, "wsgi") != NULL;
    bool command = amy__node_get(node, "command") != NULL;
    char key[AMY__RULES_KEY_SIZE];
    struct amy__place place = amy__rules_place(
        node, NULL, amy__rules_key(key, "workers", index, NULL));

    place.allowed = "either wsgi or command";
    if (wsgi && command) {
        place.line = amy__node_get(node, "command")->key_line;
        place.column = amy__node_get(node, "command")->key_column;
        amy__report_error(rules->report, &place, "has both wsgi and command");
    } else if (worker->command != NULL && worker->command[0][0] == '\0') {
        place =
            amy__rules_place(amy__node_get(node, "command")->first, NULL, NULL);
        place.allowed = "the name or path of a program";
        place.key = amy__rules_key(key, "workers", index, "command[0]");
        amy__report_error(rules->report, &place, "'' is empty");
    } else if (!wsgi && !command) {
        amy__report_error(rules->report, &place,
                          "has neither wsgi nor command");
    }
}

static bool
has_unnamed_worker(const struct amy__site *site)
{
    for (size_t i = 0; i < site->worker_count; i++) {
        if (site->workers[i].name == NULL) {
            return true;
        }
    }
    return false;
}

static void
check_after(const struct amy__rules *rules, size_t index,
            const struct amy__node *node)
{
    const struct amy__node *after = amy__node_get(node, "after");
    const struct amy__node *name =
        after == NULL || after->kind != AMY__NODE_LIST ? NULL : after->first;
    char key[AMY__RULES_KEY_SIZE];
    size_t n = 0;

    /* A worker whose name was faulty may be the one that is meant. */
    for (; name != NULL && !has_unnamed_worker(rules->site);
         name = name->next, n++) {
        char part[24];
        struct amy__place place = {.line = name->line, .column = name->column};

        (void)snprintf(part, sizeof(part), "after[%zu]", n);
        place.key = amy__rules_key(key, "workers", index, part);
        place.allowed = "a name under workers";
        if (name->text != NULL && !name->spoilt && !name->empty &&
            amy__site_worker(rules->site, amy__span_of(name->text)) == NULL) {
            amy__report_error(rules->report, &place,
                              "there are no workers '%.64s'", name->text);
        }
    }
}

/* Can `from` be reached from itself along `after`? Depth is bounded by the
 * number of workers: a walk longer than that has met one twice. */
static bool
reaches(const struct amy__site *site, const struct amy__site_worker *worker,
        const struct amy__site_worker *goal, uint64_t *seen)
{
    uint64_t bit = UINT64_C(1) << (worker - site->workers);

    if ((*seen & bit) != 0) {
        return false;
    }
    *seen |= bit;
    for (size_t i = 0; worker->after != NULL && worker->after[i] != NULL; i++) {
        const struct amy__site_worker *next =
            amy__site_worker(site, amy__span_of(worker->after[i]));

        if (next != NULL && (next == goal || reaches(site, next, goal, seen))) {
            return true;
        }
    }
    return false;
}

static void
check_cycle(const struct amy__rules *rules, size_t index,
            const struct amy__node *node)
{
    const struct amy__site *site = rules->site;
    uint64_t seen = 0;
    char key[AMY__RULES_KEY_SIZE];
    struct amy__place place = amy__rules_place(
        node, "after", amy__rules_key(key, "workers", index, "after"));

    if (reaches(site, &site->workers[index], &site->workers[index], &seen)) {
        amy__report_error(rules->report, &place,
                          "waits for itself in a circle");
    }
}

static void
check_worker_socket(const struct amy__rules *rules, size_t index,
                    const struct amy__node *node)
{
    const struct amy__site_worker *workers = rules->site->workers;
    char key[AMY__RULES_KEY_SIZE];
    struct amy__place place = amy__rules_place(
        node, "socket", amy__rules_key(key, "workers", index, "socket"));

    for (size_t i = 0; workers[index].socket != NULL && i < index; i++) {
        if (workers[i].socket != NULL &&
            strcmp(workers[i].socket, workers[index].socket) == 0) {
            amy__report_error(rules->report, &place,
                              "'%.110s' is given twice, first in line %u",
                              workers[index].socket, workers[i].line);
            return;
        }
    }
}

static void
check_workers(const struct amy__rules *rules)
{
    const struct amy__node *node =
        rules->workers == NULL ? NULL : rules->workers->first;

    for (size_t i = 0; i < rules->site->worker_count && node != NULL;
         i++, node = node->next) {
        struct amy__site_worker *worker = &rules->site->workers[i];

        worker->line = node->line;
        worker->serves = worker->wsgi != NULL || worker->socket != NULL;
        if (node->kind == AMY__NODE_MAP) {
            check_worker_name(rules, i, node);
            check_worker_command(rules, i, node);
            check_worker_socket(rules, i, node);
            check_after(rules, i, node);
            check_cycle(rules, i, node);
        }
    }
}

/* --- routes --- */

static void
check_route_kind(const struct amy__rules *rules, size_t index,
                 const struct amy__node *node)
{
    static const struct {
        const char *name;
        enum amy__route_kind kind;
    } kinds[] = {{"pool", AMY__ROUTE_POOL},
                 {"files", AMY__ROUTE_FILES},
                 {"upstream", AMY__ROUTE_UPSTREAM}};
    const char *first = NULL;
    char key[AMY__RULES_KEY_SIZE];
    struct amy__place place = amy__rules_place(
        node, NULL, amy__rules_key(key, "routes", index, NULL));

    place.allowed = "one of pool, files and upstream";
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (amy__node_get(node, kinds[i].name) == NULL) {
            continue;
        }
        if (first != NULL) {
            amy__report_error(rules->report, &place, "has both %s and %s",
                              first, kinds[i].name);
            return;
        }
        first = kinds[i].name;
        rules->site->routes[index].kind = kinds[i].kind;
    }
    if (first == NULL) {
        amy__report_error(rules->report, &place,
                          "has neither pool nor files nor upstream");
    }
}

/* Keys that go with other kinds of routes only. */
static void
check_route_keys(const struct amy__rules *rules, size_t index,
                 const struct amy__node *node)
{
    static const struct {
        const char *name;
        const char *goes_with[2];
        const char *words;
    } only[] = {{"cache", {"files", "files"}, "files"},
                {"internal", {"files", "files"}, "files"},
                {"slots", {"upstream", "upstream"}, "upstream"},
                {"timeout", {"pool", "upstream"}, "pool or upstream"},
                {"tunnel_idle", {"pool", "upstream"}, "pool or upstream"}};
    bool pool = amy__node_get(node, "pool") != NULL;
    bool files = amy__node_get(node, "files") != NULL;
    bool upstream = amy__node_get(node, "upstream") != NULL;

    for (size_t i = 0; i < sizeof(only) / sizeof(only[0]); i++) {
        char key[AMY__RULES_KEY_SIZE];
        struct amy__place place = amy__rules_place(
            node, only[i].name,
            amy__rules_key(key, "routes", index, only[i].name));

        if (amy__node_get(node, only[i].name) != NULL &&
            (pool || files || upstream) &&
            amy__node_get(node, only[i].goes_with[0]) == NULL &&
            amy__node_get(node, only[i].goes_with[1]) == NULL) {
            amy__report_error(rules->report, &place, "goes only with %s",
                              only[i].words);
        }
    }
}

static void
check_route_path(const struct amy__rules *rules, size_t index,
                 const struct amy__node *node)
{
    const struct amy__route *routes = rules->site->routes;
    const struct amy__node *earlier = rules->routes->first;
    char key[AMY__RULES_KEY_SIZE];
    struct amy__place place = amy__rules_place(
        node, "path", amy__rules_key(key, "routes", index, "path"));

    for (size_t i = 0; routes[index].path != NULL && i < index;
         i++, earlier = earlier->next) {
        if (routes[i].path != NULL &&
            strcmp(routes[i].path, routes[index].path) == 0) {
            amy__report_error(rules->report, &place,
                              "'%.64s' is given twice, first in line %u",
                              routes[index].path, earlier->line);
            return;
        }
    }
}

static struct amy__site_worker *
find_worker(struct amy__site *site, const char *name)
{
    for (size_t i = 0; i < site->worker_count; i++) {
        if (site->workers[i].name != NULL &&
            strcmp(site->workers[i].name, name) == 0) {
            return &site->workers[i];
        }
    }
    return NULL;
}

static void
check_route_pool(const struct amy__rules *rules, size_t index,
                 const struct amy__node *node)
{
    const char *pool = rules->site->routes[index].pool;
    struct amy__site_worker *worker =
        pool == NULL ? NULL : find_worker(rules->site, pool);
    char key[AMY__RULES_KEY_SIZE];
    struct amy__place place = amy__rules_place(
        node, "pool", amy__rules_key(key, "routes", index, "pool"));

    if (worker != NULL) {
        worker->serves = true;
    } else if (pool != NULL && !has_unnamed_worker(rules->site)) {
        place.allowed = "a name under workers";
        amy__report_error(rules->report, &place, "there are no workers '%s'",
                          pool);
    }
}

/* What an internal route keeps inside is shown by no other: two routes that
 * contradict each other about it are a mistake. Names are compared: links
 * that the site made are followed (docs/decisions/0066). */
static void
check_route_files(const struct amy__rules *rules, size_t index,
                  const struct amy__node *node)
{
    const struct amy__site *site = rules->site;
    const struct amy__route *route = &site->routes[index];
    char key[AMY__RULES_KEY_SIZE];
    struct amy__place place = amy__rules_place(
        node, "files", amy__rules_key(key, "routes", index, "files"));

    for (size_t i = 0; i < site->route_count; i++) {
        if (route->files != NULL && !route->internal &&
            site->routes[i].internal && site->routes[i].files != NULL &&
            amy__path_is_within(route->files, site->routes[i].files)) {
            amy__report_error(rules->report, &place,
                              "'%.64s' is kept inside by routes[%zu], which is "
                              "internal",
                              route->files, i);
            return;
        }
    }
}

static bool
same_servers(const struct amy__route *a, const struct amy__route *b)
{
    size_t i = 0;

    if (b->upstream == NULL || a->slots != b->slots) {
        return false;
    }
    while (a->upstream[i] != NULL && b->upstream[i] != NULL &&
           strcmp(a->upstream[i], b->upstream[i]) == 0) {
        i++;
    }
    return a->upstream[i] == NULL && b->upstream[i] == NULL;
}

/* Routes to the same servers share what is known of them. */
static void
name_upstream(const struct amy__rules *rules, size_t index)
{
    const struct amy__route *routes = rules->site->routes;
    struct amy__route *route = &rules->site->routes[index];
    size_t first = 0;

    if (route->upstream == NULL || route->pool != NULL) {
        return;
    }
    while (first < index && !same_servers(route, &routes[first])) {
        first++;
    }
    if (routes[first].path != NULL) {
        route->pool = amy__strdup(routes[first].path);
        rules->report->out_of_memory =
            rules->report->out_of_memory || route->pool == NULL;
    }
}

static void
check_route_upstream(const struct amy__rules *rules, size_t index,
                     const struct amy__node *node)
{
    const struct amy__node *list = amy__node_get(node, "upstream");
    const struct amy__node *one =
        list == NULL || list->kind != AMY__NODE_LIST ? NULL : list->first;

    for (size_t i = 0; one != NULL; i++, one = one->next) {
        char part[32];
        char key[AMY__RULES_KEY_SIZE];
        struct amy__place place = {.line = one->line, .column = one->column};

        (void)snprintf(part, sizeof(part), "upstream[%zu]", i);
        place.key = amy__rules_key(key, "routes", index, part);
        for (const struct amy__node *earlier = list->first; earlier != one;
             earlier = earlier->next) {
            if (one->text != NULL && earlier->text != NULL &&
                strcmp(one->text, earlier->text) == 0) {
                amy__report_error(rules->report, &place,
                                  "'%.110s' is given twice", one->text);
                break;
            }
        }
    }
    name_upstream(rules, index);
}

static void
check_routes(const struct amy__rules *rules)
{
    const struct amy__node *node =
        rules->routes == NULL ? NULL : rules->routes->first;

    for (size_t i = 0; i < rules->site->route_count && node != NULL;
         i++, node = node->next) {
        if (node->kind == AMY__NODE_MAP) {
            check_route_kind(rules, i, node);
            check_route_keys(rules, i, node);
            check_route_path(rules, i, node);
            check_route_pool(rules, i, node);
            check_route_files(rules, i, node);
            check_route_upstream(rules, i, node);
        }
    }
}

static bool
has_route(const struct amy__site *site, const char *path)
{
    for (size_t i = 0; i < site->route_count; i++) {
        if (site->routes[i].path != NULL &&
            strcmp(site->routes[i].path, path) == 0) {
            return true;
        }
    }
    return false;
}

/* Add a route that nobody wrote; pool or files is NULL. */
static bool
add_route(struct amy__site *site, const char *path, const char *pool,
          const char *files)
{
    struct amy__route *route = NULL;
    struct amy__route *routes =
        amy__realloc(site->routes, (site->route_count + 1) * sizeof(*routes));

    if (routes == NULL) {
        return false;
    }
    site->routes = routes;
    route = &routes[site->route_count++];
    *route = (struct amy__route){.kind = pool != NULL ? AMY__ROUTE_POOL
                                                      : AMY__ROUTE_FILES,
                                 .max_age_s = -1};
    route->path = amy__strdup(path);
    route->pool = pool == NULL ? NULL : amy__strdup(pool);
    route->files = files == NULL ? NULL : amy__strdup(files);
    return route->path != NULL && (route->pool != NULL || route->files != NULL);
}

/* Who answers what no route names: pool web, or else the first WSGI pool. */
static struct amy__site_worker *
main_worker(struct amy__site *site)
{
    struct amy__site_worker *web = find_worker(site, "web");

    for (size_t i = 0; web == NULL && i < site->worker_count; i++) {
        if (site->workers[i].wsgi != NULL && site->workers[i].name != NULL) {
            web = &site->workers[i];
        }
    }
    return web;
}

static void
add_default_routes(const struct amy__rules *rules)
{
    struct amy__site *site = rules->site;
    struct amy__site_worker *web = main_worker(site);
    bool done = true;

    if (web != NULL && !has_route(site, "/")) {
        web->serves = true;
        done = add_route(site, "/", web->name, NULL);
    }
    if (done && !has_route(site, "/static/") && !has_route(site, "/static")) {
        done = add_route(site, "/static/", NULL, "static");
    }
    if (!done) {
        rules->report->out_of_memory = true;
    }
}

static int
longest_first(const void *a, const void *b)
{
    const struct amy__route *x = a;
    const struct amy__route *y = b;
    size_t nx = strlen(x->path);
    size_t ny = strlen(y->path);

    if (nx != ny) {
        return nx > ny ? -1 : 1;
    }
    return strcmp(x->path, y->path);
}

void
amy__site_apply_rules(struct amy__site *site, const struct amy__node *root,
                      const char *expect_domain, struct amy__report *report)
{
    struct amy__rules rules = {.site = site,
                               .workers = amy__node_get(root, "workers"),
                               .routes = amy__node_get(root, "routes"),
                               .report = report};
    const struct amy__node *user = amy__node_get(root, "user");

    site->user_line = user == NULL ? 0 : user->line;
    site->user_column = user == NULL ? 0 : user->column;
    check_domain(&rules, root, expect_domain);
    check_aliases(&rules, root);
    check_access(&rules, root);
    check_refresh(&rules, root);
    check_backup(&rules, root);
    check_tls(&rules, root);
    check_http(&rules, root);
    check_workers(&rules);
    check_routes(&rules);
    amy__rules_log_files(&rules, root);
    amy__rules_deploy(&rules, root);
    if (!amy__report_is_clean(report)) {
        return; /* defaults would stand on sand */
    }
    add_default_routes(&rules);
    if (!report->out_of_memory && site->route_count > 1) {
        qsort(site->routes, site->route_count, sizeof(site->routes[0]),
              longest_first);
    }
}
