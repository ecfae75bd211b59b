/** @file amy/logrotate.h
 *  @brief Logs: writing them, several processes to one file, rotating them
 *         without a lost line, and reading them back in the order of time.
 */
#ifndef AMY_LOGROTATE_H
#define AMY_LOGROTATE_H

#include <amy/clock.h>
#include <amy/error.h>
#include <amy/export.h>
#include <amy/log.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct event_base;

/* ---- writer ---- */

/** Appends whole lines to a descriptor that it is given. It never waits for a
 *  disk: what is not taken is lost, counted, and told once when lines are taken
 *  again. */
struct amy_log_writer;

/** No buffer may have more. */
#define AMY_LOG_WRITER_BUFFER_MAX 65536U

/** The disk or a quota is full (ENOSPC, EDQUOT): called from inside each write
 *  and flush that lost lines to it. Must not touch the writer. */
typedef void (*amy_log_writer_full_fn)(struct amy_log_writer *writer,
                                       void *user);

/** Write the line that stands in the file for `lost` ones, with its newline;
 *  returns its length, at most size; 0: no line. */
typedef size_t (*amy_log_writer_mark_fn)(uint64_t lost, char *buf, size_t size,
                                         void *user);

/** Options; a zero field means its default. */
struct amy_log_writer_options {
    size_t struct_size;          /**< set by AMY_LOG_WRITER_OPTIONS_INIT */
    const char *name;            /**< how our own log names it:
                                      "site=example.org file=logs/access.log" */
    uint32_t buffer_bytes;       /**< lines are collected up to that; 0: written
                                      as they come */
    uint32_t reserved;           /**< must be 0 */
    const struct amy_log *log;   /**< NULL: silent; copied */
    amy_log_writer_mark_fn mark; /**< NULL: nothing in the file tells of lost
                                      lines */
    amy_log_writer_full_fn on_full; /**< NULL: no callback */
    void *user;                     /**< handed to mark and on_full */
};

#define AMY_LOG_WRITER_OPTIONS_INIT                                            \
    {                                                                          \
        sizeof(struct amy_log_writer_options), NULL, 0, 0, NULL, NULL, NULL,   \
            NULL                                                               \
    }

/**
 * Make a writer, which writes nowhere until amy_log_writer_set_fd().
 *
 * @param opts        options; not kept after return
 * @param ret_writer  on success the caller's, freed with amy_log_writer_free()
 * @param err         may be NULL
 * @return 0, AMY_EINVAL (no name, a buffer over the maximum), AMY_ENOMEM
 *
 * Loop: none.  Blocks: no.  Since: 0.1
 */
AMY_API AMY_MUST_USE int
amy_log_writer_create(const struct amy_log_writer_options *opts,
                      struct amy_log_writer **ret_writer,
                      struct amy_error *err);

/** Flush, close the file and free the writer; NULL is a no-op. Since: 0.1 */
AMY_API void amy_log_writer_free(struct amy_log_writer *writer);

/**
 * From now on write to this file; what was collected still goes to the old one,
 * unless another process has its lock and does not go on.
 *
 * @param fd  open with O_APPEND, the writer's from now on; -1: nowhere. Where
 *            there is no lock, it can be read (O_RDWR) and ends within a line,
 *            as a process killed in a write may leave it, that line is ended
 *            first.
 *
 * Blocks: as amy_log_writer_write().  Since: 0.1
 */
AMY_API void amy_log_writer_set_fd(struct amy_log_writer *writer, int fd);

/** What the writers of one file share that several processes write: in memory
 *  that all of them have mapped (MAP_SHARED). SIGKILL ends a write at a page
 *  boundary of the file, in the middle of a line. With a lock nobody begins
 *  behind half a line: whoever writes next writes the rest of it, which is kept
 *  here, or a newline where that had no room (about 3 KiB for all lines of a
 *  write that a page boundary cuts). Its words are for the library alone. */
struct amy_log_lock {
    uint64_t words[1664];
};

/**
 * Make a lock, once and before the first writer has it. There is nothing to
 * free: it ends with its memory.
 *
 * @param lock  memory of the caller's, shared by all who write; the same
 *              release of the library in each of them
 * @param err   may be NULL
 * @return 0, AMY_ENOMEM, AMY_EUNSUPPORTED
 *
 * Thread-safe for different locks.  Blocks: no.  Since: 0.1
 * Source: pthread_mutexattr_setrobust(3)
 */
AMY_API AMY_MUST_USE int amy_log_lock_init(struct amy_log_lock *lock,
                                           struct amy_error *err);

