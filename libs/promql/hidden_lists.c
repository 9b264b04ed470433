/* Lists of names, values and series without what is hidden.
 *
 * A list says nothing of times, so nothing can be cut from it. But a source can be asked for parts of it by matchers and times: the series that no rule
 * selects, in the whole range; and of each rule those that it selects and none that hides them for longer does, from its time on. That a rule does not select a
 * series is said by the opposite of one of its matchers; of a rule with several, by as many sets of matchers. Rules of several multiply them, but for rules that ask
 * for different values of a label (its name, say): these divide the series among them, and add a set each.
 */
#include "promql/hidden_internal.h"

enum {
    /* Each set is a question of its own. So many let all rules that a tenant may have divide the series among them. */
    SETS_PER_SET_MAX = 65,
    UNITS = 2, /* of an item that is gone through, in those of mrd_pace */
};

/* Sets of matchers; a series is of them if one of the sets selects it. */
struct sets {
    const struct mrd_matcher **items;
    size_t *counts;
    size_t count;
};

struct listing {
    const struct mrd_source *source;
    const struct mrd_query_scope *scope;
    size_t item_size;
    enum mrd_status (*ask)(struct listing *listing, const struct mrd_label_query *query,
                           struct mrd_bytes *out, struct mrd_error *err);
    struct mrd_bytes name; /* whose values */
    struct mrd_buf items;
    bool truncated;
};

/* ---- sets of matchers ---- */

static enum mrd_status sets_alloc(struct mrd_arena *arena, size_t capacity, struct sets *out,
                                  struct mrd_error *err)
{
    *out = (struct sets){mrd_arena_alloc_array(arena, capacity, sizeof(*out->items)),
                         mrd_arena_alloc_array(arena, capacity, sizeof(*out->counts)), 0};
    return out->items == NULL || out->counts == NULL ? mrd_arena_fail(arena, err) : MRD_OK;
}

/* Those of the query; one that selects everything if it has none. */
static enum mrd_status sets_of(const struct mrd_label_query *query, struct mrd_arena *arena,
                               struct sets *out, struct mrd_error *err)
{
    static const struct mrd_matcher none;
    MRD_TRY(sets_alloc(arena, query->matcher_set_count + 1, out, err));
    for (size_t i = 0; i < query->matcher_set_count; i++) {
        out->items[i] = query->matcher_sets[i];
        out->counts[i] = query->matcher_counts[i];
    }
    out->count = query->matcher_set_count;
    if (out->count == 0) {
        out->items[0] = &none;
        out->counts[0] = 0;
        out->count = 1;
    }
    return MRD_OK;
}

/* Whether they ask for different values of a label. */
static bool contradict(const struct mrd_matcher *a, const struct mrd_matcher *b)
{
    return mrd_bytes_equal(a->name, b->name) &&
           ((a->type == MRD_MATCH_EQ && !mrd_matcher_matches(b, a->value)) ||
            (b->type == MRD_MATCH_EQ && !mrd_matcher_matches(a, b->value)));
}

/* Whether no series of the set can have what the matcher asks for. */
static bool excludes(const struct mrd_matcher *set, size_t count, const struct mrd_matcher *matcher)
{
    bool found = false;
    for (size_t i = 0; i < count && !found; i++) {
        found = contradict(&set[i], matcher);
    }
    return found;
}

static bool excludes_rule(const struct mrd_matcher *set, size_t count,
                          const struct mrd_hidden_rule *rule)
{
    bool found = false;
    for (size_t k = 0; k < rule->matcher_count && !found; k++) {
        found = excludes(set, count, &rule->matchers[k]);
    }
    return found;
}

static bool has_matcher(const struct mrd_matcher *set, size_t count,
                        const struct mrd_matcher *matcher)
{
    bool found = false;
    for (size_t i = 0; i < count && !found; i++) {
        found = set[i].type == matcher->type && mrd_bytes_equal(set[i].name, matcher->name) &&
                mrd_bytes_equal(set[i].value, matcher->value);
    }
    return found;
}

