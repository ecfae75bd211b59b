/* Hands findings to whoever asked for them. */
/* Not for judging. */
#include "doctor/finding.h"

#include "core/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A word of a server, or of a file that anybody may write, goes to a terminal
 * in the end. */
static void
tame(char *text)
{
    for (char *at = text; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7F) {
            *at = '?';
        }
    }
}

void
amy__finding_is(struct amy__findings *findings, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(findings->what, sizeof(findings->what), fmt, args);
    va_end(args);
    tame(findings->what);
}

bool
amy__finding_is_skipped(const struct amy__findings *findings, const char *check)
{
    struct amy__span rest = amy__span_of(findings->borrow_skip);
    struct amy__span word = {NULL, 0};

    while (amy__span_split(&rest, ',', &word)) {
        if (word.n > 0 && strncmp(check, word.p, word.n) == 0 &&
            (check[word.n] == '\0' || check[word.n] == '-')) {
            return true;
        }
    }
    return false;
}

void
amy__finding_tell(struct amy__findings *findings,
                  enum amy_doctor_severity severity, const char *check,
                  const char *fmt, ...)
{
    char todo[AMY__FINDING_SIZE];
    struct amy_doctor_finding finding = {
        .struct_size = sizeof(finding),
        .severity = (uint32_t)severity,
        .site = findings->borrow_site,
        .check = check,
        .what = findings->what,
        .todo = todo,
    };
    va_list args;

    if (amy__finding_is_skipped(findings, check)) {
        return;
    }
    va_start(args, fmt);
    (void)vsnprintf(todo, sizeof(todo), fmt, args);
    va_end(args);
    tame(todo);
    findings->weight += severity >= AMY_DOCTOR_WARNING ? 1 : 0;
    findings->fn(&finding, findings->user);
}