/**
 * Write only while nobody else does who has the same lock. When its holder is
 * killed the next writer has it, and completes the line that was cut.
 * A holder that does not go on, because it is stopped or its disk hangs, is
 * waited for 100 ms once: lines are collected then as far as the buffer has
 * room, and lost and counted after that.
 *
 * @param borrow_lock  made by amy_log_lock_init(); one for each log, through
 *                     all its rotations; outlives the writer, or until another
 *                     one is set; NULL: nobody else writes the file
 * @param err          may be NULL
 * @return 0, AMY_EINVAL (it was never made: the writer is as before)
 *
 * After amy_log_writer_set_json() it is not used: what has no more than
 * PIPE_BUF bytes goes out whole.  Blocks: as amy_log_writer_flush().
 * Since: 0.1
 */
AMY_API AMY_MUST_USE int
amy_log_writer_set_lock(struct amy_log_writer *writer,
                        struct amy_log_lock *borrow_lock,
                        struct amy_error *err);

/**
 * Write one or more whole lines.
 *
 * @param text  ends with a newline; lines are not mixed with those of another
 *              process that appends to the same file. Without a lock SIGKILL
 *              within the call may leave half of one
 *
 * Without a file the lines are lost.  Blocks: as write(2), and 100 ms at most
 * for a lock.  Since: 0.1
 */
AMY_API void amy_log_writer_write(struct amy_log_writer *writer,
                                  const char *text, size_t n);

/**
 * Write what was collected: once a second, so that kill -9 loses no more than
 * that.
 *
 * @return 0: it is written, or lost and counted; AMY_EAGAIN: another process
 *         has the lock and does not go on, it stays collected
 *
 * Blocks: as amy_log_writer_write().  Since: 0.1
 */
AMY_API int amy_log_writer_flush(struct amy_log_writer *writer);

/**
 * From now on write each line as amy_log_line_json() does, for one stream that
 * many logs share, such as the standard output of a container. A line is cut
 * so that it has PIPE_BUF bytes at most, and no write has more: a pipe takes
 * them whole or, where it is full and does not block, not at all.
 *
 * @param component  enum amy_log_component
 * @param site       whose line it is; copied
 * @return 0, AMY_ENOMEM (it goes on as before)
 *
 * Blocks: no.  Since: 0.1  Source: pipe(7)
 */
AMY_API AMY_MUST_USE int amy_log_writer_set_json(struct amy_log_writer *writer,
                                                 uint32_t component,
                                                 const char *site,
                                                 struct amy_error *err);

/**
 * Open standard output once more, so that a write never waits for whoever reads
 * it; who shares the descriptor that we were given does not notice. For
 * amy_log_writer_set_fd() and for lines of amy_log_message_json(): a pipe takes
 * up to PIPE_BUF bytes whole or not at all.
 *
 * @param err  may be NULL
 * @return a descriptor, the caller's to close; or AMY_EIO, AMY_EDENIED and what
 *         else opening may fail of
 *
 * Blocks: no.  Since: 0.1  Source: pipe(7), proc(5)
 */
AMY_API AMY_MUST_USE int amy_log_open_stdout(struct amy_error *err);

/** Lines lost in all. Since: 0.1 */
AMY_API uint64_t amy_log_writer_lost(const struct amy_log_writer *writer);

/* ---- rotator ---- */

/** The rotator opens a log, gives the descriptor to those who write, and when
 *  the file is due renames it and gives out the next one. Once all writers have
 *  said that they use it, the old one is packed. Names carry the time, so there
 *  is no state to lose. See docs/api/logrotate.md. */
struct amy_logrotate;

/** When a file is due by the local clock. */
enum amy_logrotate_every {
    AMY_LOGROTATE_DAILY = 0,
    AMY_LOGROTATE_HOURLY = 1,
    AMY_LOGROTATE_WEEKLY = 2, /**< from Monday on */
    AMY_LOGROTATE_NEVER = 3,  /**< by size alone */
};

/** How old files are packed: by the program of that name, as a niced child. */
enum amy_logrotate_packing {
    AMY_LOGROTATE_GZIP = 0,
    AMY_LOGROTATE_ZSTD = 1,
    AMY_LOGROTATE_PLAIN = 2, /**< not at all */
};