/* Adds set i of `sets` with some matchers to `out`, unless nothing can be of it. */
static enum mrd_status sets_add(struct sets *out, const struct sets *sets, size_t i,
                                const struct mrd_matcher *matchers, size_t count,
                                struct mrd_arena *arena, struct mrd_error *err)
{
    const size_t have = sets->counts[i];
    for (size_t k = 0; k < count; k++) {
        if (excludes(sets->items[i], have, &matchers[k])) {
            return MRD_OK;
        }
    }
    struct mrd_matcher *all = mrd_arena_alloc_array(arena, have + count + 1, sizeof(*all));
    if (all == NULL) {
        return mrd_arena_fail(arena, err);
    }
    size_t total = 0;
    for (size_t k = 0; k < have + count; k++) {
        const struct mrd_matcher *matcher = k < have ? &sets->items[i][k] : &matchers[k - have];
        if (k < have || !has_matcher(all, total, matcher)) {
            all[total++] = *matcher;
        }
    }
    out->items[out->count] = all;
    out->counts[out->count++] = total;
    return MRD_OK;
}

/* Of the series of the sets, those that the rule selects. */
static enum mrd_status sets_with(const struct sets *sets, const struct mrd_hidden_rule *rule,
                                 struct mrd_arena *arena, struct sets *out, struct mrd_error *err)
{
    MRD_TRY(sets_alloc(arena, sets->count + 1, out, err));
    for (size_t i = 0; i < sets->count; i++) {
        MRD_TRY(sets_add(out, sets, i, rule->matchers, rule->matcher_count, arena, err));
    }
    return MRD_OK;
}

/* The regex is lent. */
static struct mrd_matcher opposite(struct mrd_matcher matcher)
{
    static const enum mrd_match_type types[] = {[MRD_MATCH_EQ] = MRD_MATCH_NE,
                                                [MRD_MATCH_NE] = MRD_MATCH_EQ,
                                                [MRD_MATCH_RE] = MRD_MATCH_NRE,
                                                [MRD_MATCH_NRE] = MRD_MATCH_RE};
    matcher.type = types[matcher.type];
    return matcher;
}

/* Which matcher of a rule divides its series from those of most others: by name, or by another label's value. Their number: none does. */
static size_t divider_of(const struct mrd_hidden_rule *rule)
{
    size_t found = rule->matcher_count;
    for (size_t k = 0; k < rule->matcher_count; k++) {
        const struct mrd_matcher *matcher = &rule->matchers[k];
        const bool is_name = mrd_bytes_equal(matcher->name, MRD_BYTES("__name__"));
        if (matcher->type == MRD_MATCH_EQ && (is_name || found == rule->matcher_count)) {
            found = k;
        }
    }
    return found;
}

/* Those of set i that the rule does not select: they have not what it divides by, or have that and not something else. */
static enum mrd_status set_without(const struct sets *sets, size_t i,
                                   const struct mrd_hidden_rule *rule, struct mrd_arena *arena,
                                   struct sets *out, struct mrd_error *err)
{
    const size_t divider = divider_of(rule);
    const bool divides = divider < rule->matcher_count;
    if (excludes_rule(sets->items[i], sets->counts[i], rule)) {
        return sets_add(out, sets, i, NULL, 0, arena, err);
    }
    for (size_t k = 0; k < rule->matcher_count; k++) {
        struct mrd_matcher added[2] = {opposite(rule->matchers[k])};
        const bool both = divides && k != divider;
        if (both) {
            added[1] = rule->matchers[divider];
        }
        MRD_TRY(sets_add(out, sets, i, added, both ? 2 : 1, arena, err));
    }
    return MRD_OK;
}

/* Of the series of the sets, those that the rule does not select. */
static enum mrd_status sets_without(const struct sets *sets, const struct mrd_hidden_rule *rule,
                                    struct mrd_arena *arena, struct sets *out,
                                    struct mrd_error *err)
{
    MRD_TRY(sets_alloc(arena, sets->count * MRD_MAX(rule->matcher_count, (size_t)1) + 1, out, err));
    for (size_t i = 0; i < sets->count; i++) {
        MRD_TRY(set_without(sets, i, rule, arena, out, err));
    }
    return MRD_OK;
}

/* ---- the rules that hide something of a list ---- */

static bool concerns(const struct mrd_hidden_rule *rule, const struct mrd_label_query *query)
{
    bool meets = query->matcher_set_count == 0;
    for (size_t i = 0; i < query->matcher_set_count && !meets; i++) {
        meets = mrd_hidden_meets(rule, query->matcher_sets[i], query->matcher_counts[i]);
    }
    return meets && rule->before_ms > query->min_ms;
}

