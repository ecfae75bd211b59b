/** @file amy/doctor.h
 *  @brief What is wrong with a host and its sites, and what to do about it.
 *         What `amyctl doctor` is a thin wrapper of.
 */
#ifndef AMY_DOCTOR_H
#define AMY_DOCTOR_H

#include <amy/error.h>
#include <amy/export.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How much a finding weighs. */
enum amy_doctor_severity {
    AMY_DOCTOR_INFO = 0,    /**< good to know */
    AMY_DOCTOR_UNKNOWN = 1, /**< could not be looked at, by who runs this */
    AMY_DOCTOR_WARNING = 2, /**< works, and will not some day */
    AMY_DOCTOR_ERROR = 3,   /**< does not work, or harms */
};

/** One finding. Strings are valid during the callback. */
struct amy_doctor_finding {
    size_t struct_size;
    uint32_t severity; /**< enum amy_doctor_severity */
    uint32_t reserved; /**< 0 */
    const char *site;  /**< its domain; "": of the host */
    const char *check; /**< a word that stays: "redis-open", "cert-expiry" */
    const char *what;  /**< what is, one line */
    const char *todo;  /**< what to do, one line; "" for nothing */
};

/** Called for each finding, in the order in which they are found. */
typedef void (*amy_doctor_fn)(const struct amy_doctor_finding *finding,
                              void *user);

/** Options; a zero field means its default. Strings are read during the call.
 */
struct amy_doctor_options {
    size_t struct_size;  /**< set by AMY_DOCTOR_OPTIONS_INIT */
    const char *site;    /**< NULL: all sites, and the host */
    const char *config;  /**< amy.yaml; NULL: /etc/amy/amy.yaml if there */
    const char *webapps; /**< NULL: /webapps */
    const char *run;     /**< NULL: $RUNTIME_DIRECTORY, else /run/amy */
    const char *state;   /**< NULL: $STATE_DIRECTORY, else /var/lib/amy */
    /** Where etc/nginx, etc/cron.d and the like are looked for; NULL: / */
    const char *root_dir;
    const char *skip; /**< checks to leave out, by comma; "redis" is all that
                           begin with "redis-", too; NULL: none */
    /** The program that calls amy_doctor_answer() when it is started with
     *  `--doctor` and a word, as the site's user. NULL: the one that is
     *  running. */
    const char *program;
    uint32_t timeout_ms;      /**< of each question to a server; 0: 5000 */
    uint32_t reserved;        /**< must be 0 */
    amy_doctor_fn on_finding; /**< required */
    void *user;               /**< handed to on_finding */
};

#define AMY_DOCTOR_OPTIONS_INIT                                                \
    {                                                                          \
        .struct_size = sizeof(struct amy_doctor_options)                       \
    }

/**
 * Look at everything and tell what is found. Changes nothing. Needs no daemon,
 * and no rights: what may not be looked at is told as AMY_DOCTOR_UNKNOWN.
 *
 * @param opts  options
 * @param err   may be NULL
 * @return the number of warnings and errors, AMY_EINVAL, AMY_ENOTFOUND (no such
 *         site, or no webapps directory), AMY_EPARSE (amy.yaml), AMY_ENOMEM
 *
 * Loop: one of its own.  Blocks: for files, and for servers up to timeout_ms
 * each.  Since: 0.1
 */
AMY_API AMY_MUST_USE int
amy_doctor_examine(const struct amy_doctor_options *opts,
                   struct amy_error *err);

/**
 * Answer a question of amy_doctor_examine(), which has started this program for
 * it, as the site's user in the site's environment: its Redis and its database
 * are nobody else's to connect to. Writes one line of JSON to standard output.
 * The caller ignores SIGPIPE.
 *
 * @param word  "redis" or "database"
 * @param name  where it is: the variable of Redis' URL; `database.from`
 * @param err   may be NULL
 * @return 0, also where the answer is a failure; AMY_EINVAL (no such word),
 *         AMY_EIO, AMY_ENOMEM
 *
 * Blocks: yes.  Since: 0.1
 */
AMY_API AMY_MUST_USE int amy_doctor_answer(const char *word, const char *name,
                                           struct amy_error *err);

#ifdef __cplusplus
}
#endif
#endif
