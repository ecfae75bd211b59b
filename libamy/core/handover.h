/* What a program leaves to the one that takes its place by execve(2) in the
 * same process: JSON in a sealed memfd, behind a header with magic, version and
 * size, and the descriptors that it names. Children stay children, for the
 * process stays the same one.
 *
 * Releases N and N-1 read each other's: a member that is not known is passed
 * over, one that is missing has a default, and a descriptor that nobody takes
 * is closed. The version in the header is the oldest one whose reader serves;
 * it is raised only where an older reader would do harm. */
#ifndef AMY_CORE_HANDOVER_H
#define AMY_CORE_HANDOVER_H

#include <amy/error.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define AMY__HANDOVER_VERSION 1U
#define AMY__HANDOVER_MAX ((size_t)64 * 1024 * 1024) /* bytes of JSON */
#define AMY__HANDOVER_FDS 65536U
/* The variable that names the memfd to the program that comes. */
#define AMY__HANDOVER_VARIABLE "AMY_STATE_FD"

struct amy__handover;

/* ---- leaving ---- */

/* daemon: whose it is, at most 15 bytes; another's is refused. */
int amy__handover_create(const char *daemon, struct amy__handover **ret,
                         struct amy_error *err);
/* The object to be filled; borrowed. */
struct amy__json *amy__handover_root(const struct amy__handover *handover);
/* This descriptor is to stay open; it remains the caller's. What is returned
 * names it in the JSON (null: fd < 0), and may be NULL as any maker's result.
 */
struct amy__json *amy__handover_fd(struct amy__handover *handover, int fd);
/* Any bytes, secrets too: in a memfd of their own. */
struct amy__json *amy__handover_bytes(struct amy__handover *handover,
                                      const void *data, size_t n);
/* A child that lives on; the program that comes ends all others. */
void amy__handover_child(struct amy__handover *handover, pid_t pid);
/* Write it down, once. AMY_ENOMEM also when a maker had failed before. The
 * descriptor is the handover's. */
int amy__handover_seal(struct amy__handover *handover, int *ret_fd,
                       struct amy_error *err);
/* Its descriptors, that of seal too, stay open over execve(2), or no more. */
void amy__handover_keep(const struct amy__handover *handover, bool keep);

/* ---- taking over ---- */

/* Pure: header and JSON. AMY_EPARSE (not that, or cut), AMY_EUNSUPPORTED (of a
 * later version), AMY_EINVAL (another daemon's). */
int amy__handover_parse(struct amy__span bytes, const char *daemon,
                        struct amy__json **ret_root, struct amy_error *err);
/* Of a sealed memfd, which stays the caller's; descriptors are not looked at.
 */
int amy__handover_read(int fd, const char *daemon, struct amy__json **ret_root,
                       struct amy_error *err);
/* The same, and every descriptor named is ours from now on, close-on-exec, as
 * is fd itself; both also on failure, where they could be read. */
int amy__handover_open(int fd, const char *daemon, struct amy__handover **ret,
                       struct amy_error *err);
/* What object names under that key: the caller's. -1: none, or had already. */
int amy__handover_take(struct amy__handover *handover,
                       const struct amy__json *object, const char *key);
/* The bytes under that key; appended. AMY_ENOTFOUND, AMY_ELIMIT ... */
int amy__handover_take_bytes(struct amy__handover *handover,
                             const struct amy__json *object, const char *key,
                             size_t max, struct amy__buf *out,
                             struct amy_error *err);

/* Closes what nobody took, and what bytes and seal made; NULL is a no-op. */
void amy__handover_free(struct amy__handover *handover);
static inline void
amy__handover_free_p(struct amy__handover **handover)
{
    amy__handover_free(*handover);
}

#endif