/** Who opens a log, and who renames it. */
enum amy_logrotate_kind {
    /** The rotator opens it and gives it out by on_file. */
    AMY_LOGROTATE_GIVEN = 0,
    /** Its writers open it by its name, again and again. The rotator renames
     *  it, and packs the old one when nobody has it open for writing. */
    AMY_LOGROTATE_NAMED = 1,
    /** Somebody else rotates it. Its files count towards the total, and go when
     *  that is too much. */
    AMY_LOGROTATE_OTHERS = 2,
};

/** A log has another file from now on. */
struct amy_logrotate_file {
    size_t struct_size;
    const char *name; /**< of the log, "access.log" */
    int fd;           /**< O_WRONLY | O_APPEND; the rotator's, valid until the
                           next one of this log: duplicate it. -1: it is NAMED
                           and was renamed; time to tell who writes it. Told
                           again when somebody goes on with the old one */
    uint32_t reserved;
    uint64_t serial; /**< for amy_logrotate_release(); grows */
};

/** Called on the loop, and from inside amy_logrotate_add() for the first file,
 *  amy_logrotate_now() and amy_logrotate_poll(). It may free the rotator. */
typedef void (*amy_logrotate_file_fn)(struct amy_logrotate *rotator,
                                      const struct amy_logrotate_file *file,
                                      void *user);

/** What a rotator has done and what is there; filled by amy_logrotate_read().
 */
struct amy_logrotate_view {
    size_t struct_size;
    uint64_t bytes;     /**< of all logs of the directory, old ones too */
    uint64_t old_files; /**< how many of them are old */
    uint64_t rotations;
    uint64_t packed;
    uint64_t removed;
    uint64_t waiting;    /**< rotated, and not packed yet */
    const char *problem; /**< "" or what is wrong now; the rotator's, valid
                              until the loop runs again */
};

/** Options; a zero field means its default. Strings are copied. */
struct amy_logrotate_options {
    size_t struct_size;      /**< set by AMY_LOGROTATE_OPTIONS_INIT */
    struct event_base *base; /**< required; the caller runs it */
    /** The logs' directory; required. It is made where it is missing, and is
     *  not followed when it is a symbolic link. */
    const char *directory;
    int dir_fd_plus_one; /**< what `directory` is relative to, + 1; duplicated
                          */
    uint32_t uid; /**< whose rights are used for files, and whom a directory
                       made here is given to; 0: our own */
    uint32_t gid;
    uint32_t every;       /**< enum amy_logrotate_every */
    uint64_t size_bytes;  /**< of a file; 0: 50 MiB; UINT64_MAX: no limit */
    uint64_t total_bytes; /**< of the directory; 0: 2 GiB; UINT64_MAX: none */
    int64_t max_age_ms;   /**< of old files; 0: 30 days; INT64_MAX: none */
    uint32_t keep;        /**< old files of a log; 0: 1000; UINT32_MAX: all */
    uint32_t packing;     /**< enum amy_logrotate_packing */
    uint32_t look_ms;     /**< how often limits are looked at; 0: 1000 */
    uint32_t reserved;    /**< must be 0 */
    const struct amy_clock *borrow_clock; /**< NULL: the system's; outlives */
    const struct amy_log *log;            /**< NULL: silent; copied */
    amy_logrotate_file_fn on_file; /**< required for GIVEN logs; NAMED ones
                                        are told with fd -1 */
    void *user;
};

#define AMY_LOGROTATE_OPTIONS_INIT                                             \
    {                                                                          \
        .struct_size = sizeof(struct amy_logrotate_options)                    \
    }

/**
 * Make a rotator for one directory. Nothing is opened before a log is added.
 *
 * @param opts         options; not kept after return
 * @param ret_rotator  on success owned by the caller, freed with
 *                     amy_logrotate_free(); untouched on failure
 * @param err          may be NULL
 * @return 0, AMY_EINVAL (no base, no directory, an unknown word), AMY_ENOMEM
 *
 * Loop: opts->base.  Blocks: no.  Since: 0.1
 */
AMY_API AMY_MUST_USE int
amy_logrotate_create(const struct amy_logrotate_options *opts,
                     struct amy_logrotate **ret_rotator, struct amy_error *err);

/** Free a rotator; NULL is a no-op. What is being packed is left as it was; the
 *  next rotator packs it. Allowed inside on_file. Since: 0.1 */
AMY_API void amy_logrotate_free(struct amy_logrotate *rotator);

/**
 * Take other limits from now on: every field of the options but base,
 * directory, dir_fd_plus_one, clock, log and callback, which stay. Another uid
 * has all logs opened anew.
 *
 * @return 0, AMY_EINVAL
 * Since: 0.1
 */
