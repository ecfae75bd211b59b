/* Judges what a site's Redis and its database answered. */
/* Not for asking: answer.c does, as the site's user. */
#include "core/str.h"
#include "doctor/judge.h"

#include <string.h>

static bool
is(const struct amy__json *json, const char *key, const char *text)
{
    return strcmp(amy__json_get_text(json, key, ""), text) == 0;
}

/* ---- Redis ---- */

static void
judge_reach(const struct amy__json *server, struct amy__findings *findings)
{
    if (is(server, "reach", "open")) {
        amy__finding_is(findings, "Redis can be reached by other hosts, and "
                                  "asks for no password");
        amy__finding_tell(findings, AMY_DOCTOR_ERROR, "redis-open",
                          "redis.conf: `bind 127.0.0.1 -::1` (or "
                          "`requirepass`, and protected-mode yes); restart it");
    } else if (is(server, "reach", "unknown")) {
        amy__finding_is(findings, "Redis does not let us see who may reach it");
        amy__finding_tell(findings, AMY_DOCTOR_UNKNOWN, "redis-reach",
                          "look at `bind` and `requirepass` yourself");
    }
}

static void
judge_memory(const struct amy__json *server, struct amy__findings *findings)
{
    const char *policy = amy__json_get_text(server, "memory_policy", "");

    if (policy[0] == '\0' || strcmp(policy, "noeviction") == 0) {
        return;
    }
    amy__finding_is(findings,
                    "Redis holds queues of rq with maxmemory-policy "
                    "%s: when its memory is full, jobs vanish",
                    policy);
    amy__finding_tell(findings, AMY_DOCTOR_ERROR, "redis-policy",
                      "redis.conf: `maxmemory-policy noeviction`; keep a cache "
                      "in a Redis of its own");
}

static void
judge_saving(const struct amy__json *server, bool queues,
             struct amy__findings *findings)
{
    if (!amy__json_get_bool(server, "last_save_ok", true) ||
        !amy__json_get_bool(server, "aof_ok", true)) {
        amy__finding_is(findings, "Redis could not write its data to disk the "
                                  "last time it tried");
        amy__finding_tell(
            findings, AMY_DOCTOR_ERROR, "redis-save",
            "its log says why: room on the disk, rights of `dir`, "
            "vm.overcommit_memory");
    }
    if (queues && !amy__json_get_bool(server, "rdb", true) &&
        !amy__json_get_bool(server, "aof", true)) {
        amy__finding_is(findings, "Redis holds queues of rq and writes nothing "
                                  "to disk: a restart forgets all jobs");
        amy__finding_tell(findings, AMY_DOCTOR_WARNING, "redis-volatile",
                          "redis.conf: `appendonly yes`, or a `save` line");
    }
}

void
amy__judge_redis(const struct amy__json *report, const char *name, bool queues,
                 struct amy__findings *findings)
{
    const char *error = amy__json_get_text(report, "error", NULL);
    const struct amy__json *server = amy__json_get(report, "server");

    if (error != NULL || server == NULL) {
        amy__finding_is(findings, "the Redis of %s does not answer: %s", name,
                        error == NULL ? "nothing was said" : error);
        amy__finding_tell(findings, AMY_DOCTOR_ERROR, "redis-answer",
                          "systemctl status redis-server; does %s of "
                          "postactivate lead to it?",
                          name);
        return;
    }
    queues = queues || amy__json_count(amy__json_get(report, "queues")) > 0;
    judge_reach(server, findings);
    if (queues) {
        judge_memory(server, findings);
    }
    judge_saving(server, queues, findings);
}

/* ---- PostgreSQL ---- */

static bool
is_rds(const char *host)
{
    return amy__span_ends(amy__span_of(host), AMY_SPAN(".rds.amazonaws.com")) ||
           amy__span_ends(amy__span_of(host),
                          AMY_SPAN(".rds.amazonaws.com.cn"));
}

/* Does it stay on this host? A socket's directory begins with a slash. */
static bool
is_local(const char *host)
{
    return host[0] == '\0' || host[0] == '/' || host[0] == '@' ||
           strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
           strncmp(host, "127.", 4) == 0;
}

static void
tell_how_to_verify(struct amy__findings *findings, const char *host,
                   enum amy_doctor_severity severity, const char *check)
{
    if (is_rds(host)) {
        amy__finding_tell(
            findings, severity, check,
            "fetch https://truststore.pki.rds.amazonaws.com/global/"
            "global-bundle.pem and add sslmode=verify-full and "
            "sslrootcert=FILE to the URL");
    } else {
        amy__finding_tell(findings, severity, check,
                          "add sslmode=verify-full and sslrootcert=FILE (the "
                          "CA of its certificate) to the URL");
    }
}

static void
judge_tls(const struct amy__json *report, struct amy__findings *findings)
{
    const char *host = amy__json_get_text(report, "host", "");
    const char *mode = amy__json_get_text(report, "sslmode", "");

    if (is_local(host)) {
        return;
    }
    if (!amy__json_get_bool(report, "tls", false)) {
        amy__finding_is(findings,
                        "the database at %s is asked without TLS: "
                        "who is on the way reads and changes everything",
                        host);
        tell_how_to_verify(findings, host, AMY_DOCTOR_ERROR, "postgres-tls");
    } else if (strcmp(mode, "verify-full") != 0) {
        amy__finding_is(findings,
                        "the database at %s is asked with sslmode "
                        "%s: anybody on the way can pose as it",
                        host, mode[0] == '\0' ? "prefer" : mode);
        tell_how_to_verify(findings, host, AMY_DOCTOR_WARNING,
                           "postgres-verify");
    }
}

void
amy__judge_database(const struct amy__json *report, const char *from,
                    struct amy__findings *findings)
{
    const char *error = amy__json_get_text(report, "error", NULL);
    const char *dump = amy__json_get_text(report, "pg_dump_error", NULL);

    if (error != NULL) {
        amy__finding_is(findings, "the database of %s does not answer: %s",
                        from, error);
        amy__finding_tell(
            findings, AMY_DOCTOR_ERROR, "postgres-answer",
            "does %s of postactivate lead to it, and may its role "
            "connect from here?",
            from);
        return;
    }
    judge_tls(report, findings);
    if (dump != NULL) {
        amy__finding_is(findings, "no backup can be made: %s", dump);
        amy__finding_tell(findings, AMY_DOCTOR_ERROR, "postgres-dump",
                          "install a postgresql-client as new as the server "
                          "(%s)",
                          amy__json_get_text(report, "server", "unknown"));
    }
}
