/* Formats one line for the caller's sink, and holds back floods of lines. */
/* Not a sink: the library prints nothing by itself. */
#include "core/log.h"

#include "core/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LINE_SIZE 1025 /* 1 KiB and a NUL */

void
amy__log(const struct amy_log *log, enum amy_log_level level, const char *fmt,
         ...)
{
    char line[LINE_SIZE] = "";
    uint32_t wanted = AMY_LOG_INFO;
    va_list args;
    int n = 0;

    if (log == NULL || log->fn == NULL) {
        return;
    }
    if (log->level != 0) {
        wanted = log->level;
    }
    if ((uint32_t)level > wanted) {
        return;
    }
    va_start(args, fmt);
    n = vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    if (n >= (int)sizeof(line)) {
        memcpy(line + sizeof(line) - 4, "...", 4);
    }
    /* The promise of <amy/log.h>: one line, whatever a message carries. */
    for (char *p = line; *p != '\0'; p++) {
        if (*p == '\n' || *p == '\r') {
            *p = ' ';
        }
    }
    log->fn(level, line, log->user);
}

const char *
amy_log_level_name(enum amy_log_level level)
{
    switch (level) {
    case AMY_LOG_ERROR:
        return "error";
    case AMY_LOG_WARN:
        return "warn";
    case AMY_LOG_NOTICE:
        return "notice";
    case AMY_LOG_INFO:
        return "info";
    case AMY_LOG_DEBUG:
        return "debug";
    default:
        return "?";
    }
}

struct amy_log
amy__log_copy(const struct amy_log *log)
{
    struct amy_log copy = {.struct_size = sizeof(copy)};

    if (log != NULL) {
        AMY_ASSERT(log->struct_size >= offsetof(struct amy_log, level));
        memcpy(&copy, log,
               log->struct_size < sizeof(copy) ? log->struct_size
                                               : sizeof(copy));
        copy.struct_size = sizeof(copy);
    }
    return copy;
}

bool
amy__log_allow(struct amy__log_limit *limit, uint32_t burst, int64_t per_ms,
               int64_t now_ms, uint32_t *ret_swallowed)
{
    if (now_ms - limit->window_start_ms >= per_ms) {
        limit->window_start_ms = now_ms;
        limit->in_window = 0;
    }
    if (limit->in_window >= burst) {
        limit->swallowed++;
        return false;
    }
    limit->in_window++;
    *ret_swallowed = limit->swallowed;
    limit->swallowed = 0;
    return true;
}
