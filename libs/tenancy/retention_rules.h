/* retention_rules.h: series of a tenant that are kept for a shorter time than the others (retention.rules).
 *
 *     {job="debug"}: 7d
 *     {__name__=~"tmp_.*", env="dev"}: samples=1d rollups_1h=30d
 *
 * A selector as in PromQL, and how long samples and rollups of what it selects are kept. Rollups that are not named are kept as long as the
 * rule's samples; where it names no samples, it says nothing of them. Of all rules that select a series the shortest time counts, and of
 * that and the tenant's own (retention.h) the shorter one.
 *
 * Owner:   a book is counted; whoever got a reference releases it. Rules live as long as the book.
 * Threads: books are immutable: any. A keeper: get from any, set from one at a time.
 * Memory:  the selectors and their regexes: at most MRD_RETENTION_RULES_MAX of MRD_RETENTION_RULE_SIZE_MAX bytes for all tenants together that
 *          have no rules of their own, and for each that has.
 */
#ifndef MRD_TENANCY_RETENTION_RULES_H
#define MRD_TENANCY_RETENTION_RULES_H

#include "base/hash.h"
#include "model/matcher.h"
#include "tenancy/retention.h"

enum {
    MRD_RETENTION_RULES_MAX = 64, /* of a tenant */
    MRD_RETENTION_RULE_SIZE_MAX = 4096,
};

struct mrd_retention_rule {
    const struct mrd_matcher *matchers; /* at least one refuses the empty text */
    size_t matcher_count;
    struct mrd_id128
        id; /* of the matchers: rules that select the same in the same words share it */
    mrd_time_ms kept_ms[MRD_RETENTION_KINDS]; /* as of struct mrd_retention; 0: it says nothing */
};

struct mrd_retention_rules {
    const struct mrd_retention_rule *items;
    size_t count;
};

/* What an item of the key must be: MRD_E_INVALID says what is wrong. */
MRD_MUST_CHECK enum mrd_status mrd_retention_rule_check(struct mrd_bytes text,
                                                        struct mrd_error *err);

/* How long the rule keeps samples (resolution 0) or rollups of a resolution; 0: it says nothing of them. */
mrd_time_ms mrd_retention_rule_of(const struct mrd_retention_rule *rule, mrd_time_ms resolution_ms);

/* What is before it the rule does not keep at that moment; INT64_MIN: it says nothing. */
mrd_time_ms mrd_retention_rule_floor(const struct mrd_retention_rule *rule,
                                     mrd_time_ms resolution_ms, mrd_time_ms now_ms);

/* ---- all tenants' rules, as a snapshot of the configuration says them ---- */

struct mrd_retention_book;

/* Never NULL. */
struct mrd_retention_book *mrd_retention_book_create(const struct mrd_config *config);
struct mrd_retention_book *mrd_retention_book_hold(struct mrd_retention_book *book);
void mrd_retention_book_release(struct mrd_retention_book **book); /* *book may be NULL */

/* Cost: nothing worth naming if there are no rules at all, else a binary search. */
struct mrd_retention_rules mrd_retention_book_rules(const struct mrd_retention_book *book,
                                                    struct mrd_bytes tenant);

/* The different lists of rules: those of tenants that have none of their own, then a tenant's each. For who keeps something for each list. */
size_t mrd_retention_book_count(const struct mrd_retention_book *book);
struct mrd_retention_rules mrd_retention_book_at(const struct mrd_retention_book *book,
                                                 size_t index);
/* Which of them is the tenant's. */
size_t mrd_retention_book_find(const struct mrd_retention_book *book, struct mrd_bytes tenant);

/* ---- the present book ---- */

struct mrd_retention_keeper;

struct mrd_retention_keeper *mrd_retention_keeper_create(const struct mrd_config *config);
void mrd_retention_keeper_destroy(struct mrd_retention_keeper **keeper);
void mrd_retention_keeper_set(struct mrd_retention_keeper *keeper, const struct mrd_config *config);
struct mrd_retention_book *mrd_retention_keeper_get(struct mrd_retention_keeper *keeper);

#endif
