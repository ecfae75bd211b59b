/** @file amy/logrotate.h
 *  @brief Logs: writing them, several processes to one file, and reading them
 *         back in the order of time.
 */
#ifndef AMY_LOGROTATE_H
#define AMY_LOGROTATE_H

#include <amy/error.h>
#include <amy/export.h>
#include <amy/log.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- writer ---- */

/** Appends whole lines to a descriptor that it is given. It never waits for a
 *  disk: what is not taken is lost, counted, and told once when lines are taken
 *  again. */
struct amy_log_writer;

/** No buffer may have more. */
#define AMY_LOG_WRITER_BUFFER_MAX 65536U

/** The disk is full (ENOSPC, EDQUOT): called from inside a write or a flush,
 *  once for each time that lines begin to be lost. Must not touch the writer.
 */
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
 * From now on write to this file; what was collected still goes to the old one.
 *
 * @param fd  open with O_APPEND, the writer's from now on; -1: nowhere. Where
 * it can be read (O_RDWR) and ends within a line, as a process killed in a
 * write may leave it, that line is ended first.
 *
 * Blocks: as write(2) does on a regular file.  Since: 0.1
 */
AMY_API void amy_log_writer_set_fd(struct amy_log_writer *writer, int fd);

/**
 * Write one or more whole lines.
 *
 * @param text  ends with a newline; lines are never torn by those of another
 *              process that appends to the same file
 *
 * Without a file the lines are lost.  Blocks: as write(2).  Since: 0.1
 */
AMY_API void amy_log_writer_write(struct amy_log_writer *writer,
                                  const char *text, size_t n);

/** Write what was collected: once a second, so that kill -9 loses no more than
 *  that. One write(2). Since: 0.1 */
AMY_API void amy_log_writer_flush(struct amy_log_writer *writer);

/** Lines lost in all. Since: 0.1 */
AMY_API uint64_t amy_log_writer_lost(const struct amy_log_writer *writer);

#ifdef __cplusplus
}
#endif
#endif
