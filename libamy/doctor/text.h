/* Looking for a site in other programs' files. Pure. */
#ifndef AMY_DOCTOR_TEXT_H
#define AMY_DOCTOR_TEXT_H

#include "core/str.h"

#include <stdbool.h>

/* Does the text name this as a word, outside of comments (# or ; at a line's
 * beginning, # behind a blank)? "example.org" is not in "www.example.org",
 * "/webapps/a" is in "/webapps/a/logs". */
bool amy__text_names(struct amy__span text, const char *word);
/* The next line that is not empty and no comment, without blanks around it;
 * false at the end. */
bool amy__text_line(struct amy__span *rest, struct amy__span *ret_line);
/* The value of the first "key = value"; {NULL, 0}: there is none. */
struct amy__span amy__text_value(struct amy__span text, const char *key);
/* Is `part` anywhere in it? */
bool amy__text_holds(struct amy__span text, const char *part);

#endif