AMY_API AMY_MUST_USE int
amy_logrotate_set(struct amy_logrotate *rotator,
                  const struct amy_logrotate_options *opts,
                  struct amy_error *err);

/**
 * Look after a log. A file that cannot be opened is no error here: the log and
 * the view say why, and it is tried again; who has an older file keeps it.
 *
 * @param name  a file's name such as "access.log": up to 100 printable bytes
 *              without spaces that do not look like an old log
 * @param kind  enum amy_logrotate_kind
 * @return 0, AMY_EINVAL (name, kind), AMY_EEXIST, AMY_ELIMIT (64 logs),
 *         AMY_ENOMEM
 *
 * Loop: on it.  Blocks: for an open.  Since: 0.1
 */
AMY_API AMY_MUST_USE int amy_logrotate_add(struct amy_logrotate *rotator,
                                           const char *name, uint32_t kind,
                                           struct amy_error *err);

/**
 * All writers of a log use its file number `serial` or a later one, or live no
 * more: earlier ones may be packed. May be called inside on_file. An unknown
 * name or serial changes nothing.
 *
 * Since: 0.1
 */
AMY_API void amy_logrotate_release(struct amy_logrotate *rotator,
                                   const char *name, uint64_t serial);

/**
 * The lock that the writers of a log have: half a line that one of them left in
 * a file which nobody writes any more is completed before it is packed. The
 * lock is not taken for that.
 *
 * @param borrow_lock  made by amy_log_lock_init(); outlives the rotator; NULL:
 *                     none
 * @return 0, AMY_ENOTFOUND (no such log), AMY_EINVAL (it was never made)
 *
 * Blocks: no.  Since: 0.1
 */
AMY_API AMY_MUST_USE int
amy_logrotate_set_lock(struct amy_logrotate *rotator, const char *name,
                       struct amy_log_lock *borrow_lock, struct amy_error *err);

/** Look now rather than at the next event or second: limits, moved files.
 *  on_file may run from inside. Since: 0.1 */
AMY_API void amy_logrotate_poll(struct amy_logrotate *rotator);

/** A writer met a full disk (ENOSPC, EDQUOT): the oldest packed files go, a few
 *  at a time, never the newest one of a log. Since: 0.1 */
AMY_API void amy_logrotate_disk_full(struct amy_logrotate *rotator);

/** Rotate a log now, if its file is not empty.
 *  @return 0, AMY_ENOTFOUND (no such log, or no file), AMY_EIO, AMY_EDENIED
 *  Since: 0.1 */
AMY_API AMY_MUST_USE int amy_logrotate_now(struct amy_logrotate *rotator,
                                           const char *name,
                                           struct amy_error *err);

/** What it has done and what is there; struct_size set by the caller.
 *  Since: 0.1 */
AMY_API void amy_logrotate_read(const struct amy_logrotate *rotator,
                                struct amy_logrotate_view *ret_view);

/* ---- reader ---- */

/** What writes to a site's logs; each has a file in logs/. */
enum amy_log_component {
    AMY_LOG_COMPONENT_ACCESS = 0,  /**< access.log */
    AMY_LOG_COMPONENT_ERROR = 1,   /**< error.log */
    AMY_LOG_COMPONENT_WORKERS = 2, /**< gunicorn_supervisor.log */
    AMY_LOG_COMPONENT_BACKUP = 3,  /**< backup.log */
    AMY_LOG_COMPONENT_DEPLOY = 4,  /**< deploy.log */
    AMY_LOG_COMPONENT_COUNT = 5,
};

/** Longer lines are cut there, and `cut` says so. */
#define AMY_LOG_LINE_MAX 69632U
/** No known time: a line before the first one that has one. */
#define AMY_LOG_NO_TIME INT64_MIN

/** One line; filled by amy_log_reader_next(). */
struct amy_log_line {
    size_t struct_size;
    uint32_t component; /**< enum amy_log_component */
    uint32_t continues; /**< 1: it has no time of its own and belongs to the
                             line before it, as those of a traceback do */
    int64_t wall_ms;    /**< its time, or that of the line it continues */
    const char *text;   /**< without a newline; any bytes; valid until the next
                             call */
    size_t text_bytes;
    uint32_t cut;      /**< 1: the rest of it was left out */
    uint32_t reserved; /**< 0 */
    const char *site;  /**< NULL: it goes without saying */
};

struct amy_log_reader;

/** Is this line wanted? What continues one goes the way of that one, unless it
 *  is wanted itself. */
typedef bool (*amy_log_match_fn)(const struct amy_log_line *line, void *user);

