/* The keys of `deploy`, and the shapes of their texts. */
/* Not for what holds between them: rules_deploy.c. */
#include "core/error.h"
#include "core/str.h"
#include "site/spec.h"

#include <stddef.h>
#include <string.h>

#define KIB INT64_C(1024)
#define TIB (KIB * KIB * KIB * KIB)
#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

#define SITE(member) offsetof(struct amy__site, deploy.member)
#define COMMAND(member) offsetof(struct amy__deploy_command, member)
#define ROW(name, kind_, offset_)                                              \
    .key = (name), .kind = AMY__FIELD_##kind_, .offset = (offset_)
#define END                                                                    \
    {                                                                          \
        .key = NULL                                                            \
    }

static bool
is_plain(struct amy__span text, size_t max)
{
    if (text.n == 0 || text.n > max || text.p[0] == '-') {
        return false;
    }
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] <= ' ' || text.p[i] > '~') {
            return false;
        }
    }
    return true;
}

/* Between "://" and the next '/'. */
static struct amy__span
authority_of(struct amy__span address)
{
    static const char mark[] = "://";
    const char *at = memmem(address.p, address.n, mark, 3);
    struct amy__span part = {NULL, 0};
    struct amy__span rest = {NULL, 0};

    if (at != NULL) {
        rest.p = at + 3;
        rest.n = address.n - (size_t)(rest.p - address.p);
        (void)amy__span_split(&rest, '/', &part);
    }
    return part;
}

/* Has it a password, which anybody could read here and in the list of
 * processes? A user's name alone is none. */
static bool
has_password(struct amy__span address)
{
    struct amy__span authority = authority_of(address);
    const char *at =
        authority.n == 0 ? NULL : memchr(authority.p, '@', authority.n);

    return at != NULL &&
           memchr(authority.p, ':', (size_t)(at - authority.p)) != NULL;
}

/* What git may be told: nothing that has it run a program (ext::), and nothing
 * that looks like an option. */
static int
check_source(struct amy__span text, struct amy_error *err)
{
    static const char *const starts[] = {"/", "https://", "http://", "ssh://",
                                         "file:///"};
    const char *colon = text.n == 0 ? NULL : memchr(text.p, ':', text.n);
    const char *at = text.n == 0 ? NULL : memchr(text.p, '@', text.n);

    if (!is_plain(text, 1000)) {
        return amy__err(err, AMY_EINVAL, "is no address");
    }
    if (has_password(text)) {
        return amy__err(err, AMY_EINVAL, "has a password");
    }
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        if (amy__span_starts(text, amy__span_of(starts[i]))) {
            return 0;
        }
    }
    /* git@example.org:shop.git */
    if (at != NULL && colon != NULL && at < colon &&
        (colon + 1 == text.p + text.n || colon[1] != ':')) {
        return 0;
    }
    return amy__err(err, AMY_EINVAL, "is no address of git");
}

static int
check_ref(struct amy__span text, struct amy_error *err)
{
    bool good = is_plain(text, 200) && memmem(text.p, text.n, "..", 2) == NULL;

    for (size_t i = 0; good && i < text.n; i++) {
        good = strchr("~^:?*[\\", text.p[i]) == NULL;
    }
    return good ? 0 : amy__err(err, AMY_EINVAL, "is no branch, tag or commit");
}

static int
check_program(struct amy__span text, struct amy_error *err)
{
    return amy__span_starts(text, AMY_SPAN("/")) && text.n < 256
               ? 0
               : amy__err(err, AMY_EINVAL, "does not begin with '/'");
}

static const struct amy__word gates[] = {{"auto", AMY__DEPLOY_GATE_AUTO},
                                         {"none", AMY__DEPLOY_GATE_NONE},
                                         {"closed", AMY__DEPLOY_GATE_CLOSED},
                                         {NULL, 0}};

static const struct amy__word verdicts[] = {
    {"parsed", 0}, {"restored", 1}, {NULL, 0}};

static const struct amy__word users[] = {{"deployer", AMY__DEPLOY_AS_DEPLOYER},
                                         {"site", AMY__DEPLOY_AS_SITE},
                                         {NULL, 0}};

static const struct amy__field rq_fields[] = {
    {ROW("suspend", BOOL, SITE(rq_suspend)), .standard = "false"},
    {ROW("drain", DURATION, SITE(rq_drain_ms)), .standard = "10m", .min = 0,
     .max = DAY},
    END};

static const struct amy__field command_fields[] = {
    {ROW("name", TEXT, COMMAND(name)),
     .allowed = "a-z, 0-9, '-' and '_', at most 32 characters",
     .check = amy__site_check_pool},
    {ROW("run", TEXTS, COMMAND(run)), .flags = AMY__FIELD_SOME,
     .allowed = "a program and its arguments, as a list", .max = 64},
    {ROW("user", WORD, COMMAND(who)), .standard = "deployer", .words = users},
    {ROW("timeout", DURATION, COMMAND(timeout_ms)), .min = SECOND, .max = DAY},
    END};

const struct amy__field amy__site_deploy_fields[] = {
    {ROW("source", TEXT, SITE(source)),
     .allowed = "where git finds it: https://..., ssh://..., "
                "user@host:path or a directory from '/' on; no password",
     .check = check_source},
    {ROW("ref", TEXT, SITE(ref)), .standard = "main",
     .allowed = "a branch, a tag or a commit", .check = check_ref},
    {ROW("user", TEXT, SITE(user)),
     .allowed = "a system user, not root: who fetches and builds",
     .check = amy__site_check_user},
    {ROW("gate", WORD, SITE(gate)), .standard = "auto", .words = gates},
    {ROW("keep", COUNT, SITE(keep)), .standard = "5", .min = 2, .max = 1000},
    {ROW("disk", SIZE, SITE(disk_bytes)), .standard = "512MiB", .min = 0,
     .max = TIB},
    {ROW("verdict", BOOL, SITE(drill)), .standard = "parsed",
     .words = verdicts},
    {ROW("python", TEXT, SITE(python)), .standard = "/usr/bin/python3",
     .allowed = "the path of a python3", .check = check_program},
    {ROW("requirements", TEXT, SITE(requirements)),
     .standard = "requirements.txt", .allowed = "a file beneath the release",
     .check = amy__site_check_files},
    {ROW("lock_timeout", DURATION, SITE(lock_timeout_ms)), .standard = "5s",
     .min = 100, .max = HOUR},
    {ROW("lock_tries", COUNT, SITE(lock_tries)), .standard = "3", .min = 1,
     .max = 100},
    {.key = "rq", .kind = AMY__FIELD_MAP, .fields = rq_fields},
    {ROW("steps", MAPS, SITE(steps)), .count_offset = SITE(step_count),
     .item_size = sizeof(struct amy__deploy_command),
     .max = AMY__DEPLOY_COMMANDS_MAX, .fields = command_fields},
    {ROW("before", MAPS, SITE(before)), .count_offset = SITE(before_count),
     .item_size = sizeof(struct amy__deploy_command),
     .max = AMY__DEPLOY_COMMANDS_MAX, .fields = command_fields},
    {ROW("after", MAPS, SITE(after)), .count_offset = SITE(after_count),
     .item_size = sizeof(struct amy__deploy_command),
     .max = AMY__DEPLOY_COMMANDS_MAX, .fields = command_fields},
    END};
