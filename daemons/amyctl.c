/* amyctl: the table of its commands. */
/* Not for what they do: each is in its own ctl_*.c. */
#include "ctl.h"
#include "ctl_backup.h"
#include "ctl_deploy.h"
#include "ctl_doctor.h"
#include "ctl_enter.h"
#include "ctl_init.h"
#include "ctl_logs.h"
#include "ctl_refresh.h"
#include "ctl_site.h"
#include "ctl_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct ctl_command commands[] = {
    {"status", 0, 1, ctl_status, "status [SITE] [--json]",
     "sites, gates, workers, certificates, problems", NULL, false},
    {"maintenance", 2, 2, ctl_maintenance, "maintenance on|off|status SITE",
     "close a site with its page, open it again", NULL, false},
    {"reload", 0, 1, ctl_reload, "reload [SITE]",
     "new code and settings take over, or nothing changes", ctl_reload_options,
     false},
    {"restart", 1, 2, ctl_restart, "restart SITE [POOL]",
     "start the workers anew", NULL, false},
    {"backup", 2, 3, ctl_backup, "backup WHAT SITE [BACKUP]",
     "now, check, list, show, verify, restore, pin, unpin, accept, prune,\n"
     "                                   copy, fetch",
     ctl_backup_options, false},
    {"deploy", 1, 1, ctl_deploy, "deploy SITE [--ref REF] [--plan]",
     "the next release takes over, or nothing changes", ctl_deploy_options,
     false},
    {"rollback", 1, 1, ctl_rollback, "rollback SITE [--to RELEASE] [--plan]",
     "back to the release that served before", ctl_rollback_options, false},
    {"logs", 1, 1, ctl_logs, "logs SITE [-f] [-n N] [OPTION...]",
     "all logs of a site, old and packed ones too, by time", ctl_logs_options,
     false},
    {"refresh-test", 1, 1, ctl_refresh, "refresh-test SITE [--from SITE]",
     "another site's backup, scrubbed, in a test site's database",
     ctl_refresh_options, false},
    {"init", 1, 1, ctl_init, "init DOMAIN [OPTION...]",
     "the directory of a new site, its user, its page, its site.yaml",
     ctl_init_options, false},
    {"doctor", 0, 1, ctl_doctor, "doctor [SITE] [--json]",
     "what is wrong with this host, and what to do about it",
     ctl_doctor_options, false},
    {"run", 1, CTL_WORDS_MAX, ctl_enter, "run SITE [-- COMMAND...]",
     "a command, or a shell, as the site's workers run", NULL, true},
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

void
ctl_help(void)
{
    (void)printf("usage: amyctl [OPTION...] COMMAND\n\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        (void)printf("  %-32s %s\n", commands[i].usage, commands[i].help);
    }
    (void)printf(
        "\n"
        "  --run DIR    where the control sockets are"
        " [$RUNTIME_DIRECTORY, /run/amy]\n"
        "  --webapps DIR  where the sites are [/webapps]; for logs, init,\n"
        "               run, doctor\n"
        "  --json       status, logs, init: for programs; of a backup its progress, too,\n"
        "               an object a line\n"
        "  --only front|workers|backup\n"
        "               reload: that daemon alone, as its unit does\n"
        "  --dry-run    backup prune: only say what would go; init: what would come\n"
        "  --drill      backup verify: restore it into a throw-away cluster\n"
        "  --to NAME    backup restore: into this database, which is empty\n"
        "  --copy NAME, --from NAME\n"
        "               backup copy, verify, fetch, restore: the copy off the\n"
        "               host, as site.yaml calls it\n"
        "               deploy: a directory or a tar file to take it from\n"
        "  --ref REF    deploy: a branch, tag or commit [deploy.ref]\n"
        "  --plan       deploy, rollback: only print the steps\n"
        "  --recover    deploy: only mend what a killed one left\n"
        "  --forget     deploy: tell what cannot be mended, and leave it so\n"
        "  --if-changed deploy: nothing, where that commit serves already\n"
        "  --list       rollback: the releases that served\n"
        "  --from SITE, --set BACKUP, --scrub 'COMMAND'\n"
        "               refresh-test: whose backup, which one, what makes it\n"
        "               harmless [as site.yaml says, the newest verified]\n"
        "  --yes        refresh-test: do not ask\n"
        "  --for deploy backup now: the one before a deployment, if the site\n"
        "               wants one\n"
        "  --verdict V  backup now: fails below parsed, or restored\n"
        "  -f, --follow logs: go on with what is written\n"
        "  -n, --lines N\n"
        "               logs: the last N lines [all; 10 with -f]\n"
        "  --since WHEN, --until WHEN\n"
        "               logs: 30m, 2h, 1d12h (ago), 20:15, 2026-11-26,\n"
        "               '2026-11-26 20:15', 2026-11-26T20:15:00Z\n"
        "  --grep RE    logs: lines that match this extended regular expression,\n"
        "               and what continues them\n"
        "  --component LIST\n"
        "               logs: of access,error,workers,backup,deploy\n"
        "  --user NAME, --deployer NAME\n"
        "               init: the site's user [amy-DOMAIN], who owns repo/ [you]\n"
        "  --stage S, --wsgi MODULE:CALLABLE, --alias NAME,...\n"
        "               init: for its site.yaml [production,\n"
        "               config.wsgi:application, none]\n"
        "  --skip LIST  doctor: without these checks: clock,redis,dns-address ...\n"
        "  --root DIR   doctor: where etc/nginx, etc/cron.d ... are looked for [/]\n"
        "  --help       show this\n"
        "  --version    show the version\n\n"
        "--config FILE and --state DIR are as those of the daemons.\n\n"
        "exit: 0 done, 1 refused or failed, 2 not understood;\n"
        "of run: the command's, or 125 no site to run it in, 126 may not be run,\n"
        "127 no such command\n");
}

int
main(int argc, char **argv)
{
    const char *run = getenv("RUNTIME_DIRECTORY");
    const char *state = getenv("STATE_DIRECTORY");
    struct ctl ctl = {.run = run == NULL ? "/run/amy" : run,
                      .webapps = "/webapps",
                      .state = state == NULL ? "/var/lib/amy" : state};
    int used = 0;
    int code = 0;

    if (argc == 4 && strcmp(argv[1], "--doctor") == 0) {
        return ctl_doctor_answer(argv[2], argv[3]);
    }
    code = ctl_read_common(&ctl, argc, argv, &used);

    if (code >= 0) {
        return code;
    }
    text_begin(stdout);
    if (used >= argc) {
        return ctl_usage("what shall be done?", "");
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(argv[used], commands[i].name) == 0) {
            return ctl_run(&commands[i], &ctl, argc - used, argv + used);
        }
    }
    return ctl_usage("there is no command ", argv[used]);
}
