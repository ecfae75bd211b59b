/** @file amy/layout.h
 *  @brief The directory of a new site: its user, its modes, its page and a
 *         site.yaml with comments. What `amyctl init` is a thin wrapper of.
 */
#ifndef AMY_LAYOUT_H
#define AMY_LAYOUT_H

#include <amy/error.h>
#include <amy/export.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What became of one piece. */
enum amy_layout_result {
    AMY_LAYOUT_KEPT = 0,    /**< it was there, and is as it should be */
    AMY_LAYOUT_ADDED = 1,   /**< it is there now; a dry run: it would be */
    AMY_LAYOUT_DIFFERS = 2, /**< it was there, and is left as it is */
};

/** One piece of a site: an account, a directory, a file. Strings are valid
 *  during the callback. */
struct amy_layout_item {
    size_t struct_size;
    uint32_t result;     /**< enum amy_layout_result */
    uint32_t reserved;   /**< 0 */
    const char *name;    /**< "user amy-example", or an absolute path */
    const char *message; /**< of AMY_LAYOUT_DIFFERS: what is, and what would be
                              right; else whose it is, or "" */
};

/** Called for each piece, in the order in which they are made. */
typedef void (*amy_layout_fn)(const struct amy_layout_item *item, void *user);

/** Options; a zero field means its default. Strings are read during the call.
 */
struct amy_layout_options {
    size_t struct_size;     /**< set by AMY_LAYOUT_OPTIONS_INIT */
    const char *domain;     /**< required; the directory's name */
    const char *webapps;    /**< NULL: /webapps */
    const char *site_user;  /**< NULL: whom site.yaml names, else "amy-" and
                                 the domain's first part; by a person: that
                                 person */
    const char *deployer;   /**< owner of repo/ and static/; NULL: root, or the
                                 person */
    const char *front_user; /**< whose group may read media/; NULL: amy */
    const char *wsgi;       /**< NULL: config.wsgi:application */
    const char *const *aliases; /**< NULL-terminated; NULL: none */
    bool stage_test;            /**< `stage: test` */
    bool dry_run;               /**< tell what would be done, and do nothing */
    uint8_t reserved[6];        /**< must be 0 */
    amy_layout_fn on_item;      /**< NULL: nobody asks */
    void *user;                 /**< handed to on_item */
};

#define AMY_LAYOUT_OPTIONS_INIT                                                \
    {                                                                          \
        .struct_size = sizeof(struct amy_layout_options)                       \
    }

/** What amy_layout_make() has done. */
struct amy_layout_view {
    size_t struct_size;
    uint32_t added;     /**< pieces that were made, or would be */
    uint32_t differing; /**< pieces that are not as they should be */
    char site_user[64]; /**< whom the site runs as */
};

#define AMY_LAYOUT_VIEW_INIT                                                   \
    {                                                                          \
        .struct_size = sizeof(struct amy_layout_view)                          \
    }

/**
 * Make what is missing of a site's directory, and leave alone what is there.
 *
 * By root: a system user without a login for the site, and files of root, of
 * the site's user, and of the deploying user, each as the daemons want it. By
 * anybody else: all of it that person's, who is the site's user, too.
 *
 * site.yaml comes last: what was interrupted is no site yet, and the next call
 * makes the rest.
 *
 * @param opts      options
 * @param ret_view  struct_size is set by the caller; may be NULL. Filled on
 *                  success
 * @param err       may be NULL
 * @return 0, AMY_EINVAL (a domain, user, alias or wsgi of another shape, or
 *         something of another kind in the way), AMY_EDENIED (a directory above
 *         that others may write, or ours it is not), AMY_EPARSE (the site.yaml
 *         that is there), AMY_EEXIST (the user is another site's, or not that
 * of the site.yaml that is there), AMY_EBUSY (another call is at it),
 *         AMY_ENOTFOUND (no deployer of that name), AMY_EUNSUPPORTED (nothing
 *         to make a user with), AMY_EIO, AMY_ENOMEM. Pieces told as added stay.
 *
 * Loop: none.  Blocks: for files, and for useradd(8).  Since: 0.1
 */
AMY_API AMY_MUST_USE int amy_layout_make(const struct amy_layout_options *opts,
                                         struct amy_layout_view *ret_view,
                                         struct amy_error *err);

#ifdef __cplusplus
}
#endif
#endif