/* Those that hide for longest first. */
static enum mrd_status find_rules(const struct mrd_hidden_rules *rules,
                                  const struct mrd_label_query *query, struct mrd_arena *arena,
                                  const struct mrd_hidden_rule ***out, size_t *out_count,
                                  struct mrd_error *err)
{
    size_t count = 0;
    *out = mrd_arena_alloc_array(arena, rules->count + 1, sizeof(**out));
    if (*out == NULL) {
        return mrd_arena_fail(arena, err);
    }
    for (size_t i = 0; i < rules->count; i++) {
        const struct mrd_hidden_rule *rule = &rules->items[i];
        if (!concerns(rule, query)) {
            continue;
        }
        size_t at = count++;
        for (; at > 0 && (*out)[at - 1]->before_ms < rule->before_ms; at--) {
            (*out)[at] = (*out)[at - 1];
        }
        (*out)[at] = rule;
    }
    *out_count = count;
    return MRD_OK;
}

/* ---- asking ---- */

/* Of such series, what the source lists in the query's range, but not before `from_ms`. */
static enum mrd_status ask_part(struct listing *listing, const struct mrd_label_query *query,
                                const struct sets *sets, mrd_time_ms from_ms, struct mrd_error *err)
{
    struct mrd_label_query part = *query;
    part.matcher_sets = sets->items;
    part.matcher_counts = sets->counts;
    part.matcher_set_count = sets->count;
    part.min_ms = MRD_MAX(query->min_ms, from_ms);
    if (sets->count == 0 || part.min_ms > part.max_ms) {
        return MRD_OK;
    }
    struct mrd_bytes items;
    MRD_TRY(listing->ask(listing, &part, &items, err));
    mrd_buf_append_bytes(&listing->items, items);
    return MRD_OK;
}

/* What rules of many matchers say together may be too much to ask for: of the last ones of these a source's list shows what it has. */
static enum mrd_status ask_parts(struct listing *listing, const struct mrd_label_query *query,
                                 const struct mrd_hidden_rule *const *rules, size_t rule_count,
                                 struct mrd_error *err)
{
    struct mrd_arena *arena = listing->scope->arena;
    struct sets rest;
    MRD_TRY(sets_of(query, arena, &rest, err));
    const size_t sets_max = rest.count * SETS_PER_SET_MAX;
    for (size_t i = 0; i < rule_count; i++) {
        struct sets of_rule;
        struct sets left;
        MRD_TRY(sets_without(&rest, rules[i], arena, &left, err));
        if (left.count > sets_max) {
            continue;
        }
        MRD_TRY(sets_with(&rest, rules[i], arena, &of_rule, err));
        MRD_TRY(ask_part(listing, query, &of_rule, rules[i]->before_ms, err));
        rest = left;
    }
    return ask_part(listing, query, &rest, query->min_ms, err);
}

/* In order, each once, cut at the limit. */
static enum mrd_status finish(struct listing *listing, size_t limit, mrd_order *order,
                              struct mrd_bytes *out, struct mrd_error *err)
{
    const size_t size = listing->item_size;
    uint8_t *items = listing->items.data;
    const size_t count = listing->items.size / size;
    const struct mrd_look look = mrd_query_look(listing->scope->control);
    struct mrd_pace pace = {.look = &look};
    MRD_TRY(mrd_sort(items, count, size, order, NULL, &look, err));
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || order(items + (kept - 1) * size, items + i * size, NULL) != 0) {
            memmove(items + kept++ * size, items + i * size, size);
        }
        MRD_TRY(mrd_pace(&pace, UNITS, err));
    }
    listing->truncated |= limit != 0 && kept > limit;
    kept = limit != 0 ? MRD_MIN(kept, limit) : kept;
    *out = mrd_arena_copy(listing->scope->arena, (struct mrd_bytes){items, kept * size});
    return out->data == NULL ? mrd_arena_fail(listing->scope->arena, err) : MRD_OK;
}

