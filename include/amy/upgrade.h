/** @file amy/upgrade.h
 *  @brief Exec in place: a program that holds listeners, children and sockets
 *         becomes its next release without letting go of them.
 *
 *  amy_front_upgrade() and its like write down what the object knows, try the
 *  new program in a child, and then become it by execve(2): the process stays
 *  the same one, its children stay its children, and what clients have queued
 *  on a socket stays there. The program that comes finds AMY_STATE_FD in its
 *  environment: the number of a descriptor that it gives to the object's
 *  create call (handover_fd_plus_one), after removing the variable. The trial
 * is the same command with `--check-state FD` behind it: the program says by
 * its exit status whether it could take over what that descriptor holds, and
 * does nothing else.
 */
#ifndef AMY_UPGRADE_H
#define AMY_UPGRADE_H

#include <amy/error.h>
#include <amy/export.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The next thing is execve(2): set what the environment shall say. */
typedef void (*amy_upgrade_before_fn)(void *user);

/** on: hold back signals that the new program is not ready for (block them);
 *  the loop turns once more, so that those which a handler has caught already
 *  are dealt with, and then comes execve(2). Off: it is put off, refused, or
 *  ended by a stop; take them again. */
typedef void (*amy_upgrade_hold_fn)(bool on, void *user);

/** It is refused, and all goes on as it is: err says why. Called once, on the
 *  loop thread, also after amy_upgrade_before_fn. */
typedef void (*amy_upgrade_refused_fn)(const struct amy_error *err, void *user);

/** Options; a zero field means its default. */
struct amy_upgrade_options {
    size_t struct_size;      /**< set by AMY_UPGRADE_OPTIONS_INIT */
    const char *program;     /**< required: path of the program to become */
    const char *const *argv; /**< required: its arguments, argv[0] first, and
                                  a NULL behind the last */
    uint32_t trial_ms;       /**< for the trial; 0: 15000 */
    uint32_t wait_ms; /**< for the end of what cannot be handed over, a reload
                           say; 0: 300000 */
    amy_upgrade_before_fn before;   /**< NULL: no callback */
    amy_upgrade_refused_fn refused; /**< NULL: no callback */
    void *user;                     /**< handed to all of them */
    amy_upgrade_hold_fn hold;       /**< NULL: no callback */
};

#define AMY_UPGRADE_OPTIONS_INIT                                               \
    {                                                                          \
        sizeof(struct amy_upgrade_options), NULL, NULL, 0, 0, NULL, NULL,      \
            NULL, NULL                                                         \
    }

#ifdef __cplusplus
}
#endif
#endif
