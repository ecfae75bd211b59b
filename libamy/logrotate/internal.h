/* What the files of the rotator share. Nothing outside this room includes it.
 */
#ifndef AMY_LOGROTATE_INTERNAL_H
#define AMY_LOGROTATE_INTERNAL_H

#include <amy/logrotate.h>

#include "logrotate/pack.h"
#include "logrotate/scan.h"
#include "logrotate/turn.h"

#include <sys/stat.h>
#include <sys/types.h>

#define AMY__LOGROTATE_PROBLEM 256
/* Files that wait to be packed; those that do not fit are found again. */
#define AMY__LOGROTATE_WAITING_MAX 256

/* One log. */
struct amy__rotated {
    struct amy_logrotate *rotator;
    char base[AMY__LOGNAME_BASE_MAX + 1];
    uint32_t kind;                    /* enum amy_logrotate_kind */
    struct amy_log_lock *borrow_lock; /* its writers'; or NULL */
    int fd;             /* GIVEN: the file that was given out; or -1 */
    dev_t dev;          /* of the file that is written */
    ino_t inode;        /* 0: none was seen */
    int64_t tell_ms;    /* NAMED: monotonic, its writers not told before this */
    bool give_again;    /* who was given the file could not take it */
    bool seen;          /* at the last look its name led there */
    int64_t begun_ms;   /* wall; below 0: not known yet */
    uint64_t serial;    /* of the file that was given out; 0: none was */
    uint64_t released;  /* the last one of which all writers are told to be */
    int64_t missing_ms; /* monotonic: since when it is gone; 0: it is there */
    uint64_t bytes;     /* of the file that is written, at the last look */
    char problem[AMY__LOGROTATE_PROBLEM]; /* "" or why it cannot be opened */
};

/* A rotated file that is to be packed. */
struct amy__waiting {
    uint32_t log;
    struct amy__logname name;
    uint64_t serial;  /* its own; 0: nobody was given it in our life */
    int64_t since_ms; /* monotonic */
    int64_t again_ms; /* not tried before this */
    uint64_t bytes;   /* when somebody was first found to have it open */
    bool told;        /* that somebody has it open */
    bool warned;      /* that it stays plain for now */
    bool written;     /* somebody had it open when it was tried last */
};

struct amy_logrotate {
    uint32_t magic;
    pid_t maker;
    uint32_t busy; /* calls of ours on the stack that may call on_file */
    bool gone;     /* freed by its owner inside one of them */
    struct amy_logrotate_options opts;
    struct amy__logplan_limits limits;
    struct amy_log log;
    char *directory;
    int base_fd; /* that it is relative to; or AT_FDCWD */
    uid_t uid;
    gid_t gid;
    int dir_fd; /* -1: cannot be opened */
    struct stat dir;
    char problem[AMY__LOGROTATE_PROBLEM]; /* "" or what is with it */
    struct amy__watch *watch;             /* NULL: the slow look must do */
    bool watch_is_ours;
    struct amy__timer *timer;
    struct amy__defer *defer; /* a look at the end of this turn */
    bool looking;
    bool hurry;         /* make what is missing, whoever took it away */
    int64_t missing_ms; /* as of a log, of the directory */
    struct amy__rotated *logs[AMY__LOGPLAN_LOGS_MAX];
    uint32_t log_count;
    struct amy__logscan scan;
    bool stale;         /* the scan is not what is there */
    bool find_plain;    /* some that are to be packed may not wait yet */
    int64_t scanned_ms; /* monotonic */
    int64_t scan_took_ms;
    bool kept;          /* one that was to go could not be removed */
    uint64_t old_bytes; /* of the scan */
    uint64_t old_files;
    char old_problem[AMY__LOGROTATE_PROBLEM]; /* with old files; or "" */
    bool disk_full;                           /* a writer said so */
    int64_t full_told_ms;                     /* monotonic */
    struct amy__logpack *pack;
    struct amy__turn_place place; /* in the line of those who pack */
    struct amy__turn own_turn;    /* when it is alone */
    struct amy__waiting waiting[AMY__LOGROTATE_WAITING_MAX];
    size_t waiting_count;
    struct amy__waiting packing; /* under way */
    uint64_t rotations;
    uint64_t packed;
    uint64_t removed;
};

/* Around all that may call on_file, inside which the owner may free the
 * rotator: it goes when the last one leaves. */
void amy__logrotate_hold(struct amy_logrotate *rotator);
void amy__logrotate_drop(struct amy_logrotate *rotator);

/* What is missing is made again, but not at once: it may be a person's rm -r
 * that is under way, which would find the directory not empty. */
#define AMY__LOGROTATE_MISSING_MS 500
bool amy__logrotate_may_make(const struct amy_logrotate *rotator,
                             int64_t *missing_ms);

/* directory.c: see that dir_fd is what stands at its path. 1: it is another one
 * than before. Says what is wrong in rotator->problem. */
int amy__logrotate_enter(struct amy_logrotate *rotator);
void amy__logrotate_leave(struct amy_logrotate *rotator);
/* Note a problem (why "": there is none any more) and log what changed. */
void amy__logrotate_note(struct amy_logrotate *rotator, char *problem,
                         const char *what, const char *why);

/* current.c: the file that is written. */
/* Open it if it is not what was given out, and give it out. */
void amy__rotated_look(struct amy__rotated *log);
/* Tell who writes, with the file there is. */
void amy__rotated_give(struct amy__rotated *log);
/* Is it due? Rotate. */
void amy__rotated_check(struct amy__rotated *log);
int amy__rotated_rotate(struct amy__rotated *log, const char *why,
                        struct amy_error *err);

/* old.c: the files that were rotated. */
void amy__logrotate_scan(struct amy_logrotate *rotator);
void amy__logrotate_free_disk(struct amy_logrotate *rotator, uint64_t bytes);
/* Put it among those that wait to be packed. */
void amy__logrotate_wait(struct amy_logrotate *rotator, uint32_t log,
                         const struct amy__logname *name, uint64_t serial);
/* Begin with the first one that may be packed, unless one is under way. */
void amy__logrotate_pack_next(struct amy_logrotate *rotator);
void amy__logrotate_packed(int rc, const struct amy_error *why, void *user);
uint32_t amy__logrotate_index(const struct amy__rotated *log);

#endif
