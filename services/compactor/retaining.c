#include "compactor/retaining.h"

#include <stdlib.h>

#include "merge/batch.h"
#include "tenancy/retention_rules.h"

/* Of one list of rules. */
struct list {
    struct mrd_erasure *erasures;
    struct mrd_erasure_selector *selectors;
    size_t count;
};

struct cmp_retaining {
    struct mrd_retention_keeper *keeper;
    struct mrd_upkeep_retain retain;
    struct mrd_retention_book *book; /* of the look at hand, or NULL */
    struct list *lists;              /* one for each of the book */
};

static const struct mrd_erasure *rules_of(void *context, struct mrd_bytes tenant, size_t *out_count)
{
    const struct cmp_retaining *retaining = context;
    const struct list *list = &retaining->lists[mrd_retention_book_find(retaining->book, tenant)];
    *out_count = list->count;
    return list->erasures;
}

struct cmp_retaining *cmp_retaining_create(const struct mrd_config *config)
{
    struct cmp_retaining *retaining = calloc(1, sizeof(*retaining));
    mrd_assert(retaining != NULL);
    retaining->keeper = mrd_retention_keeper_create(config);
    retaining->retain = (struct mrd_upkeep_retain){
        .rules = rules_of, .context = retaining, .known = mrd_upkeep_retained_create(0)};
    return retaining;
}

void cmp_retaining_destroy(struct cmp_retaining **retaining)
{
    if (*retaining != NULL) {
        struct cmp_retaining *self = MRD_MOVE(*retaining);
        cmp_retaining_end(self);
        mrd_upkeep_retained_destroy(&self->retain.known);
        mrd_retention_keeper_destroy(&self->keeper);
        free(self);
    }
}

void cmp_retaining_reload(struct cmp_retaining *retaining, const struct mrd_config *config)
{
    mrd_retention_keeper_set(retaining->keeper, config);
}

/* Before when nothing is kept of the rule's series, be it samples or rows. */
static mrd_time_ms let_go(const struct mrd_retention_rule *rule, mrd_time_ms now_ms,
                          const mrd_time_ms *resolutions_ms, size_t resolution_count)
{
    mrd_time_ms before_ms = mrd_retention_rule_floor(rule, 0, now_ms);
    for (size_t i = 0; i < resolution_count; i++) {
        before_ms = MRD_MIN(before_ms, mrd_retention_rule_floor(rule, resolutions_ms[i], now_ms));
    }
    return before_ms == INT64_MIN ? INT64_MIN
                                  : mrd_merge_period_of(MRD_MERGE_DAY, before_ms).first_ms;
}

static void fill(struct list *list, struct mrd_retention_rules rules, mrd_time_ms now_ms,
                 const mrd_time_ms *resolutions_ms, size_t resolution_count)
{
    list->erasures = calloc(rules.count + 1, sizeof(*list->erasures));
    list->selectors = calloc(rules.count + 1, sizeof(*list->selectors));
    mrd_assert(list->erasures != NULL && list->selectors != NULL);
    for (size_t i = 0; i < rules.count; i++) {
        const struct mrd_retention_rule *rule = &rules.items[i];
        const mrd_time_ms before_ms = let_go(rule, now_ms, resolutions_ms, resolution_count);
        if (before_ms == INT64_MIN) {
            continue;
        }
        struct mrd_erasure_selector *selector = &list->selectors[list->count];
        *selector = (struct mrd_erasure_selector){rule->matchers, rule->matcher_count};
        list->erasures[list->count++] = (struct mrd_erasure){.id = rule->id,
                                                             .time_min_ms = INT64_MIN,
                                                             .time_max_ms = before_ms - 1,
                                                             .selectors = selector,
                                                             .selector_count = 1};
    }
}

const struct mrd_upkeep_retain *cmp_retaining_begin(struct cmp_retaining *retaining,
                                                    mrd_time_ms now_ms,
                                                    const mrd_time_ms *resolutions_ms,
                                                    size_t resolution_count)
{
    bool any = false;
    mrd_assert(retaining->book == NULL);
    retaining->book = mrd_retention_keeper_get(retaining->keeper);
    const size_t count = mrd_retention_book_count(retaining->book);
    retaining->lists = calloc(count, sizeof(*retaining->lists));
    mrd_assert(retaining->lists != NULL);
    for (size_t i = 0; i < count; i++) {
        fill(&retaining->lists[i], mrd_retention_book_at(retaining->book, i), now_ms,
             resolutions_ms, resolution_count);
        any |= retaining->lists[i].count > 0;
    }
    return any ? &retaining->retain : NULL;
}

void cmp_retaining_end(struct cmp_retaining *retaining)
{
    const size_t count = retaining->book == NULL ? 0 : mrd_retention_book_count(retaining->book);
    for (size_t i = 0; i < count; i++) {
        free(retaining->lists[i].erasures);
        free(retaining->lists[i].selectors);
    }
    free(retaining->lists);
    retaining->lists = NULL;
    mrd_retention_book_release(&retaining->book);
}
