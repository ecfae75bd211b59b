/* Puts together what a program in a site finds in its environment. */
/* Not for what the site's own files say: site/env.c. */
#include "enter/vars.h"

#include "core/alloc.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Of ours: how to draw. All else is the site's, so that a program does at three
 * in the morning what it did when a person tried it. */
static const char *const kept[] = {"TERM", "COLORTERM", "NO_COLOR"};
#define KEPT_COUNT (sizeof(kept) / sizeof(kept[0]))
#define OWN_COUNT 3 /* AMY_SITE, PYTHONUNBUFFERED, PS1 */
#define OWN_SIZE 320

static const char *
find(char *const *vars, const char *name)
{
    size_t n = strlen(name);

    for (size_t i = 0; vars != NULL && vars[i] != NULL; i++) {
        if (strncmp(vars[i], name, n) == 0 && vars[i][n] == '=') {
            return vars[i];
        }
    }
    return NULL;
}

/* One copied text more; false: memory is out. */
static bool __attribute__((format(printf, 3, 4)))
add(char **vars, size_t *n, const char *fmt, ...)
{
    char text[OWN_SIZE];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    vars[*n] = amy__strdup(text);
    return vars[(*n)++] != NULL;
}

static bool
copy(char **vars, size_t *n, const char *var)
{
    vars[*n] = amy__strdup(var);
    return vars[(*n)++] != NULL;
}

char **
amy__enter_vars(const struct amy__env *env, const char *domain,
                char *const *ours, bool shell)
{
    size_t count = 0;
    size_t n = 0;
    char **vars = NULL;
    bool good = true;

    while (env->vars[count] != NULL) {
        count++;
    }
    vars = amy__calloc(count + KEPT_COUNT + OWN_COUNT + 1, sizeof(*vars));
    if (vars == NULL) {
        return NULL;
    }
    for (size_t i = 0; good && i < count; i++) {
        good = copy(vars, &n, env->vars[i]);
    }
    for (size_t i = 0; good && i < KEPT_COUNT; i++) {
        const char *var = find(ours, kept[i]);

        if (var != NULL && find(env->vars, kept[i]) == NULL) {
            good = copy(vars, &n, var);
        }
    }
    good = good && add(vars, &n, "AMY_SITE=%s", domain);
    if (good && find(env->vars, "PYTHONUNBUFFERED") == NULL) {
        good = add(vars, &n, "PYTHONUNBUFFERED=1");
    }
    if (good && shell) {
        good = add(vars, &n, "PS1=(%s) \\w\\$ ", domain);
    }
    if (!good) {
        amy__enter_vars_free(vars);
        return NULL;
    }
    return vars;
}

void
amy__enter_vars_free(char **vars)
{
    for (size_t i = 0; vars != NULL && vars[i] != NULL; i++) {
        explicit_bzero(vars[i], strlen(vars[i]));
        amy__free(vars[i]);
    }
    amy__free(vars);
}
