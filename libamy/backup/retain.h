/* Which sets stay. Pure: facts in, a verdict per set out.
 *
 * A set stays when any rule wants it: among the newest `count`, younger than
 * `age_ms`, the newest of an hour, day, week or month that counts, pinned, made
 * before a deployment not long ago. Only verified sets count: one that nobody
 * has read through yet, or that looks too small, takes nobody's place. The
 * newest verified one stays whatever the rules say, and a set that is not
 * verified stays until as many verified ones as the rules ask for are newer.
 *
 * A set that is dated in the future takes nobody's place either, and stays: a
 * clock was wrong, so nobody knows how old it is (docs/decisions/0083). */
#ifndef AMY_BACKUP_RETAIN_H
#define AMY_BACKUP_RETAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero: no such rule. No rule at all: everything stays. */
struct amy__retain_rules {
    uint32_t count;
    int64_t age_ms;
    uint32_t hourly; /* this many hours (UTC) that have a set, and so on */
    uint32_t daily;
    uint32_t weekly; /* from Monday on */
    uint32_t monthly;
    int64_t deploy_age_ms; /* sets made before a deployment, beside the above */
};

struct amy__retain_set {
    int64_t made_ms;
    bool verified;
    bool pinned;
    bool deploy;
    bool ahead;       /* dated in the future */
    const char *keep; /* out: why it stays; NULL: it goes */
};

/* sets: newest first. */
void amy__retain(const struct amy__retain_rules *rules,
                 struct amy__retain_set *sets, size_t n, int64_t now_ms);

#endif