/** Options; a zero field means its default. */
struct amy_log_reader_options {
    size_t struct_size;    /**< set by AMY_LOG_READER_OPTIONS_INIT */
    const char *directory; /**< the site's directory, with logs/ in it; root
                                reads as the user whom logs/ belongs to */
    uint32_t components;   /**< 1 << component, or-ed; 0: all */
    uint32_t follow;       /**< 1: go on with what is written later */
    int64_t since_wall_ms; /**< lines from then on; 0: from the first on */
    int64_t until_wall_ms; /**< lines before that; 0: to the last */
    uint64_t last;         /**< only the last so many lines; 0: all */
    const struct amy_clock *borrow_clock; /**< NULL: the system's; outlives */
    const struct amy_log *log; /**< told of files that cannot be read; copied */
    amy_log_match_fn match;    /**< NULL: every line is wanted */
    void *user;                /**< handed to match */
};

#define AMY_LOG_READER_OPTIONS_INIT                                            \
    {                                                                          \
        sizeof(struct amy_log_reader_options), NULL, 0, 0, 0, 0, 0, NULL,      \
            NULL, NULL, NULL                                                   \
    }

/**
 * Open a site's logs: current and rotated files, plain, gzip and zstd, those of
 * all components as one stream in the order of time. Files that end before
 * `since` are not opened, and plain ones are not read from their beginning
 * where their end is wanted. Memory does not depend on the size of any file.
 *
 * @param opts        options; not kept after return
 * @param ret_reader  on success the caller's, freed with amy_log_reader_free()
 * @param err         may be NULL
 * @return 0, AMY_EINVAL (no directory), AMY_ENOTFOUND (there is no logs/),
 *         AMY_EDENIED, AMY_ENOMEM
 *
 * Loop: none.  Blocks: yes, not on a loop thread.  Since: 0.1
 */
AMY_API AMY_MUST_USE int
amy_log_reader_open(const struct amy_log_reader_options *opts,
                    struct amy_log_reader **ret_reader, struct amy_error *err);

/** Free the reader; NULL is a no-op. Since: 0.1 */
AMY_API void amy_log_reader_free(struct amy_log_reader *reader);

/**
 * Read the next line.
 *
 * @param ret_line  struct_size is set by the caller
 * @return 1: a line; 0: there are no more, or, when following, none yet;
 *         AMY_ESTATE (in a child of fork(2), which has the parent's place in
 *         the files)
 *
 * A file that cannot be read, or is damaged, is told to the log and passed
 * over.  Blocks: yes.  Since: 0.1
 */
AMY_API AMY_MUST_USE int amy_log_reader_next(struct amy_log_reader *reader,
                                             struct amy_log_line *ret_line);

/** A descriptor that poll(2) finds readable when something may have been
 *  written, while following; -1: there is none, look twice a second. It is the
 *  reader's, which empties it in amy_log_reader_next(). Since: 0.1 */
AMY_API int amy_log_reader_fd(const struct amy_log_reader *reader);

/** "access" of AMY_LOG_COMPONENT_ACCESS; NULL: there is no such component.
 *  Thread-safe. Since: 0.1 */
AMY_API const char *amy_log_component_name(uint32_t component);

/**
 * Write a line as one JSON object and a newline: time (RFC 3339), component,
 * message, and site where it is known; of access lines client, user, status,
 * bytes, duration, queued, request_id, worker, stage, method, target, referer,
 * agent; of workers' lines pool, position, pid. What does not fit is cut, and
 * "cut": true says so.
 *
 * @param size  512 at least
 * @return how many bytes were written, at most size; no NUL follows them
 *
 * Thread-safe.  Blocks: no.  Since: 0.1  Source: RFC 8259
 */
AMY_API size_t amy_log_line_json(const struct amy_log_line *line, char *buf,
                                 size_t size);

/**
 * Write a line of a sink (struct amy_log) as one JSON object and a newline:
 * time, component (the program), level, message. So a program's own lines fit
 * into the stream of its sites' logs. What does not fit is cut, as above.
 *
 * @param program  such as "amy-front"
 * @param text     without a newline
 * @param size     512 at least
 * @return how many bytes were written, at most size; no NUL follows them
 *
 * Thread-safe.  Blocks: no.  Since: 0.1  Source: RFC 8259
 */
AMY_API size_t amy_log_message_json(enum amy_log_level level,
                                    const char *program, int64_t wall_ms,
                                    const char *text, char *buf, size_t size);

#ifdef __cplusplus
}
#endif
#endif
