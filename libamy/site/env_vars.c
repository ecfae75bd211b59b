/* The environment of a site's workers as a value: made from what a shell left,
 * shared, looked up. Not for running the shell: env.c. */
#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "site/env.h"
#include "site/fields.h"

#include <string.h>

AMY_DEFINE_CLEANUP(struct amy__env *, amy__env_unref)

struct amy__env *
amy__env_ref(struct amy__env *env)
{
    env->refs++;
    return env;
}

/* Values may be passwords: they do not stay behind in freed memory. */
static void
wipe_vars(char **vars)
{
    for (size_t i = 0; vars != NULL && vars[i] != NULL; i++) {
        explicit_bzero(vars[i], strlen(vars[i]));
    }
    amy__texts_free(vars);
}

void
amy__env_unref(struct amy__env *env)
{
    if (env == NULL || --env->refs > 0) {
        return;
    }
    wipe_vars(env->vars);
    amy__free(env->repo_path);
    amy__free(env->venv_path);
    amy__free(env);
}

const char *
amy__env_get(const struct amy__env *env, const char *name)
{
    size_t n = strlen(name);

    for (size_t i = 0; env->vars[i] != NULL; i++) {
        if (strncmp(env->vars[i], name, n) == 0 && env->vars[i][n] == '=') {
            return env->vars[i] + n + 1;
        }
    }
    return NULL;
}

static bool
is_plain_name(struct amy__span name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool letter =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';

        if (!letter && (i == 0 || c < '0' || c > '9')) {
            return false;
        }
    }
    return name.n > 0;
}

static bool
is_wanted(struct amy__span name)
{
    static const char *const noise[] = {"_", "SHLVL", "PWD", "OLDPWD", "PS1"};

    for (size_t i = 0; i < sizeof(noise) / sizeof(noise[0]); i++) {
        if (amy__span_eq(name, amy__span_of(noise[i]))) {
            return false;
        }
    }
    return is_plain_name(name);
}

/* Cut one record; false at the end or when its NUL is missing. */
static bool
next_record(struct amy__span *rest, struct amy__span *ret)
{
    const char *end = rest->n == 0 ? NULL : memchr(rest->p, '\0', rest->n);

    if (end == NULL) {
        return false;
    }
    *ret = (struct amy__span){rest->p, (size_t)(end - rest->p)};
    rest->n -= ret->n + 1;
    rest->p = end + 1;
    return true;
}

static size_t
count_records(struct amy__span records)
{
    size_t count = 0;

    for (size_t i = 0; i < records.n; i++) {
        count += records.p[i] == '\0' ? 1 : 0;
    }
    return count;
}

static int
take_vars(struct amy__env *env, struct amy__span records, struct amy_error *err)
{
    struct amy__span record = {NULL, 0};
    size_t n = 0;

    while (next_record(&records, &record)) {
        const char *equals =
            record.n == 0 ? NULL : memchr(record.p, '=', record.n);
        struct amy__span name = record;

        if (equals == NULL) {
            return amy__err(err, AMY_EPARSE,
                            "the environment has a record without '='");
        }
        name.n = (size_t)(equals - record.p);
        if (!is_wanted(name)) {
            continue;
        }
        env->vars[n] = amy__strndup(record.p, record.n);
        if (env->vars[n++] == NULL) {
            return amy__err(err, AMY_ENOMEM, "keeping the environment");
        }
    }
    return records.n == 0 ? 0
                          : amy__err(err, AMY_EPARSE,
                                     "the environment ends in mid-record");
}

int
amy__env_from_records(struct amy__span records, const char *repo_path,
                      const char *venv_path, struct amy__env **ret_env,
                      struct amy_error *err)
{
    AMY_CLEANUP(amy__env_unref_p)
    struct amy__env *env = amy__calloc(1, sizeof(*env));
    int rc = 0;

    if (env == NULL) {
        return amy__err(err, AMY_ENOMEM, "keeping the environment");
    }
    env->refs = 1;
    env->vars = amy__calloc(count_records(records) + 1, sizeof(*env->vars));
    env->repo_path = amy__strdup(repo_path);
    env->venv_path = amy__strdup(venv_path);
    if (env->vars == NULL || env->repo_path == NULL || env->venv_path == NULL) {
        return amy__err(err, AMY_ENOMEM, "keeping the environment");
    }
    rc = take_vars(env, records, err);
    if (rc < 0) {
        return rc;
    }
    *ret_env = AMY_TAKE(env);
    return 0;
}
