/* Runs the command of site.yaml for each alarm that is on, until it ran. */
/* Not for what the webhook hears: hook.c. */
#include "core/alloc.h"
#include "core/clock.h"
#include "core/log.h"
#include "scheduler/internal.h"

#include <stdio.h>
#include <string.h>

static void
free_command(char **command)
{
    for (size_t i = 0; command != NULL && command[i] != NULL; i++) {
        amy__free(command[i]);
    }
    amy__free(command);
}

/* The command of site.yaml, with state and sentence behind it. */
static char **
make_command(char *const *words, const char *state, const char *message)
{
    char **command = amy__calloc(AMY__RUN_ARGS, sizeof(*command));
    size_t n = 0;
    bool done = command != NULL;

    for (; done && words[n] != NULL && n < AMY__RUN_ARGS - 3; n++) {
        command[n] = amy__strdup(words[n]);
        done = command[n] != NULL;
    }
    if (done) {
        command[n] = amy__strdup(state);
        command[n + 1] = command[n] == NULL ? NULL : amy__strdup(message);
        done = command[n] != NULL && command[n + 1] != NULL;
    }
    if (!done) {
        free_command(command);
        return NULL;
    }
    return command;
}

static bool
is_running(const struct amy__scheduler_site *site, enum amy__alarm_kind kind)
{
    for (const struct amy__run *run = site->runs; run != NULL;
         run = run->next) {
        if (!run->over && run->command != NULL &&
            strcmp(run->spec.why, amy__alarm_name(kind)) == 0) {
            return true;
        }
    }
    return false;
}

/* Again, further and further apart. */
static void
not_started(struct amy__scheduler_site *site, enum amy__alarm_kind kind,
            const char *why)
{
    struct amy_scheduler *scheduler = site->borrow_scheduler;
    struct amy__alarm *alarm = &site->alarms[kind];

    alarm->rerun_ms = amy__mono_ms(scheduler->borrow_clock) +
                      amy__alarm_wait_ms(alarm->unrun);
    alarm->unrun++;
    amy__log(&scheduler->log, AMY_LOG_ERROR,
             "an alarm's command cannot start site=%s state=%s try=%u "
             "reason=\"%s\"",
             site->domain, amy__alarm_name(kind), (unsigned)alarm->unrun, why);
}

static void
start(struct amy__scheduler_site *site, enum amy__alarm_kind kind)
{
    struct amy__job_spec spec;
    struct amy__run *run = NULL;
    struct amy_error err = AMY_ERROR_INIT;
    char **command =
        make_command(site->site->backup_alarm_command, amy__alarm_name(kind),
                     site->alarms[kind].message);

    amy__scheduler_spec(site, AMY__JOB_LIST, &spec);
    (void)snprintf(spec.why, sizeof(spec.why), "%s", amy__alarm_name(kind));
    if (command == NULL ||
        amy__run_start(site, &spec, command, &run, &err) < 0) {
        not_started(site, kind, err.msg);
    }
}

void
amy__scheduler_commands(struct amy__scheduler_site *site)
{
    int64_t now_ms = amy__mono_ms(site->borrow_scheduler->borrow_clock);

    if (site->site == NULL || site->site->backup_alarm_command == NULL) {
        return;
    }
    for (int i = 0; i < AMY__ALARM_COUNT; i++) {
        const struct amy__alarm *alarm = &site->alarms[i];

        if (alarm->on && !alarm->ran && now_ms >= alarm->rerun_ms &&
            !is_running(site, (enum amy__alarm_kind)i)) {
            start(site, (enum amy__alarm_kind)i);
        }
    }
}

/* One that we ended because we stop runs again after the restart. */
void
amy__scheduler_command_ended(struct amy__scheduler_site *site,
                             const struct amy__run *run)
{
    const struct amy_scheduler *scheduler = site->borrow_scheduler;

    for (int i = 0; i < AMY__ALARM_COUNT; i++) {
        enum amy__alarm_kind kind = (enum amy__alarm_kind)i;

        if (strcmp(run->spec.why, amy__alarm_name(kind)) != 0) {
            continue;
        }
        if (!run->started && !scheduler->stopping) {
            not_started(site, kind, run->message);
        } else if (run->code == 0 || !scheduler->stopping) {
            site->alarms[kind].ran = true;
            amy__scheduler_memory_note(site);
        }
    }
    if (run->started && run->code < 0) {
        amy__log(&scheduler->log, AMY_LOG_ERROR,
                 "an alarm's command failed site=%s state=%s reason=\"%s\"",
                 site->domain, run->spec.why, run->message);
    }
}
