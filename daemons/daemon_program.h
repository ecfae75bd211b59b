/* Which program this is, for the one that takes its place. */
#ifndef DAEMON_PROGRAM_H
#define DAEMON_PROGRAM_H

#include <stdint.h>

/* The path that leads to what is installed now; NULL: unknown. Freed by the
 * caller. Ask early: what is replaced has no path any more. */
char *program_find(const char *argv0);
/* The descriptor + 1 that AMY_STATE_FD names, which is gone then; 0: none. */
uint32_t program_handover(void);
/* A descriptor + 1 from text; 0: it is none. */
uint32_t program_number(const char *text);

#endif
