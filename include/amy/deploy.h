/** @file amy/deploy.h
 *  @brief From one release of a site to the next, and back: what `amyctl
 *         deploy` is a thin wrapper of.
 *
 *  Programs of a deployment have in their environment: AMY_DEPLOY (its number),
 *  AMY_SITE, AMY_SITE_DIRECTORY, AMY_RELEASE ("releases/..."),
 *  AMY_RELEASE_DIRECTORY (its real path), AMY_PREVIOUS, AMY_REF, AMY_COMMIT.
 */
#ifndef AMY_DEPLOY_H
#define AMY_DEPLOY_H

#include <amy/clock.h>
#include <amy/error.h>
#include <amy/export.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct event_base;

/** One deployment, rollback or repair of a site. */
struct amy_deploy;

enum amy_deploy_kind {
    AMY_DEPLOY_RELEASE = 0,  /**< a new release */
    AMY_DEPLOY_ROLLBACK = 1, /**< one that served before */
    AMY_DEPLOY_RECOVER = 2,  /**< only mend what a killed one left */
    AMY_DEPLOY_FORGET = 3,   /**< tell what of that is left undone, and bar no
                                  other deployment with it any more */
};

/** What an event tells. */
enum amy_deploy_event_kind {
    AMY_DEPLOY_BEGUN = 0,    /**< a step; text: what it does */
    AMY_DEPLOY_OUTPUT = 1,   /**< a line that one of its programs wrote */
    AMY_DEPLOY_NOTE = 2,     /**< what a step found, or why it had nothing to
                                  do */
    AMY_DEPLOY_WARNING = 3,  /**< to be looked at by a person */
    AMY_DEPLOY_FINISHED = 4, /**< a step; took_ms */
    AMY_DEPLOY_FAILED = 5,   /**< a step; text: why */
    AMY_DEPLOY_MENDING = 6,  /**< what was done is undone from here on (or done
                                  to its end, if the new release serves) */
};

/** Valid during the callback. */
struct amy_deploy_event {
    size_t struct_size;
    uint32_t kind;    /**< enum amy_deploy_event_kind */
    uint32_t mending; /**< 1: of a step that undoes */
    const char *step; /**< "migrate" */
    const char *text; /**< "" for none; UTF-8, without newline */
    int64_t took_ms;  /**< FINISHED, FAILED */
    uint32_t number;  /**< of the step, from 1 */
    uint32_t of;      /**< how many there are */
};

/** How it ended. Valid during the callback. */
struct amy_deploy_result {
    size_t struct_size;
    /** 0, or why not: AMY_EBUSY (another one is under way: err names it),
     *  AMY_EINVAL (site.yaml has no source, no such ref ...), AMY_ENOTFOUND (no
     *  release to go back to), AMY_ETIMEOUT (a step's deadline), AMY_EIO (a
     *  step failed), AMY_ECONN (a daemon does not run), AMY_ECANCELED ... */
    int code;
    uint32_t mended;      /**< 1: what was begun is undone, or there was
                               nothing; 0: some of it is left, as told */
    uint32_t served;      /**< 1: `release` serves */
    uint32_t unchanged;   /**< 1: if_changed, and what serves is that already */
    const char *step;     /**< that failed; "" for none */
    const char *reason;   /**< "" for none */
    const char *next;     /**< what a person should do; "" for nothing */
    const char *release;  /**< "releases/20261127T033000Z-1a2b3c4d5e6f"; of one
                               that was undone by RECOVER: what serves again */
    const char *previous; /**< what served before; "" for nothing */
    const char *commit;   /**< of git; "" for none */
    const char *backup;   /**< the set made before; "" for none */
    int64_t took_ms;
};

/** On the loop, never from inside the call that was given it. */
typedef void (*amy_deploy_event_fn)(struct amy_deploy *deploy,
                                    const struct amy_deploy_event *event,
                                    void *user);
/** Called once; may free the deployment. */
typedef void (*amy_deploy_done_fn)(struct amy_deploy *deploy,
                                   const struct amy_deploy_result *result,
                                   void *user);

/** Options; a zero field means its default. Strings are copied. */
struct amy_deploy_options {
    size_t struct_size;      /**< set by AMY_DEPLOY_OPTIONS_INIT */
    struct event_base *base; /**< required; the caller runs it */
    const char *config;      /**< amy.yaml; NULL: /etc/amy/amy.yaml if there */
    const char *webapps;     /**< NULL: /webapps */
    const char *run;         /**< NULL: $RUNTIME_DIRECTORY, else /run/amy */
    const char *state;       /**< NULL: $STATE_DIRECTORY, else /var/lib/amy */
    const char *site;        /**< required */
    uint32_t kind;           /**< enum amy_deploy_kind */
    uint32_t if_changed;     /**< RELEASE: 1: do nothing where the commit serves
                                  already */
    const char *ref;         /**< branch, tag or commit; NULL: deploy.ref */
    const char *from; /**< a directory or a tar file, absolute, instead of
                           deploy.source; the deploying user reads it */
    const char *to;   /**< ROLLBACK: the name of a release; NULL: the one that
                           served before */
    const struct amy_clock *borrow_clock; /**< NULL: the system's; outlives */
    amy_deploy_event_fn on_event;         /**< may be NULL */
    void *user;
};

