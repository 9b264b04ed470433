#include "querier/hiding.h"

enum { RULE_UNITS = 8 /* of one series that a rule looks at, in those of mrd_pace */ };

static struct mrd_erasure erasure_of(const struct mrd_hidden_rule *rule, struct mrd_bytes tenant,
                                     const struct mrd_erasure_selector *selector)
{
    return (struct mrd_erasure){.tenant = tenant,
                                .time_min_ms = INT64_MIN,
                                .time_max_ms = rule->before_ms - 1,
                                .selectors = selector,
                                .selector_count = 1};
}

enum mrd_status qry_hiding_init(struct qry_hiding *hiding, struct mrd_retention_rules rules,
                                struct mrd_bytes tenant, mrd_time_ms now_ms,
                                struct mrd_arena *arena, struct mrd_error *err)
{
    *hiding = (struct qry_hiding){.rules = rules.items, .now_ms = now_ms};
    if (rules.count == 0) {
        return MRD_OK;
    }
    struct mrd_hidden_rule *samples = mrd_arena_alloc_array(arena, rules.count, sizeof(*samples));
    struct mrd_erasure *erasures = mrd_arena_alloc_array(arena, rules.count, sizeof(*erasures));
    struct mrd_erasure_selector *selectors =
        mrd_arena_alloc_array(arena, rules.count, sizeof(*selectors));
    if (samples == NULL || erasures == NULL || selectors == NULL) {
        return mrd_arena_fail(arena, err);
    }
    for (size_t i = 0; i < rules.count; i++) {
        const struct mrd_retention_rule *rule = &rules.items[i];
        samples[i] = (struct mrd_hidden_rule){rule->matchers, rule->matcher_count,
                                              mrd_retention_rule_floor(rule, 0, now_ms)};
        selectors[i] = (struct mrd_erasure_selector){rule->matchers, rule->matcher_count};
        if (samples[i].before_ms > INT64_MIN) {
            erasures[hiding->erasure_count++] = erasure_of(&samples[i], tenant, &selectors[i]);
        }
    }
    hiding->samples = (struct mrd_hidden_rules){samples, rules.count};
    hiding->erasures = erasures;
    return MRD_OK;
}

struct mrd_source qry_hiding_heads(struct qry_hiding *hiding, const struct mrd_source *source)
{
    hiding->heads = (struct mrd_hidden){source, hiding->samples};
    return hiding->samples.count == 0 ? *source : mrd_hidden_source(&hiding->heads);
}

mrd_time_ms qry_hiding_rows(const void *context, size_t rule, mrd_time_ms resolution_ms)
{
    const struct qry_hiding *hiding = context;
    return mrd_retention_rule_floor(&hiding->rules[rule], resolution_ms, hiding->now_ms);
}

enum mrd_status qry_hiding_exemplars(const struct qry_hiding *hiding, const struct mrd_look *look,
                                     struct qry_exemplars *exemplars, struct mrd_error *err)
{
    struct mrd_pace pace = {.look = look};
    size_t kept = 0;
    if (hiding->samples.count == 0) {
        return MRD_OK;
    }
    for (size_t i = 0; i < exemplars->count; i++) {
        const struct qry_exemplar item = exemplars->items[i];
        MRD_TRY(mrd_pace(&pace, RULE_UNITS * hiding->samples.count, err));
        if (item.exemplar.time_ms >= mrd_hidden_before(&hiding->samples, item.series)) {
            exemplars->items[kept++] = item;
        }
    }
    exemplars->count = kept;
    return MRD_OK;
}
