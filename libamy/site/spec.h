/* The tables of keys, and what spec.c (the keys of site.yaml) and rules.c (what
 * holds between them) have of each other. */
#ifndef AMY_SITE_SPEC_H
#define AMY_SITE_SPEC_H

#include "site/fields.h"
#include "site/report.h"
#include "site/schema.h"
#include "site/site.h"

/* Every key of site.yaml; fills a struct amy__site. */
extern const struct amy__field amy__site_fields[];

/* Of one of backup.copies; fills a struct amy__site_copy. */
extern const struct amy__field amy__site_copy_fields[];
/* Of `refresh.copy`; fills a struct amy__site. */
extern const struct amy__field amy__site_place_fields[];

/* Of `deploy`; fills a struct amy__site. */
extern const struct amy__field amy__site_deploy_fields[];

/* Every key of amy.yaml; fills a struct amy__settings. */
extern const struct amy__field amy__settings_fields[];

/* Check what one key cannot know of another, fill in what follows from others
 * (default routes, which pools serve) and sort the routes. The site may be
 * partly filled: what was reported already is passed over. */
void amy__site_apply_rules(struct amy__site *site, const struct amy__node *root,
                           const char *expect_domain,
                           struct amy__report *report);

/* Checks of single texts, for the table. */
int amy__site_check_user(struct amy__span name, struct amy_error *err);
int amy__site_check_pool(struct amy__span name, struct amy_error *err);
int amy__site_check_url_path(struct amy__span path, struct amy_error *err);
int amy__site_check_files(struct amy__span path, struct amy_error *err);
int amy__site_check_log(struct amy__span name, struct amy_error *err);
int amy__site_check_socket(struct amy__span path, struct amy_error *err);
int amy__site_check_upstream(struct amy__span address, struct amy_error *err);
int amy__site_check_users(struct amy__span path, struct amy_error *err);
int amy__site_check_realm(struct amy__span text, struct amy_error *err);
int amy__site_check_wsgi(struct amy__span target, struct amy_error *err);

#endif
