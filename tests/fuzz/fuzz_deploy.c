/* Any bytes as a journal, as a list of releases and as what Django prints: what
 * is taken can be written, read again, and undone. */
#include "deploy/history.h"
#include "deploy/journal.h"
#include "deploy/pending.h"
#include "deploy/plan.h"
#include "fuzz.h"
#include "site/fields.h"

#include <string.h>

static void
try_journal(struct amy__span text)
{
    struct amy__deploy_journal journal;
    struct amy__deploy_journal again;
    struct amy__deploy_plan plan;
    struct amy__buf out;

    if (amy__deploy_journal_read(text, &journal, NULL) < 0) {
        return;
    }
    amy__deploy_plan_mend(&journal, true, &plan);
    FUZZ_CHECK(plan.count >= 1 && plan.count < 8);
    FUZZ_CHECK(strchr(journal.release, '/') == NULL);
    amy__buf_init(&out, 2 * AMY__DEPLOY_JOURNAL_MAX);
    FUZZ_CHECK(amy__deploy_journal_write(&journal, &out) == 0);
    if (out.len <= AMY__DEPLOY_JOURNAL_MAX) {
        FUZZ_CHECK(
            amy__deploy_journal_read(amy__buf_span(&out), &again, NULL) == 0);
        FUZZ_CHECK(strcmp(again.release, journal.release) == 0 &&
                   again.served == journal.served);
        amy__deploy_journal_clear(&again);
    }
    amy__buf_clear(&out);
    amy__deploy_journal_clear(&journal);
}

static void
try_history(struct amy__span text)
{
    struct amy__deploy_history history;
    const struct amy__deploy_entry *entry = NULL;

    if (amy__deploy_history_read(text, &history, NULL) < 0) {
        return;
    }
    FUZZ_CHECK(history.count <= AMY__DEPLOY_HISTORY_MAX);
    FUZZ_CHECK(amy__deploy_history_serve(&history, "releases/now", 1) != NULL);
    entry = amy__deploy_history_before(&history, "releases/now");
    FUZZ_CHECK(entry == NULL || strcmp(entry->link, "releases/now") != 0);
    entry = amy__deploy_history_surplus(&history, "releases/now", 2);
    FUZZ_CHECK(entry == NULL || entry->ours);
    amy__deploy_history_clear(&history);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct amy__span text = {(const char *)data, size};
    char **pending = NULL;

    try_journal(text);
    try_history(text);
    if (amy__deploy_pending_read(text, &pending, NULL) == 0) {
        FUZZ_CHECK(amy__texts_count(pending) <= AMY__DEPLOY_MIGRATIONS_MAX);
        amy__texts_free(pending);
    }
    return 0;
}
