/* Make a verified backup of a database in DIRECTORY/DB_backups, and show how
 * far it is meanwhile.
 * Not for a schedule, or as another user: that is amy-backup's.
 *
 *   cc backup.c $(pkg-config --cflags --libs amy jansson) -o backup
 *   DATABASE_URL=postgresql:///example ./backup DIRECTORY DATABASE_URL
 */
#define _POSIX_C_SOURCE 200809L
#include <amy/backup.h>

#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SITE "example"

/* The job takes as long as it takes: it has a process of its own, whose input
 * is the spec and whose output are the events. */
static pid_t
start_job(const char *directory, int spec_fd, int event_fd)
{
    struct amy_backup_job_options opts = AMY_BACKUP_JOB_OPTIONS_INIT;
    pid_t pid = fork();

    if (pid != 0) {
        return pid;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    opts.directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    opts.spec_fd = spec_fd;
    opts.event_fd = event_fd;
    /* What failed is the last event. */
    _exit(amy_backup_job(&opts, NULL) < 0 ? 1 : 0);
}

/* An empty file without a name, for what is written and then read. */
static int
write_spec(const char *from)
{
    json_t *spec = json_pack("{s:s, s:s, s:s}", "action", "dump", "site", SITE,
                             "from", from);
    FILE *file = tmpfile();
    int fd = -1;

    if (spec != NULL && file != NULL && json_dumpf(spec, file, 0) == 0 &&
        fflush(file) == 0 && fseek(file, 0, SEEK_SET) == 0) {
        fd = dup(fileno(file));
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    json_decref(spec);
    return fd;
}

static const char *
text_of(const json_t *event, const char *key)
{
    const char *text = json_string_value(json_object_get(event, key));

    return text == NULL ? "" : text;
}

static void
tell(const json_t *event)
{
    const char *what = text_of(event, "event");

    if (strcmp(what, "progress") == 0) {
        printf("%s: %lld bytes\n", text_of(event, "stage"),
               (long long)json_integer_value(json_object_get(event, "bytes")));
    } else if (strcmp(what, "failed") == 0) {
        printf("failed: %s (%s)\n", text_of(event, "message"),
               amy_strerror(
                   (int)json_integer_value(json_object_get(event, "code"))));
    } else {
        printf("%s\n", what);
    }
    (void)fflush(stdout);
}

static void
follow(int event_fd)
{
    char line[65536];
    FILE *events = fdopen(event_fd, "r");

    while (events != NULL && fgets(line, sizeof(line), events) != NULL) {
        json_t *event = json_loads(line, 0, NULL);

        tell(event);
        json_decref(event);
    }
    if (events != NULL) {
        (void)fclose(events);
    }
}

int
main(int argc, char **argv)
{
    int events[2] = {-1, -1};
    int spec_fd = -1;
    int status = 1;
    pid_t pid = 0;

    if (argc != 3) {
        (void)fprintf(stderr, "usage: backup DIRECTORY VARIABLE\n");
        return 2;
    }
    spec_fd = write_spec(argv[2]);
    if (spec_fd < 0 || pipe(events) != 0) {
        perror("backup");
        return 1;
    }
    pid = start_job(argv[1], spec_fd, events[1]);
    (void)close(events[1]);
    (void)close(spec_fd);
    follow(events[0]);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) {
        return 1;
    }
    return WEXITSTATUS(status);
}
