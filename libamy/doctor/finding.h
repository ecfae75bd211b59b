/* Where judges put what they find. */
#ifndef AMY_DOCTOR_FINDING_H
#define AMY_DOCTOR_FINDING_H

#include <amy/doctor.h>

#include <stdbool.h>

#define AMY__FINDING_SIZE 1024

struct amy__findings {
    amy_doctor_fn fn;
    void *user;
    const char *borrow_site; /* whose they are; "": the host's */
    const char *borrow_skip; /* checks to leave out; or NULL */
    size_t weight;           /* warnings and errors so far */
    char what[AMY__FINDING_SIZE];
};

/* What is: the next finding's sentence. Control characters are shown as '?'. */
void amy__finding_is(struct amy__findings *findings, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Tell it, with what to do about it. */
void amy__finding_tell(struct amy__findings *findings,
                       enum amy_doctor_severity severity, const char *check,
                       const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Is a check, or all whose name begins with it and a '-', left out? */
bool amy__finding_is_skipped(const struct amy__findings *findings,
                             const char *check);

#endif