static enum mrd_status list(const struct mrd_hidden *hidden, struct listing *listing,
                            const struct mrd_label_query *query, mrd_order *order,
                            struct mrd_bytes *out, struct mrd_error *err)
{
    const struct mrd_hidden_rule **rules;
    size_t rule_count = 0;
    listing->source = hidden->source;
    MRD_TRY(find_rules(&hidden->rules, query, listing->scope->arena, &rules, &rule_count, err));
    if (rule_count == 0) {
        return listing->ask(listing, query, out, err);
    }
    enum mrd_status status = ask_parts(listing, query, rules, rule_count, err);
    if (status == MRD_OK) {
        status = finish(listing, query->limit, order, out, err);
    }
    mrd_buf_fini(&listing->items);
    return status;
}

/* ---- names and values ---- */

static int compare_texts(const void *a, const void *b, void *context)
{
    (void)context;
    return mrd_bytes_compare(*(const struct mrd_bytes *)a, *(const struct mrd_bytes *)b);
}

static struct mrd_bytes bytes_of_texts(struct listing *listing, const struct mrd_texts *texts)
{
    listing->truncated |= texts->truncated;
    return (struct mrd_bytes){(const uint8_t *)texts->items, texts->count * listing->item_size};
}

static enum mrd_status ask_names(struct listing *listing, const struct mrd_label_query *query,
                                 struct mrd_bytes *out, struct mrd_error *err)
{
    struct mrd_texts texts;
    MRD_TRY(
        listing->source->label_names(listing->source->context, query, listing->scope, &texts, err));
    *out = bytes_of_texts(listing, &texts);
    return MRD_OK;
}

static enum mrd_status ask_values(struct listing *listing, const struct mrd_label_query *query,
                                  struct mrd_bytes *out, struct mrd_error *err)
{
    struct mrd_texts texts;
    MRD_TRY(listing->source->label_values(listing->source->context, listing->name, query,
                                          listing->scope, &texts, err));
    *out = bytes_of_texts(listing, &texts);
    return MRD_OK;
}

static enum mrd_status list_texts(const struct mrd_hidden *hidden, struct listing *listing,
                                  const struct mrd_label_query *query, struct mrd_texts *out,
                                  struct mrd_error *err)
{
    struct mrd_bytes items;
    listing->item_size = sizeof(struct mrd_bytes);
    MRD_TRY(list(hidden, listing, query, compare_texts, &items, err));
    *out = (struct mrd_texts){(const struct mrd_bytes *)(const void *)items.data,
                              items.size / sizeof(struct mrd_bytes), listing->truncated};
    return MRD_OK;
}

enum mrd_status mrd_hidden_label_names(void *context, const struct mrd_label_query *query,
                                       const struct mrd_query_scope *scope, struct mrd_texts *out,
                                       struct mrd_error *err)
{
    struct listing listing = {.scope = scope, .ask = ask_names};
    return list_texts(context, &listing, query, out, err);
}

enum mrd_status mrd_hidden_label_values(void *context, struct mrd_bytes name,
                                        const struct mrd_label_query *query,
                                        const struct mrd_query_scope *scope, struct mrd_texts *out,
                                        struct mrd_error *err)
{
    struct listing listing = {.scope = scope, .ask = ask_values, .name = name};
    return list_texts(context, &listing, query, out, err);
}

/* ---- series ---- */

static int compare_label_sets(const void *a, const void *b, void *context)
{
    (void)context;
    return mrd_labels_compare(*(const struct mrd_labels *)a, *(const struct mrd_labels *)b);
}

static enum mrd_status ask_series(struct listing *listing, const struct mrd_label_query *query,
                                  struct mrd_bytes *out, struct mrd_error *err)
{
    struct mrd_label_sets found;
    MRD_TRY(listing->source->series(listing->source->context, query, listing->scope, &found, err));
    listing->truncated |= found.truncated;
    *out = (struct mrd_bytes){(const uint8_t *)found.items, found.count * listing->item_size};
    return MRD_OK;
}

enum mrd_status mrd_hidden_series(void *context, const struct mrd_label_query *query,
                                  const struct mrd_query_scope *scope, struct mrd_label_sets *out,
                                  struct mrd_error *err)
{
    struct mrd_bytes items;
    struct listing listing = {
        .scope = scope, .ask = ask_series, .item_size = sizeof(struct mrd_labels)};
    MRD_TRY(list(context, &listing, query, compare_label_sets, &items, err));
    *out = (struct mrd_label_sets){(const struct mrd_labels *)(const void *)items.data,
                                   items.size / sizeof(struct mrd_labels), listing.truncated};
    return MRD_OK;
}
