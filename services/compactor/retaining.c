#include "compactor/retaining.h"

#include <stdlib.h>

#include "merge/batch.h"
#include "tenancy/retention_rules.h"

/* Of samples with their rollups, and of rollups by themselves. */
static const mrd_time_ms resolutions[MRD_RETENTION_KINDS] = {0, 5 * 60 * 1000, 3600 * 1000,
                                                             6 * 3600 * 1000, 24 * 3600 * 1000};

/* Of one list of rules, for each of these. */
struct list {
    struct kind {
        struct mrd_erasure *erasures;
        struct mrd_erasure_selector *selectors;
        size_t count;
    } kinds[MRD_RETENTION_KINDS];
};

struct cmp_retaining {
    struct mrd_retention_keeper *keeper;
    struct mrd_upkeep_retain retain;
    struct mrd_retention_book *book; /* of the look at hand, or NULL */
    struct list *lists;              /* one for each of the book */
};

static const struct mrd_erasure *rules_of(void *context, struct mrd_bytes tenant,
                                          mrd_time_ms resolution_ms, size_t *out_count)
{
    const struct cmp_retaining *retaining = context;
    const struct list *list = &retaining->lists[mrd_retention_book_find(retaining->book, tenant)];
    for (size_t i = 0; i < MRD_RETENTION_KINDS; i++) {
        if (resolutions[i] == resolution_ms) {
            *out_count = list->kinds[i].count;
            return list->kinds[i].erasures;
        }
    }
    *out_count = 0; /* nobody makes such */
    return NULL;
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
    return before_ms;
}

static void kind_init(struct kind *kind, size_t rule_count)
{
    kind->erasures = calloc(rule_count + 1, sizeof(*kind->erasures));
    kind->selectors = calloc(rule_count + 1, sizeof(*kind->selectors));
    mrd_assert(kind->erasures != NULL && kind->selectors != NULL);
}

static void kind_add(struct kind *kind, const struct mrd_retention_rule *rule,
                     mrd_time_ms before_ms)
{
    if (before_ms == INT64_MIN) {
        return;
    }
    struct mrd_erasure_selector *selector = &kind->selectors[kind->count];
    *selector = (struct mrd_erasure_selector){rule->matchers, rule->matcher_count};
    kind->erasures[kind->count++] = (struct mrd_erasure){
        .id = rule->id,
        .time_min_ms = INT64_MIN,
        .time_max_ms = mrd_merge_period_of(MRD_MERGE_DAY, before_ms).first_ms - 1,
        .selectors = selector,
        .selector_count = 1};
}

static void fill(struct list *list, struct mrd_retention_rules rules, mrd_time_ms now_ms,
                 const mrd_time_ms *resolutions_ms, size_t resolution_count)
{
    for (size_t k = 0; k < MRD_RETENTION_KINDS; k++) {
        kind_init(&list->kinds[k], rules.count);
        for (size_t i = 0; i < rules.count; i++) {
            const struct mrd_retention_rule *rule = &rules.items[i];
            kind_add(&list->kinds[k], rule,
                     k == 0 ? let_go(rule, now_ms, resolutions_ms, resolution_count)
                            : mrd_retention_rule_floor(rule, resolutions[k], now_ms));
        }
    }
}

static bool is_empty(const struct list *list)
{
    size_t count = 0;
    for (size_t k = 0; k < MRD_RETENTION_KINDS; k++) {
        count += list->kinds[k].count;
    }
    return count == 0;
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
        any |= !is_empty(&retaining->lists[i]);
    }
    return any ? &retaining->retain : NULL;
}

void cmp_retaining_end(struct cmp_retaining *retaining)
{
    const size_t count = retaining->book == NULL ? 0 : mrd_retention_book_count(retaining->book);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < MRD_RETENTION_KINDS; k++) {
            free(retaining->lists[i].kinds[k].erasures);
            free(retaining->lists[i].kinds[k].selectors);
        }
    }
    free(retaining->lists);
    retaining->lists = NULL;
    mrd_retention_book_release(&retaining->book);
}
