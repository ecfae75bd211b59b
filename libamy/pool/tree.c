/* Walking down from a worker through /proc/PID/task/TID/children. */
/* Not for processes of others: nothing here looks at the whole of /proc. */
#include "pool/tree.h"

#include "core/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WALK_MAX 512
#define STAT_BYTES 1024
#define CHILDREN_BYTES 8192

/* Fields of proc(5) behind the name, counted from 0. */
#define FIELD_STATE 0
#define FIELD_GROUP 2
#define FIELD_START 19
#define FIELD_RSS 21

bool
amy__process_parse(struct amy__span stat, struct amy__process *ret)
{
    struct amy__process found = {0};
    struct amy__span word = {0};
    struct amy__span rest = stat;
    const char *name_end = stat.n == 0 ? NULL : memrchr(stat.p, ')', stat.n);
    uint64_t value = 0;

    /* The name is the process' own choice, parentheses and all. */
    if (name_end == NULL || !amy__span_split(&rest, ' ', &word) ||
        !amy__parse_u64(word, INT32_MAX, &value)) {
        return false;
    }
    found.pid = (pid_t)value;
    rest.n = (size_t)(stat.p + stat.n - name_end) - 1;
    rest.p = name_end + 1;
    rest = amy__span_trim(rest);
    for (int field = 0; field <= FIELD_RSS; field++) {
        bool wanted =
            field == FIELD_GROUP || field == FIELD_START || field == FIELD_RSS;

        if (!amy__span_split(&rest, ' ', &word) ||
            (wanted && !amy__parse_u64(word, UINT64_MAX, &value))) {
            return false;
        }
        if (field == FIELD_STATE) {
            found.ended = amy__span_eq(word, AMY_SPAN("Z")) ||
                          amy__span_eq(word, AMY_SPAN("X"));
        } else if (field == FIELD_GROUP) {
            found.group = (pid_t)value;
        } else if (field == FIELD_START) {
            found.start = value;
        } else if (field == FIELD_RSS) {
            found.rss_pages = value;
        }
    }
    *ret = found;
    return true;
}

/* Up to size bytes of a file of /proc. */
static size_t
read_proc(const char *path, char *buf, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t used = 0;

    if (fd < 0) {
        return 0; /* it has ended */
    }
    while (used < size) {
        ssize_t n = read(fd, buf + used, size - used);

        if (n <= 0) {
            break;
        }
        used += (size_t)n;
    }
    amy__close(&fd);
    return used;
}

bool
amy__process_read(pid_t pid, struct amy__process *ret)
{
    char path[64] = "";
    char stat[STAT_BYTES];
    size_t n = 0;

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    n = read_proc(path, stat, sizeof(stat));
    if (n > 0 && stat[n - 1] == '\n') {
        n--;
    }
    return amy__process_parse((struct amy__span){stat, n}, ret) && !ret->ended;
}

void
amy__process_kill(const struct amy__process *process)
{
    struct amy__process now = {0};
    int pidfd = (int)syscall(SYS_pidfd_open, process->pid, 0U);

    /* Looked at after it is held, so that the number cannot change hands
     * between the two. */
    if (pidfd >= 0 && amy__process_read(process->pid, &now) &&
        now.start == process->start) {
        (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0U);
    }
    amy__close(&pidfd);
}

/* Breadth first: pids found, and how far they have been looked at. */
struct walk {
    pid_t pids[WALK_MAX];
    size_t count;
};

static void
add_children_of_thread(struct walk *walk, pid_t pid, const char *thread)
{
    char path[320] = "";
    char text[CHILDREN_BYTES];
    struct amy__span word = {0};
    struct amy__span rest = {text, 0};

    (void)snprintf(path, sizeof(path), "/proc/%d/task/%s/children", (int)pid,
                   thread);
    rest.n = read_proc(path, text, sizeof(text));
    while (rest.n > 0 && amy__span_split(&rest, ' ', &word)) {
        uint64_t child = 0;

        if (walk->count < WALK_MAX && amy__parse_u64(word, INT32_MAX, &child)) {
            walk->pids[walk->count++] = (pid_t)child;
        }
    }
}

static void
add_children(struct walk *walk, pid_t pid)
{
    char path[64] = "";
    DIR *tasks = NULL;
    const struct dirent *entry = NULL;

    (void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    tasks = opendir(path);
    if (tasks == NULL) {
        return;
    }
    /* A child belongs to the thread that forked it. */
    for (entry = readdir(tasks); entry != NULL; entry = readdir(tasks)) {
        if (entry->d_name[0] != '.') {
            add_children_of_thread(walk, pid, entry->d_name);
        }
    }
    (void)closedir(tasks);
}

static bool
is_noted(const struct amy__strays *strays, const struct amy__process *process)
{
    for (size_t i = 0; i < strays->count; i++) {
        if (strays->list[i].pid == process->pid &&
            strays->list[i].start == process->start) {
            return true;
        }
    }
    return false;
}

static void
forget_ended(struct amy__strays *strays)
{
    size_t kept = 0;

    for (size_t i = 0; i < strays->count; i++) {
        struct amy__process now = {0};

        if (amy__process_read(strays->list[i].pid, &now) &&
            now.start == strays->list[i].start) {
            strays->list[kept++] = strays->list[i];
        }
    }
    strays->count = kept;
}

/* Strays are those below `root` that are not in `group`. */
static uint64_t
walk_down(struct amy__strays *strays, pid_t root, pid_t group)
{
    struct walk walk = {.pids = {root}, .count = 1};
    uint64_t pages = 0;

    for (size_t i = 0; i < walk.count; i++) {
        struct amy__process process = {0};

        if (!amy__process_read(walk.pids[i], &process)) {
            continue;
        }
        pages += process.rss_pages;
        if (process.group != group && strays->count < AMY__STRAYS_MAX &&
            !is_noted(strays, &process)) {
            strays->list[strays->count++] = process;
        }
        add_children(&walk, walk.pids[i]);
    }
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t
amy__strays_look(struct amy__strays *strays, pid_t leader)
{
    forget_ended(strays);
    return walk_down(strays, leader, leader);
}

void
amy__strays_kill(struct amy__strays *strays, pid_t leader)
{
    /* What a stray started since is found below it, and grows the list. */
    for (size_t i = 0; i < strays->count; i++) {
        (void)walk_down(strays, strays->list[i].pid, leader);
        amy__process_kill(&strays->list[i]);
    }
    strays->count = 0;
}