#define AMY_DEPLOY_OPTIONS_INIT                                                \
    {                                                                          \
        .struct_size = sizeof(struct amy_deploy_options)                       \
    }

/**
 * Read amy.yaml and the site's site.yaml, and what an earlier deployment left.
 * Changes nothing.
 *
 * @param opts        options; not kept after return
 * @param on_problem  called for each problem of site.yaml; may be NULL
 * @param user        handed to on_problem
 * @param ret_deploy  on success the caller's, freed with amy_deploy_free()
 * @param err         may be NULL
 * @return 0, AMY_EINVAL (options, or who deploys is not known), AMY_ENOTFOUND
 *         (no such site), AMY_EPARSE (site.yaml), AMY_EDENIED (neither root nor
 *         the site's own person), AMY_EIO, AMY_ENOMEM
 *
 * Loop: opts->base.  Blocks: for reading files.  Since: 0.1
 */
AMY_API AMY_MUST_USE int
amy_deploy_create(const struct amy_deploy_options *opts,
                  amy_problem_fn on_problem, void *user,
                  struct amy_deploy **ret_deploy, struct amy_error *err);

/** One step, as it would be. */
struct amy_deploy_step {
    size_t struct_size;
    const char *name;   /**< "migrate" */
    const char *says;   /**< what it does */
    const char *undo;   /**< what becomes of that when a later one fails; ""
                             for nothing */
    const char *user;   /**< whose rights it has */
    int64_t timeout_ms; /**< its deadline */
};

/** How many steps there are. Since: 0.1 */
AMY_API size_t amy_deploy_count(const struct amy_deploy *deploy);
/** The step of that number, from 0; struct_size is set by the caller.
 *  @return 0, AMY_ENOTFOUND
 *  Since: 0.1 */
AMY_API AMY_MUST_USE int amy_deploy_at(const struct amy_deploy *deploy,
                                       size_t index,
                                       struct amy_deploy_step *ret_step);
/** The release to deploy or to go back to, as far as it is known: "" before it
 *  was fetched. Since: 0.1 */
AMY_API const char *amy_deploy_release(const struct amy_deploy *deploy);

/** A release that served. The texts are the deployment's. */
struct amy_deploy_release {
    size_t struct_size;
    const char *link;       /**< "releases/...", or "repo@COMMIT" in place */
    const char *ref;        /**< "" for none */
    const char *commit;     /**< "" for none */
    const char *backup;     /**< the set made before it; "" for none */
    int64_t served_wall_ms; /**< since when, the last time; 0: not known */
    uint32_t serves;        /**< 1: now, as far as repo tells */
    uint32_t left;          /**< 1: somebody went back from it */
};

/** The release of that number that served, from 0, the newest first;
 * struct_size is set by the caller.
 *  @return 0, AMY_ENOTFOUND
 *  Since: 0.1 */
AMY_API AMY_MUST_USE int
amy_deploy_served(const struct amy_deploy *deploy, size_t index,
                  struct amy_deploy_release *ret_release);

/**
 * Take the site's lock, mend what a killed deployment left, and carry out all
 * steps. Where one fails, those before it are undone, and the release that
 * served goes on; after the reload nothing is undone, only told.
 *
 * @param on_done  called once, on the loop
 * @return 0, AMY_ESTATE (it was started before), AMY_EBUSY (another one is
 *         under way: err names its pid, since when, and its step), AMY_EIO
 *
 * Loop: the deployment's base.  Blocks: for a few small files.  Since: 0.1
 */
AMY_API AMY_MUST_USE int amy_deploy_start(struct amy_deploy *deploy,
                                          amy_deploy_done_fn on_done,
                                          void *user, struct amy_error *err);

/** End the step under way and undo all; when the new release serves already, or
 *  it is being undone, this changes nothing. on_done follows. Since: 0.1 */
AMY_API void amy_deploy_cancel(struct amy_deploy *deploy);

/** Free it; NULL is a no-op. One that is under way is left as if it had been
 *  killed: the next one mends it. Allowed inside on_done. Since: 0.1 */
AMY_API void amy_deploy_free(struct amy_deploy *deploy);

#ifdef __cplusplus
}
#endif
#endif
