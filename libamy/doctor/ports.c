/* Looks who listens on the ports of amy-front. */
/* Not for judging: judge_host.c. */
#include "core/buf.h"
#include "core/cleanup.h"
#include "core/files.h"
#include "doctor/internal.h"
#include "doctor/judge.h"
#include "doctor/proc.h"
#include "net/address.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TABLE_MAX ((size_t)16 * 1024 * 1024)
#define LISTEN_STATE "0A" /* TCP_LISTEN of the kernel's */
#define FIELDS 10

/* "  0: 00000000:01BB 00000000:0000 0A ..." by blanks: local address is the
 * second, the state the fourth, the inode the tenth field. */
static bool
split(struct amy__span line, struct amy__span fields[FIELDS])
{
    size_t n = 0;
    struct amy__span word = {NULL, 0};

    while (n < FIELDS && amy__span_split(&line, ' ', &word)) {
        if (word.n > 0) {
            fields[n++] = word;
        }
    }
    return n == FIELDS;
}

uint64_t
amy__tcp_listener(struct amy__span text, unsigned port)
{
    struct amy__span line = {NULL, 0};
    struct amy__span fields[FIELDS];
    char wanted[8];
    uint64_t inode = 0;

    (void)snprintf(wanted, sizeof(wanted), ":%04X", port);
    while (amy__span_split(&text, '\n', &line)) {
        if (split(line, fields) &&
            amy__span_ends(fields[1], amy__span_of(wanted)) &&
            amy__span_eq(fields[3], AMY_SPAN(LISTEN_STATE)) &&
            amy__parse_u64(fields[9], UINT64_MAX, &inode)) {
            return inode;
        }
    }
    return 0;
}

/* ---- whose it is ---- */

static bool
is_link_to(int fd, const char *name, const char *wanted)
{
    char link[64] = "";
    ssize_t n = readlinkat(fd, name, link, sizeof(link) - 1);

    return n > 0 && strcmp(link, wanted) == 0;
}

static bool
has_open(int proc_fd, const char *pid, const char *wanted)
{
    char path[300];
    const struct dirent *entry = NULL;
    bool found = false;
    DIR *dir = NULL;
    int fd = -1;

    (void)snprintf(path, sizeof(path), "%s/fd", pid);
    fd = openat(proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    dir = fd < 0 ? NULL : fdopendir(fd);
    while (dir != NULL && !found) {
        entry = readdir(dir);
        if (entry == NULL) {
            break;
        }
        found = is_link_to(fd, entry->d_name, wanted);
    }
    if (dir != NULL) {
        (void)closedir(dir);
    } else {
        amy__close(&fd);
    }
    return found;
}

static void
read_name(int proc_fd, const char *pid, char ret_name[32])
{
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf text = {NULL, 0, 0, 0};
    char path[300];

    (void)snprintf(path, sizeof(path), "%s/comm", pid);
    amy__buf_init(&text, 64);
    ret_name[0] = '\0';
    if (amy__read_file_at(proc_fd, path, 63, &text, NULL, NULL) == 0 &&
        text.len > 0) {
        (void)snprintf(ret_name, 32, "%.*s", (int)text.len - 1, text.data);
    }
}

bool
amy__proc_owner(uint64_t inode, char ret_name[32])
{
    DIR *proc = opendir("/proc");
    const struct dirent *entry = NULL;
    char wanted[48];
    bool found = false;

    (void)snprintf(wanted, sizeof(wanted), "socket:[%" PRIu64 "]", inode);
    while (proc != NULL && !found) {
        entry = readdir(proc);
        if (entry == NULL) {
            break;
        }
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
            has_open(dirfd(proc), entry->d_name, wanted)) {
            read_name(dirfd(proc), entry->d_name, ret_name);
            found = true;
        }
    }
    if (proc != NULL) {
        (void)closedir(proc);
    }
    return found;
}

static uint64_t
find_listener(unsigned port)
{
    static const char *const tables[] = {"/proc/net/tcp", "/proc/net/tcp6"};
    uint64_t inode = 0;

    for (size_t i = 0; inode == 0 && i < 2; i++) {
        struct amy__buf text;

        amy__buf_init(&text, TABLE_MAX);
        if (amy__read_file_at(AT_FDCWD, tables[i], TABLE_MAX, &text, NULL,
                              NULL) == 0) {
            inode = amy__tcp_listener(amy__buf_span(&text), port);
        }
        amy__buf_clear(&text);
    }
    return inode;
}

static void
look_at(struct amy__doctor *doctor, const struct amy__address *address)
{
    char name[32] = "";
    struct amy__port_facts facts = {.port = amy__address_port(address),
                                    .front_runs = doctor->front_runs};
    uint64_t inode = facts.port == 0 ? 0 : find_listener(facts.port);

    if (inode > 0) {
        (void)amy__proc_owner(inode, name); /* or "": not ours to see */
        facts.program = name;
    }
    amy__judge_port(&facts, &doctor->findings);
}

void
amy__doctor_ports(struct amy__doctor *doctor)
{
    const struct amy__settings *settings = doctor->settings;

    for (size_t i = 0; i < settings->https_count; i++) {
        look_at(doctor, &settings->https[i]);
    }
    for (size_t i = 0; i < settings->http_count; i++) {
        look_at(doctor, &settings->http[i]);
    }
}
