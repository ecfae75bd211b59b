/** @file amy/enter.h
 *  @brief Run a program as a site's workers run: its user, its environment, its
 *         release. What `amyctl run` is a thin wrapper of.
 */
#ifndef AMY_ENTER_H
#define AMY_ENTER_H

#include <amy/error.h>
#include <amy/export.h>

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A site that this process may enter. */
struct amy_enter;

/** Options; a zero field means its default. Strings are copied. */
struct amy_enter_options {
    size_t struct_size;        /**< set by AMY_ENTER_OPTIONS_INIT */
    const char *site;          /**< required; its domain */
    const char *webapps;       /**< NULL: /webapps */
    amy_problem_fn on_problem; /**< what is wrong with site.yaml; may be NULL */
    void *user;                /**< handed to on_problem */
};

#define AMY_ENTER_OPTIONS_INIT                                                 \
    {                                                                          \
        .struct_size = sizeof(struct amy_enter_options)                        \
    }

/**
 * Read site.yaml and the environment that activate and postactivate leave, as
 * amy-workers does. Of standard input, output and error, what is closed becomes
 * /dev/null.
 *
 * @param opts       options
 * @param ret_enter  the caller's, freed with amy_enter_free()
 * @param err        may be NULL
 * @return 0, AMY_EINVAL, AMY_ENOTFOUND (no such site, or no environment in its
 *         repo), AMY_EDENIED (we are neither root nor the site's user, or
 *         site.yaml may be written by others), AMY_EPARSE (site.yaml, or a file
 *         of the environment), AMY_ETIMEOUT (that one took 5 s), AMY_EAGAIN,
 *         AMY_EIO, AMY_ENOMEM
 *
 * Loop: one of its own.  Blocks: for files, and for a shell.  Since: 0.1
 */
AMY_API AMY_MUST_USE int amy_enter_create(const struct amy_enter_options *opts,
                                          struct amy_enter **ret_enter,
                                          struct amy_error *err);

/**
 * Become the site's user, for good, and a program: does not return unless it
 * fails. It keeps our session, terminal, signals and standard descriptors, and
 * no other descriptor; it begins in the site's release, which is what `repo`
 * leads to, with umask 022. It has the environment of the site's workers,
 * AMY_SITE, and of ours TERM, COLORTERM and NO_COLOR alone. It cannot gain
 * rights by setuid programs, nor, having been given root's terminal, type into
 * it.
 *
 * @param enter  a site; still to be freed on failure
 * @param argv   NULL-terminated; a name without a slash is looked for along the
 *               site's PATH. NULL: a shell
 * @param err    may be NULL
 * @return AMY_ENOTFOUND (no such program), AMY_EDENIED (it may not be run),
 *         AMY_EIO. This process may be the site's user by then: end it
 *
 * Blocks: no.  Since: 0.1  Source: execve(2), ioctl_tty(2), PR_SET_NO_NEW_PRIVS
 */
AMY_API AMY_MUST_USE int amy_enter_exec(struct amy_enter *enter,
                                        const char *const *argv,
                                        struct amy_error *err);

/** Free; NULL is a no-op. Since: 0.1 */
AMY_API void amy_enter_free(struct amy_enter *enter);

#ifdef __cplusplus
}
#endif
#endif
