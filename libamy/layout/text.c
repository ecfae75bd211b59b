/* Writes a site.yaml that explains itself. */
/* Not for whether the values are good: site/rules.c judges what this wrote. */
#include "layout/text.h"

static const char head[] =
    "# The site %s: all of its configuration.\n"
    "#\n"
    "# A line behind a '#' without a blank is a default, or an example; take "
    "the '#' away\n"
    "# to change it. site.yaml(5) has every key. After a change:\n"
    "#     amyctl reload %s\n"
    "# Bad lines are told with what is allowed, and the site goes on as it "
    "was.\n"
    "\n"
    "site: %s    # the directory's name\n"
    "user: %s    # whom the workers run as\n";

static const char served[] =
    "\n"
    "# How it is served.\n"
    "#tls: {certificate: auto}    # certbot's, of this name\n"
    "#http: redirect              # serve: without HTTPS, too; off\n"
    "#health: {path: /, any_host: false, probes: 3, timeout: 10s, bake: 5s}\n"
    "#limits: {body: 20MiB, queue: 1000, queue_time: 30s}\n"
    "#access: {allow: [192.0.2.0/24], except: [/healthz]}    # closed to "
    "others\n"
    "#gate: {retry_after: 2m, allow: [], except: []}    # while closed\n";

static const char workers[] =
    "\n"
    "# What runs, in the environment of repo/.venv (activate, postactivate).\n"
    "workers:\n"
    "  - name: web\n"
    "    wsgi: %s    # gunicorn runs it\n"
    "    count: 3\n"
    "    #slots: 1             # threads of each\n"
    "    #timeout: 30s\n"
    "    #boot_timeout: 60s\n"
    "    #stop: {signal: TERM, patience: 30s}\n"
    "  # Jobs: never two at once, and one under way may finish.\n"
    "  #- {name: rq, command: [python, manage.py, rqworker, default], replace: "
    "stop-first, stop: {patience: 10m}, after: [web]}\n";

static const char routes[] =
    "\n"
    "# Where requests go; the longest path wins. Without a line of yours: / to "
    "web,\n"
    "# /static/ to the directory static/.\n"
    "#routes:\n"
    "#- {path: /static/, files: static, cache: immutable}    # hashed names\n"
    "#- {path: /media/, files: media, cache: 1h}\n"
    "#- {path: /private/, files: media/private, internal: true}    # "
    "X-Accel-Redirect\n"
    "#- {path: /reports/, pool: web, timeout: 300s}\n";

static const char data[] =
    "\n"
    "# Variables of postactivate that say where the data are, and what is done "
    "about them.\n"
    "#database: {from: DATABASE_URL}\n"
    "#redis: {from: AMY_REDIS_URL}    # amyctl status tells of it, and of rq\n";

/* Their defaults go by the stage (libamy/site/spec.c). */
static const char kept[] =
    "#backup: {every: 30m, keep: 48, before_deploy: true}    # into "
    "DB_backups/\n"
    "#logs: {size: 50MiB, every: daily, keep: 1000, max_age: 30d, total: "
    "2GiB, compress: gzip}\n";
static const char kept_by_test[] =
    "#backup: {every: 1d, keep: 8, before_deploy: true}    # into "
    "DB_backups/\n"
    "#logs: {size: 50MiB, every: daily, keep: 1000, max_age: 7d, total: "
    "256MiB, compress: gzip}\n";

static const char releases[] =
    "\n"
    "# Where releases come from, and who fetches and builds them: not root, not "
    "the site's user.\n"
    "#deploy: {source: \"git@git.example.org:site.git\", ref: main, user: "
    "deploy, gate: auto, keep: 5}\n";

static int
write_aliases(const struct amy__layout_text *text, struct amy__buf *out)
{
    int rc = 0;

    if (text->aliases == NULL || text->aliases[0] == NULL) {
        return amy__buf_append_text(
            out, "#aliases: []    # other names, as [www.example.org]\n");
    }
    for (size_t i = 0; rc == 0 && text->aliases[i] != NULL; i++) {
        rc = amy__buf_appendf(out, "%s%s", i == 0 ? "aliases: [" : ", ",
                              text->aliases[i]);
    }
    return rc < 0 ? rc : amy__buf_append_text(out, "]\n");
}

int
amy__layout_text(const struct amy__layout_text *text, struct amy__buf *out)
{
    int rc = amy__buf_appendf(out, head, text->domain, text->domain,
                              text->domain, text->user);

    if (rc == 0) {
        rc = write_aliases(text, out);
    }
    if (rc == 0) {
        rc = amy__buf_append_text(
            out, text->stage_test
                     ? "stage: test\n"
                     : "#stage: production    # test: closed to strangers\n");
    }
    if (rc == 0) {
        rc = amy__buf_append_text(out, served);
    }
    if (rc == 0) {
        rc = amy__buf_appendf(out, workers, text->wsgi);
    }
    if (rc == 0) {
        rc = amy__buf_append_text(out, routes);
    }
    if (rc == 0) {
        rc = amy__buf_append_text(out, data);
    }
    if (rc == 0) {
        rc = amy__buf_append_text(out, text->stage_test ? kept_by_test : kept);
    }
    return rc < 0 ? rc : amy__buf_append_text(out, releases);
}
